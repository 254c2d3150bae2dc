"""Common subexpressions: equal computations are done once.

Enters: any graph. Leaves: each pure node, and each view of storage that nobody writes, once per dominating scope;
sizes with the same expression are one value. Legality: the op draws nothing, touches nothing and reads nothing
mutable; no argument may be written while the graph runs; two fresh results that both reach the caller stay two, because
writing into one must not show in the other; and so do two views, because each is an object with a grad of its own.
"""

from __future__ import annotations

from collections.abc import Hashable

from specjit.ir.constants import key
from specjit.ir.dims import Poly
from specjit.ir.graph import Block, Graph, Node, Value
from specjit.ir.structure import WITH
from specjit.passes.aliases import Aliases, objects
from specjit.passes.manager import Context

Scope = list[dict[Hashable, list[Value]]]


def run(graph: Graph, ctx: Context) -> None:
    _block(graph.block, [{}], {}, Aliases(graph), objects(graph), ctx)


def _block(
    block: Block, scopes: Scope, replaced: dict[Value, Value], aliases: Aliases, objects: set[Value], ctx: Context
) -> None:
    for p in block.params:
        if p.type.kind == "int" and isinstance(p.type.dim, Poly):
            scopes[-1].setdefault(("size", p.type.dim), [p])
    kept: list[Node] = []
    for node in block.nodes:
        node.args = [replaced.get(a, a) for a in node.args]
        for inner in node.blocks:
            # What one grad mode records, another one does not: the same numbers, but another result.
            _block(inner, [{}] if node.op is WITH else [*scopes, {}], replaced, aliases, objects, ctx)
        name = identity(node, aliases)
        known = next((s[name] for s in reversed(scopes) if name in s), None) if name is not None else None
        if known is not None and _may_merge(node, known, aliases, objects) and ctx.fire():
            for old, new in zip(node.results, known, strict=True):
                replaced[old] = new
                aliases.merge(old, new)
                if old in objects:
                    objects.add(new)
            continue
        if name is not None and known is None:
            scopes[-1][name] = node.results
        kept.append(node)
    block.nodes = kept
    block.outputs = [replaced.get(o, o) for o in block.outputs]


def identity(node: Node, aliases: Aliases) -> Hashable | None:
    """Equal for nodes that compute the same; None for one that has to be done where and when it stands."""
    traits = node.op.traits
    if node.blocks or not node.results or traits.random or traits.io or traits.writes or traits.reads:
        return None
    (first, *more) = node.results
    if not more and first.type.kind == "int" and isinstance(first.type.dim, Poly):
        return "size", first.type.dim
    if any(aliases.written(v) for v in (*node.args, *node.results)):
        return None
    args = tuple(("const", key(a.const)) if a.is_const else a for a in node.args)
    return node.op, args, tuple(sorted((k, key(v)) for k, v in node.attrs.items()))


def _may_merge(node: Node, known: list[Value], aliases: Aliases, objects: set[Value]) -> bool:
    """Two results may become one unless the caller gets both: as storage, or for views as objects."""
    pairs = [(r, k) for r, k in zip(node.results, known) if r.type.is_tensor]
    if node.op.traits.view_of is not None:
        return not any(r in objects and k in objects for r, k in pairs)
    return not any(aliases.escapes(r) and aliases.escapes(k) for r, k in pairs)
