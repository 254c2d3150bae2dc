"""Hooks, modes, accumulation and outside modules around a native region: what they see and do is what eager's do."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import specjit
from specjit import autograd, nn
from tests.runtime.test_gradients import is_native, values, warm


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.w = nn.Parameter(values(4, 4, seed=1).detach())
        self.b = nn.Parameter(values(4, seed=2).detach())

    def forward(self, x: Any) -> Any:
        return (x @ self.w + self.b).tanh()


@pytest.fixture(scope="module")
def pair() -> tuple[Net, specjit.Program]:
    model = Net()
    program = warm(model, values(3, 4))
    assert is_native(program)
    return model, program


def both(pair: tuple[Net, specjit.Program], run: Callable[[Callable[..., Any], Net], Any]) -> None:
    """`run` sees the same through the model and through its native code."""
    model, program = pair
    fast = program.stats()["fast"]
    seen = []
    for call in (model, program):
        for p in model.parameters():
            p.grad = None
        seen.append(run(call, model))
    assert program.stats()["fast"] > fast
    for a, b in zip(*seen, strict=True):
        np.testing.assert_allclose(b, a, rtol=1e-10, atol=1e-12)


def test_tensor_hooks_on_inputs_results_and_parameters(pair) -> None:
    def run(call, model):
        seen = []
        x = values(3, 4)
        x.register_hook(lambda g: seen.append(g.numpy().copy()))
        y = call(x)
        y.register_hook(lambda g: g * 2.0)
        handles = [p.register_hook(lambda g: seen.append(g.numpy().copy())) for p in model.parameters()]
        (y * y).sum().backward()
        for handle in handles:
            handle.remove()
        order = sorted(seen, key=lambda a: (a.shape, float(a.sum())))
        return [*order, x.grad.numpy(), *(p.grad.numpy() for p in model.parameters())]

    both(pair, run)


def test_gradients_add_up_over_two_backwards_and_two_calls(pair) -> None:
    def run(call, model):
        x = values(3, 4)
        y = call(x).sum()
        y.backward(retain_graph=True)
        y.backward()
        call(x * 2.0).sum().backward()
        with pytest.raises(RuntimeError, match="second time"):
            y.backward()
        return [x.grad.numpy(), *(p.grad.numpy() for p in model.parameters())]

    both(pair, run)


def test_modules_outside_train_through_it(pair) -> None:
    def run(call, model):
        before = nn.Linear(4, 4).to(specjit.float64)
        for k, p in enumerate(before.parameters()):
            with specjit.no_grad():
                p.copy_(values(*p.shape, seed=7 + k, grad=False))
        after = copy.deepcopy(before)
        loss = (after(call(before(values(3, 4, grad=False)).requires_grad_())) ** 2).sum()
        loss.backward()
        return [p.grad.numpy() for m in (before, after, model) for p in m.parameters()]

    both(pair, run)


def test_retained_and_asked_gradients(pair) -> None:
    def run(call, model):
        x = values(3, 4)
        y = call(x)
        y.retain_grad()
        z = (y * y).sum()
        asked = autograd.grad(z, [x, model.b], retain_graph=True)
        assert model.b.grad is None
        z.backward(inputs=[model.w])
        assert model.b.grad is None
        return [g.numpy() for g in asked] + [model.w.grad.numpy()]

    both(pair, run)


def test_no_grad_around_and_detached_results(pair) -> None:
    _, program = pair
    with specjit.no_grad():
        assert not program(values(3, 4)).requires_grad
    y = program(values(3, 4))
    assert y.requires_grad
    assert not y.detach().requires_grad


def test_module_hooks_that_come_and_go() -> None:
    model = Net()
    x = values(3, 4)
    program = warm(model, x)
    plain = program(x).detach().numpy()
    handle = model.register_forward_hook(lambda module, args, out: out * 3.0)
    for _ in range(3):
        np.testing.assert_allclose(program(x).detach().numpy(), 3.0 * plain, rtol=1e-12)
    program(x).sum().backward()
    hooked = model.w.grad.numpy().copy()
    handle.remove()
    model.w.grad = None
    program(x).sum().backward()
    np.testing.assert_allclose(3.0 * model.w.grad.numpy(), hooked, rtol=1e-12)


class Steps(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.w = nn.Parameter(values(4, 4, seed=1).detach())

    def forward(self, x: Any, h: Any) -> Any:
        for t in range(x.shape[0]):
            h = (x[t] @ self.w + h).tanh()
        return h


def test_a_weight_that_no_turn_used_has_no_gradient() -> None:
    """The product of all rows before the loop is none of no rows, which would give zeros."""
    model = Steps()
    program = warm(model, values(3, 2, 4), values(2, 4))
    assert is_native(program)
    for turns in (3, 0, 5, 0):
        found = []
        for call in (model, program):
            model.w.grad, h = None, values(2, 4).requires_grad_()
            call(values(turns, 2, 4).detach(), h).sum().backward()
            found.append((model.w.grad, h.grad))
        (w, h), (w2, h2) = found
        assert (w is None) == (w2 is None) == (turns == 0)
        np.testing.assert_allclose(h2.numpy(), h.numpy(), rtol=1e-10)


def asked_inside(x: Any) -> Any:
    (slope,) = autograd.grad((x * x).sum(), [x], create_graph=True)
    return (slope * x).sum()


def hooked_inside(x: Any) -> Any:
    y = x * 2
    y.register_hook(lambda g: g * 3)
    return (y * y).sum()


@pytest.mark.parametrize(("function", "why"), [(asked_inside, "cannot be seen into"), (hooked_inside, "not modelled")])
def test_gradients_asked_for_and_hooks_inside_are_right_and_told(function: Any, why: str) -> None:
    """Such lines run in Python; what is around them is specialized, and an event says so."""
    program = specjit.optimize(function, warmup=1, background=False)
    for size in (2, 3, 4, 3):
        grads = []
        for call in (function, program):
            x = values(size).detach().requires_grad_()
            out = call(x)
            out.backward()
            grads.append((float(out), x.grad.numpy()))
        assert grads[0][0] == pytest.approx(grads[1][0])
        np.testing.assert_allclose(grads[1][1], grads[0][1], rtol=1e-10)
    assert any(why in str(event) for event in program.events("SPECIALIZE_FAILED"))


def test_only_inputs_is_taken_and_means_nothing() -> None:
    x = specjit.tensor([2.0, 3.0], requires_grad=True)
    (given,) = specjit.autograd.grad((x * x).sum(), x, only_inputs=True)
    with pytest.warns(FutureWarning, match="only_inputs"):
        (warned,) = specjit.autograd.grad((x * x).sum(), x, only_inputs=False)
    assert given.tolist() == warned.tolist() == [4.0, 6.0]
