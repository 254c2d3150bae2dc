"""Special functions: the error function's complement and inverse, gamma functions, logit, and logarithms that take
care of their limits.

Enters: tensors; ints and bools give the default float dtype. Leaves: fresh tensors.
Invariant: what NumPy lacks is computed in float64 (`special`, `gamma`) and rounded once.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from specjit.ops import gamma, special
from specjit.ops.arithmetic import where
from specjit.ops.creation import full
from specjit.ops.records import infer
from specjit.ops.records.composites import composite_function
from specjit.ops.records.define import binary_function, float_function
from specjit.ops.records.eager import as_float, binary, half_as_float
from specjit.ops.records.grads import sum_to
from specjit.ops.records.lowering import composite
from specjit.ops.records.quiet import quiet
from specjit.ops.records.refuse import INTEGRAL, Refuse
from specjit.ops.records.registry import defop
from specjit.ops.records.writes import in_place
from specjit.tensor.tensor import Tensor

erfc = float_function(
    "erfc",
    special.erfc_values,
    lambda g, _y, x: g * (-2 / math.sqrt(math.pi)) * (-(x * x)).exp(),
    doc="1 - erf(input), without its cancellation.",
)
erfinv = float_function(
    "erfinv", special.erfinv_values, lambda g, y, _x: g * (math.sqrt(math.pi) / 2) * (y * y).exp(), doc="erf's inverse."
)
lgamma = float_function(
    "lgamma", gamma.lgamma_values, lambda g, _y, x: g * x.digamma(), doc="The logarithm of |gamma(input)|."
)
digamma = float_function(
    "digamma", gamma.digamma_values, lambda g, _y, x: g * polygamma(1, x), doc="The derivative of lgamma."
)


def _polygamma(n: int, x: np.ndarray) -> Any:
    if n < 0:
        raise RuntimeError("polygamma(n, x) does not support negative n.")
    return gamma.polygamma_values(n, as_float(x))


polygamma = defop(
    "polygamma(n: int, input) -> Tensor",
    eager=quiet(_polygamma),
    infer=lambda n, x: infer.same_float(x),
    vjp=lambda g, _y, n, x: g * polygamma(n + 1, x),
    doc="The n-th derivative of digamma.",
)


@composite_function(name="Tensor.polygamma")
def _polygamma_method(input: Tensor, n: int) -> Tensor:
    """The n-th derivative of digamma."""
    return polygamma(n, input)


def _logit(x: np.ndarray, eps: float | None) -> Any:
    if eps is not None:
        x = np.where(np.isnan(x), x, np.minimum(np.maximum(x, x.dtype.type(eps)), x.dtype.type(1) - x.dtype.type(eps)))
    return np.log(x / (1 - x))


def _logit_vjp(g: Any, _y: Any, x: Any, eps: Any) -> Any:
    low, outside = (0.0, math.nan) if eps is None else (eps, 0.0)
    return where((x < low) | (x > 1.0 - low), outside, g / (x * (1 - x)))


def _logit_composite(x: Any, eps: Any) -> Any:
    if eps is not None:
        x = x.clamp(eps, 1 - eps)
    return (x / (1 - x)).log()


logit = defop(
    "logit(input, eps: 'float?' = None) -> Tensor",
    eager=quiet(lambda x, eps: half_as_float(_logit)(as_float(x), eps)),
    infer=infer.same_float,
    vjp=_logit_vjp,
    lower=composite(_logit_composite),
    doc="log(input / (1 - input)), the inverse of sigmoid; with `eps`, of the input clamped to [eps, 1 - eps].",
)
in_place(logit)


def _xlogy(x: np.ndarray, y: Any) -> Any:
    y = np.asarray(y, x.dtype)
    return np.where((x == 0) & (y == y), x.dtype.type(0), x * np.log(y))


def _xlogy_vjp(g: Any, _y: Any, x: Any, y: Any) -> Any:
    def first() -> Any:
        slope = full((), y, dtype=x.dtype).log() if isinstance(y, (int, float)) else y.log()
        return sum_to(where((x == 0) & (y <= 0), 0.0, g * slope), x)

    return first, lambda: sum_to(g * (x / y), y)


xlogy = defop(
    "xlogy(input: 'Tensor|Scalar', other: 'Tensor|Scalar') -> Tensor",
    eager=binary(half_as_float(_xlogy), floating=True),
    infer=infer.pointwise_float,
    vjp=_xlogy_vjp,
    method=True,
    doc="input * log(other), 0 where input is 0 and other is no NaN.",
)
in_place(xlogy)

# As NumPy computes them.
SUM_OF_EXPONENTIALS = (
    "select({0} == {1}, {0} + 0.6931471805599453, maximum({0}, {1}) + log1p(exp(-abs({0} - {1}))))",
    "select({0} == {1}, {0} + 1, maximum({0}, {1}) + 1.4426950408889634 * log1p(exp2(-abs({0} - {1}))))",
)
logaddexp = binary_function(
    "logaddexp",
    np.logaddexp,
    lambda g, _y, a, b: (
        lambda: sum_to(g / ((b - a).exp() + 1), a),
        lambda: sum_to(g / ((a - b).exp() + 1), b),
    ),
    SUM_OF_EXPONENTIALS[0],
    refuse=Refuse("logaddexp_cpu", "Bool", *INTEGRAL),
    ufunc=np.logaddexp,
    inplace=False,
    doc="log(exp(input) + exp(other)).",
)
logaddexp2 = binary_function(
    "logaddexp2",
    np.logaddexp2,
    lambda g, _y, a, b: (
        lambda: sum_to(g / ((b - a).exp2() + 1), a),
        lambda: sum_to(g / ((a - b).exp2() + 1), b),
    ),
    SUM_OF_EXPONENTIALS[1],
    refuse=Refuse("logaddexp2_cpu", "Bool", *INTEGRAL),
    ufunc=np.logaddexp2,
    inplace=False,
    doc="log2(2^input + 2^other).",
)
