"""A sample of random graphs with real compiled kernels: what `tests/passes/test_random.py` does with kernels in plain
Python.

The sample is the same in every run, and so are its kernels; graphs are small, so that a cold cache is filled in about
a minute. `python -m tests.fuzz --compiled` goes on with other seeds.
"""

from __future__ import annotations

import pytest

from specjit.codegen.loader import KernelLibrary
from tests.graphs import random_graph
from tests.graphs.check import find_problem, report, smallest
from tests.graphs.native import compiled, kernels_of

SHARES = [range(start, start + 65) for start in range(0, 260, 65)]  # of seeds: some 25 graphs each
AT_MOST = 5  # kernels of a graph
SMALL = {"length": (2, 5), "depth": 1}


@pytest.mark.parametrize("seeds", SHARES, ids=lambda seeds: f"{seeds.start} to {seeds.stop - 1}")
def test_compiled_graphs_do_what_they_mean(library: KernelLibrary, seeds: range) -> None:
    way = compiled(library)
    ran = 0
    for seed in seeds:
        graph = random_graph(seed, **SMALL)
        if not 0 < len(kernels_of(graph)) <= AT_MOST:
            continue
        ran += 1
        problem = find_problem(graph, way)
        if problem is not None:
            text = report(smallest(graph, problem), problem)
            pytest.fail(f"random_graph({seed}, **{SMALL}): {text}", pytrace=False)
    assert ran >= 20, "the sample is about 100 graphs"
