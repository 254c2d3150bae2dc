"""How much memory rewrites may ask for that do at once what was done bit by bit: one product for all turns of a loop,
several products as one.

Enters: a graph, and types of values that a rewrite would keep alive together. Leaves: whether there is room for them;
where there is not, a fact says so.
Invariant: what all rewrites of one pass add is never more than the limit, or than the graph's own inputs and outputs
take where that is more: a program that handles large arrays anyway may have one more.
"""

from __future__ import annotations

from collections.abc import Iterable

from specjit.ir.graph import Graph, Location
from specjit.ir.types import Type
from specjit.limits import MAX_SEQUENCE_BYTES
from specjit.passes.live import size_of
from specjit.passes.manager import Context


class Budget:
    """What is left for one pass over one graph."""

    def __init__(self, graph: Graph, ctx: Context) -> None:
        self.ctx = ctx
        ends = [*graph.inputs, *(o for o in graph.outputs if not o.is_const)]
        self.limit = max(MAX_SEQUENCE_BYTES, sum(size_of(v.type, ctx.sizes) for v in dict.fromkeys(ends)))
        self.left = self.limit

    def allows(self, values: Iterable[Type], what: str, loc: Location | None) -> bool:
        """Whether there is room for these beside what was allowed before; `what` is not done otherwise."""
        needed = sum(size_of(t, self.ctx.sizes) for t in values)
        if needed <= self.left:
            self.left -= needed
            return True
        room = f"{self.left:,} of {self.limit:,} bytes are left for such rewrites"
        self.ctx.refuse(f"no {what}: it would keep {needed:,} bytes alive, and {room}", loc)
        return False
