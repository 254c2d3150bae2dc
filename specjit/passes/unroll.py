"""Unrolling: a loop of few turns becomes its turns, one after the other, where that pays.

    for k in range(3): y = y + x[k] * w[k]    ->    y + x[0] * w[0] + x[1] * w[1] + x[2] * w[2]

Enters: any graph. Leaves: no loop of a constant number of turns that `why_not` has nothing against; in its turns the
index is a number, which other passes fold.
Legality: every turn runs, in order; nothing but the trip count ends the loop.
"""

from __future__ import annotations

from collections.abc import Iterator

from specjit.ir.graph import Block, Graph, Node, Value, copy_block
from specjit.ir.structure import IF, LOOP, effects
from specjit.ops.records.lowering import Contraction, Creation, Pointwise, Viewing
from specjit.passes.aliases import Aliases
from specjit.passes.autodiff.cost import SCALARS, calls_functions
from specjit.passes.concat import parameter_values
from specjit.passes.manager import Context
from specjit.passes.raising import selected_row
from specjit.passes.rewrite import rewrite, splice
from specjit.passes.rows import Loop

MAX_NODES = 64  # of all turns together; what they are fused to is compiled in well under a second


def run(graph: Graph, ctx: Context) -> None:
    fixed = parameter_values(graph, Aliases(graph))

    def visit(node: Node, block: Block) -> list[Value] | None:
        if node.op is not LOOP or not (loop := Loop(node)).full or not isinstance(loop.trip, int) or loop.trip < 2:
            return None
        reason = why_not(loop, fixed)
        if reason:
            ctx.refuse(f"a loop of {loop.trip} turns stays: {reason}", node.loc)
            return None
        if not ctx.fire(f"a loop of {loop.trip} turns is now {loop.trip} times its body", node.loc):
            return None
        return _turns(loop, block, ctx)

    rewrite(graph, visit)


def why_not(loop: Loop, fixed: set[Value]) -> str:
    """What speaks against unrolling; nothing ("") where it pays.

    `fixed`: what is computed from parameters alone. Measured (float32, time as a loop / time unrolled, where the whole
    fits into the first-level cache, and where it does not):

        arithmetic on carried tensors                        1.0    1.3 to 2.2   one kernel instead of one per turn
        the same with `tanh`                                 0.9    0.6          its instructions fill the pipeline
        a product with part i of a parameter                 2.4    1.1 to 1.5   each part is packed once, not per call
        the same, training                                   0.9    1.0          its gradient is put together
        a product with the same weights in each turn         1.0    1.0
        a recurrence over the rows of a sequence             0.84   1.0          one product for all rows was faster
        a mean of each row                                   1.05   1.1

    So it is done for the first and the third, and where a loop only computes numbers."""
    (body,) = loop.node.blocks
    size = sum(1 for _ in body.walk()) * (loop.trip if isinstance(loop.trip, int) else 0)
    if size > MAX_NODES:
        return f"{size} nodes are more than {MAX_NODES}"
    if not all(_repeatable(node) for node in body.nodes):
        return "it has an effect"
    if any(_picks_weights(node, loop, fixed) for node in body.nodes):
        return ""
    other = next(_no_arithmetic(body, {body.params[0]}), None)
    if other is not None:
        return f"{other.op.name.removeprefix('py.')} would run as often, and as long"
    carried = any(v.type.is_tensor for v in loop.node.args[2:])
    numbers = not any(r.type.is_tensor for n in body.walk() for r in n.results)
    return "" if carried or numbers else "its turns do not go on from one another"


def _repeatable(node: Node) -> bool:
    return effects(node).effect_free and all(inner.op in (IF, LOOP) or not inner.blocks for inner in _with_inner(node))


def _with_inner(node: Node) -> Iterator[Node]:
    yield node
    for block in node.blocks:
        yield from block.walk()


def _picks_weights(node: Node, loop: Loop, fixed: set[Value]) -> bool:
    """Whether the node multiplies with the part of a parameter that belongs to the turn, and records no gradient for
    it."""
    if not isinstance(getattr(node.op, "lower", None), Contraction):
        return False
    weights = node.args[1]
    row = selected_row(weights.node) if weights.node is not None else None
    return (
        row is not None and row[0] in fixed and row[2] is loop.body.params[0] and weights.type.requires_grad is not True
    )


def _no_arithmetic(block: Block, known: set[Value]) -> Iterator[Node]:
    """The nodes that are more than arithmetic. `known`: values that are constants once the index is one; branches on
    them are no branches, and loops with as many turns can be unrolled."""
    for node in block.nodes:
        lower = getattr(node.op, "lower", None)
        if node.op is IF and node.args[0] in known:
            for inner in node.blocks:
                yield from _no_arithmetic(inner, known)
        elif node.op is LOOP and node.args[0] in known:
            yield from _no_arithmetic(node.blocks[0], known | {node.blocks[0].params[0]})
        elif node.blocks or not node.results:
            yield node
        elif all(r.type.kind in SCALARS for r in node.results):
            if all(a.is_const or a in known for a in node.args):
                known.update(node.results)
            elif any(a.type.is_tensor for a in node.args) and node.op.name != "size":
                yield node
        elif isinstance(lower, Pointwise):
            if calls_functions(lower):
                yield node
        elif not isinstance(lower, Viewing | Creation):
            yield node


def _turns(loop: Loop, block: Block, ctx: Context) -> list[Value]:
    """Append the turns to `block`; what stands for the loop's results."""
    assert isinstance(loop.trip, int)
    carried = loop.node.args[2:]
    count = len(carried)
    rows: dict[int, list[Value]] = {}
    for turn in reversed(range(loop.trip)) if loop.node.attrs.get("reverse") else range(loop.trip):
        body = copy_block(loop.body, {})
        _, *outs = splice(block, body, dict(zip(body.params, [Value.constant(turn), *carried], strict=True)))
        carried, rows[turn] = outs[:count], outs[count:]
    builder = ctx.builder(block, loop.node.loc)
    columns = zip(*(rows[turn] for turn in range(loop.trip)), strict=True)
    return [*carried, *(builder.call("stack", builder.constant(list(column)), 0) for column in columns)]
