"""A graph as a picture: dot text, and SVG where Graphviz is installed.

Enters: a Graph. Leaves: `dot(graph)`, text of Graphviz's language; `svg(graph)`, what the program `dot` draws of it;
`html(graph)`, the picture or else the graph's own text, for notebooks.
Invariant: a value has the name that the graph's text gives it; every use of a value that is no constant is one edge.
Laying out a graph takes a layout program: none is built in, and none is needed for the text.

A node with blocks is a box around them: its arguments enter at the top of the box, its results come out of the round
node below.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterable
from html import escape

from specjit.ir.graph import Block, Graph, Node, Value
from specjit.ir.structure import IF, LOOP
from specjit.ir.text import GraphPrinter

SECONDS = 10  # a picture that takes longer to lay out is too large to look at


def dot(graph: Graph) -> str:
    """The graph in Graphviz's language."""
    return _Writer(graph).text()


def svg(graph: Graph) -> str | None:
    """The graph drawn by Graphviz's `dot`; None where that is not on the PATH, fails, or takes too long."""
    program = shutil.which("dot")
    if program is None:
        return None
    try:
        done = subprocess.run(
            [program, "-Tsvg"], input=dot(graph), capture_output=True, text=True, timeout=SECONDS, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout[max(done.stdout.find("<svg"), 0) :]


def html(graph: Graph) -> str:
    """For notebooks: the picture, with the text folded under it; the text alone where nothing can draw."""
    text = f"<pre>{escape(str(graph))}</pre>"
    picture = svg(graph)
    return text if picture is None else f"{picture}<details><summary>text</summary>{text}</details>"


class _Writer:
    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.lines: list[str] = []
        self.edges: list[str] = []
        self.place: dict[Value, str] = {}  # the picture's node that a value comes out of
        self.count = 0
        # Printing the graph gives every value the name that it has in the text.
        self.printer = GraphPrinter()
        self.printer.graph(graph)

    def text(self) -> str:
        self._params(self.graph.block, 1, self.graph.attrs.get("params", ()))
        self._block(self.graph.block, 1)
        self._out("return", self.graph.outputs, 1)
        head = [f"digraph {_quoted(self.graph.name)} {{", '  node [shape=box, fontname="monospace", fontsize=10];']
        return "\n".join([*head, *self.lines, *self.edges, "}"]) + "\n"

    def _block(self, block: Block, depth: int) -> None:
        for node in block.nodes:
            if node.blocks:
                self._structure(node, depth)
            else:
                where = [str(node.loc)] if node.loc is not None else []
                types = [str(r.type) for r in node.results]
                at = self._point([self._call(node), *types, *where], depth)
                self._uses(node.args, at)
                self.place.update(dict.fromkeys(node.results, at))

    def _structure(self, node: Node, depth: int) -> None:
        """A box with the blocks inside, its head, and the node that its results come out of."""
        self.count += 1
        self._line(depth, f"subgraph cluster_{self.count} {{")
        self._line(depth + 1, f"label={_quoted(node.op.name if node.loc is None else f'{node.op.name}  {node.loc}')};")
        given = (
            len(node.args) if node.op is IF else 2 if node.op is LOOP else 0
        )  # what decides; the rest becomes parameters
        head = self._point([f"{node.op.name} {self.printer.names(node.args[:given])}".strip()], depth + 1)
        self._uses(node.args[:given], head)
        if node.op is IF:
            sides = zip(("then", "else"), node.blocks)
            ends = [self._boxed(label, node, block, depth + 1, head) for label, block in sides]
        else:
            ends = [self._inner(node, block, depth + 1, head) for block in node.blocks]
        self._line(depth, "}")
        made = self._point([self.printer.define(node.results) or node.op.name], depth, shape="ellipse")
        for end in ends:
            self._edge(end, made)
        self.place.update(dict.fromkeys(node.results, made))

    def _boxed(self, label: str, node: Node, block: Block, depth: int, head: str) -> str:
        """One branch of an `if`, in a box of its own under the condition; the picture's node that yields from it."""
        self.count += 1
        self._line(depth, f"subgraph cluster_{self.count} {{")
        self._line(depth + 1, f"label={_quoted(label)};")
        end = self._inner(node, block, depth + 1, head)
        self._edge(head, end, "style=invis")
        self._line(depth, "}")
        return end

    def _inner(self, node: Node, block: Block, depth: int, head: str) -> str:
        """One block of a structural node; the picture's node that yields from it."""
        loop = node.op is LOOP
        self._params(block, depth)
        counter, params = (block.params[:1], block.params[1:]) if loop else ([], block.params)
        for param in counter:
            self._edge(head, self.place[param])
        for param, arg in zip(params, node.args[2 if loop else 0 :]):
            self._uses([arg], self.place[param])
        self._block(block, depth)
        end = self._out("yield", block.outputs, depth)
        for param in params if loop else ():
            self._edge(end, self.place[param], "style=dashed, constraint=false")
        return end

    def _params(self, block: Block, depth: int, parameters: Iterable[Value] = ()) -> None:
        for v in block.params:
            label = ("param " if v in parameters else "") + self.printer.define([v])
            self.place[v] = self._point([label], depth, shape="ellipse")

    def _out(self, keyword: str, outputs: list[Value], depth: int) -> str:
        at = self._point([f"{keyword} {self.printer.names(outputs)}".rstrip()], depth)
        self._uses(outputs, at)
        return at

    def _call(self, node: Node) -> str:
        text = f"{node.op.name}({self.printer.arguments(node)})"
        return f"{self.printer.names(node.results)} = {text}" if node.results else text

    def _uses(self, values: Iterable[Value], at: str) -> None:
        for v in values:
            if not v.is_const:
                self._edge(self.place[v], at)

    def _point(self, lines: list[str], depth: int, shape: str = "") -> str:
        self.count += 1
        name = f"n{self.count}"
        self._line(depth, f"{name} [label={_quoted(*lines)}{f', shape={shape}' if shape else ''}];")
        return name

    def _edge(self, a: str, b: str, style: str = "") -> None:
        self.edges.append(f"  {a} -> {b}{f' [{style}]' if style else ''};")

    def _line(self, depth: int, text: str) -> None:
        self.lines.append("  " * depth + text)


def _quoted(*lines: str) -> str:
    """A string of Graphviz's language, lines centered."""
    return '"' + "\\n".join(s.replace("\\", "\\\\").replace('"', '\\"') for s in lines) + '"'
