"""Norms of vectors and matrices: `specjit.linalg.vector_norm`, `matrix_norm`, `norm`.

Enters: floating-point tensors. Leaves: norms in the input's dtype, or in a wider one if `dtype` says so.
Invariant: a gradient is finite wherever PyTorch's is: 0 where the norm is 0, shared evenly among equal maxima.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from specjit.dtypes import TITLES, DType, dtype_of
from specjit.ir.types import Type
from specjit.ops import arithmetic, casts
from specjit.ops.decompositions import svdvals
from specjit.ops.records import infer
from specjit.ops.records.composites import composite_function
from specjit.ops.records.eager import all_axes
from specjit.ops.records.grads import cast_like, unreduce
from specjit.ops.records.lowering import composite
from specjit.ops.records.quiet import quiet
from specjit.ops.records.registry import defop
from specjit.ops.shape import axis_of
from specjit.tensor.tensor import Tensor


def _result_dtype(dtype: DType | None, wanted: DType | None, name: str) -> DType | None:
    if dtype is None:
        return wanted
    if not dtype.is_floating_point:
        raise RuntimeError(
            f"linalg.{name}: Expected a floating point or complex tensor as input. Got {TITLES[dtype.name]}"
        )
    if wanted is None:
        return dtype
    if not wanted.is_floating_point or wanted.itemsize < dtype.itemsize:
        raise RuntimeError(
            f"linalg.{name}: the dtype of the input ({TITLES[dtype.name]}) should be convertible without narrowing to "
            f"the specified dtype ({TITLES[wanted.name]})"
        )
    return wanted


def _check_identity(ord: float, sizes: tuple[Any, ...]) -> None:
    """The largest of nothing, or the inverse of the sum of nothing, is no number."""
    if (ord < 0 or ord == math.inf) and 0 in sizes:
        raise RuntimeError(
            f"linalg.vector_norm cannot compute the {ord} norm on an empty tensor because the operation does not have "
            "an identity"
        )


def _vector_norm(x: np.ndarray, ord: Any, dim: Any, keepdim: bool, dtype: DType | None) -> Any:
    wanted = _result_dtype(dtype_of(x.dtype), dtype, "vector_norm")
    assert wanted is not None
    axes = all_axes(x, dim)
    _check_identity(ord, tuple(x.shape[a] for a in axes))
    return _norm(x.astype(_accumulator(wanted), copy=False), ord, axes, keepdim).astype(wanted.numpy, copy=False)


def _accumulator(d: DType) -> np.dtype:
    return np.dtype(np.float32) if d.itemsize == 2 else d.numpy


def _norm(x: np.ndarray, ord: float, axes: tuple[int, ...], keepdim: bool) -> Any:
    if ord == 2:
        return np.sqrt((x * x).sum(axes, keepdims=keepdim))
    size = np.abs(x)
    if ord == 1:
        return size.sum(axes, keepdims=keepdim)
    if ord == math.inf:
        return size.max(axes, keepdims=keepdim)
    if ord == -math.inf:
        return size.min(axes, keepdims=keepdim)
    if ord == 0:
        return (x != 0).sum(axes, x.dtype, keepdims=keepdim)
    return np.power(np.power(size, ord).sum(axes, keepdims=keepdim), 1 / ord)


def _vector_norm_infer(x: Type, ord: Any, dim: Any, keepdim: Any, dtype: Any) -> Type:
    wanted = _result_dtype(x.dtype, dtype, "vector_norm")
    which = infer.axes(dim, x.rank)
    if x.dims is not None and which is not None and isinstance(ord, (int, float)):
        _check_identity(ord, tuple(x.dims[a] for a in which))
    return Type.tensor(wanted, infer.reduced(x.dims, which, keepdim))


def _vector_norm_vjp(g: Any, y: Any, x: Any, ord: Any, dim: Any, keepdim: Any, dtype: Any) -> Any:
    if ord == 0:
        return None  # a count
    wide = casts.to_dtype(x, y.dtype)
    g, y = unreduce(g, x, dim, keepdim), unreduce(y, x, dim, keepdim)
    size = wide.abs()
    if ord in (math.inf, -math.inf):
        chosen = casts.to_dtype((size == y) | (size != size), wide.dtype)
        return cast_like(wide.sign() * chosen * (g / chosen.sum(_dims(dim), True)), x)
    if ord == 1:
        return cast_like(wide.sign() * g, x)
    # Where the norm, or an element of a root's sum, is 0, the slope is taken as 0.
    whole = arithmetic.where(y == 0, 1.0, y)
    if ord == 2:
        return cast_like(wide * (arithmetic.where(y == 0, 0.0, g) / whole), x)
    base = arithmetic.where(size == 0, 1.0, size)
    part = arithmetic.where((size == 0) | (y == 0), 0.0, wide.sign() * (base / whole) ** (ord - 1))
    return cast_like(part * g, x)


def _dims(dim: Any) -> Any:
    return dim if dim is None or isinstance(dim, (list, tuple)) else [dim]


def _in_ops(x: Any, ord: Any, dim: Any, keepdim: Any, dtype: Any) -> Any:
    wanted = x.dtype if dtype is None else dtype
    wide = casts.widen(casts.to_dtype(x, wanted))
    if ord == 2:
        found = (wide * wide).sum(dim, keepdim).sqrt()
    elif ord == 1:
        found = wide.abs().sum(dim, keepdim)
    elif ord == math.inf:
        found = wide.abs().amax(dim, keepdim)
    elif ord == -math.inf:
        found = wide.abs().amin(dim, keepdim)
    elif ord == 0:
        found = casts.to_dtype(wide != 0, wide.dtype).sum(dim, keepdim)
    else:
        found = (wide.abs() ** ord).sum(dim, keepdim) ** (1 / ord)
    return casts.to_dtype(found, wanted)


vector_norm = defop(
    "linalg.vector_norm(input, ord: Scalar = 2, dim: 'int[]?' = None, keepdim: bool = False, *, dtype: 'dtype?' = None)"
    " -> Tensor",
    eager=quiet(_vector_norm),
    infer=_vector_norm_infer,
    vjp=_vector_norm_vjp,
    lower=composite(_in_ops),
    doc="""(sum |x|^ord)^(1/ord) over `dim` (None: all), its limits for inf and -inf, the count of nonzeros for 0.

    dtype: that of the computation and the result, not narrower than the input's.""",
)


@composite_function(name="linalg.matrix_norm")
def matrix_norm(
    input: Tensor, ord: Any = "fro", dim: Any = (-2, -1), keepdim: bool = False, *, dtype: DType | None = None
) -> Tensor:
    """Norms of matrices, which lie in two dims: "fro", "nuc", 1, -1, 2, -2, inf or -inf."""
    _result_dtype(input.dtype, dtype, "matrix_norm")
    rows, columns = _matrix_dims(dim, input.ndim)
    _check_order(ord, input.dtype.name)
    x = input if dtype is None else casts.to_dtype(input, dtype)
    # The largest of no sums is 0; the smallest is an error.
    if ord == "fro" or (ord not in (-1, -2, -math.inf) and 0 in (x.shape[rows], x.shape[columns])):
        return vector_norm(x, 2, [rows, columns], keepdim)
    if ord in ("nuc", 2, -2):
        values = svdvals(x.movedim((rows, columns), (-2, -1)))
        found = values.sum(-1) if ord == "nuc" else values.amax(-1) if ord == 2 else values.amin(-1)
        if not keepdim:
            return found
        first, second = (rows, columns) if rows < columns else (columns, rows)
        return found.unsqueeze(first).unsqueeze(second)
    # The largest or smallest sum of a column (1, -1) or of a row (inf, -inf).
    summed, left = (rows, columns) if ord in (1, -1) else (columns, rows)
    sums = vector_norm(x, 1, [summed], True)
    found = sums.amax([left], True) if ord > 0 else sums.amin([left], True)
    return found if keepdim else found.squeeze([rows, columns])


def _matrix_dims(dim: Any, rank: int) -> tuple[int, int]:
    if not isinstance(dim, (list, tuple)):
        raise TypeError(f"linalg.matrix_norm(): argument 'dim' must be tuple of ints, not {type(dim).__name__}")
    if rank < 2:
        raise RuntimeError("linalg.matrix_norm: The input tensor A must have at least 2 dimensions.")
    if len(dim) != 2:
        raise RuntimeError(f"linalg.matrix_norm: dim must be a 2-tuple. Got {', '.join(map(str, dim))}")
    a, b = axis_of(dim[0], rank), axis_of(dim[1], rank)
    if a == b:
        raise RuntimeError(f"linalg.matrix_norm: dims must be different. Got ({dim[0]}, {dim[1]})")
    return a, b


def _check_order(ord: Any, dtype: str) -> None:
    if ord not in ("fro", "nuc", 1, -1, 2, -2, math.inf, -math.inf):
        raise RuntimeError(f"linalg.matrix_norm: Order {ord} not supported.")
    if ord in ("nuc", 2, -2) and dtype == "float16":
        raise RuntimeError("linalg.matrix_norm: Low precision dtypes not supported. Got Half")


@composite_function(name="linalg.norm")
def norm(
    input: Tensor, ord: Any = None, dim: Any = None, keepdim: bool = False, *, dtype: DType | None = None
) -> Tensor:
    """`vector_norm` or `matrix_norm`.

    Without `ord`: the 2-norm of all elements over `dim`. With it: of vectors for one dim, or a 1-d input; of matrices
    for two dims, or a 2-d input.
    """
    dims = [dim] if isinstance(dim, int) else dim
    if dims is not None:
        if len(dims) not in (1, 2):
            raise RuntimeError(f"linalg.norm: If dim is specified, it must be of length 1 or 2. Got {list(dims)}")
        of_matrices = ord is not None and (len(dims) == 2 or isinstance(ord, str))
    else:
        if ord is not None and input.ndim not in (1, 2):
            raise RuntimeError(
                f"linalg.norm: If dim is not specified but ord is, the input must be 1D or 2D. Got {input.ndim}D."
            )
        of_matrices = ord is not None and (input.ndim == 2 or isinstance(ord, str))
    if of_matrices:
        return matrix_norm(input, ord, (-2, -1) if dims is None else tuple(dims), keepdim, dtype=dtype)
    return vector_norm(input, 2 if ord is None else ord, dims, keepdim, dtype=dtype)


@composite_function(name="norm")
def norm_of_all(
    input: Tensor, p: Any = "fro", dim: Any = None, keepdim: bool = False, *, dtype: DType | None = None
) -> Tensor:
    """The p-norm over `dim` (None: all), whatever shape the input has; "fro" is the 2-norm, and "nuc" that of
    matrices."""
    several = dim is not None and not isinstance(dim, int)
    if isinstance(p, str) and (p != "fro" or (several and len(dim) > 2)):
        dims = tuple(range(input.ndim)) if dim is None else tuple(dim) if several else (dim,)
        return matrix_norm(input, p, dims, keepdim, dtype=dtype)
    return vector_norm(input, 2 if p is None or p == "fro" else p, dim, keepdim, dtype=dtype)
