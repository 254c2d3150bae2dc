"""One specialization of a Program: guards, typed graph, native regions, and the entry that a call goes through.

Enters: what `runtime.build` made. Leaves: `entry(*args)`, which answers or says MISS, and everything a user may
inspect. Invariant: immutable after publication but for counters and the remembered epochs (each a single assignment).
"""

from __future__ import annotations

import inspect
import time
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from specjit.ir.constants import same
from specjit.ir.dims import Poly
from specjit.ir.graph import Graph
from specjit.ir.guard import Guard, by_source
from specjit.profile.lattice import Assumptions
from specjit.profile.signature import NumberFact, Signature, TensorFact, leaves, observe, sources, tensor_fact
from specjit.runtime.apart import Apart
from specjit.specialize.specialize import (
    CONTIGUOUS,
    MISSING,
    AttributeRead,
    GlobalRead,
    Specialized,
    layout_aspects,
    read_guard,
    tensor_aspects,
)
from specjit.tensor import Tensor, state

if TYPE_CHECKING:
    from specjit import passes
    from specjit.runtime.native import NativeRegion


class Counts:
    """How often a variant took a call, and how often a region of it then ran generically. Outlives the variant."""

    __slots__ = ("calls", "fallbacks")

    def __init__(self) -> None:
        self.calls = self.fallbacks = 0


class Variant:
    """A published specialization.

    number      counts the Program's specializations from 1
    guards      list of `ir.guard.Guard`, every fact the variant relies on
    graph       the optimized typed graph, with what runs natively in `region` nodes
    context     what the passes were asked, and what they reported
    source      the variant's generated Python (entry, and the code between native regions)
    refused     what stays in Python or in a kernel of its own, and why
    counts      `calls` taken, and `fallbacks`: calls of those in which a region had to run generically
    last_used   `time.monotonic()` of the latest look at the counters, for eviction
    """

    def __init__(
        self,
        number: int,
        assume: Assumptions,
        specialized: Specialized,
        graph: Graph,
        signature: inspect.Signature,
        context: passes.Context,
    ) -> None:
        self.number = number
        self.context = context
        self.signature = signature
        self.assume = assume
        self.specialized = specialized
        self.apart = Apart(specialized)
        self.guards: list[Guard] = [*specialized.guards, *self.apart.guards]
        self._by_name = {(g.source, g.kind): g for g in self.guards}
        self._origins = {source: found[0].origin for source, found in by_source(self.guards).items()}
        self.graph = graph
        self.source = ""
        self.regions: list[NativeRegion] = []
        self.least: dict[str, int] = {}  # lower bounds of size symbols
        self.native_nodes = self.python_nodes = 0
        self.refused: list[str] = []
        self.counts = Counts()
        self.unverified = False  # SPECJIT_VERIFY has said that it cannot look at it
        self.created = time.monotonic()
        self.seconds = 0.0
        self.entry: Callable[..., Any] = _unpublished
        self._seen_calls = 0
        self._seen_at = self.created
        self.module_epoch = state.module_epoch

    @property
    def calls(self) -> int:
        return self.counts.calls

    @property
    def fallbacks(self) -> int:
        return self.counts.fallbacks

    @property
    def last_used(self) -> float:
        if self.calls != self._seen_calls:
            self._seen_calls = self.calls
            self._seen_at = time.monotonic()
        return self._seen_at

    @property
    def llvm(self) -> str:
        """The LLVM IR of the kernels, one after another."""
        return "\n".join(k.llvm for r in self.regions for k in r.kernels)

    @property
    def kernel_sources(self) -> list[str]:
        """The Python source of every kernel."""
        return list(dict.fromkeys(k.source for r in self.regions for k in r.kernels))

    @property
    def graphs(self) -> passes.Stages:
        """The typed graph before and after each pass: `graphs["cse"].before`, `.after`, `.diff`; `graphs.input`.

        Nothing is kept for it: asking runs the passes again."""
        from specjit import passes

        return passes.stages(self.specialized.graph, self.context)

    def derivative_graphs(self, region: int = 0) -> dict[str, passes.Stages]:
        """The same of the "forward" and "backward" graph that a native region with gradients was split into; {} for
        one without."""
        from specjit.runtime.making import derivative_stages

        return derivative_stages(self.regions[region], self.context)

    @property
    def told(self) -> list[str]:
        """The rewrites worth telling, each once."""
        return list(dict.fromkeys(map(str, self.context.facts)))

    def attributes_hold(self) -> bool:
        """Whether every attribute read while specializing is still what it was; remembers the epoch at which it
        held."""
        epoch = state.module_epoch
        if not all(read.holds() for read in self.specialized.attributes):
            return False
        self.module_epoch = epoch
        return True

    def check(self, *args: Any, **kwargs: Any) -> list[Guard]:
        """The guards that these arguments would fail; an empty list means the variant takes the call."""
        return [guard for guard, _ in self.failures(self.bind(*args, **kwargs))]

    def guard(self, source: str, kind: str, expected: Any) -> Guard:
        """The guard of this kind on this source, with what it asks of the call at hand (a symbol's value is another
        one in every call)."""
        known = self._by_name.get((source, kind))
        if known is not None:
            return replace(known, expected=expected)
        return Guard(source, kind, expected, self._origins.get(source, ""))

    def bind(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """Arguments by parameter name, defaults included; TypeError where they do not fit the model's parameters."""
        bound = self.signature.bind(*args, **kwargs)
        bound.apply_defaults()
        return bound.arguments

    def failures(self, arguments: dict[str, Any]) -> list[tuple[Guard, Any]]:
        """(guard, actual) for every guard that fails for these arguments."""
        return failures(self, arguments)

    def __repr__(self) -> str:
        counts = f"{len(self.guards)} guards, {len(self.regions)} regions, {self.calls} calls"
        return f"<specialization #{self.number}: {counts}>"


def _unpublished(*args: Any, **kwargs: Any) -> Any:
    raise RuntimeError("this specialization has no entry yet")


def failures(variant: Variant, arguments: dict[str, Any]) -> list[tuple[Guard, Any]]:
    """(guard, actual) for what these arguments, and the model as it is now, fail."""
    expected = variant.assume.signature
    now = observe(arguments, state.is_grad_enabled())
    out: list[tuple[str, str, Any, Any]] = []  # source, kind, expected, actual
    if now.grad_mode != expected.grad_mode:
        out.append(("grad mode", "value", expected.grad_mode, now.grad_mode))
    for name, was, is_ in zip(expected.names, expected.structures, now.structures, strict=False):
        if was != is_:
            out.append((name, "structure", _sketch(was), _another(_sketch(was), _sketch(is_))))
    if now.structures == expected.structures:
        out += _leaf_failures(variant, expected, now)
        out += variant.apart.failures(leaves(now, arguments))
    reads: list[AttributeRead | GlobalRead] = [*variant.specialized.attributes, *variant.specialized.globals]
    out += [_read_failure(read) for read in reads if not read.holds()]
    for leaf in variant.specialized.leaves:
        if isinstance(leaf.fixed, Tensor) and isinstance(leaf.fact, TensorFact):
            fact = tensor_fact(leaf.fixed)
            relied = {**tensor_aspects(leaf.fact), **layout_aspects(leaf.fact)}
            found = {**tensor_aspects(fact), **layout_aspects(fact)}
            out += [(leaf.source, kind, relied[kind], found[kind]) for kind in relied]
    return [(variant.guard(source, kind, was), is_) for source, kind, was, is_ in out if not same(was, is_)]


def closest(variants: list[Variant], arguments: dict[str, Any]) -> tuple[Variant, list[tuple[Guard, Any]]] | None:
    """The variant that fails the fewest guards, with those; None if one fails none (it was just published)."""
    ranked = [(v, v.failures(arguments)) for v in variants]
    ranked.sort(key=lambda pair: len(pair[1]))
    return ranked[0] if ranked and ranked[0][1] else None


def _read_failure(read: AttributeRead | GlobalRead) -> tuple[str, str, Any, Any]:
    """A changed attribute or global: its value where it was a plain constant, else what kind of object it is now."""
    guard, now = read_guard(read), read.current()
    if now is MISSING or guard.kind == "value":
        return guard.source, guard.kind, guard.expected, now
    return guard.source, "identity", guard.expected, _another(guard.expected, type(now).__name__)


def _another(was: str, is_: str) -> str:
    return f"another {is_}" if was == is_ else is_


def _leaf_failures(variant: Variant, expected: Signature, now: Signature) -> list[tuple[str, str, Any, Any]]:
    assume = variant.assume
    out: list[tuple[str, str, Any, Any]] = []
    symbols: dict[str, int] = {}
    for i, (source, was, is_) in enumerate(zip(sources(expected), expected.facts, now.facts, strict=True)):
        if isinstance(was, NumberFact) or isinstance(is_, NumberFact):
            value = assume.numbers.get(i)
            if value is not None and isinstance(is_, NumberFact) and type(is_.value) is not type(value):
                out.append((source, "type", type(value), type(is_.value)))
            elif value is not None and isinstance(is_, NumberFact):
                out.append((source, "value", value, is_.value))
            elif isinstance(is_, NumberFact) and is_.value < (bound := variant.specialized.bounds.get(i, is_.value)):
                out.append((source, "at least", bound, is_.value))
            continue
        aspects, found = tensor_aspects(was), tensor_aspects(is_)
        out += [(source, kind, aspects[kind], found[kind]) for kind in aspects]
        if len(was.dims) != len(is_.dims):
            continue
        for d, size in enumerate(assume.dims(i)):
            at = f"{source}.shape[{d}]"
            known = symbols.setdefault(repr(size), is_.dims[d]) if isinstance(size, Poly) else size
            least = variant.least.get(repr(size), 0)
            if is_.dims[d] < least:
                out.append((at, "size at least", least, is_.dims[d]))
            out.append((at, "size", known, is_.dims[d]))
        wanted = assume.strides.get(i, CONTIGUOUS)
        if wanted == CONTIGUOUS and not is_.contiguous:
            out.append((source, "strides", CONTIGUOUS, is_.strides))
        elif isinstance(wanted, tuple):
            out.append((source, "strides", wanted, is_.strides))
    return out


def _sketch(s: Any) -> str:
    if s.kind == "const":
        return repr(s.payload)
    if s.kind == "object":
        return str(s.payload.kind)
    if s.children:
        return f"{s.kind}[{', '.join(map(_sketch, s.children))}]"
    return str(s.kind)
