"""Which values may share storage, are written, or reach the caller; and which nodes may raise."""

from __future__ import annotations

import pytest

from specjit.ir.graph import Value
from specjit.passes.aliases import Aliases
from specjit.passes.raising import loop_bounds, may_raise
from tests.golden import graph_of


def named(graph) -> dict[str, Value]:
    values = list(graph.inputs)
    for node in graph.walk():
        values += node.results
        for block in node.blocks:
            values += block.params
    return {v.hint: v for v in values if v.hint}


def test_views_branches_loops_and_lists_share():
    graph = graph_of(
        """(%x: f32[B,4], %y: f32[B,4], %c: bool, %n: int) {
          %v = permute(%x, [1, 0])
          %r = slice(%v, 0, 0, 2)
          %t = tanh(%x)
          %k = if %c { yield %t } else { yield %y }
          %h = loop %n, True, (%i, %h1 = %k) { %d = detach(%h1); yield True, %d }
          %z = neg(%y)
          %l = py.list(%z, %t)
          return %h
        }"""
    )
    v, aliases = named(graph), Aliases(graph)
    assert aliases.same(v["x"], v["r"])
    assert not aliases.same(v["x"], v["t"])
    assert aliases.same(v["y"], v["h"])
    assert aliases.same(v["t"], v["h1"])
    assert aliases.same(v["z"], v["l"])
    assert aliases.escapes(v["y"])
    assert not aliases.escapes(v["x"])
    assert not aliases.has_writes


def test_writes_reach_everything_that_may_share():
    graph = graph_of("(%x: f32[B,4]) { %v = detach(%x); %t = tanh(%x); %0 = add_(%v, 1); return %t }")
    v, aliases = named(graph), Aliases(graph)
    assert aliases.has_writes
    assert aliases.written(v["x"])
    assert not aliases.written(v["t"])


def test_facts_follow_a_merge():
    graph = graph_of("(%x: f32[B,4]) { %a = tanh(%x); %b = tanh(%x); return %b }")
    v, aliases = named(graph), Aliases(graph)
    assert not aliases.escapes(v["a"])
    aliases.merge(v["b"], v["a"])
    assert aliases.escapes(v["a"])


@pytest.mark.parametrize(
    ("line", "raises"),
    [
        ("%r = tanh(%x)", False),
        ("%r = add(%x, %b)", False),
        ("%r = floor_divide(%k, %k)", True),
        ("%r = floor_divide(%x, %x)", False),
        ("%r = matmul(%x, %w)", False),
        ("%r = sum(%x, [0])", False),
        ("%r = amax(%x, [1])", False),
        ("%r = amax(%x, [0])", True),
        ("%r = select(%b, 0, 3)", False),
        ("%r = select(%x, 0, 3)", True),
        ("%r = select(%x, 0, %n)", True),
        ("%r = select(%x, 0, %i)", False),
        ("%r = select(%y, 0, %i)", True),
        ("%r = narrow(%x, 0, 0, %n)", False),
        ("%r = narrow(%x, 0, 1, %n)", True),
        ("%r = slice(%x, 1, 1, 9)", False),
        ("%r = reshape(%x, [-1])", False),
        ("%r = expand(%b, [2, 4])", False),
        ("%r = embedding(%w, %k)", True),
        ("%r = select_scatter(%x, %b, 0, %i)", False),
        ("%r = select_scatter(%x, %b, 0, %n)", True),
        ("%r = select_scatter(%y, %b, 0, %i)", True),
        ("%r = slice_scatter(%w, %w, 0, 0, 4)", False),
        ("%r = slice_scatter(%w, %x, 0, 0, 4)", True),
        ("%r = py.add(%n, %m)", False),
        ("%r = py.floordiv(%n, %m)", True),
        ("%r = py.lt(%n, %m)", False),
        ("%r = py.mul(%m, 0.5)", True),
    ],
)
def test_what_may_raise(line, raises):
    graph = graph_of(
        f"""(%x: f32[N,4], %y: f32[M,4], %b: f32[4], %w: f32[4,4], %k: i64[N], %n: int<N>, %m: int) {{
          %h = loop %n, True, (%i, %h1 = %b) {{ {line}; yield True, %h1 }}
          return %h
        }}"""
    )
    (loop,) = graph.block.nodes
    assert may_raise(loop.blocks[0].nodes[0], loop_bounds(graph)) == raises
