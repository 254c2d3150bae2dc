"""Rows of losses between values."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

import specjit
from tests.opinfo import Make, Sample, row, wide

REDUCTIONS = ("mean", "sum", "none")
LONGS = specjit.ones(2, dtype=specjit.int64)
X = specjit.ones(2, 3)


def reduced(loss: np.ndarray, reduction: str = "mean") -> Any:
    with np.errstate(all="ignore"):
        return {"mean": np.mean, "sum": np.sum, "none": np.asarray}[reduction](loss)


def pairs(*options: dict[str, Any], low: float = -3, high: float = 3, target: Any = None) -> Any:
    """(input, target) of some shapes, with each reduction; then with other options."""

    def sample(make: Make) -> Iterator[Sample]:
        def given(*shape: int) -> tuple[Any, Any]:
            t = make(*shape, low=low, high=high) if target is None else target(make, *shape)
            return make(*shape, low=low, high=high), t

        for reduction in REDUCTIONS:
            yield given(3, 4), {"reduction": reduction}
            yield given(), {"reduction": reduction}
        yield given(0, 2), {"reduction": "sum"}
        yield given(2, 3, 2), {}
        yield (make(4, 3, low=low, high=high, layout="T"), given(4, 3)[1]), {}
        for o in options:
            yield given(3, 4), o
            yield given(5), {"reduction": "none", **o}
        yield given(3), {"size_average": False}
        yield given(3), {"reduce": False}

    return sample


def loss(fn: Callable[..., Any]) -> Any:
    """A reference from `fn(*tensors, **options)`, which gives a loss for each element."""

    def reference(
        *args: Any, reduction: str = "mean", size_average: Any = None, reduce: Any = None, **options: Any
    ) -> Any:
        how = "none" if reduce is False else "sum" if size_average is False else reduction
        return reduced(fn(*args, **options), how)

    return wide(reference)


def invalid(name: str) -> list[Any]:
    def call() -> Any:
        return getattr(specjit.nn.functional, name)(X, X, reduction="x")

    return [(call, ValueError, "x is not a valid value for reduction")]


def refused(name: str, kernel: str) -> list[Any]:
    def call() -> Any:
        return getattr(specjit.nn.functional, name)(LONGS, LONGS)

    return [(call, NotImplementedError, f"\"{kernel}\" not implemented for 'Long'")]


def weighted(fn: Any) -> Any:
    """A reference with weights of the elements."""
    plain = loss(fn)

    def reference(*args: Any, weight: Any = None, reduction: str = "mean", **options: Any) -> Any:
        if weight is None:
            return plain(*args, reduction=reduction, **options)
        each = wide(fn)(*args, **options) * weight
        return each.sum() / weight.sum() if reduction == "mean" else reduced(each, reduction)

    return reference


def weighted_pairs(*options: dict[str, Any]) -> Any:
    def sample(make: Make) -> Iterator[Sample]:
        yield from pairs(*options)(make)
        yield (make(3, 4), make(4)), {"reduction": "none"}  # broadcast
        for reduction in REDUCTIONS:
            yield (make(3, 2), make(3, 2)), {"weight": make(3, 2, low=0.5, high=2), "reduction": reduction}

    return sample


UNEQUAL = [
    (lambda: specjit.nn.functional.mse_loss(X, X, weight=X[0]), ValueError, "must have the same size"),
    (lambda: specjit.nn.functional.mse_loss(X, X[:, :2]), RuntimeError, "must match the size"),
]
row(
    "nn.functional.mse_loss",
    weighted_pairs(),
    weighted(lambda x, t: (x - t) ** 2),
    scale=8,
    errors=[*invalid("mse_loss"), *refused("mse_loss", "mse_cpu"), *UNEQUAL],
)
row(
    "nn.functional.l1_loss",
    weighted_pairs(),
    weighted(lambda x, t: np.abs(x - t)),
    scale=4,
    errors=[
        *invalid("l1_loss"),
        (lambda: specjit.nn.functional.l1_loss(LONGS, LONGS), RuntimeError, "could not infer output dtype"),
    ],
)


def smooth_l1(x: Any, t: Any, beta: float = 1.0) -> Any:
    d = np.abs(x - t)
    return np.where(d < beta, d * d / (2 * beta), d - beta / 2) if beta else d


row(
    "nn.functional.smooth_l1_loss",
    pairs({"beta": 0.5}, {"beta": 0.0}),
    loss(smooth_l1),
    scale=8,
    errors=[
        *invalid("smooth_l1_loss"),
        *refused("smooth_l1_loss", "smooth_l1_cpu"),
        (lambda: specjit.nn.functional.smooth_l1_loss(X, X, beta=-1.0), RuntimeError, "negative values for beta"),
    ],
)


def huber(x: Any, t: Any, delta: float = 1.0) -> Any:
    d = np.abs(x - t)
    return np.where(d <= delta, d * d / 2, delta * (d - delta / 2))


def huber_samples(make: Make) -> Iterator[Sample]:
    for args, kwargs in weighted_pairs({"delta": 0.5})(make):
        if not {"size_average", "reduce"} & set(kwargs):
            yield args, kwargs


row(
    "nn.functional.huber_loss",
    huber_samples,
    lambda *args, weight=None, **options: loss(lambda *a, **o: huber(*a, **o) * (1 if weight is None else weight))(
        *args, **options
    ),
    scale=8,
    errors=[
        *invalid("huber_loss"),
        *refused("huber_loss", "huber_cpu"),
        (lambda: specjit.nn.functional.huber_loss(X, X, delta=0.0), RuntimeError, "non-positive values for delta"),
    ],
)


def signs(make: Make, *shape: int) -> Any:
    return (make.ints(*shape, high=2) * 2 - 1).to(make.dtype)


row(
    "nn.functional.hinge_embedding_loss",
    pairs({"margin": 0.5}, target=signs),
    loss(lambda x, t, margin=1.0: np.where(t == 1, x, np.maximum(0, margin - x))),
    scale=4,
    errors=[(lambda: specjit.nn.functional.hinge_embedding_loss(X, X, reduction="x"), ValueError, "x is not a valid")],
)
row(
    "nn.functional.soft_margin_loss",
    pairs(target=signs),
    loss(lambda x, t: np.log1p(np.exp(-t * x))),
    scale=8,
    errors=[
        *invalid("soft_margin_loss"),
        (lambda: specjit.nn.functional.soft_margin_loss(LONGS, LONGS), RuntimeError, "desired output type Long"),
    ],
)


def ranking_samples(make: Make) -> Iterator[Sample]:
    for reduction in REDUCTIONS:
        yield (make(5), make(5), signs(make, 5)), {"reduction": reduction}
        yield (make(2, 3), make(2, 3), signs(make, 2, 3), 0.5), {"reduction": reduction}
    yield (make(), make(), signs(make)), {}
    yield (make(2, 1), make(1, 3), signs(make, 2, 3)), {"margin": 1}


row(
    "nn.functional.margin_ranking_loss",
    ranking_samples,
    loss(lambda x, y, t, margin=0.0: np.maximum(0, -t * (x - y) + margin)),
    scale=8,
    errors=[
        (lambda: specjit.nn.functional.margin_ranking_loss(X, X, X[0]), RuntimeError, "should have same dimension"),
        (lambda: specjit.nn.functional.margin_ranking_loss(X, X, X, reduction="x"), ValueError, "not a valid value"),
    ],
)


def cosine_samples(make: Make) -> Iterator[Sample]:
    for reduction in REDUCTIONS:
        yield (make(4, 3), make(4, 3), signs(make, 4)), {"reduction": reduction}
    yield (make(3), make(3), signs(make)), {}
    yield (make(4, 3), make(4, 3), signs(make, 4)), {"margin": 0.2}
    yield (make(4, 3), make(1, 3), signs(make, 4), -0.5), {"reduction": "sum"}


def cosine_embedding(x: Any, y: Any, t: Any, margin: float = 0.0) -> Any:
    cosine = (x * y).sum(-1) / np.sqrt(((x * x).sum(-1) + 1e-12) * ((y * y).sum(-1) + 1e-12))
    return np.where(t == 1, 1 - cosine, np.maximum(0, cosine - margin))


row(
    "nn.functional.cosine_embedding_loss",
    cosine_samples,
    loss(cosine_embedding),
    scale=16,
    errors=[
        (lambda: specjit.nn.functional.cosine_embedding_loss(X, X, X), RuntimeError, "0D or 1D target tensor expected"),
        (lambda: specjit.nn.functional.cosine_embedding_loss(X[0], X[0], X[0]), RuntimeError, "1D target tensor expe"),
        (lambda: specjit.nn.functional.cosine_embedding_loss(X, X, X[0, 0]), RuntimeError, "0D target tensor expects"),
    ],
)


def triplets(make: Make) -> Iterator[Sample]:
    for reduction in REDUCTIONS:
        yield (make(4, 3), make(4, 3), make(4, 3)), {"reduction": reduction}
        yield (make(4, 3), make(4, 3), make(4, 3)), {"swap": True, "margin": 5.0, "reduction": reduction}
    yield (make(3), make(3), make(3)), {"reduction": "none"}


def more_triplets(make: Make) -> Iterator[Sample]:
    yield from triplets(make)
    yield (make(4, 3), make(4, 3), make(4, 3)), {"p": 1, "eps": 0.1}
    yield (make(2, 2, 3), make(2, 2, 3), make(2, 1, 3)), {"p": 3.0}


def triplet(a: Any, b: Any, c: Any, margin: float = 1.0, p: float = 2, eps: float = 1e-6, swap: bool = False) -> Any:
    def distance(x: Any, y: Any) -> Any:
        return (np.abs(x - y + eps) ** p).sum(-1) ** (1 / p)

    far = np.minimum(distance(a, c), distance(b, c)) if swap else distance(a, c)
    return np.maximum(0, margin + distance(a, b) - far)


row(
    "nn.functional.triplet_margin_loss",
    more_triplets,
    loss(triplet),
    scale=16,
    errors=[
        (lambda: specjit.nn.functional.triplet_margin_loss(X, X, X, 0.0), ValueError, "greater than 0"),
        (lambda: specjit.nn.functional.triplet_margin_loss(X, X, X[0]), RuntimeError, "same number of dimensions"),
    ],
)
row(
    "nn.functional.triplet_margin_with_distance_loss",
    triplets,
    loss(triplet),
    scale=16,
    errors=[
        (
            lambda: specjit.nn.functional.triplet_margin_with_distance_loss(X, X, X, margin=0.0),
            ValueError,
            "greater than 0",
        ),
        (
            lambda: specjit.nn.functional.triplet_margin_with_distance_loss(X, X, X[0]),
            RuntimeError,
            "same number of dimensions",
        ),
    ],
)
