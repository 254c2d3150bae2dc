"""Optimizers against their formulas in NumPy; groups, state, hooks, errors, and that updates are seen."""

from __future__ import annotations

import copy
import math
import pickle

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


def gradient(w, options, decay=True):
    g = 4 * w**3 * (-1 if options.get("maximize") else 1)
    return g + options.get("weight_decay", 0) * w if decay else g


START = np.array([1.0, -2.0])


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"momentum": 0.9},
        {"momentum": 0.9, "nesterov": True},
        {"momentum": 0.5, "dampening": 0.2},
        {"weight_decay": 0.1},
        {"maximize": True, "weight_decay": 0.1},
    ],
)
def test_sgd(options):
    w, v = START, None
    momentum, damp = options.get("momentum", 0), options.get("dampening", 0)
    for _ in range(5):
        g = gradient(w, options)
        if momentum:
            v = g if v is None else momentum * v + (1 - damp) * g
            g = g + momentum * v if options.get("nesterov") else v
        w = w - 0.01 * g
    np.testing.assert_allclose(run(optim.SGD, lr=0.01, **options), w, rtol=1e-13)


@pytest.mark.parametrize(
    "options",
    [{}, {"betas": (0.5, 0.9)}, {"weight_decay": 0.1}, {"amsgrad": True}, {"maximize": True}, {"eps": 0.1}],
)
@pytest.mark.parametrize("decoupled", [False, True])
def test_adam(options, decoupled):
    w, m, v, top = START, 0.0, 0.0, 0.0
    b1, b2 = options.get("betas", (0.9, 0.999))
    decay = options.get("weight_decay", 0.01) if decoupled else 0
    for t in range(1, 6):
        g = gradient(w, options, decay=not decoupled)
        w = w * (1 - 0.01 * decay)
        m, v = b1 * m + (1 - b1) * g, b2 * v + (1 - b2) * g * g
        top = np.maximum(top, v)
        second = top if options.get("amsgrad") else v
        w = w - 0.01 / (1 - b1**t) * m / (np.sqrt(second) / math.sqrt(1 - b2**t) + options.get("eps", 1e-8))
    made = optim.AdamW if decoupled else optim.Adam
    np.testing.assert_allclose(run(made, lr=0.01, **options), w, rtol=1e-12)
    if decoupled and "weight_decay" in options:
        again = run(optim.Adam, lr=0.01, decoupled_weight_decay=True, **options)
        np.testing.assert_allclose(again, w, rtol=1e-12)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"alpha": 0.5, "eps": 0.1},
        {"weight_decay": 0.1},
        {"momentum": 0.9},
        {"centered": True},
        {"centered": True, "momentum": 0.5, "maximize": True},
    ],
)
def test_rmsprop(options):
    w, square, mean, buffer = START, 0.0, 0.0, 0.0
    alpha, eps = options.get("alpha", 0.99), options.get("eps", 1e-8)
    for _ in range(5):
        g = gradient(w, options)
        square, mean = alpha * square + (1 - alpha) * g * g, alpha * mean + (1 - alpha) * g
        variance = square - mean**2 if options.get("centered") else square
        buffer = options.get("momentum", 0) * buffer + g / (np.sqrt(variance) + eps)
        w = w - 0.01 * buffer
    np.testing.assert_allclose(run(optim.RMSprop, lr=0.01, **options), w, rtol=1e-10)


@pytest.mark.parametrize(
    "options",
    [{}, {"lr_decay": 0.5}, {"weight_decay": 0.1, "maximize": True}, {"initial_accumulator_value": 2.0, "eps": 0.1}],
)
def test_adagrad(options):
    w, total = START, options.get("initial_accumulator_value", 0.0)
    for t in range(5):
        g = gradient(w, options)
        total = total + g * g
        w = w - 0.01 / (1 + t * options.get("lr_decay", 0)) * g / (np.sqrt(total) + options.get("eps", 1e-10))
    np.testing.assert_allclose(run(optim.Adagrad, lr=0.01, **options), w, rtol=1e-12)


EVERY = [
    (optim.SGD, {"lr": 0.1, "momentum": 0.9}),
    (optim.Adam, {"lr": 0.1, "amsgrad": True}),
    (optim.AdamW, {"lr": 0.1}),
    (optim.RMSprop, {"lr": 0.1, "momentum": 0.9, "centered": True}),
    (optim.Adagrad, {"lr": 0.1, "lr_decay": 0.1}),
]


@pytest.mark.parametrize(("kind", "options"), EVERY)
def test_saved_copied_and_loaded_states_go_on_alike(kind, options):
    def stepped(p, o, times=3):
        for _ in range(times):
            o.zero_grad()
            (p**2).sum().backward()
            o.step()

    p = nn.Parameter(specjit.tensor([1.0, -2.0], dtype=specjit.float64))
    o = kind([p], **options)
    stepped(p, o)
    twin, other = copy.deepcopy((p, o))
    pickled, unpickled = pickle.loads(pickle.dumps((p, o)))
    fresh = nn.Parameter(p.detach().clone())
    loaded = kind([fresh], lr=7.0)
    loaded.load_state_dict(pickle.loads(pickle.dumps(o.state_dict())))
    small = nn.Parameter(p.detach().float())
    converted = kind([small], lr=7.0)
    converted.load_state_dict(o.state_dict())
    stepped(p, o)
    for q, again in ((twin, other), (pickled, unpickled), (fresh, loaded)):
        assert q is not p
        stepped(q, again)
        assert q.tolist() == p.tolist()
        assert again.state_dict()["param_groups"] == o.state_dict()["param_groups"]
    held = converted.state[small]
    assert all(v.dtype is specjit.float32 for v in held.values())
    assert all(held[k] is not v for k, v in o.state[p].items())


@pytest.mark.parametrize(("kind", "options"), EVERY)
def test_tensors_as_learning_rates_and_options_of_implementations(kind, options):
    want = run(kind, **options)
    rate = {**options, "lr": specjit.tensor(np.array(0.1))}
    np.testing.assert_array_equal(run(kind, **rate, foreach=True, differentiable=False), want)


def test_differentiable_steps_are_recorded():
    rate = specjit.tensor(3.0, dtype=specjit.float64, requires_grad=True)
    p = rate * 2
    o = optim.SGD([p], lr=0.5, differentiable=True)
    p.grad = rate * rate
    o.step()
    p.backward()
    # d (2 r - r^2 / 2) / d r
    assert rate.grad.item() == pytest.approx(2 - 3.0)


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
    assert repr(o).startswith("SGD (\nParameter Group 0\n    dampening: 0\n    differentiable: False\n")
    assert repr(o).endswith("Parameter Group 1\n" + "\n".join(repr(optim.SGD([a], lr=1.0)).split("\n")[2:]))


def test_groups_with_names():
    net = nn.Linear(2, 2)
    o = optim.SGD(net.named_parameters(), lr=0.1)
    assert o.state_dict()["param_groups"][0]["param_names"] == ["weight", "bias"]
    with pytest.raises(ValueError, match="with/without names"):
        o.add_param_group({"params": [nn.Parameter(specjit.ones(1))]})
    with pytest.raises(ValueError, match="names are missing"):
        optim.SGD([("a", net.weight), net.bias])
    o.add_param_group({"params": [("more", nn.Parameter(specjit.ones(1)))], "lr": 3.0})
    assert o.param_groups[1]["lr"] == 3
    with pytest.warns(UserWarning, match="duplicate"):
        optim.SGD([net.weight, net.weight])
    late = optim.Adagrad([net.weight], initial_accumulator_value=2.0)
    late.add_param_group({"params": [net.bias]})
    assert late.state[net.bias]["sum"].tolist() == [2, 2]


def test_states_that_do_not_fit():
    o = optim.SGD([nn.Parameter(specjit.ones(1))])
    with pytest.raises(ValueError, match="different number"):
        o.load_state_dict({"state": {}, "param_groups": []})
    with pytest.raises(ValueError, match="match the size"):
        o.load_state_dict({"state": {}, "param_groups": [{"params": [0, 1]}]})


def test_hooks():
    p = nn.Parameter(specjit.ones(1))
    o, seen = optim.SGD([p], lr=0.1, momentum=0.5), []
    p.grad = specjit.ones(1)
    o.register_step_pre_hook(lambda o, args, kwargs: seen.append("before"))
    handle = o.register_step_post_hook(lambda o, args, kwargs: seen.append(args))
    o.step()
    handle.remove()
    o.step()
    assert seen == ["before", (None,), "before"]
    o.register_step_pre_hook(lambda o, args, kwargs: ((lambda: 7,), kwargs))
    assert o.step() == 7
    o.register_state_dict_pre_hook(lambda o: seen.append("saving"))
    o.register_state_dict_post_hook(lambda o, saved: {**saved, "more": 1})
    o.register_state_dict_post_hook(lambda o, saved: seen.append(sorted(saved)), prepend=True)
    saved = o.state_dict()
    assert saved["more"] == 1
    assert seen[-2:] == ["saving", ["param_groups", "state"]]
    o.register_load_state_dict_pre_hook(lambda o, saved: {**saved, "param_groups": [{"params": [0], "lr": 9.0}]})
    o.register_load_state_dict_post_hook(lambda o: seen.append(o.param_groups[0]["lr"]))
    o.load_state_dict(saved)
    assert seen[-1] == 9
    o.register_step_pre_hook(lambda o, args, kwargs: 3)
    with pytest.raises(RuntimeError, match="None or a tuple"):
        o.step()


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
        (lambda p: optim.SGD([{"params": {p}}]), TypeError, "ordered collections"),
        (lambda p: optim.SGD([p]).add_param_group(3), TypeError, "must be a dict"),
        (lambda p: optim.Adam([p], betas=(1.0, 0.9)), ValueError, "beta parameter at index 0"),
        (lambda p: optim.Adam([p], betas=(0.9, -1)), ValueError, "beta parameter at index 1"),
        (lambda p: optim.AdamW([p], eps=-1), ValueError, "Invalid epsilon value"),
        (lambda p: optim.RMSprop([p], alpha=-1), ValueError, "Invalid alpha value"),
        (lambda p: optim.RMSprop([p], momentum=-1), ValueError, "Invalid momentum value"),
        (lambda p: optim.Adagrad([p], lr_decay=-1), ValueError, "Invalid lr_decay value"),
        (lambda p: optim.Adagrad([p], weight_decay=-1), ValueError, "Invalid weight_decay value"),
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
