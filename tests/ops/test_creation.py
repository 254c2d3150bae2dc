"""Creation beside its rows: dtypes of Python data, shared memory, methods that fill a tensor, generators."""

from __future__ import annotations

import math
from collections import deque

import numpy as np
import pytest

import specjit
from specjit.dtypes import bool_, float16, float32, float64, int8, int32, int64, uint8

# Python data


@pytest.mark.parametrize(
    ("data", "dtype", "shape"),
    [
        (1, int64, ()),
        (1.5, float32, ()),
        (True, bool_, ()),
        ([1, 2.0], float32, (2,)),
        ([True, 2], int64, (2,)),
        ([True, 2.5], float32, (2,)),
        ([], float32, (0,)),
        ([[], []], float32, (2, 0)),
        (range(3), int64, (3,)),
        (((1, 2), [3, 4]), int64, (2, 2)),
        (np.float64(1.5), float64, ()),
        ([np.float64(1.5)], float64, (1,)),
        ([np.float32(1.5), 2], float32, (2,)),
        ([1, np.float64(2)], float64, (2,)),
        ([np.float16(1), np.float32(1)], float32, (2,)),
        ([np.int8(3)], int8, (1,)),
        ([np.int8(3), 2], int64, (2,)),
        ([np.bool_(True)], bool_, (1,)),
        (np.array([1, 2], np.int32), int32, (2,)),
        ([np.array([1, 2]), np.array([3, 4])], int64, (2, 2)),
        (bytearray(b"ab"), int64, (2,)),
        ([specjit.tensor(1), specjit.tensor(2.0)], float32, (2,)),
        ([specjit.ones(2), specjit.zeros(2)], float32, (2, 2)),
        ([specjit.tensor(1.5, dtype=float64), 1], float64, (2,)),
        ([specjit.tensor(3, dtype=int8)], int8, (1,)),
        (deque([1.5, 2.0]), float32, (2,)),
        ([deque([1, 2]), deque([3, 4])], int64, (2, 2)),
        (deque([specjit.ones(2), specjit.zeros(2)]), float32, (2, 2)),
        (deque(), float32, (0,)),
        (-(2**63), int64, ()),
        (math.inf, float32, ()),
    ],
)
def test_inferred_dtypes(data, dtype, shape):
    x = specjit.tensor(data)
    assert x.dtype is dtype
    assert tuple(x.shape) == shape


def test_the_default_dtype_is_that_of_python_floats_only():
    specjit.set_default_dtype(float64)
    try:
        assert specjit.tensor([1.5]).dtype is float64
        assert specjit.tensor([np.float32(1.5)]).dtype is float32
        assert specjit.scalar_tensor(1).dtype is float64
    finally:
        specjit.set_default_dtype(float32)


@pytest.mark.parametrize(
    ("data", "dtype", "want"),
    [
        (-1, uint8, 255),
        (1.7, int64, 1),
        ([1.7, -1.7], int32, [1, -1]),
        (2, bool_, True),
        (1e40, float32, math.inf),
        (70000, float16, math.inf),
        (2**70, float64, float(2**70)),
        ([2**70, 1], float64, [float(2**70), 1.0]),
        (np.array([300]), uint8, [44]),
    ],
)
def test_conversion_of_data(data, dtype, want):
    assert specjit.tensor(data, dtype=dtype).tolist() == want


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (b"ab", TypeError),
        (1 + 2j, RuntimeError),
        (iter([1]), RuntimeError),
        ([1, 2**63], ValueError),
        ([-1, 2**63], ValueError),
        (np.array(["a"]), TypeError),
    ],
)
def test_data_that_is_no_tensor(data, error):
    with pytest.raises(error):
        specjit.tensor(data)


def test_as_tensor_shares_what_it_can():
    array = np.array([1.0, 2.0])
    x = specjit.as_tensor(array)
    array[0] = 5
    assert x.tolist() == [5, 2]
    assert specjit.as_tensor(x) is x
    assert specjit.as_tensor(array, dtype=float32).dtype is float32
    grown = specjit.as_tensor(specjit.ones(2, requires_grad=True), dtype=float64)
    assert grown.requires_grad
    with pytest.raises(TypeError):
        specjit.from_numpy(np.array(["a"]))
    with pytest.raises(TypeError, match=r"expected np.ndarray"):
        specjit.from_numpy(np.float32(1))


def test_tensor_copies_and_forgets_gradients():
    x = specjit.ones(2, requires_grad=True)
    y = specjit.tensor(x)
    assert not y.requires_grad
    assert not np.shares_memory(x.detach().numpy(), y.numpy())


# sizes


def test_arange_takes_its_arguments_by_name():
    assert specjit.arange(end=3).tolist() == [0, 1, 2]
    assert specjit.arange(start=1, end=4, step=2).tolist() == [1, 3]
    assert specjit.arange(specjit.tensor(2)).tolist() == [0, 1]
    assert specjit.arange(-2.5, 3, dtype=int64).tolist() == [-2, -1, 0, 1, 2]


def test_new_tensors_live_on_the_device_of_the_tensor():
    x = specjit.ones(2, device="meta")
    for made in (x.new_zeros(3), x.new_ones((3,)), x.new_full((3,), 1), x.new_empty(3)):
        assert made.is_meta
        assert tuple(made.shape) == (3,)
    assert specjit.randn_like(x).is_meta
    assert not x.new_zeros(2, device="cpu").is_meta


def test_ints_require_no_grad():
    for make in (
        lambda: specjit.zeros(2, dtype=int64, requires_grad=True),
        lambda: specjit.zeros_like(specjit.ones(2, dtype=int64), requires_grad=True),
        lambda: specjit.arange(3, requires_grad=True),
    ):
        with pytest.raises(RuntimeError, match="floating point"):
            make()
    assert specjit.eye(2, requires_grad=True).requires_grad
    x = specjit.ones(2)
    for make in (specjit.zeros_like, specjit.ones_like, specjit.empty_like, specjit.rand_like, specjit.randn_like):
        assert make(x, requires_grad=True).requires_grad
        assert make(x, device="meta").is_meta
    assert specjit.full_like(x, 2, requires_grad=True).requires_grad


def test_triangle_indices_select_the_triangle():
    x = specjit.arange(12).reshape(3, 4)
    rows, columns = specjit.tril_indices(3, 4, 1)
    assert x[rows, columns].tolist() == [
        v for r, line in enumerate(x.tolist()) for c, v in enumerate(line) if c - r <= 1
    ]


# filling


@pytest.fixture
def generator():
    return specjit.Generator().manual_seed(11)


def test_uniform(generator):
    x = specjit.empty(2000).uniform_(-1, 3, generator=generator)
    assert x.min() >= -1
    assert x.max() < 3
    assert abs(x.mean() - 1) < 0.1
    assert (specjit.empty(5).uniform_(**{"from": 2, "to": 2}) == 2).all()
    with pytest.raises(RuntimeError, match="from=2 > to=1"):
        x.uniform_(2, 1)
    with pytest.raises(TypeError, match="'upto'"):
        x.uniform_(upto=2)
    with pytest.raises(NotImplementedError, match="check_uniform_bounds"):
        specjit.ones(2, dtype=int64).uniform_()


def test_normal(generator):
    x = specjit.empty(4000).normal_(2, 3, generator=generator)
    assert abs(x.mean() - 2) < 0.2
    assert abs(x.std() - 3) < 0.2
    with pytest.raises(RuntimeError, match="std >= 0"):
        x.normal_(0, -1)
    y = specjit.normal(specjit.arange(3.0).unsqueeze(1), specjit.tensor([1e-3, 2e-3]), generator=generator)
    assert y.shape == (3, 2)
    assert (y.round() == specjit.arange(3.0).unsqueeze(1)).all()
    assert specjit.normal(5.0, 0.0, (2, 2)).tolist() == [[5, 5], [5, 5]]


def test_normal_has_gradient_zero():
    mean = specjit.ones(3, requires_grad=True)
    specjit.normal(mean, 1.0).sum().backward()
    assert mean.grad.tolist() == [0, 0, 0]


def test_random_whole_numbers(generator):
    x = specjit.empty(1000, dtype=uint8).random_(generator=generator)
    assert x.max() > 200
    assert set(specjit.empty(200).random_(1, 4).tolist()) == {1, 2, 3}
    assert set(specjit.empty(200).random_(to=2).tolist()) == {0, 1}
    assert specjit.empty(100, dtype=int64).random_().max() > 2**40
    assert (specjit.empty(100, dtype=float32).random_() <= 2**24).all()
    with pytest.raises(RuntimeError, match="to - 1 is out of bounds for unsigned char"):
        x.random_(300)


def test_bernoulli(generator):
    x = specjit.empty(2000, dtype=int64).bernoulli_(0.25, generator=generator)
    assert abs(x.sum() - 500) < 100
    p = specjit.tensor([0.0, 1.0])
    assert specjit.empty(3, 2).bernoulli_(p).tolist() == [[0, 1]] * 3
    assert specjit.bernoulli(specjit.ones(3, dtype=int64), 1.0).tolist() == [1, 1, 1]
    with pytest.raises(RuntimeError, match="in \\[0, 1\\]"):
        x.bernoulli_(2)


def test_multinomial_has_the_weights_as_frequencies(generator):
    weights = specjit.tensor([[1.0, 0.0, 3.0], [2.0, 2.0, 0.0]])
    drawn = specjit.multinomial(weights, 4000, True, generator=generator).numpy()
    assert abs(np.mean(drawn[0] == 2) - 0.75) < 0.05
    assert abs(np.mean(drawn[1] == 0) - 0.5) < 0.05
    first = np.array([specjit.multinomial(weights[0], 2, generator=generator).tolist()[0] for _ in range(400)])
    assert abs(np.mean(first == 2) - 0.75) < 0.1


def test_fills_refuse_leaves():
    leaf = specjit.ones(2, requires_grad=True)
    for fill in (leaf.normal_, leaf.uniform_, leaf.bernoulli_, leaf.random_):
        with pytest.raises(RuntimeError, match="leaf"):
            fill()


# generators


def test_generator_state(generator):
    assert generator.device == "cpu"
    assert generator.initial_seed() == 11
    state = generator.get_state()
    assert state.dtype is uint8
    first = specjit.rand(3, generator=generator)
    generator.set_state(state)
    assert specjit.rand(3, generator=generator).tolist() == first.tolist()
    again = specjit.Generator().manual_seed(11)
    assert specjit.rand(3, generator=again).tolist() == first.tolist()
    with pytest.raises(TypeError):
        generator.set_state(specjit.ones(3))
    with pytest.raises(RuntimeError):
        generator.set_state(specjit.ones(3, dtype=uint8))


def test_seeds(generator):
    assert generator.manual_seed(-1).initial_seed() == 2**64 - 1
    with pytest.raises(ValueError, match="Overflow"):
        generator.manual_seed(2**64)
    for wrong in ("a", 1.5):
        with pytest.raises(RuntimeError, match="expected a long"):
            generator.manual_seed(wrong)
    with pytest.raises(RuntimeError, match="Expected one of"):
        specjit.Generator("abc")
    assert specjit.Generator().initial_seed() == specjit.Generator("cpu").initial_seed()
