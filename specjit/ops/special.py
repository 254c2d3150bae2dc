"""The error function and its relatives on float arrays, which NumPy lacks.

Enters: arrays of any float dtype. Leaves: values within a few ulp in float64, rounded once to the input's dtype.
Invariant: erf(x)/x and exp(x^2) erfc(x) are smooth, so they are tabulated piecewise as Chebyshev series from the C
library's functions; that keeps the relative accuracy near zero of the one, in the far tail of the other.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable

import numpy as np

TERMS = 16
HALVES = 2  # pieces per unit
ERF_END = 6  # beyond, erf is 1 to the last bit
ERFC_END = 8  # beyond, the asymptotic series has the accuracy of float64
ASYMPTOTIC = 14  # its terms


def _table(fn: Callable[[float], float], end: int) -> np.ndarray:
    """Chebyshev coefficients of `fn` on pieces of width 1/2 that cover [0, end), shape (TERMS, pieces)."""
    k = np.arange(TERMS)
    nodes = _cosine(2 * k + 1)
    basis = _cosine(np.outer(k, 2 * k + 1)) * (2.0 / TERMS)
    basis[0] /= 2
    values = [[fn(float(v)) for v in (p + 0.5 + nodes / 2) / HALVES] for p in range(end * HALVES)]
    return basis @ np.array(values).T


def _cosine(m: np.ndarray) -> np.ndarray:
    """cos(pi m / (2 TERMS)) of ints: reduced to the first quadrant, or its rounding would be that of a large angle."""
    m = m % (4 * TERMS)
    m = np.minimum(m, 4 * TERMS - m)
    return np.where(m > TERMS, -1.0, 1.0) * np.cos(np.pi * np.minimum(m, 2 * TERMS - m) / (2 * TERMS))


def _evaluate(table: np.ndarray, x: np.ndarray) -> np.ndarray:
    """The tabulated function at 0 <= x < end, by Clenshaw's recurrence."""
    piece = (x * HALVES).astype(np.intp)
    t = (x * HALVES - piece) * 2 - 1
    b1 = np.zeros_like(t)
    b2 = np.zeros_like(t)
    for c in table[:0:-1]:
        b1, b2 = c[piece] + 2 * t * b1 - b2, b1
    return table[0][piece] + t * b1 - b2


@functools.cache
def _erf_table() -> np.ndarray:
    return _table(lambda v: math.erf(v) / v, ERF_END)


@functools.cache
def _erfc_table() -> np.ndarray:
    def scaled(v: float) -> float:
        rounded = round(v * 64) / 64  # its square is exact
        return math.erfc(v) * math.exp(rounded * rounded) * math.exp((v - rounded) * (v + rounded))

    return _table(scaled, ERFC_END)


def erf64(x: np.ndarray) -> np.ndarray:
    """erf of a float64 array."""
    size = np.abs(x)
    inside = size < ERF_END
    ratio = _evaluate(_erf_table(), np.where(inside, size, 0.0))
    return np.where(np.isnan(x), x, np.where(inside, x * ratio, np.copysign(1.0, x)))


def erfc64(x: np.ndarray) -> np.ndarray:
    """1 - erf of a float64 array, with small values accurate relative to themselves."""
    size = np.minimum(np.abs(x), 28.0)  # erfc(28) is 0
    near = size < ERFC_END
    scaled = _evaluate(_erfc_table(), np.where(near, size, 0.0))
    if not near.all():
        scaled = np.where(near, scaled, _erfc_asymptotic(np.where(near, 1.0 * ERFC_END, size)))
    rounded = np.rint(size * 64) / 64
    tail = scaled * np.exp(-rounded * rounded) * np.exp((rounded - size) * (rounded + size))
    # Below 1/2, erf has the leading digits.
    positive = np.where(size < 0.5, 1 - erf64(np.minimum(size, 0.5)), tail)
    return np.where(np.isnan(x), x, np.where(x < 0, 2 - positive, positive))


def _erfc_asymptotic(x: np.ndarray) -> np.ndarray:
    """exp(x^2) erfc(x) for large x: 1 / (x sqrt(pi)) times the sum of (2k - 1)!! (-1 / (2 x^2))^k."""
    step = -0.5 / (x * x)
    total = np.ones_like(x)
    for k in range(ASYMPTOTIC, 0, -1):
        total = 1 + (2 * k - 1) * step * total
    return total / (x * math.sqrt(math.pi))


def _erfinv64(x: np.ndarray) -> np.ndarray:
    """Winitzki's approximation (relative error 2e-3), then Halley's method, whose error is the third power each time.

    The residual of large |x| is taken from the tails, 1 - |x| and erfc, which are accurate relative to themselves.
    """
    a = 0.147
    size = np.abs(x)
    logarithm = np.log1p(-size * size)
    middle = 2 / (math.pi * a) + logarithm / 2
    y = np.sqrt(np.sqrt(middle * middle - logarithm / a) - middle)
    for _ in range(3):
        residual = np.where(size < 0.5, size - erf64(y), erfc64(y) - (1 - size))
        newton = residual * np.exp(y * y) * (math.sqrt(math.pi) / 2)
        y = np.where(np.isfinite(newton), y + newton / (1 - y * newton), y)
    y = np.where(size == 1, np.inf, np.where(size > 1, np.nan, y))
    return np.copysign(y, x)


def _in_float64(fn: Callable[[np.ndarray], np.ndarray]) -> Callable[[np.ndarray], np.ndarray]:
    @functools.wraps(fn)
    def values(x: np.ndarray) -> np.ndarray:
        return fn(np.asarray(x, np.float64)).astype(x.dtype)

    return values


erf_values = _in_float64(erf64)
erfc_values = _in_float64(erfc64)
erfinv_values = _in_float64(_erfinv64)
