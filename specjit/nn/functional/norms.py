"""Normalization: mean 0 and variance 1 over some dims, then a learned scale and shift.

Enters: tensors, running statistics. Leaves: tensors of the same shape and dtype.
Invariant: float16 is computed in float32; running statistics are written in place, outside of gradients.
"""

from __future__ import annotations

from collections.abc import Sequence

from specjit import dtypes
from specjit.nn.functional.common import operand, result
from specjit.ops import combine, creation, pointwise, reduce
from specjit.ops.slicing import narrow
from specjit.tensor.tensor import Tensor


def _standardized(x: Tensor, dims: Sequence[int], eps: float) -> tuple[Tensor, Tensor, Tensor]:
    """(x with mean 0 and variance 1 over `dims`, that mean, that variance); `dims` are kept with size 1."""
    mean = reduce.mean(x, dims, True)
    centered = x - mean
    variance = reduce.mean(centered * centered, dims, True)
    return centered * pointwise.rsqrt(variance + eps), mean, variance


def _by_channel(x: Tensor, of: Tensor) -> Tensor:
    """One value per channel (dim 1 of `of`), ready to broadcast with it."""
    return x.reshape([1, -1] + [1] * (of.ndim - 2))


def _scaled(x: Tensor, weight: Tensor | None, bias: Tensor | None) -> Tensor:
    """x * weight + bias, each of them one value per channel."""
    if weight is not None:
        x = x * _by_channel(weight, x)
    if bias is not None:
        x = x + _by_channel(bias, x)
    return x


def _check_trailing(input: Tensor, shape: Sequence[int], weight: Tensor | None) -> None:
    if len(shape) == 0:
        raise RuntimeError(
            "Expected normalized_shape to be at least 1-dimensional, i.e., containing at least one element, but got "
            "normalized_shape = []"
        )
    if weight is not None and list(weight.shape) != list(shape):
        raise RuntimeError(
            "Expected weight to be of same shape as normalized_shape, but got weight of shape "
            f"{list(weight.shape)} and normalized_shape = {list(shape)}"
        )
    if list(input.shape[input.ndim - len(shape) :]) != list(shape):
        raise RuntimeError(
            f"Given normalized_shape={list(shape)}, expected input with shape {['*', *shape]}, but got input of size "
            f"{list(input.shape)}"
        )


def layer_norm(
    input: Tensor,
    normalized_shape: Sequence[int],
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-05,
) -> Tensor:
    """Mean 0 and variance 1 over the last dims, which are `normalized_shape`; then weight and bias of that shape."""
    _check_trailing(input, normalized_shape, weight)
    x = operand(input, "LayerNormKernelImpl")
    out, _, _ = _standardized(x, list(range(-len(normalized_shape), 0)), eps)
    if weight is not None:
        out = out * weight
    if bias is not None:
        out = out + bias
    return result(out, input)


def rms_norm(
    input: Tensor, normalized_shape: Sequence[int], weight: Tensor | None = None, eps: float | None = None
) -> Tensor:
    """x / sqrt(mean(x^2) + eps) over the last dims, times weight. eps: that of the dtype it is computed in."""
    _check_trailing(input, normalized_shape, weight)
    x = operand(input, "rms_norm")
    small = eps if eps is not None else 2.0**-52 if x.dtype is dtypes.float64 else 2.0**-23
    square = reduce.mean(x * x, list(range(-len(normalized_shape), 0)), True)
    out = x * pointwise.rsqrt(square + small)
    return result(out if weight is None else out * weight, input)


def group_norm(
    input: Tensor, num_groups: int, weight: Tensor | None = None, bias: Tensor | None = None, eps: float = 1e-05
) -> Tensor:
    """Mean 0 and variance 1 over each group of channels of each sample (N, C, ...); weight and bias are (C)."""
    if input.ndim < 2:
        raise RuntimeError(f"Expected at least 2 dimensions for input tensor but received {input.ndim}")
    n, channels = input.shape[0], input.shape[1]
    if channels % num_groups != 0:
        raise RuntimeError(
            "Expected number of channels in input to be divisible by num_groups, but got input of shape "
            f"{list(input.shape)} and num_groups={num_groups}"
        )
    for name, given in (("weight", weight), ("bias", bias)):
        if given is not None and (given.ndim != 1 or given.shape[0] != channels):
            raise RuntimeError(
                f"Expected {name} to be a vector of size equal to the number of channels in input, but got {name} of "
                f"shape {list(given.shape)} and input of shape {list(input.shape)}"
            )
    if input.numel() == num_groups:
        raise ValueError(f"Expected more than 1 value per channel when training, got input size {list(input.shape)}")
    x = operand(input, "GroupNormKernelImpl")
    per_group = input.numel() // (n * num_groups) if n else 0
    out, _, _ = _standardized(x.reshape([n, num_groups, per_group]), [2], eps)
    return result(_scaled(out.reshape(input.shape), weight, bias), input)


def _check_channels(input: Tensor, name: str, given: Tensor | None) -> None:
    if given is not None and given.numel() != input.shape[1]:
        raise RuntimeError(f"{name} should contain {input.shape[1]} elements not {given.numel()}")


def _update(running: Tensor | None, batch: Tensor, momentum: float) -> None:
    """running = (1 - momentum) * running + momentum * batch."""
    if running is not None:
        new = running * (1 - momentum) + batch.detach().reshape(running.shape) * momentum
        running.copy_(new)


def batch_norm(
    input: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-05,
) -> Tensor:
    """Mean 0 and variance 1 of each channel (dim 1): of the batch in training, else by the running statistics.

    Training moves the running statistics towards the batch's by `momentum`; their variance is the unbiased one.
    """
    channels = input.shape[1]
    count = input.numel() // channels if channels else 0
    if training and count == 1:
        raise ValueError(f"Expected more than 1 value per channel when training, got input size {input.shape}")
    _check_channels(input, "running_mean", running_mean)
    _check_channels(input, "running_var", running_var)
    _check_channels(input, "weight", weight)
    _check_channels(input, "bias", bias)
    x = operand(input, "batch_norm")
    if not training:
        if running_mean is None or running_var is None:
            missing = "running_mean" if running_mean is None else "running_var"
            raise RuntimeError(f"{missing} must be defined in evaluation mode")
        scale = pointwise.rsqrt(_by_channel(running_var, x) + eps)
        return result(_scaled((x - _by_channel(running_mean, x)) * scale, weight, bias), input)
    dims = [0] + list(range(2, input.ndim))
    out, mean, variance = _standardized(x, dims, eps)
    _update(running_mean, mean, momentum)
    _update(running_var, variance * (count / max(count - 1, 1)), momentum)
    return result(_scaled(out, weight, bias), input)


def instance_norm(
    input: Tensor,
    running_mean: Tensor | None = None,
    running_var: Tensor | None = None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    use_input_stats: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-05,
) -> Tensor:
    """Mean 0 and variance 1 of each channel of each sample (N, C, ...), or by the running statistics.

    Running statistics move towards the mean over the samples.
    """
    if not use_input_stats:
        if running_mean is None or running_var is None:
            raise RuntimeError("Expected running_mean and running_var to be defined when use_input_stats is false")
        return batch_norm(input, running_mean, running_var, weight, bias, False, momentum, eps)
    spatial = input.numel() // (input.shape[0] * input.shape[1]) if input.numel() else 0
    if spatial == 1:
        raise ValueError(f"Expected more than 1 spatial element when training, got input size {input.shape}")
    _check_channels(input, "weight", weight)
    _check_channels(input, "bias", bias)
    x = operand(input, "batch_norm")
    out, mean, variance = _standardized(x, list(range(2, input.ndim)), eps)
    _update(running_mean, reduce.mean(mean, 0), momentum)
    _update(running_var, reduce.mean(variance, 0) * (spatial / max(spatial - 1, 1)), momentum)
    return result(_scaled(out, weight, bias), input)


def _no_channels(x: Tensor, count: int) -> Tensor:
    """Zeros like `x` with `count` channels."""
    return creation.zeros(list(x.shape[:1]) + [count] + list(x.shape[2:]), dtype=x.dtype)


def local_response_norm(input: Tensor, size: int, alpha: float = 0.0001, beta: float = 0.75, k: float = 1.0) -> Tensor:
    """x / (k + alpha * mean of the squares in a window of `size` channels)^beta; outside, channels are 0."""
    if input.ndim < 3:
        raise ValueError(
            f"Expected 3D or higher dimensionality                          input (got {input.ndim} dimensions)"
        )
    if input.numel() == 0:
        return input
    x = operand(input, "avg_pool2d")
    channels = x.shape[1]
    padded = combine.cat([_no_channels(x, size // 2), x * x, _no_channels(x, (size - 1) // 2)], 1)
    total = narrow(padded, 1, 0, channels)
    for i in range(1, size):
        total = total + narrow(padded, 1, i, channels)
    return result(x / (total * (alpha / size) + k) ** beta, input)
