"""Rewrites as rows of data: `Rule("mul(x, 1)", "x", because=...)`, and what finds their matches.

Enters: a node. Leaves: the bindings of a rule's variables, and the values that replace the node's results.
A pattern is a call as Python writes it: a name is a variable (the same name matches only the same value or an equal
constant), a number matches that constant, a nested call matches the node that defines the argument. Arguments that the
pattern leaves out must have their defaults. `0` does not match -0.0, and `True` is no number.
"""

from __future__ import annotations

import ast
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from specjit.ir import signature
from specjit.ir.builder import Builder
from specjit.ir.constants import same
from specjit.ir.graph import Node, Value
from specjit.parsing import parse

Bindings = dict[str, Value]


@dataclass(frozen=True)
class Call:
    op: str
    args: tuple[Any, ...]


@dataclass(frozen=True)
class Match:
    """What a rule's condition or computed replacement may look at."""

    node: Node
    values: Bindings
    builder: Builder

    def __getitem__(self, name: str) -> Value:
        return self.values[name]

    def const(self, name: str) -> Any:
        """The Python value bound to `name`, or None."""
        value = self.values[name]
        return value.const if value.is_const else None


@dataclass(frozen=True)
class Rule:
    """One row. The result must have the type of what it replaces, or the rule does not fire.

    to: an expression over the pattern's variables, or a function of the match that returns a value, or one per result
    of a node with several (None: it does not apply).
    because: why both sides are equal, bit for bit. when: a further condition. commutes: the arguments may be swapped.
    view: both sides are views of the same storage, in every run.
    """

    pattern: str
    to: str | Callable[[Match], Value | Sequence[Value] | None]
    because: str
    when: Callable[[Match], bool] | None = None
    commutes: bool = False
    view: bool = False
    tree: Any = field(init=False, compare=False, default=None)
    target: Any = field(init=False, compare=False, default=None)

    def __post_init__(self) -> None:
        object.__setattr__(self, "tree", parse_pattern(self.pattern))
        if isinstance(self.to, str):
            object.__setattr__(self, "target", parse_pattern(self.to))

    def apply(self, node: Node, builder: Builder) -> Value | Sequence[Value] | None:
        """What to put in the place of the node's result, or results; nodes it needs are appended to the builder's
        block."""
        for args in self._orders(node):
            values = bind(self.tree, node, args)
            if values is None:
                continue
            match = Match(node, values, builder)
            if self.when is not None and not self.when(match):
                continue
            return self.to(match) if callable(self.to) else build(self.target, match)
        return None

    def _orders(self, node: Node) -> list[list[Value]]:
        plain = list(node.args)
        return [plain, [plain[1], plain[0], *plain[2:]]] if self.commutes and len(plain) > 1 else [plain]


def parse_pattern(text: str) -> Any:
    """`Call`s, variable names (str) and numbers."""
    return _read(parse(text, mode="eval").body)


def _read(tree: ast.expr) -> Any:
    if isinstance(tree, ast.Call):
        return Call(ast.unparse(tree.func), tuple(map(_read, tree.args)))
    if isinstance(tree, ast.Name):
        return tree.id
    return ast.literal_eval(tree)


def ops_of(tree: Any) -> set[str]:
    return {tree.op}.union(*map(ops_of, tree.args)) if isinstance(tree, Call) else set()


def bind(tree: Call, node: Node, args: list[Value]) -> Bindings | None:
    """The variables of a pattern matched against a node, or None."""
    values: Bindings = {}
    return values if _match_call(tree, node, args, values) else None


def _match_call(tree: Call, node: Node, args: list[Value], values: Bindings) -> bool:
    if node.op.name != tree.op or len(args) < len(tree.args):
        return False
    rest = zip(signature.expand(node.op, len(args))[len(tree.args) :], args[len(tree.args) :])
    return all(signature.is_default(p, a) for p, a in rest) and all(
        _match(t, a, values) for t, a in zip(tree.args, args)
    )


def _match(tree: Any, value: Value, values: Bindings) -> bool:
    if isinstance(tree, str):
        bound = values.setdefault(tree, value)
        return bound is value or (bound.is_const and value.is_const and same(bound.const, value.const))
    if isinstance(tree, Call):
        node = value.node
        return node is not None and len(node.results) == 1 and _match_call(tree, node, node.args, values)
    return value.is_const and equals(value.const, tree)


def equals(const: Any, number: float) -> bool:
    """Whether a constant is this number: 1 and 1.0 are, True is not, and zeros must have the same sign."""
    if type(const) not in (int, float):
        return False
    return const == number and math.copysign(1, const) == math.copysign(1, number)


def build(tree: Any, match: Match) -> Value:
    if isinstance(tree, str):
        return match[tree]
    if isinstance(tree, Call):
        return match.builder.call(tree.op, *(build(t, match) for t in tree.args))
    return Value.constant(tree)
