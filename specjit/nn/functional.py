"""Functions of layers: plain Python over operator records.

Enters: tensors. Leaves: tensors.
Invariant: nothing here is an operator; whatever optimizes ops sees through these functions.
"""

from __future__ import annotations

import math
from typing import Any

from specjit.ops import arithmetic, casts, conv, creation, draws, gather, linalg, pointwise, reduce
from specjit.ops.reduce import logsumexp as logsumexp


def linear(input: Any, weight: Any, bias: Any = None) -> Any:
    """input @ weight.T + bias; weight is (out, in)."""
    out = linalg.matmul(input, weight.t())
    if bias is not None:
        out = out + bias
    return out


def relu(input: Any, inplace: bool = False) -> Any:
    """max(input, 0)."""
    return input.relu_() if inplace else pointwise.relu(input)


def sigmoid(input: Any) -> Any:
    """1 / (1 + exp(-input))."""
    return pointwise.sigmoid(input)


def tanh(input: Any) -> Any:
    """The hyperbolic tangent."""
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
    """input above 0, negative_slope * input below."""
    out = arithmetic.where(input > 0, input, input * negative_slope)
    return input.copy_(out) if inplace else out


def elu(input: Any, alpha: float = 1.0, inplace: bool = False) -> Any:
    """input above 0, alpha * (exp(input) - 1) below."""
    out = arithmetic.where(input > 0, input, alpha * pointwise.expm1(input))
    return input.copy_(out) if inplace else out


def softplus(input: Any, beta: float = 1.0, threshold: float = 20.0) -> Any:
    """log(1 + exp(beta * x)) / beta; the identity above `threshold`."""
    scaled = input * beta
    small = arithmetic.where(scaled > threshold, 0.0, scaled)
    return arithmetic.where(scaled > threshold, input, pointwise.log1p(pointwise.exp(small)) / beta)


def hardtanh(input: Any, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False) -> Any:
    """`clamp` to [min_val, max_val]."""
    return input.clamp_(min_val, max_val) if inplace else arithmetic.clamp(input, min_val, max_val)


def softmax(input: Any, dim: int, _stacklevel: int = 3, dtype: Any = None) -> Any:
    """exp(input) over its sum along `dim`."""
    return reduce.softmax(input, dim, dtype=dtype)


def log_softmax(input: Any, dim: int, _stacklevel: int = 3, dtype: Any = None) -> Any:
    """The logarithm of `softmax` along `dim`."""
    return reduce.log_softmax(input, dim, dtype=dtype)


def logsigmoid(input: Any) -> Any:
    """log(sigmoid(x)), accurate on both sides."""
    return arithmetic.clamp(input, max=0.0) - pointwise.log1p(pointwise.exp(-pointwise.abs(input)))


def dropout(input: Any, p: float = 0.5, training: bool = True, inplace: bool = False) -> Any:
    """Zero elements with probability p and scale the rest by 1/(1-p)."""
    if p < 0.0 or p > 1.0:
        raise ValueError(f"dropout probability has to be between 0 and 1, but got {p}")
    if not training or p == 0.0:
        return input
    mask = draws.dropout_mask(input, p)
    return input.mul_(mask) if inplace else input * mask


def embedding(
    input: Any,
    weight: Any,
    padding_idx: int | None = None,
    max_norm: None = None,
    norm_type: float = 2.0,
    scale_grad_by_freq: bool = False,
    sparse: bool = False,
) -> Any:
    """Rows of weight (count, d) at the indices in `input`."""
    if max_norm is not None or scale_grad_by_freq or sparse:
        raise NotImplementedError("embedding: max_norm, scale_grad_by_freq and sparse are not supported")
    row = -1
    if padding_idx is not None:
        row = padding_idx if padding_idx >= 0 else weight.shape[0] + padding_idx
    return gather.embedding(weight, input, row)


def one_hot(tensor: Any, num_classes: int = -1) -> Any:
    """int64 rows with a 1 at the class index."""
    return gather.one_hot(tensor, num_classes)


def layer_norm(input: Any, normalized_shape: Any, weight: Any = None, bias: Any = None, eps: float = 1e-05) -> Any:
    """Mean 0 and variance 1 over the last dims, then weight and bias."""
    shape = tuple(normalized_shape)
    if tuple(input.shape[input.ndim - len(shape) :]) != shape:
        raise RuntimeError(
            f"Given normalized_shape={list(shape)}, expected input with shape {['*', *shape]}, but got input of size "
            f"{list(input.shape)}"
        )
    dims = tuple(range(-len(shape), 0))
    centered = input - reduce.mean(input, dims, True)
    variance = reduce.mean(centered * centered, dims, True)
    out = centered * pointwise.rsqrt(variance + eps)
    if weight is not None:
        out = out * weight
    if bias is not None:
        out = out + bias
    return out


def conv2d(
    input: Any, weight: Any, bias: Any = None, stride: Any = 1, padding: Any = 0, dilation: Any = 1, groups: int = 1
) -> Any:
    """2-d cross-correlation: (N, C, H, W) or (C, H, W) with weight (O, C/groups, kH, kW). padding: sizes, 'valid' or
    'same'."""
    s, d = conv.pair(stride), conv.pair(dilation)
    if isinstance(padding, str):
        input, p = _named_padding(input, padding, weight.shape[2:], s, d)
    else:
        p = conv.pair(padding)
    batched = input.ndim != 3
    out = conv.conv2d_op(input if batched else input.unsqueeze(0), weight, s, p, d, groups)
    if bias is not None:
        out = out + bias.reshape(1, -1, 1, 1)
    return out if batched else out.squeeze(0)


def _named_padding(input: Any, padding: str, kernel: Any, stride: Any, dilation: Any) -> Any:
    if padding == "valid":
        return input, (0, 0)
    if padding != "same":
        raise ValueError(f"Invalid padding string {padding!r}, should be one of 'valid', 'same'")
    if stride != (1, 1):
        raise RuntimeError("padding='same' is not supported for strided convolutions")
    total = [d * (k - 1) for d, k in zip(dilation, kernel)]
    # An odd total puts the extra row and column after the image.
    extra = [t % 2 for t in total]
    for axis, e in zip((-2, -1), extra):
        if e:
            shape = list(input.shape)
            shape[axis] = 1
            from specjit.ops.combine import cat

            input = cat([input, creation.zeros(shape, dtype=input.dtype)], axis)
    return input, (total[0] // 2, total[1] // 2)


def _reduced(loss: Any, reduction: str) -> Any:
    if reduction == "mean":
        return reduce.mean(loss)
    if reduction == "sum":
        return reduce.sum(loss)
    if reduction == "none":
        return loss
    raise ValueError(f"{reduction} is not a valid value for reduction")


def mse_loss(input: Any, target: Any, reduction: str = "mean") -> Any:
    """(input - target)^2."""
    difference = input - target
    return _reduced(difference * difference, reduction)


def l1_loss(input: Any, target: Any, reduction: str = "mean") -> Any:
    """|input - target|."""
    return _reduced(pointwise.abs(input - target), reduction)


def binary_cross_entropy_with_logits(input: Any, target: Any, reduction: str = "mean") -> Any:
    """The cross entropy of sigmoid(input) against target probabilities."""
    loss = arithmetic.clamp(input, min=0.0) - input * target + pointwise.log1p(pointwise.exp(-pointwise.abs(input)))
    return _reduced(loss, reduction)


def nll_loss(input: Any, target: Any, weight: Any = None, ignore_index: int = -100, reduction: str = "mean") -> Any:
    """-input[class] for log-probabilities (N, C), (C) or (N, C, d1, ...) and target class indices."""
    if input.ndim == 1:
        picked, weights = _picked(input.unsqueeze(0), target.reshape(1), weight, ignore_index)
        if reduction == "none":
            return -(picked * weights).reshape(())
    else:
        if tuple(input.shape[2:]) != tuple(target.shape[1:]) or input.shape[0] != target.shape[0]:
            raise ValueError(
                f"Expected input batch_size ({input.shape[0]}) to match target batch_size ({target.shape[0]})."
            )
        picked, weights = _picked(input, target, weight, ignore_index)
    loss = -(picked * weights)
    if reduction == "mean":
        return reduce.sum(loss) / reduce.sum(weights)
    return _reduced(loss, reduction)


def _picked(logs: Any, target: Any, weight: Any, ignore_index: int) -> Any:
    """The log-probability of each target, and its weight (0 where ignored)."""
    kept = target != ignore_index
    safe = arithmetic.where(kept, target, 0)
    picked = gather.gather(logs, 1, safe.unsqueeze(1)).squeeze(1)
    weights = casts.to_dtype(kept, logs.dtype)
    if weight is not None:
        weights = weights * gather.index_select(weight, 0, safe.reshape(-1)).reshape(safe.shape)
    return picked, weights


def cross_entropy(
    input: Any,
    target: Any,
    weight: Any = None,
    ignore_index: int = -100,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Any:
    """The cross entropy of logits (N, C, ...) against class indices, or class probabilities of the same shape."""
    dim = 0 if input.ndim == 1 else 1
    logs = reduce.log_softmax(input, dim)
    if target.dtype.is_floating_point:
        return _soft_cross_entropy(logs, target, weight, reduction, label_smoothing, dim)
    hard = nll_loss(logs, target, weight, ignore_index, reduction)
    if label_smoothing == 0.0:
        return hard
    kept = casts.to_dtype(target != ignore_index, logs.dtype)
    if weight is None:
        spread = -reduce.sum(logs, dim) * kept
        total = reduce.sum(kept)
    else:
        shape = [1] * input.ndim
        shape[dim] = -1
        spread = -reduce.sum(logs * weight.reshape(shape), dim) * kept
        safe = arithmetic.where(target != ignore_index, target, 0)
        total = reduce.sum(gather.index_select(weight, 0, safe.reshape(-1)).reshape(safe.shape) * kept)
    smooth = reduce.sum(spread) / total if reduction == "mean" else _reduced(spread, reduction)
    classes = input.shape[dim]
    return (1.0 - label_smoothing) * hard + (label_smoothing / classes) * smooth


def _soft_cross_entropy(logs: Any, target: Any, weight: Any, reduction: str, smoothing: float, dim: int) -> Any:
    if smoothing > 0.0:
        target = target * (1.0 - smoothing) + smoothing / logs.shape[dim]
    if weight is not None:
        shape = [1] * logs.ndim
        shape[dim] = -1
        target = target * weight.reshape(shape)
    loss = -reduce.sum(logs * target, dim)
    if reduction == "mean":
        count = math.prod(loss.shape) if loss.ndim else 1
        return reduce.sum(loss) / count
    return _reduced(loss, reduction)


def normalize(input: Any, p: float = 2.0, dim: int = 1, eps: float = 1e-12) -> Any:
    """input / max(||input||_p, eps) along `dim`."""
    if p == 2.0:
        length = pointwise.sqrt(reduce.sum(input * input, dim, True))
    else:
        length = reduce.sum(pointwise.abs(input) ** p, dim, True) ** (1.0 / p)
    return input / arithmetic.clamp(length, min=eps)
