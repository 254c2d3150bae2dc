"""Reading and writing at positions: `x[...]`, gather, embedding, masks, and their gradients.

Enters: tensors and indices. Leaves: views (basic indexing), fresh tensors (everything that gathers), or writes in
place.
Invariant: the gradient of a read is an accumulating write into zeros, and both exist as records, so double backward
works.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from specjit.ir.types import Type
from specjit.ops.creation import zeros
from specjit.ops.index_rules import as_mask, indexed_dims, infer_getitem, numpy_index, picked, split, take
from specjit.ops.records import infer
from specjit.ops.records.eager import writable
from specjit.ops.records.grads import sum_to
from specjit.ops.records.lowering import special
from specjit.ops.records.quiet import quiet
from specjit.ops.records.registry import Traits, defop, view, writes
from specjit.ops.shape import axis_of
from specjit.ops.slicing import check_index
from specjit.tensor.promotion import cast_operand


def _as_numpy(x: np.ndarray, index: Any) -> bool:
    """Whether an index means the same to NumPy: ints, slices without step, None and Ellipsis; or one array of indices,
    or one mask of the right shape."""
    kind = type(index)
    if kind is int or (kind is slice and index.step is None):
        return True
    if kind is tuple:
        for item in index:
            kind = type(item)
            if not (kind is int or (kind is slice and item.step is None) or item is None or item is Ellipsis):
                return False
        return True
    if kind is not np.ndarray or not index.ndim or not index.size:
        return False
    char = index.dtype.char
    return char in "ilq" or (char == "?" and index.shape == x.shape[: index.ndim])


def _getitem(x: np.ndarray, index: Any) -> np.ndarray:
    if not _as_numpy(x, index):
        return take(x, split(index, x.shape))
    found = x[index]
    if type(found) is np.ndarray:
        return found
    # A view of the one element. (Beside its ints there may be no other index, so that the dots can be added.)
    return x[(*index, ...)] if type(index) is tuple else x[index, ...]


getitem = defop(
    "getitem(input, index: any) -> Tensor",
    eager=_getitem,
    infer=infer_getitem,
    vjp=lambda g, _y, _x, index: getitem_backward(g, _x.shape, index),
    traits=view(0),
    method="__getitem__",
    public=False,
    doc="x[index] with ints, slices, None, Ellipsis, bools, tensors and lists. Basic indices give a view.",
)


def _accumulate(target: np.ndarray, index: tuple[Any, ...], values: np.ndarray) -> None:
    """target[index] += values, adding up where an index repeats. A single index along the first dim, the case of
    embeddings, goes
    through sorted segments, which is far faster than ufunc.at."""
    if len(index) == 1 and isinstance(index[0], np.ndarray) and index[0].dtype.kind in "iu" and target.ndim > 1:
        rows = index[0].reshape(-1)
        if rows.size:
            add_rows(target, rows, np.broadcast_to(values, (*index[0].shape, *target.shape[1:])).reshape(rows.size, -1))
        return
    np.add.at(target, index, values)


def add_rows(target: np.ndarray, rows: np.ndarray, values: np.ndarray) -> None:
    """target[rows[i]] += values[i] for all i, in order of i within a row."""
    n = target.shape[0]
    wrapped = np.where(rows < 0, rows + n, rows)
    if wrapped.size and (wrapped.min() < 0 or wrapped.max() >= n):
        raise IndexError(f"index {rows.max()} is out of bounds for dimension 0 with size {n}")
    order = np.argsort(wrapped, kind="stable")
    ranked = wrapped[order]
    starts = np.flatnonzero(np.concatenate(([True], ranked[1:] != ranked[:-1])))
    added = np.add.reduceat(values[order], starts, axis=0)
    target[ranked[starts]] += added.reshape(starts.size, *target.shape[1:])


def _getitem_backward(g: np.ndarray, sizes: Any, index: Any) -> np.ndarray:
    out = np.zeros(sizes, g.dtype)
    found = split(index, out.shape)
    inner = out[(*found.basic, ...)]
    if found.advanced:
        _accumulate(inner, numpy_index(found.advanced), g)
    else:
        inner[...] = g
    return out


def _sized(g: Any, sizes: Any, *_: Any) -> Type:
    return Type.tensor(g.dtype, infer.sizes_of(sizes))


getitem_backward = defop(
    "getitem_backward(grad, sizes: 'int[]', index: any) -> Tensor",
    eager=_getitem_backward,
    infer=_sized,
    vjp=lambda g, _y, _grad, sizes, index: getitem(g, index),
    method=False,
    public=False,
    doc="Zeros of `sizes` with `grad` added at `index`.",
)


def _select_backward(g: np.ndarray, sizes: Any, dim: int, index: int) -> np.ndarray:
    out = np.zeros(sizes, g.dtype)
    at = axis_of(dim, out.ndim)
    out[(slice(None),) * at + (check_index(index, out.shape[at], at),)] = g
    return out


select_backward = defop(
    "select_backward(grad, sizes: 'int[]', dim: int, index: int) -> Tensor",
    eager=_select_backward,
    infer=_sized,
    vjp=lambda g, _y, _grad, sizes, dim, index: g.select(dim, index),
    lower=special("select_backward"),
    method=False,
    public=False,
    doc="Zeros of `sizes` with `grad` at position `index` of `dim`.",
)


def _slice_backward(g: np.ndarray, sizes: Any, dim: int, start: Any, end: Any, step: int) -> np.ndarray:
    out = np.zeros(sizes, g.dtype)
    out[(slice(None),) * axis_of(dim, out.ndim) + (slice(start, end, step),)] = g
    return out


def _slice_again(g: Any, dim: int, start: Any, end: Any, step: int) -> Any:
    from specjit.ops.slicing import slice_op

    return slice_op(g, dim, start, end, step)


slice_backward = defop(
    "slice_backward(grad, sizes: 'int[]', dim: int, start: 'int?', end: 'int?', step: int) -> Tensor",
    eager=_slice_backward,
    infer=_sized,
    vjp=lambda g, _y, _grad, sizes, dim, start, end, step: _slice_again(g, dim, start, end, step),
    lower=special("slice_backward"),
    method=False,
    public=False,
    doc="Zeros of `sizes` with `grad` in the slice of `dim`.",
)


def _plain_indices(indices: Any) -> tuple[Any, ...]:
    if not isinstance(indices, (list, tuple)):
        raise TypeError(f"argument 'indices' must be tuple of Tensors, not {type(indices).__name__}")
    return numpy_index([as_mask(i) for i in indices])


def _index_infer(x: Type, indices: Any) -> Type:
    if x.dims is None or not isinstance(indices, (list, tuple)):
        return Type.tensor(x.dtype)
    return Type.tensor(x.dtype, indexed_dims(x.dims, indices))


index = defop(
    "index(input, indices: any) -> Tensor",
    eager=lambda x, indices: picked(x, _plain_indices(indices)),
    infer=_index_infer,
    vjp=lambda g, _y, _x, indices: index_put(zeros(_x.shape, dtype=g.dtype), indices, g, accumulate=True),
    method=False,
    public=False,
    doc="Advanced indexing: one index tensor or None per dim.",
)


def _index_put(x: np.ndarray, indices: Any, values: np.ndarray, accumulate: bool) -> np.ndarray:
    out = x.copy()
    _put(out, indices, values, accumulate)
    return out


def _put(out: np.ndarray, indices: Any, values: np.ndarray, accumulate: bool) -> np.ndarray:
    if values.dtype != out.dtype:
        raise RuntimeError(
            f"Index put requires the source and destination dtypes match, got {out.dtype} and {values.dtype}"
        )
    writable(out)
    where = _plain_indices(indices)
    if accumulate:
        _accumulate(out, where, values)
    else:
        out[where] = values
    return out


def _index_put_vjp(g: Any, _y: Any, _x: Any, indices: Any, _values: Any, accumulate: bool) -> Any:
    def base() -> Any:
        if accumulate:
            return g
        return index_put(g, indices, zeros((), dtype=g.dtype).expand(_values.shape))

    return base, lambda: sum_to(index(g, indices), _values)


index_put = defop(
    "index_put(input, indices: any, values, accumulate: bool = False) -> Tensor",
    eager=quiet(_index_put),
    infer=lambda x, indices, values, accumulate: infer.same(x),
    vjp=_index_put_vjp,
    doc="A copy of input with `values` at the positions of `indices` (added up if `accumulate`).",
)
defop(
    "index_put_(input, indices: any, values, accumulate: bool = False) -> Tensor",
    eager=quiet(_put),
    infer=lambda x, indices, values, accumulate: infer.same(x),
    vjp=_index_put_vjp,
    traits=Traits(view_of=0, writes=frozenset({0})),
    functional=index_put,
    doc="`index_put` in place; returns the tensor.",
)


def _setitem(x: np.ndarray, index: Any, value: Any) -> np.ndarray:
    if x.flags.c_contiguous and (type(value) is np.ndarray or x.dtype.kind == "f") and _as_numpy(x, index):
        x[index] = value
        return x
    found = split(index, x.shape)
    target = writable(x[(*found.basic, ...)])
    if isinstance(value, np.ndarray):
        shape = target[numpy_index(found.advanced)].shape if found.advanced else target.shape
        extra = value.ndim - len(shape)
        if extra > 0:
            if value.shape[:extra] != (1,) * extra:
                raise RuntimeError(
                    f"shape mismatch: value tensor of shape {list(value.shape)} cannot be broadcast to {list(shape)}"
                )
            value = value.reshape(value.shape[extra:])
    # Like NumPy and PyTorch: the value takes the dtype of the target.
    value = cast_operand(value, x.dtype)
    if found.advanced:
        target[numpy_index(found.advanced)] = value
    else:
        target[...] = value
    return x


def _setitem_copy(x: np.ndarray, index: Any, value: Any) -> np.ndarray:
    return _setitem(x.copy(), index, value)


def _setitem_infer(x: Type, index: Any, value: Any) -> Type:
    region = infer_getitem(x, index)
    if infer.is_tensor(value) and value.dims is not None and region.dims is not None:
        extra = len(value.dims) - len(region.dims)
        if any(d != 1 for d in value.dims[: max(extra, 0)] if isinstance(d, int)):
            raise RuntimeError(
                f"shape mismatch: value tensor of shape {list(value.dims)} cannot be broadcast to indexing result of "
                f"shape {list(region.dims)}"
            )
        infer.expanded(Type.tensor(value.dtype, value.dims[max(extra, 0) :]), list(map(infer.int_of, region.dims)))
    return infer.same(x)


def _setitem_vjp(g: Any, _y: Any, _x: Any, index: Any, _value: Any) -> Any:
    def part() -> Any:
        found = getitem(g, index)
        extra = _value.ndim - found.ndim
        return sum_to(found, _value) if extra <= 0 else sum_to(found, _Shaped(_value, extra)).reshape(_value.shape)

    return lambda: index_write(g, index, 0.0), (None if not hasattr(_value, "shape") else part)


class _Shaped:
    """A value without its leading dims of size 1."""

    def __init__(self, value: Any, extra: int) -> None:
        self.shape = tuple(value.shape)[extra:]
        self.dtype = value.dtype


index_write = defop(
    "index_write(input, index: any, value: 'Tensor|Scalar') -> Tensor",
    eager=quiet(_setitem_copy),
    infer=_setitem_infer,
    vjp=_setitem_vjp,
    method=False,
    public=False,
    doc="A copy of input in which `[index]` is `value`.",
)
setitem = defop(
    "setitem(input, index: any, value: 'Tensor|Scalar') -> None",
    eager=quiet(_setitem),
    infer=lambda x, index, value: (_setitem_infer(x, index, value), infer.Type("none"))[1],
    vjp=_setitem_vjp,
    traits=writes(0),
    functional=index_write,
    method="__setitem__",
    public=False,
    doc="x[index] = value.",
)
