"""Random graphs through the whole pipeline and through planned regions: everything does what the graph means.

Each test takes as many graphs as its share of the time allows, always the same first ones; a failure prints the seed
and the smallest graph that fails. `python -m tests.fuzz` goes on for as long as one likes.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

import specjit.passes as passes
from tests.graphs import FULL, LIBRARY, random_graph
from tests.graphs.check import INTERPRETED, PLANNED, Way, find_problem, report, smallest, some_passes

SECONDS = 8.0
AT_LEAST = 25  # graphs, however slow the machine is
ENOUGH = 1500  # graphs, for each pass to have found something in one


def check(seed: int, way: Way, flavor=FULL, **changes) -> None:
    graph = random_graph(seed, flavor, **changes)
    problem = find_problem(graph, way)
    if problem is not None:
        name = "LIBRARY" if flavor is LIBRARY else "FULL"
        pytest.fail(f"random_graph({seed}, {name}): {report(smallest(graph, problem), problem)}", pytrace=False)


def check_many(way: Callable[[int], Way], flavor=FULL) -> None:
    end = time.monotonic() + SECONDS
    seed = 0
    while seed < AT_LEAST or time.monotonic() < end:
        check(seed, way(seed), flavor)
        seed += 1


def test_pipeline_keeps_the_meaning() -> None:
    check_many(lambda seed: INTERPRETED)


def test_any_choice_of_passes_keeps_the_meaning() -> None:
    check_many(some_passes)


def test_planned_regions_keep_the_meaning() -> None:
    """Scheduled kernels, run as plain Python."""
    check_many(lambda seed: PLANNED)


@pytest.mark.parametrize("way", [INTERPRETED, PLANNED], ids=str)
def test_operators_of_the_library_keep_the_meaning(way) -> None:
    check_many(lambda seed: way, LIBRARY)


@pytest.mark.parametrize("name", passes.names())
def test_every_pass_alone(name) -> None:
    way = Way("passes", INTERPRETED.make, frozenset(passes.names()) - {name})
    for seed in range(1000, 1006):
        check(seed, way)


def test_generator_makes_what_the_passes_look_for() -> None:
    """Otherwise the tests above would prove nothing."""
    missing, seed = {"fold", "simplify", "prune", "cse", "dce", "decompose", "licm", "hoist", "sink"}, 0
    while missing and seed < ENOUGH:
        missing -= passes.optimize(random_graph(seed)).by_pass().keys()
        seed += 1
    assert not missing
