"""Rows of losses, distances and tables as layers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

import specjit
from tests.moduleinfo import layers, module
from tests.moduleinfo.basic import state
from tests.opinfo import Make

REDUCTIONS = ("mean", "sum", "none")


def cases(*inputs: Any, options: tuple[dict[str, Any], ...] = ()) -> Any:
    """Each reduction, then other options; `inputs` are functions that make the tensors."""

    def each(make: Make) -> Iterator[Any]:
        for o in (*({"reduction": r} for r in REDUCTIONS), *options):
            yield (), o, tuple(i(make) for i in inputs)

    return each


def values(make: Make) -> Any:
    return make(3, 4)


def shares(make: Make) -> Any:
    return make(3, 4, low=0.05, high=0.95)


def signs(make: Make) -> Any:
    return (make.ints(3, 4, high=2) * 2 - 1).to(make.dtype)


def one_sign(make: Make) -> Any:
    return (make.ints(3, high=2) * 2 - 1).to(make.dtype)


def classes(make: Make) -> Any:
    return make.ints(3, high=4)


module("SmoothL1Loss", cases(values, values, options=({"beta": 0.5},)), functional="smooth_l1_loss")
module("HuberLoss", cases(values, values, options=({"delta": 0.5},)), functional="huber_loss")
module("SoftMarginLoss", cases(values, signs), functional="soft_margin_loss")
module("HingeEmbeddingLoss", cases(values, signs, options=({"margin": 0.5},)), functional="hinge_embedding_loss")
module(
    "MarginRankingLoss",
    cases(values, values, signs, options=({"margin": 0.5},)),
    functional="margin_ranking_loss",
)
module(
    "CosineEmbeddingLoss",
    cases(values, values, one_sign, options=({"margin": 0.2},)),
    functional="cosine_embedding_loss",
)
module(
    "TripletMarginLoss",
    cases(values, values, values, options=({"margin": 5.0, "p": 1.0, "swap": True},)),
    functional="triplet_margin_loss",
)
module(
    "TripletMarginWithDistanceLoss",
    cases(values, values, values, options=({"margin": 5.0, "swap": True},)),
    functional="triplet_margin_with_distance_loss",
)
module("BCELoss", cases(shares, shares), functional="binary_cross_entropy")
module("BCEWithLogitsLoss", cases(values, shares), functional="binary_cross_entropy_with_logits")
module("MultiLabelSoftMarginLoss", cases(values, shares), functional="multilabel_soft_margin_loss")
module("MultiMarginLoss", cases(values, classes, options=({"p": 2, "margin": 0.5},)), functional="multi_margin_loss")
module(
    "MultiLabelMarginLoss",
    cases(values, lambda make: specjit.tensor([[0, 1, -1, 2], [3, -1, 0, 0], [-1, 0, 0, 0]])),
    functional="multilabel_margin_loss",
)
module(
    "KLDivLoss",
    cases(values, shares, options=({"reduction": "batchmean"}, {"log_target": True})),
    functional="kl_div",
)
module(
    "GaussianNLLLoss",
    cases(values, values, shares, options=({"full": True, "eps": 0.1},)),
    functional="gaussian_nll_loss",
)
module(
    "PoissonNLLLoss",
    cases(shares, shares, options=({"log_input": False, "full": True},)),
    functional="poisson_nll_loss",
)


def ctc_cases(make: Make) -> Iterator[Any]:
    lengths = specjit.tensor([4, 3]), specjit.tensor([2, 1])
    for reduction in REDUCTIONS:
        for zero in (False, True):
            # Of normalized inputs, so that gradients are PyTorch's too.
            logs = make(4, 2, 3).log_softmax(2)
            yield (
                (),
                {"reduction": reduction, "zero_infinity": zero},
                (logs, specjit.tensor([[1, 1], [2, 0]]), *lengths),
            )


module("CTCLoss", ctc_cases, functional="ctc_loss", grad=False)
module("CosineSimilarity", layers(((), (3, 4), (3, 4)), ((0, 1e-3), (3, 4), (3, 4))), functional="cosine_similarity")
module(
    "PairwiseDistance",
    layers(((), (3, 4), (3, 4)), ((1.0, 0.1, {"keepdim": True}), (3, 4), (3, 4))),
    functional="pairwise_distance",
)


def bilinear_reference(m: Any, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    out = np.einsum("...i,oij,...j->...o", x, state(m, "weight"), y)
    return out + state(m, "bias") if m.bias is not None else out


module(
    "Bilinear",
    layers(((3, 2, 4), (5, 3), (5, 2)), ((3, 2, 4, {"bias": False}), (2, 5, 3), (2, 5, 2)), ((1, 1, 1), (1,), (1,))),
    bilinear_reference,
    scale=4,
)


def bag_cases(make: Make) -> Iterator[Any]:
    for mode in ("mean", "sum", "max"):
        yield (5, 3), {"mode": mode}, (make.ints(2, 4, high=5),)
        yield (5, 3), {"mode": mode, "padding_idx": 1}, (make.ints(6, high=5), specjit.tensor([0, 2, 2]))
    yield (5, 3), {"mode": "sum", "include_last_offset": True}, (make.ints(6, high=5), specjit.tensor([0, 2, 6]))


def bag_reference(m: Any, i: np.ndarray, offsets: Any = None) -> np.ndarray:
    if offsets is None:
        parts = list(i)
    else:
        ends = [*offsets[1:]] if m.include_last_offset else [*offsets[1:], len(i)]
        parts = [i[a:b] for a, b in zip(offsets, ends)]
    out = np.zeros((len(parts), m.embedding_dim))
    for n, indices in enumerate(parts):
        rows = state(m, "weight")[indices[indices != m.padding_idx] if m.padding_idx is not None else indices]
        if len(rows):
            out[n] = {"mean": rows.mean, "sum": rows.sum, "max": rows.max}[m.mode](0)
    return out


module("EmbeddingBag", bag_cases, bag_reference)

module(
    "Unflatten",
    layers(((1, (2, 3)), (4, 6)), ((-1, (-1, 2)), (2, 4))),
    lambda m, x: x.reshape((4, 2, 3) if m.dim == 1 else (2, 2, 2)),
)
