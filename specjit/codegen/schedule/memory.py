"""Where temporaries lie in the one workspace, and how much of it is in use at one moment.

Enters: the steps of a program. Leaves: a `MemoryPlan`: an offset for every temporary, as the largest of some
expressions, which the program's head computes.
Invariant: temporaries start on 64-byte boundaries; two that are needed at one moment never overlap.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from specjit.codegen.schedule.lifetimes import lifetimes
from specjit.codegen.schedule.model import Storage
from specjit.codegen.schedule.placement import Packing, Sample, Span, largest, largest_live, place
from specjit.codegen.schedule.steps import Step
from specjit.ir.dims import Poly, Size, evaluate

ALIGNMENT = 64
MAX_VARIED = 3  # symbols for which samples look at a great value of one beside small ones of the others


@dataclass
class MemoryPlan:
    """The workspace of one program.

    roundings   symbols that stand for a size rounded up to the alignment, and those sizes
    """

    storages: list[Storage] = field(default_factory=list)
    spans: list[Span] = field(default_factory=list)  # of each storage
    packing: Packing = field(default_factory=Packing)
    roundings: dict[str, Size] = field(default_factory=dict)

    def symbols(self) -> set[str]:
        found = {s for span in self.spans if isinstance(span.size, Poly) for s in span.size.symbols()}
        inside = {s for n in found & self.roundings.keys() for s in self.roundings[n].symbols()}  # type: ignore[union-attr]
        return (found - self.roundings.keys()) | inside

    def values(self, symbols: Sample) -> dict[str, int]:
        """These values, and those of `roundings` that follow."""
        return {**symbols, **{name: aligned(evaluate(size, symbols)) for name, size in self.roundings.items()}}

    def planned(self, symbols: Sample) -> int:
        """Bytes of workspace for these values of the symbols."""
        return largest(self.packing.total, self.packing.values(self.values(symbols)))

    def live(self, symbols: Sample) -> int:
        """The most bytes that are needed at one moment, every temporary rounded up to the alignment."""
        return largest_live(self.spans, self.values(symbols))


def plan(steps: list[Step]) -> MemoryPlan:
    """Places for all temporaries of a program."""
    found = sorted(lifetimes(steps).items(), key=lambda kv: (kv[1], kv[0].serial))
    made = MemoryPlan([s for s, _ in found])
    names: dict[Size, str] = {}
    made.spans = [Span(_rounded(s.bytes, names), *life) for s, life in found]
    made.roundings = {name: size for size, name in names.items()}
    made.packing = place(made.spans, [made.values(sample) for sample in samples(made.symbols())])
    return made


def samples(symbols: set[str]) -> list[dict[str, int]]:
    """Values of size symbols for which a plan should be good: all alike, and one much greater than the others."""
    names = sorted(symbols)
    alike = [dict.fromkeys(names, 32), dict.fromkeys(names, 1)]
    if len(names) < 2:
        return alike[:1] if not names else alike
    return [*alike, *({**dict.fromkeys(names, 4), name: 256} for name in names[:MAX_VARIED])]


def aligned(size: int) -> int:
    return -(-size // ALIGNMENT) * ALIGNMENT


def _rounded(size: Size, names: dict[Size, str]) -> Size:
    """A size rounded up to the alignment; what of it is a multiple for all values of the symbols stays as it is, and
    the rest is named."""
    if isinstance(size, int):
        return aligned(size)
    whole: Size = 0
    rest: Size = 0
    for mono, c in size.terms.items():
        term: Size = Poly({mono: c}) if mono else c
        if c % ALIGNMENT == 0:
            whole = whole + term
        else:
            rest = rest + term
    if isinstance(rest, int):
        return whole + aligned(rest)
    name = names.setdefault(rest, f"_up{len(names)}")
    return whole + Poly({(name,): 1})
