"""Rows of indexing behind brackets, its gradients, and what finds positions."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

import specjit
from specjit.dtypes import float64, int64
from specjit.ops.records.registry import get
from tests.opinfo import ALL, NUMBERS, Make, Sample, row


def indices(make: Make) -> list[Any]:
    """Indices of a (3, 4, 5) tensor."""
    i2, i4 = make.ints(2, high=3), make.ints(2, 2, high=4)
    return [
        1,
        -1,
        (0, 2),
        (0, 2, 3),
        slice(1, None),
        (slice(None), slice(None, None, 2)),
        (slice(-2, None), 1, None),
        Ellipsis,
        (Ellipsis, -1),
        (None, 0),
        (),
        i2,
        (i2, slice(None), 1),
        (slice(None), i4),
        (slice(1, 3), i4, slice(None, 2)),
        (0, slice(None), make.ints(3, high=5)),
        (make.ints(2, 1, high=3), make.ints(3, high=4)),
        (make.ints(2, high=3), slice(None), make.ints(2, high=5)),
        [0, 2],
        ([0, 2], [1, 1]),
        specjit.tensor(1),
        make.mask(3),
        (slice(None), make.mask(4, 5)),
        make.mask(3, 4, 5),
        (make.mask(3), make.ints(1, high=4)),
        True,
        make.ints(0, high=1),
        slice(2, 1),
    ]


def numpy_getitem(x: np.ndarray, index: Any) -> np.ndarray:
    """PyTorch's rule, said with NumPy: ints select first, one after another, and then the rest indexes."""
    items = list(index) if isinstance(index, tuple) else [index]
    items = [np.asarray(i) if isinstance(i, list) else i for i in items]
    items = [int(i) if isinstance(i, np.ndarray) and i.ndim == 0 and i.dtype != bool else i for i in items]
    used = sum(
        i.ndim
        if isinstance(i, np.ndarray) and i.dtype == bool
        else i is not None and i is not True and i is not Ellipsis
        for i in items
    )
    if Ellipsis in [i for i in items if not isinstance(i, np.ndarray)]:
        at = next(k for k, i in enumerate(items) if i is Ellipsis)
        items[at : at + 1] = [slice(None)] * (x.ndim - used)
    out, kept, axis = x, [], 0
    for i in items:
        if isinstance(i, int) and not isinstance(i, bool):
            out = np.take(out, i, axis)
            continue
        kept.append(i)
        axis += i.ndim if isinstance(i, np.ndarray) and i.dtype == bool else 0 if i is None or i is True else 1
    return out[tuple(kept)]


def getitem_samples(make: Make) -> Iterator[Sample]:
    for index in indices(make):
        yield (make(3, 4, 5), index), {}
    yield (make(4, 3, layout="T"), (slice(None), 1)), {}
    yield (make(), Ellipsis), {}
    yield (make(), None), {}
    yield (make(0, 3), slice(None)), {}
    yield (make(), specjit.tensor(True)), {}
    yield (make(), True), {}
    yield (make(3), (make.ints(2, 1, high=3) - 3,)), {}
    yield (make(4, 3, layout="T"), (make.ints(2, high=4), None, make.ints(2, high=3))), {}


X = specjit.ones(3, 4)
row(
    "getitem",
    getitem_samples,
    numpy_getitem,
    dtypes=ALL,
    exact=True,
    errors=[
        (lambda: X[3], IndexError, "out of bounds for dimension 0 with size 3"),
        (lambda: X[0, -5], IndexError, "out of bounds for dimension 1 with size 4"),
        (lambda: X[0, 0, 0], IndexError, "too many indices"),
        (lambda: X[1.0], IndexError, "valid indices"),
        (lambda: X[specjit.ones(2)], IndexError, "must be long"),
        (lambda: X[::-1], ValueError, "greater than zero"),
        (lambda: X[specjit.tensor([5])], IndexError, "out of bounds"),
        (lambda: X[specjit.tensor([True, False])], IndexError, "mask"),
        (lambda: X[specjit.tensor([0, 1]), specjit.tensor([0, 1, 2])], IndexError, "could not be broadcast together"),
        (lambda: X[0, 0, None, 0], IndexError, "too many indices"),
    ],
)


def getitem_backward_samples(make: Make) -> Iterator[Sample]:
    for index in indices(make):
        shape = specjit.zeros(3, 4, 5)[index].shape
        yield (make(*shape), (3, 4, 5), index), {}


def scattered(g: np.ndarray, sizes: Any, index: Any) -> np.ndarray:
    """Where each element of x goes is asked of x's own positions."""
    at = numpy_getitem(np.arange(int(np.prod(sizes))).reshape(sizes), index)
    out = np.zeros(int(np.prod(sizes)), np.float64)
    for k, v in zip(np.asarray(at).reshape(-1), g.reshape(-1)):
        out[k] += v
    return out.reshape(sizes).astype(g.dtype)


row("getitem_backward", getitem_backward_samples, scattered, scale=4)


def select_backward_samples(make: Make) -> Iterator[Sample]:
    yield (make(4), (3, 4), 0, 1), {}
    yield (make(3), (3, 4), -1, -2), {}
    yield (make(), (3,), 0, 0), {}


def select_backward_reference(g: np.ndarray, sizes: Any, dim: int, index: int) -> np.ndarray:
    out = np.zeros(sizes, g.dtype)
    np.moveaxis(out, dim, 0)[index] = g
    return out


row("select_backward", select_backward_samples, select_backward_reference, exact=True)


def slice_backward_samples(make: Make) -> Iterator[Sample]:
    yield (make(2, 4), (5, 4), 0, 1, 3, 1), {}
    yield (make(5, 2), (5, 4), 1, None, None, 2), {}
    yield (make(0), (3,), 0, 2, 1, 1), {}


def slice_backward_reference(g: np.ndarray, sizes: Any, dim: int, start: Any, end: Any, step: int) -> np.ndarray:
    out = np.zeros(sizes, g.dtype)
    np.moveaxis(out, dim, 0)[start:end:step] = np.moveaxis(g, dim, 0)
    return out


row("slice_backward", slice_backward_samples, slice_backward_reference, exact=True)


def select_scatter_samples(make: Make) -> Iterator[Sample]:
    yield (make(3, 4), make(4), 0, 1), {}
    yield (make(3, 4), make(3), -1, -4), {}
    yield (make(3), make(), 0, 2), {}
    yield (make(4, 3, layout="T"), make(3), 0, 0), {}
    yield (make(2, 0), make(0), 0, 0), {}


def select_scatter_reference(x: np.ndarray, src: np.ndarray, dim: int, index: int) -> np.ndarray:
    rows = list(np.moveaxis(x, dim, 0))
    rows[index] = src
    return np.stack(rows, dim)


row(
    "select_scatter",
    select_scatter_samples,
    select_scatter_reference,
    dtypes=ALL,
    exact=True,
    errors=[
        (lambda: X.select_scatter(X[0], 0, 9), IndexError, "out of bounds"),
        (lambda: X.select_scatter(X[0, :1], 0, 0), RuntimeError, "expected src to have a size"),
    ],
)


def slice_scatter_samples(make: Make) -> Iterator[Sample]:
    yield (make(5, 4), make(2, 4), 0, 1, 3), {}
    yield (make(5, 4), make(5, 2), 1, None, None, 2), {}
    yield (make(3), make(3)), {}
    yield (make(3), make(0), 0, 2, 1), {}
    yield (make(4, 3, layout="T"), make(4, 2), 1), {"start": -2}


def slice_scatter_reference(
    x: np.ndarray, src: np.ndarray, dim: int = 0, start: Any = None, end: Any = None, step: int = 1
) -> np.ndarray:
    parts = list(np.moveaxis(x, dim, 0))
    for k, position in enumerate(range(*slice(start, end, step).indices(len(parts)))):
        parts[position] = np.moveaxis(src, dim, 0)[k]
    return np.stack(parts, dim)


row(
    "slice_scatter",
    slice_scatter_samples,
    slice_scatter_reference,
    dtypes=ALL,
    exact=True,
    errors=[(lambda: X.slice_scatter(X[:1], 0, 0, 2), RuntimeError, "expected src to have a size")],
)


def filled_samples(make: Make) -> Iterator[Sample]:
    yield (make(3, 4), 2), {}
    yield (make(3, 4, layout="T"), make()), {}
    yield (make(2, 0), 1), {}
    yield (make(), True), {}


row(
    "filled",
    filled_samples,
    lambda x, value: np.zeros(x.shape, x.dtype) + np.asarray(value, x.dtype),
    dtypes=NUMBERS,
    exact=True,
    compared=False,
    errors=[(lambda: get("filled").fn(X, X), RuntimeError, "without dimensions")],
)


def overwritten_samples(make: Make) -> Iterator[Sample]:
    yield (make(3, 4), make(3, 4)), {}
    yield (make(3, 4), make(1, 1, 4)), {}
    yield (make(4, 3, layout="T"), make()), {}
    yield (make(2, 0), make(1)), {}


row(
    "overwritten",
    overwritten_samples,
    lambda x, src: np.broadcast_to(src.reshape(src.shape[max(src.ndim - x.ndim, 0) :]), x.shape).astype(x.dtype),
    dtypes=ALL,
    exact=True,
    compared=False,
    errors=[(lambda: get("overwritten").fn(X, specjit.ones(2)), RuntimeError, "expanded size")],
)


def index_samples(make: Make) -> Iterator[Sample]:
    yield (make(3, 4), (make.ints(5, high=3),)), {}
    yield (make(3, 4), (None, make.ints(2, 2, high=4))), {}
    yield (make(3, 4), (make.ints(3, high=3), make.ints(3, high=4))), {}
    yield (make(3), (make.ints(0, high=1),)), {}


def numpy_index(items: Any) -> Any:
    return tuple(slice(None) if i is None else i for i in items)


row("index", index_samples, lambda x, at: x[numpy_index(at)], dtypes=ALL, exact=True)


def index_put_samples(make: Make) -> Iterator[Sample]:
    for accumulate in (False, True):
        yield (make(5, 4), (specjit.tensor([0, 3]),), make(2, 4), accumulate), {}
        yield (make(3, 4), (None, specjit.tensor([1, 3])), make(3, 2), accumulate), {}
        yield (make(3, 4), (specjit.tensor([0, 2]), specjit.tensor([1, 3])), make(), accumulate), {}
    yield (make(3, 4), (specjit.tensor([1, 1]),), make(2, 4), True), {}
    yield (make(3, 4), (specjit.tensor([-1, 2, -1]),), make(4), True), {}
    yield (make(3, 4), (specjit.tensor([[0], [2]]), specjit.tensor([1, 3])), make(2, 2), True), {}
    yield (make(3, 4), (make.mask(3),), make(4)), {}
    yield (make(3, 4), (make.mask(3, 4),), make(), True), {}
    yield (make(3, 4), (make.ints(0, high=1),), make(0, 4)), {}


def index_put_reference(x: np.ndarray, at: Any, values: np.ndarray, accumulate: bool = False) -> np.ndarray:
    out = x.copy()
    if accumulate:
        np.add.at(out, numpy_index(at), values)
    else:
        out[numpy_index(at)] = values
    return out


row(
    "index_put",
    index_put_samples,
    index_put_reference,
    dtypes=NUMBERS,
    scale=4,
    errors=[
        (lambda: X.index_put((specjit.tensor([0]),), specjit.ones(4, dtype=float64)), RuntimeError, "dtypes match"),
        (lambda: X.index_put((specjit.tensor([3]),), specjit.ones(4)), IndexError, "out of bounds"),
        (lambda: X.index_put((specjit.tensor([0]),), specjit.ones(3)), RuntimeError, "shape|broadcast"),
        (lambda: X.index_put((specjit.tensor([0.0]),), specjit.ones(4)), IndexError, "must be|integer"),
        (lambda: X.index_put(specjit.tensor([0]), specjit.ones(4)), TypeError, "indices"),
    ],
)


def fresh(sample: Any) -> Any:
    def inner(make: Make) -> Iterator[Sample]:
        for args, kwargs in sample(make):
            yield (args[0].clone(), *args[1:]), kwargs

    return inner


row("index_put_", fresh(index_put_samples), index_put_reference, dtypes=NUMBERS, scale=4)


def setitem_samples(make: Make) -> Iterator[Sample]:
    for index in indices(make):
        # Where an index repeats, which value stays is not said, so those are left out.
        where = numpy_getitem(np.arange(60).reshape(3, 4, 5), _raw(index))
        if np.unique(where).size == np.asarray(where).size:
            yield (make(3, 4, 5), index, make(*np.asarray(where).shape)), {}
    yield (make(3, 4), 1, 2), {}
    yield (make(3, 4), (slice(None), 1), make()), {}
    yield (make(3, 4), slice(0, 2), make(4)), {}
    yield (make(3, 4), 0, make(1, 4)), {}
    yield (make(3, 4), specjit.tensor([[True, False, True, False]] * 3), 2), {}


def _raw(index: Any) -> Any:
    from tests.opinfo import raw

    return raw(index)


def setitem_reference(x: np.ndarray, index: Any, value: Any) -> np.ndarray:
    at = np.asarray(numpy_getitem(np.arange(x.size).reshape(x.shape), index))
    out = x.copy().reshape(-1)
    value = np.asarray(value, x.dtype)
    while value.ndim > at.ndim:
        value = value[0]
    out[at] = np.broadcast_to(value, at.shape)
    return out.reshape(x.shape)


row(
    "index_write",
    setitem_samples,
    setitem_reference,
    dtypes=ALL,
    exact=True,
)
row(
    "setitem",
    fresh(setitem_samples),
    setitem_reference,
    dtypes=ALL,
    exact=True,
    errors=[
        (lambda: X.clone().__setitem__(0, specjit.ones(3)), RuntimeError, "must match"),
        (lambda: X.clone().__setitem__(5, 0.0), IndexError, "out of bounds"),
    ],
)


def nonzero_samples(make: Make) -> Iterator[Sample]:
    for shape in ((), (0,), (5,), (3, 4), (2, 0)):
        yield (make(*shape, low=-1, high=1),), {}
    yield (make(4, 3, low=-1, high=1, layout="T"),), {}
    if make.plain:
        yield (make.special(),), {}


def nonzero_reference(x: np.ndarray) -> np.ndarray:
    found = [p for p in np.ndindex(*x.shape) if x[p] != 0]
    return np.array(found, np.int64).reshape(len(found), x.ndim)


row(
    "nonzero",
    nonzero_samples,
    nonzero_reference,
    dtypes=ALL,
    grad=False,
    exact=True,
)


def one_hot_samples(make: Make) -> Iterator[Sample]:
    yield (make.ints(2, 3, high=4).to(make.dtype), 5), {}
    yield (make.ints(4, high=4).to(make.dtype),), {}
    yield (specjit.tensor(2, dtype=make.dtype), 3), {}


row(
    "one_hot",
    one_hot_samples,
    lambda x, n=-1: np.eye(n if n > 0 else int(x.max()) + 1, dtype=np.int64)[x],
    dtypes=(int64,),
    grad=False,
    exact=True,
    errors=[
        (lambda: get("one_hot").fn(specjit.ones(2), 3), RuntimeError, "index tensor"),
        (lambda: get("one_hot").fn(specjit.tensor([3]), 3), RuntimeError, "smaller than num_classes"),
    ],
)


row(
    "store_",
    fresh(lambda make: iter([((make(3, 4), make(3, 4)), {}), ((make(), make()), {}), ((make(0), make(0)), {})])),
    lambda x, src: src,
    exact=True,
    dtypes=NUMBERS,
    errors=[
        (lambda: get("store_").fn(specjit.ones(2), specjit.ones(1)), RuntimeError, "doesn't match the broadcast"),
        (lambda: get("store_").fn(specjit.ones(1, dtype=int64), specjit.ones(1)), RuntimeError, "can't be cast"),
    ],
)
