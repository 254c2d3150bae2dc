"""The error function, as a formula over registers of f32 and f64.

Enters: `registers.Reg`. Leaves: the same type, at most 2 ulp from the true value everywhere.
Below the switch an odd polynomial; above, 1 - exp(-t) with polynomials for t = -log(erfc), whose error matters only
in so far as erfc does.
"""

from __future__ import annotations

from specjit.codegen.vectors import coefficients as c
from specjit.codegen.vectors import registers as r
from specjit.codegen.vectors.elementary import exp
from specjit.codegen.vectors.registers import Reg, copysign, fma, polynomial, select

# Ends of the ranges of the f64 polynomials, as in bench/fit_vecmath.py: each is in the distance from its range's
# middle.
PIECES_F64: tuple[tuple[float, float, tuple[float, ...]], ...] = (
    (1.0, 2.0, c.ERF_LARGE_0_F64),
    (2.0, 3.5, c.ERF_LARGE_1_F64),
    (3.5, 6.0, c.ERF_LARGE_2_F64),
)


def erf(x: Reg) -> Reg:
    """2/sqrt(pi) times the integral of exp(-t*t) from 0 to x."""
    size = r.absolute(x)
    z = x * x
    if x.dtype == "f32":
        small = fma(x, polynomial(z, c.ERF_SMALL_F32), x)
        top = select(size > 3.95, size.const(3.95), size)
        exponent = polynomial(top, c.ERF_LARGE_F32)
        switch = 0.9
    else:
        small = fma(x, polynomial(z, c.ERF_SMALL_F64), x)
        top = select(size > 6.0, size.const(6.0), size)
        low, high, table = PIECES_F64[0]
        exponent = polynomial(top - (low + high) / 2, table)
        for low, high, table in PIECES_F64[1:]:
            exponent = select(top > low, polynomial(top - (low + high) / 2, table), exponent)
        switch = 1.0
    return select(size < switch, small, _large(x, exponent))


def _large(x: Reg, exponent: Reg) -> Reg:
    return select(x.is_nan(), x, copysign(1.0 - exp(-exponent), x))
