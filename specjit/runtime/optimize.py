"""`optimize`, the door of the house.

Enters: a model and options. Leaves: a `Program`. Invariant: options are checked here, also where they come before the
model (a decorator).
"""

from __future__ import annotations

from collections.abc import Callable
from types import FunctionType
from typing import Any, ParamSpec, TypeVar, Unpack, overload

from specjit.capture import marks
from specjit.runtime.options import Dynamic, Numerics, Options, OptionValues
from specjit.runtime.program import Program

_RECURSIVE = "__specjit_recursive__"
P = ParamSpec("P")
R = TypeVar("R")


@overload
def optimize(model: Callable[P, R], **options: Unpack[OptionValues]) -> Program[P, R]: ...
@overload
def optimize(model: None = None, **options: Unpack[OptionValues]) -> Callable[[Callable[P, R]], Program[P, R]]: ...
def optimize(
    model: Any = None,
    *,
    warmup: int = 3,
    dynamic: Dynamic = "auto",
    max_specializations: int = 8,
    background: bool = True,
    strict: bool = False,
    numerics: Numerics = "exact",
    name: str | None = None,
) -> Any:
    """Make `model` (an `nn.Module` or a function) fast without changing its results. Also a decorator.

    warmup: calls that are only observed before the first specialization. dynamic: "auto" decides per size whether it
    is a constant or a symbol; True makes every size symbolic where that works; False keeps all constant.
    max_specializations: live variants at most; past that the Program says MEGAMORPHIC once and stays generic,
    retrying with backoff. background: compile in a background thread while calls go on (False: the call that triggers
    a compile waits). strict: raise where the default would fall back with an event. numerics: "exact", or "fast" to
    allow contraction and reassociation. name: for logs.

    Returns a `Program`. Raises TypeError for something that cannot be called and ValueError for an option out of range.
    """
    options = Options(
        warmup=warmup,
        dynamic=dynamic,
        max_specializations=max_specializations,
        background=background,
        strict=strict,
        numerics=numerics,
        name=name,
    ).to_dict()
    return (lambda fn: Program(fn, **options)) if model is None else Program(model, **options)


def recursive(fn: FunctionType, scripting: bool) -> Program[Any, Any]:
    """The function as the recursive calls of a program (a script) run it: captured for the arguments that come."""
    # `functools.wraps` copies what another function has.
    known: dict[bool, Any] = {s: p for s, p in fn.__dict__.get(_RECURSIVE, {}).items() if p._model is fn}
    if scripting not in known:
        known[scripting] = Program(fn, scripting=scripting)
        setattr(fn, _RECURSIVE, known)
    return known[scripting]


marks.recursive = recursive
