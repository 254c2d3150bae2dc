"""Plans compiled and run natively: the whole road from text to machine code, compared with the graph interpreted op
by op."""

from __future__ import annotations

import numpy as np
import pytest

from specjit.codegen.loader import KernelLibrary
from specjit.codegen.schedule.interp import RegionFailed, Runner, interpret
from tests.codegen.plans import f32, graph_of, plan_of, run_graph
from tests.codegen.region_texts import ATTENTION, BRANCH_IN_A_LOOP, gru, lstm, norm_peephole_lstm
from tests.graphs.native import native_runner

RNG = np.random.default_rng(3)


@pytest.fixture(scope="module")
def native(library: KernelLibrary) -> Runner:
    return native_runner(library)


def check_native(native: Runner, text: str, *inputs: object, params: tuple[str, ...] = ()) -> None:
    plan = plan_of(text, params=params)
    expected = run_graph(graph_of(text), *inputs)
    found = interpret(plan, inputs, native)
    for mine, theirs in zip(found, expected, strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=3e-5, atol=3e-6)


@pytest.mark.parametrize("sizes", [(3, 2, 8, 16), (2, 1, 5, 11)])
def test_lstm(native, sizes):
    t, b, i, h = sizes
    args = (f32(RNG, t, b, i), f32(RNG, b, h), f32(RNG, b, h), t)
    weights = (f32(RNG, 4 * h, i), f32(RNG, 4 * h, h), f32(RNG, 4 * h), f32(RNG, 4 * h))
    check_native(native, lstm(i, h), *args, *weights, params=("wi", "wh", "bi", "bh"))


def test_gru(native):
    t, b, i, h = 3, 2, 5, 8
    weights = (f32(RNG, 3 * h, i), f32(RNG, 3 * h, h), f32(RNG, 3 * h), f32(RNG, 3 * h))
    check_native(native, gru(i, h), f32(RNG, t, b, i), f32(RNG, b, h), t, *weights, params=("wi", "wh", "bi", "bh"))


def test_normalized_peephole_lstm(native):
    t, b, i, h = 3, 2, 5, 8
    weights = (f32(RNG, 4 * h, i), f32(RNG, 4 * h, h), f32(RNG, 4 * h), f32(RNG, 4 * h), f32(RNG, h), f32(RNG, h))
    args = (f32(RNG, t, b, i), f32(RNG, b, h), f32(RNG, b, h), t)
    check_native(native, norm_peephole_lstm(i, h), *args, *weights, params=("wi", "wh", "bi", "gm", "pi", "po"))


def test_attention(native):
    weights = [f32(RNG, 8, 8) for _ in range(3)]
    check_native(native, ATTENTION, f32(RNG, 3, 6, 8), *weights, params=("wq", "wk", "wv"))


def test_joins_reductions_and_numbers(native):
    text = """graph @f(%x: f32[B,4], %k: int, %s: float) -> (f32[B,8], f32[4], int, f32[B]) {
      %a: f32[B,4] = mul(%x, %s)
      %l: list[f32[B,4]] = py.list(%a, %x)
      %c: f32[B,8] = cat(%l, 1)
      %r: f32[4] = sum(%a, [0])
      %m: int = py.mul(%k, 3)
      %p: f32[B] = amax(%c, [1])
      return %c, %r, %m, %p
    }"""
    for b in (1, 5):
        check_native(native, text, f32(RNG, b, 4), 7, 0.25)


def test_branch_in_a_loop(native):
    check_native(native, BRANCH_IN_A_LOOP, f32(RNG, 7, 4), 7, 3)
    with pytest.raises(RegionFailed, match="ZERO_DIVISION"):
        interpret(plan_of(BRANCH_IN_A_LOOP), [f32(RNG, 7, 4), 7, 0], native)


def test_while(native):
    text = """graph @f(%x: f32[4]) -> (f32[4], int) {
      %y: f32[4] = clone(%x)
      %a: f32[4], %m: int = loop None, True, (%i: int, %ai: f32[4] = %y, %mi: int = 0) {
        %b: f32[4] = mul(%ai, 0.5)
        %q: f32[4] = mul(%b, %b)
        %s: f32[] = sum(%q)
        %f: float = item(%s)
        %c: bool = py.gt(%f, 0.01)
        %m2: int = py.add(%mi, 1)
        yield %c, %b, %m2
      }
      return %a, %m
    }"""
    check_native(native, text, f32(RNG, 4))


def test_picked_rows(native):
    text = """graph @f(%w: f32[7,20], %i: i64[T,3], %g: f32[T,3,20]) -> (f32[T,3,20], f32[7,20]) {
      %e: f32[T,3,20] = embedding(%w, %i)
      %b: f32[7,20] = embedding_backward(%g, %i, 7, -1)
      return %e, %b
    }"""
    check_native(native, text, f32(RNG, 7, 20), RNG.integers(0, 7, (4, 3)), f32(RNG, 4, 3, 20))
    with pytest.raises(RegionFailed, match="INDEX"):
        interpret(plan_of(text), [f32(RNG, 7, 20), np.full((1, 3), -1), f32(RNG, 1, 3, 20)], native)


@pytest.mark.parametrize("rows", [3, 40])
@pytest.mark.parametrize("dim", [0, 1])
def test_a_softmax_over_its_scores(native, rows, dim):
    """The kernel writes where it reads: rows in the lanes or across them, longer than what it keeps or not."""
    columns = 5000 if rows == 3 else 19
    one = "B,1" if dim else "1,T"
    text = f"""graph @f(%q: f32[B,4], %k: f32[4,T], %v: f32[T,4]) -> f32[B,4] {{
      %s: f32[B,T] = matmul(%q, %k)
      %m: f32[{one}] = amax(%s, [{dim}], True)
      %d: f32[B,T] = sub(%s, %m)
      %e: f32[B,T] = exp(%d)
      %z: f32[{one}] = sum(%e, [{dim}], True)
      %p: f32[B,T] = div(%e, %z)
      %y: f32[B,4] = matmul(%p, %v)
      return %y
    }}"""
    assert ["s", "p"] in [[s.name for s in chain] for chain in plan_of(text).memory.members]
    check_native(native, text, f32(RNG, rows, 4), f32(RNG, 4, columns), abs(f32(RNG, columns, 4)))


def test_a_product_added_to_what_it_is_written_over(native):
    text = """graph @f(%x: f32[B,20], %w: f32[20,20], %u: f32[20,20]) -> f32[B,20] {
      %a: f32[B,20] = cumsum(%x, 1)
      %p: f32[B,20] = matmul(%x, %w)
      %t: f32[B,20] = tanh(%p)
      %s: f32[B,20] = mul(%a, %t)
      %y: f32[B,20] = matmul(%s, %u)
      return %y
    }"""
    assert ["a", "s"] in [[s.name for s in chain] for chain in plan_of(text).memory.members]
    check_native(native, text, f32(RNG, 37, 20), f32(RNG, 20, 20), f32(RNG, 20, 20))
