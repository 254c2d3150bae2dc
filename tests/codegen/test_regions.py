"""Which parts of a graph become regions: texts before and after, and both sides evaluated."""

from __future__ import annotations

import re

import numpy as np

from specjit.codegen import regions
from specjit.codegen.schedule import schedule
from specjit.ir.graph import Graph
from specjit.ir.interpret import interpret
from specjit.ir.structure import REGION
from tests.codegen.plans import f32, graph_of

RNG = np.random.default_rng(5)


def partitioned(text: str) -> tuple[Graph, regions.Report]:
    graph = graph_of(text)
    return graph, regions.partition(graph)


def same(text: str, *inputs: object) -> tuple[Graph, regions.Report]:
    """Partition, and compare what both graphs compute; every region can be scheduled."""
    expected = interpret(graph_of(text), *[x.copy() if isinstance(x, np.ndarray) else x for x in inputs])
    graph, report = partitioned(text)
    found = interpret(graph, *inputs)
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_array_equal(a, b)
    for node in report.regions:
        schedule(node.blocks[0])
        assert not [v for v in (*node.args, *node.results) if v.type.kind not in ("tensor", "int", "float", "bool")]
    return graph, report


def names(graph: Graph) -> list[str]:
    return [n.op.name for n in graph.block.nodes]


def test_all_in_one():
    graph, report = same(
        """graph @f(%x: f32[T,4], %n: int<T>) -> f32[4] {
      %z: f32[4] = zeros([4])
      %h: f32[4] = loop %n, True, (%i: int, %c: f32[4] = %z) {
        %r: f32[4] = select(%x, 0, %i)
        %s: f32[4] = add(%c, %r)
        %t: f32[4] = tanh(%s)
        yield True, %t
      }
      return %h
    }""",
        f32(RNG, 3, 4),
        3,
    )
    assert names(graph) == ["region"]
    assert not report.refused


def test_a_view_that_nobody_reads_but_that_may_raise_stays():
    graph, _ = partitioned("""graph @f(%x: f32[T,4], %w: f32[4]) -> f32[4] {
      %a: f32[4] = select(%x, 0, 0)
      %r: f32[4] = select(%x, 0, 1)
      %k: f32[T,2] = slice(%x, 1, 0, 2)
      %b: f32[4] = add(%w, 1)
      %c: f32[4] = mul(%b, %r)
      return %c
    }""")
    (region,) = graph.block.nodes
    assert [n.op.name for n in region.blocks[0].nodes] == ["select", "select", "add", "mul"], "a slice cannot raise"


def test_an_effect_splits_and_keeps_its_place():
    text = """graph @f(%x: f32[4]) -> f32[4] {
      %a: f32[4] = tanh(%x)
      %b: f32[4] = mul(%a, 2)
      py.print(" ", "\\n", "here")
      %c: f32[4] = exp(%b)
      %d: f32[4] = add(%c, %a)
      return %d
    }"""
    graph, report = same(text, f32(RNG, 4))
    assert names(graph) == ["region", "py.print", "region"]
    assert [n.op.name for n, _ in report.refused] == ["py.print"]


def test_a_loop_with_an_effect_stays_and_its_body_is_split():
    text = """graph @f(%x: f32[T,4], %n: int<T>) -> f32[4] {
      %z: f32[4] = zeros([4])
      %h: f32[4] = loop %n, True, (%i: int, %c: f32[4] = %z) {
        %r: f32[4] = select(%x, 0, %i)
        %s: f32[4] = add(%c, %r)
        %t: f32[4] = tanh(%s)
        py.print(" ", "\\n", %i)
        %u: f32[4] = mul(%t, %r)
        %v: f32[4] = exp(%u)
        yield True, %v
      }
      return %h
    }"""
    graph, report = same(text, f32(RNG, 2, 4), 2)
    assert names(graph) == ["zeros", "loop"]
    (body,) = graph.block.nodes[1].blocks
    assert [n.op.name for n in body.nodes] == ["region", "py.print", "region"]
    assert "print" in report.refused[0][1] or "print" in report.refused[-1][0].op.name


def test_a_write_in_place_is_a_border():
    """What is read before the write must not be read after it."""
    text = """graph @f(%x: f32[4], %y: f32[4]) -> f32[4] {
      %a: f32[4] = tanh(%x)
      %b: f32[4] = mul(%a, %x)
      %w: f32[4] = add_(%x, %y)
      %c: f32[4] = exp(%x)
      %d: f32[4] = add(%c, %b)
      return %d
    }"""
    graph, _ = same(text, f32(RNG, 4), f32(RNG, 4))
    assert names(graph) == ["region", "add_", "region"]


WITHOUT_KERNEL = """graph @f(%x: f32[4,4], %y: f32[1,1,4,4]) -> (f32[1,1,4,4], f32[4,4]) {
      %a: f32[4,4] = tanh(%x)
      %s: f32[1,1,4,4] = lgamma(%y)
      %b: f32[4,4] = mul(%a, %x)
      %c: f32[1,1,4,4] = add(%s, %b)
      %d: f32[1,1,4,4] = exp(%c)
      return %d, %b
    }"""


def test_pure_nodes_move_past_a_pure_one_without_kernel():
    graph, report = same(WITHOUT_KERNEL, f32(RNG, 4, 4), f32(RNG, 1, 1, 4, 4))
    assert sorted(names(graph)) == ["lgamma", "region", "region"]
    assert [why for _, why in report.refused] == ["no kernel says how to compute it"]


def test_draws_stay_on_their_side_of_what_python_runs():
    """If that raises, eager has drawn what comes before it and nothing else."""
    text = WITHOUT_KERNEL.replace("tanh(%x)", "dropout_mask(%x)").replace("mul(%a, %x)", "dropout_mask(%a)")
    graph, _ = partitioned(text)
    assert names(graph) == ["dropout_mask", "lgamma", "region"]
    (region,) = graph.block.nodes[2].blocks
    assert [n.op.name for n in region.nodes] == ["dropout_mask", "add", "exp"]


def test_native_work_that_may_raise_stays_behind_python_that_may_raise():
    """Which exception rises, and after how many draws, is as in eager; what cannot raise joins other native work."""
    text = """graph @f(%x: f32[T,4], %i: int) -> (f32[T,4], f32[4], f32[T,4]) {
      %p: f32[T,4] = sigmoid(%x)
      %g: f32[T,4] = lgamma(%x)
      %r: f32[4] = select(%x, 0, %i)
      %s: f32[4] = tanh(%r)
      %t: f32[4] = exp(%s)
      %q: f32[T,4] = exp(%p)
      return %q, %t, %g
    }"""
    graph, _ = partitioned(text)
    assert names(graph) == ["region", "lgamma", "region"]
    assert [[n.op.name for n in r.blocks[0].nodes] for r in graph.block.nodes[::2]] == [
        ["sigmoid", "exp"],
        ["select", "tanh", "exp"],
    ]
    graph, _ = partitioned(text.replace("[T,4]", "[3,4]").replace("%i)", "1)"))  # it cannot raise
    assert names(graph) == ["region", "lgamma"]


def test_trivial_work_stays_in_python():
    text = """graph @f(%x: f32[4], %k: int) -> (f32[], int) {
      %m: int = py.mul(%k, 3)
      %a: f32[] = select(%x, 0, 1)
      return %a, %m
    }"""
    graph, report = same(text, f32(RNG, 4), 2)
    assert not report.regions
    assert REGION not in {n.op for n in graph.walk()}


def test_lists_are_rebuilt_inside_and_kept_outside_if_needed():
    text = """graph @f(%x: f32[4], %y: f32[4]) -> (f32[2,4], f32[4]) {
      %a: f32[4] = tanh(%x)
      %b: f32[4] = exp(%y)
      %l: list[f32[4]] = py.list(%a, %b)
      %s: f32[2,4] = stack(%l)
      py.print(" ", "\\n", %l)
      %c: f32[2,4] = stack(%l)
      %d: f32[2,4] = mul(%c, 2)
      return %d, %b
    }"""
    graph, _ = same(text, f32(RNG, 4), f32(RNG, 4))
    assert names(graph) == ["region", "py.list", "py.print", "region"]


def test_unknown_types_are_refused_with_a_reason():
    _, report = partitioned("""graph @f(%x: f32[?,4], %y: f16[4]) -> (f32[?,4], f16[4]) {
      %a: f32[?,4] = tanh(%x)
      %b: f16[4] = exp(%y)
      return %a, %b
    }""")
    reasons = [why for _, why in report.refused]
    assert re.search("not known well enough", reasons[0])
    assert re.search("float16", reasons[1])
