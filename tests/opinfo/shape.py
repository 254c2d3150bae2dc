"""Rows of views, joins and splits."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

import specjit
from specjit.dtypes import float64
from specjit.ops.records.registry import get
from tests.opinfo import ALL, NUMBERS, Make, Sample, row


def shaped(*calls: Any) -> Any:
    """(shape, arguments) pairs; "T" in front of a shape asks for transposed memory."""

    def sample(make: Make) -> Iterator[Sample]:
        for shape, *args in calls:
            if shape and shape[0] == "T":
                yield (make(*shape[1:], layout="T"), *args), {}
            else:
                yield (make(*shape), *args), {}

    return sample


def size_samples(make: Make) -> Iterator[Sample]:
    yield (make(2, 3), 0), {}
    yield (make(2, 3), -1), {}


row(
    "size",
    size_samples,
    lambda x, dim: x.shape[dim],
    dtypes=ALL,
    grad=False,
    exact=True,
    errors=[(lambda: get("size").fn(specjit.ones(2), 1), IndexError, "out of range")],
)
row(
    "transpose",
    shaped(((2, 3), 0, 1), ((2, 3, 4), -1, 0), ((2,), 0, 0), ((), 0, -1), (("T", 3, 4), 0, 1), ((0, 2), 0, 1)),
    lambda x, a, b: np.swapaxes(x, a, b) if x.ndim else x,
    dtypes=ALL,
    exact=True,
    errors=[(lambda: specjit.ones(2).transpose(0, 1), IndexError, "out of range")],
)
row(
    "t",
    shaped(((2, 3),), ((3,),), ((),)),
    np.transpose,
    dtypes=ALL,
    exact=True,
    errors=[(lambda: specjit.ones(1, 1, 1).t(), RuntimeError, "<= 2 dim")],
)
row(
    "permute",
    shaped(((2, 3, 4), (2, 0, 1)), ((2, 3), (-1, 0)), ((), ()), (("T", 3, 4), (1, 0))),
    lambda x, dims: np.transpose(x, dims),
    dtypes=ALL,
    exact=True,
    errors=[
        (lambda: specjit.ones(2, 3).permute(0), RuntimeError, "number of dimensions"),
        (lambda: specjit.ones(2, 3).permute(0, 0), RuntimeError, "duplicate"),
        (lambda: specjit.ones(2, 3).permute(0, 2), IndexError, "out of range"),
    ],
)
RESHAPES = (
    ((2, 6), (3, 4)),
    ((2, 6), (-1,)),
    ((2, 6), (2, -1, 3)),
    ((), (1, 1)),
    ((1,), ()),
    ((0, 3), (3, 0)),
    ((0, 3), (0, -1)),
)


def reshape_reference(x: np.ndarray, sizes: Any) -> np.ndarray:
    flat = np.ascontiguousarray(x).reshape(-1)
    known = [s for s in sizes if s != -1]
    sizes = [s if s != -1 else flat.size // int(np.prod(known)) if np.prod(known) else 3 for s in sizes]
    return flat.reshape(sizes)


row(
    "reshape",
    shaped(*RESHAPES[:6], (("T", 3, 4), (12,)), (("T", 3, 4), (3, 2, 2))),
    reshape_reference,
    dtypes=ALL,
    exact=True,
    errors=[
        (lambda: specjit.ones(4).reshape(3), RuntimeError, "is invalid for input of size 4"),
        (lambda: specjit.ones(4).reshape(-1, -1), RuntimeError, "only one dimension can be inferred"),
        (lambda: specjit.ones(4).reshape(-1, 3), RuntimeError, "is invalid for input of size 4"),
    ],
)
row(
    "view",
    shaped(*RESHAPES[:6], (("T", 3, 4), (3, 2, 2))[:0] or ((12,), (3, 4))),
    reshape_reference,
    dtypes=ALL,
    exact=True,
    errors=[
        (lambda: specjit.ones(2, 3).t().view(6), RuntimeError, "not compatible with input tensor's size and stride")
    ],
)
row(
    "flatten",
    shaped(((2, 3, 4),), ((2, 3, 4), 1), ((2, 3, 4), 0, 1), ((),), (("T", 3, 4),), ((3,),)),
    lambda x, start=0, end=-1: (
        x.reshape(*x.shape[:start], -1, *(x.shape[end + 1 :] if end != -1 else ())) if x.ndim else x.reshape(1)
    ),
    dtypes=ALL,
    exact=True,
    errors=[(lambda: specjit.ones(2, 2).flatten(1, 0), RuntimeError, "start_dim cannot come after end_dim")],
)
row(
    "squeeze",
    shaped(((1, 3, 1),), ((1, 3, 1), 0), ((1, 3, 1), 1), ((1, 3, 1), [0, -1]), ((1, 3, 1), []), ((),), (("T", 1, 4),)),
    lambda x, dim=None: (
        np.squeeze(x)
        if dim is None
        else np.squeeze(x, tuple(d for d in ([dim] if isinstance(dim, int) else dim) if x.shape[d] == 1))
    ),
    dtypes=ALL,
    exact=True,
)
row(
    "unsqueeze",
    shaped(((2, 3), 0), ((2, 3), -1), ((2, 3), 1), ((), 0), (("T", 3, 4), 1)),
    lambda x, dim: np.expand_dims(x, dim),
    dtypes=ALL,
    exact=True,
    errors=[(lambda: specjit.ones(2).unsqueeze(2), IndexError, "out of range")],
)


def expand_reference(x: np.ndarray, sizes: Any) -> np.ndarray:
    lead = len(sizes) - x.ndim
    return np.broadcast_to(x, [x.shape[i - lead] if s == -1 else s for i, s in enumerate(sizes)])


row(
    "expand",
    shaped(((1, 3), (2, 3)), ((3,), (2, -1)), ((), (2, 2)), ((1,), (0,)), ((2, 3), (2, 3))),
    expand_reference,
    dtypes=ALL,
    exact=True,
    errors=[
        (lambda: specjit.ones(2).expand(3), RuntimeError, "must match the existing size"),
        (lambda: specjit.ones(2, 2).expand(2), RuntimeError, "number of sizes provided"),
    ],
)
row(
    "select",
    shaped(((2, 3), 0, 1), ((2, 3), -1, -3), ((3,), 0, 2), (("T", 3, 4), 1, 0)),
    lambda x, dim, index: np.take(x, index, dim),
    dtypes=ALL,
    exact=True,
    errors=[
        (lambda: specjit.ones(2).select(0, 2), IndexError, "out of bounds"),
        (lambda: specjit.tensor(1.0).select(0, 0), IndexError, "0-dim"),
    ],
)


def slice_reference(x: np.ndarray, dim: int = 0, start: Any = None, end: Any = None, step: int = 1) -> np.ndarray:
    return np.take(x, range(*slice(start, end, step).indices(x.shape[dim])), dim)


row(
    "slice",
    shaped(
        ((5, 3), 0, 1, 4, 2),
        ((5, 3), 1, None, -1),
        ((5,), 0, 3, 1),
        ((5,), 0, -100, 100),
        ((5,),),
        (("T", 3, 4), 1, 1),
        ((0,), 0, 1),
    ),
    slice_reference,
    dtypes=ALL,
    exact=True,
    errors=[(lambda: get("slice").fn(specjit.ones(2), 0, 0, 1, -1), ValueError, "greater than zero")],
)
row(
    "narrow",
    shaped(((5, 3), 0, 1, 3), ((5, 3), -1, 0, 3), ((5,), 0, -2, 2), ((5,), 0, 5, 0)),
    lambda x, dim, start, length: np.take(
        x,
        range(start % x.shape[dim] if start < 0 else start, (start % x.shape[dim] if start < 0 else start) + length),
        dim,
    ),
    dtypes=ALL,
    exact=True,
    errors=[
        (lambda: specjit.ones(3).narrow(0, 1, 3), RuntimeError, "exceeds dimension size"),
        (lambda: specjit.tensor(1.0).narrow(0, 0, 0), RuntimeError, "0-dim tensor"),
    ],
)
row("contiguous", shaped(((2, 3),), (("T", 3, 4),), ((),), ((0,),)), lambda x: x, dtypes=ALL, exact=True)
row(
    "flip",
    shaped(((2, 3), (0,)), ((2, 3), (0, -1)), ((3,), (0,)), (("T", 3, 4), (1,)), ((0, 2), (0,))),
    lambda x, dims: np.flip(x, dims),
    dtypes=ALL,
    exact=True,
)


def lists(*calls: Any) -> Any:
    def sample(make: Make) -> Iterator[Sample]:
        for shapes, *args in calls:
            yield ([make(*s) for s in shapes], *args), {}

    return sample


def cat_samples(make: Make) -> Iterator[Sample]:
    yield from lists(
        (((2, 3), (1, 3)), 0), (((2, 3), (2, 1)), -1), (((2,),),), (((0,), (2, 3)), 0), (((0, 3), (2, 3)), 0)
    )(make)
    yield ([make(3, 4, layout="T"), make(2, 4)],), {}
    if make.dtype is not float64:
        yield ([make(2), make(3, dtype=float64)],), {}


row(
    "cat",
    cat_samples,
    lambda xs, dim=0: np.concatenate([x for x in xs if x.shape != (0,)], dim),
    dtypes=NUMBERS,
    exact=True,
    errors=[
        (lambda: specjit.cat([]), ValueError, "non-empty list"),
        (lambda: specjit.cat([specjit.ones(2, 2), specjit.ones(3, 3)]), RuntimeError, "must match except in dimension"),
        (lambda: specjit.cat([specjit.tensor(1.0)]), RuntimeError, "zero-dimensional"),
        (lambda: specjit.cat(specjit.ones(2)), TypeError, "tuple of Tensors"),
    ],
)
row(
    "stack",
    lists((((2, 3), (2, 3)), 0), (((2, 3), (2, 3), (2, 3)), -1), (((), ()),), (((0,),), 1)),
    lambda xs, dim=0: np.stack(xs, dim),
    dtypes=ALL,
    exact=True,
    errors=[(lambda: specjit.stack([specjit.ones(2), specjit.ones(3)]), RuntimeError, "equal size")],
)


def split_reference(x: np.ndarray, given: Any, dim: int = 0) -> list[np.ndarray]:
    n = x.shape[dim]
    cuts = list(range(given, n, given)) if isinstance(given, int) else list(np.cumsum(given)[:-1])
    return np.split(x, cuts, dim)


row(
    "split",
    shaped(((5, 3), 2), ((5, 3), [1, 4], 0), ((2, 6), 3, -1), ((2, 6), [0, 6], 1), (("T", 3, 4), 2, 1)),
    split_reference,
    dtypes=ALL,
    exact=True,
    errors=[
        (lambda: specjit.ones(3).split([1, 1]), RuntimeError, "sum exactly to 3"),
        (lambda: specjit.tensor(1.0).split(1), RuntimeError, "1-dimensional"),
    ],
)


def chunk_reference(x: np.ndarray, chunks: int, dim: int = 0) -> list[np.ndarray]:
    n = x.shape[dim]
    each = -(-n // chunks)
    return np.split(x, range(each, n, each), dim)


row(
    "chunk",
    shaped(((5, 3), 2), ((2, 8), 4, -1), ((5,), 4), (("T", 3, 4), 2, 1)),
    chunk_reference,
    dtypes=ALL,
    exact=True,
    errors=[(lambda: specjit.ones(3).chunk(0), RuntimeError, "greater than 0")],
)
row(
    "unbind",
    shaped(((3, 2),), ((3, 2), 1), ((3,),), (("T", 3, 4), -1)),
    lambda x, dim=0: [np.take(x, i, dim) for i in range(x.shape[dim])],
    dtypes=ALL,
    exact=True,
    errors=[(lambda: specjit.tensor(1.0).unbind(), IndexError, "no dimensions")],
)
