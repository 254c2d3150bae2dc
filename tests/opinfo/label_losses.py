"""Rows of losses of several labels, margins between classes, and sequences without alignment."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np

import specjit
from specjit.ops.records.registry import get
from tests.opinfo import WIDE, Make, Sample, row
from tests.opinfo.losses import LONGS, REDUCTIONS, X, invalid, reduced

INTS = specjit.tensor([[0, 1, -1], [-1, 0, 0]])


def margin_samples(make: Make) -> Iterator[Sample]:
    for reduction in REDUCTIONS:
        yield (make(4, 3), make.ints(4, high=3)), {"reduction": reduction}
        yield (make(4, 3), make.ints(4, high=3), 2, 0.5, make(3, low=0.5, high=2)), {"reduction": reduction}
    yield (make(3), make.ints(high=3)), {"p": 2}
    yield (make(4, 3, layout="T"), make.ints(4, high=3)), {"size_average": False}


def multi_margin(
    x: Any,
    t: Any,
    p: int = 1,
    margin: float = 1.0,
    weight: Any = None,
    reduction: str = "mean",
    size_average: Any = None,
) -> Any:
    rows, targets = x.astype(np.float64).reshape(-1, x.shape[-1]), t.reshape(-1)
    losses = []
    for r, k in zip(rows, targets):
        each = np.maximum(0, margin - r[k] + np.delete(r, k)) ** p
        losses.append(each.sum() / len(r) * (1 if weight is None else weight[k]))
    return reduced(np.array(losses).reshape(t.shape), reduction if size_average is None else "sum")


row(
    "nn.functional.multi_margin_loss",
    margin_samples,
    multi_margin,
    dtypes=WIDE,
    scale=8,
    errors=[
        (lambda: specjit.nn.functional.multi_margin_loss(X, LONGS, p=3), ValueError, "only p == 1 and p == 2"),
        (lambda: specjit.nn.functional.multi_margin_loss(X, LONGS, weight=X), ValueError, "must be one-dimensional"),
        (lambda: specjit.nn.functional.multi_margin_loss(X.half(), LONGS), NotImplementedError, "'Half'"),
    ],
)


def labels_samples(make: Make) -> Iterator[Sample]:
    for reduction in REDUCTIONS:
        yield (make(2, 3), INTS), {"reduction": reduction}
    yield (make(4), specjit.tensor([3, 0, -1, 1])), {}
    yield (make(1, 3), specjit.tensor([[2, 0, 1]])), {"size_average": False}


def multilabel_margin(x: Any, t: Any, reduction: str = "mean", size_average: Any = None) -> Any:
    losses = []
    for r, labels in zip(x.astype(np.float64).reshape(-1, x.shape[-1]), t.reshape(-1, x.shape[-1])):
        given = list(itertools.takewhile(lambda k: k >= 0, labels))
        others = [j for j in range(len(r)) if j not in given]
        losses.append(sum(max(0.0, 1 - (r[i] - r[j])) for i in given for j in others) / len(r))
    return reduced(np.array(losses).reshape(x.shape[:-1]), reduction if size_average is None else "sum")


row(
    "nn.functional.multilabel_margin_loss",
    labels_samples,
    multilabel_margin,
    dtypes=WIDE,
    scale=8,
    errors=[
        (lambda: specjit.nn.functional.multilabel_margin_loss(X, INTS[:, :2]), RuntimeError, "Expected target"),
        (lambda: specjit.nn.functional.multilabel_margin_loss(X.half(), INTS), NotImplementedError, "'Half'"),
    ],
)


def soft_samples(make: Make) -> Iterator[Sample]:
    for reduction in REDUCTIONS:
        yield (make(3, 4), make(3, 4, low=0, high=1)), {"reduction": reduction}
        yield (make(3, 4), make(3, 4, low=0, high=1), make(4, low=0.5, high=2)), {"reduction": reduction}
    yield (make(4), make(4, low=0, high=1)), {}


def multilabel_soft_margin(x: Any, t: Any, weight: Any = None, reduction: str = "mean") -> Any:
    x = x.astype(np.float64)
    each = t * np.logaddexp(0, -x) + (1 - t) * np.logaddexp(0, x)
    return reduced((each if weight is None else each * weight).mean(-1), reduction)


row(
    "nn.functional.multilabel_soft_margin_loss",
    soft_samples,
    multilabel_soft_margin,
    scale=16,
    errors=invalid("multilabel_soft_margin_loss"),
)


# Connectionist temporal classification.


def spelled(path: Any, blank: int) -> list[int]:
    """What an alignment spells: repetitions once, without blanks."""
    return [int(k) for k, _ in itertools.groupby(path) if k != blank]


def by_enumeration(x: Any, targets: Any, times: Any, lengths: Any, blank: int = 0) -> np.ndarray:
    """The probabilities of all alignments, one by one."""
    out = []
    starts = np.concatenate(([0], np.cumsum(lengths)))
    for n, (time, length) in enumerate(zip(times, lengths)):
        wanted = targets[starts[n] : starts[n + 1]] if targets.ndim == 1 else targets[n, :length]
        paths = itertools.product(range(x.shape[2]), repeat=int(time))
        total = sum(
            np.exp(sum(float(x[t, n, k]) for t, k in enumerate(p)))
            for p in paths
            if spelled(p, blank) == [int(k) for k in wanted]
        )
        with np.errstate(divide="ignore"):
            out.append(-np.log(total))
    return np.array(out, np.float64)


def ctc_samples(make: Make) -> Iterator[Sample]:
    def ints(*values: Any) -> Any:
        return specjit.tensor(list(values))

    x = make(4, 3, 3, low=-3, high=0)
    yield (x, specjit.tensor([[1, 2], [1, 1], [2, 0]]), ints(4, 4, 3), ints(2, 2, 1)), {}
    yield (make(4, 3, 3, low=-3, high=0), ints(1, 2, 2, 1), ints(3, 4, 4), ints(2, 0, 2)), {}
    yield (make(3, 2, 3, low=-3, high=0), specjit.tensor([[0, 1], [1, 0]]), ints(3, 2), ints(2, 2)), {"blank": 2}
    if make.plain:  # too short: infinite
        yield (make(2, 1, 3, low=-3, high=0), specjit.tensor([[1, 1]]), ints(2), ints(2)), {}


def ctc_positional(make: Make) -> Iterator[Sample]:
    for args, kwargs in ctc_samples(make):
        yield (*args, kwargs.get("blank", 0)), {}


row(
    "ctc",
    ctc_positional,
    by_enumeration,
    dtypes=WIDE,
    gradgrad=False,
    scale=8,
    errors=[(lambda: get("ctc").fn(X[None].half(), INTS, LONGS, LONGS), NotImplementedError, "ctc_loss_cpu")],
)


def backward_samples(make: Make) -> Iterator[Sample]:
    for args, kwargs in list(ctc_samples(make))[:3]:
        yield (make(len(args[2])), *args, kwargs.get("blank", 0)), {}


def backward_reference(g: Any, x: Any, targets: Any, times: Any, lengths: Any, blank: int) -> np.ndarray:
    """The slope of the enumeration."""
    wide = x.astype(np.float64)
    out = np.zeros(x.shape)
    step = 1e-6
    with np.errstate(invalid="ignore"):
        for at in np.ndindex(x.shape):
            ends = []
            for s in (step, -step):
                moved = wide.copy()
                moved[at] += s
                ends.append(
                    by_enumeration(moved[:, at[1] : at[1] + 1], *_one(targets, times, lengths, at[1]), blank)[0]
                )
            out[at] = (ends[0] - ends[1]) / (2 * step) * g[at[1]]
    return out


def _one(targets: Any, times: Any, lengths: Any, n: int) -> Any:
    start = int(np.sum(lengths[:n]))
    row = targets[start : start + lengths[n]][None] if targets.ndim == 1 else targets[n : n + 1]
    return row, times[n : n + 1], lengths[n : n + 1]


row(
    "ctc_backward",
    backward_samples,
    backward_reference,
    dtypes=WIDE,
    grad=False,
    scale=1e6,  # the reference is a difference
)


def loss_samples(make: Make) -> Iterator[Sample]:
    for args, kwargs in ctc_samples(make):
        for reduction in REDUCTIONS:
            yield args, {**kwargs, "reduction": reduction}
            if make.plain:
                yield args, {**kwargs, "reduction": reduction, "zero_infinity": True}
    x = make(3, 4, low=-3, high=0)
    yield (x, specjit.tensor([1, 2]), specjit.tensor(3), specjit.tensor(2)), {"reduction": "none"}
    yield (make(3, 2, 3, low=-3, high=0), specjit.tensor([[1], [2]]), (3, 2), (1, 1)), {}


def ctc_loss(
    x: Any,
    targets: Any,
    times: Any,
    lengths: Any,
    blank: int = 0,
    reduction: str = "mean",
    zero_infinity: bool = False,
) -> Any:
    times, lengths = np.reshape(times, -1), np.reshape(lengths, -1)
    batched = x.ndim == 3
    found = by_enumeration(x if batched else x[:, None], targets if batched else targets[None], times, lengths, blank)
    if zero_infinity:
        found[np.isinf(found)] = 0
    if reduction == "mean":
        return (found / np.maximum(lengths, 1)).mean()
    return reduced(found if batched else found[0], reduction)


ONE = specjit.tensor([1])
T2 = specjit.zeros(2, 1, 3)
row(
    "nn.functional.ctc_loss",
    loss_samples,
    ctc_loss,
    dtypes=WIDE,
    gradgrad=False,
    scale=8,
    errors=[
        (
            lambda: specjit.nn.functional.ctc_loss(T2, ONE[None], ONE + 2, ONE),
            RuntimeError,
            "at most 2, but got",
        ),
        (lambda: specjit.nn.functional.ctc_loss(T2, ONE[None], ONE, ONE + 1), RuntimeError, "size at least 2"),
        (lambda: specjit.nn.functional.ctc_loss(T2, ONE[None], ONE, ONE, blank=3), RuntimeError, "in label range"),
        (lambda: specjit.nn.functional.ctc_loss(T2.half(), ONE[None], ONE, ONE), NotImplementedError, "ctc_loss_cpu"),
        (lambda: specjit.nn.functional.ctc_loss(T2, ONE[None], ONE, ONE, reduction="x"), ValueError, "not a valid"),
    ],
)
