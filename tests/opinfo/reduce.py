"""Rows of reductions, scans and matrix products."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

import specjit
from specjit.dtypes import float64, int64
from tests.opinfo import ALL, FLOATS, NUMBERS, Make, Sample, row, silent


def axes(dim: Any) -> Any:
    return tuple(dim) if isinstance(dim, (list, tuple)) else dim


def reductions(
    dims: tuple[Any, ...], low: float = -3, high: float = 3, empty: bool = True, special: bool = True
) -> Any:
    def sample(make: Make) -> Iterator[Sample]:
        for dim in dims:
            yield (make(2, 3, 4, low=low, high=high), dim), {}
            yield (make(2, 3, 4, low=low, high=high), dim, True), {}
        yield (make(low=low, high=high),), {}
        yield (make(4, 3, low=low, high=high, layout="T"),), {}
        yield (make(3, 4, low=low, high=high, layout="S"),), {"dim": -1}
        yield (make(1, low=low, high=high),), {}
        yield (make(3, 0, 2, low=low, high=high), 2), {}
        if empty:
            yield (make(0),), {}
            yield (make(3, 0), 1), {}
        if special and make.plain:
            yield (make.special().reshape(3, 4), 1), {}

    return sample


MANY = (None, 0, -1, [0, 2], [1], (-1, -3), ())
ONE = (None, 0, -1)


def in_dtype(sample: Any, *dtypes: Any) -> Any:
    """The samples, and some with the dtype to compute in (which finite differences need not see)."""

    def more(make: Make) -> Iterator[Sample]:
        yield from sample(make)
        for dtype in () if make.requires_grad else dtypes:
            yield (make(2, 3),), {"dtype": dtype}
            yield (make(2, 3), -1, True), {"dtype": dtype}

    return more


def reference(fn: Any) -> Any:
    def compute(x: np.ndarray, dim: Any = None, keepdim: bool = False, dtype: Any = None) -> Any:
        x = x if dtype is None else x.astype(dtype.numpy)
        wide = x.astype(np.float64) if x.dtype.kind == "f" else x
        return fn(wide, axis=None if not x.ndim or dim in ((), []) else axes(dim), keepdims=keepdim)

    return silent(compute)


row(
    "sum",
    in_dtype(reductions(MANY), float64, int64),
    reference(np.sum),
    dtypes=ALL,
    scale=8,
    errors=[
        (lambda: specjit.ones(2).sum(3), IndexError, "Dimension out of range"),
        (lambda: specjit.ones(2, 2).sum([0, 0]), RuntimeError, "appears multiple times"),
        (lambda: specjit.ones(2).sum("a"), TypeError, "must be"),
    ],
)
row(
    "mean",
    in_dtype(reductions(MANY, empty=False), float64),
    reference(np.mean),
    scale=8,
    errors=[
        (lambda: specjit.tensor([1]).mean(), RuntimeError, "floating point"),
        (lambda: specjit.ones(2).mean(dtype=int64), RuntimeError, "floating point"),
        (lambda: specjit.ones(2).mean(-2), IndexError, "Dimension out of range"),
    ],
)
row(
    "amax",
    reductions(MANY, empty=False),
    reference(np.max),
    dtypes=ALL,
    exact=True,
    errors=[
        (lambda: specjit.ones(0).amax(), RuntimeError, "amax"),
        (lambda: specjit.ones(2, 0).amax(1), IndexError, "amax\\(\\): Expected reduction dim 1 to have non-zero size"),
    ],
)
row(
    "amin",
    reductions(MANY, empty=False),
    reference(np.min),
    dtypes=ALL,
    exact=True,
    errors=[
        (lambda: specjit.ones(0).amin(), RuntimeError, "amin"),
        (lambda: specjit.ones(2, 2).amin((0, -2)), RuntimeError, "multiple times"),
    ],
)


def arg_samples(make: Make) -> Iterator[Sample]:
    yield from reductions(ONE, empty=False)(make)
    yield (make(0, 3), 1), {"keepdim": True}
    yield (make(), 0), {}
    yield (specjit.tensor([[1, 0, 1], [0, 0, 0]], dtype=make.dtype), 1), {}  # ties: the first


row(
    "argmax",
    arg_samples,
    reference(np.argmax),
    dtypes=NUMBERS,
    grad=False,
    exact=True,
    errors=[
        (lambda: specjit.ones(0).argmax(), IndexError, "argmax"),
        (lambda: specjit.ones(2, 0).argmax(1), IndexError, "argmax"),
        (lambda: specjit.tensor([True]).argmax(), RuntimeError, "bool"),
    ],
)
row(
    "argmin",
    arg_samples,
    reference(np.argmin),
    dtypes=NUMBERS,
    grad=False,
    exact=True,
    errors=[(lambda: specjit.ones(2).argmin(1), IndexError, "Dimension out of range")],
)


def truth(fn: Any) -> Any:
    def compute(x: np.ndarray, dim: Any = None, keepdim: bool = False) -> Any:
        out = fn(x, axis=None if not x.ndim or dim in ((), []) else axes(dim), keepdims=keepdim)
        return out.astype(np.uint8) if x.dtype == np.uint8 else out

    return compute


row("any", reductions(MANY, -1, 1), truth(np.any), dtypes=ALL, grad=False, exact=True)
row("all", reductions(MANY, -1, 1), truth(np.all), dtypes=ALL, grad=False, exact=True)


def extreme_samples(make: Make) -> Iterator[Sample]:
    for dim in (0, -1):
        yield (make(2, 3, 4), dim), {}
        yield (make(2, 3, 4), dim), {"keepdim": True}
    yield (make(2, 3),), {}
    yield (make(2, 3), make(3)), {}
    yield (make(4, 3, layout="T"), 0), {}
    yield (make(), 0), {}
    yield (make(3, 0), 0), {}
    yield (make(2, 3),), {"other": make(2, 1)}
    if not make.requires_grad:
        yield (specjit.tensor([[1, 0, 1], [0, 0, 0]], dtype=make.dtype), 1), {}  # ties: the first
    if make.plain:
        yield (make.special().reshape(3, 4), 1), {}


def extreme_reference(pairwise: Any, best: Any, at: Any) -> Any:
    def compute(x: np.ndarray, dim: Any = None, keepdim: bool = False, other: Any = None) -> Any:
        dim = dim if other is None else other
        if dim is None:
            return best(x)
        if isinstance(dim, np.ndarray):
            return pairwise(x, dim)
        if not x.ndim:
            return x, np.int64(0)
        return best(x, axis=dim, keepdims=keepdim), at(x, axis=dim, keepdims=keepdim)

    return compute


for _name, _pairwise, _best, _at in (
    ("max", np.maximum, np.max, np.argmax),
    ("min", np.minimum, np.min, np.argmin),
):
    row(
        _name,
        extreme_samples,
        extreme_reference(_pairwise, _best, _at),
        dtypes=ALL,
        exact=True,
        errors=[
            (lambda: specjit.max(specjit.ones(0)), RuntimeError, "reduction dim to be specified"),
            (lambda: specjit.min(specjit.ones(2, 0), 1), IndexError, "Expected reduction dim 1 to have non-zero size"),
            (lambda: specjit.max(specjit.ones(2), 1), IndexError, "out of range"),
        ],
    )


def along(make: Make) -> Iterator[Sample]:
    for dim in (0, 1, -1):
        yield (make(2, 3, 4), dim), {}
    yield (make(4, 3, layout="T"), 0), {}
    yield (make(), 0), {}
    yield (make(0, 3), 1), {}
    yield (make(1), -1), {}
    if make.plain:
        yield (make.special().reshape(3, 4), 1), {}
        yield (specjit.tensor([[-np.inf, -np.inf], [0.0, -np.inf]], dtype=make.dtype), 1), {}


def logsumexp_samples(make: Make) -> Iterator[Sample]:
    for dim in (0, -1, [0, 2], [0, 1, 2]):
        yield (make(2, 3, 4), dim), {}
        yield (make(2, 3, 4), dim, True), {}
    yield (make(0, 3), 0), {}
    if make.plain:
        yield (specjit.tensor([[-np.inf, -np.inf], [np.inf, 1.0], [1e4, -1e4]], dtype=make.dtype), 1), {}


def logsumexp_reference(x: np.ndarray, dim: Any, keepdim: bool = False) -> np.ndarray:
    return (
        np.logaddexp.reduce(x.astype(np.float64), axis=axes(dim), keepdims=keepdim)
        if not isinstance(dim, list)
        else (np.log(np.exp(x.astype(np.float64)).sum(axis=axes(dim), keepdims=keepdim)))
    )


row(
    "logsumexp",
    logsumexp_samples,
    silent(logsumexp_reference),
    dtypes=NUMBERS,
    scale=8,
    errors=[(lambda: specjit.logsumexp(specjit.ones(2), 1), IndexError, "out of range")],
)


def cumsum_samples(make: Make) -> Iterator[Sample]:
    for dim in (0, 1, -1):
        yield (make(2, 3, 4), dim), {}
    yield (make(), 0), {}
    yield (make(0), 0), {}
    yield (make(4, 3, layout="T"), 0), {}
    yield (make(3, 4, layout="S"), -1), {}
    if make.plain:
        yield (specjit.tensor([1.0, np.inf, 2.0, np.nan, 1.0], dtype=make.dtype), 0), {}
    for dtype in () if make.requires_grad else (float64, int64):
        yield (make(2, 3), 1), {"dtype": dtype}


def cumsum_reference(x: np.ndarray, dim: int, dtype: Any = None) -> np.ndarray:
    x = x if dtype is None else x.astype(dtype.numpy)
    out = x.astype(np.float64 if x.dtype.kind == "f" else np.int64).reshape(x.shape or (1,))
    moved = np.moveaxis(out, dim, 0)
    for i in range(1, moved.shape[0]):
        moved[i] += moved[i - 1]
    return out.reshape(x.shape)


row(
    "cumsum",
    cumsum_samples,
    silent(cumsum_reference),
    dtypes=ALL,
    scale=8,
    errors=[(lambda: specjit.cumsum(specjit.ones(2), 1), IndexError, "out of range")],
)


def matmul_samples(make: Make) -> Iterator[Sample]:
    shapes = [
        ((3,), (3,)),
        ((2, 3), (3, 4)),
        ((3,), (3, 4)),
        ((2, 3), (3,)),
        ((5, 2, 3), (3, 4)),
        ((5, 2, 3), (5, 3, 4)),
        ((5, 1, 2, 3), (2, 3, 4)),
        ((5, 2, 3), (3,)),
        ((3,), (5, 3, 2)),
        ((0, 3), (3, 4)),
        ((2, 0), (0, 4)),
        ((1, 1), (1, 1)),
    ]
    for a, b in shapes:
        yield (make(*a, low=-1, high=1), make(*b, low=-1, high=1)), {}
    yield (make(2, 3, layout="T", low=-1, high=1), make(3, 4, layout="S", low=-1, high=1)), {}


def matmul_reference(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    wide = [x.astype(np.float64 if x.dtype.kind == "f" else np.int64) for x in (a, b)]
    left = wide[0][None] if a.ndim == 1 else wide[0]
    right = wide[1][:, None] if b.ndim == 1 else wide[1]
    out = (left[..., :, :, None] * right[..., None, :, :]).sum(axis=-2)
    if a.ndim == 1:
        out = out[..., 0, :]
    return out[..., 0] if b.ndim == 1 else out


row(
    "matmul",
    matmul_samples,
    matmul_reference,
    dtypes=(*FLOATS, int64),
    scale=8,
    errors=[
        (lambda: specjit.ones(2, 3) @ specjit.ones(2, 3), RuntimeError, "cannot be multiplied"),
        (lambda: specjit.ones(2) @ specjit.tensor(1.0), RuntimeError, "at least 1D"),
        (lambda: specjit.ones(2, 2) @ specjit.ones(2, 2, dtype=float64), RuntimeError, "same dtype"),
    ],
)


def products(*shapes: Any) -> Any:
    def sample(make: Make) -> Iterator[Sample]:
        for a, b in shapes:
            yield (make(*a, low=-1, high=1), make(*b, low=-1, high=1)), {}

    return sample


row(
    "mm",
    products(((2, 3), (3, 4)), ((0, 3), (3, 2))),
    matmul_reference,
    scale=8,
    errors=[(lambda: specjit.mm(specjit.ones(2), specjit.ones(2, 2)), RuntimeError, "matrix")],
)
row(
    "bmm",
    products(((5, 2, 3), (5, 3, 4)), ((2, 2, 3), (2, 3, 1))),
    matmul_reference,
    scale=8,
    errors=[(lambda: specjit.bmm(specjit.ones(2, 2, 2), specjit.ones(1, 2, 2)), RuntimeError, "batch")],
)
