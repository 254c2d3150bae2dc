"""SGD and Adam against their formulas in NumPy; groups, state, errors, and that updates are seen."""

from __future__ import annotations

import math

import numpy as np
import pytest

import specjit
from specjit import nn, optim
from specjit.tensor import state


def run(optimizer, steps=5, **options):
    p = nn.Parameter(specjit.tensor([1.0, -2.0], dtype=specjit.float64))
    o = optimizer([p], **options)
    for _ in range(steps):
        o.zero_grad()
        (p**4).sum().backward()
        o.step()
    return p.detach().numpy()


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"momentum": 0.9},
        {"momentum": 0.9, "nesterov": True},
        {"momentum": 0.5, "dampening": 0.2},
        {"weight_decay": 0.1},
        {"maximize": True},
    ],
)
def test_sgd(options):
    w, v = np.array([1.0, -2.0]), None
    momentum, damp = options.get("momentum", 0), options.get("dampening", 0)
    for _ in range(5):
        g = 4 * w**3 * (-1 if options.get("maximize") else 1) + options.get("weight_decay", 0) * w
        if momentum:
            v = g if v is None else momentum * v + (1 - damp) * g
            g = g + momentum * v if options.get("nesterov") else v
        w = w - 0.01 * g
    np.testing.assert_allclose(run(optim.SGD, lr=0.01, **options), w, rtol=1e-13)


@pytest.mark.parametrize("options", [{}, {"betas": (0.5, 0.9)}, {"weight_decay": 0.1}, {"amsgrad": True}])
def test_adam(options):
    w, m, v, top = np.array([1.0, -2.0]), 0.0, 0.0, 0.0
    b1, b2 = options.get("betas", (0.9, 0.999))
    for t in range(1, 6):
        g = 4 * w**3 + options.get("weight_decay", 0) * w
        m, v = b1 * m + (1 - b1) * g, b2 * v + (1 - b2) * g * g
        top = np.maximum(top, v)
        second = top if options.get("amsgrad") else v
        w = w - 0.01 / (1 - b1**t) * m / (np.sqrt(second) / math.sqrt(1 - b2**t) + 1e-8)
    np.testing.assert_allclose(run(optim.Adam, lr=0.01, **options), w, rtol=1e-12)


def test_updates_are_in_place_and_seen():
    p = nn.Parameter(specjit.ones(3))
    o = optim.SGD([p], lr=0.1)
    p.sum().backward()
    data, version, epoch = p._data, p._version[0], state.write_epoch
    assert o.step() is None
    assert p._data is data
    assert p._version[0] > version
    assert state.write_epoch != epoch
    assert p.requires_grad
    assert p.is_leaf


def test_groups_closures_and_missing_gradients():
    a, b = nn.Parameter(specjit.ones(1)), nn.Parameter(specjit.ones(1))
    o = optim.SGD([{"params": [a]}, {"params": b, "lr": 1.0}], lr=0.1)

    def closure():
        o.zero_grad()
        loss = (a * 2).sum()
        loss.backward()
        return loss

    assert o.step(closure).item() == 2
    assert a.item() == pytest.approx(0.8)
    assert b.item() == 1
    a.grad = specjit.ones(1)
    o.zero_grad(set_to_none=False)
    assert a.grad.tolist() == [0]
    assert "lr=0.1" in repr(o)


def test_state_dict():
    torn = nn.Parameter(specjit.tensor([1.0, -2.0], dtype=specjit.float64))
    whole = nn.Parameter(torn.detach().clone())
    first, other = optim.Adam([torn], lr=0.1), optim.Adam([whole], lr=0.1)
    for k in range(6):
        if k == 3:
            saved = first.state_dict()
            first = optim.Adam([torn], lr=5.0)
            first.load_state_dict(saved)
        for p, o in ((torn, first), (whole, other)):
            o.zero_grad()
            (p**2).sum().backward()
            o.step()
    assert torn.tolist() == whole.tolist()
    with pytest.raises(ValueError, match="different number"):
        first.load_state_dict({"state": {}, "param_groups": []})


@pytest.mark.parametrize(
    ("make", "kind", "text"),
    [
        (lambda p: optim.SGD([], lr=0.1), ValueError, "empty parameter list"),
        (lambda p: optim.SGD(p, lr=0.1), TypeError, "iterable"),
        (lambda p: optim.SGD([1.0], lr=0.1), TypeError, "float"),
        (lambda p: optim.SGD([p * 2], lr=0.1), ValueError, "non-leaf"),
        (lambda p: optim.SGD([{"params": p}, {"params": p}], lr=0.1), ValueError, "more than one"),
        (lambda p: optim.SGD([p], lr=-1), ValueError, "Invalid learning rate"),
        (lambda p: optim.SGD([p], nesterov=True), ValueError, "Nesterov"),
        (lambda p: optim.Adam([p], betas=(1.0, 0.9)), ValueError, "beta parameter at index 0"),
    ],
)
def test_errors(make, kind, text):
    with pytest.raises(kind, match=text):
        make(nn.Parameter(specjit.ones(1)))


def test_training_a_small_network():
    specjit.manual_seed(3)
    net = nn.Sequential(nn.Linear(2, 16), nn.Tanh(), nn.Linear(16, 2))
    o = optim.Adam(net.parameters(), lr=0.05)
    x = specjit.tensor([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
    y = specjit.tensor([0, 1, 1, 0])
    for _ in range(100):
        o.zero_grad()
        loss = nn.CrossEntropyLoss()(net(x), y)
        loss.backward()
        o.step()
    assert net(x).argmax(1).tolist() == y.tolist()
