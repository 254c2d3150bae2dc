"""From a call's arguments to one value per parameter.

Enters: an `inspect.Signature`. Leaves: `binder(signature)`, a function with that parameter list which returns the
values as a tuple, and `header`, the parameter list as source.
Invariant: Python itself does the binding, so a call that does not fit raises Python's own TypeError.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any


def binder(signature: inspect.Signature) -> Callable[..., tuple[Any, ...]]:
    """A function of these parameters that returns their values in order, defaults filled in."""
    names: dict[str, Any] = {}

    def constant(value: Any) -> str:
        name = f"_default{len(names)}"
        names[name] = value
        return name

    parameters = header(signature, constant)
    values = "".join(f"{name}, " for name in signature.parameters)
    exec(compile(f"def bind({parameters}): return ({values})", "<specjit binding>", "exec"), names)
    return names["bind"]


def header(signature: inspect.Signature, constant: Callable[[Any], str]) -> str:
    """The parameter list as source, without annotations; `constant` names a default."""
    params = []
    for p in signature.parameters.values():
        default = p.default
        if default is not inspect.Parameter.empty:
            default = _Named(constant(default))
        params.append(p.replace(annotation=inspect.Parameter.empty, default=default))
    return str(inspect.Signature(params))[1:-1]


class _Named:
    """Prints as a bare name inside a signature."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return self.name
