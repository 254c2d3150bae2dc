"""Inverses, solutions of linear equations, and determinants.

Enters: square matrices of float32 or float64, alone or in batches. Leaves: LAPACK's results, by NumPy.
Invariant: gradients are written in ops, so they have gradients too; that of a determinant holds for singular matrices.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from specjit.dtypes import TITLES
from specjit.ir.types import Type
from specjit.ops.matrix_functions import LinAlgError, check_matrix, first_failure, matrices, matrix_function
from specjit.ops.records import infer
from specjit.ops.records.composites import composite_function
from specjit.ops.records.grads import sum_to
from specjit.ops.records.quiet import quiet
from specjit.ops.records.registry import defop
from specjit.ops.records.results import SignLogabsdet
from specjit.tensor.tensor import Tensor

SINGULAR = "The inversion could not be completed because the input matrix is singular."


def _inv(x: np.ndarray) -> np.ndarray:
    try:
        return np.linalg.inv(x)
    except np.linalg.LinAlgError:
        raise LinAlgError(f"linalg.inv: {first_failure(np.linalg.inv, x)}{SINGULAR}") from None


inv = matrix_function(
    "linalg.inv(A) -> Tensor",
    _inv,
    lambda dtype, batch, n, m: matrices(dtype, batch, n, m),
    lambda g, y, _x: -(y.mT @ g @ y.mT),
    kernel=None,
    square=True,
    doc="The inverses of square matrices.",
)


def _solve(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    check_matrix("solve", a.dtype, a.shape, "lu_cpu", True)
    _check_right_side(a.dtype, b.dtype, a.shape, b.shape)
    try:
        return np.linalg.solve(a, b)
    except np.linalg.LinAlgError:
        where = first_failure(np.linalg.inv, a)
        raise LinAlgError(f"linalg.solve: {where}The solver failed because the input matrix is singular.") from None


def _check_right_side(a: Any, b: Any, dims: Any, right: Any) -> None:
    if a is not None and b is not None and a != b:
        raise RuntimeError(
            "linalg.solve: Expected A and B to have the same dtype, but found A of type "
            f"{TITLES[a.name]} and B of type {TITLES[b.name]} instead"
        )
    n, rows = dims[-1], right[-2]
    if isinstance(n, int) and isinstance(rows, int) and n != rows:
        raise RuntimeError(
            f"linalg.solve: Incompatible shapes of A and B for the equation AX = B ({n}x{n} and {rows}x{right[-1]})"
        )


def _solve_infer(a: Type, b: Type) -> Type:
    check_matrix("solve", a.dtype, a.dims, "lu_cpu", True)
    if a.dims is None or b.dims is None:
        return Type.tensor(a.dtype)
    _check_right_side(a.dtype, b.dtype, a.dims, b.dims)
    batch = infer.broadcast(a.dims[:-2], b.dims[:-2])
    return matrices(a.dtype, batch, *b.dims[-2:])


def _solve_vjp(g: Any, y: Any, a: Any, _b: Any) -> Any:
    right = solve_matrices(a.mT, g)
    return lambda: sum_to(-(right @ y.mT), a), lambda: sum_to(right, _b)


solve_matrices = defop(
    "solve_matrices(A, B) -> Tensor",
    eager=quiet(_solve),
    infer=_solve_infer,
    vjp=_solve_vjp,
    public=False,
    doc="X with A @ X = B, for (..., n, n) and (..., n, k); batch dims broadcast.",
)


def _solve_arrays(a: np.ndarray, b: np.ndarray, left: bool) -> Any:
    plain = left and a.dtype is b.dtype and a.dtype.char in "fd" and a.ndim == b.ndim == 2
    return np.linalg.solve(a, b) if plain else None


@composite_function(name="linalg.solve", direct=_solve_arrays)
def solve(A: Tensor, B: Tensor, *, left: bool = True) -> Tensor:
    """X with A @ X = B, or with X @ A = B if not `left`.

    A: (..., n, n). B: (..., n, k), or vectors: (n,), or of the shape of A without its last dim.
    """
    check_matrix("solve", A.dtype, A.shape, "lu_cpu", True)
    vectors = B.ndim == 1 or (B.ndim == A.ndim - 1 and list(B.shape) == list(A.shape[:-1]))
    right = B.unsqueeze(-1) if vectors else B
    if not left:
        if right.shape[-1] != A.shape[-1]:
            raise RuntimeError(
                "linalg.solve: Incompatible shapes of A and B for the equation XA = B "
                f"({A.shape[-2]}x{A.shape[-1]} and {right.shape[-2]}x{right.shape[-1]})"
            )
        found = solve_matrices(A.mT, right.mT).mT
    else:
        found = solve_matrices(A, right)
    return found.squeeze(-1) if vectors else found


# determinants


def _slogdet_vjp(g: Any, _y: Any, x: Any) -> Any:
    return g[1].unsqueeze(-1).unsqueeze(-1) * inv(x).mT


slogdet_parts = matrix_function(
    "slogdet_parts(A) -> (Tensor, Tensor)",
    lambda x: tuple(np.asarray(r, x.dtype) for r in np.linalg.slogdet(x)),
    lambda dtype, batch, n, m: (matrices(dtype, batch), matrices(dtype, batch)),
    _slogdet_vjp,
    kernel=None,
    square=True,
    name="slogdet",
    public=False,
    doc="(sign, log of the absolute value) of the determinants of square matrices: (0, -inf) for singular ones.",
)


@composite_function(name="linalg.slogdet", method=False)
def slogdet(A: Tensor) -> Any:
    """(sign, logabsdet): the sign and the logarithm of the absolute value of determinants; (0, -inf) for singular
    matrices."""
    sign, size = slogdet_parts(A)
    return SignLogabsdet(sign, size)


det = matrix_function(
    "linalg.det(A) -> Tensor",
    lambda x: np.asarray(np.linalg.det(x), x.dtype),
    lambda dtype, batch, n, m: matrices(dtype, batch),
    lambda g, _y, x: g.unsqueeze(-1).unsqueeze(-1) * cofactors(x),
    kernel="lu_cpu",
    square=True,
    doc="The determinants of square matrices.",
)


def _cofactors(x: np.ndarray) -> np.ndarray:
    """By the singular values, of which all but one are multiplied: nothing is divided by what may be 0."""
    u, s, vh = np.linalg.svd(x)
    n = s.shape[-1]
    others = np.where(np.eye(n, dtype=bool), 1, s[..., None, :]).prod(-1)
    sign = np.linalg.det(u) * np.linalg.det(vh)
    return ((u * others[..., None, :]) @ vh) * sign[..., None, None]


def _cofactors_vjp(g: Any, y: Any, x: Any) -> Any:
    # y = det * M for M the transposed inverse, whose change is -M dx' M.
    m = inv(x).mT
    return (g * y).sum([-2, -1], True) * m - y @ g.mT @ m


cofactors = matrix_function(
    "cofactors(A) -> Tensor",
    lambda x: _cofactors(x) if x.size else x.copy(),
    lambda dtype, batch, n, m: matrices(dtype, batch, n, m),
    _cofactors_vjp,
    kernel="lu_cpu",
    square=True,
    public=False,
    doc="The determinants' gradients: det(A) times the transposed inverse, for singular matrices too (their second "
    "gradients raise LinAlgError).",
)
