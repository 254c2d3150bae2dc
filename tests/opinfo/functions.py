"""Rows of composite functions over the first families."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

import specjit
from specjit.dtypes import float32, int64
from tests.opinfo import ALL, FLOATS, NUMBERS, Make, Sample, binary, row, silent, unary
from tests.opinfo.reduce import products
from tests.opinfo.shape import shaped


def rsub_samples(make: Make) -> Iterator[Sample]:
    yield from binary()(make)
    yield (make(3, 4), 2), {}
    yield (make(3, 4), make(4)), {"alpha": 2}


row(
    "rsub",
    rsub_samples,
    silent(lambda x, y, alpha=1: y - alpha * x if np.ndim(y) else (y - alpha * x).astype(x.dtype)),
    dtypes=NUMBERS,
    scale=2,
    errors=[
        (lambda: specjit.rsub(specjit.ones(2), "a"), TypeError, r"argument 'other' \(position 2\) must be Tensor"),
        (lambda: specjit.rsub(2, specjit.ones(2)), TypeError, r"argument 'input' \(position 1\) must be Tensor"),
        (lambda: specjit.rsub(specjit.ones(2)), TypeError, "other"),
    ],
)


def where_samples(make: Make) -> Iterator[Sample]:
    yield (make(3, 4), make.mask(3, 4), make(3, 4)), {}
    yield (make(3, 4), make.mask(4), make(3, 1)), {}
    yield (make(0), make.mask(0), make(1)), {}
    yield (make(), make.mask(2), make()), {}


row("Tensor.where", where_samples, lambda x, c, y: np.where(c, x, y), dtypes=ALL, exact=True)


def pairs(*shapes: Any) -> Any:
    def sample(make: Make) -> Iterator[Sample]:
        for a, b in shapes:
            yield (make(*a), make(*b)), {}

    return sample


row(
    "expand_as",
    pairs(((3, 1), (3, 4)), ((), (2, 2)), ((1,), (0,)), ((4,), (2, 4))),
    lambda x, other: np.broadcast_to(x, other.shape),
    dtypes=ALL,
    exact=True,
    view=True,
    errors=[(lambda: specjit.ones(3).expand_as(specjit.ones(2)), RuntimeError, "expanded size")],
)
VIEWED = pairs(((3, 4), (2, 6)), ((), (1,)), ((0, 2), (4, 0)), ((2, 3), (3, 1, 2)))
row("view_as", VIEWED, lambda x, other: x.reshape(other.shape), dtypes=ALL, exact=True, view=True)
row("reshape_as", VIEWED, lambda x, other: x.reshape(other.shape), dtypes=ALL, exact=True, view=True)
row(
    "swapaxes",
    shaped(((2, 3), 0, 1), ((2, 3, 4), -1, 0), ((2,), 0, 0), ((), 0, -1), (("T", 3, 4), 0, 1), ((0, 2), 0, 1)),
    lambda x, a, b: np.swapaxes(x, a, b) if x.ndim else x,
    dtypes=ALL,
    exact=True,
    view=True,
    errors=[
        (lambda: specjit.swapaxes(specjit.ones(2), 0, 1), IndexError, "out of range"),
        (lambda: specjit.swapaxes(specjit.ones(2), 0.5, 0), TypeError, "'axis0'"),
    ],
)


def close_samples(make: Make) -> Iterator[Sample]:
    x = make(3, 4)
    yield (x, x.clone()), {}
    yield (x, x + 1), {}
    yield (make(0), make(0)), {}
    if make.plain:
        yield (make.special(), make.special()), {}
        yield (make.special(), make.special()), {"equal_nan": True}
        yield (x, x * 1.01), {"rtol": 0.1, "atol": 0.0}


def allclose_reference(
    x: np.ndarray, y: np.ndarray, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False
) -> bool:
    return bool(np.allclose(x.astype(np.float64), y.astype(np.float64), rtol, atol, equal_nan))


row("allclose", close_samples, silent(allclose_reference), dtypes=FLOATS, grad=False, traceable=False)
row(
    "equal",
    lambda make: iter([((make(3), make(3)), {}), ((make(2), make(3)), {}), ((make(0, 2), make(0, 2)), {})]),
    lambda x, y: bool(np.array_equal(x, y)),
    dtypes=ALL,
    grad=False,
    traceable=False,
)


def like_samples(make: Make) -> Iterator[Sample]:
    yield (make(2, 3),), {}
    yield (make(),), {}
    yield (make(0),), {"dtype": float32}


def shape_of_input(out: np.ndarray, x: np.ndarray, dtype: Any = None) -> None:
    assert out.shape == x.shape


row("rand_like", like_samples, properties=shape_of_input, grad=False, random=True, compared=False)
row("randn_like", like_samples, properties=shape_of_input, grad=False, random=True, compared=False)
row("mv", products(((2, 3), (3,)), ((0, 3), (3,)), ((1, 1), (1,))), np.matmul, scale=8, dtypes=(*FLOATS, int64))
row(
    "dot",
    products(((3,), (3,)), ((0,), (0,)), ((1,), (1,))),
    np.dot,
    scale=8,
    dtypes=(*FLOATS, int64),
    errors=[(lambda: specjit.dot(specjit.ones(2, 2), specjit.ones(2)), RuntimeError, "1D tensors expected")],
)
row("outer", products(((3,), (4,)), ((0,), (2,)), ((1,), (1,))), np.outer, dtypes=NUMBERS)


def addmm_samples(make: Make) -> Iterator[Sample]:
    for shape in ((2, 4), (4,), (1, 1)):
        yield (make(*shape, low=-1, high=1), make(2, 3, low=-1, high=1), make(3, 4, low=-1, high=1)), {}
    yield (make(2, 2), make(2, 3), make(3, 2)), {"beta": 2, "alpha": 3}


def addmm_reference(x: np.ndarray, a: np.ndarray, b: np.ndarray, beta: Any = 1, alpha: Any = 1) -> np.ndarray:
    wide = np.float64 if x.dtype.kind == "f" else np.int64
    return beta * x.astype(wide) + alpha * (a.astype(wide) @ b.astype(wide))


row("addmm", addmm_samples, addmm_reference, scale=16, dtypes=(*FLOATS, int64))
row("deg2rad", unary(), silent(lambda x: np.deg2rad(x.astype(np.float64))), dtypes=ALL)
row("rad2deg", unary(), silent(lambda x: np.rad2deg(x.astype(np.float64))), dtypes=ALL)
