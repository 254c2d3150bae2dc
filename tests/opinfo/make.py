"""Rows of creation and random ops."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

import specjit
from specjit.dtypes import ALL as EVERY
from specjit.dtypes import DType, float32, float64, int64
from specjit.ops.records.registry import get
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
    errors=[
        (lambda: specjit.full((2,), "a"), TypeError, "fill_value"),
        (lambda: specjit.full((2,), 300, dtype=specjit.uint8), RuntimeError, "type uint8_t without overflow"),
        (lambda: specjit.full((2,), 1e40), RuntimeError, "type float without overflow"),
        (lambda: specjit.full((2,), float("nan"), dtype=int64), RuntimeError, "type int64_t without overflow"),
    ],
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
        (lambda: specjit.arange(0, 1, 0.5, dtype=int64), ValueError, "nonzero"),
        (lambda: specjit.arange(float("inf")), RuntimeError, "unsupported range"),
        (lambda: specjit.arange(), TypeError, "end"),
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
        (lambda: specjit.tensor([[1], [1, 2]]), ValueError, "expected sequence of length 1 at dim 1"),
        (lambda: specjit.tensor([[1, 2], 3]), TypeError, "not a sequence"),
        (lambda: specjit.tensor([1, [2]]), TypeError, "cannot be interpreted as an integer"),
        (lambda: specjit.tensor("a"), TypeError, "invalid data type 'str'"),
        (lambda: specjit.tensor(["a"]), ValueError, "too many dimensions 'str'"),
        (lambda: specjit.tensor(None), RuntimeError, "Could not infer dtype of NoneType"),
        (lambda: specjit.tensor([1, None]), RuntimeError, "Could not infer dtype of NoneType"),
        (lambda: specjit.tensor({1: 2}), RuntimeError, "Could not infer dtype of dict"),
        (lambda: specjit.tensor([1, 2**63]), ValueError, "Overflow"),
        (lambda: specjit.tensor(2**70), ValueError, "Overflow"),
        (lambda: specjit.tensor([300], dtype=specjit.uint8), RuntimeError, "without overflow"),
        (lambda: specjit.tensor(float("nan"), dtype=specjit.int32), RuntimeError, "without overflow"),
        (lambda: specjit.tensor([1], requires_grad=True), RuntimeError, "floating point"),
        (lambda: specjit.tensor([1], dtype="float"), TypeError, "dtype"),
        (lambda: specjit.tensor([1], device="xyz"), RuntimeError, "Expected one of"),
        (lambda: specjit.tensor(), TypeError, "data"),
    ],
)


def within(low: float, high: float) -> Any:
    def check(out: np.ndarray, *_: Any, **__: Any) -> None:
        assert ((out >= low) & (out < high)).all()

    return check


def randint_samples(make: Make) -> Iterator[Sample]:
    yield (-2, 5, (3, 4)), {"dtype": make.dtype}
    yield (0, 1, ()), {"dtype": make.dtype}


row(
    "rand",
    sizes(),
    None,
    properties=within(0, 1),
    grad=False,
    random=True,
    errors=[
        (lambda: specjit.rand(2, dtype=int64), NotImplementedError, "check_uniform_bounds"),
        (lambda: specjit.rand(2, generator=3), TypeError, "generator"),
    ],
)
row("randn", sizes(), None, properties=within(-9, 9), grad=False, random=True)
row(
    "randint",
    randint_samples,
    None,
    properties=within(-2, 5),
    dtypes=(float32, float64, int64),
    grad=False,
    random=True,
    errors=[
        (lambda: specjit.randint(3, 3, (1,)), RuntimeError, "less than 'to'"),
        (lambda: specjit.randint(-2, 5, (1,), dtype=specjit.uint8), RuntimeError, "from is out of bounds"),
        (lambda: specjit.randint(5), TypeError, "size"),
    ],
)


def randperm_samples(make: Make) -> Iterator[Sample]:
    yield (7,), {}
    yield (0,), {}


def is_permutation(out: np.ndarray, n: int) -> None:
    assert sorted(out.tolist()) == list(range(n))


row(
    "randperm",
    randperm_samples,
    None,
    properties=is_permutation,
    dtypes=(int64,),
    grad=False,
    random=True,
    errors=[
        (lambda: specjit.randperm(-1), RuntimeError, "negative dimension"),
        (lambda: specjit.randperm(300, dtype=specjit.uint8), RuntimeError, "type uint8_t without overflow"),
        (lambda: specjit.randperm(2, dtype=specjit.bool), NotImplementedError, "randperm"),
    ],
)


def bernoulli_samples(make: Make) -> Iterator[Sample]:
    yield (make(3, 4, low=0, high=1),), {}
    yield (make(low=0, high=1),), {}
    yield (specjit.tensor([0.0, 1.0], dtype=make.dtype),), {}
    yield (make(3, 4), 0.5), {}
    yield (make(3),), {"p": 1.0}


def zero_one(out: np.ndarray, x: np.ndarray, p: float | None = None) -> None:
    assert set(np.unique(out)) <= {0, 1}
    p = x if p is None else np.full(x.shape, p)
    assert not out[p == 0].any()
    assert out[p == 1].all()


row(
    "bernoulli",
    bernoulli_samples,
    None,
    properties=zero_one,
    grad=False,
    random=True,
    errors=[
        (lambda: specjit.bernoulli(specjit.tensor([2.0])), RuntimeError, "p_in"),
        (lambda: specjit.bernoulli(specjit.ones(2), 2.0), RuntimeError, "expects p to be in"),
        (lambda: specjit.bernoulli(specjit.tensor([1])), NotImplementedError, "bernoulli_tensor_cpu_p_"),
    ],
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
