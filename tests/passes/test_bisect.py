"""The search for a wrong rewrite finds a rewrite that was made wrong on purpose."""

from __future__ import annotations

import pytest

import specjit.passes as passes
from specjit.ir.graph import Graph, copy_graph
from specjit.ops.records import registry
from tests.bisect import first_wrong
from tests.golden import check_same, graph_of

TEXT = """(%x: f32[N]) {
  %a = neg(%x); %b = neg(%a); %c = exp(%b); %d = neg(%c); %e = neg(%d); %f = tanh(%e); %g = mul(%f, 1.0)
  %y = add(%g, %c)
  return %y
}"""


def swap_tanh(graph: Graph, ctx: passes.Context) -> None:
    """A pass with a fault: it takes one function for another."""
    for node in graph.walk():
        if node.op.name == "tanh" and ctx.fire():
            node.op = registry.get("sigmoid")


def differs_from(graph: Graph):
    def problem(other: Graph) -> str:
        try:
            check_same(graph, other)
        except AssertionError as error:
            return str(error).strip().splitlines()[0]
        return ""

    return problem


@pytest.mark.parametrize("place", [0, 1, 2])
def test_the_faulty_pass_is_found(place):
    graph = graph_of(TEXT)
    pipeline = [*passes.PIPELINE]
    pipeline.insert(place, passes.Pass("faulty", swap_tanh))
    found = first_wrong(copy_graph(graph), differs_from(graph), tuple(pipeline))
    assert found is not None
    assert found.name == "faulty"
    changed = [line.split("=")[1].split("(")[0].strip() for line in found.diff.splitlines()[3:] if line[0] in "+-"]
    assert changed == ["tanh", "sigmoid"]
    assert found.problem
    assert f"rewrite {found.number}, by faulty" in str(found)


def test_nothing_is_found_where_nothing_is_wrong():
    graph = graph_of(TEXT)
    assert first_wrong(copy_graph(graph), differs_from(graph)) is None


def test_a_graph_that_is_wrong_from_the_start_has_no_wrong_rewrite():
    assert first_wrong(graph_of(TEXT), lambda g: "always") is None
