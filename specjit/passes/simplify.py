"""Algebra and peepholes, as a table of rows.

Enters: any graph. Leaves: fewer or cheaper nodes. Every row says why both sides are equal bit for bit, NaN, infinities
and the sign of zero included; what holds for integers only says so.
Legality beyond the rows: the result keeps its type; nothing that may be written is looked through; a result that the
caller may get hold of stays the storage it was: fresh ones stay fresh; and gradients flow where they did (not through
`detach`).
"""

from __future__ import annotations

import math

from specjit.ir.dims import symbol
from specjit.ir.graph import Block, Graph, Node, Value
from specjit.ir.types import Type
from specjit.ir.viewref import ViewRef
from specjit.ops.lowering import Pointwise, Viewing
from specjit.passes.aliases import Aliases
from specjit.passes.manager import Context
from specjit.passes.patterns import Call, Match, Rule
from specjit.passes.raising import layout
from specjit.passes.rewrite import rewrite


def integer(m: Match) -> bool:
    dtype = m.node.result.type.dtype
    return dtype is not None and not dtype.is_floating_point


def floating(m: Match) -> bool:
    dtype = m.node.result.type.dtype
    return dtype is not None and dtype.is_floating_point


def one_dtype(m: Match) -> bool:
    """Whether every tensor of the match has the result's dtype, so that no cast lies between the two sides'
    roundings."""
    dtype = m.node.result.type.dtype
    return all(v.type.dtype is dtype for v in m.values.values() if v.type.is_tensor)


def power_of_two(m: Match) -> bool:
    """Whether c and 1/c are both exact in every float type."""
    c = m.const("c")
    if type(c) not in (int, float) or not floating(m) or not one_dtype(m) or c == 0 or not math.isfinite(c):
        return False
    mantissa, exponent = math.frexp(c)
    return abs(mantissa) == 0.5 and -10 < exponent < 10


def reciprocal(m: Match) -> Value:
    return m.builder.call("mul", m["x"], 1.0 / m.const("c"))


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


def same_dims(m: Match) -> Value | None:
    x = m["x"]
    known = x.type.dims is not None and None not in x.type.dims
    return x if known and x.type.dims == m.node.result.type.dims else None


def reshape_again(m: Match) -> Value:
    """A reshape depends on the order of elements only, not on the shape it comes from."""
    return m.builder.call("reshape", m["x"], m["s"])


def row_of_stack(m: Match) -> Value | None:
    """Row k of tensors stacked along the selected dimension is the k-th of them."""
    made, index = m["l"].node, m.const("k")
    if made is None or made.op.name != "py.list" or m.const("d") != m.const("e") or not isinstance(index, int):
        return None
    return made.args[index] if -len(made.args) <= index < len(made.args) else None


RULES = (
    Rule("mul(x, 1)", "x", "multiplying by one is exact, also for NaN and -0.0", commutes=True),
    Rule("div(x, 1)", "x", "dividing by one is exact"),
    Rule("pow(x, 1)", "x", "the first power is exact"),
    Rule("sub(x, 0)", "x", "x - (+0) is x, also for -0.0"),
    Rule("add(x, -0.0)", "x", "x + (-0.0) is x, also for -0.0 and +0.0", floating, commutes=True),
    Rule("add(x, 0)", "x", "integers have no sign of zero (-0.0 + 0 would be 0.0)", integer, commutes=True),
    Rule("mul(x, 0)", "zeros_like(x)", "integers have no NaN, infinity or sign of zero", integer, commutes=True),
    Rule("neg(neg(x))", "x", "the sign flips twice; integers wrap twice"),
    Rule("add(x, neg(y))", "sub(x, y)", "IEEE defines x - y as x + (-y)", one_dtype, commutes=True),
    Rule("sub(x, neg(y))", "add(x, y)", "IEEE defines x - y as x + (-y)", one_dtype),
    Rule("mul(neg(x), neg(y))", "mul(x, y)", "the signs cancel before rounding", one_dtype),
    Rule("abs(abs(x))", "abs(x)", "the sign is gone"),
    Rule("where(c, x, x)", "x", "both choices are the same value"),
    Rule(
        "div(x, c)",
        reciprocal,
        "the reciprocal of a power of two is exact, so both round one number",
        power_of_two,
    ),
    Rule("transpose(x, a, b)", swap_to_permute, "one spelling for all permutations of dimensions", view=True),
    Rule("t(x)", t_to_permute, "one spelling for all permutations of dimensions", view=True),
    Rule("permute(permute(x, p), q)", compose_permutes, "permutations compose", view=True),
    Rule("reshape(x, s)", same_dims, "the shape is the same", view=True),
    Rule("reshape(reshape(x, a), s)", reshape_again, "both keep the order of elements"),
    Rule("reshape(unsqueeze(x, d), s)", reshape_again, "both keep the order of elements"),
    Rule("select(stack(l, d), e, k)", row_of_stack, "the row of a stack is what was stacked there"),
    Rule("py.add(x, 0)", "x", "integers have no sign of zero", lambda m: m["x"].type.kind == "int", commutes=True),
    Rule("py.sub(x, 0)", "x", "integers have no sign of zero", lambda m: m["x"].type.kind == "int"),
    Rule("py.mul(x, 1)", "x", "exact for integers", lambda m: m["x"].type.kind == "int", commutes=True),
)


def run(graph: Graph, ctx: Context) -> None:
    aliases = Aliases(graph)
    outputs = set(graph.outputs)
    by_op: dict[str, list[Rule]] = {}
    for rule in RULES:
        assert isinstance(rule.tree, Call)
        by_op.setdefault(rule.tree.op, []).append(rule)

    def visit(node: Node, block: Block) -> list[Value] | None:
        if node.blocks or len(node.results) != 1 or any(aliases.written(v) for v in (*node.args, *node.results)):
            return None
        scratch = Block()
        builder = ctx.builder(scratch, node.loc)
        found = identity(node)
        if found is not None and not legal(node, found, node.op.traits.view_of is not None, aliases, outputs):
            found = None
        for rule in by_op.get(node.op.name, ()) if found is None else ():
            scratch.nodes.clear()
            found = rule.apply(node, builder)
            fresh_both = bool(scratch.nodes) and node.op.traits.view_of is None
            if found is not None and legal(node, found, rule.view or fresh_both, aliases, outputs):
                break
            found = None
        if found is None or not ctx.fire():
            return None
        block.nodes += scratch.nodes
        aliases.merge(node.result, found)
        return [found]

    rewrite(graph, visit)


def legal(node: Node, new: Value, alike: bool, aliases: Aliases, outputs: set[Value]) -> bool:
    """Whether `new` may take the place of the node's result: the same type, and storage the caller cannot tell apart.

    alike: both are fresh storage, or both are views of the same storage, in every run.
    """
    old = node.result
    if not same_type(old.type, new.type) or not records_alike(old.type, new.type):
        return False
    if not old.type.is_tensor or not aliases.escapes(old):
        return True
    # An output stays an object of its own, even where it views all of another value.
    return alike and not (old in outputs and (new in node.args or new.is_const))


def same_type(old: Type, new: Type) -> bool:
    if old.kind == "tensor":
        return new.kind == "tensor" and (old.dtype, old.dims) == (new.dtype, new.dims) and old.device == new.device
    return old.kind == new.kind


def records_alike(old: Type, new: Type) -> bool:
    """Whether gradients flow through both or neither. Unknown is like unknown only: a join may carry a gradient."""
    if not new.is_tensor or new.dtype is None or not new.dtype.is_floating_point:
        return True
    return old.requires_grad == new.requires_grad or (old.requires_grad, new.requires_grad) == (None, False)


def identity(node: Node) -> Value | None:
    """The argument that an op merely passes on: a view of everything as it was, or a copy or cast that changes no
    element."""
    lower = getattr(node.op, "lower", None)
    if isinstance(lower, Pointwise):
        return node.args[0] if lower.text == "{0}" else None
    if not isinstance(lower, Viewing) or node.op.traits.view_of != 0:
        return None
    found = layout(node)
    if not isinstance(found, ViewRef) or found.offset != 0 or found.sizes != node.args[0].type.dims:
        return None
    unmoved = all(n == 1 or s == symbol(f"stride{k}") for k, (n, s) in enumerate(zip(found.sizes, found.strides)))
    return node.args[0] if unmoved else None
