"""Rows of gathers and scatters along a dim, embeddings, and their gradients."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

import specjit
from specjit.dtypes import float64, int64
from specjit.ops.records.registry import get
from tests.opinfo import ALL, NUMBERS, Make, Sample, row, silent
from tests.opinfo.index import fresh

X = specjit.ones(3, 4)


def index_select_samples(make: Make) -> Iterator[Sample]:
    yield (make(3, 4), 0, make.ints(5, high=3)), {}
    yield (make(3, 4), -1, make.ints(2, high=4)), {}
    yield (make(3), 0, make.ints(0, high=1)), {}
    yield (make(4, 3, layout="T"), 1, make.ints(3, high=3)), {}
    yield (make(3, 4), 1, specjit.tensor(2)), {}
    yield (make(), 0, specjit.tensor([0])), {}


row(
    "index_select",
    index_select_samples,
    lambda x, dim, at: (
        np.take(x.reshape(x.shape or (1,)), at.reshape(-1), dim).reshape(() if not x.ndim else -1)
        if x.ndim < 2
        else np.moveaxis(np.array([np.take(x, i, dim) for i in at.reshape(-1)]), 0, dim)
    ),
    dtypes=ALL,
    exact=True,
    errors=[
        (lambda: X.index_select(0, specjit.tensor([3])), IndexError, "out of range"),
        (lambda: X.index_select(0, specjit.tensor([[0]])), IndexError, "vector"),
        (lambda: X.index_select(0, specjit.tensor([-1])), IndexError, "out of range"),
        (lambda: X.index_select(2, specjit.tensor([0])), IndexError, "out of range"),
        (lambda: X.index_select(0, specjit.tensor([0.0])), RuntimeError, "int32 or int64"),
    ],
)


def index_add_samples(make: Make) -> Iterator[Sample]:
    yield (make(3, 4), 0, specjit.tensor([0, 0, 2, 1, 2]), make(5, 4)), {}
    yield (make(3, 4), -1, specjit.tensor([3, 3]), make(3, 2)), {}
    yield (make(3), 0, specjit.tensor([1, 1]), make(2)), {}
    yield (make(3, 4), 0, specjit.tensor([0, 0, 2]), make(3, 4)), {"alpha": 2}
    yield (make(3, 4), 1, make.ints(0, high=1), make(3, 0)), {}
    yield (make(4, 3, layout="T"), 1, specjit.tensor([2]), make(4, 1)), {"alpha": -1}


def index_add_reference(x: np.ndarray, dim: int, at: np.ndarray, source: np.ndarray, alpha: int = 1) -> np.ndarray:
    out = x.copy()
    for k, i in enumerate(at):
        np.moveaxis(out, dim, 0)[i, ...] += np.moveaxis(source, dim, 0)[k] * np.array(alpha).astype(x.dtype)
    return out


row(
    "index_add",
    index_add_samples,
    silent(index_add_reference),
    dtypes=NUMBERS,
    scale=4,
    errors=[
        (lambda: X.index_add(0, specjit.tensor([3]), specjit.ones(1, 4)), RuntimeError, "index 3 is out of bounds"),
        (lambda: X.index_add(0, specjit.tensor([-1]), specjit.ones(1, 4)), RuntimeError, "index -1 is out of bounds"),
        (lambda: X.index_add(0, specjit.tensor([0, 1]), specjit.ones(1, 4)), RuntimeError, "Number of indices"),
        (lambda: X.index_add(0, specjit.tensor([0]), specjit.ones(1, 3)), RuntimeError, "must match self"),
        (lambda: X.index_add(0, specjit.tensor([0]), specjit.ones(1, 4, dtype=float64)), RuntimeError, "same scalar"),
    ],
)
row("index_add_", fresh(index_add_samples), index_add_reference, scale=4)


def gather_samples(make: Make) -> Iterator[Sample]:
    yield (make(3, 4), 0, make.ints(2, 4, high=3)), {}
    yield (make(3, 4), 1, make.ints(3, 2, high=4)), {}
    yield (make(3, 4), -1, make.ints(2, 5, high=4)), {}
    yield (make(3), 0, make.ints(5, high=3)), {}
    yield (make(), 0, specjit.tensor(0)), {}
    yield (make(4, 3, layout="T"), 0, make.ints(1, 3, high=4)), {}
    yield (make(3, 4), 1, make.ints(0, 2, high=1)), {}
    yield (make(3), 0, specjit.tensor(2)), {}


def gather_reference(x: np.ndarray, dim: int, at: np.ndarray) -> np.ndarray:
    out = np.empty(at.shape, x.dtype)
    for position in np.ndindex(*at.shape):
        source = list(position) or [0] * x.ndim
        if x.ndim:
            source[dim] = at[position]
        out[position] = x[tuple(source)]
    return out


row(
    "gather",
    gather_samples,
    gather_reference,
    dtypes=ALL,
    exact=True,
    errors=[
        (lambda: X.gather(0, specjit.tensor([[3]])), RuntimeError, "out of bounds"),
        (lambda: X.gather(0, specjit.tensor([0])), RuntimeError, "same number of dimensions"),
        (lambda: X.gather(0, specjit.tensor([[-1]])), RuntimeError, "index -1 is out of bounds"),
        (lambda: X.gather(2, specjit.tensor([[0]])), IndexError, "out of range"),
        (lambda: X.gather(0, specjit.zeros(1, 5, dtype=int64)), RuntimeError, "no larger than self"),
        (lambda: X.gather(0, specjit.tensor([[0.0]])), RuntimeError, "int32/int64"),
    ],
)


def scatter_add_samples(make: Make) -> Iterator[Sample]:
    yield (make(3, 4), 0, make.ints(2, 4, high=3), make(2, 4)), {}
    yield (make(3, 4), 1, make.ints(3, 5, high=4), make(3, 5)), {}
    yield (make(3), 0, make.ints(5, high=3), make(5)), {}
    yield (make(), 0, specjit.tensor(0), make()), {}
    yield (make(3, 4), 0, make.ints(0, 4, high=1), make(0, 4)), {}
    yield (make(4, 3, layout="T"), 0, make.ints(2, 3, high=4), make(2, 3)), {}


def scatter_add_reference(x: np.ndarray, dim: int, at: np.ndarray, src: np.ndarray) -> np.ndarray:
    out = x.copy()
    for position in np.ndindex(*at.shape):
        target = list(position)
        if x.ndim:
            target[dim] = at[position]
        out[tuple(target)] += src[position]
    return out


row(
    "scatter_add",
    scatter_add_samples,
    scatter_add_reference,
    dtypes=NUMBERS,
    scale=4,
    errors=[
        (lambda: X.scatter_add(0, specjit.tensor([0]), specjit.ones(1, 4)), RuntimeError, "number of dimensions"),
        (lambda: X.scatter_add(0, specjit.tensor([[4]]), specjit.ones(1, 4)), RuntimeError, "index 4 is out of bounds"),
        (lambda: X.scatter_add(0, specjit.tensor([[0]]), X.to(float64)), RuntimeError, "self.dtype to be equal"),
        (lambda: X.scatter_add(0, specjit.tensor([[0, 0]]), specjit.ones(1, 1)), RuntimeError, "to be no larger than"),
    ],
)
row("scatter_add_", fresh(scatter_add_samples), scatter_add_reference, scale=4)


def embedding_samples(make: Make) -> Iterator[Sample]:
    yield (make(5, 3), make.ints(4, high=5)), {}
    yield (make(5, 3), make.ints(2, 3, high=5), 1), {}
    yield (make(5, 3), specjit.tensor(2)), {}
    yield (make(5, 3), make.ints(0, high=1)), {}


def no_padding(sample: Any) -> Any:
    """Finite differences see the row that the gradient leaves out."""

    def inner(make: Make) -> Iterator[Sample]:
        for args, kwargs in sample(make):
            if not (make.requires_grad and len(args) > 2):
                yield args, kwargs

    return inner


row(
    "embedding",
    no_padding(embedding_samples),
    lambda w, at, padding=-1: w[at],
    exact=True,
    errors=[
        (lambda: get("embedding").fn(X, specjit.tensor([3])), IndexError, "out of range"),
        (lambda: get("embedding").fn(X, specjit.ones(1)), RuntimeError, "scalar types"),
    ],
)


def embedding_backward_samples(make: Make) -> Iterator[Sample]:
    yield (make(4, 3), specjit.tensor([0, 2, 2, 4]), 5, -1), {}
    yield (make(2, 2, 3), specjit.tensor([[0, 2], [2, 4]]), 5, 2), {}
    yield (make(0, 3), make.ints(0, high=1), 5, -1), {}


def embedding_backward_reference(g: np.ndarray, at: np.ndarray, rows: int, padding: int) -> np.ndarray:
    out = np.zeros((rows, g.shape[-1]), np.float64)
    for i, v in zip(at.reshape(-1), g.reshape(-1, g.shape[-1])):
        if i != padding:
            out[i] += v
    return out


row("embedding_backward", embedding_backward_samples, embedding_backward_reference, scale=4)
