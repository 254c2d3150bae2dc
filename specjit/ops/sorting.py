"""Order along a dim: sort, topk, order statistics, running extremes.

Enters: tensors, a dim. Leaves: fresh (values, indices) pairs.
Invariant: a record finds only the indices; the values are gathered, so gradients, of any order, are those of `gather`.
NaN counts as larger than every number. Sorting is stable; which of several equal elements topk, kthvalue and the
medians name is not specified.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from specjit import dtypes
from specjit.ops.records import infer
from specjit.ops.records.composites import composite_function
from specjit.ops.records.eager import along, one_axis
from specjit.ops.records.infer import Type
from specjit.ops.records.quiet import quiet
from specjit.ops.records.refuse import Refuse
from specjit.ops.records.registry import NO_GRAD, defop
from specjit.ops.records.results import ValuesIndices
from specjit.ops.reduce import gathered
from specjit.tensor.tensor import Tensor

_INDICES = infer.along(lambda _: dtypes.int64)


def _order(x: np.ndarray, axis: int, descending: bool) -> np.ndarray:
    """A stable argsort. Descending: of the reversed array, so that equal elements keep their order."""
    if not descending:
        return np.argsort(x, axis, kind="stable")
    back = np.flip(np.argsort(np.flip(x, axis), axis, kind="stable"), axis)
    return x.shape[axis] - 1 - back


argsort = defop(
    "argsort(input, dim: int = -1, descending: bool = False, *, stable: bool = False) -> Tensor",
    eager=along(lambda x, axis, descending, stable: _order(x, axis, descending)),
    infer=_INDICES,
    vjp=NO_GRAD,
    doc="Indices that sort `input` along `dim`; equal elements keep their order, whatever `stable` says.",
)


@composite_function
def sort(input: Tensor, dim: int = -1, descending: bool = False, *, stable: bool = False) -> Any:
    """(values, indices) sorted along `dim`; NaN counts as the largest."""
    at = argsort(input, dim, descending)
    return ValuesIndices(input.gather(dim, at), at)


@composite_function
def msort(input: Tensor) -> Tensor:
    """The values sorted along the first dim."""
    return input.gather(0, argsort(input, 0))


def _topk(x: np.ndarray, axis: int, k: int, largest: bool, sorted: bool) -> np.ndarray:
    """The k first of the order: partitioned off, then sorted by themselves."""
    n = x.shape[axis]
    if not 0 <= k <= n:
        raise RuntimeError("selected index k out of range")
    if k == 0:
        return np.take(np.empty(x.shape, np.int64), range(0), axis)
    first, last = (n - k, n) if largest else (0, k)
    chosen = np.argpartition(x, first if largest else last - 1, axis).take(range(first, last), axis)
    chosen.sort(axis)
    order = _order(np.take_along_axis(x, chosen, axis), axis, largest)
    return np.take_along_axis(chosen, order, axis)


def _topk_eager(x: np.ndarray, k: int, dim: int, largest: bool, sorted: bool) -> np.ndarray:
    whole, axis = one_axis(x, dim)
    found = _topk(whole, axis, k, largest, sorted)
    return found if x.ndim else found.reshape(())


def _topk_infer(x: Type, k: Any, dim: Any, largest: Any, sorted: Any) -> Type:
    axis = infer.axis(dim, x.rank)
    if x.dims is None or axis is None:
        return Type.tensor(dtypes.int64, None if x.dims is None else (None,) * len(x.dims))
    if not x.dims:
        return Type.tensor(dtypes.int64, ())
    n, size = x.dims[axis], infer.dim_of(k)
    if isinstance(n, int) and isinstance(size, int) and not 0 <= size <= n:
        raise RuntimeError("selected index k out of range")
    return Type.tensor(dtypes.int64, (*x.dims[:axis], size, *x.dims[axis + 1 :]))


_NO_BOOL = Refuse("topk", "Bool", message="topk does not support bool dtypes on CPU")
topk_indices = defop(
    "topk_indices(input, k: int, dim: int = -1, largest: bool = True, sorted: bool = True) -> Tensor",
    eager=quiet(_NO_BOOL.eager(_topk_eager)),
    infer=_NO_BOOL.infer(_topk_infer),
    vjp=NO_GRAD,
    public=False,
    method=False,
    doc="Indices of the k largest (or smallest) elements along `dim`, in order.",
)


@composite_function
def topk(input: Tensor, k: int, dim: int = -1, largest: bool = True, sorted: bool = True) -> Any:
    """(values, indices) of the k largest or smallest elements along `dim`, in order, also where `sorted` is False."""
    at = topk_indices(input, k, dim, largest, sorted)
    return ValuesIndices(input.gather(dim, at), at)


# One element of each group


def _found_along(fn: Callable[..., np.ndarray], name: str) -> Callable[..., Any]:
    """An eager function `(input, dim, ...)` that finds one index of each group along `dim`, which is kept with size 1,
    from `fn(x, axis, ...)`."""

    def eager(x: np.ndarray, dim: int, *rest: Any) -> np.ndarray:
        whole, axis = one_axis(x, dim)
        if not whole.shape[axis]:
            raise IndexError(f"{name}(): Expected reduction dim {axis} to have non-zero size.")
        found = fn(whole, axis, *rest)
        return found if x.ndim else found.reshape(())

    return quiet(eager)


def _index_of(name: str, fn: Callable[..., np.ndarray], more: str = "", refuse: Refuse | None = None) -> Any:
    """The record `<name>_indices`."""
    eager = _found_along(fn, name)
    rule = infer.reduction(lambda _: dtypes.int64)
    kept = lambda x, dim, *_: rule(x, dim, True)  # noqa: E731
    return defop(
        f"{name}_indices(input, dim: int{more}) -> Tensor",
        eager=eager if refuse is None else refuse.eager(eager),
        infer=kept if refuse is None else refuse.infer(kept),
        vjp=NO_GRAD,
        public=False,
        method=False,
        doc=f"The index that {name} names in each group along `dim`, which is kept with size 1.",
    )


def _at_rank(x: np.ndarray, axis: int, k: int) -> np.ndarray:
    """The index of the element that is k-th in the order."""
    return np.argpartition(x, k, axis).take([k], axis)


def _kth(x: np.ndarray, axis: int, k: int) -> np.ndarray:
    if not 0 < k <= x.shape[axis]:
        raise RuntimeError(f"kthvalue(): selected number k out of range for dimension {axis}")
    return _at_rank(x, axis, k - 1)


def _median(x: np.ndarray, axis: int) -> np.ndarray:
    found = _at_rank(x, axis, (x.shape[axis] - 1) // 2)
    if x.dtype.kind != "f":
        return found
    nan = np.isnan(x)
    return np.where(nan.any(axis, keepdims=True), nan.argmax(axis, keepdims=True), found)


def _nanmedian(x: np.ndarray, axis: int) -> np.ndarray:
    if x.dtype.kind != "f":
        return _median(x, axis)
    rank = np.maximum((~np.isnan(x)).sum(axis, keepdims=True) - 1, 0) // 2
    return np.take_along_axis(np.argsort(x, axis, kind="stable"), rank, axis)


def _mode(x: np.ndarray, axis: int) -> np.ndarray:
    """Sorted, equal elements are runs; argmax takes the first position at which a run has grown longest."""
    order = np.argsort(x, axis, kind="stable")
    ranked = np.moveaxis(np.take_along_axis(x, order, axis), axis, -1)
    position = np.arange(ranked.shape[-1])
    starts = np.ones(ranked.shape, bool)
    starts[..., 1:] = ranked[..., 1:] != ranked[..., :-1]
    length = position - np.maximum.accumulate(np.where(starts, position, 0), -1)
    best = np.moveaxis(length.argmax(-1, keepdims=True), -1, axis)
    return np.take_along_axis(order, best, axis)


_MEDIAN = Refuse("median_out", "Bool")
kth_indices = _index_of("kthvalue", _kth, ", k: int", Refuse("kthvalue_cpu", "Bool"))
median_indices = _index_of("median", _median, refuse=_MEDIAN)
nanmedian_indices = _index_of("nanmedian", _nanmedian, refuse=_MEDIAN)
mode_indices = _index_of("mode", _mode)


@composite_function
def kthvalue(input: Tensor, k: int, dim: int = -1, keepdim: bool = False) -> Any:
    """(values, indices) of the k-th smallest element along `dim`, counted from 1."""
    return gathered(input, dim, kth_indices(input, dim, k), keepdim)


@composite_function
def median(input: Tensor, dim: int | None = None, keepdim: bool = False) -> Any:
    """The median of all elements, or (values, indices) along `dim`: the lower one of two in the middle. NaN where
    there is a NaN."""
    if dim is not None:
        return gathered(input, dim, median_indices(input, dim), keepdim)
    return _of_all(input, median_indices)


@composite_function
def nanmedian(input: Tensor, dim: int | None = None, keepdim: bool = False) -> Any:
    """`median` of the elements that are not NaN."""
    if dim is not None:
        return gathered(input, dim, nanmedian_indices(input, dim), keepdim)
    return _of_all(input, nanmedian_indices)


def _of_all(x: Any, indices: Any) -> Any:
    if x.numel() == 0:
        return x.new_full((), float("nan")) if x.dtype.is_floating_point else x.new_full((), -(2**63))
    flat = x.reshape(-1)
    return flat.gather(0, indices(flat, 0)).reshape(())


@composite_function
def mode(input: Tensor, dim: int = -1, keepdim: bool = False) -> Any:
    """(values, indices) of the most frequent element along `dim`: of several the smallest, and where it comes last."""
    return gathered(input, dim, mode_indices(input, dim), keepdim)


# Running extremes


def _running(ufunc: np.ufunc) -> Callable[..., np.ndarray]:
    def latest(x: np.ndarray, axis: int) -> np.ndarray:
        """Where the running extreme was last reached; from the first NaN on, the last NaN."""
        if not x.size:
            return np.zeros(x.shape, np.int64)
        rows = np.moveaxis(x, axis, -1)
        reached = rows == ufunc.accumulate(rows, -1)
        if x.dtype.kind == "f":
            reached |= np.isnan(rows)
        # Every row reaches its extreme at its first element, so no run goes on into the next row.
        starts = np.flatnonzero(reached)
        found = np.repeat(starts % rows.shape[-1], np.diff(starts, append=x.size))
        return np.ascontiguousarray(np.moveaxis(found.reshape(rows.shape), -1, axis))

    return along(latest)


cummax_indices, cummin_indices = (
    defop(
        f"{name}_indices(input, dim: int) -> Tensor",
        eager=_running(ufunc),
        infer=_INDICES,
        vjp=NO_GRAD,
        public=False,
        method=False,
        doc=f"Where the values of {name} come from: of equal ones the last.",
    )
    for name, ufunc in (("cummax", np.maximum), ("cummin", np.minimum))
)


@composite_function
def cummax(input: Tensor, dim: int) -> Any:
    """(values, indices) of the largest element up to each one along `dim`; of equal ones the last, NaN once met."""
    at = cummax_indices(input, dim)
    return ValuesIndices(input.gather(dim, at), at)


@composite_function
def cummin(input: Tensor, dim: int) -> Any:
    """(values, indices) of the smallest element up to each one along `dim`; of equal ones the last, NaN once met."""
    at = cummin_indices(input, dim)
    return ValuesIndices(input.gather(dim, at), at)
