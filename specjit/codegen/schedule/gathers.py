"""Elements at run-time positions (embedding, index_select, gather, and embedding's gradient): rules for `special`
ops.

Enters: nodes of those ops. Leaves: `Pick` items.
Invariant: a position out of range leaves the region with INDEX, as eager raises.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from specjit.codegen.abi import Status
from specjit.codegen.schedule.items import Map, Pick
from specjit.codegen.schedule.model import Scalar, Source, View
from specjit.codegen.schedule.numbers import check_all
from specjit.ir.dims import Size
from specjit.ir.viewref import ViewRef, contiguous_strides

if TYPE_CHECKING:
    from specjit.codegen.schedule.build import Builder
    from specjit.ir.graph import Node


def _indices(b: Builder, view: View) -> View:
    if view.source.dtype not in ("i64", "i32", "i16", "i8", "u8"):
        raise b.fail(f"indices of dtype {view.source.dtype}")
    return view


def _looked_at(b: Builder, around: tuple[Size, ...]) -> None:
    """A position is checked where an element is picked: where the dims around it have none, eager has to check."""
    from specjit.codegen.schedule.index import at_least
    from specjit.codegen.schedule.tensors import numbers_check

    for size in around:
        if size == 0:
            raise b.fail("positions at which there are no elements")
        if not at_least(size, 1):
            b.add(numbers_check(b, size, 1))


def _spread(view: View, before: tuple[Size, ...], after: tuple[Size, ...]) -> View:
    """The view with broadcast dims around its own."""
    ref = view.ref
    sizes, strides = (*before, *ref.sizes, *after), (*(0 for _ in before), *ref.strides, *(0 for _ in after))
    return view.with_ref(ViewRef(sizes, strides, ref.offset))


def rows(b: Builder, node: Node, table: View, dim: int, index: View) -> View:
    """table with `dim` replaced by the dims of index."""
    from specjit.codegen.schedule.tensors import tensor_type

    dtype, dims = tensor_type(node.result.type, node.op.name)
    t = table.ref
    before, after = t.sizes[:dim], t.sizes[dim + 1 :]
    _looked_at(b, (*before, *after))  # type: ignore[arg-type]
    out = Source(dtype, (*before, *index.dims, *after), node.result.hint)  # type: ignore[arg-type]
    picked = ViewRef(out.dims, (*t.strides[:dim], *(0 for _ in index.dims), *t.strides[dim + 1 :]), t.offset)
    b.add(
        Pick(
            out=out,
            index=_spread(_indices(b, index), before, after),  # type: ignore[arg-type]
            source=table.with_ref(picked),
            out_ref=out.whole().ref,
            step=t.strides[dim],  # type: ignore[arg-type]
            count=t.sizes[dim],  # type: ignore[arg-type]
            gather=True,
        )
    )
    if out.dims != dims:
        raise b.fail(f"sizes {out.dims} where {dims} are expected")
    return out.whole()


def embedding(b: Builder, node: Node) -> View:
    return rows(b, node, b.tensor(node.args[0]), 0, b.tensor(node.args[1]))


def index_select(b: Builder, node: Node) -> View:
    table, index = b.tensor(node.args[0]), b.tensor(node.args[2])
    if table.ref.rank == 0 or index.ref.rank != 1:
        raise b.fail("only a vector of positions in a tensor with dims")
    dim = b.scalar(node.args[1]).value
    if not isinstance(dim, int):
        raise b.fail("the dimension is not constant")
    return rows(b, node, table, table.ref.axis(dim), index)


def gather(b: Builder, node: Node) -> View:
    from specjit.codegen.schedule.index import at_least
    from specjit.codegen.schedule.tensors import numbers_check, tensor_type

    table, index = b.tensor(node.args[0]), _indices(b, b.tensor(node.args[2]))
    dtype, dims = tensor_type(node.result.type, node.op.name)
    dim = b.scalar(node.args[1]).value
    t = table.ref
    if not isinstance(dim, int) or t.rank == 0 or index.ref.rank != t.rank:
        raise b.fail("a scalar operand, or a dimension that is not constant")
    axis = t.axis(dim)
    for d, (have, want) in enumerate(zip(t.sizes, dims)):
        if d != axis and have != want and not at_least(have - want, 0):  # type: ignore[operator]
            b.add(numbers_check(b, have - want, 0))  # type: ignore[operator]
    out = Source(dtype, dims, node.result.hint)
    picked = ViewRef(dims, tuple(0 if d == axis else s for d, s in enumerate(t.strides)), t.offset)
    b.add(
        Pick(
            out=out,
            index=index,
            source=table.with_ref(picked),
            out_ref=out.whole().ref,
            step=t.strides[axis],  # type: ignore[arg-type]
            count=t.sizes[axis],  # type: ignore[arg-type]
            gather=True,
        )
    )
    return out.whole()


def embedding_backward(b: Builder, node: Node) -> View:
    from specjit.codegen.schedule.tensors import tensor_type

    grad, index = b.tensor(node.args[0]), _indices(b, b.tensor(node.args[1]))
    padding = b.scalar(node.args[3]).value
    if not isinstance(padding, int) or padding >= 0:
        raise b.fail("a padding row")
    dtype, dims = tensor_type(node.result.type, node.op.name)
    if dtype not in ("f32", "f64") or grad.source.dtype != dtype:
        raise b.fail(f"sums of {dtype}")
    width = dims[1]
    if grad.dims != (*index.dims, width):
        raise b.fail(f"a gradient of sizes {grad.dims} for indices of {index.dims}")
    out = Source(dtype, dims, node.result.hint)
    strides = contiguous_strides(dims)
    b.add(
        Pick(
            out=out,
            index=_spread(index, (), (width,)),
            source=grad,
            out_ref=ViewRef((*index.dims, width), (*(0 for _ in index.dims), strides[1]), 0),
            step=strides[0],  # type: ignore[arg-type]
            count=dims[0],
            gather=False,
            wrap=True,
        )
    )
    return out.whole()


def start_of(view: View) -> View | float:
    """A view as the start of a sum: a number where it is one number everywhere."""
    maker = view.source.maker
    if (
        isinstance(maker, Map)
        and maker.text == ""
        and isinstance(maker.operands[0], Scalar)
        and maker.operands[0].is_const
    ):
        return float(maker.operands[0].value)  # type: ignore[arg-type]
    return view


def add_at(b: Builder, node: Node) -> View:
    """index_add and scatter_add: a copy of the first argument with values added at positions along one dim."""
    from specjit.codegen.schedule.index import at_least
    from specjit.codegen.schedule.tensors import numbers_check, tensor_type

    base, index = b.tensor(node.args[0]), _indices(b, b.tensor(node.args[2]))
    values = b.tensor(node.args[3])
    dtype, dims = tensor_type(node.result.type, node.op.name)
    dim = b.scalar(node.args[1]).value
    if not isinstance(dim, int) or not dims:
        raise b.fail("a scalar operand, or a dimension that is not constant")
    axis = base.ref.axis(dim)
    rows_only = node.op.name == "index_add"
    if rows_only and not (node.args[4].is_const and node.args[4].const == 1):
        raise b.fail("a factor of what is added")
    if {base.source.dtype, values.source.dtype} != {dtype} or dtype not in ("f32", "f64"):
        raise b.fail(f"sums of {dtype}")
    if index.ref.rank != (1 if rows_only else len(dims)) or values.ref.rank != len(dims):
        raise b.fail("operands of different rank")
    if rows_only:
        _looked_at(b, (*dims[:axis], *dims[axis + 1 :]))
        index = _spread(index, dims[:axis], dims[axis + 1 :])
    for d, want in enumerate(index.dims):
        limits = [values.dims[d]] if d == axis or rows_only else [values.dims[d], dims[d]]
        for have in limits:
            if have != want and not at_least(have - want, 0):
                b.add(numbers_check(b, have - want, 0))
    out = Source(dtype, dims, node.result.hint)
    strides = contiguous_strides(dims)
    b.add(
        Pick(
            out=out,
            index=index,
            source=values.with_ref(ViewRef(index.dims, values.ref.strides, values.ref.offset)),
            out_ref=ViewRef(index.dims, tuple(0 if d == axis else s for d, s in enumerate(strides))),
            step=strides[axis],  # type: ignore[arg-type]
            count=dims[axis],
            gather=False,
            wrap=rows_only,
            start=start_of(base),
        )
    )
    return out.whole()


def known_classes(b: Builder, node: Node) -> View:
    """Classes to look up, 0 where the target is ignored; leave the region if one does not exist."""
    target, classes, ignored = b.tensor(node.args[0]), b.scalar(node.args[1]), b.scalar(node.args[2])
    if target.source.dtype != "i64":
        raise b.fail(f"classes of dtype {target.source.dtype}")
    exists, out = Source("bool", target.dims), Source("i64", target.dims, node.result.hint)
    numbers: list[View | Scalar | int] = [target, ignored, Scalar("int", 0), classes]
    text = "({0} == {1}) | (({0} >= {2}) & ({0} < {3}))"
    b.add(Map(out=exists, text=text, operands=numbers, casts=["i64"] * 4, compute="i64"))
    check_all(b, exists, Status.INDEX)
    b.add(Map(out=out, text="select({0} == {1}, {2}, {0})", operands=numbers[:3], casts=["i64"] * 3, compute="i64"))
    return out.whole()


RULES: dict[str, Callable[[Builder, Node], Any]] = {
    "embedding": embedding,
    "index_select": index_select,
    "gather": gather,
    "embedding_backward": embedding_backward,
    "index_add": add_at,
    "scatter_add": add_at,
    "known_classes": known_classes,
}
