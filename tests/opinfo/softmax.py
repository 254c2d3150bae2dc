"""Rows of softmax and its relatives."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

import specjit
from specjit.dtypes import float32, float64
from tests.opinfo import Make, Sample, row, silent

CASES = [((2, 3, 4), 0), ((2, 3, 4), 1), ((2, 3, 4), -1), ((5,), 0), ((), 0), ((), -1), ((0, 3), 0), ((2, 0), 1)]


def samples(make: Make) -> Iterator[Sample]:
    for shape, dim in CASES:
        yield (make(*shape), dim), {}
    yield (make(4, 3, layout="T"), 0), {}
    yield (make(3, 4, layout="S"), -2), {}
    yield (make(3, 4, low=-80, high=80), 1), {}
    yield (make(3, 4), 1), {"dtype": float64}
    if not make.requires_grad:  # finite differences need float64
        yield (make(3, 4), 0), {"dtype": float32}
    if make.plain:
        yield (make.special().reshape(3, 4), 1), {}


def softmax(x: np.ndarray, dim: int | None = None, dtype: Any = None) -> np.ndarray:
    if dim is None:
        dim = 0 if x.ndim in (0, 1, 3) else 1
    wide = x.astype(np.float64).reshape(x.shape or (1,))
    if not x.size:
        return x
    e = np.exp(wide - wide.max(axis=dim, keepdims=True))
    return (e / e.sum(axis=dim, keepdims=True)).reshape(x.shape)


def log_softmax(x: np.ndarray, dim: int | None = None, dtype: Any = None) -> np.ndarray:
    if dim is None:
        dim = 0 if x.ndim in (0, 1, 3) else 1
    wide = x.astype(np.float64).reshape(x.shape or (1,))
    if not x.size:
        return x
    wide = wide - wide.max(axis=dim, keepdims=True)
    return (wide - np.log(np.exp(wide).sum(axis=dim, keepdims=True))).reshape(x.shape)


LONGS = specjit.ones(2, dtype=specjit.int64)
row(
    "softmax",
    samples,
    silent(softmax),
    scale=8,
    errors=[
        (lambda: specjit.softmax(specjit.ones(2), 1), IndexError, "out of range"),
        (lambda: specjit.softmax(LONGS, 0), NotImplementedError, '"softmax_lastdim_kernel_impl" not implemented'),
        (lambda: specjit.softmax(specjit.ones(2), 0, dtype=specjit.int64), NotImplementedError, "'Long'"),
    ],
)
row(
    "log_softmax",
    samples,
    silent(log_softmax),
    scale=8,
    errors=[(lambda: specjit.log_softmax(LONGS, 0), NotImplementedError, "log_softmax_lastdim_kernel_impl")],
)


def functional(make: Make) -> Iterator[Sample]:
    yield from samples(make)
    for shape in ((2, 3, 4), (3, 4), (3,), ()):
        yield (make(*shape),), {}


row("nn.functional.softmax", functional, silent(softmax), scale=8)
row("nn.functional.log_softmax", functional, silent(log_softmax), scale=8)
row("nn.functional.softmin", functional, silent(lambda x, *a, **k: softmax(-x, *a, **k)), scale=8)


def gumbel_samples(make: Make) -> Iterator[Sample]:
    for shape, dim in (((3, 4), -1), ((3, 4), 0), ((4,), 0), ((0, 2), 1)):
        yield (make(*shape),), {"dim": dim}
        yield (make(*shape),), {"dim": dim, "tau": 0.5}
    yield (make(3, 4),), {"hard": True}


def gumbel_properties(
    out: np.ndarray, x: np.ndarray, tau: float = 1, hard: bool = False, dim: int = -1, eps: float = 0
) -> None:
    assert out.shape == x.shape
    assert ((out >= 0) & (out <= 1)).all()
    np.testing.assert_allclose(out.sum(dim), 1, rtol=3e-3)
    if hard:
        assert (np.isclose(out, 0, atol=1e-3) | np.isclose(out, 1, atol=1e-3)).all()


# With `hard`, gradients are those of another function, so finite differences are not asked.
row(
    "nn.functional.gumbel_softmax",
    gumbel_samples,
    properties=gumbel_properties,
    random=True,
    grad=False,
    errors=[
        (
            lambda: specjit.nn.functional.gumbel_softmax(specjit.ones(2, dtype=specjit.int64)),
            RuntimeError,
            "must be a floating point",
        )
    ],
)
