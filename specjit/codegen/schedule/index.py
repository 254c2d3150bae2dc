"""Affine index maps: how the elements of one array are reached from the axes of a loop nest.

Enters: views (`ir.viewref.ViewRef` over a row-major array) and the axes of a fused group.
Leaves: `Index` values, linear in their keys. Keys are loop axes, `KAPPA` (the chunk number of a chunked axis) or, for
a decoded view, the dimension numbers of the view.
Invariant: an index that is not affine is never approximated; decoding answers None and the value goes through memory.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass

from specjit.ir.dims import Poly, Size, divide
from specjit.ir.viewref import ViewRef, contiguous_strides


class Axis:
    """One loop of a group. Axes are compared by identity; the extent is never 1."""

    __slots__ = ("extent",)

    def __init__(self, extent: Size) -> None:
        self.extent = extent

    def __repr__(self) -> str:
        return f"<axis {self.extent}>"


class _Kappa:
    def __repr__(self) -> str:
        return "KAPPA"


KAPPA = _Kappa()


@dataclass(frozen=True)
class Index:
    """offset + sum(coefficient * key)."""

    offset: Size = 0
    terms: tuple[tuple[Hashable, Size], ...] = ()

    @staticmethod
    def of(key: Hashable, coefficient: Size = 1, offset: Size = 0) -> Index:
        return Index(offset, ((key, coefficient),))

    @property
    def keys(self) -> tuple[Hashable, ...]:
        return tuple(k for k, _ in self.terms)

    def plus(self, other: Index, factor: Size = 1) -> Index:
        coefficients = dict(self.terms)
        for key, c in other.terms:
            coefficients[key] = coefficients.get(key, 0) + c * factor
        kept = tuple(sorted(((k, c) for k, c in coefficients.items() if c != 0), key=lambda kc: id(kc[0])))
        return Index(self.offset + other.offset * factor, kept)

    def substitute(self, mapping: Mapping[Hashable, Index]) -> Index:
        """Replace keys that are in `mapping`; the others stay."""
        out = Index(self.offset)
        for key, c in self.terms:
            out = out.plus(mapping[key], c) if key in mapping else out.plus(Index.of(key), c)
        return out

    def coefficient(self, key: Hashable) -> Size:
        return dict(self.terms).get(key, 0)

    def single(self) -> Hashable | None:
        """The key k when this is exactly `k`."""
        return self.terms[0][0] if len(self.terms) == 1 and self.terms[0][1] == 1 and self.offset == 0 else None


IMap = tuple[Index, ...]


@dataclass(frozen=True)
class Decoded:
    """A view as an index map: source dim p is `dims[p]`, affine in the view's dimension numbers.

    `merged[d]` lists the source dims that view dim d runs over together, outermost first (a reshape that joins dims);
    their entries in `dims` are None.
    """

    dims: tuple[Index | None, ...]
    merged: tuple[tuple[int, tuple[int, ...]], ...] = ()


def decode(view: ViewRef, dims: Sequence[Size]) -> Decoded | None:
    """How `view`, over a row-major array of `dims`, reaches its elements; None if that is not affine or not known."""
    strides = contiguous_strides(dims)
    found: list[Index] = [Index() for _ in dims]
    merged: dict[int, tuple[int, ...]] = {}
    for d, (size, stride) in enumerate(zip(view.sizes, view.strides, strict=True)):
        if size is None or stride is None:
            return None
        if size == 1 or stride == 0:
            continue
        place = _dim_of(stride, size, dims, strides)
        if place is None:
            return None
        if isinstance(place, tuple):
            merged[d] = place
        else:
            p, factor = place.p, place.factor
            found[p] = found[p].plus(Index.of(d), factor)
    rest = view.offset
    if rest is None:
        return None
    for p, stride in enumerate(strides):
        if dims[p] == 1 or stride is None:
            continue
        quotient, rest = split_multiple(rest, stride)
        found[p] = found[p].plus(Index(quotient))
    if rest != 0:
        return None
    out: list[Index | None] = list(found)
    for places in merged.values():
        for p in places:
            if found[p] != Index():
                return None
            out[p] = None
    for p, index in enumerate(found):
        if index.terms and not _in_range(index, view, dims[p]):
            return None
    return Decoded(tuple(out), tuple(merged.items()))


@dataclass(frozen=True)
class _Place:
    p: int
    factor: Size


def _dim_of(
    stride: Size, size: Size, dims: Sequence[Size], strides: Sequence[object]
) -> _Place | tuple[int, ...] | None:
    """The source dim that a view dim of this stride walks along, or the dims it walks along together."""
    for p, unit in enumerate(strides):
        if dims[p] == 1 or unit is None:
            continue
        factor = divide(stride, unit)  # type: ignore[arg-type]
        if factor is None or factor * unit != stride:  # type: ignore[operator]
            continue
        if factor == 1 and size != dims[p]:
            total: Size = dims[p]
            for first in range(p - 1, -1, -1):
                total = total * dims[first]
                if total == size:
                    return tuple(q for q in range(first, p + 1) if dims[q] != 1)
        return _Place(p, factor)
    return None


def _in_range(index: Index, view: ViewRef, extent: Size) -> bool:
    """Whether an index stays inside its dim, so that the decoding is the only one. Unknown symbolic sizes must match
    exactly."""
    first: Size = index.offset
    last: Size = index.offset
    for d, c in index.terms:
        size = view.sizes[d]  # type: ignore[call-overload]
        if size is None:
            return False
        if at_least(-1 * c, 0):
            first = first + c * (size - 1)
        else:
            last = last + c * (size - 1)
    backwards = first != index.offset
    return at_least(extent - 1 - last, 0) and (not backwards or at_least(first, 0))


def split_multiple(value: Size, unit: Size) -> tuple[Size, Size]:
    """value = quotient * unit + rest, with as much as possible in the quotient; a constant rest is not negative."""
    if unit == 1:
        return value, 0
    if isinstance(value, int) and isinstance(unit, int):
        return (value // unit, value % unit) if unit > 0 else (0, value)
    terms = value.terms if isinstance(value, Poly) else {(): value}
    quotient: Size = 0
    rest: Size = 0
    for mono, coef in terms.items():
        term: Size = Poly({mono: coef}) if mono else coef
        if not mono and isinstance(unit, int) and unit > 0:
            quotient, rest = quotient + coef // unit, rest + coef % unit
            continue
        part = divide(term, unit)
        if part is not None and part * unit == term:
            quotient = quotient + part
        else:
            rest = rest + term
    return quotient, rest


def at_least(value: Size, low: Size) -> bool:
    """Whether `value >= low` is certain when every symbol is at least 0."""
    rest = value - low
    if isinstance(rest, int):
        return rest >= 0
    return all(c >= 0 for c in rest.terms.values())


def identity(view: ViewRef, dims: Sequence[Size]) -> bool:
    """Whether the view is the whole row-major array of `dims` in its own order, apart from dims of size 1."""
    mine = [(n, s) for n, s in zip(view.sizes, view.strides) if n != 1]
    whole = [(n, s) for n, s in zip(dims, contiguous_strides(dims)) if n != 1]
    return view.offset == 0 and mine == whole
