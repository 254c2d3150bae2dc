"""Which nodes may raise: a pass must neither remove such a node nor run it where the program would not.

Enters: nodes in typed form. Leaves: `may_raise(node, bounds)`.
Invariant: conservative: False only where the types prove that the node cannot fail in any run that the guards admit.
"""

from __future__ import annotations

from specjit.ir.dims import Dim, Poly
from specjit.ir.graph import Block, Graph, Node, Value
from specjit.ir.structure import IF, LOOP, trip_dim
from specjit.ir.types import SCALAR_KINDS
from specjit.ops.lowering import Contraction, Creation, Pointwise, Reduction, Special, Viewing

Bounds = dict[Value, Dim]
EMPTY_REDUCTIONS = ("sum", "prod", "any", "all")  # those that have a value over no elements
SAFE_SPECIALS = ("cat", "stack")  # their shapes are checked by infer; other specials look things up by data
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
        # Integer division is the only elementwise work that can fail.
        floats = all(r.type.dtype is not None and r.type.dtype.is_floating_point for r in node.results)
        return not floats and any(mark in lower.text for mark in ("/", "%"))
    if isinstance(lower, Contraction | Creation):
        return False
    if isinstance(lower, Reduction):
        return lower.kind not in EMPTY_REDUCTIONS and any(isinstance(d, Poly) or d == 0 for d in _dims(node.args[0]))
    if isinstance(lower, Special):
        return lower.name not in SAFE_SPECIALS
    if isinstance(lower, Viewing):
        return not _view_in_bounds(node, bounds)
    return _scalar_may_fail(node)


def _typed(value: Value) -> bool:
    t = value.type
    return not t.is_tensor or (t.dtype is not None and t.dims is not None and None not in t.dims)


def _block_may_raise(block: Block, bounds: Bounds) -> bool:
    return any(may_raise(n, bounds) for n in block.nodes)


def _dims(value: Value) -> tuple[Dim, ...]:
    return value.type.dims or (None,)


def _view_in_bounds(node: Node, bounds: Bounds) -> bool:
    """Constant positions were checked by infer. A position known only at run time is safe if it is the index of a loop
    over that very dimension (`select(x, dim, i)`), or a size expression."""
    moving = [a for a in node.args[1:] if not a.is_const and not (a.type.kind == "int" and a.type.dim is not None)]
    if not moving:
        return True
    row = selected_row(node)
    return row is not None and bounds.get(row[2]) is not None and bounds[row[2]] == _dims(row[0])[row[1]]


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
