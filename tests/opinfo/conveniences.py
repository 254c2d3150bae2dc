"""Rows of functions that are others with fixed arguments."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

import specjit
from tests.opinfo import ALL, NUMBERS, Make, Sample, row
from tests.opinfo.shape import shaped


def bounded_samples(make: Make) -> Iterator[Sample]:
    yield (make(3, 4), 1), {}
    yield (make(4, layout="T"), -1.5 if make.dtype.is_floating_point else 0), {}
    yield (make(3, 4), make(4)), {}
    yield (make(), make()), {}
    yield (make(0, 2), 1), {}


for name, fn in (("clamp_min", np.maximum), ("clamp_max", np.minimum)):
    row(
        name,
        bounded_samples,
        lambda x, bound, fn=fn: fn(x, np.asarray(bound, x.dtype)),
        dtypes=NUMBERS,
        exact=True,
        errors=[(lambda name=name: getattr(specjit, name)(specjit.ones(2), None), TypeError, "must be")],
    )


def parts(x: np.ndarray, sizes: list[int], dim: int = 0) -> list[np.ndarray]:
    return np.split(x, np.cumsum(sizes)[:-1], dim)


row(
    "split_with_sizes",
    shaped(((5, 3), [2, 3]), ((2, 7), [3, 0, 4], -1), (("T", 3, 4), [1, 3], 1), ((0, 2), [0])),
    parts,
    dtypes=ALL,
    exact=True,
    view=True,
    errors=[(lambda: specjit.split_with_sizes(specjit.ones(3), [1, 1]), RuntimeError, "sum exactly to 3")],
)
ONES = specjit.ones(4, 4, 4)
for name, reference, samples in (
    ("hsplit", np.hsplit, (((6,), 3), ((2, 4), 2), ((2, 5), (1, 3)), (("T", 4, 6), 2), ((2, 6, 3), 3))),
    ("vsplit", np.vsplit, (((6, 1), 3), ((4, 2), 2), ((5, 2), (1, 3)), (("T", 4, 6), 2), ((6, 2, 3), 3))),
    ("dsplit", np.dsplit, (((1, 1, 6), 3), ((2, 3, 4), 2), ((2, 2, 5), (1, 3)), ((2, 2, 6, 3), 3))),
):
    row(
        name,
        shaped(*samples),
        reference,
        dtypes=ALL,
        exact=True,
        view=True,
        errors=[
            (lambda name=name: getattr(specjit, name)(ONES, 3), RuntimeError, "not divisible by the split_size 3"),
            (lambda name=name: getattr(specjit, name)(specjit.tensor(1), 1), RuntimeError, "requires a tensor with"),
        ],
    )


def member_samples(make: Make) -> Iterator[Sample]:
    yield (make(3, 4), make(5)), {}
    yield (make(6), make(2, 3)), {"invert": True}
    yield (make(), make(3)), {"assume_unique": True}
    yield (make(3), make(0)), {}


row(
    "isin",
    member_samples,
    lambda x, others, assume_unique=False, invert=False: np.isin(x, others, invert=invert),
    dtypes=NUMBERS,
    grad=False,
    exact=True,
    errors=[(lambda: specjit.isin(specjit.ones(2) > 0, specjit.ones(2)), RuntimeError, "input type")],
)
row(
    "diagflat",
    shaped(((3,),), ((2, 2), 1), ((3,), -2), ((),), (("T", 2, 3),)),
    lambda x, offset=0: np.diagflat(x, offset),
    dtypes=ALL,
    exact=True,
)


def distance_samples(make: Make) -> Iterator[Sample]:
    yield (make(3, 4), make(3, 4)), {}
    yield (make(3, 4), make(4)), {"p": 1}
    yield (make(5), make(5), 3), {}
    yield (make(5), make(5), float("inf")), {}


row(
    "dist",
    distance_samples,
    lambda x, other, p=2: np.linalg.norm((x - other).reshape(-1), p),
    scale=4,
)
