"""Rows of statistics: variances, pairs of extremes, counts, sums without NaN, differences."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np

import specjit
from specjit.dtypes import float64
from tests.opinfo import ALL, Make, Sample, row, silent
from tests.opinfo.reduce import axes, reductions

MANY = (None, 0, -1, [0, 2], [1])


def var_samples(make: Make) -> Iterator[Sample]:
    for dim in MANY:
        yield (make(2, 3, 4), dim), {}
        yield (make(2, 3, 4), dim), {"keepdim": True, "correction": 0}
    yield (make(5), 0, False), {}
    yield (make(5),), {"unbiased": True}
    yield (make(5), False), {}
    yield (make(4, 3, layout="T"),), {}
    yield (make(3, 4, layout="S"), -1), {"correction": 2.5}
    yield (make(3, 1), 1), {"correction": 0}
    yield (make(), 0), {"correction": 0}
    yield (make(3, 0, 2), 2), {}
    if make.plain:
        yield (make(3, 1), 1), {}
        yield (make(3),), {"correction": 5}
        yield (make(0),), {}
        yield (make(3, 0), 1), {"correction": 0}
        yield (specjit.tensor([[1.0, np.nan, 2.0], [np.inf, 1.0, 0.0], [-0.0, 0.0, 0.0]], dtype=make.dtype), 1), {}
        yield (make(5, low=300, high=400),), {}  # in float16, squares overflow


def var_reference(
    x: np.ndarray, dim: Any = None, unbiased: Any = None, keepdim: bool = False, correction: Any = None
) -> Any:
    if isinstance(dim, bool):
        dim, unbiased = None, dim
    ddof = correction if correction is not None else 1 if unbiased is None or unbiased else 0
    wide = x.astype(np.float64)
    dims = None if not x.ndim or dim is None or dim == [] else axes(dim)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        total = np.sum((wide - wide.mean(axis=dims, keepdims=True)) ** 2, axis=dims, keepdims=keepdim)
        return total / max(x.size // max(total.size, 1) - ddof if x.size else -ddof, 0)


def mean_reference(x: np.ndarray, dim: Any = None, unbiased: Any = None, keepdim: bool = False, **_: Any) -> Any:
    dims = None if not x.ndim or dim is None or isinstance(dim, bool) else axes(dim)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return x.astype(np.float64).mean(axis=dims, keepdims=keepdim)


ON_INTS = "only support floating point"
INTS = specjit.tensor([1, 2])
row(
    "variance",
    lambda make: _plainly(make),
    silent(lambda x, dim, correction, keepdim: var_reference(x, dim, None, keepdim, correction)),
    scale=16,
    compared=False,
)
row(
    "var",
    var_samples,
    silent(var_reference),
    scale=16,
    errors=[
        (lambda: specjit.var(INTS), RuntimeError, ON_INTS),
        (lambda: specjit.var(specjit.ones(2), 0, True, correction=1), TypeError, "invalid combination"),
        (lambda: specjit.var(specjit.ones(2), 3), IndexError, "out of range"),
    ],
)
row(
    "std",
    lambda make: (s for s in var_samples(make) if not _degenerate(make, s)),
    silent(lambda *a, **k: np.sqrt(var_reference(*a, **k))),
    scale=16,
    errors=[(lambda: specjit.std(INTS), RuntimeError, ON_INTS)],
)
row(
    "var_mean",
    var_samples,
    silent(lambda *a, **k: (var_reference(*a, **k), mean_reference(*a, **k))),
    scale=16,
    errors=[(lambda: specjit.var_mean(INTS), RuntimeError, ON_INTS)],
)
row(
    "std_mean",
    lambda make: (s for s in var_samples(make) if not _degenerate(make, s)),
    silent(lambda *a, **k: (np.sqrt(var_reference(*a, **k)), mean_reference(*a, **k))),
    scale=16,
    errors=[(lambda: specjit.std_mean(INTS), RuntimeError, ON_INTS)],
)


def _plainly(make: Make) -> Iterator[Sample]:
    for dim in (None, 0, [0, 2], -1):
        yield (make(2, 3, 4), dim, 1, False), {}
        yield (make(2, 3, 4), dim, 0.5, True), {}
    yield (make(4, 3, layout="T"), 0, 0, False), {}


def _degenerate(make: Make, sample: Any) -> bool:
    """The square root has no derivative at 0."""
    return make.requires_grad and sample[0][0].numel() in (1, 3)


# extremes and counts


def aminmax_samples(make: Make) -> Iterator[Sample]:
    for dim in (None, 0, -1):
        yield (make(2, 3, 4),), {"dim": dim}
        yield (make(2, 3, 4),), {"dim": dim, "keepdim": True}
    yield (make(),), {}
    yield (make(),), {"dim": 0}
    yield (make(4, 3, layout="T"),), {}
    yield (make(3, 0),), {"dim": 0}
    if make.plain:
        yield (make.special(),), {}


row(
    "aminmax",
    aminmax_samples,
    silent(
        lambda x, dim=None, keepdim=False: tuple(
            f(x, axis=dim if x.ndim else None, keepdims=keepdim) for f in (np.min, np.max)
        )
    ),
    dtypes=ALL,
    exact=True,
    errors=[
        (lambda: specjit.aminmax(specjit.ones(0)), RuntimeError, "reduction dim"),
        (lambda: specjit.aminmax(specjit.ones(2, 0), dim=1), IndexError, "non-zero size"),
        (lambda: specjit.aminmax(specjit.ones(2), dim=1), IndexError, "out of range"),
    ],
)


def count_samples(make: Make) -> Iterator[Sample]:
    for dim in (None, 0, -1, (0, 2)):
        yield (make(2, 3, 4, low=-1, high=1), dim), {}
    yield (make(low=-1, high=1),), {}
    yield (make(0),), {}
    yield (make(4, 3, low=-1, high=1, layout="T"), 1), {}
    if make.plain:
        yield (make.special(),), {}


row(
    "count_nonzero",
    count_samples,
    lambda x, dim=None: np.array((x != 0).astype(np.int64).sum(axis=dim if x.ndim else None)),
    dtypes=ALL,
    grad=False,
    exact=True,
    errors=[(lambda: specjit.count_nonzero(specjit.ones(2, 2), (0, 0)), RuntimeError, "multiple times")],
)


def with_nan(sample: Any) -> Any:
    def inner(make: Make) -> Iterator[Sample]:
        yield from sample(make)
        if make.plain:
            for dim in (None, 0, 1):
                yield (specjit.tensor([[1.0, np.nan, 2.0], [np.nan, np.nan, np.nan]], dtype=make.dtype), dim), {}
        if not make.requires_grad and make.dtype.is_floating_point:
            yield (make(2, 3), 1), {"keepdim": True, "dtype": float64}

    return inner


def without_nan(fn: Any) -> Any:
    def reference(x: np.ndarray, dim: Any = None, keepdim: bool = False, dtype: Any = None) -> Any:
        wide = x.astype(np.float64) if x.dtype.kind == "f" else x.astype(np.int64)
        dims = None if not x.ndim else axes(dim)
        valid = ~np.isnan(wide)
        total = np.where(valid, wide, 0).sum(axis=dims, keepdims=keepdim)
        return fn(total, valid.sum(axis=dims, keepdims=keepdim))

    return silent(reference)


row("nansum", with_nan(reductions(MANY, low=0)), without_nan(lambda total, n: total), dtypes=ALL, scale=8)
row(
    "nanmean",
    with_nan(reductions(MANY, empty=False)),
    without_nan(lambda total, n: total / n),
    scale=8,
    errors=[(lambda: specjit.nanmean(INTS), RuntimeError, "floating point")],
)


def diff_samples(make: Make) -> Iterator[Sample]:
    for named in ({}, {"dim": 0}, {"n": 2, "dim": 1}, {"n": 0}, {"n": 5}):
        yield (make(2, 3, 4),), named
    yield (make(4), 1, 0, make(1), make(2)), {}
    yield (make(3, 2), 2), {"dim": 0, "prepend": make(1, 2)}
    yield (make(3, 2),), {"append": make(3, 1)}
    yield (make(0),), {}
    yield (make(1),), {}
    yield (make(4, 3, layout="T"),), {}


def diff_reference(x: np.ndarray, n: int = 1, dim: int = -1, prepend: Any = None, append: Any = None) -> np.ndarray:
    x = np.concatenate([p for p in (prepend, x, append) if p is not None], dim)
    for _ in range(n):
        m = np.moveaxis(x, dim, 0)
        x = np.moveaxis(m[1:] ^ m[:-1] if x.dtype == bool else m[1:] - m[:-1], 0, dim)
    return x


row(
    "diff",
    diff_samples,
    diff_reference,
    dtypes=ALL,
    scale=4,
    errors=[
        (lambda: specjit.diff(specjit.tensor(1.0)), RuntimeError, "at least one-dimensional"),
        (lambda: specjit.diff(specjit.ones(2), -1), RuntimeError, "non-negative"),
        (lambda: specjit.diff(specjit.ones(2), prepend=specjit.ones(1, 1)), RuntimeError, "same dimension as input"),
        (lambda: specjit.diff(specjit.ones(2), 1, 1), IndexError, "out of range"),
    ],
)


def norm_samples(make: Make) -> Iterator[Sample]:
    for p in (2, 1, 3.5, 0, np.inf, -np.inf, "fro", None):
        yield (make(2, 3), p), {}
        yield (make(2, 3, 4), p, 1), {"keepdim": True}
    yield (make(2, 3),), {"keepdim": True}
    yield (make(2, 3, 2), "fro", (0, 2)), {}
    yield (make(2, 3, 2), 2, (0, 1, 2)), {}
    yield (make(),), {}
    yield (make(0),), {}
    yield (make(4, 3, layout="T"), 2, -1), {}
    if make.dtype is not specjit.float16:
        yield (make(2, 3), "nuc"), {}
        yield (make(2, 3, 2), "nuc", (0, 1)), {}
    if not make.requires_grad:
        yield (make(3),), {"dtype": float64}


def norm_reference(
    x: np.ndarray, p: Any = "fro", dim: Any = None, keepdim: bool = False, dtype: Any = None
) -> np.ndarray:
    wide = x.astype(np.float64)
    if p == "nuc":
        return np.linalg.norm(wide, "nuc", (0, 1) if dim is None else dim)
    dims = None if not x.ndim else dim
    p = 2 if p in ("fro", None) else p
    if p in (np.inf, -np.inf):
        return (np.max if p > 0 else np.min)(np.abs(wide), axis=dims, keepdims=keepdim)
    if p == 0:
        return (wide != 0).sum(axis=dims, keepdims=keepdim)
    return (np.abs(wide) ** p).sum(axis=dims, keepdims=keepdim) ** (1 / p)


row(
    "norm",
    norm_samples,
    silent(norm_reference),
    scale=16,
    errors=[
        (lambda: specjit.norm(INTS), RuntimeError, "Expected a floating point"),
        (lambda: specjit.norm(specjit.ones(2, 2), "x"), RuntimeError, "Order x not supported"),
        (lambda: specjit.norm(specjit.ones(2, 2, 2), "fro", (0, 1, 2)), RuntimeError, "2-tuple"),
        (lambda: specjit.norm(specjit.ones(2, 2, 2), "nuc"), RuntimeError, "2-tuple"),
        (lambda: specjit.norm(specjit.ones(0), np.inf), RuntimeError, "identity"),
    ],
)
