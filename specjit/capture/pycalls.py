"""Calls that stay Python calls, and the tables of callables with a meaning of their own.

Enters: a callee and abstract arguments. Leaves: `py.call` and `py.method` nodes, with a note where unknown code runs.
Invariant: after a call that may run anything, attributes are read anew with nothing assumed (`session.touched`).
"""

from __future__ import annotations

import enum
import functools
import inspect
import math
import sys
import sysconfig
import types
from collections.abc import Callable
from typing import Any

from specjit.capture import elements, marks, opaque
from specjit.capture.errors import to_capture_error
from specjit.capture.frame import Frame
from specjit.capture.values import (
    Abstract,
    Known,
    TupleOf,
    Value,
    const,
)
from specjit.ir.types import ANY, BOOL, FLOAT, INT, STR, Type
from specjit.tensor.tensor import Tensor

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
        raise to_capture_error(f.unsupported(what, hint="pass it what it needs as arguments"))
    values = [f.value(a) for a in (*args, *kwargs.values())]
    names = tuple(kwargs) or None
    if obj is not None and is_pure_function(obj):
        if all(v.is_const for v in values) and not kwargs:
            folded = _fold(obj, [v.const for v in values])
            if folded is not None:
                return folded
        return f.emit("py.call", callee, names, *values, type=_number_type(obj))
    if obj is None and f.session.scripting and marks.invoke is not None:
        f.session.touched = True
        return f.emit("py.call", Known(marks.invoke), names, callee, *values)
    result = f.emit("py.call", callee, names, *values)
    if is_quiet(obj):
        f.session.touched |= obj in (setattr, next)
    elif not makes_an_exception(obj):
        f.session.touched = True
        opaque.note(f, f"a call of {_name(obj)}" if obj is not None else "a call of an unknown function")
    return result


def apply(function: Any, args: Any, mappings: Any, *first: Any) -> Any:
    """`function(*first, *args, **mappings[0], **mappings[1], ...)`, as a node can say it."""
    named: dict[str, Any] = {}
    for more in mappings:
        if not hasattr(more, "keys") or named.keys() & more.keys():
            return function(*first, *args, **named, **more)  # an error, in Python's own words
        named |= more
    return function(*first, *args, **named)


def python_method(f: Frame, owner: Abstract, name: str, args: list[Abstract], kwargs: dict[str, Abstract]) -> Abstract:
    values = [f.value(a) for a in (*args, *kwargs.values())]
    target = f.value(owner)
    unknown = target.type.kind not in KNOWN_KINDS
    f.session.touched |= unknown
    if unknown and f.session.scripting and marks.invoke_method is not None and not is_builtin_method(name):
        return f.emit("py.call", Known(marks.invoke_method), tuple(kwargs) or None, target, name, *values)
    result = f.emit("py.method", target, name, tuple(kwargs) or None, *values)
    if target.type.kind == "str" and name in SPLITTERS:
        result.type = elements.start(f.session, result, (id(f.at), f.via, name), STR)
    elif target.type.kind == "str":
        result.type = STR_METHODS.get(name, ANY)
    if target.type.kind in ("list", "dict", "set") and name == "copy":
        result.type = target.type
    if unknown and not is_builtin_method(name):
        whose = ", which an attribute may hide" if isinstance(owner, Known) else " of an unknown object"
        opaque.note(f, f"a call of the method {name!r}{whose}")
    return result


KNOWN_KINDS = ("list", "dict", "set", "str", "tuple", "int", "float", "bool", "complex", "tensor")
BUILTIN_METHODS = frozenset(
    name
    for kind in (list, dict, set, frozenset, str, bytes, tuple, int, float, complex, Tensor)
    for name in dir(kind)
    if name[:2] != "__"
) | {"_replace", "_asdict", "_make"}  # of named tuples


def is_builtin_method(name: str) -> bool:
    """Whether a method of an unknown object is most likely one of a container, a text, a number or a tensor. What it
    does to the program is then known once its owner is; a method of the user's that has such a name runs in Python."""
    return name in BUILTIN_METHODS


ON_CALLER = (locals, globals, sys._getframe, inspect.currentframe, inspect.stack)
SPLITTERS = ("split", "rsplit", "splitlines")
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


NOISY = (eval, exec, compile, open, input, breakpoint, __import__, map, filter, property, super)
QUIET_MODULES = frozenset(
    ("builtins", "_operator", "operator", "itertools", "_functools", "collections", "contextlib", "copy", "dataclasses")
)
QUIET_TYPES = (functools.partial,)
_STDLIB = sysconfig.get_path("stdlib")


def is_quiet(obj: Any) -> bool:
    """Functions and types that Python itself brings and that do nothing but what their arguments define."""
    if any(obj is noisy for noisy in NOISY):
        return False
    if isinstance(obj, types.FunctionType):
        return obj.__module__ in QUIET_MODULES and is_library(obj)
    if obj is str.maketrans:  # says nothing of where it is from
        return True
    owner = getattr(obj, "__self__", None)
    if isinstance(obj, types.BuiltinFunctionType) and isinstance(owner, type):  # dict.fromkeys
        return owner.__module__ == "builtins"
    if isinstance(obj, types.MethodDescriptorType):  # str.upper
        return obj.__objclass__.__module__ == "builtins"
    if isinstance(obj, enum.EnumType):
        return "__new__" not in vars(obj) or "_missing_" not in vars(obj)
    known = isinstance(obj, types.BuiltinFunctionType | type) and getattr(obj, "__module__", "") in QUIET_MODULES
    return known or any(obj is t for t in QUIET_TYPES)


def is_library(fn: types.FunctionType) -> bool:
    """Whether the function belongs to Python's own library, or to NumPy: what it does inside is no part of the
    program."""
    file = fn.__code__.co_filename
    return (file.startswith(_STDLIB) and "-packages" not in file) or (fn.__module__ or "").split(".")[0] == "numpy"


def makes_an_exception(obj: Any) -> bool:
    """Whether calling `obj` makes an exception by code that has no other effect."""
    return isinstance(obj, type) and issubclass(obj, BaseException)


def is_pure_function(obj: Any) -> bool:
    """Functions of numbers and strings without effects, all in C."""
    return isinstance(obj, types.BuiltinFunctionType) and getattr(obj, "__module__", "") in ("math", "cmath")


def _number_type(function: Any) -> Type:
    """What a function of `math` gives; `floor` and its like ask the argument, `prod` and its like its items."""
    if function.__module__ != "math" or function in UNTYPED:
        return ANY
    return BOOL if function in TRUTHS else INT if function in COUNTS else FLOAT


UNTYPED = frozenset(
    (math.floor, math.ceil, math.trunc, math.prod, math.frexp, math.modf, getattr(math, "sumprod", None))
)
TRUTHS = frozenset((math.isclose, math.isfinite, math.isinf, math.isnan))
COUNTS = frozenset((math.factorial, math.gcd, math.lcm, math.comb, math.perm, math.isqrt))


def _fold(function: Any, args: list[Any]) -> Value | None:
    try:
        return const(function(*args))
    except (ArithmeticError, ValueError, TypeError):
        return None


def _name(obj: Any) -> str:
    return getattr(obj, "__qualname__", None) or getattr(obj, "__name__", None) or type(obj).__qualname__
