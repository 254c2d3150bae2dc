"""Activations: elementwise functions between layers, and the softmax family.

Enters: tensors. Leaves: tensors of the same shape.
"""

from __future__ import annotations

import math
from typing import Any

from specjit.ops import arithmetic, pointwise, reduce


def relu(input: Any, inplace: bool = False) -> Any:
    return input.relu_() if inplace else pointwise.relu(input)


def sigmoid(input: Any) -> Any:
    return pointwise.sigmoid(input)


def tanh(input: Any) -> Any:
    return pointwise.tanh(input)


def gelu(input: Any, approximate: str = "none") -> Any:
    """x * Phi(x), or its tanh approximation."""
    if approximate == "none":
        return input * 0.5 * (1 + pointwise.erf(input * math.sqrt(0.5)))
    if approximate != "tanh":
        raise RuntimeError(f"approximate argument must be either none or tanh, got {approximate!r}")
    inner = math.sqrt(2 / math.pi) * (input + 0.044715 * (input * input * input))
    return input * 0.5 * (1 + pointwise.tanh(inner))


def silu(input: Any, inplace: bool = False) -> Any:
    """x * sigmoid(x)."""
    out = input * pointwise.sigmoid(input)
    return input.copy_(out) if inplace else out


def leaky_relu(input: Any, negative_slope: float = 0.01, inplace: bool = False) -> Any:
    out = arithmetic.where(input > 0, input, input * negative_slope)
    return input.copy_(out) if inplace else out


def elu(input: Any, alpha: float = 1.0, inplace: bool = False) -> Any:
    out = arithmetic.where(input > 0, input, alpha * pointwise.expm1(input))
    return input.copy_(out) if inplace else out


def softplus(input: Any, beta: float = 1.0, threshold: float = 20.0) -> Any:
    """log(1 + exp(beta * x)) / beta; the identity above `threshold`."""
    scaled = input * beta
    small = arithmetic.where(scaled > threshold, 0.0, scaled)
    return arithmetic.where(scaled > threshold, input, pointwise.log1p(pointwise.exp(small)) / beta)


def hardtanh(input: Any, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False) -> Any:
    return input.clamp_(min_val, max_val) if inplace else arithmetic.clamp(input, min_val, max_val)


def softmax(input: Any, dim: int, _stacklevel: int = 3, dtype: Any = None) -> Any:
    return reduce.softmax(input, dim, dtype=dtype)


def log_softmax(input: Any, dim: int, _stacklevel: int = 3, dtype: Any = None) -> Any:
    return reduce.log_softmax(input, dim, dtype=dtype)


def logsigmoid(input: Any) -> Any:
    """log(sigmoid(x)), accurate on both sides."""
    return arithmetic.clamp(input, max=0.0) - pointwise.log1p(pointwise.exp(-pointwise.abs(input)))
