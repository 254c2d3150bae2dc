"""Powers.

Enters: tensors and Python numbers, at least one of them a tensor. Leaves: fresh tensors of the promoted dtype.
Invariant: a small constant exponent is computed by multiplications, by kernels as in eager mode.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from specjit.ops.arithmetic import where
from specjit.ops.records import infer
from specjit.ops.records.eager import inlined
from specjit.ops.records.grads import sum_to
from specjit.ops.records.lowering import composite
from specjit.ops.records.quiet import quiet
from specjit.ops.records.refuse import Refuse
from specjit.ops.records.registry import defop
from specjit.tensor.promotion import common

BOOLS = Refuse("pow", "Bool")


def _power(a: Any, b: Any) -> Any:
    if type(b) in (int, float) and type(a) is np.ndarray and a.dtype.kind == "f":
        if b == 2:
            return a * a
        if b == 3:
            return a * a * a
        if b == 0.5:
            return np.sqrt(a)
        if b == 1:
            return a.copy()
        if b == -1:
            return 1 / a
        return np.power(a, b)
    if b is True:
        return a.copy()
    constant = isinstance(b, int) and a.dtype.kind in "iu"
    if constant:
        _check_exponent(a.dtype, b)
    a, b = common(a, b)
    if a.dtype.kind == "b":
        raise BOOLS.error(a.dtype)
    return _integer_power(a, b) if a.dtype.kind in "iu" and not constant else np.power(a, b)


def _check_exponent(dtype: np.dtype, b: int) -> None:
    if b < 0:
        raise RuntimeError("Integers to negative integer powers are not allowed.")
    if b > np.iinfo(dtype).max:
        raise RuntimeError(f"value cannot be converted to type {dtype.name}_t without overflow")


def _integer_power(a: np.ndarray, b: np.ndarray) -> Any:
    """Negative exponents give what the reciprocal truncates to: 0, but for 1 and -1."""
    negative = b < 0
    if not np.any(negative):
        return np.power(a, b)
    reciprocal = np.where(a == 1, 1, np.where(a == -1, np.where(b & 1, -1, 1), 0))
    return np.where(negative, reciprocal, np.power(a, np.where(negative, 0, b))).astype(a.dtype)


def _power_infer(a: Any, b: Any) -> Any:
    out = infer.pointwise(a, b)
    if out.dtype in BOOLS.dtypes and b is not True:
        raise BOOLS.error(out.dtype)
    return out


def _power_of(a: Any, b: Any) -> Any:
    """Small constant exponents as eager computes them."""
    from specjit.tensor.tracer import TraceError

    if type(b) not in (int, float) or isinstance(a, (int, float)) or not a.dtype.is_floating_point:
        raise TraceError("pow with an exponent that is not constant")
    table: dict[Any, Any] = {
        2: lambda: a * a,
        3: lambda: a * a * a,
        0.5: lambda: a.sqrt(),
        1: lambda: a.clone(),
        -1: lambda: 1 / a,
    }
    if b not in table:
        raise TraceError("pow with a general exponent")
    return table[b]()


def _power_vjp(g: Any, y: Any, a: Any, b: Any) -> Any:
    def base() -> Any:
        if isinstance(b, (int, float)):
            return sum_to(g * (b * a ** (b - 1)) if b else g * 0.0, a)
        return sum_to(g * where(b == 0, 0.0, b * a ** (b - 1)), a)

    def exponent() -> Any:
        if isinstance(a, (int, float)):
            slope = g * y * (math.log(a) if a > 0 else math.nan if a < 0 else -math.inf)
            return sum_to(where(b >= 0, 0.0, slope) if a == 0 else slope, b)
        return sum_to(where((a == 0) & (b >= 0), 0.0, g * y * a.log()), b)

    return base, exponent


pow = defop(
    "pow(input: 'Tensor|Scalar', exponent: 'Tensor|Scalar') -> Tensor",
    eager=inlined(quiet(_power), np.power, floats=True, numbers=False),
    infer=_power_infer,
    vjp=_power_vjp,
    lower=composite(_power_of),
    method=True,
    doc="input ** exponent. RuntimeError for ints to a negative constant power.",
)
