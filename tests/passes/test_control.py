"""Pruning and loop-invariant code motion."""

from __future__ import annotations

from tests.golden import check_pass, check_unchanged


def test_prune_constant_branch():
    check_pass(
        "prune",
        """(%x: f32[N]) {
          %y = if False { %a = tanh(%x); yield %a } else { %b = neg(%x); yield %b }
          %z = if True { %c = tanh(%y); yield %c } else { yield %x }
          return %z
        }""",
        """(%x: f32[N]) {
          %b = neg(%x)
          %c = tanh(%b)
          return %c
        }""",
    )
    check_unchanged(
        "prune",
        "(%x: f32[N], %c: bool) { %y = if %c { yield %x } else { %a = neg(%x); yield %a }; return %y }",
    )


def test_prune_what_an_outer_branch_decided():
    check_pass(
        "prune",
        """(%x: f32[N], %c: bool) {
          %y = if %c {
            %a = if %c { %p = tanh(%x); yield %p } else { %q = exp(%x); yield %q }
            yield %a
          } else {
            %b = if %c { yield %x } else { %r = neg(%x); yield %r }
            yield %b
          }
          return %y
        }""",
        """(%x: f32[N], %c: bool) {
          %y = if %c { %p = tanh(%x); yield %p } else { %r = neg(%x); yield %r }
          return %y
        }""",
    )
    check_unchanged(
        "prune",
        """(%x: f32[N], %c: bool, %d: bool) {
          %y = if %c {
            %a = if %d { %p = tanh(%x); yield %p } else { %q = exp(%x); yield %q }
            yield %a
          } else {
            yield %x
          }
          %z = if %c { yield %y } else { %n = neg(%y); yield %n }
          return %z
        }""",
    )


def test_prune_knows_a_condition_as_a_value_too():
    check_pass(
        "prune",
        "(%x: f32[N], %c: bool) { %y, %k = if %c { yield %x, %c } else { yield %x, %c }; return %y, %k }",
        "(%x: f32[N], %c: bool) { %y, %k = if %c { yield %x, True } else { yield %x, False }; return %y, %k }",
    )


def test_a_condition_on_data_is_not_decided_twice():
    """A tensor's truth may change between two looks at it."""
    check_unchanged(
        "prune",
        """(%x: f32[N], %c: bool[]) {
          %b = py.bool(%c)
          %y = if %b {
            %w = bitwise_xor(%c, True)
            %d = py.bool(%w)
            %a = if %d { %p = tanh(%x); yield %p } else { %q = exp(%x); yield %q }
            yield %a
          } else {
            yield %x
          }
          return %y
        }""",
    )


LOOP = """(%x: f32[B,3], %c: bool) {
  %h, %ys = loop TRIP, True, (%i, %h1 = %x) {
    %a = tanh(%h1)
    %b = add(%a, %i)
    yield True, %b | stacked %a
  }
  return %h, %ys
}"""


def test_prune_loops_of_no_or_one_turn():
    check_pass(
        "prune",
        LOOP.replace("TRIP", "1"),
        """(%x: f32[B,3], %c: bool) {
          %a = tanh(%x)
          %b = add(%a, 0)
          %0 = py.list(%a)
          %ys = stack(%0)
          return %b, %ys
        }""",
    )
    check_pass(
        "prune",
        LOOP.replace("TRIP", "0").replace("B,", "2,"),
        """(%x: f32[2,3], %c: bool) {
          %ys = zeros([0, 2, 3], dtype=f32)
          return %x, %ys
        }""",
    )
    check_unchanged("prune", LOOP.replace("TRIP", "2"))
    check_unchanged(
        "prune", LOOP.replace("loop TRIP, True", "loop %n, True").replace("TRIP", "T").replace("%c: bool", "%n: int<T>")
    )


def test_licm_moves_invariant_work():
    check_pass(
        "licm",
        """(%x: f32[B,3], %w: f32[3], %n: int) {
          %h = loop %n, True, (%i, %h1 = %x) {
            %a = tanh(%w)
            %g = loop %n, True, (%j, %g1 = %h1) {
              %b = neg(%a)
              %k = mul(%h1, 2)
              %g2 = add(%g1, %b)
              %g3 = add(%g2, %k)
              yield True, %g3
            }
            yield True, %g
          }
          return %h
        }""",
        """(%x: f32[B,3], %w: f32[3], %n: int) {
          %a = tanh(%w)
          %b = neg(%a)
          %h = loop %n, True, (%i, %h1 = %x) {
            %k = mul(%h1, 2)
            %g = loop %n, True, (%j, %g1 = %h1) {
              %g2 = add(%g1, %b)
              %g3 = add(%g2, %k)
              yield True, %g3
            }
            yield True, %g
          }
          return %h
        }""",
    )


def test_licm_leaves_what_may_raise_or_is_written_or_stands_under_a_branch():
    loop = """(%x: f32[B,3], %w: f32[3], %n: int, %k: int, %c: bool) {
      %h = loop %n, True, (%i, %h1 = %x) {
        LINES
        %h2 = add(%h1, %a)
        yield True, %h2
      }
      return %h
    }"""
    check_unchanged("licm", loop.replace("LINES", "%a = select(%w, 0, %k)"))
    check_unchanged("licm", loop.replace("LINES", "%a = tanh(%w); %0 = add_(%w, 1)"))
    check_unchanged("licm", loop.replace("LINES", "%a = if %c { %b = tanh(%w); yield %b } else { yield %w }"))
