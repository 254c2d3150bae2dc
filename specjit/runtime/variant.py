"""One specialization of a Program: guards, typed graph, native regions, and the entry that a call goes through.

Enters: what `runtime.build` made. Leaves: `entry(*args)`, which answers or says MISS, and everything a user may
inspect. Invariant: immutable after publication but for counters and the remembered epochs (each a single assignment).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from specjit.ir.dims import Poly
from specjit.ir.graph import Graph
from specjit.ir.guard import Guard
from specjit.profile.lattice import Assumptions
from specjit.profile.signature import NumberFact, Signature, TensorFact, observe, sources, tensor_fact
from specjit.specialize.specialize import Specialized, read_attribute
from specjit.tensor import state

if TYPE_CHECKING:
    from specjit.runtime.native import NativeRegion


class Variant:
    """A published specialization.

    number      counts the Program's specializations from 1
    guards      list of `ir.guard.Guard`, every fact the variant relies on
    graph       the optimized typed graph; typed: the same before the passes
    source      the variant's generated Python (entry, and the code between native regions)
    calls, fallbacks   calls taken, and calls of those in which a region had to run generically
    last_used   `time.monotonic()` of the latest look at the counters, for eviction
    """

    def __init__(self, number: int, assume: Assumptions, specialized: Specialized, graph: Graph) -> None:
        self.number = number
        self.assume = assume
        self.specialized = specialized
        self.guards: list[Guard] = specialized.guards
        self.graph = graph
        self.typed = ""
        self.source = ""
        self.regions: list[NativeRegion] = []
        self.nonempty: frozenset[str] = frozenset()  # size symbols that must be at least 1
        self.native_nodes = self.python_nodes = 0
        self.calls = 0
        self.fallbacks = 0
        self.created = time.monotonic()
        self.seconds = 0.0
        self.entry: Callable[..., Any] = _unpublished
        self._seen_calls = 0
        self._seen_at = self.created
        self.module_epoch = state.module_epoch

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

    def bind(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        names = self.assume.signature.names
        return {**dict(zip(names, args, strict=False)), **kwargs}

    def failures(self, arguments: dict[str, Any]) -> list[tuple[Guard, Any]]:
        """(guard, actual) for every guard that fails for these arguments."""
        return failures(self, arguments)

    def __repr__(self) -> str:
        counts = f"{len(self.guards)} guards, {len(self.regions)} regions, {self.calls} calls"
        return f"<specialization #{self.number}: {counts}>"


def _unpublished(*args: Any, **kwargs: Any) -> Any:
    raise RuntimeError("this specialization has no entry yet")


def failures(variant: Variant, arguments: dict[str, Any]) -> list[tuple[Guard, Any]]:
    out: list[tuple[Guard, Any]] = []
    expected = variant.assume.signature
    now = observe(arguments, state.is_grad_enabled())
    if now.grad_mode != expected.grad_mode:
        out.append((Guard("grad mode", "value", expected.grad_mode), now.grad_mode))
    for name, was, is_ in zip(expected.names, expected.structures, now.structures, strict=False):
        if was != is_:
            out.append((Guard(name, "structure", _sketch(was)), _sketch(is_)))
    if now.structures == expected.structures:
        out += _leaf_failures(variant.assume, expected, now, variant.nonempty)
    for read in variant.specialized.attributes:
        if not read.holds():
            out.append((Guard(read.path, "value", read.expected), read_attribute(read.owner, read.name)))
    for cell in variant.specialized.globals:
        if not cell.holds():
            out.append((Guard(cell.source, "value", cell.expected), "another value"))
    for leaf in variant.specialized.leaves:
        if leaf.fixed is not None:
            out += _tensor_failures(leaf.source, leaf.fact, tensor_fact(leaf.fixed))
    return out


def closest(variants: list[Variant], arguments: dict[str, Any]) -> tuple[Variant, list[tuple[Guard, Any]]] | None:
    """The variant that fails the fewest guards, with those; None if one fails none (it was just published)."""
    ranked = [(v, v.failures(arguments)) for v in variants]
    ranked.sort(key=lambda pair: len(pair[1]))
    return ranked[0] if ranked and ranked[0][1] else None


def _leaf_failures(
    assume: Assumptions, expected: Signature, now: Signature, nonempty: frozenset[str]
) -> list[tuple[Guard, Any]]:
    out: list[tuple[Guard, Any]] = []
    symbols: dict[str, int] = {}
    for i, (source, was, is_) in enumerate(zip(sources(expected), expected.facts, now.facts, strict=True)):
        if isinstance(was, NumberFact) or isinstance(is_, NumberFact):
            value = assume.numbers.get(i)
            if (
                value is not None
                and isinstance(is_, NumberFact)
                and (type(is_.value), is_.value) != (type(value), value)
            ):
                out.append((Guard(source, "value", value), is_.value))
            continue
        bad = _tensor_failures(source, was, is_, sizes=False)
        out += bad
        if len(was.dims) != len(is_.dims):
            continue
        for d, size in enumerate(assume.dims(i)):
            known = symbols.setdefault(repr(size), is_.dims[d]) if isinstance(size, Poly) else size
            if isinstance(size, Poly) and is_.dims[d] == 0 and size.symbols() & nonempty:
                out.append((Guard(f"{source}.shape[{d}]", "size at least", 1), 0))
            if known != is_.dims[d]:
                out.append((Guard(f"{source}.shape[{d}]", "size", known), is_.dims[d]))
        wanted = assume.strides.get(i, "contiguous")
        if wanted == "contiguous" and not is_.contiguous:
            out.append((Guard(source, "strides", "contiguous"), is_.strides))
        elif isinstance(wanted, tuple) and wanted != is_.strides:
            out.append((Guard(source, "strides", wanted), is_.strides))
    return out


def _tensor_failures(source: str, was: Any, is_: TensorFact, sizes: bool = True) -> list[tuple[Guard, Any]]:
    pairs: list[tuple[str, Any, Any]] = [
        ("class", was.cls, is_.cls),
        ("dtype", was.dtype, is_.dtype),
        ("rank", len(was.dims), len(is_.dims)),
        ("device", was.device, is_.device),
        ("requires_grad", was.requires_grad, is_.requires_grad),
    ]
    if sizes:
        pairs += [("size", was.dims, is_.dims), ("strides", was.strides, is_.strides)]
    return [(Guard(source, kind, a), b) for kind, a, b in pairs if a != b]


def _sketch(s: Any) -> str:
    if s.kind == "const":
        return repr(s.payload)
    if s.kind == "object":
        return type(s.payload.value).__name__
    if s.children:
        return f"{s.kind}[{', '.join(map(_sketch, s.children))}]"
    return str(s.kind)
