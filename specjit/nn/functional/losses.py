"""Losses between values: regression, margins, rankings.

Enters: predictions and targets that broadcast. Leaves: one number, or with reduction="none" one per element.
Invariant: the arguments `size_average` and `reduce` are PyTorch's old way to say `reduction`.
"""

from __future__ import annotations

from collections.abc import Callable

from specjit.dtypes import TITLES
from specjit.nn.functional.common import operand
from specjit.nn.functional.distances import pairwise_distance
from specjit.ops import arithmetic, pointwise
from specjit.ops import reduce as reductions
from specjit.tensor.tensor import Tensor


def chosen(reduction: str, size_average: bool | None, reduce: bool | None) -> str:
    """The reduction that the old arguments mean, if any is given."""
    if size_average is None and reduce is None:
        return reduction
    if reduce is not None and not reduce:
        return "none"
    return "mean" if size_average is None or size_average else "sum"


def reduced(loss: Tensor, reduction: str) -> Tensor:
    """The mean, the sum or the losses themselves."""
    if reduction == "mean":
        return reductions.mean(loss)
    if reduction == "sum":
        return reductions.sum(loss)
    if reduction == "none":
        return loss
    raise ValueError(f"{reduction} is not a valid value for reduction")


def _check_floating(input: Tensor, target: Tensor, kernel: str) -> None:
    """Two tensors of ints are refused in the name of PyTorch's kernel."""
    if not target.dtype.is_floating_point:
        operand(input, kernel)


def _check_weight(weight: Tensor | None, input: Tensor) -> None:
    if weight is not None and list(weight.shape) != list(input.shape):
        raise ValueError("Weights and input must have the same size.")


def _weighted(loss: Tensor, weight: Tensor | None, input: Tensor, reduction: str) -> Tensor:
    """`reduced`, with a weight for each element by which the mean is divided."""
    _check_weight(weight, input)
    if weight is None:
        return reduced(loss, reduction)
    if reduction == "mean":
        return reductions.sum(loss * weight) / reductions.sum(weight)
    return reduced(loss * weight, reduction)


def mse_loss(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    weight: Tensor | None = None,
) -> Tensor:
    """(input - target)^2."""
    _check_floating(input, target, "mse_cpu")
    difference = input - target
    return _weighted(difference * difference, weight, input, chosen(reduction, size_average, reduce))


def l1_loss(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    weight: Tensor | None = None,
) -> Tensor:
    """|input - target|."""
    return _weighted(pointwise.abs(input - target), weight, input, chosen(reduction, size_average, reduce))


def smooth_l1_loss(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    beta: float = 1.0,
) -> Tensor:
    """A parabola d^2 / (2 * beta) where d = |input - target| is below `beta`, from there on the line d - beta / 2."""
    if beta < 0:
        raise RuntimeError("smooth_l1_loss does not support negative values for beta.")
    if beta == 0:
        return l1_loss(input, target, size_average, reduce, reduction)
    _check_floating(input, target, "smooth_l1_cpu")
    d = pointwise.abs(input - target)
    return reduced(
        arithmetic.where(d < beta, d * d * (0.5 / beta), d - 0.5 * beta), chosen(reduction, size_average, reduce)
    )


def huber_loss(
    input: Tensor, target: Tensor, reduction: str = "mean", delta: float = 1.0, weight: Tensor | None = None
) -> Tensor:
    """d^2 / 2 where d = |input - target| is at most `delta`, from there on the line delta * (d - delta / 2)."""
    if delta <= 0:
        raise RuntimeError("huber_loss does not support non-positive values for delta.")
    _check_floating(input, target, "huber_cpu")
    d = pointwise.abs(input - target)
    loss = arithmetic.where(d <= delta, d * d * 0.5, (d - 0.5 * delta) * delta)
    # Unlike that of `mse_loss`, the mean is not divided by the weights.
    _check_weight(weight, input)
    return reduced(loss if weight is None else loss * weight, reduction)


def hinge_embedding_loss(
    input: Tensor,
    target: Tensor,
    margin: float = 1.0,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """The input where target is 1, max(0, margin - input) where it is -1."""
    # Ints stay ints, as in PyTorch.
    limit = margin if input.dtype.is_floating_point else int(margin)
    apart = arithmetic.clamp(limit - input, min=0)
    loss = arithmetic.where(target != 1, apart, 0) + arithmetic.where(target != -1, input, 0)
    return reduced(loss, chosen(reduction, size_average, reduce))


def margin_ranking_loss(
    input1: Tensor,
    input2: Tensor,
    target: Tensor,
    margin: float = 0,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """max(0, margin - target * (input1 - input2)): target 1 says that input1 comes first, -1 that input2 does."""
    if input1.ndim != input2.ndim or input1.ndim != target.ndim:
        raise RuntimeError(
            "margin_ranking_loss : All input tensors should have same dimension but got sizes: "
            f"input1: {input1.shape}, input2: {input2.shape}, target: {target.shape} "
        )
    loss = arithmetic.clamp(-target * (input1 - input2) + margin * 1.0, min=0)
    return reduced(loss, chosen(reduction, size_average, reduce))


def cosine_embedding_loss(
    input1: Tensor,
    input2: Tensor,
    target: Tensor,
    margin: float = 0,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """For vectors (N, D) or (D): 1 - cosine where target is 1, max(0, cosine - margin) where it is -1."""
    if target.ndim != 0 and target.ndim != 1:
        raise RuntimeError("0D or 1D target tensor expected, multi-target not supported")
    if target.ndim == 1 and input1.ndim != 2:
        raise RuntimeError(
            f"1D target tensor expects 2D input tensors, but found inputs with sizes {list(input1.shape)} and "
            f"{list(input2.shape)}."
        )
    if target.ndim == 0 and input1.ndim != 1:
        raise RuntimeError(
            f"0D target tensor expects 1D input tensors, but found inputs with sizes {list(input1.shape)} and "
            f"{list(input2.shape)}."
        )
    # The lengths are softened under one root, unlike those of `cosine_similarity`.
    first = reductions.sum(input1 * input1, -1) + 1e-12
    second = reductions.sum(input2 * input2, -1) + 1e-12
    cosine = reductions.sum(input1 * input2, -1) / pointwise.sqrt(first * second)
    near, far = 1 - cosine, arithmetic.clamp(cosine - margin, min=0)
    loss = arithmetic.where(target == 1, near, 0) + arithmetic.where(target == -1, far, 0)
    return reduced(loss, chosen(reduction, size_average, reduce))


def _triplet(positive: Tensor, negative: Tensor, margin: float, reduction: str) -> Tensor:
    return reduced(arithmetic.clamp(positive - negative + margin, min=0), reduction)


def triplet_margin_loss(
    anchor: Tensor,
    positive: Tensor,
    negative: Tensor,
    margin: float = 1.0,
    p: float = 2,
    eps: float = 1e-06,
    swap: bool = False,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """max(0, |anchor - positive| - |anchor - negative| + margin), by p-norms over the last dim.

    swap: the distance from positive to negative counts where it is the shorter one.
    """
    if margin <= 0:
        raise ValueError(f"margin must be greater than 0, got {margin}")
    if anchor.ndim != positive.ndim or anchor.ndim != negative.ndim:
        raise RuntimeError(
            "The anchor, positive, and negative tensors are expected to have the same number of dimensions, but got: "
            f"anchor {anchor.ndim}D, positive {positive.ndim}D, and negative {negative.ndim}D inputs"
        )
    near = pairwise_distance(anchor, positive, p, eps)
    far = pairwise_distance(anchor, negative, p, eps)
    if swap:
        far = arithmetic.minimum(far, pairwise_distance(positive, negative, p, eps))
    return _triplet(near, far, margin, chosen(reduction, size_average, reduce))


def triplet_margin_with_distance_loss(
    anchor: Tensor,
    positive: Tensor,
    negative: Tensor,
    *,
    distance_function: Callable[[Tensor, Tensor], Tensor] | None = None,
    margin: float = 1.0,
    swap: bool = False,
    reduction: str = "mean",
) -> Tensor:
    """`triplet_margin_loss` with any distance; `pairwise_distance` without."""
    if margin <= 0:
        raise ValueError(f"margin must be greater than 0, got {margin}")
    if anchor.ndim != positive.ndim or anchor.ndim != negative.ndim:
        raise RuntimeError(
            "The anchor, positive, and negative tensors are expected to have the same number of dimensions, but got: "
            f"anchor {anchor.ndim}D, positive {positive.ndim}D, and negative {negative.ndim}D inputs"
        )
    distance = pairwise_distance if distance_function is None else distance_function
    near, far = distance(anchor, positive), distance(anchor, negative)
    if swap:
        far = arithmetic.minimum(far, distance(positive, negative))
    return _triplet(near, far, margin, reduction)


def soft_margin_loss(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """log(1 + exp(-target * input)), target 1 or -1."""
    negative = -target * input
    if not negative.dtype.is_floating_point:
        raise RuntimeError(f"result type Float can't be cast to the desired output type {TITLES[negative.dtype.name]}")
    return reduced(pointwise.log1p(pointwise.exp(negative)), chosen(reduction, size_average, reduce))
