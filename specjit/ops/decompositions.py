"""Factorizations of matrices: Cholesky, QR, singular values, eigenvalues.

Enters: float32 or float64 matrices, alone or in batches (the last two dims). Leaves: LAPACK's results, by NumPy.
Invariant: gradients are written in ops, so they have gradients too. Their formulas: Giles, "An extended collection of
matrix derivative results for forward and reverse mode algorithmic differentiation" (2008); of QR for wide matrices,
Walter and Lehmann, "Algorithmic differentiation of linear algebra functions" (2010).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from specjit.ir.types import Type
from specjit.ops.combine import cat
from specjit.ops.inverses import solve_matrices
from specjit.ops.matrix_functions import LinAlgError, first_failure, least, matrices, matrix_function
from specjit.ops.rearrange import tril
from specjit.ops.records.composites import composite_function
from specjit.ops.records.results import QR, SVD, Eigenpairs
from specjit.ops.views import diag_embed, diagonal
from specjit.tensor.tensor import Tensor


def _cholesky(x: np.ndarray, upper: bool) -> np.ndarray:
    try:
        return np.linalg.cholesky(x, upper=upper)
    except np.linalg.LinAlgError:
        raise LinAlgError(
            f"linalg.cholesky: {first_failure(np.linalg.cholesky, x)}The factorization could not be completed because "
            "the input is not positive-definite."
        ) from None


def _cholesky_vjp(g: Any, y: Any, _x: Any, upper: bool) -> Any:
    low, g = (y.mT, g.mT) if upper else (y, g)
    inner = low.mT @ g
    half = (tril(inner) + tril(inner, -1)) / 2
    found = solve_matrices(low.mT, solve_matrices(low.mT, half.mT).mT)
    return (found + found.mT) / 2


cholesky = matrix_function(
    "linalg.cholesky(A, *, upper: bool = False) -> Tensor",
    _cholesky,
    lambda dtype, batch, n, m, upper: matrices(dtype, batch, n, m),
    _cholesky_vjp,
    kernel="cholesky_cpu",
    square=True,
    doc="""The lower triangular L with L @ L.mT = A for symmetric positive-definite matrices (or L.mT, if `upper`).

    Only one triangle of A is read; the gradient is that of symmetric changes.""",
)

QR_MODES = ("reduced", "complete", "r")


def _check_mode(mode: str) -> None:
    if mode not in QR_MODES:
        raise RuntimeError(
            f"qr received unrecognized mode '{mode}' but expected one of 'reduced' (default), 'r', or 'complete'"
        )


def _qr(x: np.ndarray, mode: str) -> Any:
    _check_mode(mode)
    if mode == "r":
        return np.empty(0, x.dtype), np.linalg.qr(x, "r")
    n, m = x.shape[-2:]
    if not min(n, m):
        # LAPACK is not asked about matrices without elements.
        width = n if mode == "complete" else 0
        q = np.broadcast_to(np.eye(n, width, dtype=x.dtype), (*x.shape[:-2], n, width))
        return q.copy(), np.zeros((*x.shape[:-2], width, m), x.dtype)
    return tuple(np.linalg.qr(x, mode))  # type: ignore[call-overload]


def _qr_result(dtype: Any, batch: Any, n: Any, m: Any, mode: str) -> Any:
    _check_mode(mode)
    inner = n if mode == "complete" else least(n, m)
    q = Type.tensor(dtype, (0,)) if mode == "r" else matrices(dtype, batch, n, inner)
    return q, matrices(dtype, batch, inner, m)


def _qr_vjp(g: Any, y: Any, _x: Any, mode: str) -> Any:
    rows, columns = _x.shape[-2:]
    if mode == "r" or (mode == "complete" and rows > columns):
        raise RuntimeError(f"linalg.qr: the gradient is not defined for mode='{mode}' with these shapes")
    (gq, gr), (q, r) = g, y
    if rows >= columns:
        return _tall_qr(gq, gr, q, r)
    # Wide: A = [X Y] and R = [U V], where X = Q U is square and Y = Q V.
    rest = columns - rows
    gv, v = gr.narrow(-1, rows, rest), r.narrow(-1, rows, rest)
    gx = _tall_qr(gq + q @ v @ gv.mT, gr.narrow(-1, 0, rows), q, r.narrow(-1, 0, rows))
    return cat([gx, q @ gv], -1)


def _tall_qr(gq: Any, gr: Any, q: Any, r: Any) -> Any:
    m = r @ gr.mT - gq.mT @ q
    whole = tril(m) + tril(m, -1).mT
    # (gq + q @ whole) @ inv(r).mT
    return solve_matrices(r, (gq + q @ whole).mT).mT


qr_factors = matrix_function(
    "qr_factors(A, mode: str = 'reduced') -> (Tensor, Tensor)",
    _qr,
    _qr_result,
    _qr_vjp,
    kernel="geqrf_cpu",
    square=False,
    name="qr",
    public=False,
    doc="The two results of `linalg.qr`.",
)


@composite_function(name="linalg.qr", method=False)
def qr(A: Tensor, mode: str = "reduced") -> Any:
    """(Q, R) with Q @ R = A, Q with orthonormal columns, R upper triangular.

    mode: "reduced" (Q has as many columns as A has rows or columns, whichever are fewer), "complete" (Q is square), "r"
    (Q is empty).
    """
    q, r = qr_factors(A, mode)
    return QR(q, r)


def _svd(x: np.ndarray, full_matrices: bool, driver: Any) -> Any:
    _check_driver(driver)
    n, m = x.shape[-2:]
    if not min(n, m):
        # LAPACK is not asked about matrices without elements.
        batch = x.shape[:-2]
        rows, columns = (n, m) if full_matrices else (0, 0)
        u = np.broadcast_to(np.eye(n, rows, dtype=x.dtype), (*batch, n, rows)).copy()
        return (
            u,
            np.zeros((*batch, 0), x.dtype),
            np.broadcast_to(np.eye(columns, m, dtype=x.dtype), (*batch, columns, m)).copy(),
        )
    try:
        return tuple(np.linalg.svd(x, full_matrices))
    except np.linalg.LinAlgError:
        raise LinAlgError(
            "linalg.svd: The algorithm failed to converge because the input matrix contained non-finite values."
        ) from None


def _check_driver(driver: Any) -> None:
    if driver is not None:
        raise RuntimeError("linalg.svd: keyword argument `driver=` is only supported on CUDA inputs.")


def _svd_result(dtype: Any, batch: Any, n: Any, m: Any, full_matrices: bool, driver: Any) -> Any:
    _check_driver(driver)
    k = least(n, m)
    u = matrices(dtype, batch, n, n if full_matrices else k)
    return u, matrices(dtype, batch, k), matrices(dtype, batch, m if full_matrices else k, m)


def _svd_vjp(g: Any, y: Any, _x: Any, full_matrices: Any, driver: Any) -> Any:
    (gu, gs, gvh), (u, s, vh) = g, y
    rows, columns, k = u.shape[-2], vh.shape[-1], s.shape[-1]
    # Vectors beyond the k-th are any basis of the rest: their gradients are left out.
    u, gu = u.narrow(-1, 0, k), gu.narrow(-1, 0, k)
    vh, gvh = vh.narrow(-2, 0, k), gvh.narrow(-2, 0, k)
    square = s * s
    gap = square.unsqueeze(-2) - square.unsqueeze(-1)
    gap = gap + diag_embed(s * 0 + 1)
    along_u, along_v = u.mT @ gu, gvh @ vh.mT
    column, row = s.unsqueeze(-2), s.unsqueeze(-1)
    core = (along_u - along_u.mT) / gap * column + row * ((along_v.mT - along_v) / gap) + diag_embed(gs)
    found = u @ core @ vh
    if rows > k:
        rest = gu - u @ along_u
        found = found + (rest / column) @ vh
    if columns > k:
        rest = gvh - along_v @ vh
        found = found + u @ (rest / row)
    return found


svd_factors = matrix_function(
    "svd_factors(A, full_matrices: bool = True, *, driver: 'str?' = None) -> (Tensor, Tensor, Tensor)",
    _svd,
    _svd_result,
    _svd_vjp,
    kernel="linalg_svd_cpu",
    square=False,
    name="svd",
    public=False,
    doc="The three results of `linalg.svd`.",
)


@composite_function(name="linalg.svd", method=False)
def svd(A: Tensor, full_matrices: bool = True, *, driver: str | None = None) -> Any:
    """(U, S, Vh) with U @ diag(S) @ Vh = A, S descending; U and Vh square if `full_matrices`.

    The gradient needs distinct singular values, except where only S is used.
    """
    u, s, vh = svd_factors(A, full_matrices, driver=driver)
    return SVD(u, s, vh)


@composite_function(
    name="linalg.svdvals",
    method=False,
    direct=lambda x, driver: np.linalg.svd(x, compute_uv=False) if x.dtype.char in "fd" else None,
)
def svdvals(A: Tensor, *, driver: str | None = None) -> Tensor:
    """The singular values, descending."""
    return svd_factors(A, False, driver=driver)[1]


def _eigh(x: np.ndarray, UPLO: str) -> Any:
    _check_triangle(UPLO)
    try:
        return tuple(np.linalg.eigh(x, UPLO.upper()))  # type: ignore[call-overload]
    except np.linalg.LinAlgError:
        raise LinAlgError(
            "linalg.eigh: The algorithm failed to converge because the input matrix is ill-conditioned or has too many "
            "repeated eigenvalues."
        ) from None


def _check_triangle(UPLO: Any) -> None:
    if UPLO.upper() not in ("L", "U"):
        raise RuntimeError(f"Expected UPLO argument to be 'L' or 'U', but got {UPLO}")


def _eigh_result(dtype: Any, batch: Any, n: Any, m: Any, UPLO: Any) -> Any:
    _check_triangle(UPLO)
    return matrices(dtype, batch, n), matrices(dtype, batch, n, m)


def _eigh_vjp(g: Any, y: Any, _x: Any, UPLO: Any) -> Any:
    (gw, gv), (w, v) = g, y
    gap = w.unsqueeze(-2) - w.unsqueeze(-1)
    along = v.mT @ gv
    off = (along - diag_embed(diagonal(along, 0, -2, -1))) / (gap + diag_embed(w * 0 + 1))
    return v @ (off + diag_embed(gw)) @ v.mT


eigh_factors = matrix_function(
    "eigh_factors(A, UPLO: str = 'L') -> (Tensor, Tensor)",
    _eigh,
    _eigh_result,
    _eigh_vjp,
    kernel="linalg_eigh_cpu",
    square=True,
    name="eigh",
    public=False,
    doc="The two results of `linalg.eigh`.",
)


@composite_function(name="linalg.eigh", method=False)
def eigh(A: Tensor, UPLO: str = "L") -> Any:
    """(eigenvalues, ascending; eigenvectors, as columns) of symmetric matrices.

    Only the lower ("L") or upper ("U") triangle is read; the gradient is that of symmetric changes.
    """
    w, v = eigh_factors(A, UPLO)
    return Eigenpairs(w, v)


@composite_function(
    name="linalg.eigvalsh",
    method=False,
    direct=lambda x, UPLO: np.linalg.eigvalsh(x, UPLO) if x.dtype.char in "fd" else None,
)
def eigvalsh(A: Tensor, UPLO: str = "L") -> Tensor:
    """The eigenvalues of symmetric matrices, ascending."""
    return eigh_factors(A, UPLO)[0]
