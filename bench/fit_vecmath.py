"""Computes the polynomial coefficients of specjit/codegen/vecmath.py; run it to print them all again. Needs mpmath.

Method: Remez exchange in 60-digit arithmetic for the smallest relative (or weighted) error of a polynomial in a given basis; the
coefficients are then rounded to the working precision. The printed error is that of the rounded polynomial.
"""

from __future__ import annotations

import struct
from typing import Callable

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
    half = 0.34657359027997264 * 1.001
    q = series(mp.expm1, lambda x: x, 2)
    # as a part of exp(r): the error of r*r*q against exp(r)
    for dtype, degree in (("f32", 4), ("f64", 9)):
        fit("expm1", q, lambda x: x * x / mp.expm1(x) if x else mp.mpf(0), -half, half, list(range(degree + 1)), dtype)


def log_tables() -> None:
    # log(1+f) = f - f*f/2 + f**3 * r(f)
    r = series(mp.log1p, lambda x: x - x * x / 2, 3)
    fit("log", r, lambda x: x**3 / mp.log1p(x) if x else mp.mpf(0), 2**-0.5 - 1, 2**0.5 - 1, list(range(8)), "f32")
    # with s = f/(2+f): log(1+f) = 2s + s*z*l(z), z = s*s

    def tail(z: mp.mpf) -> mp.mpf:
        z = z if z > mp.mpf(10) ** -25 else mp.mpf(10) ** -25
        s = mp.sqrt(z)
        return (2 * mp.atanh(s) - 2 * s) / (s * z)

    fit("log", tail, lambda z: z / 2 if z else mp.mpf(0), 0, 0.02944, list(range(7)), "f64")


def main() -> None:
    exp_tables()
    log_tables()


if __name__ == "__main__":
    main()
