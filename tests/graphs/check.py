"""One graph, run in several ways: each must do what the graph means.

Enters: a graph and a `Way` to run it. Leaves: None, or the `Problem`: where the way and the reference interpreter
differ first. `smallest` makes the graph of a problem small, `report` is the problem as text that says how to see it
again.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import specjit.passes as passes
from specjit import config
from specjit.ir.dims import evaluate
from specjit.ir.graph import Graph, copy_graph
from specjit.ir.text import print_graph
from tests.golden import choices_of_sizes, compare, judge_of, make_inputs, outcome
from tests.graphs.planned import Planned
from tests.graphs.rounding import Limited
from tests.graphs.shrink import shrink

Run = Callable[..., list[Any]]
SEEDS = 2  # of inputs for each choice of sizes: ordinary numbers, then special ones


@dataclass(frozen=True)
class Way:
    """How to run a graph: `make` turns its optimized form into a function of the inputs. disable: passes that are left
    out."""

    name: str
    make: Callable[[Graph], Run]
    disable: frozenset[str] = frozenset()

    def optimized(self, graph: Graph) -> Graph:
        copy = copy_graph(graph)
        with config.options(check=True):
            passes.optimize(copy, passes.Context(disable=self.disable))
        return copy

    def __str__(self) -> str:
        return self.name + "".join(f", without {p}" for p in sorted(self.disable))


def interpreted(graph: Graph) -> Run:
    return lambda *inputs: Limited(check=True).run(graph, *inputs)


INTERPRETED = Way("passes", interpreted)
PLANNED = Way("planned", lambda graph: Planned(graph).run)


def some_passes(seed: int) -> Way:
    """The passes in interpreted form, some of them left out: mostly none, else many."""
    rng = random.Random(seed)
    if rng.random() < 0.5:
        return INTERPRETED
    names = passes.names()
    return Way("passes", interpreted, frozenset(rng.sample(names, rng.randint(1, len(names) - 1))))


@dataclass(frozen=True)
class Case:
    """Sizes of the symbols, and what seeds the inputs."""

    sizes: tuple[tuple[str, int], ...]
    seed: int


@dataclass(frozen=True)
class Problem:
    way: Way
    case: Case | None  # None: it did not get so far as to run
    kind: str
    message: str


def find_problem(graph: Graph, way: Way, only: Case | None = None) -> Problem | None:
    """The first difference; `only` in one case."""
    case = None
    try:
        optimized = way.optimized(graph)
        run = way.make(optimized)
        needed = optimized.attrs.get("nonempty", ())
        for case in [only] if only is not None else list(cases(graph)):
            sizes = dict(case.sizes)
            if all(evaluate(size, sizes) > 0 for size in needed):  # else a guard would say no
                given = make_inputs(graph, sizes, case.seed, special=case.seed > 0)
                compare(outcome(graph, given), outcome(graph, given, run), judge_of(graph, given), str(case))
    except Exception as error:
        return Problem(way, case, _kind(error), f"{type(error).__name__}: {error}")
    return None


def _kind(error: Exception) -> str:
    """Errors of one kind are taken for one fault while a graph gets smaller."""
    return f"{type(error).__name__} {str(error).split(' ')[0]}"


def cases(graph: Graph) -> Iterator[Case]:
    for sizes in choices_of_sizes(graph):
        for seed in range(SEEDS):
            yield Case(tuple(sizes.items()), seed)


def smallest(graph: Graph, problem: Problem) -> Graph:
    """A graph with the same problem that cannot lose a part."""

    def fails(candidate: Graph) -> bool:
        found = find_problem(candidate, problem.way, problem.case)
        return found is not None and found.kind == problem.kind

    return shrink(graph, fails)


def report(graph: Graph, problem: Problem) -> str:
    """The problem of a (small) graph as text."""
    found = find_problem(graph, problem.way, problem.case) or problem
    lines = [f"way: {problem.way}", f"case: {problem.case}", found.message, "", print_graph(graph)]
    needed = graph.attrs.get("nonempty")
    lines += [f"# sizes at least 1: {', '.join(sorted(map(str, needed)))}"] if needed else []
    try:
        lines += ["optimized:", print_graph(problem.way.optimized(graph))]
    except Exception as error:
        lines.append(f"optimizing raises {type(error).__name__}")
    return "\n".join(lines)
