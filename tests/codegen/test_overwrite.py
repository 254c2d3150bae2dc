"""Buffers that a loop writes part by part: every turn writes into one buffer, and what is read is what plain semantics
say. Plans run in Python, on memory that is NaN until it is written, against the graph interpreted op by op."""

from __future__ import annotations

import numpy as np
import pytest

from tests.codegen.plans import calls, check, f32, loop_calls, plan_of

RNG = np.random.default_rng(7)


ZEROS = """%sizes: list[int] = py.list(%n, 2, 3)
      %o: f32[T,2,3] = zeros(%sizes)"""


def buffer_loop(body: str, start: str = ZEROS, more: str = "") -> str:
    return f"""graph @f(%x: f32[T,2,3], %n: int<T>{more}) -> f32[T,2,3] {{
      {start}
      %y: f32[T,2,3] = loop %n, True, (%t: int, %b: f32[T,2,3] = %o) {{
        {body}
      }}
      return %y
    }}"""


ROW = """%r: f32[2,3] = select(%x, 0, %t)
        %h: f32[2,3] = tanh(%r)
        %c: f32[T,2,3] = select_scatter(%b, %h, 0, %t)
        yield True, %c"""

BACKWARDS = """%r: f32[2,3] = select(%x, 0, %t)
        %m: int<T-1> = py.sub(%n, 1)
        %j: int = py.sub(%m, %t)
        %c: f32[T,2,3] = select_scatter(%b, %r, 0, %j)
        yield True, %c"""

HALVES = """%r: f32[2,3] = select(%x, 0, %t)
        %h: f32[2,3] = tanh(%r)
        %l: f32[2,1] = slice(%h, 1, 0, 1, 1)
        %m: int<T-1> = py.sub(%n, 1)
        %j: int = py.sub(%m, %t)
        %a: f32[2,3] = select(%b, 0, %t)
        %d: f32[2,3] = slice_scatter(%a, %l, 1, 0, 1, 1)
        %c: f32[T,2,3] = select_scatter(%b, %d, 0, %t)
        %e: f32[2,3] = select(%c, 0, %j)
        %g: f32[2,2] = slice(%h, 1, 1, 3, 1)
        %k: f32[2,3] = slice_scatter(%e, %g, 1, 1, 3, 1)
        %q: f32[T,2,3] = select_scatter(%c, %k, 0, %j)
        yield True, %q"""

ADDED = """%r: f32[2,3] = select(%x, 0, %t)
        %a: f32[2,3] = select(%b, 0, %t)
        %h: f32[2,3] = add(%a, %r)
        %c: f32[T,2,3] = select_scatter(%b, %h, 0, %t)
        yield True, %c"""

MAYBE = """%r: f32[2,3] = select(%x, 0, %t)
        %u: int = py.mod(%t, 2)
        %p: bool = py.eq(%u, 0)
        %c: f32[T,2,3] = if %p {
          %d: f32[T,2,3] = select_scatter(%b, %r, 0, %t)
          yield %d
        } else {
          yield %b
        }
        yield True, %c"""


@pytest.mark.parametrize("turns", [0, 1, 2, 5])
@pytest.mark.parametrize("body", [ROW, BACKWARDS, HALVES, ADDED, MAYBE])
def test_a_turn_writes_its_part_only(body: str, turns: int) -> None:
    plan = check(buffer_loop(body), f32(RNG, turns, 2, 3), turns)
    assert "mov [" not in plan.describe(), "pointers take turns"
    assert not any("is copied in every turn" in note.text for note in plan.notes)
    bytes_of_buffer = 64 * -(-turns * 2 * 3 * 4 // 64)
    assert plan.memory.planned({"T": turns}) < max(bytes_of_buffer, 256), "the buffer is the output itself"


def test_one_kernel_per_turn_and_none_for_the_result() -> None:
    plan = check(buffer_loop(ROW), f32(RNG, 4, 2, 3), 4)
    assert loop_calls(plan) == 1
    assert len(calls(plan)) == 2  # the zeros, written where the result is, and the row


@pytest.mark.parametrize("turns", [0, 1, 5])
def test_an_argument_keeps_its_content(turns: int) -> None:
    """The buffer starts as a copy of what belongs to the caller (`check` compares the arguments afterwards)."""
    text = buffer_loop(ROW, "%o: f32[T,2,3] = mul(%z, 1)", ", %z: f32[T,2,3]").replace("= %o)", "= %z)")
    if turns:
        check(text, f32(RNG, turns, 2, 3), turns, f32(RNG, turns, 2, 3))


@pytest.mark.parametrize("turns", [1, 2, 6])
def test_rows_written_from_rows_before(turns: int) -> None:
    """Row t + 1 is a product with row t of the same buffer: elements that are read are not those that are written."""
    text = """graph @f(%x: f32[T,2,4], %n: int<T>, %w: f32[4,4]) -> f32[T+1,2,4] {
      %s: int<T+1> = py.add(%n, 1)
      %sizes: list[int] = py.list(%s, 2, 4)
      %o: f32[T+1,2,4] = ones(%sizes)
      %y: f32[T+1,2,4] = loop %n, True, (%t: int, %b: f32[T+1,2,4] = %o) {
        %r: f32[2,4] = select(%x, 0, %t)
        %p: f32[2,4] = select(%b, 0, %t)
        %q: f32[2,4] = matmul(%p, %w)
        %h: f32[2,4] = add(%q, %r)
        %u: int = py.add(%t, 1)
        %c: f32[T+1,2,4] = select_scatter(%b, %h, 0, %u)
        yield True, %c
      }
      return %y
    }"""
    plan = check(text, f32(RNG, turns, 2, 4), turns, 0.3 * f32(RNG, 4, 4), params=("w",))
    assert "mov [" not in plan.describe()
    assert loop_calls(plan) == 1


@pytest.mark.parametrize("batch", [1, 3])
def test_columns_written_from_columns_before(batch: int) -> None:
    """The same along the second dimension: the rows of a column lie between those of the next."""
    text = f"""graph @f(%x: f32[{batch},5,4]) -> f32[{batch},6,4] {{
      %o: f32[{batch},6,4] = ones([{batch}, 6, 4])
      %y: f32[{batch},6,4] = loop 5, True, (%t: int, %b: f32[{batch},6,4] = %o) {{
        %r: f32[{batch},4] = select(%x, 1, %t)
        %p: f32[{batch},4] = select(%b, 1, %t)
        %m: f32[{batch},4] = exp(%p)
        %h: f32[{batch},4] = sub(%r, %m)
        %g: f32[{batch},4] = tanh(%h)
        %u: int = py.add(%t, 1)
        %c: f32[{batch},6,4] = select_scatter(%b, %g, 1, %u)
        yield True, %c
      }}
      return %y
    }}"""
    plan = check(text, f32(RNG, batch, 5, 4))
    assert "mov [" not in plan.describe()


def test_nested_loops_share_the_buffer() -> None:
    text = """graph @f(%x: f32[T,K,3], %n: int<T>, %m: int<K>) -> f32[T,K,3] {
      %sizes: list[int] = py.list(%n, %m, 3)
      %o: f32[T,K,3] = zeros(%sizes)
      %y: f32[T,K,3] = loop %n, True, (%t: int, %b: f32[T,K,3] = %o) {
        %r: f32[K,3] = select(%x, 0, %t)
        %z: f32[T,K,3] = loop %m, True, (%k: int, %d: f32[T,K,3] = %b) {
          %e: f32[3] = select(%r, 0, %k)
          %g: f32[3] = exp(%e)
          %a: f32[K,3] = select(%d, 0, %t)
          %c: f32[K,3] = select_scatter(%a, %g, 0, %k)
          %f: f32[T,K,3] = select_scatter(%d, %c, 0, %t)
          yield True, %f
        }
        yield True, %z
      }
      return %y
    }"""
    for t, k in ((0, 2), (2, 0), (3, 4), (1, 1)):
        plan = check(text, f32(RNG, t, k, 3), t, k)
        assert loop_calls(plan) == 1


STALE = """%r: f32[2,3] = select(%x, 0, %t)
        %c: f32[T,2,3] = select_scatter(%b, %r, 0, %t)
        %s: f32[T,2,3] = add(%c, %b)
        yield True, %s"""

MIRRORED = """%r: f32[2,3] = select(%x, 0, %t)
        %m: int<T-1> = py.sub(%n, 1)
        %j: int = py.sub(%m, %t)
        %a: f32[2,3] = select(%b, 0, %j)
        %h: f32[2,3] = add(%a, %r)
        %c: f32[T,2,3] = select_scatter(%b, %h, 0, %t)
        yield True, %c"""


@pytest.mark.parametrize("turns", [0, 1, 2, 5])
@pytest.mark.parametrize("body", [STALE, MIRRORED])
def test_what_is_read_after_it_was_written_is_the_old_value(body: str, turns: int) -> None:
    check(buffer_loop(body), f32(RNG, turns, 2, 3), turns)


def test_the_refusal_says_why() -> None:
    """Row n-1-t may be row t, which the same kernel writes."""
    plan = plan_of(buffer_loop(MIRRORED))
    (note,) = [n for n in plan.notes if "is copied in every turn" in n.text]
    assert note.kind == "NOT_FUSED"
    assert note.text.startswith("b is copied in every turn of the loop")


def test_two_names_of_one_start_stay_apart() -> None:
    """Two buffers that start as the same array."""
    text = """graph @f(%x: f32[T,3], %n: int<T>) -> (f32[T,3], f32[T,3]) {
      %sizes: list[int] = py.list(%n, 3)
      %o: f32[T,3] = zeros(%sizes)
      %y: f32[T,3], %z: f32[T,3] = loop %n, True, (%t: int, %a: f32[T,3] = %o, %b: f32[T,3] = %o) {
        %r: f32[3] = select(%x, 0, %t)
        %e: f32[3] = exp(%r)
        %c: f32[T,3] = select_scatter(%a, %r, 0, %t)
        %d: f32[T,3] = select_scatter(%b, %e, 0, %t)
        yield True, %c, %d
      }
      return %y, %z
    }"""
    for turns in (1, 2, 4):
        check(text, f32(RNG, turns, 3), turns)


def test_buffers_that_change_places() -> None:
    text = """graph @f(%x: f32[T,3], %n: int<T>) -> (f32[T,3], f32[T,3]) {
      %sizes: list[int] = py.list(%n, 3)
      %o: f32[T,3] = zeros(%sizes)
      %p: f32[T,3] = ones(%sizes)
      %y: f32[T,3], %z: f32[T,3] = loop %n, True, (%t: int, %a: f32[T,3] = %o, %b: f32[T,3] = %p) {
        %r: f32[3] = select(%x, 0, %t)
        %c: f32[T,3] = select_scatter(%a, %r, 0, %t)
        yield True, %b, %c
      }
      return %y, %z
    }"""
    for turns in (1, 2, 5):
        check(text, f32(RNG, turns, 3), turns)


def test_straight_line_writes_share_one_array() -> None:
    text = """graph @f(%x: f32[4,3], %i: int) -> f32[5,3] {
      %o: f32[5,3] = zeros([5, 3])
      %e: f32[4,3] = exp(%x)
      %r: f32[3] = select(%e, 0, 0)
      %a: f32[5,3] = select_scatter(%o, %r, 0, %i)
      %s: f32[3] = select(%e, 0, 1)
      %b: f32[5,3] = select_scatter(%a, %s, 0, 1)
      %u: f32[3] = select(%e, 0, 2)
      %c: f32[5,3] = select_scatter(%b, %u, 0, 2)
      return %c
    }"""
    plan = check(text, f32(RNG, 4, 3), 4)
    assert plan.memory.planned({}) <= 64, "one array, which is the output, beside exp(x)"


def test_a_value_that_is_read_again_keeps_its_memory() -> None:
    """Near miss: the array before the write is returned too."""
    text = """graph @f(%x: f32[4,3], %i: int) -> (f32[4,3], f32[4,3]) {
      %e: f32[4,3] = exp(%x)
      %r: f32[3] = select(%x, 0, 0)
      %a: f32[4,3] = select_scatter(%e, %r, 0, %i)
      %s: f32[3] = select(%e, 0, 1)
      %b: f32[4,3] = select_scatter(%a, %s, 0, 2)
      %m: f32[4,3] = mul(%e, %a)
      return %b, %m
    }"""
    check(text, f32(RNG, 4, 3), 3)


def test_an_inner_loop_reads_the_old_value_under_its_own_name() -> None:
    """Near miss: the loop inside carries a pointer to the value that the kernel before it has a successor for."""
    text = """graph @f(%x: f32[3], %n: int<T>) -> (f32[3], f32[T,3]) {
      %o: f32[3] = exp(%x)
      %y: f32[3], %z: f32[T,3] = loop %n, True, (%t: int, %a: f32[3] = %o) {
        %b: f32[3] = mul(%a, 0.5)
        %g: f32[3] = loop 3, True, (%k: int, %c: f32[3] = %a) {
          %d: f32[3] = mul(%c, %b)
          yield True, %d
        }
        yield True, %b | stacked %g
      }
      return %y, %z
    }"""
    for turns in (1, 3):
        check(text, f32(RNG, 3), turns)


def test_a_place_that_the_part_itself_says() -> None:
    """Near miss: the row can only be put where it belongs when it is complete."""
    text = """graph @f(%x: f32[3], %i: int, %v: i64[3]) -> (f32[4,3], i64[4,3]) {
      %o: i64[4,3] = ones([4, 3], dtype=i64)
      %e: i64[3] = mul(%v, 2)
      %k: i64[] = select(%e, 0, 1)
      %a: i64[3] = select_scatter(%e, %k, 0, %i)
      %s: i64[] = select(%a, 0, 0)
      %j: int = py.int(%s)
      %b: i64[4,3] = select_scatter(%o, %a, 0, %j)
      %p: f32[4,3] = zeros([4, 3])
      %c: f32[4,3] = select_scatter(%p, %x, 0, %j)
      return %c, %b
    }"""
    check(text, f32(RNG, 3), 2, np.array([1, 0, 7]))


def test_an_array_made_in_each_turn_is_not_the_stack_of_one_of_its_rows() -> None:
    """Only the copied row is written in a turn; the other rows of the stack are those of other turns."""
    text = """graph @f(%x: f32[T,2,3], %n: int<T>) -> f32[T,2,3] {
      %y: f32[T,2,3] = loop %n, True, (%t: int) {
        %r: f32[2,3] = select(%x, 0, %t)
        %a: f32[T,2,3] = add(%r, %x)
        %s: f32[2,3] = select(%a, 0, %t)
        yield True | stacked %s
      }
      return %y
    }"""
    for turns in (1, 3):
        check(text, f32(RNG, turns, 2, 3), turns)


@pytest.mark.parametrize("turns", [1, 2, 5])
def test_halves_that_products_write_from_both_ends(turns: int) -> None:
    """The parts of a row are what two products store: all of the copies between the two writes go, too."""
    text = """graph @f(%x: f32[T,2,4], %n: int<T>, %w: f32[4,4]) -> f32[T,2,8] {
      %sizes: list[int] = py.list(%n, 2, 8)
      %o: f32[T,2,8] = zeros(%sizes)
      %y: f32[T,2,8] = loop %n, True, (%t: int, %b: f32[T,2,8] = %o) {
        %m: int<T-1> = py.sub(%n, 1)
        %j: int = py.sub(%m, %t)
        %r: f32[2,4] = select(%x, 0, %t)
        %h: f32[2,4] = matmul(%r, %w)
        %s: f32[2,4] = select(%x, 0, %j)
        %g: f32[2,4] = matmul(%s, %w)
        %a: f32[2,8] = select(%b, 0, %t)
        %c: f32[2,8] = slice_scatter(%a, %h, 1, 0, 4, 1)
        %d: f32[T,2,8] = select_scatter(%b, %c, 0, %t)
        %e: f32[2,8] = select(%d, 0, %j)
        %f: f32[2,8] = slice_scatter(%e, %g, 1, 4, 8, 1)
        %k: f32[T,2,8] = select_scatter(%d, %f, 0, %j)
        yield True, %k
      }
      return %y
    }"""
    plan = check(text, f32(RNG, turns, 2, 4), turns, f32(RNG, 4, 4), params=("w",))
    assert loop_calls(plan) == 2
