"""The pass runner: everything that passes should not do themselves.

Enters: a graph and a pipeline, a tuple of `Pass`es and `Repeat`s. Leaves: the graph, rewritten in place, and a
`Report`. The runner verifies after each pass (SPECJIT_CHECK), counts, times, writes numbered files (SPECJIT_DUMP), and
stops a pass after n rewrites (SPECJIT_LIMIT=name:n). A pass asks `ctx.fire(...)` right before each rewrite and does it
only if the answer is True.
Invariant: the graph computes the same before and after each pass, as far as DESIGN section 7 lets a caller tell.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from specjit import config
from specjit.ir.builder import Builder
from specjit.ir.graph import Block, Graph, Location
from specjit.ir.text import print_graph
from specjit.ir.verify import verify
from specjit.ops import registry
from specjit.ops.registry import Op

MAX_ROUNDS = 6  # a `Repeat` that still finds work after this many rounds stops; every round only simplifies


@dataclass(frozen=True)
class Pass:
    """`run(graph, ctx)` rewrites in place. The name is what SPECJIT_LIMIT, dumps and `stance(disable=...)` say."""

    name: str
    run: Callable[[Graph, Context], None]


@dataclass(frozen=True)
class Repeat:
    """Passes to run in turn until a whole round finds nothing."""

    passes: tuple[Pass, ...]


Pipeline = tuple[Pass | Repeat, ...]


@dataclass(frozen=True)
class Fact:
    """One rewrite worth telling, for `explain()`."""

    stage: str
    message: str
    location: str = ""

    def __str__(self) -> str:
        return f"{self.stage}: {self.message}" + (f"  ({self.location})" if self.location else "")


@dataclass
class Record:
    """One run of one pass: nodes are counted with those of inner blocks."""

    name: str
    rewrites: int
    seconds: float
    nodes_before: int
    nodes_after: int


@dataclass
class Report:
    """What a pipeline did."""

    records: list[Record] = field(default_factory=list)
    facts: list[Fact] = field(default_factory=list)

    @property
    def rewrites(self) -> int:
        return sum(r.rewrites for r in self.records)

    def by_pass(self) -> dict[str, int]:
        """Rewrites per pass, all its runs together; passes that did nothing are left out."""
        out: dict[str, int] = {}
        for r in self.records:
            if r.rewrites:
                out[r.name] = out.get(r.name, 0) + r.rewrites
        return out

    def to_dict(self) -> dict[str, Any]:
        return {"passes": [vars(r) for r in self.records], "facts": [str(f) for f in self.facts]}

    def __str__(self) -> str:
        lines = [
            f"{r.name:10} {r.rewrites:4} rewrites {r.nodes_before:4} -> {r.nodes_after:4} nodes {1e3 * r.seconds:.2f}ms"
            for r in self.records
            if r.rewrites
        ]
        return "\n".join([*lines, *map(str, self.facts)])


@dataclass
class Context:
    """What a caller asks of a pipeline, and what the runner tells a pass.

    disable: names of passes to leave out. numerics: "exact" or "fast" (DESIGN section 7). name: of the dump's folder,
    when it is not the graph's. lookup: op records by name. facts: rewrites worth telling, of all runs with this
    context.
    """

    disable: frozenset[str] = frozenset()
    numerics: str = "exact"
    name: str = ""
    lookup: Callable[[str], Op] = registry.get
    facts: list[Fact] = field(default_factory=list)
    stage: str = ""
    fired: int = 0
    limit: int | None = None

    def fire(self, message: str = "", loc: Location | None = None) -> bool:
        """Whether the pass may do its next rewrite. `message` is recorded as a fact, where the rewrite is worth
        telling."""
        if self.limit is not None and self.fired >= self.limit:
            return False
        self.fired += 1
        if message:
            self.facts.append(Fact(self.stage, message, str(loc) if loc else ""))
        return True

    def builder(self, block: Block, loc: Location | None = None) -> Builder:
        return Builder(block, self.lookup, loc)


def run_pipeline(graph: Graph, pipeline: Pipeline, ctx: Context | None = None, label: str = "optimize") -> Report:
    """Run `pipeline` on `graph` in place. `label` is part of the names of the dump's files."""
    ctx = ctx or Context()
    settings = config.current()
    report = Report(facts=ctx.facts)
    stages = _Dump(settings.dump, graph, ctx.name or graph.name, label)
    limits = dict(settings.limit)

    def run(p: Pass) -> int:
        if p.name in ctx.disable:
            return 0
        ctx.stage, ctx.fired, ctx.limit = p.name, 0, limits.get(p.name)
        before, start = count_nodes(graph), time.perf_counter()
        p.run(graph, ctx)
        seconds = time.perf_counter() - start
        if ctx.limit is not None:
            limits[p.name] = ctx.limit - ctx.fired
        report.records.append(Record(p.name, ctx.fired, seconds, before, count_nodes(graph)))
        if ctx.fired:
            stages.write(p.name)
        if settings.check:
            verify(graph, p.name)
        return ctx.fired

    stages.write("input")
    if settings.check:
        verify(graph, f"the stage before {label}")
    for item in pipeline:
        if isinstance(item, Pass):
            run(item)
            continue
        for _ in range(MAX_ROUNDS):
            if not sum([run(p) for p in item.passes]):
                break
    return report


def count_nodes(graph: Graph) -> int:
    return sum(1 for _ in graph.walk())


class _Dump:
    """Numbered files of one run: `<folder>/<graph>/<nn>_<label>_<pass>.ir`; a later run of an equal name goes on
    counting."""

    def __init__(self, folder: str | None, graph: Graph, name: str, label: str) -> None:
        self.on = bool(folder)
        self.graph, self.name, self.label = graph, name, label

    def write(self, stage: str) -> None:
        if self.on:
            dump(self.name, f"{self.label}_{stage}.ir", lambda: print_graph(self.graph))


def dump(name: str, stage: str, text: Callable[[], str]) -> None:
    """Under SPECJIT_DUMP, write one stage of what is called `name` as the next numbered file of its folder. `stage` is
    the rest of the file's name."""
    root = config.current().dump
    if root:
        folder = Path(root) / (re.sub(r"[^\w.]", "_", name) or "graph")
        folder.mkdir(parents=True, exist_ok=True)
        number = sum(1 for _ in folder.iterdir())
        folder.joinpath(f"{number:03}_{stage}").write_text(text(), encoding="utf-8")
