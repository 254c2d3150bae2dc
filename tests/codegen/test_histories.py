"""What derivatives ask of the scheduler: histories without a copy, rows that a condition cuts off, truth values."""

from __future__ import annotations

import numpy as np
import pytest

from specjit.codegen.abi import Status
from specjit.codegen.schedule import NotSchedulable
from specjit.codegen.schedule.interp import RegionFailed
from tests.codegen.plans import calls, check, f32, loop_calls, plan_of, run_plan

RNG = np.random.default_rng(3)

HISTORY = """
graph @g(%x: f32[T,3,5], %h0: f32[3,5], %n: int<T>) -> f32[T+1,3,5] {
  %h: f32[3,5], %hs: f32[T,3,5] = loop %n, True, (%i: int, %a: f32[3,5] = %h0) {
    %r: f32[3,5] = select(%x, 0, %i)
    %b: f32[3,5] = mul(%a, %r)
    %c: f32[3,5] = add(%b, %r)
    yield True, %c | stacked %c
  }
  %first: f32[1,3,5] = unsqueeze(%h0, 0)
  %l: list[f32[?,3,5]] = py.list(%first, %hs)
  %all: f32[T+1,3,5] = cat(%l)
  return %all
}
"""


@pytest.mark.parametrize("turns", [4, 1, 0])
def test_a_stack_that_is_joined_is_stacked_in_its_place(turns: int) -> None:
    plan = check(HISTORY, f32(RNG, turns, 3, 5), f32(RNG, 3, 5), turns)
    assert (loop_calls(plan), len(calls(plan))) == (1, 2)  # the turn; the initial value
    assert len(plan.storages) == 1
    assert "need" not in plan.describe()


def test_a_stack_that_is_joined_side_by_side_is_copied() -> None:
    text = HISTORY.replace("unsqueeze(%h0, 0)", "select(%x, 0, 0)").replace("%first: f32[1,3,5]", "%first: f32[3,5]")
    text = text.replace("py.list(%first, %hs)", "py.list(%hs, %x)").replace("cat(%l)", "cat(%l, 1)")
    plan = check(text.replace("f32[T+1,3,5]", "f32[T,6,5]"), f32(RNG, 4, 3, 5), f32(RNG, 3, 5), 4)
    assert len(calls(plan)) == 3


@pytest.mark.parametrize("outs", ["%all, %hs, %last", "%last, %hs, %all"])
def test_a_stack_that_is_also_returned_shares_memory_with_its_own_rows_only(outs: str) -> None:
    types = "f32[T+1,3,5], f32[T,3,5], f32[3,5]" if outs[1] == "a" else "f32[3,5], f32[T,3,5], f32[T+1,3,5]"
    text = HISTORY.replace("-> f32[T+1,3,5]", f"-> ({types})").replace("return %all", f"return {outs}")
    text = text.replace("  %first:", "  %last: f32[3,5] = select(%hs, 0, -1)\n  %first:")
    plan = check(text, f32(RNG, 4, 3, 5), f32(RNG, 3, 5), 4)
    assert len(plan.storages) == 2
    assert plan.outputs[0 if outs[1] == "l" else 2].storage == plan.outputs[1].storage


EXIT = """
graph @g(%x: f32[T,3], %h0: f32[3], %n: int<T>, %room: int<R>, %limit: f32[]) -> (f32[3], int, f32[R,3]) {
  %h: f32[3], %k: int, %more: bool, %hs: f32[R,3] = loop %room, True,
      (%i: int, %a: f32[3] = %h0, %k0: int = 0, %m0: bool = True) {
    %k1: int = py.add(%k0, 1)
    %r: f32[3] = select(%x, 0, %k0)
    %b: f32[3] = add(%a, %r)
    %s: f32[] = sum(%b)
    %g: bool[] = lt(%s, %limit)
    %go: bool = py.bool(%g)
    %inside: bool = py.lt(%k1, %n)
    %both: bool = py.and(%go, %inside)
    yield %both, %b, %k1, %both | stacked %b
  }
  %enough: bool = py.not(%more)
  py.room(%enough)
  return %h, %k, %hs
}
"""


@pytest.mark.parametrize(("limit", "turns"), [(100.0, 5), (2.5, 3), (-1.0, 1)])
def test_a_condition_ends_a_loop_that_stacks(limit: float, turns: int) -> None:
    plan = plan_of(EXIT)
    x = np.full((5, 3), 0.3, np.float32)
    h, k, hs = run_plan(plan, [x, np.zeros(3, np.float32), 5, 7, np.array(limit, np.float32)])
    assert k == turns
    np.testing.assert_allclose(h, np.full(3, 0.3 * turns), rtol=1e-6)
    np.testing.assert_allclose(hs[:turns], np.cumsum(x[:turns], 0), rtol=1e-6)


def test_a_loop_without_room_says_so() -> None:
    given = [np.full((5, 3), 0.3, np.float32), np.zeros(3, np.float32), 5, 4, np.array(100.0, np.float32)]
    with pytest.raises(RegionFailed) as caught:
        run_plan(plan_of(EXIT), given)
    assert caught.value.status is Status.ROOM
    given[3] = 5
    run_plan(plan_of(EXIT), given)


@pytest.mark.parametrize("op", ["and", "or"])
def test_truth_values_are_joined(op: str) -> None:
    text = f"graph @g(%a: bool, %b: bool) -> bool {{\n  %c: bool = py.{op}(%a, %b)\n  return %c\n}}"
    for a in (False, True):
        for b in (False, True):
            check(text, a, b)


def test_bits_of_integers_have_no_instruction() -> None:
    with pytest.raises(NotSchedulable, match="operands are int"):
        plan_of("graph @g(%a: int, %b: int) -> int {\n  %c: int = py.or(%a, %b)\n  return %c\n}")
