"""New arrays, and arrays put together from parts.

Enters: nodes of creation ops, cat, stack, and the gradients of select and slice. Leaves: `Map` items that write into
one array, and the `Part` that says when it is complete.
Invariant: the parts cover the whole array, each element once.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from specjit.codegen.schedule.control_items import claim
from specjit.codegen.schedule.items import Loop, Map, Part, Scan
from specjit.codegen.schedule.model import Home, Scalar, Source, Storage, View
from specjit.codegen.schedule.tensors import (
    arg_type,
    argument,
    check_part,
    checked_index,
    constant,
    full,
    pointwise_cast,
    tensor_type,
)
from specjit.ir.dims import Size, divide, product
from specjit.ir.graph import Node, Value
from specjit.ir.types import Type
from specjit.ir.viewref import ViewRef, contiguous_strides
from specjit.ops.records import lowering

if TYPE_CHECKING:
    from specjit.codegen.schedule.build import Builder


def creation(b: Builder, n: Node, lower: lowering.Creation) -> View:
    dtype, dims = tensor_type(n.result.type, n.op.name)
    if lower.kind == "arange":
        start = argument(n, "start")
        step = argument(n, "step")
        first = Scalar("int", 0) if start is None else b.scalar(start)
        by = Scalar("int", 1) if step is None else b.scalar(step)
        compute = "f64" if "float" in (first.kind, by.kind) else "i64"
        out = Source(compute, dims, n.result.hint)
        b.add(Map(out=out, text="{0} + {1} * {2}", operands=[first, 0, by], casts=[compute] * 3, compute=compute))
        return out.whole() if compute == dtype else pointwise_cast(b, out.whole(), dtype)
    value = argument(n, "fill_value")
    filled = b.scalar(value) if value is not None else Scalar("int", 1 if n.op.name.startswith("ones") else 0)
    return full(b, dtype, dims, filled)


def cumsum(b: Builder, n: Node) -> View:
    arg = b.tensor(n.args[0])
    dtype, dims = tensor_type(n.result.type, n.op.name)
    if arg.source.dtype != dtype:
        arg = pointwise_cast(b, arg, dtype)
    if not dims:
        return b.copy(arg).whole()
    out = Source(dtype, dims, n.result.hint)
    b.add(Scan(out=out, arg=arg, axis=arg.ref.axis(int(constant(b, n, "dim")))))
    return out.whole()


def flip(b: Builder, n: Node) -> View:
    """A copy that reads backwards."""
    base = b.tensor(n.args[0])
    dims = constant(b, n, "dims")
    ref = base.ref
    for dim in [dims] if isinstance(dims, int) else dims:
        ref = ref.flip(dim)
    return b.copy(base.with_ref(ref)).whole()


def cat(b: Builder, n: Node) -> View:
    items = [_item(b, f) for f in _items(b, n.args[0])]
    dtype, dims = tensor_type(n.result.type, n.op.name)
    dim = ViewRef.contiguous(dims).axis(int(constant(b, n, "dim", 0)))
    return join(b, [i for i in items if i.dims != (0,) or len(dims) == 1], dtype, dims, dim)


def stack(b: Builder, n: Node) -> View:
    items = [_item(b, f) for f in _items(b, n.args[0])]
    dtype, dims = tensor_type(n.result.type, n.op.name)
    dim = ViewRef.contiguous(dims).axis(int(constant(b, n, "dim", 0)))
    return join(b, [i.with_ref(i.ref.unsqueeze(dim)) for i in items], dtype, dims, dim)


def _items(b: Builder, value: Value) -> list[Any]:
    found = b.get(value)
    if not isinstance(found, list):
        raise b.fail("the list is not known")
    return found


def _item(b: Builder, found: Any) -> View:
    if not isinstance(found, View):
        raise b.fail("an item of the list is not a tensor")
    return found


def join(
    b: Builder, items: list[View], dtype: str, dims: tuple[Size, ...], dim: int, base: Source | None = None
) -> View:
    """Concatenate along `dim`: every item is stored into its slice of one array. What a loop stacks, and what is itself
    put together from parts, is made there in the first place, if its slice is in one piece. base: what the whole is,
    but for some of the items."""
    for item in items:
        if len(item.dims) != len(dims) or any(x != y for d, (x, y) in enumerate(zip(item.dims, dims)) if d != dim):
            raise b.fail(f"an item of sizes {item.dims} in {dims}")
    elements = product(dims)
    assert elements is not None
    fixed = all(i.source in b.fixed for i in items) and all(isinstance(d, int) for i in items for d in i.dims)
    block = b.prologue if fixed else b.block
    storage = Storage("packed" if fixed else "temp", dtype, elements)
    out = Source(dtype, dims, "")
    out.home = Home(storage)
    strides = contiguous_strides(dims)
    in_one_piece = not fixed and all(d == 1 for d in dims[:dim])
    at: Size = 0
    for item in items:
        offset: Size = at * strides[dim]  # type: ignore[operator]
        at = at + item.dims[dim]
        ready = in_one_piece and _whole_in_memory(item, dtype) and _known_before(b, offset, item.source)
        if ready and claim(b.block, item, Home(storage, offset)):
            out.parts.append(item.source)
            item.source.within = out
            continue
        part = Source(dtype, item.dims)
        part.want = Home(storage, offset, strides)  # type: ignore[arg-type]
        copy = Map(out=part, text="", operands=[item], casts=[dtype], compute=dtype)
        b.in_block(block, lambda copy=copy: b.add(copy, here=True))  # type: ignore[misc]
        out.parts.append(part)
    b.in_block(block, lambda: b.add(Part(out=out, base=base), here=True))
    if fixed:
        b.fixed.add(out)
        b.packed.append(storage)
    return out.whole()


def _whole_in_memory(item: View, dtype: str) -> bool:
    """Whether an item is what a loop stacks, or is itself put together from parts, in the dtype asked for: it is stored
    as a whole, wherever that is."""
    source, maker = item.source, item.source.maker
    stacked = isinstance(maker, Loop) and source in maker.stacked
    return source.dtype == dtype and (stacked or isinstance(maker, Part))


def _known_before(b: Builder, offset: Size, source: Source) -> bool:
    """Whether a place is known before what makes the source runs: it may have been computed from that."""
    names = set() if isinstance(offset, int) else offset.symbols()
    if not names:
        return True
    makers = {source.maker, *(part.maker for part in source.parts)}
    items = b.block.items
    first = min((k for k, item in enumerate(items) if item in makers), default=0)
    return not any(reg.name in names for item in items[first:] for reg in item.sets())


def inverse_of_part(b: Builder, n: Node) -> View:
    """Zeros of a size, with the argument in one slice (the gradient of slice) or at one position (of select)."""
    dtype, dims = tensor_type(n.result.type, n.op.name)

    def zeros(dim: int, first: Size, extent: Size) -> View:
        return full(b, dtype, (*dims[:dim], extent, *dims[dim + 1 :]), Scalar("int", 0))

    return _around(b, n, b.tensor(n.args[0]), n.args[3:], n.op.name == "select_backward", zeros)


def part_written(b: Builder, n: Node) -> View:
    """A tensor with other content in one slice or at one position."""
    base = b.tensor(n.args[0])

    def kept(dim: int, first: Size, extent: Size) -> View:
        return base.with_ref(base.ref.narrow(dim, first, extent))

    return _around(b, n, b.tensor(n.args[1]), n.args[3:], n.op.name == "select_scatter", kept, base.source)


def _around(
    b: Builder,
    n: Node,
    part: View,
    where: list[Value],
    one: bool,
    rest: Callable[[int, Size, Size], View],
    base: Source | None = None,
) -> View:
    """`part` at the position (`one`) or in the slice of the result's dimension that `where` says, and around it what
    `rest(dim, first, extent)` gives."""
    dtype, dims = tensor_type(n.result.type, n.op.name)
    dim = ViewRef.contiguous(dims).axis(int(constant(b, n, "dim")))
    if one:
        at = checked_index(b, arg_type(b, where[0]), dims[dim])
        first: Any = at.dim if isinstance(at, Type) else at + dims[dim] if isinstance(at, int) and at < 0 else at
        part = part.with_ref(part.ref.unsqueeze(dim))
    else:
        if constant(b, n, "step") != 1:
            raise b.fail("a step other than 1")
        whole = ViewRef.contiguous(dims)
        found = slice_of(whole, dim, arg_type(b, where[0]), arg_type(b, where[1]))
        check_part(b, whole, found, dim, 1)
        if found.sizes != part.dims:
            raise b.fail(f"a slice of sizes {found.sizes} where {part.dims} are given")
        first = divide(found.offset, whole.strides[dim])
    after = first + part.dims[dim]
    parts = [part]
    for position, start, extent in ((0, 0, first), (2, after, dims[dim] - after)):
        if extent != 0:
            parts.insert(position, rest(dim, start, extent))
    return join(b, parts, dtype, dims, dim, base)


def slice_of(ref: ViewRef, dim: int, start: Any, end: Any) -> ViewRef:
    """`ref[start:end]` along dim, by the rule of the slice op."""
    from specjit.ops.records.registry import get

    lower = get("slice").lower
    assert isinstance(lower, lowering.Viewing)
    found = lower.fn(ref, dim, start, end, 1)
    assert isinstance(found, ViewRef)
    return found
