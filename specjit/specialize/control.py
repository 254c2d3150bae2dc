"""Branches and `with` blocks, abstractly.

Enters: generic `if` and `with` nodes. Leaves: typed ones, or the code of the block itself where a constant decides.
Invariant: what the branches give has one structure and one type; a number that one of them leaves without a value is
any number there.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from specjit.ir.constants import UNBOUND, same
from specjit.ir.graph import Block, Node, Value
from specjit.ir.structure import WITH, make_if
from specjit.ir.types import BOOL, Type, join, type_of
from specjit.specialize.abstract import Known, Refused, Seq, flatten, unflatten
from specjit.specialize.scopes import Scope, rebind, written_outside

if TYPE_CHECKING:
    from specjit.specialize.specializer import Specializer

_FILLERS = {"bool": False, "int": 0, "float": 0.0}


def branch(spec: Specializer, node: Node) -> None:
    cond = spec.get(node.args[0])
    if isinstance(cond, Known):
        chosen = node.blocks[0] if cond.value else node.blocks[1]
        spec.walk(chosen)
        spec.env.update(zip(node.results, [spec.get(o) for o in chosen.outputs], strict=True))
        return
    if not isinstance(cond, Value):
        raise Refused("a branch on something that is neither a number nor a tensor", spec.loc)

    def side(block: Block) -> list[Any]:
        spec.walk(block)
        return [spec.get(o) for o in block.outputs]

    results = either(
        spec, written_outside(spec, node), cond, *(functools.partial(side, block) for block in node.blocks)
    )
    spec.env.update(zip(node.results, results, strict=True))


def either(
    spec: Specializer,
    hidden: list[Value],
    cond: Value,
    holds: Callable[[], list[Any]],
    otherwise: Callable[[], list[Any]],
) -> list[Any]:
    """Append an `if`: the values of `holds()` or `otherwise()`, each interpreted in its branch. hidden: values from
    outside whose storage they may write."""
    loc = spec.loc
    sides = []
    for side in (holds, otherwise):
        with Scope(spec, "if", hidden) as scope:
            outs = side()
            current = scope.current_hidden()
        sides.append((scope.block, outs, current))
    (then, o1, h1), (other, o2, h2) = sides
    pairs = [(shaped_like(a, b), shaped_like(b, a)) for a, b in zip(o1, o2, strict=True)]
    l1: list[Any] = []
    l2: list[Any] = []
    s1, s2 = (tuple(flatten(p[k], leaves) for p in pairs) for k, leaves in enumerate((l1, l2)))
    if s1 != s2:
        raise Refused("the branches give values of different structure", loc)
    merged: list[Any] = []
    partial: list[int] = []
    for a, b in zip(l1 + h1, l2 + h2, strict=True):
        if unbound(a) != unbound(b):
            partial.append(len(merged))
        a, b = filled(spec, a, b, then), filled(spec, b, a, other)
        if a is b or (isinstance(a, Known) and isinstance(b, Known) and same(a.value, b.value)):
            merged.append(a)
            continue
        x, y = as_value(a), as_value(b)
        check_usable(join(x.type, y.type), spec)
        then.outputs.append(x)
        other.outputs.append(y)
        merged.append(None)
    made = make_if(spec.block, cond, then, other, loc)
    results = iter(made.results)
    merged = [next(results) if m is None else m for m in merged]
    spec.partial.update(merged[k] for k in partial if isinstance(merged[k], Value))
    rebind(spec, hidden, [merged.pop() for _ in hidden][::-1])
    return [unflatten(s, merged) for s in s1]


def grad_mode(spec: Specializer, node: Node) -> None:
    """A `with no_grad()` (or `enable_grad()`) block: part of the code around it where it changes nothing."""
    (inner,) = node.blocks
    if spec.grad == node.attrs["grad"]:
        spec.walk(inner)
        spec.env.update(zip(node.results, [spec.get(o) for o in inner.outputs], strict=True))
        return
    outside, spec.grad = spec.grad, node.attrs["grad"]
    hidden = written_outside(spec, node)
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
    rebind(spec, hidden, leaves[count:])
    spec.env.update(zip(node.results, unflatten_all(structure, leaves[:count]), strict=True))


def unbound(a: Any) -> bool:
    return isinstance(a, Known) and a.value is UNBOUND


def shaped_like(a: Any, other: Any) -> Any:
    """A variable that has no value on one path is a tuple of such ones, where it is a tuple on the other."""
    if isinstance(other, Seq) and other.is_tuple:
        if unbound(a):
            a = Seq(other.kind, [a] * len(other.items), names=other.names)
        if isinstance(a, Seq) and a.kind == other.kind and len(a.items) == len(other.items):
            items = [shaped_like(x, y) for x, y in zip(a.items, other.items, strict=True)]
            return Seq(a.kind, items, a.depth, a.foreign, a.names)
    return a


def filled(spec: Specializer, a: Any, like: Any, block: Block) -> Any:
    """A variable that has no value on one path, which nothing reads there, holds anything of the other's type; a tensor
    is made in `block`."""
    if not unbound(a):
        return a
    t = _type(like)
    if t.is_tensor:
        return _blank(spec, t, block)
    return Known(_FILLERS[t.kind]) if t.kind in _FILLERS else a


def filled_type(a: Any, like: Any) -> Type:
    """The type of what `filled` gives."""
    if not unbound(a) or unbound(like):
        return _type(a)
    t = _type(like)
    return t.with_(requires_grad=False) if t.is_tensor else t if t.kind in _FILLERS else _type(a)


def _type(a: Any) -> Type:
    """Of an abstract value, or of what is known of one by its type alone."""
    return a if isinstance(a, Type) else type_of(a.value) if isinstance(a, Known) else a.type


def _blank(spec: Specializer, t: Type, block: Block) -> Value:
    """Zeros of a type, all of whose sizes are known before the program runs."""
    inside, spec.block = spec.block, block
    try:
        sizes = [None if d is None else spec.sizes.value(d) for d in t.dims or (None,)] if t.dims != () else []
        if any(s is None for s in sizes) or t.dtype is None:
            raise Refused(f"a variable that may have no value is a {t} where it has one", spec.loc)
        made = spec.call("zeros", Seq("tuple", sizes), t.dtype)
    finally:
        spec.block = inside
    assert isinstance(made, Value)
    return made


def check_usable(t: Type, spec: Specializer) -> None:
    if t.kind in ("any", "optional") or (t.is_tensor and t.dtype is None and t.dims is None and t.device is None):
        raise Refused(f"a value that control flow joins has no single type (it became {t})", spec.loc)


def as_value(a: Any) -> Value:
    if isinstance(a, Value):
        return a
    if isinstance(a, Known):
        return Value.constant(a.value, BOOL if isinstance(a.value, bool) else None)
    raise Refused("a container is needed as one run-time value")


def unflatten_all(structure: tuple[Any, ...], leaves: list[Any]) -> list[Any]:
    rest = list(leaves)
    return [unflatten(s, rest) for s in structure]
