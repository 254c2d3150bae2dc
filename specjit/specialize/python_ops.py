"""Python-level ops on abstract values: what disappears at specialization, and what becomes a tensor op.

Enters: `py.*` nodes. Leaves: constants and structures where everything is known, tensor records where an operand
turned out to be a tensor, and the node itself otherwise.
Invariant: an op that could raise or have an outside effect on these operands is never dropped.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from specjit.dtypes import DType
from specjit.ir.graph import Node, Value
from specjit.ir.types import Type
from specjit.ops import registry, schema
from specjit.ops.composites import CompositeFunction
from specjit.ops.results import NAMED
from specjit.specialize import lists
from specjit.specialize.abstract import Abstract, Known, Mapping, Obj, Refused, Seq
from specjit.specialize.composed import composed
from specjit.specialize.specializer import Specializer, _constant
from specjit.tensor.methods import TensorMethods

Handler = Callable[[Specializer, list[Any], Node], Any]
HANDLERS: dict[str, Handler] = {}

# The tensor record behind a Python operator, and the record for a number on the left (`2 - x`); None: swap the
# operands.
BINARY: dict[str, tuple[str, str | None]] = {
    "py.add": ("add", None),
    "py.sub": ("sub", "sub"),
    "py.mul": ("mul", None),
    "py.truediv": ("div", "div"),
    "py.floordiv": ("floor_divide", "floor_divide"),
    "py.mod": ("remainder", "remainder"),
    "py.pow": ("pow", "pow"),
    "py.matmul": ("matmul", "matmul"),
    "py.and": ("bitwise_and", None),
    "py.or": ("bitwise_or", None),
    "py.xor": ("bitwise_xor", None),
    "py.lshift": ("bitwise_left_shift", "bitwise_left_shift"),
    "py.rshift": ("bitwise_right_shift", "bitwise_right_shift"),
    "py.eq": ("eq", None),
    "py.ne": ("ne", None),
    "py.lt": ("lt", "gt"),
    "py.le": ("le", "ge"),
    "py.gt": ("gt", "lt"),
    "py.ge": ("ge", "le"),
}
SWAPPED = {"py.lt", "py.le", "py.gt", "py.ge"}
# Constants that no later statement can change, so that reading them now is reading them then.
IMMUTABLE = (int, float, bool, complex, str, bytes, type(None), DType, slice, type(Ellipsis), range)
UNARY = {"py.neg": "neg", "py.abs": "abs", "py.invert": "bitwise_not"}


def handles(*names: str) -> Callable[[Handler], Handler]:
    def register(fn: Handler) -> Handler:
        HANDLERS.update(dict.fromkeys(names, fn))
        return fn

    return register


def is_tensor(a: Any) -> bool:
    return isinstance(a, Value) and a.type.is_tensor


def default(spec: Specializer, args: list[Any], node: Node) -> Abstract:
    """Fold what is all known, otherwise emit the op as it stands."""
    op: Any = node.op
    plain = all(isinstance(a, Known) and isinstance(a.value, IMMUTABLE) for a in args)
    if op.traits.effect_free and (plain or (op.traits.pure and all(isinstance(a, Known) for a in args))):
        try:
            return _constant(op.eager(*(a.value for a in args)))
        except Exception as error:  # the program's own error: it must rise at run time, at the user's line
            raise Refused(f"{op.name} raises {type(error).__name__}: {error}", spec.loc) from error
    return spec.tensor_op(op, args, node)


@handles(*BINARY)
def binary(spec: Specializer, args: list[Any], node: Node) -> Abstract:
    name = node.op.name
    a, b = args[:2]
    forward, reflected = BINARY[name]
    if is_tensor(a):
        return spec.call(forward, a, b)
    if is_tensor(b):
        if reflected is None or name in SWAPPED:
            return spec.call(reflected or forward, b, a)
        return spec.call(reflected, a, b)
    if isinstance(a, Seq) and isinstance(b, Seq) and name == "py.add" and a.kind == b.kind:
        lists.check_readable(spec, a)
        lists.check_readable(spec, b)
        return Seq(a.kind, [*a.items, *b.items], spec.depth)
    if name == "py.mul" and isinstance(a, Seq) and isinstance(b, Known) and type(b.value) is int:
        lists.check_readable(spec, a)
        return Seq(a.kind, a.items * b.value, spec.depth)
    if isinstance(a, Seq) and isinstance(b, Seq) and name in ("py.eq", "py.ne"):
        return _compare_sequences(spec, a, b, node)
    return default(spec, args, node)


IN_PLACE = {"py.iadd": "add_", "py.isub": "sub_", "py.imul": "mul_", "py.itruediv": "div_"}
AUGMENTED = [
    f"py.i{n.removeprefix('py.')}" for n in BINARY if n.removeprefix("py.") not in ("eq", "ne", "lt", "le", "gt", "ge")
]


@handles(*AUGMENTED)
def augmented(spec: Specializer, args: list[Any], node: Node) -> Abstract:
    """`a += b`: in place on tensors and lists, a new value for numbers, strings and tuples."""
    a, b = args
    name = node.op.name
    if is_tensor(a):
        if name not in IN_PLACE:
            raise Refused(f"{name} on a tensor is not modelled", spec.loc)
        return spec.call(IN_PLACE[name], a, b)
    if isinstance(a, Seq) and a.kind == "list":
        if name != "py.iadd" or not isinstance(b, Seq):
            raise Refused(f"{name} on a list", spec.loc)
        return _extend(spec, a, b)
    if isinstance(a, (Mapping, Obj)):
        raise Refused(f"{name} on an object", spec.loc)
    return spec.call(f"py.{name.removeprefix('py.i')}", a, b) if not is_tensor(b) else binary_named(spec, name, a, b)


def binary_named(spec: Specializer, name: str, a: Any, b: Any) -> Abstract:
    """A number on the left of an augmented assignment with a tensor on the right: an ordinary operator."""
    forward, reflected = BINARY[f"py.{name.removeprefix('py.i')}"]
    if reflected is None or reflected == "rsub":
        return spec.call(reflected or forward, b, a)
    return spec.call(reflected, a, b)


def _extend(spec: Specializer, target: Seq, more: Seq) -> Abstract:
    lists.check_readable(spec, more)
    if target.foreign or target.depth != spec.depth:
        raise Refused("a list of the caller or of an outer block is extended", spec.loc)
    target.items.extend(more.items)
    return target


def _compare_sequences(spec: Specializer, a: Seq, b: Seq, node: Node) -> Abstract:
    pairs = [(spec.infer_view(x), spec.infer_view(y)) for x, y in zip(a.items, b.items, strict=False)]
    if len(a.items) == len(b.items) and a.kind == b.kind and any(isinstance(v, Type) for p in pairs for v in p):
        raise Refused("two containers with run-time items are compared", spec.loc)
    equal = a.kind == b.kind and len(a.items) == len(b.items) and all(x == y for x, y in pairs)
    return Known(equal == (node.op.name == "py.eq"))


@handles(*UNARY)
def unary(spec: Specializer, args: list[Any], node: Node) -> Abstract:
    return spec.call(UNARY[node.op.name], args[0]) if is_tensor(args[0]) else default(spec, args, node)


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


@handles("py.getattr")
def get_attribute(spec: Specializer, args: list[Any], node: Node) -> Abstract:
    target, name = args[0], args[1].value
    if isinstance(target, Obj):
        if (id(target.value), name) in spec.set_attributes:
            raise Refused(f"{target.path}.{name} is read after it was set", spec.loc)
        return spec.attribute(target.value, target.path, name)
    if is_tensor(target):
        return tensor_attribute(spec, target, name)
    if isinstance(target, Known):
        return _constant(getattr(target.value, name))
    if isinstance(target, Seq) and name in target.names:
        found: Abstract = target.items[target.names.index(name)]
        return found
    raise Refused(f"attribute {name!r} of something unknown", spec.loc)


def _sizes(spec: Specializer, x: Value) -> list[Abstract]:
    return [spec.call("size", x, d) for d in range(len(x.type.dims or ()))]


def tensor_attribute(spec: Specializer, x: Value, name: str) -> Abstract:
    t = x.type
    if name == "shape" and t.dims is not None:
        return Seq("tuple", _sizes(spec, x))
    if name == "ndim" and t.dims is not None:
        return Known(len(t.dims))
    if name == "dtype" and t.dtype is not None:
        return Known(t.dtype)
    composite = getattr(getattr(getattr(TensorMethods, name, None), "fget", None), "composite", None)
    if composite is not None and t.dims is not None:
        return composed(spec, composite, [x], {})
    if name == "device" and t.device is not None:
        return Known(t.device)
    raise Refused(f"attribute {name!r} of a tensor is not modelled", spec.loc)


@handles("py.setattr")
def set_attribute(spec: Specializer, args: list[Any], node: Node) -> Abstract:
    target, name, value = args
    if not isinstance(target, Obj):
        raise Refused("an attribute is set on something unknown", spec.loc)
    spec.set_attributes.add((id(target.value), name.value))
    spec.extern(node.op, [target, name, value], [r.type for r in node.results])
    return Known(None)


@handles("py.getitem")
def get_item(spec: Specializer, args: list[Any], node: Node) -> Abstract:
    target, index = args
    if is_tensor(target):
        return spec.call("getitem", target, index)
    if isinstance(target, Seq):
        return lists.item(spec, target, index)
    if isinstance(target, Mapping) and isinstance(index, Known):
        if index.value in target.items:
            return target.items[index.value]
        raise Refused(f"key {index.value!r} is missing", spec.loc)
    if isinstance(target, Obj):
        return _object_item(spec, target, index)
    return default(spec, args, node)


def _object_item(spec: Specializer, target: Obj, index: Any) -> Abstract:
    from specjit.specialize.abstract import NeedsUnrolling

    if not isinstance(index, Known):
        raise NeedsUnrolling(f"{target.path} is indexed by a run-time number", spec.loc)
    children = getattr(target.value, "_modules", None)
    if children is None:
        raise Refused(f"an item of {target.path}", spec.loc)
    names = list(children)
    name = names[index.value] if isinstance(index.value, int) else index.value
    return spec.attribute(target.value, target.path, name)


@handles("py.setitem", "py.delitem")
def set_item(spec: Specializer, args: list[Any], node: Node) -> Abstract:
    target = args[0]
    if is_tensor(target) and node.op.name == "py.setitem":
        return spec.call("setitem", *args)
    raise Refused("an item of a container is assigned", spec.loc)


@handles("py.tuple", "py.list")
def make_sequence(spec: Specializer, args: list[Any], node: Node) -> Abstract:
    return Seq(node.op.name.removeprefix("py."), list(args), spec.depth)


@handles("py.slice")
def make_slice(spec: Specializer, args: list[Any], node: Node) -> Abstract:
    if all(isinstance(a, Known) for a in args):
        return Known(slice(*(a.value for a in args)))
    return Seq("slice", list(args), spec.depth)


@handles("py.dict")
def make_dict(spec: Specializer, args: list[Any], node: Node) -> Abstract:
    keys, values = args[::2], args[1::2]
    if not all(isinstance(k, Known) for k in keys):
        raise Refused("a dict with run-time keys", spec.loc)
    return Mapping(dict(zip((k.value for k in keys), values, strict=True)))


@handles("py.contains")
def contains(spec: Specializer, args: list[Any], node: Node) -> Abstract:
    container, item = args
    if isinstance(container, Mapping) and isinstance(item, Known):
        return Known(item.value in container.items)
    if isinstance(container, Seq) and isinstance(item, Known) and all(isinstance(i, Known) for i in container.items):
        return Known(any(i.value is item.value or i.value == item.value for i in container.items))
    return default(spec, args, node)


@handles("py.unpack")
def unpack(spec: Specializer, args: list[Any], node: Node) -> list[Any]:
    target, count = args[0], args[1].value
    if isinstance(target, Seq):
        lists.check_readable(spec, target)
        if not target.plain:
            raise Refused("a list that a loop grew is unpacked", spec.loc)
        items = list(target.items)
    elif is_tensor(target) and target.type.dims and isinstance(target.type.dims[0], int):
        items = [spec.call("select", target, 0, i) for i in range(target.type.dims[0])]
    elif isinstance(target, Known) and isinstance(target.value, (list, tuple, str)):
        items = [_constant(v) for v in target.value]
    else:
        raise Refused("something unknown is unpacked", spec.loc)
    if len(items) != count:
        raise Refused(f"{len(items)} values are unpacked into {count} names", spec.loc)
    return items


@handles("py.append")
def append(spec: Specializer, args: list[Any], node: Node) -> Abstract:
    if not isinstance(args[0], Seq):
        raise Refused("append to something unknown", spec.loc)
    return lists.append(spec, args[0], args[1])


@handles("py.len")
def length(spec: Specializer, args: list[Any], node: Node) -> Abstract:
    target = args[0]
    if isinstance(target, Seq):
        return lists.length(spec, target)
    if isinstance(target, Mapping):
        return Known(len(target.items))
    if is_tensor(target):
        return spec.call("size", target, 0)
    if isinstance(target, Obj) and hasattr(target.value, "_modules"):
        return Known(len(target.value))
    return default(spec, args, node)


@handles("py.iter_list")
def iterate(spec: Specializer, args: list[Any], node: Node) -> Abstract:
    target = args[0]
    if isinstance(target, Seq):
        lists.check_readable(spec, target)
        return Seq("list", list(target.items), spec.depth)
    if isinstance(target, Mapping):
        return Seq("list", [Known(k) for k in target.items], spec.depth)
    if isinstance(target, Obj) and hasattr(target.value, "_modules"):
        return Seq("list", [spec.attribute(target.value, target.path, n) for n in target.value._modules], spec.depth)
    if is_tensor(target) and target.type.dims and isinstance(target.type.dims[0], int):
        return Seq("list", [spec.call("select", target, 0, i) for i in range(target.type.dims[0])], spec.depth)
    return default(spec, args, node)


@handles("py.to_tuple")
def to_tuple(spec: Specializer, args: list[Any], node: Node) -> Abstract:
    if isinstance(args[0], Seq):
        lists.check_readable(spec, args[0])
        return Seq("tuple", list(args[0].items), spec.depth)
    return default(spec, args, node)


@handles("py.bool", "py.not")
def truth(spec: Specializer, args: list[Any], node: Node) -> Abstract:
    (a,) = args
    negate = node.op.name == "py.not"
    if isinstance(a, (Seq, Mapping)):
        if isinstance(a, Seq):
            lists.check_readable(spec, a)
        return Known(bool(a.items) != negate)
    if isinstance(a, Value) and a.type.kind == "bool" and not negate:
        return a
    return default(spec, args, node)


@handles("py.refine")
def same_value(spec: Specializer, args: list[Any], node: Node) -> Abstract:
    a: Abstract = args[0]
    return a


@handles("py.bound")
def bound(spec: Specializer, args: list[Any], node: Node) -> Abstract:
    """A variable that some path leaves without a value: `present` (a third argument) says whether it has one."""
    a, name = args[0], args[1].value
    present = args[2] if len(args) > 2 else Known(True)
    missing = isinstance(a, Known) and type(a.value).__name__ == "Unbound"
    if missing or (isinstance(present, Known) and not present.value):
        raise Refused(f"{name!r} is used before it has a value", spec.loc)
    if isinstance(present, Known):
        return a
    if isinstance(a, (Value, Known)):
        out = spec.extern(node.op, args, [spec.materialize(a).type])[0]
        spec.roots[out] = spec.root(a) if isinstance(a, Value) else out
        return out
    raise Refused(f"{name!r}, a container, may be used before it has a value", spec.loc)


@handles("py.global", "py.closure")
def read_global(spec: Specializer, args: list[Any], node: Node) -> Abstract:
    return spec.read_global(node, args)


@handles("py.assert")
def check(spec: Specializer, args: list[Any], node: Node) -> Abstract:
    if isinstance(args[0], Known) and args[0].value:
        return Known(None)
    spec.extern(node.op, args, [r.type for r in node.results])
    return Known(None)


@handles("py.print", "py.raise")
def outside(spec: Specializer, args: list[Any], node: Node) -> Abstract:
    spec.extern(node.op, _as_tuples(spec, args), [r.type for r in node.results])
    return Known(None)


@handles("py.format", "py.str")
def show(spec: Specializer, args: list[Any], node: Node) -> Abstract:
    if all(isinstance(a, Known) for a in args):
        return default(spec, args, node)
    return spec.extern(node.op, _as_tuples(spec, args), [r.type for r in node.results])[0]


def _as_tuples(spec: Specializer, args: list[Any]) -> list[Any]:
    """Lists that are only shown may be shown from a copy."""
    return [spec.materialize(a) if isinstance(a, (Seq, Mapping)) else a for a in args]


@handles("py.call")
def call(spec: Specializer, args: list[Any], node: Node) -> Any:
    function = args[0]
    if isinstance(function, (Known, Obj)) and function.value in PURE_FUNCTIONS:
        if all(isinstance(a, Known) for a in args):
            return default(spec, args, node)
        if all(isinstance(a, Known) or (isinstance(a, Value) and a.type.kind in ("int", "float")) for a in args[2:]):
            return spec.extern(node.op, args, [r.type for r in node.results])[0]
    if isinstance(function, Known) and function.value in NAMED:
        return Seq("tuple", list(args[2:]), spec.depth, names=function.value._fields)
    composite = getattr(function.value, "composite", None) if isinstance(function, (Known, Obj)) else None
    if isinstance(composite, CompositeFunction) and not composite.inlined:
        names = _keywords(args[1])
        split = len(args) - len(names)
        return composed(spec, composite, args[2:split], dict(zip(names, args[split:], strict=True)))
    results = spec.extern(node.op, args, [r.type for r in node.results])
    return results if len(results) != 1 else results[0]


def _keywords(names: Any) -> tuple[str, ...]:
    """The names of a call's last arguments."""
    return (names.value or ()) if isinstance(names, Known) else tuple(k.value for k in names.items)


PURE_FUNCTIONS: frozenset[Any] = frozenset({min, max, abs, round, sum, sorted, divmod, ord, chr, repr})


@handles("py.method")
def method(spec: Specializer, args: list[Any], node: Node) -> Any:
    target, name = args[0], args[1].value
    keywords = _keywords(args[2])
    rest = args[3:]
    if is_tensor(target):
        function = getattr(TensorMethods, name, None)
        op = getattr(function, "record", None)
        split = len(rest) - len(keywords)
        composite = getattr(function, "composite", None)
        if composite is not None:
            return composed(spec, composite, [target, *rest[:split]], dict(zip(keywords, rest[split:], strict=True)))
        if name in ("numel", "nelement") and target.type.dims is not None:
            count: Abstract = Known(1)
            for size in _sizes(spec, target):
                count = spec.call("py.mul", count, size)
            return count
        if op is None:
            raise Refused(f"tensor method {name!r} is not modelled", spec.loc)
        bound = schema.bind(op, [target, *rest[:split]], dict(zip(keywords, rest[split:], strict=True)))
        return spec.tensor_op(
            op, [a if isinstance(a, (Value, Known, Seq, Obj, Mapping)) else Known(a) for a in bound], node
        )
    if isinstance(target, Seq) and not keywords:
        return _sequence_method(spec, target, name, rest)
    if isinstance(target, Mapping) and not keywords:
        return _dict_method(spec, target, name, rest)
    if isinstance(target, Known) and all(isinstance(a, Known) for a in rest):
        split = len(rest) - len(keywords)
        values = [a.value for a in rest]
        try:
            out = getattr(target.value, name)(*values[:split], **dict(zip(keywords, values[split:], strict=True)))
        except Exception as error:  # the program's own error rises at run time
            raise Refused(f"{name} raises {type(error).__name__}: {error}", spec.loc) from error
        return _constant(out)
    results = spec.extern(node.op, args, [r.type for r in node.results])
    return results[0] if len(results) == 1 else results


def _sequence_method(spec: Specializer, target: Seq, name: str, rest: list[Any]) -> Abstract:
    if name == "append":
        return lists.append(spec, target, rest[0])
    if target.foreign or target.depth != spec.depth or not target.plain or target.kind != "list":
        raise Refused(f"list.{name} on a list of the caller, of an outer block, or grown by a loop", spec.loc)
    if name == "extend" and isinstance(rest[0], Seq):
        _extend(spec, target, rest[0])
        return Known(None)
    if name == "pop" and all(isinstance(a, Known) for a in rest) and target.items:
        out: Abstract = target.items.pop(*(a.value for a in rest))
        return out
    if name == "insert" and isinstance(rest[0], Known):
        target.items.insert(rest[0].value, rest[1])
        return Known(None)
    if name == "reverse":
        target.items.reverse()
        return Known(None)
    if name == "copy":
        return Seq("list", list(target.items), spec.depth)
    raise Refused(f"list.{name} is not modelled", spec.loc)


def _dict_method(spec: Specializer, target: Mapping, name: str, rest: list[Any]) -> Abstract:
    if name == "keys":
        return Seq("list", [Known(k) for k in target.items], spec.depth)
    if name == "values":
        return Seq("list", list(target.items.values()), spec.depth)
    if name == "items":
        return Seq("list", [Seq("tuple", [Known(k), v], spec.depth) for k, v in target.items.items()], spec.depth)
    if name == "get" and isinstance(rest[0], Known):
        return target.items.get(rest[0].value, rest[1] if len(rest) > 1 else Known(None))
    raise Refused(f"dict.{name} is not modelled", spec.loc)
