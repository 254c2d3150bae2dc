"""Whether an item can be computed in a group, and where on its loops.

Enters: a group and an item. Leaves: the index map of the item's result, or None; a fitting may chunk or split the
group's loops.
Invariant: what an item reads of its own group is read where the group computes it.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable

from specjit.codegen.schedule.group import Group, axes_used
from specjit.codegen.schedule.index import KAPPA, Axis, Decoded, IMap, Index, decode, split_multiple
from specjit.codegen.schedule.items import Item, Map, Matmul, Reduce
from specjit.codegen.schedule.model import Source, View
from specjit.ir.dims import Size, divide, product

Setter = Callable[[int, Index], bool]


def fit_map(g: Group, item: Map) -> IMap | None:
    found = solve(g, [v for v in item.views() if v.source in g.maps], item.out.dims)
    if found is None:
        return None
    used = axes_used(found)
    full, rows = set(g.axes), set(g.outer)
    return found if used == full or (g.reduced and used == rows) else None


def fit_reduce(g: Group, item: Reduce) -> IMap | None:
    """A reduction over loops makes them the group's reduced ones; one over the chunks alone combines what is there."""
    found = solve(g, [item.arg], item.arg.dims)
    if found is None:
        return None
    reduced = axes_used(found[a] for a in item.axes)
    kept = tuple(i for d, i in enumerate(found) if d not in item.axes)
    chunks = any(KAPPA in found[a].keys for a in item.axes)
    if reduced & axes_used(kept) or (chunks and item.kind.startswith("arg")):
        return None
    if not reduced:
        covered = axes_used(kept)
        if covered != set(g.axes) and not (g.reduced and covered == set(g.outer)):
            return None
    elif g.product is not None or axes_used(found) != set(g.axes) or (g.reduced and set(g.reduced) != reduced):
        return None
    elif not g.reduced:
        g.reduced = tuple(a for a in g.axes if a in reduced)
        g.axes = [*g.outer, *g.reduced]
    g.maps[item] = found
    return kept


def solve(g: Group, views: list[View], dims: tuple[Size, ...]) -> IMap | None:
    """Indices of an array of `dims` over g's axes, such that every view of a member is read where the member is
    computed."""
    out: dict[int, Index] = {d: Index() for d, size in enumerate(dims) if size == 1}
    for view in views:
        if not solve_view(g, view, out):
            return None
    missing = [d for d in range(len(dims)) if d not in out]
    if missing:
        left = [a for a in g.reduced if not any(a in i.keys for i in out.values())]
        if len(left) != len(missing):
            return None
        for d, axis in zip(missing, left):
            found = solve_axis(g, axis, dims[d])
            if found is None:
                return None
            out[d] = found
    imap = tuple(out[d] for d in range(len(dims)))
    keys = [k for index in imap for k in index.keys]
    # Two dims along one loop would be its diagonal: x[:, None] < x[None, :] is no work of x's own loops.
    return imap if len(keys) == len(set(keys)) else None


def solve_axis(g: Group, axis: Axis, size: Size) -> Index | None:
    """A dim of `size` that runs over all of a reduced axis."""
    if size == axis.extent:
        return Index.of(axis)
    if g.chunk is not None and g.chunk[0] is axis and axis.extent * g.chunk[1] == size:
        return Index.of(axis).plus(Index.of(KAPPA, axis.extent))
    return None


def solve_view(g: Group, view: View, out: dict[int, Index]) -> bool:
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
            ((key, factor),) = e.terms
            assert isinstance(key, int)
            d = key
            size = view.ref.sizes[d]
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


def _split_of(g: Group, source: Source, p: int, e: Index, view: View, axes: list[Axis], set_to: Setter) -> bool:
    """One source dim seen as two dims of a reshape."""
    if len(e.terms) != 2 or e.offset != 0 or len(axes) != 1:
        return False
    (d2, one), (d1, width) = sorted(e.terms, key=lambda t: t[1] != 1)
    assert isinstance(d1, int)
    assert isinstance(d2, int)
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
    return all(v.source not in g.maps or _reads(g, v, mine) for v in item.views())


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


def compose(decoded: Decoded, reader: IMap, dims: tuple[Size, ...]) -> IMap | None:
    """Indices of a source's dims over the axes, for a reader that is at `reader` in a view of it."""
    along: dict[Hashable, Index] = dict(enumerate(reader))
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
