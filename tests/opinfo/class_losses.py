"""Rows of losses of classes and distributions."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

import specjit
from specjit.dtypes import int64
from specjit.ops.records.registry import get
from tests.opinfo import Make, Sample, row, silent, wide
from tests.opinfo.losses import LONGS, REDUCTIONS, X, invalid, loss, pairs, reduced

P, CLASSES = specjit.ones(2, 3) / 2, specjit.tensor([0, 2])


def cross(p: Any, t: Any) -> Any:
    return -(t * np.maximum(np.log(p), -100) + (1 - t) * np.maximum(np.log1p(-p), -100))


def probabilities(make: Make) -> Iterator[Sample]:
    for shape in ((3, 4), (), (0, 2), (2, 3, 2)):
        yield (make(*shape, low=0.05, high=0.95), make(*shape, low=0.05, high=0.95)), {}
    yield (make(4, 3, low=0.05, high=0.95, layout="T"), make(4, 3, low=0.05, high=0.95)), {}
    if make.plain:
        ends = specjit.tensor([0.0, 1.0, 0.0, 1.0, 0.5], dtype=make.dtype)
        yield (ends, specjit.tensor([0.0, 1.0, 1.0, 0.0, 1.0], dtype=make.dtype)), {}


row(
    "binary_cross_entropy",
    probabilities,
    silent(wide(cross)),
    scale=4,
    torch=lambda torch: lambda p, t: torch.nn.functional.binary_cross_entropy(p, t, reduction="none"),
    errors=[(lambda: get("binary_cross_entropy").fn(X * 2, X), RuntimeError, "between 0 and 1")],
)


def with_weights(sample: Any, *names: str) -> Any:
    """The samples of each reduction, and some with weights of the elements."""

    def more(make: Make) -> Iterator[Sample]:
        for args, kwargs in sample(make):
            for reduction in REDUCTIONS if args[0].numel() else ("sum", "none"):
                yield args, {"reduction": reduction, **kwargs}
        (x, t), _ = next(iter(sample(make)))
        for reduction in REDUCTIONS:
            yield (x, t), {"reduction": reduction, **{n: make(4, low=0.5, high=2) for n in names}}
        yield (x, t, make(3, 4, low=0.5, high=2)), {"size_average": False}

    return more


def by_weight(fn: Any) -> Any:
    def reference(
        x: Any, t: Any, weight: Any = None, reduction: str = "mean", size_average: Any = None, **options: Any
    ) -> Any:
        each = silent(fn)(x.astype(np.float64), t.astype(np.float64), **options)
        each = each if weight is None else each * weight
        return reduced(each, reduction if size_average is None else "sum")

    return reference


row(
    "nn.functional.binary_cross_entropy",
    with_weights(probabilities, "weight"),
    by_weight(cross),
    scale=4,
    errors=[
        (lambda: specjit.nn.functional.binary_cross_entropy(X * 2, X), RuntimeError, "between 0 and 1"),
        (lambda: specjit.nn.functional.binary_cross_entropy(P, P[0]), ValueError, "is deprecated"),
        (lambda: specjit.nn.functional.binary_cross_entropy(LONGS, LONGS), NotImplementedError, "binary_cross_entropy"),
        *invalid("binary_cross_entropy"),
    ],
)


def logits(make: Make) -> Iterator[Sample]:
    for shape in ((3, 4), (), (0, 2), (2, 3, 4)):
        yield (make(*shape), make(*shape, low=0, high=1)), {}
    yield (make(4, 3, layout="T"), make(4, 3, low=0, high=1)), {}
    yield (make(3, 4, low=-50, high=50), make(3, 4, low=0, high=1)), {}


def cross_of_logits(x: Any, t: Any, pos_weight: Any = 1.0) -> Any:
    return t * pos_weight * np.logaddexp(0, -x) + (1 - t) * np.logaddexp(0, x)


row(
    "nn.functional.binary_cross_entropy_with_logits",
    with_weights(logits, "weight", "pos_weight"),
    by_weight(cross_of_logits),
    scale=16,
    errors=[
        (lambda: specjit.nn.functional.binary_cross_entropy_with_logits(P, P[0]), ValueError, "must be the same as in"),
        (
            lambda: specjit.nn.functional.binary_cross_entropy_with_logits(LONGS, LONGS),
            NotImplementedError,
            "log_sigmoid_cpu",
        ),
        *invalid("binary_cross_entropy_with_logits"),
    ],
)


def class_samples(make: Make) -> Iterator[Sample]:
    for reduction in REDUCTIONS:
        o = {"reduction": reduction}
        yield (make(4, 3), make.ints(4, high=3)), o
        yield (make(3), make.ints(high=3)), o
        yield (make(2, 3, 4), make.ints(2, 4, high=3)), {**o, "ignore_index": 1}
        yield (make(4, 3), make.ints(4, high=3), make(3, low=0.5, high=2)), {**o, "ignore_index": 0}
        yield (make(2, 3, 2, 2), make.ints(2, 2, 2, high=3), make(3, low=0.5, high=2)), o
        yield (make(2, 3), specjit.tensor([-100, 1])), o
    yield (make(4, 3, layout="T"), make.ints(4, high=3)), {}
    yield (make(0, 3), make.ints(0, high=3)), {"reduction": "sum"}
    yield (make(4, 3), make.ints(4, high=3)), {"size_average": False}


def nll(
    logs: Any,
    t: Any,
    weight: Any = None,
    ignore_index: int = -100,
    reduction: str = "mean",
    size_average: Any = None,
    smoothing: float = 0.0,
) -> Any:
    """Sample by sample, over (N, C, D)."""
    logs = logs.astype(np.float64)
    flat = logs.reshape(1, -1, 1) if logs.ndim == 1 else logs.reshape(*logs.shape[:2], math.prod(logs.shape[2:]))
    weight = np.ones(flat.shape[1]) if weight is None else weight
    losses, counts = [], []
    for n, d in np.ndindex(flat.shape[0], flat.shape[2]):
        k = int(t.reshape(flat.shape[0], flat.shape[2])[n, d])
        own = flat[n, :, d]
        kept = k != ignore_index
        hard, spread = -own[k] * weight[k] if kept else 0.0, -(own * weight).mean() if kept else 0.0
        losses.append((1 - smoothing) * hard + smoothing * spread)
        counts.append(weight[k] if kept else 0.0)
    how = reduction if size_average is None else "sum"
    with np.errstate(all="ignore"):
        if how == "none":
            return np.array(losses).reshape(t.shape)
        return np.sum(losses) / np.sum(counts) if how == "mean" else np.sum(losses)


def known_samples(make: Make) -> Iterator[Sample]:
    yield (make.ints(4, high=3), 3, -100), {}
    yield (make.ints(2, 5, high=3), 3, 1), {}
    yield (make.ints(high=3), 3, 0), {}
    yield (make.ints(0, high=3), 3, 0), {}


row(
    "known_classes",
    known_samples,
    lambda t, classes, ignored: np.where(t == ignored, 0, t),
    dtypes=(int64,),
    grad=False,
    errors=[
        (lambda: get("known_classes").fn(CLASSES * 0 + 7, 7, -100), IndexError, r"Target 7 is out of bounds\."),
        (lambda: get("known_classes").fn(CLASSES * 0 - 1, 7, -100), IndexError, r"Target -1 is out of bounds\."),
    ],
)

row(
    "nn.functional.nll_loss",
    class_samples,
    nll,
    scale=8,
    errors=[
        (lambda: specjit.nn.functional.nll_loss(X, CLASSES[:1]), ValueError, "to match target batch_size"),
        (lambda: specjit.nn.functional.nll_loss(LONGS[None], CLASSES[:1]), NotImplementedError, "nll_loss_out_frame"),
        (
            lambda: specjit.nn.functional.nll_loss(X[:, :, None], CLASSES[:, None, None]),
            RuntimeError,
            "Expected target",
        ),
        (lambda: specjit.nn.functional.nll_loss(X, CLASSES, reduction="x"), ValueError, "not a valid value"),
        (lambda: specjit.nn.functional.nll_loss(X, CLASSES + 7), IndexError, r"Target \d+ is out of bounds\."),
        (lambda: specjit.nn.functional.nll_loss(X, CLASSES * 0 - 1), IndexError, r"Target -1 is out of bounds\."),
    ],
)


def entropy_samples(make: Make) -> Iterator[Sample]:
    yield from class_samples(make)
    for reduction in REDUCTIONS:
        o = {"reduction": reduction, "label_smoothing": 0.2}
        yield (make(4, 3), make.ints(4, high=3)), {**o, "ignore_index": 1}
        yield (make(4, 3), make.ints(4, high=3), make(3, low=0.5, high=2)), {**o, "ignore_index": 1}
        yield (make(4, 3), make(4, 3, low=0, high=1)), o
        yield (make(2, 3, 2), make(2, 3, 2, low=0, high=1), make(3, low=0.5, high=2)), o
        yield (make(3), make(3, low=0, high=1)), {"reduction": reduction}
    yield (make(4, 3, low=-60, high=60), make.ints(4, high=3)), {}


def cross_entropy(x: Any, t: Any, weight: Any = None, label_smoothing: float = 0.0, **options: Any) -> Any:
    dim = 0 if x.ndim == 1 else 1
    wide_x = x.astype(np.float64)
    logs = wide_x - np.logaddexp.reduce(wide_x, dim, keepdims=True) if x.size else wide_x
    if t.dtype.kind != "f":
        return nll(logs, t, weight, smoothing=label_smoothing, **options)
    soft = t * (1 - label_smoothing) + label_smoothing / x.shape[dim]
    by = 1.0 if weight is None else weight.reshape([-1 if d == dim else 1 for d in range(x.ndim)])
    each = -(logs * soft * by).sum(dim)
    return each.sum() / max(each.size, 1) if options["reduction"] == "mean" else reduced(each, options["reduction"])


row(
    "nn.functional.cross_entropy",
    entropy_samples,
    cross_entropy,
    scale=16,
    errors=[
        (lambda: specjit.nn.functional.cross_entropy(X, CLASSES[:1]), ValueError, "to match target batch_size"),
        (lambda: specjit.nn.functional.cross_entropy(X, X.long()), RuntimeError, "Expected floating point type for ta"),
        (lambda: specjit.nn.functional.cross_entropy(X, X, ignore_index=1), RuntimeError, "ignore_index is not supp"),
        (lambda: specjit.nn.functional.cross_entropy(X, CLASSES, label_smoothing=2.0), RuntimeError, "between 0.0 and"),
        (lambda: specjit.nn.functional.cross_entropy(X.long(), CLASSES), NotImplementedError, "log_softmax_lastdim"),
        (lambda: specjit.nn.functional.cross_entropy(X, CLASSES, reduction="x"), ValueError, "not a valid value"),
        (lambda: specjit.nn.functional.cross_entropy(X, CLASSES + 7), IndexError, r"Target \d+ is out of bounds\."),
    ],
)


def kl_samples(make: Make) -> Iterator[Sample]:
    for reduction in (*REDUCTIONS, "batchmean"):
        yield (make(3, 4), make(3, 4, low=0.1, high=1)), {"reduction": reduction}
        yield (make(3, 4), make(3, 4)), {"reduction": reduction, "log_target": True}
    yield (make(2, 3), make(3, low=0.1, high=1)), {"reduction": "none"}
    yield (make(), make(low=0.1, high=1)), {}
    if make.plain:
        yield (make(3), specjit.tensor([0.0, 1.0, 0.5], dtype=make.dtype)), {"reduction": "none"}


def kl(x: Any, t: Any, reduction: str = "mean", log_target: bool = False) -> Any:
    x, t = x.astype(np.float64), t.astype(np.float64)
    with np.errstate(all="ignore"):
        each = np.exp(t) * (t - x) if log_target else np.where(t == 0, 0, t * np.log(t)) - t * x
    return each.sum() / len(x) if reduction == "batchmean" else reduced(each, reduction)


row(
    "nn.functional.kl_div",
    kl_samples,
    kl,
    scale=16,
    errors=[
        (lambda: specjit.nn.functional.kl_div(LONGS, LONGS), RuntimeError, "Integral inputs not supported"),
        *invalid("kl_div"),
    ],
)


def gaussian_samples(make: Make) -> Iterator[Sample]:
    for reduction in REDUCTIONS:
        for shape in ((3, 4), (3,), (3, 1)):
            yield (make(3, 4), make(3, 4), make(*shape, low=0.5, high=2)), {"reduction": reduction}
        yield (make(3, 4), make(3, 4), make(3, 4, low=0.5, high=2)), {"full": True, "reduction": reduction}
    yield (make(3, 4), make(3, 4), 0.5), {}
    if make.plain:
        yield (make(3), make(3), specjit.tensor([0.0, 0.1, 1.0], dtype=make.dtype)), {"eps": 0.5}


def gaussian(x: Any, t: Any, var: Any, full: bool = False, eps: float = 1e-6, reduction: str = "mean") -> Any:
    var = np.asarray(var, np.float64)
    var = np.maximum(var[..., None] if var.ndim and var.ndim < x.ndim else var, eps)
    each = (np.log(var) + (x.astype(np.float64) - t) ** 2 / var) / 2 + (np.log(2 * np.pi) / 2 if full else 0)
    return reduced(each, reduction)


row(
    "nn.functional.gaussian_nll_loss",
    gaussian_samples,
    gaussian,
    scale=16,
    errors=[
        (lambda: specjit.nn.functional.gaussian_nll_loss(X, X, X[:, :2]), ValueError, "var is of incorrect size"),
        (lambda: specjit.nn.functional.gaussian_nll_loss(X, X, X, reduction="x"), ValueError, "x is not valid"),
        (lambda: specjit.nn.functional.gaussian_nll_loss(X, X, -1.0), ValueError, "negative entry"),
    ],
)


def poisson(x: Any, t: Any, log_input: bool = True, full: bool = False, eps: float = 1e-8) -> Any:
    out = np.exp(x) - t * x if log_input else x - t * np.log(x + eps)
    with np.errstate(all="ignore"):
        return out + np.where(t > 1, t * np.log(t) - t + np.log(2 * np.pi * t) / 2, 0) if full else out


row(
    "nn.functional.poisson_nll_loss",
    pairs({"full": True}, {"log_input": False}, {"log_input": False, "full": True, "eps": 0.5}, low=0.2, high=3),
    loss(poisson),
    scale=16,
    errors=invalid("poisson_nll_loss"),
)
