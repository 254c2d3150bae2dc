"""Loops, abstractly.

Enters: generic `loop` nodes. Leaves: typed ones, or straight code for turns that differ (unrolled, or peeled off the
front). Invariant: a loop's body is interpreted with carried types that cover every turn (a fixpoint); what
a body appends to an outer list, once and unconditionally per turn, is a stacked output; storage that a body writes is
carried, so that no pass can move a read of it out of the loop.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

from specjit.ir.constants import same
from specjit.ir.dims import least_for_one
from specjit.ir.graph import Node, Value
from specjit.ir.structure import make_loop, trip_dim
from specjit.ir.types import Type, join
from specjit.specialize import bounds, lists
from specjit.specialize.abstract import Known, NeedsGrowing, NeedsUnrolling, Refused, Rows, flatten
from specjit.specialize.control import (
    as_value,
    check_usable,
    either,
    filled,
    filled_type,
    shaped_like,
    unbound,
    unflatten_all,
)
from specjit.specialize.scopes import Mark, Scope, rebind, written_outside, written_roots

if TYPE_CHECKING:
    from specjit.specialize.specializer import Specializer

MAX_WIDENINGS = 8
MAX_UNROLLED = 64
MAX_PEELED = 3


def loop(spec: Specializer, node: Node) -> None:
    trip, cond, *init = (spec.get(a) for a in node.args)
    if isinstance(cond, Known) and (
        not cond.value or (isinstance(trip, Known) and trip.value is not None and trip.value <= 0)
    ):
        spec.env.update(zip(node.results, init, strict=True))
        return
    mark = Mark(spec)
    try:
        results = _lowered(spec, node, trip, cond, init)
    except NeedsGrowing as reason:
        if reason.seq.depth != spec.depth or reason.seq.grown is not None:
            raise
        mark.back()
        lists.start_buffer(spec, node, trip, reason)
        results = _lowered(spec, node, trip, cond, init)
        lists.end_buffer(spec, reason.seq)
    spec.env.update(zip(node.results, results, strict=True))


def _lowered(spec: Specializer, node: Node, trip: Any, cond: Any, init: list[Any]) -> list[Any]:
    loc = spec.loc
    try:
        return _rolled(spec, node, trip, cond, init)
    except NeedsGrowing:
        raise
    except NeedsUnrolling as reason:
        return _unrolled(spec, node, trip, cond, init, reason)
    except Refused as reason:
        spec.loc = loc
        return _peeled(spec, node, trip, cond, init, reason)


def _unrolled(spec: Specializer, node: Node, trip: Any, cond: Any, state: list[Any], reason: Refused) -> list[Any]:
    if not (isinstance(trip, Known) and isinstance(cond, Known) and trip.value is not None):
        raise reason
    if trip.value > MAX_UNROLLED:
        raise Refused(f"{reason.reason}; {trip.value} turns are too many to unroll", reason.loc)
    return _turns(spec, node, 0, trip.value, state)


def _turns(spec: Specializer, node: Node, i: int, count: int, state: list[Any]) -> list[Any]:
    """The turns from number `i` on as straight code, those after an exit that run-time values decide in an `if`."""
    for k in range(i, count):
        go_on, state = _turn(spec, node, k, state)
        if isinstance(go_on, Value) and k + 1 < count:
            spec.hints = []
            later = functools.partial(_turns, spec, node, k + 1, count, state)
            return either(spec, written_outside(spec, node, state), go_on, later, functools.partial(list, state))
        if isinstance(go_on, Known) and not go_on.value:
            break
    return state


def _turn(spec: Specializer, node: Node, i: int, state: list[Any]) -> tuple[Any, list[Any]]:
    """Turn `i` of a loop as straight code: whether it goes on, and with what. The names of the body go away."""
    (body,) = node.blocks
    outside = set(spec.env)
    spec.env.update(zip(body.params, [Known(i), *state], strict=True))
    spec.walk(body)
    go_on, *after = (spec.get(o) for o in body.outputs)
    for name in [v for v in spec.env if v not in outside]:
        del spec.env[name]
    return go_on, after


def _peeled(spec: Specializer, node: Node, trip: Any, cond: Any, state: list[Any], reason: Refused) -> list[Any]:
    """The first turns as straight code, the others as a loop: for what starts as None or a number, and is something
    else from the first turn on (`total = 0.0`, `if h is None`)."""
    loc = spec.loc
    if not any(isinstance(a, Known) for a in state):
        raise reason
    for peeled in range(1, MAX_PEELED + 1):
        if not (bounds.holds(spec, cond) and _runs(spec, trip, peeled)):
            raise reason
        cond, state = _turn(spec, node, peeled - 1, state)
        spec.loc, spec.hints = loc, []
        done = isinstance(cond, Known) and not cond.value
        if done or (isinstance(trip, Known) and trip.value == peeled):
            return state
        rest = trip if isinstance(trip, Known) and trip.value is None else spec.call("py.sub", trip, peeled)
        try:
            return _rolled(spec, node, rest, cond, state, first=peeled)
        except NeedsGrowing:
            raise
        except Refused:
            spec.loc = loc
    raise reason


def _can_peel(spec: Specializer, trip: Any, cond: Any) -> bool:
    """Whether it is known, or can be guarded, that a loop runs at least once. Nothing is guarded yet."""
    nonempty, least = set(spec.nonempty), dict(spec.bounds)
    try:
        return bounds.holds(spec, cond) and _runs(spec, trip, 1)
    finally:
        spec.nonempty, spec.bounds = nonempty, least


def _always_bound(spec: Specializer, out: Any) -> bool:
    """Whether every turn gives a variable a tensor."""
    return isinstance(out, Value) and out.type.is_tensor and out not in spec.partial


def _runs(spec: Specializer, trip: Any, turns: int) -> bool:
    """Whether a loop runs at least so many turns, which its sizes, or the number it goes by, are then guarded for."""
    if isinstance(trip, Known):
        return trip.value is None or trip.value >= turns
    if trip.type.dim is None:
        return bounds.at_least(spec, trip, turns)
    missing = trip.type.dim - (turns - 1)
    if least_for_one(missing) is None:
        return False
    spec.nonempty.add(missing)
    return True


def _rolled(spec: Specializer, node: Node, trip: Any, cond: Any, init: list[Any], first: int = 0) -> list[Any]:
    """A `loop` node for the turns from number `first` on."""
    (body,) = node.blocks
    loc = spec.loc
    hints = [p.hint for p in body.params[1:]]
    hidden = written_outside(spec, node, init)
    leaves: list[Any] = []
    structure = tuple(flatten(a, leaves) for a in init)
    explicit = len(leaves)
    leaves += hidden
    written = written_roots(spec, node, init)
    names = (hints + [""] * len(leaves))[: len(leaves)] if all(s == "leaf" for s in structure) else [""] * len(leaves)
    assumed: list[Any] = [a if isinstance(a, Known) else a.type for a in leaves]
    for _ in range(MAX_WIDENINGS):
        before = spec.outside_state
        with Scope(spec, "loop", hidden) as scope:
            i = scope.block.param(Type.int(), body.params[0].hint or "i")
            params: list[Any] = [
                a if isinstance(a, Known) else scope.block.param(a, name)
                for a, name in zip(assumed, names, strict=True)
            ]
            scope.enter_hidden(params[explicit:])
            for p, leaf in zip(params, leaves, strict=True):
                if isinstance(p, Value) and isinstance(leaf, Value):
                    spec.origins.same(p, leaf)
            for k, p in enumerate(params[:explicit]):
                if isinstance(p, Value) and isinstance(leaves[k], Value) and spec.root(leaves[k]) in written:
                    spec.roots[p] = spec.root(leaves[k])
            turn = spec.call("py.add", i, first) if first else i
            spec.env.update(zip(body.params, [turn, *unflatten_all(structure, params[:explicit])], strict=True))
            spec.walk(body)
            go_on, *outs = (spec.get(o) for o in body.outputs)
            after: list[Any] = []
            ends = tuple(flatten(o, after) for o in outs)
            after += scope.current_hidden()
            appended = list(scope.appended.values())
        if ends != structure:
            shaped = [shaped_like(a, o) for a, o in zip(init, outs, strict=True)]
            if tuple(flatten(a, []) for a in shaped) == structure:
                raise Refused("a value carried by a loop changes its structure from turn to turn", loc)
            return _rolled(spec, node, trip, cond, shaped, first)
        if spec.outside_state != before:
            continue  # what a turn reads first may be what the turn before has set
        if _can_peel(spec, trip, cond) and any(unbound(a) and _always_bound(spec, o) for a, o in zip(assumed, after)):
            raise Refused("a variable has a value from the first turn on", loc)
        widened = [_widen(a, o, spec) for a, o in zip(assumed, after, strict=True)]
        if all(a is w or a == w for a, w in zip(assumed, widened, strict=True)):
            break
        assumed = widened
    else:
        raise Refused("the types carried by a loop do not settle", loc)
    run_time = [k for k, a in enumerate(assumed) if not isinstance(a, Known)]
    block = scope.block
    ends_with = [as_value(filled(spec, after[k], assumed[k], block)) for k in run_time]
    added = [p.stacked if isinstance(p, Rows) else p for _, parts in appended for p in parts]
    block.outputs = [as_value(go_on), *ends_with, *added]
    if appended and not (isinstance(cond, Known) and isinstance(go_on, Known) and go_on.value):
        (seq, parts), *_ = appended
        raise NeedsGrowing("a list grows in a loop that may end before its last turn", loc, seq, parts[0])
    made = make_loop(
        spec.block,
        as_value(trip),
        as_value(cond),
        [as_value(filled(spec, leaves[k], assumed[k], spec.block)) for k in run_time],
        block,
        loc=loc,
        hints=[names[k] for k in run_time],
    )
    results: list[Any] = list(assumed)
    for k, r in zip(run_time, made.results, strict=False):
        results[k] = r
    rebind(spec, hidden, [results.pop() for _ in hidden][::-1])
    held = {spec.root(row) for row in added} | spec.held
    spec.copied |= held
    for k, r in zip(run_time, made.results, strict=False):
        if isinstance(after[k], Value) and spec.root(after[k]) in held:
            spec.copied.add(r)
    stacks = iter(made.results[len(run_time) :])
    for seq, parts in appended:
        rows = lists.rows_of_turns(spec, parts, [next(stacks) for _ in parts], trip_dim(made))
        lists.grow(spec, seq, rows)
    return unflatten_all(structure, results)


def _widen(assumed: Any, out: Any, spec: Specializer) -> Any:
    if isinstance(assumed, Known):
        if isinstance(out, Known) and same(assumed.value, out.value):
            return assumed
    joined = join(_loop_type(filled_type(assumed, out)), _loop_type(filled_type(out, assumed)))
    check_usable(joined, spec)
    return joined


def _loop_type(t: Type) -> Type:
    """An int that a loop carries has no fixed value."""
    return Type.int() if t.kind == "int" else t
