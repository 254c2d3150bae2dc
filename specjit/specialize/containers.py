"""Lists, tuples, dicts and module containers: their items, length, iteration and methods.

Enters: `py.list`, `py.getitem`, `py.len`, `py.unpack` and so on. Leaves: `Seq` and `Mapping` values, items of them,
numbers; what a loop appended to a list is the business of `lists`.
Invariant: a container of the caller, or one that an open loop changes, is neither changed nor read.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from specjit.ir.graph import Node
from specjit.specialize import lists
from specjit.specialize.abstract import Abstract, Known, Mapping, NeedsUnrolling, Obj, Refused, Seq, constant, unknown
from specjit.specialize.handlers import default, handles, is_tensor

if TYPE_CHECKING:
    from specjit.specialize.specializer import Specializer


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


@handles("py.to_tuple")
def to_tuple(spec: Specializer, args: list[Any], node: Node) -> Abstract:
    if isinstance(args[0], Seq):
        lists.check_readable(spec, args[0])
        return Seq("tuple", list(args[0].items), spec.depth)
    return default(spec, args, node)


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
    if not isinstance(index, Known):
        raise NeedsUnrolling(f"{target.path} is indexed by a run-time number", spec.loc)
    children = getattr(target.value, "_modules", None)
    if children is None:
        raise Refused(f"an item of {target.path}", spec.loc)
    name = index.value
    if isinstance(name, int):
        if not -len(children) <= name < len(children):
            raise Refused(f"index {name} is out of range for {target.path}", spec.loc)
        name = list(children)[name]
    return spec.attribute(target.value, target.path, name)


@handles("py.setitem", "py.delitem")
def set_item(spec: Specializer, args: list[Any], node: Node) -> Abstract:
    target = args[0]
    if is_tensor(target) and node.op.name == "py.setitem":
        return spec.call("setitem", *args)
    raise Refused("an item of a container is assigned", spec.loc)


@handles("py.contains")
def contains(spec: Specializer, args: list[Any], node: Node) -> Abstract:
    container, item = args
    if isinstance(container, Mapping) and isinstance(item, Known):
        return Known(item.value in container.items)
    if isinstance(container, Seq) and isinstance(item, Known) and all(isinstance(i, Known) for i in container.items):
        return Known(any(i.value is item.value or i.value == item.value for i in container.items))
    return default(spec, args, node)


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


@handles("py.unpack")
def unpack(spec: Specializer, args: list[Any], node: Node) -> list[Any]:
    target, count = args[0], args[1].value
    if isinstance(target, Seq):
        lists.check_readable(spec, target)
        if not target.plain:
            raise Refused("a list that a loop grew is unpacked", spec.loc)
        items = list(target.items)
    elif (rows := _tensor_rows(spec, target)) is not None:
        items = rows
    elif isinstance(target, Known) and isinstance(target.value, (list, tuple, str)):
        items = [constant(v) for v in target.value]
    else:
        raise Refused(f"{unknown(target)} is unpacked", spec.loc)
    if len(items) != count:
        raise Refused(f"{len(items)} values are unpacked into {count} names", spec.loc)
    return items


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
    rows = _tensor_rows(spec, target)
    return default(spec, args, node) if rows is None else Seq("list", rows, spec.depth)


def _tensor_rows(spec: Specializer, x: Any) -> list[Any] | None:
    """The rows of a tensor whose first dim is a constant; None for anything else."""
    if not is_tensor(x) or not x.type.dims or not isinstance(x.type.dims[0], int):
        return None
    return [spec.call("select", x, 0, i) for i in range(x.type.dims[0])]


@handles("py.append")
def append(spec: Specializer, args: list[Any], node: Node) -> Abstract:
    if not isinstance(args[0], Seq):
        raise Refused(f"{unknown(args[0])} is appended to", spec.loc)
    return lists.append(spec, args[0], args[1])


def extend(spec: Specializer, target: Seq, more: Seq) -> Abstract:
    lists.check_readable(spec, more)
    if target.foreign or target.depth != spec.depth:
        raise Refused("a list of the caller or of an outer block is extended", spec.loc)
    target.items.extend(more.items)
    return target


def sequence_method(spec: Specializer, target: Seq, name: str, rest: list[Any]) -> Abstract:
    if name == "append":
        return lists.append(spec, target, rest[0])
    if target.foreign or target.depth != spec.depth or not target.plain or target.kind != "list":
        raise Refused(f"list.{name} on a list of the caller, of an outer block, or grown by a loop", spec.loc)
    if name == "extend" and isinstance(rest[0], Seq):
        extend(spec, target, rest[0])
        return Known(None)
    if name == "pop" and all(map(_is_index, rest)):
        at = rest[0].value if rest else -1
        if not -len(target.items) <= at < len(target.items):
            raise Refused("pop from an empty list or past its end", spec.loc)
        out: Abstract = target.items.pop(at)
        return out
    if name == "insert" and _is_index(rest[0]):
        target.items.insert(rest[0].value, rest[1])
        return Known(None)
    if name == "reverse":
        target.items.reverse()
        return Known(None)
    if name == "copy":
        return Seq("list", list(target.items), spec.depth)
    raise Refused(f"list.{name} is not modelled", spec.loc)


def _is_index(a: Any) -> bool:
    return isinstance(a, Known) and isinstance(a.value, int)


def dict_method(spec: Specializer, target: Mapping, name: str, rest: list[Any]) -> Abstract:
    if name == "keys":
        return Seq("list", [Known(k) for k in target.items], spec.depth)
    if name == "values":
        return Seq("list", list(target.items.values()), spec.depth)
    if name == "items":
        return Seq("list", [Seq("tuple", [Known(k), v], spec.depth) for k, v in target.items.items()], spec.depth)
    if name == "get" and isinstance(rest[0], Known):
        return target.items.get(rest[0].value, rest[1] if len(rest) > 1 else Known(None))
    raise Refused(f"dict.{name} is not modelled", spec.loc)
