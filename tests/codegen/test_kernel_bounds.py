"""Kernels touch nothing outside what their specs name: operands lie between pages that must not be touched, in a
forked child.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import signal
import sys

import numpy as np
import pytest

from specjit.codegen.kernels.reference import _number, _positions
from specjit.codegen.kernels.spec import GemmSpec, LoopSpec, PackSpec
from tests.codegen import test_gemm, test_loops
from tests.codegen.kernel_runs import RENDER
from tests.codegen.sources import call

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="page protection by libc's mprotect")

PAGE = mmap.PAGESIZE


def fenced(values: np.ndarray, at_end: bool) -> np.ndarray:
    """A copy that begins, or ends, where memory may be touched."""
    room = -(-max(values.nbytes, 1) // PAGE) * PAGE
    area = mmap.mmap(-1, room + 2 * PAGE)
    start = ctypes.addressof(ctypes.c_char.from_buffer(area))
    protect = ctypes.CDLL(None, use_errno=True).mprotect
    protect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    for fence in (start, start + PAGE + room):
        assert protect(fence, PAGE, 0) == 0
    offset = PAGE + (room - values.nbytes if at_end else 0)
    copy = np.frombuffer(area, values.dtype, values.size, offset)
    copy[...] = values
    return copy


def accesses(spec: object, operands: list) -> list:
    """Every (access, domain) of a spec."""
    number = lambda extents: tuple(_number(e, operands) for e in extents)  # noqa: E731
    if isinstance(spec, LoopSpec):
        domain = number(spec.domain)
        return [(x.access, domain) for x in (*spec.body, *spec.stores) if x.access is not None]
    if isinstance(spec, PackSpec):
        return [(spec.src, number((*spec.outer, spec.k, spec.chunks, spec.units)))]
    domain = number((*spec.outer, spec.rows, spec.units))
    found = [(x.access, domain) for x in (*spec.body, *spec.stores) if x.access is not None]
    return [*found, (spec.a, number((*spec.outer, spec.rows, spec.k)))]


def trimmed(spec: object, operands: list) -> list:
    """The operands without the elements at their ends that no access names."""
    used: dict[int, int] = {}
    for access, domain in accesses(spec, operands):
        at = _positions(access, domain, operands)
        used[access.base] = max(used.get(access.base, 0), int(at.max(initial=-1)) + 1)
    return [x[: used[i]] if i in used else x for i, x in enumerate(operands)]


def spec_and_operands(kind: str, seed: int) -> tuple[object, list]:
    if kind == "pointwise":
        return test_loops.pointwise(seed)[:2]
    if kind == "reduction":
        return test_loops.reduction(seed)[:2]
    if kind == "packing":
        return test_gemm.packing(seed)
    spec, operands = test_gemm.product(seed)
    assert isinstance(spec, GemmSpec)
    operands[spec.b] = operands[spec.b][:-3]  # the NaN after the panels
    return spec, operands


@pytest.mark.parametrize("kind", ["pointwise", "reduction", "product", "packing"])
def test_nothing_outside_the_operands_is_touched(library, kind):
    for seed in range(8):
        spec, operands = spec_and_operands(kind, seed)
        operands = trimmed(spec, operands)
        kernel = library.get(RENDER[type(spec)](spec))
        child = os.fork()
        if child == 0:
            signal.signal(signal.SIGSEGV, signal.SIG_DFL)
            for at_end in (False, True):
                held = [fenced(x, at_end) if isinstance(x, np.ndarray) else x for x in operands]
                frame = np.zeros(8 + len(held), np.int64)
                for i, x in enumerate(held):
                    frame[8 + i] = x.ctypes.data if isinstance(x, np.ndarray) else np.asarray(x).view(np.int64)
                if call(kernel.address, frame, *range(8, 8 + len(held))) != 0:
                    os._exit(9)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        assert status == 0, f"{kind} {seed}: {os.waitstatus_to_exitcode(status)} from\n{kernel.source}"
