"""In-place variants of records that `import specjit` defines, for which few programs ask.

Enters: records. Leaves: methods; `inplace` has the common ones.
"""

from __future__ import annotations

from specjit.ops import compare, division, pointwise
from specjit.ops.writes import in_place

for _fn in (
    pointwise.sign,
    pointwise.reciprocal,
    pointwise.rsqrt,
    pointwise.square,
    pointwise.exp2,
    pointwise.expm1,
    pointwise.log,
    pointwise.log2,
    pointwise.log10,
    pointwise.log1p,
    pointwise.sin,
    pointwise.cos,
    pointwise.tan,
    pointwise.erf,
    pointwise.trunc,
    division.floor_divide,
    division.remainder,
    compare.eq,
    compare.ne,
    compare.lt,
    compare.le,
    compare.gt,
    compare.ge,
    compare.logical_and,
    compare.logical_or,
    compare.logical_xor,
    compare.logical_not,
    compare.bitwise_and,
    compare.bitwise_or,
    compare.bitwise_xor,
    compare.bitwise_not,
):
    in_place(_fn)
