"""Views: other shapes and parts of the same storage.

Enters: a tensor and plain geometry. Leaves: NumPy views, or a copy where no view can do it (`reshape`, `contiguous`).
Invariant: `eager` returning the argument's own array means "nothing was to be done", and the caller gets the same
tensor back.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from specjit.ir.dims import Dim
from specjit.ir.types import Type
from specjit.ir.viewref import ViewRef
from specjit.ir.viewref import mul as dim_mul
from specjit.ir.viewref import sub as dim_sub
from specjit.ops import infer
from specjit.ops.lowering import viewing
from specjit.ops.registry import NO_GRAD, defop, view
from specjit.tensor.tensor import Size


def _one(dim: int, rank: int, extra: int = 0) -> int:
    bound = max(rank + extra, 1)
    if not -bound <= dim < bound:
        raise IndexError(f"Dimension out of range (expected to be in range of [{-bound}, {bound - 1}], but got {dim})")
    return dim % bound


def _size(x: np.ndarray, dim: Any) -> Any:
    return Size(x.shape) if dim is None else x.shape[_one(dim, x.ndim)]


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
)


def _permute(x: np.ndarray, dims: Any) -> np.ndarray:
    order = [_one(d, x.ndim) for d in ([dims] if isinstance(dims, int) else dims)]
    if len(order) != x.ndim:
        raise RuntimeError(
            "permute: number of dimensions in the tensor input does not match the length of the desired ordering of "
            "dimensions "
            f"i.e. input.dim() = {x.ndim} is not equal to len(dims) = {len(order)}"
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
            "dimensions "
            f"i.e. input.dim() = {len(x.dims)} is not equal to len(dims) = {len(order)}"
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
)


def _flatten_shape(dims: tuple[Dim, ...], start: int, end: int) -> list[Dim]:
    if not dims:
        return [1]
    a, b = _one(start, len(dims)), _one(end, len(dims))
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
    traits=view(0),
)


def _squeeze_dims(dim: Any, rank: int) -> list[int]:
    if dim is None:
        return list(range(rank))
    return [_one(d, rank) for d in (dim if isinstance(dim, (list, tuple)) else [dim])]


def _squeeze(x: np.ndarray, dim: Any) -> np.ndarray:
    wanted = _squeeze_dims(dim, x.ndim)
    return (
        x.reshape([n for i, n in enumerate(x.shape) if not (i in wanted and n == 1)])
        if x.flags.c_contiguous
        else (x[tuple(0 if i in wanted and n == 1 else slice(None) for i, n in enumerate(x.shape)) + (...,)])
    )


def _squeeze_infer(x: Type, dim: Any) -> Type:
    if x.dims is None:
        return Type.tensor(x.dtype)
    which = infer.axes(dim, len(x.dims)) if dim is not None else tuple(range(len(x.dims)))
    if which is None or any(x.dims[i] is None for i in which):
        return Type.tensor(x.dtype)
    return Type.tensor(x.dtype, [d for i, d in enumerate(x.dims) if not (i in which and d == 1)])


squeeze = defop(
    "squeeze(input, dim: 'int[]?' = None) -> Tensor",
    eager=_squeeze,
    infer=_squeeze_infer,
    vjp=lambda g, _y, _x, dim: g.reshape(_x.shape),
    lower=viewing(lambda ref, dim=None: ref.squeeze(None if dim is None else _squeeze_dims(dim, ref.rank))),
    traits=view(0),
)


def _unsqueeze(x: np.ndarray, dim: int) -> np.ndarray:
    at = _one(dim, x.ndim, 1)
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
    from specjit.ops.grads import sum_to

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


def _select_index(index: int, n: int, dim: int) -> int:
    if not -n <= index < n:
        raise IndexError(f"index {index} is out of bounds for dimension {dim} with size {n}")
    return index


def _select(x: np.ndarray, dim: int, index: int) -> np.ndarray:
    if not x.ndim:
        raise IndexError("select() cannot be applied to a 0-dim tensor.")
    at = _one(dim, x.ndim)
    return x[(slice(None),) * at + (_select_index(index, x.shape[at], at), ...)]


def _select_infer(x: Type, dim: Any, index: Any) -> Type:
    if x.dims is None:
        return Type.tensor(x.dtype)
    if not x.dims:
        raise IndexError("select() cannot be applied to a 0-dim tensor.")
    at, i = infer.axis(dim, len(x.dims)), infer.known_int(index)
    if at is None:
        return Type.tensor(x.dtype, (None,) * (len(x.dims) - 1))
    n = x.dims[at]
    if i is not None and isinstance(n, int):
        _select_index(i, n, at)
    return Type.tensor(x.dtype, (*x.dims[:at], *x.dims[at + 1 :]))


select = defop(
    "select(input, dim: int, index: int) -> Tensor",
    eager=_select,
    infer=_select_infer,
    vjp=lambda g, _y, _x, dim, index: _backward("select_backward")(g, _x.shape, dim, index),
    lower=viewing(lambda ref, dim, index: ref.select(dim, infer.dim_of(index))),
    traits=view(0),
    doc="One position along `dim`.",
)


def _backward(name: str) -> Any:
    from specjit.ops.registry import get

    return get(name).fn


def _slice(x: np.ndarray, dim: int, start: Any, end: Any, step: int) -> np.ndarray:
    if step <= 0:
        raise ValueError("step must be greater than zero")
    if not x.ndim:
        raise IndexError("slice() cannot be applied to a 0-dim tensor.")
    return x[(slice(None),) * _one(dim, x.ndim) + (slice(start, end, step),)]


def slice_bounds(n: Dim, start: Any, end: Any, step: Any) -> tuple[Dim, Dim]:
    """(start, length) of a slice of a dim of size n. Symbolic bounds are taken to lie inside, as in `ViewRef`."""
    by = infer.known_int(step)
    if by is None:
        return None, None
    if by <= 0:
        raise ValueError("step must be greater than zero")
    a, b = 0 if start is None else infer.dim_of(start), n if end is None else infer.dim_of(end)
    if isinstance(n, int) and isinstance(a, int) and isinstance(b, int):
        r = range(*slice(a, b, by).indices(n))
        return r.start, len(r)
    if a is None or b is None or n is None:
        return a, None
    if isinstance(a, int) and a < 0:
        a = n + a
    if isinstance(b, int) and b < 0:
        b = n + b
    over = b - n
    if isinstance(over, int) and over > 0:
        b = n
    if isinstance(b, int) and not isinstance(n, int):
        # How much of a symbolic dim a constant end leaves depends on its size.
        return a, None
    length = b - a
    if by != 1:
        return a, (-(-length // by) if isinstance(length, int) else None)
    return a, (max(length, 0) if isinstance(length, int) else length)


def _slice_infer(x: Type, dim: Any, start: Any, end: Any, step: Any) -> Type:
    at = infer.axis(dim, x.rank)
    if x.dims is None or at is None:
        return Type.tensor(x.dtype, None if x.dims is None else (None,) * len(x.dims))
    if not x.dims:
        raise IndexError("slice() cannot be applied to a 0-dim tensor.")
    _, length = slice_bounds(x.dims[at], start, end, step)
    return Type.tensor(x.dtype, (*x.dims[:at], length, *x.dims[at + 1 :]))


def _slice_ref(ref: ViewRef, dim: int, start: Any, end: Any, step: Any) -> ViewRef:
    at = ref.axis(dim)
    first, length = slice_bounds(ref.sizes[at], start, end, step)
    return ref.narrow(at, first, length, step)


slice_op = defop(
    "slice(input, dim: int = 0, start: 'int?' = None, end: 'int?' = None, step: int = 1) -> Tensor",
    eager=_slice,
    infer=_slice_infer,
    vjp=lambda g, _y, _x, dim, start, end, step: _backward("slice_backward")(g, _x.shape, dim, start, end, step),
    lower=viewing(_slice_ref),
    traits=view(0),
    method=False,
    doc="Elements start, start + step, ... before end along `dim`, with Python's rules for bounds.",
)


def _narrow(x: np.ndarray, dim: int, start: int, length: int) -> np.ndarray:
    at = _one(dim, x.ndim)
    n = x.shape[at] if x.ndim else 0
    _check_narrow(n, start, length)
    start = start + n if start < 0 else start
    return x[(slice(None),) * at + (slice(start, start + length),)]


def _check_narrow(n: int, start: int, length: int) -> None:
    if length < 0:
        raise RuntimeError("narrow(): length must be non-negative.")
    if not -n <= start <= n:
        raise IndexError(f"start out of range (expected to be in range of [{-n}, {n}], but got {start})")
    if (start + n if start < 0 else start) + length > n:
        raise RuntimeError(f"start ({start}) + length ({length}) exceeds dimension size ({n}).")


def _narrow_infer(x: Type, dim: Any, start: Any, length: Any) -> Type:
    at = infer.axis(dim, x.rank)
    if x.dims is None or at is None:
        return Type.tensor(x.dtype, None if x.dims is None else (None,) * len(x.dims))
    n, a, b = x.dims[at] if x.dims else 0, infer.dim_of(start), infer.dim_of(length)
    if isinstance(n, int) and isinstance(a, int) and isinstance(b, int):
        _check_narrow(n, a, b)
    return Type.tensor(x.dtype, (*x.dims[:at], b, *x.dims[at + 1 :]))


def _narrow_ref(ref: ViewRef, dim: int, start: Any, length: Any) -> ViewRef:
    at, a = ref.axis(dim), infer.dim_of(start)
    if isinstance(a, int) and a < 0:
        a = dim_sub(ref.sizes[at], -a)
    return ref.narrow(at, a, infer.dim_of(length))


narrow = defop(
    "narrow(input, dim: int, start: int, length: int) -> Tensor",
    eager=_narrow,
    infer=_narrow_infer,
    vjp=lambda g, _y, _x, dim, start, length: _backward("slice_backward")(
        g, _x.shape, dim, start, start + length if start >= 0 else _x.shape[dim] + start + length, 1
    ),
    lower=viewing(_narrow_ref),
    traits=view(0),
)

contiguous = defop(
    "contiguous(input) -> Tensor",
    eager=lambda x: x if x.flags.c_contiguous else np.array(x, order="C"),
    infer=infer.same,
    vjp=lambda g, _y, _x: g,
    lower=viewing(lambda ref: ref if ref.is_contiguous else None),
    traits=view(0),
)
