"""Rows of the functions in nn.functional that are no records: named by their path."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

import specjit
from tests.opinfo import FLOATS, WIDE, Make, Sample, row, silent, unary


def gelu_samples(make: Make) -> Iterator[Sample]:
    yield from unary()(make)
    yield (make(3, 4),), {"approximate": "tanh"}


def gelu_reference(x: np.ndarray, approximate: str = "none") -> Any:
    wide = x.astype(np.float64)
    if approximate == "tanh":
        return wide / 2 * (1 + np.tanh(math.sqrt(2 / math.pi) * (wide + 0.044715 * wide**3)))
    return wide / 2 * (1 + np.vectorize(math.erf, otypes=[float])(wide / math.sqrt(2)))


row(
    "nn.functional.gelu",
    gelu_samples,
    silent(gelu_reference),
    dtypes=WIDE,
    scale=4,
    errors=[
        (lambda: specjit.nn.functional.gelu(specjit.ones(2), approximate="x"), RuntimeError, "approximate argument")
    ],
)


def linear_samples(make: Make) -> Iterator[Sample]:
    for x in ((2, 3), (5, 2, 3), (3,), (0, 3)):
        yield (make(*x, low=-1, high=1), make(4, 3, low=-1, high=1)), {}
        yield (make(*x, low=-1, high=1), make(4, 3, low=-1, high=1), make(4)), {}


def linear_reference(x: np.ndarray, w: np.ndarray, b: np.ndarray | None = None) -> np.ndarray:
    out = x.astype(np.float64) @ w.astype(np.float64).T
    return out if b is None else out + b


row("nn.functional.linear", linear_samples, linear_reference, dtypes=FLOATS, scale=8)
