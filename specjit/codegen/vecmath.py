"""The math functions that kernel sources call, on registers of f32 and f64 (those with integer meaning, on any).

Enters: kernel source inside Numba's compilation (only the compile worker imports this module). Leaves: the formulas of `elementary`,
inlined. Invariant: at most 2 ulp from the true value (sigmoid: or the error of eager's formula); no library calls.
"""

from __future__ import annotations

from specjit.codegen import elementary, registers
from specjit.codegen.simd import elementwise

exp = elementwise(elementary.exp)
exp2 = elementwise(elementary.exp2)
expm1 = elementwise(elementary.expm1)
sigmoid = elementwise(elementary.sigmoid)
tanh = elementwise(elementary.tanh)

sqrt = elementwise(registers.sqrt)
floor = elementwise(registers.floor)
ceil = elementwise(registers.ceil)
trunc = elementwise(registers.trunc)
round = elementwise(registers.round_even)
abs = elementwise(registers.absolute)
