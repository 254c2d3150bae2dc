"""Lines and expressions of generated Python, in evaluation order.

Enters: values and texts. Leaves: lines with the user's places.
Invariant: `pending` holds, in evaluation order, the expressions that no line contains yet; writing a line writes all
of them first, so nothing is ever evaluated out of order.
"""

from __future__ import annotations

import keyword
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from specjit.codegen.generic import support
from specjit.codegen.generic.exits import threaded
from specjit.codegen.generic.expressions import NOT, TERNARY, Scope, Text, truth
from specjit.codegen.generic.names import Names
from specjit.codegen.generic.shapes import Shape
from specjit.codegen.generic.turns import settle
from specjit.ir.constants import UNBOUND
from specjit.ir.graph import Block, Location, Node, Value
from specjit.tensor.tensor import wrap


def _tensor(constant: Any) -> Any:
    """A constant tensor as Python code sees it: passes hold it as an array."""
    return wrap(constant) if isinstance(constant, np.ndarray) else constant


def _same_line(place: tuple[Location, ...], other: tuple[Location, ...]) -> bool:
    a, b = place[:1], other[:1]
    return not a or not b or (a[0].line == b[0].line and a[0].file == b[0].file and place[1:] == other[1:])


@dataclass(slots=True)
class _Pending:
    """An expression that waits for its one use."""

    value: Value
    text: Text
    place: tuple[Location, ...]


class Writer:
    """The state of one function being written."""

    def __init__(self, block: Block, name: str, regions: Sequence[Callable[..., Any]] | None, flat: bool) -> None:
        self.root = block = threaded(block, Shape(block).expressions)
        self.regions, self.flat = regions, flat
        name = "".join(c if c.isalnum() or c == "_" else "_" for c in name)
        self.name = name if name.isidentifier() and not keyword.iskeyword(name) else f"graph_{name}"
        self.shape = Shape(block)
        self.names = Names(block, {self.name, *support.HELPERS}, self.shape)
        self.scope = Scope(self.names.used)
        self.counts = self.shape.counts
        self.alias: dict[Value, Value] = {}
        self.lines: list[str] = []
        self.places: list[tuple[Location, ...]] = []
        self.depth = 1
        self.pending: list[_Pending] = []
        self.here: tuple[Location, ...] = ()
        self.region_count = 0
        self.loops: list[Node] = []  # around what is being written
        self.one_line = 0  # inside an expression: places do not matter

    # lines and expressions

    def line(self, text: str, place: tuple[Location, ...] | None = None) -> None:
        self.lines.append("    " * self.depth + text)
        self.places.append(self.here if place is None else place)

    def resolve(self, v: Value) -> Value:
        return settle(v, self.alias)

    def flush(self, keep: int = 0) -> None:
        """Give every pending expression but the first `keep` a line of its own, in order."""
        waiting, self.pending = self.pending[keep:], self.pending[:keep]
        for p in waiting:
            self.line(f"{self.names[p.value]} = {p.text.text}", p.place)

    def take(self, values: Sequence[Value]) -> list[Text]:
        """Texts of values that the next piece of code evaluates in this order; fitting pending expressions become part
        of it."""
        wanted = [self.resolve(v) for v in values]
        tail: list[Value] = [p.value for p in self.pending]
        asked = [v for v in wanted if v in tail]
        fits = bool(asked) and tail[len(tail) - len(asked) :] == asked
        if fits:
            waiting = self.pending[len(self.pending) - len(asked) :]
            # A node without a place of its own stands where its parts stand, which then is one line.
            here = self.here or next((p.place for p in waiting if p.place), ())
            fits = self.one_line > 0 or all(_same_line(p.place, here) for p in waiting)
        if asked and not fits:
            self.flush()
            asked = []
        texts = {p.value: p.text for p in self.pending[len(self.pending) - len(asked) :]} if asked else {}
        if asked:
            self.here = self.here or next((p.place for p in self.pending[-len(asked) :] if p.place), ())
            del self.pending[len(self.pending) - len(asked) :]
        return [texts[v] if v in texts else self.simple(v) for v in wanted]

    def simple(self, v: Value) -> Text:
        if v.is_const:
            return self.scope.constant(_tensor(v.const) if v.type.is_tensor else v.const)
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

    def nodes(self, block: Block) -> None:
        for node in block.nodes:
            self.node(node)

    def node(self, node: Node) -> None:
        raise NotImplementedError


def place(node: Node) -> tuple[Location, ...]:
    """Where a node stands in the user's program, innermost place first, then the calls that led there."""
    return () if node.loc is None else node.loc.chain


def is_none(v: Value) -> bool:
    return v.is_const and v.const is None


def is_unbound(v: Value) -> bool:
    return v.is_const and v.const is UNBOUND


def negation(t: Text) -> str:
    """The text of `not t`."""
    t = truth(t)
    return t.negated.text if t.negated is not None else f"not {t.at(NOT)}"


def single_if(lines: list[str], depth: int) -> bool:
    """Whether the lines are one `if` statement with its `elif`s and `else`."""
    indent = "    " * depth
    top = [
        line[len(indent) :] for line in lines if line.startswith(indent) and line[len(indent) : len(indent) + 1] != " "
    ]
    return bool(top) and top[0].startswith("if ") and all(t.startswith(("elif ", "else:")) for t in top[1:])
