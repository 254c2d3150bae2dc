"""Exponentials, logarithms, hyperbolic functions and powers, as formulas over registers of f32 and f64.

Enters: `registers.Reg` of f32 or f64. Leaves: the same type, at most 2 ulp from the true value over the whole range
(sigmoid: or the error of eager's formula). Right at +-inf, NaN, +-0, subnormals and overflow; no branches and no
library calls. Sources: textbook argument reductions (Cody and Waite's split constants), polynomials fitted by
bench/fit_vecmath.py.
"""

from __future__ import annotations

import math
from fractions import Fraction

import llvmlite.ir as ir

from specjit.codegen.vectors import coefficients as c
from specjit.codegen.vectors import registers as r
from specjit.codegen.vectors import twofloat
from specjit.codegen.vectors.registers import Reg, clamp, copysign, fma, polynomial, select

LN2 = Fraction("0.693147180559945309417232121458176568075500134360255254120680009")
LOG2E = 1 / LN2
LOG10E = Fraction("0.434294481903251827651128918916605082294397005803666566114453783")
INF, NAN = math.inf, math.nan


def split(value: Fraction, bits: int) -> tuple[float, float]:
    """value as a float of `bits` leading bits and the rest."""
    unit = Fraction(2) ** (math.floor(math.log2(abs(value))) + 1 - bits)
    high = round(value / unit) * unit
    return float(high), float(value - high)


class Format:
    """What the reductions need to know of a float format: bits, split constants, limits."""

    def __init__(self, name: str):
        f32 = name == "f32"
        self.mantissa = 23 if f32 else 52
        self.bias = 127 if f32 else 1023
        self.magic = 1.5 * 2.0**self.mantissa  # adding it rounds to an integer, kept in the low bits
        self.expm1 = c.EXPM1_F32 if f32 else c.EXPM1_F64
        self.sinh = c.SINH_F32 if f32 else c.SINH_F64
        self.ln2 = split(LN2, 15 if f32 else 40)  # a multiple of the first by an exponent is exact
        self.exp_range = (-104.0, 89.0) if f32 else (-745.2, 709.8)
        self.exp2_range = (-151.0, 129.0) if f32 else (-1076.0, 1025.0)
        self.tanh_one = 9.1 if f32 else 19.1
        self.smallest_normal = 2.0**-126 if f32 else 2.0**-1022
        self.sqrt_half = 0x3F3504F3 if f32 else 0x3FE6A09E667F3BCD  # the bits of sqrt(1/2)


FORMATS = {name: Format(name) for name in ("f32", "f64")}


# -- powers of two


def scale(x: Reg, n: Reg) -> Reg:
    """x * 2^n for integral n within twice the exponent range, rounded once when the result is subnormal."""
    if r.has_avx512() and x.lanes * r.BITS[x.dtype] == 512:
        name = "llvm.x86.avx512.mask.scalef." + ("ps.512" if x.dtype == "f32" else "pd.512")
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


def _exponent(x: Reg) -> tuple[Reg, Reg]:
    """e (as a float) and m with x = 2^e m and sqrt(1/2) <= m < sqrt(2), for positive finite x."""
    form = FORMATS[x.dtype]
    small = x < form.smallest_normal
    lift = 2.0 ** (form.mantissa + 1)
    bits = select(small, x * lift, x).bits()
    shifted = (bits - form.sqrt_half).sar(form.mantissa)
    m = (bits - shifted.shl(form.mantissa)).bitcast(x.dtype)
    # |shifted| is small: as a float through the rounding constant, not through a conversion instruction
    magic = x.const(form.magic)
    e = (shifted + magic.bits()).bitcast(x.dtype) - form.magic
    return e - select(small, x.const(float(form.mantissa + 1)), 0.0), m


def _through_f64(x: Reg, formula: object) -> Reg:
    """Evaluate in f64 and round once."""
    return r.cast(formula(r.cast(x, "f64")), "f32")  # type: ignore[operator]


# -- exponentials


def _expm1_small(x: Reg) -> Reg:
    """e^x - 1 for |x| <= ln2/2."""
    return fma(x * x, polynomial(x, FORMATS[x.dtype].expm1), x)


def _exp_small(x: Reg) -> Reg:
    """e^x for |x| <= ln2/2. In f64, where eager's own is nearly exact, what 1 + x loses to rounding is kept."""
    if x.dtype == "f32":
        return _expm1_small(x) + 1.0
    lead = x + 1.0
    return lead + fma(x * x, polynomial(x, c.EXPM1_F64), x - (lead - 1.0))


def _reduce(x: Reg) -> tuple[Reg, Reg]:
    """n and r with x = n ln2 + r, |r| <= ln2/2."""
    form = FORMATS[x.dtype]
    n = fma(x, float(LOG2E), form.magic) - form.magic
    return n, fma(n, -form.ln2[1], fma(n, -form.ln2[0], x))


def exp(x: Reg) -> Reg:
    """e^x."""
    n, rest = _reduce(clamp(x, *FORMATS[x.dtype].exp_range))
    return scale(_exp_small(rest), n)


def exp2(x: Reg) -> Reg:
    """2^x."""
    x = clamp(x, *FORMATS[x.dtype].exp2_range)
    n = r.round_even(x)
    rest = x - n  # exact
    high, low = split(LN2, 24 if x.dtype == "f32" else 53)
    return scale(_exp_small(fma(rest, high, rest * low)), n)


def expm1(x: Reg) -> Reg:
    """e^x - 1, accurate near 0. The roundings of the reduction and of e^r - 1 are kept: at n = 1 they count in full."""
    form = FORMATS[x.dtype]
    inside = clamp(x, -40.0, form.exp_range[1])
    n, rest = _reduce(inside)
    rest_low = fma(n, -form.ln2[1], fma(n, -form.ln2[0], inside) - rest)
    small = _expm1_small(rest)
    low = fma(rest * rest, polynomial(rest, form.expm1), rest - small) + rest_low
    half = scale(n.const(0.5), n)  # 2^(n-1): 2^n itself overflows before e^x - 1 does
    return select(x == 0.0, x, fma(half, low, fma(half, small, half - 0.5)) * 2.0)


def sigmoid(x: Reg) -> Reg:
    """1 / (1 + e^-|x|), or e^-|x| / (1 + e^-|x|) for x < 0: no overflow, and accurate on both sides."""
    low = FORMATS[x.dtype].exp_range[0]
    size = -r.absolute(x)
    n, rest = _reduce(select(size < low, size.const(low), size))
    e = scale(_exp_small(rest), n)
    return select(x < 0.0, e, 1.0) / (e + 1.0)


def _expm1_in_range(x: Reg) -> Reg:
    """e^x - 1 for |x| < 60, where 2^n is made from bits."""
    form = FORMATS[x.dtype]
    shifted = fma(x, float(LOG2E), form.magic)
    n = shifted - form.magic
    rest = fma(n, -form.ln2[1], fma(n, -form.ln2[0], x))
    power = (shifted.bits() - (shifted.const(form.magic).bits() - form.bias)).shl(form.mantissa).bitcast(x.dtype)
    small = _expm1_small(rest)
    result = fma(power, small, power - 1.0)
    if x.dtype == "f32":
        return result
    return fma(power, fma(rest * rest, polynomial(rest, form.expm1), rest - small), result)


def tanh(x: Reg) -> Reg:
    """(e^2x - 1) / (e^2x + 1), from |x| so that nothing cancels."""
    size = r.absolute(x)
    limit = FORMATS[x.dtype].tanh_one
    t = _expm1_in_range(select(size > limit, size.const(limit), size) * 2.0)
    ratio = t / (t + 2.0)
    # near 0 the roundings of sum and quotient count in full: there, t/2 - t/2 * ratio takes in only a fraction of them
    half = t * 0.5
    return copysign(select(ratio < 0.3, fma(-half, ratio, half), ratio), x)


def _half_exp(x: Reg) -> Reg:
    """e^x / 2, which overflows no earlier than it must."""
    low, high = FORMATS[x.dtype].exp_range
    n, rest = _reduce(clamp(x, low, high + 1.0))
    return scale(_exp_small(rest), n - 1.0)


def sinh(x: Reg) -> Reg:
    """An odd polynomial up to 1; above, h - 1/(4h) with h = e^|x| / 2."""
    z = x * x
    small = fma(x * z, polynomial(z, FORMATS[x.dtype].sinh), x)
    half = _half_exp(r.absolute(x))
    return select(r.absolute(x) < 1.0, small, copysign(half - 0.25 / half, x))


def cosh(x: Reg) -> Reg:
    """h + 1/(4h) with h = e^|x| / 2."""
    half = _half_exp(r.absolute(x))
    return half + 0.25 / half


# -- logarithms


def _log_special(x: Reg, result: Reg) -> Reg:
    """The logarithm's values outside the positive finite numbers."""
    result = select(x == 0.0, x.const(-INF), result)
    result = select(x < 0.0, x.const(NAN), result)
    return select(x < INF, result, x + x)  # +inf and NaN (x < 0 is below +inf)


def _log_of(f: Reg, e: Reg, low: Reg | float) -> Reg:
    """log((1 + f) 2^e) + low, for f as `_exponent` leaves it."""
    form = FORMATS[f.dtype]
    half = f * f * 0.5
    if f.dtype == "f32":
        tail = f * f * f * polynomial(f, c.LOG_F32)
    else:
        s = f / (f + 2.0)
        z = s * s
        tail = s * fma(z, polynomial(z, c.LOG_F64), half)
    correction = fma(e, form.ln2[1], low) + tail
    return fma(e, form.ln2[0], f - (half - correction))


def log(x: Reg) -> Reg:
    """The natural logarithm."""
    e, m = _exponent(x)
    return _log_special(x, _log_of(m - 1.0, e, 0.0))


def log1p(x: Reg) -> Reg:
    """log(1 + x), accurate near 0: what 1 + x loses to rounding comes back as a first-order term."""
    near = (x > -0.2928) & (x < 0.4142)
    total = x + 1.0
    lost = select(x > 1.0, 1.0 - (total - x), x - (total - 1.0))
    e, m = _exponent(total)
    f = select(near, x, m - 1.0)
    e = select(near, e.const(0.0), e)
    low = select(near, x.const(0.0), lost / total)
    return select(x == 0.0, x, _log_special(total, _log_of(f, e, low)))


def _log_short(x: Reg) -> tuple[Reg, Reg]:
    """e and log(m) in f64, good to 2^-44, for f32 results."""
    e, m = _exponent(x)
    s = (m - 1.0) / (m + 1.0)
    z = s * s
    return e, s * fma(z, polynomial(z, c.LOG_SHORT_F64), 2.0)


def _log_pair(x: Reg) -> tuple[Reg, twofloat.Pair]:
    """e and log(m) as a pair of f64, good to 2^-64."""
    e, m = _exponent(x)
    f = m - 1.0
    s = twofloat.divide((f, f.const(0.0)), twofloat.two_sum(m, m.const(1.0)))
    z = twofloat.multiply(s, s)
    third, third_low = split(Fraction(2, 3), 53)
    rest = z[0] * polynomial(z[0], c.LOG_REST_F64)
    series = twofloat.fast_two_sum(z[0].const(third), rest)
    inner = twofloat.multiply(z, (series[0], series[1] + third_low))
    tail = twofloat.multiply(s, inner)
    return e, twofloat.add((s[0] * 2.0, s[1] * 2.0), tail)


def _scaled_log(x: Reg, factor: Fraction, base_two: bool) -> Reg:
    """log(x) * factor; in base two the exponent counts as it is."""
    if x.dtype == "f32":
        wide = r.cast(x, "f64")
        e, m = _log_short(wide)
        result = fma(m, float(factor), e if base_two else e * float(factor * LN2))
        return _log_special(x, r.cast(result, "f32"))
    e, pair = _log_pair(x)
    high, low = split(factor, 53)
    scaled = twofloat.multiply(pair, (x.const(high), x.const(low)))
    if base_two:
        first, error = twofloat.two_sum(e, scaled[0])
        return _log_special(x, first + (error + scaled[1]))
    step, step_low = split(factor * LN2, 40)
    first, error = twofloat.two_sum(e * step, scaled[0])
    return _log_special(x, first + (error + fma(e, step_low, scaled[1])))


def log2(x: Reg) -> Reg:
    """The logarithm to base 2, exact at powers of 2."""
    return _scaled_log(x, LOG2E, True)


def log10(x: Reg) -> Reg:
    """The logarithm to base 10."""
    return _scaled_log(x, LOG10E, False)


# -- powers


def pow(x: Reg, y: Reg) -> Reg:
    """x^y with C's special cases (NumPy's for floats): e^(y log|x|), the exponent good to 2^-62."""
    if x.dtype == "f32":
        e, m = _log_short(r.cast(r.absolute(x), "f64"))
        exponent = r.cast(y, "f64") * (e * float(LN2) + m)
        size = r.cast(_exp_pair(exponent, exponent.const(0.0)), "f32")
    else:
        e, pair = _log_pair(r.absolute(x))
        step, step_low = FORMATS["f64"].ln2
        first, error = twofloat.two_sum(e * step, pair[0])
        log_x = twofloat.fast_two_sum(first, error + fma(e, step_low, pair[1]))
        high, low = twofloat.two_product(y, log_x[0])
        size = _exp_pair(high, low + y * log_x[1])
    return _pow_special(x, y, size)


def _exp_pair(high: Reg, low: Reg) -> Reg:
    """e^(high + low)."""
    bottom, top = FORMATS["f64"].exp_range
    inside = (high > bottom) & (high < top)
    n, rest = _reduce(clamp(high, bottom, top))
    rest = rest + select(inside, low, 0.0)
    return scale(_exp_small(rest), n)


def _pow_special(x: Reg, y: Reg, size: Reg) -> Reg:
    """x^y from |x|^y of ordinary numbers."""
    one, zero, infinite = x.const(1.0), x.const(0.0), x.const(INF)
    base = r.absolute(x)
    whole = r.trunc(y) == y
    half = y * 0.5
    odd = whole & (r.trunc(half) != half) & (r.absolute(y) < INF)
    # powers of 0 and infinity, and by infinity
    grows = (base > 1.0) ^ (y < 0.0)
    edge = (base == 0.0) | (base == INF) | (r.absolute(y) == INF)
    size = select(edge, select(grows, infinite, zero), size)
    size = select((base == 1.0) & edge, one, size)
    negative = x.bits() < 0
    result = select(negative & odd, -size, size)
    result = select((x < 0.0) & (base < INF) & ~whole & (r.absolute(y) < INF), x.const(NAN), result)
    result = select(x.is_nan() | y.is_nan(), x + y, result)
    return select((y == 0.0) | (x == 1.0), one, result)
