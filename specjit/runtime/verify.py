"""SPECJIT_VERIFY: run a call on both roads and compare.

Enters: a variant and the arguments of a call. Leaves: the variant's result, or, when the two roads disagree by more
than a float64 evaluation of the typed graph excuses, the generic result and a quarantined variant.
Invariant: only graphs without outside effects are run twice; random numbers are drawn again from the same place, and
count once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from specjit.ir.graph import Graph
from specjit.ir.interpret import interpret
from specjit.ir.structure import effects
from specjit.profile.signature import leaves
from specjit.runtime.events import EventKind
from specjit.runtime.history import MISS
from specjit.tensor import Tensor
from specjit.tensor.random import default_generator

if TYPE_CHECKING:
    from specjit.runtime.program import Program
    from specjit.runtime.variant import Variant

FACTOR = 4.0  # a fast result may be this many times as far from float64 as the generic one ...
FLOOR = 64.0  # ... or this many units of the result's precision, relative to the largest magnitude


def run_both(program: Program[Any, Any], variant: Variant, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """The result of a verified call; MISS if the variant does not take it."""
    with default_generator.held():
        return _run_both(program, variant, args, kwargs)


def _run_both(program: Program[Any, Any], variant: Variant, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    graph = variant.specialized.graph
    before = default_generator.get_state()
    out = variant.entry(*args, **kwargs)
    if out is MISS:
        return out
    if why := _cannot_be_repeated(graph):
        _not_verified(program, variant, why)
        return out
    values = program._bind(args, kwargs)
    assert values is not None
    site = program._sites.find(values)
    if site is None:
        _not_verified(program, variant, "the generic path does not take this call")
        return out
    after = default_generator.get_state()
    default_generator.set_state(before)
    expected = site.generic(*site.leading, *values)
    end = default_generator.get_state()
    default_generator.set_state(before)
    exact = _float64(variant, site.target.named(values))
    default_generator.set_state(end)
    worst = _disagreement(_tensors(out), _tensors(expected), exact)
    if worst is None and after.tolist() != end.tolist():
        worst = "it drew another amount of random numbers"
    if worst is None:
        return out
    place, call = site.captured.graph.attrs["place"], program._calls
    program._emit(
        EventKind.VERIFY_MISMATCH,
        worst,
        call=call,
        specialization=variant.number,
        location=place,
        then="the generic result was returned",
    )
    site.quarantine(variant)
    program._emit(
        EventKind.QUARANTINED,
        "its results differ from the generic path: such calls stay generic",
        call=call,
        specialization=variant.number,
        location=place,
        then="please report it, with `specjit env`; CONTRIBUTING.md tells how to find the pass or kernel at fault",
    )
    return expected


def _cannot_be_repeated(graph: Graph) -> str:
    """Why a graph cannot be run twice; empty if it can."""
    if any(t.io or t.writes for t in (effects(n) for n in graph.block.nodes)):
        return "it writes or prints, which cannot be done twice"
    for node in graph.walk():
        if node.op.traits.random and any(
            p.name == "generator" and not (a.is_const and a.const is None)
            for p, a in zip(node.op.params, node.args, strict=True)
        ):
            return "it draws from a generator of its own"
    return ""


def _not_verified(program: Program[Any, Any], variant: Variant, why: str) -> None:
    """Say once per variant that SPECJIT_VERIFY passes it by."""
    if not variant.unverified:
        variant.unverified = True
        program._emit(
            EventKind.FALLBACK, f"SPECJIT_VERIFY does not look at it: {why}", specialization=variant.number, reason=why
        )


def _tensors(result: Any) -> list[np.ndarray]:
    if isinstance(result, Tensor):
        return [result._data]
    if isinstance(result, (tuple, list)):
        return [a for item in result for a in _tensors(item)]
    if isinstance(result, dict):
        return [a for item in result.values() for a in _tensors(item)]
    return []


def _float64(variant: Variant, arguments: dict[str, Any]) -> list[np.ndarray] | None:
    """The typed graph in float64, or None where it cannot be evaluated so."""
    values = []
    for leaf in variant.specialized.leaves:
        given = leaf.fixed if leaf.fixed is not None else None
        values.append(_wide(given) if given is not None else None)
    arguments_in_order = leaves(variant.assume.signature, arguments)
    for i, leaf in enumerate(variant.specialized.leaves):
        if leaf.argument is not None:
            values[i] = _wide(arguments_in_order[leaf.argument])
    try:
        found = interpret(variant.specialized.graph, *values)
    except (TypeError, ValueError, RuntimeError, IndexError):
        return None
    return [np.asarray(f) for f in found if isinstance(f, np.ndarray)]


def _wide(x: Any) -> Any:
    if not isinstance(x, Tensor):
        return x
    data = x._data  # not .numpy(): a look must not count as an export
    return data.astype(np.float64) if data.dtype.kind == "f" else data.copy()


def _disagreement(fast: list[np.ndarray], slow: list[np.ndarray], exact: list[np.ndarray] | None) -> str | None:
    if len(fast) != len(slow):
        return f"{len(fast)} tensors against {len(slow)}"
    for i, (a, b) in enumerate(zip(fast, slow, strict=True)):
        if a.shape != b.shape or a.dtype != b.dtype:
            return f"output {i}: {a.dtype}{a.shape} against {b.dtype}{b.shape}"
        if a.dtype.kind != "f":
            if not np.array_equal(a, b):
                return f"output {i}: {int((a != b).sum())} integers differ"
            continue
        c = exact[i] if exact is not None and i < len(exact) and exact[i].shape == a.shape else b.astype(np.float64)
        finite = np.isfinite(c)
        if not np.array_equal(np.isfinite(a), np.isfinite(b)):
            return f"output {i}: NaN or infinity in different places"
        if not finite.any():
            continue
        scale = float(np.abs(c[finite]).max()) or 1.0
        mine = float(np.abs(a[finite] - c[finite]).max())
        other = float(np.abs(b[finite] - c[finite]).max())
        if mine > max(FACTOR * other, FLOOR * float(np.finfo(a.dtype).eps) * scale):
            return f"output {i}: off by {mine:.3g} from float64, the generic path by {other:.3g}"
    return None
