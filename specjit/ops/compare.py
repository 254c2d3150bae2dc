"""Comparisons, logic and bits.

Enters: tensors and Python numbers. Leaves: bool tensors (bitwise ops: the promoted integer dtype). No gradients.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from specjit.ops.records import infer
from specjit.ops.records.eager import binary, inlined
from specjit.ops.records.lowering import pointwise
from specjit.ops.records.quiet import quiet
from specjit.ops.records.refuse import FLOATING, Refuse
from specjit.ops.records.registry import NO_GRAD, defop


def _compare(name: str, fn: Any, text: str) -> Any:
    return defop(
        f"{name}(input, other: 'Tensor|Scalar') -> Tensor",
        eager=binary(fn),
        infer=infer.compare,
        vjp=NO_GRAD,
        lower=pointwise(text, compute="inputs"),
        method=True,
        doc=f"{text.format('input', 'other')}, element by element; a bool tensor.",
    )


eq = _compare("eq", np.equal, "{0} == {1}")
ne = _compare("ne", np.not_equal, "{0} != {1}")
lt = _compare("lt", np.less, "{0} < {1}")
le = _compare("le", np.less_equal, "{0} <= {1}")
gt = _compare("gt", np.greater, "{0} > {1}")
ge = _compare("ge", np.greater_equal, "{0} >= {1}")


def _logical(name: str, fn: Any, text: str) -> Any:
    return defop(
        f"{name}(input, other) -> Tensor",
        eager=inlined(quiet(fn), fn),
        infer=infer.compare,
        vjp=NO_GRAD,
        lower=pointwise(text, compute="inputs"),
        doc=f"{text.format('input', 'other')}, element by element; a bool tensor.",
    )


logical_and = _logical("logical_and", np.logical_and, "({0} != 0) & ({1} != 0)")
logical_or = _logical("logical_or", np.logical_or, "({0} != 0) | ({1} != 0)")
logical_xor = _logical("logical_xor", np.logical_xor, "({0} != 0) ^ ({1} != 0)")


def _test(name: str, fn: Any, text: str, doc: str) -> Any:
    return defop(
        f"{name}(input) -> Tensor",
        eager=inlined(quiet(fn), fn),
        infer=infer.like_bool,
        vjp=NO_GRAD,
        lower=pointwise(text, compute="inputs"),
        doc=doc,
    )


logical_not = _test("logical_not", np.logical_not, "{0} == 0", doc="Whether an element is zero; a bool tensor.")
isnan = _test("isnan", np.isnan, "isnan({0})", doc="Whether an element is NaN; a bool tensor.")
isinf = _test("isinf", np.isinf, "isinf({0})", doc="Whether an element is infinite; a bool tensor.")
isfinite = _test(
    "isfinite", np.isfinite, "isfinite({0})", doc="Whether an element is neither infinite nor NaN; a bool tensor."
)


def _bitwise(name: str, fn: Any, text: str) -> Any:
    refuse = Refuse(f"{name}_cpu", *FLOATING, operands=2)
    return defop(
        f"{name}(input: 'Tensor|Scalar', other: 'Tensor|Scalar') -> Tensor",
        eager=inlined(binary(refuse.eager(fn)), fn),
        infer=refuse.infer(infer.pointwise),
        vjp=NO_GRAD,
        lower=pointwise(text),
        method=True,
        doc=f"{text.format('input', 'other')}, of ints or bools; RuntimeError for floats.",
    )


bitwise_and = _bitwise("bitwise_and", np.bitwise_and, "{0} & {1}")
bitwise_or = _bitwise("bitwise_or", np.bitwise_or, "{0} | {1}")
bitwise_xor = _bitwise("bitwise_xor", np.bitwise_xor, "{0} ^ {1}")
_NO_FLOATS = Refuse("bitwise_not_cpu", *FLOATING)
bitwise_not = defop(
    "bitwise_not(input) -> Tensor",
    eager=inlined(_NO_FLOATS.eager(np.invert), np.invert),
    infer=_NO_FLOATS.infer(infer.same),
    vjp=NO_GRAD,
    lower=pointwise("~{0}"),
    doc="~input, of ints or bools; RuntimeError for floats.",
)
