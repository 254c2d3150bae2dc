"""Inverse trigonometric and hyperbolic functions, the angle and length of a pair, sinc.

Enters: tensors; ints and bools give the default float dtype. Leaves: fresh tensors.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from specjit.ops.arithmetic import where
from specjit.ops.records.define import binary_function, float_function
from specjit.ops.records.eager import half_as_float
from specjit.ops.records.grads import sum_to
from specjit.ops.records.lowering import composite
from specjit.ops.records.refuse import INTEGRAL, Refuse

asin = float_function(
    "asin",
    np.arcsin,
    lambda g, _y, x: g * (1 - x * x).rsqrt(),
    doc="The angle (radians) in [-pi/2, pi/2] of this sine.",
)
acos = float_function(
    "acos",
    np.arccos,
    lambda g, _y, x: g * -(1 - x * x).rsqrt(),
    doc="The angle (radians) in [0, pi] of this cosine.",
)
atan = float_function(
    "atan",
    np.arctan,
    lambda g, _y, x: g / (x * x + 1),
    doc="The angle (radians) in [-pi/2, pi/2] of this tangent.",
)
sinh = float_function(
    "sinh",
    np.sinh,
    lambda g, _y, x: g * x.cosh(),
    "sinh({0})",
    doc="The hyperbolic sine.",
)
cosh = float_function(
    "cosh",
    np.cosh,
    lambda g, _y, x: g * x.sinh(),
    "cosh({0})",
    doc="The hyperbolic cosine.",
)
asinh = float_function(
    "asinh",
    np.arcsinh,
    lambda g, _y, x: g * (x * x + 1).rsqrt(),
    doc="The inverse of `sinh`.",
)
acosh = float_function(
    "acosh",
    np.arccosh,
    lambda g, _y, x: g * (x * x - 1).rsqrt(),
    doc="The inverse of `cosh`; NaN below 1.",
)
atanh = float_function(
    "atanh",
    np.arctanh,
    lambda g, _y, x: g / (1 - x * x),
    doc="The inverse of `tanh`; NaN outside [-1, 1].",
)


def _atan2_vjp(g: Any, _y: Any, a: Any, b: Any) -> Any:
    def over_length(x: Any) -> Any:
        """x / (a^2 + b^2), 0 at the origin, as in PyTorch."""
        length = a * a + b * b
        return where(length == 0, 0.0, x / length)

    return lambda: sum_to(g * over_length(b), a), lambda: sum_to(g * -over_length(a), b)


atan2 = binary_function(
    "atan2",
    np.arctan2,
    _atan2_vjp,
    floating=True,
    ufunc=np.arctan2,
    doc="The angle of the point (other, input), in [-pi, pi].",
)

hypot = binary_function(
    "hypot",
    np.hypot,
    lambda g, y, a, b: (lambda: sum_to(g * (a / y), a), lambda: sum_to(g * (b / y), b)),
    refuse=Refuse("hypot_cpu", "Bool", *INTEGRAL),
    reads=((0,), (1,)),
    ufunc=np.hypot,
    doc="The length of the vector (input, other).",
)


def _sinc(x: np.ndarray) -> Any:
    angle = x * x.dtype.type(math.pi)
    return np.where(angle == 0, x.dtype.type(1), np.sin(angle) / angle)


def _sinc_vjp(g: Any, y: Any, x: Any) -> Any:
    """(cos(pi x) - sinc(x)) / x; the series starts with -pi^2 x / 3, so 0 at 0."""
    nonzero = where(x == 0, 1.0, x)
    return g * where(x == 0, 0.0, ((x * math.pi).cos() - y) / nonzero)


def _sinc_composite(x: Any) -> Any:
    angle = x * math.pi
    return where(angle == 0, 1.0, angle.sin() / angle)


sinc = float_function(
    "sinc", half_as_float(_sinc), _sinc_vjp, composite(_sinc_composite), doc="sin(pi x) / (pi x), 1 at 0."
)
