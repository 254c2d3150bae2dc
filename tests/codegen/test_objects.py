"""Kernel source -> object image: what an object holds, and what is refused. All through the worker, where this code
lives.
"""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest

from specjit.codegen import cache, worker
from specjit.codegen.abi import Status
from specjit.codegen.compiler import CompileError, CompilerPool
from specjit.codegen.linker import link
from tests.codegen.sources import POINTERS, axpy, call, run_axpy


def compile_kernel(pool: CompilerPool, tmp_path: Path, source: str, symbol: str = "kernel_under_test"):
    path = tmp_path / f"{symbol}.py"
    path.write_text(source)
    return pool.compile(source, symbol, str(path))


def run_in_worker(code: str) -> str:
    """Run code in a fresh process with the worker's stand-in packages."""
    text = f"import runpy; w = runpy.run_path({worker.__file__!r}); w['_stand_in_packages']()\n" + textwrap.dedent(code)
    done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_numba_still_has_the_parts_we_use():
    """Fails loudly when a Numba release moves what `objects.py` builds on: every part is named, then used on one
    kernel.
    """
    out = run_in_worker(
        f"""
        from numba.core.codegen import JITCodeLibrary, JITCPUCodegen, CPUCodeLibrary
        from numba.core.compiler import Flags, compile_extra
        from numba.core.registry import cpu_target
        from specjit.codegen import objects

        hooks = ["_optimize_functions", "_optimize_final_module", "_finalize_specific", "get_pointer_to_function"]
        missing = [f"library.{{h}}" for h in hooks if not callable(getattr(JITCodeLibrary, h, None))]
        hooks = ["_add_module", "set_env"]
        missing += [f"codegen.{{h}}" for h in hooks if not callable(getattr(JITCPUCodegen, h, None))]
        flags = Flags()
        missing += [f for f in ("no_cpython_wrapper", "no_cfunc_wrapper", "no_compile", "nrt", "error_model")
                    if not hasattr(flags, f)]
        missing += [a for a in ("_internal_codegen", "refresh") if not hasattr(cpu_target.target_context, a)]
        assert JITCPUCodegen._library_class is JITCodeLibrary
        assert not missing, missing

        objects.warm_up()  # Numba's own start-up is its own business
        optimized = []
        CPUCodeLibrary._optimize_final_module = lambda self: optimized.append(self.name)
        kernel = objects.compile_kernel({axpy(2.0)!r}, "k", "k.py")
        assert not optimized, f"Numba's own optimization ran on {{optimized}}"
        assert kernel.llvm.count("define ") == 1, kernel.llvm
        print(kernel.image[:4], "define noundef i64 @k(" in kernel.llvm or "define i64 @k(" in kernel.llvm)
        """
    )
    assert out.split()[-1] == "True"


def test_numba_in_the_same_process_still_works():
    out = run_in_worker(
        f"""
        import numba
        from specjit.codegen import objects
        objects.compile_kernel({axpy(2.0)!r}, "k", "k.py")
        print(numba.njit(lambda x: x + 1)(41))
        """
    )
    assert out.strip() == "42"


def test_worker_loads_only_what_the_cache_key_covers_and_never_the_eager_library():
    out = run_in_worker(
        """
        import sys
        from specjit.codegen import objects
        objects.warm_up()
        print(*(m for m in sys.modules if m.startswith("specjit.codegen.")))
        print(*(m for m in sys.modules if m.startswith("specjit") and not m.startswith("specjit.codegen")))
        """
    ).splitlines()
    assert {name.removeprefix("specjit.codegen.") for name in out[0].split()} <= set(cache.worker_sources())
    assert out[1] == "specjit"


def test_object_computes(pool, tmp_path):
    image, _ = compile_kernel(pool, tmp_path, axpy(3.0), "axpy_3")
    code = link(image, ["axpy_3"])
    x = np.array([0.0, -0.0, 1.5, np.inf, -np.inf, np.nan, 5e-324, 1e308])
    with np.errstate(all="ignore"):
        np.testing.assert_array_equal(run_axpy(code["axpy_3"], x), 3.0 * x + 1.0)


def test_no_contraction(pool, tmp_path):
    """3x + 1 in one rounding differs from two at this x; exact numerics asks for two."""
    x = np.array([1 + 2.0**-52] * 16)
    image, text = compile_kernel(pool, tmp_path, axpy(1 + 2.0**-30), "axpy_fma")
    code = link(image, ["axpy_fma"])
    np.testing.assert_array_equal(run_axpy(code["axpy_fma"], x), (1 + 2.0**-30) * x + 1.0)
    assert "fast" not in text.replace("fastcc", "")


def test_one_symbol_and_no_python_or_numba_names(pool, tmp_path):
    image, text = compile_kernel(pool, tmp_path, axpy(2.0), "only_me")
    for name in (b"NRT_", b"numba", b"Py"):
        assert name not in image
    assert text.count("define ") == 1


def test_two_bodies_under_one_name_do_not_collide(pool, tmp_path):
    x = np.ones(4)
    for a in (2.0, 5.0):
        image, _ = compile_kernel(pool, tmp_path, axpy(a), f"axpy_{int(a)}")
        code = link(image, [f"axpy_{int(a)}"])
        np.testing.assert_array_equal(run_axpy(code[f"axpy_{int(a)}"], x), a * x + 1)


def test_same_source_gives_the_same_bytes(pool, tmp_path):
    source = axpy(7.0)
    assert compile_kernel(pool, tmp_path, source)[0] == compile_kernel(pool, tmp_path, source)[0]


def test_numba_helpers_are_linked_in(pool, tmp_path):
    """`carray` and `math.exp` come as separate Numba functions, with reference counts on null; all must vanish."""
    source = POINTERS + (
        "def kernel(frame, ops):\n"
        "    x = carray(doubles(frame[ops[0]]), (frame[ops[2]],))\n"
        "    y = carray(doubles(frame[ops[1]]), (frame[ops[2]],))\n"
        "    for i in range(x.shape[0]):\n"
        "        y[i] = math.exp(x[i])\n"
        "    return 0\n"
    )
    image, _ = compile_kernel(pool, tmp_path, source, "with_helpers")
    x = np.linspace(-3, 3, 37)
    code = link(image, ["with_helpers"])
    np.testing.assert_allclose(run_axpy(code["with_helpers"], x), np.exp(x), rtol=4e-16)


def test_alias_scopes_survive(pool, tmp_path):
    """Loads and stores in declared-disjoint scopes vectorize without run-time alias checks."""
    scoped = """
from numba import types
from numba.extending import intrinsic
import llvmlite.ir as ir


def scopes(module):
    domain = module.add_metadata([ir.MetaDataString(module, "kernel")])
    made = [module.add_metadata([ir.MetaDataString(module, name), domain]) for name in ("x", "y")]
    return [module.add_metadata([scope]) for scope in made]


def pointer(builder, args):
    return builder.gep(builder.inttoptr(args[0], ir.DoubleType().as_pointer()), [args[1]])


@intrinsic
def load(_, address, i):
    def codegen(context, builder, sig, args):
        value = builder.load(pointer(builder, args))
        x, y = scopes(builder.module)
        value.set_metadata("alias.scope", x)
        value.set_metadata("noalias", y)
        return value
    return types.float64(types.int64, types.int64), codegen


@intrinsic
def store(_, address, i, value):
    def codegen(context, builder, sig, args):
        done = builder.store(args[2], pointer(builder, args))
        x, y = scopes(builder.module)
        done.set_metadata("alias.scope", y)
        done.set_metadata("noalias", x)
        return context.get_dummy_value()
    return types.void(types.int64, types.int64, types.float64), codegen


def kernel(frame, ops):
    x, y, n = frame[ops[0]], frame[ops[1]], frame[ops[2]]
    for i in range(n):
        store(y, i, 2.0 * load(x, i) + 1.0)
    return 0
"""
    image, scoped_text = compile_kernel(pool, tmp_path, scoped, "scoped")
    _, plain_text = compile_kernel(pool, tmp_path, axpy(2.0), "unscoped")
    assert "diff.check" in plain_text  # so the absence below means something
    assert "diff.check" not in scoped_text
    assert "x double>" in scoped_text
    x = np.arange(37.0)
    code = link(image, ["scoped"])
    np.testing.assert_array_equal(run_axpy(code["scoped"], x), 2 * x + 1)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("print(frame[0])\n    return 0", "not self-contained"),
        ("return np.int64(np.zeros(frame[0]).sum())", "NRT_"),
        ("return undefined_name", "undefined_name"),
        ("return 'text'", "Cannot|cast|No conversion"),
        ("return frame[0] +", "SyntaxError"),
    ],
)
def test_refused(pool, tmp_path, body, reason):
    source = f"def kernel(frame, ops):\n    {body}\n"
    with pytest.raises(CompileError, match=reason) as error:
        compile_kernel(pool, tmp_path, source, "refused")
    assert "refused.py" in str(error.value)


def test_text_without_a_kernel_is_refused(pool, tmp_path):
    with pytest.raises(CompileError, match="def kernel"):
        compile_kernel(pool, tmp_path, "x = 1\n", "nothing")


def test_a_raise_becomes_a_status(pool, tmp_path):
    source = "def kernel(frame, ops):\n    if frame[8] > 0:\n        raise ValueError('no')\n    return 0\n"
    image, _ = compile_kernel(pool, tmp_path, source, "raises")
    code = link(image, ["raises"])
    frame = np.zeros(16, np.int64)
    assert call(code["raises"], frame) == Status.OK
    frame[8] = 1
    assert call(code["raises"], frame) == Status.KERNEL


def test_failure_status_of_a_kernel_comes_through(pool, tmp_path):
    image, _ = compile_kernel(pool, tmp_path, "def kernel(frame, ops):\n    return 5\n", "five")
    code = link(image, ["five"])
    assert call(code["five"], np.zeros(8, np.int64)) == 5
