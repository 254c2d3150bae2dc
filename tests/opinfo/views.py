"""Rows of views under other names, diagonals and windows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

import specjit
from specjit.dtypes import float32
from tests.opinfo import ALL, FLOATS, Make, Sample, row
from tests.opinfo.shape import expand_reference, shaped

row(
    "unflatten",
    shaped(
        ((6, 3), 0, (2, 3)), ((2, 6), -1, (-1, 2)), ((4,), 0, (2, 2, 1)), (("T", 4, 3), 1, (3, 1)), ((0, 2), 1, (2, 1))
    ),
    lambda x, dim, sizes: x.reshape(
        *x.shape[: dim % x.ndim], *(s if s != -1 else 3 for s in sizes), *x.shape[dim % x.ndim + 1 :]
    ),
    dtypes=ALL,
    exact=True,
    view=True,
    errors=[
        (lambda: specjit.unflatten(specjit.ones(4), 0, ()), RuntimeError, "non-empty"),
        (lambda: specjit.unflatten(specjit.ones(4), 0, (3, -1)), RuntimeError, "don't multiply up"),
        (lambda: specjit.unflatten(specjit.ones(4), 0, (3, 2)), RuntimeError, "don't multiply up"),
        (lambda: specjit.unflatten(specjit.ones(4), 1, (2, 2)), IndexError, "out of range"),
        (lambda: specjit.unflatten(specjit.ones(4), 0, "a"), TypeError, "sizes"),
    ],
)
MOVES = shaped(
    ((2, 3, 4), 0, 2),
    ((2, 3, 4), -1, 0),
    ((2, 3, 4), (0, 1), (2, 0)),
    ((2, 3), (), ()),
    ((), 0, 0),
    (("T", 3, 4), 0, 1),
    ((0, 2), 0, 1),
)
MOVE_ERRORS = [
    (lambda: specjit.movedim(specjit.ones(2, 2), (0, 0), (0, 1)), RuntimeError, "repeated dim in `source`"),
    (lambda: specjit.movedim(specjit.ones(2, 2), (0, 1), (1, 1)), RuntimeError, "repeated dim in `destination`"),
    (lambda: specjit.movedim(specjit.ones(2, 2), (0,), (0, 1)), RuntimeError, "same number of dims"),
    (lambda: specjit.movedim(specjit.ones(2, 2), 2, 0), IndexError, "out of range"),
]


def moved(x: np.ndarray, source: Any, destination: Any) -> np.ndarray:
    return np.moveaxis(x, source, destination) if x.ndim else x


row("movedim", MOVES, moved, dtypes=ALL, exact=True, view=True, errors=MOVE_ERRORS)
row("moveaxis", MOVES, moved, dtypes=ALL, exact=True, view=True)
row(
    "swapdims",
    shaped(((2, 3), 0, 1), ((2, 3, 4), -1, 0), ((), 0, -1), (("T", 3, 4), 0, 1)),
    lambda x, a, b: np.swapaxes(x, a, b) if x.ndim else x,
    dtypes=ALL,
    exact=True,
    view=True,
)
row(
    "adjoint",
    shaped(((2, 3),), ((2, 3, 4),), (("T", 3, 4),), ((0, 2),)),
    lambda x: np.swapaxes(x, -1, -2),
    dtypes=ALL,
    exact=True,
    view=True,
    errors=[(lambda: specjit.adjoint(specjit.ones(2)), RuntimeError, "only supported on matrices")],
)
row(
    "broadcast_to",
    shaped(((1, 3), (2, 3)), ((3,), (2, -1)), ((), (2, 2)), ((1,), (0,)), (("T", 3, 1), (2, 3, 4))),
    expand_reference,
    dtypes=ALL,
    exact=True,
    view=True,
    errors=[(lambda: specjit.broadcast_to(specjit.ones(2), (3,)), RuntimeError, "must match the existing size")],
)
row(
    "ravel",
    shaped(((2, 3),), ((),), ((0, 2),), (("T", 3, 4),)),
    lambda x: x.reshape(-1),
    dtypes=ALL,
    exact=True,
    view=None,
)


def at_least(fn: Any) -> Any:
    def reference(*given: Any) -> Any:
        found = [fn(a) for a in (given[0] if isinstance(given[0], list) else given)]
        return found if len(given) > 1 or isinstance(given[0], list) else found[0]

    return reference


def some_ranks(make: Make) -> Iterator[Sample]:
    for shape in ((), (3,), (2, 3), (2, 3, 4), (0,)):
        yield (make(*shape),), {}
    yield (make(4, 3, layout="T"),), {}
    yield (make(), make(2), make(2, 2)), {}
    yield ([make(2), make()],), {}


for _rank in (1, 2, 3):
    row(
        f"atleast_{_rank}d",
        some_ranks,
        at_least(getattr(np, f"atleast_{_rank}d")),
        dtypes=ALL,
        exact=True,
        view=True,
    )


def tensor_split_samples(make: Make) -> Iterator[Sample]:
    yield from shaped(
        ((5, 3), 2),
        ((2, 7), 3, -1),
        ((3,), 5),
        ((6, 2), (1, 4)),
        ((6, 2), (4, 1), 0),
        ((6,), (-2, 8)),
        ((6,), ()),
        (("T", 3, 4), (1,), 1),
        ((0, 2), 2),
    )(make)
    yield (make(5, 2), specjit.tensor([1, 3])), {}
    yield (make(5, 2), specjit.tensor(2)), {}


def tensor_split_reference(x: np.ndarray, given: Any, dim: int = 0) -> list[np.ndarray]:
    return np.array_split(x, int(given) if np.ndim(given) == 0 else list(given), dim)


row(
    "tensor_split",
    tensor_split_samples,
    tensor_split_reference,
    dtypes=ALL,
    exact=True,
    view=True,
    traceable=False,
    errors=[
        (lambda: specjit.tensor_split(specjit.ones(3), 0), RuntimeError, "larger than 0"),
        (lambda: specjit.tensor_split(specjit.tensor(1.0), 2), RuntimeError, "1-dimensional"),
        (lambda: specjit.tensor_split(specjit.ones(3), 2, 1), IndexError, "out of range"),
        (lambda: specjit.tensor_split(specjit.ones(3), specjit.ones(1)), RuntimeError, "expected tensor_indices"),
    ],
)
DIAGONALS = (
    ((3, 3),),
    ((3, 4), 1),
    ((3, 4), -1),
    ((3, 4), 5),
    ((2, 3, 4), 0, 1, 2),
    ((2, 3, 4), -1, -1, 0),
    (("T", 3, 4), 1),
    ((0, 3),),
)
row(
    "diagonal",
    shaped(*DIAGONALS),
    lambda x, offset=0, a=0, b=1: np.diagonal(x, offset, a, b),
    dtypes=ALL,
    exact=True,
    errors=[
        (lambda: specjit.diagonal(specjit.ones(2, 2), 0, 0, -2), RuntimeError, "cannot be identical"),
        (lambda: specjit.diagonal(specjit.ones(2)), IndexError, "out of range"),
    ],
)


def embedded(x: np.ndarray, offset: int = 0, a: int = -2, b: int = -1) -> np.ndarray:
    """Element by element."""
    rank, side = x.ndim + 1, x.shape[-1] + abs(offset)
    a, b = a % rank, b % rank
    out = np.zeros((*x.shape[:-1], side, side), x.dtype)
    for k in range(x.shape[-1]):
        out[..., k + max(-offset, 0), k + max(offset, 0)] = x[..., k]
    return np.moveaxis(out, (-2, -1), (a, b))


row(
    "diag_embed",
    shaped(((3,),), ((2, 3),), ((2, 3), 1), ((2, 3), -1, 0, 1), ((2, 3), 0, 2, 0), ((0,), 1), (("T", 3, 2),)),
    embedded,
    dtypes=ALL,
    exact=True,
    errors=[(lambda: specjit.diag_embed(specjit.ones(2), 0, 1, 1), RuntimeError, "cannot be identical")],
)


def backward_samples(make: Make) -> Iterator[Sample]:
    yield (make(3), (3, 3), 0, 0, 1), {}
    yield (make(2, 2), (2, 3, 3), 1, 1, 2), {}
    yield (make(0), (0, 3), 0, 0, 1), {}


def diagonal_written(g: np.ndarray, sizes: Any, offset: int, a: int, b: int) -> np.ndarray:
    out = np.zeros(sizes, g.dtype)
    for index in np.ndindex(*sizes):
        if index[b] - index[a] == offset:
            rest = tuple(i for d, i in enumerate(index) if d not in (a, b))
            out[index] = g[(*rest, index[a] if offset >= 0 else index[b])]
    return out


row("diagonal_backward", backward_samples, diagonal_written, dtypes=ALL, exact=True)
row(
    "diag",
    shaped(((3,),), ((3,), 1), ((3,), -2), ((3, 3),), ((3, 4), 1), (("T", 3, 4), -1), ((0,),)),
    lambda x, k=0: np.diag(x, k),
    dtypes=ALL,
    exact=True,
    errors=[(lambda: specjit.diag(specjit.ones(1, 1, 1)), RuntimeError, "1D or 2D")],
)


def windows(x: np.ndarray, dim: int, size: int, step: int) -> np.ndarray:
    n = x.shape[dim] if x.ndim else 1
    x = x if x.ndim else x.reshape(1)
    parts = [np.take(x, range(k, k + size), dim) for k in range(0, n - size + 1, step)]
    return np.moveaxis(np.stack(parts, dim % x.ndim), dim % x.ndim + 1, -1) if x.ndim and n else x


row(
    "unfold",
    shaped(((5,), 0, 3, 1), ((2, 6), -1, 2, 2), ((7, 2), 0, 3, 2), (("T", 5, 3), 0, 2, 1), ((2, 5, 3), 1, 5, 4)),
    windows,
    dtypes=ALL,
    exact=True,
    torch=lambda torch: torch.Tensor.unfold,
    errors=[
        (lambda: specjit.ones(3).unfold(0, 4, 1), RuntimeError, "maximum size for tensor"),
        (lambda: specjit.ones(3).unfold(0, 2, 0), RuntimeError, "step is 0"),
        (lambda: specjit.ones(3).unfold(1, 2, 1), IndexError, "out of range"),
    ],
)


def fold_samples(make: Make) -> Iterator[Sample]:
    yield (make(3, 3), (5,), 0, 3, 1), {}
    yield (make(2, 3, 3), (2, 7), 1, 3, 2), {}


def folded(g: np.ndarray, sizes: Any, dim: int, size: int, step: int) -> np.ndarray:
    out = np.zeros(sizes, g.dtype)
    for window in range(g.shape[dim]):
        for k in range(size):
            at = (slice(None),) * dim
            out[(*at, window * step + k)] += g[(*at, window, ..., k)]
    return out


row("unfold_backward", fold_samples, folded, dtypes=FLOATS, scale=4)


def one_of_each(make: Make) -> Iterator[Sample]:
    yield (make(1, 3), make(2, 1)), {}
    yield (make(), make(2, 2)), {}
    yield ([make(3), make(2, 3)],), {}
    yield (make(0, 1), make(1, 3)), {}


def broadcast_reference(*given: Any) -> Any:
    return list(np.broadcast_arrays(*(given[0] if isinstance(given[0], list) else given)))


row(
    "broadcast_tensors",
    one_of_each,
    broadcast_reference,
    dtypes=ALL,
    exact=True,
    view=True,
    torch=lambda torch: lambda *a: torch.broadcast_tensors(*(a[0] if isinstance(a[0], list) else a)),
    errors=[
        (lambda: specjit.broadcast_tensors(specjit.ones(2), specjit.ones(3)), RuntimeError, "must match the size"),
    ],
)


def grids(make: Make) -> Iterator[Sample]:
    for indexing in (None, "ij", "xy"):
        yield (make(2), make(3)), {"indexing": indexing}
        yield (make(2), make(3), make()), {"indexing": indexing}
    yield ([make(3), make(1)],), {"indexing": "xy"}
    yield (make(3),), {"indexing": "xy"}


def grid_reference(*given: Any, indexing: Any = None) -> Any:
    arrays = given[0] if isinstance(given[0], list) else given
    return list(np.meshgrid(*arrays, indexing=indexing or "ij"))


row(
    "meshgrid",
    grids,
    grid_reference,
    dtypes=ALL,
    exact=True,
    view=True,
    errors=[
        (lambda: specjit.meshgrid(specjit.ones(2, 2)), RuntimeError, "Expected 0D or 1D"),
        (lambda: specjit.meshgrid(specjit.ones(2), indexing="x"), RuntimeError, "indexing must be one of"),
        (
            lambda: specjit.meshgrid(specjit.ones(2), specjit.ones(2, dtype=specjit.int64)),
            RuntimeError,
            "same dtype",
        ),
    ],
)


def of_dtype(*dtypes: Any) -> Any:
    def sample(make: Make) -> Iterator[Sample]:
        for dtype in dtypes:
            yield (make(2, 8), dtype), {}
            yield (make(0, 8), dtype), {}
        yield (make(4, 8, layout="T"), make.dtype), {}
        yield (make(), make.dtype), {}

    return sample


row(
    "view_dtype",
    of_dtype(specjit.uint8, specjit.int32, specjit.int64, specjit.float32),
    lambda x, dtype: x.view(dtype.numpy),
    dtypes=(specjit.int64, specjit.int32, specjit.uint8, float32),
    grad=False,
    exact=True,
    torch=lambda torch: torch.Tensor.view,
)


def views(make: Make) -> Iterator[Sample]:
    yield (make(2, 6), 3, 4), {}
    yield (make(2, 6), (4, -1)), {}
    yield (make(2, 6), [12]), {}
    yield (make(), ()), {}
    yield (make(4, 3, layout="T"), 2, 2, 3), {}
    if not make.requires_grad:
        yield (make(2, 6), make.dtype), {}
        yield (make(2, 6),), {"dtype": make.dtype}


def view_reference(x: np.ndarray, *size: Any, dtype: Any = None) -> np.ndarray:
    wanted = size[0] if len(size) == 1 and isinstance(size[0], (tuple, list)) else size
    return x if dtype is not None or (size and hasattr(size[0], "numpy")) else x.reshape(wanted)


row(
    "Tensor.view",
    views,
    view_reference,
    dtypes=ALL,
    exact=True,
    view=True,
    errors=[
        (lambda: specjit.ones(4).view(3), RuntimeError, "invalid for input of size 4"),
        (lambda: specjit.ones(2, 3).t().view(6), RuntimeError, "not compatible"),
        (lambda: specjit.ones(2).view("a"), TypeError, "size"),
        (lambda: specjit.ones(2).view(), TypeError, "size"),
        (lambda: specjit.ones(3).view(specjit.float64), RuntimeError, "divisible by 2"),
    ],
)


def property_row(name: str, shapes: Any, reference: Any, errors: Any = ()) -> None:
    row(
        f"Tensor.{name}",
        shaped(*shapes),
        reference,
        dtypes=ALL,
        exact=True,
        view=True,
        torch=lambda torch: lambda x: getattr(x, name),
        errors=list(errors),
    )


property_row("T", (((2, 3),), ((3,),), ((),), ((2, 3, 4),), (("T", 3, 4),)), np.transpose)
property_row(
    "mT",
    (((2, 3),), ((2, 3, 4),), (("T", 3, 4),), ((),)),
    lambda x: np.swapaxes(x, -1, -2) if x.ndim else x,
    [(lambda: specjit.ones(3).mT, RuntimeError, "only supported on matrices")],
)
property_row(
    "H",
    (((2, 3),), (("T", 3, 4),), ((),)),
    np.transpose,
    [(lambda: specjit.ones(2, 2, 2).H, RuntimeError, "only supported on matrices")],
)
