"""Whole programs: a module with helper functions, a class, globals, and `program`, with the arguments of some calls.

    source, calls = draw(programs())

Enters: nothing. Leaves: a `Source`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st

from tests.capture.whole.grammar import (
    BOOL,
    COUNTS,
    FLOAT,
    HINTS,
    INT,
    INTS,
    MATRIX,
    MAYBE,
    NOISY,
    OBJECT,
    PAIR,
    SCALAR,
    STR,
    TENSORS,
    VALUES,
    VECTOR,
    WHOLE,
)
from tests.capture.whole.statements import Statements

HEAD = """import math
from typing import Dict, List, Optional, Tuple

import specjit
from specjit import Tensor, nn, tensor

LIMIT = 3
LOG: List[int] = []
TABLE: Dict[str, int] = {'a': 2}
"""
CLASS = """

class Counter:
    limit: int = {limit}

    def __init__(self, start: int, name: str = 'n') -> None:
        self.value: int = start
        self.name: str = name
        self.seen: List[int] = [start]
        self.parts: Tuple[int, int] = (start, 1)

    @property
    def double(self) -> int:
        return {double}

    def bump(self, by: int = 1) -> int:
{bump}
        return self.value

    def scale(self, x: Tensor) -> Tensor:
        return {scale}

    def __len__(self) -> int:
        return len(self.seen)

    def __add__(self, other: int) -> 'Counter':
        return Counter((self.value + other) % 1009, self.name)

    def __setitem__(self, k: int, value: int) -> None:
        self.seen[k] = value
"""
VALUES_OF = {
    INT: ["1", "0", "2", "-1", "3", "-7", "2147483648", "18446744073709551616"],
    FLOAT: ["1.0", "0.5", "-2.0", "0.0", "3.0"],
    BOOL: ["True", "False"],
    STR: ["'a'", "''", "'12'"],
    INTS: ["[1, 2, 3]", "[]", "[5]", "[0, -1, 2, 2]"],
    TENSORS: ["[tensor([1.0, 2.0, 3.0])]", "[]", "[tensor([0.0, -1.0, 1.0]), tensor([1.0, 1.0, 1.0])]"],
    COUNTS: ["{'a': 1}", "{}", "{'b': 2, 'a': -1}"],
    PAIR: ["(1, 2)", "(0, -3)"],
    MAYBE: ["None", "1", "0"],
    VECTOR: ["tensor([1.0, 2.0, 3.0])", "tensor([-1.0, 0.0, 2.0])", "tensor([0.0, 0.0, -4.0])"],
    MATRIX: [
        "tensor([[1.0, -2.0, 3.0], [0.0, 5.0, -1.0]])", "tensor([[2.0, 1.0, 0.0]])", "specjit.zeros(0, 3)",
        "tensor([[1.0, 0.0], [2.0, -1.0], [3.0, 1.0]]).t()", "tensor([[-1.0, -2.0, -3.0], [4.0, 0.0, 1.0]])",
    ],
    SCALAR: ["tensor(1.0)", "tensor(-2.0)", "tensor(0.0)"],
    WHOLE: ["tensor([1, 2, 3])", "tensor([-1, 0, 4])"],
}  # fmt: skip
PARAMETERS = (VECTOR, INT, INTS, MATRIX, FLOAT, COUNTS, TENSORS, SCALAR, BOOL, MAYBE, STR, WHOLE, PAIR)


@dataclass(frozen=True)
class Source:
    """A program. calls: for each call what is assigned to globals before it, and its arguments, as text.

    is_module  `program` is a Module class, not a function
    straight   its calls do nothing that a trace does not see
    odd        an argument is not of the type that is declared
    """

    text: str
    calls: tuple[tuple[str, str], ...]
    is_module: bool
    straight: bool
    odd: bool = False

    def __str__(self) -> str:
        calls = "".join(f"    ({change!r}, {arguments!r}),\n" for change, arguments in self.calls)
        return f"{self.text}\nCALLS = [\n{calls}]\n"


class Programs(Statements):
    """Writes one program."""

    def make(self) -> Source:
        self.lines = HEAD.splitlines()
        self.names = {"LIMIT": INT, "TABLE": COUNTS}
        self.quiet = self.chance(30)
        if self.chance(30):
            self.user_class()
        for _ in range(self.upto(2)):
            self.helper()
        is_module = self.chance(25)
        kinds = [VECTOR, INT, *(self.pick(PARAMETERS) for _ in range(self.upto(3)))]
        parameters = {f"a{k}": kind for k, kind in enumerate(kinds)}
        if is_module:
            self.user_module(parameters)
        else:
            self.lines += ["", ""]
            self.body("program", parameters)
        odd = self.chance(10)
        calls = [self.call(kinds) for _ in range(2 + self.upto(2))]
        if odd:
            calls.append(("", self.arguments(kinds, "«1.5|2|None|tensor([1.0, 2.0])»")))
        body = "\n".join(self.lines[len(HEAD.splitlines()) :])
        # A trace rebuilds the containers that a function returns, unless they are arguments.
        straight = not self.unseen and "TABLE" not in body and all(not change for change, _ in calls)
        return Source("\n".join(self.lines) + "\n", tuple(calls), is_module, straight, odd)

    def call(self, kinds: list[str]) -> tuple[str, str]:
        change = self.fill("LIMIT = «4|0|-2»", 0) if self.chance(10) else ""
        return change, self.arguments(kinds)

    def arguments(self, kinds: list[str], last: str | None = None) -> str:
        values = [self.pick(VALUES_OF[k]) for k in kinds]
        if last is not None:
            values[-1] = self.fill(last)
        return f"({', '.join(values)},)"

    def user_class(self) -> None:
        with self.knowing({"self.value": INT, "by": INT, "self.seen": INTS, "self.limit": INT}):
            self.indent, self.budget = 2, self.upto(3)
            self.turning = 1
            double = self.expr(INT, 1)
            before = len(self.lines)
            self.put(self.fill("self.value = (self.value + $INT) % 1009"))
            if self.chance(60):
                self.put(self.fill("self.seen = (self.seen + [$INT])[-4:]"))
            if self.chance(30):
                self.put(self.fill("if $BOOL:"))
                self.put("    return by")
            bump = self.lines[before:]
            del self.lines[before:]
            self.names = {"x": VECTOR, "self.value": INT}
            scale = self.expr(VECTOR, 1)
            self.indent = self.turning = 0
        text = CLASS.format(limit=self.pick((5, 2)), double=double, bump="\n".join(bump), scale=scale)
        self.lines += text.splitlines()
        self.has_class = True

    @contextlib.contextmanager
    def knowing(self, names: dict[str, str]) -> Iterator[None]:
        """Only these names."""
        outer = self.names
        self.names = names
        yield
        self.names = outer

    def helper(self) -> None:
        name = self.fresh("h")
        kinds = tuple(self.pick((INT, VECTOR, INTS, FLOAT, MATRIX, COUNTS)) for _ in range(1 + self.upto(1)))
        gives = self.pick((INT, VECTOR, FLOAT, INTS, BOOL, MATRIX))
        self.lines += ["", ""]
        self.budget = self.upto(4)
        with self.function(name, {self.fresh("a"): k for k in kinds}, gives):
            if self.budget:
                self.block(1)
            self.put(f"return {self.expr(gives, 2)}")
        self.helpers.append((name, kinds, gives))

    def body(self, name: str, parameters: dict[str, str], held: dict[str, str] | None = None) -> None:
        outer = {} if self.quiet else {"LIMIT": INT, "TABLE": COUNTS}
        self.budget = 6 + self.upto(14)
        with self.function(name, parameters, None, "self" if held else ""):
            self.turning = 0
            if self.chance(8):
                self.globals, self.unseen = {"LIMIT"}, True
                self.put("global LIMIT")
            self.names = {**outer, **(held or {}), **self.names}
            self.block(0)
            while self.budget > 0 and self.chance(90):
                self.statement(0)
            if self.chance(30):
                noisy = self.fresh("n")
                self.put(f"{noisy} = {self.expr(NOISY, 2)}")
                self.names[noisy] = NOISY
            found = [n for n in self.having(*VALUES, NOISY, OBJECT) if not n.isupper()]
            self.put(f"return {', '.join([*found[-4:], self.expr(INT, 1)])}")

    def user_module(self, parameters: dict[str, str]) -> None:
        self.lines += ["", "", "class program(nn.Module):"]
        self.lines += ["    def __init__(self) -> None:", "        super().__init__()"]
        self.lines += [f"        self.w = nn.Parameter(tensor({self.pick(('[1.0, -1.0, 2.0]', '[0.0, 2.0, 1.0]'))}))"]
        self.lines += ["        self.register_buffer('state', specjit.zeros(3))"]
        self.lines += ["        self.count: int = 0", "        self.items: List[int] = []", ""]
        self.indent = 1
        held = {"self.state": VECTOR, "self.count": INT, "self.items": INTS, "self.w": VECTOR}
        self.body("forward", parameters, held)
        self.unseen = True


@st.composite
def programs(draw: Any) -> Source:
    """Programs that compile."""
    return Programs(draw).make()


__all__ = ["HINTS", "Source", "programs"]
