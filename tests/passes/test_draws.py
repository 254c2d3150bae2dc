"""Explicit draws: the rewritten block computes what the block draws, and says how far the generator moves."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import specjit
from specjit.ir.dims import evaluate
from specjit.ir.graph import Graph, Node
from specjit.ir.interpret import interpret
from specjit.ir.text import parse, print_graph
from specjit.ir.verify import verify
from specjit.ops.records import registry
from specjit.passes import draws
from specjit.tensor.random import default_generator

STRAIGHT = """graph @g(%x: f32[T,3]) -> (f32[T,3], f64[2,5]) {
  %m: f32[T,3] = dropout_mask(%x, 0.3)
  %u: f64[2,5] = rand([2, 5], dtype=f64)
  return %m, %u
}"""
LOOP = """graph @g(%x: f32[T,B,3]) -> (f32[B,3], f32[T,B,3]) {
  %T: int<T> = size(%x, 0)
  %z: f32[B,3] = select(%x, 0, 0)
  %s: f32[B,3], %rows: f32[T,B,3] = loop %T, True, (%i: int, %a: f32[B,3] = %z) reverse {
    %m: f32[B,3] = dropout_mask(%a, 0.5)
    %p: f32[B,3] = sigmoid(%a)
    %k: f32[B,3] = bernoulli(%p)
    %n: f32[B,3] = mul(%a, %m)
    %o: f32[B,3] = add(%n, %k)
    yield True, %o, %m
  }
  %l: f32[7] = rand([7])
  return %s, %rows
}"""
BRANCH = """graph @g(%x: f32[T,3], %c: bool) -> f32[3] {
  %r: f32[3] = if %c {
    %a: f32[3] = rand([3])
    %b: f32[3] = rand([3])
    %d: f32[3] = add(%a, %b)
    yield %d
  } else {
    %e: f32[3] = OTHER
    yield %e
  }
  %f: f32[3] = rand([3])
  %h: f32[3] = mul(%r, %f)
  return %h
}"""
WHILE = """graph @g(%x: f32[]) -> (f32[], int) {
  %y: f32[], %n: int = loop None, True, (%i: int, %a: f32[] = %x, %k: int = 0) {
    %u: f32[] = rand([])
    %b: f32[] = add(%a, %u)
    %j: int = py.add(%k, 1)
    %t: bool[] = lt(%b, 2.5)
    %go: bool = item(%t)
    yield %go, %b, %j
  }
  return %y, %n
}"""


def graph_of(text: str) -> Graph:
    return parse(text, ops=registry.get)


def check(text: str, *inputs: Any, known: bool) -> draws.Explicit:
    """Interpret both forms, from several places of several streams; what they give and where they end is equal."""
    graph = graph_of(text)
    before = print_graph(graph)
    explicit = draws.explicit(graph.block)
    assert print_graph(graph) == before
    rewritten = Graph("g", explicit.block)
    verify(rewritten)
    assert not draws.draws(explicit.block)
    assert (explicit.taken is not None) == known
    for seed, start in ((3, 0), (2**64 - 5, 5), (1 << 40, (1 << 32) - 2)):
        default_generator.manual_seed(seed).offset = 4 * start
        expected = interpret(graph, *inputs)
        end = default_generator.offset // 4
        signed = seed - (1 << 64) if seed >> 63 else seed
        found = interpret(rewritten, *inputs, signed, start)
        if explicit.taken is None:
            assert found.pop() == end
        else:
            sizes = {n: np.shape(inputs[0])[k] for k, n in enumerate(("T", "B")) if k < np.ndim(inputs[0])}
            names = {repr(s): s for t in explicit.taken for s in (t.times, t.count) if not isinstance(s, int)}
            source = draws.blocks_taken(explicit.taken, lambda s: str(evaluate(names.get(repr(s), s), sizes)))
            assert eval(source) == end - start
        for a, b in zip(found, expected, strict=True):
            np.testing.assert_array_equal(a, b)
    return explicit


@pytest.mark.parametrize("t", [0, 1, 2, 5])
def test_straight(t) -> None:
    check(STRAIGHT, np.zeros((t, 3), np.float32), known=True)


@pytest.mark.parametrize(("t", "b"), [(1, 1), (4, 3), (3, 4), (2, 0)])
def test_a_loop_carries_the_counter(t, b) -> None:
    x = np.random.default_rng(t).standard_normal((t, b, 3)).astype(np.float32)
    check(LOOP, x, known=True)


@pytest.mark.parametrize("taken", [True, False])
def test_branches(taken) -> None:
    """Of equal draws the total is known; of others only the run tells."""
    x = np.zeros((2, 3), np.float32)
    check(BRANCH.replace("OTHER", "zeros([3])"), x, taken, known=False)
    same = BRANCH.replace("%e: f32[3] = OTHER", "%q: f32[3] = rand([3])\n    %e: f32[3] = rand([3])")
    check(same, x, taken, known=True)


def test_a_loop_without_a_count() -> None:
    check(WHILE, np.float32(0), known=False)


def test_a_size_that_no_input_shows_is_known_only_to_the_run() -> None:
    text = """graph @g(%n: int) -> f32[?] {
      %m: int = py.mul(%n, 2)
      %s: list[int] = py.list(%m)
      %u: f32[?] = rand(%s)
      return %u
    }"""
    node = graph_of(text).block.nodes[-1]
    assert draws.refusal(node) == "how many random numbers it draws is not known"


def only(text: str) -> Node:
    return next(n for n in graph_of(text).walk() if n.op.traits.random)


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("dropout_mask(%x, 0.5)", None),
        ("dropout_mask(%x, %p)", "its p is not known before the call"),
        ("rand([2, 3])", None),
        ("rand([2, 3], requires_grad=True)", "its result is a leaf that requires a gradient"),
        ("randn([2, 3])", "no kernel draws these random numbers"),
    ],
)
def test_refusals(line, why) -> None:
    assert (
        draws.refusal(only(f"graph @g(%x: f32[2,3], %p: float) -> f32[2,3] {{\n%u: f32[2,3] = {line}\nreturn %u\n}}"))
        == why
    )


def test_a_generator_of_ones_own_is_left_alone() -> None:
    node = only(STRAIGHT)
    node.args[2] = node.args[2].constant(specjit.Generator())
    assert draws.refusal(node) == "it draws from a generator of its own"


def test_the_threshold_of_a_mask_is_exact() -> None:
    """Eager compares in float64; the definition compares with the float32 that decides alike."""
    for p in (0.1, 0.3, 1 / 3, 0.7, 2.0**-24, 1 - 2.0**-24, 0.0, 1.0, 1e-9, 1 - 1e-9):
        text = f"graph @g(%x: f32[4096]) -> f32[4096] {{\n%u: f32[4096] = dropout_mask(%x, {p!r})\nreturn %u\n}}"
        check(text, np.zeros(4096, np.float32), known=True)
