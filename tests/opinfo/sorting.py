"""Rows of sorting, order statistics and running extremes."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

import specjit
from specjit.ops.records.registry import get
from tests.opinfo import ALL, NUMBERS, Make, Sample, row


def distinct(make: Make, *shape: int, layout: str = "C") -> Any:
    """A tensor in which no two elements are equal (but for bools): the indices of order statistics are then unique."""
    count = int(np.prod(shape))
    values = make.rng.permutation(count) - (count // 2 if make.dtype.is_signed else 0)
    if layout == "T":
        return make.wrap(values.reshape(shape[::-1]).astype(make.dtype.numpy).T)
    return make.wrap(values.reshape(shape).astype(make.dtype.numpy))


def less(a: Any, b: Any) -> bool:
    """The order in which NaN is the largest."""
    return bool(a < b) or bool(b != b and a == a)


def ranked(values: Any, descending: bool = False) -> list[int]:
    """Positions in order, by Python's stable sort."""

    def compare(i: int, j: int) -> int:
        sign = less(values[j], values[i]) - less(values[i], values[j])
        return -sign if descending else sign

    return sorted(range(len(values)), key=functools.cmp_to_key(compare))


def per_group(fn: Callable[..., Any], keeps: bool) -> Callable[..., Any]:
    """(values, indices), or indices alone for a record, from what `fn(values, ...)` says of one group: its indices
    (`keeps`) or one index."""

    def reference(x: np.ndarray, dim: int, keepdim: bool, *rest: Any) -> tuple[np.ndarray, np.ndarray]:
        whole = x.reshape(x.shape or (1,))
        groups = np.moveaxis(whole, dim, -1)
        lead = groups.shape[:-1]
        found = [fn(groups[p], *rest) for p in np.ndindex(*lead)]
        taken = [groups[p][i] for p, i in zip(np.ndindex(*lead), found)]
        size = (len(found[0]) if found else groups.shape[-1],) if keeps else ()
        at = np.array(found, np.int64).reshape((*lead, *size))
        values = np.array(taken, x.dtype).reshape((*lead, *size))
        if not x.ndim:
            return values.reshape(()), at.reshape(())
        if keeps:
            return np.moveaxis(values, -1, dim), np.moveaxis(at, -1, dim)
        return (np.expand_dims(values, dim), np.expand_dims(at, dim)) if keepdim else (values, at)

    return reference


# sort

ORDERS = (((2, 3, 4), 0), ((2, 3, 4), -1), ((), 0), ((0,), 0), ((1,), -1), ((2, 0), 0), ((3, 0), 1))


def sort_samples(make: Make) -> Iterator[Sample]:
    for shape, dim in ORDERS:
        yield (make(*shape), dim), {}
    yield (make(4, 3),), {}
    yield (make(5), 0, True), {}
    yield (make(4, 3, layout="T"),), {"dim": 1, "descending": True, "stable": True}
    yield (make(3, 4, layout="S"),), {"stable": True}
    if make.plain:
        yield (make.special(),), {}
        yield (make.special(),), {"descending": True, "stable": True}
        yield (specjit.tensor([1.0, np.nan, 1.0, np.nan, 0.0], dtype=make.dtype),), {"descending": True, "stable": True}


def sort_reference(x: np.ndarray, dim: int = -1, descending: bool = False, stable: bool = False) -> Any:
    return per_group(ranked, True)(x, dim, True, descending)


row(
    "sort",
    sort_samples,
    sort_reference,
    dtypes=ALL,
    exact=True,
    errors=[
        (lambda: specjit.sort(specjit.ones(2), 1), IndexError, "out of range"),
        (lambda: specjit.sort(specjit.ones(2), 0, True, True), TypeError, "sort"),
    ],
)
row(
    "argsort",
    sort_samples,
    lambda *args, **kwargs: sort_reference(*args, **kwargs)[1],
    dtypes=ALL,
    grad=False,
    exact=True,
    errors=[(lambda: specjit.ones(2).argsort(-2), IndexError, "out of range")],
)
row(
    "msort",
    lambda make: iter([((make(4, 3),), {}), ((make(5),), {}), ((make(0, 2),), {}), ((make(3, 4, layout="T"),), {})]),
    lambda x: sort_reference(x, 0)[0],
    dtypes=ALL,
    exact=True,
)


def topk_samples(make: Make) -> Iterator[Sample]:
    yield (distinct(make, 2, 3, 4), 2), {}
    yield (distinct(make, 2, 3, 4), 3, 1), {}
    yield (distinct(make, 2, 3, 4), 1, 0, False), {}
    yield (distinct(make, 5), 5), {"largest": False}
    yield (distinct(make, 5), 0), {}
    yield (make(), 1), {}
    yield (make(0, 3), 2, 1), {}
    yield (distinct(make, 4, 3, layout="T"), 2), {"dim": -2, "sorted": True}
    if make.plain:
        yield (specjit.tensor([1.0, np.nan, 3.0, -np.inf, np.inf], dtype=make.dtype), 3), {}
        yield (specjit.tensor([1.0, np.nan, 3.0, -np.inf, np.inf], dtype=make.dtype), 3, 0, False), {}


def topk_reference(x: np.ndarray, k: int, dim: int = -1, largest: bool = True, sorted: bool = True) -> Any:
    if not x.size:
        shape = list(x.shape)
        shape[dim] = k
        return np.zeros(shape, x.dtype), np.zeros(shape, np.int64)
    if k == 0:
        return np.take(x, [], dim), np.zeros(np.take(x, [], dim).shape, np.int64)
    return per_group(lambda v: ranked(v, largest)[:k], True)(x, dim, True)


TOO_MANY = "selected index k out of range"
row(
    "topk",
    topk_samples,
    topk_reference,
    dtypes=NUMBERS,
    exact=True,
    errors=[
        (lambda: specjit.topk(specjit.ones(2), 3), RuntimeError, TOO_MANY),
        (lambda: specjit.topk(specjit.ones(2), 1, 1), IndexError, "out of range"),
        (lambda: specjit.topk(specjit.tensor([True]), 1), RuntimeError, "bool"),
    ],
)
row(
    "topk_indices",
    topk_samples,
    lambda *args, **kwargs: topk_reference(*args, **kwargs)[1],
    dtypes=NUMBERS,
    grad=False,
    exact=True,
    errors=[(lambda: get("topk_indices").fn(specjit.ones(2), -1), RuntimeError, TOO_MANY)],
    compared=False,
)

# one of each group


def groups(*leading: Any, nan: bool = True) -> Any:
    """Samples (input, *leading, dim, keepdim)."""

    def sample(make: Make) -> Iterator[Sample]:
        for dim in (0, 1, -1):
            yield (distinct(make, 2, 3, 4), *leading, dim), {}
        yield (distinct(make, 3, 4), *leading, 1, True), {}
        yield (distinct(make, 4, 3, layout="T"), *leading), {"dim": 0, "keepdim": True}
        for shape, dim in (((), 0), ((1,), -1), ((2, 0), 0), ((7,), 0)):
            yield (distinct(make, *shape), *leading, dim), {}
        if nan and make.plain:
            yield (specjit.tensor([[1.0, np.nan, -2.0], [np.inf, 0.5, -np.inf]], dtype=make.dtype), *leading, 1), {}
            yield (specjit.tensor([[1.0, np.nan, -2.0], [np.inf, 0.5, -np.inf]], dtype=make.dtype), *leading, 0), {}

    return sample


def records(sample: Any) -> Any:
    """The samples of a function for the record behind it, which takes no keepdim, and k last."""

    def inner(make: Make) -> Iterator[Sample]:
        for (x, *rest), named in sample(make):
            ints = [r for r in rest if type(r) is int]
            dim = [named["dim"]] if "dim" in named else ints[-1:]
            yield (x, *dim, *(ints if "dim" in named else ints[:-1])), {}

    return inner


def kth_reference(x: np.ndarray, k: int, dim: int = -1, keepdim: bool = False) -> Any:
    return per_group(lambda v: ranked(v)[k - 1], False)(x, dim, keepdim)


def kth_samples(make: Make) -> Iterator[Sample]:
    yield from groups(1)(make)
    yield (distinct(make, 7), 7), {}
    yield (distinct(make, 2, 5), 3), {"dim": -1, "keepdim": True}


row(
    "kthvalue",
    kth_samples,
    kth_reference,
    dtypes=NUMBERS,
    exact=True,
    errors=[
        (lambda: specjit.kthvalue(specjit.ones(2), 3), RuntimeError, "selected number k out of range for dimension 0"),
        (lambda: specjit.kthvalue(specjit.ones(2), 0), RuntimeError, "selected number k out of range"),
        (lambda: specjit.kthvalue(specjit.ones(0), 1), IndexError, "Expected reduction dim 0 to have non-zero size"),
        (lambda: specjit.kthvalue(specjit.tensor([True]), 1), NotImplementedError, "'Bool'"),
    ],
)


def median_of(v: Any) -> int:
    nans = [i for i, a in enumerate(v) if a != a]
    return nans[0] if nans else ranked(v)[(len(v) - 1) // 2]


def nanmedian_of(v: Any) -> int:
    valid = [i for i, a in enumerate(v) if a == a]
    return valid[ranked([v[i] for i in valid])[(len(valid) - 1) // 2]] if valid else 0


def whole_too(sample: Any) -> Any:
    def inner(make: Make) -> Iterator[Sample]:
        yield from sample(make)
        for shape in ((3, 4), (), (5,)):
            yield (distinct(make, *shape),), {}
        if make.plain:
            yield (make(0),), {}
            yield (specjit.tensor([1.0, np.nan, 0.0, 5.0], dtype=make.dtype),), {}
            yield (specjit.tensor([np.nan, np.nan], dtype=make.dtype), 0), {}

    return inner


def of_all(fn: Any) -> Any:
    def reference(x: np.ndarray, dim: Any = None, keepdim: bool = False) -> Any:
        if dim is not None:
            return per_group(fn, False)(x, dim, keepdim)
        return x.reshape(-1)[fn(x.reshape(-1))] if x.size else np.array(np.nan, x.dtype)

    return reference


for _name, _fn in (("median", median_of), ("nanmedian", nanmedian_of)):
    row(
        _name,
        whole_too(groups()),
        of_all(_fn),
        dtypes=NUMBERS,
        exact=True,
        errors=[
            (lambda: specjit.median(specjit.ones(2, 0), 1), IndexError, "Expected reduction dim 1 to have non-zero"),
            (lambda: specjit.nanmedian(specjit.tensor([True]), 0), NotImplementedError, "'Bool'"),
            (lambda: specjit.median(specjit.ones(2), 1), IndexError, "out of range"),
        ],
    )


def mode_samples(make: Make) -> Iterator[Sample]:
    yield from groups(nan=False)(make)
    if not make.requires_grad:
        yield (make(3, 9), 1), {}
        yield (make(9, 3, layout="T"), 0, True), {}
        yield (make.wrap(np.array([2, 1, 1, 2, 0]).astype(make.dtype.numpy)),), {}


def mode_of(v: Any) -> int:
    items = [a.item() for a in v]
    best = min(items, key=lambda a: (-items.count(a), a))
    return max(i for i, a in enumerate(items) if a == best)


row(
    "mode",
    mode_samples,
    lambda x, dim=-1, keepdim=False: per_group(mode_of, False)(x, dim, keepdim),
    dtypes=ALL,
    exact=True,
    errors=[(lambda: specjit.mode(specjit.ones(0)), IndexError, "Expected reduction dim 0 to have non-zero size")],
)
for _name, _sample, _reference in (
    ("kthvalue_indices", groups(1), None),
    ("median_indices", groups(), median_of),
    ("nanmedian_indices", groups(), nanmedian_of),
    ("mode_indices", groups(nan=False), mode_of),
):
    row(
        _name,
        records(_sample),
        lambda x, dim, *k, fn=_reference: per_group(fn or (lambda v: ranked(v)[k[0] - 1]), False)(x, dim, True)[1],
        dtypes=NUMBERS,
        grad=False,
        exact=True,
        compared=False,
    )

# running extremes


def running_samples(make: Make) -> Iterator[Sample]:
    for shape, dim in ORDERS:
        yield (distinct(make, *shape) if make.requires_grad else make(*shape), dim), {}
    yield (distinct(make, 4, 3, layout="T"), 0), {}
    if make.plain:
        yield (make.special(), 0), {}
        yield (specjit.tensor([1.0, 1.0, np.nan, 5.0, np.nan, 2.0], dtype=make.dtype), 0), {}


def running(better: Any) -> Any:
    def positions(v: Any) -> list[int]:
        out: list[int] = []
        for i, a in enumerate(v):
            last = v[out[-1]] if out else a
            out.append(i if a != a or (last == last and better(a, last)) else out[-1])
        return out

    return lambda x, dim: per_group(positions, True)(x, dim, True)


for _name, _better in (("cummax", lambda a, b: a >= b), ("cummin", lambda a, b: a <= b)):
    _reference = running(_better)
    row(
        _name,
        running_samples,
        _reference,
        dtypes=ALL,
        exact=True,
        errors=[(lambda: specjit.cummax(specjit.ones(2), 1), IndexError, "out of range")],
    )
    row(
        f"{_name}_indices",
        running_samples,
        lambda x, dim, r=_reference: r(x, dim)[1],
        dtypes=ALL,
        grad=False,
        exact=True,
        compared=False,
    )
