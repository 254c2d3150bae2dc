"""Passes: IR -> better IR. One file per idea; this is the pipeline, in order.

Enters: a typed graph as the specializer makes it: every tensor has a dtype and dims, structured control flow, lists
appended in loops as stacked loop outputs; `graph.attrs["params"]` is the set of inputs that are module parameters.
Leaves: the same graph, rewritten in place, and a `Report`.
Invariant: each pass alone keeps the program's meaning (DESIGN section 7), so any of them may be left out.

What needs more than the graph happens before or after: functions are inlined when they are captured
(`capture/inline.py`); lists that a loop fills become stacked outputs when types are known (`specialize/lists.py`);
what is computed from parameters alone runs once per version of them (`runtime/code.py`), and kernels are formed, given
their epilogues and put in order by the scheduler (`codegen/schedule/`: `fuse.py`, `emit_gemm.py`, `order.py`), which
has a reason for every pair that it keeps apart.

To add a pass, write its file and give it a place here. To find a wrong one: SPECJIT_LIMIT=all:n or name:n,
SPECJIT_DUMP=folder, SPECJIT_CHECK=1 (CONTRIBUTING.md has the recipe). `stages(graph, ctx)` are the graphs between.
"""

from __future__ import annotations

import warnings

from specjit.ir.graph import Graph
from specjit.passes import (
    concat,
    cse,
    dce,
    decompose,
    fold,
    foldscale,
    functionalize,
    hoist,
    licm,
    prune,
    simplify,
    sink,
    turn,
    unroll,
)
from specjit.passes.manager import ALL, Context, Fact, Pass, Pipeline, Record, Repeat, Report, dump, run_pipeline
from specjit.passes.stages import Stage, Stages, replay

__all__ = [
    "PIPELINE",
    "Context",
    "Fact",
    "Pass",
    "Record",
    "Repeat",
    "Report",
    "Stage",
    "Stages",
    "dump",
    "names",
    "optimize",
    "run_pipeline",
    "stages",
]

CLEAN = Repeat(
    (
        Pass("fold", fold.run),
        Pass("simplify", simplify.run),
        Pass("prune", prune.run),
        Pass("cse", cse.run),
        Pass("dce", dce.run),
    )
)
PIPELINE: Pipeline = (
    Pass("turn", turn.run),
    Pass("functionalize", functionalize.run),
    CLEAN,
    Pass("decompose", decompose.run),
    Repeat((*CLEAN.passes, Pass("unroll", unroll.run))),
    Pass("foldscale", foldscale.run),
    Pass("licm", licm.run),
    Pass("hoist", hoist.run),
    Pass("sink", sink.run),
    Pass("concat", concat.run),
    Pass("licm", licm.run),
    CLEAN,
)


def optimize(graph: Graph, ctx: Context | None = None, label: str = "optimize") -> Report:
    """Run the whole pipeline on a typed graph, in place."""
    ctx = ctx or Context()
    unknown = ctx.limits.keys() - {*names(), ALL}
    if unknown:
        text = f"SPECJIT_LIMIT: no pass is called {', '.join(sorted(unknown))}; passes are {', '.join(names())}"
        warnings.warn(text, RuntimeWarning, stacklevel=2)
    return run_pipeline(graph, PIPELINE, ctx, label)


def stages(graph: Graph, ctx: Context | None = None, label: str = "optimize") -> Stages:
    """What `optimize(graph, ctx, label)` does, pass by pass, on a copy; `ctx` stays as it is."""
    return replay(graph, PIPELINE, ctx or Context(), label)


def names() -> list[str]:
    """The names of all passes, in order of first use, as `stance(disable=...)` and SPECJIT_LIMIT take them."""
    passes = [p for item in PIPELINE for p in (item.passes if isinstance(item, Repeat) else (item,))]
    return list(dict.fromkeys(p.name for p in passes))
