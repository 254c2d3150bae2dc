"""Gradients of gradients through optimized programs equal eager's, from native code of their own once it is there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import specjit
from specjit import autograd
from specjit.runtime.events import EventKind
from tests.runtime.test_gradients import settle, two_heads, values, warm


def small(x, w):
    return (x @ w).tanh() * x.exp()


def recurrent(x, w, h):
    for t in range(x.shape[0]):
        h = (x[t] + h @ w).tanh()
    return h


def branch(x, u, v):
    if x.sum() > 0:
        y = x @ u
    else:
        y = (x @ v).sin() * x
    return y.exp()


def stopped(x, w):
    y = (x @ w).sin()
    with specjit.no_grad():
        s = y * y
    return y * y.detach() + s * x


def penalty(call: Callable[..., Any], args: list[Any], pick: Callable[[Any], Any] = lambda out: out) -> list[Any]:
    """The gradients of a gradient penalty with respect to every argument."""
    for a in args:
        a.grad = None
    y = pick(call(*args))
    wanted = [a for a in args if a.requires_grad]
    found = autograd.grad((y * y).sum(), wanted, create_graph=True, allow_unused=True)
    loss = sum(((g * g).sum() - 1.0) ** 2 for g in found if g is not None) + y.sum()
    loss.backward()
    return [None if a.grad is None else a.grad.numpy().copy() for a in args]


def fallbacks(program: specjit.Program) -> int:
    return len([e for e in program.events(EventKind.FALLBACK) if "create_graph" in e.message])


def same(got: list[Any], want: list[Any]) -> None:
    for a, b in zip(got, want, strict=True):
        assert (a is None) == (b is None)
        if b is not None:
            np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(
    ("function", "args"),
    [
        (small, [values(3, 4), values(4, 4, seed=1)]),
        (recurrent, [values(4, 3, 4), values(4, 4, seed=1), values(3, 4, seed=2, grad=False)]),
        (branch, [values(3, 4), values(4, 4, seed=1), values(4, 4, seed=2)]),
        (branch, [-values(3, 4).detach().requires_grad_(), values(4, 4, seed=1), values(4, 4, seed=2)]),
        (stopped, [values(4, 4), values(4, 4, seed=1)]),
        (lambda *args: settle(*args)[0], [values(4, 4), values(4, 4, seed=1), specjit.tensor(0.3)]),
    ],
    ids=["small", "loop", "branch", "other branch", "stops", "while"],
)
def test_a_gradient_penalty_is_native_and_equals_eager(function: Callable[..., Any], args: list[Any]) -> None:
    args = [a.detach().requires_grad_(a.requires_grad) for a in args]
    expected = penalty(function, args)
    program = warm(function, *args)
    for _ in range(2):
        same(penalty(program, args), expected)
    assert fallbacks(program) == 0
    assert program.specializations[0].fallbacks == 0


@pytest.mark.parametrize("used", [0, 1])
def test_results_whose_gradient_is_not_there(used: int) -> None:
    args = [values(3, 4), values(4, 4, seed=1), values(4, 4, seed=2)]
    program = warm(two_heads, *args)
    expected = penalty(two_heads, args, lambda out: out[used])
    same(penalty(program, args, lambda out: out[used]), expected)
    assert [g is None for g in expected] == [False, used == 1, used == 0]
    assert fallbacks(program) == 0


def test_third_order_against_the_formula() -> None:
    def f(x):
        return x.sin() * x.exp()

    x = values(5)
    program = warm(f, x)
    (first,) = autograd.grad(program(x).sum(), [x], create_graph=True)
    (second,) = autograd.grad(first.sum(), [x], create_graph=True)
    (third,) = autograd.grad(second.sum(), [x])
    data = x.detach().numpy()
    np.testing.assert_allclose(third.numpy(), 2 * np.exp(data) * (np.cos(data) - np.sin(data)), rtol=1e-12)
    assert fallbacks(program) == 0


def test_products_with_the_hessian() -> None:
    """The vector may itself require a gradient."""
    seen = []
    for fast in (False, True):
        x, w, v = values(3, 4), values(4, 4, seed=1), values(3, 4, seed=3)
        call = warm(small, x, w) if fast else small
        (g,) = autograd.grad(call(x, w).sum(), [x], create_graph=True)
        (hv,) = autograd.grad(g, [x], grad_outputs=v, create_graph=True)
        (hv * hv).sum().backward()
        seen.append([hv.detach().numpy(), x.grad.numpy(), w.grad.numpy(), v.grad.numpy()])
    same(seen[1], seen[0])


@pytest.mark.parametrize("background", [True, False])
def test_inputs_that_depend_on_one_another_count_once(background: bool) -> None:
    """Whether the gradients come from the tape (their own code still compiles) or from native code."""

    def f(a, b):
        return (a * b).sin() + b

    seen = []
    for fast in (False, True):
        x, s = values(3, 4), values(seed=1)
        call = f
        if fast:
            call = specjit.optimize(f, warmup=1, background=background)
            for _ in range(3):
                call(x, x * s)
                assert call.wait(600)
        (g,) = autograd.grad(call(x, (x * s).tanh()).sum(), [x], create_graph=True)
        (g * g).sum().backward()
        seen.append([g.detach().numpy(), x.grad.numpy(), s.grad.numpy()])
        if fast:
            assert fallbacks(call) == background
    same(seen[1], seen[0])


def test_random_numbers_are_drawn_once() -> None:
    def f(x, w):
        return specjit.nn.functional.dropout((x @ w).tanh(), 0.5, True) * x

    args = [values(6, 6), values(6, 6, seed=1)]
    program = warm(f, *args)
    seen = []
    for call in (f, program, program):
        specjit.manual_seed(5)
        seen.append([*penalty(call, args), specjit.rand(3).numpy()])
    same(seen[1], seen[0])
    same(seen[2], seen[0])
    assert fallbacks(program) == 0


def test_the_graph_of_a_gradient_is_freed_and_kept_as_in_eager() -> None:
    args = [values(3, 4), values(4, 4, seed=1)]
    for call in (small, warm(small, *args)):
        x, w = args
        y = call(x, w).sum()
        (g,) = autograd.grad(y, [x], create_graph=True)  # which retains the graph
        loss = (g * g).sum()
        loss.backward(retain_graph=True)
        once = w.grad.numpy().copy()
        loss.backward()
        np.testing.assert_allclose(w.grad.numpy(), 2 * once, rtol=1e-12)
        with pytest.raises(RuntimeError, match="second time"):
            loss.backward()
        x.grad = w.grad = None


def test_nobody_waits_for_the_compiler() -> None:
    """The first gradients come from the tape, and say so; they have native code of their own later."""
    args = [values(3, 4), values(4, 4, seed=1)]
    expected = penalty(small, args)
    program = specjit.optimize(small, warmup=1)
    for _ in range(3):
        program(*args)
        assert program.wait(600)
    same(penalty(program, args), expected)
    (told,) = [e for e in program.events(EventKind.FALLBACK) if "create_graph" in e.message]
    assert "until they have native code of their own" in told.message
    assert program.wait(600)
    before = program.specializations[0].fallbacks
    same(penalty(program, args), expected)
    assert program.specializations[0].fallbacks == before
    assert "gradients of gradients" in "\n".join(str(e) for e in program.events(EventKind.SPECIALIZE_READY))
    assert "gradients" in str(program.explain())


def test_a_stance_that_forbids_compiling_forbids_this() -> None:
    args = [values(3, 4), values(4, 4, seed=1)]
    program = warm(small, *args)
    y = program(*args).sum()
    with specjit.stance("fail_on_compile"), pytest.raises(RuntimeError, match="fail_on_compile"):
        autograd.grad(y, args, create_graph=True)
    (g, _) = autograd.grad(y, args, create_graph=True)
    assert g.requires_grad


def test_an_input_that_was_written_is_an_error() -> None:
    """Native code computes the gradients from the inputs: it cannot answer where eager still could, and says so."""

    def f(x, w):
        return (x * 2.0).exp() @ w

    x, w = values(3, 4), values(4, 4, seed=1)
    y = warm(f, x, w)(x, w).sum()
    with specjit.no_grad():
        x.add_(1.0)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        autograd.grad(y, [w], create_graph=True)


def test_failing_native_gradients_fall_back_to_the_tape_of_the_tape() -> None:
    args = [values(3, 4), values(4, 4, seed=1)]
    program = warm(small, *args)
    expected = penalty(small, args)
    same(penalty(program, args), expected)
    (deeper,) = (found.region for found in program.specializations[0].regions[0].backward.deeper.values())
    deeper.forced = specjit.codegen.abi.Status.GUARD
    same(penalty(program, args), expected)
    assert program.specializations[0].fallbacks == 1
    deeper.forced = None
    call, deeper.backward.code.call = deeper.backward.code.call, lambda *args: None
    same(penalty(program, args), expected)
    assert program.specializations[0].fallbacks == 2
    deeper.backward.code.call = call
