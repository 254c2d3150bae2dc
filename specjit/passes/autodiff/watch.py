"""Which inputs and results of a block eager would watch: a write to one of them between forward and backward is an
error there, because a node of the tape keeps it.

Enters: a typed block and the values in it that gradients flow through. Leaves: a `Watch`.
Invariant: an input is watched if a run keeps it in which every loop turns and every branch is taken; a result only if
all runs keep it in which every loop turns. What is watched may be shared with backward; all else is the caller's to
change.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from specjit.ir.graph import Block, Node, Value
from specjit.ir.structure import IF, LOOP
from specjit.ops.records.registry import Op

LISTS = ("py.list", "py.tuple")


@dataclass(frozen=True)
class Watch:
    """Positions of parameters and of outputs of a block."""

    inputs: frozenset[int]
    outputs: frozenset[int]

    def told(self, better: Told) -> Watch:
        """The same, but for the positions of which more is known."""
        return Watch(_told(self.inputs, better.inputs), _told(self.outputs, better.outputs))


@dataclass(frozen=True)
class Told:
    """What is known of some parameters and outputs of a block from the program that it is a part of."""

    inputs: Mapping[int, bool] = field(default_factory=dict)
    outputs: Mapping[int, bool] = field(default_factory=dict)


NOTHING = Watch(frozenset(), frozenset())


def watch(block: Block, active: set[Value]) -> Watch:
    """What eager watches of `block`, where gradients flow through `active` values."""
    return _Watching(active).of(block)


class _Watching:
    def __init__(self, active: set[Value]) -> None:
        self.active = active
        self.inits: dict[Value, Value] = {}  # what a loop carries -> what it starts as
        self.kept_in: dict[Block, set[Value]] = {}

    def of(self, block: Block) -> Watch:
        for node in block.walk():
            if node.op is LOOP:
                self.inits.update(zip(node.blocks[0].params[1:], node.args[2:]))
        anywhere = {self.start(v) for node in block.walk() for v in self.kept(node)}
        inputs = frozenset(i for i, p in enumerate(block.params) if p in anywhere)
        return Watch(inputs, frozenset(j for j, o in enumerate(block.outputs) if self.always(o, [block])))

    def kept(self, node: Node) -> Iterator[Value]:
        """The tensors that the tape's node of a call keeps."""
        op = node.op
        if not isinstance(op, Op) or not op.differentiable or not any(r in self.active for r in node.results):
            return
        for i, arg in enumerate(node.args):
            if i not in op.tensor_positions:
                yield from (v for v in _items(arg) if v.type.is_tensor)
            elif any(v in self.active for k in op.readers(i) for v in _items(node.args[k])):
                yield from _items(arg)
        if op.saves_result:
            yield from node.results

    def start(self, value: Value) -> Value:
        """The value whose storage `value` is a view of, in a loop's first turn."""
        root = _root(value)
        return self.start(self.inits[root]) if root in self.inits else root

    def always(self, value: Value, scopes: list[Block]) -> bool:
        """Whether every run keeps the storage of `value`, which one of `scopes` (innermost last) defines."""
        root = _root(value)
        if any(root in self.always_kept(block) for block in scopes):
            return True
        node = root.node
        if node is None or root not in node.results or node.op not in (IF, LOOP):
            return False
        k = node.results.index(root)
        if node.op is IF:
            return all(self.always(b.outputs[k], [*scopes, b]) for b in node.blocks)
        (body,) = node.blocks
        return k < len(node.args) - 2 and self.always(body.outputs[1 + k], [*scopes, body])

    def always_kept(self, block: Block) -> set[Value]:
        """The storages that every run of a block keeps."""
        if block not in self.kept_in:
            found: set[Value] = set()
            for node in block.nodes:
                found.update(_root(v) for v in self.kept(node))
                if node.op is LOOP:
                    found |= self.always_kept(node.blocks[0])
                elif node.op is IF:
                    found |= set.intersection(*map(self.always_kept, node.blocks))
            self.kept_in[block] = found
        return self.kept_in[block]


def _told(found: frozenset[int], known: Mapping[int, bool]) -> frozenset[int]:
    return frozenset({i for i in found if known.get(i, True)} | {i for i, yes in known.items() if yes})


def _items(arg: Value) -> list[Value]:
    """The tensors in an argument: itself, or those of a list that is built here."""
    if arg.node is not None and arg.node.op.name in LISTS:
        return list(arg.node.args)
    return [] if arg.is_const else [arg]


def _root(value: Value) -> Value:
    """The value that `value` is a view of."""
    while value.node is not None and value.node.op.traits.view_of is not None:
        value = value.node.args[value.node.op.traits.view_of]
    return value
