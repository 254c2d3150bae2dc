"""Where a place in a program leads, if nothing has to run on the way.

Enters: a place (`After`), and what is known there. Leaves: a `Jump`: `return`, `break` or `continue` with its values,
or None where code stands in the way or a choice is open.
Invariant: the values of a jump exist where it starts.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from specjit.codegen.generic.turns import FALSE, TRUE, settle
from specjit.ir.constants import same
from specjit.ir.graph import Block, Node, Value
from specjit.ir.structure import IF, LOOP, StructuralOp

RETURN, BREAK, CONTINUE = StructuralOp("return"), StructuralOp("break"), StructuralOp("continue")
EXITS = (RETURN, BREAK, CONTINUE)
ALIASES = ("py.refine", "py.renew")

Env = dict[Value, Value]  # what a value of the block became in the copy
Facts = dict[Value, Value]  # what a value of the copy is known to be


class After(NamedTuple):
    """What comes after `block` has ended: its `owner` (None: the function returns), then `nodes[at:]` of the block
    around it, then what comes after that (`parent`). closed: a place that nothing can jump out of."""

    block: Block
    owner: Node | None = None
    nodes: list[Node] = []
    at: int = 0
    parent: After | None = None
    closed: bool = False


class Jump(NamedTuple):
    """An exit: its arguments, what must be built for them first, and whether it passes over code."""

    op: StructuralOp
    values: list[Value]
    before: list[Node]
    skips: bool


class Road:
    """Follows what comes after a point, through nodes that only choose, to where it must jump."""

    def __init__(self, facts: Facts) -> None:
        self.facts = facts
        self.built: list[Node] = []
        self.skips = False
        self.env: Env = {}

    def look(self, v: Value) -> Value | None:
        """What a value is; None for what is not computed at this point."""
        if v.is_const:
            return v
        found = self.env.get(v)
        return None if found is None else settle(found, self.facts)

    def looks(self, wanted: Iterable[Value]) -> list[Value] | None:
        found = [self.look(v) for v in wanted]
        return None if any(v is None for v in found) else found  # type: ignore[return-value]

    def follow(self, at: After, env: Env) -> Jump | None:
        """The jump from the point that `at.nodes[at.at:]` follows."""
        self.env = env
        while True:
            if not self.pass_over(at.nodes, at.at):
                return None
            assert at.parent is not None
            at = at.parent
            if at.closed:
                return None
            owner = at.owner
            if owner is None:
                return self.ending(RETURN, at.block.outputs)
            if owner.op is LOOP:
                return self.turn(at, owner)
            for r, o in zip(owner.results, at.block.outputs):
                self.set(r, self.look(o))

    def set(self, v: Value, to: Value | None) -> None:
        if to is None:
            self.env.pop(v, None)
        else:
            self.env[v] = to

    def turn(self, at: After, owner: Node) -> Jump | None:
        go_on = self.look(at.block.outputs[0])
        carried = len(owner.args) - 2
        if go_on is None or not go_on.is_const or len(owner.results) > carried:
            return None
        here = self.ending(CONTINUE if go_on.const else BREAK, at.block.outputs[1:])
        if go_on.const:
            return here
        onwards = Road(self.facts)
        onwards.skips, onwards.built = True, list(self.built)
        known = [(r, self.look(o)) for r, o in zip(owner.results, at.block.outputs[1:])]
        found = onwards.follow(at, {**self.env, **{r: v for r, v in known if v is not None}})
        return found if found is not None and found.op is RETURN else here

    def ending(self, op: StructuralOp, outputs: list[Value]) -> Jump | None:
        values = self.looks(outputs)
        return None if values is None else Jump(op, values, self.built, self.skips)

    def pass_over(self, nodes: list[Node], start: int = 0) -> bool:
        """Whether nothing in `nodes[start:]` has to run; their results are then in `env`."""
        for k in range(start, len(nodes)):
            node = nodes[k]
            name = node.op.name
            if node.op is IF:
                if not self.choose(node):
                    return False
            elif name == "py.not":
                value = self.look(node.args[0])
                known = value is not None and value.is_const
                self.set(node.result, (FALSE if value.const else TRUE) if known and value is not None else None)
            elif name in ALIASES:
                self.set(node.result, self.look(node.args[0]))
            elif name == "py.bound":
                has = self.look(node.args[2])
                if has is None or not (has.is_const and has.const is True):
                    return False
                self.set(node.result, self.look(node.args[0]))
            elif name == "py.tuple":
                parts = self.looks(node.args)
                if parts is not None:
                    self.built.append(Node(node.op, parts, [node.result.type], loc=node.loc))
                self.set(node.result, self.built[-1].result if parts is not None else None)
            else:
                return False
        return True

    def choose(self, node: Node) -> bool:
        self.skips = self.skips or any(b.nodes for b in node.blocks)
        cond = self.look(node.args[0])
        if cond is not None and cond.is_const:
            block = node.blocks[0 if cond.const else 1]
            if not self.pass_over(block.nodes):
                return False
            for r, o in zip(node.results, block.outputs):
                self.set(r, self.look(o))
            return True
        if any(b.nodes for b in node.blocks):
            return False
        for r, a, b in zip(node.results, *(block.outputs for block in node.blocks)):
            one, two = self.look(a), self.look(b)
            self.set(r, one if one is not None and two is not None and equal(one, two) else None)
        return True


def learn(v: Value, holds: Value, facts: Facts) -> None:
    """Note that a condition has a truth value, and what follows from it."""
    facts[v] = holds
    node = v.node
    if node is None:
        return
    if node.op.name == "py.not":
        learn(node.args[0], FALSE if holds.const else TRUE, facts)
    elif node.op is IF and not any(b.nodes for b in node.blocks):
        k = node.results.index(v)
        outs = [b.outputs[k] for b in node.blocks]
        for out, other, side in zip(outs, outs[::-1], (TRUE, FALSE)):
            if out.is_const and isinstance(out.const, bool) and out.const is not holds.const:
                learn(node.args[0], FALSE if side.const else TRUE, facts)
                if not other.is_const and other.type.kind == "bool":
                    learn(other, holds, facts)
                return


def equal(a: Value, b: Value) -> bool:
    return a is b or (a.is_const and b.is_const and (a.const is b.const or same(a.const, b.const)))
