"""Reductions, softmax and scans.

Enters: tensors, dims to combine (None or empty: all). Leaves: fresh tensors.
Invariant: sums of bools and ints are int64; means and variances of ints are an error; a NaN in a group makes its max,
min and sum NaN.
"""

from __future__ import annotations

import builtins
from typing import Any

import numpy as np

from specjit import dtypes
from specjit.ops import infer
from specjit.ops.eager import axes, one_axis, reduce_axes
from specjit.ops.grads import cast_like, count, unreduce
from specjit.ops.lowering import composite, reduction, special
from specjit.ops.quiet import quiet
from specjit.ops.registry import NO_GRAD, defop

Type = infer.Type


def _sum(x: np.ndarray, dim: Any, keepdim: Any, dtype: Any) -> Any:
    axis = reduce_axes(x, dim)
    wanted = x.dtype if dtype is None else dtype.numpy
    if wanted.kind != "f" and dtype is None:
        wanted = np.dtype(np.int64)
    if wanted.itemsize == 2 and wanted.kind == "f":
        return np.add.reduce(x, axis, np.float32, keepdims=keepdim).astype(wanted)
    return np.add.reduce(x, axis, wanted, keepdims=keepdim)


def _sum_infer(x: Any, dim: Any, keepdim: Any, dtype: Any) -> Any:
    out = infer.reduction(infer.summed_dtype)(x, dim, keepdim)
    return out if dtype is None else out.with_(dtype=dtype)


sum = defop(
    "sum(input, dim: 'int[]?' = None, keepdim: bool = False, *, dtype: 'dtype?' = None) -> Tensor",
    eager=quiet(_sum),
    infer=_sum_infer,
    vjp=lambda g, _y, _x, dim, keepdim, dtype: cast_like(unreduce(g, _x, dim, keepdim).expand(_x.shape), _x),
    lower=reduction("sum"),
    doc="The sum over `dim` (None: over all dims); ints and bools add up as int64.",
)


def _needs_float(name: str, x: Any, dtype: Any = None) -> None:
    d = dtype or x.dtype
    if d is not None and not (d.is_floating_point if isinstance(d, dtypes.DType) else d.kind == "f"):
        raise RuntimeError(
            f"{name}(): could not infer output dtype. Input dtype must be either a floating point or complex dtype. "
            f"Got: {d.name}"
        )


def _mean(x: np.ndarray, dim: Any, keepdim: bool, dtype: Any) -> Any:
    _needs_float("mean", x, dtype)
    axis = reduce_axes(x, dim)
    total = _sum(x, dim, keepdim, dtype)
    if axis is None:
        n = x.size
    elif type(axis) is int:
        n = x.shape[axis]
    else:
        n = 1
        for a in axis:
            n *= x.shape[a]
    return (total / total.dtype.type(n)).astype(total.dtype, copy=False)


def _mean_infer(x: Any, dim: Any, keepdim: Any, dtype: Any) -> Any:
    _needs_float("mean", x, dtype)
    return _sum_infer(x, dim, keepdim, dtype)


mean = defop(
    "mean(input, dim: 'int[]?' = None, keepdim: bool = False, *, dtype: 'dtype?' = None) -> Tensor",
    eager=quiet(_mean),
    infer=_mean_infer,
    vjp=lambda g, _y, _x, dim, keepdim, dtype: cast_like(
        (unreduce(g, _x, dim, keepdim) / count(_x, dim)).expand(_x.shape), _x
    ),
    lower=composite(lambda x, dim, keepdim, dtype: sum(x, dim, keepdim, dtype=dtype) / count(x, dim)),
    doc="The mean over `dim` (None: over all dims) of a floating-point tensor.",
)


def _extreme(fn: Any, name: str) -> Any:
    def eager(x: np.ndarray, dim: Any, keepdim: bool) -> Any:
        if not x.size and axes(dim) is None:
            raise IndexError(
                f"{name}(): Expected reduction dim to be specified for input.numel() == 0. Specify the reduction dim "
                "with the 'dim' argument."
            )
        return fn.reduce(x, reduce_axes(x, dim), None, None, keepdim)

    return quiet(eager)


def _extreme_vjp(g: Any, y: Any, x: Any, dim: Any, keepdim: bool) -> Any:
    hit = x == unreduce(y, x, dim, keepdim)
    share = unreduce(g, x, dim, keepdim) / hit.sum(dim, True).to(g.dtype) if x.ndim else g
    return hit.to(g.dtype) * share


amax = defop(
    "amax(input, dim: 'int[]?' = None, keepdim: bool = False) -> Tensor",
    eager=_extreme(np.maximum, "amax"),
    infer=infer.reduction(lambda d: d),
    vjp=_extreme_vjp,
    lower=reduction("max"),
    doc="The maximum; equal maxima share the gradient.",
)
amin = defop(
    "amin(input, dim: 'int[]?' = None, keepdim: bool = False) -> Tensor",
    eager=_extreme(np.minimum, "amin"),
    infer=infer.reduction(lambda d: d),
    vjp=_extreme_vjp,
    lower=reduction("min"),
    doc="The minimum; equal minima share the gradient.",
)


def _arg(fn: Any, name: str) -> Any:
    def eager(x: np.ndarray, dim: Any, keepdim: bool) -> Any:
        if dim is None:
            if not x.size:
                raise IndexError(f"{name}(): Expected reduction dim to be specified for input.numel() == 0.")
            found = np.asarray(fn(x), np.int64)
            return found.reshape((1,) * x.ndim) if keepdim else found
        whole, axis = one_axis(x, dim)
        if not whole.shape[axis]:
            raise IndexError(f"{name}(): Expected reduction dim {dim} to have non-zero size.")
        found = fn(whole, axis=axis, keepdims=keepdim and x.ndim > 0)
        return np.asarray(found, np.int64).reshape(()) if not x.ndim else found

    return eager


argmax = defop(
    "argmax(input, dim: 'int?' = None, keepdim: bool = False) -> Tensor",
    eager=_arg(np.argmax, "argmax"),
    infer=infer.reduction(lambda _: dtypes.int64),
    vjp=NO_GRAD,
    lower=reduction("argmax"),
    doc="The index of the first maximum (the first NaN, if there is one).",
)
argmin = defop(
    "argmin(input, dim: 'int?' = None, keepdim: bool = False) -> Tensor",
    eager=_arg(np.argmin, "argmin"),
    infer=infer.reduction(lambda _: dtypes.int64),
    vjp=NO_GRAD,
    lower=reduction("argmin"),
    doc="The index of the first minimum (the first NaN, if there is one).",
)


def _truth(fn: Any) -> Any:
    def eager(x: np.ndarray, dim: Any, keepdim: bool) -> Any:
        out = fn.reduce(x, reduce_axes(x, dim), bool, None, keepdim)
        return out.astype(np.uint8) if x.dtype == np.uint8 else out

    return quiet(eager)


def _truth_dtype(d: Any) -> Any:
    return d if d is None or d is dtypes.uint8 else dtypes.bool_


any = defop(
    "any(input, dim: 'int[]?' = None, keepdim: bool = False) -> Tensor",
    eager=_truth(np.logical_or),
    infer=infer.reduction(_truth_dtype),
    vjp=NO_GRAD,
    lower=reduction("any"),
    doc="Whether any element is nonzero.",
)
all = defop(
    "all(input, dim: 'int[]?' = None, keepdim: bool = False) -> Tensor",
    eager=_truth(np.logical_and),
    infer=infer.reduction(_truth_dtype),
    vjp=NO_GRAD,
    lower=reduction("all"),
    doc="Whether no element is zero.",
)


def _correction(unbiased: Any, correction: Any) -> Any:
    if correction is not None:
        return correction
    return 1 if unbiased is None or unbiased else 0


def _variance(x: np.ndarray, dim: Any, unbiased: Any, keepdim: Any, correction: Any) -> Any:
    _needs_float("var", x)
    axis = reduce_axes(x, dim)
    centered = x - np.mean(x, axis=axis, keepdims=True) if x.size else x  # NumPy warns of the mean of nothing
    total = np.add.reduce(centered * centered, axis, keepdims=keepdim)
    n = x.size // builtins.max(total.size, 1) if total.size else 0
    freedom = builtins.max(n - _correction(unbiased, correction), 0)
    return (total / total.dtype.type(freedom)).astype(x.dtype, copy=False)


def _variance_infer(x: Any, dim: Any, unbiased: Any, keepdim: Any, correction: Any) -> Any:
    _needs_float("var", x)
    return infer.reduction(lambda d: d)(x, dim, keepdim)


def _freedom(x: Any, dim: Any, unbiased: Any, correction: Any) -> Any:
    n = count(x, dim)
    return (
        builtins.max(n - _correction(unbiased, correction), 0)
        if isinstance(n, int)
        else n - _correction(unbiased, correction)
    )


def _variance_of(x: Any, dim: Any, unbiased: Any, keepdim: bool, correction: Any) -> Any:
    centered = x - mean(x, dim, True)
    freedom = _freedom(x, dim, unbiased, correction)
    divisor = freedom if isinstance(freedom, (int, float)) else freedom.at_least(0)
    return sum(centered * centered, dim, keepdim) / divisor


def _variance_vjp(g: Any, _y: Any, x: Any, dim: Any, unbiased: Any, keepdim: bool, correction: Any) -> Any:
    scale = (
        2.0 / _freedom(x, dim, unbiased, correction) if _freedom(x, dim, unbiased, correction) != 0 else float("nan")
    )
    return unreduce(g, x, dim, keepdim) * ((x - x.mean(dim, True)) * scale)


var = defop(
    "var(input, dim: 'int[]?' = None, unbiased: 'bool?' = None, keepdim: bool = False, *, correction: 'Scalar?' = None)"
    " -> Tensor",
    eager=quiet(_variance),
    infer=_variance_infer,
    vjp=_variance_vjp,
    lower=composite(_variance_of),
    doc="Variance; the divisor is n - correction (1 unless `unbiased` is False or `correction` is given).",
)


def _softmax(x: np.ndarray, dim: int, dtype: Any) -> Any:
    x = x if dtype is None else x.astype(dtype.numpy)
    _needs_float("softmax", x)
    x, axis = one_axis(x, dim)
    if not x.size:
        return x.copy()
    e = np.exp(x - np.maximum.reduce(x, axis, keepdims=True))
    return e / np.add.reduce(e, axis, keepdims=True)


def _along(name: str) -> Any:
    def rule(x: Any, dim: Any, dtype: Any) -> Any:
        _needs_float(name, x, dtype)
        infer.axis(dim, x.rank)
        return Type.tensor(dtype or x.dtype, x.dims)

    return rule


def _reshaped_back(fn: Any) -> Any:
    """0-d in, 0-d out."""

    def eager(x: np.ndarray, *args: Any) -> Any:
        return fn(x, *args).reshape(x.shape)

    return quiet(eager)


def _to(x: Any, dtype: Any) -> Any:
    return x if dtype is None else x.to(dtype)


def _softmax_of(x: Any, dim: int, dtype: Any) -> Any:
    x = _to(x, dtype)
    e = (x - amax(x, dim, True)).exp()
    return e / sum(e, dim, True)


softmax = defop(
    "softmax(input, dim: int, *, dtype: 'dtype?' = None) -> Tensor",
    eager=_reshaped_back(_softmax),
    infer=_along("softmax"),
    vjp=lambda g, y, _x, dim, dtype: cast_like(y * (g - (g * y).sum(dim, True)), _x),
    lower=composite(_softmax_of),
    doc="exp(input) over its sum along `dim`, shifted by the maximum so that nothing overflows.",
)


def _log_softmax(x: np.ndarray, dim: int, dtype: Any) -> Any:
    x = x if dtype is None else x.astype(dtype.numpy)
    _needs_float("log_softmax", x)
    x, axis = one_axis(x, dim)
    if not x.size:
        return x.copy()
    shifted = x - np.maximum.reduce(x, axis, keepdims=True)
    return shifted - np.log(np.add.reduce(np.exp(shifted), axis, keepdims=True))


def _log_softmax_of(x: Any, dim: int, dtype: Any) -> Any:
    x = _to(x, dtype)
    shifted = x - amax(x, dim, True)
    return shifted - sum(shifted.exp(), dim, True).log()


log_softmax = defop(
    "log_softmax(input, dim: int, *, dtype: 'dtype?' = None) -> Tensor",
    eager=_reshaped_back(_log_softmax),
    infer=_along("log_softmax"),
    vjp=lambda g, y, _x, dim, dtype: cast_like(g - y.exp() * g.sum(dim, True), _x),
    lower=composite(_log_softmax_of),
    doc="The logarithm of `softmax`, precise also where that underflows.",
)


def _logsumexp(x: np.ndarray, dim: Any, keepdim: Any) -> Any:
    if x.dtype.kind != "f":
        x = x.astype(dtypes.float32.numpy)
    axis = reduce_axes(x, dim)
    if not x.size:
        return np.log(np.add.reduce(np.exp(x), axis, keepdims=keepdim))
    top = np.maximum.reduce(x, axis, keepdims=True)
    shift = np.where(np.isinf(top), top.dtype.type(0), top)
    out = np.log(np.add.reduce(np.exp(x - shift), axis, keepdims=True)) + shift
    return out if keepdim else np.squeeze(out, axis)


def _logsumexp_of(x: Any, dim: Any, keepdim: bool) -> Any:
    from specjit.ops.arithmetic import where
    from specjit.ops.compare import isinf

    top = amax(x, dim, True)
    shift = where(isinf(top), 0.0, top)
    out = sum((x - shift).exp(), dim, True).log() + shift
    return out if keepdim else out.squeeze(dim)


logsumexp = defop(
    "logsumexp(input, dim: 'int[]', keepdim: bool = False) -> Tensor",
    eager=quiet(_logsumexp),
    infer=infer.reduction(infer.float_of),
    vjp=lambda g, y, x, dim, keepdim: unreduce(g, x, dim, keepdim) * (x - unreduce(y, x, dim, keepdim)).exp(),
    lower=composite(_logsumexp_of),
    doc="log(sum(exp(input))) over `dim`, shifted by the maximum so that nothing overflows.",
)


def _cumsum(x: np.ndarray, dim: int, dtype: Any) -> Any:
    whole, axis = one_axis(x, dim)
    wanted = dtype.numpy if dtype is not None else x.dtype if x.dtype.kind == "f" else np.dtype(np.int64)
    return np.cumsum(whole, axis, wanted)


def _cumsum_infer(x: Any, dim: Any, dtype: Any) -> Any:
    infer.axis(dim, x.rank)
    return Type.tensor(dtype or infer.summed_dtype(x.dtype), x.dims)


cumsum = defop(
    "cumsum(input, dim: int, *, dtype: 'dtype?' = None) -> Tensor",
    eager=_reshaped_back(_cumsum),
    infer=_cumsum_infer,
    vjp=lambda g, _y, _x, dim, dtype: cast_like(g.flip(dim).cumsum(dim).flip(dim) if _x.ndim else g, _x),
    lower=special("cumsum"),
    doc="Running sums along `dim`.",
)


def max(input: Any, dim: Any = None, keepdim: bool = False) -> Any:
    """The maximum of all elements; (values, indices) along `dim`; or the elementwise maximum with a tensor."""
    return _extreme_of(input, dim, keepdim, amax, argmax, "maximum")


def min(input: Any, dim: Any = None, keepdim: bool = False) -> Any:
    """The minimum of all elements; (values, indices) along `dim`; or the elementwise minimum with a tensor."""
    return _extreme_of(input, dim, keepdim, amin, argmin, "minimum")


def _extreme_of(x: Any, dim: Any, keepdim: bool, values: Any, indices: Any, pairwise: str) -> Any:
    if dim is None:
        return values(x)
    if not isinstance(dim, int):
        return getattr(x, pairwise)(dim)
    at = indices(x, dim, True) if x.ndim else indices(x, dim)
    found = x.gather(dim, at)
    return (found, at) if keepdim or not x.ndim else (found.squeeze(dim), at.squeeze(dim))


def std(input: Any, dim: Any = None, unbiased: Any = None, keepdim: bool = False, *, correction: Any = None) -> Any:
    """The square root of `var`."""
    return var(input, dim, unbiased, keepdim, correction=correction).sqrt()
