"""Which parts of a graph are written in a form of their own: branches as expressions, loops with a header of their own.

Enters: a block (a whole function). Leaves: `Shape`. Nothing is written here; names and text follow what is decided
here.
Invariant: what is an expression here consists of nodes whose results are used once, in exactly the order of their
evaluation.
"""

from __future__ import annotations

from specjit.codegen.generic.expressions import STATEMENTS, order
from specjit.codegen.generic.headers import Header, header
from specjit.codegen.generic.turns import Turn, plain_turn, settle, turn_of
from specjit.ir.graph import Block, Node, Value, uses
from specjit.ir.structure import IF, LOOP

MAX_EXPRESSION = 12  # nodes in one branch of a conditional expression


def tested_value(node: Node, counts: dict[Value, int]) -> Value:
    """What an `if` tests: the argument of `py.bool`, if that is only for the test."""
    cond = node.args[0]
    given = any(o is cond for b in node.blocks for o in b.outputs)
    if cond.node is not None and cond.node.op.name == "py.bool" and counts.get(cond) == 1 and not given:
        return cond.node.args[0]
    return cond


class Shape:
    """How nodes are written.

    headers      the form of `for` statements
    replaced     nodes that such a form says in another way: they have no line
    expressions  `if` nodes written as `and`, `or` or a ternary
    counts       how often a value stands in the text
    """

    def __init__(self, block: Block) -> None:
        self.counts = {v: len(u) for v, u in uses(block).items()}
        self._uses = dict(self.counts)
        self.expressions: set[Node] = set()
        self.headers: dict[Node, Header] = {}
        self.replaced: set[Node] = set()
        self.turns: dict[Node, Turn] = {}
        self._find(block)

    def _find(self, block: Block) -> None:
        for node in block.nodes:
            for inner in node.blocks:
                self._find(inner)
            form = header(node, self.counts) if node.op is LOOP else None
            if form is not None:
                self.headers[node] = form
                self._replace(node.args[0], form)
            if node.op is LOOP:
                self._turn(node, block, form)
            if node.op is IF and len(node.results) == 1 and all(self._as_expression(b, node) for b in node.blocks):
                self.expressions.add(node)
                self._operand(node)

    def _turn(self, node: Node, block: Block, form: Header | None) -> None:
        """How a loop's turns are written; a `while` keeps its header if that is one expression."""
        turn = turn_of(node, self._uses, block)
        if turn.test is not None:
            made = {r for n in turn.test.walk() for r in n.results}
            for v, used in uses(turn.test).items():
                # A value from outside needs a variable: a header is evaluated more than once.
                self.counts[v] = self.counts.get(v, 0) + len(used) + (v not in made)
            self._find(turn.test)
            if settle(turn.test.outputs[0], {}).is_const or not self._as_expression(turn.test, node):
                turn = plain_turn(node)
        self.turns[node] = turn
        self.replaced |= {n for n in turn.replaced if n.results}
        if form is not None:
            turn.main = turn.main[form.skip :]

    def _replace(self, trip: Value, form: Header) -> None:
        """Nodes that compute a trip count which the header says in another way."""
        if form.trip in ("drop", "span") and trip.node is not None:
            self.replaced.add(trip.node)
            if form.trip == "span" and trip.node.args[0].node is not None:
                self.replaced.add(trip.node.args[0].node)

    def _operand(self, node: Node) -> None:
        """`and` and `or` give back the value that they test: as text it stands there once."""
        tested = tested_value(node, self.counts)
        for block in node.blocks:
            if not block.nodes and block.outputs[0] is tested and not tested.is_const:
                self.counts[tested] -= 1
                return

    def _as_expression(self, block: Block, whole: Node) -> bool:
        """Whether the block is one expression, on the line of `whole`: every value is used once, by the next thing
        evaluated."""
        if len(block.nodes) > MAX_EXPRESSION:
            return False
        inside = {r for node in block.nodes for r in node.results}
        stack: list[Value] = []
        for node in block.nodes:
            if len(node.results) != 1 or self.counts.get(node.results[0]) != 1 or node.op.name in STATEMENTS:
                return False
            if node.loc and whole.loc and (node.loc.line, node.loc.file) != (whole.loc.line, whole.loc.file):
                return False
            if node.blocks and node not in self.expressions:
                return False
            wanted = [a for a in order(node) if a in inside]
            if wanted:
                if stack[-len(wanted) :] != wanted:
                    return False
                del stack[-len(wanted) :]
            stack.append(node.results[0])
        (out,) = block.outputs
        return stack == [out] if out in inside else not stack
