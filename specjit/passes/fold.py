"""Constant folding: nodes whose result is known now become constants.

Enters: any graph. Leaves: fewer nodes; scalars that types already know (`size` of a constant dimension, arithmetic on
such, comparisons that hold for all sizes) and small results of ops on constants are constants. Legality: the op is pure
and `eager`, its meaning, gives the value; where it raises, the error belongs to run time and the node stays. A tensor
that the caller may get hold of is never a constant: each call must return fresh storage.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from specjit.ir.builder import abstract
from specjit.ir.dims import Size, product
from specjit.ir.graph import Block, Graph, Node, Value
from specjit.ir.types import Type
from specjit.ops.records.lowering import Creation
from specjit.passes.aliases import Aliases
from specjit.passes.manager import Context
from specjit.passes.raising import not_negative, size_expression
from specjit.passes.rewrite import rewrite

MAX_ELEMENTS = 64  # larger constant tensors stay computed: kernels fill and combine faster than memory is read
IMMUTABLE = (bool, int, float, complex, str, bytes, type(None), slice, range)


def run(graph: Graph, ctx: Context) -> None:
    aliases = Aliases(graph)

    def visit(node: Node, block: Block) -> list[Value] | None:
        if node.blocks or not node.results or not _foldable(node, aliases):
            return None
        found = known_by_type(node) or known_by_sizes(node) or evaluate(node)
        if found is None or not ctx.fire():
            return None
        return found

    rewrite(graph, visit)


def _foldable(node: Node, aliases: Aliases) -> bool:
    traits = node.op.traits
    if traits.random or traits.io or traits.writes:
        return False
    if any(r.type.is_tensor and (aliases.escapes(r) or aliases.written(r)) for r in node.results):
        return False
    if any(aliases.written(a) for a in node.args):
        return False
    # What depends on mutable state is known only where every argument is a constant that cannot change.
    return not traits.reads or all(a.is_const and immutable(a.const) for a in node.args)


def immutable(value: Any) -> bool:
    return isinstance(value, IMMUTABLE) or (type(value) is tuple and all(map(immutable, value)))


def known_by_type(node: Node) -> list[Value] | None:
    """The results that `infer` knows as Python values, or that have a type with only one value."""
    if any(r.type.is_tensor for r in node.results):
        return None
    try:
        found = node.op.infer(*map(abstract, node.args))
    except Exception:  # the verifier reports what infer refuses; here it only means "not known"
        return None
    if isinstance(found, Type):
        if found.kind == "int" and isinstance(found.dim, int):
            return [Value.constant(found.dim)]
        return None
    if isinstance(found, list | tuple) and len(node.results) != 1:
        return None
    return [Value.constant(found)] if immutable(found) else None


def known_by_sizes(node: Node) -> list[Value] | None:
    """The answer of a comparison of numbers that holds whatever the sizes in them are."""
    rule = COMPARISONS.get(node.op.name)
    if rule is None:
        return None
    a, b = map(size_expression, node.args)
    if a is None or b is None:
        return None
    if rule(a, b):
        return [Value.constant(True)]
    return [Value.constant(False)] if COMPARISONS[OPPOSITE[node.op.name]](a, b) else None


def _less(a: Size, b: Size) -> bool:
    return not_negative(b - a - 1)


def _different(a: Size, b: Size) -> bool:
    return _less(a, b) or _less(b, a)


# Whether the comparison holds for all sizes. Where it does not, and its opposite neither, it depends on them.
COMPARISONS: dict[str, Callable[[Size, Size], bool]] = {
    "py.lt": _less,
    "py.le": lambda a, b: not_negative(b - a),
    "py.gt": lambda a, b: _less(b, a),
    "py.ge": lambda a, b: not_negative(a - b),
    "py.eq": lambda a, b: a == b,
    "py.ne": _different,
}
OPPOSITE = {"py.lt": "py.ge", "py.ge": "py.lt", "py.le": "py.gt", "py.gt": "py.le", "py.eq": "py.ne", "py.ne": "py.eq"}


def evaluate(node: Node) -> list[Value] | None:
    """The results of `eager` on constant arguments, as constants."""
    constants = [constant_of(a) for a in node.args]
    if not all(known for known, _ in constants) or isinstance(node.op.lower, Creation):  # type: ignore[attr-defined]
        return None
    if any(r.type.is_tensor and not _small(r.type) for r in node.results):
        return None
    try:
        with np.errstate(all="ignore"):
            out = node.op.eager(*(c for _, c in constants))  # type: ignore[attr-defined]
    except Exception:  # it will raise again, at the user's own line, when the program gets there
        return None
    several = len(node.results) != 1 or (isinstance(out, list | tuple) and node.results[0].type.is_tensor)
    values = [as_constant(o, r.type) for o, r in zip(out if several else [out], node.results, strict=True)]
    return None if any(v is None for v in values) else values  # type: ignore[return-value]


def constant_of(value: Value) -> tuple[bool, Any]:
    """(True, the Python value) of a constant, or of a list of constants built here."""
    if value.is_const:
        return True, value.const
    if value.node is not None and value.node.op.name in ("py.list", "py.tuple"):
        items = [constant_of(a) for a in value.node.args]
        if all(known for known, _ in items):
            kind = list if value.node.op.name == "py.list" else tuple
            return True, kind(item for _, item in items)
    return False, None


def as_constant(data: Any, type: Type) -> Value | None:
    """A constant of recorded type `type`; None for what cannot be one."""
    if type.is_tensor:
        array = np.array(data)  # a copy: constants share storage with nothing
        if array.size > MAX_ELEMENTS or (type.dtype is not None and array.dtype != type.dtype.numpy):
            return None
        array.flags.writeable = False
        return Value.constant(array, Type.tensor(type.dtype, array.shape, type.device, False))
    if isinstance(data, np.generic):
        data = data.item()
    return Value.constant(data) if immutable(data) else None


def _small(type: Type) -> bool:
    size = product(type.dims) if type.dims is not None else None
    return isinstance(size, int) and size <= MAX_ELEMENTS and type.device != "meta" and not type.requires_grad
