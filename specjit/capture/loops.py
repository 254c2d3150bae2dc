"""Loops: `while`, `for` over anything, and comprehensions, as `loop` nodes or unrolled where the items are known.

Enters: loop statements. Leaves: `loop` nodes that carry the variables which change and are needed.
Invariant: the header is evaluated once, the next item is fetched (or the test evaluated) only when the loop goes on, and after the loop
the variables have the values Python gives them. Mutable containers are values, not carried.
"""

from __future__ import annotations

import ast
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from specjit.capture import elements, merge
from specjit.capture.attributes import module_items
from specjit.capture.errors import Unsupported
from specjit.capture.expressions import bind_name, getitem, truth, unpack
from specjit.capture.frame import Frame, lowers
from specjit.capture.merge import BROKE, CONTINUED, DEAD, RETURN_VALUE, RETURNED
from specjit.capture.scope import Exits, assigned
from specjit.capture.values import (
    UNBOUND,
    Abstract,
    Iteration,
    Known,
    Ran,
    Shape,
    TupleOf,
    Unbound,
    Value,
    const,
    constant_of,
    same_abstract,
    type_of_abstract,
    widen,
)
from specjit.ir.graph import Block, free_values, replace_uses
from specjit.ir.structure import make_loop
from specjit.ir.types import ANY, INT, NONE, Type, join
from specjit.ops.registry import get

MAX_UNROLL = 256
MAX_ATTEMPTS = 12
RESIZING = ("append", "extend", "insert", "pop", "remove", "clear")
Path = tuple[Any, ...]


class NeedsConstant(Unsupported):
    """An index into a container of modules must be known: an enclosing loop over a known range is unrolled instead."""


@dataclass
class Plan:
    """How to iterate: `items` (known one by one), or `count` and `item(i)`, or `iterator` (the protocol)."""

    items: list[Abstract] | None = None
    count: Value | None = None
    item: Callable[[Value], Abstract] | None = None
    iterator: Value | None = None
    each: bool = False  # over one list or tensor, in order
    element: Type = ANY  # of what an iterator yields
    watched: tuple[Value, ...] = ()  # lists that must keep their length for `count` to be right


# headers


def plan(f: Frame, it: Abstract, protocol: bool = False) -> Plan:
    """How `for ... in it` goes. protocol: use the iterator protocol for lists (the body may change their length)."""
    if isinstance(it, TupleOf):
        return Plan(items=list(it.items))
    ok, constant = constant_of(it)
    if ok and isinstance(constant, tuple | str | range) and len(constant) <= MAX_UNROLL:
        return Plan(items=[const(x) for x in constant])
    if isinstance(it, Known):
        items = module_items(f, it)
        if items is not None:
            return Plan(items=items)
    if isinstance(it, Iteration):
        return _iteration(f, it, protocol)
    v = f.value(it)
    if v.type.kind == "tuple":
        return Plan(items=list(unpack(f, v, len(v.type.args))))
    if v.type.kind in ("dict", "set") and not protocol:
        keys = f.emit("py.iter_list", v)
        keys.type = Type.list(v.type.args[0] if v.type.args else ANY)
        return Plan(count=f.emit("py.len", keys), item=lambda i: getitem(f, keys, i), watched=(v,), each=True)
    if v.type.is_tensor or v.type.kind == "str" or (v.type.kind == "list" and not protocol):
        return Plan(
            count=f.emit("py.len", v),
            item=lambda i: _element_of(f, v, i),
            watched=(v,) if v.type.kind == "list" else (),
            each=True,
        )
    element = v.type if v.type.kind == "str" else v.type.args[0] if v.type.kind in ("list", "set", "dict") else ANY
    return Plan(iterator=f.emit("py.iter", v), element=element)


def _element_of(f: Frame, v: Value, i: Value) -> Abstract:
    item = getitem(f, v, i)
    if v.type.kind == "str" and isinstance(item, Value) and not item.is_const:
        item.type = v.type
    return item


def _iteration(f: Frame, it: Iteration, protocol: bool) -> Plan:
    if it.kind == "range":
        return _range(f, *it.parts)
    if not all(_countable(f, p, protocol) for p in it.parts[: 1 if it.kind != "zip" else None]):
        return Plan(iterator=f.emit("py.iter", f.value(it)))
    if it.kind == "enumerate":
        inner, start = plan(f, it.parts[0], protocol), it.parts[1]
        number = lambda i: f.emit("py.add", start, i)  # noqa: E731
        if inner.items is not None:
            return Plan(items=[TupleOf((number(const(k)), x)) for k, x in enumerate(inner.items)])
        if inner.item is None:
            raise f.unsupported("enumerate over this")
        zero = constant_of(start) == (True, 0)
        item = inner.item
        return Plan(
            count=inner.count,
            item=lambda i: TupleOf((i if zero else number(i), item(i))),
            watched=inner.watched,
            each=inner.each and zero,
        )
    if it.kind == "zip":
        return _zip(f, it, [plan(f, p, protocol) for p in it.parts])
    return _reversed(f, it, plan(f, it.parts[0], False))


def _countable(f: Frame, it: Abstract, protocol: bool) -> bool:
    """Whether `plan` would know the number of items beforehand."""
    if isinstance(it, TupleOf | Shape):
        return True
    if isinstance(it, Known):
        return module_items(f, it) is not None
    if isinstance(it, Iteration):
        return (
            all(_countable(f, p, protocol) for p in it.parts[: 1 if it.kind != "zip" else None]) or it.kind == "range"
        )
    if isinstance(it, Value):
        return it.is_const or it.type.kind in ("tensor", "str", "tuple") or (it.type.kind == "list" and not protocol)
    return False


def _zip(f: Frame, it: Iteration, plans: list[Plan]) -> Plan:
    if all(p.items is not None for p in plans):
        return Plan(items=[TupleOf(x) for x in zip(*(p.items or () for p in plans))])
    if any(p.iterator is not None for p in plans):
        raise f.unsupported("zip over this")
    # A known tuple beside something counted is indexed like the rest.
    whole = [f.value(TupleOf(tuple(p.items))) if p.items is not None else None for p in plans]
    counts = [const(len(p.items)) if p.items is not None else p.count for p in plans]
    distinct = list({id(c): c for c in counts}.values())
    count = distinct[0] if len(distinct) == 1 else f.emit("py.min", *distinct)  # type: ignore[arg-type]

    def item(i: Value) -> Abstract:
        return TupleOf(tuple(p.item(i) if p.item else getitem(f, w, i) for p, w in zip(plans, whole)))  # type: ignore[arg-type]

    return Plan(count=count, item=item, watched=tuple(w for p in plans for w in p.watched))


def _reversed(f: Frame, it: Iteration, inner: Plan) -> Plan:
    if inner.items is not None:
        return Plan(items=inner.items[::-1])
    if inner.item is None:
        raise f.unsupported("reversed over this")
    last, item = f.emit("py.sub", inner.count, 1), inner.item
    return Plan(count=inner.count, item=lambda i: item(f.emit("py.sub", last, i)), watched=inner.watched)


def _range(f: Frame, start: Abstract, stop: Abstract, step: Abstract) -> Plan:
    (s0, a), (s1, b), (s2, c) = map(constant_of, (start, stop, step))
    if any(f.value(x).type.kind not in ("int", "bool") for x in (start, stop, step)):
        # Python's own range raises the right error, or takes what can be an index.
        whole = f.emit("py.range", start, stop, step)
        return Plan(count=f.emit("py.len", whole), item=lambda i: f.emit("py.getitem", whole, i, type=INT))
    if s0 and s1 and s2 and c != 0:
        return Plan(count=const(len(range(a, b, c))), item=lambda i: _affine(f, start, i, step))
    if s2 and c == 1:
        return Plan(
            count=f.value(stop) if s0 and a == 0 else f.emit("py.sub", stop, start),
            item=lambda i: _affine(f, start, i, step),
        )
    if s2 and c == -1:
        return Plan(count=f.emit("py.sub", start, stop), item=lambda i: _affine(f, start, i, step))
    count = f.emit("py.len", f.emit("py.range", start, stop, step))
    return Plan(count=count, item=lambda i: _affine(f, start, i, step))


def _affine(f: Frame, start: Abstract, i: Value, step: Abstract) -> Value:
    (s0, a), (s2, c) = constant_of(start), constant_of(step)
    if s2 and c == -1:
        return f.emit("py.sub", start, i)
    scaled = i if s2 and c == 1 else f.emit("py.mul", i, step)
    return scaled if s0 and a == 0 else f.emit("py.add", start, scaled)


# statements


@lowers(ast.While)
def _while(f: Frame, s: ast.While) -> None:
    def test() -> Value:
        return truth(f, f.expr(s.test))

    def begin(_i: Value) -> None:
        merge.refine(f, s.test, True)

    run_loop(f, s, None, test, begin, [])


@lowers(ast.For)
def _for(f: Frame, s: ast.For) -> None:
    if s.type_comment is not None:
        raise f.unsupported("type comments")
    for_each(f, s, f.expr(s.iter))


def for_each(f: Frame, s: ast.For, iterable: Abstract) -> None:
    mark, env = f.session.mark(), dict(f.env)
    known = _known_range(f, iterable)
    if known is not None:
        f.session.unrollable += 1
    try:
        _for_plan(f, s, plan(f, iterable))
    except NeedsConstant:
        if known is None:
            raise
        f.session.rollback(mark)
        f.env = dict(env)
        _unroll(f, s, [const(k) for k in _guarded_range(f, known)])
    except _Resized:
        f.session.rollback(mark)
        f.env = dict(env)
        _for_plan(f, s, plan(f, iterable, protocol=True))
    finally:
        if known is not None:
            f.session.unrollable -= 1


def _known_range(f: Frame, it: Abstract) -> list[Abstract] | None:
    """The bounds of a range that can be known: constants, or attributes whose example value may be guarded."""
    if not isinstance(it, Iteration) or it.kind != "range":
        return None
    for part in it.parts:
        if not constant_of(part)[0] and part not in f.session.examples:
            return None
    return list(it.parts)


def _guarded_range(f: Frame, parts: list[Abstract]) -> range:
    values = []
    for part in parts:
        ok, constant = constant_of(part)
        if not ok:
            constant, group, source, fetch = f.session.examples[part]  # type: ignore[index]
            f.session.facts.add(group, source, "value", constant, str(f.location()), fetch)
        values.append(constant)
    found = range(*values)
    if len(found) > MAX_UNROLL:
        raise f.unsupported(f"a loop over modules of {len(found)} turns")
    return found


class _Resized(Exception):
    """The body may change the length of a list that is iterated over."""


def _for_plan(f: Frame, s: ast.For, p: Plan) -> None:
    if p.items is not None:
        _unroll(f, s, p.items)
    elif p.item is not None:
        item = p.item
        block = f.session.block
        run_loop(f, s, p.count, None, lambda i: assign_target(f, s.target, item(i)), [])
        loop = next((n for n in reversed(block.nodes) if n.op.name == "loop"), None)
        if loop is not None and p.watched and _may_resize(loop.blocks[0], p.watched):
            raise _Resized
        if loop is not None and p.each:
            loop.attrs["_iterates"] = True
    else:
        iterator, slot = p.iterator, f"item {len(f.env)}?"

        def test() -> Value:
            node, _ = f.emit_node(get("py.next"), [f.value(iterator)])  # type: ignore[arg-type]
            node.results[1].type = p.element
            f.env[slot] = node.results[1]
            return node.results[0]

        run_loop(f, s, None, test, lambda _i: assign_target(f, s.target, f.env[slot]), [slot])
        f.env.pop(slot, None)


def _may_resize(block: Block, lists: tuple[Value, ...]) -> bool:
    """Whether a node inside may change the length of one of `lists`. Two lists of which one is made by the program are not the same."""
    fresh = [v for v in lists if v.node is not None and v.node.op.name == "py.list"]
    for node in block.walk():
        name = node.op.name
        if (name == "py.method" and node.args[0].type.kind not in ("list", "any")) or name in (
            "py.print",
            "py.setitem",
            "py.assert",
        ):
            continue
        if not (node.op.traits.writes or node.op.traits.io) or node.blocks:
            continue
        targets = node.args if node.op.traits.io else [node.args[i] for i in node.op.traits.writes]
        for target in targets:
            if target.is_const or target.type.kind not in ("list", "any", "class", "optional", "dict", "tuple"):
                continue
            made = target.node is not None and target.node.op.name == "py.list"
            if any(target is v or not (made or v in fresh) or node.op.traits.io for v in lists):
                return True
    return False


def _unroll(f: Frame, s: ast.For, items: list[Abstract]) -> None:
    """One copy of the body per item."""
    if len(items) > MAX_UNROLL:
        raise f.unsupported(f"a loop over {len(items)} known items")
    from specjit.capture.statements import guarded, run

    def turn(k: int) -> None:
        if k == len(items):
            run(f, s.orelse)
            return
        assign_target(f, s.target, items[k])
        run(f, s.body)
        f.env.pop(CONTINUED, None)
        if DEAD in f.env:
            return
        guarded(f, lambda: turn(k + 1), f.live.head[s] | f.live.after[s])

    turn(0)
    f.env.pop(BROKE, None)


# the general loop


def run_loop(
    f: Frame,
    s: ast.While | ast.For,
    count: Value | None,
    test: Callable[[], Value] | None,
    begin: Callable[[Value], None],
    hidden: list[str],
) -> None:
    """Append the loop. `test` decides whether a turn begins, `begin(i)` binds what a turn starts with."""
    from specjit.capture.statements import guarded, run

    cond = test() if test is not None else const(True)
    exits = Exits(s.body)
    if cond.is_const and not cond.const:
        run(f, s.orelse)
        return
    names = sorted(assigned(s) & (f.live.head[s] | f.live.after[s])) + hidden
    open_names = [n for n in names if n.isidentifier() and not same_abstract(merge.bound(f.env, n), merge.TRUE)]
    names += [merge.bound_flag(n) for n in open_names]
    if exits.returns:
        names += [RETURNED, RETURN_VALUE]
    if exits.breaks and s.orelse:
        names.append(BROKE)
    loop = _Loop(f, s, names, count, cond)
    for _ in range(MAX_ATTEMPTS):
        if loop.attempt(test, begin):
            break
    else:
        raise f.unsupported("a loop whose variables never settle on a type")
    loop.finish()
    broke = f.env.get(BROKE, merge.FALSE)
    f.env.pop(BROKE, None)
    if s.orelse:
        saved = dict(f.env)
        f.env[BROKE] = broke
        guarded(f, lambda: run(f, s.orelse), f.live.after[s])
        f.env.pop(BROKE, None)
        del saved


class _Loop:
    """One loop being lowered: attempts until the types of the carried variables hold."""

    def __init__(self, f: Frame, s: ast.While | ast.For, names: list[str], count: Value | None, cond: Value) -> None:
        self.f, self.s, self.names, self.count, self.cond = f, s, names, count, cond
        self.env = dict(f.env)
        self.force: dict[Path, Type] = {}  # of carried variables whose first guess did not hold
        self.origins: dict[Path, frozenset[Any]] = {}  # of lists that a turn ends with
        self.params: list[tuple[Value, Abstract, str]] = []
        self.outputs: list[Value] = []
        self.mark = f.session.mark()
        self.body = Block()
        self.end: dict[str, Abstract] = {}
        self.template: dict[str, Abstract] = {}
        self.next_cond: Value = const(True)

    # one attempt

    def attempt(self, test: Callable[[], Value] | None, begin: Callable[[Value], None]) -> bool:
        from specjit.capture.statements import exited, run

        f = self.f
        f.session.rollback(self.mark)
        outer = f.session.block
        self.body, self.params, self.outputs = Block(), [], []
        i = self.body.param(INT, _index_hint(self.s))
        f.env = dict(self.env)
        for name in self.names:
            init = self.env.get(name, self.absent(name))
            f.env[name] = self.template[name] = self.make(init, (name,))
            if isinstance(self.template[name], Unbound):
                del f.env[name]
        for flag in (RETURNED, BROKE, CONTINUED):
            f.env.pop(flag, None)
        f.session.block = self.body
        try:
            begin(i)
            run(f, self.s.body)
            f.env.pop(CONTINUED, None)
            dead = DEAD in f.env
            stop = merge.TRUE if dead else exited(f)
            if test is None:
                self.next_cond = _negated(f, stop)
            else:
                self.next_cond = self.tested(stop, test)
            self.end = f.env
            settled = True
            for name in self.names:
                out = self.end.get(name, self.absent(name))
                if name.endswith(" bound?"):
                    out = merge.bound(self.end, name.removesuffix(" bound?"))
                if dead:
                    out = self.template[name]
                settled &= self.unify((name,), self.template[name], out)
        finally:
            f.session.block = outer
            f.env = dict(self.env)
        return settled

    def absent(self, name: str) -> Abstract:
        """What it means that a carried name has no entry."""
        return merge.FALSE if name in (RETURNED, BROKE) or name.endswith(" bound?") else UNBOUND

    def tested(self, stop: Abstract, test: Callable[[], Value]) -> Value:
        """The condition of the next turn; the test is evaluated only if nothing stopped the loop."""
        f = self.f
        if isinstance(stop, Value) and stop.is_const:
            return test() if not stop.const else merge.FALSE
        with f.block() as go:
            cond: Abstract = test()
            f.env["test"] = cond
            ahead = merge.Branch(go, f.env)
        with f.block() as halt:
            f.env["test"] = merge.FALSE
            done = merge.Branch(halt, f.env)
        merge.join(f, f.value(stop), done, ahead, {"test", *self.names})
        return f.value(f.env.pop("test"))

    def make(self, init: Abstract, path: Path) -> Abstract:
        """What a carried variable is at the start of a turn: parameters where it changes."""
        if path in self.force:
            return self.param(self.force[path], init, path)
        if isinstance(init, Value):
            return self.param(widen(init.type), init, path)
        if isinstance(init, TupleOf):
            return TupleOf(tuple(self.make(x, (*path, k)) for k, x in enumerate(init.items)))
        return init

    def param(self, t: Type, init: Abstract, path: Path) -> Value:
        # An item of a tuple takes the name of the value that a turn puts there.
        hint = path[0] if len(path) == 1 and str(path[0]).isidentifier() and path[0] != RETURN_VALUE else ""
        value = self.body.param(t, hint)
        origins = self.f.session.origins
        found = self.origins.get(path, frozenset())
        if isinstance(init, Value):
            found |= origins.get(init, frozenset())
        if found:
            origins[value] = found
        self.params.append((value, init, hint))
        return value

    def unify(self, path: Path, start: Abstract, out: Abstract) -> bool:
        """Whether what a turn ends with fits what it began with; if not, `force` says what to try next."""
        f = self.f
        if isinstance(start, Value) and any(p is start for p, _, _ in self.params):
            value = Value.constant(UNBOUND, start.type) if isinstance(out, Unbound) else f.value(out)
            t = join(start.type, widen(value.type))
            if t != start.type:
                self.force[path] = t
                return False
            fresh = f.session.origins.get(value, frozenset()) - f.session.origins.get(start, frozenset())
            if fresh:
                self.origins[path] = self.origins.get(path, frozenset()) | fresh
                return False
            self.outputs.append(value)
            return True
        if isinstance(start, TupleOf) and isinstance(out, TupleOf) and len(start.items) == len(out.items):
            return all([self.unify((*path, k), a, b) for k, (a, b) in enumerate(zip(start.items, out.items))])
        if same_abstract(start, out):
            return True
        for known in [p for p in self.force if p[: len(path)] == path]:
            del self.force[known]
        if isinstance(start, Unbound) or isinstance(out, Unbound):
            self.force[path] = widen(type_of_abstract(out if isinstance(start, Unbound) else start))
        else:
            self.force[path] = join(widen(type_of_abstract(start)), widen(type_of_abstract(out)))
        return False

    # the result

    def finish(self) -> None:
        """Append the node; the variables after the loop are its results."""
        f = self.f
        inits = [self.initial(init, p.type) for p, init, _ in self.params]
        replaced, shared = self.drop(inits)
        kept = [k for k in range(len(inits)) if self.params[k][0] not in replaced and k not in shared]
        self.outputs = [replaced.get(o, o) for o in self.outputs]
        self.body.params = [self.body.params[0], *(self.params[k][0] for k in kept)]
        self.body.outputs = [self.next_cond, *(self.outputs[k] for k in kept)]
        for k in kept:
            param, init, hint = self.params[k]
            if not hint and not self.outputs[k].is_const:
                param.hint = hint = self.outputs[k].hint
                self.params[k] = param, init, hint
        hints = [self.params[k][2] for k in kept]
        trip = self.count if self.count is not None else Value.constant(None, NONE)
        carried = [inits[k] for k in kept]
        node = make_loop(f.session.block, trip, self.cond, carried, self.body, loc=f.location(self.s), hints=hints)
        if f.via:
            node.attrs["_via"] = f.via
        results: dict[Value, Abstract] = dict(replaced)
        for k, r in zip(kept, node.results):
            results[self.params[k][0]] = r
            elements.merged(f.session, r, [self.params[k][0]])
        for k, other in shared.items():
            results[self.params[k][0]] = other if isinstance(other, Ran) else results[self.params[other][0]]
        env = {n: a for n, a in self.env.items() if n.removesuffix(" bound?") not in assigned(self.s)}
        for name in self.names:
            env[name] = self.after(self.template[name], results)
        f.env = {n: a for n, a in env.items() if not isinstance(a, Unbound)}
        for name in self.names:
            if name.endswith(" bound?") and (same_abstract(f.env[name], merge.TRUE) or name[:-7] not in f.env):
                del f.env[name]

    def drop(self, inits: list[Value]) -> tuple[dict[Value, Value], dict[int, Any]]:
        """Slots that the loop need not carry: {parameter: its value} for what never changes, and {slot: another slot, or Ran} for
        what is unread in the body and, once the loop has run, known anyway."""
        replaced: dict[Value, Value] = {}
        for (param, _, _), init, out in zip(self.params, inits, self.outputs, strict=True):
            if out is param:
                replaced[param] = init
        replace_uses(self.body, replaced)
        self.next_cond = replaced.get(self.next_cond, self.next_cond)
        read = free_values(self.body)
        shared: dict[int, Any] = {}
        for k, (param, init, _) in enumerate(self.params):
            out = self.outputs[k]
            if param in replaced or param in read or any(o is param for j, o in enumerate(self.outputs) if j != k):
                continue
            if inits[k].is_const and inits[k].const is False and out.is_const and out.const is True and init is merge.FALSE:
                ran = self.count is not None and self.count.is_const and self.count.const > 0
                header = self.count if self.count is not None else self.cond
                shared[k] = Ran(merge.TRUE if ran or header.is_const else header)
            elif isinstance(init, Unbound):
                same = [j for j, o in enumerate(self.outputs) if o is out and j != k and j not in shared]
                if same and self.params[same[0]][0].type == param.type and self.params[same[0]][0] not in replaced:
                    shared[k] = same[0]
        return replaced, shared

    def initial(self, init: Abstract, t: Type) -> Value:
        if isinstance(init, Unbound):
            return Value.constant(UNBOUND, t)
        return self.f.value(init)

    def after(self, start: Abstract, results: dict[Value, Abstract]) -> Abstract:
        if isinstance(start, Value):
            out = results.get(start, start)
            return out.header if isinstance(out, Ran) and out.header.is_const else out
        if isinstance(start, TupleOf):
            return TupleOf(tuple(self.after(x, results) for x in start.items))
        return start


def _negated(f: Frame, stop: Abstract) -> Value:
    v = f.value(stop)
    return const(not v.const) if v.is_const else f.emit("py.not", v)


def _index_hint(s: ast.While | ast.For) -> str:
    return "turn" if isinstance(s, ast.While) else "i"


def assign_target(f: Frame, target: ast.expr, value: Abstract) -> None:
    from specjit.capture.statements import assign

    assign(f, target, value)


def outside_values(block: Block) -> list[Value]:
    return free_values(block)


# comprehensions


def comprehension(f: Frame, node: ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp) -> Abstract:
    """The container it builds. A generator is built as a list: only for consumers that take all of it."""
    targets = {n for g in node.generators for n in assigned(g.target)}
    saved = {n: f.env.get(n) for n in targets}
    shadowing = targets - f.locals
    f.locals |= targets
    try:
        return _comprehension(f, node)
    finally:
        f.locals -= shadowing
        for n, a in saved.items():
            f.env.pop(n, None)
            if a is not None:
                f.env[n] = a


def _comprehension(f: Frame, node: Any) -> Abstract:
    first = node.generators[0]
    if any(g.is_async for g in node.generators):
        raise f.unsupported("async comprehensions")
    iterable = f.expr(first.iter)
    if isinstance(node, ast.ListComp | ast.GeneratorExp) and len(node.generators) == 1 and not first.ifs:
        items = plan(f, iterable).items
        if items is not None:
            return f.emit("py.list", *(_element(f, first.target, item, node.elt) for item in items))
    kind = {ast.SetComp: "py.set", ast.DictComp: "py.dict"}.get(type(node), "py.list")
    target = f.emit(kind)

    def add() -> None:
        if isinstance(node, ast.DictComp):
            key = f.expr(node.key)
            f.emit("py.setitem", target, key, f.expr(node.value))
        elif isinstance(node, ast.SetComp):
            f.emit("py.method", target, "add", None, f.expr(node.elt))
        else:
            f.emit("py.append", target, f.expr(node.elt))

    _generators(f, node, 0, iterable, add)
    return target


def _element(f: Frame, target: ast.expr, item: Abstract, elt: ast.expr) -> Abstract:
    assign_target(f, target, item)
    return f.expr(elt)


class _Do(ast.stmt):
    """A statement that runs a Python function while lowering: the inside of a comprehension."""

    _fields = ()
    action: Callable[[], None]


@lowers(_Do)
def _do(f: Frame, s: _Do) -> None:
    s.action()


def _generators(f: Frame, node: Any, k: int, iterable: Abstract | None, add: Callable[[], None]) -> None:
    """The loops of a comprehension, from generator `k` inwards."""
    if k == len(node.generators):
        add()
        return
    generator = node.generators[k]
    inner = _Do()
    inner.action = lambda: _generators(f, node, k + 1, None, add)
    body: ast.stmt = inner
    for test in reversed(generator.ifs):
        body = ast.copy_location(ast.If(test, [body], []), test)
    loop = ast.copy_location(ast.For(generator.target, generator.iter, [body], []), node)
    ast.copy_location(inner, node)
    for s in ast.walk(loop):
        if isinstance(s, ast.stmt):
            f.live.after[s] = f.live.head[s] = set(f.live.always)
    for_each(f, loop, f.expr(generator.iter) if iterable is None else iterable)


__all__ = ["bind_name", "comprehension", "for_each", "plan", "run_loop"]
