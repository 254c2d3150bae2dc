"""Fresh tensors made of the elements of others: repetitions, triangles, rotations, grids and stacks.

Enters: tensors and plain geometry. Leaves: copies (grids and broadcasts: views).
Invariant: elements are moved, never computed with: every dtype is taken, and NaN and -0.0 arrive as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from specjit.dtypes import int64
from specjit.ir.types import Type
from specjit.ops import arithmetic, combine, creation, gather
from specjit.ops.records import infer
from specjit.ops.records.composites import Ints, Spread, composite_function
from specjit.ops.records.eager import not_implemented
from specjit.ops.records.lowering import composite, pointwise
from specjit.ops.records.registry import NO_GRAD, defop
from specjit.ops.records.writes import in_place
from specjit.ops.shape import axis_of
from specjit.ops.views import _at_least_1d, _at_least_2d, _at_least_3d
from specjit.tensor.tensor import Tensor

packed = defop(
    "packed(input) -> Tensor",
    eager=lambda x: np.array(x, order="C"),
    infer=infer.same,
    vjp=lambda g, _y, _x: g,
    lower=pointwise("{0}"),
    method=False,
    public=False,
    doc="A fresh row-major copy, whatever the layout: `clone` keeps that, and `contiguous` may return its argument.",
)


def _repeat_arrays(x: np.ndarray, repeats: Any) -> Any:
    return np.tile(x, repeats) if len(repeats) >= x.ndim and min(repeats, default=0) >= 0 else None


@composite_function(public=False, direct=_repeat_arrays)
def repeat(input: Tensor, repeats: Spread) -> Tensor:
    """The tensor repeated along each dim; more repeats than dims add dims in front."""
    lead = len(repeats) - input.ndim
    if lead < 0:
        raise RuntimeError("Number of dimensions of repeat dims can not be smaller than number of dimensions of tensor")
    _check_repeats(repeats)
    sizes = [1] * lead + list(input.shape)
    apart = [n for size in sizes for n in (1, size)]
    spread = [n for i in range(len(sizes)) for n in (repeats[i], sizes[i])]
    whole = [repeats[i] * sizes[i] for i in range(len(sizes))]
    return packed(input.reshape(apart).expand(spread)).view(whole)


def _check_repeats(repeats: Any) -> None:
    for n in repeats:
        if n < 0:
            raise RuntimeError(f"Trying to create tensor with negative dimension: repeats {list(repeats)}")


@composite_function(direct=lambda x, dims: np.tile(x, dims) if min(dims, default=0) >= 0 else None)
def tile(input: Tensor, dims: Spread) -> Tensor:
    """`repeat`, with repeats of 1 in front if there are fewer than dims."""
    return repeat(input, [1] * (input.ndim - len(dims)) + list(dims))


def _interleaved(repeats: np.ndarray, output_size: int | None) -> np.ndarray:
    if repeats.dtype.kind != "i" or repeats.itemsize < 4:
        raise not_implemented("repeat_interleave_cpu", repeats.dtype)
    if repeats.ndim > 1:
        raise RuntimeError("repeats must be 0-dim or 1-dim tensor")
    if (repeats < 0).any():
        raise RuntimeError("repeats can not be negative")
    out = np.repeat(np.arange(repeats.size), repeats)
    _check_output_size(output_size, out.size)
    return out


interleaved_indices = defop(
    "interleaved_indices(repeats, output_size: 'int?' = None) -> Tensor",
    eager=_interleaved,
    infer=lambda repeats, output_size: Type.tensor(int64, (infer.dim_of(output_size),)),
    vjp=NO_GRAD,
    public=False,
    doc="int64: each index of the 1-d `repeats` as many times as it says. output_size: their sum, if it is known.",
)


def _check_output_size(given: Any, found: Any) -> None:
    if given is not None and given != found:
        raise RuntimeError(f"repeat_interleave: Invalid output_size, expected {found} but got {given}")


def _interleaved_arrays(x: np.ndarray, repeats: Any, dim: Any, output_size: Any) -> Any:
    return np.repeat(x, repeats, dim) if type(repeats) is int and output_size is None else None


@composite_function(direct=_interleaved_arrays)
def repeat_interleave(
    input: Tensor, repeats: Any = None, dim: int | None = None, *, output_size: int | None = None
) -> Tensor:
    """Each element (or part along `dim`) several times in a row; without `dim`, of the flattened tensor.

    repeats: an int, or an int tensor of 1 or as many elements as there are parts. Left out, `input` is the repeats,
    and the result holds each index so many times.
    """
    if repeats is None:
        return interleaved_indices(input, output_size)
    parts = input if dim is not None and input.ndim else input.reshape(-1)
    at = axis_of(0 if dim is None else dim, parts.ndim)
    n = parts.shape[at]
    if isinstance(repeats, int):
        if repeats < 0:
            raise RuntimeError("Repeats must be non-negative")
        _check_output_size(output_size, n * repeats)
        # Repeats lie side by side: a dim of their own, joined with that of the parts.
        sizes = list(parts.shape)
        apart = parts.unsqueeze(at + 1).expand(sizes[: at + 1] + [repeats] + sizes[at + 1 :])
        return packed(apart).view(sizes[:at] + [n * repeats] + sizes[at + 1 :])
    _check_repeats_tensor(repeats, n, at)
    return parts.index_select(at, interleaved_indices(repeats.reshape(-1).expand(n), output_size))


def _check_repeats_tensor(repeats: Any, n: Any, at: int) -> None:
    if isinstance(repeats, (float, str, list, tuple)):
        raise TypeError(f"repeat_interleave(): argument 'repeats' must be int or Tensor, not {type(repeats).__name__}")
    if repeats.ndim > 1:
        raise RuntimeError("repeats must be 0-dim or 1-dim tensor")
    given = repeats.shape[0] if repeats.ndim else 1
    if given not in (1, n):
        raise RuntimeError(
            "repeats must have the same size as input along dim, but got "
            f"repeats.size(0) = {given} and input.size({at}) = {n}"
        )


# order


@composite_function
def fliplr(input: Tensor) -> Tensor:
    """The order of columns (dim 1) reversed."""
    if input.ndim < 2:
        raise RuntimeError("Input must be >= 2-d.")
    return gather.flip(input, [1])


@composite_function
def flipud(input: Tensor) -> Tensor:
    """The order of rows (dim 0) reversed."""
    if input.ndim < 1:
        raise RuntimeError("Input must be >= 1-d.")
    return gather.flip(input, [0])


def _roll_axes(shifts: Any, dims: Any, rank: int) -> tuple[list[Any], list[int] | None]:
    by = list(shifts) if isinstance(shifts, (list, tuple)) else [shifts]
    along = list(dims) if isinstance(dims, (list, tuple)) else [dims]
    if not by:
        raise RuntimeError("`shifts` required")
    if not along and len(by) == 1:
        return by, None
    if len(by) != len(along):
        raise RuntimeError(f"shifts and dimensions must align. shifts: {len(by)}, dims:{len(along)}")
    if rank == 0:
        raise IndexError(f"Dimension specified as {along[0]} but tensor has no dimensions")
    return by, [axis_of(d, rank) for d in along]


def _roll(x: np.ndarray, shifts: Any, dims: Any) -> np.ndarray:
    by, along = _roll_axes(shifts, dims, x.ndim)
    if x.ndim == 0:
        return x.copy()
    return np.roll(x, by[0]) if along is None else np.roll(x, by, along)


def _roll_infer(x: Type, shifts: Any, dims: Any) -> Type:
    if x.dims is not None and isinstance(shifts, (int, list, tuple)) and isinstance(dims, (int, list, tuple)):
        _roll_axes(shifts, dims, len(x.dims))
    return infer.same(x)


def _negated(shifts: Any) -> Any:
    return [-s for s in shifts] if isinstance(shifts, (list, tuple)) else -shifts


roll = defop(
    "roll(input, shifts: 'int[]', dims: 'int[]' = ()) -> Tensor",
    eager=_roll,
    infer=_roll_infer,
    vjp=lambda g, _y, _x, shifts, dims: roll(g, _negated(shifts), dims),
    doc="Elements moved by `shifts` along `dims`, those that fall off come in at the other end; without `dims`, of the "
    "flattened tensor.",
)


@composite_function
def rot90(input: Tensor, k: int = 1, dims: Ints = (0, 1)) -> Tensor:
    """A rotation by k times 90 degrees in the plane of two dims, from the first towards the second."""
    a, b = _plane(dims, input.ndim)
    turns = k % 4
    if turns == 1:
        return gather.flip(input, [b]).transpose(a, b)
    if turns == 2:
        return gather.flip(input, [a, b])
    if turns == 3:
        return gather.flip(input, [a]).transpose(a, b)
    return packed(input)


def _plane(dims: Any, rank: int) -> tuple[int, int]:
    if isinstance(dims, int) or len(dims) != 2:
        count = 1 if isinstance(dims, int) else len(dims)
        raise RuntimeError(f"expected total rotation dims == 2, but got dims = {count}")
    if rank < 2:
        raise RuntimeError(f"expected total dims >= 2, but got total dims = {rank}")
    if dims[0] == dims[1] or abs(dims[0] - dims[1]) == rank:
        raise RuntimeError(f"expected rotation dims to be different, but got dim0 = {dims[0]} and dim1 = {dims[1]}")
    return axis_of(dims[0], rank), axis_of(dims[1], rank)


# triangles


def _triangle(name: str, keep: Any, doc: str) -> Any:
    """The record of a triangle: `keep(i, j, diagonal)` of row and column numbers says which elements stay."""

    def eager(x: np.ndarray, diagonal: int) -> np.ndarray:
        if x.ndim < 2:
            raise RuntimeError(f"{name}: input tensor must have at least 2 dimensions")
        rows, columns = x.shape[-2:]
        out = np.zeros(x.shape, x.dtype)
        np.copyto(out, x, where=keep(np.arange(rows)[:, None], np.arange(columns), diagonal))
        return out

    def rule(x: Type, _diagonal: Any) -> Type:
        if x.dims is not None and len(x.dims) < 2:
            raise RuntimeError(f"{name}: input tensor must have at least 2 dimensions")
        return infer.same(x)

    def in_ops(x: Any, diagonal: Any) -> Any:
        rows, columns = creation.arange(x.shape[-2]).unsqueeze(1), creation.arange(x.shape[-1])
        return arithmetic.where(keep(rows, columns, diagonal), x, False)

    made = defop(
        f"{name}(input, diagonal: int = 0) -> Tensor",
        eager=eager,
        infer=rule,
        vjp=lambda g, _y, _x, diagonal: made(g, diagonal),
        lower=composite(in_ops),
        doc=doc,
    )
    in_place(made)
    return made


tril = _triangle(
    "tril",
    lambda i, j, diagonal: j <= i + diagonal,
    "Matrices with zeros above a diagonal: element (i, j) stays if j <= i + diagonal.",
)
triu = _triangle(
    "triu",
    lambda i, j, diagonal: j >= i + diagonal,
    "Matrices with zeros below a diagonal: element (i, j) stays if j >= i + diagonal.",
)


# several tensors


@composite_function(method=False)
def broadcast_tensors(*tensors: Any) -> Any:
    """Views of the tensors in their common shape."""
    given = tensors[0] if len(tensors) == 1 and isinstance(tensors[0], (list, tuple)) else tensors
    shape = _common_shape([tuple(t.shape) for t in given])
    return tuple([t.expand(shape) for t in given])


def _common_shape(shapes: list[Any]) -> list[Any]:
    rank = max([0] + [len(s) for s in shapes])
    out: list[Any] = [1] * rank
    for s in shapes:
        lead = rank - len(s)
        for i in range(len(s)):
            out[lead + i] = _wider(out[lead + i], s[i], lead + i)
    return out


def _wider(a: Any, b: Any, where: int) -> Any:
    if a != 1 and b != 1 and a != b:
        raise RuntimeError(
            f"The size of tensor a ({a}) must match the size of tensor b ({b}) at non-singleton dimension {where}"
        )
    return b if a == 1 else a


@composite_function(method=False)
def meshgrid(*tensors: Any, indexing: Any = None) -> Any:
    """Coordinate grids of 1-d tensors (0-d ones count as one element), as views of the common shape.

    indexing: "ij" (default): dim k belongs to tensor k; "xy": the first two dims are exchanged.
    """
    given = tensors[0] if len(tensors) == 1 and isinstance(tensors[0], (list, tuple)) else tensors
    _check_grid([t.ndim for t in given], [t.dtype for t in given], indexing)
    swap = indexing == "xy" and len(given) > 1
    order = [1, 0] + list(range(2, len(given))) if swap else list(range(len(given)))
    flat = [t.reshape(-1) for t in given]
    shape = [flat[k].shape[0] for k in order]
    grids = [
        flat[k].reshape([1] * order.index(k) + [-1] + [1] * (len(order) - order.index(k) - 1)).expand(shape)
        for k in range(len(flat))
    ]
    return tuple(grids)


def _check_grid(ranks: list[int], dtypes: list[Any], indexing: Any) -> None:
    if not ranks:
        raise RuntimeError("meshgrid expects a non-empty TensorList")
    if indexing not in (None, "ij", "xy"):
        raise RuntimeError(f'torch.meshgrid: indexing must be one of "xy" or "ij", but received: {indexing}')
    if max(ranks) > 1:
        raise RuntimeError(f"torch.meshgrid: Expected 0D or 1D tensor in the tensor list but got: {max(ranks)}D")
    for d in dtypes:
        if d is not dtypes[0]:
            raise RuntimeError("meshgrid expects all tensors to have the same dtype")


def _stacked(fn: Callable[[list[np.ndarray]], np.ndarray]) -> Callable[[list[np.ndarray]], Any]:
    """`fn` of arrays of one dtype: NumPy promotes others in its own way."""

    def direct(arrays: list[np.ndarray]) -> Any:
        dtype = arrays[0].dtype
        for a in arrays:
            if a.dtype is not dtype:
                return None
        return fn(arrays)

    return direct


@composite_function(direct=_stacked(np.hstack))
def hstack(tensors: Sequence[Tensor]) -> Tensor:
    """Joined along columns: dim 1, or dim 0 of 1-d tensors."""
    if not tensors:
        raise RuntimeError("hstack expects a non-empty TensorList")
    given = [t if t.ndim >= 1 else _at_least_1d(t) for t in tensors]
    return combine.cat(given, 0 if given[0].ndim == 1 else 1)


@composite_function(direct=_stacked(np.vstack))
def vstack(tensors: Sequence[Tensor]) -> Tensor:
    """Joined along rows, 1-d tensors being rows."""
    if not tensors:
        raise RuntimeError("vstack expects a non-empty TensorList")
    given = [t if t.ndim >= 2 else _at_least_2d(t) for t in tensors]
    return combine.cat(given, 0)


@composite_function(direct=_stacked(np.dstack))
def dstack(tensors: Sequence[Tensor]) -> Tensor:
    """Joined along dim 2, after `atleast_3d`."""
    if not tensors:
        raise RuntimeError("dstack expects a non-empty TensorList")
    given = [t if t.ndim >= 3 else _at_least_3d(t) for t in tensors]
    return combine.cat(given, 2)


@composite_function(direct=_stacked(np.column_stack))
def column_stack(tensors: Sequence[Tensor]) -> Tensor:
    """1-d tensors as columns, others as they are, joined along dim 1."""
    if not tensors:
        raise RuntimeError("column_stack expects a non-empty TensorList")
    given = [t.reshape(-1, 1) if t.ndim <= 1 else t for t in tensors]
    return combine.cat(given, 1)


@composite_function(direct=_stacked(np.vstack))
def row_stack(tensors: Sequence[Tensor]) -> Tensor:
    """`vstack` under another name."""
    return vstack(tensors)
