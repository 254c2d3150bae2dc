"""Loop-invariant code motion: what every turn of a loop computes alike is computed once, before the loop.

Enters: any graph. Leaves: loops whose bodies hold only what depends on the turn.
Legality: the node is free of effects and reads nothing that is written; it does not stand under a branch (that might
never be taken); and it cannot raise, since the loop may not turn at all, or may print something first.
"""

from __future__ import annotations

from specjit.ir.graph import Block, Graph, Node, Value
from specjit.ir.structure import LOOP
from specjit.passes.aliases import Aliases
from specjit.passes.manager import Context
from specjit.passes.raising import Bounds, loop_bounds, may_raise


def run(graph: Graph, ctx: Context) -> None:
    _block(graph.block, Aliases(graph), loop_bounds(graph), ctx)


def _block(block: Block, aliases: Aliases, bounds: Bounds, ctx: Context) -> None:
    out: list[Node] = []
    for node in block.nodes:
        for inner in node.blocks:
            _block(inner, aliases, bounds, ctx)
        if node.op is LOOP:
            out += _take_invariant(node, aliases, bounds, ctx)
        out.append(node)
    block.nodes = out


def _take_invariant(loop: Node, aliases: Aliases, bounds: Bounds, ctx: Context) -> list[Node]:
    """Remove and return the nodes of the loop's body that may run before it."""
    (body,) = loop.blocks
    inside: set[Value] = set(body.params)
    taken: list[Node] = []
    kept: list[Node] = []
    for node in body.nodes:
        if _movable(node, inside, aliases) and not may_raise(node, bounds) and ctx.fire():
            taken.append(node)
        else:
            kept.append(node)
            inside.update(node.results)
    body.nodes = kept
    return taken


def _movable(node: Node, inside: set[Value], aliases: Aliases) -> bool:
    if node.blocks or not node.results:
        return False
    traits = node.op.traits
    if traits.random or traits.io or traits.writes:
        return False
    if any(a in inside for a in node.args) or any(aliases.written(v) for v in (*node.args, *node.results)):
        return False
    # Each turn's fresh storage is its own where the caller may get hold of that of two turns.
    if traits.view_of is None and any(aliases.escapes(r) for r in node.results):
        return False
    # A list is made anew in each turn only so that someone may change it; nobody does (not written).
    return not traits.reads or node.op.name == "py.list"
