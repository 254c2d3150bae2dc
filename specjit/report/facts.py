"""What a Program recorded, as plain data.

Enters: a Program. Leaves: dicts, lists, strings and numbers only (JSON-ready), the one source of `explain()`'s text
and HTML. Invariant: reads what was recorded; never captures, specializes, compiles or calls the model.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from specjit.dtypes import BY_SHORT
from specjit.ir.guard import Guard
from specjit.profile.signature import NumberFact, sources

if TYPE_CHECKING:
    from specjit.codegen.schedule.plan import RegionPlan
    from specjit.passes import Report
    from specjit.profile.lattice import Profile
    from specjit.runtime.history import History
    from specjit.runtime.native import NativeRegion
    from specjit.runtime.parts import Part
    from specjit.runtime.program import Program
    from specjit.runtime.site import Site
    from specjit.runtime.variant import Variant

Facts = dict[str, Any]


def collect(program: Program[Any, Any]) -> Facts:
    """Everything, by heading."""
    sites = [site for site in list(program._sites.by_structure.values()) if site is not None]
    variants = [variant(v) for v in program.specializations]
    return {
        "program": program._log_name,
        "options": program._options.to_dict(),
        "stats": program.stats(),
        "pending": program._pending,
        "memory": _total(v["memory"] for v in variants),
        "captures": [_capture(site) for site in sites],
        "calls": [_kind_of_call(site, history) for site in sites for history in list(site.histories.values())],
        "specializations": variants,
        "events": [event.to_dict() for event in program.events()],
    }


def _capture(site: Site) -> Facts:
    graph = site.captured.graph
    return {
        "function": graph.name,
        "location": str(graph.attrs["place"]),
        "nodes": sum(1 for _ in graph.walk()),
        "guards": [guard(g) for g in site.captured.guards],
        "opaque": [{"location": str(loc.user), "reason": reason} for loc, reason in site.captured.opaque],
        "parts": [_part(part) for part in site.parts],
    }


def _part(part: Part) -> Facts:
    """Code between opaque lines, which is specialized on its own."""
    numbers = part.stats()
    return {
        "name": part._log_name,
        "location": str(part.place.user),
        "calls": numbers["calls"],
        "fast": numbers["fast"],
        "misses": numbers["misses"],
        "compiles": numbers["compiles"],
        "specializations": [variant(v) for v in part.specializations],
    }


def _kind_of_call(site: Site, history: History) -> Facts:
    """What was observed of calls with one structure, and what came of it."""
    profile, options = history.profile, site.program._options
    live = [v.number for v in history.variants if v in site.program._variants]
    if history.pending:
        state = "being compiled"
    elif history.quarantined:
        state = "stays generic: native code gave another result (see QUARANTINED)"
    elif live:
        state = "specialized as " + ", ".join(f"#{n}" for n in live)
    elif site.parts:
        state = "runs in parts: as a whole it is not specialized (see SPECIALIZE_FAILED)"
    elif history.failed_at >= 0:
        state = "stays generic: specializing failed (see SPECIALIZE_FAILED)"
    else:
        state = f"observed {profile.count} of {options.warmup} calls"
    return {"observed": profile.count, "misses": history.misses, "arguments": _arguments(profile), "state": state}


def _arguments(profile: Profile) -> dict[str, str]:
    """Per leaf argument what came: `float32[3..9, 16, 128]`."""
    seen = list(profile.kept)
    found = {}
    for i, source in enumerate(sources(profile.first)):
        facts: list[Any] = [signature.facts[i] for signature in seen]
        first = facts[0]
        if isinstance(first, NumberFact):
            found[source] = f"{first.cls.__name__} {_range([f.value for f in facts])}"
            continue
        sizes = ", ".join(_range(sizes) for sizes in zip(*(f.dims for f in facts), strict=True))
        grad = ", requires_grad" if first.requires_grad else ""
        found[source] = f"{first.dtype.name if first.dtype else '?'}[{sizes}]{grad}"
    return found


def _range(values: Iterable[Any]) -> str:
    known = sorted(set(values))
    return f"{known[0]}" if len(known) == 1 else f"{known[0]}..{known[-1]}"


def guard(g: Guard) -> Facts:
    return {"source": g.source, "kind": g.kind, "expected": g.show(g.expected), "origin": g.origin, "text": str(g)}


def variant(v: Variant) -> Facts:
    """One specialization."""
    regions = [region(r, v.context.sizes) for r in v.regions]
    kernels = {k["key"]: k for r in regions for k in r["kernels"]}.values()
    return {
        "number": v.number,
        "calls": v.calls,
        "fallbacks": v.fallbacks,
        "seconds": v.seconds,
        "kernels": len(kernels),
        "kernels_cached": sum(k["cached"] for k in kernels),
        "kernel_seconds": sum(k["seconds"] for k in kernels if not k["cached"]),
        "native_nodes": v.native_nodes,
        "nodes": v.native_nodes + v.python_nodes,
        "symbols": v.assume.symbols(),
        "guards": [guard(g) for g in v.guards],
        "regions": regions,
        "refused": list(v.refused),
        "passes": {label: _passes(report) for label, report in v.context.reports.items()},
        "measured_with": dict(v.context.sizes),
        "told": v.told,
        "memory": _total(r["memory"] for r in regions),
    }


def _passes(report: Report) -> Facts:
    """What the passes did to one graph: the whole, and the forward and backward graphs of its regions."""
    out = report.to_dict()
    del out["facts"]  # those of all graphs together are `told`
    return out


def region(r: NativeRegion, sizes: Mapping[str, int]) -> Facts:
    """One native region: its kernels, the memory it holds between calls, and what its plans need for these sizes."""
    codes = [("" if part == "forward" else part, code) for part, code in r.codes.items()]
    prologues = [("pack", c.prologue) for _, c in codes if c.prologue is not None]
    frames = [frame for _, c in codes for frame in c.frames()]
    packed = [s for _, c in codes for s in c.packed()]
    return {
        "name": r.name,
        "location": "" if r.place is None else str(r.place),
        "kernels": [
            {"hint": k.hint, "part": part, "key": k.key, "seconds": k.seconds, "cached": k.cached}
            for part, code in [*prologues, *codes]
            for k in code.kernels
        ],
        "saved_for_backward": _saved(r),
        "plans": [_plan(part or "forward", code.plan, sizes) for part, code in codes],
        "memory": {
            "workspace_bytes": max((f.workspace.nbytes for f in frames if f.workspace is not None), default=0),
            "workspaces_bytes": sum(f.workspace.nbytes for f in frames if f.workspace is not None),
            "packed_bytes": sum(a.nbytes for a in packed),
            "packed_arrays": len(packed),
        },
    }


def _plan(part: str, plan: RegionPlan, sizes: Mapping[str, int]) -> Facts:
    """Bytes of workspace, of the largest set of temporaries that are alive together, and of that set if the kernels
    ran in the program's order."""
    known = plan.memory.usual(sizes)
    before = plan.memory_before or plan.memory
    return {
        "part": part,
        "sizes": known,
        "workspace_bytes": plan.memory.planned(known),
        "live_bytes": plan.memory.live(known),
        "live_bytes_in_program_order": before.live(before.usual(sizes)),
    }


def _saved(r: NativeRegion) -> str:
    """Bytes that one forward call keeps for backward, as an expression over the size symbols; "" for none."""
    plan = r.forward.plan
    used = {o.storage for o in plan.outputs[: r.outputs] if o.kind == "tensor" and o.of == "fresh"}
    saved = [s for k, s in enumerate(plan.storages) if k not in used]
    if r.backward is None or not saved:
        return ""
    total: Any = 0
    for s in saved:
        total = s.elements * BY_SHORT[s.dtype].itemsize + total
    return str(total)


def _total(memories: Iterable[dict[str, int]]) -> dict[str, int]:
    """`workspace_bytes` is the most that one call of a region uses; the rest adds up."""
    out = {"workspace_bytes": 0, "workspaces_bytes": 0, "packed_bytes": 0, "packed_arrays": 0}
    for memory in memories:
        for name, n in memory.items():
            out[name] = max(out[name], n) if name == "workspace_bytes" else out[name] + n
    return out
