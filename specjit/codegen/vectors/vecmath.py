"""The math functions that kernel sources call, on registers of f32 and f64 (those with integer meaning, on any).

Enters: kernel source inside Numba's compilation (only the compile worker imports this module). Leaves: formulas of
`elementary`, `trigonometry` and `special`, inlined.
Invariant: at most 2 ulp from the true value (sigmoid: or the error of eager's formula); no library calls.
"""

from __future__ import annotations

from specjit.codegen.vectors import elementary, registers, special, trigonometry
from specjit.codegen.vectors.registers import Reg, select
from specjit.codegen.vectors.vectortype import elementwise

__all__ = [
    "exp",
    "exp2",
    "expm1",
    "log",
    "log2",
    "log10",
    "log1p",
    "sigmoid",
    "tanh",
    "sinh",
    "cosh",
    "pow",
    "sin",
    "cos",
    "tan",
    "erf",
    "sqrt",
    "rsqrt",
    "reciprocal",
    "sign",
    "abs",
    "floor",
    "ceil",
    "trunc",
    "round",
]


def _rounding(function: object) -> object:
    """Integers are whole already."""
    return elementwise(lambda x: function(x) if x.is_float else x)


def _rsqrt(x: Reg) -> Reg:
    return 1.0 / registers.sqrt(x)


def _reciprocal(x: Reg) -> Reg:
    return 1.0 / x


def _sign(x: Reg) -> Reg:
    """-1, 0 or 1; a NaN stays, and -0.0 gives 0.0, as in NumPy."""
    one = x.const(1)
    if x.dtype in ("u8", "bool"):
        return select(x != 0, one, 0)
    result = select(x > 0, one, select(x < 0, -one, 0))
    return select(x.is_nan(), x, result) if x.is_float else result


exp = elementwise(elementary.exp)
exp2 = elementwise(elementary.exp2)
expm1 = elementwise(elementary.expm1)
log = elementwise(elementary.log)
log2 = elementwise(elementary.log2)
log10 = elementwise(elementary.log10)
log1p = elementwise(elementary.log1p)
sigmoid = elementwise(elementary.sigmoid)
tanh = elementwise(elementary.tanh)
sinh = elementwise(elementary.sinh)
cosh = elementwise(elementary.cosh)
pow = elementwise(elementary.pow)
sin = elementwise(trigonometry.sin)
cos = elementwise(trigonometry.cos)
tan = elementwise(trigonometry.tan)
erf = elementwise(special.erf)

sqrt = elementwise(registers.sqrt)
rsqrt = elementwise(_rsqrt)
reciprocal = elementwise(_reciprocal)
sign = elementwise(_sign)
abs = elementwise(registers.absolute)
floor = _rounding(registers.floor)
ceil = _rounding(registers.ceil)
trunc = _rounding(registers.trunc)
round = _rounding(registers.round_even)
