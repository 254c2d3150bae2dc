"""In-place variants of views: `x.t_()` gives `x` itself another shape.

Enters: a tensor and the view that it shall become. Leaves: the same tensor on the same storage, with the view's shape,
strides and history.
Invariant: other views of the storage stay what they are; their gradients, as after any in-place write, are found by
their positions in the base. Captured programs hold tensors by their types, so there such a call stays Python.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from specjit.ops import shape
from specjit.ops.records.call import attach_method
from specjit.tensor import inplace, state
from specjit.tensor.tensor import Tensor
from specjit.tensor.tracer import TraceError


def _become(input: Any, made_by: Callable[..., Tensor], args: tuple[Any, ...], named: dict[str, Any]) -> Tensor:
    """Give `input` the geometry of `made_by(input, *args)`, a view of it."""
    if not isinstance(input, Tensor) or (state.recorders and state.thread.recorder is not None):
        raise TraceError("a traced tensor cannot change its shape in place")
    recorded = state.thread.grad
    inplace.check_target(input, recorded)
    # A computed tensor keeps its history also where none is recorded: it leads to the old shape.
    with state.set_grad_enabled(recorded or input._node is not None):
        made = made_by(input, *args, **named)
    if made is not input:
        input._data, input._node = made._data, made._node
        if made._data is None:
            input._meta = made._meta
    inplace.written(input)
    return input


def _variant(name: str, made_by: Callable[..., Tensor]) -> None:
    def method(input: Any, *args: Any, **named: Any) -> Tensor:
        return _become(input, made_by, args, named)

    method.__name__ = method.__qualname__ = name
    method.__module__ = "specjit"
    method.__doc__ = f"`{name[:-1]}` in place: the tensor itself takes on the shape."
    attach_method(name, method)


_variant("squeeze_", shape.squeeze)
_variant("unsqueeze_", shape.unsqueeze)
_variant("transpose_", shape.transpose)
_variant("swapaxes_", shape.transpose)
_variant("swapdims_", shape.transpose)
_variant("t_", shape.t)
