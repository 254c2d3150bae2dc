"""Where temporaries lie in the one workspace.

Enters: the steps of a program. Leaves: bins, each shared by temporaries that are never alive together; the program's
head turns their sizes into offsets.
Invariant: a temporary that crosses a loop's turn or boundary is alive for the whole loop. Bins start on 64-byte
boundaries.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from specjit.codegen.schedule.lower_loop import targets
from specjit.codegen.schedule.model import Storage
from specjit.codegen.schedule.steps import Addr, Call, IfStep, LoopStep, Move, Step
from specjit.ir.dims import Size

ALIGNMENT = 64


@dataclass(eq=False)
class Bin:
    """A piece of workspace as large as the largest of `sizes` (bytes)."""

    sizes: list[Size]
    members: list[Storage] = field(default_factory=list)
    free_after: int = -1


@dataclass
class _Life:
    first: int
    last: int
    loops: tuple[int, ...]  # the loops around every use so far, outermost first


class _Walk:
    def __init__(self) -> None:
        self.clock = 0
        self.lives: dict[Storage, _Life] = {}
        self.uses: list[tuple[Storage, int, tuple[int, ...]]] = []
        self.spans: dict[int, tuple[int, int]] = {}

    def use(self, storages: Iterable[Storage], loops: tuple[int, ...]) -> None:
        for s in storages:
            if s.kind == "temp":
                self.uses.append((s, self.clock, loops))

    def steps(self, steps: list[Step], loops: tuple[int, ...]) -> None:
        for step in steps:
            self.clock += 1
            if isinstance(step, Call):
                for operand in step.operands:
                    if isinstance(operand, Addr):
                        self.use(targets(operand.base), loops)
            elif isinstance(step, LoopStep):
                for _, place in step.pointers:
                    self.use(targets(place.base), loops)
                number = len(self.spans)
                self.spans[number] = (self.clock, self.clock)
                start = self.clock
                self.use(step.held, loops)
                self.steps(step.body, (*loops, number))
                for pointer, place in step.moves:
                    self.use(targets(place.base) | targets(pointer), (*loops, number))
                self.clock += 1
                self.spans[number] = (start, self.clock)
                self.use(step.held, loops)
            elif isinstance(step, IfStep):
                self.steps(step.then, loops)
                self.steps(step.other, loops)
            elif isinstance(step, Move):
                for pointer, place in step.pairs:
                    self.use(targets(place.base) | targets(pointer), loops)


def lives(steps: list[Step]) -> dict[Storage, tuple[int, int]]:
    """First and last moment at which each temporary is needed."""
    walk = _Walk()
    walk.steps(steps, ())
    common: dict[Storage, tuple[int, ...]] = {}
    for s, _, loops in walk.uses:
        shared = common.get(s, loops)
        n = 0
        while n < min(len(shared), len(loops)) and shared[n] == loops[n]:
            n += 1
        common[s] = shared[:n]
    out: dict[Storage, tuple[int, int]] = {}
    for s, at, loops in walk.uses:
        first = last = at
        if len(loops) > len(common[s]):
            first, last = walk.spans[loops[len(common[s])]]
        low, high = out.get(s, (first, last))
        out[s] = (min(low, first), max(high, last))
    return out


def plan(steps: list[Step]) -> list[Bin]:
    """Bins for all temporaries: constant sizes first, biggest reuse first."""
    bins: list[Bin] = []
    for s, (first, last) in sorted(lives(steps).items(), key=lambda kv: (kv[1], kv[0].serial)):
        free = [b for b in bins if b.free_after < first]
        chosen = _best(free, s.bytes)
        if chosen is None:
            chosen = Bin([s.bytes])
            bins.append(chosen)
        elif s.bytes not in chosen.sizes:
            chosen.sizes = _sizes([*chosen.sizes, s.bytes])
        chosen.members.append(s)
        chosen.free_after = last
    return sorted(bins, key=lambda b: not all(isinstance(n, int) for n in b.sizes))


def _sizes(sizes: list[Size]) -> list[Size]:
    """The sizes whose maximum matters: one number, and every expression."""
    numbers = [n for n in sizes if isinstance(n, int)]
    rest = [n for n in sizes if not isinstance(n, int)]
    return [*([max(numbers)] if numbers else []), *rest]


def _best(free: list[Bin], size: Size) -> Bin | None:
    """A free bin of the same kind of size, preferring one that fits already."""
    same = [b for b in free if size in b.sizes]
    if same:
        return same[0]
    if not isinstance(size, int):
        return None
    numbers = [b for b in free if all(isinstance(n, int) for n in b.sizes)]
    fitting = [b for b in numbers if b.sizes[0] >= size]  # type: ignore[operator]
    if fitting:
        return min(fitting, key=lambda b: b.sizes[0])  # type: ignore[arg-type,return-value]
    return max(numbers, key=lambda b: b.sizes[0]) if numbers else None  # type: ignore[arg-type,return-value]


def aligned(size: int) -> int:
    return -(-size // ALIGNMENT) * ALIGNMENT


def is_multiple(size: Size) -> bool:
    """Whether every value of a size is a multiple of the alignment."""
    if isinstance(size, int):
        return size % ALIGNMENT == 0
    return all(c % ALIGNMENT == 0 for c in size.terms.values())
