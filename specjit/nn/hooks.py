"""Calls of modules, and what hooks into them.

Enters: functions registered on a module. Leaves: calls of `forward` with these around them.
Invariant: a module without hooks is called by one test and `forward`. Every registration and removal moves
`state.module_epoch` (the hooks live in `Registry`s).
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

from specjit.nn.registry import Registry
from specjit.tensor import state
from specjit.tensor.function import Function
from specjit.tensor.tape import RemovableHandle
from specjit.tensor.tensor import Tensor

CALL_HOOKS = ("_forward_pre_hooks", "_forward_hooks", "_backward_pre_hooks", "_backward_hooks")


class Hook(NamedTuple):
    """A function and how it wants to be called."""

    call: Callable[..., Any]
    with_kwargs: bool = False
    always: bool = False


class Hooked:
    """The part of `Module` that is called, and hooked into."""

    _forward_pre_hooks: Registry
    _forward_hooks: Registry
    _backward_pre_hooks: Registry
    _backward_hooks: Registry
    forward: Callable[..., Any]

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if self._forward_pre_hooks or self._forward_hooks or self._backward_hooks or self._backward_pre_hooks:
            return _HookedCall(self, args, kwargs).run()
        return self.forward(*args, **kwargs)

    def register_forward_pre_hook(
        self, hook: Callable[..., Any], *, prepend: bool = False, with_kwargs: bool = False
    ) -> RemovableHandle:
        """Call `hook(module, args)` before each forward; what it returns replaces the positional arguments.

        `with_kwargs`: `hook(module, args, kwargs)` returns None or new (args, kwargs). `prepend`: before other hooks.
        """
        return _register(self._forward_pre_hooks, Hook(hook, with_kwargs), prepend)

    def register_forward_hook(
        self,
        hook: Callable[..., Any],
        *,
        prepend: bool = False,
        with_kwargs: bool = False,
        always_call: bool = False,
    ) -> RemovableHandle:
        """Call `hook(module, args, output)` after each forward; what it returns replaces the output.

        `with_kwargs`: `hook(module, args, kwargs, output)`. `always_call`: also when the forward raised (output is
        then None).
        """
        return _register(self._forward_hooks, Hook(hook, with_kwargs, always_call), prepend)

    def register_full_backward_pre_hook(self, hook: Callable[..., Any], prepend: bool = False) -> RemovableHandle:
        """Call `hook(module, grad_output)` when the gradients of the outputs are known; what it returns replaces
        them."""
        return _register(self._backward_pre_hooks, Hook(hook), prepend)

    def register_full_backward_hook(self, hook: Callable[..., Any], prepend: bool = False) -> RemovableHandle:
        """Call `hook(module, grad_input, grad_output)` when the gradients of the inputs are known; what it returns
        replaces `grad_input`.

        Both are tuples, with an entry for each positional argument or output, None where that is no tensor. An input
        that requires no gradient has zeros; if none does, all entries of `grad_input` are None.
        """
        return _register(self._backward_hooks, Hook(hook), prepend)


def _register(hooks: Registry, hook: Hook, prepend: bool) -> RemovableHandle:
    handle = RemovableHandle(hooks)
    if prepend:
        hooks.prepend(handle.id, hook)
    else:
        hooks[handle.id] = hook
    return handle


class _HookedCall:
    """One call of a module with hooks."""

    def __init__(self, module: Hooked, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self.module = module
        self.args = args
        self.kwargs = kwargs
        self.output: Any = None
        self.called: set[int] = set()

    def run(self) -> Any:
        try:
            return self._run()
        except Exception:
            self._after_failure()
            raise

    def _run(self) -> Any:
        module = self.module
        for hook in list(module._forward_pre_hooks.values()):
            self._before(hook)
        backward = _Backward(module) if module._backward_hooks or module._backward_pre_hooks else None
        if backward is not None:
            self.args = backward.enter(self.args)
        self.output = module.forward(*self.args, **self.kwargs)
        for key, hook in list(module._forward_hooks.items()):
            self.called.add(key)
            self._after(hook)
        return self.output if backward is None else backward.leave(self.output)

    def _before(self, hook: Hook) -> None:
        if not hook.with_kwargs:
            changed = hook.call(self.module, self.args)
            if changed is not None:
                self.args = changed if isinstance(changed, tuple) else (changed,)
            return
        changed = hook.call(self.module, self.args, self.kwargs)
        if changed is None:
            return
        if not isinstance(changed, tuple) or len(changed) != 2:
            raise RuntimeError(
                f"forward pre-hook must return None or a tuple of (new_args, new_kwargs), but got {changed}."
            )
        self.args, self.kwargs = changed

    def _after(self, hook: Hook) -> None:
        given = (self.args, self.kwargs) if hook.with_kwargs else (self.args,)
        changed = hook.call(self.module, *given, self.output)
        if changed is not None:
            self.output = changed

    def _after_failure(self) -> None:
        """The hooks that are always called; what they raise must not hide the first exception."""
        for key, hook in list(self.module._forward_hooks.items()):
            if hook.always and key not in self.called:
                try:
                    self._after(hook)
                except Exception as error:
                    warnings.warn(
                        "module forward hook with ``always_call=True`` raised an exception that was silenced as "
                        f"another error was raised in forward: {error}",
                        stacklevel=4,
                    )


class _Gate(Function):
    """Tensors handed through unchanged; `seen(gradients)` gets what comes back for them and says what goes on. `zeros`
    stand for gradients that do not come."""

    @staticmethod
    def forward(ctx: Any, seen: Callable[[Any], Any], zeros: bool, *tensors: Tensor) -> Any:
        ctx.seen = seen
        ctx.set_materialize_grads(zeros)
        ctx.mark_non_differentiable(*[t for t in tensors if not t.requires_grad])
        return tensors

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        return (None, None, *ctx.seen(grads))


class _Backward:
    """The backward hooks of one call: a gate around the inputs and one around the outputs."""

    def __init__(self, module: Hooked) -> None:
        self.module = module
        self.before = list(module._backward_pre_hooks.values())
        self.after = list(module._backward_hooks.values())
        self.inputs = 0
        self.gated = False
        self.grad_output: tuple[Any, ...] = ()

    def enter(self, args: tuple[Any, ...]) -> tuple[Any, ...]:
        self.inputs = len(args)
        out, self.gated = _gate(args, self._at_inputs, zeros=True)
        return out

    def leave(self, output: Any) -> Any:
        if isinstance(output, tuple):
            return _gate(output, self._at_outputs)[0]
        if not isinstance(output, Tensor):
            warnings.warn(
                "For backward hooks to be called, module output should be a Tensor or a tuple of Tensors but received "
                f"{type(output)}",
                stacklevel=5,
            )
            return output
        return _gate((output,), self._at_outputs)[0][0]

    def _at_outputs(self, grads: tuple[Any, ...]) -> tuple[Any, ...]:
        for hook in self.before:
            grads = _replaced(hook.call(self.module, grads), grads, "grad_output")
        self.grad_output = grads
        if not self.gated:
            # No gradient will reach the inputs: the hooks run now, and have nothing to replace.
            nothing = (None,) * self.inputs
            for hook in self.after:
                if any(g is not None for g in _replaced(hook.call(self.module, nothing, grads), nothing, "grad_input")):
                    raise RuntimeError(
                        "Backward hook for Modules where no input requires gradient should always return None or None "
                        "for all gradients."
                    )
        return grads

    def _at_inputs(self, grads: tuple[Any, ...]) -> tuple[Any, ...]:
        for hook in self.after:
            grads = _replaced(hook.call(self.module, grads, self.grad_output), grads, "grad_input")
        return grads


def _gate(values: tuple[Any, ...], seen: Callable[[Any], Any], zeros: bool = False) -> tuple[tuple[Any, ...], bool]:
    """`values` with its tensors behind a gate, if a gradient can come back; `seen` gets and gives an entry for each of
    `values`."""
    places = [i for i, v in enumerate(values) if isinstance(v, Tensor)]
    if not (state.is_grad_enabled() and any(values[i].requires_grad for i in places)):
        return values, False

    def spread(grads: Any) -> list[Any]:
        full: list[Any] = [None] * len(values)
        for i, g in zip(places, grads):
            full[i] = g
        changed = seen(tuple(full))
        return [changed[i] for i in places]

    out = list(values)
    for i, t in zip(places, _Gate.apply(spread, zeros, *(values[i] for i in places))):
        out[i] = t
    # A named tuple stays one.
    kind = type(values)
    return (kind(*out) if hasattr(kind, "_fields") else tuple(out)), True


def _replaced(result: Any, grads: tuple[Any, ...], what: str) -> tuple[Any, ...]:
    if result is None:
        return grads
    found = result if isinstance(result, tuple) else (result,)
    if len(found) != len(grads):
        raise RuntimeError(
            f"Backward hook returned an invalid number of {what}, got {len(found)}, but expected {len(grads)}"
        )
    return found
