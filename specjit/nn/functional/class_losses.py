"""Losses of classes and distributions.

Enters: logits, (log-)probabilities, classes. Leaves: one number, or with reduction="none" one per sample.
Invariant: classes are dim 1 of (N, C, ...), or the only dim of (C); what is ignored gives 0 and no gradient.
"""

from __future__ import annotations

import math

from specjit.dtypes import TITLES
from specjit.nn.functional.activations import logsigmoid
from specjit.nn.functional.common import at_least, operand, result
from specjit.nn.functional.losses import chosen, reduced
from specjit.ops import arithmetic, casts, creation, gather, likelihood, pointwise, softmax
from specjit.ops import reduce as reductions
from specjit.tensor.tensor import Tensor


def binary_cross_entropy(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """-(target * log(input) + (1 - target) * log(1 - input)) for probabilities; logarithms are at least -100."""
    if list(target.shape) != list(input.shape):
        raise ValueError(
            f"Using a target size ({target.shape}) that is different to the input size ({input.shape}) is deprecated. "
            "Please ensure they have the same size."
        )
    loss = likelihood.binary_cross_entropy(input, target)
    return reduced(loss if weight is None else loss * weight, chosen(reduction, size_average, reduce))


def binary_cross_entropy_with_logits(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    pos_weight: Tensor | None = None,
) -> Tensor:
    """`binary_cross_entropy` of sigmoid(input), without its overflow. pos_weight: of the target's part."""
    if list(target.shape) != list(input.shape):
        raise ValueError(f"Target size ({target.shape}) must be the same as input size ({input.shape})")
    x = operand(input, "log_sigmoid_cpu")
    logs = logsigmoid(x)
    loss = (1 - target) * x - (logs if pos_weight is None else ((pos_weight - 1) * target + 1) * logs)
    return result(reduced(loss if weight is None else loss * weight, chosen(reduction, size_average, reduce)), input)


def _classes(target: Tensor, classes: int, ignore_index: int) -> tuple[Tensor, Tensor]:
    """(where the target counts, classes that can be looked up everywhere)."""
    return target != ignore_index, likelihood.known_classes(target, classes, ignore_index)


def _class_weights(kept: Tensor, classes: Tensor, weight: Tensor | None, like: Tensor) -> Tensor:
    """The weight of each target's class, 0 where it is ignored."""
    counted = casts.to_dtype(kept, like.dtype)
    if weight is None:
        return counted
    return counted * gather.index_select(weight, 0, classes.reshape(-1)).reshape(classes.shape)


def nll_loss(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    ignore_index: int = -100,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """-input[class] for log-probabilities (N, C, ...) or (C), times the class's weight; the mean is by weight."""
    how = chosen(reduction, size_average, reduce)
    logs = operand(input, "nll_loss_out_frame")
    if input.ndim < 2:
        if input.ndim != 1 or target.ndim != 0:
            raise ValueError(
                f"Expected input batch_size ({input.shape[0] if input.ndim else 1}) to match target batch_size "
                f"({target.shape[0] if target.ndim else 1})."
            )
        kept, classes = _classes(target.reshape([1]), input.shape[0], ignore_index)
        loss, weights = _nll(logs.unsqueeze(0), kept, classes, weight)
        return result(_by_weight(loss.squeeze(0), weights, how), input)
    if input.shape[0] != target.shape[0]:
        raise ValueError(
            f"Expected input batch_size ({input.shape[0]}) to match target batch_size ({target.shape[0]})."
        )
    if list(input.shape[2:]) != list(target.shape[1:]):
        raise RuntimeError(
            f"Expected target size {list(input.shape[:1]) + list(input.shape[2:])}, got {list(target.shape)}"
        )
    kept, classes = _classes(target, input.shape[1], ignore_index)
    loss, weights = _nll(logs, kept, classes, weight)
    return result(_by_weight(loss, weights, how), input)


def _nll(logs: Tensor, kept: Tensor, classes: Tensor, weight: Tensor | None) -> tuple[Tensor, Tensor]:
    weights = _class_weights(kept, classes, weight, logs)
    found = gather.gather(logs, 1, classes.unsqueeze(1)).squeeze(1)
    # Not by the weight 0 alone: the log-probability may be -inf.
    return arithmetic.where(kept, -found * weights, 0.0), weights


def _by_weight(loss: Tensor, weights: Tensor, reduction: str) -> Tensor:
    return reductions.sum(loss) / reductions.sum(weights) if reduction == "mean" else reduced(loss, reduction)


def cross_entropy(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    ignore_index: int = -100,
    reduce: bool | None = None,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Tensor:
    """The cross entropy of logits (N, C, ...) or (C) against classes, or class probabilities of the same shape.

    label_smoothing: the share of each target that is spread over all classes.
    """
    if label_smoothing < 0.0 or label_smoothing > 1.0:
        raise RuntimeError(f"label_smoothing must be between 0.0 and 1.0. Got: {label_smoothing}")
    how = chosen(reduction, size_average, reduce)
    dim = 0 if input.ndim == 1 else 1
    logs = softmax.log_softmax(casts.widen(input), dim)
    if list(input.shape) == list(target.shape):
        if not target.dtype.is_floating_point:
            raise RuntimeError(
                f"Expected floating point type for target with class probabilities, got {TITLES[target.dtype.name]}"
            )
        if ignore_index >= 0:
            raise RuntimeError("ignore_index is not supported for floating point target")
        return result(_soft_cross_entropy(logs, target, weight, how, label_smoothing, dim), input)
    hard = nll_loss(logs, target, weight, ignore_index=ignore_index, reduction=how)
    if label_smoothing == 0.0:
        return result(hard, input)
    kept, classes = _classes(target, input.shape[dim], ignore_index)
    spread = reductions.sum(logs if weight is None else logs * _along(weight, logs, dim), dim)
    smooth = _by_weight(arithmetic.where(kept, -spread, 0.0), _class_weights(kept, classes, weight, logs), how)
    return result(hard * (1.0 - label_smoothing) + smooth * (label_smoothing / input.shape[dim]), input)


def _along(weight: Tensor, x: Tensor, dim: int) -> Tensor:
    return weight.reshape([1] * dim + [-1] + [1] * (x.ndim - dim - 1))


def _soft_cross_entropy(
    logs: Tensor, target: Tensor, weight: Tensor | None, reduction: str, smoothing: float, dim: int
) -> Tensor:
    if smoothing > 0.0:
        target = target * (1.0 - smoothing) + smoothing / logs.shape[dim]
    if weight is not None:
        target = target * _along(weight, logs, dim)
    loss = -reductions.sum(logs * target, dim)
    return reduced(loss, reduction)


def kl_div(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    log_target: bool = False,
) -> Tensor:
    """target * (log(target) - input) for log-probabilities `input`. log_target: the target is given by its logarithm.

    reduction: also "batchmean", the sum divided by the size of dim 0.
    """
    if not input.dtype.is_floating_point or not target.dtype.is_floating_point:
        raise RuntimeError("kl_div: Integral inputs not supported.")
    x, t = casts.widen(input), casts.widen(target)
    if log_target:
        loss = pointwise.exp(t) * (t - x)
    else:
        nothing = t == 0
        own = t * pointwise.log(arithmetic.where(nothing, 1.0, t))
        loss = own - t * x
    how = chosen(reduction, size_average, reduce)
    if how == "batchmean":
        return result(reduced(loss, "sum") / input.shape[0], input)
    return result(reduced(loss, how), input)


def gaussian_nll_loss(
    input: Tensor,
    target: Tensor,
    var: Tensor | float,
    full: bool = False,
    eps: float = 1e-06,
    reduction: str = "mean",
) -> Tensor:
    """(log(var) + (input - target)^2 / var) / 2 of normal distributions; full: with the constant log(2 pi) / 2.

    var: a number, of the shape of the input, or with one value for the last dim. It counts as at least `eps`; its
    gradient is as if it did not.
    """
    if reduction != "none" and reduction != "mean" and reduction != "sum":
        raise ValueError(f"{reduction} is not valid")
    if isinstance(var, (int, float)):
        if var < 0:
            raise ValueError("var has negative entry/entries")
        spread = creation.full_like(input, var)
    elif list(var.shape) == list(input.shape):
        spread = var
    elif list(var.shape) == list(input.shape[:-1]):
        spread = var.unsqueeze(-1)
    elif list(input.shape[:-1]) == list(var.shape[:-1]) and var.shape[-1] == 1:
        spread = var
    else:
        raise ValueError("var is of incorrect size")
    if not spread.dtype.is_floating_point:
        raise RuntimeError(f"result type Float can't be cast to the desired output type {TITLES[spread.dtype.name]}")
    spread = at_least(casts.widen(spread), eps)
    difference = casts.widen(input) - casts.widen(target)
    loss = (pointwise.log(spread) + difference * difference / spread) * 0.5
    if full:
        loss = loss + 0.5 * math.log(2 * math.pi)
    return result(reduced(loss, reduction), input)


def poisson_nll_loss(
    input: Tensor,
    target: Tensor,
    log_input: bool = True,
    full: bool = False,
    size_average: bool | None = None,
    eps: float = 1e-08,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """rate - target * log(rate); log_input: the input is log(rate). full: with Stirling's log(target!) above 1."""
    if log_input:
        loss = pointwise.exp(input) - target * input
    else:
        loss = input - target * pointwise.log(input + eps)
    if full:
        large = target > 1
        t = arithmetic.where(large, target, 2)
        stirling = t * pointwise.log(t) - t + pointwise.log(t * (2 * math.pi)) * 0.5
        loss = loss + arithmetic.where(large, stirling, 0.0)
    how = chosen(reduction, size_average, reduce)
    if how != "none" and how != "mean" and how != "sum":
        raise ValueError(f"{how} is not a valid value for reduction")
    return reduced(loss, how)
