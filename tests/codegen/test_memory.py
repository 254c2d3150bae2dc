"""The workspace: nothing that is needed at one moment overlaps, for any sizes, and it is hardly larger than that."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from specjit.codegen.schedule import NotSchedulable
from specjit.codegen.schedule.memory import ALIGNMENT, MemoryPlan, plan, samples
from specjit.codegen.schedule.model import Storage
from specjit.codegen.schedule.placement import Span, highest, largest, largest_live, never_below, place
from specjit.codegen.schedule.steps import Addr, Call, LoopStep, Step
from specjit.ir.dims import evaluate, symbol
from tests.codegen.plans import check, f32, plan_of
from tests.codegen.region_texts import ATTENTION, BRANCH_IN_A_LOOP, gru, lstm, norm_peephole_lstm

B, T = symbol("B"), symbol("T")
RNG = np.random.default_rng(5)


@st.composite
def spans(draw) -> list[Span]:
    out = []
    for _ in range(draw(st.integers(1, 14))):
        first = draw(st.integers(0, 12))
        a, b, c = (draw(st.integers(0, 4)) for _ in range(3))
        minus = draw(st.sampled_from([0, 0, 0, 1]))
        out.append(Span(64 * a + 64 * b * B + 128 * c * T * B - 64 * minus * B, first, first + draw(st.integers(0, 5))))
    return out


@given(spans(), st.integers(0, 40), st.integers(0, 40))
@settings(max_examples=150, deadline=None)
def test_nothing_overlaps_for_any_size(found, b, t):
    packing = place(found, samples({"B", "T"}))
    values = packing.values({"B": b, "T": t})
    size = [max(0, evaluate(s.size, values)) for s in found]
    start = [largest(o, values) for o in packing.offsets]
    whole = largest(packing.total, values)
    assert min(start) >= 0
    for i, j in itertools.combinations(range(len(found)), 2):
        if found[i].meets(found[j]) and size[i] and size[j]:
            assert start[i] + size[i] <= start[j] or start[j] + size[j] <= start[i], (i, j, start, size)
    assert all(a + n <= whole for a, n in zip(start, size) if n)
    assert whole >= largest_live([Span(n, s.first, s.last) for n, s in zip(size, found)], {})


def test_a_packing_that_no_single_order_of_sizes_finds():
    """The temporaries of a two-layer LSTM's backward: placing the largest, longest or earliest first leaves gaps."""
    seq = 128 * T * B
    lives = [
        (seq, 2, 15), (64 * T * B, 3, 4), (128 * B, 5, 15), (128 * B, 6, 15), (256 * B, 7, 26), (seq + 128 * B, 8, 15),
        (seq + 128 * B, 10, 17), (128 * B, 12, 15), (128 * B, 12, 15), (4 * seq, 12, 20), (4 * seq, 16, 21),
        (seq, 20, 31), (128 * B, 22, 31), (128 * B, 23, 31), (seq + 128 * B, 24, 31), (seq + 128 * B, 26, 33),
        (128 * B, 28, 31), (128 * B, 28, 31), (4 * seq, 28, 35), (4 * seq, 32, 36),
    ]  # fmt: skip
    found = [Span(*life) for life in lives]
    packing = place(found, samples({"B", "T"}))
    for b, t in [(1, 1), (1, 100), (32, 32), (100, 3), (3, 1000)]:
        values = packing.values({"B": b, "T": t})
        assert largest(packing.total, values) <= 1.1 * largest_live(found, values)


LSTM_PARAMS = ("wi", "wh", "bi", "bh")


@pytest.mark.parametrize(
    ("text", "params"),
    [
        (lstm(8, 16), LSTM_PARAMS),
        (gru(4, 8), LSTM_PARAMS),
        (norm_peephole_lstm(5, 8), ("wi", "wh", "bi", "gm", "pi", "po")),
        (lstm(8, 16), ()),
        (ATTENTION, ()),
        (BRANCH_IN_A_LOOP, ()),
    ],
)
def test_workspaces_are_hardly_larger_than_what_lives(text, params):
    memory = plan_of(text, params=params).memory
    for sizes in itertools.product((1, 7, 32, 200), repeat=len(memory.symbols())):
        values = dict(zip(sorted(memory.symbols()), sizes))
        assert memory.live(values) <= memory.planned(values) <= 1.1 * memory.live(values)


def test_sizes_are_rounded_up_when_they_are_known():
    text = """graph @f(%x: f32[B,3], %w: f32[3,5], %v: f32[5,3]) -> f32[B,3] {
      %h: f32[B,5] = matmul(%x, %w)
      %y: f32[B,3] = matmul(%h, %v)
      return %y
    }"""
    made = check(text, f32(RNG, 3, 3), f32(RNG, 3, 5), f32(RNG, 5, 3), params=("w", "v"))
    assert made.memory.planned({"B": 3}) == ALIGNMENT
    assert made.memory.planned({"B": 4}) == 2 * ALIGNMENT
    assert made.memory.live({"B": 4}) == 2 * ALIGNMENT


# -- lifetimes ---------------------------------------------------------------------------------------------------------


def temp(elements: int) -> Storage:
    return Storage("temp", "f32", elements)


def use(*storages: Storage) -> Call:
    return Call(None, [Addr(s, "f32") for s in storages], set(), set())  # type: ignore[arg-type]


def offsets(made: MemoryPlan) -> dict[Storage, int]:
    return {s: largest(o, {}) for chain, o in zip(made.members, made.packing.offsets) for s in chain}


def in_loop(*body: Step) -> LoopStep:
    loop = object.__new__(LoopStep)
    loop.pointers, loop.moves, loop.held, loop.body = [], [], set(), list(body)
    return loop


def test_what_is_needed_one_after_the_other_shares_memory():
    a, b, c = temp(16), temp(16), temp(16)
    made = plan([use(a), use(a, b), use(b, c), use(c)])
    assert made.planned({}) == made.live({}) == 128
    assert offsets(made)[a] == offsets(made)[c] != offsets(made)[b]


def test_what_crosses_a_turn_keeps_its_place_for_the_whole_loop():
    a, b, c = temp(16), temp(16), temp(16)
    inside = plan([in_loop(use(a), use(a, b), use(b)), use(c)])
    assert inside.planned({}) == 128
    across = plan([use(c), in_loop(use(a), use(b), use(c))])
    assert across.planned({}) == 128, "a and b share"
    held = plan([use(a), use(b), in_loop(use(a), use(c), use(b))])
    assert held.planned({}) == 192


def test_no_temporary_no_workspace():
    made = plan([])
    assert made.planned({}) == made.live({}) == 0


# -- bounds ------------------------------------------------------------------------------------------------------------


def test_bounds_leave_out_what_is_never_the_largest():
    assert highest([3, 64 * B, 64 * B + 1]) == (3, 64 * B + 1)
    assert highest([0, 64 * B]) == (64 * B,)
    assert set(highest([64 * B, 64 * T])) == {64 * B, 64 * T}
    assert highest([-64 + 64 * B, 0]) == (0, 64 * B - 64)


def test_bounds_know_what_roundings_lie_between():
    up = symbol("_up0")
    ranges = {"_up0": (16 * B, 64 * B)}
    assert never_below(64 * B, up, ranges)
    assert never_below(up, 16 * B, ranges)
    assert not never_below(32 * B, up, ranges)
    assert not never_below(up, 64 * B, ranges)


def test_a_size_that_only_the_run_knows_is_refused():
    text = """graph @f(%x: f32[T,4], %n: int, %a: f32[]) -> f32[] {
      %y: f32[?,4] = slice(%x, 0, 0, %n, 1)
      %p: f32[4,?] = permute(%y, [1, 0])
      %q: f32[?] = flatten(%p, 0, 1)
      %s: f32[] = loop 3, True, (%i: int, %s1: f32[] = %a) {
        %e: f32[] = select(%q, 0, %i)
        %s2: f32[] = add(%s1, %e)
        yield True, %s2
      }
      return %s
    }"""
    with pytest.raises(NotSchedulable, match="known only at run time"):
        plan_of(text)


# -- one temporary over another ----------------------------------------------------------------------------------------


def places(text: str, *inputs: np.ndarray, params: tuple[str, ...] = ()) -> list[list[str]]:
    """The temporaries by the place that they share, after a run that compares with the graph."""
    return [[s.name for s in chain] for chain in check(text, *inputs, params=params).memory.members]


def test_a_softmax_is_written_over_its_scores():
    text = """graph @f(%q: f32[B,8], %k: f32[8,T], %v: f32[T,8]) -> f32[B,8] {
      %s: f32[B,T] = matmul(%q, %k)
      %m: f32[B,1] = amax(%s, [1], True)
      %d: f32[B,T] = sub(%s, %m)
      %e: f32[B,T] = exp(%d)
      %z: f32[B,1] = sum(%e, [1], True)
      %p: f32[B,T] = div(%e, %z)
      %y: f32[B,8] = matmul(%p, %v)
      return %y
    }"""
    assert ["s", "p"] in places(text, f32(RNG, 5, 8), f32(RNG, 8, 9), f32(RNG, 9, 8))


def test_what_is_read_elsewhere_keeps_its_place():
    text = """graph @f(%x: f32[4,64], %w: f32[64,64], %v: f32[64,4]) -> f32[4,4] {
      %s: f32[4,64] = matmul(%x, %w)
      %c: f32[4,64] = cumsum(%s, 1)
      %d: f32[4,64] = mul(%c, %s)
      %y: f32[4,4] = matmul(%d, %v)
      return %y
    }"""
    found = places(text, f32(RNG, 4, 64), f32(RNG, 64, 64), f32(RNG, 64, 4), params=("w", "v"))
    assert len(found) == 2, "d over c or s; c is no elementwise result of s"
    assert ["s", "c"] not in found


def test_other_elements_keep_their_place():
    """A transposed read is not of the element that is written."""
    text = """graph @f(%x: f32[8,8], %w: f32[8,8], %v: f32[8,4]) -> (f32[8,4], f32[8]) {
      %s: f32[8,8] = cumsum(%x, 1)
      %t: f32[8,8] = t(%s)
      %d: f32[8,8] = tanh(%t)
      %y: f32[8,4] = matmul(%d, %v)
      %z: f32[8] = sum(%d, [0], False)
      return %y, %z
    }"""
    assert all(len(p) == 1 for p in places(text, f32(RNG, 8, 8), f32(RNG, 8, 8), f32(RNG, 8, 4), params=("v",)))


def test_another_itemsize_keeps_its_place():
    text = """graph @f(%x: f32[8,8], %g: f64[8,8], %v: f64[8,4]) -> (f64[8,4], f64[8]) {
      %s: f32[8,8] = cumsum(%x, 1)
      %d: f64[8,8] = mul(%s, %g)
      %y: f64[8,4] = matmul(%d, %v)
      %z: f64[8] = sum(%d, [0], False)
      return %y, %z
    }"""
    wide = RNG.standard_normal((8, 8)), RNG.standard_normal((8, 4))
    assert all(len(p) == 1 for p in places(text, f32(RNG, 8, 8), *wide, params=("v",)))
