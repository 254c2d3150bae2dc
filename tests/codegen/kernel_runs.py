"""Running kernels in tests: frames made of arrays and numbers, outputs inside guard zones."""

from __future__ import annotations

import copy

import numpy as np

from specjit.codegen.kernels import draw, duet, gemm, loops, pack, pick, reference, scan, window
from specjit.codegen.kernels.spec import (
    DrawSpec,
    DuetSpec,
    GemmSpec,
    LoopSpec,
    PackSpec,
    PickSpec,
    ScanSpec,
    WindowSpec,
)
from specjit.codegen.loader import KernelLibrary
from tests.codegen.sources import call

GUARD = 24  # elements before and after what a kernel may write
GARBAGE = {"f": np.nan, "i": -77, "u": 77, "b": True}
RENDER = {
    LoopSpec: loops.render,
    GemmSpec: gemm.render,
    WindowSpec: window.render,
    DuetSpec: duet.render,
    PackSpec: pack.render,
    PickSpec: pick.render,
    DrawSpec: draw.render,
    ScanSpec: scan.render,
}


def run(library: KernelLibrary, source: str, *slots: object) -> int:
    """Call the kernel of `source` with operands: arrays (by address), integers, floats (by bits)."""
    kernel = library.get(source)
    frame = np.zeros(8 + len(slots), np.int64)
    for i, slot in enumerate(slots):
        if isinstance(slot, np.ndarray):
            frame[8 + i] = slot.ctypes.data
        elif isinstance(slot, float):
            frame[8 + i] = np.float64(slot).view(np.int64)
        else:
            frame[8 + i] = slot
    return call(kernel.address, frame, *range(8, 8 + len(slots)))


def garbage(count: int, dtype: object) -> np.ndarray:
    """An array that no right answer equals."""
    dtype = np.dtype(dtype)
    return np.full(count, GARBAGE[dtype.kind], dtype)


class Buffer:
    """An operand in the middle of its array, so that what lies around it can be checked."""

    def __init__(self, values: np.ndarray):
        edge = garbage(GUARD, values.dtype)
        self.whole = np.concatenate([edge, values.ravel(), edge])
        self.size = values.size

    @property
    def inside(self) -> np.ndarray:
        return self.whole[GUARD : GUARD + self.size]


def both(library: KernelLibrary, spec: object, operands: list) -> tuple[list, list]:
    """The operands after the kernel, and after the reference; checks that nothing outside them changed."""
    native = [Buffer(x) if isinstance(x, np.ndarray) else x for x in operands]
    expected = copy.deepcopy(operands)
    before = [x.whole.copy() if isinstance(x, Buffer) else None for x in native]
    source = RENDER[type(spec)](spec)
    status = run(library, source, *(x.inside if isinstance(x, Buffer) else x for x in native))
    assert status == reference.evaluate(spec, expected)
    for buffer, old in zip(native, before):
        if isinstance(buffer, Buffer):
            edges = np.r_[buffer.whole[:GUARD], buffer.whole[GUARD + buffer.size :]]
            kept = np.r_[old[:GUARD], old[GUARD + buffer.size :]]
            assert edges.tobytes() == kept.tobytes(), "wrote outside an operand"
    return [x.inside if isinstance(x, Buffer) else x for x in native], expected


def same_bits(a: np.ndarray, b: np.ndarray) -> bool:
    """Equal to the bit, but any NaN equals any NaN."""
    if a.dtype.kind != "f":
        return bool((a == b).all())
    nan = np.isnan(a) & np.isnan(b)
    return bool((nan | ((a == b) & (np.signbit(a) == np.signbit(b)))).all())


def ulps(result: np.ndarray, exact: np.ndarray) -> np.ndarray:
    """The distance from a wider evaluation, in units of the result type's last place; 0 where both are the same
    special.
    """
    dtype = result.dtype
    with np.errstate(all="ignore"):
        rounded = exact.astype(dtype)
        unit = np.spacing(np.abs(rounded)).astype(exact.dtype)
        error = np.abs(result.astype(exact.dtype) - exact) / unit
    special = ~np.isfinite(rounded) | ~np.isfinite(result)
    equal = (np.isnan(rounded) & np.isnan(result)) | (rounded == result)
    # the largest float and infinity are neighbours
    edge = np.isinf(rounded) & (np.abs(result) == np.finfo(dtype).max)
    edge |= np.isinf(result) & (np.abs(rounded) == np.finfo(dtype).max)
    return np.where(special, np.where(equal, 0.0, np.where(edge, 1.0, np.inf)), error).astype(np.float64)
