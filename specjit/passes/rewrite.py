"""The walk that most passes share: visit every node once, in order, and replace some.

Enters: a graph and `visit(node, block)`, which returns None to keep the node, or the values that take the place of its
results, having appended whatever nodes they need to `block`. Leaves: the graph with all uses updated.
Invariant: when `visit` sees a node, its arguments and its inner blocks are already rewritten, and `block.nodes` holds
exactly what runs before it in its block.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from specjit.ir.graph import Block, Graph, Node, Value

Visit = Callable[[Node, Block], Sequence[Value] | None]


def rewrite(graph: Graph, visit: Visit) -> None:
    rewrite_block(graph.block, visit, {})


def rewrite_block(block: Block, visit: Visit, replaced: dict[Value, Value]) -> None:
    """`replaced` maps values of enclosing blocks to what took their place, and collects those of this one."""
    nodes, block.nodes = block.nodes, []
    for node in nodes:
        node.args = [replaced.get(a, a) for a in node.args]
        for inner in node.blocks:
            rewrite_block(inner, visit, replaced)
        found = visit(node, block)
        if found is None:
            block.nodes.append(node)
            continue
        for old, new in zip(node.results, found, strict=True):
            replaced[old] = new
            if old.hint and not new.hint and not new.is_const:
                new.hint = old.hint
    block.outputs = [replaced.get(o, o) for o in block.outputs]


def splice(block: Block, inner: Block, replaced: dict[Value, Value]) -> list[Value]:
    """Append the nodes of `inner` to `block`, with `replaced` said of its parameters; the outputs of `inner`, seen
    from `block`."""
    from specjit.ir.graph import replace_uses

    replace_uses(inner, replaced)
    block.nodes += inner.nodes
    return inner.outputs
