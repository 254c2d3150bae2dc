"""Dtypes that a function does not take, and PyTorch's errors for them.

Enters: the name that PyTorch's message gives, and the dtypes as its messages name them. Leaves: eager functions and
type rules that refuse them.
Invariant: both say the same; an unknown dtype is not refused.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from specjit.dtypes import ALL, TITLES
from specjit.ops.records.eager import not_implemented
from specjit.ops.records.infer import result_type

INTEGRAL = ("Byte", "Char", "Short", "Int", "Long")
FLOATING = ("Half", "Float", "Double")


class Refuse:
    """`Refuse("fmod_cpu", "Bool")`: NotImplementedError `"fmod_cpu" not implemented for 'Bool'`. message: RuntimeError
    with that text instead.

    operands: how many leading arguments are promoted together before the dtype is looked at.
    """

    def __init__(self, name: str, *titles: str, message: str = "", operands: int = 1) -> None:
        self.name = name
        self.message = message
        self.operands = operands
        self.dtypes = frozenset(d for d in ALL if TITLES[d.name] in titles)
        self.chars = frozenset(d.numpy.char for d in self.dtypes) | ({"q"} if "Long" in titles else set())

    def error(self, dtype: Any) -> Exception:
        return RuntimeError(self.message) if self.message else not_implemented(self.name, dtype)

    def eager(self, fn: Callable[..., Any]) -> Callable[..., Any]:
        """`fn`, whose first argument has the dtype that counts (of a binary function: inside `eager.binary`)."""
        chars = self.chars

        @functools.wraps(fn, assigned=("__name__", "__doc__"), updated=())
        def checked(x: np.ndarray, *rest: Any) -> Any:
            if x.dtype.char in chars:
                raise self.error(x.dtype)
            return fn(x, *rest)

        return checked

    def infer(self, rule: Callable[..., Any]) -> Callable[..., Any]:
        def checked(*args: Any) -> Any:
            dtype = result_type(*args[: self.operands])
            if dtype in self.dtypes:
                raise self.error(dtype)
            return rule(*args)

        return checked
