"""Floor division and remainder over registers, with Python's and NumPy's signs; fmod, with C's.

Enters and leaves: `registers.Reg`. Invariants: an integer division by zero gives 0 and the smallest integer by -1
wraps, as in NumPy; float results are bit-identical to `numpy.floor_divide` and `numpy.remainder`, which rest on an
exact fmod.

The fmod is the schoolbook one, many quotient bits a turn: with s = |b| * 2^j just small enough that r/s has less than
2^p, the truncated quotient q leaves r - q*s, which is exact in one fused multiply-add because it is a multiple of s's
last bit and smaller than s. Ordinary arguments need one turn.
"""

from __future__ import annotations

from specjit.codegen.vectors import registers as r
from specjit.codegen.vectors.registers import Reg, select

MANTISSA = {"f32": 23, "f64": 52}
BIAS = {"f32": 127, "f64": 1023}


def floordiv(a: Reg, b: Reg) -> Reg:
    return _float_floordiv(a, b) if a.is_float else _int_divmod(a, b)[0]


def remainder(a: Reg, b: Reg) -> Reg:
    return _float_divmod(a, b)[1] if a.is_float else _int_divmod(a, b)[1]


def _int_divmod(a: Reg, b: Reg) -> tuple[Reg, Reg]:
    build = a.builder
    zero = b == 0
    if a.dtype == "u8":
        safe = select(zero, b.const(1), b)
        return (
            select(zero, b.const(0), a.like(build.udiv(a.value, safe.value))),
            select(zero, b.const(0), a.like(build.urem(a.value, safe.value))),
        )
    negate = b == -1  # kept from the instruction, which traps on the smallest integer
    safe = select(zero | negate, b.const(1), b)
    quotient = a.like(build.sdiv(a.value, safe.value))
    rest = a - quotient * safe
    adjust = (rest != 0) & ((rest ^ safe) < 0)
    quotient = select(adjust, quotient - 1, quotient)
    rest = select(adjust, rest + safe, rest)
    quotient = select(negate, -a, quotient)
    return select(zero, b.const(0), quotient), select(zero, b.const(0), rest)


def _float_floordiv(a: Reg, b: Reg) -> Reg:
    quotient, _ = _float_divmod(a, b)
    return select(b == 0.0, a / b, quotient)


def _float_divmod(a: Reg, b: Reg) -> tuple[Reg, Reg]:
    rest = _float_fmod(a, b)
    quotient = (a - rest) / b
    nonzero = rest != 0.0
    adjust = nonzero & ((b < 0.0) ^ (rest < 0.0))
    signed_rest = select(nonzero, select(adjust, rest + b, rest), r.copysign(rest.const(0.0), b))
    quotient = select(adjust, quotient - 1.0, quotient)
    down = r.floor(quotient)
    down = select(quotient - down > 0.5, down + 1.0, down)
    whole = select(quotient != 0.0, down, r.copysign(quotient.const(0.0), a / b))
    return whole, signed_rest


def fmod(a: Reg, b: Reg) -> Reg:
    """C's fmod: the exact remainder with the sign of `a`."""
    return _float_fmod(a, b) if a.is_float else _int_fmod(a, b)


def _int_fmod(a: Reg, b: Reg) -> Reg:
    _, rest = _int_divmod(a, b)
    return rest if a.dtype == "u8" else select((rest != 0) & ((rest ^ a) < 0), rest - b, rest)


def _float_fmod(a: Reg, b: Reg) -> Reg:
    build = a.builder
    function = build.function
    divisor = r.absolute(b)
    start = r.absolute(a)
    infinite = start.const(float("inf"))
    bad = ~((start < infinite) & (divisor > 0.0))  # also catches NaN
    start = select(bad | ~(divisor <= infinite), start.const(0.0), start)
    divisor = select(divisor < infinite, divisor, infinite)

    entry = build.block
    loop, done = function.append_basic_block("fmod"), function.append_basic_block("fmod.done")
    build.branch(loop)
    build.position_at_end(loop)
    phi = build.phi(a.type)
    phi.add_incoming(start.value, entry)
    rest = a.like(phi)
    left = rest >= divisor
    rest = select(left, _reduce(rest, divisor), rest)
    phi.add_incoming(rest.value, build.block)
    build.cbranch(r.any_lane(rest >= divisor), loop, done)
    build.position_at_end(done)
    nan = a.const(float("nan"))
    return select(bad | b.is_nan(), nan, r.copysign(rest, a))


def _reduce(rest: Reg, divisor: Reg) -> Reg:
    """Subtract a multiple of the divisor from rest >= divisor, leaving less than rest by many bits. Exact."""
    bits = 20 if rest.dtype == "f32" else 48
    # Far apart: bring the divisor up by powers of two, which is exact. An exponent gap of twice the range takes two
    # of them.
    gap = _exponent(rest) - _exponent(divisor) - bits
    gap = select(gap < 0, gap.const(0), gap)
    gap = select(
        gap > 2 * BIAS[rest.dtype], gap.const(2 * BIAS[rest.dtype]), gap
    )  # at most 3 bits short, of which q has some left
    half = gap.sar(1)
    scaled = divisor * _power(half, rest.dtype) * _power(gap - half, rest.dtype)
    quotient = r.trunc(rest / scaled)
    left = _exact_fms(rest, quotient, scaled)
    return select(left < 0.0, left + scaled, left)


def _exponent(x: Reg) -> Reg:
    """The exponent field of x > 0, going on below 1 for subnormal numbers."""
    mantissa = MANTISSA[x.dtype]
    small = x < 2.0 ** (1 - BIAS[x.dtype])
    lifted = select(small, x * 2.0 ** (mantissa + 1), x).bits().shr(mantissa)
    return lifted - select(small, lifted.const(mantissa + 1), 0)


def _power(n: Reg, dtype: str) -> Reg:
    """2^n for a normal result."""
    return (n + BIAS[dtype]).shl(MANTISSA[dtype]).bitcast(dtype)


def _exact_fms(rest: Reg, quotient: Reg, divisor: Reg) -> Reg:
    """rest - quotient * divisor, whose exact value is representable."""
    if r.has_fma():
        return r.fma(-quotient, divisor, rest)
    if rest.dtype == "f32":
        wide = r.cast(rest, "f64") - r.cast(quotient, "f64") * r.cast(divisor, "f64")
        return r.cast(wide, "f32")
    # split both factors in halves of 26 bits: four exact products
    mask = rest.bits().const(-(1 << 27))
    q_high = (quotient.bits() & mask).bitcast("f64")
    d_high = (divisor.bits() & mask).bitcast("f64")
    q_low, d_low = quotient - q_high, divisor - d_high
    rest = rest - q_high * d_high
    rest = rest - q_high * d_low
    rest = rest - q_low * d_high
    return rest - q_low * d_low
