"""Rows of norms, inverses, determinants and factorizations."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

import specjit
from specjit.dtypes import float64, int64
from tests.opinfo import FLOATS, WIDE, Make, Sample, row
from tests.opinfo.reduce import axes

NAN = specjit.ones(2, 2) * math.nan
M = specjit.ones(2, 2)
V = specjit.ones(2)
W = specjit.ones(2, 3)
L = specjit.ones(2, 2, dtype=int64)
ORDERS = (2, 1, 0, 3, 0.5, -1, -2.5, math.inf, -math.inf)


def vectors(make: Make) -> Iterator[Sample]:
    for ord in ORDERS:
        yield (make(2, 3), ord), {}
        yield (make(2, 3), ord, -1), {"keepdim": True}
        yield (make(), ord), {}
    for dim in (0, [0, 2], ()):
        yield (make(2, 3, 2), 2, dim), {}
    yield (make(0),), {}
    yield (make(2, 0), math.inf, 0), {}
    yield (make(4, 3, layout="T"), 3, 0), {}
    yield (make(2, 2),), {"dtype": float64}
    if make.plain:
        yield (make.special(),), {}
        yield (make.special(), 1), {}
        yield (specjit.zeros(2, 2, dtype=make.dtype), 2, 1), {}


def vector_reference(x: np.ndarray, ord: Any = 2, dim: Any = None, keepdim: bool = False, dtype: Any = None) -> Any:
    with np.errstate(all="ignore"):
        size = np.abs(x.astype(np.float64))
        where: Any = {"axis": axes(dim) or (0 if dim == 0 else None), "keepdims": keepdim}
        if ord == 0:
            return (size != 0).sum(**where).astype(np.float64)
        if math.isinf(ord):
            return (size.max if ord > 0 else size.min)(**where)
        return np.power(np.power(size, ord).sum(**where), 1 / ord)


row(
    "linalg.vector_norm",
    vectors,
    vector_reference,
    scale=32,
    errors=[
        (lambda: specjit.linalg.vector_norm(L), RuntimeError, "Expected a floating point"),
        (lambda: specjit.linalg.vector_norm(M, dtype=specjit.float16), RuntimeError, "without narrowing"),
        (lambda: specjit.linalg.vector_norm(specjit.ones(0), -1), RuntimeError, "does not have an identity"),
        (lambda: specjit.linalg.vector_norm(specjit.ones(2, 0), math.inf, 1), RuntimeError, "an identity"),
        (lambda: specjit.linalg.vector_norm(M, "fro"), TypeError, "ord"),
        (lambda: specjit.linalg.vector_norm(M, 2, (0, 0)), RuntimeError, "multiple times"),
        (lambda: specjit.linalg.vector_norm(M, 2, 5), IndexError, "out of range"),
    ],
)


def matrices(*orders: Any) -> Any:
    def sample(make: Make) -> Iterator[Sample]:
        for ord in orders:
            yield (make(2, 3), ord), {}
            yield (make(2, 3, 2), ord, (2, 0)), {"keepdim": True}
            yield (make(2, 3, 2), ord, (-3, -2)), {}
        yield (make(4, 3, layout="T"),), {}
        yield (make(0, 3), math.inf), {}
        yield (make(0, 2, 2), -2), {}
        yield (make(2, 3),), {"dtype": float64}

    return sample


def matrix_reference(
    x: np.ndarray, ord: Any = "fro", dim: Any = (-2, -1), keepdim: bool = False, dtype: Any = None
) -> Any:
    if 0 in x.shape:
        return np.zeros(() if x.ndim == 2 else 0)
    return np.linalg.norm(x.astype(np.float64), ord, dim, keepdim)


row(
    "linalg.matrix_norm",
    matrices("fro", 1, -1, math.inf, -math.inf, "nuc", 2, -2),
    matrix_reference,
    dtypes=WIDE,
    scale=32,
    errors=[
        (lambda: specjit.linalg.matrix_norm(V), RuntimeError, "at least 2 dimensions"),
        (lambda: specjit.linalg.matrix_norm(L), RuntimeError, "Expected a floating point"),
        (lambda: specjit.linalg.matrix_norm(M, 3), RuntimeError, "Order 3 not supported"),
        (lambda: specjit.linalg.matrix_norm(specjit.ones(2, 0), -2), IndexError, "size"),
        (lambda: specjit.linalg.matrix_norm(M, "x"), RuntimeError, "Order x not supported"),
        (lambda: specjit.linalg.matrix_norm(M, dim=(0, 0)), RuntimeError, "must be different"),
        (lambda: specjit.linalg.matrix_norm(M, dim=(0,)), RuntimeError, "must be a 2-tuple"),
        (lambda: specjit.linalg.matrix_norm(M, dim=0), TypeError, "dim"),
        (lambda: specjit.linalg.matrix_norm(M.half(), "nuc"), RuntimeError, "Low precision"),
    ],
)


def norms(make: Make) -> Iterator[Sample]:
    yield (make(2, 3),), {}
    yield (make(2, 3, 2),), {"keepdim": True}
    yield (make(2, 3), 1), {}
    yield (make(3), 3), {}
    yield (make(2, 3), None, 1), {}
    yield (make(2, 3), math.inf, [0]), {"keepdim": True}
    yield (make(2, 3, 2), None, (0, 2)), {}
    yield (make(2, 3, 2), "fro", (0, 2)), {}
    yield (make(2, 3),), {"dtype": float64}
    yield (make(),), {}
    if make.dtype.itemsize > 2:
        yield (make(2, 3), "nuc"), {}


def norm_reference(x: np.ndarray, ord: Any = None, dim: Any = None, keepdim: bool = False, dtype: Any = None) -> Any:
    return np.linalg.norm(
        x.astype(np.float64),
        ord,
        tuple(dim) if isinstance(dim, list) and len(dim) > 1 else dim[0] if isinstance(dim, list) else dim,
        keepdim,
    )


row(
    "linalg.norm",
    norms,
    norm_reference,
    dtypes=FLOATS,
    scale=32,
    errors=[
        (lambda: specjit.linalg.norm(specjit.ones(2, 2, 2), 2), RuntimeError, "must be 1D or 2D"),
        (lambda: specjit.linalg.norm(M, "fro", 0), RuntimeError, "must be a 2-tuple"),
        (lambda: specjit.linalg.norm(M, None, (0, 1, 2)), RuntimeError, "length 1 or 2"),
        (lambda: specjit.linalg.norm(L), RuntimeError, "Expected a floating point"),
    ],
)


def array(make: Make, *shape: int, solid: float = 3.0) -> np.ndarray:
    """Random matrices with `solid` on the diagonal."""
    n, m = shape[-2:]
    return (make.array(shape, -1, 1, make.dtype) + solid * np.eye(n, m)).astype(make.dtype.numpy)


def square(make: Make) -> Iterator[Sample]:
    for shape in ((3, 3), (2, 2, 2), (1, 1), (0, 0), (2, 0, 0), (0, 2, 2)):
        yield (make.wrap(array(make, *shape)),), {}
    yield (make.wrap(array(make, 3, 3).T),), {}


def matrix_errors(
    name: str, is_square: bool = True, half: type[Exception] = NotImplementedError, ints: type[Exception] = RuntimeError
) -> Any:
    found: list[Any] = [
        (lambda: getattr(specjit.linalg, name)(V), RuntimeError, "at least 2 dimensions"),
        (lambda: getattr(specjit.linalg, name)(L), ints, "Long"),
        (lambda: getattr(specjit.linalg, name)(M.half()), half, "Half"),
    ]
    return found + [(lambda: getattr(specjit.linalg, name)(W), RuntimeError, "square matrices")] * is_square


def in_double(fn: Any) -> Any:
    return lambda x, *rest, **named: fn(x.astype(np.float64), *rest, **named)


row(
    "linalg.inv",
    square,
    in_double(np.linalg.inv),
    dtypes=WIDE,
    scale=64,
    errors=[
        *matrix_errors("inv", half=RuntimeError),
        (lambda: specjit.linalg.inv(M), specjit.linalg.LinAlgError, "singular"),
        (lambda: specjit.linalg.inv(specjit.stack([M + M.tril(), M])), specjit.linalg.LinAlgError, "Batch element 1"),
    ],
)
row("inverse", square, in_double(np.linalg.inv), dtypes=WIDE, scale=64)
row("linalg.det", square, in_double(np.linalg.det), dtypes=WIDE, scale=64, errors=matrix_errors("det"))
row("det", square, in_double(np.linalg.det), dtypes=WIDE, scale=64)
row(
    "linalg.slogdet",
    square,
    in_double(np.linalg.slogdet),
    dtypes=WIDE,
    scale=64,
    errors=matrix_errors("slogdet", half=RuntimeError),
)
row("slogdet_parts", square, in_double(np.linalg.slogdet), dtypes=WIDE, scale=64)
row("slogdet", square, in_double(np.linalg.slogdet), dtypes=WIDE, scale=64)


def minors(x: np.ndarray) -> np.ndarray:
    """Every cofactor as a determinant."""
    out = np.zeros(x.shape)
    for *batch, i, j in np.ndindex(*x.shape):
        rest = np.delete(np.delete(x[tuple(batch)], i, 0), j, 1)
        out[(*batch, i, j)] = (-1) ** (i + j) * np.linalg.det(rest)
    return out


def maybe_singular(make: Make) -> Iterator[Sample]:
    yield from square(make)
    if not make.requires_grad:
        yield (make.wrap(np.ones((3, 3), make.dtype.numpy)),), {}
        yield (make.wrap(np.array([[1, 2], [2, 4]], make.dtype.numpy)),), {}


row("cofactors", maybe_singular, in_double(minors), dtypes=WIDE, scale=64)


def signed(make: Make) -> Iterator[Sample]:
    yield from square(make)
    if make.plain:
        yield (make.wrap(np.array([[0, 1], [1, 0]], make.dtype.numpy)),), {}
        yield (make.wrap(np.ones((2, 2), make.dtype.numpy)),), {}


def logdet_reference(x: np.ndarray) -> Any:
    with np.errstate(all="ignore"):
        return np.log(np.linalg.det(x.astype(np.float64)))


row("logdet", signed, logdet_reference, dtypes=WIDE, scale=64)


def equations(make: Make) -> Iterator[Sample]:
    for a, b in (
        ((3, 3), (3,)),
        ((3, 3), (3, 2)),
        ((2, 3, 3), (2, 3)),
        ((2, 3, 3), (3, 1)),
        ((2, 2, 2), (1, 2, 3)),
        ((2, 2), (3, 2, 1)),
        ((0, 0), (0, 2)),
    ):
        yield (make.wrap(array(make, *a)), make(*b)), {}
    yield (make.wrap(array(make, 2, 2)), make(3, 2)), {"left": False}
    yield (make.wrap(array(make, 2, 2, 2)), make(3, 2)), {"left": False}


def solve_reference(a: np.ndarray, b: np.ndarray, left: bool = True) -> np.ndarray:
    a, b = a.astype(np.float64), b.astype(np.float64)
    if not left:
        return np.swapaxes(np.linalg.solve(np.swapaxes(a, -1, -2), np.swapaxes(b, -1, -2)), -1, -2)
    vectors = b.ndim == 1 or b.shape == a.shape[:-1]
    found = np.linalg.solve(a, b[..., None] if vectors else b)
    return found[..., 0] if vectors else found


row(
    "linalg.solve",
    equations,
    solve_reference,
    dtypes=WIDE,
    scale=256,
    errors=[
        (lambda: specjit.linalg.solve(M, V), specjit.linalg.LinAlgError, "singular"),
        (lambda: specjit.linalg.solve(M, specjit.ones(3)), RuntimeError, "Incompatible shapes"),
        (lambda: specjit.linalg.solve(M, V, left=False), RuntimeError, "Incompatible shapes"),
        (lambda: specjit.linalg.solve(M, specjit.ones(3, 2)), RuntimeError, "Incompatible shapes"),
        (lambda: specjit.linalg.solve(W, V), RuntimeError, "square matrices"),
        (lambda: specjit.linalg.solve(M, V.to(float64)), RuntimeError, "same dtype"),
        (lambda: specjit.linalg.solve(L, L), RuntimeError, "Expected a floating point"),
        (lambda: specjit.linalg.solve(M.half(), M.half()), NotImplementedError, "Half"),
    ],
)


def right_sides(make: Make) -> Iterator[Sample]:
    for a, b in (((3, 3), (3, 2)), ((2, 2, 2), (1, 2, 3)), ((2, 2), (3, 2, 1)), ((0, 0), (0, 2))):
        yield (make.wrap(array(make, *a)), make(*b)), {}


row("solve_matrices", right_sides, solve_reference, dtypes=WIDE, scale=256)


def powers(make: Make) -> Iterator[Sample]:
    for n in (0, 1, 2, 3, 5):
        yield (make.wrap(array(make, 2, 2, solid=1)), n), {}
    yield (make.wrap(array(make, 2, 3, 3, solid=1)), 4), {}
    yield (make.wrap(array(make, 0, 0)), 2), {}


def signed_powers(make: Make) -> Iterator[Sample]:
    yield from powers(make)
    if make.dtype.itemsize > 2 and make.dtype.is_floating_point:
        yield (make.wrap(array(make, 3, 3)), -1), {}
        yield (make.wrap(array(make, 3, 3)), -3), {}


def power_reference(x: np.ndarray, n: int) -> np.ndarray:
    wide = x.astype(np.float64) if x.dtype.kind == "f" else x
    return np.linalg.matrix_power(wide, n) if x.size else wide


POWERS = dict(dtypes=(*FLOATS, int64), scale=64)
row(
    "linalg.matrix_power",
    signed_powers,
    power_reference,
    view=None,
    **POWERS,
    errors=[
        (lambda: specjit.linalg.matrix_power(V, 2), RuntimeError, "at least 2 dimensions"),
        (lambda: specjit.linalg.matrix_power(W, 2), RuntimeError, "square matrices"),
        (lambda: specjit.linalg.matrix_power(M, -1), specjit.linalg.LinAlgError, "singular"),
        (lambda: specjit.linalg.matrix_power(L, -1), RuntimeError, "Expected a floating point"),
        (lambda: specjit.linalg.matrix_power(M, 1.5), TypeError, "'n'"),
    ],
)
row("matrix_power", powers, power_reference, view=None, **POWERS)


def definite(make: Make) -> Iterator[Sample]:
    for shape in ((3, 3), (2, 2, 2), (1, 1), (0, 0)):
        half = make.array(shape, -1, 1, make.dtype)
        whole = (half @ np.swapaxes(half, -1, -2) + 2 * np.eye(shape[-1])).astype(make.dtype.numpy)
        yield (make.wrap(whole),), {}
        yield (make.wrap(whole),), {"upper": True}


def cholesky_reference(x: np.ndarray, upper: bool = False) -> np.ndarray:
    found = np.linalg.cholesky(x.astype(np.float64))
    return np.swapaxes(found, -1, -2) if upper else found


# The gradients of what reads one triangle only are those of symmetric changes: tests/ops/test_matrices.py.
row(
    "linalg.cholesky",
    definite,
    cholesky_reference,
    dtypes=WIDE,
    grad=False,
    scale=64,
    errors=[
        *matrix_errors("cholesky"),
        (lambda: specjit.linalg.cholesky(-M), specjit.linalg.LinAlgError, "not positive-definite"),
        (
            lambda: specjit.linalg.cholesky(specjit.stack([M + 2 * M.tril().triu(), -M])),
            specjit.linalg.LinAlgError,
            "Batch element 1",
        ),
    ],
)


def tall_and_wide(make: Make) -> Iterator[Sample]:
    for shape in ((3, 3), (4, 2), (2, 4), (2, 3, 2), (1, 1), (0, 2), (2, 0)):
        yield (make.wrap(array(make, *shape)),), {}


def qr_samples(make: Make) -> Iterator[Sample]:
    yield from tall_and_wide(make)
    yield (make.wrap(array(make, 2, 3)), "complete"), {}
    if not make.requires_grad:
        yield (make.wrap(array(make, 4, 2)), "complete"), {}
        yield (make.wrap(array(make, 4, 2)), "r"), {}


def qr_reference(x: np.ndarray, mode: str = "reduced") -> Any:
    if mode == "r":
        return np.zeros(0), np.linalg.qr(x.astype(np.float64), "r")
    return tuple(np.linalg.qr(x.astype(np.float64), mode))


row("qr_factors", qr_samples, qr_reference, dtypes=WIDE, scale=64)
row(
    "linalg.qr",
    qr_samples,
    qr_reference,
    dtypes=WIDE,
    scale=64,
    errors=[
        *matrix_errors("qr", False),
        (lambda: specjit.linalg.qr(M, "x"), RuntimeError, "unrecognized mode"),
    ],
)


def svd_samples(make: Make) -> Iterator[Sample]:
    for args, _ in tall_and_wide(make):
        yield (*args, False), {}
    if not make.requires_grad:
        yield (make.wrap(array(make, 4, 2)),), {}
        yield (make.wrap(array(make, 2, 3)),), {"full_matrices": True}
        yield (make.wrap(array(make, 0, 2)),), {}


def is_svd(found: Any, x: np.ndarray, full_matrices: bool = True) -> None:
    u, s, vh = found
    wide = np.float64
    k = min(x.shape[-2:])
    tolerance = 1e-5 if x.dtype == np.float32 else 1e-12
    np.testing.assert_allclose((u[..., :k] * s[..., None, :]).astype(wide) @ vh[..., :k, :], x, atol=tolerance)
    for q in (np.swapaxes(u, -1, -2) @ u, vh @ np.swapaxes(vh, -1, -2)):
        np.testing.assert_allclose(q, np.broadcast_to(np.eye(q.shape[-1]), q.shape), atol=tolerance)
    assert u.shape[-1] == (x.shape[-2] if full_matrices else k)
    assert vh.shape[-2] == (x.shape[-1] if full_matrices else k)
    assert (np.diff(s) <= 0).all()
    assert (s >= 0).all()


row("svd_factors", svd_samples, properties=is_svd, dtypes=WIDE)
row(
    "linalg.svd",
    svd_samples,
    properties=is_svd,
    dtypes=WIDE,
    errors=[
        *matrix_errors("svd", False),
        (lambda: specjit.linalg.svd(M, driver="gesvd"), RuntimeError, "only supported on CUDA"),
        (lambda: specjit.linalg.svd(NAN), specjit.linalg.LinAlgError, "non-finite"),
    ],
)
row(
    "linalg.svdvals",
    tall_and_wide,
    in_double(lambda x: np.linalg.svd(x, compute_uv=False) if x.size else np.zeros(0)),
    dtypes=WIDE,
    scale=64,
)


def symmetric(make: Make) -> Iterator[Sample]:
    for shape in ((3, 3), (2, 2, 2), (1, 1), (0, 0)):
        x = array(make, *shape)
        yield (make.wrap(x),), {}
        yield (make.wrap(x), "U"), {}


def is_eigh(found: Any, x: np.ndarray, UPLO: str = "L") -> None:
    w, v = found
    low = np.tril(x) if UPLO == "L" else np.swapaxes(np.triu(x), -1, -2)
    whole = (low + np.swapaxes(np.tril(low, -1), -1, -2)).astype(np.float64)
    tolerance = 1e-5 if x.dtype == np.float32 else 1e-12
    np.testing.assert_allclose(whole @ v, v * w[..., None, :], atol=tolerance)
    np.testing.assert_allclose(w, np.linalg.eigvalsh(whole), atol=tolerance)


row("eigh_factors", symmetric, properties=is_eigh, dtypes=WIDE, grad=False)
row(
    "linalg.eigh",
    symmetric,
    properties=is_eigh,
    dtypes=WIDE,
    grad=False,
    errors=[
        *matrix_errors("eigh", ints=NotImplementedError),
        (lambda: specjit.linalg.eigh(M, "X"), RuntimeError, "UPLO"),
    ],
)
row(
    "linalg.eigvalsh",
    symmetric,
    in_double(lambda x, UPLO="L": np.linalg.eigvalsh(x, UPLO)),
    dtypes=WIDE,
    grad=False,
    scale=64,
)
