"""Statistics: variances, extremes in pairs, counts, sums without NaN, differences.

Enters: tensors, dims (None or empty: all). Leaves: fresh tensors.
Invariant: variances of float16 are computed in float32 and rounded once; NaN passes through, except where the name
says nan.
"""

from __future__ import annotations

import builtins
import math
from typing import Any

import numpy as np

from specjit.dtypes import TITLES, DType, bool_
from specjit.ops.arithmetic import where
from specjit.ops.casts import to_dtype, widen
from specjit.ops.combine import cat
from specjit.ops.compare import isnan
from specjit.ops.records import infer
from specjit.ops.records.composites import Ints, Number, composite_function
from specjit.ops.records.eager import half_as_float, reduce_axes
from specjit.ops.records.grads import count, unreduce
from specjit.ops.records.lowering import composite
from specjit.ops.records.quiet import quiet
from specjit.ops.records.registry import defop
from specjit.ops.records.results import MinMax
from specjit.ops.reduce import amax, amin, mean, sum
from specjit.tensor.tensor import Tensor

# variances


def _check_variance(dtype: Any) -> None:
    if dtype is not None and not (dtype.kind == "f" if isinstance(dtype, np.dtype) else dtype.is_floating_point):
        raise RuntimeError("std and var only support floating point and complex dtypes")


def _variance(x: np.ndarray, dim: Any, correction: Any, keepdim: Any) -> Any:
    axis = reduce_axes(x, dim)
    n = x.size if axis is None else math.prod([x.shape[a] for a in ((axis,) if type(axis) is int else axis)])
    centered = x - np.add.reduce(x, axis, keepdims=True) / x.dtype.type(n)
    total = np.add.reduce(centered * centered, axis, keepdims=keepdim)
    return np.asarray(total / x.dtype.type(builtins.max(n - correction, 0)))


def _variance_eager(x: np.ndarray, dim: Any, correction: Any, keepdim: Any) -> Any:
    _check_variance(x.dtype)
    return half_as_float(_variance)(x, dim, correction, keepdim)


def _variance_infer(x: Any, dim: Any, correction: Any, keepdim: Any) -> Any:
    _check_variance(x.dtype)
    return infer.reduction(lambda d: d)(x, dim, keepdim)


def _freedom(x: Any, dim: Any, correction: Any) -> Any:
    n = count(x, dim)
    return builtins.max(n - correction, 0) if isinstance(n, int) else n - correction


def _variance_of(x: Any, dim: Any, correction: Any, keepdim: bool) -> Any:
    centered = x - mean(x, dim, True)
    freedom = _freedom(x, dim, correction)
    divisor = freedom if isinstance(freedom, (int, float)) else freedom.at_least(0)
    return sum(centered * centered, dim, keepdim) / divisor


def _variance_vjp(g: Any, _y: Any, x: Any, dim: Any, correction: Any, keepdim: bool) -> Any:
    freedom = _freedom(x, dim, correction)
    scale = 2.0 / freedom if freedom != 0 else math.nan
    return unreduce(g, x, dim, keepdim) * ((x - x.mean(dim, True)) * scale)


variance = defop(
    "variance(input, dim: 'int[]?', correction: Scalar, keepdim: bool) -> Tensor",
    eager=quiet(_variance_eager),
    infer=_variance_infer,
    vjp=_variance_vjp,
    lower=composite(_variance_of),
    public=False,
    method=False,
    doc="The sum of squared distances from the mean, over n - correction (at least 0).",
)


@composite_function
def var(
    input: Tensor,
    dim: Any = None,
    unbiased: bool | None = None,
    keepdim: bool = False,
    *,
    correction: Number | None = None,
) -> Tensor:
    """Variance; the divisor is n - correction: 1, unless `unbiased` is False. `var(input, unbiased)` is allowed too."""
    if isinstance(dim, bool):
        return variance(input, None, _correction(dim, correction), False)
    return variance(input, dim, _correction(unbiased, correction), keepdim)


def _correction(unbiased: Any, correction: Any) -> Any:
    if unbiased is not None and correction is not None:
        raise TypeError("var() received an invalid combination of arguments: unbiased and correction")
    if correction is not None:
        return correction
    return 1 if unbiased is None or unbiased else 0


@composite_function
def std(
    input: Tensor,
    dim: Any = None,
    unbiased: bool | None = None,
    keepdim: bool = False,
    *,
    correction: Number | None = None,
) -> Tensor:
    """The square root of `var`."""
    wide = var(widen(input), dim, unbiased, keepdim, correction=correction).sqrt()
    return to_dtype(wide, input.dtype)


@composite_function
def var_mean(
    input: Tensor,
    dim: Any = None,
    unbiased: bool | None = None,
    keepdim: bool = False,
    *,
    correction: Number | None = None,
) -> Any:
    """(variance, mean); arguments as in `var`."""
    spread = var(input, dim, unbiased, keepdim, correction=correction)
    return spread, mean(input, None if isinstance(dim, bool) else dim, keepdim)


@composite_function
def std_mean(
    input: Tensor,
    dim: Any = None,
    unbiased: bool | None = None,
    keepdim: bool = False,
    *,
    correction: Number | None = None,
) -> Any:
    """(standard deviation, mean); arguments as in `var`."""
    spread = std(input, dim, unbiased, keepdim, correction=correction)
    return spread, mean(input, None if isinstance(dim, bool) else dim, keepdim)


# counts and extremes


@composite_function
def aminmax(input: Tensor, *, dim: int | None = None, keepdim: bool = False) -> Any:
    """(min, max) of all elements or along one dim."""
    return MinMax(amin(input, dim, keepdim), amax(input, dim, keepdim))


@composite_function
def count_nonzero(input: Tensor, dim: Ints | None = None) -> Tensor:
    """How many elements are not zero, as int64."""
    return sum(input != 0, dim)


@composite_function
def nansum(input: Tensor, dim: Ints | None = None, keepdim: bool = False, *, dtype: DType | None = None) -> Tensor:
    """`sum`, NaN counting as 0."""
    if not input.dtype.is_floating_point:
        return sum(input, dim, keepdim, dtype=dtype)
    return sum(where(isnan(input), 0.0, input), dim, keepdim, dtype=dtype)


@composite_function
def nanmean(input: Tensor, dim: Ints | None = None, keepdim: bool = False, *, dtype: DType | None = None) -> Tensor:
    """`mean` of what is not NaN."""
    if not input.dtype.is_floating_point:
        raise RuntimeError(
            f"nanmean(): expected input to have floating point or complex dtype but got {TITLES[input.dtype.name]}"
        )
    return nansum(input, dim, keepdim, dtype=dtype) / sum(~isnan(input), dim, keepdim)


def _diff_arrays(x: np.ndarray, n: int, dim: int, prepend: None, append: None) -> Any:
    return np.diff(x, n, dim) if n > 0 and x.dtype.kind != "b" else None


@composite_function(direct=quiet(_diff_arrays))
def diff(
    input: Tensor, n: int = 1, dim: int = -1, prepend: Tensor | None = None, append: Tensor | None = None
) -> Tensor:
    """Differences of neighbours along `dim`, n times; of bools, whether they differ."""
    if input.ndim == 0:
        raise RuntimeError("diff expects input to be at least one-dimensional")
    if n < 0:
        raise RuntimeError(f"order must be non-negative but got {n}")
    out = input
    if prepend is not None:
        out = _joined(prepend, out, prepend.ndim, input.ndim, dim)
    if append is not None:
        out = _joined(out, append, append.ndim, input.ndim, dim)
    for _ in range(n):
        size = builtins.max(out.shape[dim] - 1, 0)
        later, earlier = out.narrow(dim, out.shape[dim] - size, size), out.narrow(dim, 0, size)
        out = later.logical_xor(earlier) if out.dtype is bool_ else later - earlier
    return out.clone() if n == 0 else out


def _joined(a: Any, b: Any, rank: int, wanted: int, dim: int) -> Any:
    if rank != wanted:
        raise RuntimeError("diff expects prepend or append to be the same dimension as input")
    return cat([a, b], dim)
