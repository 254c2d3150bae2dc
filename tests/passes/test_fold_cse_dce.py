"""Folding, common subexpressions and dead code."""

from __future__ import annotations

import pytest

from tests.golden import check_pass, check_unchanged


def test_fold_sizes_and_scalars():
    check_pass(
        "fold",
        """(%x: f32[N,4]) {
          %n = size(%x, 1)
          %m = py.mul(%n, 2)
          %c = py.lt(%m, 9)
          %k = py.truediv(%m, 16)
          %y = if %c { %a = mul(%x, %k); yield %a } else { yield %x }
          return %y
        }""",
        """(%x: f32[N,4]) {
          %y = if True { %a = mul(%x, 0.5); yield %a } else { yield %x }
          return %y
        }""",
    )


def test_fold_leaves_what_is_not_known_or_would_raise():
    check_unchanged("fold", "(%x: f32[N,4]) { %n = size(%x, 0); return %n }")
    check_unchanged("fold", "() { %k = py.truediv(1, 0); return %k }")
    check_unchanged("fold", "(%x: f32[N]) { %a = tanh(%x); return %a }")


@pytest.mark.parametrize(
    ("condition", "known"),
    [
        ("py.ge(%n, 0)", True),
        ("py.lt(%n, 0)", False),
        ("py.gt(%m, 0)", True),
        ("py.le(%m, 0)", False),
        ("py.eq(%m, 0)", False),
        ("py.ne(%m, %n)", True),
        ("py.eq(%n, %n)", True),
        ("py.lt(%n, %m)", True),
        ("py.ge(%n, %m)", False),
        ("py.gt(-1, %n)", False),
    ],
)
def test_fold_comparisons_that_hold_for_all_sizes(condition, known):
    text = "(%x: f32[T,4]) {{ %n = size(%x, 0); %m = py.add(%n, 1); {} return %n, %m, {} }}"
    check_pass("fold", text.format(f"%c = {condition};", "%c"), text.format("", known))


@pytest.mark.parametrize(
    "condition",
    [
        "py.gt(%n, 0)",
        "py.lt(%n, 5)",
        "py.ne(%n, 1)",
        "py.eq(%n, %k)",
        "py.ge(%k, 0)",
        "py.le(%m, %k)",
        "py.lt(%n, 0.5)",
    ],
)
def test_fold_leaves_comparisons_that_depend_on_sizes(condition):
    text = "(%x: f32[T,4], %k: int) {{ %n = size(%x, 0); %m = py.sub(%n, 1); %c = {}; return %n, %m, %c }}"
    check_unchanged("fold", text.format(condition))


def test_fold_small_constant_tensors_unless_the_caller_gets_them():
    check_pass(
        "fold",
        """(%x: f32[3]) {
          %a = mul(array([1.0, 2.0, 3.0], f32), 2)
          %b = add(%x, %a)
          return %b
        }""",
        """(%x: f32[3]) {
          %b = add(%x, array([2.0, 4.0, 6.0], f32))
          return %b
        }""",
    )
    check_unchanged("fold", "() { %a = mul(array([1.0, 2.0, 3.0], f32), 2); return %a }")


def test_cse_merges_equal_work_and_sizes():
    check_pass(
        "cse",
        """(%x: f32[N], %y: f32[N], %c: bool) {
          %a = tanh(%x)
          %b = tanh(%x)
          %n = size(%x, 0)
          %m = size(%y, 0)
          %s = add(%a, %b)
          %z = if %c { %d = tanh(%x); %e = mul(%d, %m); yield %e } else { yield %s }
          return %z
        }""",
        """(%x: f32[N], %y: f32[N], %c: bool) {
          %a = tanh(%x)
          %n = size(%x, 0)
          %s = add(%a, %a)
          %z = if %c { %e = mul(%a, %n); yield %e } else { yield %s }
          return %z
        }""",
    )


def test_cse_near_misses():
    # Two fresh results that the caller gets both stay two.
    check_unchanged("cse", "(%x: f32[N]) { %a = tanh(%x); %b = tanh(%x); return %a, %b }")
    # Equal numbers of other types are other constants.
    check_unchanged(
        "cse",
        "(%x: i64[N]) { %a = mul(%x, 2); %b = mul(%x, 2.0); %c = add(%a, %b); return %c }",
    )
    # A branch does not dominate what comes after it.
    check_unchanged(
        "cse",
        """(%x: f32[N], %c: bool) {
          %z = if %c { %d = tanh(%x); %f = neg(%d); yield %f } else { yield %x }
          %e = tanh(%x)
          %s = add(%z, %e)
          return %s
        }""",
    )
    # Two views that the caller gets are two objects, with a grad each.
    check_unchanged("cse", "(%x: f32[3,4]) { %a = t(%x); %b = t(%x); return %a, %b }")
    # Recorded and not recorded.
    check_unchanged(
        "cse",
        """(%x: f32[N]!) {
          %a = tanh(%x)
          %b = with () {grad=False} { %c = tanh(%x); yield %c }
          %d = add(%a, %b)
          return %d
        }""",
    )
    # What is written in between is not the same.
    check_unchanged(
        "cse",
        """(%x: f32[N]) {
          %a = tanh(%x)
          %0 = add_(%x, 1)
          %b = tanh(%x)
          %c = add(%a, %b)
          return %c
        }""",
    )


def test_dce_removes_what_nobody_reads():
    check_pass(
        "dce",
        """(%x: f32[N], %c: bool, %n: int) {
          %a = tanh(%x)
          %u, %v = if %c { %d = neg(%x); yield %x, %d } else { yield %x, %a }
          %p, %q, %k = loop %n, True, (%i, %p1 = %x, %q1 = %x, %k1 = 0) {
            %p2 = neg(%p1)
            %q2 = tanh(%q1)
            %k2 = py.add(%k1, 1)
            yield True, %p2, %q2, %k2
          }
          return %p
        }""",
        """(%x: f32[N], %c: bool, %n: int) {
          %p = loop %n, True, (%i, %p1 = %x) {
            %p2 = neg(%p1)
            yield True, %p2
          }
          return %p
        }""",
    )


def test_dce_keeps_a_view_that_not_every_layout_allows():
    check_unchanged("dce", "(%x: f32[3,4]) { %a = tanh(%x); %b = view(%a, [12]); return %a }")
    check_pass(
        "dce",
        "(%x: f32[3,4]) { %a = tanh(%x); %b = view(%a, [3, 2, 2]); return %a }",
        "(%x: f32[3,4]) { %a = tanh(%x); return %a }",
    )


def test_dce_keeps_effects_errors_and_endless_loops():
    check_unchanged("dce", "(%x: f32[N]) { %0 = add_(%x, 1); return %x }")
    check_unchanged("dce", "(%x: f32[N,3]) { %0 = unfold(%x, 0, 1, 1); return %x }")
    check_unchanged("dce", "(%x: f32[N], %i: int) { %0 = select(%x, 0, %i); return %x }")
    check_unchanged("dce", "(%x: i64[N], %y: i64[N]) { %0 = floor_divide(%x, %y); return %x }")
    check_unchanged("dce", "(%a: int, %b: int) { %0 = py.floordiv(%a, %b); return %a }")
    check_unchanged(
        "dce",
        """(%x: f32[N], %m: int) {
          %c = py.lt(0, %m)
          %k = loop None, %c, (%i, %k1 = 0) {
            %k2 = py.add(%k1, 1)
            %d = py.lt(%k2, %m)
            yield %d, %k2
          }
          return %x
        }""",
    )


def test_dce_drops_values_that_a_loop_hands_on_unchanged():
    check_pass(
        "dce",
        """(%x: f32[N], %w: f32[N], %n: int) {
          %p, %q = loop %n, True, (%i, %p1 = %x, %w1 = %w) {
            %p2 = add(%p1, %w1)
            yield True, %p2, %w1
          }
          return %p, %q
        }""",
        """(%x: f32[N], %w: f32[N], %n: int) {
          %p = loop %n, True, (%i, %p1 = %x) {
            %p2 = add(%p1, %w)
            yield True, %p2
          }
          return %p, %w
        }""",
    )
