"""Which computations run in one kernel.

Enters: the items of one block. Leaves: `Group`s in an order in which they can run; each `Group` is one kernel or one
other item.
Invariant: every read of a group's own value goes through an index map that the kernel can follow (`index`), and no
group depends on
itself through another one. A group with a matrix product has exactly one; a group with reductions reduces over one
set of axes.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator

from specjit.codegen.schedule.index import KAPPA, Axis, IMap, Index, decode, split_multiple
from specjit.codegen.schedule.model import Item, Map, Matmul, Reduce, Reg, Source, View, estimate
from specjit.ir.dims import Size, divide, product

MAX_MEMBERS = 64
MAX_CHUNKS = 6
MIN_UNITS = 8


class Group:
    """A kernel in the making. `axes` are its loops, `reduced` those that reductions run over (innermost). `chunk` =
    (axis, n):
    a member whose map mentions KAPPA lives at n places, KAPPA = 0..n-1, of one point of the loops."""

    def __init__(self, order: int) -> None:
        self.order = order
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
                if s.want is not None and not isinstance(s.want.offset, int):
                    names |= s.want.offset.symbols()
        return names

    def chunked(self, axis: Axis, count: int, width: Size) -> bool:
        """Split `axis` into `count` chunks of `width` that are computed side by side; members over it become wide."""
        if self.chunk is not None:
            return self.chunk == (axis, count) and axis.extent == width
        if self.product is not None and (axis is not self.unit or not isinstance(width, int) or width < MIN_UNITS):
            return False
        if count > MAX_CHUNKS:
            return False
        if any(isinstance(i, Reduce) and i.kind.startswith("arg") for i in self.items) and axis in self.reduced:
            return False
        narrow = Axis(width)
        wide = {axis: Index.of(narrow).plus(Index.of(KAPPA, width))}
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
        new = {axis: Index.of(first, inner).plus(Index.of(second))}
        self.maps = {s: tuple(i.substitute(new) for i in m) for s, m in self.maps.items()}
        at = self.axes.index(axis)
        self.axes[at : at + 1] = [first, second]
        if axis in self.reduced:
            self.reduced = tuple(b for a in self.reduced for b in ((first, second) if a is axis else (a,)))


def axes_used(imap: Iterable[Index | None]) -> set[Axis]:
    return {k for i in imap if i is not None for k in i.keys if isinstance(k, Axis)}


class Fuser:
    """Assigns the items of one block to groups, in program order."""

    def __init__(self, items: list[Item]) -> None:
        self.groups: list[Group] = []
        self.of: dict[Source, Group] = {}
        self.reg_of: dict[str, Group] = {}
        for order, item in enumerate(items):
            self.place(item, order)

    # dependencies

    def inputs(self, g: Group) -> set[Group]:
        found = {self.of[v.source] for v in g.reads() if v.source in self.of}
        found |= {self.reg_of[name] for name in g.needs_regs() if name in self.reg_of}
        found.discard(g)
        return found

    def reaches(self, start: Iterable[Group], goal: Group) -> bool:
        """Whether one of `start` is, or depends on, `goal`."""
        stack, seen = list(start), set()
        while stack:
            g = stack.pop()
            if g is goal:
                return True
            if g not in seen:
                seen.add(g)
                stack.extend(self.inputs(g))
        return False

    # placing

    def place(self, item: Item, order: int) -> None:
        if isinstance(item, Map | Reduce):
            for candidate in self.candidates(item):
                joined = self.joined(candidate, item)
                if joined is not None:
                    joined.order = order
                    self.replace(candidate, joined)
                    self.merge_neighbours(joined, item)
                    return
        fresh = Group(order)
        fresh.items.append(item)
        if isinstance(item, Map):
            fresh.axes, imap = new_axes(item.out.dims)
            fresh.maps[item.out] = imap
        elif isinstance(item, Reduce):
            fresh.axes, imap = new_axes(item.arg.dims)
            fresh.reduced = tuple(sorted(axes_used(imap[a] for a in item.axes), key=fresh.axes.index))
            fresh.axes = [*fresh.outer, *fresh.reduced]
            fresh.maps[item] = imap
            fresh.maps[item.out] = tuple(i for d, i in enumerate(imap) if d not in item.axes)
        elif isinstance(item, Matmul):
            fresh.axes, imap = new_axes(item.out.dims)
            fresh.maps[item.out] = imap
            fresh.product = item
            unit = axes_used(imap[-1:])
            fresh.unit = unit.pop() if unit else None
        self.groups.append(fresh)
        self.register(fresh)

    def register(self, g: Group) -> None:
        for source in g.makes():
            self.of[source] = g
        for item in g.items:
            for reg in item.sets():
                self.reg_of[reg.name] = g

    def replace(self, old: Group, new: Group) -> None:
        self.groups[self.groups.index(old)] = new
        self.register(new)

    def candidates(self, item: Map | Reduce) -> list[Group]:
        """Groups whose values the item reads: first the biggest product, then reductions, then what was touched
        last."""
        found = {self.of[v.source] for v in item.views() if v.source in self.of and self.of[v.source].fusible}

        def rank(g: Group) -> tuple[int, int, int]:
            return (g.product is not None, g.product.flops() if g.product else len(g.reduced), g.order)

        return sorted(found, key=rank, reverse=True)

    def joined(self, g: Group, item: Map | Reduce) -> Group | None:
        """`g` with the item in it, or None if it does not fit."""
        if len(g.items) >= MAX_MEMBERS:
            return None
        others = {self.of[v.source] for v in item.views() if v.source in self.of} - {g}
        alone = Group(0)
        alone.items.append(item)
        others |= {self.reg_of[name] for name in alone.needs_regs() if name in self.reg_of}
        if self.reaches(others, g):
            return None
        out = g.copy()
        fitted = fit_map(out, item) if isinstance(item, Map) else fit_reduce(out, item)
        if fitted is None:
            return None
        out.items.append(item)
        out.maps[item.out] = fitted
        return out if consistent(out, item) else None

    def merge_neighbours(self, g: Group, item: Map | Reduce) -> None:
        """Take in the other groups that `item` reads, where one kernel can do it all."""
        if not isinstance(item, Map):
            return
        for other in self.candidates(item):
            if other is g or other.product is not None or len(other.items) + len(g.items) > MAX_MEMBERS:
                continue
            if other in self.inputs(g) and any(
                v.source in other.maps for i in g.items if i is not item for v in i.views()
            ):
                continue
            if self.reaches([h for h in self.inputs(g) if h is not other], other) or self.reaches(
                self.inputs(other), g
            ):
                continue
            merged = merge(g, other, item)
            if merged is None or not all(consistent(merged, i) for i in merged.items):
                continue
            merged.order = max(g.order, other.order)
            self.groups.remove(other)
            self.replace(g, merged)
            g = merged

    def ordered(self) -> list[Group]:
        """Groups after what they depend on, otherwise by their last item's place in the program."""
        waiting = {g: self.inputs(g) for g in self.groups}
        users: dict[Group, list[Group]] = {}
        for g, needed in waiting.items():
            for h in needed:
                users.setdefault(h, []).append(g)
        ready = [(g.order, i, g) for i, g in enumerate(self.groups) if not waiting[g]]
        heapq.heapify(ready)
        out: list[Group] = []
        number = {g: i for i, g in enumerate(self.groups)}
        while ready:
            _, _, g = heapq.heappop(ready)
            out.append(g)
            for user in users.get(g, ()):
                waiting[user].discard(g)
                if not waiting[user]:
                    heapq.heappush(ready, (user.order, number[user], user))
        if len(out) != len(self.groups):
            raise AssertionError("the groups of a block depend on each other in a circle")
        return out


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


# fitting an item into a group


def fit_map(g: Group, item: Map) -> IMap | None:
    found = solve(g, [v for v in item.views() if v.source in g.maps], item.out.dims)
    if found is None:
        return None
    used = axes_used(found)
    full, rows = set(g.axes), set(g.outer)
    return found if used == full or (g.reduced and used == rows) else None


def fit_reduce(g: Group, item: Reduce) -> IMap | None:
    if g.product is not None:
        return None
    found = solve(g, [item.arg], item.arg.dims)
    if found is None:
        return None
    reduced = axes_used(found[a] for a in item.axes)
    kept = tuple(i for d, i in enumerate(found) if d not in item.axes)
    if not reduced or reduced & axes_used(kept):
        return None
    if axes_used(found) != set(g.axes) or (g.reduced and set(g.reduced) != reduced):
        return None
    if not g.reduced:
        g.reduced = tuple(a for a in g.axes if a in reduced)
        g.axes = [*g.outer, *g.reduced]
    if item.kind.startswith("arg") and any(KAPPA in found[a].keys for a in item.axes):
        return None
    g.maps[item] = found
    return kept


def solve(g: Group, views: list[View], dims: tuple[Size, ...]) -> IMap | None:
    """Indices of an array of `dims` over g's axes, such that every view of a member is read where the member is
    computed."""
    out: dict[int, Index] = {d: Index() for d, size in enumerate(dims) if size == 1}
    for view in views:
        if not _solve_view(g, view, out):
            return None
    missing = [d for d in range(len(dims)) if d not in out]
    if missing:
        left = [a for a in g.reduced if not any(a in i.keys for i in out.values())]
        if len(left) != len(missing):
            return None
        for d, axis in zip(missing, left):
            found = _along(g, axis, dims[d])
            if found is None:
                return None
            out[d] = found
    return tuple(out[d] for d in range(len(dims)))


def _along(g: Group, axis: Axis, size: Size) -> Index | None:
    """A dim of `size` that runs over all of a reduced axis."""
    if size == axis.extent:
        return Index.of(axis)
    if g.chunk is not None and g.chunk[0] is axis and axis.extent * g.chunk[1] == size:
        return Index.of(axis).plus(Index.of(KAPPA, axis.extent))
    return None


def _solve_view(g: Group, view: View, out: dict[int, Index]) -> bool:
    source = view.source
    decoded = decode(view.ref, source.dims)
    if decoded is None:
        return False

    def set_to(d: int, index: Index) -> bool:
        return out.setdefault(d, index) == index

    for d, places in decoded.merged:
        index = Index()
        step: Size = 1
        for p in reversed(places):
            index = index.plus(g.maps[source][p], step)
            step = step * source.dims[p]
        if not set_to(d, index):
            return False
    for p, e in enumerate(decoded.dims):
        if e is None:
            continue
        m = g.maps[source][p]
        axes = [k for k in m.keys if isinstance(k, Axis)]
        if not e.terms:
            width = m.coefficient(KAPPA)
            if axes or (width == 0 and e != m):
                return False
            if width != 0 and divide(e.offset, width) is None:
                return False
        elif len(e.terms) == 1:
            (d, factor) = e.terms[0]
            size = view.ref.sizes[d]  # type: ignore[call-overload]
            if factor != 1:
                return False
            if size == source.dims[p] and e.offset == 0:
                if not set_to(d, m):
                    return False
            elif not _chunk_of(g, source, p, e.offset, size, axes) or not set_to(d, Index.of(g.chunk[0])):  # type: ignore[index]
                return False
        elif not _split_of(g, source, p, e, view, axes, set_to):
            return False
    return True


def _chunk_of(g: Group, source: Source, p: int, offset: Size, width: Size | None, axes: list[Axis]) -> bool:
    """Whether `offset .. offset+width` of source dim p is one of equal chunks; chunks the group if it is not yet."""
    count, k = divide(source.dims[p], width), divide(offset, width)
    if not isinstance(count, int) or not isinstance(k, int) or width is None or len(axes) != 1:
        return False
    if count * width != source.dims[p] or k * width != offset:
        return False
    return g.chunked(axes[0], count, width)


def _split_of(g: Group, source: Source, p: int, e: Index, view: View, axes: list[Axis], set_to) -> bool:  # type: ignore[no-untyped-def]
    """One source dim seen as two dims of a reshape."""
    if len(e.terms) != 2 or e.offset != 0 or len(axes) != 1:
        return False
    (d2, one), (d1, width) = sorted(e.terms, key=lambda t: t[1] != 1)
    n1, n2 = view.ref.sizes[d1], view.ref.sizes[d2]
    if one != 1 or width != n2 or n1 is None or n2 is None or n1 * n2 != source.dims[p]:
        return False
    axis = axes[0]
    whole = g.maps[source][p].single() is axis
    if axis is g.unit or not whole:
        if not isinstance(n1, int) or not g.chunked(axis, n1, n2):
            return False
        return set_to(d1, Index.of(KAPPA)) and set_to(d2, Index.of(g.chunk[0]))  # type: ignore[index]
    g.split(axis, n1, n2)
    m = g.maps[source][p]
    first, second = (k for k in sorted(m.keys, key=lambda k: m.coefficient(k) == 1))
    return bool(set_to(d1, Index.of(first)) and set_to(d2, Index.of(second)))


def consistent(g: Group, item: Item) -> bool:
    """Whether everything the item reads of its own group is computed at the point (or chunk) where it is read."""
    if isinstance(item, Matmul):
        return not any(v.source in g.maps for v in item.views())
    if isinstance(item, Reduce):
        return item.arg.source not in g.maps or _reads(g, item.arg, g.maps[item])
    assert isinstance(item, Map)
    mine = g.maps[item.out]
    for v in item.views():
        if v.source in g.maps and not _reads(g, v, mine):
            return False
    return True


def _reads(g: Group, view: View, reader: IMap) -> bool:
    decoded = decode(view.ref, view.source.dims)
    if decoded is None:
        return False
    where = compose(decoded, reader, view.source.dims)
    if where is None:
        return False
    count = g.chunk[1] if g.chunk else 1
    own = g.maps[view.source]
    if where == own:
        return True
    places = [tuple(i.substitute({KAPPA: Index(k)}) for i in own) for k in range(count)]
    return any(where == place for place in places)


def compose(decoded, reader: IMap, dims: tuple[Size, ...]) -> IMap | None:  # type: ignore[no-untyped-def]
    """Indices of a source's dims over the axes, for a reader that is at `reader` in a view of it."""
    along = dict(enumerate(reader))
    out: list[Index | None] = [None if e is None else e.substitute(along) for e in decoded.dims]
    for d, places in decoded.merged:
        rest = along[d]
        for p in places:
            step = product([dims[q] for q in places[places.index(p) + 1 :]])
            assert step is not None
            part = Index(split_multiple(rest.offset, step)[0])
            for key, c in rest.terms:
                share = divide(c, step)
                if share is not None and share * step == c:
                    part = part.plus(Index.of(key, share))
            rest = rest.plus(part, -1 * step)
            out[p] = part
        if rest != Index():
            return None
    return None if any(i is None for i in out) else tuple(i for i in out if i is not None)


def merge(g: Group, other: Group, item: Map) -> Group | None:
    """One group that does what both do; they meet in `item`, a member of g that reads values of both."""
    out, theirs = g.copy(), other.copy()
    shared = [v for v in item.views() if v.source in theirs.maps]
    mine = out.maps[item.out]
    there: dict[int, Index] = {}
    for v in shared:
        if not _solve_view(theirs, v, there):
            return None
    translation: dict[object, Index] = {}
    for d, index in there.items():
        target = mine[d]
        axes = [k for k in index.keys if isinstance(k, Axis)]
        if len(axes) != 1 or index.coefficient(axes[0]) != 1 or index.offset != 0:
            if index != target:
                return None
            continue
        axis = axes[0]
        if KAPPA in index.keys:
            if out.chunk is None and target.single() is not None:
                if theirs.chunk is None or not out.chunked(target.single(), theirs.chunk[1], axis.extent):  # type: ignore[arg-type]
                    return None
                mine = out.maps[item.out]
                target = mine[d]
            if target.coefficient(KAPPA) != index.coefficient(KAPPA) or out.chunk is None:
                return None
            translation[axis] = Index.of(out.chunk[0])
        elif translation.setdefault(axis, target) != target:
            return None
    left = [a for a in theirs.axes if a not in translation]
    if left:
        if tuple(left) != theirs.reduced or len(left) != len(out.reduced) or out.product is not None:
            return None
        for a, b in zip(left, out.reduced, strict=True):
            found = _along(out, b, a.extent)
            if found is None:
                return None
            translation[a] = found
    elif theirs.reduced or not _same_coverage(out, theirs, translation):
        return None
    if theirs.chunk is not None and out.chunk is None:
        chunk_axis = translation[theirs.chunk[0]].single()
        if not isinstance(chunk_axis, Axis):
            return None
        out.chunk = (chunk_axis, theirs.chunk[1])
    for source, imap in theirs.maps.items():
        out.maps[source] = tuple(i.substitute(translation) for i in imap)
    out.items = sorted([*theirs.items, *out.items], key=lambda i: _first_use(i, out, theirs))
    return out


def _first_use(item: Item, g: Group, other: Group) -> tuple[int, int]:
    """Producers before consumers: what the other group made comes first, `g` never feeds it."""
    return (0, other.items.index(item)) if item in other.items else (1, g.items.index(item))


def _same_coverage(g: Group, other: Group, translation: dict[object, Index]) -> bool:
    used = axes_used(translation[a] for a in other.axes)
    return used == set(g.axes) or (bool(g.reduced) and used == set(g.outer))


def weight(g: Group) -> int:
    """Work of a group in elementary operations."""
    points = estimate(product([a.extent for a in g.axes]))
    if g.product is not None:
        return g.product.flops() + points * len(g.items)
    return points * max(len(g.items), 1) * 2
