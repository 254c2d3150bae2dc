"""Computes the polynomial coefficients of specjit/codegen/vectors/vecmath.py; prints them all again. Needs mpmath.

Method: Remez exchange in 60-digit arithmetic for the smallest relative (or weighted) error of a polynomial in a given
basis; the coefficients are then rounded to the working precision. The printed error is that of the rounded
polynomial.
"""

from __future__ import annotations

import struct
from collections.abc import Callable

import mpmath as mp

mp.mp.dps = 60
Function = Callable[[mp.mpf], mp.mpf]


def round_to(value: mp.mpf, dtype: str) -> float:
    if dtype == "f64":
        return float(value)
    return struct.unpack("<f", struct.pack("<f", float(value)))[0]


def remez(
    f: Function, weight: Function, low: float, high: float, powers: list[int], turns: int = 12
) -> tuple[list, mp.mpf]:
    """Coefficients of x**powers that make max |weight(x) (f(x) - p(x))| smallest, and that maximum."""
    low, high = mp.mpf(low), mp.mpf(high)
    count = len(powers) + 1
    points = [low + (high - low) * (1 - mp.cos(mp.pi * (i + mp.mpf(1) / 2) / count)) / 2 for i in range(count)]
    grid = [low + (high - low) * (1 - mp.cos(mp.pi * i / 1200)) / 2 for i in range(1201)]
    scale = max(abs(weight(x)) for x in grid)

    def size(x: mp.mpf) -> mp.mpf:
        return max(abs(weight(x)), scale * mp.mpf(10) ** -8)  # a weight may vanish where the error cannot matter

    values = [(x, f(x), size(x)) for x in grid]
    coefficients: list = []
    worst = mp.mpf(0)
    for _ in range(turns):
        matrix, right = mp.matrix(count, count), mp.matrix(count, 1)
        for i, x in enumerate(points):
            for j, power in enumerate(powers):
                matrix[i, j] = x**power
            matrix[i, count - 1] = (-1) ** i / size(x)
            right[i] = f(x)
        solution = mp.lu_solve(matrix, right)
        coefficients = [solution[j] for j in range(count - 1)]
        errors = [(w * (v - sum(c * x**p for c, p in zip(coefficients, powers))), x) for x, v, w in values]
        worst = max(abs(e) for e, _ in errors)
        extrema: list = []
        for e, x in errors:
            if extrema and (extrema[-1][0] > 0) == (e > 0):
                if abs(e) > abs(extrema[-1][0]):
                    extrema[-1] = (e, x)
            else:
                extrema.append((e, x))
        while len(extrema) > count:
            extrema.pop(0 if abs(extrema[0][0]) < abs(extrema[-1][0]) else -1)
        if len(extrema) < count:
            break
        points = [x for _, x in extrema]
    return coefficients, worst


def fit(name: str, f: Function, weight: Function, low: float, high: float, powers: list[int], dtype: str) -> None:
    """Print the rounded coefficients of one approximation."""
    exact, ideal = remez(f, weight, low, high, powers)
    fixed = [round_to(c, dtype) for c in exact]
    grid = [mp.mpf(low) + (mp.mpf(high) - mp.mpf(low)) * i / 2000 for i in range(2001)]
    error = max(abs(weight(x) * (f(x) - sum(mp.mpf(c) * x**p for c, p in zip(fixed, powers)))) for x in grid)
    print(f"# {name} {dtype}: relative error {mp.nstr(error, 3)} (ideal {mp.nstr(ideal, 3)})")
    print(f"{name.upper()}_{dtype.upper()} = (" + ", ".join(repr(c) for c in fixed) + ")", flush=True)


def series(f: Function, low_order: Callable[[mp.mpf], mp.mpf], power: int) -> Function:
    """(f(x) - low_order(x)) / x**power, by its limit at 0."""

    def g(x: mp.mpf) -> mp.mpf:
        if abs(x) < mp.mpf(10) ** -15:
            x = mp.mpf(10) ** -15
        return (f(x) - low_order(x)) / x**power

    return g


def exp_tables() -> None:
    """expm1(x) = x + x*x*q(x) on |x| <= ln(2)/2."""
    half = 0.34657359027997264 * 1.001
    q = series(mp.expm1, lambda x: x, 2)
    for dtype, degree in (("f32", 4), ("f64", 9)):
        fit("expm1", q, lambda x: x * x / mp.expm1(x) if x else mp.mpf(0), -half, half, list(range(degree + 1)), dtype)


def log_tables() -> None:
    """log(1+x) = x - x*x/2 + x**3 * r(x) in f32; in f64, with s = x/(2+x) and z = s*s, 2s + s*z*l(z). sqrt(1/2) <=
    1+x <= sqrt(2).
    """
    r = series(mp.log1p, lambda x: x - x * x / 2, 3)
    low, high = 2**-0.5 - 1, 2**0.5 - 1
    fit("log", r, lambda x: x**3 / mp.log1p(x) if x else mp.mpf(0), low, high, list(range(8)), "f32")

    def tail(z: mp.mpf) -> mp.mpf:
        z = z if z > mp.mpf(10) ** -25 else mp.mpf(10) ** -25
        s = mp.sqrt(z)
        return (2 * mp.atanh(s) - 2 * s) / (s * z)

    fit("log", tail, lambda z: z / 2 if z else mp.mpf(0), 0, 0.02944, list(range(7)), "f64")
    # enough for f32 results computed in f64
    fit("log_short", tail, lambda z: z / 2 if z else mp.mpf(0), 0, 0.02944, list(range(5)), "f64")

    def rest(z: mp.mpf) -> mp.mpf:
        return (tail(z) - mp.mpf(2) / 3) / z if z > mp.mpf(10) ** -20 else mp.mpf(2) / 5

    # l(z) = 2/3 + z*rest(z), for the logarithm in two floats
    fit("log_rest", rest, lambda z: z * z / 2 if z else mp.mpf(0), 0, 0.02944, list(range(8)), "f64")


def trigonometric_tables() -> None:
    """sin(x) = x + x*z*s(z) and cos(x) = 1 - z/2 + z*z*c(z) with z = x*x, on |x| <= pi/4."""
    top = float(mp.pi**2 / 16) * 1.001
    tiny = mp.mpf(10) ** -20

    def s(z: mp.mpf) -> mp.mpf:
        x = mp.sqrt(max(z, tiny))
        return (mp.sin(x) - x) / (x * x * x)

    def c(z: mp.mpf) -> mp.mpf:
        z = max(z, tiny)
        return (mp.cos(mp.sqrt(z)) - 1 + z / 2) / (z * z)

    for name, terms in (("", 6), ("_short", 4)):
        fit("sin" + name, s, lambda z: z, 0, top, list(range(terms)), "f64")
        fit("cos" + name, c, lambda z: z * z, 0, top, list(range(terms)), "f64")


def erf_tables() -> None:
    """erf(x) = x + x*p(x*x) below the switch; above, 1 - exp(-t), t = q(x), with the error weighed by erfc(x)."""

    def small(z: mp.mpf) -> mp.mpf:
        x = mp.sqrt(max(z, mp.mpf(10) ** -20))
        return mp.erf(x) / x - 1

    for dtype, switch, degree in (("f32", 0.9, 6), ("f64", 1.0, 12)):
        fit("erf_small", small, lambda z: 1 / (1 + small(z)), 0, switch**2, list(range(degree + 1)), dtype)
    fit("erf_large", lambda x: -mp.log(mp.erfc(x)), mp.erfc, 0.9, 3.95, list(range(8)), "f32")
    # f64 in pieces, in the distance from their middle
    for i, (low, high, degree) in enumerate(((1.0, 2.0, 13), (2.0, 3.5, 13), (3.5, 6.0, 9))):
        middle = (low + high) / 2
        fit(
            f"erf_large_{i}",
            lambda x, m=middle: -mp.log(mp.erfc(x + m)),
            lambda x, m=middle: mp.erfc(x + m),
            low - middle,
            high - middle,
            list(range(degree + 1)),
            "f64",
        )


def sinh_tables() -> None:
    """sinh(x) = x + x*z*h(z) with z = x*x, on |x| <= 1."""

    def h(z: mp.mpf) -> mp.mpf:
        x = mp.sqrt(max(z, mp.mpf(10) ** -20))
        return (mp.sinh(x) - x) / (x * x * x)

    for dtype, terms in (("f32", 4), ("f64", 7)):
        fit("sinh", h, lambda z: z, 0, 1, list(range(terms)), dtype)


def digits() -> None:
    """2/pi in base 2**24, for the reduction of huge angles."""
    count = 52
    whole = int(mp.floor(2 / mp.pi * mp.mpf(2) ** (24 * count)))
    values = [(whole >> (24 * (count - 1 - i))) & 0xFFFFFF for i in range(count)]
    print("TWO_OVER_PI = (" + ", ".join(map(str, values)) + ")")


def main() -> None:
    print(
        '"""Coefficients and constants of the math functions; made by bench/fit_vecmath.py, which describes them."""\n'
    )
    exp_tables()
    log_tables()
    trigonometric_tables()
    erf_tables()
    sinh_tables()
    mp.mp.dps = 450
    digits()


if __name__ == "__main__":
    main()
