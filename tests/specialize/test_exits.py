"""Loops that end early: tests that join tensors and bools, returns and breaks in the middle. The answers of plain
Python, whatever turn is the last, and one native region."""

from __future__ import annotations

import numpy as np
import pytest

import specjit
from tests.specialize.agreement import check_same, outcome

W = specjit.tensor(np.random.default_rng(1).uniform(-0.5, 0.5, (4, 4)).astype(np.float32))


def both_hold(x):
    n = 0
    while n < 9 and x.abs().sum() > 0.5:
        x, n = x * 0.5, n + 1
    return x + 0, n


def one_holds(x):
    n = 0
    while x.abs().sum() > 0.5 or n < 3:
        x, n = x * 0.5, n + 1
    return x + 0, n


def neither_and_a_chain(x):
    n = 0
    while 0 < x.abs().sum() < 40 and not (n > 7 or x.max() > 4):
        x, n = x * 1.5, n + 1
    return x + 0, n


def returns_inside_for(x):
    h = specjit.zeros(x.shape[1])
    for t in range(x.shape[0]):
        h = (x[t] + h @ W).tanh()
        if h.sum() > 1.0:
            return h, t
    return h * 2, -1


def returns_inside_while(x):
    n = 0
    while n < 6:
        x = x * 0.5
        if x.abs().sum() < 1:
            return x
        n += 1
    return x - 1


def only_returns(x):
    n = 0
    while True:
        x, n = x * 0.5, n + 1
        if x.abs().sum() < 1:
            return x, (n, x.sum())
        if n > 8:
            return x * 2, (-1, x.mean())


def returns_from_two_loops(x):
    for t in range(x.shape[0]):
        s = x[t] * 1.0
        for k in range(3):
            s = s * 0.5 + x[t]
            if s.sum() > 2.0:
                return s, t, k
    return x.sum(0), -1, -1


def breaks(x):
    h = specjit.zeros(x.shape[1])
    for t in range(x.shape[0]):
        h = h + x[t]
        if (h > 1.5).any() or t > 4:
            break
    else:
        h = h * 10
    return h


def continues(x):
    h = specjit.zeros(x.shape[1])
    used = 0
    for t in range(x.shape[0]):
        if x[t].sum() < 0 and used < 3:
            continue
        h = h + x[t]
        used += 1
    return h, used


def found_or_not(x):
    best = x[0] * 1.0
    for t in range(1, x.shape[0]):
        if x[t].sum() > best.sum():
            best = x[t] * 1.0
            where = t
            if where > 2 and best.max() > 0.9:
                return best, where
    return best, 0


def raises_inside(x):
    h = specjit.zeros(x.shape[1])
    for t in range(x.shape[0]):
        h = h + x[t]
        if h.max() > 1.7:
            raise ValueError("too large")
        if h.min() < -1.7:
            return h
    return h + 1


def input_of(steps: int, seed: int) -> specjit.Tensor:
    return specjit.tensor(np.random.default_rng(seed).uniform(-1, 1, (steps, 4)).astype(np.float32))


PROGRAMS = [
    both_hold,
    one_holds,
    neither_and_a_chain,
    returns_inside_for,
    returns_inside_while,
    only_returns,
    returns_from_two_loops,
    breaks,
    continues,
    found_or_not,
]


@pytest.mark.parametrize("function", [*PROGRAMS, raises_inside], ids=lambda f: f.__name__)
def test_whatever_turn_is_the_last(function) -> None:
    program = specjit.optimize(function, warmup=1, background=False)
    for seed, steps in enumerate((5, 5, 4, 7, 2, 1, 0, 3, 9, 8, 6, 1, 12)):
        x = input_of(steps, seed)
        check_same(outcome(program, x), outcome(function, x))


@pytest.mark.parametrize("function", PROGRAMS, ids=lambda f: f.__name__)
def test_it_runs_as_one_native_region(function) -> None:
    program = specjit.optimize(function, warmup=1, background=False)
    for seed, steps in enumerate((5, 5, 4, 7, 9, 6)):
        program(input_of(steps, seed))
    stats = program.stats()
    assert (stats["fast"], stats["fallbacks"]) == (6, 0), str(program.explain())
    for variant in program.specializations:
        assert (len(variant.regions), variant.python_nodes) == (1, 0), str(program.explain())


@pytest.mark.parametrize(
    "function", [returns_inside_for, only_returns, returns_from_two_loops], ids=lambda f: f.__name__
)
def test_gradients_flow_through_the_turns_that_ran(function) -> None:
    program = specjit.optimize(function, warmup=1, background=False)
    for seed, steps in enumerate((5, 5, 4, 7, 1, 9, 6)):
        grads = []
        for call in (program, function):
            x = input_of(steps, seed).requires_grad_()
            call(x)[0].sum().backward()
            grads.append(x.grad.numpy())
        np.testing.assert_allclose(grads[0], grads[1], rtol=1e-5, atol=1e-6)
    assert program.stats()["fast"] >= 5, str(program.explain())


def test_a_return_of_something_else_is_refused_with_the_place() -> None:
    """Near miss: one value is a tensor, the other one a pair."""

    def differs(x):
        for t in range(x.shape[0]):
            if x[t].sum() > 1:
                return x[t] * 2
        return x.sum(), 0

    program = specjit.optimize(differs, warmup=1, background=False)
    for seed in range(6):
        x = input_of(4, seed)
        check_same(program(x), differs(x))
    assert program.stats()["fast"] == 0
    (event,) = program.events("SPECIALIZE_FAILED")
    assert "branches give values of different structure" in event.message
    assert "test_exits.py" in event.location


def test_generic_code_keeps_its_operators() -> None:
    program = specjit.optimize(both_hold, warmup=9)
    program(input_of(3, 0))
    assert "while n < 9 and bool(" in program.code
