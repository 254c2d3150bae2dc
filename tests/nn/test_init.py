"""Initializers: the formulas of their bounds and deviations, structure, errors."""

from __future__ import annotations

import math

import numpy as np
import pytest

import specjit
from specjit import nn
from specjit.nn import init

BIG = (400, 100)


def values(fn, *args, shape=BIG, **kwargs):
    specjit.manual_seed(0)
    w = nn.Parameter(specjit.empty(*shape, dtype=specjit.float64))
    assert fn(w, *args, **kwargs) is w
    assert w.requires_grad
    assert w.grad_fn is None
    return w.detach().numpy()


def test_constants():
    assert values(init.zeros_).any() == 0
    assert (values(init.ones_) == 1).all()
    assert (values(init.constant_, 2.5) == 2.5).all()
    for shape in ((3, 5), (5, 3), (2, 2), (0, 2)):
        np.testing.assert_array_equal(values(init.eye_, shape=shape), np.eye(*shape))


@pytest.mark.parametrize(
    ("fn", "kwargs", "bound"),
    [
        (init.uniform_, {"a": -2.0, "b": 2.0}, 2.0),
        (init.xavier_uniform_, {}, math.sqrt(6 / 500)),
        (init.xavier_uniform_, {"gain": 3.0}, 3 * math.sqrt(6 / 500)),
        (init.kaiming_uniform_, {"a": math.sqrt(5)}, 0.1),
        (init.kaiming_uniform_, {"mode": "fan_out", "nonlinearity": "tanh"}, math.sqrt(3) * 5 / 3 / 20),
        (init.kaiming_uniform_, {"mode": "FAN_IN", "nonlinearity": "selu"}, math.sqrt(3) * 0.75 / 10),
    ],
)
def test_uniform(fn, kwargs, bound):
    w = values(fn, **kwargs)
    assert bound * 0.999 < abs(w).max() <= bound
    assert abs(w.mean()) < 0.02 * bound
    assert abs(w.std() / (bound / math.sqrt(3)) - 1) < 0.02


@pytest.mark.parametrize(
    ("fn", "kwargs", "std"),
    [
        (init.normal_, {"std": 3.0}, 3.0),
        (init.xavier_normal_, {"gain": 2.0}, 2 * math.sqrt(2 / 500)),
        (init.kaiming_normal_, {"nonlinearity": "relu"}, math.sqrt(2 / 100)),
        (init.kaiming_normal_, {"mode": "fan_out", "nonlinearity": "linear"}, math.sqrt(1 / 400)),
    ],
)
def test_normal(fn, kwargs, std):
    w = values(fn, **kwargs)
    assert abs(w.std() / std - 1) < 0.02
    assert abs(w.mean()) < 0.03 * std
    assert abs((abs(w) < std).mean() - 0.6827) < 0.01


def test_kernels_count_as_fans():
    w = values(init.xavier_uniform_, shape=(8, 4, 5, 5))
    assert abs(w).max() <= math.sqrt(6 / (12 * 25))


def test_trunc_normal():
    w = values(init.trunc_normal_, mean=1.0, std=2.0, a=-0.5, b=1.5)
    assert w.min() >= -0.5
    assert w.max() <= 1.5
    # Compared with draws of a normal, kept where they lie between the bounds.
    drawn = np.random.default_rng(0).normal(1.0, 2.0, 400000)
    kept = drawn[(drawn > -0.5) & (drawn < 1.5)]
    np.testing.assert_allclose(np.quantile(w, [0.1, 0.5, 0.9]), np.quantile(kept, [0.1, 0.5, 0.9]), atol=0.02)
    with pytest.warns(UserWarning, match="2 std"):
        init.trunc_normal_(specjit.empty(3), mean=9.0)
    half = init.trunc_normal_(specjit.empty(1000, dtype=specjit.float16))
    assert half.abs().amax().item() <= 2


@pytest.mark.parametrize("shape", [(6, 4), (4, 6), (5, 5), (4, 3, 2), (1, 1)])
def test_orthogonal(shape):
    w = values(init.orthogonal_, 2.0, shape=shape).reshape(shape[0], -1)
    small = w @ w.T if w.shape[0] <= w.shape[1] else w.T @ w
    np.testing.assert_allclose(small, 4 * np.eye(len(small)), atol=1e-12)
    assert values(init.orthogonal_, shape=(0, 3)).shape == (0, 3)


def test_sparse():
    w = values(init.sparse_, 0.25, std=0.5, shape=(10, 7))
    assert ((w == 0).sum(0) == 3).all()
    assert 0.3 < w[w != 0].std() < 0.7


@pytest.mark.parametrize("ndim", [1, 2, 3])
def test_dirac(ndim):
    image = np.random.default_rng(0).normal(size=(4, *[5] * ndim))
    w = values(init.dirac_, shape=(4, 4, *[3] * ndim))
    where = np.argwhere(w)
    np.testing.assert_array_equal(where, [[c, c, *[1] * ndim] for c in range(4)])
    assert (w[tuple(where.T)] == 1).all()
    assert image.shape[0] == 4
    grouped = values(init.dirac_, 2, shape=(6, 2, *[3] * ndim))
    np.testing.assert_array_equal(np.argwhere(grouped)[:, :2], [[0, 0], [1, 1], [3, 0], [4, 1]])


def test_gains():
    for name, gain in (
        ("linear", 1),
        ("sigmoid", 1),
        ("conv2d", 1),
        ("conv_transpose3d", 1),
        ("tanh", 5 / 3),
        ("relu", math.sqrt(2)),
        ("leaky_relu", math.sqrt(2 / 1.0001)),
        ("selu", 0.75),
    ):
        assert init.calculate_gain(name) == gain
    assert init.calculate_gain("leaky_relu", 2) == math.sqrt(2 / 5)


def test_generators_and_meta():
    one = init.normal_(specjit.empty(3), generator=specjit.Generator().manual_seed(7))
    two = init.normal_(specjit.empty(3), generator=specjit.Generator().manual_seed(7))
    assert one.tolist() == two.tolist()
    assert init.kaiming_uniform_(specjit.empty(3, 4, device="meta")).is_meta
    with pytest.warns(UserWarning, match="no-op"):
        init.kaiming_normal_(specjit.empty(0, 3))


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda w: init.eye_(w), "2 dimensions"),
        (lambda w: init.sparse_(w, 0.1), "2 dimensions"),
        (lambda w: init.dirac_(w), "3, 4, or 5"),
        (lambda w: init.dirac_(specjit.ones(3, 3, 3), 2), "divisible by groups"),
        (lambda w: init.orthogonal_(w), "2 or more"),
        (lambda w: init.xavier_uniform_(w), "fewer than 2"),
        (lambda w: init.calculate_gain("no"), "Unsupported nonlinearity no"),
        (lambda w: init.calculate_gain("leaky_relu", True), "negative_slope True"),
        (lambda w: init.kaiming_normal_(specjit.ones(2, 2), mode="no"), "Mode no not supported"),
    ],
)
def test_errors(call, text):
    with pytest.raises(ValueError, match=text):
        call(specjit.ones(3))
