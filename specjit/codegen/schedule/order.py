"""The order in which a block's kernels run, for memory: fewer bytes alive at one moment, and values read soon after
they are made.

Enters: the groups of every block, fused. Leaves: for the blocks where it is better than the order of the program, the
groups in the order found.
Invariant: a group runs after all that it depends on (values, numbers, and the checks that keep its reads in bounds).
Nothing else tells two orders apart: a region has no outside effect before it succeeds, random draws know their
counters, and where anything fails the whole region runs again as the program says.

What an order costs is a model here: values that must be stored are alive from their maker to their last reader, an
inner block adds its own peak, a carried value that is written before its last reader needs a second buffer. Whether
the plan that comes of it is better, `driver` looks at.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from specjit.codegen.schedule.fuse import Fuser
from specjit.codegen.schedule.group import Group
from specjit.codegen.schedule.items import BlockItems, If, Item, Loop, Part
from specjit.codegen.schedule.model import Source, Storage, estimate
from specjit.codegen.vectors.lanes import ITEMSIZE
from specjit.ir.dims import Size, product

WIDTH = 6  # orders that are followed side by side
SOONER = 0.9  # of the waiting in the program's order, for an order with the same peak
MAX_STEPS = 20_000  # continuations looked at in one block; a large block follows fewer orders

Place = Source | Storage  # what takes memory: a value of its own, or storage that several values are parts of


@dataclass
class Load:
    """What one group does to memory."""

    needs: int = 0  # the groups before it, as bits
    makes: dict[Place, int] = field(default_factory=dict)  # bytes of the places that it writes
    uses: set[Place] = field(default_factory=set)
    during: int = 0  # bytes needed only while it runs
    spoils: list[tuple[int, int]] = field(default_factory=list)  # (readers, bytes): a buffer, unless all ran before


@dataclass(frozen=True, order=True)
class Cost:
    """`peak`: bytes alive at the worst moment. `waiting`: bytes alive, summed over the groups."""

    peak: int
    waiting: int

    def much_better(self, other: Cost) -> bool:
        """Whether it pays to leave the other order, which is the program's."""
        return self.peak < other.peak or (self.peak == other.peak and self.waiting < SOONER * other.waiting)


class Arranger:
    """Orders blocks, inner ones first. `stored(source, group)`: whether a value must be in memory; `packed(group,
    block)`: sizes of the panels that are made for it in this block; `sizes`: what symbols usually are."""

    def __init__(
        self,
        fused: Mapping[BlockItems, Fuser],
        stored: Callable[[Source, Group], bool],
        packed: Callable[[Group, BlockItems], Iterable[Size]],
        sizes: Mapping[str, int],
    ) -> None:
        self.fused, self.stored, self.packed, self.sizes = fused, stored, packed, sizes
        self.orders: dict[BlockItems, list[Group]] = {}

    def run(self, block: BlockItems, carried: Sequence[tuple[Source, Source]] = ()) -> int:
        """Order a block and those inside it; the most bytes that it needs. `carried`: in a loop's body, (current
        value, next value) of what changes in place."""
        program = self.fused[block].ordered()
        loads = self._loads(block, program, carried)
        known = cost(loads, range(len(loads)))
        found = search(loads)
        better = cost(loads, found)
        if not better.much_better(known):
            return known.peak
        self.orders[block] = [program[i] for i in found]
        return better.peak

    def _loads(self, block: BlockItems, groups: list[Group], carried: Sequence[tuple[Source, Source]]) -> list[Load]:
        fuser = self.fused[block]
        number = {g: i for i, g in enumerate(groups)}
        own = set(_storages(block))
        loads = []
        for g in groups:
            load = Load(_bits(number[h] for h in fuser.inputs(g)))
            for source in g.makes():
                place = _place(source)
                if place in own or (place is source and (not g.fusible or self.stored(source, g))):
                    load.makes[place] = self._bytes(place)
            read = (_place(v.source) for v in g.reads())
            load.uses = {p for p in read if p is not None} | set(load.makes)
            load.during = sum(estimate(s, self.sizes) for s in self.packed(g, block)) + sum(map(self._inside, g.items))
            loads.append(load)
        for current, following in carried:
            if following.owner is block:
                writer = number[fuser.of[following]]
                readers = (i for g, i in number.items() if any(v.source is current for v in g.reads()))
                loads[writer].spoils.append((_bits(i for i in readers if i != writer), self._bytes(current)))
        return loads

    def _inside(self, item: Item) -> int:
        """Bytes that the blocks inside an item need."""
        if isinstance(item, Loop):
            changing = [t for t in item.tensors if t.moved is None and t.next is not None]
            return self.run(item.body, [(t.param, t.next.source) for t in changing])  # type: ignore[union-attr]
        if isinstance(item, If):
            return max(map(self.run, item.branches))
        return 0

    def _bytes(self, place: Place) -> int:
        count = place.elements if isinstance(place, Storage) else product(place.dims)
        return max(0, estimate(count, self.sizes) * ITEMSIZE[place.dtype])


def _place(source: Source) -> Place | None:
    """What takes the memory of a value; None where it lies in memory that is there anyway."""
    home = source.want or source.home
    if home is None:
        return source
    base = home.resolved().base
    if isinstance(base, Storage):
        return base if base.kind == "temp" else None
    return source if isinstance(source.maker, Loop) else None  # a carried value, after the loop


def _storages(block: BlockItems) -> Iterator[Place]:
    """Storages that several items of the block write, or that an inner block writes."""
    for item in block.items:
        if isinstance(item, Loop | If | Part):
            yield from (p for s in item.makes() if isinstance(p := _place(s), Storage))


def _bits(numbers: Iterable[int]) -> int:
    found = 0
    for n in numbers:
        found |= 1 << n
    return found


# -- searching ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _State:
    """Some groups have run. `made`: places that have memory, as bits; they keep it until their last user ran."""

    done: int = 0
    made: int = 0
    alive: int = 0
    cost: Cost = Cost(0, 0)
    order: tuple[int, ...] = ()


class _Space:
    """The loads of a block, with places as numbers."""

    def __init__(self, loads: Sequence[Load]) -> None:
        self.loads = loads
        number = {p: k for k, p in enumerate(dict.fromkeys(p for load in loads for p in load.makes))}
        self.bytes = [0] * len(number)
        self.users = [0] * len(number)
        for i, load in enumerate(loads):
            for p, size in load.makes.items():
                self.bytes[number[p]] = size
            for p in load.uses & number.keys():
                self.users[number[p]] |= 1 << i
        self.makes = [[number[p] for p in load.makes] for load in loads]
        self.uses = [sorted(number[p] for p in load.uses & number.keys()) for load in loads]
        self.free = [i for i, load in enumerate(loads) if not (load.makes or load.during or load.spoils)]

    def run(self, state: _State, i: int) -> _State:
        load, done, made, alive = self.loads[i], state.done | 1 << i, state.made, state.alive
        for p in self.makes[i]:
            if not made >> p & 1:
                made |= 1 << p
                alive += self.bytes[p]
        alive += sum(size for readers, size in load.spoils if readers & ~done)
        found = Cost(max(state.cost.peak, alive + load.during), state.cost.waiting + alive)
        alive -= sum(self.bytes[p] for p in self.uses[i] if not self.users[p] & ~done)
        return _State(done, made, alive, found, (*state.order, i))

    def ready(self, state: _State, groups: Iterable[int]) -> list[int]:
        """Those of some groups that have not run and can run now."""
        return [i for i in groups if not state.done >> i & 1 and not self.loads[i].needs & ~state.done]

    def advanced(self, state: _State) -> _State:
        """After all groups that can run and need no memory: they only end what others wait for."""
        while True:
            free = self.ready(state, self.free)
            if not free:
                return state
            for i in free:
                state = self.run(state, i)


def cost(loads: Sequence[Load], order: Iterable[int]) -> Cost:
    """Of running the groups in this order."""
    space, state = _Space(loads), _State()
    for i in order:
        state = space.run(state, i)
    return state.cost


def search(loads: Sequence[Load]) -> tuple[int, ...]:
    """A good order: the best continuations of a few are followed side by side. Of equal ones, that of the program."""
    space = _Space(loads)
    states = [space.advanced(_State())]
    looked = 0
    while len(states[0].order) < len(loads):
        following: dict[int, _State] = {}
        for state in states:
            for i in space.ready(state, range(len(loads))):
                looked += 1
                found = space.advanced(space.run(state, i))
                other = following.get(found.done)
                if other is None or found.cost < other.cost:
                    following[found.done] = found
        width = WIDTH if looked < MAX_STEPS else 1
        ranked = sorted(following.values(), key=lambda s: (s.cost.peak, s.alive, s.cost.waiting, s.order))
        states = ranked[:width]  # all have run equally many groups that need memory
    return states[0].order
