"""Inputs of which one is written: native code takes two names for two memories, so these must not overlap.

Enters: a specialized graph. Leaves: `Apart`: the inputs that it writes, a guard for each, and the check of a call.
Invariant: passes may treat two inputs as two storages (`passes.aliases`). That shows only where one of them is written:
a graph that writes no input has nothing to check. Memory counts as shared where the byte ranges overlap, though
interleaved parts (columns of one matrix) may have no byte in common: such calls run generic, which is always right.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from specjit.ir.guard import Guard
from specjit.passes.aliases import Aliases
from specjit.specialize.abstract import Refused
from specjit.specialize.specialize import Leaf, Specialized
from specjit.tensor import Tensor

KIND, EXPECTED = "memory", "shared with no other input"


class Apart:
    """The pairs of inputs that must not share memory: one that is written, and another one, of which at least one comes
    with the call."""

    def __init__(self, specialized: Specialized) -> None:
        aliases = Aliases(specialized.graph)
        tensors = [leaf for leaf in specialized.leaves if leaf.is_tensor]
        written = [leaf for leaf in tensors if aliases.written(leaf.value)]
        pairs = [
            (w, other) for k, w in enumerate(written) for other in (*written[k + 1 :], *_without(tensors, written))
        ]
        for w, other in pairs:
            if w.fixed is not None and other.fixed is not None and _overlap(w.fixed, other.fixed):
                raise Refused(f"{w.source}, which is written, shares memory with {other.source}")
        self.pairs = [(w, other) for w, other in pairs if w.fixed is None or other.fixed is None]
        origins = {g.source: g.origin for g in reversed(specialized.guards)}
        sources = dict.fromkeys(w.source for w, _ in self.pairs)
        self.guards = [Guard(source, KIND, EXPECTED, origins.get(source, "")) for source in sources]
        arguments = [leaf for leaf in specialized.leaves if leaf.argument is not None]
        self._places = [(_place(w, arguments), _place(other, arguments)) for w, other in self.pairs]

    def fails(self, *given: Any) -> bool:
        """Whether two of these share memory that must not: the call's own inputs of the graph, in its order, which are
        the tensors that it was made for."""
        for (k, x), (j, y) in self._places:
            if _overlap(x if k is None else given[k], y if j is None else given[j]):
                return True
        return False

    def failures(self, leaves: Sequence[Any]) -> list[tuple[str, str, str, str]]:
        """(source, kind, expected, actual) of each written input that shares memory; of all leaves of the arguments."""
        found: dict[str, tuple[str, str, str, str]] = {}
        for w, other in self.pairs:
            x, y = (leaf.fixed if leaf.argument is None else leaves[leaf.argument] for leaf in (w, other))
            if w.source not in found and _overlap(x, y):
                found[w.source] = (w.source, KIND, EXPECTED, f"shared with {other.source}")
        return list(found.values())


def _without(leaves: list[Leaf], some: list[Leaf]) -> list[Leaf]:
    return [leaf for leaf in leaves if leaf not in some]


def _place(leaf: Leaf, arguments: list[Leaf]) -> tuple[int | None, Any]:
    """Where a call finds the tensor: at a position among its own inputs, or, without one, it is this tensor."""
    return (None, leaf.fixed) if leaf.argument is None else (arguments.index(leaf), None)


def _overlap(x: Tensor, y: Tensor) -> bool:
    a, b = x._data, y._data
    return a is not None and b is not None and np.may_share_memory(a, b)
