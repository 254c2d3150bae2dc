"""How much memory a graph's tensors take, node after node.

Enters: a graph, and numbers for its size symbols. Leaves: `size_of(type)` and `peak_bytes(graph)`, the largest set of
bytes that are alive together.
Invariant: the count is of the graph as it stands, where each node makes storage of its own that lives until its last
reader: it says what a rewrite did to memory. What runs needs less, because fused nodes store nothing between them
(the region's plan says how much). Inputs and constants are the caller's and count nothing; a view lives in the storage
it looks at; of a carried value, the present and the next one are alive in a turn.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType

from specjit.ir.dims import Dim, Poly
from specjit.ir.graph import Block, Graph, Node, Value, free_values
from specjit.ir.structure import LOOP
from specjit.ir.types import Type
from specjit.passes.aliases import CONTAINERS

TYPICAL_SIZE = 64  # for a symbol of which nothing is known
Sizes = Mapping[str, int]
UNKNOWN: Sizes = MappingProxyType({})


def typical(dim: Dim, sizes: Sizes = UNKNOWN) -> int:
    """A number for a size."""
    if isinstance(dim, Poly):
        dim = dim.evaluate({name: sizes.get(name, TYPICAL_SIZE) for name in dim.symbols()})
    return TYPICAL_SIZE if dim is None else max(dim, 1)


def size_of(type: Type, sizes: Sizes = UNKNOWN) -> int:
    """Bytes of a value, with typical numbers for symbols."""
    if not type.is_tensor:
        return 8
    total = type.dtype.itemsize if type.dtype else 4
    for dim in type.dims or ():
        total *= typical(dim, sizes)
    return total


def peak_bytes(graph: Graph, sizes: Sizes = UNKNOWN) -> int:
    """The most bytes of tensors, made by the graph, that are alive at once."""
    return _Walk(sizes).block(graph.block)


class _Walk:
    def __init__(self, sizes: Sizes) -> None:
        self.sizes = sizes
        self.stores: dict[Value, frozenset[Value]] = {}  # the values whose storage a value keeps alive

    def block(self, block: Block) -> int:
        """The peak of what is made in a block; what it yields stays to its end."""
        own: set[Value] = set()
        for node in block.nodes:
            for r in node.results:
                self.stores[r] = self.kept_by(node, r)
                own.update({r} & self.stores[r])
        ends = self.ends(block)
        peak = alive = 0
        for at, node in enumerate(block.nodes):
            made = sum(size_of(r.type, self.sizes) for r in node.results if r in own)
            inside = max((self.block(inner) for inner in node.blocks), default=0)
            # What a branch yields was made inside it; what a loop carries and stacks stands beside what a turn makes.
            peak = max(peak, alive + (made + inside if node.op is LOOP else max(made, inside)))
            alive += made - sum(size_of(s.type, self.sizes) for s in ends[at] & own)
        return peak

    def kept_by(self, node: Node, result: Value) -> frozenset[Value]:
        view = node.op.traits.view_of
        if view is not None:
            return self.kept(node.args[view : view + 1])
        if result.type.kind in CONTAINERS:
            return self.kept(node.args)
        return frozenset([result] if result.type.is_tensor else [])

    def kept(self, values: Iterable[Value]) -> frozenset[Value]:
        return frozenset(s for v in values for s in self.stores.get(v, ()))

    def ends(self, block: Block) -> list[frozenset[Value]]:
        """Per node the storage that nobody reads after it."""
        seen = self.kept(block.outputs)
        out: list[frozenset[Value]] = []
        for node in reversed(block.nodes):
            read = self.kept([*node.args, *node.results, *(v for inner in node.blocks for v in free_values(inner))])
            out.append(read - seen)
            seen |= read
        return out[::-1]
