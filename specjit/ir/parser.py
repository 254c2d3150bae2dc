"""Reading the text of a graph back.

Enters: what `ir.text` prints, a way to find op records by name, and a table of the opaque objects that the text names.
Leaves: a Graph whose text is the same; `ParseError` with line, column and caret otherwise. By hand, the types of
results and of what loops carry may be left out, and the graph's result types: they are inferred.
Invariant: nothing in the text is evaluated: literals are read by hand, names are looked up in tables.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from specjit.ir import signature
from specjit.ir.builder import result_types
from specjit.ir.graph import Block, Graph, Location, Node, OpLike, Value
from specjit.ir.reader import Reader
from specjit.ir.structure import EXCEPTIONAL, IF, LOOP, REGION, SECOND, USING, WITH, StructuralOp
from specjit.ir.structure import result_types as block_types
from specjit.ir.types import ANY, INT, Type

PLAIN_BLOCKS: dict[str, OpLike] = {op.name: op for op in (REGION, WITH)}  # one block that runs once


def parse(text: str, *, ops: Callable[[str], OpLike] | None = None, table: Mapping[str, Any] | None = None) -> Graph:
    """Read one graph. `table` maps the names of opaque constants (`<function f m.py:3>`) to objects; others become
    `Opaque`."""
    parser = _Parser(text, ops or signature.find_op, table or {})
    graph = parser.graph()
    parser.space()
    if parser.at < len(text):
        parser.fail("text after the end of the graph")
    return graph


def parse_type(text: str) -> Type:
    parser = Reader(text, {})
    out = parser.type()
    if parser.at != len(text):
        parser.fail("text after the end of the type")
    return out


class _Parser(Reader):
    def __init__(self, text: str, ops: Callable[[str], OpLike], table: Mapping[str, Any]) -> None:
        super().__init__(text, table)
        self.ops = ops
        self.values: dict[str, Value] = {}

    def graph(self) -> Graph:
        self.space()
        self.expect(r"graph\b", "'graph'")
        name = self.expect(r"@[\w.]*", "'@name'")[1:]
        self.expect(r"\(", "'('")
        graph = Graph(name)
        parameters: set[Value] = set()

        def parameter() -> None:
            marked = self.take(r"param\b") is not None
            value = self.definition()
            graph.block.params.append(value)
            if marked:
                parameters.add(value)

        self.items(")", parameter)
        if parameters:
            graph.attrs["params"] = parameters
        if self.take("->") is not None:
            if self.take(r"\(") is not None:
                self.items(")", self.type)
            else:
                self.type()
        self.expect(r"\{", "'{'")
        self.block(graph.block)
        return graph

    def definition(self, untyped: list[Value] | None = None) -> Value:
        """`%name: type`; where the type may be left out, a value without one is added to `untyped`."""
        name = self.expect(r"%[\w.]+", "'%name: type'")
        if name in self.values:
            self.fail(f"{name} is defined twice")
        match = re.fullmatch(r"%(\d+)(?:_([\w.]+))?", name)
        value = Value(ANY, None, (match.group(2) or "") if match else name[1:])
        if untyped is not None and not self.peek(":"):
            untyped.append(value)
        else:
            self.expect(":", "':' and the type of the value")
            value.type = self.type()
        self.values[name] = value
        return value

    def block(self, block: Block) -> None:
        """The rest of a block after its `{`."""
        while True:
            self.space()
            if self.take(r"\}") is not None:
                return
            if self.take(r"(?:yield|return)\b") is not None:
                block.outputs = self.outputs()
                self.location()
                self.space()
                self.expect(r"\}", "'}' after the outputs")
                return
            block.nodes.append(self.node())
            self.take(";")

    def outputs(self) -> list[Value]:
        out: list[Value] = []
        while not self.peek(r"[\n}#]|$"):
            if self.take(r"\|\s*stacked\b") is None and out:
                self.expect(",", "',' between outputs")
            out.append(self.argument())
        return out

    def node(self) -> Node:
        results: list[Value] = []
        untyped: list[Value] = []
        if self.peek("%"):
            # Results come into scope after the node: read their text now, enter them in the table last.
            scope = self.values
            self.values = {}
            results = [self.definition(untyped)]
            while self.take(",") is not None:
                results.append(self.definition(untyped))
            self.expect("=", "'='")
            defined, self.values = self.values, scope
        else:
            defined = {}
        node = self.operation()
        if untyped:
            for value, type_ in zip(results, self.inferred(node, len(results))):
                value.type = type_ if value in untyped else value.type
        for name, value in defined.items():
            if name in self.values:
                self.fail(f"{name} is defined twice")
            self.values[name] = value
            value.node = node
        node.results = results
        return node

    def inferred(self, node: Node, count: int) -> list[Type]:
        """The types of results that the text leaves out (as people do who write graphs by hand)."""
        node.results = [Value(ANY, node) for _ in range(count)]
        try:
            types = block_types(node) if node.blocks else result_types(node.op, node.args)[0]
        except Exception as error:
            self.fail(f"{node.op.name} has no types for its results: {error}")
        if len(types) != count:
            self.fail(f"{node.op.name} has {len(types)} results, not {count}")
        return types

    def operation(self) -> Node:
        self.blanks()
        start = self.at
        name = self.expect(r"[A-Za-z_][\w.]*", "an operation")
        if name == "if":
            return self.branch()
        if name == "loop":
            return self.loop()
        pair = next((op for op in EXCEPTIONAL if op.name == name), None)
        if pair is not None:
            return self.exceptional(pair)
        if name in PLAIN_BLOCKS:
            return self.region(PLAIN_BLOCKS[name])
        self.expect(r"\(", f"'(' after {name}")
        positional: list[Value] = []
        named: dict[str, Value] = {}

        def argument() -> None:
            key = self.take(r"[A-Za-z_]\w*\s*=(?!=)")
            if key is not None:
                named[key.rstrip("= ")] = self.argument()
            else:
                positional.append(self.argument())

        self.items(")", argument)
        attrs = self.attrs()
        try:
            op = self.ops(name)
        except KeyError:
            self.at = start
            self.fail(f"no operator is called {name!r}")
        try:
            args = signature.complete(op, positional, named)
        except TypeError as error:
            self.fail(str(error))
        return Node(op, args, (), attrs=attrs, loc=self.location())

    def attrs(self) -> dict[str, Any]:
        if not self.peek(r"\{\s*\w+\s*="):
            return {}
        self.take(r"\{")
        return dict(self.items("}", lambda: (self.expect(r"\w+\s*=", "'name='").rstrip("= "), self.constant())))

    def branch(self) -> Node:
        cond = self.argument()
        attrs = self.attrs()
        self.expect(r"\{", "'{'")
        node = Node(IF, [cond], (), blocks=[Block(), Block()], attrs=attrs, loc=self.location())
        self.block(node.blocks[0])
        if self.take(r"else\b") is not None:
            self.expect(r"\{", "'{'")
            self.block(node.blocks[1])
        return node

    def loop(self) -> Node:
        trip = self.argument()
        self.expect(",", "',' and the loop's condition")
        cond = self.argument()
        self.expect(",", "',' and the loop's values")
        self.expect(r"\(", "'('")
        untyped: list[Value] = []
        body = Block([self.definition(untyped)])
        for index in untyped:
            index.type = INT
        carried: list[Value] = []
        if self.take(",") is not None:
            carried = self.items(")", lambda: self.bound(body))
        else:
            self.expect(r"\)", "')'")
        reverse = {"reverse": True} if self.take(r"reverse\b") is not None else {}
        attrs = reverse | self.attrs()
        self.expect(r"\{", "'{'")
        loc = self.location()
        self.block(body)
        return Node(LOOP, [trip, cond, *carried], (), blocks=[body], attrs=attrs, loc=loc)

    def exceptional(self, op: StructuralOp) -> Node:
        first, second = Block(), Block()
        args = []
        if op is USING:
            args.append(self.argument())
            self.expect(",", "',' and what the manager gives")
            self.expect(r"\(", "'('")
            first.params = self.items(")", self.definition)
        attrs = self.attrs()
        self.expect(r"\{", "'{'")
        loc = self.location()
        self.block(first)
        self.expect(rf"{SECOND[op]}\b", f"'{SECOND[op]}'")
        if self.take(r"\(") is not None:
            second.params = self.items(")", self.definition)
        self.expect(r"\{", "'{'")
        self.block(second)
        return Node(op, args, (), blocks=[first, second], attrs=attrs, loc=loc)

    def region(self, op: OpLike) -> Node:
        body = Block()
        self.expect(r"\(", "'('")
        args = self.items(")", lambda: self.bound(body))
        attrs = self.attrs()
        self.expect(r"\{", "'{'")
        loc = self.location()
        self.block(body)
        return Node(op, args, (), blocks=[body], attrs=attrs, loc=loc)

    def bound(self, body: Block) -> Value:
        """`%param: type = argument` of a loop or region."""
        untyped: list[Value] = []
        param = self.definition(untyped)
        self.expect("=", "'=' and the initial value")
        body.params.append(param)
        start = self.argument()
        for value in untyped:
            value.type = start.type.with_(dim=None)
        return start

    def argument(self) -> Value:
        if self.peek("%"):
            start = self.at
            name = self.expect(r"%[\w.]+", "a value")
            if name not in self.values:
                self.at = start
                self.fail(f"{name} is not defined here")
            return self.values[name]
        const = self.constant()
        return Value.constant(const, self.type() if self.take(":") is not None else None)

    def location(self) -> Location | None:
        comment = self.take(r"#[^\n]*")
        match = re.fullmatch(r"#\s*(.+):(\d+)\s*", comment or "")
        return Location(match.group(1), int(match.group(2))) if match else None
