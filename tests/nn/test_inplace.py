"""Activations and dropout that write their input: content, identity, gradients; slopes at kinks."""

from __future__ import annotations

import inspect

import numpy as np
import pytest

import specjit
from specjit import nn

F = nn.functional
ACTIVATIONS = [
    n
    for n in dir(F)
    if inspect.isfunction(getattr(F, n))
    and "inplace" in inspect.signature(getattr(F, n)).parameters
    and "dropout" not in n
]
ARGUMENTS = {"threshold": (0.1, 5.0)}


def test_the_list_is_not_empty():
    assert {"relu", "elu", "threshold", "hardswish", "silu", "mish"} <= set(ACTIVATIONS)


@pytest.mark.parametrize("name", ACTIVATIONS)
@pytest.mark.parametrize("dtype", [specjit.float64, specjit.float16])
def test_in_place_is_the_function(name, dtype):
    fn, more = getattr(F, name), ARGUMENTS.get(name, ())
    data = np.random.default_rng(0).uniform(-3, 3, (4, 5))
    x = specjit.tensor(data, dtype=dtype)
    want = fn(x, *more)
    assert want is not x
    assert fn(x, *more, inplace=True) is x
    np.testing.assert_array_equal(x.numpy(), want.numpy())
    assert x.dtype is dtype


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_gradients_through_the_write(name):
    fn, more = getattr(F, name), ARGUMENTS.get(name, ())
    leaf = specjit.tensor(np.random.default_rng(1).uniform(-4, 4, (4, 5)), requires_grad=True)
    want = specjit.autograd.grad((fn(leaf * 2, *more) * leaf).sum(), leaf)[0]
    inner = leaf * 2
    got = specjit.autograd.grad((fn(inner, *more, inplace=True) * leaf).sum(), leaf)[0]
    np.testing.assert_allclose(got.numpy(), want.numpy(), rtol=1e-12)
    with pytest.raises(RuntimeError, match="leaf"):
        fn(leaf, *more, inplace=True)


@pytest.mark.parametrize("name", [n for n in dir(F) if n.endswith("dropout") or n.startswith("dropout")])
def test_dropout_in_place(name):
    x = specjit.ones(*(2, 3, 2) if name == "dropout1d" else (2, 3, 2, 2, 2))
    specjit.manual_seed(3)
    want = getattr(F, name)(x, 0.5, True)
    y = x.clone()
    specjit.manual_seed(3)
    assert getattr(F, name)(y, 0.5, True, True).shape == y.shape
    np.testing.assert_array_equal(y.numpy(), want.numpy())


SLOPES = {
    "relu": [(0.0, 0.0)],
    "hardtanh": [(-1.0, 0.0), (1.0, 0.0), (0.5, 1.0)],
    "relu6": [(0.0, 0.0), (6.0, 0.0)],
    "leaky_relu": [(0.0, 0.01)],
    "elu": [(0.0, 1.0)],
    "celu": [(0.0, 1.0)],
    "logsigmoid": [(0.0, 0.5)],
    "hardsigmoid": [(-3.0, 0.0), (3.0, 0.0)],
    "hardswish": [(-3.0, 0.0), (3.0, 1.0)],
    "hardshrink": [(0.5, 0.0), (-0.5, 0.0)],
    "softshrink": [(0.5, 0.0), (-0.5, 0.0)],
    "softplus": [(1000.0, 1.0), (-1000.0, 0.0)],
    "mish": [(1000.0, 1.0)],
    "selu": [(1000.0, 1.0507009873554805)],
}


@pytest.mark.parametrize("name", SLOPES)
def test_slopes_at_kinks_and_far_out(name):
    for at, slope in SLOPES[name]:
        x = specjit.tensor(at, dtype=specjit.float64, requires_grad=True)
        getattr(F, name)(x).backward()
        assert x.grad.item() == pytest.approx(slope), (name, at)


def test_binary_cross_entropy_is_finite_at_the_ends():
    p = specjit.tensor([0.0, 1.0, 0.0, 1.0], requires_grad=True)
    F.binary_cross_entropy(p, specjit.tensor([0.0, 1.0, 1.0, 0.0])).backward()
    assert specjit.isfinite(p.grad).all()
    assert p.grad[:2].tolist() == [0, 0]


def test_lengths_of_zero_vectors_have_no_slope():
    x = specjit.zeros(2, 3, requires_grad=True)
    F.pairwise_distance(x, x.detach(), eps=0.0).sum().backward()
    assert x.grad.abs().sum().item() == 0
    # Only the numerator's is left.
    np.testing.assert_allclose(specjit.autograd.grad(F.normalize(x, eps=0.5).sum(), x)[0].numpy(), 2.0)
