"""Views under other names, and the diagonal.

Enters: a tensor and plain geometry. Leaves: views of the same storage; copies only where no view can say it (`ravel`
of a transposed tensor, `diag`).
Invariant: whatever is a view in PyTorch is one here, with the same strides.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from specjit.ir.dims import Dim
from specjit.ir.types import Type
from specjit.ir.viewref import ViewRef, add, mul
from specjit.ops.records import infer
from specjit.ops.records.composites import Ints, composite_function
from specjit.ops.records.lowering import viewing
from specjit.ops.records.registry import defop, view
from specjit.ops.shape import axis_of
from specjit.ops.slicing import slice_op
from specjit.tensor.tensor import Tensor, address


@composite_function
def unflatten(input: Tensor, dim: int, sizes: Ints) -> Tensor:
    """Dim `dim` as several of `sizes`, one of which may be -1."""
    at = axis_of(dim, input.ndim)
    parts = list(sizes) if isinstance(sizes, (list, tuple)) else [sizes]
    _check_parts(parts, input.shape[at] if input.ndim else 1, dim)
    return input.view(list(input.shape[:at]) + parts + list(input.shape[at + 1 :]))


def _check_parts(parts: list[Any], size: Any, dim: int) -> None:
    if not parts:
        raise RuntimeError("unflatten: sizes must be non-empty")
    known = math.prod([p for p in parts if p != -1])
    if isinstance(size, int) and isinstance(known, int):
        fits = known == size if -1 not in parts else known > 0 and size % known == 0
        if not fits or parts.count(-1) > 1:
            raise RuntimeError(
                f"unflatten: Provided sizes {parts} don't multiply up to the size of dim {dim} ({size}) in the input "
                "tensor"
            )


@composite_function
def movedim(input: Tensor, source: Ints, destination: Ints) -> Tensor:
    """Dims `source` at the positions `destination`; the others keep their order."""
    return input.permute(_moved(input.ndim, source, destination))


@composite_function
def moveaxis(input: Tensor, source: Ints, destination: Ints) -> Tensor:
    """`movedim` under its NumPy name."""
    return input.permute(_moved(input.ndim, source, destination))


def _moved(rank: int, source: Any, destination: Any) -> list[int]:
    """Which old dim each new one is."""
    froms = [source] if isinstance(source, int) else list(source)
    tos = [destination] if isinstance(destination, int) else list(destination)
    if len(froms) != len(tos):
        raise RuntimeError(
            f"movedim: Invalid source or destination dims: source ({froms} dims) should contain the same number of "
            f"dims as destination ({tos} dims)"
        )
    froms = [axis_of(d, rank) for d in froms]
    tos = [axis_of(d, rank) for d in tos]
    if len(set(froms)) != len(froms) or len(set(tos)) != len(tos):
        which = "source" if len(set(froms)) != len(froms) else "destination"
        raise RuntimeError(f"movedim: repeated dim in `{which}` ({froms if which == 'source' else tos})")
    if rank == 0:
        return []
    order = [d for d in range(rank) if d not in froms]
    for to, d in sorted(zip(tos, froms)):
        order.insert(to, d)
    return order


@composite_function
def swapdims(input: Tensor, dim0: int, dim1: int) -> Tensor:
    """`transpose` under another name."""
    return input.transpose(dim0, dim1)


@composite_function
def adjoint(input: Tensor) -> Tensor:
    """The last two dims exchanged (all numbers here are real)."""
    if input.ndim == 1:
        raise RuntimeError("tensor.adjoint() is only supported on matrices or batches of matrices. Got 1-D tensor.")
    return input.transpose(-2, -1) if input.ndim else input


@composite_function
def broadcast_to(input: Tensor, size: Ints) -> Tensor:
    """`expand` as a function."""
    return input.expand(size)


@composite_function
def ravel(input: Tensor) -> Tensor:
    """All elements in row-major order, in one dim; a view where possible."""
    return input.contiguous().view(-1)


@composite_function(method=False)
def atleast_1d(*tensors: Any) -> Any:
    """A 0-d tensor as one of one element; of several, or of a list, a tuple."""
    return _each(tensors, _at_least_1d)


@composite_function(method=False)
def atleast_2d(*tensors: Any) -> Any:
    """Tensors of fewer than 2 dims with dims of size 1 in front."""
    return _each(tensors, _at_least_2d)


@composite_function(method=False)
def atleast_3d(*tensors: Any) -> Any:
    """Tensors of fewer than 3 dims with dims of size 1: (n,) becomes (1, n, 1), (n, m) becomes (n, m, 1)."""
    return _each(tensors, _at_least_3d)


def _each(tensors: Any, fn: Any) -> Any:
    if len(tensors) == 1 and not isinstance(tensors[0], (list, tuple)):
        return fn(tensors[0])
    given = tensors[0] if len(tensors) == 1 else tensors
    return tuple([fn(t) for t in given])


def _at_least_1d(x: Any) -> Any:
    return x if x.ndim else x.reshape(1)


def _at_least_2d(x: Any) -> Any:
    return x if x.ndim > 1 else x.unsqueeze(0) if x.ndim else x.reshape(1, 1)


def _at_least_3d(x: Any) -> Any:
    if x.ndim == 0:
        return x.reshape(1, 1, 1)
    if x.ndim == 1:
        return x.unsqueeze(0).unsqueeze(-1)
    return x.unsqueeze(-1) if x.ndim == 2 else x


@composite_function
def tensor_split(input: Tensor, indices_or_sections: Any, dim: int = 0) -> Any:
    """Views of parts along `dim`: so many that differ in size by at most 1, or cut before each of the indices.

    indices_or_sections: an int, ints, or an int64 tensor of either.
    """
    if input.ndim == 0:
        raise RuntimeError("tensor_split expected at least a 1-dimensional tensor, but got a tensor with 0 dims")
    given = indices_or_sections
    if isinstance(given, Tensor):
        given = _split_points(given)
    at = axis_of(dim, input.ndim)
    if isinstance(given, int):
        given = _even_cuts(input.shape[at], given)
    starts = [0] + list(given)
    ends = list(given) + [None]
    return tuple([slice_op(input, at, starts[i], ends[i], 1) for i in range(len(starts))])


def _split_points(given: Any) -> Any:
    if given.dtype.name != "int64" or given.ndim > 1:
        raise RuntimeError(
            "tensor_split expected tensor_indices_or_sections to be a zero-dimensional or one-dimensional tensor of "
            f"dtype long, but got {given.ndim}D {given.dtype.name}"
        )
    return given.tolist()


def _even_cuts(size: int, sections: int) -> list[int]:
    if sections <= 0:
        raise RuntimeError(f"number of sections must be larger than 0, got {sections}")
    each, more = size // sections, size % sections
    return [i * each + min(i, more) for i in range(1, sections)]


# diagonals


def _diagonal_size(rows: Dim, columns: Dim, offset: int) -> tuple[Dim, Dim]:
    """(first index, length) of a diagonal: its first element is at (first, 0) or, for a positive offset, (0, first)."""
    if not isinstance(rows, int) or not isinstance(columns, int):
        return abs(offset), rows if offset == 0 and rows == columns else None
    length = min(rows, columns - offset) if offset >= 0 else min(rows + offset, columns)
    return (abs(offset), length) if length > 0 else (0, 0)


def _diagonal_axes(dim1: int, dim2: int, rank: int) -> tuple[int, int]:
    a, b = axis_of(dim1, rank), axis_of(dim2, rank)
    if a == b:
        raise RuntimeError(f"diagonal dimensions cannot be identical {dim1}, {dim2}")
    return a, b


def _diagonal(x: np.ndarray, offset: int, dim1: int, dim2: int) -> np.ndarray:
    out = x.diagonal(offset, *_diagonal_axes(dim1, dim2, x.ndim))
    if x.flags.writeable:
        out.flags.writeable = True  # NumPy's own is read-only out of caution for old programs
    return out


def _diagonal_infer(x: Type, offset: Any, dim1: Any, dim2: Any) -> Type:
    if x.dims is None:
        return Type.tensor(x.dtype)
    given = infer.known_int(offset), infer.known_int(dim1), infer.known_int(dim2)
    if given[1] is None or given[2] is None:
        return Type.tensor(x.dtype, (None,) * (len(x.dims) - 1))
    a, b = _diagonal_axes(given[1], given[2], len(x.dims))
    length = None if given[0] is None else _diagonal_size(x.dims[a], x.dims[b], given[0])[1]
    return Type.tensor(x.dtype, (*(d for i, d in enumerate(x.dims) if i not in (a, b)), length))


def _diagonal_ref(ref: ViewRef, offset: int, dim1: int, dim2: int) -> ViewRef:
    a, b = _diagonal_axes(dim1, dim2, ref.rank)
    first, length = _diagonal_size(ref.sizes[a], ref.sizes[b], offset)
    kept = [i for i in range(ref.rank) if i not in (a, b)]
    return ViewRef(
        (*(ref.sizes[i] for i in kept), length),
        (*(ref.strides[i] for i in kept), add(ref.strides[a], ref.strides[b])),
        add(ref.offset, mul(first, ref.strides[b] if offset >= 0 else ref.strides[a])),
    )


diagonal = defop(
    "diagonal(input, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Tensor",
    eager=_diagonal,
    infer=_diagonal_infer,
    vjp=lambda g, _y, _x, offset, dim1, dim2: diagonal_backward(g, _x.shape, offset, dim1, dim2),
    lower=viewing(_diagonal_ref),
    traits=view(0),
    doc="The elements whose index along dim2 is that along dim1 plus `offset`, as the last dim.",
)


def _diagonal_backward(g: np.ndarray, sizes: Any, offset: int, dim1: int, dim2: int) -> np.ndarray:
    out = np.zeros(sizes, g.dtype)
    _diagonal(out, offset, dim1, dim2)[...] = g
    return out


diagonal_backward = defop(
    "diagonal_backward(grad, sizes: 'int[]', offset: int, dim1: int, dim2: int) -> Tensor",
    eager=_diagonal_backward,
    infer=lambda g, sizes, offset, dim1, dim2: Type.tensor(g.dtype, infer.sizes_of(sizes)),
    vjp=lambda g, _y, _grad, sizes, offset, dim1, dim2: diagonal(g, offset, dim1, dim2),
    method=False,
    public=False,
    doc="Zeros of `sizes` with `grad` on a diagonal.",
)


@composite_function
def diag_embed(input: Tensor, offset: int = 0, dim1: int = -2, dim2: int = -1) -> Tensor:
    """Square matrices with the last dim of `input` on a diagonal, in dims dim1 and dim2 of the result."""
    rank = input.ndim + 1
    a, b = _diagonal_axes(dim1, dim2, rank)
    side = input.shape[-1] + abs(offset)
    rest = list(input.shape[:-1])
    if a == rank - 2 and b == rank - 1:
        return diagonal_backward(input, rest + [side, side], offset, a, b)
    sizes = [side if i in (a, b) else rest[i - (i > a) - (i > b)] for i in range(rank)]
    return diagonal_backward(input, sizes, offset, a, b)


@composite_function
def diag(input: Tensor, diagonal: int = 0) -> Tensor:
    """The matrix with a vector on a diagonal, or a copy of a matrix's diagonal."""
    if input.ndim == 1:
        return diag_embed(input, diagonal)
    if input.ndim != 2:
        raise RuntimeError(f"diag(): Supports 1D or 2D tensors. Got {input.ndim}D")
    return _diagonal_of(input, diagonal).clone()


def _diagonal_of(x: Any, offset: int) -> Any:
    return diagonal(x, offset)


# windows


def _windows(n: Dim, size: Any, step: Any) -> Dim:
    """How many windows of `size` fit in a dim of size n, `step` apart."""
    if not isinstance(size, int) or not isinstance(step, int):
        return None
    if isinstance(n, int) and size > n:
        raise RuntimeError(f"maximum size for tensor at dimension 0 is {n} but size is {size}")
    if size < 0:
        raise RuntimeError(f"size is {size} but must be >= 0")
    if step <= 0:
        raise RuntimeError(f"step is {step} but must be > 0")
    return (n - size) // step + 1 if isinstance(n, int) else n - (size - 1) if n is not None and step == 1 else None


def _unfold(x: np.ndarray, dimension: int, size: int, step: int) -> np.ndarray:
    at = axis_of(dimension, x.ndim)
    count = _windows(x.shape[at] if x.ndim else 1, size, step)
    if not x.ndim:
        return x.reshape(1)[:size]
    shape = (*x.shape[:at], count, *x.shape[at + 1 :], size)
    strides = (*x.strides[:at], x.strides[at] * step, *x.strides[at + 1 :], x.strides[at])
    return _strided(x, shape, strides) if x.size else np.empty(shape, x.dtype)


def _strided(x: np.ndarray, shape: Any, strides: Any) -> np.ndarray:
    """A view of other shape and strides, from the first element of `x`. NumPy's `as_strided` hides whose memory it is;
    made from the owner as a buffer, which has to look row-major, the view has the owner for its base."""
    owner = x.base if isinstance(x.base, np.ndarray) else x
    order = sorted(range(owner.ndim), key=lambda d: -owner.strides[d])
    return np.ndarray(shape, x.dtype, owner.transpose(order), address(x) - address(owner), strides)


def _unfold_infer(x: Type, dimension: Any, size: Any, step: Any) -> Type:
    at = infer.axis(dimension, x.rank)
    if x.dims is None or at is None:
        return Type.tensor(x.dtype)
    if not x.dims:
        _windows(1, size, step)
        return Type.tensor(x.dtype, (infer.dim_of(size),))
    count = _windows(x.dims[at], infer.known_int(size), infer.known_int(step))
    return Type.tensor(x.dtype, (*x.dims[:at], count, *x.dims[at + 1 :], infer.dim_of(size)))


def _unfold_ref(ref: ViewRef, dimension: int, size: int, step: int) -> ViewRef | None:
    if not ref.rank:
        return None
    at = ref.axis(dimension)
    stride = ref.strides[at]
    return ViewRef(
        (*ref.sizes[:at], _windows(ref.sizes[at], size, step), *ref.sizes[at + 1 :], size),
        (*ref.strides[:at], mul(stride, step), *ref.strides[at + 1 :], stride),
        ref.offset,
    )


unfold = defop(
    "unfold(input, dimension: int, size: int, step: int) -> Tensor",
    eager=_unfold,
    infer=_unfold_infer,
    vjp=lambda g, _y, _x, dimension, size, step: unfold_backward(g, _x.shape, dimension, size, step),
    lower=viewing(_unfold_ref),
    traits=view(0),
    public=False,
    doc="All windows of `size` elements along `dimension`, `step` apart, as a view; their elements are the last dim.",
)


def _unfold_backward(g: np.ndarray, sizes: Sequence[int], dim: int, size: int, step: int) -> np.ndarray:
    out = np.zeros(sizes, g.dtype)
    whole = out if out.ndim else out.reshape(1)
    windows = g if out.ndim else g[None]
    at = axis_of(dim, whole.ndim)
    lead = (slice(None),) * at
    for k in range(size):
        # The k-th elements of all windows lie apart, so they can be added at once.
        whole[(*lead, slice(k, k + (windows.shape[at] - 1) * step + 1, step))] += windows[..., k]
    return out


unfold_backward = defop(
    "unfold_backward(grad, sizes: 'int[]', dim: int, size: int, step: int) -> Tensor",
    eager=_unfold_backward,
    infer=lambda g, sizes, dim, size, step: Type.tensor(g.dtype, infer.sizes_of(sizes)),
    vjp=lambda g, _y, _grad, sizes, dim, size, step: unfold(g, dim, size, step),
    method=False,
    public=False,
    doc="Zeros of `sizes`, to which the windows of `grad` are added where `unfold` takes them.",
)
