"""Control flow of generated Python: `if`, conditional expressions, `for`, `while`.

Enters: `if` and `loop` nodes. Leaves: Python's own statements.
Invariant: variables that a turn or a branch changes are bound at its end, together; conditions are evaluated before
them.
"""

from __future__ import annotations

from dataclasses import replace

from specjit.codegen.generic.expressions import AND, OR, PRODUCT, TERNARY, Text, truth
from specjit.codegen.generic.headers import Header
from specjit.codegen.generic.jumps import BREAK
from specjit.codegen.generic.leftovers import is_dead
from specjit.codegen.generic.shapes import tested_value
from specjit.codegen.generic.turns import FLAGGED, TRUE, Turn, goes_on, settle
from specjit.codegen.generic.writer import Writer, negation, place, single_if
from specjit.ir.graph import Block, Location, Node, Value


class FlowWriter(Writer):
    """Writes the nodes that have blocks."""

    def branch(self, node: Node) -> None:
        if node in self.shape.expressions:
            self.conditional(node)
            return
        (cond,) = self.statement(node.args)
        then, other = node.blocks
        sides = [self.side(block, node) for block in (then, other)]
        first, second = sides
        if not first[0] and not second[0]:
            return
        text = truth(cond).text
        if not first[0]:
            text, first, second = negation(cond), second, first
        self.line(f"if {text}:")
        self.include(first)
        if second[0] and any(map(is_dead, node.blocks)):
            self.include(([line[4:] for line in second[0]], second[1]))
        elif second[0]:
            if second[0][0].lstrip().startswith("if ") and single_if(second[0], self.depth + 1):
                self.splice_elif(second)
            else:
                self.line("else:")
                self.include(second)

    def side(self, block: Block, node: Node, skip: int = 0) -> tuple[list[str], list[tuple[Location, ...]]]:
        """The lines of a branch, which ends by binding the node's results (but the first `skip`)."""
        saved = self.lines, self.places, self.here
        self.lines, self.places = [], []
        self.depth += 1
        self.nodes(block)
        used = [(r, o) for r, o in zip(node.results[skip:], block.outputs) if self.counts.get(r)]
        self.assign([(self.names[r], o) for r, o in used])  # nothing where a jump has ended the branch
        self.depth -= 1
        out = self.lines, self.places
        self.lines, self.places, self.here = saved
        return out

    def include(self, side: tuple[list[str], list[tuple[Location, ...]]]) -> None:
        self.lines += side[0]
        self.places += side[1]

    def splice_elif(self, side: tuple[list[str], list[tuple[Location, ...]]]) -> None:
        lines = [line[4:] for line in side[0]]
        lines[0] = lines[0].replace("if ", "elif ", 1)
        self.lines += lines
        self.places += side[1]

    def conditional(self, node: Node) -> None:
        """An `if` whose branches are expressions: `and`, `or` or a ternary."""
        self.here = place(node)
        tested = tested_value(node, self.counts)
        same = [not b.nodes and b.outputs[0] is tested and not tested.is_const for b in node.blocks]
        first, second = (None if s else self.branch_text(b) for s, b in zip(same, node.blocks))
        self.here = place(node)
        (c,) = self.take(node.args)
        if second is None and first is not None:
            text = Text(f"{truth(c).at(AND)} and {first.at(AND)}", AND)
        elif first is None and second is not None:
            text = Text(f"{truth(c).at(OR)} or {second.at(OR)}", OR)
        elif first is None or second is None:
            text = truth(c)
        else:
            text = Text(f"{first.at(OR)} if {truth(c).at(OR)} else {second.at(TERNARY)}", TERNARY)
        self.give(node.result, text)

    def branch_text(self, block: Block) -> Text:
        """The one expression that a block consists of (`shapes.as_expression` says it is one)."""
        saved, self.pending = self.pending, []
        self.one_line += 1
        self.nodes(block)
        (text,) = self.take(block.outputs)
        self.one_line -= 1
        assert not self.pending
        self.pending = saved
        return text

    def loop(self, node: Node) -> None:
        """A loop with a trip count, or a `while`: its header is the test, if every turn ends with the same text."""
        trip = node.args[0]
        if trip.is_const and trip.const is None:
            self.while_loop(node)
            return
        self.for_loop(node)

    def start(self, node: Node) -> list[str]:
        """Bind what a loop carries, and make the lists of its stacked outputs."""
        body = node.blocks[0]
        carried = len(node.args) - 2
        self.assign([(self.names[p], a) for p, a in zip(body.params[1:], node.args[2:])])
        rows = []
        for r in node.results[carried:]:
            rows.append(self.names.unique(f"{self.names[r]}_rows"))
            self.line(f"{rows[-1]} = []")
        return rows

    def turn(self, node: Node, turn: Turn, rows: list[tuple[str, Value]], flag: str = "") -> None:
        """The lines of one turn. flag: the variable that says whether to go on."""
        self.depth += 1
        self.loops.append(node)
        begin = len(self.lines)
        if turn.began is not None:
            self.line(f"{self.names[turn.began]} = True")
        for inner in turn.main:
            self.node(inner)
        if not is_dead(node.blocks[0]):
            if flag:
                (text,) = self.statement(node.blocks[0].outputs[:1])
                self.line(f"{flag} = {text.text}")
            self.turn_end(turn, rows)
        if len(self.lines) == begin:
            self.line("pass")
        self.loops.pop()
        self.depth -= 1
        for clause in node.blocks[1:]:
            self.line("else:")
            self.depth += 1
            self.nodes(clause)
            self.depth -= 1

    def jump(self, node: Node) -> None:
        """`break` or `continue`, once the loop's variables have their values."""
        loop = self.loops[-1]
        pairs = zip(loop.blocks[0].params[1:], loop.results, node.args)
        self.assign([(self.names[p], a) for p, r, a in pairs if node.op is not BREAK or self.counts.get(r)])
        self.line(node.op.name)

    def turn_end(self, turn: Turn, rows: list[tuple[str, Value]]) -> None:
        stop = settle(turn.stop, self.alias)
        leave: str | None = None
        if not stop.is_const:
            leave = self.leave(stop, goes_on(turn))
        for name, row in rows:
            (text,) = self.statement([row])
            self.line(f"{name}.append({text.at(TERNARY)})")
        self.assign([(self.names[p], o) for p, o in zip(turn.params, turn.outs)])
        if leave is not None:
            self.line(f"if {leave}:")
            self.line("    break")
        elif stop.const:
            self.line("break")

    def after(self, node: Node, rows: list[str]) -> None:
        body = node.blocks[0]
        carried = len(node.args) - 2
        self.here = place(node)
        moves = [(self.names[r], self.names[p]) for r, p in zip(node.results, body.params[1:]) if self.counts.get(r)]
        for target, source in moves:
            if target != source:
                self.line(f"{target} = {source}")
        for r, name in zip(node.results[carried:], rows):
            backwards = "[::-1]" if node.attrs.get("reverse") else ""
            row_type = self.scope.bind(r.type, "type_of_rows")
            self.line(f"{self.names[r]} = _stack_rows({name}{backwards}, {row_type})")

    def for_loop(self, node: Node) -> None:
        cond = node.args[1]
        body = node.blocks[0]
        form = self.shape.headers.get(node)
        over = self.span(node, form)
        self.flush()
        guarded = not (cond.is_const and cond.const)
        (first,) = self.statement([cond])
        rows = self.start(node)
        if guarded:
            self.line(f"if {truth(first).text}:")
            self.depth += 1
        self.line(f"for {self.loop_target(node, form)} in {over}:")
        turn = self.shape.turns[node]
        carried = len(node.args) - 2
        self.turn(node, self.only(turn, carried), list(zip(rows, body.outputs[1 + carried :])))
        self.depth -= guarded
        self.after(node, rows)

    def span(self, node: Node, form: Header | None) -> str:
        """What a `for` runs over. It takes the trip count off the waiting expressions, or what the count was made
        from."""
        trip = node.args[0]
        if form is None or form.kind == "range":
            parts: tuple[Value | int, ...] = form.parts if form else (0, trip, 1)
            if form is None and node.attrs.get("reverse"):
                (text,) = self.take([trip])
                return f"range({text.at(PRODUCT)} - 1, -1, -1)"
            values = [p for p in parts if isinstance(p, Value)]
            texts = iter(self.take(values))
            shown = [next(texts).at(TERNARY) if isinstance(p, Value) else str(p) for p in parts]
            if shown[2] == "1":
                shown = shown[:2] if shown[0] != "0" else shown[1:2]
            return f"range({', '.join(shown)})"
        (sequence,) = form.parts
        assert isinstance(sequence, Value)
        (text,) = self.take([sequence])
        return text.text if form.kind == "each" else f"enumerate({text.text})"

    def loop_target(self, node: Node, form: Header | None) -> str:
        index = node.blocks[0].params[0]
        if form is None:
            return self.names[index] if self.counts.get(index) else "_"
        item = self.names[form.item] if self.counts.get(form.item) else "_"
        return f"{self.names[index]}, {item}" if form.kind == "enumerate" else item

    def only(self, turn: Turn, carried: int) -> Turn:
        """The turn without its stacked outputs, which are appended to lists."""
        return replace(turn, params=turn.params[:carried], outs=turn.outs[:carried])

    def leave(self, stop: Value, negated: bool) -> str:
        """The condition under which a loop is left, evaluated before variables move on."""
        (text,) = self.take([stop])
        self.flush()
        out = negation(text) if negated else truth(text).text
        if not out.replace("not ", "").isidentifier():
            name = self.names.unique("leave")
            self.line(f"{name} = {out}")
            return name
        return out

    def while_loop(self, node: Node) -> None:
        cond = node.args[1]
        turn = self.shape.turns[node]
        forever = cond.is_const and bool(cond.const)
        if turn.item is not None and turn.iterator is not None:
            (text,) = self.take([turn.iterator])
            self.flush()
            self.bind(node, turn)
            if turn.began is not None:
                self.line(f"{self.names[turn.began]} = False")
            self.line(f"for {self.names[turn.item]} in {text.text}:")
            self.turn(node, turn, [])
        elif turn.test is not None:
            self.flush()
            self.bind(node, turn)
            header = self.branch_text(turn.test)
            self.line(f"while {truth(header).text}:")
            self.turn(node, turn, [])
        elif forever:
            self.flush()
            self.bind(node, turn)
            self.line("while True:")
            body = node.blocks[0]
            go_on = body.outputs[0]
            ending = replace(turn, stop=TRUE if go_on.is_const and not go_on.const else turn.stop)
            if go_on.is_const:
                self.turn(node, ending, [])
            else:
                self.turn(node, replace(turn, stop=go_on, replaced=FLAGGED), [])
        else:
            self.flagged(node, turn)
        self.after(node, [])

    def bind(self, node: Node, turn: Turn) -> None:
        """Initial values of what the loop carries."""
        params = node.blocks[0].params[1:]
        self.assign([(self.names[p], a) for p, a in zip(params, node.args[2:]) if p in turn.params])

    def flagged(self, node: Node, turn: Turn) -> None:
        """A `while` whose test is no single expression: a variable says whether to go on."""
        (first,) = self.statement([node.args[1]])
        self.bind(node, turn)
        flag = self.names.unique("go_on")
        self.line(f"{flag} = {first.text}")
        self.line(f"while {flag}:")
        self.turn(node, turn, [], flag)
