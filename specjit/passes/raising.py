"""Which nodes may raise: a pass must neither remove such a node nor run it where the program would not.

Enters: nodes in typed form. Leaves: `may_raise(node, bounds)`.
Invariant: conservative: False only where the types prove that the node cannot fail in any run that the guards admit.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from specjit.ir.builder import abstract
from specjit.ir.dims import Dim, Poly, product, symbol
from specjit.ir.graph import Block, Graph, Node, Value
from specjit.ir.signature import find_op
from specjit.ir.structure import IF, LOOP, trip_dim
from specjit.ir.types import SCALAR_KINDS
from specjit.ir.viewref import ViewRef
from specjit.ops.records.lowering import Contraction, Creation, Pointwise, Reduction, Special, Viewing

Bounds = dict[Value, Dim]
DIVISIONS = ("/", "%", "fmod(")
EMPTY_REDUCTIONS = ("sum", "prod", "any", "all")  # those that have a value over no elements
SAFE_SPECIALS = (
    "cat",
    "flip",
    "stack",
    "uniform",
)  # their shapes are checked by infer; other specials look things up by data
# On numbers of one kind these always have a value; int and float together may overflow, and division may divide by
# zero.
SAFE_ARITHMETIC = ("py.add", "py.sub", "py.mul", "py.neg", "py.pos", "py.abs", "py.min", "py.max")


def loop_bounds(graph: Graph) -> Bounds:
    """The exclusive upper bound of every loop index."""
    return {n.blocks[0].params[0]: trip_dim(n) for n in graph.walk() if n.op is LOOP and n.blocks[0].params}


def may_raise(node: Node, bounds: Bounds) -> bool:
    if node.op is IF or node.op is LOOP or node.blocks:
        return any(_block_may_raise(b, bounds) for b in node.blocks)
    if not all(map(_typed, node.results)):
        return True
    lower = node.op.lower  # type: ignore[attr-defined]
    if isinstance(lower, Pointwise):
        if not all(_broadcasts(a, node.result) for a in node.args if a.type.is_tensor):
            return True
        # Integer division is the only elementwise work that can fail.
        floats = all(r.type.dtype is not None and r.type.dtype.is_floating_point for r in node.results)
        return not floats and any(mark in lower.text for mark in DIVISIONS)
    if isinstance(lower, Contraction):
        return not _multiplies(node)
    if isinstance(lower, Creation):
        return False
    if isinstance(lower, Reduction):
        return lower.kind not in EMPTY_REDUCTIONS and not _never_empty(node)
    if isinstance(lower, Special):
        return lower.name not in SAFE_SPECIALS and not _part_fits(node, bounds)
    if isinstance(lower, Viewing):
        return not _view_in_bounds(node, bounds)
    return _scalar_may_fail(node)


def _multiplies(node: Node) -> bool:
    """Whether a product's operands fit for all sizes: as many elements to sum, and batch sizes that broadcast; where
    the op takes matrices, or batches of them, nothing broadcasts."""
    a, b = (_dims(v) for v in node.args[:2])
    if None in (*a, *b) or a[-1] != b[-2 if len(b) > 1 else -1]:
        return False
    if node.op.name != "matmul":
        return a[:-2] == b[:-2]
    batch = (node.result.type.dims or ())[: max(len(a), len(b)) - 2]
    return all(d == w or d == 1 for x in (a, b) for d, w in zip(x[:-2][::-1], batch[::-1]))


def _never_empty(node: Node) -> bool:
    """Whether a reduction always has elements to combine."""
    dims, reduced = _dims(node.args[0]), reduced_dims(node)
    return all(isinstance(d, int) and d > 0 for d in (dims if reduced is None else [dims[k] for k in reduced]))


def _typed(value: Value) -> bool:
    t = value.type
    return not t.is_tensor or (t.dtype is not None and t.dims is not None and None not in t.dims)


def _block_may_raise(block: Block, bounds: Bounds) -> bool:
    return any(may_raise(n, bounds) for n in block.nodes)


def _dims(value: Value) -> tuple[Dim, ...]:
    return value.type.dims or (None,)


def _view_in_bounds(node: Node, bounds: Bounds) -> bool:
    """Whether the positions a view takes exist in every run. Where all sizes and positions are constants, infer
    checked them."""
    x = node.args[0]
    rule = VIEW_RULES.get(node.op.name)
    if rule is not None and x.type.dims is not None:
        return rule(node, x.type.dims, bounds)
    if not all(a.is_const for a in node.args[1:]) and not all(size_expression(a) is not None for a in node.args[1:]):
        return False
    if all(isinstance(d, int) for d in _dims(x)):
        return True
    # All elements stay, in whatever arrangement: nothing is looked up.
    return len(node.results) == 1 and product(_dims(x)) == product(_dims(node.result)) is not None


def _select_in_bounds(node: Node, dims: tuple[Dim, ...], bounds: Bounds) -> bool:
    return _inside(node.args[1], node.args[2], dims, bounds)


def _inside(axis: Value, index: Value, dims: tuple[Dim, ...], bounds: Bounds) -> bool:
    """Whether a tensor of these sizes has this position along `axis`."""
    if not axis.is_const:
        return False
    size = dims[axis.const]
    if bounds.get(index) is not None:
        return bounds[index] == size
    position = size_expression(index)
    if isinstance(position, int) and isinstance(size, int):
        return -size <= position < size
    return not_negative(position) and size is not None and not_negative(size - 1 - position)


def _part_fits(node: Node, bounds: Bounds) -> bool:
    """Whether a write into a part of a tensor finds the part, and content of its size."""
    view = {"select_scatter": "select", "slice_scatter": "slice"}.get(node.op.name)
    if view is None:
        return False
    x, part, *where = node.args
    there = find_op(view).infer(x.type, *map(abstract, where)).dims
    if there is None or None in there or there != part.type.dims:
        return False
    return view == "slice" or _inside(where[0], where[1], _dims(x), bounds)


def _narrow_in_bounds(node: Node, dims: tuple[Dim, ...], bounds: Bounds) -> bool:
    axis, start, length = (node.args[1], *map(size_expression, node.args[2:4]))
    if not axis.is_const or start is None or length is None:
        return False
    size = dims[axis.const]
    rest = None if size is None else size - start - length
    return not_negative(start) and not_negative(length) and not_negative(rest)


def _expand_fits(node: Node, dims: tuple[Dim, ...], bounds: Bounds) -> bool:
    return _broadcasts(node.args[0], node.result)


def _broadcasts(value: Value, result: Value) -> bool:
    """Whether a tensor broadcasts to the result's shape for all sizes."""
    return all(d == w or d == 1 for d, w in zip(_dims(value)[::-1], _dims(result)[::-1]))


def layout(*chain: Node) -> Any:
    """Where the result of views, one of the other, lies in the argument of the first, whose strides may be any; None
    where sizes are not known or a copy is needed."""
    sizes = chain[0].args[0].type.dims
    if sizes is None or None in sizes:
        return None
    ref: Any = ViewRef(sizes, tuple(symbol(f"stride{k}") for k in range(len(sizes))))
    for node in chain:
        if not isinstance(ref, ViewRef):
            return None
        ref = node.op.lower.fn(ref, *(abstract(a) for a in node.args[1:]))  # type: ignore[attr-defined]
    return ref


def _view_of_any_layout(node: Node, dims: tuple[Dim, ...], bounds: Bounds) -> bool:
    return isinstance(layout(node), ViewRef)


def _cut_of_known_size(node: Node, dims: tuple[Dim, ...], bounds: Bounds) -> bool:
    """Whether the dimension that is cut has a constant size: then infer checked the cut."""
    axis = node.args[dim_position(node)]
    return all(a.is_const for a in node.args[1:]) and isinstance(axis.const, int) and isinstance(dims[axis.const], int)


def _windows_fit(node: Node, dims: tuple[Dim, ...], bounds: Bounds) -> bool:
    """Whether a dimension is never shorter than a window of `unfold`."""
    axis, length = node.args[1], size_expression(node.args[2])
    if not axis.is_const or length is None or not dims:
        return False
    size = dims[axis.const]
    return size is not None and not_negative(size - length)


def _always_fits(node: Node, dims: tuple[Dim, ...], bounds: Bounds) -> bool:
    return True


VIEW_RULES: dict[str, Callable[[Node, tuple[Dim, ...], Bounds], bool]] = {
    "select": _select_in_bounds,
    "narrow": _narrow_in_bounds,
    "expand": _expand_fits,
    "view": _view_of_any_layout,
    "unfold": _windows_fit,
    "slice": _always_fits,  # positions are clipped
    "chunk": _cut_of_known_size,
    "split": _cut_of_known_size,
}


def size_expression(value: Value) -> Dim:
    """What is known of an int argument, as a size expression."""
    if value.is_const:
        return value.const if isinstance(value.const, int) else None
    return value.type.dim if value.type.kind == "int" else None


def not_negative(dim: Dim) -> bool:
    """Whether a size expression is at least 0 for all sizes."""
    if isinstance(dim, Poly):
        return all(c >= 0 for c in dim.terms.values())
    return dim is not None and dim >= 0


def selected_row(node: Node) -> tuple[Value, int, Value] | None:
    """(x, dimension, index) of `select(x, dim, index)` where the index is not a constant."""
    if node.op.name != "select" or node.args[0].type.dims is None or not node.args[1].is_const or node.args[2].is_const:
        return None
    return node.args[0], node.args[1].const % len(node.args[0].type.dims), node.args[2]


def _scalar_may_fail(node: Node) -> bool:
    """Comparisons and size arithmetic on numbers cannot fail, nor can the making of lists and tuples."""
    if node.op.name in ("py.list", "py.tuple"):
        return False
    if node.op.traits.view_of is not None or node.op.traits.io:
        return True
    if node.op.name in SAFE_ARITHMETIC and len({a.type.kind for a in node.args}) == 1:
        return node.args[0].type.kind not in ("int", "float", "bool")
    kinds = {r.type.kind for r in node.results}
    if kinds == {"bool"}:
        return not all(a.type.kind in SCALAR_KINDS for a in node.args)
    return kinds != {"int"} or any(r.type.dim is None for r in node.results)


def dim_position(node: Node) -> int:
    return next((i for i, p in enumerate(node.op.params) if p.name == "dim"), -1)


def reduced_dims(node: Node) -> list[int] | None:
    """The dimensions of the row that a reduction combines, as a list; None where they are not plainly known or the op
    takes one only."""
    rank, at = len(node.args[0].type.dims or ()), dim_position(node)
    if at < 0 or not node.args[at].is_const or not node.op.params[at].type.many:
        return None
    dims: Any = node.args[at].const
    if dims is None or dims == [] or not rank:
        return list(range(rank))
    return [d % rank for d in ([dims] if isinstance(dims, int) else dims)]
