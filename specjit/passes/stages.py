"""A graph before and after each pass, for who wants to look.

Enters: the graph as it was before the pipeline, and the context it ran with. Leaves: `Stages`, by running the pipeline
again on a copy: passes are functions of the graph and the context, so these are the graphs of the time, and a program
that nobody looks into keeps none of them.
Invariant: neither the given graph nor the context's reports change.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from html import escape
from itertools import pairwise
from typing import NamedTuple

from specjit.ir.graph import Graph, copy_graph
from specjit.passes.manager import Context, Pipeline, Record, run_pipeline


class Stage(NamedTuple):
    """One run of a pass that rewrote something: what it found and what it left. str() is the difference."""

    before: Graph
    after: Graph
    record: Record

    @property
    def diff(self) -> str:
        """The lines that went (-) and came (+), with those around them."""
        before, after = str(self.before).splitlines(), str(self.after).splitlines()
        return "\n".join(difflib.unified_diff(before, after, "before", self.record.run, lineterm=""))

    def __str__(self) -> str:
        return self.diff

    def _repr_html_(self) -> str:
        return f"<pre>{escape(self.diff)}</pre>"


@dataclass(frozen=True, repr=False)
class Stages(Mapping[str, Stage]):
    """The runs that rewrote something, by name, in order: `stages["cse"].before`, `stages["cse.2"].after`.

    `input` and `output` are the graph before and after all of them."""

    input: Graph
    output: Graph
    found: dict[str, Stage]

    def __getitem__(self, run: str) -> Stage:
        try:
            return self.found[run]
        except KeyError:
            known = ", ".join(self.found) or "none"
            raise KeyError(f"no run called {run!r} rewrote anything; those that did: {known}") from None

    def __iter__(self) -> Iterator[str]:
        return iter(self.found)

    def __len__(self) -> int:
        return len(self.found)

    def __repr__(self) -> str:
        if not self.found:
            return "no pass rewrote anything"
        return "\n".join(
            f"{name:12} {s.record.rewrites:4} rewrites, {s.record.before.nodes} -> {s.record.after.nodes} nodes, "
            f"{s.record.before.bytes} -> {s.record.after.bytes} bytes"
            for name, s in self.found.items()
        )


def replay(graph: Graph, pipeline: Pipeline, ctx: Context, label: str) -> Stages:
    """Run the pipeline as `ctx` did, on a copy of `graph`, and keep every stage."""
    seen: dict[str, Graph] = {}

    def watch(run: str, graph: Graph) -> None:
        seen[run] = copy_graph(graph)

    again = ctx.again(watch)
    report = run_pipeline(copy_graph(graph), pipeline, again, label)
    records = {r.run: r for r in report.records if r.rewrites}
    names = list(seen)
    found = {name: Stage(seen[prior], seen[name], records[name]) for prior, name in pairwise(names)}
    return Stages(seen["input"], seen[names[-1]], found)
