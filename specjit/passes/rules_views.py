"""Rows about where elements lie: views of views, sizes, and tensors put together and taken apart.

Enters: nothing. Leaves: `VIEWS`, `SIZES` and `JOINS`, rows for `passes.simplify`.
Invariant: a row moves no element to another place. What was fresh storage in row-major order stays that where its
layout can be seen: by the caller, and by `view`, which fails on some layouts (`passes.simplify.legal` sees to the
former; rows that replace storage by a view of unknown layout make a copy).
"""

from __future__ import annotations

from collections.abc import Sequence

from specjit.ir.dims import Poly
from specjit.ir.graph import Node, Value
from specjit.ops.records.lowering import Viewing
from specjit.passes.patterns import Match, Rule

# -- views ------------------------------------------------------------------------------------------------------------


def permuted(x: Value, order: list[int], m: Match) -> Value:
    return m.builder.call("permute", x, order)


def swap_to_permute(m: Match) -> Value | None:
    dims = m["x"].type.dims
    a, b = m.const("a"), m.const("b")
    if not dims or not isinstance(a, int) or not isinstance(b, int):
        return None
    order = list(range(len(dims)))
    order[a], order[b] = order[b], order[a]
    return permuted(m["x"], order, m)


def t_to_permute(m: Match) -> Value | None:
    dims = m["x"].type.dims
    return permuted(m["x"], [1, 0], m) if dims is not None and len(dims) == 2 else None


def compose_permutes(m: Match) -> Value | None:
    first, second = m.const("p"), m.const("q")
    if first is None or second is None:
        return None
    return permuted(m["x"], [first[k] % len(first) for k in second], m)


def reshape_again(m: Match) -> Value:
    """A reshape depends on the order of elements only, not on the shape it comes from."""
    return m.builder.call("reshape", m["x"], m["s"])


def expand_again(m: Match) -> Value | None:
    """Broadcasting twice is broadcasting to the second size; -1 keeps the size that x itself has."""
    wanted, have = m.node.result.type.dims, m["x"].type.dims
    if wanted is None or have is None:
        return None
    aligned = [None] * (len(wanted) - len(have)) + list(have)
    sizes = [w if isinstance(w, int) else -1 if w is not None and w == h else None for w, h in zip(wanted, aligned)]
    return None if None in sizes else m.builder.call("expand", m["x"], sizes)


ORDER = "both keep the order of elements"
VIEWS = (
    Rule("transpose(x, a, b)", swap_to_permute, "one spelling for all permutations of dimensions", view=True),
    Rule("t(x)", t_to_permute, "one spelling for all permutations of dimensions", view=True),
    Rule("permute(permute(x, p), q)", compose_permutes, "permutations compose", view=True),
    Rule("expand(expand(x, a), s)", expand_again, "what has size 1 is repeated, in one step or in two", view=True),
    Rule("reshape(reshape(x, a), s)", reshape_again, ORDER),
    Rule("reshape(unsqueeze(x, d), s)", reshape_again, ORDER),
    Rule("reshape(squeeze(x, d), s)", reshape_again, ORDER),
    Rule("reshape(flatten(x, a, b), s)", reshape_again, ORDER),
    Rule("reshape(contiguous(x), s)", reshape_again, ORDER),
)

# -- sizes ------------------------------------------------------------------------------------------------------------


def asked_of_the_source(m: Match) -> Value | None:
    """The size of what was computed is a size of what it was computed from, which may spare the computation."""
    size = m.node.result.type.dim
    if not isinstance(size, Poly):
        return None
    at = m["y"]
    while (found := _operand_with(at, size)) is not None:
        at = found
    if at is m["y"] or at.type.dims is None:
        return None
    return m.builder.call("size", at, at.type.dims.index(size))


def _operand_with(value: Value, size: Poly) -> Value | None:
    """A tensor that the node of `value` reads and that has this size somewhere."""
    if value.node is None or value.node.blocks:
        return None
    return next(
        (a for a in value.node.args if a.type.is_tensor and not a.is_const and size in (a.type.dims or ())), None
    )


SIZES = (Rule("size(y, k)", asked_of_the_source, "equal expressions over sizes are equal in every run"),)

# -- joins ------------------------------------------------------------------------------------------------------------


def items_of(listed: Value) -> list[Value] | None:
    """The items of a list that is built here."""
    node = listed.node
    return node.args if node is not None and node.op.name in ("py.list", "py.tuple") else None


def row_of_stack(m: Match) -> Value | None:
    items, index = items_of(m["l"]), m.const("k")
    if items is None or not isinstance(index, int) or not _same_axis(m["d"], m["e"], _rank(m.node.args[0])):
        return None
    return items[index] if -len(items) <= index < len(items) else None


def rows_of_stack(m: Match) -> Sequence[Value] | None:
    items = items_of(m["l"])
    same = items is not None and _same_axis(m["d"], m["e"], _rank(m.node.args[0]))
    return items if same else None


def parts_of_cat(m: Match) -> Sequence[Value] | None:
    """The parts that a concatenation is cut into, where the cuts are where the joints are."""
    items = items_of(m["l"])
    rank = _rank(m.node.args[0])
    if items is None or len(items) != len(m.node.results) or not _same_axis(m["d"], m["e"], rank):
        return None
    alike = all(i.type.dims is not None and i.type.dims == r.type.dims for i, r in zip(items, m.node.results))
    return items if alike and rank else None


def stack_of_all_rows(m: Match) -> Value | None:
    """All rows of x in order, side by side again: one copy."""
    items, to = items_of(m["l"]), m.const("d")
    if not items or not isinstance(to, int):
        return None
    source = _rows_in_order(items)
    if source is None:
        return None
    x, axis = source
    rank = _rank(x)
    order = [d for d in range(rank) if d != axis]
    order.insert(to % rank, axis)
    moved = x if order == list(range(rank)) else permuted(x, order, m)
    return m.builder.call("cat", [moved], 0)


def _rows_in_order(items: Sequence[Value]) -> tuple[Value, int] | None:
    """(x, dimension) where the items are all rows of x along that dimension."""
    found = [_row(v) for v in items]
    x, axis, _ = found[0] or (None, 0, 0)
    if x is None or x.type.dims is None or x.type.dims[axis] != len(items):
        return None
    wanted = [(x, axis, k) for k in range(len(items))]
    return (x, axis) if found == wanted else None


def _row(value: Value) -> tuple[Value, int, int] | None:
    """(x, dimension, position) of a value that is one row of x."""
    node = value.node
    if node is None or node.op.name not in ("select", "unbind") or not all(a.is_const for a in node.args[1:]):
        return None
    dims, axis = node.args[0].type.dims, node.args[1].const
    if not dims or not isinstance(dims[axis], int):
        return None
    position = node.results.index(value) if node.op.name == "unbind" else node.args[2].const % dims[axis]
    return node.args[0], axis % len(dims), position


def cat_of_all_parts(m: Match) -> Value | None:
    """All parts of x in order, end to end again: one copy."""
    items, axis = items_of(m["l"]), m.const("d")
    cut = items[0].node if items else None
    if not items or cut is None or len(items) < 2 or not isinstance(axis, int) or not _cuts(cut):
        return None
    x = cut.args[0]
    along = cut.args[2]
    if list(cut.results) != list(items) or not along.is_const or not _same_axis(along, m["d"], _rank(x)):
        return None
    return m.builder.call("cat", [x], axis)


def _cuts(node: Node) -> bool:
    """Whether a node cuts its argument along a dimension into parts that cover it."""
    return node.op.name in ("split", "chunk") and isinstance(node.op.lower, Viewing)  # type: ignore[attr-defined]


def _rank(value: Value) -> int:
    return len(value.type.dims or ())


def _same_axis(a: Value, b: Value, rank: int) -> bool:
    """Whether two constant dimension arguments of tensors of this rank mean the same."""
    given = [v.const for v in (a, b) if v.is_const and isinstance(v.const, int)]
    return len(given) == 2 and rank > 0 and given[0] % rank == given[1] % rank


JOINTS = "the cuts are where the joints are"
JOINS = (
    Rule("select(stack(l, d), e, k)", row_of_stack, "the row of a stack is what was stacked there"),
    Rule("unbind(stack(l, d), e)", rows_of_stack, "the rows of a stack are what was stacked"),
    Rule("chunk(cat(l, d), n, e)", parts_of_cat, JOINTS),
    Rule("split(cat(l, d), n, e)", parts_of_cat, JOINTS),
    Rule("stack(l, d)", stack_of_all_rows, "the rows are those of one tensor, in order"),
    Rule("cat(l, d)", cat_of_all_parts, "the parts are those of one tensor, in order"),
)
