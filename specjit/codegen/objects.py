"""Kernel source -> object image, in the worker. The only file that touches Numba's compile pipeline.

Enters: source text (an optional preamble and one `def kernel(frame, ops):`), the C symbol, and the file that holds the
text.
Leaves: a relocatable object with that one C symbol `int64 symbol(int64* frame, int64* ops)`, and its final LLVM IR.
Invariant: the object needs nothing but the C and math libraries: no Python object, no Numba runtime, no address of this
process.

The way: Numba lowers the function without its CPython and C wrappers and without its own optimization (`_Library`), so
that LLVM's pipeline runs once, over the linked whole. A small wrapper turns Numba's calling convention (result through
a pointer, a status returned) into the kernel's. All else becomes internal and is inlined or dropped.
"""

from __future__ import annotations

import functools
import importlib
import importlib.util
import math
from collections.abc import Iterator
from contextlib import contextmanager
from types import FunctionType
from typing import Any, NamedTuple

import llvmlite.binding as llvm
import numba
import numpy
from numba import types
from numba.core.codegen import JITCodeLibrary, JITCPUCodegen
from numba.core.compiler import Flags, compile_extra
from numba.core.compiler_lock import global_compiler_lock
from numba.core.registry import cpu_target

from specjit.codegen import target
from specjit.codegen.abi import Status

VOCABULARY = ("simd", "vecmath", "tiles", "philox")

# What an object may leave undefined: the C and math libraries of any process, never Py*, NRT_* or numba_*.
_LIBC = {"memcpy", "memmove", "memset", "memcmp", "bcmp"}
_LIBM = """
acos acosh asin asinh atan atan2 atanh cbrt ceil copysign cos cosh erf erfc exp exp2 expm1 fabs floor fma fmax
fmin fmod frexp hypot ldexp lgamma log log10 log1p log2 nearbyint nextafter pow remainder rint round sin
sincos sinh sqrt tan tanh tgamma trunc
"""
ALLOWED = _LIBC.union(*({name, f"{name}f"} for name in _LIBM.split()))


class CompiledKernel(NamedTuple):
    """An object image and the LLVM IR text it was made from."""

    image: bytes
    llvm: str


class KernelError(Exception):
    """The kernel's source is not a kernel: it does not compile, or needs what an object may not need."""


class _Library(JITCodeLibrary):
    """A Numba code library that leaves optimization to us and never enters Numba's execution engine."""

    def _optimize_functions(self, ll_module: llvm.ModuleRef) -> None:
        ll_module.data_layout = self._codegen._data_layout

    def _optimize_final_module(self) -> None:
        pass

    def _finalize_specific(self) -> None:
        pass

    def get_pointer_to_function(self, name: str) -> int:
        return 0  # Numba's word for "not defined here"


class _Codegen(JITCPUCodegen):
    """Makes such libraries; nothing is loaded into this process."""

    _library_class = _Library

    def _add_module(self, module: llvm.ModuleRef) -> None:
        pass

    def set_env(self, env_name: str, env: object) -> None:
        pass


@functools.cache
def _codegen() -> _Codegen:
    cpu_target.target_context.refresh()  # Numba's own start-up still uses Numba's own code generation
    cpu_target.typing_context.refresh()
    return _Codegen("specjit")


@contextmanager
def _own_codegen() -> Iterator[None]:
    """Let the CPU target make `_Library` objects, for the kernel and for every helper that it calls."""
    context, own = cpu_target.target_context, _codegen()
    numbas, context._internal_codegen = context._internal_codegen, own
    try:
        yield
    finally:
        context._internal_codegen = numbas


@global_compiler_lock
def compile_kernel(source_text: str, symbol: str, file_path: str) -> CompiledKernel:
    """Compile one kernel. `file_path` is where `source_text` is stored; it shows in tracebacks and debuggers."""
    function = _load_function(source_text, symbol, file_path)
    pointer = types.CPointer(types.int64)
    flags = Flags()
    flags.no_cpython_wrapper = True
    flags.no_cfunc_wrapper = True
    flags.no_compile = True
    flags.nrt = True  # views need it for typing; an allocation leaves NRT_* undefined and is rejected below
    flags.error_model = "numpy"
    with _own_codegen():
        result = compile_extra(
            cpu_target.typing_context, cpu_target.target_context, function, (pointer, pointer), types.int64, flags, {}
        )
        result.library.finalize()  # links the helpers in
    module = result.library._final_module
    _wrap(module, result.fndesc.llvm_func_name, symbol)
    target.optimize(module)
    if any(f.name.startswith("NRT_") for f in module.functions):
        # Numba never inlines these: once a view's owner is seen to be null, a second run drops them
        target.optimize(module)
    _verify_self_contained(module, symbol)
    text = str(module)  # before emission, whose last passes rewrite the module
    return CompiledKernel(target.target_machine().emit_object(module), text)


def warm_up() -> None:
    """Pay Numba's start-up now: its type and lowering tables, and the vocabulary."""
    _codegen()
    _vocabulary()


@functools.cache
def _vocabulary() -> dict[str, Any]:
    """What a kernel's text may say: the vocabulary modules, and every name of their `__all__`."""
    names: dict[str, Any] = {"np": numpy, "numpy": numpy, "math": math, "carray": numba.carray}
    for name in VOCABULARY:
        qualified = f"specjit.codegen.vectors.{name}"
        if importlib.util.find_spec(qualified) is not None:
            module = importlib.import_module(qualified)
            names[name] = module
            names.update({public: getattr(module, public) for public in module.__all__})
    return names


def _load_function(source_text: str, symbol: str, file_path: str) -> FunctionType:
    """Execute the text and return its kernel under the name `symbol`.

    Numba derives its symbols from the qualified name, and two functions of one name compiled twice collide: so the hash
    is the name.
    """
    namespace = dict(_vocabulary(), __name__=f"specjit.kernels.{symbol}", __file__=file_path)
    exec(compile(source_text, file_path, "exec"), namespace)
    kernel = namespace.get("kernel")
    if not isinstance(kernel, FunctionType):
        raise KernelError(f"{file_path}: a kernel's source defines `def kernel(frame, ops):`")
    kernel.__name__ = kernel.__qualname__ = symbol
    return kernel


def _wrap(module: llvm.ModuleRef, inner: str, symbol: str) -> None:
    """Add the exported C function, and make all else internal so that it is inlined or dropped."""
    wrapper = llvm.parse_assembly(f"""
        declare i32 @{inner}(ptr, ptr, ptr, ptr)

        define i64 @{symbol}(ptr %frame, ptr noalias readonly %ops) {target.function_attributes()} {{
          %result = alloca i64
          %exception = alloca ptr
          %status = call i32 @{inner}(ptr %result, ptr %exception, ptr %frame, ptr %ops)
          %returned = icmp eq i32 %status, 0
          %value = load i64, ptr %result
          %code = select i1 %returned, i64 %value, i64 {int(Status.KERNEL)}
          ret i64 %code
        }}""")
    wrapper.triple = module.triple
    wrapper.data_layout = module.data_layout
    module.link_in(wrapper)
    for item in (*module.functions, *module.global_variables):
        if not item.is_declaration and item.name != symbol:
            item.linkage = "internal"
    module.get_function(inner).add_function_attribute("alwaysinline")


def _verify_self_contained(module: llvm.ModuleRef, symbol: str) -> None:
    """Raise KernelError unless the module exports `symbol` alone and needs the C and math libraries at most."""
    needed = [f.name for f in module.functions if f.is_declaration and not f.name.startswith("llvm.")]
    needed += [g.name for g in module.global_variables if g.is_declaration]
    offenders = [name for name in needed if name not in ALLOWED]
    offenders += [g.name for g in module.global_variables if g.name.startswith("numba.dynamic.globals")]
    if offenders:
        raise KernelError(
            f"{symbol} is not self-contained; it needs {', '.join(sorted(offenders))}. "
            "A kernel may not allocate, print, or hold a Python object or an address of this process"
        )
    exported = [f.name for f in module.functions if not f.is_declaration and f.linkage == llvm.Linkage.external]
    if exported != [symbol]:
        raise KernelError(f"{symbol}: the object exports {exported}")
