"""The generic path: a graph as readable Python.

Enters: a graph, generic or typed, or a single block of one. Leaves: `GenericCode`: source, the compiled function, and the place in the
user's program of every line.
Invariant: the code evaluates nodes in the graph's order, each once. A value that is used once, by the node that comes next in evaluation
order, on the same user line, is written as a nested expression; anything else gets a variable. Control flow is Python's own.
"""

from __future__ import annotations

import linecache
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from specjit.codegen import pysupport
from specjit.codegen.pyexpr import AND, OR, TERNARY, Scope, Text, expression, index_text, order
from specjit.codegen.pyloops import Header
from specjit.codegen.pynames import Names
from specjit.codegen.pyshape import Shape
from specjit.ir.graph import Block, Graph, Location, Node, Value, free_values, uses
from specjit.ir.structure import IF, LOOP, REGION, WITH

ALIASES = ("py.refine", "py.renew")


@dataclass(frozen=True, slots=True)
class GenericCode:
    """Generated Python. `fn` takes the inputs; `linemap[line]` is the user's place, innermost, and the calls that led there."""

    name: str
    source: str
    fn: Callable[..., Any]
    linemap: dict[int, tuple[Location, ...]]


def generate(
    graph: Graph, *, name: str, regions: Sequence[Callable[..., Any]] | None = None, flat: bool | None = None
) -> GenericCode:
    """Python for a graph. `regions[i](*args) -> tuple` runs region node number i; without `regions` their blocks are written out.

    flat: the function returns the tuple of all outputs, even of one (default: when `regions` is given, or there is not exactly one).
    """
    whole = flat if flat is not None else regions is not None or len(graph.outputs) != 1
    return _Writer(graph.block, name, regions, whole).finish()


def generate_block(
    block: Block, inputs: Sequence[Value], *, name: str = "block", regions: Sequence[Callable[..., Any]] | None = None
) -> GenericCode:
    """Python for one block as a function of `inputs` (its parameters, or the outside values it uses); returns a tuple."""
    function = Block(inputs)
    function.nodes, function.outputs = block.nodes, block.outputs
    missing = free_values(function)
    if missing:
        raise ValueError(f"the block also uses {missing}")
    return _Writer(function, name, regions, True).finish()


@dataclass(slots=True)
class _Pending:
    """An expression that waits for its one use."""

    value: Value
    text: Text
    place: tuple[Location, ...]


class _Writer:
    """Writes one function. `pending` holds, in evaluation order, the expressions that no line contains yet."""

    def __init__(self, block: Block, name: str, regions: Sequence[Callable[..., Any]] | None, flat: bool) -> None:
        self.root, self.regions, self.flat = block, regions, flat
        self.name = "".join(c if c.isalnum() or c == "_" else "_" for c in name) or "graph"
        self.shape = Shape(block, flat)
        self.names = Names(block, {self.name, *pysupport.HELPERS}, self.shape)
        self.scope = Scope(self.names.used)
        self.counts = {v: len(u) for v, u in uses(block).items()}
        self.alias: dict[Value, Value] = {}
        self.lines: list[str] = []
        self.places: list[tuple[Location, ...]] = []
        self.depth = 1
        self.pending: list[_Pending] = []
        self.here: tuple[Location, ...] = ()
        self.region_count = 0
        self.one_line = 0  # inside an expression: places do not matter

    def finish(self) -> GenericCode:
        self.body(self.root)
        if not self.lines:
            self.line("pass")
        params = ", ".join(self.names[p] for p in self.root.params)
        source = "\n".join([f"def {self.name}({params}):", *self.lines, ""])
        linemap = {i + 2: place for i, place in enumerate(self.places) if place}
        file = f"<specjit {self.name} {pysupport.serial()}>"
        scope = {**pysupport.HELPERS, **self.scope.objects, "_places": linemap}
        exec(compile(pysupport.with_places(source, file), file, "exec"), scope)
        linecache.cache[file] = (len(source), None, source.splitlines(keepends=True), file)
        return GenericCode(self.name, source, scope[self.name], linemap)

    # lines and expressions

    def line(self, text: str, place: tuple[Location, ...] | None = None) -> None:
        self.lines.append("    " * self.depth + text)
        self.places.append(self.here if place is None else place)

    def resolve(self, v: Value) -> Value:
        while v in self.alias:
            v = self.alias[v]
        return v

    def flush(self, keep: int = 0) -> None:
        """Give every pending expression but the first `keep` a line of its own, in order."""
        waiting, self.pending = self.pending[keep:], self.pending[:keep]
        for p in waiting:
            self.line(f"{self.names[p.value]} = {p.text.text}", p.place)

    def take(self, values: Sequence[Value]) -> list[Text]:
        """Texts of values that the next piece of code evaluates in this order; fitting pending expressions become part of it."""
        wanted = [self.resolve(v) for v in values]
        tail: list[Value] = [p.value for p in self.pending]
        asked = [v for v in wanted if v in tail]
        fits = bool(asked) and tail[len(tail) - len(asked) :] == asked
        if fits:
            waiting = self.pending[len(self.pending) - len(asked) :]
            fits = self.one_line > 0 or all(self.same_line(p.place) for p in waiting)
        if asked and not fits:
            self.flush()
            asked = []
        texts = {p.value: p.text for p in self.pending[len(self.pending) - len(asked) :]} if asked else {}
        if asked:
            del self.pending[len(self.pending) - len(asked) :]
        return [texts[v] if v in texts else self.simple(v) for v in wanted]

    def same_line(self, place: tuple[Location, ...]) -> bool:
        a, b = place[:1], self.here[:1]
        return not a or not b or (a[0].line == b[0].line and a[0].file == b[0].file and place[1:] == self.here[1:])

    def simple(self, v: Value) -> Text:
        if v.is_const:
            return self.scope.constant(v.const)
        return Text(self.names[v])

    def statement(self, values: Sequence[Value]) -> list[Text]:
        """Like `take`, for a line that is written now: everything else that waits comes first."""
        texts = self.take(values)
        self.flush()
        return texts

    def give(self, v: Value, text: Text) -> None:
        """The value of an expression: it waits if it is used once, else it is assigned."""
        if self.counts.get(v, 0) == 1 and v not in self.names.of:
            self.pending.append(_Pending(v, text, self.here))
        else:
            self.flush()
            if self.counts.get(v, 0):
                self.line(f"{self.names[v]} = {text.text}")
            else:
                self.line(text.text)

    # blocks

    def body(self, block: Block) -> None:
        """The function's own block: ends in `return`."""
        self.tail(block.nodes, block.outputs)

    def tail(self, nodes: list[Node], outputs: list[Value]) -> None:
        """Nodes and then `return outputs`. An `if` in last place returns from its branches."""
        last = self.shape.last_if(nodes, outputs)
        for node in nodes[:last]:
            self.node(node)
        if last < len(nodes):
            self.tail_if(nodes[last], nodes[last + 1 :], outputs)
        else:
            self.returns(outputs)

    def tail_if(self, node: Node, after: list[Node], outputs: list[Value]) -> None:
        self.here = _place(node)
        (cond,) = self.statement(node.args)
        then, other = node.blocks
        self.line(f"if {_condition(cond)}:")
        for block, deeper in ((then, 1), (other, 0)):
            self.depth += deeper
            for o, r in zip(block.outputs, node.results):
                self.alias[r] = o
            start = len(self.lines)
            self.tail([*block.nodes, *after], outputs)
            for r in node.results:
                del self.alias[r]
            if len(self.lines) == start:
                self.line("pass")
            self.depth -= deeper

    def returns(self, outputs: list[Value]) -> None:
        if not self.flat and len(outputs) == 1:
            self.here = self.pending[-1].place if self.pending else self.here
            (text,) = self.statement(outputs)
            self.line(f"return {text.text}")
            return
        texts = self.statement(outputs)
        self.line(f"return ({', '.join(t.at(TERNARY) for t in texts)}{',' if len(texts) == 1 else ''})")

    def nodes(self, block: Block) -> None:
        for node in block.nodes:
            self.node(node)

    def assign(self, pairs: list[tuple[str, Value]]) -> None:
        """Bind several variables at once, at the end of a block."""
        moves = [(n, v) for n, v in pairs if self.resolve(v).is_const or self.names.of.get(self.resolve(v)) != n]
        if moves:
            waiting = {p.value for p in self.pending}
            if len(moves) > 1 or self.resolve(moves[0][1]) not in waiting:
                self.flush()
            else:
                self.here = self.pending[-1].place
            texts = self.statement([v for _, v in moves])
            self.line(f"{', '.join(n for n, _ in moves)} = {', '.join(t.at(TERNARY) for t in texts)}")
        else:
            self.flush()

    # nodes

    def node(self, node: Node) -> None:
        self.here = _place(node)
        name = node.op.name
        if name in ALIASES:
            self.pass_on(node)
        elif node.op is IF:
            self.branch(node)
        elif node.op is LOOP:
            self.loop(node)
        elif node.op is REGION:
            self.region(node)
        elif node.op is WITH:
            self.with_mode(node)
        elif not self.special(node):
            self.plain(node)

    def pass_on(self, node: Node) -> None:
        """The same value under another name: no code, unless the name is a variable of its own."""
        source, result = self.resolve(node.args[0]), node.result
        if result in self.names.of:
            (text,) = self.statement([source])
            if text.text != self.names[result]:
                self.line(f"{self.names[result]} = {text.text}")
            return
        self.flush()
        self.alias[result] = source

    def plain(self, node: Node) -> None:
        texts = dict(zip(map(id, order(node)), self.take(order(node))))
        args = [texts[id(a)] for a in node.args]
        text = expression(node, args, self.scope)
        if text is None:
            raise NotImplementedError(f"no Python for {node.op.name}")
        if len(node.results) == 1:
            self.give(node.result, text)
        else:
            self.flush()
            self.line(f"{self.targets(node.results)} = {text.text}" if node.results else text.text)

    def targets(self, results: Sequence[Value]) -> str:
        named = [self.names[r] if self.counts.get(r) else "_" for r in results]
        return ", ".join(named) + ("," if len(named) == 1 else "")

    def special(self, node: Node) -> bool:
        """Nodes that are statements of their own."""
        name, args = node.op.name, node.args
        if name == "py.setattr":
            # Python evaluates the value before the target.
            value, target = self.statement([args[2], args[0]])
            self.line(f"{target.at(14)}.{args[1].const} = {value.text}")
        elif name in ("py.setitem", "setitem"):
            value, target, index = self.statement([args[2], args[0], args[1]])
            self.line(f"{target.at(14)}[{index_text(index, args[1], self.scope)}] = {value.text}")
        elif name == "py.delitem":
            target, index = self.statement(args[:2])
            self.line(f"del {target.at(14)}[{index_text(index, args[1], self.scope)}]")
        elif name == "py.append":
            target, item = self.statement(args)
            self.line(f"{target.at(14)}.append({item.at(TERNARY)})")
        elif name == "py.print":
            self.print(node)
        elif name == "py.raise":
            texts = self.statement(args)
            self.line(f"raise {texts[0].text}" + (f" from {texts[1].text}" if not _is_none(args[1]) else ""))
        elif name == "py.assert":
            cond, message = self.statement(args)
            self.line(f"assert {_condition(cond)}" + (f", {message.text}" if not _is_none(args[1]) else ""))
        elif name == "py.unpack":
            (text,) = self.statement(args[:1])
            self.line(f"{self.targets(node.results)} = {text.text}")
        elif name == "py.unpack_star":
            (text,) = self.statement(args[:1])
            named = [self.names[r] if self.counts.get(r) else "_" for r in node.results]
            named[args[1].const] = f"*{named[args[1].const]}"
            self.line(f"{', '.join(named)}{',' if len(named) == 1 else ''} = {text.text}")
        elif name == "py.guard":
            value, seen = self.statement(args)
            self.line(f"_guard({value.at(TERNARY)}, {seen.at(TERNARY)})")
        elif name == "py.next":
            (text,) = self.statement(args)
            self.line(f"{self.targets(node.results)} = _next({text.text})")
        else:
            return False
        return True

    def print(self, node: Node) -> None:
        # sep and end stand first in the node and last in the call; they are evaluated there only if they are constants.
        named = [(k, v) for k, v in zip(("sep", "end"), node.args[:2]) if not _is_none(v)]
        values = [*node.args[2:], *(v for _, v in named)]
        texts = [t.at(TERNARY) for t in self.statement(values)]
        split = len(node.args) - 2
        texts[split:] = [f"{k}={t}" for (k, _), t in zip(named, texts[split:])]
        self.line(f"print({', '.join(texts)})")

    # control flow

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
        text = _condition(cond)
        if not first[0]:
            text, first, second = _negation(cond), second, first
        self.line(f"if {text}:")
        self.include(first)
        if second[0]:
            if second[0][0].lstrip().startswith("if ") and _single_if(second[0], self.depth + 1):
                self.splice_elif(second)
            else:
                self.line("else:")
                self.include(second)

    def side(self, block: Block, node: Node) -> tuple[list[str], list[tuple[Location, ...]]]:
        """The lines of a branch, which ends by binding the node's results."""
        saved = self.lines, self.places, self.here
        self.lines, self.places = [], []
        self.depth += 1
        self.nodes(block)
        used = [(r, o) for r, o in zip(node.results, block.outputs) if self.counts.get(r)]
        self.assign([(self.names[r], o) for r, o in used])
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
        first, second = (self.branch_text(block) for block in node.blocks)
        self.here = _place(node)
        cond = node.args[0]
        then, other = (self.resolve(b.outputs[0]) for b in node.blocks)
        tested = cond
        if cond.node is not None and cond.node.op.name == "py.bool" and self.counts.get(cond) == 1:
            tested = cond.node.args[0]
        (c,) = self.take([cond])
        if other is tested and not tested.is_const:
            text = Text(f"{_strip_bool(c).at(AND)} and {first.at(AND)}", AND)
        elif then is tested and not tested.is_const:
            text = Text(f"{_strip_bool(c).at(OR)} or {second.at(OR)}", OR)
        else:
            text = Text(f"{first.at(OR)} if {_condition(c)} else {second.at(TERNARY)}", TERNARY)
        self.give(node.result, text)

    def branch_text(self, block: Block) -> Text:
        """The one expression that a block consists of (`pyshape.as_expression` says it is one)."""
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
        trip, cond = node.args[:2]
        if trip.is_const and trip.const is None:
            self.while_loop(node)
            return
        self.for_loop(node)

    def start(self, node: Node) -> list[str]:
        """Bind what a loop carries, and make the lists of its stacked outputs."""
        (body,) = node.blocks
        carried = len(node.args) - 2
        self.assign([(self.names[p], a) for p, a in zip(body.params[1:], node.args[2:])])
        rows = []
        for r in node.results[carried:]:
            rows.append(self.names.unique(f"{self.names[r]}_rows"))
            self.line(f"{rows[-1]} = []")
        return rows

    def end(self, node: Node, rows: list[str]) -> None:
        (body,) = node.blocks
        carried = len(node.args) - 2
        for name, row in zip(rows, body.outputs[1 + carried :]):
            (text,) = self.statement([row])
            self.line(f"{name}.append({text.at(TERNARY)})")
        self.assign([(self.names[p], o) for p, o in zip(body.params[1:], body.outputs[1:])])

    def after(self, node: Node, rows: list[str]) -> None:
        (body,) = node.blocks
        carried = len(node.args) - 2
        self.here = _place(node)
        moves = [(self.names[r], self.names[p]) for r, p in zip(node.results, body.params[1:]) if self.counts.get(r)]
        for target, source in moves:
            if target != source:
                self.line(f"{target} = {source}")
        for r, name in zip(node.results[carried:], rows):
            backwards = "[::-1]" if node.attrs.get("reverse") else ""
            row_type = self.scope.bind(r.type, "type_of_rows")
            self.line(f"{self.names[r]} = _stack_rows({name}{backwards}, {row_type})")

    def for_loop(self, node: Node) -> None:
        trip, cond = node.args[:2]
        (body,) = node.blocks
        form = self.shape.headers.get(node)
        over = self.span(node, form)
        self.flush()
        guarded = not (cond.is_const and cond.const)
        (first,) = self.statement([cond])
        rows = self.start(node)
        if guarded:
            self.line(f"if {_condition(first)}:")
            self.depth += 1
        self.line(f"for {self.loop_target(node, form)} in {over}:")
        self.depth += 1
        begin = len(self.lines)
        for inner in body.nodes[form.skip if form else 0 :]:
            self.node(inner)
        go_on = body.outputs[0]
        leave = None if go_on.is_const and go_on.const else self.leave(go_on)
        self.end(node, rows)
        if leave is not None:
            self.line(f"if {leave}:")
            self.line("    break")
        if len(self.lines) == begin:
            self.line("pass")
        self.depth -= 1 + guarded
        self.after(node, rows)

    def span(self, node: Node, form: Header | None) -> str:
        """What a `for` runs over. It takes the trip count off the waiting expressions, or what the count was made from."""
        trip = node.args[0]
        if form is None or form.kind == "range":
            parts: tuple[Value | int, ...] = form.parts if form else (0, trip, 1)
            if form is not None and form.count == "drop" and self.pending and self.pending[-1].value is trip:
                self.pending.pop()
            if form is not None and form.count == "span":
                (text,) = self.take([trip])
                return text.text[4:-1]  # len(range(...))
            if form is None and node.attrs.get("reverse"):
                (text,) = self.take([trip])
                return f"range({text.at(11)} - 1, -1, -1)"
            values = [p for p in parts if isinstance(p, Value)]
            texts = iter(self.take(values))
            shown = [next(texts).at(TERNARY) if isinstance(p, Value) else str(p) for p in parts]
            if shown[2] == "1":
                shown = shown[:2] if shown[0] != "0" else shown[1:2]
            return f"range({', '.join(shown)})"
        (sequence,) = form.parts
        assert isinstance(sequence, Value)
        if self.pending and self.pending[-1].value is trip:
            self.pending.pop()
        text = self.simple(self.resolve(sequence))
        return text.text if form.kind == "each" else f"enumerate({text.text})"

    def loop_target(self, node: Node, form: Header | None) -> str:
        index = node.blocks[0].params[0]
        if form is None:
            return self.names[index] if self.counts.get(index) else "_"
        item = self.names[form.item] if self.counts.get(form.item) else "_"
        return f"{self.names[index]}, {item}" if form.kind == "enumerate" else item

    def leave(self, go_on: Value) -> str:
        """The condition under which a loop is left at the end of a turn, evaluated before variables move on."""
        (text,) = self.take([go_on])
        self.flush()
        out = _negation(text)
        if not out.replace("not ", "").isidentifier():
            name = self.names.unique("leave")
            self.line(f"{name} = {out}")
            return name
        return out

    def while_loop(self, node: Node) -> None:
        cond = node.args[1]
        (body,) = node.blocks
        forever = cond.is_const and bool(cond.const)
        (first,) = self.take([cond])
        self.flush()
        begin = len(self.lines)
        self.start(node)
        moved = len(self.lines) > begin
        header = len(self.lines)
        self.line("while True:")
        self.depth += 1
        go_on = body.outputs[0]
        pairs = list(zip(body.params[1:], body.outputs[1:]))
        still = any(self.resolve(o).is_const or self.names.of.get(self.resolve(o)) != self.names[p] for p, o in pairs)
        stop = None if still or forever else self.shape.stop_test(body)
        for inner in body.nodes[:-1] if stop else body.nodes:
            self.node(inner)
        if forever:
            leave = None if go_on.is_const and go_on.const else self.leave(go_on)
            self.end(node, [])
            if leave is not None:
                self.line(f"if {leave}:")
                self.line("    break")
        else:
            self.next_turn(node, header, first, still or moved, stop)
        if len(self.lines) == header + 1:
            self.line("pass")
        self.depth -= 1
        self.after(node, [])

    def next_turn(self, node: Node, header: int, first: Text, still: bool, stop: Node | None) -> None:
        """The end of a `while` body: the header repeats the test if it reads the same there, else a flag holds it."""
        (body,) = node.blocks
        go_on = body.outputs[0]
        if stop is not None:
            # if <stop>: leave, else evaluate the test again
            (left,) = self.statement(stop.args)
            self.line(f"if {_condition(left)}:")
            self.line("    break")
            self.nodes(stop.blocks[1])
            go_on = stop.blocks[1].outputs[0]
        again: Text | None = None
        if self.pending and self.pending[-1].value is self.resolve(go_on):
            again = self.pending[-1].text
        if again is not None and len(self.pending) == 1 and again.text == first.text and not still:
            self.pending.clear()
            self.lines[header] = self.lines[header].replace("while True:", f"while {_condition(first)}:")
            return
        flag = self.names.unique("go_on")
        self.lines[header] = self.lines[header].replace("while True:", f"while {flag}:")
        self.lines.insert(header, "    " * (self.depth - 1) + f"{flag} = {first.text}")
        self.places.insert(header, self.places[header])
        (text,) = self.statement([go_on])
        self.line(f"{flag} = {text.text}")
        self.end(node, [])

    def region(self, node: Node) -> None:
        (body,) = node.blocks
        if self.regions is None:
            for p, a in zip(body.params, node.args):
                self.flush()
                self.alias[p] = self.resolve(a)
            self.nodes(body)
            self.assign([(self.names[r], o) for r, o in zip(node.results, body.outputs) if self.counts.get(r)])
            return
        inputs = node.args or free_values(body)
        index = node.attrs.get("index", self.region_count)
        self.region_count += 1
        texts = self.statement(inputs)
        function = self.scope.bind(self.regions[index], f"region{index}")
        call = f"{function}({', '.join(t.at(TERNARY) for t in texts)})"
        self.line(f"{self.targets(node.results)} = {call}" if node.results else call)

    def with_mode(self, node: Node) -> None:
        self.flush()
        mode = "enable_grad" if node.attrs["grad"] else "no_grad"
        function = self.scope.bind(pysupport.GRAD_MODES[mode], mode)
        self.line(f"with {function}():")
        lines = self.side(node.blocks[0], node)
        self.include(lines)
        if not lines[0]:
            self.line("    pass")


def _place(node: Node) -> tuple[Location, ...]:
    """Where a node stands in the user's program, innermost place first, then the calls that led there."""
    if node.loc is None:
        return ()
    return (node.loc, *reversed(node.attrs.get("_via", ())))


def _is_none(v: Value) -> bool:
    return v.is_const and v.const is None


def _strip_bool(t: Text) -> Text:
    if t.text.startswith("bool(") and t.text.endswith(")") and _closes(t.text):
        return Text(t.text[5:-1], TERNARY)
    return t


def _closes(text: str) -> bool:
    """Whether the parenthesis opened first in a call closes at its very end."""
    depth = 0
    for i, c in enumerate(text):
        depth += (c == "(") - (c == ")")
        if depth == 0 and c == ")":
            return i == len(text) - 1
    return False


def _condition(t: Text) -> str:
    """A text whose truth value is all that matters."""
    return _strip_bool(t).text


def _negation(t: Text) -> str:
    text = _strip_bool(t)
    if (
        text.text.startswith("not ")
        and " and " not in text.text
        and " or " not in text.text
        and " if " not in text.text
    ):
        return text.text[4:]
    return f"not {text.at(5)}"


def _single_if(lines: list[str], depth: int) -> bool:
    """Whether the lines are one `if` statement with its `elif`s and `else`."""
    indent = "    " * depth
    top = [
        line[len(indent) :] for line in lines if line.startswith(indent) and line[len(indent) : len(indent) + 1] != " "
    ]
    return bool(top) and top[0].startswith("if ") and all(t.startswith(("elif ", "else:")) for t in top[1:])
