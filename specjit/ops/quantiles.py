"""Quantiles, as composites over sort and gather.

Enters: float32 or float64 tensors, quantiles in [0, 1]. Leaves: fresh tensors.
"""

from __future__ import annotations

from typing import Any

from specjit.dtypes import float32, float64, int64
from specjit.ops.blends import lerp
from specjit.ops.casts import to_dtype
from specjit.ops.compare import isnan
from specjit.ops.creation import full
from specjit.ops.gather import gather
from specjit.ops.records.composites import composite_function
from specjit.ops.shape import reshape
from specjit.ops.sorting import argsort
from specjit.tensor.tensor import Tensor

INTERPOLATIONS = ("linear", "lower", "higher", "midpoint", "nearest")


@composite_function
def quantile(
    input: Tensor, q: Any, dim: int | None = None, keepdim: bool = False, *, interpolation: str = "linear"
) -> Tensor:
    """The q-quantiles of all elements, or along `dim`; a 1-d tensor `q` gives a leading dim. NaN where there is a NaN.
    Between two elements: "linear", "lower", "higher", "midpoint" or "nearest"."""
    return _quantile(input, q, dim, keepdim, interpolation, False)


@composite_function
def nanquantile(
    input: Tensor, q: Any, dim: int | None = None, keepdim: bool = False, *, interpolation: str = "linear"
) -> Tensor:
    """`quantile` of what is not NaN; NaN where nothing else is."""
    return _quantile(input, q, dim, keepdim, interpolation, True)


def _quantile(x: Any, q: Any, dim: Any, keepdim: bool, interpolation: str, skip_nan: bool) -> Any:
    points = _points(x, q, interpolation)
    row = reshape(points, [-1])
    rows = x.reshape(-1) if dim is None or x.ndim == 0 else x.transpose(dim, -1)
    last = rows.shape[-1] - 1
    nan = isnan(rows)
    if skip_nan:
        place = row * (last - nan.sum(-1, True)).clamp(0)
    else:
        # NaN is sorted to the end.
        place = (row * last).masked_fill(nan.any(-1, True), last)
    ranked = gather(rows, -1, argsort(rows))
    found = _between(ranked, to_dtype(place, x.dtype), interpolation)
    return _shaped(found, x, points.ndim, dim, keepdim)


def _between(ranked: Any, place: Any, interpolation: str) -> Any:
    """The elements of each row at fractional positions, which are on the last dim."""
    below, above = place.floor(), place.ceil()
    if interpolation == "lower":
        return gather(ranked, -1, to_dtype(below, int64))
    if interpolation == "higher":
        return gather(ranked, -1, to_dtype(above, int64))
    if interpolation == "nearest":
        return gather(ranked, -1, to_dtype(place.round(), int64))
    weight = place - below if interpolation == "linear" else to_dtype(above > below, place.dtype) * 0.5
    return lerp(gather(ranked, -1, to_dtype(below, int64)), gather(ranked, -1, to_dtype(above, int64)), weight)


def _shaped(found: Any, x: Any, rank: int, dim: Any, keepdim: bool) -> Any:
    """The results, whose quantiles are on the last dim, as the arguments want them."""
    if rank == 0:
        if keepdim and x.ndim and dim is None:
            return found.reshape([1] * x.ndim)
        if dim is None or x.ndim == 0:
            return found.reshape(())
        out = found.transpose(dim, -1)
        return out if keepdim else out.squeeze(dim)
    if dim is None or x.ndim == 0:
        return found.reshape([-1] + [1] * x.ndim) if keepdim and x.ndim else found
    out = found.unsqueeze(0).transpose(0, -1)
    # Now the quantiles lead, and where they were is a dim of size 1, as is what was at the end before.
    out = out.squeeze(-1).unsqueeze(-1).transpose(dim if dim < 0 else dim + 1, -1)
    return out if keepdim else out.squeeze(dim if dim < 0 else dim + 1)


def _points(x: Any, q: Any, interpolation: str) -> Any:
    """The quantiles as a tensor, 0-d or 1-d, with everything checked."""
    if x.dtype is not float32 and x.dtype is not float64:
        raise RuntimeError("quantile() input tensor must be either float or double dtype")
    if x.numel() == 0:
        raise RuntimeError("quantile() input tensor must be non-empty")
    if interpolation not in INTERPOLATIONS:
        raise RuntimeError(
            "quantile() interpolation must be one of linear, lower, higher, midpoint or nearest, but got "
            f"{interpolation}"
        )
    if not hasattr(q, "shape"):
        if not 0 <= q <= 1:
            raise RuntimeError(f"quantile() q must be in the range [0, 1] but got {q}")
        return full((), q, dtype=x.dtype)
    if q.ndim > 1:
        raise RuntimeError("quantile() q must be a scalar or 1D tensor")
    if q.dtype is not x.dtype:
        raise RuntimeError("quantile() q tensor must be same dtype as the input tensor")
    return q
