"""Rows of sums with matrix products, contractions and einsum."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

import specjit
from specjit.dtypes import float64, int64
from tests.opinfo import FLOATS, INTS, NUMBERS, Make, Sample, row
from tests.opinfo.reduce import products

PRODUCTS = (*FLOATS, *INTS)


def sums(*shapes: Any) -> Any:
    """(input, left, right) shapes, with every pair of numbers for the first."""

    def sample(make: Make) -> Iterator[Sample]:
        for shape, a, b in shapes:
            yield (make(*shape, low=-1), make(*a, low=-1), make(*b, low=-1)), {}
        shape, a, b = shapes[0]
        for numbers in ({"beta": 2}, {"alpha": 3}, {"beta": 0, "alpha": 1}, {"beta": 2, "alpha": 0}):
            yield (make(*shape, low=-1), make(*a, low=-1), make(*b, low=-1)), numbers
        if make.dtype.is_floating_point:
            yield (make(*shape, low=-1), make(*a, low=-1), make(*b, low=-1)), {"beta": 0.5, "alpha": -1.5}

    return sample


def sum_with(product: Any) -> Any:
    def reference(x: np.ndarray, a: np.ndarray, b: np.ndarray, beta: Any = 1, alpha: Any = 1) -> np.ndarray:
        a, b = (a.astype(np.float64), b.astype(np.float64)) if a.dtype.kind == "f" else (a, b)
        made = product(a, b)
        out = beta * x.astype(made.dtype) + alpha * made if beta else alpha * made
        return out if x.dtype.kind == "f" else out.astype(x.dtype)

    return reference


M = specjit.ones(2, 2)
V = specjit.ones(2)
B = specjit.ones(3, 2, 2)
L = specjit.ones(2, 2, dtype=int64)
row(
    "addmv",
    sums(((2,), (2, 3), (3,)), ((1,), (2, 3), (3,)), ((), (2, 3), (3,)), ((2,), (2, 0), (0,)), ((0,), (0, 3), (3,))),
    sum_with(np.matmul),
    dtypes=PRODUCTS,
    scale=16,
    errors=[
        (lambda: specjit.addmv(M, M, V), RuntimeError, "vector \\+ matrix @ vector expected"),
        (lambda: specjit.addmv(V, B, V), RuntimeError, "vector \\+ matrix @ vector expected"),
        (lambda: specjit.addmv(specjit.ones(3), M, V), RuntimeError, "must match the existing size"),
        (lambda: specjit.addmv(V, M, V.to(float64)), RuntimeError, "same dtype"),
    ],
)
row(
    "addbmm",
    sums(((2, 4), (3, 2, 3), (3, 3, 4)), ((4,), (2, 2, 3), (2, 3, 4)), ((2, 1), (0, 2, 3), (0, 3, 1))),
    sum_with(lambda a, b: np.matmul(a, b).sum(0, dtype=a.dtype)),
    dtypes=PRODUCTS,
    scale=32,
    errors=[
        (lambda: specjit.addbmm(M, M, B), RuntimeError, "batch1 must be a 3D tensor"),
        (lambda: specjit.addbmm(M, B, specjit.ones(2, 2, 2)), RuntimeError, "Expected size for first two dimensions"),
        (lambda: specjit.addbmm(B, B, B), RuntimeError, "number of sizes provided"),
        (lambda: specjit.addbmm(L, B, B), RuntimeError, "same dtype"),
    ],
)
row(
    "baddbmm",
    sums(((3, 2, 4), (3, 2, 3), (3, 3, 4)), ((4,), (2, 2, 3), (2, 3, 4)), ((2, 2, 1), (2, 2, 0), (2, 0, 1))),
    sum_with(np.matmul),
    dtypes=PRODUCTS,
    scale=16,
    errors=[
        (lambda: specjit.baddbmm(L, B, B), RuntimeError, "same dtype"),
    ],
)
row(
    "addr",
    sums(((3, 4), (3,), (4,)), ((4,), (3,), (4,)), ((), (0,), (2,))),
    sum_with(np.outer),
    dtypes=PRODUCTS,
    scale=8,
    errors=[(lambda: specjit.addr(V, M, V), RuntimeError, "1-D")],
)
row("vdot", products(((3,), (3,)), ((0,), (0,))), np.dot, scale=8, dtypes=(*FLOATS, int64))
row("ger", products(((3,), (4,)), ((0,), (2,))), np.outer, dtypes=NUMBERS)


def inner_samples(make: Make) -> Iterator[Sample]:
    yield from products(
        ((3,), (3,)), ((2, 3), (4, 3)), ((2, 3), (3,)), ((3,), (2, 2, 3)), ((), (2, 3)), ((0,), (2, 0))
    )(make)
    yield (make(3, 4, layout="T"), make(2, 4, layout="S")), {}


def exactly(fn: Any) -> Any:
    """The reference in float64, or in the ints themselves."""

    def reference(*args: Any, **kwargs: Any) -> Any:
        wide = [a.astype(np.float64) if isinstance(a, np.ndarray) and a.dtype.kind == "f" else a for a in args]
        return fn(*wide, **kwargs)

    return reference


row(
    "inner",
    inner_samples,
    exactly(np.inner),
    dtypes=PRODUCTS,
    scale=16,
    errors=[
        (lambda: specjit.inner(specjit.ones(2, 3), specjit.ones(2, 4)), RuntimeError, "last dimension must match"),
        (lambda: specjit.inner(M, L), RuntimeError, "same dtype"),
    ],
)


def tensordot_samples(make: Make) -> Iterator[Sample]:
    yield (make(2, 3), make(3, 4)), {"dims": 1}
    yield (make(2, 3, 4), make(3, 4, 2)), {}
    yield (make(2), make(3)), {"dims": 0}
    yield (make(2, 3, 4), make(4, 3)), {"dims": ([1, -1], [1, 0])}
    yield (make(2, 3), make(2)), {"dims": ([0], [0])}
    yield (make(4, 3, layout="T"), make(4, 2)), {"dims": ([0], [0])}
    yield (make(0, 3), make(3, 2)), {"dims": 1}
    yield (make(2, 1), make(3, 2)), {"dims": 1}


def tensordot_reference(a: np.ndarray, b: np.ndarray, dims: Any = 2) -> np.ndarray:
    if a.shape == (2, 1):
        a = np.repeat(a, 3, 1)
    return np.tensordot(a, b, dims)


row(
    "tensordot",
    tensordot_samples,
    exactly(tensordot_reference),
    dtypes=PRODUCTS,
    scale=32,
    errors=[
        (lambda: specjit.tensordot(M, M, dims=-1), RuntimeError, "expects dims >= 0"),
        (lambda: specjit.tensordot(M, M, dims=3), RuntimeError, "expects dims < ndim_a or ndim_b"),
        (lambda: specjit.tensordot(M, M, dims=([1], [0, 1])), RuntimeError, "same length"),
        (lambda: specjit.tensordot(M, specjit.ones(3, 2), dims=1), RuntimeError, "need to match"),
        (lambda: specjit.tensordot(M, L, dims=0), RuntimeError, "same dtype"),
        (lambda: specjit.tensordot(M, M, dims=([5], [0])), IndexError, "out of range"),
    ],
)
row(
    "kron",
    products(((2, 3), (3, 2)), ((2,), (2, 3)), ((), (2,)), ((2, 1, 2), (2, 2)), ((0, 2), (2, 2))),
    exactly(np.kron),
    dtypes=NUMBERS,
    scale=2,
)


def trace_samples(make: Make) -> Iterator[Sample]:
    for shape in ((3, 3), (2, 4), (0, 3), (1, 1)):
        yield (make(*shape),), {}
    yield (make(4, 3, layout="T"),), {}


row(
    "trace",
    trace_samples,
    lambda x: np.trace(x, dtype=np.int64 if x.dtype.kind in "iu" else None),
    dtypes=NUMBERS,
    scale=8,
    errors=[
        (lambda: specjit.trace(specjit.ones(2)), RuntimeError, "expected a matrix"),
        (lambda: specjit.trace(M > 0), NotImplementedError, "not implemented for 'Bool'"),
    ],
)


def cross_samples(make: Make) -> Iterator[Sample]:
    yield (make(3), make(3)), {}
    yield (make(2, 3), make(2, 3)), {}
    yield (make(2, 3), make(1, 3)), {}
    yield (make(0, 3), make(0, 3)), {}
    yield (make(3, 4, layout="T"), make(3, 4)), {"dim": 0}
    yield (make(2, 3, 2), make(2, 3, 2)), {"dim": -2}


def cross_reference(a: np.ndarray, b: np.ndarray, dim: Any = None) -> np.ndarray:
    axis = (a.shape.index(3) if dim is None else dim) % a.ndim
    return np.moveaxis(np.cross(np.moveaxis(a, axis, -1), np.moveaxis(b, axis, -1)), -1, axis)


CROSS = dict(dtypes=PRODUCTS, scale=64)
row(
    "cross",
    cross_samples,
    exactly(cross_reference),
    **CROSS,
    errors=[
        (lambda: specjit.cross(M, M), RuntimeError, "no dimension of size 3"),
        (lambda: specjit.cross(specjit.ones(3), specjit.ones(2, 3)), RuntimeError, "same number of dimensions"),
        (lambda: specjit.cross(specjit.ones(3), specjit.ones(3).long()), RuntimeError, "expected scalar type Float"),
    ],
)
row(
    "linalg.cross",
    cross_samples,
    exactly(lambda a, b, dim=-1: cross_reference(a, b, dim)),
    **CROSS,
    errors=[(lambda: specjit.linalg.cross(M, M), RuntimeError, "must have length 3")],
)


def distances(make: Make) -> Iterator[Sample]:
    for p in (2.0, 1.0, 0.0, 3.0, 0.5, float("inf")):
        yield (make(2, 3, low=-1, high=1), make(4, 3, low=2, high=3), p), {}
    yield (make(2, 1, 2, 2), make(3, 3, 2, low=4, high=5)), {}
    yield (make(2, 0), make(3, 0)), {}
    yield (make(0, 2), make(3, 2)), {"compute_mode": "donot_use_mm_for_euclid_dist"}


def distance_reference(a: np.ndarray, b: np.ndarray, p: float = 2.0, compute_mode: str = "") -> np.ndarray:
    gap = np.abs(a[..., :, None, :].astype(np.float64) - b[..., None, :, :])
    if not gap.shape[-1]:
        return gap.sum(-1)
    return np.linalg.norm(gap, p, -1)


row(
    "cdist",
    distances,
    distance_reference,
    dtypes=(specjit.float32, float64),
    scale=32,
    errors=[
        (lambda: specjit.cdist(M, specjit.ones(2, 3)), RuntimeError, "same number of columns"),
        (lambda: specjit.cdist(V, M), RuntimeError, "at least 2D"),
        (lambda: specjit.cdist(M, M, -1), RuntimeError, "non-negative p"),
        (lambda: specjit.cdist(L, L), RuntimeError, "only supports floating-point"),
        (lambda: specjit.cdist(M, M.to(float64)), RuntimeError, "expected scalar type"),
        (lambda: specjit.cdist(M, M, compute_mode="x"), ValueError, "not a valid value"),
    ],
)


def chains(make: Make) -> Iterator[Sample]:
    for shapes in (
        ((2, 3), (3, 4)),
        ((2, 3), (3, 4), (4, 2)),
        ((4, 1), (1, 4), (4, 2), (2, 3)),
        ((3,), (3, 2), (2,)),
        ((3,), (3,)),
        ((2, 3), (3, 0), (0, 2)),
    ):
        yield ([make(*s, low=-1, high=1) for s in shapes],), {}


row(
    "linalg.multi_dot",
    chains,
    lambda xs: np.linalg.multi_dot([x.astype(np.float64) if x.dtype.kind == "f" else x for x in xs]),
    dtypes=PRODUCTS,
    scale=32,
    errors=[
        (lambda: specjit.linalg.multi_dot([M]), RuntimeError, "at least 2 tensors"),
        (lambda: specjit.linalg.multi_dot([M, B]), RuntimeError, "must be 1D or 2D"),
        (lambda: specjit.linalg.multi_dot([M, B, M]), RuntimeError, "must be 2D"),
        (lambda: specjit.linalg.multi_dot([M, specjit.ones(3, 2)]), RuntimeError, "cannot be multiplied"),
        (lambda: specjit.linalg.multi_dot([M, L]), RuntimeError, "same dtype"),
    ],
)

EQUATIONS = (
    ("ij,jk->ik", (2, 3), (3, 4)),
    ("ij,jk", (2, 3), (3, 2)),
    ("bij,bjk->bik", (2, 2, 3), (2, 3, 2)),
    ("i,i->", (3,), (3,)),
    ("i,j->ij", (2,), (3,)),
    ("ii->i", (3, 3)),
    ("ii", (3, 3)),
    ("iij->j", (2, 2, 3)),
    ("ij->ji", (2, 3)),
    ("ij->", (2, 3)),
    ("...ij,...jk->...ik", (2, 1, 2, 3), (3, 3, 2)),
    ("...i->...", (2, 3)),
    ("i...->i", (2, 3, 2)),
    ("bn,anm,bm->ba", (2, 3), (2, 3, 2), (2, 2)),
    ("ij,ik,il->jkl", (2, 2), (2, 2), (2, 2)),
    ("ij,ij->ij", (1, 3), (2, 1)),
    ("ab,cd->", (2, 2), (2, 2)),
    ("bA,Ac", (2, 3), (3, 2)),
    ("ij , jk -> k i", (0, 3), (3, 2)),
    ("ij,j", (2, 3), (1,)),
)


def equations(make: Make) -> Iterator[Sample]:
    for equation, *shapes in EQUATIONS:
        yield (equation, *[make(*s, low=-1, high=1) for s in shapes]), {}
    yield ("ij,jk->ik", [make(2, 2), make(2, 2)]), {}
    yield ("ij,kj->ik", make(3, 4, layout="T"), make(3, 4, layout="S")), {}
    yield (make(2, 3), [0, 1], make(3, 2), [1, 2]), {}
    yield (make(2, 3), [0, 1], make(3, 2), [1, 2], [2, 0]), {}
    yield (make(2, 3), [..., 1], [1, ...]), {}


def einsum_reference(*args: Any) -> Any:
    if not isinstance(args[0], str):
        return np.einsum(
            *[a.astype(np.float64) if isinstance(a, np.ndarray) and a.dtype.kind == "f" else a for a in args]
        )
    equation, *arrays = args
    arrays = arrays[0] if isinstance(arrays[0], list) else arrays
    arrays = [a.astype(np.float64) if a.dtype.kind == "f" else a for a in arrays]
    if equation == "i...->i":
        return arrays[0].sum((1, 2))
    if equation == "ij,j":
        arrays[1] = np.repeat(arrays[1], 3)
    dtype = (
        np.int64 if arrays[0].dtype.kind in "iu" and len(arrays) == 1 and equation not in ("ii->i", "ij->ji") else None
    )
    return np.einsum(equation, *arrays, dtype=dtype, casting="unsafe")


row(
    "einsum",
    equations,
    einsum_reference,
    dtypes=PRODUCTS,
    scale=32,
    view=None,
    errors=[
        (lambda: specjit.einsum("ij,jk->ik", M, specjit.ones(3, 2)), RuntimeError, "does not broadcast"),
        (lambda: specjit.einsum("ij->ijz", M), RuntimeError, "output subscript z does not appear"),
        (lambda: specjit.einsum("ij->ii", M), RuntimeError, "appears more than once"),
        (lambda: specjit.einsum("ij,jk", M), RuntimeError, "fewer operands"),
        (lambda: specjit.einsum("ij", M, M), RuntimeError, "more operands"),
        (lambda: specjit.einsum("ij", V), RuntimeError, "does not match the number of dimensions"),
        (lambda: specjit.einsum("i.j", M), RuntimeError, "not part of any ellipsis"),
        (lambda: specjit.einsum("i1", M), RuntimeError, "must be in"),
        (lambda: specjit.einsum("ii", specjit.ones(2, 3)), RuntimeError, "sizes don't match"),
        (lambda: specjit.einsum("i,i", V, V.long()), RuntimeError, "dtype"),
        (lambda: specjit.einsum("ij"), ValueError, "must specify the equation"),
        (lambda: specjit.einsum(M, [0, 52]), ValueError, "valid range"),
    ],
)
