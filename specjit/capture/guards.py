"""Capture guards: what the generic graph relies on, as data and as one compiled check.

Enters: facts noted while a program is read, each with a Python expression that fetches the thing it is about.
Leaves: `ir.guard.Guard` records, and `Checks`: compiled predicates over the call's arguments.
Invariant: a guard's `source` prints for people; its fetching expression uses the parameters and bound objects only,
and a fetch that fails (a deleted attribute) is a failed guard, never an error.

Three groups, by what can change them: "arguments" (every call), "globals" (every call: dict contents, code objects,
classes), and "structure" (attributes of modules: only after `tensor.state.module_epoch` has moved, unless an object
that is no Module is involved).
"""

from __future__ import annotations

import functools
import re
import types
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from specjit.ir.guard import Guard

# What fetching a thing that is there no more may raise.
FAILED = (AttributeError, KeyError, IndexError, TypeError, ValueError)
Group = Literal["arguments", "globals", "structure"]


@dataclass(frozen=True, slots=True)
class Fact:
    """A guard with the code that checks it: `test` is an expression with one hole for what `fetch` fetches."""

    guard: Guard
    group: Group
    fetch: str
    test: str


class Facts:
    """The facts of one capture, in order, without repetition. `mark`/`rollback` drop those of an abandoned attempt."""

    def __init__(self) -> None:
        self._facts: dict[tuple[str, str], Fact] = {}
        self._names: dict[int, str] = {}
        self._objects: list[Any] = []

    def mark(self) -> int:
        return len(self._facts)

    def rollback(self, mark: int) -> None:
        for key in list(self._facts)[mark:]:
            del self._facts[key]

    def bind(self, obj: Any) -> str:
        """A name under which the checking code refers to `obj`."""
        if id(obj) not in self._names:
            self._names[id(obj)] = f"__b{len(self._objects)}"
            self._objects.append(obj)
        return self._names[id(obj)]

    def add(self, group: Group, source: str, kind: str, expected: Any, origin: str, fetch: str) -> None:
        """Note that what `fetch` fetches has the `expected` type, identity, length or value."""
        if (source, kind) in self._facts:
            return
        bound = self.bind(expected)
        test = {
            "type": f"type({{}}) is {bound}",
            "identity": f"{{}} is {bound}",
            "value": f"{{}} == {bound}",
            "length": f"len({{}}) == {bound}",
            "absent": f"{bound} not in {{}}",
            "empty": "not {}",
            "items": f"all([type(x) is {bound} for x in {{}}])",
        }[kind]
        self._facts[source, kind] = Fact(Guard(source, kind, expected, origin), group, fetch, test)

    @property
    def guards(self) -> list[Guard]:
        return [f.guard for f in self._facts.values()]

    def compile(self, params: list[str]) -> Checks:
        return Checks(list(self._facts.values()), params, {f"__b{i}": o for i, o in enumerate(self._objects)})


class Checks:
    """Compiled guards. Each predicate takes the call's arguments in parameter order and says whether its group
    holds."""

    def __init__(self, facts: list[Fact], params: list[str], bindings: dict[str, Any]) -> None:
        self._facts = facts
        self._params = params
        self._bindings = bindings

    @functools.cached_property
    def globals(self) -> Callable[..., bool]:
        return self._predicate([f for f in self._facts if f.group == "globals"])

    @functools.cached_property
    def structure(self) -> Callable[..., bool]:
        return self._predicate([f for f in self._facts if f.group == "structure"])

    @functools.cached_property
    def all(self) -> Callable[..., bool]:
        return self._predicate(self._facts)

    def _function(self, body: str, name: str) -> Any:
        source = f"def {name}({', '.join(self._params)}):\n{body}"
        scope: dict[str, Any] = dict(self._bindings)
        exec(compile(source, f"<specjit {name}>", "exec"), scope)
        return scope[name]

    def _predicate(self, facts: list[Fact]) -> Callable[..., bool]:
        """All tests in order, with every object that several of them start from fetched once."""
        counts = Counter(prefix for fact in facts for prefix in _prefixes(fact.fetch))
        shared: dict[str, str] = {}
        lines = []
        for fact in facts:
            text = fact.fetch
            for prefix in _prefixes(fact.fetch):
                if prefix in shared:
                    text = shared[prefix] + fact.fetch[len(prefix) :]
                elif counts[prefix] > 1:
                    name = f"__v{len(shared)}"
                    lines.append(f"{name} = {text[: len(text) - len(fact.fetch) + len(prefix)]}")
                    shared[prefix] = name
                    text = name + fact.fetch[len(prefix) :]
            lines.append(f"if not ({fact.test.format(text)}): return False")
        if not lines:
            return self._function("    return True\n", "guards")
        body = "".join(f"        {line}\n" for line in lines)
        failed = f"({', '.join(e.__name__ for e in FAILED)})"
        return self._function(
            f"    try:\n{body}    except {failed}:\n        return False\n    return True\n", "guards"
        )

    def has(self, group: Group) -> bool:
        """Whether any fact is in the group."""
        return any(f.group == group for f in self._facts)

    def of_arguments(self, guard: Guard) -> bool:
        """Whether a guard is about the arguments of a call, and not about what lies around the program."""
        return any(f.guard is guard and f.group == "arguments" for f in self._facts)

    def failing(self, *args: Any) -> tuple[Guard, Any] | None:
        """The first guard that does not hold, in order, with what was found; None if all hold."""
        if self.all(*args):
            return None
        for fact in self._facts:
            if not self._predicate([fact])(*args):
                return fact.guard, self._found(fact, args)
        return None

    def _found(self, fact: Fact, args: tuple[Any, ...]) -> Any:
        """What a guard's source is now, in the terms of its kind."""
        try:
            now = self._function(f"    return {fact.fetch}\n", "look")(*args)
            if fact.guard.kind in ("type", "items", "length"):
                kinds: dict[str, Callable[[Any], Any]] = {
                    "type": type,
                    "items": _unlike(fact.guard.expected),
                    "length": len,
                }
                return kinds[fact.guard.kind](now)
        except FAILED as error:
            return f"nothing ({type(error).__name__})"
        return "present" if fact.guard.kind == "absent" else now


def _unlike(kind: type) -> Callable[[Any], Any]:
    """The type of the first item that is not a `kind`."""
    return lambda items: next(type(x) for x in items if type(x) is not kind)


def _prefixes(fetch: str) -> list[str]:
    """The expressions that `fetch` goes through, shortest first, itself included: a.b['c'].d -> a.b, a.b['c'],
    a.b['c'].d."""
    ends = [m.start() for m in re.finditer(r"[.\[]", fetch)][1:] + [len(fetch)]
    return (
        [fetch[:e] for e in ends if fetch[:e].count("[") == fetch[:e].count("]")]
        if "." in fetch or "[" in fetch
        else []
    )


def is_stable_module(module: types.ModuleType) -> bool:
    """Whether a module's functions are taken as fixed: this package's own, NumPy's and the standard library's `math`
    and alike."""
    root = module.__name__.split(".")[0]
    return root in ("specjit", "numpy", "math", "cmath", "builtins", "operator", "functools", "itertools", "typing")
