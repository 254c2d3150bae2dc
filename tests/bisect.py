"""Which rewrite is wrong: `first_wrong(graph, problem)` finds the first one that makes a difference.

Enters: a graph, and `problem(optimized graph)`, which says what is wrong with a rewritten copy ("" if nothing is).
Leaves: the pass and the number of the rewrite, and the graph right before and after it, as a difference of texts.
Invariant: the search relies on the runner alone (limits on "all"), so it finds a wrong rewrite of any pass.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable
from typing import NamedTuple

import specjit.passes as passes
from specjit.ir.graph import Graph, copy_graph


class Wrong(NamedTuple):
    """Rewrite `number` (from 1), done by `name`; `diff` is what it changed, `problem` what is wrong from then on."""

    number: int
    name: str
    diff: str
    problem: str

    def __str__(self) -> str:
        return f"rewrite {self.number}, by {self.name}: {self.problem}\n{self.diff}"


def first_wrong(graph: Graph, problem: Callable[[Graph], str], pipeline: passes.Pipeline | None = None) -> Wrong | None:
    """None where the whole pipeline does nothing wrong, or the graph is wrong before it."""

    def limited(n: int) -> tuple[Graph, passes.Report]:
        copy = copy_graph(graph)
        return copy, passes.run_pipeline(copy, pipeline or passes.PIPELINE, passes.Context(limits={"all": n}))

    high = limited(1 << 30)[1].rewrites
    if not problem(limited(high)[0]) or problem(limited(0)[0]):
        return None
    low = 0  # fine after `low` rewrites, wrong after `high`
    while high - low > 1:
        middle = (low + high) // 2
        if problem(limited(middle)[0]):
            high = middle
        else:
            low = middle
    (before, _), (after, report) = limited(low), limited(high)
    name = next(r.run for r in reversed(report.records) if r.rewrites)
    lines = difflib.unified_diff(str(before).splitlines(), str(after).splitlines(), "right", "wrong", lineterm="")
    return Wrong(high, name, "\n".join(lines), problem(after))
