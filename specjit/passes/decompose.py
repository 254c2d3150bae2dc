"""Decomposition: an op that is defined by other ops is replaced by them.

Enters: typed graphs. Leaves: no op whose record says `lower=composite(fn)`, where `fn` can be run on tracers,
but those that are yet to be differentiated as a whole.
Legality: the record says that `fn`, written in specjit ops, is the same computation. Where `fn` reduces over a
symbolic size with a reduction that has no value over nothing (the maximum in a softmax), that holds for sizes from 1
on: the sizes are added to `graph.attrs["nonempty"]`, for the specializer to guard. What writes into all of a tensor
keeps that one's layout, which its definition, a copy of the content, does not: where `view` asks for it, the op stays.
"""

from __future__ import annotations

from specjit.ir.dims import Poly, Size, least_for_one
from specjit.ir.graph import Block, Graph, Node, Value
from specjit.ops.records.lowering import Composite, Reduction
from specjit.passes.aliases import Aliases
from specjit.passes.manager import Context
from specjit.passes.raising import EMPTY_REDUCTIONS, reduced_dims
from specjit.passes.rewrite import rewrite
from specjit.tensor.tracer import TraceError, argument, recording, wrap

WRITES_ALL = ("filled", "overwritten")


def run(graph: Graph, ctx: Context) -> None:
    again = True
    aliases = Aliases(graph)

    def visit(node: Node, block: Block) -> list[Value] | None:
        nonlocal again
        lower = getattr(node.op, "lower", None)
        if not isinstance(lower, Composite) or (node.op.name in WRITES_ALL and aliases.viewed(node.result)):
            return None
        if lower.whole and any(r.type.requires_grad for r in node.results):
            return None  # until it is differentiated
        made = expand(node, lower, ctx)
        if made is None:
            return None
        nodes, results = made
        needed = sizes_needed(nodes)
        if any(size == 0 or least_for_one(size) is None for size in needed):
            return None  # there is nothing to reduce, or no guard on a size says that there is something
        if not ctx.fire():
            return None
        graph.attrs.setdefault("nonempty", set()).update(size for size in needed if isinstance(size, Poly))
        block.nodes += nodes
        again = again or any(isinstance(getattr(n.op, "lower", None), Composite) for n in nodes)
        return results

    # The definition of an op may use ops that are themselves defined by others.
    while again:
        again = False
        rewrite(graph, visit)


def sizes_needed(nodes: list[Node]) -> set[Size]:
    """The sizes that must not be 0 for these nodes to have a value."""
    found: set[Size] = set()
    for node in nodes:
        lower = getattr(node.op, "lower", None)
        if isinstance(lower, Reduction) and lower.kind not in EMPTY_REDUCTIONS:
            dims = node.args[0].type.dims or ()
            found.update(d for d in (dims[k] for k in reduced_dims(node) or range(len(dims))) if d is not None)
    return found


def expand(node: Node, lower: Composite, ctx: Context) -> tuple[list[Node], list[Value]] | None:
    """The nodes that compute the same, and their results; None where tracing needs what types do not say."""
    scratch = Block()
    builder = ctx.builder(scratch, node.loc)
    try:
        with recording(builder):
            out = lower.fn(*(wrap(a, builder) for a in node.args))
    except TraceError:
        return None
    results = [argument(builder, o) for o in (out if isinstance(out, list | tuple) else [out])]
    if [(r.type.dtype, r.type.dims) for r in results] != [(r.type.dtype, r.type.dims) for r in node.results]:
        return None
    return scratch.nodes, results
