"""The table that the theme files fill: `PROGRAMS`, each with its cases and where it is allowed to run.

Enters: functions and Module classes, by decorator. Leaves: `Program` records.
Invariant: a program has one name in the table, and its cases are data: every run gets copies.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import specjit
from specjit.nn.module import Module
from tests.capture.programs.observe import Named, split

Case = tuple[Any, ...]


@dataclass(frozen=True)
class Program:
    """A function, or a Module class whose instances are called.

    cases   tuples of positional arguments (a `Named` at the end: keyword arguments), copied for every run; a module's
            calls follow one another on one instance
    opaque  something of it runs in Python under `optimize`, and is an error under `strict` and `script`
    dynamic the same, but a script compiles it when it is called: what is called is known only then
    whole   all of it stays Python under `optimize`, because its odd statement cannot stand alone
    says    the reason and the way out of that error, and the source text under the caret
    traced  it can be traced: nothing but tensor operations and decisions on its inputs
    typed   the types of its parameters can be said, so it can be scripted
    """

    fn: Any
    cases: tuple[Case, ...]
    opaque: bool = False
    dynamic: bool = False
    whole: bool = False
    says: tuple[str, str, str] | None = None
    traced: bool = False
    typed: bool = True

    @property
    def name(self) -> str:
        return str(self.fn.__name__)

    @property
    def is_module(self) -> bool:
        return isinstance(self.fn, type)

    @property
    def has_tensors(self) -> bool:
        """Whether its code is worth kernels."""
        return self.is_module or any(_holds_tensor(x) for case in self.cases for x in case)

    def make(self) -> Any:
        """What is called: the function, or a fresh instance that is the same every time."""
        if not self.is_module:
            return self.fn
        specjit.manual_seed(0)
        return self.fn()

    def examples(self, case: Case) -> dict[str, Any]:
        """The value of every parameter in a call, in the order of the signature."""
        args, kwargs = split(case)
        bound = inspect.signature(self.fn.forward if self.is_module else self.fn).bind(
            *((None,) if self.is_module else ()), *args, **kwargs
        )
        bound.apply_defaults()
        given = dict(bound.arguments)
        if self.is_module:
            del given["self"]
        return given


def _holds_tensor(x: Any) -> bool:
    if isinstance(x, list | tuple):
        return any(map(_holds_tensor, x))
    return isinstance(x, specjit.Tensor | Module) or (isinstance(x, dict) and any(map(_holds_tensor, x.values())))


PROGRAMS: list[Program] = []


ASK_IGNORE = (
    "move it into a function marked @specjit.jit.ignore, or use specjit.optimize without strict=True, which runs such "
    "lines in Python"
)


def prog(*cases: Case, **where: Any) -> Callable[[Any], Any]:
    """Add a program with these cases; `where` are the fields of `Program`."""

    def register(fn: Any) -> Any:
        PROGRAMS.append(Program(fn, cases, **where))
        return fn

    return register


def odd(reason: str, way_out: str, caret: str, *cases: Case, **where: Any) -> Callable[[Any], Any]:
    """Add a program that cannot be compiled."""
    return prog(*cases, opaque=True, says=(reason, way_out, caret), **where)


__all__ = ["ASK_IGNORE", "PROGRAMS", "Named", "Program", "odd", "prog"]
