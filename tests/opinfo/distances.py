"""Rows of linear maps, lengths, distances and angles."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

import specjit
from tests.opinfo import FLOATS, Make, Sample, row, silent


def linear_samples(make: Make) -> Iterator[Sample]:
    for x in ((2, 3), (5, 2, 3), (3,), (0, 3)):
        yield (make(*x, low=-1, high=1), make(4, 3, low=-1, high=1)), {}
        yield (make(*x, low=-1, high=1), make(4, 3, low=-1, high=1), make(4)), {}


def linear_reference(x: np.ndarray, w: np.ndarray, b: np.ndarray | None = None) -> np.ndarray:
    out = x.astype(np.float64) @ w.astype(np.float64).T
    return out if b is None else out + b


row("nn.functional.linear", linear_samples, linear_reference, dtypes=FLOATS, scale=8)


def bilinear_samples(make: Make) -> Iterator[Sample]:
    for batch in ((2,), (2, 3), (), (0,)):
        a, b = make(*batch, 3, low=-1, high=1), make(*batch, 2, low=-1, high=1)
        yield (a, b, make(4, 3, 2, low=-1, high=1)), {}
        yield (a, b, make(4, 3, 2, low=-1, high=1), make(4)), {}
    yield (make(2, 1), make(2, 1), make(1, 1, 1)), {}


def bilinear_reference(x: np.ndarray, y: np.ndarray, w: np.ndarray, b: np.ndarray | None = None) -> np.ndarray:
    out = np.einsum("...i,oij,...j->...o", *(a.astype(np.float64) for a in (x, w, y)))
    return out if b is None else out + b


X, Y = specjit.ones(2, 3), specjit.ones(2, 4)
row(
    "nn.functional.bilinear",
    bilinear_samples,
    bilinear_reference,
    scale=8,
    errors=[
        (lambda: specjit.nn.functional.bilinear(X, Y, specjit.ones(5, 3, 3)), RuntimeError, "input2 size does not"),
        (lambda: specjit.nn.functional.bilinear(X, Y, specjit.ones(5, 2, 4)), RuntimeError, "input1 size does not"),
        (lambda: specjit.nn.functional.bilinear(X, Y[:1], specjit.ones(5, 3, 4)), RuntimeError, "batch dimensions"),
        (lambda: specjit.nn.functional.bilinear(X, Y[0], specjit.ones(5, 3, 4)), RuntimeError, "dimensions do not"),
        (lambda: specjit.nn.functional.bilinear(X, Y, specjit.ones(5, 3, 4), X[0]), RuntimeError, "bias size does"),
    ],
)


def norm(x: np.ndarray, p: float, axis: Any, keepdims: bool) -> np.ndarray:
    x = np.abs(x.astype(np.float64))
    if p == math.inf:
        return x.max(axis=axis, keepdims=keepdims)
    if p == -math.inf:
        return x.min(axis=axis, keepdims=keepdims)
    if p == 0:
        return (x != 0).sum(axis=axis, keepdims=keepdims)
    return (x**p).sum(axis=axis, keepdims=keepdims) ** (1 / p)


def normalize_samples(make: Make) -> Iterator[Sample]:
    for shape, dim in (((3, 4), 1), ((3, 4), 0), ((2, 3, 4), -1), ((4,), 0), ((0, 3), 1), ((4,), -1)):
        yield (make(*shape),), {"dim": dim}
        yield (make(*shape), 1.0, dim), {}
    for p in (3.0, math.inf, -math.inf, 0.5):
        yield (make(3, 4, low=0.5, high=2), p), {}
    yield (make(2, 3, 4),), {"dim": (0, 2)}
    yield (make(4, 3, layout="T"),), {"eps": 10.0}
    if make.plain:
        yield (specjit.zeros(2, 3, dtype=make.dtype),), {}


def normalize_reference(x: np.ndarray, p: float = 2.0, dim: Any = 1, eps: float = 1e-12) -> np.ndarray:
    # In float16 the usual eps is 0, so zeros give NaN, as in PyTorch.
    return x / np.maximum(norm(x, p, dim, True), x.dtype.type(eps))


row(
    "nn.functional.normalize",
    normalize_samples,
    silent(normalize_reference),
    scale=4,
    errors=[
        (lambda: specjit.nn.functional.normalize(X.long()), RuntimeError, "Expected a floating point or complex"),
        (lambda: specjit.nn.functional.normalize(X[0]), IndexError, "out of range"),
    ],
)


def pair_samples(make: Make) -> Iterator[Sample]:
    for a, b in (((3, 4), (3, 4)), ((2, 3, 4), (3, 4)), ((1, 4), (3, 4)), ((0, 4), (1, 4))):
        yield (make(*a), make(*b)), {}
    yield (make(4, 3, layout="T"), make(4, 3, layout="S")), {}


def cosine_samples(make: Make) -> Iterator[Sample]:
    yield from pair_samples(make)
    yield (make(3, 4), make(3, 4), 0), {}
    yield (make(4), make(4)), {"dim": -1}
    if make.plain:
        yield (make(3, 4), make(3, 4)), {"dim": -1, "eps": 3.0}
        yield (make(1, 4), make(3, 4), 0), {}
        yield (specjit.zeros(2, 3, dtype=make.dtype), make(2, 3)), {}


def cosine_reference(x: np.ndarray, y: np.ndarray, dim: int = 1, eps: float = 1e-8) -> np.ndarray:
    pair = np.broadcast_arrays(x, y)
    a, b = (v.astype(np.float64) / np.maximum(norm(v, 2, dim, True), eps) for v in pair)
    return (a * b).sum(dim)


row(
    "nn.functional.cosine_similarity",
    cosine_samples,
    cosine_reference,
    scale=4,
    errors=[
        (lambda: specjit.nn.functional.cosine_similarity(X, Y), RuntimeError, "must match the size"),
        (lambda: specjit.nn.functional.cosine_similarity(X.long(), X.long()), RuntimeError, "common dtype is Long"),
    ],
)


def distance_samples(make: Make) -> Iterator[Sample]:
    yield from pair_samples(make)
    for p in (1.0, 3.0, math.inf, -math.inf, 0.5):
        yield (make(3, 4), make(3, 4), p), {}
    yield (make(3, 4), make(3, 4)), {"keepdim": True, "eps": 0.5}
    yield (make(4), make(4)), {}


def distance_reference(
    x: np.ndarray, y: np.ndarray, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False
) -> np.ndarray:
    return norm(x.astype(np.float64) - y + eps, p, -1, keepdim)


row(
    "nn.functional.pairwise_distance",
    distance_samples,
    distance_reference,
    scale=6,
    errors=[(lambda: specjit.nn.functional.pairwise_distance(X, Y), RuntimeError, "must match the size")],
)
