"""How a program iterates: the plan of a `for` over anything.

Enters: an iterable as an abstract value. Leaves: `Plan`: items known one by one, a count with a way to get item i, or
the protocol.
Invariant: making a plan evaluates the header once and nothing twice.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from specjit.capture import members
from specjit.capture.containers import is_view, module_items, view_items
from specjit.capture.errors import Unsupported
from specjit.capture.expressions import getitem, unpack
from specjit.capture.frame import Frame
from specjit.capture.values import (
    Abstract,
    Iteration,
    Known,
    Shape,
    TupleOf,
    Value,
    const,
    constant_of,
)
from specjit.ir.types import ANY, INT, Type
from specjit.ops.pyinfer import SIZE

MAX_UNROLL = 256


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
    then: Callable[[Abstract], Abstract] | None = None  # what becomes of an item when its turn begins

    def turn(self, item: Abstract) -> Abstract:
        """What the loop's target is given."""
        return item if self.then is None else self.then(item)


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
        return Plan(items=view_items(it)) if is_view(it) else _iteration(f, it, protocol)
    v = f.value(it)
    known = members.members(f, v)
    if known is not None:
        return Plan(items=known)
    if v.type.kind == "tuple":
        return Plan(items=list(unpack(f, v, len(v.type.args))))
    if v.type.kind in ("dict", "set") and not protocol:
        keys = f.emit("py.iter_list", v)
        keys.type = Type.list(v.type.args[0] if v.type.args else ANY)
        return Plan(count=f.emit("py.len", keys), item=lambda i: getitem(f, keys, i), watched=(v,), each=True)
    if v.type.is_tensor or v.type.kind == "str" or v.type == SIZE or (v.type.kind == "list" and not protocol):
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
    if it.kind == "map":
        return _mapped(f, it, protocol)
    if not all(_countable(f, p, protocol) for p in it.parts[: 1 if it.kind != "zip" else None]):
        return Plan(iterator=f.emit("py.iter", f.value(it)))
    if it.kind == "enumerate":
        inner, start = plan(f, it.parts[0], protocol), it.parts[1]
        if inner.then is not None:
            raise f.unsupported("enumerate over this")
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


def _mapped(f: Frame, it: Iteration, protocol: bool) -> Plan:
    """`map(function, *iterables)`: the function is called when an item's turn begins."""
    from specjit.capture.calls import call

    function, *iterables = it.parts
    inner = plan(f, iterables[0] if len(iterables) == 1 else Iteration("zip", tuple(iterables)), protocol)
    before = inner.then

    def then(item: Abstract) -> Abstract:
        item = item if before is None else before(item)
        several = len(iterables) > 1
        return call(f, function, list(unpack(f, item, len(iterables))) if several else [item], {})

    return replace(inner, then=then, each=False)


def _countable(f: Frame, it: Abstract, protocol: bool) -> bool:
    """Whether `plan` would know the number of items beforehand."""
    if isinstance(it, TupleOf | Shape):
        return True
    if isinstance(it, Known):
        return module_items(f, it) is not None
    if isinstance(it, Iteration) and it.kind == "map":
        return False
    if isinstance(it, Iteration):
        return is_view(it) or (
            all(_countable(f, p, protocol) for p in it.parts[: 1 if it.kind != "zip" else None]) or it.kind == "range"
        )
    if isinstance(it, Value):
        return it.is_const or it.type.kind in ("tensor", "str", "tuple") or (it.type.kind == "list" and not protocol)
    return False


def _zip(f: Frame, it: Iteration, plans: list[Plan]) -> Plan:
    if all(p.items is not None for p in plans):
        return Plan(items=[TupleOf(x) for x in zip(*(p.items or () for p in plans))])
    if any(p.iterator is not None or p.then is not None for p in plans):
        raise f.unsupported("zip over this")
    # A known tuple beside something counted is indexed like the rest.
    whole = [f.value(TupleOf(tuple(p.items))) if p.items is not None else None for p in plans]
    counts = [const(len(p.items)) if p.items is not None else p.count for p in plans]
    distinct = list({id(c): c for c in counts}.values())
    count = distinct[0] if len(distinct) == 1 else f.emit("py.min", *distinct)

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
