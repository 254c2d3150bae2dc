"""Plans of whole regions, run in plain Python and compared with the graph interpreted op by op."""

from __future__ import annotations

import pathlib

import numpy as np
import pytest

from specjit.codegen.abi import Status
from specjit.codegen.kernels.spec import GemmSpec, LoopSpec
from specjit.codegen.machine.instructions import verify
from specjit.codegen.schedule import NotSchedulable
from specjit.codegen.schedule.interp import RegionFailed
from tests.codegen.plans import calls, check, f32, loop_calls, plan_of, run_plan
from tests.codegen.region_texts import ATTENTION, BRANCH_IN_A_LOOP, gru, lstm, norm_peephole_lstm

RNG = np.random.default_rng(7)


def lstm_inputs(t: int, b: int, i: int, h: int) -> list:
    return [f32(RNG, t, b, i), f32(RNG, b, h), f32(RNG, b, h), t,
            f32(RNG, 4 * h, i), f32(RNG, 4 * h, h), f32(RNG, 4 * h), f32(RNG, 4 * h)]  # fmt: skip


LSTM_PARAMS = ("wi", "wh", "bi", "bh")


@pytest.mark.parametrize("sizes", [(5, 3, 8, 16), (1, 1, 3, 8), (2, 4, 5, 11)])
def test_lstm_step_is_one_kernel(sizes):
    t, b, i, h = sizes
    plan = check(lstm(i, h), *lstm_inputs(t, b, i, h), params=LSTM_PARAMS)
    assert loop_calls(plan) == 1
    steps = [s for s in plan.specs if isinstance(s, GemmSpec) and s.chunks == 4]
    assert len(steps) == 1
    assert plan.prologue is not None
    assert len(plan.storages) == 3


def test_lstm_without_turns_leaves_the_region():
    """The final states would be the caller's own arrays."""
    plan = plan_of(lstm(3, 8), params=LSTM_PARAMS)
    with pytest.raises(RegionFailed) as caught:
        run_plan(plan, lstm_inputs(0, 2, 3, 8))
    assert caught.value.status is Status.GUARD


def test_lstm_program():
    """The loop: one call, the two states' pointers, two rows that move on."""
    plan = plan_of(lstm(8, 16), params=LSTM_PARAMS)
    text = plan.describe()
    body = text[text.index("loop [turns left]") : text.index("endl")].splitlines()[2:-1]
    shown = [line.split()[0] for line in body]
    assert shown == ["call", "mov", "mov", "add", "add"], text
    assert text == plan_of(lstm(8, 16), params=LSTM_PARAMS).describe(), "a plan must not depend on addresses or order"


def test_lstm_as_text():
    """The whole plan: one gemm kernel with the cell as its epilogue in the loop, packing in the prologue."""
    golden = pathlib.Path(__file__).with_name("golden_lstm.txt")
    assert plan_of(lstm(8, 16), params=LSTM_PARAMS).describe() == golden.read_text()


def test_every_plan_verifies():
    for text, params in ((lstm(8, 16), LSTM_PARAMS), (gru(4, 8), ()), (ATTENTION, ())):
        plan = plan_of(text, params=params)
        verify(plan.assemble(range(1, len(plan.specs) + 1)), plan.frame_size)


def test_gru_step_is_one_kernel():
    t, b, i, h = 4, 3, 5, 8
    plan = check(
        gru(i, h), f32(RNG, t, b, i), f32(RNG, b, h), t, f32(RNG, 3 * h, i), f32(RNG, 3 * h, h), f32(RNG, 3 * h),
        f32(RNG, 3 * h), params=("wi", "wh", "bi", "bh"),
    )  # fmt: skip
    assert loop_calls(plan) == 1


def test_normalized_peephole_step_is_a_product_and_one_rowwise_kernel():
    t, b, i, h = 4, 3, 5, 8
    plan = check(
        norm_peephole_lstm(i, h), f32(RNG, t, b, i), f32(RNG, b, h), f32(RNG, b, h), t, f32(RNG, 4 * h, i),
        f32(RNG, 4 * h, h), f32(RNG, 4 * h), f32(RNG, 4 * h), f32(RNG, h), f32(RNG, h),
        params=("wi", "wh", "bi", "gm", "pi", "po"),
    )  # fmt: skip
    assert loop_calls(plan) == 2
    rowwise = [s for s in plan.specs if isinstance(s, LoopSpec) and s.reduced]
    assert len(rowwise) == 1
    assert rowwise[0].domain[-1] == h, "the sums over the gates run over their chunks side by side"


def test_what_is_not_fused_says_why():
    plan = plan_of(norm_peephole_lstm(5, 8), params=("wi", "wh", "bi", "gm", "pi", "po"))
    apart = [n for n in plan.notes if n.kind == "NOT_FUSED"]
    assert [n.text for n in apart] == [
        "sum starts a kernel of its own: it needs whole rows of a matrix product",
        "sub reads what another kernel stores: no matrix product runs inside it",
        "the product over rows (matmul, add) is computed before the loop: the loop's own has more than one row",
    ]
    assert next(n.ops for n in plan.notes if n.kind == "FUSED") == ("matmul", "add")


def test_attention():
    weights = [f32(RNG, 8, 8) for _ in range(3)]
    plan = check(ATTENTION, f32(RNG, 3, 6, 8), *weights, params=("wq", "wk", "wv"))
    assert sum(isinstance(s, LoopSpec) for s in plan.specs) == 1, "only the softmax is a loop nest of its own"


def test_parameters_go_to_the_prologue():
    text = """graph @f(%x: f32[B,4], %w: f32[4,6], %a: f32[6], %b: f32[6]) -> f32[B,6] {
      %ab: f32[6] = add(%a, %b)
      %s: f32[4,6] = mul(%w, 2.0)
      %y: f32[B,6] = matmul(%x, %s)
      %z: f32[B,6] = add(%y, %ab)
      return %z
    }"""
    args = (f32(RNG, 3, 4), f32(RNG, 4, 6), f32(RNG, 6), f32(RNG, 6))
    plan = check(text, *args, params=("w", "a", "b"))
    assert len(calls(plan)) == 1
    assert plan.prologue is not None
    plan = check(text, *args)
    assert plan.prologue is None
    assert len(calls(plan)) == 4


def test_outputs_alias_as_in_eager():
    text = """graph @f(%x: f32[3,4]) -> (f32[3,4], f32[4,3], f32[4], f32[4,3], f32[3,4]) {
      %t: f32[4,3] = t(%x)
      %r: f32[4] = select(%x, 0, 1)
      %y: f32[3,4] = tanh(%x)
      %u: f32[4,3] = t(%y)
      return %x, %t, %r, %u, %y
    }"""
    x = f32(RNG, 3, 4)
    plan = check(text, x)
    same, turned, row, u, y = run_plan(plan, [x])
    for view in (same, turned, row):
        assert np.shares_memory(view, x)
    assert np.shares_memory(u, y)
    assert not np.shares_memory(y, x)
    assert len(plan.storages) == 1


def test_one_value_twice():
    text = """graph @f(%x: f32[3]) -> (f32[3], f32[3]) {
      %y: f32[3] = exp(%x)
      return %y, %y
    }"""
    plan = check(text, f32(RNG, 3))
    assert len(plan.storages) == 1


def test_layouts():
    text = """graph @f(%x: f32[B,4], %w: f32[4,5]) -> f32[B,5] {
      %y: f32[B,5] = matmul(%x, %w)
      %z: f32[B,5] = relu(%y)
      return %z
    }"""
    x, w = f32(RNG, 4, 3).T, f32(RNG, 5, 4).T
    from specjit.ir.dims import symbol

    check(text, x, w, layouts={"x": (1, symbol("B")), "w": (1, 4)})


def test_scalars_in_and_out():
    text = """graph @f(%x: f32[2], %k: int, %s: float, %p: bool) -> (f32[2], int, float, bool, int) {
      %a: f32[2] = mul(%x, %s)
      %b: f32[2] = add(%a, %k)
      %m: int = py.mul(%k, %k)
      %q: float = py.truediv(%s, 4)
      %n: bool = py.not(%p)
      %c: int = py.floordiv(%m, 3)
      return %b, %m, %q, %n, %c
    }"""
    check(text, f32(RNG, 2), -7, 0.3, True)


def test_failures_leave_with_a_status():
    text = """graph @f(%x: f32[4], %k: int, %d: int) -> (f32[], int) {
      %a: f32[] = select(%x, 0, %k)
      %b: f32[] = mul(%a, 2)
      %q: int = py.mod(%k, %d)
      return %b, %q
    }"""
    x = f32(RNG, 4)
    check(text, x, -4, 3)
    plan = plan_of(text)
    for k, d, status in ((4, 1, Status.INDEX), (-5, 1, Status.INDEX), (0, 0, Status.ZERO_DIVISION)):
        with pytest.raises(RegionFailed) as caught:
            run_plan(plan, [x, k, d])
        assert caught.value.status is status


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("%v: f32[12] = view(%x, [12])", None),
        ("%v: f32[3,2,1] = view(%h, [3,2,1])", None),
        ("%v: f32[12] = reshape(%t, [12])", None),
        ("%v: f32[12] = view(%f, [12])", None),
        ("%v: f32[6] = view(%h, [6])", "need a copy"),
        ("%v: f32[12] = view(%t, [12])", "need a copy"),
    ],
)
def test_a_view_is_never_a_copy(line, why) -> None:
    """Where eager mode raises, nothing is scheduled; reshape copies, and what is turned here only is no view there."""
    text = f"""graph @f(%x: f32[3,4]) -> {line.split()[1]} {{
      %h: f32[3,2] = slice(%x, 1, 0, 2)
      %t: f32[4,3] = transpose(%x, 0, 1)
      %e: f32[3,4] = exp(%x)
      %f: f32[3,4] = flip(%e, [1])
      {line}
      %y: {line.split()[1]} = exp(%v)
      return %y
    }}"""
    if why is None:
        check(text, f32(RNG, 3, 4))
    else:
        with pytest.raises(NotSchedulable, match=why):
            plan_of(text)


@pytest.mark.parametrize(("op", "fits"), [("bmm", False), ("matmul", True)])
def test_a_batch_that_may_be_another_is_no_batch_product(op, fits) -> None:
    text = f"""graph @f(%x: f32[1,2,3], %y: f32[B,3,2]) -> f32[B,2,2] {{
      %z: f32[B,2,2] = {op}(%x, %y)
      return %z
    }}"""
    if fits:
        check(text, f32(RNG, 1, 2, 3), f32(RNG, 4, 3, 2))
    else:
        with pytest.raises(NotSchedulable, match="may differ"):
            plan_of(text)


def test_overflow_leaves_the_region():
    text = """graph @f(%k: int, %x: f32[1]) -> (int, f32[1]) {
      %m: int = py.mul(%k, %k)
      %y: f32[1] = mul(%x, %x)
      return %m, %y
    }"""
    check(text, 3_000_000_000, f32(RNG, 1))
    with pytest.raises(RegionFailed) as caught:
        run_plan(plan_of(text), [4_000_000_000, f32(RNG, 1)])
    assert caught.value.status is Status.OVERFLOW


@pytest.mark.parametrize("t", [0, 1, 2, 5])
def test_carried_without_stack_takes_turns(t):
    """h is read whole by its own successor's product: two buffers; c only element by element: one."""
    text = """graph @f(%h0: f32[2,4], %c0: f32[2,4], %w: f32[4,4], %n: int<T>, %x: f32[T,2,4]) -> (f32[2,4],
            f32[2,4]) {
      %h1: f32[2,4] = clone(%h0)
      %c1: f32[2,4] = clone(%c0)
      %h: f32[2,4], %c: f32[2,4] = loop %n, True, (%i: int, %hi: f32[2,4] = %h1, %ci: f32[2,4] = %c1) {
        %r: f32[2,4] = select(%x, 0, %i)
        %p: f32[2,4] = matmul(%hi, %w)
        %s: f32[2,4] = add(%p, %r)
        %c2: f32[2,4] = mul(%ci, %s)
        %h2: f32[2,4] = tanh(%c2)
        yield True, %h2, %c2
      }
      return %h, %c
    }"""
    plan = check(text, f32(RNG, 2, 4), f32(RNG, 2, 4), f32(RNG, 4, 4), t, f32(RNG, t, 2, 4), params=("w",))
    body = plan.describe()
    moves = body[body.index("loop [") : body.index("endl")].count("mov [")
    assert moves == 4, body  # c: one; h: three


def test_swapped_and_unchanged_carried_values():
    text = """graph @f(%a0: f32[3], %b0: f32[3], %k: f32[3], %n: int<T>, %x: f32[T,3]) -> (f32[3], f32[3], f32[3]) {
      %a1: f32[3] = exp(%a0)
      %b1: f32[3] = exp(%b0)
      %a: f32[3], %b: f32[3], %c: f32[3] = loop %n, True, (%i: int, %ai: f32[3] = %a1, %bi: f32[3] = %b1,
              %ki: f32[3] = %k) {
        %r: f32[3] = select(%x, 0, %i)
        %s: f32[3] = add(%ai, %r)
        %t: f32[3] = mul(%s, %ki)
        yield True, %bi, %t, %ki
      }
      return %a, %b, %c
    }"""
    for t in (0, 1, 2, 5):
        args = (f32(RNG, 3), f32(RNG, 3), f32(RNG, 3), t, f32(RNG, t, 3))
        plan = check(text, *args)
        assert np.shares_memory(run_plan(plan, args)[2], args[2])


def test_reverse_loop_and_rows_at_run_time_places():
    text = """graph @f(%x: f32[T,2,3], %n: int<T>) -> (f32[2,3], f32[T,2,3]) {
      %z: f32[2,3] = zeros([2, 3])
      %h: f32[2,3], %ys: f32[T,2,3] = loop %n, True, (%i: int, %hi: f32[2,3] = %z) reverse {
        %r: f32[2,3] = select(%x, 0, %i)
        %m: int = py.sub(%n, 1)
        %j: int = py.sub(%m, %i)
        %q: f32[2,3] = select(%x, 0, %j)
        %s: f32[2,3] = add(%hi, %r)
        %t: f32[2,3] = mul(%s, %q)
        yield True, %t | stacked %t
      }
      return %h, %ys
    }"""
    for t in (0, 1, 4):
        check(text, f32(RNG, t, 2, 3), t)


def test_nested_loops():
    text = """graph @f(%x: f32[T,K,3], %n: int<T>, %m: int<K>) -> (f32[T,K,3], f32[T,3]) {
      %ys: f32[T,K,3], %es: f32[T,3] = loop %n, True, (%i: int) {
        %r: f32[K,3] = select(%x, 0, %i)
        %z: f32[3] = zeros([3])
        %s: f32[3], %ss: f32[K,3] = loop %m, True, (%j: int, %a: f32[3] = %z) {
          %e: f32[3] = select(%r, 0, %j)
          %b: f32[3] = add(%a, %e)
          yield True, %b | stacked %b
        }
        yield True | stacked %ss, %s
      }
      return %ys, %es
    }"""
    for t, k in ((0, 2), (2, 0), (3, 4)):
        plan = check(text, f32(RNG, t, k, 3), t, k)
        assert all(len(getattr(s, "domain", ())) <= 1 for s in plan.specs)


@pytest.mark.parametrize("op", ["%m: int = py.max(%k, 0)", "%m: int<4*N*T-2> = py.sub(%k, 1)"])
def test_a_number_made_of_sizes_that_no_input_has_is_taken_as_given(op):
    text = f"""graph @f(%x: f64[T], %k: int<4*N*T-1>) -> f64[T] {{
      {op}
      %y: f64[T] = mul(%x, %m)
      return %y
    }}"""
    check(text, np.arange(3.0), 23)


def test_sizes_from_the_caller_are_checked():
    """Memory is never reached through a size that does not fit: the region leaves, and the block raises in Python."""
    text = """graph @f(%x: f32[B,4], %y: f32[T,2], %n: int<N>, %k: int<K>,
                       %t: int<T>) -> (f32[T,4], f32[N,2], f32[2,4]) {
      %s: list[int] = py.list(%t, 4)
      %r: f32[T,4] = reshape(%x, %s)
      %a: f32[T,4] = exp(%r)
      %m: list[int] = py.list(%n, 2)
      %z: f32[N,2] = zeros(%m)
      %p: f32[2,4] = narrow(%x, 0, %k, 2)
      %e: f32[2,4] = exp(%p)
      return %a, %z, %e
    }"""
    check(text, f32(RNG, 3, 4), f32(RNG, 3, 2), 2, 1, 3)
    plan = plan_of(text)
    for b, t, n, k in ((3, 4, 2, 1), (4, 3, 2, 1), (3, 3, -1, 1), (3, 3, 2, 2), (3, 3, 2, -1)):
        with pytest.raises(RegionFailed):
            run_plan(plan, [f32(RNG, b, 4), f32(RNG, t, 2), n, k, t])


def test_parts_that_do_not_fit_are_refused():
    text = """graph @f(%x: f32[B,4], %y: f32[T,4]) -> f32[B,8] {
      %l: list[f32[B,4]] = py.list(%x, %y)
      %c: f32[B,8] = cat(%l, 1)
      return %c
    }"""
    with pytest.raises(NotSchedulable, match="an item of sizes"):
        plan_of(text)


def test_branches():
    for t, k in ((7, 3), (1, 1), (0, 1)):
        check(BRANCH_IN_A_LOOP, f32(RNG, t, 4), t, k)


def test_a_branch_that_may_pass_an_input_through():
    text = """graph @f(%x: f32[4], %p: bool) -> f32[4] {
      %y: f32[4] = if %p {
        %t: f32[4] = exp(%x)
        yield %t
      } else {
        yield %x
      }
      return %y
    }"""
    x = f32(RNG, 4)
    check(text, x, True)
    with pytest.raises(RegionFailed):
        run_plan(plan_of(text), [x, False])


def test_while_on_a_tensor():
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
    check(text, f32(RNG, 4))


def test_while_that_never_runs():
    text = """graph @f(%x: f32[4], %p: bool) -> f32[4] {
      %y: f32[4] = exp(%x)
      %a: f32[4] = loop None, %p, (%i: int, %ai: f32[4] = %y) {
        %b: f32[4] = mul(%ai, 0.5)
        %k: bool = py.lt(%i, 2)
        yield %k, %b
      }
      return %a
    }"""
    check(text, f32(RNG, 4), False)
    check(text, f32(RNG, 4), True)


@pytest.mark.parametrize("kind", ["", " reverse"])
def test_a_counted_loop_that_never_starts_hands_on_what_it_was_given(kind):
    text = f"""graph @f(%x: f32[4], %n: int<T>, %c: bool) -> f32[4] {{
      %y: f32[4] = exp(%x)
      %a: f32[4] = loop %n, %c, (%i: int, %ai: f32[4] = %y){kind} {{
        %b: f32[4] = add(%ai, %ai)
        yield %c, %b
      }}
      return %a
    }}"""
    for turns in (0, 1, 3):
        check(text, f32(RNG, 4), turns, False)
        check(text, f32(RNG, 4), turns, True)


def test_joining_writes_straight_into_the_whole():
    text = """graph @f(%x: f32[B,4], %y: f32[B,3]) -> (f32[B,7], f32[2,B,4], f32[7,B]) {
      %a: f32[B,4] = exp(%x)
      %l: list[f32[B,4]] = py.list(%a, %y)
      %c: f32[B,7] = cat(%l, 1)
      %m: list[f32[B,4]] = py.list(%a, %x)
      %s: f32[2,B,4] = stack(%m, 0)
      %d: f32[B,7] = mul(%c, 2)
      %t: f32[7,B] = t(%d)
      return %c, %s, %t
    }"""
    for b in (0, 1, 3):
        check(text, f32(RNG, b, 4), f32(RNG, b, 3))


def test_picked_rows():
    text = """graph @f(%w: f32[7,20], %i: i64[T,3], %g: f32[T,3,20], %j: i32[2]) -> (f32[T,3,20], f32[7,20],
            f32[7,2]) {
      %e: f32[T,3,20] = embedding(%w, %i)
      %y: f32[T,3,20] = tanh(%e)
      %b: f32[7,20] = embedding_backward(%g, %i, 7, -1)
      %s: f32[7,2] = index_select(%w, 1, %j)
      return %y, %b, %s
    }"""
    for t in (0, 1, 5):
        i = RNG.integers(0, 7, (t, 3))
        check(text, f32(RNG, 7, 20), i, f32(RNG, t, 3, 20), np.array([19, 0], np.int32))
    plan = plan_of(text)
    with pytest.raises(RegionFailed) as caught:
        run_plan(plan, [f32(RNG, 7, 20), np.full((1, 3), 7), f32(RNG, 1, 3, 20), np.array([1, 0], np.int32)])
    assert caught.value.status is Status.INDEX


@pytest.mark.parametrize("line", ["index_select(%x, 1, %i)", "index_add(%x, 1, %i, %v)"])
def test_positions_are_checked_where_there_is_nothing_to_pick(line):
    text = f"""graph @f(%x: f32[B,3], %v: f32[B,2], %i: i64[2]) -> f32[B,{2 if "select" in line else 3}] {{
      %y: f32[B,{2 if "select" in line else 3}] = {line}
      return %y
    }}"""
    check(text, f32(RNG, 4, 3), f32(RNG, 4, 2), np.array([2, 0]))
    with pytest.raises(RegionFailed) as caught:  # eager mode looks at the positions
        run_plan(plan_of(text), [f32(RNG, 0, 3), f32(RNG, 0, 2), np.array([7, 0])])
    assert caught.value.status is Status.INDEX
    with pytest.raises(NotSchedulable, match="no elements"):
        plan_of(text.replace("B", "0"))


def test_a_window_longer_than_its_dim_leaves_the_region():
    text = """graph @f(%x: f32[B,3]) -> f32[B-1,3] {
      %w: f32[B-1,3,2] = unfold(%x, 0, 2, 1)
      %y: f32[B-1,3] = sum(%w, [2])
      return %y
    }"""
    check(text, f32(RNG, 4, 3))
    with pytest.raises(RegionFailed):
        run_plan(plan_of(text), [f32(RNG, 1, 3)])


def test_whole_numbers_over_fmod_may_be_divided_by_zero():
    with pytest.raises(NotSchedulable, match="divisor may be zero"):
        plan_of("graph @f(%x: i64[3], %k: i64[3]) -> i64[3] {\n %y: i64[3] = fmod(%x, %k)\n return %y }")


def test_arguments_may_be_views_of_one_another():
    text = """graph @f(%y: f32[4], %x: f32[T,4]) -> f32[T,4] {
      %z: f32[T,4] = add(%x, %y)
      return %z
    }"""
    x = f32(RNG, 3, 4)
    check(text, x[0], x)


def test_gather_along_a_dim():
    text = """graph @f(%x: f32[N,9], %i: i64[N]) -> f32[N] {
      %j: i64[N,1] = unsqueeze(%i, 1)
      %g: f32[N,1] = gather(%x, 1, %j)
      %s: f32[N] = squeeze(%g, [1])
      return %s
    }"""
    check(text, f32(RNG, 5, 9), RNG.integers(0, 9, 5))


def test_sums_at_run_time_places():
    text = """graph @f(%x: f32[5,3], %w: f32[N,4], %i: i64[N], %v: f32[N,3],
                       %j: i64[N,1], %u: f32[N,2]) -> (f32[5,3], f32[N,4], f32[5,3]) {
      %a: f32[5,3] = index_add(%x, 0, %i, %v)
      %z: f32[N,4] = zeros_like(%w)
      %b: f32[N,4] = scatter_add(%z, 1, %j, %u)
      %m: f32[5,3] = mul(%x, 2)
      %c: f32[5,3] = index_add(%m, 0, %i, %v)
      return %a, %b, %c
    }"""
    for n in (1, 6):
        at, column = RNG.integers(0, 5, n), RNG.integers(0, 4, (n, 1))
        check(text, f32(RNG, 5, 3), f32(RNG, n, 4), at, f32(RNG, n, 3), column, f32(RNG, n, 2))


def test_gradients_of_parts():
    text = """graph @f(%g: f32[3,4], %n: int<T>, %x: f32[T,2]) -> (f32[3,9], f32[5,3,4], f32[T-1,2]) {
      %y: f32[3,9] = slice_backward(%g, [3, 9], 1, 2, 6, 1)
      %z: f32[5,3,4] = select_backward(%g, [5, 3, 4], 0, -2)
      %m: int<T-1> = py.sub(%n, 1)
      %a: f32[T-1,2] = slice(%x, 0, 1, None)
      %b: f32[T-1,2] = slice(%x, 0, 0, %m)
      %c: f32[T-1,2] = sub(%a, %b)
      return %y, %z, %c
    }"""
    for t in (1, 4):
        check(text, f32(RNG, 3, 4), t, f32(RNG, t, 2))
    with pytest.raises(RegionFailed):
        run_plan(plan_of(text), [f32(RNG, 3, 4), 0, f32(RNG, 0, 2)])


@pytest.mark.parametrize("shapes", [((4,), (4,)), ((3, 4), (4,)), ((4,), (4, 3)), ((2, 3, 4), (4, 5)), ((2, 1, 3,
        4), (5, 4, 2)),
                                    ((1, 4), (4, 1)), ((0, 4), (4, 3)), ((3, 0), (0, 2))])  # fmt: skip
def test_products(shapes):
    a, b = (f32(RNG, *s) for s in shapes)
    out = np.matmul(a, b)
    text = f"""graph @f(%a: f32{list(a.shape)}, %b: f32{list(b.shape)}) -> f32{list(out.shape)} {{
      %y: f32{list(out.shape)} = matmul(%a, %b)
      %z: f32{list(out.shape)} = mul(%y, 2)
      return %z
    }}"""
    check(text, a, b)
    check(text, a, b, params=("b",))


def test_reduction_kinds():
    text = """graph @f(%x: f32[B,3,4], %k: i32[B,3], %p: bool[B,3]) -> (f32[3], f32[B,1,4], f32[], i64[B], bool[3],
            i64[B,3], i64[]) {
      %a: f32[3] = sum(%x, [0, 2])
      %b: f32[B,1,4] = amax(%x, [1], True)
      %c: f32[] = amin(%x)
      %d: i64[B] = sum(%k, [1])
      %e: bool[3] = any(%p, [0])
      %f: i64[B,3] = argmax(%x, 2)
      %g: i64[] = argmin(%x)
      return %a, %b, %c, %d, %e, %f, %g
    }"""
    check(text, f32(RNG, 2, 3, 4), RNG.integers(-9, 9, (2, 3)).astype(np.int32), RNG.random((2, 3)) < 0.5)


def test_reductions_over_one_element_and_over_chunks():
    text = """graph @f(%x: f32[B,4], %w: f32[4,32]) -> (f32[4], f32[], i64[4], f32[B,8]) {
      %a: f32[1,4] = sum(%x, [0], True)
      %b: f32[4] = sum(%a, [0])
      %c: f32[] = sum(%b, [0])
      %d: i64[4] = argmax(%a, 0)
      %y: f32[B,32] = matmul(%x, %w)
      %v: f32[B,4,8] = view(%y, [-1, 4, 8])
      %t: f32[B,4,8] = tanh(%v)
      %s: f32[B,8] = sum(%t, [1])
      return %b, %c, %d, %s
    }"""
    plan = check(text, f32(RNG, 3, 4), f32(RNG, 4, 32), params=("w",))
    products = [s for s in plan.specs if isinstance(s, GemmSpec)]
    assert [s.chunks for s in products] == [4], "the sum over the chunks is in the epilogue"


def test_every_pair_of_a_value_with_itself():
    text = """graph @f(%x: f32[T,2]) -> (f32[T,T,2], f32[T,T]) {
      %y: f32[T,2] = exp(%x)
      %u: f32[T,1,2] = unsqueeze(%y, 1)
      %d: f32[T,T,2] = sub(%u, %y)
      %q: f32[T,T,2] = mul(%d, %d)
      %s: f32[T,T] = sum(%q, [2])
      return %d, %s
    }"""
    for t in (1, 3):
        check(text, f32(RNG, t, 2))


def test_chunks_of_another_value_in_an_epilogue():
    text = """graph @f(%x: f32[B,8], %w: f32[8,8]) -> (f32[B,8], f32[B,16]) {
      %p: f32[B,8] = matmul(%x, %w)
      %l: list[f32[B,8]] = py.list(%x, %x)
      %c: f32[B,16] = cat(%l, 1)
      %t: f32[B,16] = tanh(%c)
      %a: f32[B,8], %b: f32[B,8] = chunk(%t, 2, -1)
      %m: f32[B,8] = mul(%a, %b)
      %s: f32[B,8] = add(%m, %p)
      return %s, %t
    }"""
    plan = check(text, f32(RNG, 3, 8), f32(RNG, 8, 8), params=("w",))
    assert [s.chunks for s in plan.specs if isinstance(s, GemmSpec)] == [1]


def test_rows_of_one_reduction_are_no_columns_of_another():
    text = """graph @f(%x: f32[8,4], %z: f32[8,4]) -> (f32[8], f32[8,4]) {
      %s: f32[8] = sum(%z, [-1])
      %t: f32[8] = tanh(%s)
      %a: f32[4], %b: f32[4] = chunk(%t, 2, 0)
      %m: f32[8,1] = amax(%x, [-1], True)
      %d: f32[8,4] = sub(%x, %m)
      %r: f32[8,4] = add(%a, %d)
      return %t, %r
    }"""
    check(text, f32(RNG, 8, 4), f32(RNG, 8, 4))


def test_empty_maximum_leaves_the_region():
    text = """graph @f(%x: f32[B,3]) -> f32[3] {
      %a: f32[3] = amax(%x, [0])
      return %a
    }"""
    check(text, f32(RNG, 1, 3))
    with pytest.raises(RegionFailed):
        run_plan(plan_of(text), [f32(RNG, 0, 3)])


def test_casts_and_counting():
    text = """graph @f(%x: f32[B,3], %k: i32[B,3]) -> (f64[B,3], i32[B,3], bool[B,3], i64[5], f32[3]) {
      %a: f64[B,3] = cast(%x, f64)
      %b: i32[B,3] = add(%k, 7)
      %c: bool[B,3] = lt(%x, 0.25)
      %d: i64[5] = arange(3, 13, 2)
      %e: f32[3] = arange(0.5, 2.0, 0.5)
      return %a, %b, %c, %d, %e
    }"""
    check(text, f32(RNG, 4, 3), RNG.integers(-9, 9, (4, 3)).astype(np.int32))


def test_refusals_name_the_op():
    text = """graph @f(%x: f32[?]) -> f32[?] {
      %y: f32[?] = exp(%x)
      return %y
    }"""
    with pytest.raises(NotSchedulable, match="not known well enough"):
        plan_of(text)


def test_where_an_output_lies_may_be_a_run_time_integer() -> None:
    text = """
    graph @g(%x: f32[T,3], %i: int, %j: int) -> (f32[3], f32[T,3]) {
      %k: int = py.min(%i, %j)
      %r: f32[3] = select(%x, 0, %k)
      %y: f32[T,3] = mul(%x, 2.0)
      return %r, %y
    }"""
    for i, j in ((1, 2), (-1, 0), (3, 9)):
        check(text, f32(RNG, 4, 3), i, j)


FLIPS = """
    graph @g(%x: f32[T,B,5]) -> (f32[T,B,5], f32[T,B,5], f32[T,B,5], f32[B]) {
      %e: f32[T,B,5] = exp(%x)
      %a: f32[T,B,5] = flip(%e, [0])
      %b: f32[T,B,5] = flip(%x, [-1, 0])
      %c: f32[T,B,5] = add(%a, %b)
      %d: f32[T,B,5] = mul(%c, %x)
      %f: f32[T,B,5] = flip(%d, [1])
      %s: f32[B] = sum(%f, [0, 2])
      return %a, %b, %f, %s
    }"""


def test_what_reads_backwards_needs_no_copy_of_its_own() -> None:
    """A flip is part of the kernel that uses it; what it reads must be in memory."""
    for shape in ((3, 2, 5), (1, 1, 5), (0, 2, 5), (4, 0, 5)):
        constant = FLIPS.replace("T,B", f"{shape[0]},{shape[1]}").replace("[B]", f"[{shape[1]}]")
        for text in (FLIPS, constant):
            plan = check(text, f32(RNG, *shape))
            if shape == (3, 2, 5):
                assert len(plan.specs) == 3, plan.describe()


def test_a_flip_of_an_input_is_a_copy() -> None:
    plan = check("graph @g(%x: f32[2,3]) -> f32[2,3] {\n%y: f32[2,3] = flip(%x, [0])\nreturn %y\n}", f32(RNG, 2, 3))
    assert plan.outputs[0].of == "fresh"


@pytest.mark.parametrize(
    ("body", "result", "why"),
    [
        (
            "%a = tanh(%x); %y = matmul(%a, %w)",
            "f32[B,8]",
            "matmul starts a kernel of its own: a matrix product reads its operands from memory, in panels and rows",
        ),
        (
            "%a = tanh(%x); %y = cumsum(%a, 1)",
            "f32[B,8]",
            "cumsum starts a kernel of its own: running sums need whole rows in order",
        ),
        (
            "%p = matmul(%x, %w); %q = matmul(%x, %v); %y = mul(%p, %q)",
            "f32[B,8]",
            "mul reads what another kernel stores: a kernel has one matrix product",
        ),
    ],
)
def test_every_refusal_has_a_reason(body, result, why):
    lines = body.replace("; ", "\n").replace("%a =", f"%a: {result} =").replace("%y =", f"%y: {result} =")
    lines = lines.replace("%p =", f"%p: {result} =").replace("%q =", f"%q: {result} =")
    text = f"graph @f(%x: f32[B,8], %w: f32[8,8], %v: f32[8,8]) -> {result} {{\n{lines}\nreturn %y\n}}"
    plan = plan_of(text, params=("w", "v"))
    assert [n.text for n in plan.notes if n.kind == "NOT_FUSED"] == [why]


def test_what_fuses_gives_no_reason():
    text = """graph @f(%x: f32[B,8], %w: f32[8,8], %b: f32[8]) -> f32[B,8] {
      %p: f32[B,8] = matmul(%x, %w)
      %a: f32[B,8] = add(%p, %b)
      %y: f32[B,8] = tanh(%a)
      return %y
    }"""
    assert not [n for n in plan_of(text, params=("w", "b")).notes if n.kind == "NOT_FUSED"]
