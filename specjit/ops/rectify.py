"""Piecewise linear activations: `relu`, and those whose limits or slopes are not those of `clamp`.

Enters: tensors and limits. Leaves: fresh tensors of the same dtype.
Invariant: limits are first rounded to the dtype of the input, of ints too; at a limit the slope is 0.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from specjit.ops.arithmetic import where
from specjit.ops.records import infer
from specjit.ops.records.lowering import pointwise
from specjit.ops.records.quiet import quiet
from specjit.ops.records.refuse import Refuse
from specjit.ops.records.registry import defop
from specjit.ops.records.writes import in_place

_relu_refuses = Refuse("", "Bool", message="Boolean inputs not supported for relu")
relu = defop(
    "relu(input) -> Tensor",
    eager=quiet(_relu_refuses.eager(lambda x: np.maximum(x, x.dtype.type(0)))),
    infer=_relu_refuses.infer(infer.same),
    vjp=lambda g, y, _x: where(y > 0, g, 0.0),
    lower=pointwise("maximum({0}, 0)"),
    doc="max(x, 0).",
)
relu_ = in_place(relu)


def _limit(x: np.ndarray, value: Any) -> Any:
    """A number in the dtype of `x`; to ints it wraps around, as in C++."""
    return x.dtype.type(value) if x.dtype.kind == "f" else np.asarray(value).astype(x.dtype)


def _hardtanh(x: np.ndarray, low: Any, high: Any) -> Any:
    if x.dtype.kind == "u" and (low < 0 or high < 0):
        raise RuntimeError("cannot do hardtanh on an unsigned type with negative limits")
    return np.minimum(np.maximum(x, _limit(x, low)), _limit(x, high))


def _hardtanh_infer(x: Any, low: Any, high: Any) -> Any:
    if x.dtype is infer.dtypes.uint8 and any(isinstance(v, (int, float)) and v < 0 for v in (low, high)):
        raise RuntimeError("cannot do hardtanh on an unsigned type with negative limits")
    return infer.same(x)


_hardtanh_refuses = Refuse("", "Bool", message="Bool inputs not supported for hardtanh")
hardtanh = defop(
    "hardtanh(input, min_val: Scalar = -1, max_val: Scalar = 1) -> Tensor",
    eager=quiet(_hardtanh_refuses.eager(_hardtanh)),
    infer=_hardtanh_refuses.infer(_hardtanh_infer),
    vjp=lambda g, _y, x, low, high: where((x > low) & (x < high), g, 0.0),
    lower=pointwise("minimum(maximum({0}, {1}), {2})"),
    public=False,
    method=False,
    doc="x, kept within the limits. Unlike `clamp`, ints stay ints, and the slope at the limits is 0.",
)
hardtanh_ = in_place(hardtanh)

_threshold_refuses = Refuse("threshold_cpu", "Bool")
threshold = defop(
    "threshold(input, threshold: Scalar, value: Scalar) -> Tensor",
    eager=quiet(_threshold_refuses.eager(lambda x, t, v: np.where(x <= _limit(x, t), _limit(x, v), x))),
    infer=_threshold_refuses.infer(infer.same),
    vjp=lambda g, _y, x, threshold, _value: where(x <= threshold, 0.0, g),
    lower=pointwise("select({0} <= {1}, {2}, {0})"),
    public=False,
    method=False,
    doc="x where it is above the threshold (or NaN), else `value`.",
)
threshold_ = in_place(threshold)
