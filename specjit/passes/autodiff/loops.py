"""Reverse mode through loops.

Enters: a forward loop, the gradients of its results, and what reverses a block (`reverse`). Leaves: a loop in
the backward block that runs the turns the other way.
Invariant: the reversed loop makes as many turns as the forward loop made.

The reversed loop carries the gradients of the carried values. What the body reads from outside gets
  - a row of a stack, when it is read as `select(x, axis, i)` by the induction variable: no scatter per step;
  - an accumulator otherwise, one per contribution, always as `acc' = add(acc, contribution)` from zeros, so that a
    later pass can turn a product summed over the turns into one product after the loop.

A loop with a condition counts its turns in the forward block, and the reversed loop makes that many: turn j of it
reverses turn `turns - 1 - j`. A `while` loop, which has no trip count, gets one there: its room, a size that the caller
gives. What is kept of a turn then has a place in a stack of that many rows. A loop that would need more room says so
(`py.room`), and the caller runs the forward block again with more.

Whether a gradient is there at all (`when`) may differ from turn to turn. The body is therefore reversed under
an assumption, and again under what follows from it; if that settles, the facts around the loop say it. Else the loop
carries a bool for each.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from specjit.ir.builder import Builder
from specjit.ir.dims import symbol
from specjit.ir.graph import Block, Node, OpLike, Value, free_values
from specjit.ir.structure import LOOP, make_if, make_loop, trip_dim
from specjit.ir.types import BOOL, INT, Type
from specjit.passes.autodiff.gradients import (
    Gradient,
    GradientBuilder,
    Gradients,
    Key,
    OpenLoop,
    RefusedError,
    Row,
    place_rows,
)
from specjit.passes.autodiff.when import NEVER, When, as_value, either

if TYPE_CHECKING:
    from specjit.passes.autodiff.reverse import Reverse


# -- the forward block ------------------------------------------------------------------------------------------------


@dataclass
class Turns:
    """How often the loops with a condition turned: of each such loop the result that says so. `rooms`: the ints, to
    become inputs, that give `while` loops a trip count."""

    of: dict[Node, Value] = field(default_factory=dict)
    rooms: list[Value] = field(default_factory=list)


def is_full(loop: Node) -> bool:
    """Whether a loop makes all its turns, whatever happens in them."""
    trip, cond = loop.args[:2]
    return trip.type.kind == "int" and is_true(cond) and is_true(loop.blocks[0].outputs[0])


def is_true(value: Value) -> bool:
    return value.is_const and value.const is True


def count_turns(block: Block, active: set[Value], lookup: Callable[[str], OpLike], turns: Turns) -> None:
    """Have every loop in `block` that gradients flow through and that a condition may end count its turns."""
    nodes: list[Node] = []
    for node in block.nodes:
        for inner in node.blocks:
            count_turns(inner, active, lookup, turns)
        nodes.append(node)
        if node.op is not LOOP or is_full(node) or not any(r in active for r in node.results):
            continue
        if node.attrs.get("reverse"):
            raise RefusedError("a loop that runs backwards and has a condition has no gradient rule", node.loc)
        (body,) = node.blocks
        builder = Builder(body, lookup, node.loc)
        turns.of[node] = _carry(node, Value.constant(0), INT, builder.call("py.add", body.params[0], 1), "turns")
        if node.args[0].is_const and node.args[0].const is None:
            name = f"room{len(turns.rooms)}"
            turns.rooms.append(Value(Type.int(symbol(name)), None, name))
            node.args[0] = turns.rooms[-1]
            more = _carry(node, node.args[1], BOOL, body.outputs[0], "more")
            after = Builder(Block(), lookup, node.loc)
            enough = after.call("py.not", more)
            after.block.append(lookup("py.room"), [enough], [], loc=node.loc)
            nodes += after.block.nodes
    block.nodes = nodes


def _carry(loop: Node, start: Value, type: Type, following: Value, hint: str) -> Value:
    """Have a loop carry one more value; its result."""
    (body,) = loop.blocks
    n = len(loop.args) - 2
    loop.args.append(start)
    body.param(type, hint)
    body.outputs.insert(1 + n, following)
    loop.results.insert(n, Value(type, loop, hint))
    return loop.results[n]


# -- the backward block -----------------------------------------------------------------------------------------------


@dataclass
class Turn:
    """The reversed body of a loop: the gradients of what is carried into a turn, of rows, and the contributions to
    what is summed over the turns."""

    block: Block
    carried: list[Gradient]
    rows: dict[Row, Gradient]
    sums: list[tuple[Key, Gradient]]

    def whens(self) -> list[When]:
        """Of what adds up over the turns."""
        return [g.when for g in (*(g for _, g in self.sums), *self.rows.values())]


class LoopReverse:
    """Reverses one loop; `found` are the gradients of its results."""

    def __init__(self, reverse: Reverse, node: Node, found: list[Gradient | None], grads: Gradients) -> None:
        self.reverse, self.node, self.found, self.grads = reverse, node, found, grads
        self.outer: GradientBuilder = grads.builder
        self.trip, self.cond, *self.inits = node.args
        (self.body,) = node.blocks
        self.turns = reverse.turns.get(node)
        if self.turns is None and not is_full(node):
            raise RefusedError("a loop with a condition has no gradient rule here", node.loc)
        self.carried = _carrying(node, found, reverse.active)

    def run(self) -> None:
        """Append the reversed loop and hand on what it finds."""
        starts = [self.found[k] for k in self.carried]
        whens = [NEVER if g is None else g.when for g in starts]
        values = [
            self.outer.zeros(self.node.results[k]) if g is None else g.value for k, g in zip(self.carried, starts)
        ]
        first = self.turn(whens)
        if self.settles(first, whens, first):
            return self.place(first, values, whens)
        then = [g.when for g in first.carried]
        second = self.turn(then)
        if self.settles(second, then, first) and all(map(self.grows, whens, then)):
            return self.place(second, values, [self.after(a, b) for a, b in zip(whens, then)])
        return self.place_tracked(values, whens)

    # what a turn computes

    def turn(self, whens: list[When] | None) -> Turn:
        """The reversed body, if the gradients of what is carried out of a turn are there when `whens` say; None: when
        bools say that are carried along."""
        block = Block()
        index = block.param(self.body.params[0].type, self.body.params[0].hint)
        inner = Gradients(self.outer.inner(block))
        carries = [
            block.param(plain(self.body.params[1 + k].type), hint_of(self.body.params[1 + k])) for k in self.carried
        ]
        if whens is None:
            whens = [When(frozenset(), block.param(BOOL)) for _ in self.carried]
        active = self.reverse.active
        for k, carry, when in zip(self.carried, carries, whens):
            if self.body.outputs[1 + k] in active:
                inner.add(self.body.outputs[1 + k], carry, when)
        n = len(self.inits)
        for output, g in zip(self.body.outputs[1 + n :], self.found[n:]):
            if g is not None and output in active:
                row = turn_reversed(inner.builder, index, self.turns)
                inner.add(output, inner.builder.call("select", g.value, 0, row), g.when)
        self.reverse.body(self.body, OpenLoop(values_inside(self.node), trip_dim(self.node), self.turns is None), inner)
        carried = [inner.taken(self.body.params[1 + k]) for k in self.carried]
        rows: dict[Row, Gradient] = {}
        sums: list[tuple[Key, Gradient]] = []
        for key in list(inner.parts):
            if isinstance(key, Row) and key.index is self.body.params[0]:
                rows[key] = inner.taken(key)
            else:
                sums += [(key, part) for part in inner.parts.pop(key)]
        return Turn(block, carried, rows, sums)

    # when the results are there

    def settles(self, turn: Turn, assumed: list[When], first: Turn) -> bool:
        """Whether what a turn assumed holds again for the turn before, so that all turns are like this one; and the
        `first` one too in what adds up over the turns."""
        following = [g.when for g in turn.carried]
        inside = {v for node in turn.block.nodes for v in node.results}
        known = all(w.value not in inside for w in (*following, *turn.whens()))
        return known and following == assumed and turn.whens() == first.whens()

    def grows(self, before: When, after: When) -> bool:
        return either([before, after], self.outer) == after

    def after(self, none: When, some: When) -> When:
        """`none` if the loop does not turn, else `some`, which holds whenever `none` does."""
        return none if none == some else either([none, self.turned(some)], self.outer)

    def turned(self, when: When) -> When:
        """What holds `when` in every turn, if there is one."""
        trip = trip_dim(self.node)
        if when.value is None and trip is not None and is_true(self.cond):
            return when.turned(trip)
        count = self.trip if self.turns is None else self.turns
        some = self.outer.call("py.gt", count, 0)
        return When(frozenset(), self.outer.call("py.and", as_value(when, self.outer), some))

    # the reversed loop

    def place(self, turn: Turn, starts: list[Value], whens: list[When]) -> None:
        """Append the loop around `turn`; its gradients are there when `whens`, and what its turns say, hold."""
        sums, nexts = self.summing(turn)
        results = self.emit(turn, [*starts, *sums], [g.value for g in turn.carried] + nexts)
        whens = whens + [self.turned(g.when) for _, g in turn.sums]
        self.deliver(turn, results, whens + [self.turned(g.when) for g in turn.rows.values()])

    def place_tracked(self, starts: list[Value], whens: list[When]) -> None:
        """The same, with a carried bool for each gradient that may be there or not."""
        turn = self.turn(None)
        builder = self.outer.inner(turn.block)
        starts = starts + [as_value(w, self.outer) for w in whens]
        nexts = [g.value for g in turn.carried] + [as_value(g.when, builder) for g in turn.carried]
        sums, added = self.summing(turn)
        flags: list[Value] = []
        for when in turn.whens():
            param = turn.block.param(BOOL)
            flags.append(builder.call("py.or", param, as_value(when, builder)))
        none = [Value.constant(False, BOOL)] * len(flags)
        results = self.emit(turn, [*starts, *sums, *none], nexts + added + flags)
        n, m = len(self.carried), len(turn.sums)
        said = results[n : 2 * n] + results[2 * n + m : 2 * n + m + len(flags)]
        gradients = results[:n] + results[2 * n : 2 * n + m] + results[2 * n + m + len(flags) :]
        self.deliver(turn, gradients, [When(frozenset(), v) for v in said])

    def summing(self, turn: Turn) -> tuple[list[Value], list[Value]]:
        """Zeros to start from, and the sums after the turn."""
        builder = self.outer.inner(turn.block)
        starts, nexts = [], []
        for key, part in turn.sums:
            starts.append(self.outer.zeros(key))
            total = turn.block.param(starts[-1].type, hint_of(key))
            nexts.append(builder.call("add", total, part.value))
        return starts, nexts

    def emit(self, turn: Turn, starts: list[Value], nexts: list[Value]) -> list[Value]:
        block, node = turn.block, self.node
        rows = [g.value for g in turn.rows.values()]
        hints = [hint_of(self.inits[k]) for k in self.carried]
        index = block.params[0]
        if self.turns is None:
            start = cond = Value.constant(True)
            reverse = not node.attrs.get("reverse")
        else:
            builder = self.outer.inner(block)
            start = self.outer.call("py.gt", self.turns, 0)
            cond = builder.call("py.lt", builder.call("py.add", index, 1), self.turns)
            reverse = False
        block.outputs = [cond, *nexts, *rows]
        made = make_loop(self.outer.block, self.trip, start, starts, block, reverse=reverse, loc=node.loc, hints=hints)
        self.reverse.mirrors(made, node, [block])
        return list(made.results)

    def deliver(self, turn: Turn, results: list[Value], whens: list[When]) -> None:
        """Say what the gradients are of: `results` are those of what is carried, of sums, and of rows."""
        targets: list[Key] = [*(self.inits[k] for k in self.carried), *(key for key, _ in turn.sums)]
        for key, result, when in zip(targets, results, whens):
            result.hint = result.hint or hint_of(key)
            if isinstance(key, Row) or key in self.reverse.active:
                self.grads.add(key, result, when)
        n = len(targets)
        for row, result, when in zip(turn.rows, results[n:], whens[n:]):
            result.hint = hint_of(row)
            rows = result if self.turns is None else self.in_order(result)
            self.grads.add(row.base, place_rows(self.outer, rows, row), when)

    def in_order(self, rows: Value) -> Value:
        """The rows of turns that ran the other way and perhaps not all: row i is that of turn i, zeros if it was
        not."""
        assert self.turns is not None
        block, taken, left = Block(), Block(), Block()
        index = block.param(Type.int(), self.body.params[0].hint)
        builder = self.outer.inner(block)
        ran = builder.call("py.lt", index, self.turns)
        there = self.outer.inner(taken)
        taken.outputs = [there.call("select", rows, 0, turn_reversed(there, index, self.turns))]
        left.outputs = [GradientBuilder.zeros(self.outer.inner(left), taken.outputs[0])]
        row = make_if(block, ran, taken, left, loc=self.node.loc).result
        block.outputs = [Value.constant(True), row]
        true = Value.constant(True)
        return make_loop(self.outer.block, self.trip, true, [], block, loc=self.node.loc, hints=[rows.hint]).result


def turn_reversed(builder: Builder, index: Value, turns: Value | None) -> Value:
    """The forward turn that turn `index` of a reversed loop reverses."""
    return index if turns is None else builder.call("py.sub", turns, builder.call("py.add", index, 1))


def _carrying(node: Node, found: list[Gradient | None], active: set[Value]) -> list[int]:
    """Which carried values of a loop have a gradient at the start of some turn."""
    (body,) = node.blocks
    n = len(node.args) - 2
    params = body.params[1:]
    on = {k for k in range(n) if found[k] is not None and params[k] in active}
    seeds = {o for o, g in zip(body.outputs[1 + n :], found[n:]) if g is not None}
    while True:
        reached = _reached(body, seeds | {body.outputs[1 + k] for k in on}, active)
        more = {k for k in range(n) if params[k] in reached and params[k] in active} - on
        if not more:
            return sorted(on)
        on |= more


def _reached(block: Block, seeds: Iterable[Value], active: set[Value]) -> set[Value]:
    """Values that gradients of `seeds` may flow to; structural nodes pass them on to everything they read."""
    reached = {s for s in seeds if s in active}
    for node in reversed(block.nodes):
        if any(r in reached for r in node.results):
            reads = [*node.args, *(v for inner in node.blocks for v in free_values(inner))]
            reached.update(a for a in reads if a in active)
    return reached


def values_inside(node: Node) -> set[Value]:
    """Everything defined in the blocks of a node."""
    inside: set[Value] = set()
    for block in node.blocks:
        inside.update(block.params)
        for inner in block.nodes:
            inside.update(inner.results)
            inside |= values_inside(inner)
    return inside


def plain(type: Type) -> Type:
    return type.with_(requires_grad=False)


def hint_of(key: Key) -> str:
    """The name of a gradient: d before the name of the value."""
    value = key if isinstance(key, Value) else key.base
    return f"d{value.hint}" if value.hint else ""
