"""Lists, tuples, dicts and module containers: their items, length, iteration and methods.

Enters: `py.list`, `py.getitem`, `py.len`, `py.unpack` and so on. Leaves: `Seq` and `Mapping` values, items of them,
numbers; what a loop appended to a list is the business of `lists`.
Invariant: a container of the caller, or one that an open loop changes, is neither changed nor read.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from specjit.ir.graph import Node
from specjit.ops.pyinfer import FOLDED_SIZE
from specjit.specialize import lists
from specjit.specialize.abstract import (
    Abstract,
    Known,
    Mapping,
    NeedsUnrolling,
    Obj,
    Refused,
    Rows,
    Seq,
    constant,
    unknown,
)
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
    return Mapping(dict(zip((k.value for k in keys), values, strict=True)), spec.depth)


@handles("py.spread_dict")
def copy_dict(spec: Specializer, args: list[Any], node: Node) -> Abstract:
    if isinstance(args[0], Mapping):
        return Mapping(dict(args[0].items), spec.depth)
    return default(spec, args, node)


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
    if children is None or isinstance(index.value, slice):
        raise Refused(f"an item of {target.path}", spec.loc)
    name = index.value
    if isinstance(name, int):
        if not -len(children) <= name < len(children):
            raise Refused(f"index {name} is out of range for {target.path}", spec.loc)
        name = list(children)[name]
    return spec.attribute(target.value, target.path, name)


@handles("py.setitem", "py.delitem")
def set_item(spec: Specializer, args: list[Any], node: Node) -> Abstract:
    target, index = args[:2]
    deletes = node.op.name == "py.delitem"
    if is_tensor(target) and not deletes:
        return spec.call("setitem", *args)
    if not isinstance(target, (Seq, Mapping)) or not isinstance(index, Known):
        raise Refused("an item of a container is assigned", spec.loc)
    if target.foreign or target.depth != spec.depth:
        raise Refused("an item of a container of the caller or of an outer block is assigned", spec.loc)
    _check_place(spec, target, index.value, deletes)
    if deletes:
        del target.items[index.value]
    else:
        target.items[index.value] = args[2]
    return Known(None)


def _check_place(spec: Specializer, target: Seq | Mapping, index: Any, deletes: bool) -> None:
    """Whether there is an item to assign or delete; where there is none, Python's error is for run time."""
    if isinstance(target, Mapping):
        if deletes and index not in target.items:
            raise Refused(f"key {index!r} is missing", spec.loc)
        return
    lists.check_readable(spec, target)
    if target.kind != "list" or not target.plain or type(index) is not int:
        raise Refused(f"an item of a {target.kind} is assigned", spec.loc)
    if not -len(target.items) <= index < len(target.items):
        raise Refused(f"index {index} is out of range", spec.loc)


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
    count = args[1].value
    items = _single_items(spec, args[0])
    if len(items) != count:
        raise Refused(f"{len(items)} values are unpacked into {count} names", spec.loc)
    return items


@handles("py.unpack_star")
def unpack_star(spec: Specializer, args: list[Any], node: Node) -> list[Any]:
    before, after = args[1].value, args[2].value
    items = _single_items(spec, args[0])
    stop = len(items) - after
    if stop < before:
        raise Refused(f"{len(items)} values are unpacked into at least {before + after} names", spec.loc)
    return [*items[:before], Seq("list", items[before:stop], spec.depth), *items[stop:]]


def _single_items(spec: Specializer, target: Any) -> list[Any]:
    items = items_of(spec, target)
    if items is None:
        raise Refused(f"{unknown(target)} is unpacked", spec.loc)
    if any(isinstance(i, Rows) for i in items):
        raise Refused("a list that a loop grew is unpacked", spec.loc)
    return items


@handles("py.iter_list", "py.spread")
def iterate(spec: Specializer, args: list[Any], node: Node) -> Abstract:
    items = items_of(spec, args[0])
    return default(spec, args, node) if items is None else Seq("list", items, spec.depth)


def items_of(spec: Specializer, target: Any) -> list[Any] | None:
    """What iterating over `target` yields, where that is known item by item; None for anything else."""
    if isinstance(target, Seq):
        lists.check_readable(spec, target)
        return list(target.items)
    if isinstance(target, Mapping):
        return [Known(k) for k in target.items]
    if isinstance(target, Obj) and hasattr(target.value, "_modules"):
        return [spec.attribute(target.value, target.path, n) for n in target.value._modules]
    if isinstance(target, Known) and isinstance(target.value, (list, tuple, str, range)):
        if len(target.value) > FOLDED_SIZE:
            raise Refused(f"a list of {len(target.value)} items", spec.loc)
        return [constant(v) for v in target.value]
    return _tensor_rows(spec, target)


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
    if target.foreign:
        raise Refused("a list of the caller is extended", spec.loc)
    if target.depth == spec.depth:
        target.items.extend(more.items)
        return target
    if target.grown is not None or not more.plain:
        raise Refused("a list of an outer block is extended by a number of items that is not known", spec.loc)
    for item in list(more.items):
        lists.append(spec, target, item)
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
