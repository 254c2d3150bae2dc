"""Rows of algebra: arithmetic, logic and casts.

Enters: nothing. Leaves: `ALGEBRA` and `CASTS`, rows for `passes.simplify`.
Invariant: both sides of a row are equal bit for bit, NaN (any NaN), infinities and the sign of zero included, and so
are their gradients; what holds for integers only says so.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from specjit.dtypes import DType
from specjit.ir.graph import Value
from specjit.passes.patterns import Match, Rule

# -- conditions -------------------------------------------------------------------------------------------------------


def integer(m: Match) -> bool:
    dtype = m.node.result.type.dtype
    return dtype is not None and not dtype.is_floating_point


def floating(m: Match) -> bool:
    dtype = m.node.result.type.dtype
    return dtype is not None and dtype.is_floating_point


def signed(m: Match) -> bool:
    """Whether the result has a negative for (nearly) every value: a float, or a signed integer, which wraps."""
    dtype = m.node.result.type.dtype
    return dtype is not None and dtype.is_signed


def signed_integer(m: Match) -> bool:
    return integer(m) and signed(m)


def one_dtype(m: Match) -> bool:
    """Whether every tensor of the match has the result's dtype, so that no cast lies between the two sides'
    roundings."""
    dtype = m.node.result.type.dtype
    return all(v.type.dtype is dtype for v in m.values.values() if v.type.is_tensor)


def one_integer_dtype(m: Match) -> bool:
    return integer(m) and one_dtype(m)


def of_integers(m: Match) -> bool:
    """Whether everything that is compared is an integer or a bool."""
    kinds = [v.type.dtype if v.type.is_tensor else v.type.kind for v in m.values.values()]
    return all(k in ("int", "bool") or (isinstance(k, DType) and not k.is_floating_point) for k in kinds)


def bools(m: Match) -> bool:
    return all(v.type.is_tensor and v.type.dtype is not None and v.type.dtype.name == "bool" for v in m.values.values())


def int_numbers(m: Match) -> bool:
    return all(v.type.kind == "int" for v in m.values.values())


def power_of_two(m: Match) -> bool:
    """Whether c and 1/c are both exact in every float type."""
    c = m.const("c")
    if type(c) not in (int, float) or not floating(m) or not one_dtype(m) or c == 0 or not math.isfinite(c):
        return False
    mantissa, exponent = math.frexp(c)
    return abs(mantissa) == 0.5 and -10 < exponent < 10


def choice_of_bool(m: Match) -> bool:
    c = m["c"].type
    return c.is_tensor and c.dtype is not None and c.dtype.name == "bool"


# -- replacements -----------------------------------------------------------------------------------------------------


def reciprocal(m: Match) -> Value:
    return m.builder.call("mul", m["x"], 1.0 / m.const("c"))


def cast_once(m: Match) -> Value | None:
    """`cast(cast(x, a), b)` where the first cast changes no value, so that the second sees what x is."""
    source, a, b = m["x"].type.dtype, m.const("a"), m.const("b")
    if not all(isinstance(d, DType) for d in (source, a, b)) or not holds(a, source):
        return None
    # What an integer becomes of a float outside its range depends on how wide the float is.
    if a.is_floating_point and b.category == 1 and not holds(b, source):
        return None
    return m.builder.call("cast", m["x"], b)


def holds(wide: Any, narrow: Any) -> bool:
    """Whether every value of dtype `narrow` is a value of dtype `wide`."""
    if wide is narrow or narrow.name == "bool":
        return True
    if wide.name == "bool" or (narrow.is_floating_point and not wide.is_floating_point):
        return False
    if narrow.is_floating_point:
        return bool(wide.itemsize > narrow.itemsize)
    least, most = np.iinfo(narrow.numpy).min, np.iinfo(narrow.numpy).max
    if wide.is_floating_point:
        return bool(max(-least, most) <= 2 ** (np.finfo(wide.numpy).nmant + 1))
    return bool(np.iinfo(wide.numpy).min <= least and most <= np.iinfo(wide.numpy).max)


# -- rows -------------------------------------------------------------------------------------------------------------

# Functions that leave their own results alone, with why.
IDEMPOTENT = {
    "abs": "the sign is gone",
    "relu": "nothing negative is left",
    "floor": "it is an integer already",
    "ceil": "it is an integer already",
    "trunc": "it is an integer already",
    "rint": "it is an integer already",
}

ALGEBRA = (
    Rule("mul(x, 1)", "x", "multiplying by one is exact, also for NaN and -0.0", commutes=True),
    Rule("div(x, 1)", "x", "dividing by one is exact"),
    Rule("pow(x, 1)", "x", "the first power is exact"),
    Rule("sub(x, 0)", "x", "x - (+0) is x, also for -0.0"),
    Rule("add(x, -0.0)", "x", "x + (-0.0) is x, also for -0.0 and +0.0", floating, commutes=True),
    Rule("add(x, 0)", "x", "integers have no sign of zero (-0.0 + 0 would be 0.0)", integer, commutes=True),
    Rule("mul(x, 0)", "zeros_like(x)", "integers have no NaN, infinity or sign of zero", integer, commutes=True),
    Rule("sub(x, x)", "zeros_like(x)", "integers have no NaN or infinity", integer),
    Rule("mul(x, -1)", "neg(x)", "only the sign changes; integers wrap alike", signed, commutes=True),
    Rule("sub(0, x)", "neg(x)", "integers have no sign of zero (0 - 0.0 is 0.0, -(0.0) is not)", signed_integer),
    Rule("neg(neg(x))", "x", "the sign flips twice; integers wrap twice"),
    Rule("neg(sub(x, y))", "sub(y, x)", "integers wrap, and have no sign of zero", one_integer_dtype),
    Rule("add(x, neg(y))", "sub(x, y)", "IEEE defines x - y as x + (-y)", one_dtype, commutes=True),
    Rule("sub(x, neg(y))", "add(x, y)", "IEEE defines x - y as x + (-y)", one_dtype),
    Rule("mul(neg(x), neg(y))", "mul(x, y)", "the signs cancel before rounding", one_dtype),
    *(Rule(f"{f}({f}(x))", f"{f}(x)", why) for f, why in IDEMPOTENT.items()),
    Rule(
        "div(x, c)",
        reciprocal,
        "the reciprocal of a power of two is exact, so both round one number",
        power_of_two,
    ),
    Rule("where(c, x, x)", "x", "both choices are the same value"),
    Rule("where(logical_not(c), x, y)", "where(c, y, x)", "the choices change places", choice_of_bool),
    Rule("logical_not(logical_not(x))", "x", "a bool turns twice", bools),
    Rule("logical_not(eq(x, y))", "ne(x, y)", "!= is defined as not ==, also for NaN"),
    Rule("logical_not(ne(x, y))", "eq(x, y)", "!= is defined as not ==, also for NaN"),
    Rule("logical_not(lt(x, y))", "ge(x, y)", "integers are ordered (NaN is neither < nor >=)", of_integers),
    Rule("logical_not(le(x, y))", "gt(x, y)", "integers are ordered", of_integers),
    Rule("logical_not(gt(x, y))", "le(x, y)", "integers are ordered", of_integers),
    Rule("logical_not(ge(x, y))", "lt(x, y)", "integers are ordered", of_integers),
    Rule("bitwise_not(bitwise_not(x))", "x", "every bit turns twice"),
    Rule("bitwise_and(x, x)", "x", "bit by bit"),
    Rule("bitwise_or(x, x)", "x", "bit by bit"),
    Rule("bitwise_xor(x, x)", "zeros_like(x)", "bit by bit"),
    Rule("py.add(x, 0)", "x", "integers have no sign of zero", int_numbers, commutes=True),
    Rule("py.sub(x, 0)", "x", "integers have no sign of zero", int_numbers),
    Rule("py.mul(x, 1)", "x", "exact for integers", int_numbers, commutes=True),
)

CASTS = (Rule("cast(cast(x, a), b)", cast_once, "the first cast changes no value"),)
