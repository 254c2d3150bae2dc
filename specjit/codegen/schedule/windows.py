"""Products whose right operand is a copy of windows: read where the windows lie, without the copy.

Enters: the right operand of a matrix product. Leaves: `Windows`, where it only copies windows that overlap.
Invariant: the element (batch..., k, unit) of the operand is the element of the windows' view with the same numbers in
row-major order.
Pays where the copy has more elements than the memory that it reads: a convolution's windows. What is only turned
round is better packed into panels, which are read in order.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from specjit.codegen.kernels import window
from specjit.codegen.schedule.items import Map
from specjit.codegen.schedule.model import View
from specjit.ir.dims import Size, product
from specjit.ir.viewref import ViewRef, contiguous_strides

Dims = list[tuple[Size, Size]]  # (size, stride)
Known = list[tuple[int, int]]


@dataclass(frozen=True)
class Windows:
    """`view` over (batch..., depths..., lines..., run): `batch` numbers the dims of the product that its first dims run
    along, `depths` are so many dims as k has."""

    view: View
    batch: tuple[int, ...]
    depths: int


def windows_of(right: View) -> Windows | None:
    """The windows that the right operand (batch..., k, units) of a product copies, if it had better not."""
    maker, ref = right.source.maker, right.ref
    if not isinstance(maker, Map) or not maker.is_copy or right.source.dtype not in ("f32", "f64"):
        return None
    copied = maker.operands[0]
    assert isinstance(copied, View)
    k, units = right.dims[-2:]
    if not isinstance(k, int) or not isinstance(units, int) or min(k, units) < 2 or not _all_in_order(right):
        return None
    rest = _dims(copied.ref)
    lines = _taken(rest, units)
    depths = _taken(rest, k)
    batch = tuple(d for d in range(ref.rank - 2) if ref.sizes[d] != 1)
    if not lines or not depths or [n for n, _ in rest] != [ref.sizes[d] for d in batch]:
        return None
    if lines[-1][1] != 1 or not _overlap([*depths, *lines]):
        return None
    *counts, run = (n for n, _ in lines)
    if window.refusal(right.source.dtype, tuple(n for n, _ in depths), tuple(counts), run):  # type: ignore[arg-type]
        return None
    dims: Dims = [*rest, *depths, *lines]
    view = copied.with_ref(ViewRef(tuple(n for n, _ in dims), tuple(s for _, s in dims), copied.ref.offset))
    return Windows(view, batch, len(depths))


def _all_in_order(right: View) -> bool:
    """Whether the operand is all of its source in row-major order."""
    kept, whole = _dims(right.ref), product(right.source.dims)
    expected = contiguous_strides([n for n, _ in kept])
    return right.ref.offset == 0 and [s for _, s in kept] == list(expected) and product([n for n, _ in kept]) == whole


def _dims(ref: ViewRef) -> Dims:
    """The dims of more than one element; none at all if they are not known."""
    known = [(n, s) for n, s in zip(ref.sizes, ref.strides) if n != 1 and n is not None and s is not None]
    return known if len(known) == sum(n != 1 for n in ref.sizes) else []


def _taken(rest: Dims, count: int) -> Known:
    """Take the last dims off that have `count` elements together, the first of them perhaps cut in two; none at all
    if there are no such dims."""
    taken: Known = []
    while count > 1:
        n, s = rest.pop() if rest else (None, None)
        if not isinstance(n, int) or not isinstance(s, int):
            return []
        if count % n:
            if n % count:
                return []
            rest.append((n // count, s * count))
            n = count
        taken.insert(0, (n, s))
        count //= n
    return taken


def _overlap(dims: Known) -> bool:
    """Whether there are more elements than places that they lie at."""
    places = 1 + sum((n - 1) * abs(s) for n, s in dims)
    return math.prod(n for n, _ in dims) > places
