"""The in-place variants of the first families, and the writes that have no functional form.

Enters: the functional records. Leaves: records that write argument 0.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from specjit.dtypes import dtype_of
from specjit.ir.types import Type
from specjit.ops import arithmetic, gather, masks, parts, pointwise, power
from specjit.ops.creation import check_number
from specjit.ops.records import infer
from specjit.ops.records.eager import writable
from specjit.ops.records.grads import sum_to
from specjit.ops.records.quiet import quiet
from specjit.ops.records.registry import defop
from specjit.ops.records.writes import WRITES_SELF, in_place
from specjit.tensor.promotion import cast_operand

add_ = in_place(arithmetic.add)
sub_ = in_place(arithmetic.sub)
mul_ = in_place(arithmetic.mul)
div_ = in_place(arithmetic.div)
pow_ = in_place(power.pow)
clamp_ = in_place(arithmetic.clamp)
masked_fill_ = in_place(masks.masked_fill)
exp_ = in_place(pointwise.exp)
sqrt_ = in_place(pointwise.sqrt)
neg_ = in_place(pointwise.neg)
abs_ = in_place(pointwise.abs)
sigmoid_ = in_place(pointwise.sigmoid)
tanh_ = in_place(pointwise.tanh)
floor_ = in_place(pointwise.floor)
ceil_ = in_place(pointwise.ceil)
round_ = in_place(pointwise.round)
scatter_add_ = in_place(gather.scatter_add)
index_add_ = in_place(gather.index_add)


def _fill(x: np.ndarray, value: Any) -> np.ndarray:
    if isinstance(value, np.ndarray) and value.ndim:
        raise RuntimeError(f"fill_ only supports 0-dimension value tensor but got tensor with {value.ndim} dimensions.")
    if not isinstance(value, np.ndarray):
        check_number(dtype_of(x.dtype), value)
    x[...] = cast_operand(value, x.dtype)
    return x


fill_ = defop(
    "fill_(input, value: 'Tensor|Scalar') -> Tensor",
    eager=quiet(_fill),
    infer=parts.filled_infer,
    vjp=lambda g, _y, _x, _value: (lambda: g * 0.0, lambda: sum_to(g, _value)),
    traits=WRITES_SELF,
    functional=parts.filled,
    doc="Set all elements to `value`.",
)


def _zero(x: np.ndarray) -> np.ndarray:
    x.fill(0)
    return x


zero_ = defop(
    "zero_(input) -> Tensor",
    eager=_zero,
    infer=infer.same,
    vjp=lambda g, _y, _x: g * 0.0,
    traits=WRITES_SELF,
    functional=parts.filled,
    doc="Set all elements to 0.",
)


def _copy(x: np.ndarray, src: np.ndarray, non_blocking: bool) -> np.ndarray:
    writable(x)[...] = cast_operand(src, x.dtype)
    return x


def _copy_infer(x: Type, src: Type, non_blocking: Any) -> Type:
    if x.dims is not None and src.dims is not None:
        infer.expanded(src, list(map(infer.int_of, x.dims)))
    return infer.same(x)


copy_ = defop(
    "copy_(input, src, non_blocking: bool = False) -> Tensor",
    eager=quiet(_copy),
    infer=_copy_infer,
    vjp=lambda g, _y, _x, _src, non_blocking: (lambda: g * 0.0, lambda: sum_to(g, _src)),
    traits=WRITES_SELF,
    functional=parts.overwritten,
    doc="Copy `src`, broadcast and converted, into the tensor.",
)
