"""Packing: where things that are needed at different times lie in one piece of memory.

Enters: sizes (numbers or expressions over symbols that are never negative) with their first and last moment. Leaves:
for each an offset, a `Bound`.
Invariant: two things that are needed at one moment never overlap, whatever the symbols are. For these, one lies below
the other: `offset(q) = max(offset(p) + size(p))` over what p lies below q. A packing of numbers, for sample values of
the symbols, decides who lies below whom; the offsets are then expressions that hold for all values.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

from specjit.codegen.schedule.index import at_least
from specjit.ir.dims import Size, evaluate, symbol, term, terms_of

Bound = tuple[Size, ...]  # the largest of these; offsets and totals start at 0
Sample = Mapping[str, int]
Range = tuple[Size | None, Size | None]  # what a symbol is never below and never above

NO_RANGE: Range = (None, None)
NO_RANGES: Mapping[str, Range] = MappingProxyType({})

MAX_TERMS = 3  # of an offset; the largest of more gets a name
TIGHT = 1.02  # a packing this close to the largest set of live sizes is not improved
MOVES, MOVES_OF_PAIRS = 500, 400_000  # tried to improve a packing: at most so many, fewer for many spans


@dataclass(frozen=True)
class Span:
    """A size, and the first and the last moment at which it is needed."""

    size: Size
    first: int
    last: int

    def meets(self, other: Span) -> bool:
        return self.first <= other.last and other.first <= self.last


def largest_live(spans: Sequence[Span], sample: Sample) -> int:
    """The largest sum of sizes that are needed at one moment."""
    sizes = [(s, evaluate(s.size, sample)) for s in spans]
    moments = {s.first for s in spans}
    return max((sum(n for s, n in sizes if s.first <= at <= s.last) for at in moments), default=0)


@dataclass
class Packing:
    """Where each span lies, and the size of the whole. `maxima`: symbols that stand for the largest of some sizes,
    in an order in which they can be computed."""

    offsets: list[Bound] = field(default_factory=list)
    total: Bound = (0,)
    maxima: dict[str, Bound] = field(default_factory=dict)

    def values(self, sample: Sample) -> dict[str, int]:
        """The sample, and the values of `maxima` that follow."""
        values = dict(sample)
        for name, bound in self.maxima.items():
            values[name] = largest(bound, values)
        return values


def place(spans: Sequence[Span], samples: Sequence[Sample], known: Mapping[str, Range] = NO_RANGES) -> Packing:
    """Offsets for spans. `samples` are values of the symbols for which the whole should be small; `known`: between
    which sizes some symbols lie."""
    made = Packing()
    if not spans:
        return made
    trial = _Trial(spans, samples)
    ranges = dict(known)
    offsets: list[Bound] = [()] * len(spans)
    names: dict[Bound, str] = {}
    for q, below in trial.below(_best(trial)).items():
        bound = highest((o + spans[p].size for p in below for o in offsets[p]), ranges)
        if len(bound) > MAX_TERMS:
            name = names.setdefault(bound, f"_max{len(names)}")
            made.maxima[name] = bound
            bound = (symbol(name),)
        offsets[q] = bound
    made.offsets = offsets
    made.total = highest((o + s.size for bound, s in zip(offsets, spans, strict=True) for o in bound), ranges)
    return made


def largest(bound: Bound, values: Sample) -> int:
    return max(evaluate(term, values) for term in bound)


def highest(sizes: Iterable[Size], ranges: Mapping[str, Range] = NO_RANGES) -> Bound:
    """The largest of sizes, and of 0, without what others are never below of."""
    kept: list[Size] = [0]
    for size in dict.fromkeys(sizes):
        if not any(never_below(k, size, ranges) for k in kept):
            kept = [k for k in kept if not never_below(size, k, ranges)]
            kept.append(size)
    return tuple(sorted(kept, key=repr))


def never_below(a: Size, b: Size, ranges: Mapping[str, Range]) -> bool:
    """Whether `a >= b` is certain, when symbols are at least 0 and lie in their `ranges`."""
    least: Size = 0
    for mono, c in (terms_of(a - b)).items():
        low, high = ranges.get(mono[0], NO_RANGE) if len(mono) == 1 else NO_RANGE
        if c > 0 and low is not None:
            least = least + low * c
        elif c < 0 and high is not None:
            least = least + high * c
        else:
            least = least + term(mono, c)
    return at_least(least, 0)


# -- packings of numbers -----------------------------------------------------------------------------------------------

# What to place first; each is then put as low as it fits.
ORDERS: tuple[Callable[[int, Span], tuple[int, ...]], ...] = (
    lambda size, s: (-size, s.first),
    lambda size, s: (-size * (s.last - s.first + 1), s.first),
    lambda size, s: (s.first - s.last, -size),
    lambda size, s: (s.first, -size),
)


class _Trial:
    """Packings of one set of spans, and how good they are for all samples."""

    def __init__(self, spans: Sequence[Span], samples: Sequence[Sample]) -> None:
        self.spans = spans
        self.sizes = [[evaluate(s.size, sample) for s in spans] for sample in samples]
        self.live = [max(largest_live(spans, sample), 1) for sample in samples]
        self.meets = [[p for p, other in enumerate(spans) if p != q and s.meets(other)] for q, s in enumerate(spans)]

    def pack(self, order: Sequence[int], sizes: Sequence[int]) -> list[int]:
        """Each in turn as low as it fits between what is placed already."""
        offsets = [-1] * len(self.spans)
        for q in order:
            at = 0
            for low, high in sorted((offsets[p], offsets[p] + sizes[p]) for p in self.meets[q] if offsets[p] >= 0):
                if low >= at + sizes[q]:
                    break
                at = max(at, high)
            offsets[q] = at
        return offsets

    def packed(self, order: Sequence[int], sizes: Sequence[int]) -> tuple[list[int], float]:
        """All spans, lowest first, when placed in this order, and the worst of `heights`."""
        offsets = self.pack(order, sizes)
        upwards = sorted(range(len(offsets)), key=lambda i: (offsets[i], offsets[i] + sizes[i], i))
        return upwards, max(self.heights(upwards))

    def heights(self, upwards: Sequence[int]) -> list[float]:
        """Per sample: the whole over the largest live set, when what meets lies in this order."""
        rank = {i: k for k, i in enumerate(upwards)}
        out = []
        for sizes, live in zip(self.sizes, self.live, strict=True):
            ends = [0] * len(rank)
            for q in upwards:
                ends[q] = sizes[q] + max((ends[p] for p in self.meets[q] if rank[p] < rank[q]), default=0)
            out.append(max(ends) / live)
        return out

    def below(self, upwards: Sequence[int]) -> dict[int, list[int]]:
        """What lies directly below each: not what lies below that again."""
        rank = {i: k for k, i in enumerate(upwards)}
        under: dict[int, int] = {}
        out: dict[int, list[int]] = {}
        for q in upwards:
            seen, direct = 0, []
            for p in sorted((p for p in self.meets[q] if rank[p] < rank[q]), key=rank.__getitem__, reverse=True):
                if not seen >> p & 1:
                    direct.append(p)
                # A size that may be negative, which stands for nothing, does not push up what lies above it.
                if at_least(self.spans[p].size, 0):
                    seen |= under[p] | 1 << p
            under[q] = seen
            out[q] = direct
        return out


def _best(trial: _Trial) -> list[int]:
    """All spans, lowest first, in the best packing that was found: the best of some orders of placing them, then with
    spans moved to other places of that order."""
    count = len(trial.spans)
    upwards: list[int] = []
    order: list[int] = []
    sizes = trial.sizes[0]
    least = float("inf")
    for tried in trial.sizes:
        for key in ORDERS:
            ranked = sorted(range(count), key=lambda i: (*key(tried[i], trial.spans[i]), i))
            found, height = trial.packed(ranked, tried)
            if height < least:
                upwards, order, sizes, least = found, ranked, tried, height
            if least <= TIGHT:
                return upwards
    draw = random.Random(0)  # plans must not differ from run to run
    for _ in range(min(MOVES, MOVES_OF_PAIRS // count**2)):
        moved = list(order)
        moved.insert(draw.randrange(count), moved.pop(draw.randrange(count)))
        found, height = trial.packed(moved, sizes)
        if height <= least:
            upwards, order, least = found, moved, height
        if least <= TIGHT:
            break
    return upwards
