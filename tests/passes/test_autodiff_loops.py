"""Gradients of branches and loops: recurrent cells, what is stacked for them, no turns, nesting, refusals."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.passes.gradients import bytes_per_turn, check, derive

rng = np.random.default_rng(11)


def normal(*shape: int) -> np.ndarray:
    return np.asarray(rng.standard_normal(shape) * 0.7)


LSTM = """
graph @lstm(%x: f64[T,B,3], %w: f64[3,8], %u: f64[2,8], %b: f64[8], %h0: f64[B,2], %c0: f64[B,2]) -> (f64[T,B,2], f64[B,2], f64[B,2]) {
  %n: int<T> = size(%x, 0)
  %h: f64[B,2], %c: f64[B,2], %ys: f64[T,B,2] = loop %n, True, (%i: int, %hp: f64[B,2] = %h0, %cp: f64[B,2] = %c0) {
    %xt: f64[B,3] = select(%x, 0, %i)
    %p: f64[B,8] = matmul(%xt, %w)
    %q: f64[B,8] = matmul(%hp, %u)
    %s: f64[B,8] = add(%p, %q)
    %a: f64[B,8] = add(%s, %b)
    %ai: f64[B,2], %af: f64[B,2], %ag: f64[B,2], %ao: f64[B,2] = chunk(%a, 4, 1)
    %ig: f64[B,2] = sigmoid(%ai)
    %fg: f64[B,2] = sigmoid(%af)
    %gg: f64[B,2] = tanh(%ag)
    %og: f64[B,2] = sigmoid(%ao)
    %fc: f64[B,2] = mul(%fg, %cp)
    %ic: f64[B,2] = mul(%ig, %gg)
    %cn: f64[B,2] = add(%fc, %ic)
    %tc: f64[B,2] = tanh(%cn)
    %hn: f64[B,2] = mul(%og, %tc)
    yield True, %hn, %cn | stacked %hn
  }
  return %ys, %h, %c
}
"""  # noqa: E501

GRU = """
graph @gru(%x: f64[T,B,3], %w: f64[3,6], %u: f64[2,6], %b: f64[6], %h0: f64[B,2]) -> (f64[T,B,2], f64[B,2]) {
  %n: int<T> = size(%x, 0)
  %xw: f64[T,B,6] = matmul(%x, %w)
  %h: f64[B,2], %ys: f64[T,B,2] = loop %n, True, (%i: int, %hp: f64[B,2] = %h0) {
    %xt: f64[B,6] = select(%xw, 0, %i)
    %xb: f64[B,6] = add(%xt, %b)
    %q: f64[B,6] = matmul(%hp, %u)
    %xr: f64[B,2], %xz: f64[B,2], %xn: f64[B,2] = chunk(%xb, 3, 1)
    %hr: f64[B,2], %hz: f64[B,2], %hh: f64[B,2] = chunk(%q, 3, 1)
    %ar: f64[B,2] = add(%xr, %hr)
    %r: f64[B,2] = sigmoid(%ar)
    %az: f64[B,2] = add(%xz, %hz)
    %z: f64[B,2] = sigmoid(%az)
    %rh: f64[B,2] = mul(%r, %hh)
    %an: f64[B,2] = add(%xn, %rh)
    %c: f64[B,2] = tanh(%an)
    %one: f64[B,2] = sub(1.0, %z)
    %k: f64[B,2] = mul(%one, %c)
    %zh: f64[B,2] = mul(%z, %hp)
    %hn: f64[B,2] = add(%k, %zh)
    yield True, %hn | stacked %hn
  }
  return %ys, %h
}
"""

NORMED = """
graph @normed(%x: f64[T,B,2], %u: f64[2,2], %g: f64[2], %h0: f64[B,2]) -> f64[B,2] {
  %n: int<T> = size(%x, 0)
  %h: f64[B,2] = loop %n, True, (%i: int, %hp: f64[B,2] = %h0) {
    %xt: f64[B,2] = select(%x, 0, %i)
    %q: f64[B,2] = matmul(%hp, %u)
    %q2: f64[B,2] = matmul(%q, %u)
    %a: f64[B,2] = add(%xt, %q2)
    %m: f64[B,1] = mean(%a, [1], True)
    %d: f64[B,2] = sub(%a, %m)
    %s: f64[B,2] = mul(%d, %d)
    %v: f64[B,1] = mean(%s, [1], True)
    %e: f64[B,1] = add(%v, 0.1)
    %r: f64[B,1] = rsqrt(%e)
    %f: f64[B,2] = mul(%d, %r)
    %k: f64[B,2] = mul(%f, %g)
    %hn: f64[B,2] = tanh(%k)
    yield True, %hn
  }
  return %h
}
"""


def cell_inputs(T: int, B: int, gates: int) -> list[np.ndarray]:
    return [normal(T, B, 3), normal(3, 2 * gates), normal(2, 2 * gates), normal(2 * gates), normal(B, 2)]


@pytest.mark.parametrize(("T", "B"), [(3, 2), (1, 1), (0, 2), (2, 0)])
def test_lstm(T: int, B: int) -> None:
    check(LSTM, *cell_inputs(T, B, 4), normal(B, 2))


def test_lstm_keeps_gates_and_the_histories_of_its_states() -> None:
    """The stacked output is the caller's to change (eager's stack copies it), so h is kept apart from it."""
    _, d = derive(LSTM)
    assert sorted(v.hint for v in d.kept()) == ["cns", "fgs", "ggs", "hns", "igs", "ogs"]
    text = str(d.graphs[0]).replace("B", "1")
    per_turn = 8 * 2 * 6
    assert bytes_per_turn(derive(LSTM.replace("f64[B", "f64[1").replace(",B,", ",1,"))[1]) == per_turn, text
    assert not [kind for kind, _ in d.saved if kind == "output"]


def test_lstm_reads_as_expected() -> None:
    """The golden text: what a person reads when a gradient is in doubt. It changes when a gradient rule does."""
    _, d = derive(LSTM)
    assert "\n".join(map(str, d.graphs)) == (Path(__file__).parent / "golden" / "lstm_derivative.ir").read_text()


def test_weight_gradients_are_sums_that_can_leave_the_loop() -> None:
    """Each accumulator of the backward loop is `add(acc, contribution)` with nothing else reading it."""
    _, d = derive(LSTM)
    (loop,) = (n for n in d.backward.nodes if n.blocks)
    (body,) = loop.blocks
    accumulators = [k for k, init in enumerate(loop.args[2:]) if init.node is not None and init.node.op.name == "zeros"]
    assert len(accumulators) == 3
    for k in accumulators:
        param, out = body.params[1 + k], body.outputs[1 + k]
        assert out.node is not None
        assert out.node.op.name == "add"
        assert out.node.args[0] is param
        assert sum(a is param for n in body.walk() for a in n.args) == 1
    assert [str(v.type) for v in loop.results[-1:]] == ["f64[T,B,3]"]


@pytest.mark.parametrize("T", [3, 0])
def test_gru_over_a_whole_sequence_product(T: int) -> None:
    d = check(GRU, *cell_inputs(T, 2, 3))
    assert "xw" not in [v.hint for v in d.kept()]


@pytest.mark.parametrize("T", [3, 1, 0])
def test_normed_cell_with_a_weight_used_twice(T: int) -> None:
    check(NORMED, normal(T, 2, 2), normal(2, 2), normal(2), normal(2, 2))


BRANCH = """
graph @branch(%x: f64[4,4], %w: f64[4,4], %c: bool) -> f64[4,4] {
  %m: f64[4,4] = matmul(%x, %w)
  %z: f64[4,4], %u: f64[4,4] = if %c {
    %a: f64[4,4] = matmul(%m, %w)
    %b: f64[4,4] = tanh(%a)
    %b2: f64[4,4] = matmul(%b, %w)
    yield %b2, %m
  } else {
    %e: f64[4,4] = mul(%m, 3.0)
    %q: f64[4,4] = matmul(%e, %e)
    %f: f64[4,4] = mul(%q, %q)
    yield %f, %x
  }
  %o: f64[4,4] = mul(%z, %u)
  return %o
}
"""


@pytest.mark.parametrize("c", [True, False])
def test_branches(c: bool) -> None:
    check(BRANCH, normal(4, 4), normal(4, 4), c)


def test_branches_share_what_they_keep() -> None:
    """One branch keeps tanh's result, the other a product of the same type: one result of the `if` holds either."""
    _, d = derive(BRANCH)
    assert len(d.kept()) == 4  # m, the two results, and the shared one


BRANCH_IN_LOOP = """
graph @f(%x: f64[T,B,2], %h0: f64[B,2], %w: f64[2,2], %limit: f64[]) -> (f64[T,B,2], f64[B,2]) {
  %n: int<T> = size(%x, 0)
  %h: f64[B,2], %ys: f64[T,B,2] = loop %n, True, (%i: int, %hp: f64[B,2] = %h0) {
    %xt: f64[B,2] = select(%x, 0, %i)
    %s: f64[] = sum(%hp)
    %g: bool[] = gt(%s, %limit)
    %c: bool = py.bool(%g)
    %hn: f64[B,2] = if %c {
      %m: f64[B,2] = matmul(%hp, %w)
      %a: f64[B,2] = add(%m, %xt)
      %t: f64[B,2] = tanh(%a)
      %w1: f64[B,1], %w2: f64[B,1] = chunk(%t, 2, 1)
      %k: list[f64[B,1]] = py.list(%w2, %w1)
      %o: f64[B,2] = cat(%k, 1)
      yield %o
    } else {
      %x2: f64[B,2] = select(%x, 0, %i)
      %m2: f64[B,2] = mul(%hp, %x2)
      %m3: f64[B,2] = matmul(%m2, %w)
      yield %m3
    }
    yield True, %hn | stacked %hp
  }
  return %ys, %h
}
"""


@pytest.mark.parametrize("limit", [-100.0, 100.0, 0.05])
def test_branches_in_a_loop_on_data(limit: float) -> None:
    d = check(BRANCH_IN_LOOP, normal(5, 3, 2), normal(3, 2), normal(2, 2), np.array(limit))
    # The condition is kept as the bool tensor that it was read from.
    assert "bool[T]" in [str(v.type) for v in d.kept()]


def test_branches_in_a_loop_without_a_turn() -> None:
    check(BRANCH_IN_LOOP, normal(0, 3, 2), normal(3, 2), normal(2, 2), normal())


NESTED = """
graph @nested(%x: f64[T,S,3], %h0: f64[3], %w: f64[3], %n: int<T>, %m: int<S>) -> (f64[3], f64[T,3]) {
  %h: f64[3], %ys: f64[T,3] = loop %n, True, (%i: int, %a: f64[3] = %h0) {
    %b: f64[3] = loop %m, True, (%j: int, %p: f64[3] = %a) {
      %xi: f64[S,3] = select(%x, 0, %i)
      %xj: f64[3] = select(%xi, 0, %j)
      %q: f64[3] = mul(%p, %w)
      %q1: f64[3] = add(%q, %xj)
      %q2: f64[3] = tanh(%q1)
      yield True, %q2
    }
    %c: f64[3] = mul(%b, %w)
    yield True, %c | stacked %b
  }
  return %h, %ys
}
"""


@pytest.mark.parametrize(("n", "m"), [(2, 3), (2, 0), (0, 2), (1, 1)])
def test_nested_loops(n: int, m: int) -> None:
    check(NESTED, normal(n, m, 3), normal(3), normal(3), n, m)


CARRIED_THROUGH = """
graph @f(%a: f64[2], %x: f64[T,2]) -> f64[2] {
  %n: int<T> = size(%x, 0)
  %h: f64[2], %c: f64[2] = loop 2, True, (%i: int, %hp: f64[2] = %a, %cp: f64[2] = %a) {
    %k: f64[2] = loop %n, True, (%j: int, %kp: f64[2] = %hp) {
      yield True, %cp
    }
    yield True, %k, %hp
  }
  return %h
}
"""


@pytest.mark.parametrize("T", [2, 0])
def test_a_carry_that_only_an_inner_loop_hands_on(T: int) -> None:
    check(CARRIED_THROUGH, normal(2), normal(T, 2))


REVERSED = """
graph @f(%x: f64[B,T,3], %h0: f64[B,3], %w: f64[3,3], %n: int<T>) -> (f64[T,B,3], f64[B,3]) {
  %h: f64[B,3], %old: f64[B,3], %ys: f64[T,B,3] = loop %n, True, (%i: int, %a: f64[B,3] = %h0, %unused: f64[B,3] = %h0) reverse {
    %xi: f64[B,3] = select(%x, 1, %i)
    %q: f64[B,3] = matmul(%a, %w)
    %q1: f64[B,3] = add(%q, %xi)
    %q2: f64[B,3] = tanh(%q1)
    yield True, %q2, %a | stacked %q2
  }
  return %ys, %h
}
"""  # noqa: E501


@pytest.mark.parametrize("T", [4, 1, 0])
def test_a_reversed_loop_over_the_second_dim_with_an_unused_carry(T: int) -> None:
    _, d = derive(REVERSED)
    (loop,) = (n for n in d.backward.nodes if n.blocks)
    assert not loop.attrs.get("reverse")
    check(REVERSED, normal(2, T, 3), normal(2, 3), normal(3, 3), T)


COUNTING_DOWN = """
graph @f(%x: f64[T,3], %h0: f64[3], %n: int<T>) -> (f64[3], f64[T,3]) {
  %last: int<T-1> = py.sub(%n, 1)
  %h: f64[3], %ys: f64[T,3] = loop %n, True, (%i: int, %a: f64[3] = %h0) {
    %j: int = py.sub(%last, %i)
    %xi: f64[3] = select(%x, 0, %j)
    %q: f64[3] = mul(%a, %xi)
    yield True, %q | stacked %q
  }
  return %h, %ys
}
"""

WINDOW = """
graph @f(%x: f64[T+3,3], %h0: f64[3], %n: int<T>) -> f64[3] {
  %h: f64[3] = loop %n, True, (%i: int, %a: f64[3] = %h0) {
    %j: int = py.add(%i, 2)
    %k: int = py.sub(%i, 1)
    %xj: f64[3] = select(%x, 0, %j)
    %xk: f64[3] = select(%x, 0, %k)
    %q: f64[3] = mul(%a, %xj)
    %q2: f64[3] = add(%q, %xk)
    yield True, %q2
  }
  return %h
}
"""


@pytest.mark.parametrize("T", [4, 1, 0])
def test_rows_read_from_the_end(T: int) -> None:
    d = check(COUNTING_DOWN, normal(T, 3), normal(3), T)
    (loop,) = (n for n in d.backward.nodes if n.blocks)
    assert len(loop.args) == 3  # no accumulator of the size of x


@pytest.mark.parametrize("T", [4, 0])
def test_rows_at_an_offset_and_rows_that_wrap_around(T: int) -> None:
    """x[i + 2] is a stacked result; x[i - 1] is x[-1] in the first turn, so it goes the general way."""
    check(WINDOW, normal(T + 3, 3), normal(3), T)


PART = """
graph @f(%x: f64[S,3], %h0: f64[3], %n: int<N>) -> f64[3] {
  %h: f64[3], %k: float = loop %n, True, (%i: int, %a: f64[3] = %h0, %f: float = 1.5) {
    %xi: f64[3] = select(%x, -2, %i)
    %q: f64[3] = mul(%a, %xi)
    %q1: f64[3] = mul(%q, %f)
    %g: float = py.mul(%f, 2.0)
    yield True, %q1, %g
  }
  return %h
}
"""


@pytest.mark.parametrize("n", [0, 2, 4])
def test_rows_that_are_not_read_and_a_carried_number(n: int) -> None:
    check(PART, normal(4, 3), normal(3), n)


INVARIANT = """
graph @f(%x: f64[B,3], %y: f64[T,B,3], %w: f64[3,3]) -> (f64[T,B,3], f64[B,3]) {
  %n: int<T> = size(%y, 0)
  %xw: f64[B,3] = matmul(%x, %w)
  %z: f64[B,3], %ys: f64[T,B,3] = loop %n, True, (%i: int, %c: f64[B,3] = %x) {
    %r: f64[B,3] = select(%y, 0, %i)
    %a: f64[B,3] = mul(%xw, %r)
    %b: f64[B,3] = mul(%xw, %xw)
    %d: f64[B,3] = add(%a, %b)
    yield True, %xw | stacked %d
  }
  return %ys, %z
}
"""


@pytest.mark.parametrize("T", [3, 0])
def test_loop_invariant_values_and_a_carry_that_is_replaced(T: int) -> None:
    d = check(INVARIANT, normal(2, 3), normal(T, 2, 3), normal(3, 3))
    assert [str(v.type) for v in d.kept()] == ["f64[B,3]"]  # xw, once for all turns


def test_a_loop_that_no_gradient_enters_is_left_out() -> None:
    text = """
    graph @f(%x: f64[3], %y: f64[3]) -> f64[3] {
      %s: f64[3] = loop None, True, (%i: int, %c: f64[3] = %y) {
        %d: f64[3] = mul(%c, 0.5)
        %m: f64[] = amax(%d)
        %g: bool[] = gt(%m, 0.1)
        %b: bool = py.bool(%g)
        yield %b, %d
      }
      %t: f64[3] = detach(%s)
      %z: f64[3] = mul(%x, %t)
      return %z
    }
    """
    d = check(text, normal(3), normal(3), wanted=[True, False])
    assert not any(n.blocks for n in d.backward.nodes)
