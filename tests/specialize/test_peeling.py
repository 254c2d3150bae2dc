"""Loops whose variables start as None or a number and are tensors from the first turn on: the answers of plain Python,
its types included, whatever the number of turns, and one native region."""

from __future__ import annotations

import numpy as np
import pytest

import specjit
from tests.specialize.agreement import check_same, outcome

W = specjit.tensor(np.random.default_rng(1).uniform(-0.5, 0.5, (4, 4)).astype(np.float32))


def total(x):
    t = 0.0
    for i in range(x.shape[0]):
        t = t + x[i]
    return t


def squares(x):
    t = 0
    for i in range(x.shape[0]):
        t += x[i] * x[i]
    return t


def integers(x):
    count = 0
    for i in range(x.shape[0]):
        count = count + (x[i] > 0).sum()
    return count


def lazy_state(x):
    h = None
    outs = []
    for i in range(x.shape[0]):
        if h is None:
            h = specjit.zeros(x.shape[1], x.shape[2])
        h = (x[i] @ W + h).tanh()
        outs.append(h)
    return outs[-1] if len(outs) < 2 else specjit.stack(outs), h


def lazy_pair(x):
    state = None
    for i in range(x.shape[0]):
        if state is None:
            h = c = specjit.zeros(x.shape[1], x.shape[2])
        else:
            h, c = state
        h = (x[i] @ W + h).tanh()
        state = (h, c + h)
    return state


def first_turn_differs(x):
    h = None
    for i in range(x.shape[0]):
        if i == 0:
            h = x[i] * 2.0
        else:
            h = h @ W + x[i]
    return h


def running_maximum(x):
    best = None
    for row in x:
        best = row + 0.0 if best is None else specjit.maximum(best, row)
    return best


def two_turns_back(x):
    before = last = None
    s = 0
    for i in range(x.shape[0]):
        if last is not None and before is not None:
            s = s + before * last
        before = last
        last = x[i]
    return s


def mean_step(x):
    loss = 0.0
    steps = 0
    for i in range(x.shape[0] - 1):
        loss += ((x[i + 1] - x[i]) ** 2).mean()
        steps += 1
    return loss / max(steps, 1)


def written_in_place(x):
    h = None
    seen = []
    for i in range(x.shape[0]):
        if h is None:
            h = x[i] * 1.0
        else:
            h.mul_(0.5).add_(x[i])
        seen.append(h + 0.0)
    return h, specjit.cat([W, *seen]) if seen else None


def assigned_inside_only(x):
    for i in range(x.shape[0]):
        y = x[i] * 2.0
    return y


def input_of(steps: int) -> specjit.Tensor:
    return specjit.tensor(np.random.default_rng(steps).uniform(-1, 1, (steps, 3, 4)).astype(np.float32))


PROGRAMS = [
    total,
    squares,
    integers,
    lazy_state,
    lazy_pair,
    first_turn_differs,
    running_maximum,
    two_turns_back,
    mean_step,
    assigned_inside_only,
]


@pytest.mark.parametrize("function", [*PROGRAMS, written_in_place], ids=lambda f: f.__name__)
def test_any_number_of_turns_gives_what_python_gives(function) -> None:
    program = specjit.optimize(function, warmup=1, background=False)
    for steps in (5, 5, 4, 7, 2, 1, 0, 3, 1, 0, 6):
        x = input_of(steps)
        check_same(outcome(program, x), outcome(function, x))


@pytest.mark.parametrize("function", [f for f in PROGRAMS if f is not lazy_state], ids=lambda f: f.__name__)
def test_a_length_costs_no_compile_and_all_of_it_is_native(function) -> None:
    program = specjit.optimize(function, warmup=1, background=False)
    for steps in (5, 5, 4, 7, 9, 6):
        program(input_of(steps))
    stats = program.stats()
    assert (stats["compiles"], stats["misses"], stats["fallbacks"]) == (1, 0, 0)
    (variant,) = program.specializations
    assert (len(variant.regions), variant.python_nodes) == (1, 0), str(program.explain())


def test_sizes_that_a_variant_excludes_get_one_of_their_own() -> None:
    program = specjit.optimize(total, warmup=1, background=False)
    for steps in (5, 4, 0, 0, 0, 3, 0):
        check_same(program(input_of(steps)), total(input_of(steps)))
    stats = program.stats()
    assert (stats["compiles"], stats["misses"]) == (2, 1)
    assert {v.graph.outputs[0].is_const if v.graph.outputs else True for v in program.specializations} == {True, False}


def sum_of_products(x, n):
    t = 0
    for i in range(n):
        t = t + x * i
    return t


def shorter_by_one(x, n):
    t = None
    for i in range(n - 1):
        t = x * i if t is None else t + x
    return t


def float_from_the_first_turn(x, n):
    s = 0
    for _ in range(n):
        s = s + 0.5
    return x * s


def while_below(x, n):
    t, i = 0.0, 0
    while i < n:
        t = t + x * i
        i += 1
    return t


def while_above(x, n):
    t, i = None, 2
    while n >= i:
        t = x if t is None else t + x * i
        i += 1
    return t


COUNTED = [sum_of_products, shorter_by_one, float_from_the_first_turn, while_below, while_above]


@pytest.mark.parametrize("function", COUNTED, ids=lambda f: f.__name__)
def test_a_number_of_turns_that_is_an_argument(function) -> None:
    program = specjit.optimize(function, warmup=1, background=False)
    x = input_of(3)
    for n in (3, *range(4, 12), 2, 1, 0, -1, 30):
        check_same(program(x, n), function(x, n))
    varying = program.specializations[-1]
    assert varying.assume.numbers[1] is None
    assert not program.events("SPECIALIZE_FAILED")
    (least,) = (g for g in varying.guards if g.kind == "at least")
    assert (least.source, varying.check(x, least.expected)) == ("n", [])
    assert varying.check(x, least.expected - 1) == [least]
    assert f"n expected at least {least.expected}, got {least.expected - 1}" in least.missed(least.expected - 1)
    before = program.stats()["fast"]
    program(x, 40)
    assert program.stats()["fast"] == before + 1


def test_a_number_below_what_a_variant_needs_gets_one_of_its_own() -> None:
    program = specjit.optimize(sum_of_products, warmup=1, background=False)
    x = input_of(3)
    for n in (3, *range(4, 12), *[0] * 40):
        check_same(program(x, n), sum_of_products(x, n))
    assert [v.assume.numbers[1] for v in program.specializations] == [3, None, 0]


def test_turns_that_no_argument_bounds_are_not_peeled() -> None:
    def add_up(x, n):
        t = 0.0
        for i in range(n * n):
            t = t + x * i
        return t

    program = specjit.optimize(add_up, warmup=1, background=False)
    x = input_of(3)
    for n in (3, 4, 0, 1, 5, 0, 1, 2, 3, 4):
        check_same(program(x, n), add_up(x, n))
    (event,) = program.events("SPECIALIZE_FAILED")
    assert "has no single type" in event.message


def test_gradients_flow_through_peeled_turns() -> None:
    program = specjit.optimize(total_of_products, warmup=1, background=False)
    for steps in (4, 4, 6, 1, 2):
        grads = []
        for call in (program, total_of_products):
            x = input_of(steps).requires_grad_()
            call(x).sum().backward()
            grads.append(x.grad.numpy())
        np.testing.assert_allclose(*grads, rtol=1e-5, atol=1e-6)
    assert program.stats()["fast"] >= 4
    assert program.specializations[0].python_nodes == 0


def total_of_products(x):
    t = 0.0
    h = None
    outs = []
    for i in range(x.shape[0]):
        h = x[i] if h is None else (h @ W).tanh() * x[i]
        outs.append(h)
        t = t + h * h
    return t + specjit.stack(outs).sum(0)
