"""Custom differentiable functions: `Function` with `forward` and `backward` in the user's own code.

Enters: a subclass with static methods `forward(ctx, ...)` and `backward(ctx, *grads)`. Leaves: `apply`, recorded as
one node.
Invariant: nothing inside `forward` is recorded; `backward` runs recorded under `create_graph`, so it may be
differentiated again.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from specjit.tensor import inplace, state, tape
from specjit.tensor.tape import Node, edge
from specjit.tensor.tensor import Tensor, wrap


class FunctionContext:
    """What `forward` leaves for `backward`. Any attribute may be set on it."""

    def __init__(self) -> None:
        self._saved: list[tuple[Tensor | None, int]] = []
        self._freed = False
        self._no_grad: tuple[Tensor, ...] = ()
        self._dirty: tuple[Tensor, ...] = ()
        self._materialize = True
        self.needs_input_grad: tuple[bool, ...] = ()

    def save_for_backward(self, *tensors: Tensor | None) -> None:
        """Keep inputs or results; changing one in place before `backward` is an error."""
        self._saved = [(t, 0 if t is None else t._version[0]) for t in tensors]

    @property
    def saved_tensors(self) -> tuple[Tensor | None, ...]:
        if self._freed:
            raise RuntimeError(tape.FREED)
        for t, version in self._saved:
            if t is not None and t._version[0] != version:
                raise RuntimeError(
                    "one of the variables needed for gradient computation has been modified by an inplace operation: "
                    f"[specjit.{t.dtype.name} {list(t.shape)}] is at version {t._version[0]}; expected version "
                    f"{version} instead."
                )
        return tuple(t for t, _ in self._saved)

    def mark_non_differentiable(self, *tensors: Tensor) -> None:
        self._no_grad = tensors

    def mark_dirty(self, *tensors: Tensor) -> None:
        """Say which inputs `forward` changed in place."""
        self._dirty = tensors

    def set_materialize_grads(self, value: bool) -> None:
        """Whether missing gradients reach `backward` as zeros (True) or None."""
        self._materialize = value


class FunctionNode(Node):
    """The node of one `apply`."""

    __slots__ = ("_count", "ctx", "function", "inputs", "positions", "shapes", "total")
    fresh = False

    def __init__(self, function: type[Function], ctx: FunctionContext, args: Sequence[Any]) -> None:
        self.positions = [i for i, a in enumerate(args) if isinstance(a, Tensor)]
        super().__init__([edge(args[i]) for i in self.positions])
        self.inputs = [tuple(args[i].shape) for i in self.positions]
        self.function = function
        self.ctx = ctx
        self.total = len(args)
        self.shapes: list[Any] = []
        self._count = 1

    @property
    def count(self) -> int:  # type: ignore[override]
        return self._count

    @property
    def name(self) -> str:
        return f"{self.function.__name__}Backward"

    def backward(self, grads: Sequence[Tensor | None]) -> Sequence[Tensor | None]:
        if self.ctx._materialize:
            grads = [wrap(np.zeros(shape, dtype)) if g is None else g for g, (shape, dtype) in zip(grads, self.shapes)]
        found = self.function.backward(self.ctx, *grads)
        found = found if isinstance(found, tuple) else (found,)
        if len(found) > self.total and all(f is None for f in found[self.total :]):
            found = found[: self.total]
        if len(found) != self.total:
            raise RuntimeError(
                f"function {self.name} returned an incorrect number of gradients (expected {self.total}, got "
                f"{len(found)})"
            )
        return [
            None if target is None else self._fitted(found[i], i, shape)
            for i, target, shape in zip(self.positions, self.edges, self.inputs)
        ]

    def _fitted(self, g: Any, position: int, shape: tuple[int, ...]) -> Any:
        """The gradient of an input of that shape: what is broadcast over it is summed."""
        if g is not None and not isinstance(g, Tensor):
            raise TypeError(f"expected Tensor or None as a gradient of {self.name}, but got {type(g).__name__}")
        if g is None or tuple(g.shape) == shape:
            return g
        lead = g.ndim - len(shape)
        if lead < 0 or any(n not in (1, m) for n, m in zip(shape, g.shape[lead:])):
            raise RuntimeError(
                f"Function {self.name} returned an invalid gradient at index {position} - got {list(g.shape)} but "
                f"expected shape compatible with {list(shape)}"
            )
        return g.sum([d for d in range(g.ndim) if d < lead or shape[d - lead] != g.shape[d]], True).reshape(shape)

    def release(self) -> None:
        self.ctx._freed = True
        self.ctx._saved = []


def once_differentiable(backward: Callable[..., Any]) -> Callable[..., Any]:
    """Mark a `backward` whose results have no gradient of their own: differentiating twice is an error, not a silent
    zero."""

    @functools.wraps(backward)
    def once(ctx: Any, *grads: Any) -> Any:
        recorded = state.is_grad_enabled() and any(isinstance(g, Tensor) and g._requires_grad for g in grads)
        with state.set_grad_enabled(False):
            found = backward(ctx, *grads)
        if not recorded:
            return found
        several = isinstance(found, tuple)
        outs = [_Refused.of(o) if isinstance(o, Tensor) else o for o in (found if several else (found,))]
        return tuple(outs) if several else outs[0]

    return once


class _Refused(Node):
    """The history of a gradient that has none."""

    __slots__ = ()

    @staticmethod
    def of(t: Tensor) -> Tensor:
        out = t._detached(t._version)
        out._node = _Refused([wrap(np.zeros(()))])
        out._requires_grad = True
        return out

    def backward(self, grads: Sequence[Tensor | None]) -> Sequence[Tensor | None]:
        raise RuntimeError("trying to differentiate twice a function that was marked with @once_differentiable")


class Function:
    """Base of custom functions.

    >>> class Double(Function):
    ...     @staticmethod
    ...     def forward(ctx, x):
    ...         return x * 2
    ...     @staticmethod
    ...     def backward(ctx, grad):
    ...         return grad * 2
    >>> y = Double.apply(x)
    """

    @staticmethod
    def forward(ctx: Any, *args: Any, **kwargs: Any) -> Any:
        raise NotImplementedError("You must implement the forward function for custom autograd.Function.")

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> Any:
        raise NotImplementedError("You must implement the backward function for your custom autograd.Function.")

    @classmethod
    def apply(cls, *args: Any) -> Any:
        """Run `forward` and record it if a tensor argument requires grad."""
        if state.recorders and state.thread.recorder is not None:
            return state.thread.recorder.call_function(cls.apply, args, {})
        ctx = FunctionContext()
        ctx.needs_input_grad = tuple(isinstance(a, Tensor) and a._requires_grad for a in args)
        recorded = state.is_grad_enabled() and any(ctx.needs_input_grad)
        node = FunctionNode(cls, ctx, args) if recorded else None
        with state.set_grad_enabled(False):
            if hasattr(cls, "setup_context"):
                out = cls.forward(*args)
                cls.setup_context(ctx, args, out)
            else:
                out = cls.forward(ctx, *args)
        several = isinstance(out, (tuple, list))
        outs = list(out) if several else [out]
        for t in ctx._dirty:
            inplace.check_target(t, recorded)
            inplace.written(t)
        if node is None:
            return out
        node._count = len(outs) if several else 1
        node.shapes = [(o._data.shape, o._data.dtype) if isinstance(o, Tensor) else ((), np.float32) for o in outs]
        for i, o in enumerate(outs):
            if not isinstance(o, Tensor) or o._data.dtype.kind != "f" or any(o is t for t in ctx._no_grad):
                continue
            if any(o is a for a in args) and not any(o is t for t in ctx._dirty):
                # An input handed through is a new tensor to the graph.
                outs[i] = o = o._detached(o._version)
            if any(o is t for t in ctx._dirty) and o._base is not None:
                # The history of a view is that of its base, which `record_write` continues by the first edge.
                if several or args[node.positions[0]] is not o:
                    raise RuntimeError(
                        f"{node.name}: a view that forward changed in place has to be its first tensor and only result"
                    )
                inplace.record_write(o, node)
                continue
            o._node = node.output(i) if node._count > 1 else node
            o._requires_grad = True
        return tuple(outs) if several else outs[0]
