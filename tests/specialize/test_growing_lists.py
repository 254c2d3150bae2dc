"""Lists that loops fill: several rows per turn, rows of inner loops, rows of some turns only, loops that end early. The
answers of plain Python for any number of turns, natively; what nothing bounds is refused with a reason."""

from __future__ import annotations

import numpy as np
import pytest

import specjit
from tests.specialize.agreement import check_same, outcome

W = specjit.tensor(np.random.default_rng(1).uniform(-0.5, 0.5, (4, 4)).astype(np.float32))


def two_per_turn(x):
    out = []
    for t in range(x.shape[0]):
        h = (x[t] @ W).tanh()
        out.append(h)
        out.append(h * 2)
    return specjit.stack(out), len(out)


def extended(x):
    out = [x[0] * 3]
    for t in range(x.shape[0]):
        out += [x[t] + 1, x[t] - 1]
        out.extend((x[t].exp(), x[t]))
    return specjit.cat(out), out[0]


def of_an_inner_loop(x):
    out = []
    for t in range(x.shape[0]):
        h = x[t]
        for _ in range(3):
            h = (h @ W).tanh()
            out.append(h)
    return specjit.stack(out, 1)


def of_both_loops(x):
    out = []
    for t in range(x.shape[0]):
        h = x[t] + 0.0
        out.append(h)
        for k in range(x.shape[0]):
            h = h * 0.5 + x[k]
            out.append(h)
        out.append(h - 1)
    return specjit.stack(out)


def every_second(x):
    out = []
    for t in range(x.shape[0]):
        if t % 2 == 0:
            out.append(x[t] * 2)
    return specjit.stack(out), len(out)


def what_is_positive(x):
    h = specjit.zeros(x.shape[1])
    seen = [h]
    for t in range(x.shape[0]):
        h = (h @ W + x[t]).tanh()
        if h.sum() > 0:
            seen.append(h)
        elif x[t].sum() > 0:
            seen.append(x[t])
            seen.append(h * 0.5)
    return specjit.stack(seen), h


def until_it_is_large(x):
    h = specjit.zeros(x.shape[1])
    out = []
    for t in range(x.shape[0]):
        h = h + x[t]
        out.append(h)
        if h.abs().sum() > 2.5:
            break
    return specjit.stack(out), len(out)


def before_it_is_large(x):
    out = []
    total = 0.0
    for t in range(x.shape[0]):
        total = total + x[t].abs().sum()
        if total > 6:
            break
        out.append(x[t].tanh())
    return out


def at_most_three(x):
    out = []
    for t in range(x.shape[0]):
        if len(out) < 3 and x[t].sum() > 0:
            out.append(x[t] * 2)
    return out, len(out)


def returns_with_what_it_has(x):
    out = []
    for t in range(x.shape[0]):
        out.append(x[t] * 2)
        if x[t].max() > 0.95:
            return specjit.stack(out).sum(0)
    return x.sum(0)


def raises_in_between(x):
    out = []
    for t in range(x.shape[0]):
        if x[t].max() > 0.95:
            raise ValueError("large")
        if x[t].sum() > 0:
            out.append(x[t])
    return specjit.stack(out)


def written_afterwards(x):
    """The list holds the tensor itself, which is written later."""
    out = []
    for t in range(x.shape[0]):
        h = x[t] * 2
        if h.sum() > 0:
            out.append(h)
        h.add_(1)
    return out


def one_object_many_times(x):
    out = []
    h = specjit.zeros(x.shape[1])
    for t in range(x.shape[0]):
        h.add_(x[t])
        if t % 2:
            out.append(h)
    return out


def written_after_the_loop(x):
    out = []
    h = specjit.zeros(x.shape[1])
    for t in range(x.shape[0]):
        h = h + x[t]
        if t % 2:
            out.append(h)
    h.mul_(10)
    return out, h


def nothing_bounds_it(x):
    h = x.sum(0)
    out = []
    while h.abs().sum() > 0.1:
        h = h * 0.5
        out.append(h)
    return out


def rows_of_several_types(x):
    out = []
    for t in range(x.shape[0]):
        out.append(x[t].sum() if x[t].sum() > 0 else x[t])
    return out


def input_of(steps: int, seed: int) -> specjit.Tensor:
    return specjit.tensor(np.random.default_rng(seed).uniform(-1, 1, (steps, 4)).astype(np.float32))


NATIVE = [two_per_turn, of_an_inner_loop, of_both_loops]
FILLED = [
    every_second,
    what_is_positive,
    until_it_is_large,
    before_it_is_large,
    at_most_three,
]
OTHERS = [
    extended,
    returns_with_what_it_has,
    raises_in_between,
    written_afterwards,
    one_object_many_times,
    written_after_the_loop,
    nothing_bounds_it,
    rows_of_several_types,
]


@pytest.mark.parametrize("function", [*NATIVE, *FILLED, *OTHERS], ids=lambda f: f.__name__)
def test_any_number_of_turns_gives_what_python_gives(function) -> None:
    program = specjit.optimize(function, warmup=1, background=False)
    for seed, steps in enumerate((5, 5, 4, 7, 2, 1, 0, 3, 9, 1, 0, 12)):
        x = input_of(steps, seed)
        check_same(outcome(program, x), outcome(function, x))


@pytest.mark.parametrize("function", [*NATIVE, *FILLED], ids=lambda f: f.__name__)
def test_the_loop_runs_natively(function) -> None:
    program = specjit.optimize(function, warmup=1, background=False)
    for seed, steps in enumerate((5, 5, 4, 7, 9, 6)):
        program(input_of(steps, seed))
    stats = program.stats()
    assert (stats["fast"], stats["fallbacks"]) == (6, 0), str(program.explain())
    for variant in program.specializations:
        assert not any(n.op.name == "loop" for n in variant.graph.block.nodes), str(variant.graph)
        assert variant.python_nodes == 0 or function in FILLED, str(program.explain())


@pytest.mark.parametrize("function", [two_per_turn, of_an_inner_loop, what_is_positive, until_it_is_large])
def test_gradients_flow_into_every_row(function) -> None:
    program = specjit.optimize(function, warmup=1, background=False)
    for seed, steps in enumerate((5, 5, 4, 7, 1, 9, 6)):
        grads = []
        for call in (program, function):
            x = input_of(steps, seed).requires_grad_()
            found = call(x)
            rows = found[0] if isinstance(found, tuple) else found
            (rows * rows).sum().backward()
            grads.append(x.grad.numpy())
        np.testing.assert_allclose(grads[0], grads[1], rtol=1e-4, atol=1e-5)
    assert program.stats()["fast"] >= 5, str(program.explain())


@pytest.mark.parametrize(
    ("function", "why"),
    [
        (nothing_bounds_it, "a list grows in a loop whose number of turns nothing bounds"),
        (one_object_many_times, "which also writes something in place"),
    ],
)
def test_a_refusal_says_why(function, why: str) -> None:
    program = specjit.optimize(function, warmup=1, background=False)
    for seed in range(3):
        program(input_of(4, seed))
    assert program.stats()["fast"] == 0
    assert any(why in e.message for e in program.events("SPECIALIZE_FAILED")), program.events()
