"""sin, cos and tan, as formulas over registers of f32 and f64.

Enters: `registers.Reg`. Leaves: the same type, at most 2 ulp from the true value for every argument; NaN for
infinities. f32 is computed in f64 and rounded once. Reduction: pi/2 in four parts (Cody and Waite) for ordinary
angles; for huge ones, in a branch that is taken only when some lane needs it, the angle times the digits of 2/pi that
matter (Payne and Hanek).
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

import llvmlite.ir as ir

from specjit.codegen.vectors import coefficients as c
from specjit.codegen.vectors import registers as r
from specjit.codegen.vectors import twofloat
from specjit.codegen.vectors.elementary import FORMATS
from specjit.codegen.vectors.registers import Reg, fma, polynomial, select

PI = Fraction(
    "3.14159265358979323846264338327950288419716939937510582097494459230781640628620899862803482534211706798214808651"
)
PAD = 4  # zero digits before the first one
ORDINARY = 2.0**20  # angles below it are reduced by subtraction


def _parts(value: Fraction, bits: int, count: int) -> list[float]:
    """value as a sum of floats of `bits` bits, the last one full."""
    parts = []
    for i in range(count):
        if i == count - 1:
            parts.append(float(value))
            break
        unit = Fraction(1, 2 ** (bits * (i + 1) - 1))
        high = (value // unit) * unit
        parts.append(float(high))
        value -= high
    return parts


HALF_PI = _parts(PI / 2, 31, 4)  # times a number of up to 22 bits: exact, but for the last


def _reduce(x: Reg, limbs: int) -> tuple[Reg, Reg, Reg]:
    """(quadrant as i64, high, low): x = quadrant pi/2 + high + low, |high| <= pi/4; x is f64, huge angles to `limbs`
    limbs.
    """
    magic = FORMATS["f64"].magic
    huge = ~(r.absolute(x) < ORDINARY)
    calm = select(huge, x.const(0.0), x)
    shifted = fma(calm, float(2 / PI), magic)
    n = shifted - magic
    high, low = calm - n * HALF_PI[0], calm.const(0.0)
    for part in HALF_PI[1:3]:
        high, error = twofloat.two_sum(high, -(n * part))
        low = low + error
    high, low = twofloat.fast_two_sum(high, low - n * HALF_PI[3])
    quadrant = shifted.bits()

    build = x.builder
    before = build.block
    function = build.function
    slow, done = function.append_basic_block("huge"), function.append_basic_block("reduced")
    build.cbranch(r.any_lane(huge & (r.absolute(x) < float("inf"))), slow, done)
    build.position_at_end(slow)
    far = _reduce_huge(select(huge, x, 0.0), limbs)
    mixed = [select(huge, a, b) for a, b in zip(far, (quadrant, high, low))]
    build.branch(done)
    build.position_at_end(done)
    merged = []
    for old, new in zip((quadrant, high, low), mixed):
        phi = build.phi(old.type)
        phi.add_incoming(old.value, before)
        phi.add_incoming(new.value, slow)
        merged.append(old.like(phi))
    return merged[0], merged[1], merged[2]


def _digit_table(builder: ir.IRBuilder) -> ir.Value:
    """The digits of 2/pi as a constant of the module, after PAD zeros; its address."""
    name = "specjit.two_over_pi"
    found = builder.module.globals.get(name)
    if found is None:
        digits = [0] * PAD + list(c.TWO_OVER_PI)
        kind = ir.ArrayType(r.I32, len(digits))
        found = ir.GlobalVariable(builder.module, kind, name)
        found.global_constant, found.linkage = True, "internal"
        found.initializer = ir.Constant(kind, [ir.Constant(r.I32, d) for d in digits])
    return builder.ptrtoint(found, r.I64)


def _reduce_huge(x: Reg, limbs: int) -> tuple[Reg, Reg, Reg]:
    """x = X 2^e times 2/pi modulo 4, in integers of 24 bits: exact digits from 1 down to 2^(24 - 24 limbs), so no
    cancellation hurts.
    """
    mask = (1 << 24) - 1
    bits = x.bits()
    e = (bits.shr(52) & 0x7FF) - 1075
    whole = select(x == 0.0, bits.const(0), (bits & ((1 << 52) - 1)) | (1 << 52))
    # e = 24 q + s; the product's limb of weight 2^(-24 j) needs the digits q - 1 + j + m for the limbs m of X
    q = (r.trunc((r.cast(e, "f64") + 24.0 * PAD) / 24.0)) - float(PAD)
    q = r.cast(r.maximum(q, -float(PAD - 1)), "i64")
    s = r.maximum(e - q * 24, 0)
    table = r.splat(x.builder, "i64", x.lanes, _digit_table(x.builder))
    digits = [r.cast(_gather_i32(table + (q + (PAD - 1 + k)) * 4), "i64") for k in range(limbs + 3)]
    pieces = [whole & mask, whole.shr(24) & mask, whole.shr(48)]
    sums = []
    for j in range(limbs + 1):
        total = pieces[0] * digits[j]
        for m in (1, 2):
            total = total + pieces[m] * digits[j + m]
        sums.append(total)
    for j in range(limbs, 0, -1):
        sums[j - 1] = sums[j - 1] + sums[j].shr(24)
        sums[j] = sums[j] & mask
    out = [(sums[j].shl(s) | sums[j + 1].shr(24 - s)) & mask for j in range(limbs)]
    quadrant, fraction = out[0] & 3, out[1:]
    up = fraction[0] >= (1 << 23)
    quadrant = select(up, quadrant + 1, quadrant)
    fraction = [select(up, mask - f, f) for f in fraction]
    high, low = x.const(0.0), x.const(0.0)
    for i in range(0, len(fraction), 2):
        part = r.cast(fraction[i], "f64") * 2.0 ** (-24 * (i + 1))
        if i + 1 < len(fraction):
            part = part + r.cast(fraction[i + 1], "f64") * 2.0 ** (-24 * (i + 2))
        high, error = twofloat.two_sum(high, part)
        low = low + error
    half_pi = float(PI / 2)
    product = twofloat.multiply((high, low), (x.const(half_pi), x.const(float(PI / 2 - Fraction(half_pi)))))
    flip = up ^ (x < 0.0)
    return (
        select(x < 0.0, -quadrant, quadrant),
        select(flip, -product[0], product[0]),
        select(flip, -product[1], product[1]),
    )


def _gather_i32(addresses: Reg) -> Reg:
    build, lanes = addresses.builder, addresses.lanes
    kind = ir.VectorType(r.I32, lanes)
    pointers = build.inttoptr(addresses.value, ir.VectorType(r.PTR, lanes))
    every = r.constant("bool", lanes, True)
    args = [pointers, ir.Constant(r.I32, 4), every, ir.Constant(kind, None)]
    return Reg(build, r.call_intrinsic(build, f"llvm.masked.gather.v{lanes}i32.v{lanes}p0", kind, args), "i32", lanes)


def _sine_parts(high: Reg, low: Reg, short: bool) -> twofloat.Pair:
    """sin(high + low) on |high| <= pi/4, as a leading and a small term."""
    z = high * high
    tail = high * z * polynomial(z, c.SIN_SHORT_F64 if short else c.SIN_F64)
    return high, tail if short else fma(low, fma(z, -0.5, 1.0), tail)


def _cosine_parts(high: Reg, low: Reg, short: bool) -> twofloat.Pair:
    z = high * high
    half = z * 0.5
    lead = 1.0 - half
    tail = z * z * polynomial(z, c.COS_SHORT_F64 if short else c.COS_F64)
    return lead, ((1.0 - lead) - half) + (tail if short else fma(-high, low, tail))


def _evaluate(x: Reg, formula: Callable[[Reg, Reg, Reg, bool], Reg]) -> Reg:
    short = x.dtype == "f32"
    wide = r.cast(x, "f64")
    quadrant, high, low = _reduce(wide, 4 if short else 7)
    result = r.cast(formula(quadrant, high, low, short), x.dtype)
    return select(r.absolute(x) < float("inf"), result, x - x)


def _quarter(quadrant: Reg, high: Reg, low: Reg, short: bool) -> Reg:
    """sin(quadrant pi/2 + high + low)."""
    sine, cosine = sum_of(_sine_parts(high, low, short)), sum_of(_cosine_parts(high, low, short))
    value = select((quadrant & 1) != 0, cosine, sine)
    return select((quadrant & 2) != 0, -value, value)


def sum_of(pair: twofloat.Pair) -> Reg:
    return pair[0] + pair[1]


def sin(x: Reg) -> Reg:
    """The sine."""
    return select(x == 0.0, x, _evaluate(x, _quarter))


def cos(x: Reg) -> Reg:
    """The cosine: a sine one quadrant on."""
    return _evaluate(x, lambda quadrant, high, low, short: _quarter(quadrant + 1, high, low, short))


def _tangent(quadrant: Reg, high: Reg, low: Reg, short: bool) -> Reg:
    sine, cosine = _sine_parts(high, low, short), _cosine_parts(high, low, short)
    odd = (quadrant & 1) != 0
    if short:
        over, under = sum_of(sine), sum_of(cosine)
        return select(odd, -under, over) / select(odd, over, under)
    s, k = twofloat.fast_two_sum(*sine), twofloat.fast_two_sum(*cosine)
    top = (select(odd, -k[0], s[0]), select(odd, -k[1], s[1]))
    bottom = (select(odd, s[0], k[0]), select(odd, s[1], k[1]))
    return sum_of(twofloat.divide(top, bottom))


def tan(x: Reg) -> Reg:
    """The tangent: sine over cosine, in pairs of floats."""
    return select(x == 0.0, x, _evaluate(x, _tangent))
