"""Arrays that are made from another one by writing a part of it: where they lie in the memory of that one.

Enters: the steps of a block, and two pieces of memory, `old` and `new`. Leaves: whether `new` may be the same memory;
and steps in which it is.
Invariant: then no kernel reads an element of `old` after it was written over, and a kernel that does both reads just
the element that it writes at that point, or elements that it does not write. A copy of elements of `old` to the same
places of `new` does nothing where they are one, so it is left out (`stays`).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from specjit.codegen.kernels.spec import Access, Extent, GemmSpec, LoopSpec
from specjit.codegen.schedule.index import at_least
from specjit.codegen.schedule.model import Base, Home, Pointer, Reg, Scalar, Storage
from specjit.codegen.schedule.steps import Addr, Call, IfStep, LoopStep, Move, Step, walk
from specjit.ir.dims import Size

NOTHING: frozenset[Call] = frozenset()


def targets(base: Base | Reg) -> set[Storage]:
    return {base} if isinstance(base, Storage) else base.targets if isinstance(base, Pointer) else set()


# -- what may be one ---------------------------------------------------------------------------------------------------


def can_overwrite(old: Base, new: Base, steps: list[Step], without: Collection[Call] = NOTHING) -> bool:
    """Whether `new` may be the memory of `old`, of which the steps (but those in `without`) make it."""
    return _written(_names(old, steps), new, steps, False, without) is True


def stays(steps: list[Step], old: Base, new: Base) -> list[Call]:
    """The calls that do nothing if `old` and `new` are one: they copy elements to the same places."""
    return [s for s in walk(steps) if isinstance(s, Call) and _moved(s) == (old, new)]


def _moved(call: Call) -> tuple[Base, Base] | None:
    """The two pieces of memory, if the call copies elements of one to the same places of another."""
    spec = call.spec
    if not isinstance(spec, LoopSpec) or spec.reduced or len(spec.body) != 1 or len(spec.stores) != 1:
        return None
    load, store = spec.body[0].access, spec.stores[0].access
    if load is None or load.strides != store.strides or load.dtype != store.dtype:
        return None
    here, there = call.operands[load.base], call.operands[store.base]
    if not isinstance(here, Addr) or not isinstance(there, Addr) or _first(call, load) != _first(call, store):
        return None
    if isinstance(here.base, Reg) or isinstance(there.base, Reg):
        return None
    return here.base, there.base


def _names(base: Base, steps: list[Step]) -> set[Base]:
    """What the memory is called in the steps: inner loops carry pointers to it under their own names."""
    found = {base}
    assigned = [pair for step in walk(steps) for pair in _assigned(step)]
    while True:
        more = {pointer for pointer, place in assigned if place.base in found} - found
        if not more:
            return found
        found |= more


def _assigned(step: Step) -> list[tuple[Base, Addr]]:
    """The pointers that a step itself sets, and where to."""
    if isinstance(step, LoopStep):
        return [*step.pointers, *step.moves]
    return step.pairs if isinstance(step, Move) else []


def _written(
    old: set[Base], new: Base, steps: list[Step], written: bool, without: Collection[Call] = NOTHING
) -> bool | None:
    """Whether `new` is written after the steps; None if an element of `old` is read when or after that has happened to
    it."""
    for step in steps:
        if isinstance(step, IfStep):
            sides = [_written(old, new, side, written, without) for side in (step.then, step.other)]
            if None in sides:
                return None
            written = any(sides)
            continue
        calls = [s for s in walk([step]) if isinstance(s, Call) and s not in without]
        read = any(reads(c, base) for c in calls for base in old)
        if written and read:
            return None
        if any(writes(c, new) for c in calls):
            if read and (calls != [step] or not all(in_place(calls[0], base, new) for base in old)):
                return None
            written = True
    return written


def reads(call: Call, base: Base) -> bool:
    return any(isinstance(o, Addr) and o.base is base for o in (call.operands[k] for k in call.reads))


def writes(call: Call, base: Base) -> bool:
    return any(isinstance(o, Addr) and o.base is base for o in (call.operands[k] for k in call.writes))


def in_place(call: Call, old: Base, new: Base) -> bool:
    """Whether the call can write `new` where `old` is: of `old` it reads only the element that it writes at the same
    point, or elements that it does not write."""
    spec = call.spec
    if not isinstance(spec, LoopSpec | GemmSpec):
        return not reads(call, old)
    domain = _domain(spec)
    written = [(s.access, domain) for s in spec.stores if _base(call, s.access) is new]
    if isinstance(spec, GemmSpec):
        if any(call.operands[s.b].base is old for s in spec.segments):  # type: ignore[union-attr]
            return False
        rows = [(s.a, (*spec.outer, spec.rows, s.k)) for s in spec.segments if _base(call, s.a) is old]
        if not all(_disjoint(call, row, store) for row in rows for store in written):
            return False
    loads = [(i.access, domain) for i in spec.body if i.access is not None and _base(call, i.access) is old]
    for load in loads:
        if len(written) == 1 and _same(call, load[0], written[0][0]):
            continue
        if not all(_disjoint(call, load, store) for store in written):
            return False
    return True


def _domain(spec: LoopSpec | GemmSpec) -> tuple[Extent, ...]:
    """The loops that loads and stores run over."""
    return spec.domain if isinstance(spec, LoopSpec) else (*spec.outer, spec.rows, spec.units)


def _base(call: Call, access: Access) -> Base | Reg | None:
    operand = call.operands[access.base]
    return operand.base if isinstance(operand, Addr) else None


def _first(call: Call, access: Access) -> Size:
    """The position of an access's first element in its memory."""
    where = call.operands[access.base]
    assert isinstance(where, Addr)
    return where.offset + _size(call, access.offset)


def _same(call: Call, a: Access, b: Access) -> bool:
    return _first(call, a) == _first(call, b) and a.strides == b.strides


def _size(call: Call, extent: Extent) -> Size:
    if isinstance(extent, int):
        return extent
    number = call.operands[extent.index]
    assert isinstance(number, Scalar)
    return number.value.size if isinstance(number.value, Reg) else number.value  # type: ignore[return-value]


Reach = tuple[Access, Sequence[Extent]]  # an access, and the extents of the loops it runs over


def _disjoint(call: Call, a: Reach, b: Reach) -> bool:
    """Whether two accesses, of memory that may be one, certainly have no element in common."""
    steps = []
    for access, domain in (a, b):
        pairs = [(_size(call, s), _size(call, n)) for s, n in zip(access.strides, domain, strict=True)]
        steps.append([(s, n) for s, n in pairs if s != 0 and n != 1])
    if not all(at_least(s, 0) for pairs in steps for s, _ in pairs):
        return False
    low = [_first(call, access) for access, _ in (a, b)]
    return _apart(low, steps)


def _apart(low: list[Size], steps: list[list[tuple[Size, Size]]]) -> bool:
    """The same for first elements and (stride, extent) pairs: one ends before the other begins, or they run alike along
    a stride that is longer than all the rest."""
    high = [first + sum((s * (n - 1) for s, n in pairs), 0) for first, pairs in zip(low, steps, strict=True)]
    if _above(low[0], high[1]) or _above(low[1], high[0]):
        return True
    for stride in {s for s, _ in steps[0]} & {s for s, _ in steps[1]}:
        inner = [[p for p in pairs if p[0] != stride] for pairs in steps]
        if any(len(pairs) != len(rest) + 1 for pairs, rest in zip(steps, inner, strict=True)):
            continue
        ends = [first + sum((s * (n - 1) for s, n in rest), 0) for first, rest in zip(low, inner, strict=True)]
        if all(_above(stride, e - first) for e in ends for first in low) and _apart(low, inner):
            return True
    return False


def _above(a: Size, b: Size) -> bool:
    """Whether `a > b` is certain: numbers that are known only at run time cancel out."""
    rest = a - b
    return isinstance(rest, int) and rest > 0


# -- making it one -----------------------------------------------------------------------------------------------------


def leave_out(steps: list[Step], calls: Collection[Call]) -> None:
    """Take calls out of the steps, and of those inside them."""
    steps[:] = [s for s in steps if s not in calls]
    for step in steps:
        if isinstance(step, LoopStep):
            leave_out(step.body, calls)
        elif isinstance(step, IfStep):
            leave_out(step.then, calls)
            leave_out(step.other, calls)


def rename(steps: list[Step], old: Base, new: Base) -> None:
    """Have the steps use `new` where they used `old`."""

    def pointed(pairs: Iterable[tuple[Base, Addr]]) -> list[tuple[Base, Addr]]:
        found = []
        for pointer, place in pairs:
            if place.base is old and isinstance(pointer, Pointer):
                pointer.targets |= targets(new)
            found.append((pointer, renamed(place)))
        return found

    def renamed(place: Addr) -> Addr:
        return Addr(new, place.dtype, place.offset) if place.base is old else place

    for step in walk(steps):
        if isinstance(step, Call):
            step.operands[:] = [renamed(o) if isinstance(o, Addr) else o for o in step.operands]
        elif isinstance(step, LoopStep):
            step.pointers, step.moves = pointed(step.pointers), pointed(step.moves)
            if old in step.held:
                step.held.discard(old)
                step.held |= targets(new)
        elif isinstance(step, Move):
            step.pairs = pointed(step.pairs)


def coalesce(steps: list[Step], inner: bool) -> None:
    """Temporaries that the steps (all of a block's) fill, and from which they then make another array by copying what
    stays and writing the rest, are that array from the start.

    inner: the block is a loop's or a branch's: of an array that it makes a part of only (a row of a stack), other turns
    have made the rest."""
    tried: set[tuple[Base, Base]] = set()
    while True:
        pairs = (_moved(s) for s in walk(steps) if isinstance(s, Call))
        pair = next((p for p in pairs if p is not None and p not in tried and p[0] is not p[1]), None)
        if pair is None:
            return
        tried.add(pair)
        old, new = pair
        same = stays(steps, old, new)
        if isinstance(old, Storage) and _can_become(old, new, steps, same) and not (inner and _partly(steps, new)):
            leave_out(steps, same)
            rename(steps, old, new)
            old.instead = Home(new)


def _can_become(old: Storage, new: Base, steps: list[Step], same: list[Call]) -> bool:
    if old.kind != "temp" or (old.dtype, old.elements) != (new.dtype, new.elements):
        return False
    if isinstance(new, Storage) and new.kind not in ("temp", "output"):
        return False
    if _pointed(steps) & ({old} | ({new} if isinstance(new, Storage) else set())):
        return False
    filled = [k for k, s in enumerate(steps) if any(writes(c, old) for c in _calls(s))]
    used = [k for k, s in enumerate(steps) if any(base is new for c in _calls(s) for base in c.bases())]
    if not filled or not used or filled[-1] >= used[0]:
        return False
    rest = steps[used[0] :]
    left = [c for s in rest for c in _calls(s) if c not in same]
    if not any(writes(c, new) for c in left):
        return True
    return can_overwrite(old, new, rest, same)


def _partly(steps: list[Step], base: Base) -> bool:
    """Whether the steps may write less than all of an array. No two write the same element."""
    count: Size = 0
    for call in (s for s in walk(steps) if isinstance(s, Call) and writes(s, base)):
        spec = call.spec
        if not isinstance(spec, LoopSpec | GemmSpec) or (isinstance(spec, LoopSpec) and spec.reduced):
            return True
        elements: Size = sum(_base(call, store.access) is base for store in spec.stores)
        for extent in _domain(spec):
            elements = elements * _size(call, extent)
        count = count + elements
    return count != base.elements


def _calls(step: Step) -> list[Call]:
    return [s for s in walk([step]) if isinstance(s, Call)]


def _pointed(steps: list[Step]) -> set[Storage]:
    """What pointers may point into."""
    found: set[Storage] = set()
    for step in walk(steps):
        for pointer, place in _assigned(step):
            found |= targets(pointer) | targets(place.base)
        for base in step.bases() if isinstance(step, Call) else ():
            if isinstance(base, Pointer):
                found |= base.targets
    return found
