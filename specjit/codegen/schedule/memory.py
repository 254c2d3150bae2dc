"""Where temporaries lie in the one workspace, and how much of it is in use at one moment.

Enters: the steps of a program. Leaves: a `MemoryPlan`: an offset for every temporary, as the largest of some
expressions, which the program's head computes.
Invariant: temporaries start on 64-byte boundaries; two that are needed at one moment never overlap.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from specjit.codegen.schedule.lifetimes import lifetimes
from specjit.codegen.schedule.model import NOTHING, TYPICAL, Storage
from specjit.codegen.schedule.placement import Packing, Range, Sample, Span, largest, largest_live, place
from specjit.codegen.schedule.steps import Step
from specjit.ir.dims import Poly, Size, evaluate, symbol, term, terms_of

ALIGNMENT = 64
MAX_VARIED = 3  # symbols for which samples look at a great value of one beside small ones of the others


@dataclass
class MemoryPlan:
    """The workspace of one program.

    roundings   symbols that stand for a size rounded up to the alignment, and those sizes
    """

    spans: list[Span] = field(default_factory=list)
    members: list[list[Storage]] = field(default_factory=list)  # of each span: temporaries that take over one place
    packing: Packing = field(default_factory=Packing)
    roundings: dict[str, Size] = field(default_factory=dict)

    def no_worse(self, other: MemoryPlan, usual: Sample) -> bool:
        """Whether this needs no more than another plan, for all samples of sizes, neither alive nor planned."""
        return all(
            self.live(s) <= other.live(s) and self.planned(s) <= other.planned(s)
            for s in samples(self.symbols() | other.symbols(), usual)
        )

    def symbols(self) -> set[str]:
        found = {s for span in self.spans if isinstance(span.size, Poly) for s in span.size.symbols()}
        inside = {s for n in found & self.roundings.keys() for s in self.roundings[n].symbols()}  # type: ignore[union-attr]
        return (found - self.roundings.keys()) | inside

    def usual(self, sizes: Sample) -> dict[str, int]:
        """Numbers for all symbols: those that `sizes` knows, typical ones for the others."""
        return typical(sorted(self.symbols()), sizes)

    def values(self, symbols: Sample) -> dict[str, int]:
        """These values, and those of `roundings` that follow."""
        return {**symbols, **{name: aligned(evaluate(size, symbols)) for name, size in self.roundings.items()}}

    def planned(self, symbols: Sample) -> int:
        """Bytes of workspace for these values of the symbols."""
        return largest(self.packing.total, self.packing.values(self.values(symbols)))

    def live(self, symbols: Sample) -> int:
        """The most bytes that are needed at one moment, every temporary rounded up to the alignment."""
        return largest_live(self.spans, self.values(symbols))


def plan(steps: list[Step], usual: Sample = NOTHING) -> MemoryPlan:
    """Places for all temporaries of a program, where symbols are usually what `usual` says."""
    lives, over = lifetimes(steps)
    chains: dict[Storage, list[Storage]] = {}
    for storage in sorted(lives, key=lambda s: (lives[s], s.serial)):
        chain = chains[over[storage]] if storage in over else []
        chain.append(storage)
        chains[storage] = chain
    made = MemoryPlan()
    made.members = list({id(chain): chain for chain in chains.values()}.values())
    names: dict[Size, str] = {}
    made.spans = [Span(_rounded(c[0].bytes, names), lives[c[0]][0], lives[c[-1]][1]) for c in made.members]
    made.roundings = {name: size for size, name in names.items()}
    ranges: dict[str, Range] = {name: (size, _multiple_above(size)) for size, name in names.items()}
    made.packing = place(made.spans, [made.values(sample) for sample in samples(made.symbols(), usual)], ranges)
    return made


def samples(symbols: set[str], usual: Sample = NOTHING) -> list[dict[str, int]]:
    """Values of size symbols for which a plan should be good: the usual ones, all alike, and one much greater than the
    others."""
    names = sorted(symbols)
    found = [typical(names, usual), dict.fromkeys(names, TYPICAL), dict.fromkeys(names, 1)]
    if len(names) > 1:
        found += ({**dict.fromkeys(names, 4), name: 256} for name in names[:MAX_VARIED])
    return [sample for k, sample in enumerate(found) if sample not in found[:k]]


def typical(symbols: Iterable[str], usual: Sample) -> dict[str, int]:
    return {name: usual.get(name, TYPICAL) for name in symbols}


def aligned(size: int) -> int:
    return -(-size // ALIGNMENT) * ALIGNMENT


def _rounded(size: Size, names: dict[Size, str]) -> Size:
    """A size rounded up to the alignment; what of it is a multiple for all values of the symbols stays as it is, and
    the rest is named."""
    if isinstance(size, int):
        return aligned(size)
    rest: Size = 0
    for mono, c in terms_of(size).items():
        if c % ALIGNMENT:
            rest = rest + term(mono, c)
    whole = size - rest
    if isinstance(rest, int):
        return whole + aligned(rest)
    return whole + symbol(names.setdefault(rest, f"_up{len(names)}"))


def _multiple_above(size: Size) -> Size:
    """A size that is a multiple of the alignment for all values of the symbols, and never below `size`."""
    out: Size = 0
    for mono, c in terms_of(size).items():
        out = out + term(mono, aligned(c))
    return out
