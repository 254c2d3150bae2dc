"""Views: other shapes and parts of the same storage.

Enters: a tensor and plain geometry. Leaves: NumPy views, or a copy where no view can do it (`reshape`, `contiguous`).
Invariant: `eager` returning the argument's own array means "nothing was to be done", and the caller gets the same
tensor back.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from specjit.dtypes import TITLES, DType, dtype_of
from specjit.ir.dims import Dim, Poly
from specjit.ir.types import Type
from specjit.ir.viewref import ViewRef
from specjit.ir.viewref import mul as dim_mul
from specjit.ops.records import infer
from specjit.ops.records.lowering import viewing
from specjit.ops.records.registry import NO_GRAD, defop, view
from specjit.tensor.size import Size


def axis_of(dim: int, rank: int, extra: int = 0) -> int:
    bound = max(rank + extra, 1)
    if not -bound <= dim < bound:
        raise IndexError(f"Dimension out of range (expected to be in range of [{-bound}, {bound - 1}], but got {dim})")
    return dim % bound


def _size(x: np.ndarray, dim: Any) -> Any:
    return Size(x.shape) if dim is None else x.shape[axis_of(dim, x.ndim)]


def _size_infer(x: Type, dim: Any) -> Any:
    if dim is None:
        return Type("any") if x.dims is None else Type.tuple(*(Type.int(d) for d in x.dims))
    at = infer.axis(dim, x.rank)
    return Type.int() if at is None or x.dims is None else infer.int_of(x.dims[at])


size = defop(
    "size(input, dim: 'int?' = None) -> int",
    eager=_size,
    infer=_size_infer,
    vjp=NO_GRAD,
    public=False,
    doc="The size along `dim`; without it, the whole shape.",
)

alias = defop(
    "alias(input) -> Tensor",
    eager=lambda x: x[...],
    infer=infer.same,
    vjp=lambda g, _y, _x: g,
    lower=viewing(lambda ref: ref),
    traits=view(0),
    method=False,
    public=False,
    doc="A new view of the whole tensor.",
)
detach = defop(
    "detach(input) -> Tensor",
    eager=lambda x: x,
    infer=infer.same,
    vjp=NO_GRAD,
    lower=viewing(lambda ref: ref),
    traits=view(0),
    doc="The same storage without history; writes through either are noticed by both.",
)


def _transpose_infer(x: Type, dim0: Any, dim1: Any) -> Type:
    a, b = infer.axis(dim0, x.rank), infer.axis(dim1, x.rank)
    if x.dims is None or a is None or b is None:
        return Type.tensor(x.dtype, None if x.dims is None else (None,) * len(x.dims))
    out = list(x.dims)
    if out:
        out[a], out[b] = out[b], out[a]
    return Type.tensor(x.dtype, out)


transpose = defop(
    "transpose(input, dim0: int, dim1: int) -> Tensor",
    eager=lambda x, dim0, dim1: x.swapaxes(dim0, dim1) if x.ndim else x[...],
    infer=_transpose_infer,
    vjp=lambda g, _y, _x, dim0, dim1: g.transpose(dim0, dim1),
    lower=viewing(lambda ref, dim0, dim1: ref.transpose(dim0, dim1)),
    traits=view(0),
    doc="A view with two dims swapped.",
)


def _t(x: np.ndarray) -> np.ndarray:
    if x.ndim > 2:
        raise RuntimeError(f"t() expects a tensor with <= 2 dimensions, but self is {x.ndim}D")
    return x.T if x.ndim == 2 else x[...]


def _t_infer(x: Type) -> Type:
    if x.dims is not None and len(x.dims) > 2:
        raise RuntimeError(f"t() expects a tensor with <= 2 dimensions, but self is {len(x.dims)}D")
    return Type.tensor(x.dtype, None if x.dims is None else x.dims[::-1])


t = defop(
    "t(input) -> Tensor",
    eager=_t,
    infer=_t_infer,
    vjp=lambda g, _y, _x: g.t(),
    lower=viewing(lambda ref: ref.permute(range(ref.rank)[::-1])),
    traits=view(0),
    doc="A view of a matrix with its dims swapped; vectors and numbers as they are.",
)


def _permute(x: np.ndarray, dims: Any) -> np.ndarray:
    order = [axis_of(d, x.ndim) for d in ([dims] if isinstance(dims, int) else dims)]
    if len(order) != x.ndim:
        raise RuntimeError(
            "permute: number of dimensions in the tensor input does not match the length of the desired ordering of "
            f"dimensions i.e. input.dim() = {x.ndim} is not equal to len(dims) = {len(order)}"
        )
    if len(set(order)) != len(order):
        raise RuntimeError("permute(): duplicate dims are not allowed.")
    return x.transpose(order) if order else x[...]


def _permute_infer(x: Type, dims: Any) -> Type:
    if x.dims is None or not isinstance(dims, (list, tuple)):
        return Type.tensor(x.dtype)
    order = [infer.axis(d, len(x.dims)) for d in dims]
    if len(order) != len(x.dims):
        raise RuntimeError(
            "permute: number of dimensions in the tensor input does not match the length of the desired ordering of "
            f"dimensions i.e. input.dim() = {len(x.dims)} is not equal to len(dims) = {len(order)}"
        )
    if None not in order and len(set(order)) != len(order):
        raise RuntimeError("permute(): duplicate dims are not allowed.")
    return Type.tensor(x.dtype, [None if d is None else x.dims[d] for d in order])


def _inverse(dims: Any, rank: int) -> list[int]:
    order = [d % rank for d in dims]
    return sorted(range(rank), key=order.__getitem__)


permute = defop(
    "permute(input, dims: 'int[*]') -> Tensor",
    eager=_permute,
    infer=_permute_infer,
    vjp=lambda g, _y, _x, dims: g.permute(_inverse(dims, _x.ndim)) if _x.ndim else g,
    lower=viewing(lambda ref, dims: ref.permute(dims)),
    traits=view(0),
    doc="A view with its dims in another order.",
)


def _reshape_ref(ref: ViewRef, shape: Any) -> ViewRef | None:
    wanted = infer.sizes_of(shape)
    return None if wanted is None else ref.reshape(wanted)


reshape = defop(
    "reshape(input, shape: 'int[*]') -> Tensor",
    eager=lambda x, shape: x.reshape(shape),
    infer=infer.reshaped,
    vjp=lambda g, _y, _x, shape: g.reshape(_x.shape),
    lower=viewing(_reshape_ref),
    traits=view(0),
    doc="The same elements in row-major order; a view where possible.",
)


def _view(x: np.ndarray, size: Any) -> np.ndarray:
    out = x.reshape(size)
    if x.size and not (out.base is x or (out.base is not None and out.base is x.base)):
        raise RuntimeError(
            "view size is not compatible with input tensor's size and stride (at least one dimension spans across two "
            "contiguous subspaces). Use .reshape(...) instead."
        )
    return out


view_op = defop(
    "view(input, size: 'int[*]') -> Tensor",
    eager=_view,
    infer=infer.reshaped,
    vjp=lambda g, _y, _x, size: g.reshape(_x.shape),
    lower=viewing(_reshape_ref),
    traits=view(0),
    method=False,
    public=False,
    doc="The same elements in another shape, as a view; RuntimeError where that would take a copy.",
)


def _check_view_dtype(given: Any, dtype: DType, sizes: Any, stride: Any) -> int:
    """How many times as large the new elements are (negative: that many fit in an old one)."""
    if given.itemsize == dtype.itemsize:
        return 1
    names = f"to view {TITLES[given.name]} as {TITLES[dtype.name]} (different element sizes)"
    if not sizes:
        raise RuntimeError(f"self.dim() cannot be 0 {names}")
    if stride not in (1, None):
        raise RuntimeError(f"self.stride(-1) must be 1 {names}, but got {stride}")
    if given.itemsize > dtype.itemsize:
        return -(given.itemsize // dtype.itemsize)
    ratio = dtype.itemsize // given.itemsize
    if isinstance(sizes[-1], int) and sizes[-1] % ratio:
        raise RuntimeError(f"self.size(-1) must be divisible by {ratio} {names}, but got {sizes[-1]}")
    return ratio


def _view_dtype(x: np.ndarray, dtype: DType) -> np.ndarray:
    _check_view_dtype(dtype_of(x.dtype), dtype, x.shape, x.strides[-1] // x.itemsize if x.ndim and x.size else 1)
    return x.view(dtype.numpy)


def _view_dtype_infer(x: Type, dtype: Any) -> Type:
    if x.dims is None or x.dtype is None:
        return Type.tensor(dtype)
    ratio = _check_view_dtype(x.dtype, dtype, x.dims, None)
    if ratio == 1:
        return Type.tensor(dtype, x.dims)
    n = x.dims[-1]
    last = dim_mul(n, -ratio) if ratio < 0 else n // ratio if isinstance(n, int) else None
    return Type.tensor(dtype, (*x.dims[:-1], last))


view_dtype = defop(
    "view_dtype(input, dtype: dtype) -> Tensor",
    eager=_view_dtype,
    infer=_view_dtype_infer,
    vjp=NO_GRAD,
    traits=view(0),
    method=False,
    public=False,
    doc="The same memory read as elements of another dtype; the last dim grows or shrinks with their size.",
)


def _flatten_shape(dims: tuple[Dim, ...], start: int, end: int) -> list[Dim]:
    if not dims:
        return [1]
    a, b = axis_of(start, len(dims)), axis_of(end, len(dims))
    if a > b:
        raise RuntimeError("flatten() has invalid args: start_dim cannot come after end_dim")
    joined: Dim = 1
    for d in dims[a : b + 1]:
        joined = dim_mul(joined, d)
    return [*dims[:a], joined, *dims[b + 1 :]]


def _flatten_infer(x: Type, start_dim: Any, end_dim: Any) -> Type:
    start, end = infer.known_int(start_dim), infer.known_int(end_dim)
    if x.dims is None or start is None or end is None:
        return Type.tensor(x.dtype)
    return Type.tensor(x.dtype, _flatten_shape(x.dims, start, end))


def _flatten(x: np.ndarray, start_dim: int, end_dim: int) -> np.ndarray:
    shape: Any = _flatten_shape(x.shape, start_dim, end_dim)
    return x if tuple(shape) == x.shape else x.reshape(shape)


flatten = defop(
    "flatten(input, start_dim: int = 0, end_dim: int = -1) -> Tensor",
    eager=_flatten,
    infer=_flatten_infer,
    vjp=lambda g, _y, _x, start_dim, end_dim: g.reshape(_x.shape),
    lower=viewing(lambda ref, start, end: ref.reshape(_flatten_shape(ref.sizes, start, end))),
    traits=view(0, itself=True),
    doc="Dims `start_dim` to `end_dim` as one; a view where possible.",
)


def _squeeze_dims(dim: Any, rank: int) -> list[int]:
    if dim is None:
        return list(range(rank))
    return [axis_of(d, rank) for d in (dim if isinstance(dim, (list, tuple)) else [dim])]


def _squeeze(x: np.ndarray, dim: Any) -> np.ndarray:
    wanted = _squeeze_dims(dim, x.ndim)
    return (
        x.reshape([n for i, n in enumerate(x.shape) if not (i in wanted and n == 1)])
        if x.flags.c_contiguous
        else (x[tuple(0 if i in wanted and n == 1 else slice(None) for i, n in enumerate(x.shape)) + (...,)])
    )


def _squeezed(x: Type, dim: Any) -> tuple[int, ...] | None:
    """The dims that may go; unlike in a reduction, an empty list is none of them."""
    return () if isinstance(dim, (list, tuple)) and not dim else infer.axes(dim, x.rank)


def _squeeze_infer(x: Type, dim: Any) -> Type:
    if x.dims is None:
        return Type.tensor(x.dtype)
    which = _squeezed(x, dim)
    if which is None or any(x.dims[i] is None for i in which):
        return Type.tensor(x.dtype)
    return Type.tensor(x.dtype, [d for i, d in enumerate(x.dims) if not (i in which and d == 1)])


def _squeeze_assumes(x: Type, dim: Any) -> list[Dim]:
    """That a symbolic size is not 1 (nor 0: bounds of symbols say "at least", and 0 is as seldom)."""
    return [d - 1 for d in (x.dims[i] for i in _squeezed(x, dim) or ()) if isinstance(d, Poly)] if x.dims else []


squeeze = defop(
    "squeeze(input, dim: 'int[]?' = None) -> Tensor",
    eager=_squeeze,
    infer=_squeeze_infer,
    assumes=_squeeze_assumes,
    vjp=lambda g, _y, _x, dim: g.reshape(_x.shape),
    lower=viewing(lambda ref, dim=None: ref.squeeze(None if dim is None else _squeeze_dims(dim, ref.rank))),
    traits=view(0),
    doc="A view without the dims of size 1, or without those of `dim` that have size 1.",
)


def _unsqueeze(x: np.ndarray, dim: int) -> np.ndarray:
    at = axis_of(dim, x.ndim, 1)
    return x[(slice(None),) * at + (None, ...)]


def _unsqueeze_infer(x: Type, dim: Any) -> Type:
    at = infer.axis(dim, None if x.rank is None else x.rank + 1)
    if x.dims is None or at is None:
        return Type.tensor(x.dtype)
    return Type.tensor(x.dtype, (*x.dims[:at], 1, *x.dims[at:]))


unsqueeze = defop(
    "unsqueeze(input, dim: int) -> Tensor",
    eager=_unsqueeze,
    infer=_unsqueeze_infer,
    vjp=lambda g, _y, _x, dim: g.squeeze(dim),
    lower=viewing(lambda ref, dim: ref.unsqueeze(dim)),
    traits=view(0),
    doc="A view with a new dim of size 1 at `dim`.",
)


def _expand(x: np.ndarray, sizes: Any) -> np.ndarray:
    wanted = [sizes] if isinstance(sizes, int) else list(sizes)
    lead = len(wanted) - x.ndim
    if lead < 0:
        raise ValueError("fewer sizes than dimensions")
    for i in range(lead, len(wanted)):
        if wanted[i] == -1:
            wanted[i] = x.shape[i - lead]
    out = np.broadcast_to(x, wanted)
    if x.flags.writeable:
        # Parts of it may be written; a write that would touch an element twice is refused by the call.
        out.flags.writeable = True
    return out


def _expand_vjp(g: Any, _y: Any, _x: Any, size: Any) -> Any:
    from specjit.ops.records.grads import sum_to

    return sum_to(g, _x)


expand = defop(
    "expand(input, size: 'int[*]') -> Tensor",
    eager=_expand,
    infer=infer.expanded,
    vjp=_expand_vjp,
    lower=viewing(lambda ref, sizes: ref.expand(infer.sizes_of(sizes))),
    traits=view(0),
    doc="Broadcast to a larger size without copying; -1 keeps a size.",
)


contiguous = defop(
    "contiguous(input) -> Tensor",
    eager=lambda x: x if x.flags.c_contiguous else np.array(x, order="C"),
    infer=infer.same,
    vjp=lambda g, _y, _x: g,
    lower=viewing(lambda ref: ref if ref.is_contiguous else None),
    traits=view(0, itself=True),
    public=False,
    doc="The tensor itself if its elements lie in row-major order, else a copy.",
)
