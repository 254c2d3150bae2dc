"""The order in which a block's kernels run, for memory: fewer bytes alive at one moment, and values read soon after
they are made.

Enters: the groups of every block, fused. Leaves: per block the groups in the order found, where that is better than
the order of the program.
Invariant: a group runs after all that it depends on (values, numbers, and the checks that keep its reads in bounds).
Nothing else tells two orders apart: a region has no outside effect before it succeeds, random draws know their
counters, and where anything fails the whole region runs again as the program says.

What a block costs is a model here: values that must be stored live from their maker to their last reader; an inner
block adds its own peak; a carried value that is written before its last reader needs a second buffer. The plans of
both orders are made and compared (`driver`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from specjit.codegen.lanes import ITEMSIZE
from specjit.codegen.schedule.fuse import Fuser
from specjit.codegen.schedule.group import Group
from specjit.codegen.schedule.items import BlockItems, If, Item, Loop, Part
from specjit.codegen.schedule.model import Source, Storage
from specjit.ir.dims import Size, evaluate, product

WIDTH = 6  # orders that are followed side by side
MAX_STEPS = 200_000  # (order, next group) pairs looked at in one block; larger blocks follow fewer orders

Place = Source | Storage  # what takes memory: a value of its own, or storage that several values are parts of


@dataclass
class Load:
    """What one group does to memory."""

    needs: int = 0  # the groups before it, as bits
    makes: dict[Place, int] = field(default_factory=dict)  # bytes of what it is (perhaps) the first to write
    uses: set[Place] = field(default_factory=set)
    during: int = 0  # bytes needed only while it runs
    spoils: list[tuple[int, int]] = field(default_factory=list)  # (readers, bytes): a buffer, unless all ran before


@dataclass(frozen=True)
class Cost:
    """`peak`: bytes alive at the worst moment. `waiting`: bytes alive, summed over the groups."""

    peak: int
    waiting: int

    def better(self, other: Cost) -> bool:
        return (self.peak, self.waiting) < (other.peak, other.waiting)


class Arranger:
    """Orders blocks, inner ones first. `stored(source, group)` says whether a value must be in memory; `values` are
    sizes to compare with."""

    def __init__(
        self, fused: Mapping[BlockItems, Fuser], stored: Callable[[Source, Group], bool], values: Mapping[str, int]
    ) -> None:
        self.fused, self.stored, self.values = fused, stored, values
        self.order: dict[BlockItems, list[Group]] = {}  # of the blocks for which a better one was found
        self.results: dict[Source, Source | None] = {}  # of loops: what a result's memory is, None: its own

    def run(self, block: BlockItems, carried: Iterable[tuple[Source, Source]] = ()) -> int:
        """Order a block and those inside it; the most bytes that it needs. `carried`: in a loop's body, (current
        value, next value) of what changes in place."""
        program = self.fused[block].ordered()
        loads = self._loads(block, program, list(carried))
        known = cost(loads, range(len(program)))
        found = search(loads)
        chosen = cost(loads, found)
        if not chosen.better(known):
            return known.peak
        self.order[block] = [program[i] for i in found]
        return chosen.peak

    # what groups do to memory

    def _loads(self, block: BlockItems, groups: list[Group], carried: list[tuple[Source, Source]]) -> list[Load]:
        fuser = self.fused[block]
        number = {g: i for i, g in enumerate(groups)}
        own = set(_storages(block))
        loads = []
        for g in groups:
            load = Load(needs=_bits(number[h] for h in fuser.inputs(g)))
            for source in g.makes():
                place = self._place(source)
                if place in own or (place is source and (not g.fusible or self.stored(source, g))):
                    load.makes[place] = self._bytes(source if place is source else place)
            load.uses = {p for v in g.reads() if (p := self._place(v.source)) is not None} | set(load.makes)
            for item in g.items:
                load.during += self._during(item)
            load.during += sum(self._bytes(b.source) for b in self._packed_here(g, block))
            loads.append(load)
        for current, following in carried:
            writer = number.get(fuser.of[following]) if following in fuser.of else None
            readers = _bits(i for g, i in number.items() if i != writer and any(v.source is current for v in g.reads()))
            if writer is not None:
                loads[writer].spoils.append((readers, self._bytes(current)))
        return loads
