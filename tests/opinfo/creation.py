"""Rows of patterns, of tensors made like others, and of distributions with parameters."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

import specjit
from specjit.dtypes import ALL as EVERY
from specjit.dtypes import bool_, float32, float64, int32, int64, uint8
from tests.opinfo import ALL, FLOATS, NUMBERS, Make, Sample, row

# patterns


def eye_samples(make: Make) -> Iterator[Sample]:
    for size in ((3,), (0,), (2, 3), (3, 1), (0, 2)):
        yield size, {"dtype": make.dtype}
    yield (2,), {}
    yield (2, None), {}
    if make.dtype.is_floating_point:
        yield (2,), {"dtype": make.dtype, "requires_grad": True}


row(
    "eye",
    eye_samples,
    lambda n, m=None, dtype=None, requires_grad=False: np.eye(n, m, dtype=(dtype or float32).numpy),
    dtypes=EVERY,
    grad=False,
    exact=True,
    torch=lambda torch: lambda n, m=None, **o: torch.eye(n, **o) if m is None else torch.eye(n, m, **o),
    errors=[
        (lambda: specjit.eye(-1), RuntimeError, "n must be greater or equal to 0, got -1"),
        (lambda: specjit.eye(2, -1), RuntimeError, "m must be greater or equal to 0, got -1"),
        (lambda: specjit.eye(2.5), TypeError, "'n'"),
    ],
)


def scalar_samples(make: Make) -> Iterator[Sample]:
    for value in (2, 1.5, True):
        yield (value,), {"dtype": make.dtype}
        yield (value,), {}


row(
    "scalar_tensor",
    scalar_samples,
    lambda s, dtype=None: np.array(s).astype((dtype or float32).numpy),
    dtypes=EVERY,
    grad=False,
    exact=True,
)


def spaced_samples(*extra: Any) -> Any:
    def sample(make: Make) -> Iterator[Sample]:
        for start, end, steps in ((0, 10, 4), (3, 40, 7), (5, 5, 3), (3, 10, 1), (1, 2, 0)):
            yield (start, end, steps, *extra), {"dtype": make.dtype}
        if make.dtype.is_floating_point or make.dtype in (int32, int64):
            yield (3, -3, 5, *extra), {"dtype": make.dtype}
            yield (-2.5, 2.5, 6, *extra), {"dtype": make.dtype}
        yield (0, 1, 5, *extra), {}

    return sample


def spaced(start: Any, end: Any, steps: int, dtype: Any = None) -> np.ndarray:
    """Whole ends and truncated steps for integers."""
    if dtype is None or dtype.is_floating_point:
        return np.linspace(start, end, steps)
    start, end = int(start), int(end)
    step = (end - start) / max(steps - 1, 1)
    found = [start + step * i if i < max(steps // 2, 1) else end - step * (steps - 1 - i) for i in range(steps)]
    return np.array(found, np.float64)


def whole(x: np.ndarray, dtype: Any) -> np.ndarray:
    return x if dtype is None or dtype.is_floating_point else np.trunc(x).astype(dtype.numpy)


row(
    "linspace",
    spaced_samples(),
    lambda start, end, steps, dtype=None: whole(spaced(start, end, steps, dtype), dtype),
    dtypes=NUMBERS,
    grad=False,
    scale=4,
    errors=[
        (lambda: specjit.linspace(0, 1, -1), RuntimeError, "number of steps must be non-negative"),
        (lambda: specjit.linspace(0, 1), TypeError, "steps"),
        (lambda: specjit.linspace(0, 1, 2.0), TypeError, "steps"),
        (lambda: specjit.linspace(0, 1, 2, dtype=bool_), NotImplementedError, "linspace_cpu"),
        (lambda: specjit.linspace(0, 300, 2, dtype=uint8), RuntimeError, "without overflow"),
        (lambda: specjit.linspace(-2.5, 3, 2, dtype=uint8), RuntimeError, "without overflow"),
    ],
)


def logspace_samples(make: Make) -> Iterator[Sample]:
    for args in ((0, 2, 4), (1, 4, 4, 2.0), (0, 2, 1), (1, 2, 0), (0, 3, 4, 1.0), (2, 0, 3)):
        yield args, {"dtype": make.dtype}
    yield (0.0, 1.0, 3), {"base": 2.0}


row(
    "logspace",
    logspace_samples,
    lambda start, end, steps, base=10.0, dtype=None: whole(base ** spaced(start, end, steps, dtype), dtype),
    dtypes=NUMBERS,
    grad=False,
    scale=4,
    errors=[(lambda: specjit.logspace(0, 1, 2, dtype=bool_), NotImplementedError, "logspace_cpu")],
)


def triangle_samples(make: Make) -> Iterator[Sample]:
    for args in ((3, 3), (4, 3, -1), (2, 4, 1), (0, 2), (2, 2, -5), (2, 2, 5), (1, 1)):
        yield args, {"dtype": make.dtype}
    yield (3, 2), {}


def triangle(inside: Any) -> Any:
    def reference(row: int, col: int, offset: int = 0, dtype: Any = None) -> np.ndarray:
        found = [(r, c) for r in range(row) for c in range(col) if inside(c - r, offset)]
        return np.array(found, (dtype or int64).numpy).reshape(-1, 2).T

    return reference


for name, inside in {"tril_indices": lambda d, k: d <= k, "triu_indices": lambda d, k: d >= k}.items():
    row(
        name,
        triangle_samples,
        triangle(inside),
        dtypes=(int64, int32),
        grad=False,
        exact=True,
        errors=[
            (lambda name=name: getattr(specjit, name)(-1, 2), RuntimeError, "row must be non-negative"),
            (lambda name=name: getattr(specjit, name)(2, 2, dtype=float32), NotImplementedError, "indices"),
        ],
    )

# like a tensor


def new_samples(*extra: Any) -> Any:
    def sample(make: Make) -> Iterator[Sample]:
        for size in ((2, 3), (0,), ()):
            yield (make(2), size, *extra), {}
            yield (make(3, 2), size, *extra), {"dtype": float64}
        yield (make(), (2,), *extra), {"dtype": float32, "requires_grad": True}

    return sample


def filled(value: Any) -> Any:
    def reference(x: np.ndarray, size: Any, *fill: Any, dtype: Any = None, requires_grad: bool = False) -> np.ndarray:
        kind = x.dtype if dtype is None else dtype.numpy
        return np.full(size, fill[0] if fill else value, np.float64).astype(kind)

    return reference


def has_size(out: np.ndarray, x: np.ndarray, size: Any, **_: Any) -> None:
    assert out.shape == size


row("Tensor.new_zeros", new_samples(), filled(0), dtypes=ALL, grad=False, exact=True)
row("Tensor.new_ones", new_samples(), filled(1), dtypes=ALL, grad=False, exact=True)
row(
    "Tensor.new_empty",
    new_samples(),
    properties=has_size,
    dtypes=(float32,),
    grad=False,
    traceable=False,
    scripted=False,
    compared=False,
)
row(
    "Tensor.new_full",
    new_samples(1),
    filled(None),
    dtypes=ALL,
    grad=False,
    exact=True,
    errors=[
        (lambda: specjit.ones(2).new_full((2,), "a"), TypeError, "fill_value"),
        (lambda: specjit.ones(2, dtype=uint8).new_full((2,), 300), RuntimeError, "without overflow"),
    ],
)


def new_tensor_samples(make: Make) -> Iterator[Sample]:
    for data in (1, [1, 0], [[1, 0], [0, 1]], []):
        yield (make(2), data), {}
        yield (make(2), data), {"dtype": float64}


row(
    "Tensor.new_tensor",
    new_tensor_samples,
    lambda x, data, dtype=None: np.array(data).astype(x.dtype if dtype is None else dtype.numpy),
    dtypes=ALL,
    grad=False,
    exact=True,
    scripted=False,
)

# distributions


def multinomial_samples(make: Make) -> Iterator[Sample]:
    yield (make(5, low=0.1, high=1), 3), {}
    yield (make(2, 4, low=0.1, high=1), 4), {}
    yield (make(2, 3, low=0.1, high=1), 7, True), {}
    yield (specjit.tensor([0.0, 1.0, 0.0, 2.0], dtype=make.dtype), 2), {}
    yield (specjit.tensor([0.0, 1.0, 0.0], dtype=make.dtype), 9), {"replacement": True}
    yield (make(0, 3), 1), {}


def drawn_categories(out: np.ndarray, weights: np.ndarray, count: int, replacement: bool = False) -> None:
    assert out.shape == (*weights.shape[:-1], count)
    for picked, row_ in zip(out.reshape(-1, count), weights.reshape(-1, weights.shape[-1])):
        assert (row_[picked] > 0).all()
        assert replacement or len(set(picked.tolist())) == count


def invalid(values: Any, *args: Any) -> Any:
    return lambda: specjit.multinomial(specjit.tensor(values), *args)


row(
    "multinomial",
    multinomial_samples,
    None,
    properties=drawn_categories,
    grad=False,
    random=True,
    errors=[
        (lambda: specjit.multinomial(specjit.ones(3), 4), RuntimeError, "without replacement"),
        (lambda: specjit.multinomial(specjit.ones(3), 0), RuntimeError, "n_sample <= 0"),
        (lambda: specjit.multinomial(specjit.ones(2, 2, 2), 1), RuntimeError, "must be 1 or 2 dim"),
        (lambda: specjit.multinomial(specjit.tensor([1, 2]), 1), RuntimeError, "only supports floating-point"),
        (lambda: specjit.multinomial(specjit.tensor([0.0, 0.0]), 1), RuntimeError, "sum of probabilities <= 0"),
        (lambda: specjit.multinomial(specjit.tensor([-1.0, 2.0]), 1), RuntimeError, "element < 0"),
        (lambda: specjit.multinomial(specjit.tensor([math.nan, 2.0]), 1), RuntimeError, "element < 0"),
    ],
)


def normal_samples(make: Make) -> Iterator[Sample]:
    yield (make(3, 4), make(3, 4, low=0.1, high=2)), {}
    yield (make(3, 1), make(4, low=0.1, high=2)), {}
    yield (make(), make(low=0.1, high=2)), {}
    yield (make(3), 2.0), {}
    yield (1.0, make(3, low=0.1, high=2)), {}
    yield (make(0), 0.0), {}


def close_to_mean(out: np.ndarray, mean: Any, std: Any) -> None:
    assert out.shape == np.broadcast_shapes(np.shape(mean), np.shape(std))
    assert (np.abs(out - mean) <= 9 * np.asarray(std, np.float64) + 1e-2).all()


row(
    "normal",
    normal_samples,
    None,
    properties=close_to_mean,
    grad=False,
    random=True,
    errors=[
        (lambda: specjit.normal(0.0, 1.0), TypeError, "size"),
        (lambda: specjit.normal(specjit.ones(2), -1.0), RuntimeError, "std >= 0.0, but found std -1"),
        (lambda: specjit.normal(0.0, -1.0, (2,)), RuntimeError, "std >= 0.0, but found std -1"),
        (lambda: specjit.normal(specjit.ones(2), -specjit.ones(2)), RuntimeError, "all elements of std"),
        (lambda: specjit.normal(specjit.tensor([1]), 1.0), NotImplementedError, "normal_kernel_cpu"),
    ],
)


def randint_like_samples(make: Make) -> Iterator[Sample]:
    yield (make(3, 4), 5), {}
    yield (make(3), 1, 4), {}
    yield (make(), 2), {"dtype": int64}
    yield (make(0), 3), {}


def in_range(out: np.ndarray, x: np.ndarray, low: int, high: int | None = None, dtype: Any = None) -> None:
    first, last = (0, low) if high is None else (low, high)
    assert out.shape == x.shape
    assert ((out >= first) & (out < last)).all()


row(
    "randint_like",
    randint_like_samples,
    properties=in_range,
    dtypes=(*FLOATS, int64, uint8),
    grad=False,
    random=True,
    errors=[
        (lambda: specjit.randint_like(specjit.ones(2), 3, 1), RuntimeError, "less than 'to'"),
        (
            lambda: specjit.randint_like(specjit.ones(2, dtype=uint8), 300),
            RuntimeError,
            "to - 1 is out of bounds for unsigned char",
        ),
    ],
)
