"""Softmax and its logarithm along a dim.

Enters: floating-point tensors. Leaves: fresh tensors of the same shape.
Invariant: the largest element is subtracted first, so nothing overflows; float16 is computed in float32.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from specjit.ops.casts import to_dtype, widen
from specjit.ops.records import infer
from specjit.ops.records.eager import half_as_float, not_implemented, one_axis
from specjit.ops.records.grads import cast_like
from specjit.ops.records.lowering import composite
from specjit.ops.records.quiet import quiet
from specjit.ops.records.registry import defop
from specjit.ops.reduce import amax, sum

Type = infer.Type


def _refuse(name: str, dtype: Any, last: bool) -> None:
    """PyTorch has two kernels, and the message names the one it would have called."""
    raise not_implemented(f"{name}_lastdim_kernel_impl" if last else f"{name}_kernel_impl", dtype)


def _eager(name: str, fn: Callable[[np.ndarray, int], np.ndarray]) -> Callable[..., Any]:
    compute = half_as_float(fn)

    def eager(x: np.ndarray, dim: int, dtype: Any) -> Any:
        x = x if dtype is None else x.astype(dtype.numpy)
        whole, axis = one_axis(x, dim)
        if not x.size:
            return x.copy()
        if x.dtype.kind != "f":
            _refuse(name, x.dtype, axis == whole.ndim - 1)
        return compute(whole, axis).reshape(x.shape)

    return quiet(eager)


def _infer(name: str) -> Callable[..., Type]:
    def rule(x: Any, dim: Any, dtype: Any) -> Type:
        axis = infer.axis(dim, x.rank)
        found = dtype or x.dtype
        refused = found is not None and not found.is_floating_point
        # Empty tensors of any dtype pass, as in PyTorch.
        if refused and x.dims is not None and all(isinstance(d, int) and d for d in x.dims):
            _refuse(name, found, axis is not None and axis >= len(x.dims) - 1)
        return Type.tensor(found, x.dims)

    return rule


def _computed(fn: Callable[[Any, int], Any]) -> Callable[..., Any]:
    """The same in ops, for kernels."""

    def compose(x: Any, dim: int, dtype: Any) -> Any:
        x = x if dtype is None else to_dtype(x, dtype)
        return to_dtype(fn(widen(x), dim), x.dtype)

    return compose


def _softmax(x: np.ndarray, axis: int) -> np.ndarray:
    e = np.subtract(x, np.maximum.reduce(x, axis, keepdims=True))
    np.exp(e, e)
    e /= np.add.reduce(e, axis, keepdims=True)
    return e


def _softmax_of(x: Any, dim: int) -> Any:
    e = (x - amax(x, dim, True)).exp()
    return e / sum(e, dim, True)


softmax = defop(
    "softmax(input, dim: int, *, dtype: 'dtype?' = None) -> Tensor",
    eager=_eager("softmax", _softmax),
    infer=_infer("softmax"),
    vjp=lambda g, y, _x, dim, dtype: cast_like(y * (g - (g * y).sum(dim, True)), _x),
    lower=composite(_computed(_softmax_of)),
    doc="exp(input) as shares of its sum along `dim`; computed in `dtype` if that is given.",
)


def _log_softmax(x: np.ndarray, axis: int) -> np.ndarray:
    shifted = np.subtract(x, np.maximum.reduce(x, axis, keepdims=True))
    shifted -= np.log(np.add.reduce(np.exp(shifted), axis, keepdims=True))
    return shifted


def _log_softmax_of(x: Any, dim: int) -> Any:
    shifted = x - amax(x, dim, True)
    return shifted - sum(shifted.exp(), dim, True).log()


log_softmax = defop(
    "log_softmax(input, dim: int, *, dtype: 'dtype?' = None) -> Tensor",
    eager=_eager("log_softmax", _log_softmax),
    infer=_infer("log_softmax"),
    vjp=lambda g, y, _x, dim, dtype: cast_like(g - y.exp() * g.sum(dim, True), _x),
    lower=composite(_computed(_log_softmax_of)),
    doc="The logarithm of `softmax`, without its underflow.",
)
