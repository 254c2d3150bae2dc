"""What a caller can see of a call, as a value that compares with `==`.

Enters: a callable and arguments (copied for every run). Leaves: the result or the exception, what was printed, the
arguments afterwards, and the state of a module that was called.
Invariant: two calls with equal pictures cannot be told apart by the caller: values, types, which mutable objects are
one and the same, and which tensors share memory. Floats in tensors may differ by rounding, as sums do; nothing else.
"""

from __future__ import annotations

import collections
import contextlib
import copy
import enum
import io
import pathlib
import re
import traceback
import types
from collections.abc import Callable
from typing import Any

import numpy as np

from specjit.nn.module import Module
from specjit.tensor.tensor import Tensor

FOLDER = str(pathlib.Path(__file__).parent)
GENERATED = "specjit-program-"  # folders of generated programs start so
ITSELF = (bool, int, float, complex, str, bytes, type(None), type(...), slice, range)
FUNCTIONS = (types.FunctionType, types.BuiltinFunctionType, types.MethodType)
INTERNAL = re.compile(r"_(parameters|buffers|modules|non_persistent.*|.*_hooks|hooks.*|version)$")
ROUNDING = {"float32": 1e-5, "float64": 1e-12, "float16": 1e-2}


class Numbers:
    """The numbers of a tensor; equal up to rounding."""

    def __init__(self, array: np.ndarray) -> None:
        self.array = array.copy()

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Numbers):
            return NotImplemented
        a, b = self.array, other.array
        if a.shape != b.shape or a.dtype != b.dtype:
            return False
        if a.dtype.kind != "f":
            return bool(np.array_equal(a, b))
        zeros = (a == 0) & (b == 0)
        near = np.allclose(a, b, ROUNDING[a.dtype.name], 1e-7, equal_nan=True)
        return bool(near and np.array_equal(np.signbit(a[zeros]), np.signbit(b[zeros])))

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"{self.array.tolist()}"


def _address(array: np.ndarray) -> int:
    return int(array.__array_interface__["data"][0])


class Picture:
    """Turns objects into what can be compared; objects that can change are numbered in the order they are met."""

    def __init__(self) -> None:
        self.met: dict[int, int] = {}
        self.alive: list[Any] = []
        self.arrays: list[np.ndarray] = []

    def of(self, x: Any) -> Any:
        if isinstance(x, enum.Enum):
            return str(x)
        if type(x) in ITSELF:
            return type(x).__name__, repr(x)
        if isinstance(x, tuple):
            return type(x).__name__, tuple(map(self.of, x))
        if isinstance(x, type):
            return "type", x.__qualname__
        if isinstance(x, FUNCTIONS):
            return "function", x.__qualname__
        if id(x) in self.met:
            return "again", self.met[id(x)]
        self.met[id(x)] = len(self.met)
        self.alive.append(x)
        return type(x).__qualname__, self.inside(x)

    def inside(self, x: Any) -> Any:
        """The content of an object that can change."""
        if isinstance(x, Tensor):
            return self.tensor(x)
        if isinstance(x, BaseException):
            return self.of(x.args)
        if isinstance(x, list | collections.deque):
            return [*map(self.of, x)]
        if isinstance(x, set | frozenset):
            return sorted(map(repr, map(self.of, x)))
        if isinstance(x, dict):
            return [(self.of(k), self.of(v)) for k, v in x.items()]
        if isinstance(x, Module):
            return self.module(x)
        if isinstance(x, np.ndarray):
            return Numbers(x)
        slots = [s for cls in type(x).__mro__ for s in getattr(cls, "__slots__", ()) if hasattr(x, s)]
        return [(name, self.of(getattr(x, name))) for name in (*slots, *getattr(x, "__dict__", ()))]

    def tensor(self, x: Tensor) -> Any:
        array = x._data
        shared = [
            (k, _address(array) - _address(other))
            for k, other in enumerate(self.arrays)
            if np.shares_memory(array, other)
        ]
        self.arrays.append(array)
        known = [x.dtype.name, bool(x.requires_grad), Numbers(array), *shared]
        return [*known, self.of(x.grad)] if x.grad is not None else known

    def module(self, x: Module) -> Any:
        own = [(k, self.of(v)) for k, v in vars(x).items() if not INTERNAL.match(k)]
        parts = [(n, self.of(p)) for kind in ("_parameters", "_buffers", "_modules") for n, p in vars(x)[kind].items()]
        return own + parts


def _line(error: BaseException) -> int | None:
    """The line in a program of the table, or in a generated one, that raised: the last one of the traceback."""
    places = traceback.extract_tb(error.__traceback__)
    lines = [s.lineno for s in places if s.filename.startswith(FOLDER) or GENERATED in s.filename]
    return lines[-1] if lines else None


def _raised(error: BaseException) -> Any:
    """The exception as its catcher sees it, with what it says it came from."""
    chain = [("raised", type(error).__qualname__, str(error), _line(error))]
    before = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    while before is not None:
        chain.append(("from" if error.__cause__ else "while", type(before).__qualname__, str(before)))
        error, before = before, before.__cause__ or (None if before.__suppress_context__ else before.__context__)
    return chain


class Named(dict[str, Any]):
    """The last item of a case: arguments that are passed by keyword."""


def split(case: tuple[Any, ...]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """A case as positional and keyword arguments."""
    return (case[:-1], dict(case[-1])) if case and isinstance(case[-1], Named) else (case, {})


def run(fn: Callable[..., Any], case: tuple[Any, ...]) -> Any:
    """The picture of one call with copies of the arguments."""
    args, kwargs = split(copy.deepcopy(case))
    out, picture = io.StringIO(), Picture()
    with contextlib.redirect_stdout(out):
        try:
            result = picture.of(fn(*args, **kwargs))
        except Exception as error:
            result = _raised(error)
    model = getattr(fn, "__specjit_model__", getattr(fn, "original", fn))
    state = picture.of(model) if isinstance(model, Module) else None
    return result, out.getvalue(), picture.of(args), picture.of(tuple(kwargs.values())), state
