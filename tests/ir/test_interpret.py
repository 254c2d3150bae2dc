"""The reference interpreter against plain NumPy programs."""

from __future__ import annotations

import numpy as np
import pytest

from specjit.ir.interpret import TypeMismatch, interpret
from specjit.ir.text import parse
from tests.ir.toy import OPS


def graph_of(text):
    return parse(text, ops=OPS.__getitem__)


SCAN = """
graph @scan(%x: f32[T,B,4], %w: f32[4,4], %h0: f32[B,4], %n: int<T>) -> (f32[B,4], f32[T,B,4]) {
  %h: f32[B,4], %ys: f32[T,B,4] = loop %n, True, (%i: int, %h1: f32[B,4] = %h0) REVERSE{
    %xt: f32[B,4] = select(%x, 0, %i)
    %a: f32[B,4] = matmul(%h1, %w)
    %y: f32[B,4] = add(%xt, %a)
    %z: f32[B,4] = tanh(%y)
    yield True, %z | stacked %z
  }
  return %h, %ys
}
"""


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("trip", [0, 1, 5])
def test_scan(reverse, trip):
    rng = np.random.default_rng(trip)
    x = rng.standard_normal((trip, 2, 4), dtype=np.float32)
    w, h = rng.standard_normal((4, 4), dtype=np.float32), np.zeros((2, 4), np.float32)
    graph = graph_of(SCAN.replace("REVERSE", "reverse " if reverse else ""))
    out, ys = interpret(graph, x, w, h, trip, check=True)
    rows = np.zeros((trip, 2, 4), np.float32)
    for t in reversed(range(trip)) if reverse else range(trip):
        h = rows[t] = np.tanh(x[t] + h @ w)
    assert ys.shape == rows.shape
    assert ys.dtype == np.float32
    np.testing.assert_array_equal(ys, rows)
    np.testing.assert_array_equal(out, h)


@pytest.mark.parametrize("reverse", [False, True])
def test_rows_of_turns_that_a_condition_cuts_off_are_poison(reverse):
    graph = graph_of(
        """
        graph @g(%x: f32[N], %last: int) -> (int, f32[4,N]) {
          %k: int, %ys: f32[4,N] = loop 4, True, (%i: int, %s: int = 0) {
            %y: f32[N] = add(%x, 1.0)
            %go: bool = py.lt(%s, %last)
            %s1: int = py.add(%s, 1)
            yield %go, %s1 | stacked %y
          }
          return %k, %ys
        }
        """.replace("= 0) {", "= 0) reverse {" if reverse else "= 0) {")
    )
    x = np.arange(3, dtype=np.float32)
    for last, turns in ((1, 2), (7, 4)):
        k, ys = interpret(graph, x, last, check=True)
        ran = slice(4 - turns, 4) if reverse else slice(turns)
        assert k == turns
        np.testing.assert_array_equal(ys[ran], np.stack([x + 1] * turns))
        assert np.isnan(ys).sum() == 3 * (4 - turns)


def test_while_loop_and_if():
    graph = graph_of(
        """
        graph @g(%x: f32[N], %limit: int) -> (int, f32[N]) {
          %go: bool = py.lt(0, %limit)
          %s: int, %y: f32[N] = loop None, %go, (%i: int, %s0: int = 0, %y0: f32[N] = %x) {
            %s1: int = py.add(%s0, %i)
            %p: bool = positive(%y0)
            %y1: f32[N] = if %p { %a: f32[N] = tanh(%y0); yield %a } else { %b: f32[N] = add(%y0, 5.0); yield %b }
            %go1: bool = py.lt(%s1, %limit)
            yield %go1, %s1, %y1
          }
          return %s, %y
        }
        """
    )
    x = np.array([-3.0, 2.0], np.float32)
    s, y = interpret(graph, x, 4, check=True)
    assert s == 6
    want = x
    for _ in range(4):
        want = np.tanh(want) if want.sum() > 0 else want + np.float32(5)
    np.testing.assert_array_equal(y, want)
    s, y = interpret(graph, x, 0)
    assert s == 0
    assert y is x


def test_writes_reach_the_argument_and_lists_and_several_results_work():
    graph = graph_of(
        """
        graph @g(%x: f32[6]) -> (f32[], f32[?]) {
          %0: f32[6] = fill_(%x, 2.0)
          %a: f32[2], %b: f32[2], %c: f32[2] = chunk(%x, 3)
          %l: list[f32[2]] = py.list(%c, %a)
          %d: f32[?] = cat(%l)
          %t: f32[] = total(%d)
          return %t, %d
        }
        """
    )
    x = np.zeros(6, np.float32)
    t, d = interpret(graph, x, check=True)
    assert isinstance(t, np.ndarray)
    assert t.shape == ()
    assert t == 8
    assert d.shape == (4,)
    np.testing.assert_array_equal(x, np.full(6, 2, np.float32))


def test_check_compares_values_with_recorded_types():
    graph = graph_of("graph @g(%x: f32[N,3]) -> f32[N] {\n  %y: f32[N] = tanh(%x)\n  return %y\n}")
    interpret(graph, np.zeros((2, 3), np.float32))
    with pytest.raises(TypeMismatch, match="rank is 2"):
        interpret(graph, np.zeros((2, 3), np.float32), check=True)
    with pytest.raises(TypeMismatch, match="dtype is float64"):
        interpret(graph, np.zeros((2, 3)), check=True)
    with pytest.raises(TypeMismatch, match="shape"):
        interpret(graph, np.zeros((2, 4), np.float32), check=True)
    with pytest.raises(TypeError, match="takes 1 inputs"):
        interpret(graph)
