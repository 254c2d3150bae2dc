"""Exponentials, logarithms and what is made of them, as formulas over registers of f32 and f64.

Enters: `registers.Reg` of f32 or f64. Leaves: the same type, at most 2 ulp from the true value over the whole range (sigmoid: or the
error of eager's formula). Right at +-inf, NaN, +-0, subnormals and overflow; no branches and no library calls.
Sources: textbook argument reductions (Cody and Waite's split constants), polynomials fitted by bench/fit_vecmath.py.
"""

from __future__ import annotations

import math
from fractions import Fraction

import llvmlite.ir as ir

from specjit.codegen import registers as r
from specjit.codegen.registers import Reg, clamp, copysign, fma, polynomial, select

# -- coefficients, from bench/fit_vecmath.py

# expm1(x) = x + x*x*q(x) on |x| <= ln(2)/2
EXPM1_F32 = (0.4999999701976776, 0.1666654348373413, 0.04166720062494278, 0.008366580121219158, 0.001388251082971692)
EXPM1_F64 = (
    0.5000000000000006,
    0.16666666666666588,
    0.04166666666657611,
    0.008333333333389968,
    0.0013888888931794848,
    0.00019841269718322697,
    2.4801504978982358e-05,
    2.7557407881909e-06,
    2.76261614031245e-07,
    2.505377128384639e-08,
)
# log(1+x) = x - x*x/2 + x**3 * r(x) on sqrt(1/2) <= 1+x <= sqrt(2)
LOG_F32 = (
    0.3333333134651184,
    -0.2500081956386566,
    0.20001226663589478,
    -0.16623356938362122,
    0.14201757311820984,
    -0.13160179555416107,
    0.1276157647371292,
    -0.07634501159191132,
)
# with s = x/(2+x) and z = s*s: log(1+x) = 2s + s*z*l(z), same range
LOG_F64 = (
    0.6666666666666734,
    0.39999999999414343,
    0.2857142874246935,
    0.22222198564112797,
    0.18183564831135954,
    0.15314036814818885,
    0.14796094978218274,
)


LN2 = Fraction("0.693147180559945309417232121458176568075500134360255")
LOG2E = 1.4426950408889634
LN10 = Fraction("2.302585092994045684017991454684364207601101488628773")


def split(value: Fraction, bits: int, dtype: str) -> tuple[float, float]:
    """value as a float of so few leading bits that products with an exponent are exact, and the rest."""
    unit = Fraction(2) ** (math.floor(math.log2(value)) + 1 - bits)
    high = (value // unit) * unit
    return float(high), float(value - high)


class Format:
    """What the reductions need to know of a float format: bits, split constants, limits."""

    def __init__(self, name: str):
        f32 = name == "f32"
        self.mantissa = 23 if f32 else 52
        self.bias = 127 if f32 else 1023
        self.magic = 1.5 * 2.0**self.mantissa  # adding it rounds to an integer, kept in the low bits
        self.expm1 = EXPM1_F32 if f32 else EXPM1_F64
        self.ln2_high, self.ln2_low = split(LN2, 15 if f32 else 40, name)
        self.exp_range = (-104.0, 89.0) if f32 else (-745.2, 709.8)
        self.exp2_range = (-151.0, 129.0) if f32 else (-1076.0, 1025.0)
        self.tanh_one = 9.1 if f32 else 19.1
        self.tiny = 2.0**-126 if f32 else 2.0**-1022


FORMATS = {name: Format(name) for name in ("f32", "f64")}


def scale(x: Reg, n: Reg) -> Reg:
    """x * 2^n for integral n within twice the exponent range, rounded once when the result is subnormal."""
    if r.has_avx512() and x.lanes * r.BITS[x.dtype] == 512:
        f32 = x.dtype == "f32"
        name = "llvm.x86.avx512.mask.scalef." + ("ps.512" if f32 else "pd.512")
        every = ir.Constant(ir.IntType(x.lanes), -1)
        args = [x.value, n.value, x.value, every, ir.Constant(r.I32, 4)]
        return x.like(r.call_intrinsic(x.builder, name, x.type, args))
    form = FORMATS[x.dtype]
    whole = (n + form.magic).bits() - n.const(form.magic).bits()
    half = whole.sar(1)
    return x * _power(half, x.dtype) * _power(whole - half, x.dtype)


def _power(n: Reg, dtype: str) -> Reg:
    """2^n from an integer register, n within the normal exponents."""
    form = FORMATS[dtype]
    return (n + form.bias).shl(form.mantissa).bitcast(dtype)


def _reduce(x: Reg) -> tuple[Reg, Reg]:
    """n and r with x = n ln2 + r, |r| <= ln2/2."""
    form = FORMATS[x.dtype]
    n = fma(x, LOG2E, form.magic) - form.magic
    return n, fma(n, -form.ln2_low, fma(n, -form.ln2_high, x))


def _expm1_small(x: Reg) -> Reg:
    """e^x - 1 for |x| <= ln2/2."""
    return fma(x * x, polynomial(x, FORMATS[x.dtype].expm1), x)


def exp(x: Reg) -> Reg:
    """e^x."""
    x = clamp(x, *FORMATS[x.dtype].exp_range)
    n, rest = _reduce(x)
    return scale(_expm1_small(rest) + 1.0, n)


def exp2(x: Reg) -> Reg:
    """2^x."""
    form = FORMATS[x.dtype]
    x = clamp(x, *form.exp2_range)
    n = r.round_even(x)
    rest = x - n  # exact
    high, low = split(LN2, 24 if x.dtype == "f32" else 53, x.dtype)
    return scale(_expm1_small(fma(rest, high, rest * low)) + 1.0, n)


def _expm1_scaled(x: Reg) -> Reg:
    """e^x - 1 for |x| where 2^n is a normal number."""
    form = FORMATS[x.dtype]
    shifted = fma(x, LOG2E, form.magic)
    n = shifted - form.magic
    rest = fma(n, -form.ln2_low, fma(n, -form.ln2_high, x))
    power = (shifted.bits() - (shifted.const(form.magic).bits() - form.bias)).shl(form.mantissa).bitcast(x.dtype)
    return fma(power, _expm1_small(rest), power - 1.0)


def expm1(x: Reg) -> Reg:
    """e^x - 1, accurate near 0."""
    form = FORMATS[x.dtype]
    high = form.exp_range[1]
    inside = clamp(x, -40.0, high)
    n, rest = _reduce(inside)
    half = scale(n.const(0.5), n)  # 2^(n-1), so that n = 128 (1024) does not overflow early
    result = (fma(half, _expm1_small(rest), half - 0.5)) * 2.0
    return select(x == 0.0, x, result)


def sigmoid(x: Reg) -> Reg:
    """1 / (1 + e^-x)."""
    return 1.0 / (exp(-x) + 1.0)


def tanh(x: Reg) -> Reg:
    """(e^2x - 1) / (e^2x + 1), from |x| so that nothing cancels."""
    size = r.absolute(x)
    limit = FORMATS[x.dtype].tanh_one
    twice = select(size > limit, size.const(limit), size) * 2.0
    t = _expm1_scaled(twice)
    ratio = t / (t + 2.0)
    # near 0 the roundings of sum and quotient count in full: there, t/2 - t/2 * ratio takes in only a fraction of them
    half = t * 0.5
    return copysign(select(ratio < 0.3, fma(-half, ratio, half), ratio), x)
