"""Rows of repetitions, triangles, rotations and stacks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

import specjit
from specjit.dtypes import float32, float64, int32, int64
from tests.opinfo import ALL, NUMBERS, Make, Sample, row
from tests.opinfo.shape import lists, shaped

row("packed", shaped(((2, 3),), (("T", 3, 4),), ((),), ((0,),)), lambda x: x, dtypes=ALL, exact=True)
TIMES = (((2, 3), (2, 1)), ((3,), (2, 2)), ((), (3,)), ((1,), (4,)), (("T", 2, 3), (1, 2)), ((2,), (0,)), ((2,), (1,)))
row(
    "repeat",
    shaped(*TIMES),
    lambda x, times: np.tile(x, times),
    dtypes=ALL,
    exact=True,
    torch=lambda torch: torch.Tensor.repeat,
    errors=[
        (lambda: specjit.ones(2, 2).repeat(2), RuntimeError, "can not be smaller"),
        (lambda: specjit.ones(2).repeat(), TypeError, "repeats"),
        (lambda: specjit.ones(2).repeat(-1), RuntimeError, "negative dimension"),
    ],
)
row(
    "tile",
    shaped(*TIMES, ((2, 3), (2,)), ((2, 3), ())),
    lambda x, times: np.tile(x, times),
    dtypes=ALL,
    exact=True,
)


def interleave_samples(make: Make) -> Iterator[Sample]:
    yield (make(2, 3), 2), {}
    yield (make(2, 3), 2), {"dim": 0}
    yield (make(2, 3), 3, -1), {"output_size": 9}
    yield (make(), 3), {}
    yield (make(0, 2), 2), {"dim": 1}
    yield (make(4, 3, layout="T"), 0), {"dim": 0}


def counted_samples(make: Make) -> Iterator[Sample]:
    yield from interleave_samples(make)
    yield (make(3, 2), specjit.tensor([1, 0, 2])), {"dim": 0}
    yield (make(3, 2), specjit.tensor([1, 2], dtype=int32), -1), {"output_size": 3}
    yield (make(3), specjit.tensor([2])), {}
    yield (make(2, 2), specjit.tensor([0, 1, 2, 3])), {}
    yield (make(2, 2), specjit.tensor(2)), {"dim": 1}
    yield (specjit.tensor([2, 0, 3]),), {}


def interleaved(x: np.ndarray, repeats: Any = None, dim: Any = None, output_size: Any = None) -> np.ndarray:
    if repeats is None:
        return np.array([i for i, n in enumerate(x) for _ in range(n)])
    flat = x.reshape(-1) if dim is None else x
    counts = [int(n) for n in np.ravel(repeats)]
    n = flat.shape[dim or 0]
    counts = counts * n if len(counts) == 1 else counts
    return np.take(flat, [i for i, c in enumerate(counts) for _ in range(c)], dim or 0)


def counts(make: Make) -> Iterator[Sample]:
    yield (specjit.tensor([2, 0, 3]),), {}
    yield (specjit.tensor([2, 1], dtype=int32),), {"output_size": 3}
    yield (specjit.tensor([], dtype=int32),), {}


row(
    "interleaved_indices",
    counts,
    lambda x, output_size=None: np.array([i for i, n in enumerate(x) for _ in range(n)], np.int64),
    dtypes=(int64,),
    grad=False,
    exact=True,
    traceable=False,
)
row(
    "repeat_interleave",
    counted_samples,
    interleaved,
    dtypes=ALL,
    exact=True,
    errors=[
        (lambda: specjit.repeat_interleave(specjit.ones(3), -1), RuntimeError, "must be non-negative"),
        (
            lambda: specjit.repeat_interleave(specjit.ones(2), specjit.tensor([1, -1])),
            RuntimeError,
            "can not be negative",
        ),
        (
            lambda: specjit.repeat_interleave(specjit.ones(3), specjit.tensor([1, 1])),
            RuntimeError,
            "same size as input along dim",
        ),
        (
            lambda: specjit.repeat_interleave(specjit.ones(3), specjit.ones(3)),
            NotImplementedError,
            "not implemented for 'Float'",
        ),
        (lambda: specjit.repeat_interleave(specjit.ones(3), 2, output_size=5), RuntimeError, "expected 6 but got 5"),
        (lambda: specjit.repeat_interleave(specjit.ones(3), 2.5), TypeError, "repeats"),
        (lambda: specjit.repeat_interleave(specjit.ones(3), 2, 1), IndexError, "out of range"),
    ],
)
row(
    "fliplr",
    shaped(((2, 3),), ((2, 3, 2),), (("T", 3, 4),), ((0, 2),)),
    np.fliplr,
    dtypes=ALL,
    exact=True,
    errors=[(lambda: specjit.fliplr(specjit.ones(2)), RuntimeError, ">= 2-d")],
)
row(
    "flipud",
    shaped(((2, 3),), ((3,),), (("T", 3, 4),), ((0, 2),)),
    np.flipud,
    dtypes=ALL,
    exact=True,
    errors=[(lambda: specjit.flipud(specjit.tensor(1.0)), RuntimeError, ">= 1-d")],
)
row(
    "roll",
    shaped(
        ((2, 3), 1),
        ((2, 3), 1, 0),
        ((2, 3), (1, -2), (0, 1)),
        ((2, 3), (1, 1), (1, 1)),
        ((5,), 7, 0),
        ((), 1),
        ((0, 2), 1, 0),
        (("T", 3, 4), -1, -1),
    ),
    lambda x, shifts, dims=None: np.roll(x, shifts, dims),
    dtypes=ALL,
    exact=True,
    errors=[
        (lambda: specjit.roll(specjit.ones(2), ()), RuntimeError, "`shifts` required"),
        (lambda: specjit.roll(specjit.ones(2), (1, 2)), RuntimeError, "must align"),
        (lambda: specjit.roll(specjit.ones(2), 1, 3), IndexError, "out of range"),
        (lambda: specjit.roll(specjit.tensor(1.0), 1, 0), IndexError, "no dimensions"),
    ],
)
row(
    "rot90",
    shaped(
        ((2, 3),),
        ((2, 3), 2),
        ((2, 3), -1),
        ((2, 3), 4),
        ((2, 3, 4), 1, (1, 2)),
        ((2, 3, 4), 3, (-1, 0)),
        (("T", 3, 4), 5),
        ((0, 2),),
    ),
    np.rot90,
    dtypes=ALL,
    exact=True,
    errors=[
        (lambda: specjit.rot90(specjit.ones(2, 2), 1, (0,)), RuntimeError, "total rotation dims == 2"),
        (lambda: specjit.rot90(specjit.ones(2), 1, (0, 1)), RuntimeError, "total dims >= 2"),
        (lambda: specjit.rot90(specjit.ones(2, 2), 1, (0, -2)), RuntimeError, "to be different"),
        (lambda: specjit.rot90(specjit.ones(2, 2), 1, (0, 3)), IndexError, "out of range"),
    ],
)


def triangles(make: Make) -> Iterator[Sample]:
    for shape in ((3, 3), (2, 4), (4, 2), (2, 3, 3), (0, 3), (1, 1)):
        yield (make(*shape),), {}
    for k in (-2, -1, 1, 5):
        yield (make(3, 4), k), {}
    yield (make(4, 3, layout="T"),), {"diagonal": 1}
    yield (make(3, 4, layout="S"),), {}
    if make.plain:
        yield (make.special().reshape(3, 4),), {}


row(
    "tril",
    triangles,
    lambda x, diagonal=0: np.tril(x, diagonal),
    dtypes=ALL,
    exact=True,
    errors=[(lambda: specjit.tril(specjit.ones(2)), RuntimeError, "at least 2 dimensions")],
)
row(
    "triu",
    triangles,
    lambda x, diagonal=0: np.triu(x, diagonal),
    dtypes=ALL,
    exact=True,
    errors=[(lambda: specjit.triu(specjit.ones(2)), RuntimeError, "at least 2 dimensions")],
)


def stacks(*more: Any) -> Any:
    def sample(make: Make) -> Iterator[Sample]:
        yield from lists((((), ()),), (((2,), (2,)),), (((0,), (0,)),), (((2, 3), (2, 3)),), *more)(make)
        yield ([make(3, 4, layout="T"), make(3, 4)],), {}
        if make.dtype is not float64:
            yield ([make(2, 2), make(2, 2, dtype=float32)],), {}

    return sample


def of_nothing(call: Any) -> Any:
    return [(call, RuntimeError, "non-empty TensorList")]


row(
    "hstack",
    stacks((((2, 3), (2, 1)),), (((2,), (3,)),)),
    np.hstack,
    dtypes=NUMBERS,
    exact=True,
    errors=[
        *of_nothing(lambda: specjit.hstack([])),
        (lambda: specjit.hstack(specjit.ones(2)), TypeError, "tuple of Tensors"),
        (lambda: specjit.hstack([specjit.ones(2, 2), specjit.ones(3, 2)]), RuntimeError, "must match except"),
    ],
)
ROWS = stacks((((2, 3), (1, 3)),), (((3,), (2, 3)),))
row("vstack", ROWS, np.vstack, dtypes=NUMBERS, exact=True, errors=of_nothing(lambda: specjit.vstack([])))
row("row_stack", ROWS, np.vstack, dtypes=NUMBERS, exact=True, torch=lambda torch: torch.row_stack)
row(
    "dstack",
    stacks((((2, 3, 1), (2, 3, 2)),)),
    np.dstack,
    dtypes=NUMBERS,
    exact=True,
    errors=of_nothing(lambda: specjit.dstack([])),
)
row(
    "column_stack",
    stacks((((2,), (2, 3)),)),
    lambda xs: np.column_stack([np.atleast_1d(x) for x in xs]),
    dtypes=NUMBERS,
    exact=True,
    errors=of_nothing(lambda: specjit.column_stack([])),
)
