"""Arithmetic of two tensors, and choices between them.

Enters: tensors and Python numbers. Leaves: fresh tensors of the broadcast shape and promoted dtype.
Invariant: each op's `lower` text is the same IEEE arithmetic as its eager function.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from specjit.dtypes import TITLES, DType, bool_, dtype_of
from specjit.ops.records import infer
from specjit.ops.records.eager import binary, inlined, not_implemented
from specjit.ops.records.grads import sum_to
from specjit.ops.records.lowering import composite, pointwise
from specjit.ops.records.quiet import quiet
from specjit.ops.records.registry import defop
from specjit.tensor.methods import TensorMethods
from specjit.tensor.promotion import common


def _linear(fn: Any, check: Any = None) -> Any:
    """fn(a, alpha * b). check(a, b) looks at operands of different dtypes."""

    def eager(a: Any, b: Any, alpha: Any) -> Any:
        plain = type(alpha) is int and alpha == 1
        if plain and type(b) is np.ndarray and type(a) is np.ndarray and a.dtype is b.dtype:
            return fn(a, b)
        if plain and type(a) is np.ndarray and a.dtype.kind == "f" and (type(b) is float or type(b) is int):
            return fn(a, b)
        if check is not None:
            check(a, b)
        a, b = common(a, b)
        _check_alpha(dtype_of(a.dtype), alpha)
        if alpha == 1:
            return fn(a, b)
        if a.dtype.char == "e":
            return fn(a.astype(np.float32), b.astype(np.float32) * np.float32(np.float16(alpha))).astype(np.float16)
        return fn(a, np.multiply(b, alpha).astype(a.dtype))

    return inlined(quiet(eager), fn)


def _check_alpha(dtype: DType | None, alpha: Any) -> None:
    if dtype is not None and isinstance(alpha, bool) and dtype.category:
        raise RuntimeError("Boolean alpha only supported for Boolean results.")
    if dtype is not None and isinstance(alpha, float) and dtype.category < 2:
        raise RuntimeError("For integral input tensors, argument alpha must not be a floating point number.")


def _linear_infer(check: Any = None) -> Any:
    def rule(a: Any, b: Any, alpha: Any) -> Any:
        if check is not None:
            check(a, b)
        out = infer.pointwise(a, b)
        _check_alpha(out.dtype, alpha)
        return out

    return rule


def _is_bool(x: Any) -> bool:
    if isinstance(x, infer.Type):
        return x.kind == "bool" or (x.is_tensor and x.dtype is bool_)
    return isinstance(x, bool) or getattr(x, "dtype", None) == np.bool_


def _no_bools(a: Any, b: Any) -> None:
    """PyTorch subtracts no bools; a and b are arrays, types or numbers."""
    found = _is_bool(a), _is_bool(b)
    if all(found):
        raise RuntimeError(
            "Subtraction, the `-` operator, with two bool tensors is not supported. Use the `^` or `logical_xor()` "
            "operator instead."
        )
    if any(found):
        raise RuntimeError(
            "Subtraction, the `-` operator, with a bool tensor is not supported. If you are trying to invert a mask, "
            "use the `~` or `logical_not()` operator instead."
        )


add = defop(
    "add(input: 'Tensor|Scalar', other: 'Tensor|Scalar', *, alpha: Scalar = 1) -> Tensor",
    eager=_linear(np.add),
    infer=_linear_infer(),
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
    eager=_linear(np.subtract, _no_bools),
    infer=_linear_infer(_no_bools),
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
    eager=binary(np.multiply, exact_scalar=True),
    infer=infer.pointwise,
    vjp=lambda g, _y, a, b: (lambda: sum_to(g * b, a), lambda: sum_to(g * a, b)),
    lower=pointwise("{0} * {1}"),
    reads=((1,), (0,)),
    method=True,
    doc="input * other.",
)
div = defop(
    "div(input: 'Tensor|Scalar', other: 'Tensor|Scalar') -> Tensor",
    eager=binary(np.true_divide, floating=True, exact_scalar=True),
    infer=infer.pointwise_float,
    vjp=lambda g, _y, a, b: (lambda: sum_to(g / b, a), lambda: sum_to(-g * a / (b * b), b)),
    lower=pointwise("{0} / {1}"),
    reads=((1,), (0, 1)),
    public=False,
    method=False,
    doc="True division: ints give the default float dtype. `division.divide` is what users call.",
)


def _extreme_vjp(loses: Any) -> Any:
    """Equal operands share the gradient; where one is NaN, both have it, as in PyTorch."""

    def vjp(g: Any, _y: Any, a: Any, b: Any) -> Any:
        def share() -> Any:
            return where(a == b, g * 0.5, g)

        return lambda: sum_to(where(loses(a, b), 0.0, share()), a), lambda: sum_to(where(loses(b, a), 0.0, share()), b)

    return vjp


maximum = defop(
    "maximum(input, other) -> Tensor",
    eager=binary(np.maximum),
    infer=infer.pointwise,
    vjp=_extreme_vjp(lambda a, b: a < b),
    lower=pointwise("maximum({0}, {1})"),
    doc="Elementwise maximum; NaN wins.",
)
minimum = defop(
    "minimum(input, other) -> Tensor",
    eager=binary(np.minimum),
    infer=infer.pointwise,
    vjp=_extreme_vjp(lambda a, b: a > b),
    lower=pointwise("minimum({0}, {1})"),
    doc="Elementwise minimum; NaN wins.",
)


PLAIN_BOUNDS = (float, int, type(None))


def _check_bounds(dtype: DType | None, low: Any, high: Any) -> None:
    """Numbers or tensors (arrays, types), not one of each."""
    if low is None and high is None:
        raise RuntimeError("clamp: At least one of 'min' or 'max' must not be None")
    if low is None or high is None:
        return
    if _is_number(low) != _is_number(high):
        raise TypeError("clamp(): arguments 'min' and 'max' must both be numbers or both be Tensors")
    if dtype is bool_:
        raise not_implemented("clamp_cpu", dtype)


def _is_number(x: Any) -> bool:
    return not x.is_tensor if isinstance(x, infer.Type) else isinstance(x, (bool, int, float))


def _clamp(x: np.ndarray, low: Any, high: Any) -> np.ndarray:
    if x.dtype.kind == "f" and type(low) in PLAIN_BOUNDS and type(high) in PLAIN_BOUNDS and low is not high:
        out = x if low is None else np.maximum(x, low)
        return out if high is None else np.minimum(out, high)
    out = x
    if low is not None:
        out = np.asarray(np.maximum(*common(out, low)))
    if high is not None:
        out = np.asarray(np.minimum(*common(out, high)))
    _check_bounds(dtype_of(out.dtype), low, high)
    return out


def _clamp_infer(x: Any, low: Any, high: Any) -> Any:
    bounds = [b for b in (low, high) if b is not None]
    dtype = infer.result_type(x, *bounds)
    _check_bounds(dtype, low, high)
    return infer.Type.tensor(dtype, infer.broadcast(x.dims, *map(infer.dims_of, bounds)))


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
        return sum_to(where(hit if low is None else hit | (low > high), g, 0.0), high)

    return inside, at_low, at_high


def _clamp_composite(x: Any, low: Any, high: Any) -> Any:
    def bound(b: Any) -> Any:
        from specjit.ops.creation import full

        # A number may be known at run time only, so what is no tensor is one.
        return b if isinstance(b, TensorMethods) else full((), b, dtype=x.dtype)

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
            "where expected condition to be a boolean tensor, but got a tensor with dtype "
            f"{TITLES[condition.dtype.name]}"
        )
    if type(a) is np.ndarray and type(b) is np.ndarray and a.dtype is b.dtype:
        return np.where(condition, a, b)
    return np.where(condition, *common(a, b))


def _where_infer(c: Any, a: Any, b: Any) -> Any:
    if c.dtype is not None and c.dtype.category:
        raise RuntimeError(
            f"where expected condition to be a boolean tensor, but got a tensor with dtype {TITLES[c.dtype.name]}"
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
    public=False,
    doc="`methods.where` is what users call.",
)
