"""Sums of matrix products: which become one product, and that it computes the sum."""

from __future__ import annotations

import numpy as np
import pytest

from specjit.codegen.kernels.spec import GemmSpec
from specjit.codegen.schedule import RegionPlan
from specjit.codegen.schedule.sums import MAX_SEGMENTS
from tests.codegen.plans import check, plan_of

HEAD = "%x: f32[3,5], %w: f32[5,8], %h: f32[3,4], %u: f32[4,8], %b: f32[8], %c: f32[8]"
PRODUCTS = "%p: f32[3,8] = matmul(%x, %w); %q: f32[3,8] = matmul(%h, %u)"

LATER = "%g: f32[3,4] = tanh(%h); %q: f32[3,8] = matmul(%g, %u); %y: f32[3,8] = add(%s, %q)"


def arrays(*shapes: tuple[int, ...]) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.standard_normal(shape).astype(np.float32) for shape in shapes]


def segments_of(body: str, result: str = "%y", types: str = "f32[3,8]") -> list[int]:
    """How many segments each product of the graph has; its results are checked."""
    text = f"graph @f({HEAD}) -> {types} {{ {body}; return {result} }}"
    plan = check(text, *arrays((3, 5), (5, 8), (3, 4), (4, 8), (8,), (8,)))
    return sorted(len(s.segments) for s in plan.specs if isinstance(s, GemmSpec))


@pytest.mark.parametrize(
    "body",
    [
        f"{PRODUCTS}; %y: f32[3,8] = add(%p, %q)",
        f"{PRODUCTS}; %s: f32[3,8] = add(%p, %q); %y: f32[3,8] = add(%s, %b)",
        f"{PRODUCTS}; %s: f32[3,8] = add(%p, %b); %y: f32[3,8] = add(%s, %q)",
        f"{PRODUCTS}; %s: f32[3,8] = add(%b, %p); %y: f32[3,8] = add(%q, %s)",
        f"{PRODUCTS}; %s: f32[3,8] = add(%p, %b); %r: f32[3,8] = add(%s, %q); %y: f32[3,8] = add(%r, %c)",
        f"%p: f32[3,8] = matmul(%x, %w); %s: f32[3,8] = add(%p, %b); {LATER}",
    ],
    ids=["plain", "bias after", "bias between", "other order", "two biases", "made in between"],
)
def test_sums_are_one_product(body):
    assert segments_of(body) == [2]


def told(plan: RegionPlan) -> list[str]:
    return [n.text.partition(": ")[2] for n in plan.notes if "the two products of a sum" in n.text]


@pytest.mark.parametrize(
    ("body", "result", "types", "why"),
    [
        (f"{PRODUCTS}; %y: f32[3,8] = sub(%p, %q)", "%y", "f32[3,8]", []),
        (f"{PRODUCTS}; %y: f32[3,8] = add(%p, %q)", "%y, %p", "(f32[3,8], f32[3,8])", ["p is needed by itself, too"]),
        (
            f"{PRODUCTS}; %s: f32[3,8] = add(%p, %b); %y: f32[3,8] = add(%s, %q)",
            "%y, %s",
            "(f32[3,8], f32[3,8])",
            ["s is needed by itself, too"],
        ),
        (f"{PRODUCTS}; %s: f32[3,8] = tanh(%p); %y: f32[3,8] = add(%s, %q)", "%y", "f32[3,8]", []),
    ],
    ids=["a difference", "a product that is kept", "a sum that is kept", "work between"],
)
def test_other_sums_stay_and_say_why(body, result, types, why):
    assert segments_of(body, result, types) == [1, 1]
    assert told(plan_of(f"graph @f({HEAD}) -> {types} {{ {body}; return {result} }}")) == why


def test_a_product_plus_itself():
    assert segments_of("%p: f32[3,8] = matmul(%x, %w); %y: f32[3,8] = add(%p, %p)") == [1]


def test_a_product_of_the_other():
    body = "%p: f32[3,8] = matmul(%x, %w); %v: f32[8,4] = t(%u); %r: f32[3,4] = matmul(%p, %v)"
    assert segments_of(f"{body}; %q: f32[3,8] = matmul(%r, %u); %y: f32[3,8] = add(%p, %q)") == [1, 1, 1]


def test_spread_products_stay():
    text = """graph @f(%x: f32[1,5], %w: f32[5,8], %h: f32[3,4], %u: f32[4,8]) -> f32[3,8] {
      %p: f32[1,8] = matmul(%x, %w)
      %q: f32[3,8] = matmul(%h, %u)
      %y: f32[3,8] = add(%p, %q)
      return %y
    }"""
    plan = check(text, *arrays((1, 5), (5, 8), (3, 4), (4, 8)))
    assert all(len(s.segments) == 1 for s in plan.specs if isinstance(s, GemmSpec))


def test_vectors_and_batches():
    text = """graph @f(%x: f32[5], %w: f32[5,8], %h: f32[4], %u: f32[4,8], %y: f32[2,3,5],
        %z: f32[2,3,4], %v: f32[2,4,8]) -> (f32[8], f32[2,3,8]) {
      %p: f32[8] = matmul(%x, %w)
      %q: f32[8] = matmul(%h, %u)
      %s: f32[8] = add(%p, %q)
      %a: f32[2,3,8] = matmul(%y, %w)
      %b: f32[2,3,8] = matmul(%z, %v)
      %c: f32[2,3,8] = add(%a, %b)
      return %s, %c
    }"""
    shapes = ((5,), (5, 8), (4,), (4, 8), (2, 3, 5), (2, 3, 4), (2, 4, 8))
    plan = check(text, *arrays(*shapes), params=("w", "u"))
    assert [len(s.segments) for s in plan.specs if isinstance(s, GemmSpec)] == [2, 2]


def test_long_sums_are_several_products():
    count = 6
    head = ", ".join(f"%x{i}: f32[3,4], %w{i}: f32[4,8]" for i in range(count))
    body = "; ".join(f"%p{i}: f32[3,8] = matmul(%x{i}, %w{i})" for i in range(count))
    adds = "; ".join(f"%s{i}: f32[3,8] = add({f'%s{i - 1}' if i > 1 else '%p0'}, %p{i})" for i in range(1, count))
    text = f"graph @f({head}) -> f32[3,8] {{ {body}; {adds}; return %s{count - 1} }}"
    plan = check(text, *arrays(*[s for _ in range(count) for s in ((3, 4), (4, 8))]))
    assert max(len(s.segments) for s in plan.specs if isinstance(s, GemmSpec)) == MAX_SEGMENTS
    assert told(plan) == ["5 parts are more than the 4 that a kernel has"] * 2


def test_carried_operand():
    """In a loop: the product of a row and that of the state."""
    text = """graph @f(%x: f32[T,3,5], %w: f32[5,8], %h0: f32[3,8], %u: f32[8,8], %b: f32[8], %n: int<T>) -> f32[3,8] {
      %h: f32[3,8] = loop %n, True, (%i: int, %h1: f32[3,8] = %h0) {
        %xt: f32[3,5] = select(%x, 0, %i)
        %p: f32[3,8] = matmul(%xt, %w)
        %q: f32[3,8] = matmul(%h1, %u)
        %s: f32[3,8] = add(%p, %q)
        %a: f32[3,8] = add(%s, %b)
        %h2: f32[3,8] = tanh(%a)
        yield True, %h2
      }
      return %h
    }"""
    plan = check(text, *arrays((4, 3, 5), (5, 8), (3, 8), (8, 8), (8,)), 4, params=("w", "u", "b"))
    assert [len(s.segments) for s in plan.specs if isinstance(s, GemmSpec)] == [2]
