"""Random graphs through the whole pipeline: optimized and not, the reference interpreter must see the same."""

from __future__ import annotations

import pytest

import specjit.passes as passes
from specjit.ir.graph import Graph, copy_graph
from specjit.ir.text import parse, print_graph
from specjit.ir.verify import verify
from specjit.ops import registry
from tests.golden import check_same
from tests.passes.random_graphs import random_graph, shrink


def check(graph: Graph, context: passes.Context | None = None) -> None:
    optimized = copy_graph(graph)
    passes.optimize(optimized, context)
    check_same(graph, optimized, exact=False)


def fails(graph: Graph) -> bool:
    try:
        check(graph)
    except Exception:
        return True
    return False


@pytest.mark.parametrize("writes", [False, True])
@pytest.mark.parametrize("block", range(4))
def test_pipeline_keeps_the_meaning(block, writes):
    for seed in range(20 * block, 20 * block + 20):
        graph = random_graph(seed, writes=writes)
        verify(graph, f"random_graph({seed}, writes={writes})")
        try:
            check(graph)
        except Exception:
            print(f"seed {seed}, writes {writes}; the smallest graph that fails:")
            check(shrink(graph, fails))
            raise


@pytest.mark.parametrize("name", passes.names())
def test_every_pass_alone(name):
    for seed in range(1000, 1006):
        check(random_graph(seed), passes.Context(disable=frozenset(passes.names()) - {name}))


def test_graphs_round_trip_as_text():
    for seed in range(20):
        text = print_graph(random_graph(seed, writes=True))
        assert print_graph(parse(text, ops=registry.get)) == text


def test_generator_makes_what_the_passes_look_for():
    """Otherwise the tests above would prove nothing."""
    fired: set[str] = set()
    for seed in range(60):
        fired |= passes.optimize(random_graph(seed)).by_pass().keys()
    assert fired >= {"simplify", "prune", "cse", "dce", "decompose", "licm", "hoist", "sink"}
