"""When each temporary is needed.

Enters: the steps of a program. Leaves: per temporary the first and the last moment at which it must keep its place,
and which temporaries can take the place of one that is read for the last time; moments are the steps in the order in
which they stand.
Invariant: a temporary that crosses a loop's turn or boundary is needed for the whole loop.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from specjit.codegen.schedule.model import Pointer, Storage
from specjit.codegen.schedule.overwrite import in_place, targets
from specjit.codegen.schedule.steps import Addr, Call, IfStep, LoopStep, Move, Step
from specjit.codegen.vectors.lanes import ITEMSIZE

Loops = tuple[int, ...]  # the loops around a use, outermost first


@dataclass
class _Walk:
    clock: int = 0
    uses: list[tuple[Storage, int, Loops]] = field(default_factory=list)
    calls: list[tuple[int, Call]] = field(default_factory=list)
    spans: dict[int, tuple[int, int]] = field(default_factory=dict)

    def use(self, storages: Iterable[Storage], loops: Loops) -> None:
        self.uses += [(s, self.clock, loops) for s in storages if s.kind == "temp"]

    def steps(self, steps: list[Step], loops: Loops) -> None:
        for step in steps:
            self.clock += 1
            if isinstance(step, Call):
                self.calls.append((self.clock, step))
                for operand in step.operands:
                    if isinstance(operand, Addr):
                        self.use(targets(operand.base), loops)
            elif isinstance(step, LoopStep):
                self._loop(step, loops)
            elif isinstance(step, IfStep):
                self.steps(step.then, loops)
                self.steps(step.other, loops)
            elif isinstance(step, Move):
                for pointer, place in step.pairs:
                    self.use(targets(place.base) | targets(pointer), loops)

    def _loop(self, step: LoopStep, loops: Loops) -> None:
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


Lives = dict[Storage, tuple[int, int]]


def lifetimes(steps: list[Step]) -> tuple[Lives, dict[Storage, Storage]]:
    """First and last moment at which each temporary is needed; and which ones are written over another one, by the
    kernel that reads that one last."""
    walk = _Walk()
    walk.steps(steps, ())
    lives = _lives(walk)
    return lives, _taken_over(walk, lives)


def _lives(walk: _Walk) -> Lives:
    common: dict[Storage, Loops] = {}
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


def _taken_over(walk: _Walk, lives: Lives) -> dict[Storage, Storage]:
    found: dict[Storage, Storage] = {}
    for at, call in walk.calls:
        written = [s for s in _temporaries(call, call.writes) if lives[s][0] == at]
        last_read = [s for s in _temporaries(call, call.reads) if lives[s][1] == at]
        for made in written:
            over = next((s for s in last_read if _fits(call, s, made)), None)
            if over is not None:
                last_read.remove(over)
                found[made] = over
    return found


def _temporaries(call: Call, positions: Iterable[int]) -> list[Storage]:
    """The temporaries that a call names itself at these operands, each once."""
    bases = (o.base for o in (call.operands[k] for k in sorted(positions)) if isinstance(o, Addr))
    return list(dict.fromkeys(b for b in bases if isinstance(b, Storage) and b.kind == "temp"))


def _fits(call: Call, over: Storage, made: Storage) -> bool:
    """Whether a call can write `made` where `over` lies."""
    if (ITEMSIZE[over.dtype], over.elements) != (ITEMSIZE[made.dtype], made.elements):
        return False
    pointed = {s for base in call.bases() if isinstance(base, Pointer) for s in base.targets}
    return not pointed & {over, made} and over is not made and in_place(call, over, made)
