"""`Program.explain()`: one object with everything that was recorded, as text, data and HTML.

Enters: a Program. Leaves: `Explanation`. Invariant: a snapshot of recorded facts; making one costs no model call.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any

from specjit.report.facts import Facts, collect
from specjit.runtime.events import counted

if TYPE_CHECKING:
    from specjit.runtime.program import Program

SHOWN_EVENTS = 20
SHOWN_LINES = 12  # of one list
INDENT = 13
# Reasons that the text lists on their own: what kept calls or ops away from native code.
HEADINGS = {
    "GUARD_MISS": "missed",
    "FALLBACK": "fell back",
    "SPECIALIZE_FAILED": "failed",
    "CACHE_REJECT": "rejected",
    "REPACKED": "repacked",
}


@dataclass(frozen=True, repr=False)
class Explanation:
    """str() for people, `to_dict()` for programs (JSON-ready), `_repr_html_()` for notebooks."""

    data: Facts
    lines: tuple[str, ...]  # the last events, as logged

    @staticmethod
    def of(program: Program[Any, Any]) -> Explanation:
        return Explanation(collect(program), tuple(str(e) for e in program.events()[-SHOWN_EVENTS:]))

    def to_dict(self) -> Facts:
        return self.data

    def __str__(self) -> str:
        options = self.data["options"]
        title = f"specjit program {self.data['program']!r} (numerics={options['numerics']})"
        lines = [title]
        for heading, texts in [*_summary(self.data), *(x for v in self.data["specializations"] for x in _variant(v))]:
            lines += _paragraph(heading, texts)
        lines.append(f"last events ({len(self.data['events'])} recorded)")
        lines += [f"  {line}" for text in self.lines for line in text.splitlines()]
        return "\n".join(lines)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        title = f"specjit: {escape(self.data['program'])} (numerics={escape(self.data['options']['numerics'])})"
        parts = [f"<h4>{title}</h4>", _table(_summary(self.data))]
        for v in self.data["specializations"]:
            (_, (headline, *more)), *rest = _variant(v)
            parts.append(
                f"<details open><summary>specialization #{v['number']}: {escape(headline)}</summary>"
                f"{_table([('', more), *rest])}</details>"
            )
        log = escape("\n".join(self.lines))
        parts.append(f"<details><summary>last events</summary><pre>{log}</pre></details>")
        return "".join(parts)


Section = tuple[str, list[str]]


def _summary(d: Facts) -> Iterator[Section]:
    s, memory = d["stats"], d["memory"]
    roads = f"{s['calls']}: {s['fast']} native, {s['generic']} generic, {s['eager']} eager"
    yield (
        "calls",
        [f"{roads}; {counted(s['misses'], 'guard miss', 'es')}, {counted(s['fallbacks'], 'region fallback')}"],
    )
    pending = f", {d['pending']} pending" if d["pending"] else ""
    yield "compiled", [f"{counted(s['compiles'], 'specialization')} in {s['seconds']:.2f} s{pending}"]
    if d["specializations"]:
        largest, held = _bytes(memory["workspace_bytes"]), _bytes(memory["workspaces_bytes"])
        packed = f"{_bytes(memory['packed_bytes'])} in {counted(memory['packed_arrays'], 'array')}"
        yield "memory", [f"workspace {largest} at most in a region, {held} held; packed parameters {packed}"]
    for c in d["captures"]:
        size = f"{c['nodes']} nodes, {len(c['guards'])} capture guards"
        opaque = [f"in Python: {o['reason']}  ({o['location']})" for o in c["opaque"]]
        yield "captured", [f"{c['function']}: {size}  ({c['location']})", *opaque]
        for part in c["parts"]:
            roads = f"{part['fast']} of {counted(part['calls'], 'call')} native"
            made = f"{counted(part['misses'], 'guard miss', 'es')}, {counted(part['compiles'], 'specialization')}"
            yield "part", [f"{part['name']}: {roads}; {made}  ({part['location']})"]
    for call in d["calls"]:
        arguments = ", ".join(f"{name} {what}" for name, what in call["arguments"].items()) or "no tensor or number"
        yield "observed", [f"{counted(call['observed'], 'call')} with {arguments}", call["state"]]
    for kind, heading in HEADINGS.items():
        reasons = d["stats"]["reasons"].get(kind, {})
        ranked = sorted(reasons.items(), key=lambda pair: -pair[1])
        if ranked:
            yield heading, [f"{n} x {reason}" for reason, n in ranked]
    if not d["specializations"] and not any(c["parts"] for c in d["captures"]):
        yield "live", ["no specialization: every call runs generic or eager code"]


def _variant(v: Facts) -> Iterator[Section]:
    taken = f"{counted(v['calls'], 'call')}, {counted(v['fallbacks'], 'fallback')}"
    native = f"{v['native_nodes']}/{v['nodes']} ops native in {counted(len(v['regions']), 'region')}"
    kernels = f"{counted(v['kernels'], 'kernel')}, {v['kernels_cached']} of them from the cache"
    compiling = f"; {v['kernel_seconds']:.2f} s of compiling" if v["kernel_seconds"] else ""
    yield f"#{v['number']}", [f"{taken}; {native}", f"made in {v['seconds']:.2f} s; {kernels}{compiling}"]
    guards: dict[tuple[str, str], list[str]] = {}
    for g in v["guards"]:
        guards.setdefault((g["source"], g["origin"]), []).append(f"{g['kind']} {g['expected']}")
    yield "  guards", [f"{s}: {', '.join(w)}" + (f"  ({at})" if at else "") for (s, at), w in guards.items()]
    for k, r in enumerate(v["regions"]):
        yield f"  region {k}", list(_region(r))
    if v["refused"]:
        yield "  refused", _some(v["refused"])
    for label, report in v["passes"].items():
        yield "  passes", list(_passes(label, report, v["measured_with"]))
    if v["told"]:
        yield "  rewrites", _some(v["told"])


def _region(r: Facts) -> Iterator[str]:
    memory = r["memory"]
    where = f"at {r['location']}, " if r["location"] else ""
    packed = f", {counted(memory['packed_arrays'], 'packed array')} of {_bytes(memory['packed_bytes'])}"
    yield f"{where}workspace {_bytes(memory['workspace_bytes'])}" + (packed if memory["packed_arrays"] else "")
    yield from (_plan(p) for p in r["plans"] if p["live_bytes"])
    if r["saved_for_backward"]:
        yield f"saves {r['saved_for_backward']} bytes a call for backward"
    for k in r["kernels"]:
        part = f"{k['part']} " if k["part"] and k["part"] != k["hint"] else ""
        how = "from the cache" if k["cached"] else f"compiled in {k['seconds']:.2f} s"
        yield f"{part}{k['hint']}: {how}"


def _plan(p: Facts) -> str:
    """Memory of one program."""
    live, before = p["live_bytes"], p["live_bytes_in_program_order"]
    order = f" ({_bytes(before)} in your program's order)" if before != live else ""
    return f"{p['part']}: {_bytes(live)} alive at most{order} in {_bytes(p['workspace_bytes'])}{_given(p['sizes'])}"


def _given(sizes: dict[str, int]) -> str:
    return f" with {', '.join(f'{k} = {v}' for k, v in sizes.items())}" if sizes else ""


def _passes(label: str, report: Facts, sizes: dict[str, int]) -> Iterator[str]:
    """Nodes and live bytes of one graph before and after the passes, then each pass that rewrote something."""
    (n, m), (a, b) = report["nodes"], report["bytes"]
    alive = f"{_bytes(a)} -> {_bytes(b)} alive at most{_given(sizes)}"
    yield f"{label}: {n} -> {m} nodes, {alive}; {report['seconds'] * 1e3:.1f} ms"
    for p in report["passes"]:
        if p["rewrites"]:
            changes = [f"{p['nodes']:+} nodes"] if p["nodes"] else []
            changes += [f"{'-' if p['bytes'] < 0 else '+'}{_bytes(abs(p['bytes']))} alive"] if p["bytes"] else []
            yield ", ".join([f"{p['name']} {p['rewrites']}", *changes, f"{p['seconds'] * 1e3:.1f} ms"])


# -- layout -----------------------------------------------------------------------------------------------------------


def _paragraph(heading: str, texts: list[str]) -> list[str]:
    return [f"{heading if k == 0 else '':{INDENT}}{text}" for k, text in enumerate(texts)]


def _table(sections: Any) -> str:
    cell = '<td style="text-align:left;vertical-align:top">'
    rows = "".join(
        f"<tr>{cell}<b>{escape(heading.strip())}</b></td>{cell}{'<br>'.join(map(escape, texts))}</td></tr>"
        for heading, texts in sections
    )
    return f"<table>{rows}</table>"


def _some(texts: list[str]) -> list[str]:
    return texts if len(texts) <= SHOWN_LINES else [*texts[:SHOWN_LINES], f"and {len(texts) - SHOWN_LINES} more"]


def _bytes(n: int) -> str:
    for unit, size in (("MB", 1e6), ("KB", 1e3)):
        if n >= size:
            return f"{n / size:.1f} {unit}"
    return f"{n} B"
