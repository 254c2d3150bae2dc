"""Searches in sorted data, distinct elements, histograms: searchsorted, bucketize, unique, bincount, histc.

Enters: tensors. Leaves: fresh tensors, whose sizes may depend on the data. Nothing here has a gradient.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from specjit import dtypes
from specjit.dtypes import TITLES
from specjit.ops.creation import full
from specjit.ops.gather import gather
from specjit.ops.records import infer
from specjit.ops.records.composites import Number, composite_function
from specjit.ops.records.eager import half_as_float, not_implemented
from specjit.ops.records.infer import Type
from specjit.ops.records.quiet import quiet
from specjit.ops.records.refuse import FLOATING, INTEGRAL, Refuse
from specjit.ops.records.registry import NO_GRAD, defop
from specjit.tensor.tensor import Tensor

BOOL = np.dtype(bool)

# sorted data


def _search(rows: np.ndarray, values: np.ndarray, out_int32: bool, right: bool) -> np.ndarray:
    _check_search(rows.shape, values.shape)
    if values.dtype.kind == "b":
        raise not_implemented("searchsorted_out_cpu", values.dtype)
    if rows.ndim == 1:
        found = np.searchsorted(rows, values, "right" if right else "left")
    else:
        found = _search_rows(rows, values, right)
    if values.dtype.kind == "f":
        found = np.where(np.isnan(values), rows.shape[-1], found)
    return np.asarray(found, np.int32 if out_int32 else np.int64)


def _search_rows(rows: np.ndarray, values: np.ndarray, right: bool) -> np.ndarray:
    """Each value in its own row, by bisection of all of them at once: a pass halves what is between low and high."""
    n = rows.shape[-1]
    low, high = np.zeros(values.shape, np.int64), np.full(values.shape, n)
    for _ in range(n.bit_length()):
        middle = (low + high) // 2
        found = np.take_along_axis(rows, np.minimum(middle, n - 1), -1)
        below = ((found <= values) if right else (found < values)) & (low < high)
        low, high = np.where(below, middle + 1, low), np.where(below, high, middle)
    return low


def _check_search(rows: Any, values: Any) -> None:
    if not len(rows):
        raise RuntimeError(
            "torch.searchsorted(): boundaries tensor should have positive dimension, but got 0 dimension"
        )
    if len(rows) > 1 and (
        len(rows) != len(values)
        or any(isinstance(a, int) and isinstance(b, int) and a != b for a, b in zip(rows[:-1], values[:-1]))
    ):
        raise RuntimeError(
            "torch.searchsorted(): boundaries tensor should be 1 dimension or the first N-1 dimensions of boundaries "
            f"tensor and input value tensor must match, but we got boundaries tensor {list(rows)} and input value "
            f"tensor {list(values)}"
        )


def _search_infer(rows: Type, values: Type, out_int32: Any, right: Any) -> Type:
    if rows.dims is not None and values.dims is not None:
        _check_search(rows.dims, values.dims)
    if values.dtype is dtypes.bool_:
        raise not_implemented("searchsorted_out_cpu", values.dtype)
    dtype = {True: dtypes.int32, False: dtypes.int64}.get(out_int32)
    return Type.tensor(dtype, values.dims)


search_sorted = defop(
    "search_sorted(sorted_sequence, input, out_int32: bool, right: bool) -> Tensor",
    eager=_search,
    infer=_search_infer,
    vjp=NO_GRAD,
    public=False,
    method=False,
    doc="Where in each sorted row (or in the one row) values belong: before equal elements, or after them (right).",
)


@composite_function
def searchsorted(
    sorted_sequence: Tensor,
    input: Tensor | Number,
    *,
    out_int32: bool = False,
    right: bool = False,
    side: str | None = None,
    sorter: Tensor | None = None,
) -> Tensor:
    """Where in `sorted_sequence` (sorted along the last dim) the values of `input` belong: the first position before
    equal elements, or after them (`right`, side="right"). sorter: indices that sort it."""
    if side is not None:
        if side not in ("left", "right"):
            raise RuntimeError(f"torch.searchsorted(): side can only be 'left' or 'right' but got {side}")
        if right and side == "left":
            raise RuntimeError(
                "torch.searchsorted(): side and right can't be set to opposites, got side of left while right was True"
            )
        right = side == "right"
    rows = sorted_sequence
    if sorter is not None:
        _check_sorter(rows, sorter)
        rows = gather(rows, -1, sorter)
    if not hasattr(input, "shape"):
        if rows.ndim > 1:
            raise RuntimeError(
                "torch.searchsorted(): input value can be a scalar only when boundaries tensor dimension is 1, but we "
                f"got boundaries tensor dim({rows.ndim}) and input value's dim(0) numel(1)"
            )
        input = full((), input)
    return search_sorted(rows, input, out_int32, right)


def _check_sorter(rows: Any, sorter: Any) -> None:
    if rows.shape != sorter.shape:
        raise RuntimeError(
            "torch.searchsorted(): boundary and sorter must have the same size, but got boundary tensor "
            f"{list(rows.shape)} and got sorter tensor {list(sorter.shape)}"
        )
    if sorter.dtype is not dtypes.int64:
        raise RuntimeError(
            f"torch.searchsorted(): sorter must be a tensor of long dtype but got dtype {TITLES[sorter.dtype.name]}"
        )


@composite_function
def bucketize(input: Tensor | Number, boundaries: Tensor, *, out_int32: bool = False, right: bool = False) -> Tensor:
    """The bucket of each value between sorted 1-d `boundaries`: boundaries[i - 1] < value <= boundaries[i], or with
    `right` boundaries[i - 1] <= value < boundaries[i]."""
    if boundaries.ndim != 1:
        raise RuntimeError(f"boundaries tensor must be 1 dimension, but got dim({boundaries.ndim})")
    return searchsorted(boundaries, input, out_int32=out_int32, right=right)


# distinct elements


def _unique_dim(x: np.ndarray, dim: int) -> int:
    if not x.ndim:
        raise IndexError(f"Dimension specified as {dim} but tensor has no dimensions")
    axis = infer.axis(dim, x.ndim)
    assert axis is not None
    if 0 in x.shape[:axis] + x.shape[axis + 1 :]:
        raise RuntimeError("There are 0 sized dimensions, and they aren't selected, so unique cannot be applied")
    return axis


def _slices(x: np.ndarray, axis: int) -> np.ndarray:
    """The slices along `axis` as rows."""
    n = x.shape[axis]
    return np.moveaxis(x, axis, 0).reshape(n, x.size // n if n else 0)


def _unique(x: np.ndarray, dim: int | None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    if dim is None:
        values, inverse, counts = np.unique(x, return_inverse=True, return_counts=True, equal_nan=False)
        return values, inverse.reshape(x.shape).astype(np.int64), counts.astype(np.int64)
    axis = _unique_dim(x, dim)
    # Lexicographic order of slices, in which a NaN, equal to nothing, keeps its slice apart.
    rows = _slices(x, axis)
    order = np.lexsort(rows.T[::-1]) if rows.size else np.arange(len(rows))
    values, inverse, counts = _runs(rows[order])
    back = np.empty_like(inverse)
    back[order] = inverse
    return x.take(order[values], axis), back, counts


def _runs(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of neighbours that are equal: (where each run begins, the run of each row, the length of each run)."""
    new = np.ones(len(rows), bool)
    new[1:] = (rows[1:] != rows[:-1]).any(1)
    starts = np.flatnonzero(new)
    return starts, np.cumsum(new) - 1, np.diff(starts, append=len(rows))


def _unique_consecutive(x: np.ndarray, dim: int | None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    if dim is None:
        starts, inverse, counts = _runs(x.reshape(-1, 1))
        return x.reshape(-1)[starts], inverse.reshape(x.shape), counts
    axis = _unique_dim(x, dim)
    starts, inverse, counts = _runs(_slices(x, axis))
    return x.take(starts, axis), inverse, counts


def _unique_infer(x: Type, dim: Any) -> tuple[Type, Type, Type]:
    counts = Type.tensor(dtypes.int64, (None,))
    if dim is None:
        return Type.tensor(x.dtype, (None,)), Type.tensor(dtypes.int64, x.dims), counts
    axis = infer.axis(dim, x.rank)
    if x.dims is None or axis is None or not x.dims:
        return Type.tensor(x.dtype), Type.tensor(dtypes.int64), counts
    values = Type.tensor(x.dtype, (*x.dims[:axis], None, *x.dims[axis + 1 :]))
    return values, Type.tensor(dtypes.int64, (x.dims[axis],)), counts


unique_op, unique_consecutive_op = (
    defop(
        f"{name}(input, dim: 'int?') -> (Tensor, Tensor, Tensor)",
        eager=eager,
        infer=_unique_infer,
        vjp=NO_GRAD,
        public=False,
        method=False,
        doc="(distinct elements or slices, which of them each one is, how often each occurs).",
    )
    for name, eager in (("unique_op", _unique), ("unique_consecutive_op", _unique_consecutive))
)


@composite_function
def unique(
    input: Tensor,
    sorted: bool = True,
    return_inverse: bool = False,
    return_counts: bool = False,
    dim: int | None = None,
) -> Any:
    """The distinct elements, or slices along `dim`, in ascending order whatever `sorted` says; with indices into them
    that restore the input (`return_inverse`) and how often each occurs (`return_counts`)."""
    return _asked(unique_op(input, dim), return_inverse, return_counts)


@composite_function
def unique_consecutive(
    input: Tensor, return_inverse: bool = False, return_counts: bool = False, dim: int | None = None
) -> Any:
    """The first of each run of equal elements, or slices along `dim`; the other results as in `unique`."""
    return _asked(unique_consecutive_op(input, dim), return_inverse, return_counts)


def _asked(found: Any, inverse: bool, counts: bool) -> Any:
    if inverse and counts:
        return found
    if inverse:
        return found[0], found[1]
    return (found[0], found[2]) if counts else found[0]


# histograms


def _check_bincount(x: Any, weights: Any, minlength: Any) -> None:
    if isinstance(minlength, int) and minlength < 0:
        raise RuntimeError("minlength should be >= 0")
    if x is not None and len(x) != 1:
        raise RuntimeError("bincount only supports 1-d non-negative integral inputs.")
    if weights is not None and (len(weights) != 1 or (x and None not in (x[0], weights[0]) and x[0] != weights[0])):
        raise RuntimeError("weights should be 1-d and have the same length as input")


def _counts(x: np.ndarray, weights: np.ndarray | None, minlength: int) -> np.ndarray:
    _check_bincount(x.shape, None if weights is None else weights.shape, minlength)
    if x.size and x.min() < 0:
        raise RuntimeError("bincount only supports 1-d non-negative integral inputs.")
    return np.bincount(x, weights, minlength)


def _sums(x: np.ndarray, weights: np.ndarray, minlength: int) -> np.ndarray:
    out = _counts(x, weights.astype(np.float64, copy=False), minlength)
    return out.astype(np.float32) if weights.dtype == np.float32 else out


def _counts_infer(x: Type, minlength: Any) -> Type:
    _check_bincount(x.dims, None, minlength)
    return Type.tensor(dtypes.int64, (None,))


def _sums_infer(x: Type, weights: Type, minlength: Any) -> Type:
    _check_bincount(x.dims, weights.dims, minlength)
    wide = dtypes.float32 if weights.dtype is dtypes.float32 else dtypes.float64
    return Type.tensor(None if weights.dtype is None else wide, (None,))


_INTEGERS = Refuse("bincount_cpu", "Bool", *FLOATING)
count_each = defop(
    "count_each(input, minlength: int) -> Tensor",
    eager=_INTEGERS.eager(lambda x, minlength: _counts(x, None, minlength)),
    infer=_INTEGERS.infer(_counts_infer),
    vjp=NO_GRAD,
    public=False,
    method=False,
    doc="How often each of 0, 1, ... occurs in a 1-d tensor of ints.",
)
sum_each = defop(
    "sum_each(input, weights, minlength: int) -> Tensor",
    eager=_INTEGERS.eager(_sums),
    infer=_INTEGERS.infer(_sums_infer),
    vjp=NO_GRAD,
    public=False,
    method=False,
    doc="The sum of the weights of each of 0, 1, ... in a 1-d tensor of ints: float32 from float32, else float64.",
)


@composite_function(
    # NumPy refuses floats, negative and other than 1-d input, and the body then says so.
    direct=lambda x, weights, minlength: None if x.dtype is BOOL else np.bincount(x, None, minlength)
)
def bincount(input: Tensor, weights: Tensor | None = None, minlength: int = 0) -> Tensor:
    """How often each of 0, 1, ... occurs in a 1-d tensor of ints, or the sums of their weights."""
    # Of no elements there are counts only, as in PyTorch.
    return (
        count_each(input, minlength) if weights is None or input.numel() == 0 else sum_each(input, weights, minlength)
    )


def _histc(x: np.ndarray, bins: int, min: Any, max: Any) -> np.ndarray:
    if x.dtype.kind == "b":
        raise not_implemented("linspace_cpu", x.dtype)
    if bins <= 0:
        raise RuntimeError(f"torch.histogram(): bins must be > 0, but got {bins} for dimension 0")
    flat = x.reshape(-1)
    low, high = min, max
    if low == high and flat.size:
        low, high = flat.min().item(), flat.max().item()
    if not (np.isfinite(low) and np.isfinite(high)):
        raise RuntimeError(f"torch.histc: range of [{low}, {high}] is not finite")
    if low > high:
        raise RuntimeError("torch.histc: max must be larger than min")
    if low == high:
        low, high = low - 1, high + 1
    inside = flat[(flat >= low) & (flat <= high)]
    found = ((inside - x.dtype.type(low)) * x.dtype.type(bins) / x.dtype.type(high - low)).astype(np.int64)
    return np.bincount(np.minimum(found, bins - 1), minlength=bins).astype(x.dtype)


_FLOATS = Refuse("histogram_cpu", *INTEGRAL)
histc = defop(
    "histc(input, bins: int = 100, min: Scalar = 0, max: Scalar = 0) -> Tensor",
    eager=quiet(_FLOATS.eager(half_as_float(_histc))),
    infer=_FLOATS.infer(lambda x, bins, min, max: Type.tensor(x.dtype, (infer.dim_of(bins),))),
    vjp=NO_GRAD,
    doc="Counts of elements in equal bins from min to max (where both are 0: of the data), in the dtype of input.",
)
