"""Rows of the simplifier: each fires where it may, and not where bits, types or storage would change."""

from __future__ import annotations

import pytest

import specjit.passes as passes
from specjit.ir.graph import copy_graph
from specjit.ops.records import registry
from specjit.passes.patterns import ops_of
from specjit.passes.simplify import RULES
from tests.golden import by_name, check_pass, check_same, check_unchanged, graph_of, nameless, run_pass


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


def test_a_copy_whose_layout_a_view_asks_for_stays():
    text = (
        "(%x: f32[2,1,3]) {{ %a = expand(%x, [2,4,3]); %b = clone(%a); %c = {}(%b, [24]); %d = tanh(%c); return %d }}"
    )
    check_unchanged("simplify", text.format("view"))
    assert "clone" not in str(run_pass("simplify", text.format("reshape")))


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


def test_what_was_read_before_a_write_is_not_read_after_it():
    check_unchanged(
        "simplify",
        """(%x: f32[N]) {
          %a = neg(%x)
          %0 = add_(%x, 1)
          %b = neg(%a)
          %c = tanh(%b)
          return %c
        }""",
    )


VIEWS = [
    "%a = t(%x); %r = t(%a)",
    "%a = unsqueeze(%x, 1); %r = squeeze(%a, 1)",
    "%a = unsqueeze(%x, 0); %r = select(%a, 0, -1)",
    "%a = permute(%x, [1, 0]); %b = unsqueeze(%a, 2); %c = permute(%b, [2, 1, 0]); %r = squeeze(%c, 0)",
    "%a = expand(%x, [1, -1, 3]); %r = select(%a, 0, 0)",
    "%a = unsqueeze(%x, 2); %b = slice(%a, 1, 0, 3); %r = squeeze(%b, 2)",
]


@pytest.mark.parametrize("lines", VIEWS)
def test_views_that_undo_each_other(lines):
    text = "(%x: f32[N,3]) {{ {} %out = tanh({}); return %out }}"
    before = copy_graph(graph_of(text.format(f"{lines};", "%r")))
    after = copy_graph(before)
    passes.run_pipeline(after, (by_name("simplify"), by_name("dce")))
    check_same(before, after)
    assert str(nameless(after)) == str(nameless(graph_of(text.format("", "%x"))))


@pytest.mark.parametrize(
    "lines",
    [
        "%a = permute(%x, [1, 0]); %r = unsqueeze(%a, 0)",
        "%a = expand(%x, [2, -1, 3]); %r = select(%a, 0, 0)",  # that, too, is all of x, and found
        "%a = unsqueeze(%x, 1); %r = squeeze(%a, 2)",
        "%a = slice(%x, 1, 1, 3); %r = slice(%a, 1, 0, 2)",
        "%a = t(%x); %b = contiguous(%a); %r = t(%b)",
    ],
)
def test_views_that_do_not_undo_each_other(lines):
    text = f"(%x: f32[N,3]) {{ {lines}; %out = tanh(%r); return %out }}"
    graph = graph_of(text)
    passes.run_pipeline(graph, (by_name("simplify"), by_name("dce")))
    check_same(graph_of(text), graph)
    assert (next(n for n in graph.walk() if n.op.name == "tanh").args[0] is graph.inputs[0]) == ("expand" in lines)


def test_a_view_of_a_part():
    check_unchanged("simplify", "(%x: f32[4,3]) { %a = chunk(%x, 1, 0); %b = unsqueeze(%a, 0); return %b }")


def test_a_view_that_the_caller_gets_stays_an_object_of_its_own():
    check_unchanged("simplify", "(%x: f32[N,3]) { %a = unsqueeze(%x, 1); %b = squeeze(%a, 1); return %b }")


def test_parts_of_a_join_are_the_joined():
    check_pass(
        "simplify",
        """(%x: f32[N,3], %y: f32[N,3]) {
          %l = py.list(%x, %y)
          %a = cat(%l, 1)
          %b, %c = chunk(%a, 2, 1)
          %r = sub(%b, %c)
          return %r
        }""",
        """(%x: f32[N,3], %y: f32[N,3]) {
          %l = py.list(%x, %y)
          %a = cat(%l, 1)
          %r = sub(%x, %y)
          return %r
        }""",
    )


def test_parts_of_a_join_that_the_caller_gets_stay_views_of_one_storage():
    check_unchanged(
        "simplify",
        """(%x: f32[N,3], %y: f32[N,3]) {
          %l = py.list(%x, %y)
          %a = cat(%l, 1)
          %b, %c = chunk(%a, 2, 1)
          return %b, %c
        }""",
    )


def test_all_rows_stacked_again_are_one_copy():
    check_pass(
        "simplify",
        """(%x: f32[2,3]) {
          %a, %b, %c = unbind(%x, 1)
          %l = py.list(%a, %b, %c)
          %r = stack(%l, 0)
          return %r
        }""",
        """(%x: f32[2,3]) {
          %a, %b, %c = unbind(%x, 1)
          %l = py.list(%a, %b, %c)
          %p = permute(%x, [1, 0])
          %m = py.list(%p)
          %r = cat(%m, 0)
          return %r
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
