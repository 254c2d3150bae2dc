"""Reductions and scans.

Enters: tensors, dims to combine (None or empty: all). Leaves: fresh tensors.
Invariant: sums of bools and ints are int64; means and variances of ints are an error; a NaN in a group makes its max,
min and sum NaN.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from specjit import dtypes
from specjit.ops.records import infer
from specjit.ops.records.composites import composite_function
from specjit.ops.records.define import scan
from specjit.ops.records.eager import needs_float, one_axis, reduce_axes
from specjit.ops.records.grads import cast_like, count, unreduce
from specjit.ops.records.lowering import composite, reduction, special
from specjit.ops.records.quiet import quiet
from specjit.ops.records.refuse import Refuse
from specjit.ops.records.registry import NO_GRAD, defop
from specjit.ops.records.results import ValuesIndices
from specjit.tensor.tensor import Tensor

Type = infer.Type


def accumulated(ufunc: np.ufunc) -> Any:
    """`(input, dim, keepdim, dtype)` that combines by `ufunc`: bools and ints in int64, float16 in float32."""

    def eager(x: np.ndarray, dim: Any, keepdim: Any, dtype: Any) -> Any:
        axis = reduce_axes(x, dim)
        wanted = x.dtype if dtype is None else dtype.numpy
        if wanted.kind != "f" and dtype is None:
            wanted = np.dtype(np.int64)
        if wanted.itemsize == 2 and wanted.kind == "f":
            return ufunc.reduce(x, axis, np.float32, keepdims=keepdim).astype(wanted)
        return ufunc.reduce(x, axis, wanted, keepdims=keepdim)

    return eager


def accumulated_infer(x: Any, dim: Any, keepdim: Any, dtype: Any) -> Any:
    out = infer.reduction(infer.summed_dtype)(x, dim, keepdim)
    return out if dtype is None else out.with_(dtype=dtype)


_sum = accumulated(np.add)
sum = defop(
    "sum(input, dim: 'int[]?' = None, keepdim: bool = False, *, dtype: 'dtype?' = None) -> Tensor",
    eager=quiet(_sum),
    infer=accumulated_infer,
    vjp=lambda g, _y, _x, dim, keepdim, dtype: cast_like(unreduce(g, _x, dim, keepdim).expand(_x.shape), _x),
    lower=reduction("sum"),
    doc="The sum over `dim` (None: over all dims); ints and bools add up as int64.",
)


def _mean(x: np.ndarray, dim: Any, keepdim: bool, dtype: Any) -> Any:
    needs_float("mean", dtype or x.dtype)
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
    needs_float("mean", dtype or x.dtype)
    return accumulated_infer(x, dim, keepdim, dtype)


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
        axis = reduce_axes(x, dim)
        if not x.size:
            if axis is None:
                raise RuntimeError(
                    f"{name}(): Expected reduction dim to be specified for input.numel() == 0. Specify the reduction "
                    "dim with the 'dim' argument."
                )
            for a in (axis,) if type(axis) is int else axis:
                if not x.shape[a]:
                    raise IndexError(f"{name}(): Expected reduction dim {a % x.ndim} to have non-zero size.")
        return fn.reduce(x, axis, None, None, keepdim)

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
            raise IndexError(f"{name}(): Expected reduction dim {axis} to have non-zero size.")
        found = fn(whole, axis=axis, keepdims=keepdim and x.ndim > 0)
        return np.asarray(found, np.int64).reshape(()) if not x.ndim else found

    return Refuse(name, "Bool", message=f"{name}(): does not support bool input").eager(eager)


def _arg_infer(name: str) -> Any:
    rule = infer.reduction(lambda _: dtypes.int64)
    return Refuse(name, "Bool", message=f"{name}(): does not support bool input").infer(rule)


argmax = defop(
    "argmax(input, dim: 'int?' = None, keepdim: bool = False) -> Tensor",
    eager=_arg(np.argmax, "argmax"),
    infer=_arg_infer("argmax"),
    vjp=NO_GRAD,
    lower=reduction("argmax"),
    doc="The index of the first maximum (the first NaN, if there is one).",
)
argmin = defop(
    "argmin(input, dim: 'int?' = None, keepdim: bool = False) -> Tensor",
    eager=_arg(np.argmin, "argmin"),
    infer=_arg_infer("argmin"),
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


cumsum = scan(
    "cumsum",
    lambda x, axis, dtype: np.cumsum(x, axis, dtype),
    lambda g, _y, _x, dim, dtype: cast_like(g.flip(dim).cumsum(dim).flip(dim) if _x.ndim else g, _x),
    lower=special("cumsum"),
    doc="Sums of the elements up to each one, along `dim`; ints and bools give int64.",
)


@composite_function
def max(input: Tensor, dim: Any = None, keepdim: bool = False, *, other: Tensor | None = None) -> Any:
    """The maximum of all elements; (values, indices) along `dim`; or the elementwise maximum with a tensor."""
    return _extreme_of(input, dim if other is None else other, keepdim, amax, argmax, "maximum")


@composite_function
def min(input: Tensor, dim: Any = None, keepdim: bool = False, *, other: Tensor | None = None) -> Any:
    """The minimum of all elements; (values, indices) along `dim`; or the elementwise minimum with a tensor."""
    return _extreme_of(input, dim if other is None else other, keepdim, amin, argmin, "minimum")


def _extreme_of(x: Any, dim: Any, keepdim: bool, values: Any, indices: Any, pairwise: str) -> Any:
    if dim is None:
        return values(x)
    if not isinstance(dim, int):
        return getattr(x, pairwise)(dim)
    numbers = x.to(dtypes.uint8) if x.dtype is dtypes.bool_ else x
    return gathered(x, dim, indices(numbers, dim, True) if x.ndim else indices(numbers, dim), keepdim)


def gathered(x: Any, dim: int, at: Any, keepdim: bool) -> Any:
    """(values, indices) of one element of each group along `dim`, from the indices with that dim kept."""
    found = x.gather(dim, at)
    if keepdim or not x.ndim:
        return ValuesIndices(found, at)
    return ValuesIndices(found.squeeze(dim), at.squeeze(dim))
