"""Training through native regions: gradients against float64 finite differences and the eager tape, and what autograd
promises."""

from __future__ import annotations

import copy

import numpy as np
import pytest

import specjit
from specjit import nn
from tests.runtime.models import GRU, LSTM, PeepholeNormLSTM, arguments, lstm_float64, uniform


class Classifier(nn.Module):
    """An LSTM whose last state is classified."""

    def __init__(self, inputs: int, hidden: int, classes: int) -> None:
        super().__init__()
        self.rnn = LSTM(inputs, hidden)
        self.head = nn.Parameter(specjit.tensor(uniform(classes, hidden, seed=9)))

    def forward(self, x, state):
        y, _ = self.rnn(x, state)
        return y[-1] @ self.head.t()


def trained(model, program, steps):
    """Loss curve of SGD steps on a fixed task, calling `program` with the parameters of `model`."""
    optimizer = specjit.optim.SGD(model.parameters(), lr=0.2)
    x, state = arguments(6, 4, 5, 8)
    target = specjit.tensor(np.array([0, 1, 2, 1]))
    losses = []
    for _ in range(steps):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(program(x, state), target)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def test_fifty_steps_on_top_of_eager() -> None:
    model = Classifier(5, 8, 3)
    twin = copy.deepcopy(model)
    program = specjit.optimize(model, warmup=2)
    first = trained(model, program, 3)
    assert program.wait(600)
    before = program.stats()
    assert program.specializations, "\n".join(map(str, program.events()))
    curve = first + trained(model, program, 50)
    after = program.stats()
    assert after["fast"] - before["fast"] == 50
    assert after["misses"] == before["misses"]
    assert after["compiles"] == before["compiles"]
    expected = trained(twin, twin, 53)
    np.testing.assert_allclose(curve, expected, rtol=2e-4, atol=2e-5)
    assert curve[-1] < 0.8 * curve[0]


class TwoLayers(nn.Module):
    def __init__(self, inputs: int, hidden: int) -> None:
        super().__init__()
        self.first, self.second = LSTM(inputs, hidden), LSTM(hidden, hidden)

    def forward(self, x, state):
        y, _ = self.first(x, state)
        return self.second(y, state)


class LastState(nn.Module):
    """Any recurrent net, whose last output is classified."""

    def __init__(self, net: nn.Module, hidden: int) -> None:
        super().__init__()
        self.net = net
        self.head = nn.Parameter(specjit.tensor(uniform(3, hidden, seed=9)))

    def forward(self, x, *state):
        return self.net(x, *state)[0][-1] @ self.head.t()


def trained_on(model, program, states, sizes):
    """Loss curve over batches of these sizes (steps, batch). `states` makes a net's states of h and c."""
    optimizer = specjit.optim.SGD(model.parameters(), lr=0.2)
    losses = []
    for steps, batch in sizes:
        x, (h, c) = arguments(steps, batch, 5, 8)
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(program(x, *states(h, c)), specjit.tensor(np.arange(batch) % 3))
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


@pytest.mark.parametrize(
    ("make", "hidden", "states"),
    [
        (lambda: LSTM(5, 8), 8, lambda h, c: [(h, c)]),
        (lambda: TwoLayers(5, 8), 8, lambda h, c: [(h, c)]),
        (lambda: GRU(5, 8), 8, lambda h, c: [h]),
        (lambda: PeepholeNormLSTM(5, 8), 8, lambda h, c: [h, c]),
        (lambda: nn.LSTM(5, 8, num_layers=2), 8, lambda h, c: []),
        (lambda: nn.LSTM(5, 8, bidirectional=True), 16, lambda h, c: []),
        (lambda: nn.GRU(5, 8, num_layers=2, bidirectional=True), 16, lambda h, c: []),
    ],
    ids=["lstm", "two lstms", "gru", "peephole", "nn.LSTM", "bidirectional nn.LSTM", "bidirectional nn.GRU"],
)
def test_batches_and_lengths_that_alternate_cost_one_compile(make, hidden, states) -> None:
    model = LastState(make(), hidden)
    twin = copy.deepcopy(model)
    program = specjit.optimize(model, warmup=2, background=False)
    curve = trained_on(model, program, states, [(6, 4)] * 3 + [(6, 3)])
    before = program.stats()
    assert before["compiles"] == 2
    sizes = [(5, 2), (9, 4), (7, 7), (3, 5), (6, 4)] * 10
    curve += trained_on(model, program, states, sizes)
    after = program.stats()
    assert after["fast"] - before["fast"] == 50
    assert (after["misses"], after["compiles"]) == (before["misses"], 2)
    variant = program.specializations[-1]
    assert (len(variant.regions), variant.python_nodes, variant.fallbacks) == (1, 0, 0)
    np.testing.assert_allclose(
        curve, trained_on(twin, twin, states, [(6, 4)] * 3 + [(6, 3)] + sizes), rtol=2e-4, atol=2e-5
    )


def gradients(call, model, args, weights):
    for p in model.parameters():
        p.grad = None
    outs = call(*args)
    flat = [outs[0], *(outs[1] if isinstance(outs[1], tuple) else outs[1:])]
    total = sum((o * w).sum() for o, w in zip(flat, weights))
    total.backward()
    return [p.grad.numpy().copy() for p in model.parameters()]


@pytest.mark.parametrize("make", [LSTM, GRU, PeepholeNormLSTM])
def test_gradients_match_the_tape(make) -> None:
    model = make(5, 8)
    x, (h, c) = arguments(4, 3, 5, 8)
    args = {LSTM: (x, (h, c)), GRU: (x, h), PeepholeNormLSTM: (x, h, c)}[make]
    weights = [
        specjit.tensor(uniform(4, 3, 8, seed=1)),
        specjit.tensor(uniform(3, 8, seed=2)),
        specjit.tensor(uniform(3, 8, seed=3)),
    ]
    expected = gradients(model, model, args, weights)
    program = specjit.optimize(model, warmup=1)
    for _ in range(3):
        gradients(program, model, args, weights)
        program.wait(600)
    before = program.stats()["fast"]
    got = gradients(program, model, args, weights)
    assert program.stats()["fast"] == before + 1
    for g, e in zip(got, expected):
        np.testing.assert_allclose(g, e, rtol=2e-4, atol=2e-5)
    x2, (h2, c2) = arguments(7, 3, 5, 8)
    longer = {LSTM: (x2, (h2, c2)), GRU: (x2, h2), PeepholeNormLSTM: (x2, h2, c2)}[make]
    weights[0] = specjit.tensor(uniform(7, 3, 8, seed=1))
    for g, e in zip(gradients(program, model, longer, weights), gradients(model, model, longer, weights)):
        np.testing.assert_allclose(g, e, rtol=2e-4, atol=2e-5)
    assert program.stats()["fast"] == before + 2


def test_gradient_against_finite_differences() -> None:
    model = LSTM(3, 4)
    x, (h, c) = arguments(3, 2, 3, 4)
    weight = uniform(3, 2, 4, seed=5).astype(np.float64)
    program = specjit.optimize(model, warmup=1)
    for _ in range(3):
        (program(x, (h, c))[0] * specjit.tensor(weight.astype(np.float32))).sum().backward()
        program.wait(600)
    assert program.stats()["fast"]
    model.cell.w_h.grad = None
    (program(x, (h, c))[0] * specjit.tensor(weight.astype(np.float32))).sum().backward()
    got = model.cell.w_h.grad.numpy()

    def loss(w):
        probe = copy.deepcopy(model)
        probe.cell.w_h = nn.Parameter(specjit.tensor(w))
        return float((lstm_float64(probe, x.numpy(), h.numpy(), c.numpy())[0] * weight).sum())

    base = model.cell.w_h.detach().numpy().astype(np.float64)
    for i, j in [(0, 0), (3, 2), (9, 1), (15, 3)]:
        step = np.zeros_like(base)
        step[i, j] = 1e-6
        slope = (loss(base + step) - loss(base - step)) / 2e-6
        np.testing.assert_allclose(got[i, j], slope, rtol=1e-3, atol=1e-5)


@pytest.fixture(scope="module")
def rnn():
    model = LSTM(5, 8)
    args = arguments(4, 3, 5, 8)
    program = specjit.optimize(model, warmup=1)
    for _ in range(3):
        program(*args)[0].sum().backward()
        program.wait(600)
    assert program.stats()["fast"], "\n".join(map(str, program.events()))
    return model, program


def run(call, model, x, state, seed):
    y = call(x, state)[0]
    return (y * specjit.tensor(uniform(*y.shape, seed=seed))).sum()


def collect(model):
    out = [p.grad.numpy().copy() for p in model.parameters()]
    for p in model.parameters():
        p.grad = None
    return out


def same(a, b):
    for x, y in zip(a, b):
        np.testing.assert_allclose(x, y, rtol=2e-4, atol=2e-5)


def test_two_forwards_before_one_backward(rnn) -> None:
    model, program = rnn
    results = []
    for call in (model, program):
        collect_first = [p for p in model.parameters() if p.grad is not None]
        for p in collect_first:
            p.grad = None
        a = run(call, model, *arguments(4, 3, 5, 8, seed=1), seed=1)
        b = run(call, model, *arguments(4, 3, 5, 8, seed=2), seed=2)
        (a + 2 * b).backward()
        results.append(collect(model))
    same(*results)


def test_retain_graph_and_release(rnn) -> None:
    model, program = rnn
    for p in model.parameters():
        p.grad = None
    loss = run(program, model, *arguments(4, 3, 5, 8), seed=3)
    loss.backward(retain_graph=True)
    once = collect(model)
    loss.backward()
    same(collect(model), once)
    with pytest.raises(RuntimeError, match="second time"):
        loss.backward()


def test_gradients_of_inputs_and_modules_outside(rnn) -> None:
    model, _ = rnn
    program = specjit.optimize(model, warmup=1)
    results = []
    for call in (model, program, program, program):
        x, (h, c) = arguments(4, 3, 5, 8)
        x.requires_grad_()
        h.requires_grad_()
        scaled = x * 2.0
        y, (h1, _) = call(scaled, (h, c))
        ((y * y).sum() + h1.sum()).backward()
        results.append([x.grad.numpy().copy(), h.grad.numpy().copy()])
        program.wait(600)
    assert program.stats()["fast"]
    for r in results[1:]:
        same(r, results[0])
    collect(model)


def test_create_graph(rnn) -> None:
    model, program = rnn
    results = []
    for call in (model, program):
        x, (h, c) = arguments(4, 3, 5, 8)
        loss = run(call, model, x, (h, c), seed=4)
        (g,) = specjit.autograd.grad(loss, [model.cell.w_h], create_graph=True)
        (gg,) = specjit.autograd.grad((g * g).sum(), [model.cell.w_x])
        results.append([gg.numpy().copy()])
    same(*results)


def test_a_parameter_changed_before_backward_is_an_error(rnn) -> None:
    model, program = rnn
    errors = []
    for call in (model, program):
        loss = run(call, model, *arguments(4, 3, 5, 8), seed=5)
        with specjit.no_grad():
            model.cell.w_h.mul_(1.0)
        with pytest.raises(RuntimeError, match="modified by an inplace operation"):
            loss.backward()
        errors.append(True)
    for p in model.parameters():
        p.grad = None


def test_hooks_see_the_gradient(rnn) -> None:
    model, program = rnn
    seen = {}
    for name, call in (("eager", model), ("fast", program)):
        x, state = arguments(4, 3, 5, 8)
        y, _ = call(x, state)
        y.register_hook(lambda g, name=name: seen.update({name: g.numpy().copy()}))
        (y * 3.0).sum().backward()
        seen[name + "_w"] = collect(model)
    np.testing.assert_array_equal(seen["eager"], seen["fast"])
    same(seen["eager_w"], seen["fast_w"])


def test_no_grad_calls_do_not_record(rnn) -> None:
    _, program = rnn
    with specjit.no_grad():
        y, _ = program(*arguments(4, 3, 5, 8))
    assert not y.requires_grad
    program.wait(600)
