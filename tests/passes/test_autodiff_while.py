"""Gradients of loops that end on a condition: against finite differences and the tape, in any number of turns."""

from __future__ import annotations

import numpy as np
import pytest

from tests.passes.gradients import check, derive

rng = np.random.default_rng(11)


def normal(*shape: int) -> np.ndarray:
    return np.asarray(rng.uniform(-0.9, 0.9, shape))


WHILE = """
graph @f(%x: f64[3], %w: f64[3,3], %least: f64[]) -> (f64[3], int) {
  %s0: f64[] = sum(%x)
  %c0: bool[] = gt(%s0, %least)
  %go: bool = py.bool(%c0)
  %s: f64[3], %n: int = loop None, %go, (%i: int, %h: f64[3] = %x, %k: int = 0) {
    %p: f64[3] = matmul(%h, %w)
    %d: f64[3] = mul(%p, %h)
    %e: f64[3] = mul(%h, 0.5)
    %r: f64[3] = add(%d, %e)
    %m: f64[] = sum(%r)
    %g: bool[] = gt(%m, %least)
    %b: bool = py.bool(%g)
    %k2: int = py.add(%k, 1)
    yield %b, %r, %k2
  }
  return %s, %n
}
"""


@pytest.mark.parametrize("least", [5.0, 0.7, 0.05, 0.001])
def test_a_while_loop_on_data(least: float) -> None:
    """No turn, one, a few, and more than there is room for at first."""
    check(WHILE, np.array([0.5, 0.3, 0.6]), normal(3, 3) * 0.1, np.array(least), wanted=[True, True, False])


def test_what_turns_keep_has_the_room_of_the_loop() -> None:
    _, d = derive(WHILE, [True, True, False])
    assert d.rooms == ["room0"]
    assert "f64[room0,3]" in [str(v.type) for v in d.kept()]
    assert [n.op.name for n in d.forward.walk()].count("py.room") == 1


EXIT = """
graph @f(%x: f64[T,2,3], %w: f64[3,3], %h0: f64[2,3], %limit: f64[]) -> f64[2,3] {
  %n: int<T> = size(%x, 0)
  %h: f64[2,3] = loop %n, True, (%i: int, %a: f64[2,3] = %h0) {
    %xt: f64[2,3] = select(%x, 0, %i)
    %p: f64[2,3] = matmul(%a, %w)
    %q: f64[2,3] = add(%p, %xt)
    %t: f64[2,3] = tanh(%q)
    %s: f64[] = sum(%t)
    %g: bool[] = lt(%s, %limit)
    %b: bool = py.bool(%g)
    yield %b, %t
  }
  return %h
}
"""


@pytest.mark.parametrize("limit", [100.0, -100.0, 0.2])
@pytest.mark.parametrize("T", [5, 1, 0])
def test_a_counted_loop_that_may_end_before(T: int, limit: float) -> None:
    d = check(EXIT, normal(T, 2, 3), normal(3, 3), normal(2, 3), np.array(limit), wanted=[True, True, True, False])
    assert not d.rooms  # the trip count bounds it
    backward = [n for n in d.backward.nodes if n.blocks]
    assert not any(str(v.type) == "f64[T,2,3]" for v in backward[0].args)  # no accumulator of the size of x


COUNTING = """
graph @f(%x: f64[S,3], %h0: f64[3], %limit: f64[]) -> f64[3] {
  %h: f64[3], %t: int = loop None, True, (%i: int, %a: f64[3] = %h0, %k: int = 0) {
    %xk: f64[3] = select(%x, 0, %k)
    %q: f64[3] = mul(%a, %xk)
    %r: f64[3] = add(%q, %xk)
    %k2: int = py.add(%k, 1)
    %s: f64[] = sum(%r)
    %g: bool[] = lt(%s, %limit)
    %b: bool = py.bool(%g)
    %last: bool = py.eq(%k2, 4)
    %more: bool = py.not(%last)
    %go: bool = py.and(%b, %more)
    yield %go, %r, %k2
  }
  return %h
}
"""


@pytest.mark.parametrize("limit", [100.0, -100.0, 0.9])
def test_rows_read_by_a_counter_of_the_loop(limit: float) -> None:
    check(COUNTING, normal(4, 3), normal(3), np.array(limit), wanted=[True, True, False])


NESTED = """
graph @f(%x: f64[T,3], %w: f64[3], %h0: f64[3]) -> (f64[3], f64[T,3]) {
  %n: int<T> = size(%x, 0)
  %h: f64[3], %ys: f64[T,3] = loop %n, True, (%i: int, %a: f64[3] = %h0) {
    %xi: f64[3] = select(%x, 0, %i)
    %b: f64[3] = add(%a, %xi)
    %c0: bool = py.gt(%i, 0)
    %z: f64[3] = loop None, %c0, (%j: int, %p: f64[3] = %b) {
      %q: f64[3] = mul(%p, %w)
      %q2: f64[3] = mul(%q, %p)
      %s: f64[] = sum(%q2)
      %g: bool[] = gt(%s, 0.01)
      %go: bool = py.bool(%g)
      yield %go, %q2
    }
    %y: f64[3] = tanh(%z)
    yield True, %y | stacked %z
  }
  return %h, %ys
}
"""


@pytest.mark.parametrize("T", [4, 1, 0])
def test_a_while_loop_inside_a_counted_one(T: int) -> None:
    d = check(NESTED, np.abs(normal(T, 3)), np.abs(normal(3)), np.abs(normal(3)))
    assert "f64[T,room0+1,3]" in [str(v.type) for v in d.kept()]


BRANCHES = """
graph @f(%x: f64[3], %u: f64[3], %v: f64[3], %limit: f64[]) -> f64[3] {
  %s: f64[3], %f: bool = loop None, True, (%i: int, %h: f64[3] = %x, %first: bool = True) {
    %r: f64[3] = if %first {
      %a: f64[3] = mul(%h, %u)
      yield %a
    } else {
      %b: f64[3] = mul(%h, %v)
      %b2: f64[3] = mul(%b, %h)
      yield %b2
    }
    %m: f64[] = sum(%r)
    %g: bool[] = gt(%m, %limit)
    %go: bool = py.bool(%g)
    yield %go, %r, False
  }
  return %s
}
"""


@pytest.mark.parametrize("limit", [100.0, 0.001])
def test_a_branch_that_only_some_turns_take(limit: float) -> None:
    """With one turn nothing reaches v: it gets no gradient, as on the tape."""
    positive = [np.array([0.9, 0.8, 0.9]), np.array([0.9, 0.8, 0.7]), np.array([0.6, 0.7, 0.8])]
    d = check(BRANCHES, *positive, np.array(limit), wanted=[True, True, True, False])
    assert d.present[2].flag is not None
