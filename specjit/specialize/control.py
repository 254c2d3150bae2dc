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
from specjit.specialize.abstract import Known, Refused, flatten, unflatten
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
            leaves: list[Any] = []
            structure = tuple(flatten(o, leaves) for o in outs)
            leaves += scope.current_hidden()
        sides.append((scope.block, structure, leaves))
    (then, s1, l1), (other, s2, l2) = sides
    if s1 != s2:
        raise Refused("the branches give values of different structure", loc)
    merged: list[Any] = []
    for a, b in zip(l1, l2, strict=True):
        a, b = filled(a, b), filled(b, a)
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


def filled(a: Any, like: Any) -> Any:
    """A variable that has no value on one path, which nothing reads there, holds any number of the other's type."""
    if not (isinstance(a, Known) and a.value is UNBOUND):
        return a
    t = like.type if isinstance(like, Value) else type_of(like.value) if isinstance(like, Known) else like
    filler = _FILLERS.get(t.kind) if isinstance(t, Type) else None
    return a if filler is None else Known(filler)


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
