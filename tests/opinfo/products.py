"""Rows of products and their scans."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

import specjit
from specjit.dtypes import float32, float64, int64
from specjit.ops.records.registry import get
from tests.opinfo import ALL, WIDE, Make, Sample, row, silent
from tests.opinfo.reduce import reductions


def with_zeros(make: Make, *values: float) -> Any:
    return make.wrap(np.array(values).astype(make.dtype.numpy))


def prod_samples(make: Make) -> Iterator[Sample]:
    yield from reductions((None, 0, -1))(make)
    # No zero, one, two: what the others multiply to is not result / element.
    for values in ((0.0, 2.0, 3.0), (2.0, 0.0, 0.0), (0.0,)):
        yield (with_zeros(make, *values), 0), {}
        yield (with_zeros(make, *values),), {}
    yield (make(2, 3), 1), {"keepdim": True, "dtype": float64}
    if not make.requires_grad:
        yield (make(2, 3),), {"dtype": float32}


def widened(x: np.ndarray, dtype: Any) -> np.ndarray:
    x = x if dtype is None else x.astype(dtype.numpy)
    return x.astype(np.float64 if x.dtype.kind == "f" else np.int64)


def prod_reference(x: np.ndarray, dim: Any = None, keepdim: bool = False, dtype: Any = None) -> Any:
    wide = widened(x, dtype)
    if not x.ndim:
        return wide
    if dim is None:
        out = np.multiply.reduce(wide.reshape(-1))
        return out.reshape((1,) * x.ndim) if keepdim else out
    out = np.ones_like(wide.take([0], dim) if wide.shape[dim] else wide.sum(dim, keepdims=True))
    for i in range(wide.shape[dim]):
        out = out * wide.take([i], dim)
    return out if keepdim else out.squeeze(dim)


row(
    "prod",
    prod_samples,
    silent(prod_reference),
    dtypes=ALL,
    scale=8,
    torch=lambda torch: (
        lambda x, dim=None, keepdim=False, dtype=None: (
            torch.prod(x, dtype=dtype).reshape([1] * x.ndim if keepdim else ())
            if dim is None
            else torch.prod(x, dim, keepdim, dtype=dtype)
        )
    ),
    errors=[
        (lambda: specjit.prod(specjit.ones(2), 1), IndexError, "Dimension out of range"),
        (lambda: specjit.prod(specjit.ones(2), (0, 1)), TypeError, "dim"),
    ],
)


def scans(dtypes: tuple[Any, ...] = ()) -> Any:
    def sample(make: Make) -> Iterator[Sample]:
        for dim in (0, 1, -1):
            yield (make(2, 3, 4), dim), {}
        for shape, dim in (((), 0), ((), -1), ((0,), 0), ((1,), 0), ((3, 0), 0), ((9,), -1)):
            yield (make(*shape), dim), {}
        yield (make(4, 3, layout="T"), 0), {}
        yield (make(3, 4, layout="S"), 1), {}
        yield (with_zeros(make, 2.0, 0.0, 3.0, 0.0, 1.0), 0), {}
        if make.plain:
            yield (make.special().reshape(3, 4), 1), {}
        for dtype in () if make.requires_grad else dtypes:
            yield (make(2, 3), 1), {"dtype": dtype}

    return sample


def scanned(step: Any) -> Any:
    """A scan, one element after another."""

    def reference(x: np.ndarray, dim: int, dtype: Any = None) -> np.ndarray:
        wide = widened(x, dtype).reshape(x.shape or (1,))
        out = np.moveaxis(wide, dim, 0)
        for i in range(1, out.shape[0]):
            out[i] = step(out[i - 1], out[i])
        return wide.reshape(x.shape)

    return silent(reference)


row(
    "cumprod",
    scans((float64, int64)),
    scanned(lambda a, b: a * b),
    dtypes=ALL,
    scale=8,
    errors=[(lambda: specjit.cumprod(specjit.ones(2), 1), IndexError, "Dimension out of range")],
)


def logcumsumexp_samples(make: Make) -> Iterator[Sample]:
    yield from scans()(make)
    if make.plain:
        yield (specjit.tensor([-np.inf, -np.inf, 0.0, 80.0, -80.0, np.inf, 1.0], dtype=make.dtype), 0), {}


row(
    "logcumsumexp",
    logcumsumexp_samples,
    scanned(np.logaddexp),
    scale=8,
    errors=[(lambda: specjit.logcumsumexp(specjit.tensor([1]), 0), NotImplementedError, "not implemented for 'Long'")],
)


def recurrence_samples(make: Make) -> Iterator[Sample]:
    for shape, dim in (((5,), 0), ((2, 3), 1), ((3, 2), 0), ((), 0), ((0,), 0), ((2, 1), -1), ((8,), 0)):
        yield (make(*shape, low=-1, high=1), make(*shape)), {"dim": dim}
    yield (with_zeros(make, 0.5, 0.0, 2.0), with_zeros(make, 1.0, 2.0, 0.0)), {"dim": 0}
    yield (make(4, 3, layout="T"), make(4, 3)), {"dim": 1}


def recurrence_reference(decay: np.ndarray, x: np.ndarray, dim: int) -> np.ndarray:
    wide = x.astype(np.float64).reshape(x.shape or (1,))
    a, y = np.moveaxis(decay.reshape(wide.shape), dim, 0), np.moveaxis(wide, dim, 0)
    for i in range(1, y.shape[0]):
        y[i] += a[i] * y[i - 1]
    return wide.reshape(x.shape)


row(
    "recurrence",
    recurrence_samples,
    recurrence_reference,
    dtypes=WIDE,
    scale=16,
    compared=False,
    errors=[
        (lambda: get("recurrence").fn(specjit.ones(2), specjit.ones(2), 1), IndexError, "out of range"),
    ],
)
