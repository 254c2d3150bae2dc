"""`match` statements: each case as a test of the subject, the names that it binds, and a branch.

Enters: `ast.Match`. Leaves: `if` nodes.
Invariant: parts of the subject are taken out only after its own test has held, in Python's order; names are bound
when the whole pattern has matched, before the guard is evaluated. A part that a pattern binds waits in `env` under a
name that no program can use.
"""

from __future__ import annotations

import ast
import collections.abc
from collections.abc import Callable, Sequence

from specjit.capture import merge
from specjit.capture.builtins import python_class, quiet_call
from specjit.capture.expressions import bind_name, unpack
from specjit.capture.frame import Frame, lowers
from specjit.capture.merge import DEAD
from specjit.capture.operators import binary, compare, condition, truth
from specjit.capture.values import Abstract, Known, TupleOf, Value, const
from specjit.ir.constants import UNBOUND
from specjit.ops.control import asked_by_class, is_sequence_class
from specjit.ops.records.registry import get

# Classes whose one positional pattern is the subject itself.
ATOMS = (bool, bytearray, bytes, dict, float, frozenset, int, list, set, str, tuple)


@lowers(ast.Match)
def _match(f: Frame, s: ast.Match) -> None:
    _cases(f, f.expr(s.subject), s.cases, f.live.after[s])


def _cases(f: Frame, subject: Abstract, cases: Sequence[ast.match_case], live: set[str]) -> None:
    from specjit.capture.statements import run

    if not cases:
        return
    case, *others = cases
    chosen = _chosen(f, subject, case)
    if chosen.is_const:
        if chosen.const:
            run(f, case.body)
        else:
            _cases(f, subject, others, live)
        return
    sides: list[merge.Branch] = []
    bodies: tuple[Callable[[], None], ...] = (lambda: run(f, case.body), lambda: _cases(f, subject, others, live))
    for body in bodies:
        with f.block() as block:
            if DEAD not in f.env:
                body()
            sides.append(merge.Branch(block, f.env))
    merge.join(f, chosen, sides[0], sides[1], live)


def _chosen(f: Frame, subject: Abstract, case: ast.match_case) -> Value:
    """Whether the pattern matches and the guard holds. The names are bound wherever the pattern matches."""
    saved, f.at = f.at, case.pattern
    try:
        matched = _matches(f, subject, case.pattern)
    finally:
        f.at = saved
    names = [n for n in f.env if n.endswith(_PART)]

    def bound() -> Abstract:
        for name in names:
            bind_name(f, name.removesuffix(_PART), f.env[name])
        return merge.TRUE if case.guard is None else condition(f, case.guard)

    chosen = merge.either(f, matched, bound, lambda: merge.FALSE)
    for name in names:
        f.env.pop(name, None)
    return truth(f, chosen)


_PART = " part"  # ends the name of a part that waits to be bound


# patterns


def _matches(f: Frame, subject: Abstract, pattern: ast.pattern) -> Value:
    """Whether the subject matches."""
    return _PATTERNS[type(pattern)](f, subject, pattern)


def _both(f: Frame, first: Value, then: Callable[[], Value]) -> Value:
    """`first and then()`."""
    return truth(f, merge.either(f, first, then, lambda: merge.FALSE))


def _all(f: Frame, tests: Sequence[Callable[[], Value]]) -> Value:
    if not tests:
        return merge.TRUE
    return _both(f, tests[0](), lambda: _all(f, tests[1:]))


def _value(f: Frame, subject: Abstract, pattern: ast.MatchValue) -> Value:
    return truth(f, binary(f, "eq", subject, f.expr(pattern.value)))


def _singleton(f: Frame, subject: Abstract, pattern: ast.MatchSingleton) -> Value:
    return truth(f, compare(f, ast.Is(), subject, const(pattern.value)))


def _named(f: Frame, subject: Abstract, pattern: ast.MatchAs) -> Value:
    """`_`, `name`, or `pattern as name`."""
    matched = merge.TRUE if pattern.pattern is None else _matches(f, subject, pattern.pattern)
    if pattern.name is None:
        return matched
    name = pattern.name + _PART

    def keep() -> Value:
        f.env[name] = subject
        return merge.TRUE

    return _both(f, matched, keep)


def _one_of(f: Frame, subject: Abstract, pattern: ast.MatchOr) -> Value:
    def tried(patterns: Sequence[ast.pattern]) -> Value:
        matched = _matches(f, subject, patterns[0])
        if len(patterns) == 1:
            return matched
        return truth(f, merge.either(f, matched, lambda: merge.TRUE, lambda: tried(patterns[1:])))

    return tried(pattern.patterns)


# sequences


def _sequence(f: Frame, subject: Abstract, pattern: ast.MatchSequence) -> Value:
    stars = [k for k, p in enumerate(pattern.patterns) if isinstance(p, ast.MatchStar)]
    least = len(pattern.patterns) - len(stars)

    def fits() -> Value:
        size = _length(f, subject)
        return truth(f, compare(f, ast.GtE() if stars else ast.Eq(), size, const(least)))

    def inner() -> Value:
        items = _items(f, subject, len(pattern.patterns), stars[0] if stars else None)
        return _all(f, [lambda p=p, x=x: _matches(f, x, p) for p, x in zip(pattern.patterns, items)])  # type: ignore[misc]

    return _all(f, [lambda: _is_sequence(f, subject), fits, inner])


def _is_sequence(f: Frame, subject: Abstract) -> Value:
    cls = python_class(subject)
    return f.emit("py.is_sequence", subject) if cls is None else const(is_sequence_class(cls))


def _length(f: Frame, subject: Abstract) -> Abstract:
    return const(len(subject.items)) if isinstance(subject, TupleOf) else f.emit("py.len", subject)


def _items(f: Frame, subject: Abstract, count: int, star: int | None) -> Sequence[Abstract]:
    """The parts of a sequence of the right length, one per pattern."""
    if star is None:
        return unpack(f, subject, count)
    after = count - star - 1
    if isinstance(subject, TupleOf):
        stop = len(subject.items) - after
        return [*subject.items[:star], f.emit("py.list", *subject.items[star:stop]), *subject.items[stop:]]
    return f.emit_node(get("py.unpack_star"), [f.value(subject), const(star), const(after)])[0].results


def _star(f: Frame, subject: Abstract, pattern: ast.MatchStar) -> Value:
    if pattern.name is not None:
        f.env[pattern.name + _PART] = subject
    return merge.TRUE


# mappings


def _mapping(f: Frame, subject: Abstract, pattern: ast.MatchMapping) -> Value:
    keys = [f.expr(k) for k in pattern.keys]

    def inner() -> Value:
        return _all(f, [lambda k=k, p=p: _entry(f, subject, k, p) for k, p in zip(keys, pattern.patterns)])  # type: ignore[misc]

    def rest() -> Value:
        if pattern.rest is not None:
            others = f.emit("py.spread_dict", subject)
            for key in keys:
                f.emit("py.delitem", others, key)
            f.env[pattern.rest + _PART] = others
        return merge.TRUE

    return _all(f, [lambda: _is_mapping(f, subject), inner, rest])


def _is_mapping(f: Frame, subject: Abstract) -> Value:
    cls = python_class(subject)
    if cls is None:
        return quiet_call(isinstance, f, subject, Known(collections.abc.Mapping))
    return const(issubclass(cls, collections.abc.Mapping))


def _entry(f: Frame, subject: Abstract, key: Abstract, pattern: ast.pattern) -> Value:
    """Whether there is such a key, and its value matches."""
    found = f.emit("py.method", subject, "get", None, key, UNBOUND)
    there = truth(f, f.emit("py.is_not", found, UNBOUND))
    return _both(f, there, lambda: _matches(f, found, pattern))


# classes


def _class(f: Frame, subject: Abstract, pattern: ast.MatchClass) -> Value:
    cls = f.expr(pattern.cls)
    if not isinstance(cls, Known) or cls.value is not None or not isinstance(cls.obj, type):
        raise f.unsupported("a class pattern whose class is not known", pattern)
    kind = cls.obj
    itself = len(pattern.patterns) == 1 and any(kind is atom for atom in ATOMS)
    names = [*([] if itself else _positional(f, kind, pattern)), *pattern.kwd_attrs]
    parts = [*([] if itself else pattern.patterns), *pattern.kwd_patterns]
    tests: list[Callable[[], Value]] = [lambda: _is_instance(f, subject, cls)]
    if itself:
        tests.append(lambda: _matches(f, subject, pattern.patterns[0]))
    tests += [lambda n=n, p=p: _attribute(f, subject, n, p) for n, p in zip(names, parts)]  # type: ignore[misc]
    return _all(f, tests)


def _is_instance(f: Frame, subject: Abstract, cls: Known) -> Value:
    found = python_class(subject)
    if found is None or not asked_by_class(cls.obj):
        return quiet_call(isinstance, f, subject, cls)
    return const(issubclass(found, cls.obj))


def _positional(f: Frame, cls: type, pattern: ast.MatchClass) -> tuple[str, ...]:
    """The attributes that positional patterns stand for."""
    names = getattr(cls, "__match_args__", ())
    if len(names) < len(pattern.patterns) or not isinstance(names, tuple):
        raise f.unsupported(f"positional patterns of {cls.__qualname__}", pattern, "name the attributes")
    if pattern.patterns:
        fetch = f"{f.session.facts.bind(cls)}.__match_args__"
        f.session.facts.add("globals", f"{cls.__qualname__}.__match_args__", "value", names, f.origin(), fetch)
    return names[: len(pattern.patterns)]


def _attribute(f: Frame, subject: Abstract, name: str, pattern: ast.pattern) -> Value:
    """Whether there is such an attribute, and its value matches."""
    found = quiet_call(getattr, f, subject, const(name), const(UNBOUND))
    there = truth(f, f.emit("py.is_not", found, UNBOUND))
    return _both(f, there, lambda: _matches(f, found, pattern))


_PATTERNS: dict[type, Callable[..., Value]] = {
    ast.MatchValue: _value,
    ast.MatchSingleton: _singleton,
    ast.MatchAs: _named,
    ast.MatchOr: _one_of,
    ast.MatchSequence: _sequence,
    ast.MatchStar: _star,
    ast.MatchMapping: _mapping,
    ast.MatchClass: _class,
}
