"""Rows of the simplifier: each fires where it may, and not where bits, types or storage would change."""

from __future__ import annotations

import pytest

from specjit.ops import registry
from specjit.passes.patterns import ops_of
from specjit.passes.simplify import RULES
from tests.golden import check_pass, check_unchanged


@pytest.mark.parametrize(
    ("dtype", "before", "after"),
    [
        ("f32", "%a = mul(%x, 1.0)", ""),
        ("f32", "%a = mul(%x, 1)", ""),
        ("f32", "%a = div(%x, 1)", ""),
        ("f32", "%a = sub(%x, 0.0)", ""),
        ("f32", "%a = add(%x, -0.0)", ""),
        ("f64", "%a = add(-0.0, %x)", ""),
        ("i64", "%a = add(%x, 0)", ""),
        ("i32", "%a = mul(1, %x)", ""),
        ("i16", "%a = mul(%x, 0)", "%a = zeros_like(%x)"),
        ("f32", "%b = neg(%x); %a = neg(%b)", "%b = neg(%x)"),
        ("i64", "%b = neg(%x); %a = neg(%b)", "%b = neg(%x)"),
        ("f32", "%a = div(%x, 4)", "%a = mul(%x, 0.25)"),
        ("f64", "%a = div(%x, -0.5)", "%a = mul(%x, -2.0)"),
        ("f32", "%b = neg(%y); %a = add(%b, %x)", "%b = neg(%y); %a = sub(%x, %y)"),
        ("f32", "%b = neg(%y); %a = sub(%x, %b)", "%b = neg(%y); %a = add(%x, %y)"),
        ("f32", "%b = neg(%x); %a = mul(%b, %b)", "%b = neg(%x); %a = mul(%x, %x)"),
        ("f32", "%a = where(%c, %x, %x)", ""),
        ("f32", "%b = abs(%x); %a = abs(%b)", "%b = abs(%x); %a = abs(%x)"),
        # views
        ("f32", "%b = transpose(%x, 0, 1); %a = transpose(%b, 0, 1)", None),
        ("f32", "%a = permute(%x, [0, 1])", ""),
        ("f32", "%a = expand(%x, [-1, 3])", ""),
        ("f32", "%a = slice(%x, 1, 0, 3)", ""),
        ("f32", "%a = reshape(%x, [-1, 3])", ""),
        ("f32", "%a = clone(%x)", ""),
        (
            "f32",
            "%l = py.list(%x, %y); %k = stack(%l, 1); %a = select(%k, 1, -2)",
            "%l = py.list(%x, %y); %k = stack(%l, 1)",
        ),
    ],
)
def test_rows_fire(dtype, before, after):
    result = "%a" if after and "%a" in after else "%x"
    steps = (before, after) if after is not None else (before, "")
    texts = [graph(dtype, b, r) for b, r in zip(steps, ("%a", result))]
    if after is None:
        check_pass("all", *texts)
    else:
        check_pass("simplify", *texts)


def graph(dtype: str, lines: str, result: str) -> str:
    """The result goes into one more op, so that the caller does not get hold of its storage."""
    tail = "bitwise_not" if dtype.startswith("i") or dtype == "u8" else "tanh"
    head = f"(%x: {dtype}[N,3], %y: {dtype}[N,3], %c: bool[N,3], %s: {dtype}[], %r: {dtype}[3])"
    return f"{head} {{ {lines}{'; ' if lines else ''}%out = {tail}({result}); return %out }}"


@pytest.mark.parametrize(
    ("dtype", "lines"),
    [
        ("f32", "%a = add(%x, 0)"),  # -0.0 + 0 is 0.0
        ("f32", "%a = add(%x, 0.0)"),
        ("f32", "%a = sub(%x, -0.0)"),  # -0.0 - -0.0 is 0.0
        ("f32", "%a = mul(%x, -1.0)"),
        ("f32", "%a = mul(%x, 0.0)"),  # NaN, infinities, signs
        ("f32", "%a = add(%x, -0.0, alpha=2)"),
        ("f32", "%a = div(%x, 3)"),
        ("f32", "%a = div(%x, 0)"),
        ("i64", "%b = neg(%y); %d = div(%b, 4); %a = floor(%b)"),
        ("i64", "%b = neg(%y); %d = add(%b, 0.5); %a = add(%b, %c)"),
        ("f32", "%a = sub(%x, %x)"),
        ("u8", "%a = mul(%x, 2)"),
        ("f32", "%a = where(%c, %x, %y)"),
        ("f32", "%a = where(%c, %r, %r)"),  # broadcasts
        ("f32", "%a = expand(%r, [N, 3])".replace("N", "2")),
        ("f32", "%b = permute(%x, [1, 0]); %a = neg(%b)"),
        ("f32", "%a = slice(%x, 1, 0, 2)"),
        ("f32", "%l = py.list(%x, %y); %s2 = stack(%l, 1); %a = select(%s2, 0, 0)"),
    ],
)
def test_near_misses_stay(dtype, lines):
    check_unchanged("simplify", graph(dtype, lines, "%a"))


def test_change_of_type_stays():
    check_unchanged("simplify", "(%x: i64[N]) { %a = div(%x, 4); %b = tanh(%a); return %b }")
    check_unchanged("simplify", "(%x: f32[N]) { %a = to_dtype(%x, f64); %b = tanh(%a); return %b }")


def test_result_that_the_caller_gets_stays_fresh():
    check_unchanged("simplify", "(%x: f32[N]) { %a = mul(%x, 1); return %a }")
    check_unchanged("simplify", "(%x: f32[N]) { %a = mul(%x, 1); %b = unsqueeze(%a, 0); return %b }")


def test_written_storage_is_not_looked_through():
    check_unchanged(
        "simplify",
        """(%x: f32[N]) {
          %a = mul(%x, 1)
          %0 = add_(%x, 1)
          %b = tanh(%a)
          return %b
        }""",
    )


@pytest.mark.parametrize("grad", ["", "!"])
def test_detach_is_passed_over_only_where_no_gradient_could_flow(grad):
    text = "(%x: f64[N]{0}) {{ %a: f64[N]{0} = tanh(%x); {1} %c: f64[N]{0} = mul(%a, {2}); return %c }}"
    before = text.format(grad, "%b: f64[N] = detach(%a);", "%b")
    check_pass("simplify", before, before if grad else text.format(grad, "", "%a"))


def test_every_rule_names_ops_that_exist_and_says_why():
    for rule in RULES:
        assert rule.because
        for name in ops_of(rule.tree) | ops_of(rule.target):
            registry.get(name)
