"""Which generic values are still needed at a structured node: the names that a write inside it could be seen through.

Enters: a generic graph. Leaves: `Liveness.needed(value, node)`. Invariant: says yes when in doubt.
"""

from __future__ import annotations

from specjit.ir.graph import Block, Graph, Node, Value
from specjit.ir.structure import LOOP


class Liveness:
    """Positions of definitions and uses in one linear order of the graph's nodes."""

    def __init__(self, graph: Graph) -> None:
        self._span: dict[Node, tuple[int, int]] = {}
        self._loops: dict[Node, list[Node]] = {}
        self._uses: dict[Value, list[int]] = {}
        self._defined: dict[Value, int] = {}
        self._clock = 0
        self._block(graph.block, [])

    def _block(self, block: Block, loops: list[Node]) -> None:
        for p in block.params:
            self._defined[p] = self._clock
        for node in block.nodes:
            start = self._tick()
            for a in node.args:
                self._uses.setdefault(a, []).append(start)
            for inner in node.blocks:
                self._block(inner, [*loops, node] if node.op is LOOP else loops)
            end = self._tick()
            self._span[node] = (start, end)
            self._loops[node] = loops
            for r in node.results:
                self._defined[r] = end
        at = self._tick()
        for o in block.outputs:
            self._uses.setdefault(o, []).append(at)

    def _tick(self) -> int:
        self._clock += 1
        return self._clock

    def needed(self, value: Value, node: Node) -> bool:
        """Whether anything but `node`'s own argument list reads `value` inside `node`, after it, or in a later turn of
        a loop around it. A value that is not of this graph counts as needed."""
        if value not in self._defined:
            return True
        start = self._span[node][0]
        uses = [u for u in self._uses.get(value, ()) if u != start]
        if any(u > start for u in uses):
            return True
        for loop in self._loops[node]:
            first, last = self._span[loop]
            if self._defined[value] < first and any(first < u < last for u in uses):
                return True
        return False
