"""Every pass of the pipeline on its own: programs that it changes, exactly how, and near misses that it must not touch.

Each pair is run before and after on what `tests.golden` makes: ordinary numbers; NaN, infinities, -0.0 and the extremes
of integers; no element, one, and several; arguments that share memory and such in other layouts; and what a program
writes into its arguments is compared too. A near miss differs from a firing program in the one thing that makes the
rewrite wrong, or not worth doing. The passes' own files have more.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pytest

import specjit.passes as passes
from tests.golden import check_pass, check_unchanged, graph_of, make_inputs


class Cases(NamedTuple):
    """fires: (before, after). near: what stays. exact: both sides to the bit."""

    fires: list[tuple[str, str]]
    near: list[str]
    exact: bool = True
    numerics: str = "exact"


ROWS = "(%x: f32[T,B,6], %w: f32[6,8], %h0: f32[B,8], %n: int<T>, %m: int)"
GATES = "(%x: f32[B,4], param %u: f32[4,8], param %v: f32[4,8], %w: f32[4,8])"
SCALE = "(%x: f32[B,6], {} %w: f32[6,8], param %b: f32[8], param %g: f32[8])"
TURN = """(%x: f32[T,N], %h: f32[N], %n: int<T>) {{
  %r = loop %n, True, (%i, %a = %h){} {{
    %j = py.sub(%n, 1); %k = py.sub(%j, %i); %s = select(%x, 0, {}); %b = mul(%a, %s); yield True, %b
  }}
  return %r
}}"""
THRICE = (
    "(%y: f32[N], %z: f32[], %k: i32[N]) {{ %r = loop {}, True, (%i, %a = {}) {{ {}; yield True, %q }}; return %r }}"
)
INVARIANT = (
    "(%x: f32[B,3], %w: f32[3], %n: int, %k: int) {{ {} %h = loop %n, True, (%i, %a = %x) {{ {} }}; return %h }}"
)
HOISTED = ROWS + " {{ {} %h = loop {}, True, (%i, %a = %h0) {{ {}; %b = add(%a, %q); yield True, %b }}; return %h }}"
SUNK = ROWS + " {{ %h, %l = loop %n, True, (%i, %a = %h0) {{ {} }}; {} }}"

CASES = {
    "turn": Cases(
        fires=[(TURN.format("", "%k"), TURN.format(" reverse", "%i"))],
        near=[TURN.format("", "%i"), TURN.format("", "%k").replace("mul(%a, %s)", "mul(%a, %i)")],
    ),
    "functionalize": Cases(
        fires=[
            (
                "(%x: f32[N]) { %y = tanh(%x); %1 = add_(%y, 1.0); %z = py.renew(%y, %1); return %z }",
                "(%x: f32[N]) { %y = tanh(%x); %1 = add(%y, 1.0); return %1 }",
            ),
            (
                "(%x: i32[]) { %y = neg(%x); %1 = mul_(%y, %x); %z = py.renew(%y, %1); return %z }",
                "(%x: i32[]) { %y = neg(%x); %1 = mul(%y, %x); return %1 }",
            ),
        ],
        near=["(%x: f32[N]) { %1 = add_(%x, 1.0); %z = py.renew(%x, %1); %y = tanh(%z); return %y }"],
    ),
    "fold": Cases(
        fires=[
            (
                "(%x: f32[N,4], %k: i32[]) { %n = size(%x, 1); %m = py.mul(%n, 3); %y = mul(%x, %m); return %y }",
                "(%x: f32[N,4], %k: i32[]) { %y = mul(%x, 12); return %y }",
            ),
            ("() { %n = py.add(9223372036854775807, 1); return %n }", "() { return 9223372036854775808 }"),
        ],
        near=[
            "(%x: f32[N,4]) { %n = size(%x, 0); %y = mul(%x, %n); return %y }",
            "() { %k = py.floordiv(1, 0); return %k }",
        ],
    ),
    "simplify": Cases(
        fires=[
            (
                "(%x: f32[N]) { %a = add(%x, -0.0); %b = exp(%a); return %b }",
                "(%x: f32[N]) { %b = exp(%x); return %b }",
            ),
            (
                "(%x: i32[]) { %a = neg(%x); %b = neg(%a); %c = add(%b, %b); return %c }",
                "(%x: i32[]) { %a = neg(%x); %c = add(%x, %x); return %c }",
            ),
        ],
        near=[
            "(%x: f32[N]) { %a = add(%x, 0.0); %b = exp(%a); return %b }",
            "(%x: f32[N]) { %a = neg(%x); %1 = add_(%a, 1.0); %b = neg(%a); %c = add(%b, %b); return %c }",
        ],
    ),
    "prune": Cases(
        fires=[
            (
                "(%x: f32[N]) { %r = if True { %a = neg(%x); yield %a } else { yield %x }; return %r }",
                "(%x: f32[N]) { %a = neg(%x); return %a }",
            )
        ],
        near=["(%x: f32[N], %c: bool) { %r = if %c { %a = neg(%x); yield %a } else { yield %x }; return %r }"],
    ),
    "cse": Cases(
        fires=[
            (
                "(%x: f32[N], %y: f32[N]) { %a = sub(%x, %y); %b = sub(%x, %y); %c = mul(%a, %b); return %c }",
                "(%x: f32[N], %y: f32[N]) { %a = sub(%x, %y); %c = mul(%a, %a); return %c }",
            )
        ],
        near=[
            "(%x: f32[N], %y: f32[N]) { %a = sub(%x, %y); %b = sub(%y, %x); %c = mul(%a, %b); return %c }",
            "(%x: f32[N], %y: f32[N]) { %a = exp(%x); %1 = add_(%x, %y); %b = exp(%x); %c = mul(%a, %b); return %c }",
            "(%x: f32[]) { %a = mul(%x, 0.0); %b = mul(%x, -0.0); %c = add(%a, %b); return %c }",
        ],
    ),
    "dce": Cases(
        fires=[("(%x: f32[N]) { %a = tanh(%x); %b = neg(%x); return %b }", "(%x: f32[N]) { %b = neg(%x); return %b }")],
        near=[
            "(%x: i32[N], %y: i32[N]) { %a = floor_divide(%x, %y); return %x }",
            "(%x: i32[], %y: i32[]) { %a = fmod(%x, %y); return %x }",
            "(%x: f32[N]) { %a = add_(%x, 1.0); return %x }",
            "(%x: f32[N]) { %a = rand([3]); return %x }",
        ],
    ),
    "decompose": Cases(
        fires=[
            (
                "(%x: f32[B,4]) { %m = mean(%x, [1], True); return %m }",
                "(%x: f32[B,4]) { %s = sum(%x, [1], True); %m = div(%s, 4); return %m }",
            )
        ],
        near=["(%x: f32[B,4]) { %m = amax(%x, [1]); return %m }", "(%x: f32[B,0]) { %m = softmax(%x, -1); return %m }"],
    ),
    "unroll": Cases(
        fires=[
            (
                THRICE.format(3, "%y", "%q = sub(%a, %z)"),
                """(%y: f32[N], %z: f32[], %k: i32[N]) {
                  %a = sub(%y, %z); %b = sub(%a, %z); %c = sub(%b, %z); return %c }""",
            ),
            (
                THRICE.format(2, "%k", "%q = mul(%a, 65537)"),
                "(%y: f32[N], %z: f32[], %k: i32[N]) { %a = mul(%k, 65537); %b = mul(%a, 65537); return %b }",
            ),
        ],
        near=[
            THRICE.format(65, "%y", "%q = sub(%a, %z)"),
            THRICE.format(3, "%y", "%q = exp(%a)"),
            THRICE.format(3, "%y", "%1 = add_(%z, 1.0); %q = sub(%a, %z)"),
        ],
    ),
    "foldscale": Cases(
        fires=[
            (
                SCALE.format("param") + " { %p = matmul(%x, %w); %a = add(%p, %b); %y = mul(%a, %g); return %y }",
                SCALE.format("param")
                + """ { %s = mul(%b, %g); %h = reshape(%g, [8]); %v = mul(%w, %h); %p = matmul(%x, %v)
                  %y = add(%p, %s); return %y }""",
            )
        ],
        near=[
            SCALE.format("") + " { %p = matmul(%x, %w); %a = add(%p, %b); %y = mul(%a, %g); return %y }",
            SCALE.format("param") + " { %p = matmul(%x, %w); %a = add(%p, %b); %y = mul(%a, %a); return %y }",
        ],
        exact=False,
        numerics="fast",
    ),
    "licm": Cases(
        fires=[
            (
                INVARIANT.format("", "%e = exp(%w); %b = add(%a, %e); yield True, %b"),
                INVARIANT.format("%e = exp(%w);", "%b = add(%a, %e); yield True, %b"),
            )
        ],
        near=[
            INVARIANT.format("", "%e = select(%w, 0, %k); %b = add(%a, %e); yield True, %b"),
            INVARIANT.format("", "%e = exp(%w); %1 = mul_(%w, 2.0); %b = add(%a, %e); yield True, %b"),
        ],
    ),
    "hoist": Cases(
        fires=[
            (
                HOISTED.format("", "%n", "%s = select(%x, 0, %i); %q = matmul(%s, %w)"),
                HOISTED.format("%p = matmul(%x, %w);", "%n", "%s = select(%x, 0, %i); %q = select(%p, 0, %i)"),
            )
        ],
        near=[
            HOISTED.format("", "%m", "%s = select(%x, 0, %i); %q = matmul(%s, %w)"),
            HOISTED.format("", "%n", "%s = select(%x, 0, %i); %q = matmul(%s, %w); %1 = mul_(%w, 0.5)"),
        ],
        exact=False,
    ),
    "sink": Cases(
        fires=[
            (
                SUNK.format(
                    "%b = tanh(%a); %s = select(%x, 0, %i); %q = matmul(%s, %w); yield True, %b | stacked %q",
                    "return %h, %l",
                ),
                ROWS
                + """ {
                  %h = loop %n, True, (%i, %a = %h0) {
                    %b = tanh(%a); %s = select(%x, 0, %i); %q = matmul(%s, %w); yield True, %b }
                  %l = matmul(%x, %w); return %h, %l }""",
            )
        ],
        near=[
            SUNK.format(
                "%s = select(%x, 0, %i); %q = matmul(%s, %w); %b = add(%a, %q); yield True, %b | stacked %q",
                "return %h, %l",
            ),
        ],
        exact=False,
    ),
    "concat": Cases(
        fires=[
            (
                GATES + " { %a = matmul(%x, %u); %b = matmul(%x, %v); %c = sub(%a, %b); return %c }",
                GATES
                + """ { %l = py.list(%u, %v); %0 = cat(%l, 1); %p = matmul(%x, %0); %a, %b = chunk(%p, 2, -1)
                  %c = sub(%a, %b); return %c }""",
            )
        ],
        near=[
            GATES + " { %a = matmul(%x, %u); %b = matmul(%x, %w); %c = sub(%a, %b); return %c }",
            GATES + " { %a = matmul(%x, %u); %b = matmul(%x, %v); return %a, %b }",
            GATES + " { %a = matmul(%x, %u); %1 = neg_(%x); %b = matmul(%x, %v); %c = sub(%a, %b); return %c }",
            GATES
            + """ { %a = matmul(%x, %u); %b = matmul(%x, %v); %n: int<B> = size(%x, 0); %h = zeros([8])
              %c = loop %n, True, (%i, %d = %h) { %e = select(%a, 0, %i); %f = add(%d, %e); yield True, %f }
              %o = loop %n, True, (%j, %p = %h) { %q = select(%b, 0, %j); %r = add(%p, %q); yield True, %r }
              %s = sub(%c, %o); return %s }""",
        ],
        exact=False,
    ),
}


def test_every_pass_of_the_pipeline_has_cases():
    assert list(CASES) == passes.names()
    assert all(cases.fires and cases.near for cases in CASES.values())


@pytest.mark.parametrize(
    ("name", "before", "after"), [(name, *pair) for name, cases in CASES.items() for pair in cases.fires]
)
def test_fires(name, before, after):
    cases = CASES[name]
    check_pass(name, before, after, exact=cases.exact, numerics=cases.numerics)


@pytest.mark.parametrize(("name", "text"), [(name, text) for name, cases in CASES.items() for text in cases.near])
def test_near_miss(name, text):
    cases = CASES[name]
    check_unchanged(name, text, exact=cases.exact, numerics=cases.numerics)


def test_the_values_that_both_sides_are_run_on():
    """Special inputs hold what their name promises, and arguments of one type are, some time, one array."""
    graph = graph_of("(%x: f32[N], %y: f32[N], %k: i32[N], %m: f32[N,N]) { return %x }")
    made = [make_inputs(graph, {"N": 30}, seed, special=True) for seed in range(4)]
    floats, ints = np.concatenate([x for x, *_ in made]), np.concatenate([k for _, _, k, _ in made])
    assert np.isnan(floats).any()
    assert {np.inf, -np.inf} <= set(floats.tolist())
    assert (np.signbit(floats) & (floats == 0)).any()
    assert {np.iinfo(np.int32).min, np.iinfo(np.int32).max} <= set(ints.tolist())
    assert any(np.shares_memory(x, y) for x, y, *_ in made)
    assert not all(m.flags.c_contiguous for *_, m in made)
    assert make_inputs(graph, {"N": 0}, 1, special=True)[0].size == 0
