"""Kernels as plain Python, for tests of everything around them: nothing compiles, the rest of a call is the real one.

Enters: the plans that Programs make within `plain_kernels()`. Leaves: kernels whose addresses call the reference
evaluator of their spec.
Invariant: guards, frames, the memory plan, the machine and the outputs are those of native code; only what a kernel
computes is done in NumPy.
"""

from __future__ import annotations

import contextlib
import ctypes
from collections.abc import Iterable, Iterator
from typing import Any
from unittest import mock

import numpy as np

from specjit.codegen import loader
from specjit.codegen.kernels import reference
from specjit.codegen.machine.instructions import bits_float
from specjit.codegen.schedule import render
from specjit.codegen.schedule.interp import DTYPES, Elements, _insts, operand_dtypes
from specjit.codegen.vectors.lanes import ITEMSIZE

SIGNATURE = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_int64, ctypes.c_int64)
REACH = 1 << 34  # bytes on each side of an address that a kernel may touch
FAILED = 8  # Status.KERNEL


def _word(address: int) -> int:
    return ctypes.c_int64.from_address(address).value


def _memory(address: int, dtype: str) -> Elements:
    """The memory around an address, seen from there."""
    item = ITEMSIZE[dtype]
    before = min(address, REACH) // item
    raw = (ctypes.c_char * (2 * REACH)).from_address(address - before * item)
    return Elements(np.frombuffer(raw, DTYPES[dtype]), before)


class _Operands:
    """The operands of one kernel call, read from its frame when they are asked for."""

    def __init__(self, kernel: PlainKernel, frame: int, ops: int) -> None:
        self.kernel, self.frame, self.ops = kernel, frame, ops

    def __getitem__(self, k: int) -> Any:
        word = _word(self.frame + 8 * _word(self.ops + 8 * k))
        if k in self.kernel.dtypes:
            return _memory(word, self.kernel.dtypes[k])
        return bits_float(word) if self.kernel.numbers.get(k) in ("f32", "f64") else word


class PlainKernel:
    """What a loaded kernel is to its callers."""

    cached, seconds, llvm, image, symbol = True, 0.0, "", b"", "plain"

    def __init__(self, spec: Any, source: str, hint: str) -> None:
        self.spec, self.source, self.hint, self.key = spec, source, hint, hint
        self.dtypes = operand_dtypes(spec)
        self.numbers = {i.operand: i.dtype for i in _insts(spec) if i.kind == "scalar"}
        self._native = SIGNATURE(self._run)
        self.address = ctypes.cast(self._native, ctypes.c_void_p).value

    def _run(self, frame: int, ops: int) -> int:
        try:
            return reference.evaluate(self.spec, _Operands(self, frame, ops))  # type: ignore[arg-type]
        except Exception as error:
            FAILURES.append(error)
            return FAILED


FAILURES: list[Exception] = []  # of the evaluator: a test fails on them, the region would run generically


class _Library:
    """The process's library, but for the kernels of regions."""

    def __init__(self, real: loader.KernelLibrary, specs: dict[str, Any]) -> None:
        self.real, self.specs = real, specs

    def __getattr__(self, name: str) -> Any:
        return getattr(self.real, name)

    def get_many(self, kernels: Iterable[tuple[str, str]]) -> list[PlainKernel]:
        return [PlainKernel(self.specs[source], source, hint) for source, hint in kernels]


@contextlib.contextmanager
def plain_kernels() -> Iterator[None]:
    """Programs that specialize in this block get kernels in Python."""
    specs: dict[str, Any] = {}
    real, write = loader.library(), render.render

    def remember(spec: Any) -> str:
        source = write(spec)
        specs[source] = spec
        return source

    FAILURES.clear()
    with (
        mock.patch.object(loader, "library", return_value=_Library(real, specs)),
        mock.patch.object(render, "render", remember),
    ):
        yield
    if FAILURES:
        raise FAILURES[0]
