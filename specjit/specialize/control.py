"""Branches and loops, abstractly.

Enters: generic `if` and `loop` nodes. Leaves: typed ones, or nothing where a constant decides (pruned branch,
unrolled loop). Invariant: a loop's body is interpreted with carried types that cover every turn (a fixpoint); what a
body appends to an outer list, once and unconditionally per turn, is a stacked output; storage that a body writes is
carried, so that no pass can move a read of it out of the loop.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from specjit.ir.constants import same
from specjit.ir.dims import least_for_one
from specjit.ir.graph import Block, Node, Value
from specjit.ir.structure import LOOP, WITH, make_if, make_loop, trip_dim
from specjit.ir.types import BOOL, Type, join, type_of
from specjit.specialize.abstract import (
    Known,
    Mapping,
    NeedsUnrolling,
    Refused,
    Rows,
    Seq,
    each_value,
    flatten,
    substitute,
    unflatten,
)

if TYPE_CHECKING:
    from specjit.specialize.specializer import Specializer

MAX_WIDENINGS = 8
MAX_UNROLLED = 64
MAX_PEELED = 3


def branch(spec: Specializer, node: Node) -> None:
    cond = spec.get(node.args[0])
    if isinstance(cond, Known):
        chosen = node.blocks[0] if cond.value else node.blocks[1]
        spec.walk(chosen)
        spec.env.update(zip(node.results, [spec.get(o) for o in chosen.outputs], strict=True))
        return
    if not isinstance(cond, Value):
        raise Refused("a branch on something that is neither a number nor a tensor", spec.loc)
    loc = spec.loc
    hidden = _written_outside(spec, node)
    sides = []
    for inner in node.blocks:
        with Scope(spec, "if", hidden) as scope:
            spec.walk(inner)
            outs = [spec.get(o) for o in inner.outputs]
            leaves: list[Any] = []
            structure = tuple(flatten(o, leaves) for o in outs)
            leaves += scope.current_hidden()
        sides.append((scope.block, structure, leaves))
    (then, s1, l1), (other, s2, l2) = sides
    if s1 != s2:
        raise Refused("the branches give values of different structure", loc)
    merged: list[Any] = []
    for a, b in zip(l1, l2, strict=True):
        if a is b or (isinstance(a, Known) and isinstance(b, Known) and same(a.value, b.value)):
            merged.append(a)
            continue
        x, y = _as_value(a), _as_value(b)
        _usable(join(x.type, y.type), spec)
        then.outputs.append(x)
        other.outputs.append(y)
        merged.append(None)
    made = make_if(spec.block, cond, then, other, loc)
    results = iter(made.results)
    merged = [next(results) if m is None else m for m in merged]
    _rebind(spec, hidden, [merged.pop() for _ in hidden][::-1])
    spec.env.update(zip(node.results, [unflatten(s, merged) for s in s1], strict=True))


def grad_mode(spec: Specializer, node: Node) -> None:
    """A `with no_grad()` (or `enable_grad()`) block: part of the code around it where it changes nothing."""
    (inner,) = node.blocks
    if spec.grad == node.attrs["grad"]:
        spec.walk(inner)
        spec.env.update(zip(node.results, [spec.get(o) for o in inner.outputs], strict=True))
        return
    outside, spec.grad = spec.grad, node.attrs["grad"]
    hidden = _written_outside(spec, node)
    try:
        with Scope(spec, "with", hidden) as scope:
            spec.walk(inner)
            leaves: list[Any] = []
            structure = tuple(flatten(spec.get(o), leaves) for o in inner.outputs)
            count = len(leaves)
            leaves += scope.current_hidden()
    finally:
        spec.grad = outside
    run_time = [k for k, a in enumerate(leaves) if not isinstance(a, Known)]
    scope.block.outputs = [leaves[k] for k in run_time]
    types = [leaves[k].type for k in run_time]
    made = Node(WITH, [], types, blocks=[scope.block], attrs=dict(node.attrs), loc=spec.loc)
    spec.block.nodes.append(made)
    for k, r in zip(run_time, made.results, strict=True):
        leaves[k] = r
    _rebind(spec, hidden, leaves[count:])
    spec.env.update(zip(node.results, _unflatten_all(structure, leaves[:count]), strict=True))


def loop(spec: Specializer, node: Node) -> None:
    trip, cond, *init = (spec.get(a) for a in node.args)
    if isinstance(cond, Known) and (
        not cond.value or (isinstance(trip, Known) and trip.value is not None and trip.value <= 0)
    ):
        spec.env.update(zip(node.results, init, strict=True))
        return
    loc = spec.loc
    try:
        results = _rolled(spec, node, trip, cond, init)
    except NeedsUnrolling as reason:
        results = _unrolled(spec, node, trip, cond, init, reason)
    except Refused as reason:
        spec.loc = loc
        results = _peeled(spec, node, trip, cond, init, reason)
    spec.env.update(zip(node.results, results, strict=True))


def _unrolled(spec: Specializer, node: Node, trip: Any, cond: Any, state: list[Any], reason: Refused) -> list[Any]:
    if not (isinstance(trip, Known) and isinstance(cond, Known) and trip.value is not None):
        raise reason
    if trip.value > MAX_UNROLLED:
        raise Refused(f"{reason.reason}; {trip.value} turns are too many to unroll", reason.loc)
    for i in range(trip.value):
        go_on, state = _turn(spec, node, i, state)
        if not isinstance(go_on, Known):
            raise Refused("the exit of an unrolled loop depends on run-time values", reason.loc)
        if not go_on.value:
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
        if not (isinstance(cond, Known) and cond.value and _runs(spec, trip, peeled)):
            raise reason
        cond, state = _turn(spec, node, peeled - 1, state)
        spec.loc, spec.hints = loc, []
        done = isinstance(cond, Known) and not cond.value
        if done or (isinstance(trip, Known) and trip.value == peeled):
            return state
        rest = trip if isinstance(trip, Known) and trip.value is None else spec.call("py.sub", trip, peeled)
        try:
            return _rolled(spec, node, rest, cond, state, first=peeled)
        except Refused:
            spec.loc = loc
    raise reason


def _runs(spec: Specializer, trip: Any, turns: int) -> bool:
    """Whether a loop runs at least so many turns, which its sizes are then guarded for."""
    if isinstance(trip, Known):
        return trip.value is None or trip.value >= turns
    missing = None if trip.type.dim is None else trip.type.dim - (turns - 1)
    if missing is None or least_for_one(missing) is None:
        return False
    spec.nonempty.add(missing)
    return True


def _rolled(spec: Specializer, node: Node, trip: Any, cond: Any, init: list[Any], first: int = 0) -> list[Any]:
    """A `loop` node for the turns from number `first` on."""
    (body,) = node.blocks
    loc = spec.loc
    hints = [p.hint for p in body.params[1:]]
    hidden = _written_outside(spec, node, init)
    leaves: list[Any] = []
    structure = tuple(flatten(a, leaves) for a in init)
    explicit = len(leaves)
    leaves += hidden
    written = _written_roots(spec, node, init)
    names = (hints + [""] * len(leaves))[: len(leaves)] if all(s == "leaf" for s in structure) else [""] * len(leaves)
    assumed: list[Any] = [a if isinstance(a, Known) else a.type for a in leaves]
    for _ in range(MAX_WIDENINGS):
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
            spec.env.update(zip(body.params, [turn, *_unflatten_all(structure, params[:explicit])], strict=True))
            spec.walk(body)
            go_on, *outs = (spec.get(o) for o in body.outputs)
            after: list[Any] = []
            if tuple(flatten(o, after) for o in outs) != structure:
                raise Refused("a value carried by a loop changes its structure from turn to turn", loc)
            after += scope.current_hidden()
            appended = list(scope.appended.values())
        widened = [_widen(a, o, spec) for a, o in zip(assumed, after, strict=True)]
        if all(a is w or a == w for a, w in zip(assumed, widened, strict=True)):
            break
        assumed = widened
    else:
        raise Refused("the types carried by a loop do not settle", loc)
    run_time = [k for k, a in enumerate(assumed) if not isinstance(a, Known)]
    block = scope.block
    block.outputs = [_as_value(go_on), *(_as_value(after[k]) for k in run_time), *(row for _, row in appended)]
    if appended and not (isinstance(cond, Known) and isinstance(go_on, Known) and go_on.value):
        raise Refused("a list grows in a loop whose number of turns is not known beforehand", loc)
    made = make_loop(
        spec.block,
        _as_value(trip),
        _as_value(cond),
        [_as_value(leaves[k]) for k in run_time],
        block,
        loc=loc,
        hints=[names[k] for k in run_time],
    )
    results: list[Any] = list(assumed)
    for k, r in zip(run_time, made.results, strict=False):
        results[k] = r
    _rebind(spec, hidden, [results.pop() for _ in hidden][::-1])
    held = {spec.root(row) for _, row in appended}
    spec.copied |= held
    for k, r in zip(run_time, made.results, strict=False):
        if isinstance(after[k], Value) and spec.root(after[k]) in held:
            spec.copied.add(r)
    for (seq, _), rows in zip(appended, made.results[len(run_time) :], strict=True):
        seq.items.append(Rows(rows, trip_dim(made)))
    return _unflatten_all(structure, results)


class Scope:
    """Interpret into a fresh block, and leave no trace in the environment: what an inner block changed comes out only
    through its outputs. `hidden` are outer values whose storage the block writes."""

    def __init__(self, spec: Specializer, kind: str, hidden: list[Value]) -> None:
        self.spec, self.kind, self.hidden = spec, kind, hidden
        self.block = Block()
        self.appended: dict[int, tuple[Seq, Value]] = {}
        self._probes = [Value(h.type, None, h.hint) for h in hidden]

    def __enter__(self) -> Scope:
        spec = self.spec
        self._outer = spec.block
        self._env = dict(spec.env)
        self._lists = [(a, list(a.items)) for a in spec.env.values() if isinstance(a, Seq) and a.kind == "list"]
        self._dicts = [(a, dict(a.items)) for a in spec.env.values() if isinstance(a, Mapping)]
        spec.block = self.block
        spec.scopes.append((self.kind, self.appended))
        for probe, h in zip(self._probes, self.hidden, strict=True):
            spec.env[probe] = h
        return self

    def enter_hidden(self, params: list[Value]) -> None:
        mapping = dict(zip(self.hidden, params, strict=True))
        for old, new in mapping.items():
            self.spec.roots[new] = self.spec.root(old)
        done: set[int] = set()
        for key, a in self.spec.env.items():
            self.spec.env[key] = substitute(a, mapping, done)

    def current_hidden(self) -> list[Value]:
        return [self.spec.env[p] for p in self._probes]

    def __exit__(self, *exc: object) -> None:
        spec = self.spec
        spec.block = self._outer
        spec.env = self._env
        spec.scopes.pop()
        for seq, items in self._lists:
            seq.items[:] = items
        for mapping, pairs in self._dicts:
            mapping.items.clear()
            mapping.items.update(pairs)


def _written_roots(spec: Specializer, node: Node, init: Sequence[Any] = ()) -> set[Value]:
    """Storage known outside `node` that something inside it may write in place, directly or through a carried value.
    `init`: what the values start as that `node`, a loop, carries."""
    roots: set[Value] = set()
    given = dict(zip(node.blocks[0].params[1:], init, strict=True)) if node.op is LOOP else {}
    started: dict[Value, Value] = {}
    inside = [node, *(n for block in node.blocks for n in block.walk())]
    for n in inside[1:]:
        if n.op is LOOP:
            started.update(zip(n.blocks[0].params[1:], n.args[2:], strict=True))
    for n in inside[1:]:
        for position in n.op.traits.writes:
            target: Value | None = n.args[position]
            while target is not None and target not in spec.env and target not in given:
                target = started.get(target)
            if target is not None:
                each_value(given[target] if target in given else spec.env[target], lambda v: roots.add(spec.root(v)))
    return roots


def _written_outside(spec: Specializer, node: Node, init: Sequence[Any] = ()) -> list[Value]:
    """Run-time values that are needed beside `node`'s own arguments and whose storage something inside it writes."""
    roots = _written_roots(spec, node, init)
    found: dict[Value, None] = {}
    if roots:
        for key, a in spec.env.items():
            if spec.liveness.needed(key, node):
                each_value(a, lambda v: found.setdefault(v) if spec.root(v) in roots and not v.is_const else None)
    return list(found)


def _rebind(spec: Specializer, old: list[Value], new: list[Any]) -> None:
    mapping = dict(zip(old, new, strict=True))
    for before, after in mapping.items():
        spec.roots[after] = spec.root(before)
    done: set[int] = set()
    for key, a in spec.env.items():
        spec.env[key] = substitute(a, mapping, done)


def _widen(assumed: Any, out: Any, spec: Specializer) -> Any:
    if isinstance(assumed, Known):
        if isinstance(out, Known) and same(assumed.value, out.value):
            return assumed
        assumed = _loop_type(type_of(assumed.value))
    out_type = _loop_type(type_of(out.value)) if isinstance(out, Known) else _loop_type(out.type)
    joined = join(_loop_type(assumed), out_type)
    _usable(joined, spec)
    return joined


def _loop_type(t: Type) -> Type:
    """An int that a loop carries has no fixed value."""
    return Type.int() if t.kind == "int" else t


def _usable(t: Type, spec: Specializer) -> None:
    if t.kind in ("any", "optional") or (t.is_tensor and t.dtype is None and t.dims is None and t.device is None):
        raise Refused(f"a value that control flow joins has no single type (it became {t})", spec.loc)


def _as_value(a: Any) -> Value:
    if isinstance(a, Value):
        return a
    if isinstance(a, Known):
        return Value.constant(a.value, BOOL if isinstance(a.value, bool) else None)
    raise Refused("a container is needed as one run-time value")


def _unflatten_all(structure: tuple[Any, ...], leaves: list[Any]) -> list[Any]:
    rest = list(leaves)
    return [unflatten(s, rest) for s in structure]
