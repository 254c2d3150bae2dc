"""A long run of random graphs through the whole pipeline: `python -m tests.fuzz --minutes 10 [--seed 0]`.

Prints the seed of the first graph on which optimized and unoptimized meaning differ, the graph made as small as it
still fails, and what it becomes; the exit status is 1 then.
"""

from __future__ import annotations

import argparse
import itertools
import time

import specjit.passes as passes
from specjit import config
from specjit.ir.graph import Graph, copy_graph
from specjit.ir.verify import verify
from tests.golden import check_same
from tests.passes.random_graphs import random_graph, shrink


def problem(graph: Graph) -> str:
    """What is wrong with the optimized graph; empty if nothing is."""
    optimized = copy_graph(graph)
    try:
        with config.options(check=True):
            passes.optimize(optimized)
        check_same(graph, optimized, exact=False)
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return ""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])  # type: ignore[union-attr]
    parser.add_argument("--minutes", type=float, default=1.0)
    parser.add_argument("--seed", type=int, default=0, help="the first seed; the next graphs count up from it")
    options = parser.parse_args()
    end = time.monotonic() + 60 * options.minutes
    done = 0
    for seed in itertools.count(options.seed):
        if time.monotonic() > end:
            break
        for writes in (False, True):
            graph = random_graph(seed, writes=writes)
            verify(graph, f"random_graph({seed}, writes={writes})")
            if problem(graph):
                small = shrink(graph, lambda g: bool(problem(g)))
                print(f"seed {seed}, writes={writes}: {problem(small)}\n\nthe smallest graph that fails:\n{small}")
                return 1
            done += 1
    print(f"{done} graphs, seeds {options.seed} to {seed - 1}: no difference")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
