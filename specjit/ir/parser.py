"""Reading the text of a graph back.

Enters: what `ir.text` prints, a way to find op records by name, and a table of the opaque objects that the text names.
Leaves: a Graph whose text is the same; `ParseError` with line, column and caret otherwise. By hand, the types of
results and of what loops carry may be left out, and the graph's result types: they are inferred.
Invariant: nothing in the text is evaluated: literals are read by hand, names are looked up in tables.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Mapping
from typing import Any, NoReturn

import numpy as np

from specjit import dtypes
from specjit.ir import dims, signature
from specjit.ir.builder import result_types
from specjit.ir.constants import Opaque
from specjit.ir.graph import Block, Graph, Location, Node, OpLike, Value
from specjit.ir.structure import IF, LOOP, REGION, WITH
from specjit.ir.structure import result_types as block_types
from specjit.ir.types import ANY, INT, KINDS, Type

PLAIN_BLOCKS: dict[str, OpLike] = {op.name: op for op in (REGION, WITH)}  # one block that runs once


class ParseError(ValueError):
    """The text is not a graph; the message names line and column and shows the place."""


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
    parser = _Parser(text, _no_ops, {})
    out = parser.type()
    if parser.at != len(text):
        parser.fail("text after the end of the type")
    return out


def _no_ops(name: str) -> OpLike:
    raise KeyError(name)


_STRING = r"""[bB]?(?:'(?:[^'\\\n]|\\.)*'|"(?:[^"\\\n]|\\.)*")"""
_NUMBER = r"-?(?:inf\b|nan\b|(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?)"
_WORDS = {"None": None, "True": True, "False": False, "inf": float("inf"), "nan": float("nan")}
_SCALARS = {kind: Type(kind) for kind in KINDS if kind not in ("tensor", "none", "class")}


class _Parser:
    def __init__(self, text: str, ops: Callable[[str], OpLike], table: Mapping[str, Any]) -> None:
        self.text, self.ops, self.table = text, ops, table
        self.at = 0
        self.values: dict[str, Value] = {}

    # scanning

    def fail(self, message: str) -> NoReturn:
        before = self.text[: self.at]
        line, column = before.count("\n") + 1, self.at - (before.rfind("\n") + 1) + 1
        source = self.text.split("\n")[line - 1]
        raise ParseError(f"line {line}, column {column}: {message}\n  {source}\n  {' ' * (column - 1)}^")

    def space(self) -> None:
        """Skip blanks, newlines and comments."""
        self.at = re.compile(r"(?:\s|#[^\n]*)*").match(self.text, self.at).end()  # type: ignore[union-attr]

    def blanks(self) -> None:
        self.at = re.compile(r"[ \t]*").match(self.text, self.at).end()  # type: ignore[union-attr]

    def take(self, pattern: str) -> str | None:
        """The text that matches here (after blanks), if any."""
        self.blanks()
        match = re.compile(pattern).match(self.text, self.at)
        if match is None:
            return None
        self.at = match.end()
        return match.group()

    def peek(self, pattern: str) -> bool:
        self.blanks()
        return re.compile(pattern).match(self.text, self.at) is not None

    def expect(self, pattern: str, what: str) -> str:
        found = self.take(pattern)
        return found if found is not None else self.fail(f"expected {what}")

    def items(self, end: str, item: Callable[[], Any]) -> list[Any]:
        """Comma-separated items up to the closing text `end`, which is consumed; a trailing comma is allowed."""
        out: list[Any] = []
        while self.take(re.escape(end)) is None:
            if out:
                self.expect(",", f"',' or {end!r}")
                if self.take(re.escape(end)) is not None:
                    break
            out.append(item())
        return out

    def location(self) -> Location | None:
        comment = self.take(r"#[^\n]*")
        match = re.fullmatch(r"#\s*(.+):(\d+)\s*", comment or "")
        return Location(match.group(1), int(match.group(2))) if match else None

    # structure

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

    # values

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

    def constant(self) -> Any:
        self.blanks()
        if (text := self.take(_STRING)) is not None:
            return ast.literal_eval(text)
        if (text := self.take(_NUMBER)) is not None:
            return float(text) if re.search(r"[.einf]", text) else int(text)
        if self.take(r"\.\.\.") is not None:
            return ...
        if self.take(r"\(") is not None:
            return tuple(self.items(")", self.constant))
        if self.take(r"\[") is not None:
            return self.items("]", self.constant)
        if self.take(r"\{") is not None:
            return dict(self.items("}", self.pair))
        if self.peek("<"):
            text = self.expect(r"<[^<>\n]*>", "'<...>'")
            return self.table.get(text, Opaque(text))
        word = self.take(r"[A-Za-z_]\w*")
        if word in _WORDS:
            return _WORDS[word]
        if word in dtypes.BY_SHORT:
            return dtypes.BY_SHORT[word]
        if word in ("slice", "range", "complex", "array"):
            self.expect(r"\(", "'('")
            return self.made(word, self.items(")", self.constant))
        return self.fail("expected a value or a constant")

    def pair(self) -> tuple[Any, Any]:
        key = self.constant()
        self.expect(":", "':'")
        return key, self.constant()

    def made(self, word: str, parts: list[Any]) -> Any:
        try:
            if word == "array":
                data, dtype, *shape = parts
                out = np.array(data, dtype=dtype.numpy)
                return out.reshape(shape[0]) if shape else out
            return {"slice": slice, "range": range, "complex": complex}[word](*parts)
        except (TypeError, ValueError, AttributeError) as error:
            return self.fail(f"bad {word}: {error}")

    # types

    def type(self) -> Type:
        word = self.take(r"[A-Za-z_]\w*|\?")
        if word is None:
            return self.fail("expected a type")
        if word == "Tensor" or (self.peek(r"\[") and (word == "?" or word in dtypes.BY_SHORT)):
            return self.tensor(word)
        if word == "class":
            return Type.instance(self.angles())
        if word == "int" and self.peek("<"):
            return Type.int(self.dim(self.angles()))
        if word == "None":
            return Type("none")
        if word not in _SCALARS:
            return self.fail(f"no type is called {word!r}")
        if self.take(r"\[") is None:
            return _SCALARS[word]
        return Type(word, tuple(self.items("]", self.type)))

    def tensor(self, word: str) -> Type:
        dtype, sizes = None, None
        if word != "Tensor":
            dtype = dtypes.BY_SHORT.get(word)
            inside = self.expect(r"\[[^\]\n]*\]", "'[dims]'")[1:-1].strip()
            if inside != "...":
                sizes = tuple(self.dim(d) for d in inside.split(",")) if inside else ()
        device = self.take(r"@\w+")
        grad = True if self.take("!") is not None else None
        return Type.tensor(dtype, sizes, device[1:] if device else None, grad)

    def dim(self, text: str) -> dims.Dim:
        try:
            return dims.parse(text)
        except ValueError as error:
            return self.fail(str(error))

    def angles(self) -> str:
        """The text inside balanced `<...>`."""
        self.expect("<", "'<'")
        start, depth = self.at, 1
        while depth:
            char = self.text[self.at : self.at + 1]
            if char in ("", "\n"):
                self.fail("expected '>'")
            depth += {"<": 1, ">": -1}.get(char, 0)
            self.at += 1
        return self.text[start : self.at - 1]
