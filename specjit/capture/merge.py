"""Where control flow joins: two sets of variables become one, and a condition sharpens what is known.

Enters: the variables (and pending exits) at the end of two branches. Leaves: an `if` node whose results are what
differs.
Invariant: a variable that differs and is needed afterwards is a result of the `if`; one that is not needed afterwards
is forgotten.
"""

from __future__ import annotations

import ast
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from specjit.capture import choices, elements
from specjit.capture.frame import Frame
from specjit.capture.values import (
    Abstract,
    Choice,
    Iteration,
    Known,
    Local,
    Method,
    Ran,
    Shape,
    TupleOf,
    Unbound,
    Value,
    const,
    is_const,
    same_abstract,
    type_of_abstract,
)
from specjit.ir.constants import UNBOUND
from specjit.ir.graph import Block, Node
from specjit.ir.graph import Value as IRValue
from specjit.ir.structure import make_if
from specjit.ir.types import Type

# Pending exits live in `env` under names that no program can use. Flags are bool values; absent means False.
RETURNED, RETURN_VALUE, BROKE, CONTINUED, DEAD = "return?", "return", "break?", "continue?", "dead?"
FLAGS = (RETURNED, BROKE, CONTINUED)
FALSE, TRUE = const(False), const(True)


def is_flag(name: str) -> bool:
    """Whether an entry of `env` is a pending exit. "... left?" are those of unrolled loops, one per loop."""
    return name in FLAGS or name.endswith(" left?")


def bound_flag(name: str) -> str:
    """The entry of `env` that says whether a variable has a value, where control flow left that open."""
    return f"{name} bound?"


def bound(env: dict[str, Abstract], name: str) -> Abstract:
    return env.get(bound_flag(name), TRUE if name in env else FALSE)


@dataclass
class Branch:
    """One side of a join: its block and the variables at its end."""

    block: Block
    env: dict[str, Abstract]

    @property
    def dead(self) -> bool:
        """It always raises: nothing after it is reached from here."""
        return DEAD in self.env


def either(f: Frame, cond: IRValue, then: Callable[[], Abstract], other: Callable[[], Abstract]) -> Abstract:
    """The value of `then() if cond else other()`; only one side is lowered where `cond` is known."""
    if cond.is_const:
        return then() if cond.const else other()
    result = "result"
    sides = []
    for side in (then, other):
        with f.block() as block:
            value = side()
            f.env[result] = value
            sides.append(Branch(block, f.env))
    names = {n for s in sides for n in s.env}
    join(f, cond, sides[0], sides[1], names)
    return f.env.pop(result)


def join(f: Frame, cond: IRValue, then: Branch, other: Branch, live: set[str]) -> None:
    """Append the `if`, and make `f.env` the variables after it. `live`: names that may be read afterwards."""
    if then.dead and other.dead:
        make_if(f.session.block, cond, then.block, other.block, f.location())
        f.env = dict(other.env)
        return
    joiner = Joiner(f, then, other)
    joiner.cond = cond
    env = meet(joiner, live)
    joiner.finish(cond)
    f.env = {name: joiner.resolve(a) for name, a in env.items()}


def meet(joiner: Joiner, live: set[str]) -> dict[str, Abstract]:
    """The variables after two branches, in the terms of `joiner`."""
    f, then, other = joiner.f, joiner.then, joiner.other
    env: dict[str, Abstract] = {}
    alive = not (then.dead or other.dead)
    for name in sorted({*then.env, *other.env}):
        if name == DEAD or name.endswith(" bound?"):
            continue
        if alive and _untouched(then.env, other.env, name):
            env[name] = then.env[name]
            continue
        missing = FALSE if is_flag(name) else UNBOUND
        a, b = then.env.get(name, missing), other.env.get(name, missing)
        if then.dead or other.dead:
            # What the dead side holds is never seen; a filler keeps the shape of the other side's value.
            env[name] = joiner.only(name, b if then.dead else a, f.env.get(name), then.dead)
        elif same_abstract(a, b):
            env[name] = a
        elif is_flag(name):
            env[name] = joiner.flag(a, b)
        elif name in live or name in (RETURN_VALUE,):
            env[name] = joiner.merge(name, a, b)
        if name in env and name.isidentifier():
            has = bound(then.env, name), bound(other.env, name)
            if then.dead or other.dead:
                flag = joiner.only("", has[then.dead], None, then.dead)
            else:
                flag = has[0] if same_abstract(*has) else joiner.flag(*has)
            if not same_abstract(flag, TRUE):
                env[bound_flag(name)] = flag
    return env


def _untouched(a: dict[str, Abstract], b: dict[str, Abstract], name: str) -> bool:
    """Whether neither side has assigned the variable, and it has a value: most are so where a function is long."""
    flag = bound_flag(name)
    return name in a and a[name] is b.get(name) and flag not in a and flag not in b


class Joiner:
    """Collects the outputs of both branches while values are merged; `finish` makes the node and its results."""

    def __init__(self, f: Frame, then: Branch, other: Branch) -> None:
        self.f, self.then, self.other = f, then, other
        self.outputs: list[tuple[IRValue, IRValue]] = []
        self.hints: list[str] = []
        self.placeholders: dict[IRValue, int] = {}
        self.results: list[IRValue] = []
        self.cond: IRValue | None = None  # what decides between the branches, if it is a value
        self.negated: IRValue | None = None
        self.defined_then, self.defined_other = _defined(then.block), _defined(other.block)

    def output(self, a: IRValue, b: IRValue, hint: str) -> IRValue:
        for i, (x, y) in enumerate(self.outputs):
            if x is a and y is b:
                return next(p for p, k in self.placeholders.items() if k == i)
        place = IRValue(a.type)
        self.placeholders[place] = len(self.outputs)
        self.outputs.append((a, b))
        self.hints.append(hint)
        return place

    def side(self, branch: Branch, a: Abstract) -> IRValue:
        """`a` as a value, built at the end of the branch it comes from."""
        saved, self.f.session.block = self.f.session.block, branch.block
        try:
            return self.f.value(a)
        finally:
            self.f.session.block = saved

    def merge(self, name: str, a: Abstract, b: Abstract) -> Abstract:
        if same_abstract(a, b):
            return a
        if isinstance(a, TupleOf) and isinstance(b, TupleOf) and len(a.items) == len(b.items):
            merged_items = tuple(self.merge(name, x, y) for x, y in zip(a.items, b.items))
            return TupleOf(merged_items, a.names if a.names == b.names else ())
        if isinstance(a, Unbound) or isinstance(b, Unbound):
            return self._fill(name, a, b)
        chosen = choices.choice(self.cond, self._outlasting(a, True), self._outlasting(b, False))
        if chosen is not None:
            return chosen
        merged = self.output(self.side(self.then, a), self.side(self.other, b), _hint(name))
        if isinstance(a, Known) and isinstance(b, Known) and a.obj is b.obj:
            return Known(a.obj, merged, a.source)
        return merged

    def _outlasting(self, a: Abstract, of_then: bool) -> Abstract:
        """A choice that a branch makes, by a condition that outlasts it."""
        inside = self.defined_then if of_then else self.defined_other
        if not isinstance(a, Choice) or a.cond not in inside:
            return a
        cond = self.output(a.cond, FALSE, "") if of_then else self.output(FALSE, a.cond, "")
        return replace(a, cond=cond)

    def _fill(self, name: str, a: Abstract, b: Abstract) -> Abstract:
        """One side has no value: there it is the constant UNBOUND, typed like the other side."""
        if isinstance(a, TupleOf):
            return TupleOf(tuple(self._fill(name, x, b) for x in a.items), a.names)
        if isinstance(b, TupleOf):
            return TupleOf(tuple(self._fill(name, a, x) for x in b.items), b.names)
        x = self._filler(b) if isinstance(a, Unbound) else self.side(self.then, a)
        y = self._filler(a) if isinstance(b, Unbound) else self.side(self.other, b)
        return self.output(x, y, _hint(name))

    def _filler(self, like: Abstract) -> IRValue:
        return IRValue.constant(UNBOUND, type_of_abstract(like))

    def only(self, name: str, a: Abstract, before: Abstract | None, then_dead: bool) -> Abstract:
        """The value of the live side, handed out of its block if it was made there."""
        if isinstance(a, TupleOf):
            return TupleOf(tuple(self.only(name, x, None, then_dead) for x in a.items), a.names)
        inside = self.defined_other if then_dead else self.defined_then
        if any(v in inside for v in _parts(a)):
            a = self.side(self.other if then_dead else self.then, a)
            inside.add(a)
        inner = a.value if isinstance(a, Known) else a
        if not isinstance(inner, Value) or inner not in inside:
            return a
        filler = self._filler(inner)
        out = self.output(filler, inner, _hint(name)) if then_dead else self.output(inner, filler, _hint(name))
        return Known(a.obj, out, a.source) if isinstance(a, Known) else out

    def flag(self, a: Abstract, b: Abstract) -> Abstract:
        """A pending exit: where both sides are constants it is the condition itself, or its negation."""
        if is_const(a) and is_const(b) and self.cond is not None:
            if a.const:  # type: ignore[union-attr]
                return self.cond
            if self.negated is None:
                self.negated = IRValue(self.cond.type)
            return self.negated
        return self.output(self.side(self.then, a), self.side(self.other, b), "")

    def finish(self, cond: IRValue) -> None:
        self.then.block.outputs = [a for a, _ in self.outputs]
        self.other.block.outputs = [b for _, b in self.outputs]
        if not (self.outputs or self.then.block.nodes or self.other.block.nodes):
            self.negate(cond)
            return
        node = make_if(self.f.session.block, cond, self.then.block, self.other.block, self.f.location(), self.hints)
        self.adopt(node)
        self.negate(cond)

    def adopt(self, node: Node) -> None:
        """The placeholders stand for this node's results."""
        self.results = node.results
        for result, sources in zip(node.results, self.outputs):
            elements.merged(self.f.session, result, sources)

    def negate(self, cond: IRValue) -> None:
        if self.negated is not None:
            self.not_cond = self.f.emit("py.not", cond)
            if self.not_cond.node is not None:
                self.not_cond.node.attrs["_helper"] = True

    def resolve(self, a: Abstract) -> Abstract:
        """Placeholders become the node's results."""
        if isinstance(a, Value):
            if a is self.negated:
                return self.not_cond
            return self.results[self.placeholders[a]] if a in self.placeholders else a
        if isinstance(a, TupleOf):
            return TupleOf(tuple(map(self.resolve, a.items)), a.names)
        if isinstance(a, Choice):
            return Choice(*map(self.resolve, (a.cond, a.then, a.other)))  # type: ignore[arg-type]
        if isinstance(a, Known) and a.value is not None:
            return Known(a.obj, self.resolve(a.value), a.source)  # type: ignore[arg-type]
        return a


def _parts(a: Abstract) -> list[Value]:
    """The run-time values that something which is no value yet, or a function, is made of."""
    parts: tuple[Any, ...] = ()
    if isinstance(a, Shape):
        parts = (a.tensor,)
    elif isinstance(a, Method):
        parts = (a.owner,)
    elif isinstance(a, Iteration):
        parts = a.parts
    elif isinstance(a, Ran):
        parts = (a.header,)
    elif isinstance(a, Choice):
        parts = (a.cond, a.then, a.other)
    elif isinstance(a, Local):
        parts = (*a.defaults, *(d for d in a.kw_defaults if d is not None))
    elif isinstance(a, TupleOf):
        parts = a.items
    return [v for p in parts for v in ([p] if isinstance(p, Value) else _parts(p))]


def _hint(name: str) -> str:
    return name if name.isidentifier() and name != RETURN_VALUE else ""


def _defined(block: Block) -> set[IRValue]:
    return {r for node in block.nodes for r in node.results}


def refined(f: Frame, test: ast.expr, holds: bool, body: Callable[[], Abstract]) -> Abstract:
    refine(f, test, holds)
    return body()


def refine(f: Frame, test: ast.expr, holds: bool) -> None:
    """Sharpen what is known of variables inside a branch that is taken when `test` is `holds`."""
    if isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
        refine(f, test.operand, not holds)
    elif isinstance(test, ast.BoolOp) and isinstance(test.op, ast.And) == holds:
        for part in test.values:
            refine(f, part, holds)
    elif isinstance(test, ast.Compare) and len(test.ops) == 1 and isinstance(test.left, ast.Name):
        right = test.comparators[0]
        if isinstance(right, ast.Constant) and right.value is None and isinstance(test.ops[0], ast.Is | ast.IsNot):
            _refine_none(f, test.left.id, isinstance(test.ops[0], ast.Is) == holds)
    elif isinstance(test, ast.Name) and holds:
        _refine_none(f, test.id, False)
    elif isinstance(test, ast.Call) and holds and f.session.scripting:
        _refine_class(f, test)


def _refine_none(f: Frame, name: str, none: bool) -> None:
    value = f.env.get(name)
    if f.session.scripting and value is not None and _is_none(value) is (not none):
        f.env[DEAD] = TRUE  # no run comes here: what stands here need not make sense
    if not isinstance(value, Value) or value.type.kind != "optional":
        return
    if none:
        f.env[name] = const(None)
    else:
        f.env[name] = refine_type(f, value, value.type.args[0], name)


_NEVER_NONE = ("tensor", "int", "float", "bool", "complex", "str", "list", "dict", "set", "tuple")


def _is_none(a: Abstract) -> bool | None:
    """Whether a value is None, where that is known."""
    if isinstance(a, TupleOf | Local | Method | Iteration | Shape):
        return False
    if isinstance(a, Known):
        return a.obj is None
    if not isinstance(a, Value) or (a.is_const and a.const is UNBOUND):
        return None
    if a.is_const or a.type.kind == "none":
        return a.type.kind == "none" or a.const is None
    return False if a.type.kind in _NEVER_NONE else None


def _refine_class(f: Frame, test: ast.Call) -> None:
    """After `isinstance(name, classes)`: where the name's class is another one, no run comes."""
    from specjit.capture.builtins import python_class, tested_classes

    plain = isinstance(test.func, ast.Name) and test.func.id == "isinstance" and f.lookup("isinstance") is None
    if not plain or len(test.args) != 2 or test.keywords or not isinstance(test.args[0], ast.Name):
        return
    mark = f.session.mark()
    kinds = tested_classes(f.expr(test.args[1]))
    f.session.rollback(mark)
    value = f.env.get(test.args[0].id)
    cls = None if value is None else python_class(value)
    if kinds is not None and cls is not None and not issubclass(cls, kinds):
        f.env[DEAD] = TRUE


def refine_type(f: Frame, value: IRValue, t: Type, name: str = "") -> IRValue:
    """The same value, of which more is known from here on."""
    out = f.emit("py.refine", value, str(t), hint=name)
    out.type = t
    return out
