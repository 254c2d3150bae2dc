"""Batch and instance normalization over time: running statistics, training and evaluation."""

from __future__ import annotations

import numpy as np
import pytest

import specjit
from specjit import nn

RNG = np.random.default_rng(0)
BATCHES = [RNG.normal(1, 2, size=(4, 3, 5)) for _ in range(3)]


def expected(batches, momentum, per_sample=False):
    """(mean, unbiased variance) after the batches."""
    mean, var = np.zeros(3), np.ones(3)
    for k, b in enumerate(batches, 1):
        m = 1 / k if momentum is None else momentum
        if per_sample:
            found = b.mean(2).mean(0), b.var(2, ddof=1).mean(0)
        else:
            found = b.mean((0, 2)), np.moveaxis(b, 1, 0).reshape(3, -1).var(1, ddof=1)
        mean, var = (1 - m) * mean + m * found[0], (1 - m) * var + m * found[1]
    return mean, var


@pytest.mark.parametrize("momentum", [0.1, 0.5, None])
@pytest.mark.parametrize("captured", [False, True])
def test_batch_norm(momentum, captured):
    layer = nn.BatchNorm1d(3, momentum=momentum, dtype=specjit.float64)
    call = specjit.jit.script(layer) if captured else layer
    for b in BATCHES:
        out = call(specjit.tensor(b))
        np.testing.assert_allclose(out.mean((0, 2)).detach().numpy(), 0, atol=1e-12)
    mean, var = expected(BATCHES, momentum)
    np.testing.assert_allclose(layer.running_mean.numpy(), mean)
    np.testing.assert_allclose(layer.running_var.numpy(), var)
    assert layer.num_batches_tracked.item() == 3
    layer.eval()
    x = BATCHES[0]
    np.testing.assert_allclose(
        layer(specjit.tensor(x)).detach().numpy(), (x - mean[:, None]) / np.sqrt(var[:, None] + layer.eps)
    )
    assert layer.num_batches_tracked.item() == 3


def test_instance_norm():
    layer = nn.InstanceNorm1d(3, track_running_stats=True, dtype=specjit.float64)
    for b in BATCHES:
        layer(specjit.tensor(b))
    mean, var = expected(BATCHES, 0.1, per_sample=True)
    np.testing.assert_allclose(layer.running_mean.numpy(), mean)
    np.testing.assert_allclose(layer.running_var.numpy(), var)
    layer.eval()
    x = BATCHES[0]
    np.testing.assert_allclose(layer(specjit.tensor(x)).numpy(), (x - mean[:, None]) / np.sqrt(var[:, None] + 1e-5))


def test_without_tracking_there_are_no_statistics():
    layer = nn.BatchNorm1d(3, track_running_stats=False)
    assert layer.running_mean is None
    x = specjit.tensor(BATCHES[0], dtype=specjit.float32)
    np.testing.assert_allclose(layer.eval()(x).detach().numpy(), layer.train()(x).detach().numpy())
    assert "running_mean" not in layer.state_dict()


def test_float16_input_with_float32_statistics():
    layer = nn.BatchNorm1d(3)
    out = layer(specjit.tensor(BATCHES[0], dtype=specjit.float16))
    assert out.dtype is specjit.float16
    assert layer.running_mean.dtype is specjit.float32


def test_reset():
    layer = nn.BatchNorm2d(2)
    layer(specjit.randn(2, 2, 3, 3) + 5)
    layer.weight.detach().fill_(3)
    layer.reset_parameters()
    assert layer.running_mean.tolist() == [0, 0]
    assert layer.running_var.tolist() == [1, 1]
    assert layer.weight.tolist() == [1, 1]
    assert layer.num_batches_tracked.item() == 0


@pytest.mark.parametrize(
    ("layer", "shape", "text"),
    [
        (nn.BatchNorm1d(3), (3,), "expected 2D or 3D input"),
        (nn.BatchNorm2d(3), (2, 3, 4), "expected 4D input"),
        (nn.BatchNorm3d(3), (2, 3, 4), "expected 5D input"),
        (nn.InstanceNorm1d(3), (3,), "expected 2D or 3D input"),
        (nn.InstanceNorm2d(3, affine=True), (2, 2, 4, 4), "to match num_features"),
    ],
)
def test_shapes_that_do_not_fit(layer, shape, text):
    with pytest.raises(ValueError, match=text):
        layer(specjit.ones(*shape))
