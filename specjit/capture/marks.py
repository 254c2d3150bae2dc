"""Marks that users put on functions, and questions that programs ask about how they are running.

Enters: user functions. Leaves: the same functions, marked; plain answers in plain Python.
Invariant: without capture every name here does nothing but answer, so a marked program runs unchanged.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

from specjit.capture.annotations import INTERFACE, hint_of
from specjit.tensor import state

F = TypeVar("F", bound=Callable[..., Any])
C = TypeVar("C", bound=type)
IGNORED = "__specjit_ignored__"
UNUSED = "__specjit_unused__"
EXPORTED = "__specjit_exported__"
SCRIPT_METHOD = "__specjit_script_method__"

recursive: Callable[[Any, bool], Any] | None = None  # set by `runtime`: what runs a function that a program (True: a
# script) calls recursively
invoke: Callable[..., Any] | None = None  # set by `jit`: a call in a script whose callee is known only when it happens
managed: Callable[[Any], Any] | None = None  # set by `jit`: the manager that a script's `with` enters and leaves
invoke_method: Callable[..., Any] | None = None  # the same for a method, given its owner and its name


class Attribute(NamedTuple):
    """A module attribute with its type: `self.table = Attribute({}, Dict[str, int])`; `script` puts the value there."""

    value: Any
    type: Any


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


def interface(cls: C) -> C:
    """The class says which methods an object has: its name is the type of any object that has them."""
    setattr(cls, INTERFACE, True)
    return cls


def has_type(obj: Any, target_type: Any) -> bool:
    """`isinstance` that knows parameters: `jit.isinstance(x, List[int])` looks at the items, too.

    `target_type` may be a tuple of types. An int is no float here, and a bool no int."""
    kinds = target_type if isinstance(target_type, tuple) else (target_type,)
    return any(hint_of(kind).holds(obj) for kind in kinds)


def is_scripting() -> bool:
    """True inside code that `script` compiled, False in plain Python (and under `optimize`, which never changes an
    answer)."""
    return False


def is_tracing() -> bool:
    """Whether `trace` is recording in this thread."""
    return state.thread.recorder is not None
