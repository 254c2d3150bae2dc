"""A kernel in the making: which items, over which loops, and where each value lives on them.

Enters: items, one at a time, from `fuse`. Leaves: `Group`s that `emit` turns into specs.
Invariant: `maps[s]` gives the index of every dim of member `s` over the loops (and KAPPA, in a chunked group).
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator

from specjit.codegen.schedule.index import KAPPA, Axis, IMap, Index
from specjit.codegen.schedule.items import Item, Matmul, Reduce
from specjit.codegen.schedule.model import Reg, Source, View, estimate
from specjit.ir.dims import Size, product

MAX_CHUNKS = 6
MIN_UNITS = 8


class Group:
    """A kernel in the making. `axes` are its loops, `reduced` those that reductions run over (innermost). `chunk` =
    (axis, n): a member whose map mentions KAPPA lives at n places, KAPPA = 0..n-1, of one point of the loops."""

    def __init__(self, order: int) -> None:
        self.order = order
        self.after: Group | None = None  # a check that must have let its reads through
        self.items: list[Item] = []
        self.maps: dict[Source | Reduce, IMap] = {}  # of a reduction: where its argument's dims run
        self.axes: list[Axis] = []
        self.reduced: tuple[Axis, ...] = ()
        self.chunk: tuple[Axis, int] | None = None
        self.product: Matmul | None = None
        self.unit: Axis | None = None

    def copy(self) -> Group:
        out = Group(self.order)
        out.items, out.maps, out.axes = list(self.items), dict(self.maps), list(self.axes)
        out.reduced, out.chunk, out.product, out.unit = self.reduced, self.chunk, self.product, self.unit
        out.after = self.after
        return out

    @property
    def fusible(self) -> bool:
        return bool(self.maps)

    @property
    def outer(self) -> list[Axis]:
        return [a for a in self.axes if a not in self.reduced]

    def makes(self) -> Iterator[Source]:
        return (s for item in self.items for s in item.makes())

    def reads(self) -> Iterator[View]:
        return (v for item in self.items for v in item.views())

    def needs_regs(self) -> set[str]:
        names: set[str] = set()
        for item in self.items:
            for size in item.sizes():
                if size is not None and not isinstance(size, int):
                    names |= size.symbols()
            for n in item.numbers():
                if isinstance(n.value, Reg):
                    names.add(n.value.name)
                elif not isinstance(n.value, int | float):
                    names |= n.value.symbols()
            for s in item.makes():
                place = s.want or s.home
                offset = 0 if place is None else place.resolved().offset
                if not isinstance(offset, int):
                    names |= offset.symbols()
        return names

    def chunked(self, axis: Axis, count: int, width: Size) -> bool:
        """Split `axis` into `count` chunks of `width` that are computed side by side; members over it become wide."""
        if self.chunk is not None:
            return self.chunk == (axis, count) and axis.extent == width
        if self.product is not None and self.product.windows is not None:
            return False  # a unit's place in memory is not a number times a stride
        if self.product is not None and (axis is not self.unit or not isinstance(width, int) or width < MIN_UNITS):
            return False
        if count > MAX_CHUNKS:
            return False
        if any(isinstance(i, Reduce) and i.kind.startswith("arg") for i in self.items) and axis in self.reduced:
            return False
        narrow = Axis(width)
        wide: dict[Hashable, Index] = {axis: Index.of(narrow).plus(Index.of(KAPPA, width))}
        self.maps = {s: tuple(i.substitute(wide) for i in m) for s, m in self.maps.items()}
        self.axes = [narrow if a is axis else a for a in self.axes]
        self.reduced = tuple(narrow if a is axis else a for a in self.reduced)
        self.chunk = (narrow, count)
        if self.unit is axis:
            self.unit = narrow
        return True

    def split(self, axis: Axis, outer: Size, inner: Size) -> None:
        """Replace one loop by two; every index over it becomes inner * first + second."""
        first, second = Axis(outer), Axis(inner)
        new: dict[Hashable, Index] = {axis: Index.of(first, inner).plus(Index.of(second))}
        self.maps = {s: tuple(i.substitute(new) for i in m) for s, m in self.maps.items()}
        at = self.axes.index(axis)
        self.axes[at : at + 1] = [first, second]
        if axis in self.reduced:
            self.reduced = tuple(b for a in self.reduced for b in ((first, second) if a is axis else (a,)))


def axes_used(imap: Iterable[Index | None]) -> set[Axis]:
    return {k for i in imap if i is not None for k in i.keys if isinstance(k, Axis)}


def new_axes(dims: Iterable[Size]) -> tuple[list[Axis], IMap]:
    axes: list[Axis] = []
    imap: list[Index] = []
    for d in dims:
        if d == 1:
            imap.append(Index())
        else:
            axes.append(Axis(d))
            imap.append(Index.of(axes[-1]))
    return axes, tuple(imap)


def weight(g: Group) -> int:
    """Work of a group in elementary operations."""
    points = estimate(product([a.extent for a in g.axes]))
    if g.product is not None:
        return g.product.flops() + points * len(g.items)
    return points * max(len(g.items), 1) * 2
