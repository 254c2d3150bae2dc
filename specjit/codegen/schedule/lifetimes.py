"""When each temporary is needed.

Enters: the steps of a program. Leaves: per temporary the first and the last moment at which it must keep its place;
moments are the steps in the order in which they stand.
Invariant: a temporary that crosses a loop's turn or boundary is needed for the whole loop.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from specjit.codegen.schedule.lower_loop import targets
from specjit.codegen.schedule.model import Storage
from specjit.codegen.schedule.steps import Addr, Call, IfStep, LoopStep, Move, Step

Loops = tuple[int, ...]  # the loops around a use, outermost first


@dataclass
class _Walk:
    clock: int = 0
    uses: list[tuple[Storage, int, Loops]] = field(default_factory=list)
    spans: dict[int, tuple[int, int]] = field(default_factory=dict)

    def use(self, storages: Iterable[Storage], loops: Loops) -> None:
        self.uses += [(s, self.clock, loops) for s in storages if s.kind == "temp"]

    def steps(self, steps: list[Step], loops: Loops) -> None:
        for step in steps:
            self.clock += 1
            if isinstance(step, Call):
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


def lifetimes(steps: list[Step]) -> dict[Storage, tuple[int, int]]:
    """First and last moment at which each temporary is needed."""
    walk = _Walk()
    walk.steps(steps, ())
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
