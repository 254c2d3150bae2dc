"""Calls that stay Python calls, and the tables of callables with a meaning of their own.

Enters: a callee and abstract arguments. Leaves: `py.call` and `py.method` nodes, with a note where unknown code runs.
Invariant: after a call that may run anything, attributes are read anew with nothing assumed (`session.touched`).
"""

from __future__ import annotations

import inspect
import sys
import types
from collections.abc import Callable
from typing import Any

from specjit.capture import opaque
from specjit.capture.errors import CaptureError
from specjit.capture.frame import Frame
from specjit.capture.values import (
    Abstract,
    Known,
    TupleOf,
    Value,
    const,
)
from specjit.ir.types import ANY, BOOL, INT, STR
from specjit.ops.registry import find_method

Handler = Callable[[Frame, list[Abstract], dict[str, Abstract]], Abstract]
BUILTINS: dict[int, Handler] = {}  # by id of the Python callable; `builtins.py` fills it
METHODS: dict[tuple[str, str], Callable[[Frame, Abstract, list[Abstract], dict[str, Abstract]], Abstract]] = {}


class Keywords(TupleOf):
    """`**kwargs` of an inlined function that only passes them on: names and values, known one by one."""

    __slots__ = ("named",)
    named: dict[str, Abstract]

    def __init__(self, named: dict[str, Abstract]) -> None:
        super().__init__(tuple(named.values()))
        object.__setattr__(self, "named", named)


def python_call(f: Frame, callee: Abstract, args: list[Abstract], kwargs: dict[str, Abstract]) -> Abstract:
    """A call that stays a call. Only what is known to have no effect leaves our knowledge of attributes alone."""
    obj = callee.obj if isinstance(callee, Known) else None
    if _looks_at_caller(obj, args):
        what = f"{_name(obj)} looks at the variables of the function that calls it"
        raise CaptureError("unsupported", what, location=f.location(), hint="pass it what it needs as arguments")
    values = [f.value(a) for a in (*args, *kwargs.values())]
    names = tuple(kwargs) or None
    if obj is not None and is_pure_function(obj):
        if all(v.is_const for v in values) and not kwargs:
            folded = _fold(obj, [v.const for v in values])
            if folded is not None:
                return folded
        return f.emit("py.call", callee, names, *values)
    result = f.emit("py.call", callee, names, *values)
    if not (isinstance(obj, type) and issubclass(obj, BaseException)):
        f.session.touched = True
        opaque.note(f, f"a call of {_name(obj)}" if obj is not None else "a call of an unknown function")
    return result


def python_method(f: Frame, owner: Abstract, name: str, args: list[Abstract], kwargs: dict[str, Abstract]) -> Abstract:
    values = [f.value(a) for a in (*args, *kwargs.values())]
    target = f.value(owner)
    result = f.emit("py.method", target, name, tuple(kwargs) or None, *values)
    if target.type.kind == "str":
        result.type = STR_METHODS.get(name, ANY)
    if target.type.kind in ("list", "dict", "set") and name == "copy":
        result.type = target.type
    if target.type.kind not in ("list", "dict", "set", "str", "tuple", "int", "float", "bool", "tensor"):
        f.session.touched = True
        if f.session.scripting or not _may_be_a_tensor(target, name):
            opaque.note(f, f"a call of the method {name!r} of an unknown object")
    return result


def _may_be_a_tensor(target: Value, name: str) -> bool:
    """Whether specialization may find that the call is an op, which is not to be reported as a call of unknown code."""
    return target.type.kind in ("any", "optional") and not target.is_const and find_method(name) is not None


ON_CALLER = (locals, globals, sys._getframe, inspect.currentframe, inspect.stack)
STR_METHODS = dict.fromkeys(
    (
        "upper",
        "lower",
        "strip",
        "lstrip",
        "rstrip",
        "replace",
        "format",
        "join",
        "title",
        "capitalize",
        "zfill",
        "center",
    ),
    STR,
)
STR_METHODS |= dict.fromkeys(("find", "rfind", "index", "count"), INT)
STR_METHODS |= dict.fromkeys(("startswith", "endswith", "isdigit", "isalpha", "isspace", "isupper", "islower"), BOOL)


def _looks_at_caller(obj: Any, args: list[Abstract]) -> bool:
    """Whether a call gives another answer in generated code, which has variables of its own."""
    enough = 2 if obj is eval or obj is exec else 1 if obj is vars or obj is dir else 0
    return len(args) < enough or any(obj is function for function in ON_CALLER)


def is_pure_function(obj: Any) -> bool:
    """Functions of numbers and strings without effects, all in C."""
    return isinstance(obj, types.BuiltinFunctionType) and getattr(obj, "__module__", "") in ("math", "cmath")


def _fold(function: Any, args: list[Any]) -> Value | None:
    try:
        return const(function(*args))
    except (ArithmeticError, ValueError, TypeError):
        return None


def _name(obj: Any) -> str:
    return getattr(obj, "__qualname__", None) or getattr(obj, "__name__", None) or type(obj).__qualname__
