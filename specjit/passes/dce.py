"""Dead code: what nobody reads and nobody can notice is removed.

Enters: any graph. Leaves: no effect-free node without uses; no unused result of an `if` or `loop`; no value that a
loop carries only for itself, or carries unchanged. Legality: a node with effects stays, and so does one that may
raise: the exception is part of the program's meaning.
"""

from __future__ import annotations

from specjit.ir.graph import Block, Graph, Node, Value, replace_uses
from specjit.ir.structure import IF, LOOP, effects
from specjit.passes.manager import Context
from specjit.passes.raising import Bounds, loop_bounds, may_raise


def run(graph: Graph, ctx: Context) -> None:
    _drop_invariant_carries(graph.block, ctx)
    _sweep(graph.block, set(graph.outputs), loop_bounds(graph), ctx)


def _sweep(block: Block, live: set[Value], bounds: Bounds, ctx: Context) -> None:
    """Backwards over `block`; `live` holds every value that something after this point reads, in any block."""
    live.update(block.outputs)
    kept: list[Node] = []
    for node in reversed(block.nodes):
        if _removable(node, live, bounds) and ctx.fire():
            continue
        if node.op is LOOP:
            _trim_loop(node, live, bounds, ctx)
        else:
            if node.op is IF:
                _trim_results(node, live, ctx)
            for inner in node.blocks:
                _sweep(inner, live, bounds, ctx)
        live.update(node.args)
        kept.append(node)
    block.nodes = kept[::-1]


def _removable(node: Node, live: set[Value], bounds: Bounds) -> bool:
    if any(r in live for r in node.results) or not effects(node).effect_free:
        return False
    # A loop without a trip count may run forever; that, too, is behavior.
    return not may_raise(node, bounds) and not any(
        n.op is LOOP and n.args[0].type.kind == "none" for n in _with_inner(node)
    )


def _with_inner(node: Node) -> list[Node]:
    return [node, *(n for b in node.blocks for n in b.walk())]


def _trim_results(node: Node, live: set[Value], ctx: Context) -> None:
    """Drop unused results of an `if`, with the outputs of both branches behind them."""
    for k in reversed(range(len(node.results))):
        if node.results[k] not in live and ctx.fire():
            del node.results[k]
            for block in node.blocks:
                del block.outputs[k]


def _trim_loop(node: Node, live: set[Value], bounds: Bounds, ctx: Context) -> None:
    """Drop unused stacked outputs, and carried values that only feed themselves."""
    (body,) = node.blocks
    carried = len(node.args) - 2
    for k in reversed(range(carried, len(node.results))):
        if node.results[k] not in live and ctx.fire():
            del node.results[k], body.outputs[1 + k]
    needed = _needed_carries(node, live)
    for k in reversed(range(carried)):
        if k not in needed and ctx.fire():
            param = body.params[1 + k]
            del node.results[k], node.args[2 + k], body.outputs[1 + k], body.params[1 + k]
            # What computed the dropped value may still read the parameter; those nodes go with it.
            _remove_readers(body, {param})
    _sweep(body, live, bounds, ctx)


def _needed_carries(node: Node, live: set[Value]) -> set[int]:
    """Positions of carried values that a result, an effect, the condition, or another needed carried value depends
    on."""
    (body,) = node.blocks
    carried = len(node.args) - 2
    reads = _dependencies(body)
    needed = {k for k in range(carried) if node.results[k] in live}
    roots = [body.outputs[0], *body.outputs[1 + carried :]]
    for inner in body.nodes:
        if not effects(inner).effect_free or may_raise(inner, {}):
            roots += [*inner.args, *(v for b in inner.blocks for v in _read_inside(b))]
    params = {p: k for k, p in enumerate(body.params[1:])}
    while True:
        seen: set[Value] = set()
        todo = [*roots, *(body.outputs[1 + k] for k in needed)]
        while todo:
            v = todo.pop()
            if v not in seen and not v.is_const:
                seen.add(v)
                todo += reads.get(v, ())
        more = {params[v] for v in seen if v in params} | needed
        if more == needed:
            return needed
        needed = more


def _dependencies(body: Block) -> dict[Value, list[Value]]:
    """What each value defined directly in `body` is computed from; a node with blocks reads everything its blocks
    read."""
    reads: dict[Value, list[Value]] = {}
    for node in body.nodes:
        sources = [*node.args, *(v for b in node.blocks for v in _read_inside(b))]
        for r in node.results:
            reads[r] = sources
    return reads


def _read_inside(block: Block) -> list[Value]:
    out = list(block.outputs)
    for node in block.walk():
        out += node.args
        for b in node.blocks:
            out += b.outputs
    return out


def _remove_readers(body: Block, gone: set[Value]) -> None:
    kept = []
    for node in body.nodes:
        reads = [*node.args, *(v for b in node.blocks for v in _read_inside(b))]
        if any(v in gone for v in reads):
            gone.update(node.results)
        else:
            kept.append(node)
    body.nodes = kept


def _drop_invariant_carries(block: Block, ctx: Context) -> None:
    """A carried value that every turn hands on unchanged is the value from before the loop."""
    replaced: dict[Value, Value] = {}
    for node in block.nodes:
        for inner in node.blocks:
            _drop_invariant_carries(inner, ctx)
        if node.op is not LOOP:
            continue
        (body,) = node.blocks
        for k in reversed(range(len(node.args) - 2)):
            param, init = body.params[1 + k], node.args[2 + k]
            if body.outputs[1 + k] in (param, init) and ctx.fire():
                replace_uses(body, {param: init})
                replaced[node.results[k]] = init
                del node.results[k], node.args[2 + k], body.outputs[1 + k], body.params[1 + k]
    if replaced:
        replace_uses(block, replaced)
