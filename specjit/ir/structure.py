"""The control-flow nodes `if`, `loop`, `region`, `with`, and those of exceptions (`try`, `finally`, `using`), as
records in the shape every op has.

Invariant: the result types of a structural node come from its blocks' outputs, never from its arguments alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from specjit.ir.dims import Dim
from specjit.ir.graph import Block, Location, Node, Value
from specjit.ir.traits import PURE, Traits
from specjit.ir.types import Type, join


@dataclass(frozen=True, eq=False)
class StructuralOp:
    """A node kind whose meaning is its blocks. Its effects are those of the nodes inside (`ir.effects`)."""

    name: str
    traits: Traits = PURE
    params: tuple[Any, ...] = ()

    def infer(self, *args: Any) -> Any:
        raise TypeError(f"{self.name} is typed by its blocks: use ir.structure.result_types")


IF = StructuralOp("if")
LOOP = StructuralOp("loop")
REGION = StructuralOp("region")
# attrs["grad"]: whether ops inside record gradients. Its block runs once, in that mode; results are the block's
# outputs.
WITH = StructuralOp("with")
# The nodes of exceptions have two blocks. Values of the first one exist nowhere else, since it may be left anywhere;
# what the second one needs of them goes through cells (`py.cell`).
# try      blocks body, handler(exception); the handler runs if the body raises; results = their outputs, as of an `if`.
# finally  blocks body, last; the last one runs however the body ends, and an exception goes on after it; results =
#          the outputs of both, one after the other.
# using    args (manager); blocks body(entered), suppressed: a context manager around the body; the second block runs
#          if the manager suppresses an exception; results = their outputs, as of an `if`.
TRY = StructuralOp("try")
FINALLY = StructuralOp("finally")
USING = StructuralOp("using")
EXCEPTIONAL = (TRY, FINALLY, USING)
SECOND: dict[object, str] = {TRY: "except", FINALLY: "then", USING: "suppressed"}  # as text, before the second block


def stacked(row: Type, trip: Dim) -> Type:
    """The type of a scan output: `row` with a leading dim."""
    return row.with_(dims=None if row.dims is None else (trip, *row.dims))


def trip_dim(node: Node) -> Dim:
    trip = node.args[0]
    return trip.const if trip.is_const else trip.type.dim


def result_types(node: Node) -> list[Type]:
    """Result types of a structural node, from its blocks."""
    if node.op is FINALLY:
        return [o.type for block in node.blocks for o in block.outputs]
    if node.op is IF or node.op is TRY or node.op is USING:
        then, other = node.blocks
        return [join(a.type, b.type) for a, b in zip(then.outputs, other.outputs, strict=True)]
    (block,) = node.blocks
    if node.op is REGION or node.op is WITH:
        return [o.type for o in block.outputs]
    carried = len(node.args) - 2
    outs = block.outputs[1:]
    kept = [join(init.type, out.type) for init, out in zip(node.args[2:], outs[:carried], strict=True)]
    return kept + [stacked(o.type, trip_dim(node)) for o in outs[carried:]]


def make_if(block: Block, cond: Value, then: Block, other: Block, loc: Location | None = None, hints: Any = ()) -> Node:
    """Append an `if`; its results are the joined outputs of the two branches."""
    node = Node(IF, [cond], [], blocks=[then, other], loc=loc)
    return _finish(block, node, hints)


def make_loop(
    block: Block,
    trip: Value,
    cond: Value,
    carried: list[Value],
    body: Block,
    *,
    reverse: bool = False,
    loc: Location | None = None,
    hints: Any = (),
) -> Node:
    """Append a `loop` around `body` (see `ir.graph` for the shape of its parameters and outputs)."""
    node = Node(LOOP, [trip, cond, *carried], [], blocks=[body], loc=loc, attrs={"reverse": True} if reverse else {})
    return _finish(block, node, hints)


def _finish(block: Block, node: Node, hints: Any) -> Node:
    node.results = [Value(t, node, hints[i] if i < len(hints) else "") for i, t in enumerate(result_types(node))]
    block.nodes.append(node)
    return node


def effects(node: Node) -> Traits:
    """The traits of a node with what its blocks do added: writes to inner values stay inside, everything else shows."""
    if not node.blocks:
        return node.op.traits
    random = io = reads = False
    writes = False
    for block in node.blocks:
        for inner in block.nodes:
            t = effects(inner)
            random, io, reads = random or t.random, io or t.io, reads or t.reads
            writes = writes or bool(t.writes)
    return Traits(random=random, io=io or writes, reads=reads)
