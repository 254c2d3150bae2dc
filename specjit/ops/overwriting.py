"""In-place variants of records that `import specjit` defines, for which few programs ask.

Enters: records. Leaves: methods, the augmented assignments of some among them; `inplace` has the common ones.
"""

from __future__ import annotations

from specjit.ops import compare, division, pointwise
from specjit.ops.methods import augmented
from specjit.ops.records.call import attach_method
from specjit.ops.records.writes import in_place

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
    compare.bitwise_not,
):
    in_place(_fn)

AUGMENTED = {
    "ifloordiv": division.floor_divide,
    "imod": division.remainder,
    "iand": compare.bitwise_and,
    "ior": compare.bitwise_or,
    "ixor": compare.bitwise_xor,
}
for _name, _fn in AUGMENTED.items():
    attach_method(f"__{_name}__", augmented(in_place(_fn)))
