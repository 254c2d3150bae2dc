"""Losses.

Enters: predictions and targets. Leaves: one number, or with reduction="none" one per element.
"""

from __future__ import annotations

import math
from typing import Any

from specjit.ops import arithmetic, casts, gather, pointwise, reduce, softmax


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
    logs = softmax.log_softmax(input, dim)
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
