"""Minimum cut of a small directed network, by Dinic's maximum flow.

Enters: edges with integer capacities between hashable nodes, among them a source and a sink.
Leaves: the sink side of the minimum cut that is nearest to the sink (of equal cuts, the one with the fewest nodes
there).
Invariant: the capacities of edges from outside the returned set into it sum to the maximum flow.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable

INFINITE = 1 << 60


class Unbounded(ValueError):
    """Source and sink are joined by edges of infinite capacity; `path` is one such path."""

    def __init__(self, path: list[Hashable]) -> None:
        super().__init__("no finite cut")
        self.path = path


class Network:
    """A network under construction. Nodes come into being when an edge names them."""

    def __init__(self, source: Hashable, sink: Hashable) -> None:
        self._number: dict[Hashable, int] = {}
        self._edges: list[list[int]] = []  # per node: positions in the three lists below; edge e and e ^ 1 are opposite
        self._head: list[int] = []
        self._left: list[int] = []
        self._source, self._sink = self._id(source), self._id(sink)

    def _id(self, node: Hashable) -> int:
        if node not in self._number:
            self._number[node] = len(self._edges)
            self._edges.append([])
        return self._number[node]

    def edge(self, a: Hashable, b: Hashable, capacity: int) -> None:
        x, y = self._id(a), self._id(b)
        for tail, head, left in ((x, y, capacity), (y, x, 0)):
            self._edges[tail].append(len(self._head))
            self._head.append(head)
            self._left.append(left)

    def sink_side(self) -> set[Hashable]:
        """The nodes that are cut off from the source together with the sink. `Unbounded` if no finite cut exists."""
        while (levels := self._levels())[self._sink] >= 0:
            self._saturate(levels)
        side = {self._sink}
        queue = deque(side)
        while queue:
            node = queue.popleft()
            for e in self._edges[node]:
                tail = self._head[e]
                if self._left[e ^ 1] > 0 and tail not in side:
                    side.add(tail)
                    queue.append(tail)
        return {name for name, node in self._number.items() if node in side}

    def _levels(self) -> list[int]:
        levels = [-1] * len(self._edges)
        levels[self._source] = 0
        queue = deque([self._source])
        while queue:
            node = queue.popleft()
            for e in self._edges[node]:
                if self._left[e] > 0 and levels[self._head[e]] < 0:
                    levels[self._head[e]] = levels[node] + 1
                    queue.append(self._head[e])
        return levels

    def _saturate(self, levels: list[int]) -> None:
        """Push flow along shortest paths until none is left; an explicit stack, because graphs are deep."""
        position = [0] * len(self._edges)
        path: list[int] = []
        node = self._source
        while True:
            if node == self._sink:
                push = min(self._left[e] for e in path)
                if push >= INFINITE // 2:
                    names = list(self._number)
                    raise Unbounded([names[self._head[e]] for e in path])
                for e in path:
                    self._left[e] -= push
                    self._left[e ^ 1] += push
                path, node = [], self._source
            edges = self._edges[node]
            while position[node] < len(edges):
                e = edges[position[node]]
                if self._left[e] > 0 and levels[self._head[e]] == levels[node] + 1:
                    break
                position[node] += 1
            if position[node] < len(edges):
                path.append(edges[position[node]])
                node = self._head[path[-1]]
            elif path:
                node = self._head[path.pop() ^ 1]
                position[node] += 1
            else:
                return
