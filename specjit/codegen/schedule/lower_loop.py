"""Loops -> steps: where carried values live from turn to turn.

Enters: a `Loop` item. Leaves: a `LoopStep` with the pointers that it moves.
Invariant: the next value of a carried tensor is written over the current one only where `overwrite` says so. Of one
that is made by writing a part of the current one, all turns are written into one buffer, which is there before the
first turn. Otherwise two buffers take turns. A value that is also a row of a stack is carried by pointing at the row.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from specjit.codegen.schedule import emit
from specjit.codegen.schedule.items import CarriedTensor, Loop
from specjit.codegen.schedule.model import Base, Home, Pointer, Scalar, Source, Storage, View
from specjit.codegen.schedule.overwrite import can_overwrite, leave_out, rename, stays, targets
from specjit.codegen.schedule.plan import Note
from specjit.codegen.schedule.steps import Addr, Do, IfStep, LoopStep, Step, nanoseconds, work
from specjit.ir.dims import product

if TYPE_CHECKING:
    from specjit.codegen.schedule.lower import Lowering


def address_of(view: View) -> Addr:
    """Where a contiguous view starts."""
    home = emit.home_of(view.source)
    assert view.ref.offset is not None
    return Addr(home.base, view.source.dtype, home.offset + view.ref.offset)


def loop(low: Lowering, item: Loop, steps: list[Step]) -> None:
    starts: list[tuple[Base, Addr]] = []
    for t in item.tensors:
        t.current.targets |= targets(address_of(t.init).base)
    body = low.block(item.body)
    moves: list[tuple[Base, Addr]] = []
    held: set[Storage] = set()
    after: list[Step] = []
    turned = _turned(low, item, after)
    for t in item.tensors:
        whole = _one_buffer(low, t, body)
        if whole is not None:
            held |= targets(whole)
            steps.append(emit.copy_call(t.init, Home(whole)))
            t.result.home = Home(whole)
            if t.result.want is not None and whole is not _whole(t):
                place = t.result.want.resolved()
                after.append(emit.copy_call(t.result.whole(), place))
                t.result.home = place
            continue
        starts.append((t.current, address_of(t.init)))
        if t.moved is not None:
            if t.moved.source is not t.param:
                there = address_of(t.moved)
                moves.append((t.current, there))
                t.current.targets |= targets(there.base)
                held |= targets(there.base)
            _deliver(t, None, turned, after)
            continue
        in_place = can_overwrite(t.current, t.following, body)
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
            spare = Pointer(f"{t.following.name}'", t.param.dtype, elements)
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
    """A truth value: the loop made at least one turn. None if that is certain, or nobody asks."""
    if not any(t.result.want is not None for t in item.tensors):
        return None
    known: list[Scalar] = [] if item.cond.value is True else [item.cond]
    trip = item.trip
    if trip is not None and not (isinstance(trip.value, int) and trip.value > 0):
        reg = low.builder.new_reg("bool")
        after.append(Do("LT", reg, [Scalar("int", 0), trip]))
        known.append(Scalar("bool", reg))
    if len(known) < 2:
        return known[0] if known else None
    both = low.builder.new_reg("bool")
    after.append(Do("AND", both, list(known)))
    return Scalar("bool", both)


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
    base = _whole(t)
    return base if isinstance(base, Storage) else None


def _whole(t: CarriedTensor) -> Base | None:
    """The memory that a wanted result is all of."""
    if t.result.want is None:
        return None
    want = t.result.want.resolved()
    return want.base if want.offset == 0 and want.strides is None else None


def _one_buffer(low: Lowering, t: CarriedTensor, body: list[Step]) -> Base | None:
    """The buffer of which every turn writes a part, for a value that is carried so: the body then uses it."""
    same = stays(body, t.current, t.following) if t.moved is None else []
    if not same:
        return None
    if not can_overwrite(t.current, t.following, body, same):
        where = tuple(loc for call in same for loc in call.locs)[:1]
        name = t.param.hint or "an array"
        why = f"{name} is copied in every turn of the loop: what is written into it comes from other parts of it"
        low.refused.append(Note("NOT_FUSED", why, tuple(same[0].ops), where))
        return None
    leave_out(body, same)
    buffer = _whole(t) or Storage("temp", t.param.dtype, product(t.param.dims) or 0, t.param.hint)
    for pointer in (t.current, t.following):
        rename(body, pointer, buffer)
    return buffer
