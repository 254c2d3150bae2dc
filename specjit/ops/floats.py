"""What floats are made of: sign, fraction, neighbours, the special values; and the operations that IEEE 754 names.

Enters: tensors. Leaves: fresh tensors (`positive`: the tensor itself).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from specjit.dtypes import TITLES, bool_, float64
from specjit.ops import compare
from specjit.ops.arithmetic import where
from specjit.ops.creation import ones_like
from specjit.ops.division import no_zero_divisor
from specjit.ops.power import pow
from specjit.ops.records import infer
from specjit.ops.records.call import attach_method
from specjit.ops.records.composites import Number, composite_function
from specjit.ops.records.define import binary_function, kept_function
from specjit.ops.records.eager import half_as_float, inlined
from specjit.ops.records.grads import sum_to
from specjit.ops.records.lowering import composite, pointwise
from specjit.ops.records.quiet import quiet
from specjit.ops.records.refuse import INTEGRAL, Refuse
from specjit.ops.records.registry import NO_GRAD, defop
from specjit.ops.records.writes import in_place
from specjit.tensor.tensor import Tensor

# signs


@composite_function(inplace=True)
def sgn(input: Tensor) -> Tensor:
    """`sign`: they differ on complex numbers only."""
    return input.sign()


@composite_function
def positive(input: Tensor) -> Tensor:
    """The tensor itself; RuntimeError for bools."""
    if input.dtype is bool_:
        raise RuntimeError("The `+` operator, on a bool tensor is not supported.")
    return input


attach_method("__pos__", positive)


def _signbit_composite(x: Any) -> Any:
    return copysign(ones_like(x), x) < 0 if x.dtype.is_floating_point else x < 0


signbit = defop(
    "signbit(input) -> Tensor",
    eager=inlined(quiet(lambda x: np.signbit(x) if x.dtype.kind == "f" else np.less(x, 0)), np.signbit, floats=True),
    infer=infer.like_bool,
    vjp=NO_GRAD,
    lower=composite(_signbit_composite),
    doc="Whether the sign bit is set; of -0.0 and negative NaNs it is.",
)
copysign = binary_function(
    "copysign",
    np.copysign,
    lambda g, y, a, b: (lambda: sum_to(where(a == 0, 0.0, g * (y / a)), a), lambda: sum_to(g * 0.0, b)),
    "copysign({0}, {1})",
    floating=True,
    numbers=True,
    reads=((0,), ()),
    ufunc=np.copysign,
    doc="The magnitude of input with the sign of other.",
)


def _one_dtype(a: Any, b: Any) -> None:
    if a is not None and b is not None and a is not b:
        raise RuntimeError("heaviside is not yet implemented for tensors with different dtypes.")


def _heaviside(x: np.ndarray, values: np.ndarray) -> Any:
    _one_dtype(x.dtype, values.dtype)
    if x.dtype.kind != "f":
        return np.where(x == 0, values, (x > 0).astype(x.dtype))
    out = np.asarray(np.heaviside(x, values))
    if out.shape == x.shape:
        out[np.isnan(x)] = 0
    else:
        np.copyto(out, 0, where=np.isnan(x))
    return out


def _heaviside_infer(x: Any, values: Any) -> Any:
    _one_dtype(x.dtype, values.dtype)
    return infer.pointwise(x, values)


heaviside = defop(
    "heaviside(input, values) -> Tensor",
    eager=quiet(_heaviside),
    infer=_heaviside_infer,
    vjp=NO_GRAD,
    lower=pointwise("select({0} == 0, {1}, maximum(select({0} == {0}, sign({0}), 0), 0))"),
    doc="0 of negative numbers (and NaN), 1 of positive ones, `values` of 0. Both have one dtype.",
)
in_place(heaviside)


# special values


@composite_function
def isposinf(input: Tensor) -> Tensor:
    """Whether an element is positive infinity."""
    return input == math.inf


@composite_function
def isneginf(input: Tensor) -> Tensor:
    """Whether an element is negative infinity."""
    return input == -math.inf


def _nan_to_num(x: np.ndarray, nan: Any, posinf: Any, neginf: Any) -> Any:
    if x.dtype.kind != "f":
        return x.copy()
    low, high = _bounds(x.dtype, posinf, neginf)
    kind = x.dtype.type
    out = np.where(x == math.inf, kind(high), np.where(x == -math.inf, kind(low), x))
    return np.where(np.isnan(x), kind(nan or 0.0), out)


def _bounds(dtype: np.dtype, posinf: Any, neginf: Any) -> tuple[float, float]:
    limits = np.finfo(dtype)
    return float(limits.min) if neginf is None else neginf, float(limits.max) if posinf is None else posinf


def _nan_to_num_composite(x: Any, nan: Any, posinf: Any, neginf: Any) -> Any:
    if not x.dtype.is_floating_point:
        return x.clone()
    low, high = _bounds(x.dtype.numpy, posinf, neginf)
    return where(x != x, nan or 0.0, where(x == math.inf, high, where(x == -math.inf, low, x)))


nan_to_num = defop(
    "nan_to_num(input, nan: 'float?' = None, posinf: 'float?' = None, neginf: 'float?' = None) -> Tensor",
    eager=quiet(_nan_to_num),
    infer=infer.same,
    vjp=lambda g, _y, x, *_: where(x.isfinite(), g, 0.0),
    lower=composite(_nan_to_num_composite),
    doc="NaN as `nan` (0), infinities as `posinf` and `neginf` (the dtype's largest and smallest numbers).",
)
in_place(nan_to_num)

# parts and neighbours

frac = kept_function(
    "frac",
    half_as_float(lambda x: x - np.trunc(x)),
    lambda g, _y, _x: g,
    "{0} - trunc({0})",
    refuse=Refuse("frac_cpu", "Bool", *INTEGRAL),
    doc="input - trunc(input).",
)
nextafter = binary_function(
    "nextafter",
    np.nextafter,
    NO_GRAD,
    refuse=Refuse("nextafter_cpu", "Bool", *INTEGRAL),
    ufunc=np.nextafter,
    doc="The neighbour of input in the direction of other.",
)


@composite_function(inplace=True)
def ldexp(input: Tensor, other: Tensor) -> Tensor:
    """input * 2^other."""
    return input * 2.0**other


# operations

fmod = binary_function(
    "fmod",
    no_zero_divisor(np.fmod),
    lambda g, _y, a, b: (lambda: sum_to(g, a), lambda: sum_to(-g * (a / b).trunc(), b)),
    "fmod({0}, {1})",
    numbers=True,
    refuse=Refuse("fmod_cpu", "Bool"),
    reads=((), (0, 1)),
    ufunc=np.fmod,
    doc="The remainder with the sign of the input, as C's fmod.",
)


def _winner_vjp(wins: Any) -> Any:
    """The gradient goes to the first operand where it wins or the other is NaN."""

    def vjp(g: Any, _y: Any, a: Any, b: Any) -> Any:
        def first() -> Any:
            return wins(a, b) | (b != b)

        return lambda: sum_to(where(first(), g, 0.0), a), lambda: sum_to(where(first(), 0.0, g), b)

    return vjp


fmax = binary_function(
    "fmax",
    np.fmax,
    _winner_vjp(lambda a, b: a >= b),
    "select(({0} >= {1}) | ({1} != {1}), {0}, {1})",
    ufunc=np.fmax,
    inplace=False,
    doc="Elementwise maximum; a number wins over NaN.",
)
fmin = binary_function(
    "fmin",
    np.fmin,
    _winner_vjp(lambda a, b: a <= b),
    "select(({0} <= {1}) | ({1} != {1}), {0}, {1})",
    ufunc=np.fmin,
    inplace=False,
    doc="Elementwise minimum; a number wins over NaN.",
)


@composite_function(direct=lambda x, exponent: np.asarray(np.float_power(x, exponent)))
def float_power(input: Tensor | Number, exponent: Tensor | Number) -> Tensor:
    """`pow` in float64."""
    return pow(_double(input), _double(exponent))


def _double(x: Any) -> Any:
    return x if isinstance(x, (int, float)) else x.double()


def _float_power_in_place(input: Any, exponent: Any) -> Any:
    """`pow_` of a float64 tensor; RuntimeError for other dtypes."""
    if input.dtype is not float64:
        raise RuntimeError(
            "the base given to float_power_ has another dtype than Double, which the operation's result requires"
        )
    return input.pow_(_double(exponent))


attach_method("float_power_", _float_power_in_place)


@composite_function
def isclose(input: Tensor, other: Tensor, rtol: float = 1e-05, atol: float = 1e-08, equal_nan: bool = False) -> Tensor:
    """Whether |input - other| <= atol + rtol * |other|, or both are equal. Ints are compared as floats."""
    if input.dtype is not other.dtype:
        raise RuntimeError(f"{TITLES[input.dtype.name]} did not match {TITLES[other.dtype.name]}")
    if rtol < 0:
        raise RuntimeError(f"rtol must be greater than or equal to zero, but got {rtol}")
    if atol < 0:
        raise RuntimeError(f"atol must be greater than or equal to zero, but got {atol}")
    close = input == other
    if input.dtype.is_floating_point:
        if equal_nan:
            close = close | (compare.isnan(input) & compare.isnan(other))
        found, wanted = input, other
    else:
        found, wanted = input * 1.0, other * 1.0
    difference = (found - wanted).abs()
    return close | (compare.isfinite(difference) & (difference <= atol + (rtol * wanted).abs()))
