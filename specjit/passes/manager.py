"""The pass runner: everything that passes should not do themselves.

Enters: a graph and a pipeline, a tuple of `Pass`es and `Repeat`s. Leaves: the graph, rewritten in place, and a
`Report`. The runner verifies after each pass (SPECJIT_CHECK), counts nodes and live bytes, times, shows each stage to
who watches (SPECJIT_DUMP writes numbered files), and stops a pass after n rewrites (SPECJIT_LIMIT=name:n), or all of
them together (all:n). A pass asks `ctx.fire(...)` right before each rewrite and does it only if the answer is True.
Invariant: the graph computes the same before and after each pass, as far as DESIGN section 7 lets a caller tell.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from specjit import config
from specjit.ir.builder import Builder
from specjit.ir.graph import Block, Graph, Location
from specjit.ir.text import print_graph
from specjit.ir.verify import verify
from specjit.ops.records import registry
from specjit.ops.records.registry import Op
from specjit.passes.live import peak_bytes

ALL = "all"  # in limits: every pass
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


class Measure(NamedTuple):
    """The size of a graph: its nodes with those of inner blocks, and the most bytes alive at once (`passes.live`)."""

    nodes: int
    bytes: int


@dataclass
class Record:
    """One run of one pass. `run` names it: "cse", the second time that it rewrites something "cse.2"."""

    name: str
    run: str
    rewrites: int
    seconds: float
    before: Measure
    after: Measure


@dataclass
class Total:
    """All runs of one pass; `nodes` and `bytes` are by how much they changed."""

    name: str
    runs: int = 0
    rewrites: int = 0
    seconds: float = 0.0
    nodes: int = 0
    bytes: int = 0


@dataclass
class Report:
    """What a pipeline did."""

    before: Measure
    after: Measure
    records: list[Record] = field(default_factory=list)
    facts: list[Fact] = field(default_factory=list)

    @property
    def rewrites(self) -> int:
        return sum(r.rewrites for r in self.records)

    @property
    def seconds(self) -> float:
        return sum(r.seconds for r in self.records)

    def totals(self) -> list[Total]:
        """Per pass, all its runs together, in order of the first run."""
        found: dict[str, Total] = {}
        for r in self.records:
            total = found.setdefault(r.name, Total(r.name))
            total.runs += 1
            total.rewrites += r.rewrites
            total.seconds += r.seconds
            total.nodes += r.after.nodes - r.before.nodes
            total.bytes += r.after.bytes - r.before.bytes
        return list(found.values())

    def by_pass(self) -> dict[str, int]:
        """Rewrites per pass; passes that did nothing are left out."""
        return {t.name: t.rewrites for t in self.totals() if t.rewrites}

    def to_dict(self) -> dict[str, Any]:
        return {
            "nodes": [self.before.nodes, self.after.nodes],
            "bytes": [self.before.bytes, self.after.bytes],
            "seconds": self.seconds,
            "passes": [vars(t) for t in self.totals()],
            "facts": [str(f) for f in self.facts],
        }

    def __str__(self) -> str:
        lines = [
            f"{r.run:12} {r.rewrites:4} rewrites {r.before.nodes:4} -> {r.after.nodes:4} nodes "
            f"{r.before.bytes:9} -> {r.after.bytes:9} bytes {1e3 * r.seconds:.2f}ms"
            for r in self.records
            if r.rewrites
        ]
        return "\n".join([*lines, *map(str, self.facts)])


Watch = Callable[[str, Graph], None]


@dataclass
class Context:
    """What a caller asks of pipelines, and what the runner tells passes and the caller.

    disable: names of passes to leave out. numerics: "exact" or "fast" (DESIGN section 7). name: of the dump's folder,
    when it is not the graph's. sizes: numbers for size symbols, to measure memory with. limits: how many rewrites a
    pass may do in one run of a pipeline, by name; "all": how many all of them may. watch: called with "input" and the
    graph, then after each run that rewrote something with the run's name; else the stages go to SPECJIT_DUMP.
    lookup: op records by name. facts: rewrites worth telling, of all pipelines with this context; reports: one per
    pipeline, by its label.
    """

    disable: frozenset[str] = frozenset()
    numerics: str = "exact"
    name: str = ""
    sizes: Mapping[str, int] = field(default_factory=dict)
    limits: Mapping[str, int] = field(default_factory=lambda: config.current().limit)
    watch: Watch | None = None
    lookup: Callable[[str], Op] = registry.get
    facts: list[Fact] = field(default_factory=list)
    reports: dict[str, Report] = field(default_factory=dict)
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

    def refuse(self, reason: str, loc: Location | None = None) -> None:
        """Tell why a rewrite that would be right is not done; once, also where the pass runs again."""
        fact = Fact(self.stage, reason, str(loc) if loc else "")
        if fact not in self.facts:
            self.facts.append(fact)

    def builder(self, block: Block, loc: Location | None = None) -> Builder:
        return Builder(block, self.lookup, loc)

    def again(self, watch: Watch) -> Context:
        """A context for the same rewrites once more."""
        return Context(self.disable, self.numerics, self.name, self.sizes, self.limits, watch, self.lookup)


def run_pipeline(graph: Graph, pipeline: Pipeline, ctx: Context | None = None, label: str = "optimize") -> Report:
    """Run `pipeline` on `graph` in place. `label` says which of the context's graphs this is: in its reports, and in
    the names of the dump's files."""
    ctx = ctx or Context()
    check = config.current().check
    size = _measured(graph, ctx)
    report = ctx.reports[label] = Report(size, size, facts=ctx.facts)
    watch = ctx.watch or _dumping(ctx.name or graph.name, label)
    limits = dict(ctx.limits)
    useful: dict[str, int] = {}

    def run(p: Pass) -> int:
        if p.name in ctx.disable:
            return 0
        given = [limits[key] for key in (p.name, ALL) if key in limits]
        ctx.stage, ctx.fired, ctx.limit = p.name, 0, min(given, default=None)
        start = time.perf_counter()
        p.run(graph, ctx)
        seconds = time.perf_counter() - start
        limits.update((key, limits[key] - ctx.fired) for key in (p.name, ALL) if key in limits)
        before, shown = report.after, p.name
        if ctx.fired:
            report.after = _measured(graph, ctx)
            useful[p.name] = useful.get(p.name, 0) + 1
            shown = p.name if useful[p.name] == 1 else f"{p.name}.{useful[p.name]}"
            watch(shown, graph)
        report.records.append(Record(p.name, shown, ctx.fired, seconds, before, report.after))
        if check:
            verify(graph, p.name)
        return ctx.fired

    watch("input", graph)
    if check:
        verify(graph, f"the stage before {label}")
    for item in pipeline:
        if isinstance(item, Pass):
            run(item)
            continue
        for _ in range(MAX_ROUNDS):
            if not sum([run(p) for p in item.passes]):
                break
    return report


def _measured(graph: Graph, ctx: Context) -> Measure:
    return Measure(sum(1 for _ in graph.walk()), peak_bytes(graph, ctx.sizes))


def _dumping(name: str, label: str) -> Watch:
    """Writes each stage as `<folder>/<name>/<nn>_<label>_<run>.ir`; a later pipeline of an equal name goes on
    counting."""
    return lambda run, graph: dump(name, f"{label}_{run}.ir", lambda: print_graph(graph))


def dump(name: str, stage: str, text: Callable[[], str]) -> None:
    """Under SPECJIT_DUMP, write one stage of what is called `name` as the next numbered file of its folder. `stage` is
    the rest of the file's name."""
    root = config.current().dump
    if root:
        folder = Path(root) / (re.sub(r"[^\w.]", "_", name) or "graph")
        folder.mkdir(parents=True, exist_ok=True)
        number = sum(1 for _ in folder.iterdir())
        folder.joinpath(f"{number:03}_{stage}").write_text(text(), encoding="utf-8")
