"""Activations that act on each element.

Enters: tensors. Leaves: tensors of the same shape and dtype; with `inplace`, the input itself.
Invariant: kinks have the one-sided slopes that PyTorch gives them; float16 is computed in float32 and rounded once.
"""

from __future__ import annotations

import math

from specjit.nn.functional.common import operand, result
from specjit.ops import arithmetic, creation, draws, pointwise, rectify
from specjit.tensor.tensor import Tensor

SELU_ALPHA = 1.6732632423543772848170429916717  # Klambauer et al. 2017, "Self-Normalizing Neural Networks"
SELU_SCALE = 1.0507009873554804934193349852946


def relu(input: Tensor, inplace: bool = False) -> Tensor:
    """max(x, 0)."""
    return rectify.relu_(input) if inplace else rectify.relu(input)


def relu_(input: Tensor) -> Tensor:
    """`relu` in place."""
    return rectify.relu_(input)


def hardtanh(input: Tensor, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False) -> Tensor:
    """x, kept within [min_val, max_val]; no slope at the limits."""
    if min_val > max_val:
        raise ValueError("min_val cannot be greater than max_val")
    if inplace:
        return rectify.hardtanh_(input, min_val, max_val)
    return rectify.hardtanh(input, min_val, max_val)


def hardtanh_(input: Tensor, min_val: float = -1.0, max_val: float = 1.0) -> Tensor:
    """`hardtanh` in place."""
    return hardtanh(input, min_val, max_val, True)


def relu6(input: Tensor, inplace: bool = False) -> Tensor:
    """min(max(x, 0), 6)."""
    return hardtanh(input, 0.0, 6.0, inplace)


def threshold(input: Tensor, threshold: float, value: float, inplace: bool = False) -> Tensor:
    """x where it is above `threshold`, else `value`."""
    return rectify.threshold_(input, threshold, value) if inplace else rectify.threshold(input, threshold, value)


def threshold_(input: Tensor, threshold: float, value: float) -> Tensor:
    """`threshold` in place."""
    return rectify.threshold_(input, threshold, value)


def leaky_relu(input: Tensor, negative_slope: float = 0.01, inplace: bool = False) -> Tensor:
    """x where positive, else negative_slope * x."""
    x = operand(input, "leaky_relu_cpu", inplace)
    return result(arithmetic.where(x > 0, x, x * negative_slope), input, inplace)


def leaky_relu_(input: Tensor, negative_slope: float = 0.01) -> Tensor:
    """`leaky_relu` in place."""
    return leaky_relu(input, negative_slope, True)


def prelu(input: Tensor, weight: Tensor) -> Tensor:
    """x where positive, else weight * x; weight has one element, or one for each channel (dim 1)."""
    if weight.dtype is not input.dtype:
        raise RuntimeError(f"prelu: Type promoting not supported. Got {input.dtype.name} and {weight.dtype.name}")
    if weight.ndim > 1:
        raise RuntimeError(f"prelu: Expected `weight` to be a scalar or 1D tensor, but got: ndim = {weight.ndim}")
    channels = input.shape[1] if input.ndim > 1 else 1
    if weight.numel() != 1 and weight.numel() != channels:
        raise RuntimeError(
            "Mismatch of parameter numbers and input channel size. Found parameter numbers = "
            f"{weight.numel()} and channel size = {channels}."
        )
    slopes = weight.reshape([1, -1] + [1] * (input.ndim - 2) if input.ndim > 1 else [1] * input.ndim)
    x = operand(input, "prelu_cpu")
    return result(arithmetic.where(x > 0, x, x * slopes), input)


def rrelu(
    input: Tensor, lower: float = 1.0 / 8, upper: float = 1.0 / 3, training: bool = False, inplace: bool = False
) -> Tensor:
    """`leaky_relu` with a slope from [lower, upper) for each element; in evaluation with the mean of the two."""
    if not training:
        return leaky_relu(input, (lower + upper) / 2, inplace)
    x = operand(input, "rrelu_with_noise_out_cpu", inplace)
    slopes = draws.rand_like(x) * (upper - lower) + lower
    return result(arithmetic.where(x > 0, x, x * slopes), input, inplace)


def rrelu_(input: Tensor, lower: float = 1.0 / 8, upper: float = 1.0 / 3, training: bool = False) -> Tensor:
    """`rrelu` in place."""
    return rrelu(input, lower, upper, training, True)


def _elu(input: Tensor, alpha: float, scale: float, rate: float, inplace: bool) -> Tensor:
    """scale * (x where positive, else alpha * (exp(rate * x) - 1))."""
    x = operand(input, "elu_cpu", inplace)
    # What is not taken must not overflow: its gradient would be 0 * inf.
    low = pointwise.expm1(arithmetic.clamp(x, max=0.0) * rate) * (alpha * scale)
    return result(arithmetic.where(x > 0, x * scale, low), input, inplace)


def elu(input: Tensor, alpha: float = 1.0, inplace: bool = False) -> Tensor:
    """x where positive, else alpha * (exp(x) - 1)."""
    return _elu(input, alpha, 1.0, 1.0, inplace)


def elu_(input: Tensor, alpha: float = 1.0) -> Tensor:
    """`elu` in place."""
    return elu(input, alpha, True)


def celu(input: Tensor, alpha: float = 1.0, inplace: bool = False) -> Tensor:
    """x where positive, else alpha * (exp(x / alpha) - 1)."""
    if alpha == 0:
        raise RuntimeError("ZeroDivisionError: alpha cannot be 0 for CELU")
    return _elu(input, alpha, 1.0, 1.0 / alpha, inplace)


def celu_(input: Tensor, alpha: float = 1.0) -> Tensor:
    """`celu` in place."""
    return celu(input, alpha, True)


def selu(input: Tensor, inplace: bool = False) -> Tensor:
    """`elu` with the constants that keep mean 0 and variance 1 from layer to layer."""
    return _elu(input, SELU_ALPHA, SELU_SCALE, 1.0, inplace)


def selu_(input: Tensor) -> Tensor:
    """`selu` in place."""
    return selu(input, True)


def glu(input: Tensor, dim: int = -1) -> Tensor:
    """a * sigmoid(b) for the halves a and b of the input along `dim`."""
    if input.ndim == 0:
        raise RuntimeError("glu does not support 0-dimensional tensors")
    size = input.shape[dim]
    if size % 2 != 0:
        raise RuntimeError(f"Halving dimension must be even, but dimension {dim % input.ndim} is size {size}")
    x = operand(input, "glu_cpu")
    return result(x.narrow(dim, 0, size // 2) * pointwise.sigmoid(x.narrow(dim, size // 2, size // 2)), input)


def gelu(input: Tensor, approximate: str = "none") -> Tensor:
    """x * Phi(x), Phi the normal distribution's; or its tanh approximation."""
    if approximate != "none" and approximate != "tanh":
        raise RuntimeError("approximate argument must be either none or tanh.")
    x = operand(input, "GeluKernelImpl")
    if approximate == "none":
        return result(x * 0.5 * (pointwise.erf(x * math.sqrt(0.5)) + 1), input)
    inner = (x + 0.044715 * (x * x * x)) * math.sqrt(2 / math.pi)
    return result(x * 0.5 * (pointwise.tanh(inner) + 1), input)


def logsigmoid(input: Tensor) -> Tensor:
    """log(sigmoid(x)), accurate on both sides."""
    x = operand(input, "log_sigmoid_cpu")
    # `minimum` shares its slope where both are 0; `clamp` would not.
    below = arithmetic.minimum(x, creation.zeros((), dtype=x.dtype))
    return result(below - pointwise.log1p(pointwise.exp(-pointwise.abs(x))), input)


def hardshrink(input: Tensor, lambd: float = 0.5) -> Tensor:
    """x outside of [-lambd, lambd], else 0."""
    x = operand(input, "hardshrink_cpu")
    return result(arithmetic.where((x >= -lambd) & (x <= lambd), 0.0, x), input)


def softshrink(input: Tensor, lambd: float = 0.5) -> Tensor:
    """x moved towards 0 by `lambd`, at most to 0."""
    if lambd < 0:
        raise RuntimeError(f"lambda must be greater or equal to 0, but found to be {lambd:g}.")
    x = operand(input, "softshrink_check")
    # x * 0: NaN stays.
    return result(arithmetic.where(x > lambd, x - lambd, arithmetic.where(x < -lambd, x + lambd, x * 0)), input)


def tanhshrink(input: Tensor) -> Tensor:
    """x - tanh(x)."""
    return input - pointwise.tanh(input)


def softsign(input: Tensor) -> Tensor:
    """x / (1 + |x|)."""
    return input / (pointwise.abs(input) + 1)


def softplus(input: Tensor, beta: float = 1.0, threshold: float = 20.0) -> Tensor:
    """log(1 + exp(beta * x)) / beta; the identity where beta * x is above `threshold`."""
    x = operand(input, "softplus_cpu")
    scaled = x * beta
    linear = scaled > threshold
    small = arithmetic.where(linear, 0.0, scaled)
    return result(arithmetic.where(linear, x, pointwise.log1p(pointwise.exp(small)) / beta), input)


def tanh(input: Tensor) -> Tensor:
    """The hyperbolic tangent."""
    return pointwise.tanh(input)


def sigmoid(input: Tensor) -> Tensor:
    """1 / (1 + exp(-x))."""
    return pointwise.sigmoid(input)


def hardsigmoid(input: Tensor, inplace: bool = False) -> Tensor:
    """relu6(x + 3) / 6."""
    x = operand(input, "hardsigmoid_cpu", inplace)
    return result(rectify.hardtanh(x + 3, 0.0, 6.0) / 6, input, inplace)


def hardswish(input: Tensor, inplace: bool = False) -> Tensor:
    """x * relu6(x + 3) / 6."""
    x = operand(input, "hardswish_cpu", inplace)
    return result(x * rectify.hardtanh(x + 3, 0.0, 6.0) / 6, input, inplace)


def silu(input: Tensor, inplace: bool = False) -> Tensor:
    """x * sigmoid(x)."""
    x = operand(input, "silu_cpu", inplace)
    return result(x * pointwise.sigmoid(x), input, inplace)


def mish(input: Tensor, inplace: bool = False) -> Tensor:
    """x * tanh(log(1 + exp(x)))."""
    x = operand(input, "mish_cpu", inplace)
    return result(x * pointwise.tanh(softplus(x)), input, inplace)
