"""Rows of writes at run-time positions, and of elements picked by masks and positions."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

import specjit
from specjit.dtypes import float64, int32, int64
from specjit.ops.records.registry import get
from tests.opinfo import ALL, NUMBERS, Make, Sample, row, silent

X = specjit.ones(3, 4)
AT = specjit.tensor([[0, 1, 2, 0]])
SRC = specjit.ones(1, 4)


def unique_along(make: Make, shape: tuple[int, ...], dim: int, n: int) -> Any:
    """An index tensor that names no position twice."""
    lead = [m for d, m in enumerate(shape) if d != dim % len(shape)]
    rows = [make.rng.permutation(n)[: shape[dim]] for _ in range(int(np.prod(lead)))]
    at = np.array(rows, np.int64).reshape(*lead, shape[dim])
    return specjit.from_numpy(np.ascontiguousarray(np.moveaxis(at, -1, dim)))


def scatter_samples(make: Make) -> Iterator[Sample]:
    yield (make(3, 4), 0, unique_along(make, (2, 4), 0, 3), make(2, 4)), {}
    yield (make(3, 4), -1, unique_along(make, (2, 3), 1, 4), make(2, 3)), {}
    yield (make(5), 0, specjit.tensor([4, 1, 0]), make(3)), {}
    yield (make(), 0, specjit.tensor(0), make()), {}
    yield (make(3, 4, layout="S"), 1, unique_along(make, (3, 2), 1, 4), make(3, 2)), {}
    yield (make(4, 3, layout="T"), 1, specjit.tensor([[2], [0]]), make(2, 1)), {}
    yield (make(3, 4), 0, make.ints(0, 4, high=1), make(0, 4)), {}
    if not make.requires_grad:  # a gradient is promised only for src of the shape of index
        yield (make(3, 4), 0, make.ints(0, 4, high=1), make(1, 4)), {}
        yield (make(3, 4), 0, specjit.tensor([[0, 2]]), make(3, 5)), {}


def scattered(fn: Any) -> Any:
    """One position after another: `fn(out, target, value)` writes."""

    def reference(x: np.ndarray, dim: int, at: np.ndarray, src: Any, *rest: Any, **named: Any) -> np.ndarray:
        out = (x.astype(np.float64) if x.dtype.kind == "f" else x).copy().reshape(x.shape or (1,))
        at = at.reshape(at.shape or (1,))
        fill = np.broadcast_to(src, at.shape) if np.ndim(src) == 0 else src
        for p in np.ndindex(*at.shape):
            target = list(p)
            target[dim] = at[p]
            fn(out, tuple(target), fill[p])
        return out.reshape(x.shape)

    return silent(reference)


def put(out: np.ndarray, target: Any, value: Any) -> None:
    out[target] = value


row(
    "scatter_op",
    scatter_samples,
    scattered(put),
    dtypes=ALL,
    exact=True,
    compared=False,
    errors=[(lambda: get("scatter_op").fn(X, 0, AT.to(float64), SRC), RuntimeError, "int32/int64")],
)


def scatter_forms(make: Make) -> Iterator[Sample]:
    yield from scatter_samples(make)
    yield (make(3, 4), 1, specjit.tensor([[1, 3]]), 2), {}
    yield (make(3, 4), 1, specjit.tensor([[1, 3]])), {"value": 1}
    if not make.requires_grad:  # PyTorch gives these no gradient
        yield (make(3, 4), 0, make.ints(2, 4, high=3), make(2, 4)), {"reduce": "add"}
        yield (make(3, 4), 0, make.ints(2, 4, high=3), make(2, 4)), {"reduce": "multiply"}
        yield (make(3, 4), 0, make.ints(2, 4, high=3), 2), {"reduce": "multiply"}
        yield (make(3, 4), 0, make.ints(2, 4, high=3)), {"value": 1, "reduce": "add"}


def add(out: np.ndarray, target: Any, value: Any) -> None:
    out[target] = (out[target] | value) if out.dtype == bool else out[target] + value


def multiply(out: np.ndarray, target: Any, value: Any) -> None:
    out[target] = (out[target] & value) if out.dtype == bool else out[target] * value


def scatter_reference(x: Any, dim: int, at: Any, src: Any = None, value: Any = None, reduce: Any = None) -> Any:
    fn = {None: put, "add": add, "multiply": multiply}[reduce]
    src = np.asarray(src if value is None else value)
    return scattered(fn)(x, dim, at, src.astype(x.dtype))


row(
    "scatter",
    scatter_forms,
    scatter_reference,
    dtypes=ALL,
    scale=4,
    errors=[
        (lambda: specjit.scatter(X, 0, AT.to(float64), SRC), RuntimeError, "int32/int64"),
        (lambda: specjit.scatter(X, 0, specjit.tensor([0]), SRC), RuntimeError, "number of dimensions as self"),
        (lambda: specjit.scatter(X, 0, specjit.tensor([[0, 0], [0, 0]]), SRC), RuntimeError, "to be no larger than"),
        (lambda: specjit.scatter(X, 0, AT, SRC.to(float64)), RuntimeError, "self.dtype to be equal"),
        (lambda: specjit.scatter(X, 0, specjit.tensor([[3]]), SRC), RuntimeError, "index 3 is out of bounds"),
        (lambda: specjit.scatter(X, 0, specjit.tensor([[-1]]), SRC), RuntimeError, "index -1 is out of bounds"),
        (lambda: specjit.scatter(X, 0, AT, SRC, reduce="x"), RuntimeError, "add or multiply"),
        (lambda: specjit.scatter(X, 0, AT), TypeError, "scatter"),
        (lambda: specjit.scatter(X, 2, AT, SRC), IndexError, "out of range"),
    ],
)

MODES = ("sum", "prod", "mean", "amax", "amin")


def scatter_reduce_samples(make: Make) -> Iterator[Sample]:
    for mode in MODES:
        for named in ({}, {"include_self": False}):
            yield (make(3, 4), 0, make.ints(2, 4, high=3), make(2, 4), mode), named
            yield (make(5), 0, specjit.tensor([1, 1, 4, 1]), make(4), mode), named
        yield (make(), 0, specjit.tensor(0), make(), mode), {}
        yield (make(2, 3), -1, make.ints(2, 5, high=3), make(2, 5), mode), {}
        yield (make(2, 3), 1, make.ints(0, 3, high=1), make(0, 3), mode), {}
        if make.plain and mode in ("amax", "amin", "sum"):
            src = specjit.tensor([1.0, np.nan, -np.inf, np.inf], dtype=make.dtype)
            yield (make(4), 0, specjit.tensor([0, 0, 1, 2]), src, mode), {}
    # Products with no, one and two zeros; a group of equal extremes.
    if make.dtype is not specjit.bool:
        zeros = make.wrap(np.array([0, 2, 0, 3, 1]).astype(make.dtype.numpy))
        src = make.wrap(np.array([2, 0, 0, 0, 3]).astype(make.dtype.numpy))
        yield (zeros, 0, specjit.tensor([0, 1, 2, 2, 3]), src, "prod"), {}
        yield (zeros, 0, specjit.tensor([0, 1, 2, 2, 3]), src, "prod"), {"include_self": False}


def scatter_reduce_reference(
    x: np.ndarray, dim: int, at: np.ndarray, src: np.ndarray, reduce: str, include_self: bool = True
) -> np.ndarray:
    groups: dict[tuple[int, ...], list[Any]] = {}
    whole, at, src = (a.reshape(a.shape or (1,)) for a in (x, at, src))
    for p in np.ndindex(*at.shape):
        target = list(p)
        target[dim] = at[p]
        groups.setdefault(tuple(target), []).append(src[p])
    out = (whole.astype(np.float64) if x.dtype.kind == "f" else whole).copy()
    for target, values in groups.items():
        if include_self:
            values = [whole[target], *values]
        wide = np.array(values, np.float64 if x.dtype.kind == "f" else x.dtype)
        if reduce == "mean":
            total = wide.sum(dtype=wide.dtype)
            out[target] = total / len(wide) if x.dtype.kind == "f" else total // len(wide)
        elif x.dtype == bool and reduce in ("sum", "prod"):
            out[target] = wide.any() if reduce == "sum" else wide.all()
        else:
            fn = {"sum": np.sum, "prod": np.prod, "amax": np.max, "amin": np.min}[reduce]
            out[target] = fn(wide) if reduce in ("amax", "amin") else fn(wide, dtype=wide.dtype)
    return out.reshape(x.shape)


row(
    "scatter_reduce",
    scatter_reduce_samples,
    silent(scatter_reduce_reference),
    dtypes=NUMBERS,
    scale=8,
    errors=[
        (lambda: specjit.scatter_reduce(X, 0, AT, SRC, "x"), RuntimeError, "sum, prod, mean, amax or amin, got x"),
        (lambda: specjit.scatter_reduce(X, 0, AT, SRC.to(float64), "sum"), RuntimeError, "self.dtype to be equal"),
        (lambda: specjit.scatter_reduce(X, 0, AT + 5, SRC, "sum"), RuntimeError, "index 5 is out of bounds"),
        (lambda: specjit.scatter_reduce(X, 0, AT, SRC), TypeError, "reduce"),
    ],
)

# along one dim


def index_copy_samples(make: Make) -> Iterator[Sample]:
    yield (make(3, 4), 0, specjit.tensor([2, 0]), make(2, 4)), {}
    yield (make(3, 4), -1, specjit.tensor([3, 1]), make(3, 2)), {}
    yield (make(3), 0, specjit.tensor([1]), make(1)), {}
    yield (make(3), 0, make.ints(0, high=1), make(0)), {}
    yield (make(3), 0, specjit.tensor([1]), make()), {}
    yield (make(3, 2), 0, specjit.tensor(1), make(1, 2)), {}
    yield (make(4, 3, layout="T"), 1, specjit.tensor([2, 0]), make(4, 2)), {}


def index_copy_reference(x: np.ndarray, dim: int, at: np.ndarray, source: np.ndarray) -> np.ndarray:
    out = x.copy()
    for k, i in enumerate(at.reshape(-1)):
        np.moveaxis(out, dim, 0)[i, ...] = source if not source.ndim else np.moveaxis(source, dim, 0)[k]
    return out


ROW = specjit.tensor([0])
row(
    "index_copy",
    index_copy_samples,
    index_copy_reference,
    dtypes=ALL,
    exact=True,
    errors=[
        (lambda: X.index_copy(0, specjit.tensor([-1]), SRC), IndexError, "index -1 is out of bounds"),
        (lambda: X.index_copy(0, specjit.tensor([3]), SRC), IndexError, "index 3 is out of bounds"),
        (lambda: X.index_copy(0, ROW, SRC.to(float64)), RuntimeError, "expected to have the same dtype"),
        (lambda: X.index_copy(0, ROW, specjit.ones(2, 4)), IndexError, "Number of indices"),
        (lambda: X.index_copy(0, ROW, specjit.ones(1, 3)), RuntimeError, "same slice shapes"),
        (lambda: X.index_copy(0, ROW, specjit.ones(4)), IndexError, "dimensionality must match"),
        (lambda: X.index_copy(0, AT, SRC), IndexError, "dimension 1 or 0"),
        (lambda: X.index_copy(0, ROW.to(int32), SRC), RuntimeError, "long tensor for index"),
    ],
)


def index_fill_samples(make: Make) -> Iterator[Sample]:
    yield (make(3, 4), 0, specjit.tensor([2, 0]), 1), {}
    yield (make(3, 4), -1, specjit.tensor([1, 3, 1] if make.requires_grad else [1, -1, 1]), make()), {}
    yield (make(3), 0, specjit.tensor(1), 2), {}
    yield (make(), 0, specjit.tensor([0]), 1), {}
    yield (make(3), 0, make.ints(0, high=1), 2), {}
    yield (make(4, 3, layout="T"), 1, specjit.tensor([2]), True), {}


def index_fill_reference(x: np.ndarray, dim: int, at: np.ndarray, value: Any) -> np.ndarray:
    out = x.copy().reshape(x.shape or (1,))
    for i in at.reshape(-1):
        np.moveaxis(out, dim, 0)[i, ...] = value
    return out.reshape(x.shape)


row(
    "index_fill",
    index_fill_samples,
    index_fill_reference,
    dtypes=ALL,
    exact=True,
    errors=[
        (lambda: X.index_fill(0, specjit.tensor([3]), 1), IndexError, "index 3 is out of bounds"),
        (lambda: X.index_fill(0, ROW, specjit.ones(1)), RuntimeError, "0-dimensional value tensor"),
        (lambda: X.index_fill(0, AT, 1), RuntimeError, "vector/scalar"),
        (lambda: X.index_fill(0, ROW.to(int32), 1), IndexError, "int64"),
    ],
)

# masks and picks


def masked_scatter_samples(make: Make) -> Iterator[Sample]:
    yield (make(3, 4), make.mask(3, 4), make(12)), {}
    yield (make(3, 4), make.mask(4), make(4, 4)), {}
    yield (make(2), make.mask(3, 1), make(2, 3)), {}
    yield (make(), specjit.tensor(True), make(1)), {}
    yield (make(3), specjit.zeros(3, dtype=specjit.bool), make(0)), {}
    yield (make(0), make.mask(0), make(2)), {}
    yield (make(4, 3, layout="T"), make.mask(4, 3), make(20)), {}


def masked_scatter_reference(x: np.ndarray, mask: np.ndarray, source: np.ndarray) -> np.ndarray:
    shape = np.broadcast_shapes(x.shape, mask.shape)
    out, chosen = np.broadcast_to(x, shape).copy(), np.broadcast_to(mask, shape)
    values = iter(source.reshape(-1))
    for p in np.ndindex(*shape):
        if chosen[p]:
            out[p] = next(values)
    return out


MASK = specjit.tensor([True, False, True, False])
row(
    "masked_scatter",
    masked_scatter_samples,
    masked_scatter_reference,
    dtypes=ALL,
    exact=True,
    errors=[
        (lambda: X.masked_scatter(MASK, specjit.ones(2)), RuntimeError, "Number of elements of source"),
        (lambda: X.masked_scatter(MASK, X.to(float64)), RuntimeError, "same dtypes"),
        (lambda: X.masked_scatter(MASK.to(int64), SRC), RuntimeError, "boolean masks"),
    ],
)


def masked_select_samples(make: Make) -> Iterator[Sample]:
    yield (make(3, 4), make.mask(3, 4)), {}
    yield (make(3, 4), make.mask(4)), {}
    yield (make(2), make.mask(3, 1)), {}
    yield (make(), specjit.tensor(True)), {}
    yield (make(0), make.mask(0)), {}
    yield (make(4, 3, layout="T"), make.mask(4, 3)), {}


def masked_select_reference(x: np.ndarray, mask: np.ndarray) -> np.ndarray:
    shape = np.broadcast_shapes(x.shape, mask.shape)
    wide, chosen = np.broadcast_to(x, shape), np.broadcast_to(mask, shape)
    return np.array([wide[p] for p in np.ndindex(*shape) if chosen[p]], x.dtype)


row(
    "masked_select",
    masked_select_samples,
    masked_select_reference,
    dtypes=ALL,
    exact=True,
    errors=[
        (lambda: X.masked_select(X), RuntimeError, "expected BoolTensor"),
        (lambda: X.masked_select(specjit.tensor([True, False])), RuntimeError, "must match"),
    ],
)


def take_samples(make: Make) -> Iterator[Sample]:
    yield (make(3, 4), specjit.tensor([0, 5, -1, 5])), {}
    yield (make(3, 4), specjit.tensor([[1, 2], [3, 4]])), {}
    yield (make(5), specjit.tensor(2)), {}
    yield (make(), specjit.tensor([0, 0])), {}
    yield (make(0), make.ints(0, high=1)), {}
    yield (make(4, 3, layout="T"), specjit.tensor([1, 7])), {}


row(
    "take",
    take_samples,
    lambda x, at: np.array([x.reshape(-1)[i] for i in at.reshape(-1)], x.dtype).reshape(at.shape),
    dtypes=ALL,
    exact=True,
    errors=[
        (lambda: X.take(specjit.tensor([12])), IndexError, "out of"),
        (lambda: X.take(ROW.to(int32)), RuntimeError, "long tensor"),
        (lambda: specjit.ones(0).take(ROW), IndexError, "out of"),
    ],
)


def take_along_samples(make: Make) -> Iterator[Sample]:
    yield (make(3, 4), make.ints(3, 4, high=4), 1), {}
    yield (make(3, 4), make.ints(1, 2, high=4), -1), {}
    yield (make(1, 4), make.ints(3, 2, high=4)), {"dim": 1}
    yield (make(3, 4), specjit.tensor([[-1], [0], [2]]), 1), {}
    yield (make(3, 4), make.ints(2, 2, high=12)), {}
    yield (make(4, 3, layout="T"), make.ints(2, 3, high=4), 0), {}
    yield (make(3, 4), make.ints(3, 0, high=1), 1), {}


def take_along_reference(x: np.ndarray, at: np.ndarray, dim: Any = None) -> np.ndarray:
    return np.take_along_axis(x.reshape(-1), at.reshape(-1), 0) if dim is None else np.take_along_axis(x, at, dim)


row(
    "take_along_dim",
    take_along_samples,
    take_along_reference,
    dtypes=ALL,
    exact=True,
    errors=[
        (lambda: specjit.take_along_dim(X, ROW, 1), RuntimeError, "same number of dimensions"),
        (lambda: specjit.take_along_dim(X, AT.to(int32), 1), RuntimeError, "should be Long"),
        (lambda: specjit.take_along_dim(X, AT, 2), IndexError, "out of range"),
        (lambda: specjit.take_along_dim(X, specjit.tensor([[0], [0]]), 1), RuntimeError, "must match"),
    ],
)
row(
    "argwhere",
    lambda make: iter([((make(*s, low=-1, high=1),), {}) for s in ((), (0,), (5,), (3, 4), (2, 0))]),
    lambda x: (
        np.array([p for p in np.ndindex(*x.shape) if x[p] != 0], np.int64).reshape(-1, x.ndim)
        if x.ndim
        else np.zeros((int(x != 0), 0), np.int64)
    ),
    dtypes=ALL,
    grad=False,
    exact=True,
)
