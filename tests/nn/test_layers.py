"""Layers and functions against formulas in NumPy."""

from __future__ import annotations

import math

import numpy as np
import pytest

import specjit
from specjit import nn
from specjit.nn import functional as F

RNG = np.random.default_rng(0)


def data(*shape):
    array = RNG.normal(size=shape)
    return specjit.tensor(array), array


def near(tensor, array, tolerance=1e-12):
    np.testing.assert_allclose(tensor.detach().numpy(), array, rtol=tolerance, atol=tolerance)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def test_layer_norm():
    x, a = data(2, 3, 4)
    net = nn.LayerNorm([3, 4]).double()
    mean = a.mean((1, 2), keepdims=True)
    variance = ((a - mean) ** 2).mean((1, 2), keepdims=True)
    near(net(x), (a - mean) / np.sqrt(variance + 1e-5))
    with pytest.raises(RuntimeError, match="normalized_shape"):
        net(x[:, :, :2])


def test_embedding():
    net = nn.Embedding(5, 3, padding_idx=-1)
    assert net.weight[4].tolist() == [0, 0, 0]
    out = net(specjit.tensor([[0, 4], [1, 1]]))
    assert out.shape == (2, 2, 3)
    out.sum().backward()
    assert net.weight.grad.sum(1).tolist() == [3, 6, 0, 0, 0]
    with pytest.raises(AssertionError, match="Padding_idx"):
        nn.Embedding(5, 3, padding_idx=5)
    with pytest.raises(IndexError, match="out of range"):
        net(specjit.tensor([5]))


def test_dropout():
    x = specjit.ones(1000)
    assert F.dropout(x, 0.5, training=False) is x
    assert nn.Dropout(0.5).eval()(x) is x
    assert F.dropout(x, 1.0).sum().item() == 0
    y = specjit.ones(1000, requires_grad=True)
    out = nn.Dropout(0.5)(y)
    out.sum().backward()
    assert y.grad.tolist() == out.tolist()
    for bad in (-0.1, 1.1):
        with pytest.raises(ValueError, match="between 0 and 1"):
            F.dropout(x, bad)
        with pytest.raises(ValueError, match="between 0 and 1"):
            nn.Dropout(bad)
    z = specjit.ones(10)
    assert F.dropout(z, 0.5, inplace=True) is z


def test_activations():
    x, a = data(20)
    near(F.gelu(x), np.array([v * 0.5 * (1 + math.erf(v / math.sqrt(2))) for v in a]))
    near(F.gelu(x, "tanh"), 0.5 * a * (1 + np.tanh(math.sqrt(2 / math.pi) * (a + 0.044715 * a**3))))
    near(F.silu(x), a * sigmoid(a))
    near(F.elu(x, 2.0), np.where(a > 0, a, 2 * np.expm1(a)))
    near(F.leaky_relu(x), np.where(a > 0, a, 0.01 * a))
    near(F.softplus(x), np.log1p(np.exp(a)))
    near(F.softplus(specjit.tensor([1000.0])), [1000.0])
    near(F.logsigmoid(x), np.log(sigmoid(a)))
    near(F.hardtanh(x), np.clip(a, -1, 1))
    near(F.normalize(x, dim=0), a / np.linalg.norm(a))
    for layer in (
        nn.ReLU(),
        nn.Sigmoid(),
        nn.Tanh(),
        nn.SiLU(),
        nn.GELU(),
        nn.ELU(),
        nn.LeakyReLU(),
        nn.Softplus(),
        nn.Softmax(0),
        nn.LogSoftmax(0),
    ):
        name = {"SiLU": "silu", "LeakyReLU": "leaky_relu", "LogSoftmax": "log_softmax"}.get(
            type(layer).__name__, type(layer).__name__.lower()
        )
        function = getattr(F, name)
        want = function(x, 0) if "softmax" in name else function(x)
        assert layer(x).tolist() == want.tolist()
    with pytest.raises(RuntimeError, match="approximate"):
        F.gelu(x, "no")
    y = specjit.tensor([-1.0, 1.0])
    assert F.relu(y, inplace=True) is y


def test_losses():
    x, a = data(4, 5)
    y, b = data(4, 5)
    target = specjit.tensor([0, 3, -100, 1])
    logs = a - np.log(np.exp(a).sum(1, keepdims=True))
    picked = np.array([logs[0, 0], logs[1, 3], logs[3, 1]])
    near(F.cross_entropy(x, target), -picked.mean())
    near(F.cross_entropy(x, target, reduction="sum"), -picked.sum())
    near(F.cross_entropy(x, target, reduction="none"), -np.array([picked[0], picked[1], 0, picked[2]]))
    weight = specjit.tensor([1.0, 2.0, 3.0, 4.0, 5.0], dtype=specjit.float64)
    w = np.array([1.0, 4.0, 2.0])
    near(nn.CrossEntropyLoss(weight)(x, target), -(picked * w).sum() / w.sum())
    smooth = 0.9 * -picked.mean() + 0.1 * -np.array([logs[k].mean() for k in (0, 1, 3)]).mean()
    near(F.cross_entropy(x, target, label_smoothing=0.1), smooth)
    p = np.exp(b) / np.exp(b).sum(1, keepdims=True)
    near(F.cross_entropy(x, specjit.tensor(p)), -(logs * p).sum(1).mean())
    near(F.nll_loss(specjit.tensor(logs), target), -picked.mean())
    near(F.cross_entropy(x[0], specjit.tensor(2)), -logs[0, 2])
    near(F.mse_loss(x, y), ((a - b) ** 2).mean())
    near(nn.MSELoss(reduction="sum")(x, y), ((a - b) ** 2).sum())
    near(nn.L1Loss(reduction="none")(x, y), np.abs(a - b))
    near(
        F.binary_cross_entropy_with_logits(x, specjit.tensor(p)),
        -(p * np.log(sigmoid(a)) + (1 - p) * np.log(sigmoid(-a))).mean(),
    )
    with pytest.raises(ValueError, match="not a valid value for reduction"):
        F.mse_loss(x, y, reduction="median")
    with pytest.raises(ValueError, match="batch_size"):
        F.cross_entropy(x, specjit.tensor([1]))
    with pytest.raises(IndexError, match="Target 7 is out of bounds"):
        F.cross_entropy(x, specjit.tensor([0, 1, 2, 7]))


def test_conv2d_forms():
    x, _ = data(1, 2, 5, 5)
    w, _ = data(3, 2, 3, 3)
    bias, b = data(3)
    plain = F.conv2d(x, w)
    near(F.conv2d(x, w, bias), plain.numpy() + b.reshape(1, 3, 1, 1))
    assert F.conv2d(x, w, padding="same").shape == (1, 3, 5, 5)
    assert F.conv2d(x[0], w, padding="valid").shape == (3, 3, 3)
    even, _ = data(3, 2, 2, 2)
    assert F.conv2d(x, even, padding="same").shape == (1, 3, 5, 5)
    with pytest.raises(RuntimeError, match="strided"):
        F.conv2d(x, w, stride=2, padding="same")
    with pytest.raises(RuntimeError, match="Invalid padding"):
        F.conv2d(x, w, padding="all")
    layer = nn.Conv2d(2, 4, (3, 1), padding=(1, 0), groups=2)
    assert layer(specjit.ones(1, 2, 5, 5)).shape == (1, 4, 5, 5)
    with pytest.raises(ValueError, match="divisible by groups"):
        nn.Conv2d(3, 4, 1, groups=2)


def test_one_hot():
    assert F.one_hot(specjit.tensor([0, 2])).tolist() == [[1, 0, 0], [0, 0, 1]]
