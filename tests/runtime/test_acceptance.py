"""The acceptance program: everything awkward at once, on every road.

Eager, generic and specialized runs must agree on results, exceptions, prints, random values, aliasing and what
arguments contain afterwards, also when every native region in turn is forced to fail.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

import specjit
from specjit import nn
from specjit.codegen.abi import Status
from tests.runtime.models import uniform

SCALE = 2.0


class Awkward(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.w = nn.Parameter(specjit.tensor(uniform(8, 8, seed=1)))

    def forward(self, x, table, log):
        outs = []
        h = x[0] * 0
        for t in range(x.shape[0]):
            h = (x[t] @ self.w + h).tanh() * SCALE
            print(f"step {t} of {x.shape[0]}")
            h = h + table[t]
            outs.append(h)
        y = nn.functional.dropout(h, 0.5, True)
        log.add_(h.sum())
        return specjit.stack(outs), y, x[0]


@dataclass
class Outcome:
    """What a call did, as far as anyone outside can tell."""

    results: list[np.ndarray]
    error: tuple[type, str] | None
    printed: str
    log: np.ndarray
    aliased: bool | None
    next_random: np.ndarray


def run(call: Any, capsys: Any, steps: int, rows: int) -> Outcome:
    rng = np.random.default_rng(5)
    x = specjit.tensor(rng.standard_normal((steps, 3, 8)).astype(np.float32))
    table = specjit.tensor(rng.standard_normal((rows, 8)).astype(np.float32))
    log = specjit.tensor(np.zeros(2, np.float32))
    specjit.manual_seed(99)
    capsys.readouterr()
    results: list[np.ndarray] = []
    error = aliased = None
    with specjit.no_grad():
        try:
            out = call(x, table, log)
            results = [o.numpy().copy() for o in out]
            aliased = np.shares_memory(out[2].numpy(), x.numpy())
        except IndexError as caught:
            error = (type(caught), str(caught))
    printed = capsys.readouterr().out
    return Outcome(results, error, printed, log.numpy().copy(), aliased, specjit.rand(3).numpy().copy())


def assert_same(a: Outcome, b: Outcome) -> None:
    assert a.error == b.error
    assert a.printed == b.printed
    assert a.aliased == b.aliased
    assert np.array_equal(a.next_random, b.next_random)
    assert len(a.results) == len(b.results)
    for x, y in zip(a.results, b.results):
        np.testing.assert_allclose(x, y, rtol=2e-6, atol=2e-6)
        assert np.array_equal(x == 0, y == 0)  # dropout dropped the same elements
    np.testing.assert_allclose(a.log, b.log, rtol=1e-5)


@pytest.fixture
def model_and_program():
    global SCALE
    SCALE = 2.0
    model = Awkward()
    program = specjit.optimize(model, warmup=2)
    yield model, program
    SCALE = 2.0


def specialize(program: Any, capsys: Any) -> None:
    for _ in range(3):
        run(program, capsys, 6, 10)
    assert program.wait(600)
    assert program.specializations, [str(e) for e in program.events()]


def test_all_roads_agree(model_and_program, capsys) -> None:
    model, program = model_and_program
    eager = run(model, capsys, 6, 10)
    assert eager.printed.count("step") == 6
    assert eager.aliased
    assert_same(run(program, capsys, 6, 10), eager)
    with specjit.stance("generic"):
        assert_same(run(program, capsys, 6, 10), eager)
    specialize(program, capsys)
    before = program.stats()["fast"]
    assert_same(run(program, capsys, 6, 10), eager)
    assert program.stats()["fast"] == before + 1
    assert program.specializations[0].regions


def test_every_region_in_turn_fails(model_and_program, capsys) -> None:
    model, program = model_and_program
    specialize(program, capsys)
    eager = run(model, capsys, 6, 10)
    variant = program.specializations[0]
    assert variant.regions
    for region in variant.regions:
        region.forced = Status.KERNEL
        before = variant.fallbacks
        assert_same(run(program, capsys, 6, 10), eager)
        assert variant.fallbacks > before
        region.forced = None


def test_index_error_at_step_k(model_and_program, capsys) -> None:
    model, program = model_and_program
    specialize(program, capsys)
    for rows in (10, 4, 0):
        eager = run(model, capsys, 6, rows)
        assert (eager.error is not None) == (rows < 6)
        got = run(program, capsys, 6, rows)
        assert got.printed == eager.printed
        assert (got.error is None) == (eager.error is None)
        if eager.error is not None and got.error is not None:
            assert got.error == eager.error
        assert np.array_equal(got.log, eager.log) or eager.error is None
        program.wait(600)


def test_the_error_names_the_users_line(model_and_program, capsys) -> None:
    import traceback

    _, program = model_and_program
    specialize(program, capsys)
    x = specjit.zeros(6, 3, 8)
    try:
        with specjit.no_grad():
            program(x, specjit.zeros(4, 8), specjit.zeros(2))
    except IndexError as error:
        text = "".join(traceback.format_exception(error))
        assert "test_acceptance.py" in text
        assert "table[t]" in text
    else:
        pytest.fail("no IndexError")


def test_a_changed_global_is_seen(model_and_program, capsys) -> None:
    global SCALE
    model, program = model_and_program
    specialize(program, capsys)
    before = run(program, capsys, 6, 10)
    SCALE = 0.5
    after = run(program, capsys, 6, 10)
    assert_same(after, run(model, capsys, 6, 10))
    assert not np.allclose(before.results[0], after.results[0])
    program.wait(600)
    assert_same(run(program, capsys, 6, 10), run(model, capsys, 6, 10))
