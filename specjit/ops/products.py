"""Products and their scans: prod, cumprod, logcumsumexp, and the linear recurrence behind their gradients.

Enters: tensors, a dim (None: all elements). Leaves: fresh tensors.
Invariant: gradients hold where elements are zero, and so do theirs, for nothing is divided by an element: what a scan
passes back is a linear recurrence read backwards, whose own gradient is again one.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from specjit.ops.casts import to_dtype
from specjit.ops.combine import cat
from specjit.ops.creation import full_like
from specjit.ops.records import infer
from specjit.ops.records.define import scan
from specjit.ops.records.eager import along, half_as_float
from specjit.ops.records.grads import cast_like, unreduce
from specjit.ops.records.lowering import reduction
from specjit.ops.records.quiet import quiet
from specjit.ops.records.refuse import INTEGRAL, Refuse
from specjit.ops.records.registry import defop
from specjit.ops.records.writes import in_place
from specjit.ops.reduce import accumulated, accumulated_infer


def _recurrence(decay: np.ndarray, x: np.ndarray, axis: int) -> np.ndarray:
    """By doubling: after the pass of `step`, y[i] holds what the last 2 * step inputs give, a[i] how y[i - 2 * step]
    would enter. That is log2(n) passes over whole arrays."""
    out = x.copy()
    a, y = np.moveaxis(decay.copy(), axis, -1), np.moveaxis(out, axis, -1)
    step = 1
    while step < y.shape[-1]:
        y[..., step:] += a[..., step:] * y[..., :-step]
        a[..., step:] *= a[..., :-step]
        step *= 2
    return out


recurrence = defop(
    "recurrence(decay, input, dim: int) -> Tensor",
    eager=quiet(lambda decay, x, dim: along(lambda x, axis: _recurrence(decay.reshape(x.shape), x, axis))(x, dim)),
    infer=lambda decay, x, dim: infer.along()(x, dim),
    vjp=lambda g, y, decay, _x, dim: (
        lambda: backwards(decay, g, dim) * delayed(y, dim),
        lambda: backwards(decay, g, dim),
    ),
    public=False,
    method=False,
    doc="y[i] = decay[i] * y[i - 1] + input[i] along `dim`, with y[-1] = 0.",
)


def delayed(x: Any, dim: int, first: float = 0.0) -> Any:
    """x[i - 1] at each i along `dim`, and `first` at 0."""
    if not x.ndim:
        return full_like(x, first)
    n = x.shape[dim]
    return cat([full_like(x.narrow(dim, 0, 1), first), x.narrow(dim, 0, n - 1)], dim) if n != 0 else x


def backwards(decay: Any, x: Any, dim: int) -> Any:
    """y[i] = decay[i + 1] * y[i + 1] + input[i]: the recurrence that a gradient follows."""
    return recurrence(delayed(decay.flip(dim), dim), x.flip(dim), dim).flip(dim)


def _cumprod_vjp(g: Any, y: Any, x: Any, dim: int, dtype: Any) -> Any:
    # Element i enters y[k], k >= i, beside all before it and all between it and k.
    wide = to_dtype(x, y.dtype)
    return cast_like(delayed(y, dim, 1.0) * backwards(wide, g, dim), x)


cumprod = scan(
    "cumprod",
    lambda x, axis, dtype: np.cumprod(x, axis, dtype),
    _cumprod_vjp,
    doc="Products of the elements up to each one, along `dim`; ints and bools give int64.",
)


def _others(x: Any, dim: int) -> Any:
    """The product of all other elements along `dim`, for each."""
    after = delayed(x.flip(dim).cumprod(dim), dim, 1.0).flip(dim)
    return delayed(x.cumprod(dim), dim, 1.0) * after


def _prod_vjp(g: Any, _y: Any, x: Any, dim: Any, keepdim: bool, dtype: Any) -> Any:
    wide = to_dtype(x, g.dtype)
    if dim is None:
        return cast_like((_others(wide.reshape(-1), 0) * g.reshape(-1)).reshape(x.shape), x)
    return cast_like(_others(wide, dim) * unreduce(g, x, dim, keepdim), x)


prod = defop(
    "prod(input, dim: 'int?' = None, keepdim: bool = False, *, dtype: 'dtype?' = None) -> Tensor",
    eager=quiet(accumulated(np.multiply)),
    infer=accumulated_infer,
    vjp=_prod_vjp,
    lower=reduction("prod"),
    doc="The product of all elements, or of those along `dim`; ints and bools give int64.",
)

_REFUSED = Refuse("logcumsumexp_out_cpu", "Bool", *INTEGRAL)


def _logcumsumexp_vjp(g: Any, y: Any, x: Any, dim: int) -> Any:
    # The weight of element i in y[k] is exp(x[i] - y[k]) = exp(x[i] - y[i]) * exp(y[i] - y[i + 1]) * ..., factors of at
    # most 1. Where only -inf
    # came so far, there is no weight to pass on.
    level = y.masked_fill(y == -math.inf, 0.0)
    return (x - level).exp() * backwards((delayed(level, dim) - level).exp(), g, dim)


logcumsumexp = defop(
    "logcumsumexp(input, dim: int) -> Tensor",
    eager=along(_REFUSED.eager(half_as_float(lambda x, axis: np.logaddexp.accumulate(x, axis)))),
    infer=_REFUSED.infer(infer.along()),
    vjp=_logcumsumexp_vjp,
    doc="The logarithm of the sums of exp(input) up to each element, along `dim`.",
)
in_place(logcumsumexp)
