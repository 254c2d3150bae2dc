"""Rows of creation, random ops and convolution."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

import specjit
from specjit.dtypes import ALL as EVERY
from specjit.dtypes import DType, float32, float64, int64
from specjit.ops.registry import get
from tests.opinfo import ALL, NUMBERS, Make, Sample, row


def sizes(*extra: Any) -> Any:
    def sample(make: Make) -> Iterator[Sample]:
        for size in ((), (0,), (3,), (2, 3)):
            yield (size, *extra), {"dtype": make.dtype}

    return sample


NEGATIVE = [(lambda: specjit.zeros(-1), RuntimeError, "negative dimension")]
row(
    "zeros",
    sizes(),
    lambda size, dtype: np.zeros(size, dtype.numpy),
    dtypes=EVERY,
    grad=False,
    exact=True,
    errors=NEGATIVE,
)
row("ones", sizes(), lambda size, dtype: np.ones(size, dtype.numpy), dtypes=EVERY, grad=False, exact=True)


def full_samples(make: Make) -> Iterator[Sample]:
    yield from sizes(1)(make)
    yield ((2,), -1), {"dtype": make.dtype}  # wraps around where the dtype has no sign


row(
    "full",
    full_samples,
    lambda size, value, dtype: np.array(value).astype(dtype.numpy) * np.ones(size, dtype.numpy),
    dtypes=EVERY,
    grad=False,
    exact=True,
    errors=[(lambda: specjit.full((2,), "a"), TypeError, "fill_value")],
)
row("empty", sizes(), None, properties=lambda out, size, dtype: None, dtypes=EVERY, grad=False)


def likes(*extra: Any) -> Any:
    def sample(make: Make) -> Iterator[Sample]:
        for shape in ((), (0,), (2, 3)):
            yield (make(*shape), *extra), {}
        yield (make(4, 3, layout="T"), *extra), {}
        yield (make(2, 3), *extra), {"dtype": int64}

    return sample


def np_dtype(x: np.ndarray, dtype: DType | None) -> Any:
    return x.dtype if dtype is None else dtype.numpy


row(
    "zeros_like",
    likes(),
    lambda x, dtype=None: np.zeros(x.shape, np_dtype(x, dtype)),
    dtypes=ALL,
    grad=False,
    exact=True,
)
row(
    "ones_like", likes(), lambda x, dtype=None: np.ones(x.shape, np_dtype(x, dtype)), dtypes=ALL, grad=False, exact=True
)
row(
    "full_like",
    likes(1),
    lambda x, v, dtype=None: np.full(x.shape, v, np_dtype(x, dtype)),
    dtypes=ALL,
    grad=False,
    exact=True,
)
row("empty_like", likes(), None, properties=lambda out, x, dtype=None: None, dtypes=ALL, grad=False)


def arange_samples(make: Make) -> Iterator[Sample]:
    for args in ((0, 5, 1), (2, 9, 3), (5, 0, -2), (0, 0, 1)):
        yield args, {"dtype": make.dtype}
    if make.dtype.is_floating_point:
        yield (0.0, 1.0, 0.1), {"dtype": make.dtype}
        yield (0, 1.0, 0.25), {}


def arange_reference(start: Any, end: Any, step: Any, dtype: DType | None = None) -> np.ndarray:
    out = []
    while (start + len(out) * step < end) if step > 0 else (start + len(out) * step > end):
        out.append(start + len(out) * step)
    return np.array(out, (dtype or float32).numpy)


row(
    "arange",
    arange_samples,
    arange_reference,
    dtypes=NUMBERS,
    grad=False,
    exact=True,
    errors=[
        (lambda: specjit.arange(0, 5, 0), RuntimeError, "nonzero"),
        (lambda: specjit.arange(5, 0), RuntimeError, "inconsistent with step"),
    ],
)


def tensor_samples(make: Make) -> Iterator[Sample]:
    for data in (1, [1, 0], [[1, 0], [0, 1]], [], 1.5, [True, False], [[]]):
        yield (data,), {"dtype": make.dtype}


row(
    "tensor",
    tensor_samples,
    lambda data, dtype: np.array(data).astype(dtype.numpy),
    dtypes=EVERY,
    grad=False,
    exact=True,
    errors=[
        (lambda: specjit.tensor([[1], [1, 2]]), ValueError, "equal length"),
        (lambda: specjit.tensor("a"), TypeError, "cannot make a tensor"),
    ],
)


def within(low: float, high: float) -> Any:
    def check(out: np.ndarray, *_: Any, **__: Any) -> None:
        assert ((out >= low) & (out < high)).all()

    return check


def randint_samples(make: Make) -> Iterator[Sample]:
    yield (-2, 5, (3, 4)), {"dtype": make.dtype}
    yield (0, 1, ()), {"dtype": make.dtype}


row("rand", sizes(), None, properties=within(0, 1), grad=False, random=True)
row("randn", sizes(), None, properties=within(-9, 9), grad=False, random=True)
row(
    "randint",
    randint_samples,
    None,
    properties=within(-2, 5),
    dtypes=(float32, float64, int64),
    grad=False,
    random=True,
    errors=[(lambda: specjit.randint(3, 3, (1,)), RuntimeError, "less than 'to'")],
)


def randperm_samples(make: Make) -> Iterator[Sample]:
    yield (7,), {}
    yield (0,), {}


def is_permutation(out: np.ndarray, n: int) -> None:
    assert sorted(out.tolist()) == list(range(n))


row("randperm", randperm_samples, None, properties=is_permutation, dtypes=(int64,), grad=False, random=True)


def bernoulli_samples(make: Make) -> Iterator[Sample]:
    yield (make(3, 4, low=0, high=1),), {}
    yield (make(low=0, high=1),), {}
    yield (specjit.tensor([0.0, 1.0], dtype=make.dtype),), {}


def zero_one(out: np.ndarray, p: np.ndarray) -> None:
    assert set(np.unique(out)) <= {0, 1}
    assert not out[p == 0].any()
    assert out[p == 1].all()


row(
    "bernoulli",
    bernoulli_samples,
    None,
    properties=zero_one,
    grad=False,
    random=True,
    errors=[(lambda: specjit.bernoulli(specjit.tensor([2.0])), RuntimeError, "p_in")],
)


def probability_samples(make: Make) -> Iterator[Sample]:
    for shape in ((), (0,), (3, 4)):
        yield (make(*shape, low=0.1, high=0.9),), {}


row(
    "probability",
    probability_samples,
    lambda p: p,
    exact=True,
    errors=[(lambda: get("probability").fn(specjit.tensor([0.5, float("nan")])), RuntimeError, "p_in")],
)


def uniform_samples(make: Make) -> Iterator[Sample]:
    for size in ([], [0], [3, 5]):
        yield (size, -1, 7, make.dtype), {}


def uniform_reference(size: Any, seed: int, block: int, dtype: Any) -> np.ndarray:
    """By the generator, which has its own tests against Python integers."""
    generator = specjit.Generator().manual_seed(seed)
    generator.reserve(4 * block)
    return specjit.rand(size, generator=generator, dtype=dtype).numpy()


row("uniform", uniform_samples, uniform_reference, dtypes=(float32, float64), grad=False, exact=True)


def mask_samples(make: Make) -> Iterator[Sample]:
    for p in (0.5, 0.1, 0.0, 1.0):
        yield (make(4, 5), p), {}
    yield (make(), 0.5), {}
    yield (make(0), 0.5), {}


def kept_or_dropped(out: np.ndarray, x: np.ndarray, p: float) -> None:
    scale = 0.0 if p == 1 else np.asarray(1 / (1 - p), out.dtype)
    assert np.isin(out, [0, scale]).all()
    if p in (0.0, 1.0):
        assert (out == scale).all()


row(
    "dropout_mask",
    mask_samples,
    None,
    properties=kept_or_dropped,
    grad=False,
    random=True,
    errors=[(lambda: get("dropout_mask").fn(specjit.ones(1), 2.0), ValueError, "between 0 and 1")],
)

# convolution: (input, weight, stride, padding, dilation, groups)
CONVOLUTIONS = [
    ((2, 3, 5, 6), (4, 3, 3, 2), (1, 1), (0, 0), (1, 1), 1),
    ((1, 2, 6, 6), (4, 1, 3, 3), (2, 1), (1, 2), (1, 1), 2),
    ((2, 1, 7, 5), (2, 1, 2, 2), (2, 2), (0, 1), (2, 1), 1),
    ((1, 1, 1, 1), (1, 1, 1, 1), (1, 1), (0, 0), (1, 1), 1),
    ((0, 2, 4, 4), (3, 2, 3, 3), (1, 1), (1, 1), (1, 1), 1),
]


def conv_reference(x: np.ndarray, w: np.ndarray, stride: Any, padding: Any, dilation: Any, groups: int) -> np.ndarray:
    n, _, h, width = x.shape
    o, per, kh, kw = w.shape
    padded = np.zeros((n, x.shape[1], h + 2 * padding[0], width + 2 * padding[1]), np.float64)
    padded[:, :, padding[0] : padding[0] + h, padding[1] : padding[1] + width] = x
    oh = (padded.shape[2] - dilation[0] * (kh - 1) - 1) // stride[0] + 1
    ow = (padded.shape[3] - dilation[1] * (kw - 1) - 1) // stride[1] + 1
    out = np.zeros((n, o, oh, ow))
    for b, c, i, j in np.ndindex(n, o, oh, ow):
        first = c // (o // groups) * per
        for k, u, v in np.ndindex(per, kh, kw):
            out[b, c, i, j] += (
                padded[b, first + k, i * stride[0] + u * dilation[0], j * stride[1] + v * dilation[1]] * w[c, k, u, v]
            )
    return out


def conv_samples(make: Make) -> Iterator[Sample]:
    for x, w, *rest in CONVOLUTIONS:
        yield (make(*x, low=-1, high=1), make(*w, low=-1, high=1), *rest), {}


row(
    "conv2d",
    conv_samples,
    conv_reference,
    scale=16,
    errors=[
        (
            lambda: specjit.nn.functional.conv2d(specjit.ones(1, 2, 4, 4), specjit.ones(1, 3, 2, 2)),
            RuntimeError,
            "to have 3 channels",
        ),
        (
            lambda: specjit.nn.functional.conv2d(specjit.ones(1, 1, 2, 2), specjit.ones(1, 1, 3, 3)),
            RuntimeError,
            "Kernel size can't be greater",
        ),
    ],
)


def conv_output(x: Any, w: Any, rest: Any) -> tuple[int, ...]:
    return conv_reference(np.zeros(x), np.zeros(w), *rest).shape


def conv_input_samples(make: Make) -> Iterator[Sample]:
    for x, w, *rest in CONVOLUTIONS:
        yield (make(*conv_output(x, w, rest), low=-1, high=1), make(*w, low=-1, high=1), x, *rest), {}


def conv_weight_samples(make: Make) -> Iterator[Sample]:
    for x, w, *rest in CONVOLUTIONS:
        yield (make(*x, low=-1, high=1), make(*conv_output(x, w, rest), low=-1, high=1), w, *rest), {}


def adjoint(of_input: bool) -> Any:
    """The gradient of a linear map, from its values on unit vectors."""

    def reference(a: np.ndarray, b: np.ndarray, target: Any, *rest: Any) -> np.ndarray:
        out = np.zeros(int(np.prod(target)))
        for k in range(out.size):
            unit = np.zeros(out.size)
            unit[k] = 1
            unit = unit.reshape(target)
            made = conv_reference(unit, b, *rest) if of_input else conv_reference(a, unit, *rest)
            out[k] = (made * (a if of_input else b)).sum()
        return out.reshape(target)

    return reference


row("conv2d_input", conv_input_samples, adjoint(True), dtypes=(float64,), scale=64)
row("conv2d_weight", conv_weight_samples, adjoint(False), dtypes=(float64,), scale=64)
