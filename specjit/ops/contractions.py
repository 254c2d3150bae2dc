"""Products that are matrix products in another shape: tensordot, kron, inner, trace, cross, distances.

Enters: tensors. Leaves: their contractions, by way of `mm` and pointwise products.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from specjit.dtypes import TITLES
from specjit.ops import combine
from specjit.ops.linalg import matmul, mm
from specjit.ops.norms import vector_norm
from specjit.ops.records.composites import composite_function
from specjit.ops.records.eager import not_implemented
from specjit.ops.records.quiet import quiet
from specjit.ops.shape import axis_of
from specjit.ops.views import diagonal
from specjit.tensor.tensor import Tensor


def _tensordot_arrays(a: np.ndarray, b: np.ndarray, dims: Any) -> Any:
    # NumPy takes a negative count of dims for 0.
    plain = a.dtype is b.dtype and a.dtype.char in "fd" and not (type(dims) is int and dims < 0)
    return np.asarray(np.tensordot(a, b, dims)) if plain else None


@composite_function(method=False, inlined=False, direct=quiet(_tensordot_arrays))
def tensordot(a: Tensor, b: Tensor, dims: Any = 2) -> Tensor:
    """The sum of products over pairs of dims: the last `dims` of `a` with the first of `b`, or two lists of dims.

    The result has the other dims of `a`, then those of `b`.
    """
    if a.dtype is not b.dtype:
        raise RuntimeError("both inputs should have same dtype")
    plan = _plan(_pairs(dims), a.ndim, b.ndim)
    left, right = plan.left, plan.right
    # A dim of size 1 stands for the other's: then the other is summed alone.
    short = [i for i in range(len(left)) if a.shape[left[i]] != b.shape[right[i]]]
    if short:
        _check_short([a.shape[left[i]] for i in short], [b.shape[right[i]] for i in short])
        summed_a = [left[i] for i in short if b.shape[right[i]] == 1]
        summed_b = [right[i] for i in short if a.shape[left[i]] == 1]
        a = a.sum(summed_a, True, dtype=a.dtype) if summed_a else a
        b = b.sum(summed_b, True, dtype=b.dtype) if summed_b else b
    rows, columns = [a.shape[d] for d in plan.rows], [b.shape[d] for d in plan.columns]
    inner = count([a.shape[d] for d in left])
    first = a.permute(plan.rows + left).reshape(count(rows), inner)
    second = b.permute(right + plan.columns).reshape(inner, count(columns))
    return mm(first, second).reshape(rows + columns)


class _Plan(NamedTuple):
    """The dims of the two operands that are contracted with each other, and those that stay."""

    left: list[int]
    right: list[int]
    rows: list[int]
    columns: list[int]


def _pairs(dims: Any) -> Any:
    """`dims` as an int, or as a pair of tuples."""
    if isinstance(dims, Tensor):
        dims = dims.tolist()
    return dims if isinstance(dims, int) else tuple([(d,) if isinstance(d, int) else tuple(d) for d in dims])


@functools.lru_cache(256)
def _plan(dims: Any, a: int, b: int) -> _Plan:
    if isinstance(dims, int):
        if dims < 0:
            raise RuntimeError(f"tensordot expects dims >= 0, but got dims={dims}")
        if dims > min(a, b):
            raise RuntimeError(f"tensordot expects dims < ndim_a or ndim_b, but got dims={dims}")
        left, right = list(range(a - dims, a)), list(range(dims))
    else:
        left, right = [axis_of(d, a) for d in dims[0]], [axis_of(d, b) for d in dims[1]]
        if len(left) != len(right):
            raise RuntimeError("both dimension lists should have same length")
        for which in (left, right):
            if len(set(which)) != len(which):
                raise RuntimeError(f"dim appears multiple times in the list of dims {which}")
    return _Plan(left, right, [d for d in range(a) if d not in left], [d for d in range(b) if d not in right])


def _check_short(a: list[Any], b: list[Any]) -> None:
    for n, m in zip(a, b):
        if n != 1 and m != 1:
            raise RuntimeError(f"contracted dimensions need to match, but first has size {n} and second has size {m}")


def count(sizes: Sequence[Any]) -> Any:
    """The number of elements of that shape; sizes may be traced."""
    total: Any = 1
    for n in sizes:
        total = total * n
    return total


def _inner_arrays(a: np.ndarray, b: np.ndarray) -> Any:
    return np.asarray(np.inner(a, b)) if a.dtype is b.dtype and a.dtype.char in "fd" else None


@composite_function(direct=_inner_arrays)
def inner(input: Tensor, other: Tensor) -> Tensor:
    """Sums of products over the last dims: the dot product of vectors; with a 0-d tensor, the product."""
    if input.dtype is not other.dtype:
        raise RuntimeError("both inputs should have same dtype")
    rank = other.ndim
    if input.ndim == 0 or rank == 0:
        return input * other
    sizes, others = input.shape, other.shape
    if sizes[-1] != others[-1]:
        raise RuntimeError(
            "inner() the last dimension must match on both input tensors but got shapes "
            f"{list(sizes)} and {list(others)}"
        )
    if rank <= 2:
        return matmul(input, other.t())
    return tensordot(input, other, [[-1], [-1]])


def _kron_arrays(a: np.ndarray, b: np.ndarray) -> Any:
    if a.dtype is not b.dtype or a.ndim != 2 or b.ndim != 2:
        return None
    (n, m), (k, w) = a.shape, b.shape
    return (a.reshape(n, 1, m, 1) * b.reshape(1, k, 1, w)).reshape(n * k, m * w)


@composite_function(direct=_kron_arrays)
def kron(input: Tensor, other: Tensor) -> Tensor:
    """The Kronecker product: every element of `input` times the whole of `other`."""
    rank = max(input.ndim, other.ndim)
    a = [1] * (rank - input.ndim) + list(input.shape)
    b = [1] * (rank - other.ndim) + list(other.shape)
    apart = input.reshape([n for size in a for n in (size, 1)]) * other.reshape([n for size in b for n in (1, size)])
    return apart.reshape([a[i] * b[i] for i in range(rank)])


@composite_function
def trace(input: Tensor) -> Tensor:
    """The sum of a matrix's diagonal; of ints in int64."""
    if input.ndim != 2:
        raise RuntimeError(f"trace: expected a matrix, but got tensor with dim {input.ndim}")
    if input.dtype.name == "bool":
        raise not_implemented("trace", input.dtype)
    return diagonal(input).sum()


@composite_function(name="linalg.cross")
def _cross(input: Tensor, other: Tensor, *, dim: int = -1) -> Tensor:
    """The vector product along `dim`, which has size 3; the other dims broadcast."""
    if input.ndim != other.ndim:
        raise RuntimeError("linalg.cross: inputs must have the same number of dimensions.")
    if input.dtype is not other.dtype:
        raise RuntimeError(f"expected scalar type {TITLES[input.dtype.name]} but found {TITLES[other.dtype.name]}")
    if input.dtype.name == "bool":
        raise not_implemented("cross", input.dtype)
    at = axis_of(dim, input.ndim)
    if input.shape[at] != 3 or other.shape[at] != 3:
        raise RuntimeError(
            f"linalg.cross: inputs dimension {dim} must have length 3. Got {input.shape[at]} and {other.shape[at]}"
        )
    a0, a1, a2 = input.select(at, 0), input.select(at, 1), input.select(at, 2)
    b0, b1, b2 = other.select(at, 0), other.select(at, 1), other.select(at, 2)
    return combine.stack([a1 * b2 - a2 * b1, a2 * b0 - a0 * b2, a0 * b1 - a1 * b0], at)


@composite_function
def cross(input: Tensor, other: Tensor, dim: int | None = None) -> Tensor:
    """The vector product along `dim`, by default the first of size 3."""
    return _cross(input, other, dim=_first_of_size_3(list(input.shape)) if dim is None else dim)


def _first_of_size_3(shape: list[Any]) -> int:
    if 3 not in shape:
        raise RuntimeError("no dimension of size 3 in input")
    return shape.index(3)


@composite_function(method=False)
def cdist(x1: Tensor, x2: Tensor, p: float = 2.0, compute_mode: str = "use_mm_for_euclid_dist_if_necessary") -> Tensor:
    """Distances by the p-norm between all rows of two stacks of rows: (..., n, d) and (..., m, d) give (..., n, m).

    Differences are formed before they are squared in every `compute_mode`: that keeps the digits of near rows.
    """
    _check_distance(x1, x2, p, compute_mode)
    return vector_norm(x1.unsqueeze(-2) - x2.unsqueeze(-3), p, -1)


MODES = ("use_mm_for_euclid_dist_if_necessary", "use_mm_for_euclid_dist", "donot_use_mm_for_euclid_dist")


def _check_distance(x1: Any, x2: Any, p: float, compute_mode: str) -> None:
    if compute_mode not in MODES:
        raise ValueError(f"{compute_mode} is not a valid value for compute_mode")
    for i, x in enumerate((x1, x2)):
        if x.ndim < 2:
            raise RuntimeError(f"cdist only supports at least 2D tensors, X{i + 1} got: {x.ndim}D")
        if not x.dtype.is_floating_point:
            title = TITLES[x.dtype.name]
            raise RuntimeError(f"cdist only supports floating-point dtypes, X{i + 1} got: {title}")
    if x1.shape[-1] != x2.shape[-1]:
        raise RuntimeError(f"X1 and X2 must have the same number of columns. X1: {x1.shape[-1]} X2: {x2.shape[-1]}")
    if x1.dtype is not x2.dtype:
        raise RuntimeError(f"expected scalar type {TITLES[x1.dtype.name]} but found {TITLES[x2.dtype.name]}")
    if p < 0:
        raise RuntimeError("cdist only supports non-negative p values")
    if x1.dtype.name == "float16":
        raise not_implemented("cdist", x1.dtype)


@composite_function(name="linalg.multi_dot", method=False, inlined=False)
def multi_dot(tensors: Sequence[Tensor]) -> Tensor:
    """The product of a chain of matrices, in the order that multiplies least; the ends may be vectors."""
    if len(tensors) == 2 and 0 < tensors[0].ndim < 3 and 0 < tensors[1].ndim < 3:
        return matmul(tensors[0], tensors[1])
    _check_chain([t.shape for t in tensors], [t.dtype for t in tensors])
    first = tensors[0].unsqueeze(0) if tensors[0].ndim == 1 else tensors[0]
    last = tensors[-1].unsqueeze(1) if tensors[-1].ndim == 1 else tensors[-1]
    chain = [first] + list(tensors[1:-1]) + [last]
    sizes = tuple([t.shape[0] for t in chain] + [last.shape[1]])
    out = _multiplied(chain, _best_cuts(sizes), 0, len(chain) - 1)
    if tensors[0].ndim == 1:
        out = out.squeeze(0)
    return out.squeeze(-1) if tensors[-1].ndim == 1 else out


def _check_chain(shapes: list[Any], dtypes: list[Any]) -> None:
    n = len(shapes)
    if n < 2:
        raise RuntimeError(f"multi_dot(): expected at least 2 tensors but got {n}")
    for i, shape in enumerate(shapes):
        if i in (0, n - 1):
            if len(shape) not in (1, 2):
                raise RuntimeError(
                    f"multi_dot(): the {'last' if i else 'first'} tensor must be 1D or 2D but got {len(shape)}D"
                )
        elif len(shape) != 2:
            raise RuntimeError(f"multi_dot(): tensor {i} must be 2D but got {len(shape)}D")
        if dtypes[i] is not dtypes[0]:
            raise RuntimeError(
                f"multi_dot(): all tensors must have be the same dtype but tensor 0 is {dtypes[0].name} and tensor {i} "
                f"{dtypes[i].name}"
            )
    for i in range(n - 1):
        if shapes[i][-1] != shapes[i + 1][0]:
            raise RuntimeError(
                f"multi_dot(): tensors {i} and {i + 1} with shapes {list(shapes[i])} and {list(shapes[i + 1])} cannot "
                "be multiplied"
            )


@functools.lru_cache(256)
def _best_cuts(sizes: tuple[int, ...]) -> list[list[int]]:
    """Where to cut each subchain, by dynamic programming over their lengths (the matrix chain problem)."""
    n = len(sizes) - 1
    cost = [[0] * n for _ in range(n)]
    cut = [[0] * n for _ in range(n)]
    for length in range(1, n):
        for i in range(n - length):
            j = i + length
            options = [(cost[i][k] + cost[k + 1][j] + sizes[i] * sizes[k + 1] * sizes[j + 1], k) for k in range(i, j)]
            cost[i][j], cut[i][j] = min(options)
    return cut


def _multiplied(chain: list[Any], cut: list[list[int]], i: int, j: int) -> Any:
    if i == j:
        return chain[i]
    k = cut[i][j]
    return mm(_multiplied(chain, cut, i, k), _multiplied(chain, cut, k + 1, j))
