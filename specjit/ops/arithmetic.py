"""Arithmetic of two tensors, and choices between them.

Enters: tensors and Python numbers. Leaves: fresh tensors of the broadcast shape and promoted dtype.
Invariant: each op's `lower` text is the same IEEE arithmetic as its eager function.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from specjit.ops import infer
from specjit.ops.eager import binary, inlined
from specjit.ops.grads import sum_to
from specjit.ops.lowering import composite, pointwise
from specjit.ops.quiet import quiet
from specjit.ops.registry import NO_GRAD, defop
from specjit.tensor.promotion import common


def _linear(fn: Any) -> Any:
    """fn(a, alpha * b)."""

    def eager(a: Any, b: Any, alpha: Any) -> Any:
        if type(b) is np.ndarray and type(a) is np.ndarray and a.dtype is b.dtype and alpha == 1:
            return fn(a, b)
        if alpha == 1 and type(a) is np.ndarray and a.dtype.kind == "f" and (type(b) is float or type(b) is int):
            return fn(a, b)
        a, b = common(a, b)
        if alpha == 1:
            return fn(a, b)
        if a.dtype.kind != "f" and isinstance(alpha, float):
            raise RuntimeError("For integral input tensors, argument alpha must not be a floating point number.")
        return fn(a, np.multiply(b, alpha).astype(a.dtype))

    return inlined(quiet(eager), fn)


add = defop(
    "add(input: 'Tensor|Scalar', other: 'Tensor|Scalar', *, alpha: Scalar = 1) -> Tensor",
    eager=_linear(np.add),
    infer=infer.pointwise,
    vjp=lambda g, _y, _a, _b, alpha: (
        lambda: sum_to(g, _a),
        lambda: sum_to(g if type(alpha) is int and alpha == 1 else g * alpha, _b),
    ),
    lower=pointwise("{0} + {2} * {1}"),
    method=True,
    doc="input + alpha * other.",
)
sub = defop(
    "sub(input: 'Tensor|Scalar', other: 'Tensor|Scalar', *, alpha: Scalar = 1) -> Tensor",
    eager=_linear(np.subtract),
    infer=infer.pointwise,
    vjp=lambda g, _y, _a, _b, alpha: (
        lambda: sum_to(g, _a),
        lambda: sum_to(-g if type(alpha) is int and alpha == 1 else g * -alpha, _b),
    ),
    lower=pointwise("{0} - {2} * {1}"),
    method=True,
    doc="input - alpha * other.",
)
mul = defop(
    "mul(input: 'Tensor|Scalar', other: 'Tensor|Scalar') -> Tensor",
    eager=binary(np.multiply),
    infer=infer.pointwise,
    vjp=lambda g, _y, a, b: (lambda: sum_to(g * b, a), lambda: sum_to(g * a, b)),
    lower=pointwise("{0} * {1}"),
    reads=((1,), (0,)),
    method=True,
    doc="input * other.",
)
div = defop(
    "div(input: 'Tensor|Scalar', other: 'Tensor|Scalar') -> Tensor",
    eager=binary(np.true_divide, floating=True),
    infer=infer.pointwise_float,
    vjp=lambda g, _y, a, b: (lambda: sum_to(g / b, a), lambda: sum_to(-g * a / (b * b), b)),
    lower=pointwise("{0} / {1}"),
    reads=((1,), (0, 1)),
    method=True,
    doc="True division: ints give the default float dtype.",
)


def _no_bools(name: str, dtype: Any) -> None:
    if dtype is not None and dtype.name == "bool":
        raise NotImplementedError(f"\"{name}\" not implemented for 'Bool'")


def _pointwise_numbers(name: str) -> Any:
    def rule(a: Any, b: Any) -> Any:
        out = infer.pointwise(a, b)
        _no_bools(name, out.dtype)
        return out

    return rule


def _no_zero_divisor(name: str, fn: Any) -> Any:
    def checked(a: Any, b: Any) -> Any:
        _no_bools(name, a.dtype)
        if a.dtype.kind in "iu" and np.any(np.equal(b, 0)):
            raise RuntimeError("ZeroDivisionError")
        return fn(a, b)

    return checked


def _floor_ratio(a: Any, b: Any) -> Any:
    return (a / b).floor()


floor_divide = defop(
    "floor_divide(input: 'Tensor|Scalar', other: 'Tensor|Scalar') -> Tensor",
    eager=binary(_no_zero_divisor("floor_divide", np.floor_divide)),
    infer=_pointwise_numbers("floor_divide"),
    vjp=NO_GRAD,
    lower=pointwise("{0} // {1}"),
    method=True,
    doc="The quotient rounded down, as Python's //.",
)
remainder = defop(
    "remainder(input: 'Tensor|Scalar', other: 'Tensor|Scalar') -> Tensor",
    eager=binary(_no_zero_divisor("remainder", np.remainder)),
    infer=_pointwise_numbers("remainder"),
    vjp=lambda g, _y, a, b: (lambda: sum_to(g, a), lambda: sum_to(-g * _floor_ratio(a, b), b)),
    lower=pointwise("{0} % {1}"),
    reads=((), (0, 1)),
    method=True,
    doc="The remainder with the sign of the divisor, as Python's %.",
)


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
    a, b = common(a, b)
    _no_bools("pow", a.dtype)
    if a.dtype.kind in "iu" and np.any(b < 0):
        raise RuntimeError("Integers to negative integer powers are not allowed.")
    return np.power(a, b)


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
            import math

            slope = g * y * (math.log(a) if a > 0 else math.nan if a < 0 else -math.inf)
            return sum_to(where(b >= 0, 0.0, slope) if a == 0 else slope, b)
        return sum_to(where((a == 0) & (b >= 0), 0.0, g * y * a.log()), b)

    return base, exponent


pow = defop(
    "pow(input: 'Tensor|Scalar', exponent: 'Tensor|Scalar') -> Tensor",
    eager=quiet(_power),
    infer=_pointwise_numbers("pow"),
    vjp=_power_vjp,
    lower=composite(_power_of),
    method=True,
    doc="input ** exponent. RuntimeError for ints to a negative constant power.",
)

maximum = defop(
    "maximum(input, other) -> Tensor",
    eager=binary(np.maximum),
    infer=infer.pointwise,
    vjp=lambda g, _y, a, b: (
        lambda: sum_to(where(a > b, g, where(a == b, g * 0.5, where(a != a, g, 0.0))), a),
        lambda: sum_to(where(b > a, g, where(a == b, g * 0.5, where(a != a, 0.0, where(b != b, g, 0.0)))), b),
    ),
    lower=pointwise("maximum({0}, {1})"),
    doc="Elementwise maximum; NaN wins.",
)
minimum = defop(
    "minimum(input, other) -> Tensor",
    eager=binary(np.minimum),
    infer=infer.pointwise,
    vjp=lambda g, _y, a, b: (
        lambda: sum_to(where(a < b, g, where(a == b, g * 0.5, where(a != a, g, 0.0))), a),
        lambda: sum_to(where(b < a, g, where(a == b, g * 0.5, where(a != a, 0.0, where(b != b, g, 0.0)))), b),
    ),
    lower=pointwise("minimum({0}, {1})"),
    doc="Elementwise minimum; NaN wins.",
)


def _clamp(x: np.ndarray, low: Any, high: Any) -> np.ndarray:
    if low is None and high is None:
        raise RuntimeError("clamp: At least one of 'min' or 'max' must not be None")
    out = x
    if low is not None:
        out = np.asarray(np.maximum(*common(out, low)))
    if high is not None:
        out = np.asarray(np.minimum(*common(out, high)))
    return out


def _clamp_infer(x: Any, low: Any, high: Any) -> Any:
    bounds = [b for b in (low, high) if b is not None]
    shape = infer.broadcast(x.dims, *map(infer.dims_of, bounds))
    return infer.Type.tensor(infer.result_type(x, *bounds), shape)


def _clamp_vjp(g: Any, _y: Any, x: Any, low: Any, high: Any) -> Any:
    def inside() -> Any:
        out = g
        if low is not None:
            out = where(x >= low, out, 0.0)
        if high is not None:
            out = where(x <= high, out, 0.0)
        return sum_to(out, x)

    def at_low() -> Any:
        if low is None or isinstance(low, (int, float)):
            return None
        hit = x < low
        return sum_to(where(hit if high is None else hit & (low < high), g, 0.0), low)

    def at_high() -> Any:
        if high is None or isinstance(high, (int, float)):
            return None
        hit = x > high
        return sum_to(where(hit if low is None else hit | (low >= high), g, 0.0), high)

    return inside, at_low, at_high


def _clamp_composite(x: Any, low: Any, high: Any) -> Any:
    def bound(b: Any) -> Any:
        from specjit.ops.creation import full

        return full((), b, dtype=x.dtype) if isinstance(b, (int, float)) else b

    out = x
    if low is not None:
        out = maximum(out, bound(low))
    if high is not None:
        out = minimum(out, bound(high))
    return out


clamp = defop(
    "clamp(input, min: 'Tensor|Scalar?' = None, max: 'Tensor|Scalar?' = None) -> Tensor",
    eager=quiet(_clamp),
    infer=_clamp_infer,
    vjp=_clamp_vjp,
    lower=composite(_clamp_composite),
    doc="Values below `min` become `min`, values above `max` become `max`; NaN stays.",
)


def _where(condition: np.ndarray, a: Any, b: Any) -> np.ndarray:
    if condition.dtype.kind != "b":
        raise RuntimeError(
            f"where expected condition to be a boolean tensor, but got a tensor with dtype {condition.dtype}"
        )
    return np.where(condition, *common(a, b))


def _where_infer(c: Any, a: Any, b: Any) -> Any:
    if c.dtype is not None and c.dtype.category:
        raise RuntimeError(
            f"where expected condition to be a boolean tensor, but got a tensor with dtype {c.dtype.name}"
        )
    return infer.Type.tensor(infer.result_type(a, b), infer.broadcast(c.dims, infer.dims_of(a), infer.dims_of(b)))


where = defop(
    "where(condition, input: 'Tensor|Scalar', other: 'Tensor|Scalar') -> Tensor",
    eager=_where,
    infer=_where_infer,
    vjp=lambda g, _y, condition, _a, _b: (
        None,
        lambda: sum_to(where(condition, g, 0.0), _a),
        lambda: sum_to(where(condition, 0.0, g), _b),
    ),
    lower=pointwise("select({0}, {1}, {2})", keep=(0,)),
    doc="`input` where `condition` is True, else `other`.",
)
