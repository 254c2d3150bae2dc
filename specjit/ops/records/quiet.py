"""Floating-point warnings of NumPy, off while an operator computes: 1/0 is inf here, silently, as in PyTorch.

Enters: eager functions that compute with floats. Leaves: the same functions without warnings.
Invariant: NumPy's error state as the user set it is untouched outside an op. `np.errstate` costs over a microsecond;
NumPy keeps the state in
a context variable, which is switched in a tenth of that where it can be found.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

import numpy as np


def _find() -> tuple[ContextVar[Any], Any]:
    try:
        from numpy._core.umath import _extobj_contextvar as variable
    except ImportError:
        # A NumPy that keeps the state elsewhere: the switch does nothing, and `quiet` uses np.errstate.
        return ContextVar("specjit_unused"), None
    with np.errstate(all="ignore"):
        return variable, variable.get()


_variable, QUIET = _find()
set_quiet = _variable.set
reset = _variable.reset


def quiet(fn: Callable[..., Any]) -> Callable[..., Any]:
    """`fn` without floating-point warnings; `.raw` is `fn` itself, for callers that switch the state themselves."""

    @functools.wraps(fn, assigned=("__name__", "__doc__"), updated=())
    def silent(*args: Any) -> Any:
        if QUIET is None:
            with np.errstate(all="ignore"):
                return fn(*args)
        token = set_quiet(QUIET)
        try:
            return fn(*args)
        finally:
            reset(token)

    if QUIET is not None:
        silent.raw = fn  # type: ignore[attr-defined]
    return silent
