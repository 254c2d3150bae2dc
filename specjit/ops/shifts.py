"""Bit shifts, and Python's operators for them.

Enters: integer tensors and Python numbers. Leaves: fresh tensors of the promoted dtype.
Invariant: a count outside the type's bits (negative ones too) shifts everything out, as in NumPy, PyTorch and kernels.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from specjit.ops.records import infer
from specjit.ops.records.call import attach_method
from specjit.ops.records.eager import binary, inlined
from specjit.ops.records.generate import operator_function
from specjit.ops.records.lowering import pointwise
from specjit.ops.records.refuse import FLOATING, Refuse
from specjit.ops.records.registry import NO_GRAD, defop
from specjit.ops.records.writes import in_place


def _shift(name: str, operator: str, fn: Any, text: str, doc: str) -> Any:
    refuse = Refuse(f"{operator}_cpu", "Bool", *FLOATING, operands=2)
    made: Any = defop(
        f"{name}(input: 'Tensor|Scalar', other: 'Tensor|Scalar') -> Tensor",
        eager=inlined(binary(refuse.eager(fn)), fn, bools=False),
        infer=refuse.infer(infer.pointwise),
        vjp=NO_GRAD,
        lower=pointwise(text),
        method=True,
        doc=doc,
    )
    attach_method(f"__{operator}__", operator_function(made.record, f"__{operator}__"))
    attach_method(f"__r{operator}__", operator_function(made.record, f"__r{operator}__", swapped=True))
    attach_method(f"__i{operator}__", in_place(made))
    return made


bitwise_left_shift = _shift(
    "bitwise_left_shift",
    "lshift",
    np.left_shift,
    "{0} << {1}",
    doc="input << other, of ints; not implemented for floats and bools.",
)
bitwise_right_shift = _shift(
    "bitwise_right_shift",
    "rshift",
    np.right_shift,
    "{0} >> {1}",
    doc="input >> other, of ints (signs stay); not implemented for floats and bools.",
)
