"""`Program.explain()`: one object with everything that was recorded, as text, data and HTML.

Enters: a Program. Leaves: `Explanation`. Invariant: a snapshot of recorded facts; making one costs no model call.
"""

from __future__ import annotations

import html
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from specjit.runtime.program import Program
    from specjit.runtime.variant import Variant

SHOWN_EVENTS = 20


@dataclass(frozen=True)
class Explanation:
    """str() for people, `to_dict()` for programs (JSON-ready), `_repr_html_()` for notebooks."""

    data: dict[str, Any]

    @staticmethod
    def of(program: Program[Any, Any]) -> Explanation:
        return Explanation(
            {
                "program": program.name,
                "numerics": program._options.numerics,
                "stats": program.stats(),
                "specializations": [_variant(v) for v in program.specializations],
                "events": [e.to_dict() for e in program.events()],
                "lines": [str(e) for e in program.events()][-SHOWN_EVENTS:],
            }
        )

    def to_dict(self) -> dict[str, Any]:
        return {k: v for k, v in self.data.items() if k != "lines"}

    def __str__(self) -> str:
        d, s = self.data, self.data["stats"]
        lines = [
            f"specjit program {d['program']!r} (numerics={d['numerics']})",
            f"  calls {s['calls']}: fast {s['fast']}, generic {s['generic']}, eager {s['eager']}",
            f"  guard misses {s['misses']}, regions that fell back {s['fallbacks']}",
            f"  {s['compiles']} specializations compiled in {s['seconds']:.2f} s",
        ]
        if not d["specializations"]:
            lines.append("  no live specialization")
        for v in d["specializations"]:
            lines.append(
                f"  #{v['number']}: {v['calls']} calls, {v['regions']} regions, "
                f"{v['native_nodes']}/{v['nodes']} ops native, {len(v['kernels'])} kernels"
            )
            lines += [f"      guard  {g}" for g in v["guards"]]
            lines += [f"      region {line}" for r in v["plans"] for line in r.splitlines()]
        if d["lines"]:
            lines.append(f"  last events ({len(d['events'])} recorded):")
            lines += [f"    {line}" for line in d["lines"]]
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        d, s = self.data, self.data["stats"]
        cells = "".join(
            f"<td>{html.escape(k)}: <b>{s[k]}</b></td>" for k in ("calls", "fast", "generic", "eager", "misses")
        )
        parts = [f"<h4>specjit: {html.escape(d['program'])}</h4><table><tr>{cells}</tr></table>"]
        for v in d["specializations"]:
            rows = "".join(f"<li><code>{html.escape(g)}</code></li>" for g in v["guards"])
            parts.append(
                f"<details open><summary>specialization #{v['number']}: {v['calls']} calls, "
                f"{v['native_nodes']}/{v['nodes']} ops native</summary><ul>{rows}</ul></details>"
            )
        log = html.escape("\n".join(d["lines"]))
        parts.append(f"<details><summary>last events</summary><pre>{log}</pre></details>")
        return "".join(parts)


def _variant(v: Variant) -> dict[str, Any]:
    return {
        "number": v.number,
        "calls": v.calls,
        "fallbacks": v.fallbacks,
        "seconds": v.seconds,
        "regions": len(v.regions),
        "native_nodes": v.native_nodes,
        "nodes": v.native_nodes + v.python_nodes,
        "guards": [str(g) for g in v.guards],
        "kernels": list(dict.fromkeys(k.hint for r in v.regions for k in r.kernels)),
        "plans": [r.summary() for r in v.regions],
    }
