"""Marks that users put on functions, and questions that programs ask about how they are running.

Enters: user functions. Leaves: the same functions, marked; plain answers in plain Python.
Invariant: without capture every name here does nothing but answer, so a marked program runs unchanged.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from specjit.tensor import state

F = TypeVar("F", bound=Callable[..., Any])
IGNORED = "__specjit_ignored__"
UNUSED = "__specjit_unused__"
EXPORTED = "__specjit_exported__"


def ignore(function: F) -> F:
    """The function always runs as plain Python, also inside compiled code."""
    setattr(function, IGNORED, True)
    return function


def unused(function: F) -> F:
    """Compiled code need not be able to call the function: under `script` a call of it raises NotImplementedError."""
    setattr(function, UNUSED, True)
    return function


def export(method: F) -> F:
    """`script` compiles the method although `forward` does not call it."""
    setattr(method, EXPORTED, True)
    return method


def annotate(the_type: Any, the_value: Any) -> Any:
    """`the_value`; says its type to readers and to the compiler."""
    return the_value


def is_scripting() -> bool:
    """True inside code that `script` compiled, False in plain Python (and under `optimize`, which never changes an
    answer)."""
    return False


def is_tracing() -> bool:
    """Whether `trace` is recording in this thread."""
    return state.thread.recorder is not None
