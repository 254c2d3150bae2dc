"""Sums of matrix products that become one product with several segments.

    x @ w + bias + h @ u        ->        (x @ w (+) h @ u) + bias

Enters: the items of one block and who reads each source. Leaves: the same list, in which a product whose only use is
to be added to another product (perhaps after other additions) is a segment of that one; a note for every sum of two
products that stay two.
Invariant: terms that are no products are still added one by one, in their order. The sum of the products may run in
another order (DESIGN section 7): its error stays within that of the products, since no term is rounded at a greater
magnitude than before. A source that must be in memory, or that anything else reads, stays a source.
"""

from __future__ import annotations

from specjit.codegen.schedule.items import Item, Map, Matmul
from specjit.codegen.schedule.model import Source, View
from specjit.codegen.schedule.plan import Note
from specjit.ir.viewref import ViewRef

ADD = "{0} + {1}"
MAX_SEGMENTS = 4  # every segment is code in the kernel

Readers = dict[Source, list[Item]]


def join_products(items: list[Item], readers: Readers) -> list[Note]:
    """Join what can be joined in `items`, in place; `readers` is kept up to date. Why others are not joined."""
    refused: list[Note] = []
    for item in list(items):
        if isinstance(item, Map) and _adds(item) and not _join(items, item, readers):
            reason = _why_apart(items, item, readers)
            if reason:
                text = f"the two products of a sum stay two: {reason}"
                refused.append(Note("NOT_FUSED", text, ("matmul", "matmul"), (item.loc,) if item.loc else ()))
    return refused


def _adds(item: Item) -> bool:
    """Whether the item is a plain addition of two views of its own dtype."""
    if not isinstance(item, Map) or item.text != ADD:
        return False
    dtype = item.out.dtype
    return item.compute == dtype and all(isinstance(o, View) and o.source.dtype == dtype for o in item.operands)


def _join(items: list[Item], last: Map, readers: Readers) -> bool:
    for side in (1, 0):
        view, other = last.operands[side], last.operands[1 - side]
        assert isinstance(view, View)
        assert isinstance(other, View)
        second = _only_read(view, items, readers)
        if not isinstance(second, Matmul) or second.windows is not None or view.dims != last.out.dims:
            continue
        found = _product_in(other, view, items, readers)
        if found is None:
            continue
        first, path = found
        if 2 + len(first.more) + len(second.more) > MAX_SEGMENTS:
            continue
        for source in (v.source for v in second.views()):
            readers[source] = [first if r is second else r for r in readers[source]]
        del readers[second.out]
        first.more += [(second.a, second.b), *second.more]
        last.text, last.operands, last.casts = "", [other], [last.out.dtype]
        # The first product now needs what the second one did: it and the additions up to here wait until now.
        for moved in (first, second, *path):
            items.remove(moved)
        at = items.index(last)
        items[at:at] = [first, *path]
        return True
    return False


def _why_apart(items: list[Item], last: Map, readers: Readers) -> str:
    """The reason why a sum of two products is not one; "" where it is no such sum."""
    ways = [_behind(o, items) for o in last.operands if isinstance(o, View)]
    products = [way[-1].maker for way in ways if way]
    if len(products) < 2 or products[0] is products[1]:
        return ""
    first, second = products
    assert isinstance(first, Matmul)
    assert isinstance(second, Matmul)
    for source in (s for way in ways for s in way):
        if source.want is not None or len(readers.get(source, ())) != 1:
            return f"{source.hint or 'one'} is needed by itself, too"
    parts = 2 + len(first.more) + len(second.more)
    if parts > MAX_SEGMENTS:
        return f"{parts} parts are more than the {MAX_SEGMENTS} that a kernel has"
    return "they differ in size or layout"


def _behind(view: View, items: list[Item]) -> list[Source]:
    """The sources from a view back to a product, through additions and copies; empty if there is none."""
    maker = view.source.maker
    if maker not in items:
        return []
    if isinstance(maker, Matmul):
        return [view.source]
    if isinstance(maker, Map) and (_adds(maker) or maker.is_copy):
        for operand in maker.operands:
            found = _behind(operand, items) if isinstance(operand, View) else []
            if found:
                return [view.source, *found]
    return []


def _only_read(view: View, items: list[Item], readers: Readers) -> Item | None:
    """What makes the source, if it stands in `items` and nothing else reads or stores its result."""
    source = view.source
    alone = source.want is None and len(readers.get(source, ())) == 1
    return source.maker if alone and source.maker in items else None


def _product_in(view: View, like: View, items: list[Item], readers: Readers) -> tuple[Matmul, list[Map]] | None:
    """A product of the same dims that `view` is, or is the sum of with other things, and the additions on the way in
    program order."""
    maker = _only_read(view, items, readers)
    if isinstance(maker, Matmul):
        if maker.windows is not None:
            return None
        same = maker.out.dims == like.source.dims and maker.out.dtype == like.source.dtype
        return (maker, []) if same and view.ref == like.ref else None
    if not isinstance(maker, Map) or not (_adds(maker) or maker.is_copy):
        return None
    if view.ref != ViewRef.contiguous(maker.out.dims):
        return None
    for operand in maker.operands:
        assert isinstance(operand, View)
        if operand.dims != maker.out.dims:
            continue
        found = _product_in(operand, like, items, readers)
        if found is not None:
            return found[0], [*found[1], maker]
    return None
