"""Rows of nn.functional's embeddings, bags and one-hot rows, and of the records behind them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

import specjit
from specjit.ops.records.registry import get
from tests.opinfo import FLOATS, NUMBERS, Make, Sample, row

TABLE, IDS = specjit.ones(5, 3), specjit.tensor([0, 1])
INT32 = specjit.int32


def lookup_samples(make: Make) -> Iterator[Sample]:
    for shape in ((4,), (2, 3), (), (0,)):
        yield (make.ints(*shape, high=5), make(5, 3)), {}
    yield (make.ints(4, high=5).to(INT32), make(5, 3)), {}
    yield (make.ints(3, high=3), make(3, 5, layout="T")), {}
    if not make.requires_grad:
        # Their gradients are not those of the value: see tests/nn/test_embedding.py.
        for padding in (0, -1, 3):
            yield (make.ints(6, high=5), make(5, 2), padding), {}
        yield (make.ints(2, 4, high=3), make(3, 2)), {"sparse": True, "scale_grad_by_freq": True}


def embedding(i: Any, w: Any, padding_idx: Any = None, max_norm: Any = None, norm_type: float = 2, **_: Any) -> Any:
    return shortened(i, w, max_norm, norm_type)[i]


def shortened(i: Any, w: Any, max_norm: Any, norm_type: float) -> Any:
    if max_norm is None:
        return w
    norms = (np.abs(w.astype(np.float64)) ** norm_type).sum(1, keepdims=True) ** (1 / norm_type)
    used = np.isin(np.arange(len(w)), i)[:, None]
    return np.where(used & (norms > max_norm), w * (max_norm / (norms + 1e-7)), w)


row(
    "nn.functional.embedding",
    lookup_samples,
    embedding,
    dtypes=NUMBERS,
    errors=[
        (lambda: specjit.nn.functional.embedding(IDS + 4, TABLE), IndexError, "out of range"),
        (
            lambda: specjit.nn.functional.embedding(IDS.to(specjit.int16), TABLE),
            RuntimeError,
            "scalar types: Long, Int",
        ),
        (lambda: specjit.nn.functional.embedding(IDS, TABLE[0]), RuntimeError, "must be 2-D"),
        (lambda: specjit.nn.functional.embedding(IDS, TABLE, 5), AssertionError, "within num_embeddings"),
        (lambda: specjit.nn.functional.embedding(IDS, TABLE, -6), AssertionError, "within num_embeddings"),
    ],
)


def bag_samples(make: Make) -> Iterator[Sample]:
    for mode in ("mean", "sum", "max"):
        yield (make.ints(2, 3, high=5), make(5, 3)), {"mode": mode}
        offsets = specjit.tensor([0, 2, 2, 5])
        yield (make.ints(6, high=5), make(5, 3), offsets), {"mode": mode}
        yield (make.ints(6, high=5), make(5, 3), offsets), {"mode": mode, "padding_idx": 2}
        yield (make.ints(2, 4, high=3), make(3, 2)), {"mode": mode, "padding_idx": -1}
        last = specjit.tensor([0, 1, 4, 6])
        yield (make.ints(6, high=5), make(5, 2), last), {"mode": mode, "include_last_offset": True}
        yield (make.ints(0, high=5), make(5, 2), specjit.tensor([0, 0])), {"mode": mode}
    yield (make.ints(6, high=5).to(INT32), make(5, 3), specjit.tensor([0, 3], dtype=INT32)), {}
    weights = make(6)
    yield (
        (make.ints(6, high=5), make(5, 3), specjit.tensor([0, 4])),
        {"mode": "sum", "per_sample_weights": weights},
    )
    yield (make.ints(2, 3, high=5), make(5, 3)), {"mode": "sum", "per_sample_weights": make(2, 3)}


def embedding_bag(
    i: Any,
    w: Any,
    offsets: Any = None,
    mode: str = "mean",
    per_sample_weights: Any = None,
    include_last_offset: bool = False,
    padding_idx: Any = None,
) -> Any:
    factors = np.ones(i.shape) if per_sample_weights is None else per_sample_weights.astype(np.float64)
    if i.ndim == 2:
        parts = list(zip(i, factors))
    else:
        ends = [*offsets[1:]] if include_last_offset else [*offsets[1:], len(i)]
        parts = [(i[a:b], factors[a:b]) for a, b in zip(offsets, ends)]
    out = np.zeros((len(parts), w.shape[1]))
    for n, (indices, by) in enumerate(parts):
        kept = np.ones(len(indices), bool) if padding_idx is None else indices != padding_idx % len(w)
        rows = w.astype(np.float64)[indices[kept]] * by[kept][:, None]
        if len(rows):
            out[n] = {"mean": rows.mean, "sum": rows.sum, "max": rows.max}[mode](0)
    return out


row(
    "nn.functional.embedding_bag",
    bag_samples,
    embedding_bag,
    scale=8,
    dtypes=FLOATS,
    errors=[
        (lambda: specjit.nn.functional.embedding_bag(IDS, TABLE), ValueError, "has to be a 1D Tensor but got None"),
        (lambda: specjit.nn.functional.embedding_bag(IDS, TABLE, IDS[:, None]), ValueError, "has to be a 1D Tensor"),
        (lambda: specjit.nn.functional.embedding_bag(IDS[None], TABLE, IDS), ValueError, "offsets has to be None"),
        (lambda: specjit.nn.functional.embedding_bag(IDS[0], TABLE), ValueError, "has to be 1D or 2D Tensor"),
        (lambda: specjit.nn.functional.embedding_bag(IDS, TABLE, IDS[:1], mode="x"), ValueError, "one of sum, mean"),
        (
            lambda: specjit.nn.functional.embedding_bag(IDS, TABLE, IDS[:1], per_sample_weights=TABLE[0][:2]),
            NotImplementedError,
            "only supported for mode='sum'",
        ),
        (
            lambda: specjit.nn.functional.embedding_bag(IDS, TABLE, IDS[:1], per_sample_weights=TABLE[0]),
            ValueError,
            "must have the same shape",
        ),
        (
            lambda: specjit.nn.functional.embedding_bag(IDS, TABLE, IDS[:1], mode="max", scale_grad_by_freq=True),
            ValueError,
            "does not support scaling",
        ),
        (lambda: specjit.nn.functional.embedding_bag(IDS, TABLE, IDS[1:]), RuntimeError, "has to be 0"),
        (lambda: specjit.nn.functional.embedding_bag(IDS, TABLE.long(), IDS[:1]), RuntimeError, "argument #1 'weight'"),
    ],
)


def one_hot_samples(make: Make) -> Iterator[Sample]:
    yield (make.ints(2, 3, high=4), 5), {}
    yield (make.ints(4, high=3),), {}
    yield (make.ints(high=3), 3), {}
    yield (make.ints(0, high=3), 3), {}


row(
    "nn.functional.one_hot",
    one_hot_samples,
    lambda x, n=-1: np.eye(n if n > 0 else x.max() + 1, dtype=np.int64)[x],
    dtypes=(specjit.int64,),
    grad=False,
    exact=True,
    traceable=False,  # without num_classes the shape depends on data
    errors=[
        (lambda: specjit.nn.functional.one_hot(TABLE), RuntimeError, "only applicable to index tensor of type Long"),
        (lambda: specjit.nn.functional.one_hot(IDS.int()), RuntimeError, "only applicable to index tensor of type Lo"),
        (lambda: specjit.nn.functional.one_hot(IDS, 1), RuntimeError, "smaller than num_classes"),
        (lambda: specjit.nn.functional.one_hot(IDS - 1), RuntimeError, "non-negative"),
        (lambda: specjit.nn.functional.one_hot(IDS[:0]), RuntimeError, "total number of classes from empty"),
    ],
)


def number_samples(make: Make) -> Iterator[Sample]:
    for offsets, count in (([0, 2, 2, 5], 6), ([0], 3), ([0, 0], 0), ([0, 1, 3], 3)):
        yield (specjit.tensor(offsets), count), {}


row(
    "bag_numbers",
    number_samples,
    lambda offsets, n: np.array([sum(o <= i for o in offsets) - 1 for i in range(n)], np.int64),
    dtypes=(specjit.int64,),
    grad=False,
    exact=True,
    errors=[
        (lambda: get("bag_numbers").fn(specjit.tensor([1]), 3), RuntimeError, "has to be 0"),
        (lambda: get("bag_numbers").fn(specjit.tensor([0, 4]), 3), RuntimeError, "can not be greater than input's"),
    ],
)


def argmax_samples(make: Make) -> Iterator[Sample]:
    for bag, kept, bags in (([0, 0, 2, 2], [True] * 4, 3), ([0, 1, 1], [True, False, False], 2), ([], [], 2)):
        yield (
            (
                make(len(bag), 3),
                specjit.tensor(bag, dtype=specjit.int64),
                specjit.tensor(kept, dtype=specjit.bool),
                bags,
            ),
            {},
        )


def bag_argmax(rows: Any, bag: Any, kept: Any, bags: int) -> Any:
    out = np.full((bags, rows.shape[1]), -1)
    for b in range(bags):
        mine = np.flatnonzero((bag == b) & kept)
        if mine.size:
            out[b] = mine[rows[mine].argmax(0)]
    return out


row("bag_argmax", argmax_samples, bag_argmax, grad=False, exact=True)
# The gradient is not that of the value: checked by tests/nn/test_embedding.py.
row("scaled_gradient", lambda make: iter([((make(3, 4), make(3, 1) * 0 + 1), {})]), lambda x, s: x, exact=True)
