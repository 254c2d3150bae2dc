"""Python's operators on abstract values: arithmetic, comparison, identity and truth.

Enters: `py.add`, `py.iadd`, `py.lt`, `py.is`, `py.not` and so on. Leaves: the tensor op where an operand turned out
to be a tensor, a known container or truth value where that is known, and the node itself otherwise.
Invariant: the answer is Python's, reflected operators and in-place ones included.
"""

from __future__ import annotations

from numbers import Number
from typing import TYPE_CHECKING, Any

from specjit.ir.graph import Node, Value
from specjit.ops.pyinfer import FOLDED_SIZE, TENSOR_OPS
from specjit.ops.records import registry
from specjit.specialize import lists
from specjit.specialize.abstract import Abstract, Known, Mapping, Obj, Refused, Seq
from specjit.specialize.composed import composed
from specjit.specialize.containers import extend
from specjit.specialize.handlers import default, handles, is_tensor

if TYPE_CHECKING:
    from specjit.specialize.specializer import Specializer

UNARY = ("neg", "abs", "invert")
COMPARISONS = ("eq", "ne", "lt", "le", "gt", "ge")
ARITHMETIC = tuple(name for name in TENSOR_OPS if name not in (*UNARY, *COMPARISONS))
# A comparison takes its tensor first: `2 < x` is `x > 2`.
SWAPPED = {"eq": "eq", "ne": "ne", "lt": "gt", "le": "ge", "gt": "lt", "ge": "le"}
IN_PLACE = {"add": "add_", "sub": "sub_", "mul": "mul_", "truediv": "div_"}


@handles(*(f"py.{name}" for name in (*ARITHMETIC, *COMPARISONS)))
def binary(spec: Specializer, args: list[Any], node: Node) -> Abstract:
    name = node.op.name.removeprefix("py.")
    a, b = args
    if is_tensor(a) or is_tensor(b):
        return _with_tensor(spec, name, a, b)
    if (
        isinstance(a, Seq)
        and isinstance(b, Seq)
        and name == "add"
        and (a.kind == b.kind or (a.is_tuple and b.is_tuple))
    ):
        lists.check_readable(spec, a)
        lists.check_readable(spec, b)
        return Seq(a.kind if a.kind == b.kind else "Size", [*a.items, *b.items], spec.depth)
    if name == "or" and isinstance(a, Mapping) and isinstance(b, Mapping):
        return Mapping({**a.items, **b.items}, spec.depth)
    for seq, times in ((a, b), (b, a)) if name == "mul" else ():
        if isinstance(seq, Seq) and seq.kind != "slice" and isinstance(times, Known) and isinstance(times.value, int):
            return _repeated(spec, seq, times.value)
    if name == "gt" and isinstance(a, Value) and a.type.dim in spec.nonempty and b == Known(0):
        return Known(True)  # whether a loop ran whose turns are guarded for
    if isinstance(a, Seq) and isinstance(b, Seq) and name in ("eq", "ne"):
        return _compare_sequences(spec, a, b, name == "eq")
    return default(spec, args, node)


def _repeated(spec: Specializer, a: Seq, times: int) -> Abstract:
    lists.check_readable(spec, a)
    if not a.plain:
        raise Refused("a list that a loop grew is repeated", spec.loc)
    if len(a.items) * times > FOLDED_SIZE:
        raise Refused(f"a {a.kind} of {len(a.items) * times} items", spec.loc)
    return Seq(a.kind, a.items * times, spec.depth)


def _with_tensor(spec: Specializer, name: str, a: Any, b: Any) -> Abstract:
    _check_operands(spec, name, a, b)
    if not is_tensor(a) and name in SWAPPED:
        return spec.call(SWAPPED[name], b, a)
    return spec.call(TENSOR_OPS[name], a, b)


def _check_operands(spec: Specializer, name: str, a: Any, b: Any) -> None:
    """The operators of a tensor return NotImplemented for what is not a number, where its ops raise errors of their
    own."""
    for other in (a, b):
        if isinstance(other, Known) and not isinstance(other.value, Number):
            raise Refused(f"{name} of a tensor and {type(other.value).__name__}", spec.loc)


@handles(*(f"py.i{name}" for name in ARITHMETIC))
def augmented(spec: Specializer, args: list[Any], node: Node) -> Abstract:
    """`a += b`: in place on tensors and lists, a new value for numbers, strings and tuples."""
    a, b = args
    name = node.op.name.removeprefix("py.i")
    if is_tensor(a):
        if name not in IN_PLACE:
            raise Refused(f"{node.op.name} on a tensor is not modelled", spec.loc)
        _check_operands(spec, name, a, b)
        return spec.call(IN_PLACE[name], a, b)
    if isinstance(a, Seq) and a.kind == "list":
        if name != "add" or not isinstance(b, Seq):
            raise Refused(f"{node.op.name} on a list", spec.loc)
        return extend(spec, a, b)
    if isinstance(a, (Mapping, Obj)):
        raise Refused(f"{node.op.name} on an object", spec.loc)
    return _with_tensor(spec, name, a, b) if is_tensor(b) else spec.call(f"py.{name}", a, b)


def _compare_sequences(spec: Specializer, a: Seq, b: Seq, wanted: bool) -> Abstract:
    alike = a.kind == b.kind or (a.is_tuple and b.is_tuple)
    if not alike or len(a.items) != len(b.items):
        return Known(not wanted)
    equal: Abstract = Known(True)
    for x, y in zip(a.items, b.items, strict=True):
        if x is y:
            continue
        if is_tensor(x) or is_tensor(y):
            raise Refused("two containers with tensors in them are compared", spec.loc)
        found = spec.call("py.eq", x, y)
        if isinstance(found, Known) and not found.value:
            return Known(not wanted)
        if not isinstance(found, Known):
            equal = found if isinstance(equal, Known) else spec.call("py.and", equal, found)
    return equal if wanted else spec.call("py.not", equal)


@handles(*(f"py.{name}" for name in UNARY))
def unary(spec: Specializer, args: list[Any], node: Node) -> Abstract:
    if is_tensor(args[0]):
        return spec.call(TENSOR_OPS[node.op.name.removeprefix("py.")], args[0])
    return default(spec, args, node)


@handles("py.pos")
def positive(spec: Specializer, args: list[Any], node: Node) -> Abstract:
    if not is_tensor(args[0]):
        return default(spec, args, node)
    fn: Any = registry.public("positive")
    return composed(spec, fn.composite, args, {})


@handles("py.is", "py.is_not")
def identity(spec: Specializer, args: list[Any], node: Node) -> Abstract:
    a, b = args
    negate = node.op.name == "py.is_not"
    if isinstance(a, (Known, Obj)) and isinstance(b, (Known, Obj)):
        return Known((a.value is b.value) != negate)
    if isinstance(a, Known) != isinstance(b, Known):
        other = b if isinstance(a, Known) else a
        if isinstance(other, (Seq, Mapping)) or (
            isinstance(other, Value) and other.type.kind in ("tensor", "int", "float")
        ):
            return Known(negate)  # a run-time tensor, number or container is never a constant such as None
    if a is b:
        return Known(not negate)
    return default(spec, args, node)


@handles("py.bool", "py.not")
def truth(spec: Specializer, args: list[Any], node: Node) -> Abstract:
    (a,) = args
    negate = node.op.name == "py.not"
    if isinstance(a, (Seq, Mapping)):
        if isinstance(a, Seq) and not a.plain:  # the loop that filled it may not have taken a turn
            return spec.call("py.eq" if negate else "py.ne", lists.length(spec, a), 0)
        if isinstance(a, Seq):
            lists.check_readable(spec, a)
        return Known(bool(a.items) != negate)
    if isinstance(a, Value) and a.type.kind == "bool" and not negate:
        return a
    return default(spec, args, node)
