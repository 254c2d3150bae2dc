"""Loops -> steps: where carried values live from turn to turn.

Enters: a `Loop` item. Leaves: a `LoopStep` with the pointers that it moves.
Invariant: the next value of a carried tensor is written over the current one only if nothing reads the current one
later in the turn, and its own kernel reads it only at the element being written. Otherwise two buffers take turns. A
value that is also a row of a stack is carried by pointing at the row.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from specjit.codegen.kernels.spec import GemmSpec, LoopSpec
from specjit.codegen.schedule import emit
from specjit.codegen.schedule.items import CarriedTensor, Loop
from specjit.codegen.schedule.model import Base, Home, Pointer, Reg, Scalar, Source, Storage, View
from specjit.codegen.schedule.steps import Addr, Call, Do, IfStep, LoopStep, Step, nanoseconds, walk, work
from specjit.ir.dims import product

if TYPE_CHECKING:
    from specjit.codegen.schedule.lower import Lowering


def address_of(view: View) -> Addr:
    """Where a contiguous view starts."""
    home = emit.home_of(view.source)
    assert view.ref.offset is not None
    return Addr(home.base, view.source.dtype, home.offset + view.ref.offset)


def targets(base: Base | Reg) -> set[Storage]:
    return {base} if isinstance(base, Storage) else base.targets if isinstance(base, Pointer) else set()


def loop(low: Lowering, item: Loop, steps: list[Step]) -> None:
    starts: list[tuple[Base, Addr]] = []
    for t in item.tensors:
        start = address_of(t.init)
        starts.append((t.current, start))
        t.current.targets |= targets(start.base)
    body = low.block(item.body)
    moves: list[tuple[Base, Addr]] = []
    held: set[Storage] = set()
    after: list[Step] = []
    turned = _turned(low, item, after)
    for t in item.tensors:
        if t.moved is not None:
            if t.moved.source is not t.param:
                place = address_of(t.moved)
                moves.append((t.current, place))
                t.current.targets |= targets(place.base)
                held |= targets(place.base)
            _deliver(t, None, turned, after)
            continue
        in_place = can_overwrite(t, body)
        want = _target(t) if in_place else None
        elements = product(t.param.dims)
        assert elements is not None
        buffer = want or Storage("temp", t.param.dtype, elements, t.param.hint)
        held.add(buffer)
        t.current.targets.add(buffer)
        t.following.targets.add(buffer)
        starts.append((t.following, Addr(buffer, t.param.dtype)))
        moves.append((t.current, Addr(t.following, t.param.dtype)))
        if not in_place:
            second = Storage("temp", t.param.dtype, elements, t.param.hint)
            held.add(second)
            spare = Pointer(f"{t.following.name}'")
            for p in (t.current, t.following, spare):
                p.targets |= {buffer, second}
            starts.append((spare, Addr(second, t.param.dtype)))
            moves += [(t.following, Addr(spare, t.param.dtype)), (spare, Addr(t.following, t.param.dtype))]
        _deliver(t, want, turned, after)
    numbers = [(s.param, s.init, s.next) for s in item.scalars if s.next is not None]
    made = LoopStep(
        item.trip, item.cond, item.next_cond, item.reverse, item.index, body, numbers, starts, moves, held,
        weight=nanoseconds(work(body)),
    )  # fmt: skip
    steps.append(made)
    steps += after


def _turned(low: Lowering, item: Loop, after: list[Step]) -> Scalar | None:
    """A truth value: the loop made at least one turn. None if that is certain."""
    trip = item.trip
    if trip is not None and isinstance(trip.value, int) and trip.value > 0 and item.cond.value is True:
        return None
    if not any(t.result.want is not None for t in item.tensors):
        return None
    reg = low.builder.new_reg("bool")
    counted = trip if trip is not None and item.cond.value is True else Scalar("int", item.index.size)
    after.append(Do("LT", reg, [Scalar("int", 0), counted]))
    return Scalar("bool", reg)


def _deliver(t: CarriedTensor, buffer: Storage | None, turned: Scalar | None, after: list[Step]) -> None:
    """Put a wanted result where it must be after the loop; `buffer` is that place if the loop wrote there."""
    want = t.result.want
    if want is None:
        return
    want = want.resolved()
    if buffer is None:
        after.append(emit.copy_call(current_of(t), want))
    elif turned is not None:
        after.append(IfStep(turned, [], [emit.copy_call(current_of(t), want)], []))
    t.result.home = want


def current_of(t: CarriedTensor) -> View:
    """The carried value where it is now."""
    return Source(t.param.dtype, t.param.dims, home=Home(t.current)).whole()


def _target(t: CarriedTensor) -> Storage | None:
    """The storage that a wanted result is all of."""
    if t.result.want is None:
        return None
    want = t.result.want.resolved()
    whole = isinstance(want.base, Storage) and want.offset == 0 and want.strides is None
    return want.base if whole and isinstance(want.base, Storage) else None


def can_overwrite(t: CarriedTensor, body: list[Step]) -> bool:
    """Whether `following` may be the memory of `current`."""
    return _written(t, body, False) is True


def _written(t: CarriedTensor, steps: list[Step], written: bool) -> bool | None:
    """Whether `following` is written after the steps; None if the current value is read when or after that happens."""
    for step in steps:
        if isinstance(step, IfStep):
            sides = [_written(t, side, written) for side in (step.then, step.other)]
            if None in sides:
                return None
            written = any(sides)
            continue
        calls = [s for s in walk([step]) if isinstance(s, Call)]
        if written and any(reads(c, t.current) for c in calls):
            return None
        if any(c.operands[k].base is t.following for c in calls for k in c.writes):  # type: ignore[union-attr]
            if calls != [step] or not in_place(calls[0], t.current, t.following):
                return None
            written = True
    return written


def reads(call: Call, base: Base) -> bool:
    return any(isinstance(call.operands[k], Addr) and call.operands[k].base is base for k in call.reads)  # type: ignore[union-attr]


def in_place(call: Call, current: Base, following: Base) -> bool:
    """Whether the call can write `following` over `current`: it reads `current` only at the element that it writes at
    the same point."""
    spec = call.spec
    if not isinstance(spec, LoopSpec | GemmSpec):
        return not reads(call, current)
    if isinstance(spec, GemmSpec):
        for k in (k for s in spec.segments for k in (s.a.base, s.b)):
            if call.operands[k].base is current:  # type: ignore[union-attr]
                return False
    written = set()
    for store in spec.stores:
        where = call.operands[store.access.base]
        if isinstance(where, Addr) and where.base is following:
            written.add((where.offset + store.access.offset, store.access.strides))  # type: ignore[operator]
    for inst in spec.body:
        if inst.access is None:
            continue
        where = call.operands[inst.access.base]
        if isinstance(where, Addr) and where.base is current:
            if len(written) != 1 or (where.offset + inst.access.offset, inst.access.strides) not in written:  # type: ignore[operator]
                return False
    return True
