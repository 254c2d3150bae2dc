"""Rewrites that do at once what was done bit by bit stay where that would keep too much memory alive, and say so."""

from __future__ import annotations

import pytest

import specjit.passes as passes
from specjit.limits import MAX_SEQUENCE_BYTES
from specjit.passes.budget import Budget
from tests.golden import by_name, check_same, copy_graph, graph_of

HOIST = """(%x: f32[T,1,6], %w: f32[6,800], %u: f32[800,800], %h0: f32[1,800], %n: int<T>) {
  %h = loop %n, True, (%i, %h1 = %h0) {
    %xt = select(%x, 0, %i); %q = matmul(%xt, %w); %r = matmul(%h1, %u); %s = add(%q, %r); yield True, %s
  }
  return %h
}"""
SUM = """(%x: f32[T,B,6], %w: f32[6,800], %d0: f32[B,800], %n: int<T>) {
  %z = zeros([6,800])
  %d, %dw = loop %n, True, (%i, %d1 = %d0, %a = %z) {
    %xt = select(%x, 0, %i); %d2 = tanh(%d1); %xi = permute(%xt, [1, 0]); %p = matmul(%xi, %d2); %a2 = add(%a, %p)
    yield True, %d2, %a2
  }
  return %d, %dw
}"""
CONCAT = """(%x: f32[B,6], %w: f32[6,800], %v: f32[6,800], %n: int<T>) {
  %h = loop %n, True, (%i, %h1 = %x) {
    %p = matmul(%h1, %w); %q = matmul(%h1, %v); %r = sub(%p, %q); %s = sum(%r); %h2 = mul(%h1, %s); yield True, %h2
  }
  return %h
}"""
LITTLE = {"T": 100, "B": 4}


def run(name: str, text: str, sizes: dict[str, int]) -> passes.Report:
    graph = graph_of(text)
    original = copy_graph(graph)
    report = passes.run_pipeline(graph, (by_name(name),), passes.Context(sizes=sizes))
    check_same(original, graph, exact=False)
    return report


@pytest.mark.parametrize(
    ("name", "text", "much", "bytes"),
    [
        ("hoist", HOIST, {"T": 30_000}, 30_000 * 800 * 4),
        ("sink", SUM, {"T": 1000, "B": 40}, 1000 * 40 * 800 * 4),
        ("concat", CONCAT, {"T": 100, "B": 50_000}, 50_000 * 800 * 4),
    ],
)
def test_what_needs_too_much_stays_and_says_why(name, text, much, bytes):
    little = run(name, text, LITTLE)
    assert little.rewrites == 1
    assert not any("no " in str(f) for f in little.facts)
    report = run(name, text, much)
    assert report.rewrites == 0
    (fact,) = report.facts
    assert f"it would keep {bytes:,} bytes alive" in fact.message
    assert f"of {MAX_SEQUENCE_BYTES:,} bytes" in fact.message


def test_a_program_with_large_arrays_may_have_one_more():
    """The sequence that the product makes is no larger than the one that it reads."""
    text = HOIST.replace("f32[T,1,6]", "f32[T,1,1600]").replace("f32[6,800]", "f32[1600,800]")
    assert run("hoist", text, {"T": 30_000}).rewrites == 1


def test_all_rewrites_of_a_pass_share_the_room():
    graph = graph_of(HOIST)
    ctx = passes.Context(sizes={"T": 10_000})
    budget = Budget(graph, ctx)
    sequence = graph_of("(%q: f32[T,1,800]) { return %q }").inputs[0].type
    assert budget.allows([sequence, sequence], "a thing", None)
    assert not budget.allows([sequence], "another", None)
    assert [f.message.split(":")[0] for f in ctx.facts] == ["no another"]


def test_what_is_stacked_already_needs_nothing_more():
    """The product behind a sequence that the loop returns anyway."""
    text = """(%x: f32[T,B,6], %w: f32[6,6], %h0: f32[B,6], %n: int<T>) {
      %h, %hs, %ys = loop %n, True, (%i, %h1 = %h0) {
        %xt = select(%x, 0, %i); %h2 = mul(%h1, %xt); %y = matmul(%h2, %w); yield True, %h2 | stacked %h2, %y
      }
      return %h, %hs, %ys
    }"""
    assert run("sink", text, {"T": 10**6, "B": 10**3}).rewrites == 1


def test_a_product_of_many_rows_stays_and_says_why():
    text = HOIST.replace("[T,1,6]", "[T,5,6]").replace("[1,800]", "[5,800]")
    report = run("hoist", text, LITTLE)
    assert report.rewrites == 0
    assert ["the 5 rows of a turn" in f.message for f in report.facts] == [True]
