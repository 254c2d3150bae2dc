"""Gathers and scatters along a dim, embeddings, and their gradients.

Enters: tensors and index tensors. Leaves: fresh tensors.
Invariant: the gradient of a gather is an accumulating scatter into zeros; both are records, so double backward works.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from specjit import dtypes
from specjit.ir.types import Type
from specjit.ops.arithmetic import where
from specjit.ops.creation import zeros
from specjit.ops.indexing import add_rows
from specjit.ops.records import infer
from specjit.ops.records.lowering import special
from specjit.ops.records.quiet import quiet
from specjit.ops.records.registry import defop
from specjit.ops.shape import axis_of
from specjit.tensor.promotion import cast_operand


def _index_dim(x: np.ndarray, dim: int, at: np.ndarray, what: str) -> tuple[np.ndarray, int]:
    if at.ndim > 1:
        raise IndexError(f"{what}(): Index is supposed to be a vector")
    if at.dtype.char not in "ilq":
        raise RuntimeError(f"{what}(): Expected dtype int32 or int64 for index")
    whole = x if x.ndim else x.reshape(1)
    return whole, axis_of(dim, whole.ndim)


def outside(at: np.ndarray, n: int) -> int | None:
    """The first position that is not in [0, n), or None. As unsigned numbers, negative ones are too large as well."""
    if not at.size or np.maximum.reduce(at.view(f"u{at.dtype.itemsize}"), axis=None) < n:
        return None
    return int(at[(at < 0) | (at >= n)].flat[0])


def _in_bounds(at: np.ndarray, n: int) -> None:
    found = outside(at, n)
    if found is not None:
        raise IndexError(f"index out of range in self: {found} is not in 0..{n - 1}")


def _in_dim(at: np.ndarray, axis: int, n: int) -> None:
    found = outside(at, n)
    if found is not None:
        raise RuntimeError(f"index {found} is out of bounds for dimension {axis} with size {n}")


def _index_select(x: np.ndarray, dim: int, at: np.ndarray) -> np.ndarray:
    whole, axis = _index_dim(x, dim, at, "index_select")
    _in_bounds(at, whole.shape[axis])
    out = np.take(whole, at.reshape(-1), axis)
    return out if x.ndim else out.reshape(())


def _index_select_infer(x: Type, dim: Any, at: Type) -> Type:
    if at.dims is not None and len(at.dims) > 1:
        raise IndexError("index_select(): Index is supposed to be a vector")
    axis = infer.axis(dim, x.rank)
    if x.dims is None or axis is None:
        return Type.tensor(x.dtype)
    if not x.dims:
        return Type.tensor(x.dtype, ())
    count = None if at.dims is None else at.dims[0] if at.dims else 1
    return Type.tensor(x.dtype, (*x.dims[:axis], count, *x.dims[axis + 1 :]))


index_select = defop(
    "index_select(input, dim: int, index) -> Tensor",
    eager=_index_select,
    infer=_index_select_infer,
    vjp=lambda g, _y, _x, dim, index: (lambda: index_add(zeros(_x.shape, dtype=g.dtype), dim, index, g), None),
    lower=special("index_select"),
    doc="A copy of the positions `index` along `dim`.",
)


def _check_index_add(x: Any, dim: Any, at: Any, source: Any) -> None:
    """Shapes, with unknown sizes as None."""
    axis = infer.axis(dim, len(x))
    if axis is None:
        return
    known = lambda dims: [d for d in dims if isinstance(d, int)]  # noqa: E731
    rest, other = [known(d[:axis] + d[axis + 1 :]) for d in (tuple(x), tuple(source))]
    if len(x) != len(source) or (len(rest) == len(other) == max(len(x) - 1, 0) and rest != other):
        raise RuntimeError(
            "source tensor shape must match self tensor shape, excluding the specified dimension. Got self.shape = "
            f"{list(x)} source.shape = {list(source)}"
        )
    count, have = (at[0] if at else 1), (source[axis] if source else 1)
    if isinstance(count, int) and isinstance(have, int) and count != have:
        raise RuntimeError(
            f"index_add_(): Number of indices ({count}) should be equal to source.size(dim): ({have}), for dim: {axis}"
        )


def _index_add(x: np.ndarray, dim: int, at: np.ndarray, source: np.ndarray, alpha: Any) -> np.ndarray:
    whole, axis = _index_dim(x, dim, at, "index_add")
    _check_same_dtype("index_add_", x.dtype, source.dtype)
    _check_index_add(x.shape, dim, at.shape, source.shape)
    _in_dim(at, axis, whole.shape[axis])
    out = whole.copy()
    front = np.moveaxis(out, axis, 0)
    values = np.moveaxis(source if source.ndim else source.reshape(1), axis, 0)
    if alpha != 1:
        values = values * cast_operand(alpha, values.dtype)
    rows = at.reshape(-1)
    if rows.size:
        if front.ndim == 1 or x.dtype.kind == "b":
            np.add.at(front, rows, values)
        else:
            add_rows(front, rows, values.reshape(rows.size, values.size // rows.size))
    return out.reshape(x.shape)


def _index_add_infer(x: Type, dim: Any, at: Type, source: Type, alpha: Any) -> Type:
    if at.rank is not None and at.rank > 1:
        raise IndexError("index_add_(): Index is supposed to be a vector")
    _check_same_dtype("index_add_", x.dtype, source.dtype)
    if x.dims is not None and at.dims is not None and source.dims is not None:
        _check_index_add(x.dims, dim, at.dims, source.dims)
    return infer.same(x)


def _check_same_dtype(what: str, a: Any, b: Any) -> None:
    if a is not None and b is not None and a != b:
        raise RuntimeError(f"{what}(): self ({a.name}) and source ({b.name}) must have the same scalar type")


index_add = defop(
    "index_add(input, dim: int, index, source, *, alpha: Scalar = 1) -> Tensor",
    eager=quiet(_index_add),
    infer=_index_add_infer,
    vjp=lambda g, _y, _x, dim, index, _source, alpha: (
        lambda: g,
        None,
        lambda: index_select(g if alpha == 1 else g * alpha, dim, index).reshape(_source.shape),
    ),
    lower=special("index_add"),
    doc="A copy of input with alpha * source[i] added at position index[i] of `dim`.",
)


def _check_gather(x: Any, dim: Any, at: Any) -> None:
    if len(x) != len(at) and len(x) and len(at):
        raise RuntimeError("Index tensor must have the same number of dimensions as input tensor")
    axis = infer.axis(dim, len(x))
    for d, (n, m) in enumerate(zip(x, at)):
        if d != axis and isinstance(n, int) and isinstance(m, int) and m > n:
            raise RuntimeError(
                f"Size does not match at dimension {d} expected index {list(at)} to be no larger than self {list(x)} "
                f"apart from dimension {axis}"
            )


def positions(x: np.ndarray, dim: int, at: np.ndarray) -> tuple[Any, ...]:
    """Open-mesh indices that address, for each position of `at`, the element of x with `at`'s value along `dim`."""
    axis = axis_of(dim, x.ndim)
    _in_dim(at, axis, x.shape[axis])
    last = at.ndim - 1
    return tuple([at if d == axis else np.arange(m).reshape((-1, *(1,) * (last - d))) for d, m in enumerate(at.shape)])


def _gather(x: np.ndarray, dim: int, at: np.ndarray) -> np.ndarray:
    if x.shape != at.shape:
        _check_gather(x.shape, dim, at.shape)
    if at.dtype.char not in "ilq":
        raise RuntimeError("gather(): Expected dtype int32/int64 for index")
    if not x.ndim:
        _in_dim(at, 0, 1)
        return np.take(x.reshape(1), at)
    if not at.ndim:
        _in_dim(at, 0, x.shape[0])
        return x[at].reshape(())
    return x[positions(x, dim, at)] if at.size else np.empty(at.shape, x.dtype)


def _gather_infer(x: Type, dim: Any, at: Type) -> Type:
    if x.dims is not None and at.dims is not None:
        _check_gather(x.dims, dim, at.dims)
    return Type.tensor(x.dtype, at.dims)


gather = defop(
    "gather(input, dim: int, index) -> Tensor",
    eager=_gather,
    infer=_gather_infer,
    vjp=lambda g, _y, _x, dim, index: (lambda: scatter_add(zeros(_x.shape, dtype=g.dtype), dim, index, g), None),
    lower=special("gather"),
    doc="For dim 0, out[i, j] = input[index[i, j], j]; likewise along another `dim`.",
)


def _check_scatter(x: Any, dim: Any, at: Any, src: Any) -> None:
    """Shapes, with unknown sizes as None. A 0-d tensor counts as one element."""
    x, at, src = (tuple(d) or (1,) for d in (x, at, src))
    axis = infer.axis(dim, len(x))
    if 0 in at:
        return
    for dims, which in ((x, "self"), (src, "src")):
        if len(at) != len(dims):
            raise RuntimeError(f"Index tensor must have the same number of dimensions as {which} tensor")
    if any(
        isinstance(m, int) and ((d != axis and isinstance(n, int) and m > n) or (isinstance(k, int) and m > k))
        for d, (m, n, k) in enumerate(zip(at, x, src))
    ):
        raise RuntimeError(
            f"Expected index {list(at)} to be no larger than self {list(x)} apart from dimension {axis} and to be no "
            f"larger size than src {list(src)}"
        )


def addressed(x: np.ndarray, dim: int, at: np.ndarray, src: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """For a scatter: (a flat copy of x, where to write in it, what to write there)."""
    if at.dtype.char not in "ilq":
        raise RuntimeError("scatter(): Expected dtype int32/int64 for index")
    if src.dtype != x.dtype:
        raise RuntimeError("scatter(): Expected self.dtype to be equal to src.dtype")
    infer.axis(dim, x.ndim)
    _check_scatter(x.shape, dim, at.shape, src.shape)
    whole, where, values = (a if a.ndim else a.reshape(1) for a in (x.copy(), at, src))
    if not at.size:
        return whole.reshape(-1), np.zeros(0, np.int64), values.reshape(-1)[:0]
    flat = np.ravel_multi_index(positions(whole, dim, where), whole.shape)
    return whole.reshape(-1), flat.reshape(-1), values[tuple(map(slice, where.shape))].reshape(-1)


def _scatter_add(x: np.ndarray, dim: int, at: np.ndarray, src: np.ndarray) -> np.ndarray:
    out, where, values = addressed(x, dim, at, src)
    np.add.at(out, where, values)
    return out.reshape(x.shape)


def scatter_infer(x: Type, dim: Any, index: Type, src: Any, *_: Any) -> Type:
    infer.axis(dim, x.rank)
    if infer.is_tensor(src) and x.dtype is not None and src.dtype not in (None, x.dtype):
        raise RuntimeError("scatter(): Expected self.dtype to be equal to src.dtype")
    if x.dims is not None and index.dims is not None:
        values = src.dims if infer.is_tensor(src) else index.dims
        if values is not None:
            _check_scatter(x.dims, dim, index.dims, values)
    return infer.same(x)


scatter_add = defop(
    "scatter_add(input, dim: int, index, src) -> Tensor",
    eager=quiet(_scatter_add),
    infer=scatter_infer,
    vjp=lambda g, _y, _x, dim, index, _src: (lambda: g, None, lambda: gather(g, dim, index)),
    lower=special("scatter_add"),
    doc="A copy of input with src added at the positions of `index` along `dim`.",
)


def _embedding(weight: np.ndarray, at: np.ndarray, padding_idx: int) -> np.ndarray:
    if at.dtype.kind != "i" or at.dtype.itemsize < 4:
        raise RuntimeError(
            f"Expected tensor for argument #1 'indices' to have one of the scalar types: Long, Int; got {at.dtype}"
        )
    if weight.ndim != 2:
        raise RuntimeError("'weight' must be 2-D")
    _in_bounds(at, weight.shape[0])
    return weight[at]


def _embedding_infer(weight: Type, at: Type, padding_idx: Any) -> Type:
    if at.dtype is not None and at.dtype not in (dtypes.int32, dtypes.int64):
        raise RuntimeError(
            "Expected tensor for argument #1 'indices' to have one of the following scalar types: Long, Int; but got "
            f"{at.dtype.name}"
        )
    if weight.dims is not None and len(weight.dims) != 2:
        raise RuntimeError("'weight' must be 2-D")
    if weight.dims is None or at.dims is None:
        return Type.tensor(weight.dtype)
    return Type.tensor(weight.dtype, (*at.dims, weight.dims[1]))


embedding = defop(
    "embedding(weight, indices, padding_idx: int = -1) -> Tensor",
    eager=_embedding,
    infer=_embedding_infer,
    vjp=lambda g, _y, _weight, indices, padding_idx: (
        lambda: embedding_backward(g, indices, _weight.shape[0], padding_idx),
        None,
    ),
    lower=special("embedding"),
    method=False,
    public=False,
    doc="Rows of weight. The row `padding_idx` gets no gradient (-1: every row does).",
)


def _embedding_backward(g: np.ndarray, at: np.ndarray, rows: int, padding_idx: int) -> np.ndarray:
    out = np.zeros((rows, g.shape[-1]), g.dtype)
    flat = at.reshape(-1)
    values = g.reshape(-1, g.shape[-1])
    if padding_idx >= 0:
        keep = flat != padding_idx
        flat, values = flat[keep], values[keep]
    if flat.size:
        add_rows(out, flat, values)
    return out


embedding_backward = defop(
    "embedding_backward(grad, indices, rows: int, padding_idx: int) -> Tensor",
    eager=_embedding_backward,
    infer=lambda g, at, rows, padding_idx: Type.tensor(
        g.dtype, (infer.dim_of(rows), None if g.dims is None else g.dims[-1])
    ),
    vjp=lambda g, _y, _grad, indices, rows, padding_idx: (
        lambda: _masked_rows(embedding(g, indices), indices, padding_idx),
        None,
    ),
    lower=special("embedding_backward"),
    method=False,
    public=False,
    doc="Zeros of (rows, d) with each row of `grad` added at its index.",
)


def _masked_rows(found: Any, indices: Any, padding_idx: int) -> Any:
    return found if padding_idx < 0 else where((indices == padding_idx).unsqueeze(-1), 0.0, found)


def _flip(x: np.ndarray, dims: Any) -> np.ndarray:
    order = [axis_of(d, x.ndim) for d in ([dims] if isinstance(dims, int) else dims)]
    return np.flip(x, tuple(order)).copy() if order and x.ndim else x.copy()


flip = defop(
    "flip(input, dims: 'int[*]') -> Tensor",
    eager=_flip,
    infer=lambda x, dims: (infer.axes(dims, x.rank), infer.same(x))[1],
    vjp=lambda g, _y, _x, dims: g.flip(dims),
    lower=special("flip"),
    doc="A copy with the order along `dims` reversed.",
)
