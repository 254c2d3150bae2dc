"""What a call of a model comes down to: one Python function, and the object it is bound to.

Enters: a module, a function, a bound method, or an object whose class defines `__call__`. Leaves: a `Target`, or the
reason why a call does more than run one function.
Invariant: `function(*leading, *args)` is what the model's own call does, as long as the capture guards on `root` hold
(`capture.calls.guard_root`): its class still has this function, nothing hooks into it, nothing shadows it.
"""

from __future__ import annotations

import inspect
import types
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from specjit.capture.errors import CaptureError
from specjit.nn import Module
from specjit.runtime.binding import binder

_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


@dataclass(frozen=True)
class Target:
    """The function, the object that is its first argument (None: there is none), and how a call is bound.

    signature   of the call, without `root`
    arity       how many arguments a call has that gives every parameter by position; -1 where that is not possible
    """

    function: Any
    root: Any
    signature: inspect.Signature
    arity: int
    binder: Callable[..., tuple[Any, ...]]

    def bind(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, ...] | None:
        """The value of every parameter; None where the call does not fit."""
        try:
            values: tuple[Any, ...] = self.binder(*args, **kwargs)
        except TypeError:
            return None
        return values

    def named(self, values: tuple[Any, ...]) -> dict[str, Any]:
        return dict(zip(self.signature.parameters, values, strict=True))


def target_of(model: Any, known: Target | None = None) -> Target:
    """The target of a call of `model` now; `known` itself if it still is that. Raises CaptureError where there is
    none."""
    function, root = _function_of(model)
    if known is not None and known.function is function and known.root is root:
        return known
    try:
        signature = inspect.signature(function, follow_wrapped=False)  # of what is called: a decorator's function
    except (TypeError, ValueError):
        what = getattr(function, "__qualname__", type(function).__qualname__)
        reason = f"Python does not know the parameters of {what}"
        raise CaptureError("signature", reason, hint="wrap it in a Python function") from None
    own = list(signature.parameters.values())
    if root is not None and own and own[0].kind is not inspect.Parameter.VAR_POSITIONAL:
        signature = signature.replace(parameters=own[1:])
    parameters = signature.parameters.values()
    plain = all(p.kind in _POSITIONAL for p in parameters)
    return Target(function, root, signature, len(parameters) if plain else -1, binder(signature))


def _function_of(model: Any) -> tuple[Any, Any]:
    if isinstance(model, Module):
        cls = type(model)
        if cls.__call__ is not Module.__call__:
            raise CaptureError("call", f"{cls.__qualname__} has a __call__ of its own", hint="override forward instead")
        if model._forward_hooks or model._forward_pre_hooks:
            raise CaptureError("call", f"{cls.__qualname__} has hooks", hint="hooks of its submodules are no obstacle")
        if "forward" in model.__dict__:
            hint = "define it in the class"
            raise CaptureError("call", f"this {cls.__qualname__} has a forward of its own", hint=hint)
        return cls.forward, model
    if isinstance(model, types.MethodType):
        return model.__func__, model.__self__
    call = type(model).__call__
    if isinstance(call, types.FunctionType) and not isinstance(model, type):
        return call, model
    return model, None
