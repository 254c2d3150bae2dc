"""Turning loops round: a loop that reads its sequences from the last row on counts down instead.

    for i in range(T):                         for i in reversed(range(T)):
        ... x[T - 1 - i] ...            ->         ... x[i] ...
        ys.append(y)                               ys.append(y), which puts turn i's at i
    flip(stack(ys))                            stack(ys)

Enters: typed graphs. Leaves: such loops (the other direction of a recurrent layer) in a form in which row i belongs to
turn i, which is what `hoist`, `sink`, differentiation and the scheduler look for. The turns do what they did, in the
same order.
Legality: nothing in the body can see the index but through `trip - 1 - i`; and what the turns stack is read through
`flip` only, so that no row is moved that was not moved before.
"""

from __future__ import annotations

from specjit.ir.graph import Block, Graph, Node, Value, replace_uses, uses
from specjit.ir.structure import LOOP, trip_dim
from specjit.passes.aliases import Aliases
from specjit.passes.manager import Context
from specjit.passes.rows import Loop, affine


def run(graph: Graph, ctx: Context) -> None:
    loops = [node for node in graph.walk() if node.op is LOOP and node.args[0].type.kind == "int"]
    aliases: Aliases | None = None
    for node in loops:
        countdown = _Countdown(node)
        if not countdown.found:
            continue
        aliases = aliases or Aliases(graph)
        flips = _flips(node, graph.block, aliases)
        if flips is not None and ctx.fire("a loop that reads rows from the last one on counts down", node.loc):
            countdown.turn()
            replace_uses(graph.block, flips)


class _Countdown:
    """What a loop's body does with its index. `found`: it reads rows from the last one on, and knows nothing of the
    index but how many turns come after."""

    def __init__(self, node: Node) -> None:
        self.loop = Loop(node)
        self.mirrored: dict[Value, Value] = {}  # values trip - 1 - i, with the index that takes their place
        self.selects: list[Node] = []
        self.found = bool(trip_dim(node) is not None and self._follow() and self._pays())

    def _follow(self) -> bool:
        """Collect all that depends on the index, as far as it has the form i + n or n - i; False if there is more."""
        body = self.loop.body
        index = body.params[0]
        readers = uses(body)
        todo = [index]
        while todo:
            for reader, _ in readers.get(todo.pop(), ()):
                if isinstance(reader, Block):
                    return False
                read = self.loop.row_read(reader)
                if read is not None and read.turned and self.loop.whole(read):
                    self.selects.append(reader)
                    continue
                place = affine(reader.results[0], (index,)) if len(reader.results) == 1 else None
                if place is None:
                    return False
                if place[1:] == (-1, _last(self.loop)):
                    self.mirrored[reader.result] = index
                else:
                    todo.append(reader.result)
        return True

    def _pays(self) -> bool:
        reads = (self.loop.row_read(node) for node in self.loop.body.walk())
        return any(read is not None and read.turned and self.loop.whole(read) for read in reads)

    def turn(self) -> None:
        node, body = self.loop.node, self.loop.body
        if not node.attrs.pop("reverse", False):
            node.attrs["reverse"] = True
        for select in self.selects:
            select.args[2] = body.params[0]
        replace_uses(body, self.mirrored)


def _last(loop: Loop) -> object:
    return None if loop.trip is None else loop.trip - 1


def _flips(node: Node, block: Block, aliases: Aliases) -> dict[Value, Value] | None:
    """For each `flip` of what the loop stacks, the stack that takes its place; None if a stack is read otherwise."""
    carried = len(node.args) - 2
    stacks = node.results[carried:]
    readers = uses(block)
    found: dict[Value, Value] = {}
    for stack in stacks:
        flips = [reader for reader, _ in readers.get(stack, ())]
        # Two flips are two tensors: one stack cannot be both.
        if len(flips) > 1 or not all(_flips_rows(flip) for flip in flips) or aliases.written(stack):
            return None
        found.update((flip.results[0], stack) for flip in flips if isinstance(flip, Node))
    return found if not any(map(aliases.written, found)) else None


def _flips_rows(node: Node | Block) -> bool:
    return (
        isinstance(node, Node) and node.op.name == "flip" and node.args[1].is_const and list(node.args[1].const) == [0]
    )
