"""What every part of the generator of programs writes with: choices, expressions, lines, names and their kinds.

Enters: hypothesis' `draw`. Leaves: lines of source.
Invariant: a program ends. Loops have few turns, what grows in a loop is cut, and numbers that grow there are reduced;
and what a program decides or prints is exact: float tensors hold small whole numbers, but those of kind NOISY, which
are only ever results.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from hypothesis import strategies as st

from tests.capture.whole.grammar import BIG, GRAMMAR, HINTS, INT, INTS, LITERALS, OBJECT, Rows

HOLE = re.compile(r"«(.*?)»|\$(\w+)")


class Writer:
    """Lines, indentation, and the names in scope.

    names    those that have a value, and its kind
    maybe    those that may have one
    helpers  functions that can be called: name, kinds of the parameters, kind of the result
    turning  loops around this place, also those of other functions
    fixed    loops over a list that must not grow
    quiet    nothing is printed, and no globals are used
    globals  those that this function declares global
    unseen   something happens that a trace does not record
    """

    def __init__(self, draw: Callable[[Any], Any]) -> None:
        self.draw = draw
        self.lines: list[str] = []
        self.indent = 0
        self.budget = 0
        self.names: dict[str, str] = {}
        self.maybe: dict[str, str] = {}
        self.helpers: list[tuple[str, tuple[str, ...], str]] = []
        self.loops = self.turning = self.fixed = 0
        self.returns: str | None = None
        self.made = 0
        self.unseen = self.quiet = False
        self.globals: set[str] = set()

    # choices; the first is the simplest

    def pick(self, options: Sequence[Any]) -> Any:
        return options[self.upto(len(options) - 1)]

    def upto(self, most: int) -> int:
        return int(self.draw(st.integers(0, most))) if most else 0

    def chance(self, percent: int) -> bool:
        """Shrinks to no."""
        return self.upto(99) >= 100 - percent

    def often(self, rows: Sequence[tuple[int, Any]]) -> Any:
        """One of (weight, option)."""
        k = self.upto(sum(weight for weight, _ in rows) - 1)
        for weight, option in rows:
            k -= weight
            if k < 0:
                return option
        raise AssertionError

    # expressions

    def expr(self, kind: str, depth: int = 2) -> str:
        if depth <= 0 or not self.chance(75):
            return self.atom(kind)
        called = [h for h in self.helpers if h[2] == kind and not (self.fixed and INTS in h[1])]
        if called and self.chance(25):
            name, parameters, _ = self.pick(called)
            return f"{name}({', '.join(self.expr(p, depth - 1) for p in parameters)})"
        if self.chance(6):
            return self.fill(f"(${kind.upper()} if $BOOL else ${kind.upper()})", depth - 1)
        return self.fill(self.often(self.rows(kind)), depth - 1)

    def rows(self, kind: str) -> Rows:
        """What there is objects for."""
        if self.having(OBJECT):
            return GRAMMAR[kind]
        return [row for row in GRAMMAR[kind] if "$object" not in row[1]]

    def atom(self, kind: str) -> str:
        """A name, or a literal."""
        found = self.having(kind)
        if found and not self.chance(15):
            return str(found[-1 - self.upto(len(found) - 1)])
        maybe = [n for n, k in self.maybe.items() if k == kind]
        if maybe and self.chance(4):
            return str(self.pick(maybe))
        if kind == INT and self.chance(3):
            return str(self.pick(BIG))
        return self.fill(self.pick(LITERALS[kind]), 0)

    def fill(self, template: str, depth: int = 1) -> str:
        """The template with something in every hole."""

        def hole(found: re.Match[str]) -> str:
            choices, word = found.groups()
            if choices is not None:
                return self.fill(self.pick(choices.split("|")), depth)
            if word == "mod":
                return " % 1009" if self.turning else ""
            return self.atom(word) if word.islower() else self.expr(word.lower(), depth)

        return HOLE.sub(hole, template)

    # lines

    def put(self, text: str) -> None:
        self.lines.append("    " * self.indent + text)
        self.budget -= 1

    @contextlib.contextmanager
    def inside(self, head: str) -> Iterator[None]:
        """An indented block; names that it defines may have no value behind it."""
        self.put(head)
        before = dict(self.names)
        self.indent += 1
        start = len(self.lines)
        yield
        if len(self.lines) == start:
            self.put("pass")
        self.indent -= 1
        self.maybe |= {n: k for n, k in self.names.items() if n not in before}
        self.names = {n: k for n, k in before.items() if n in self.names}

    @contextlib.contextmanager
    def looping(self, head: str, fixed: bool = False) -> Iterator[None]:
        self.loops, self.turning, self.fixed = self.loops + 1, self.turning + 1, self.fixed + fixed
        with self.inside(head):
            yield
        self.loops, self.turning, self.fixed = self.loops - 1, self.turning - 1, self.fixed - fixed

    @contextlib.contextmanager
    def function(self, name: str, names: dict[str, str], returns: str | None, first: str = "") -> Iterator[None]:
        """A function with these parameters, and `first` before them. returns: the kind of its result; None: any."""
        outer = self.names, self.maybe, self.loops, self.returns, self.turning, self.globals
        self.names, self.maybe, self.loops, self.returns = dict(names), {}, 0, returns
        self.turning += 1  # it may be called in a loop
        self.globals = set()
        told = [*([first] if first else []), *(f"{n}: {HINTS.get(k, k)}" for n, k in names.items())]
        arrow = f" -> {HINTS.get(returns, returns)}" if returns else ""
        self.put(f"def {name}({', '.join(told)}){arrow}:")
        self.indent += 1
        yield
        self.indent -= 1
        self.names, self.maybe, self.loops, self.returns, self.turning, self.globals = outer

    # names

    def fresh(self, stem: str = "v") -> str:
        self.made += 1
        return f"{stem}{self.made}"

    def having(self, *kinds: str) -> list[str]:
        return [n for n, k in self.names.items() if k in kinds]

    def writable(self, *kinds: str) -> list[str]:
        return [n for n in self.having(*kinds) if not n.isupper() or n in self.globals]

    def define(self, name: str, kind: str) -> None:
        self.names[name] = kind
        self.maybe.pop(name, None)
