"""Pruning: control flow whose decision is a constant becomes straight-line code.

Enters: any graph (guards made what they hold fixed into constants). Leaves: no `if` on a constant, or on a condition
that an `if` around it has decided; no loop that provably runs zero times or once. Legality: exactly the nodes that
would have run still run, in the same order.
"""

from __future__ import annotations

from specjit.ir.graph import Block, Graph, Location, Node, Value, free_values, replace_uses
from specjit.ir.structure import IF, LOOP, WITH
from specjit.passes.manager import Context
from specjit.passes.rewrite import rewrite, splice


def run(graph: Graph, ctx: Context) -> None:
    for node in graph.walk():
        if node.op is IF:
            _decide(node, ctx)

    def visit(node: Node, block: Block) -> list[Value] | None:
        if node.op is IF:
            return _branch(node, block, ctx)
        if node.op is LOOP:
            return _loop(node, block, ctx)
        if node.op is WITH and not records and ctx.fire():
            return splice(block, node.blocks[0], {})
        return None

    # Where nothing requires a gradient, the grad mode decides nothing.
    values = [*graph.inputs, *(r for node in graph.walk() for r in node.results)]
    records = any(v.type.requires_grad for v in values)
    rewrite(graph, visit)


def _decide(node: Node, ctx: Context) -> None:
    """In each branch it is known what the condition was."""
    (cond,) = node.args
    if cond.is_const or cond.type.kind != "bool":
        return
    for block, value in zip(node.blocks, (True, False)):
        if cond in free_values(block) and ctx.fire():
            replace_uses(block, {cond: Value.constant(value)})


def _branch(node: Node, block: Block, ctx: Context) -> list[Value] | None:
    (cond,) = node.args
    if not cond.is_const or not ctx.fire(f"the condition is {bool(cond.const)}: one branch remains", node.loc):
        return None
    return splice(block, node.blocks[0 if cond.const else 1], {})


def _loop(node: Node, block: Block, ctx: Context) -> list[Value] | None:
    (body,) = node.blocks
    trip, cond, *carried = node.args
    rows = node.results[len(carried) :]
    if (trip.is_const and trip.const is not None and trip.const <= 0) or (cond.is_const and not cond.const):
        if any(not _known(r) for r in rows) or not ctx.fire("the loop never runs", node.loc):
            return None
        return carried + [_no_rows(r, block, ctx, node.loc) for r in rows]
    ends = body.outputs[0].is_const and not body.outputs[0].const
    if not (cond.is_const and cond.const and trip.is_const and (trip.const == 1 or (ends and trip.const is None))):
        return None
    if not ctx.fire("the loop runs once: only its body remains", node.loc):
        return None
    outs = splice(block, body, dict(zip(body.params, [Value.constant(0), *carried], strict=True)))
    builder = ctx.builder(block, node.loc)
    single = [builder.call("stack", builder.constant([o]), 0) for o in outs[1 + len(carried) :]]
    return outs[1 : 1 + len(carried)] + single


def _known(value: Value) -> bool:
    dims, dtype = value.type.dims, value.type.dtype
    return dtype is not None and dims is not None and all(isinstance(d, int) for d in dims)


def _no_rows(value: Value, block: Block, ctx: Context, loc: Location | None) -> Value:
    """What a loop without a turn stacks: a tensor with no rows."""
    assert value.type.dims is not None
    op = ctx.lookup("zeros")
    given = {"size": list(value.type.dims), "dtype": value.type.dtype}
    args = [Value.constant(given.get(p.name, p.default)) for p in op.params]
    return ctx.builder(block, loc).emit(op, args).result
