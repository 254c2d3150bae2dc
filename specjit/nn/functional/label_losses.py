"""Losses of several labels, margins between classes, and sequences without alignment.

Enters: scores (N, C) or (C), labels. Leaves: one number, or with reduction="none" one per sample.
"""

from __future__ import annotations

from collections.abc import Sequence

from specjit.dtypes import float16
from specjit.nn.functional.activations import logsigmoid
from specjit.nn.functional.common import operand
from specjit.nn.functional.losses import chosen, reduced
from specjit.ops import arithmetic, casts, creation, ctc, data, gather
from specjit.ops import reduce as reductions
from specjit.ops.records.eager import not_implemented
from specjit.tensor.tensor import Tensor


def _scores(input: Tensor, kernel: str) -> Tensor:
    if input.dtype is float16:
        raise not_implemented(kernel, input.dtype)
    return operand(input, kernel)


def multi_margin_loss(
    input: Tensor,
    target: Tensor,
    p: int = 1,
    margin: float = 1.0,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """The mean over classes of max(0, margin - input[target] + input[class])^p, without the target's own."""
    if p != 1 and p != 2:
        raise ValueError("only p == 1 and p == 2 supported")
    if weight is not None and weight.ndim != 1:
        raise ValueError("weight must be one-dimensional")
    x = _scores(input, "multi_margin_loss_cpu_kernel")
    if input.ndim < 2:
        x = x.reshape([1, -1])
    classes = target.reshape([-1, 1])
    short = arithmetic.clamp(x - gather.gather(x, 1, classes) + margin, min=0)
    if p == 2:
        short = short * short
    if weight is not None:
        short = short * gather.index_select(weight, 0, classes.reshape(-1)).unsqueeze(1)
    other = creation.arange(x.shape[1]) != classes
    loss = _mean_of_classes(arithmetic.where(other, short, 0.0))
    return reduced(loss if input.ndim > 1 else loss.reshape(target.shape), chosen(reduction, size_average, reduce))


def _mean_of_classes(loss: Tensor) -> Tensor:
    """The sum over the last dim divided by its size."""
    return reductions.mean(loss, -1)


def multilabel_margin_loss(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """The sum over labels i and classes j that are no label of max(0, 1 - (input[i] - input[j])), divided by C.

    target: the labels of each sample, ended by -1.
    """
    if list(input.shape) != list(target.shape):
        raise RuntimeError(
            f"Expected target of size {list(input.shape)} to match the input, but got {list(target.shape)}"
        )
    x = _scores(input, "multilabel_margin_loss_forward_out_frame")
    x, labels = x.reshape([-1, input.shape[-1]]), target.reshape([-1, input.shape[-1]])
    given = reductions.cumsum(casts.to_dtype(labels < 0, labels.dtype), 1) == 0
    at = arithmetic.where(given, labels, 0)
    marks = gather.scatter_add(creation.zeros_like(labels), 1, at, casts.to_dtype(given, labels.dtype))
    short = arithmetic.clamp(x.unsqueeze(1) - gather.gather(x, 1, at).unsqueeze(2) + 1, min=0)
    counted = given.unsqueeze(2) & (marks == 0).unsqueeze(1)
    loss = reductions.sum(arithmetic.where(counted, short, 0.0), [1, 2]) / input.shape[-1]
    return reduced(loss.reshape(input.shape[:-1]), chosen(reduction, size_average, reduce))


def multilabel_soft_margin_loss(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """The mean over classes of the binary cross entropy of each logit."""
    loss = -(target * logsigmoid(input) + (1 - target) * logsigmoid(-input))
    if weight is not None:
        loss = loss * weight
    return reduced(_mean_of_classes(loss), chosen(reduction, size_average, reduce))


def _lengths(lengths: Tensor | Sequence[int]) -> Tensor:
    return lengths if isinstance(lengths, Tensor) else data.tensor(lengths)


def ctc_loss(
    log_probs: Tensor,
    targets: Tensor,
    input_lengths: Tensor | Sequence[int],
    target_lengths: Tensor | Sequence[int],
    blank: int = 0,
    reduction: str = "mean",
    zero_infinity: bool = False,
) -> Tensor:
    """-log of the probability that log_probs (T, N, C) or (T, C) spell the targets, over all alignments.

    targets: (N, S), or all of them one after the other; without a batch (S). "mean" divides each loss by its target's
    length first. zero_infinity: what cannot be aligned gives 0 and no gradient.
    """
    inputs, lengths = _lengths(input_lengths), _lengths(target_lengths)
    batched = log_probs.ndim == 3
    if not batched:
        log_probs, targets = log_probs.unsqueeze(1), targets.unsqueeze(0)
        inputs, lengths = inputs.reshape([1]), lengths.reshape([1])
    loss = ctc.ctc(log_probs, targets, inputs, lengths, blank)
    if zero_infinity:
        loss = arithmetic.where(loss == float("inf"), 0.0, loss)
    if reduction == "mean":
        return reductions.mean(loss / casts.to_dtype(arithmetic.clamp(lengths, min=1), loss.dtype))
    return reduced(loss if batched else loss.squeeze(0), reduction)
