"""Which values may share storage, which of those are written, and which reach the caller.

Enters: a graph. Leaves: `Aliases`: every value's class of values that may share its storage, with the facts that
legality needs.
Invariant: conservative: two values in different classes never share storage, in any run. Constants share with nothing.

A rewrite may treat a view like any other value where its class is not `written`; it must not let fresh storage become
shared, or shared storage fresh, where the class `escapes`: the caller could see the difference by writing into a
result.
"""

from __future__ import annotations

from collections.abc import Iterable

from specjit.ir.graph import Block, Graph, Node, Value
from specjit.ir.structure import IF, LOOP
from specjit.ir.types import ANY

CONTAINERS = ("list", "tuple", "dict", "set", "optional", "class", "any", "function")


class Aliases:
    """Classes of values that may share storage (union-find).

    bundles: whether a list is in one class with its items. A caller that looks after lists itself can say False: then
    a list that is only read, by operators without effects, joins nothing."""

    def __init__(self, graph: Graph, bundles: bool = True) -> None:
        self._read_only = set() if bundles else _only_read(graph)
        self._parent: dict[Value, Value] = {}
        self._outside = Value(ANY)
        self._written_values: list[Value] = []
        self._viewed_values: list[Value] = []
        self._block(graph.block)
        self._written = {self.find(v) for v in self._written_values}
        self._viewed = {self.find(v) for v in self._viewed_values}
        self._escaping = {self.find(v) for v in graph.outputs} | {self.find(self._outside)}
        self.has_writes = bool(self._written_values)

    def find(self, value: Value) -> Value:
        root = value
        while (up := self._parent.get(root)) is not None:
            root = up
        while (up := self._parent.get(value)) is not None and up is not root:
            self._parent[value] = root
            value = up
        return root

    def union(self, values: Iterable[Value]) -> None:
        first: Value | None = None
        for v in values:
            if v.is_const or not may_share(v):
                continue
            if first is None:
                first = self.find(v)
            elif (root := self.find(v)) is not first:
                self._parent[root] = first

    def merge(self, old: Value, new: Value) -> None:
        """From now on `new` stands where `old` stood: the facts of both hold for it."""
        facts = [(s, self.find(old) in s or self.find(new) in s) for s in (self._written, self._viewed, self._escaping)]
        self.union([new, old])
        for members, holds in facts:
            if holds and not new.is_const:
                members.add(self.find(new))

    def same(self, a: Value, b: Value) -> bool:
        return self.find(a) is self.find(b)

    def written(self, value: Value) -> bool:
        """Whether something may write to the storage of `value` while the graph runs."""
        return not value.is_const and self.find(value) in self._written

    def viewed(self, value: Value) -> bool:
        """Whether a `view`, which fails on some layouts, looks at the storage of `value`."""
        return not value.is_const and self.find(value) in self._viewed

    def escapes(self, value: Value) -> bool:
        """Whether the caller, or unknown Python code, may get hold of the storage of `value` (beyond lending it as an
        input)."""
        return not value.is_const and self.find(value) in self._escaping

    def outside(self, value: Value) -> bool:
        """Whether unknown code may get hold of the storage of `value`."""
        return self.find(value) is self.find(self._outside)

    def _block(self, block: Block) -> None:
        for node in block.nodes:
            for inner in node.blocks:
                self._block(inner)
            self._node(node)

    def _node(self, node: Node) -> None:
        if node.op is IF:
            for k, result in enumerate(node.results):
                self.union([result, *(b.outputs[k] for b in node.blocks)])
        elif node.op is LOOP:
            (body,) = node.blocks
            carried = zip(node.results, node.args[2:], body.params[1:], body.outputs[1:])
            for group in carried:
                self.union(group)
        elif node.blocks:
            (body,) = node.blocks
            for pair in [*zip(body.params, node.args), *zip(node.results, body.outputs)]:
                self.union(pair)
        else:
            self._operation(node)

    def _operation(self, node: Node) -> None:
        traits = node.op.traits
        if traits.io:
            # Unknown code may keep, write and return whatever it is given.
            self.union([self._outside, *node.args, *node.results])
            self._written_values += [v for v in node.args if may_share(v) and not v.is_const]
        if traits.view_of is not None:
            self.union([node.args[traits.view_of], *node.results])
        if node.op.name == "view":
            self._viewed_values.append(node.args[0])
        for k in traits.writes:
            self._written_values.append(node.args[k])
            # A result of a writing op is its argument; what a container is given, it may hold.
            holds = node.args if node.args[k].type.kind in CONTAINERS else [node.args[k]]
            self.union([*holds, *node.results])
        if any(r.type.kind in CONTAINERS and r not in self._read_only for r in node.results):
            self.union([*node.args, *node.results])


def may_share(value: Value) -> bool:
    """Numbers, strings and None have no storage to share."""
    return value.type.is_tensor or value.type.kind in CONTAINERS


def objects(graph: Graph) -> set[Value]:
    """Values that more than operators on tensors see: what blocks yield and what Python code holds."""
    blocks = [graph.block, *(b for node in graph.walk() for b in node.blocks)]
    held = {a for node in graph.walk() if node.op.name.startswith("py.") for a in node.args}
    return held | {o for block in blocks for o in block.outputs}


def _only_read(graph: Graph) -> set[Value]:
    """Lists and tuples that nothing but operators without effects gets to see."""
    made = {r for node in graph.walk() if node.op.name in ("py.list", "py.tuple") for r in node.results}
    for node in graph.walk():
        if not node.op.traits.pure or node.blocks or any(r.type.kind in CONTAINERS for r in node.results):
            made.difference_update(node.args)
        for block in node.blocks:
            made.difference_update(block.outputs)
    return made.difference(graph.outputs)
