"""The logarithm of the gamma function and its derivatives on float arrays, which NumPy lacks.

Enters: arrays of any float dtype. Leaves: values within a few ulp in float64 (near the zeros of lgamma and digamma: of
their neighbourhood), rounded once to the input's dtype.
Invariant: every argument is moved by the recurrence and the reflection formula to where a series of fixed length
converges: Stirling's series from `FAR` on, for lgamma a Taylor series around 2.

Sources: NIST Digital Library of Mathematical Functions, 5.4 to 5.15 and 25.11.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable

import numpy as np

FAR = 10
STEPS = 9  # from above 1/2 to beyond FAR
BERNOULLI = (1 / 6, -1 / 30, 1 / 42, -1 / 30, 5 / 66, -691 / 2730, 7 / 6, -3617 / 510, 43867 / 798, -174611 / 330)
EULER = 0.5772156649015329
TAYLOR = 28


@functools.cache
def _taylor() -> list[float]:
    """Coefficients of z, z^2, ... of lgamma(2 + z): 1 - EULER, then (-1)^k (zeta(k) - 1) / k."""

    def zeta_minus_one(k: int) -> float:
        last = 20
        powers = math.fsum(n**-k for n in range(2, last))
        return powers + float(_zeta_tail(float(last), k))

    return [1 - EULER, *((-1) ** k * zeta_minus_one(k) / k for k in range(2, TAYLOR))]


def _zeta_tail(x: np.ndarray | float, s: int) -> np.ndarray | float:
    """The sum of (x + k)^-s over k >= 0 for large x, by the Euler-Maclaurin formula."""
    inverse = 1 / (x * x)
    total: np.ndarray | float = 0.0
    factors = [float(s)]  # s (s + 1) ... (s + 2j - 2) / (2j)!
    for j in range(1, len(BERNOULLI)):
        factors.append(factors[-1] * (s + 2 * j - 1) * (s + 2 * j))
    for j in range(len(BERNOULLI), 0, -1):
        total = (total + BERNOULLI[j - 1] * factors[j - 1] / math.factorial(2 * j)) * inverse
    return x ** (1.0 - s) / (s - 1) + x**-s / 2 + total * x ** (1.0 - s)


def _angle(x: np.ndarray) -> np.ndarray:
    """pi x less a multiple of pi; reduced first, so that nothing is lost near integers."""
    return np.pi * (x - np.rint(x))


def _lgamma64(x: np.ndarray) -> np.ndarray:
    size = np.where(x < 0.5, 1 - x, x)  # reflected
    far = size >= FAR
    near = np.where(far, 1.0, size)
    # Around 2: z = near - 2 after as many steps down as it takes; around 1 lgamma(1 + z) is that of 2 + z less log1p.
    down = np.clip(np.rint(near) - 2, 0, None)
    product = np.ones_like(near)
    for k in range(1, STEPS):
        product = np.where(down >= k, product * (near - k), product)
    z = near - down - np.where(near < 1.5, 1, 2)
    series = np.zeros_like(z)
    for c in reversed(_taylor()):
        series = (series + c) * z
    out = np.where(near < 1.5, series - np.log1p(z), series + np.log(product))
    if far.any():
        out = np.where(far, _stirling(np.where(far, size, FAR)), out)
    if (x < 0.5).any():
        reflected = np.log(np.pi / np.abs(np.sin(_angle(x)))) - out
        # A pole lies between two numbers whose sine rounds to 0; small x would lose digits to 1 - x.
        small = np.abs(x) < 1e-8
        reflected = np.where(small, -np.log(np.abs(x)) - EULER * x, reflected)
        out = np.where(x < 0.5, np.where((x <= 0) & (x == np.floor(x)), np.inf, reflected), out)
    return np.where(np.isinf(x), np.inf, out)


def _stirling(x: np.ndarray) -> np.ndarray:
    inverse = 1 / (x * x)
    total = np.zeros_like(x)
    for k in range(len(BERNOULLI), 0, -1):
        total = total * inverse + BERNOULLI[k - 1] / (2 * k * (2 * k - 1))
    logarithm = np.log(x)
    return (x - 0.5) * logarithm - x + 0.5 * math.log(2 * math.pi) + total / x


def _digamma64(x: np.ndarray) -> np.ndarray:
    size = np.where(x < 0.5, 1 - x, x)
    total = np.zeros_like(size)
    for _ in range(STEPS + 1):
        low = size < FAR
        total = np.where(low, total - 1 / size, total)
        size = np.where(low, size + 1, size)
    inverse = 1 / (size * size)
    series = np.zeros_like(size)
    for k in range(len(BERNOULLI), 0, -1):
        series = (series + BERNOULLI[k - 1] / (2 * k)) * inverse
    out = total + np.log(size) - 0.5 / size - series
    out = np.where(x < 0.5, out - np.pi / np.tan(_angle(x)), out)
    pole = (x <= 0) & (x == np.floor(x))
    return np.where(pole, np.where(x == 0, -np.copysign(np.inf, x), np.nan), out)


def _polygamma64(n: int, x: np.ndarray) -> np.ndarray:
    """The n-th derivative of digamma for n >= 1: (-1)^(n + 1) n! times the sum of (x + k)^-(n + 1)."""
    size = np.where(x < 0.5, 1 - x, x)
    total = np.zeros_like(size)
    for _ in range(STEPS + 1):
        low = size < FAR
        total = np.where(low, total + size ** (-n - 1.0), total)
        size = np.where(low, size + 1, size)
    out = (-1) ** (n + 1) * float(math.factorial(n)) * (total + _zeta_tail(size, n + 1))
    if (x < 0.5).any():
        cotangent = 1 / np.tan(_angle(x))
        out = np.where(x < 0.5, (-1) ** n * out - np.pi * _cotangent_derivative(n)(cotangent), out)
        pole = (x <= 0) & (x == np.floor(x))
        out = np.where(pole, np.inf if n % 2 else -np.inf, out)
    return np.where(x == np.inf, 0.0, out)


@functools.cache
def _cotangent_derivative(n: int) -> np.polynomial.Polynomial:
    """The n-th derivative of cot(pi x), as a polynomial in cot(pi x)."""
    found = np.polynomial.Polynomial([0.0, 1.0])
    for _ in range(n):
        found = found.deriv() * np.polynomial.Polynomial([-np.pi, 0.0, -np.pi])
    return found


def _in_float64(fn: Callable[..., np.ndarray], x: np.ndarray, *given: int) -> np.ndarray:
    return fn(*given, np.asarray(x, np.float64)).astype(x.dtype)


lgamma_values = functools.partial(_in_float64, _lgamma64)
digamma_values = functools.partial(_in_float64, _digamma64)


def polygamma_values(n: int, x: np.ndarray) -> np.ndarray:
    return _in_float64(_polygamma64, x, n) if n else digamma_values(x)
