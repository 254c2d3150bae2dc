"""Sums and products of registers with their rounding errors: a value as an unevaluated pair high + low.

Enters and leaves: `registers.Reg`. Invariant: for finite results without overflow, `two_sum` and `two_product` are
exact. Sources: Knuth's TwoSum, Dekker's FastTwoSum, product and splitting.
"""

from __future__ import annotations

from specjit.codegen.vectors import registers as r
from specjit.codegen.vectors.registers import Reg

Pair = tuple[Reg, Reg]


def two_sum(a: Reg, b: Reg) -> Pair:
    total = a + b
    seen = total - a
    return total, (a - (total - seen)) + (b - seen)


def fast_two_sum(a: Reg, b: Reg) -> Pair:
    """For |a| >= |b|."""
    total = a + b
    return total, b - (total - a)


def two_product(a: Reg, b: Reg) -> Pair:
    product = a * b
    if r.has_fma():
        return product, r.fma(a, b, -product)
    (ah, al), (bh, bl) = _halves(a), _halves(b)
    return product, ((ah * bh - product) + ah * bl + al * bh) + al * bl


def _halves(a: Reg) -> Pair:
    high = (a.bits() & -(1 << (27 if a.dtype == "f64" else 12))).bitcast(a.dtype)
    return high, a - high


def add(a: Pair, b: Pair) -> Pair:
    """a + b for |a| >= |b| or of one sign."""
    total, error = two_sum(a[0], b[0])
    return fast_two_sum(total, error + (a[1] + b[1]))


def multiply(a: Pair, b: Pair) -> Pair:
    product, error = two_product(a[0], b[0])
    return fast_two_sum(product, error + r.fma(a[0], b[1], a[1] * b[0]))


def divide(a: Pair, b: Pair) -> Pair:
    quotient = a[0] / b[0]
    product, error = two_product(quotient, b[0])
    rest = ((a[0] - product) - error) + (a[1] - quotient * b[1])
    return fast_two_sum(quotient, rest / b[0])
