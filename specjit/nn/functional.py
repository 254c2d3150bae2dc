"""Functions on tensors that can be said with other ops: plain Python, no records.

Enters: tensors. Leaves: tensors. Invariant: names, arguments and defaults are PyTorch's; every function is capturable
user-level code.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import specjit
from specjit.tensor import Tensor


def linear(input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """x A^T + b for weight (out, in)."""
    out = input @ weight.t()
    if bias is not None:
        out = out + bias
    return out


def relu(input: Tensor) -> Tensor:
    return specjit.relu(input)


def sigmoid(input: Tensor) -> Tensor:
    return specjit.sigmoid(input)


def tanh(input: Tensor) -> Tensor:
    return specjit.tanh(input)


def silu(input: Tensor) -> Tensor:
    return input * specjit.sigmoid(input)


def gelu(input: Tensor, approximate: str = "none") -> Tensor:
    """Gaussian error linear unit: x Phi(x); approximate="tanh" as in Hendrycks and Gimpel 2016."""
    if approximate == "tanh":
        inner = math.sqrt(2.0 / math.pi) * (input + 0.044715 * input * input * input)
        return 0.5 * input * (1.0 + specjit.tanh(inner))
    if approximate != "none":
        raise RuntimeError("approximate argument must be either none or tanh.")
    return 0.5 * input * (1.0 + specjit.erf(input * math.sqrt(0.5)))


def leaky_relu(input: Tensor, negative_slope: float = 0.01) -> Tensor:
    return specjit.where(input >= 0, input, input * negative_slope)


def softmax(input: Tensor, dim: int) -> Tensor:
    return specjit.softmax(input, dim)


def log_softmax(input: Tensor, dim: int) -> Tensor:
    return specjit.log_softmax(input, dim)


def dropout(input: Tensor, p: float = 0.5, training: bool = True) -> Tensor:
    """Zero elements with probability p and scale the rest by 1 / (1 - p); the identity outside training."""
    if p < 0.0 or p > 1.0:
        raise ValueError(f"dropout probability has to be between 0 and 1, but got {p}")
    return specjit.dropout(input, p, training)


def embedding(input: Tensor, weight: Tensor, padding_idx: int | None = None) -> Tensor:
    """Rows of `weight` by index; the row `padding_idx` gets no gradient."""
    return specjit.embedding(weight, input, -1 if padding_idx is None else padding_idx)


def one_hot(input: Tensor, num_classes: int = -1) -> Tensor:
    return specjit.one_hot(input, num_classes)


def conv2d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Tensor:
    return specjit.conv2d(input, weight, bias, stride, padding, dilation, groups)


def layer_norm(
    input: Tensor,
    normalized_shape: Sequence[int],
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Tensor:
    """(x - mean) / sqrt(var + eps) over the last dimensions, then scaled and shifted (Ba et al. 2016)."""
    dims = [-1 - i for i in range(len(normalized_shape))]
    if list(input.shape[len(input.shape) - len(normalized_shape) :]) != list(normalized_shape):
        raise RuntimeError(
            f"Given normalized_shape={list(normalized_shape)}, expected input with shape [*, {list(normalized_shape)}],"
            f" but got input of size{list(input.shape)}"
        )
    centered = input - input.mean(dims, keepdim=True)
    variance = (centered * centered).mean(dims, keepdim=True)
    out = centered / (variance + eps).sqrt()
    if weight is not None:
        out = out * weight
    if bias is not None:
        out = out + bias
    return out


def _reduced(loss: Tensor, reduction: str) -> Tensor:
    if reduction == "mean":
        return loss.mean()
    if reduction == "sum":
        return loss.sum()
    if reduction != "none":
        raise ValueError(f"{reduction} is not a valid value for reduction")
    return loss


def mse_loss(input: Tensor, target: Tensor, reduction: str = "mean") -> Tensor:
    difference = input - target
    return _reduced(difference * difference, reduction)


def nll_loss(input: Tensor, target: Tensor, ignore_index: int = -100, reduction: str = "mean") -> Tensor:
    """Negative log likelihood: input (N, C, ...) of log probabilities, target (N, ...) of class indices."""
    return specjit.nll_loss(input, target, ignore_index, reduction)


def cross_entropy(
    input: Tensor,
    target: Tensor,
    ignore_index: int = -100,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Tensor:
    """Cross entropy of logits (N, C, ...) or (C,) with class indices, or with class probabilities of the same shape."""
    dim = 1 if input.ndim > 1 else 0
    log_probability = specjit.log_softmax(input, dim)
    if target.is_floating_point():
        if label_smoothing > 0.0:
            target = target * (1.0 - label_smoothing) + label_smoothing / input.shape[dim]
        loss = -(log_probability * target).sum(dim)
        if reduction == "mean":
            return loss.sum() / (loss.numel() if input.ndim > 1 else 1)
        return _reduced(loss, reduction)
    if label_smoothing == 0.0:
        return nll_loss(log_probability, target, ignore_index, reduction)
    kept = (target != ignore_index).to(input.dtype)
    hard = nll_loss(log_probability, target, ignore_index, "none")
    smooth = -log_probability.mean(dim) * kept
    loss = (1.0 - label_smoothing) * hard + label_smoothing * smooth
    return loss.sum() / kept.sum() if reduction == "mean" else _reduced(loss, reduction)
