"""The text of a graph: `print_graph`, `print_block`, and (from `ir.parser`) `parse`.

Enters: a Graph. Leaves: text such as

    graph @cell(%x: f32[T,B,128], param %w: f32[128,512]) -> f32[T,B,512] {
      %n: int<T> = size(%x, 0)  # model.py:12
      %h: f32[B,512], %ys: f32[T,B,512] = loop %n, True, (%i: int, %h1: f32[B,512] = %h0) reverse {
        %y: f32[B,512] = tanh(%h1)
        yield True, %y | stacked %y
      }
      return %ys
    }

Invariant: the text is a function of the graph alone. Names come from hints, made unique in order of definition;
unnamed values are numbered. Reading the text and printing it again gives the same text. Trailing arguments that equal
their parameter's default are left out, keyword-only ones are named. Of a tensor's type, `requires_grad` prints only
when true and the device only when not the CPU; of a location, the file's base name and the line.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from specjit.ir import signature
from specjit.ir.constants import Printer
from specjit.ir.graph import Block, Graph, Node, Value
from specjit.ir.parser import parse, parse_type
from specjit.ir.reader import ParseError
from specjit.ir.structure import IF, LOOP, SECOND
from specjit.ir.types import type_of

__all__ = ["GraphPrinter", "ParseError", "parse", "parse_type", "print_block", "print_graph"]


def print_graph(graph: Graph) -> str:
    return GraphPrinter().graph(graph)


def print_block(block: Block) -> str:
    """The nodes of one block, for reading; values from outside keep their hints."""
    printer = GraphPrinter()
    printer.block(block, 0, "yield")
    return "\n".join(printer.lines)


class GraphPrinter:
    """Prints one graph. After `graph(g)`: `lines`, `line_of[node]` (index of its line), and `opaque` (name -> object),
    the table that `parse` needs to read functions and other objects back."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.line_of: dict[Node | Block, int] = {}
        self._names: dict[Value, str] = {}
        self._used: set[str] = set()
        self._counter = 0
        self._constants = Printer()

    @property
    def opaque(self) -> dict[str, Any]:
        return self._constants.opaque

    # names

    def name(self, value: Value) -> str:
        """The `%name` of a value, or the literal of a constant."""
        if value.is_const:
            text = self._constants.show(value.const)
            return text if str(value.type) == str(type_of(value.const)) else f"{text}: {value.type}"
        if value not in self._names:
            self._names[value] = self._unique(value.hint)
        return self._names[value]

    def _unique(self, hint: str) -> str:
        base = re.sub(r"[^\w.]", "_", hint)
        if not base or base[0].isdigit():
            self._counter += 1
            return f"%{self._counter - 1}" + (f"_{base}" if base else "")
        name, n = base, 0
        while name in self._used:
            n += 1
            name = f"{base}{n}" if not base[-1].isdigit() else f"{base}_{n}"
        self._used.add(name)
        return f"%{name}"

    def define(self, values: Iterable[Value]) -> str:
        return ", ".join(f"{self.name(v)}: {v.type}" for v in values)

    def names(self, values: Iterable[Value]) -> str:
        return ", ".join(map(self.name, values))

    # structure

    def graph(self, graph: Graph) -> str:
        params = graph.attrs.get("params", ())
        inputs = ", ".join(("param " if v in params else "") + self.define([v]) for v in graph.inputs)
        outputs = graph.outputs
        types = str(outputs[0].type) if len(outputs) == 1 else f"({', '.join(str(o.type) for o in outputs)})"
        name = re.sub(r"[^\w.]", "_", graph.name)
        self.lines.append(f"graph @{name}({inputs}) -> {types} {{")
        self.block(graph.block, 1, "return")
        self.lines.append("}")
        return "\n".join(self.lines) + "\n"

    def block(self, block: Block, depth: int, keyword: str, stacked_from: int | None = None) -> None:
        for node in block.nodes:
            self.node(node, depth)
        if not block.outputs and keyword == "yield":
            return
        self.line_of[block] = len(self.lines)
        kept, stacked = block.outputs[:stacked_from], block.outputs[len(block.outputs[:stacked_from]) :]
        tail = f" | stacked {self.names(stacked)}" if stacked else ""
        self.emit(depth, f"{keyword} {self.names(kept)}{tail}".rstrip())

    def emit(self, depth: int, text: str, node: Node | None = None) -> None:
        if node is not None:
            self.line_of[node] = len(self.lines)
            if node.loc is not None:
                text = f"{text}  # {node.loc}"
        self.lines.append("  " * depth + text)

    def node(self, node: Node, depth: int) -> None:
        if node.op is IF:
            self._if(node, depth)
        elif node.op is LOOP:
            self._loop(node, depth)
        elif node.op in SECOND:
            self._exceptional(node, depth)
        elif node.blocks:
            self._region(node, depth)
        else:
            self.emit(depth, f"{self._results(node)}{node.op.name}({self.arguments(node)}){self._attrs(node)}", node)

    def _results(self, node: Node) -> str:
        return f"{self.define(node.results)} = " if node.results else ""

    def _if(self, node: Node, depth: int) -> None:
        then, other = node.blocks
        text = f"if {self.names(node.args)}{self._attrs(node)} {{"
        self.emit(depth, self._results(node) + text, node)
        self.block(then, depth + 1, "yield")
        if other.nodes or other.outputs:
            self.emit(depth, "} else {")
            self.block(other, depth + 1, "yield")
        self.emit(depth, "}")

    def _loop(self, node: Node, depth: int) -> None:
        (body,) = node.blocks
        trip, cond, *carried = node.args
        index, *params = body.params
        results = self._results(node)
        inits = self.names([trip, cond])
        values = [f"{self.define([p])} = {self.name(c)}" for p, c in zip(params, carried)]
        reverse = " reverse" if node.attrs.get("reverse") else ""
        header = f"loop {inits}, ({', '.join([self.define([index]), *values])}){reverse}{self._attrs(node)} {{"
        self.emit(depth, results + header, node)
        self.block(body, depth + 1, "yield", 1 + len(carried))
        self.emit(depth, "}")

    def _exceptional(self, node: Node, depth: int) -> None:
        first, second = node.blocks
        inputs = [*node.args, *first.params] and f" {self.names(node.args)}, ({self.define(first.params)})"
        self.emit(depth, f"{self._results(node)}{node.op.name}{inputs or ''}{self._attrs(node)} {{", node)
        self.block(first, depth + 1, "yield")
        given = f" ({self.define(second.params)})" if second.params else ""
        self.emit(depth, f"}} {SECOND[node.op]}{given} {{")
        self.block(second, depth + 1, "yield")
        self.emit(depth, "}")

    def _region(self, node: Node, depth: int) -> None:
        (body,) = node.blocks
        results = self._results(node)
        pairs = [f"{self.define([p])} = {self.name(a)}" for p, a in zip(body.params, node.args)]
        self.emit(depth, f"{results}{node.op.name} ({', '.join(pairs)}){self._attrs(node)} {{", node)
        self.block(body, depth + 1, "yield")
        self.emit(depth, "}")

    def arguments(self, node: Node) -> str:
        """What stands between the parentheses of a call; trailing defaults are left out."""
        try:
            pairs = list(zip(signature.expand(node.op, len(node.args)), node.args))
        except TypeError:  # a wrong number of arguments must still print, for the verifier's report
            return self.names(node.args)
        positional = [(p, a) for p, a in pairs if not p.kwonly]
        while positional and signature.is_default(*positional[-1]):
            positional.pop()
        named = [f"{p.name}={self.name(a)}" for p, a in pairs if p.kwonly and not signature.is_default(p, a)]
        return ", ".join([self.name(a) for _, a in positional] + named)

    def _attrs(self, node: Node) -> str:
        hidden = ("reverse",) if node.op is LOOP else ()
        shown = {k: v for k, v in node.attrs.items() if k not in hidden and not k.startswith("_")}
        if not shown:
            return ""
        return f" {{{', '.join(f'{k}={self._constants.show(v)}' for k, v in sorted(shown.items()))}}}"
