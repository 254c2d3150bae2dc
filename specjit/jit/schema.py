"""Schemas: what a scripted function takes and gives, in the words of `torch.FunctionSchema`.

Enters: a function, its annotations, and the type of what it returned when it was captured. Leaves: `FunctionSchema`.
Invariant: `check` raises RuntimeError for exactly the calls that do not fit, with the schema in the text.
"""

from __future__ import annotations

import inspect
import types
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from specjit.capture.annotations import ANY, TENSOR, Hint, function_hints
from specjit.capture.source import source_of
from specjit.capture.typecheck import hint_of_type
from specjit.ir.types import Type

_EMPTY = inspect.Parameter.empty


@dataclass(frozen=True)
class Argument:
    """A parameter: its name, type, default (`inspect.Parameter.empty`: none), whether it is keyword-only, and whether
    its type is said in the program (without it, it is a Tensor)."""

    name: str
    hint: Hint
    default: Any = _EMPTY
    kwarg_only: bool = False
    annotated: bool = True
    variadic: bool = False

    def __str__(self) -> str:
        given = "" if self.default is _EMPTY else f"={_default(self.default)}"
        stars = "*" if self.variadic else ""
        return f"{self.hint.schema} {stars}{self.name}{given}"

    def accepts(self, value: Any) -> str | None:
        """None if `value` may be passed, else why not."""
        return None if self.default is not _EMPTY and value is self.default else self.hint.mismatch(value)


def _default(value: Any) -> str:
    if isinstance(value, str):
        return f'"{value}"'
    if type(value) is float:
        text = repr(value)
        return text[:-1] if text.endswith(".0") else text
    if type(value) is tuple:
        return f"({', '.join(map(_default, value))})"
    return repr(value)


@dataclass(frozen=True)
class FunctionSchema:
    """`name(Tensor x, int n=2) -> Tensor`. `owner` is the class whose method it is."""

    name: str
    arguments: tuple[Argument, ...]
    returns: Hint | None  # None: the program does not say
    owner: str = ""

    def __str__(self) -> str:
        shown = [f"{self.owner} self"] if self.owner else []
        named = False
        for a in self.arguments:
            if a.kwarg_only and not named and not a.variadic:
                shown.append("*")
                named = True
            shown.append(str(a))
        returns = self.returns or ANY
        result = f"({returns.schema})" if returns.kind == "Tuple" else returns.schema
        return f"{self.name}({', '.join(shown)}) -> {result}"

    def returning(self, found: Type) -> FunctionSchema:
        """With what was captured as the type of the result, where the program does not say it."""
        return replace(self, returns=hint_of_type(found))

    def call(self, example: Mapping[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Arguments of a call that passes the example's values, by position where it can."""
        positional = tuple(example[a.name] for a in self.arguments if not a.kwarg_only)
        return positional, {a.name: example[a.name] for a in self.arguments if a.kwarg_only}

    def check(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        """RuntimeError if a call with these arguments does not fit."""
        if any(a.variadic for a in self.arguments):
            return
        positional = [a for a in self.arguments if not a.kwarg_only]
        if len(args) > len(positional):
            limit, given = len(positional) + bool(self.owner), len(args) + bool(self.owner)
            raise RuntimeError(
                f"{self.name}() expected at most {limit} argument(s) but received {given} argument(s). "
                f"Declaration: {self}"
            )
        names = {a.name for a in self.arguments}
        for name in kwargs:
            if name not in names:
                raise RuntimeError(f"Unknown keyword argument '{name}' for operator '{self.name}'. Schema: {self}")
        for position, (a, value) in enumerate(zip(positional, args)):
            if a.name in kwargs:
                raise RuntimeError(
                    f"Argument '{a.name}' specified both as positional and keyword argument. Schema: {self}"
                )
            self._check_one(a, position, value)
        for position, a in enumerate(self.arguments):
            if a.name in kwargs:
                self._check_one(a, position, kwargs[a.name])
            elif a.default is _EMPTY and (a.kwarg_only or position >= len(args)):
                raise RuntimeError(f"{self.name}() is missing value for argument '{a.name}'. Declaration: {self}")

    def _check_one(self, a: Argument, position: int, value: Any) -> None:
        why = a.accepts(value)
        if why is None:
            return
        expected, found = f"{a.hint}{'' if a.annotated else ' (inferred)'}", type(value).__name__
        where = f"for argument '{a.name}'"
        lines = [f"{self.name}() Expected a value of type '{expected}' {where} but instead found type '{found}'."]
        if not a.annotated:
            lines.append(
                f"Inferred '{a.name}' to be of type 'Tensor' because it was not annotated with an explicit type."
            )
        lines += [
            f"Position: {position + bool(self.owner)}",
            f"Value: {value!r}",
            f"Declaration: {self}",
            f"Cast error details: {why}",
        ]
        raise RuntimeError("\n".join(lines))


def _said_by(fn: types.FunctionType) -> types.FunctionType:
    """The function whose parameters those of `fn` are: what it decorates, if it takes anything and hands it on."""
    inner = getattr(fn, "__wrapped__", None)
    variadic = fn.__code__.co_flags & (inspect.CO_VARARGS | inspect.CO_VARKEYWORDS)
    return _said_by(inner) if variadic and isinstance(inner, types.FunctionType) else fn


def schema_of(fn: types.FunctionType, *, owner: type | None = None) -> FunctionSchema:
    """The schema of a function, or of a method of `owner`. A parameter without annotation is a Tensor; a result
    without one is unknown until the function is captured."""
    said = _said_by(fn)
    hints = function_hints(said, source_of(said))
    parameters = list(inspect.signature(said, follow_wrapped=False).parameters.values())[owner is not None :]
    arguments = tuple(
        Argument(
            p.name,
            hints.get(p.name, TENSOR),
            p.default,
            p.kind in (p.KEYWORD_ONLY, p.VAR_KEYWORD),
            p.name in hints,
            p.kind in (p.VAR_POSITIONAL, p.VAR_KEYWORD),
        )
        for p in parameters
    )
    return FunctionSchema(fn.__name__, arguments, hints.get("return"), "" if owner is None else owner.__qualname__)
