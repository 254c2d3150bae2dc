"""Rows of the functions in nn.functional that are no records: named by their path."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from tests.opinfo import FLOATS, Make, Sample, row


def linear_samples(make: Make) -> Iterator[Sample]:
    for x in ((2, 3), (5, 2, 3), (3,), (0, 3)):
        yield (make(*x, low=-1, high=1), make(4, 3, low=-1, high=1)), {}
        yield (make(*x, low=-1, high=1), make(4, 3, low=-1, high=1), make(4)), {}


def linear_reference(x: np.ndarray, w: np.ndarray, b: np.ndarray | None = None) -> np.ndarray:
    out = x.astype(np.float64) @ w.astype(np.float64).T
    return out if b is None else out + b


row("nn.functional.linear", linear_samples, linear_reference, dtypes=FLOATS, scale=8)
