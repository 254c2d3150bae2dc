"""Assignments: to names, attributes, items and nested targets; augmented ones; `del`.

Enters: assignment syntax, or a target and a value. Leaves: variables in `env`, and nodes that write.
Invariant: the value is evaluated before the target, and an augmented target's parts are evaluated once.
"""

from __future__ import annotations

import ast
import types

from specjit.capture.attributes import (
    GETTERS,
    MISSING,
    attribute,
    class_lookup,
    guard_method,
    guard_property,
    instance_data,
    ran_in_python,
)
from specjit.capture.comprehensions import comprehension
from specjit.capture.errors import to_capture_error
from specjit.capture.expressions import bind_name, getitem, unbind, unpack
from specjit.capture.frame import Frame, is_own, lowers
from specjit.capture.generated import MADE
from specjit.capture.inline import call_function
from specjit.capture.instances import is_fresh
from specjit.capture.operators import BINARY, TENSOR_BINARY, binary
from specjit.capture.rebinding import hides, rebinds, stays
from specjit.capture.typecheck import check_variable
from specjit.capture.values import (
    Abstract,
    Known,
    TupleOf,
    Value,
    const,
    type_for,
    type_of_abstract,
    widen,
)
from specjit.ir.types import ANY, Type, join
from specjit.nn.module import Module
from specjit.ops.records.registry import all_ops, get

SETATTR = (object.__setattr__, Module.__setattr__)


@lowers(ast.Assign)
def _assign(f: Frame, s: ast.Assign) -> None:
    value = comprehension(f, s.value) if _takes_each(s) else f.expr(s.value)
    for target in s.targets:
        assign(f, target, value)


def _takes_each(s: ast.Assign) -> bool:
    """Whether it is `a, b = (... for x in (y, z))`: every item of the generator is taken, in order, none is missing."""
    if not isinstance(s.value, ast.GeneratorExp) or len(s.value.generators) != 1 or len(s.targets) != 1:
        return False
    over, target = s.value.generators[0], s.targets[0]
    if over.ifs or not isinstance(over.iter, ast.Tuple | ast.List) or not isinstance(target, ast.Tuple | ast.List):
        return False
    starred = any(isinstance(e, ast.Starred) for e in (*over.iter.elts, *target.elts))
    return not starred and len(over.iter.elts) == len(target.elts)


@lowers(ast.AnnAssign)
def _annotated(f: Frame, s: ast.AnnAssign) -> None:
    if s.value is not None:
        value = f.expr(s.value)
        check_variable(f, s, value)
        assign(f, s.target, value)


def assign(f: Frame, target: ast.expr, value: Abstract) -> None:
    """`target = value` for any kind of target."""
    saved, f.at = f.at, target
    try:
        if isinstance(target, ast.Name):
            bind_name(f, target.id, value)
        elif isinstance(target, ast.Attribute):
            set_attribute(f, f.expr(target.value), target.attr, value)
        elif isinstance(target, ast.Subscript):
            owner = f.value(f.expr(target.value))
            set_item(f, owner, f.expr(target.slice), value)
        elif isinstance(target, ast.Tuple | ast.List):
            _assign_items(f, target, value)
        else:
            raise f.unsupported(f"assignment to {type(target).__name__}")
    finally:
        f.at = saved


def _assign_items(f: Frame, target: ast.Tuple | ast.List, value: Abstract) -> None:
    stars = [k for k, t in enumerate(target.elts) if isinstance(t, ast.Starred)]
    if not stars:
        items = unpack(f, value, len(target.elts))
        for t, item in zip(target.elts, items):
            assign(f, t, item)
        return
    (k,) = stars
    after = len(target.elts) - k - 1
    if isinstance(value, TupleOf) and len(value.items) >= k + after:
        stop = len(value.items) - after
        parts: list[Abstract] = [*value.items[:k], f.emit("py.list", *value.items[k:stop]), *value.items[stop:]]
    else:
        node, _ = f.emit_node(get("py.unpack_star"), [f.value(value), const(k), const(after)])
        parts = list(node.results)
    for t, item in zip(target.elts, parts):
        assign(f, t.value if isinstance(t, ast.Starred) else t, item)


def set_attribute(f: Frame, owner: Abstract, name: str, value: Abstract) -> None:
    """`owner.name = value`, by a setter of the class if there is one."""
    _refuse_new_class(f, name)
    if isinstance(owner, Known) and owner.value is not None and _set_by_class(f, owner, name, value):
        return
    store_attribute(f, owner, name, value)


def _set_by_class(f: Frame, owner: Known, name: str, value: Abstract) -> bool:
    """Whether code of the object's class takes the value: a setter that is read here, or something that Python runs."""
    cls = type(owner.obj)
    raw, hook = class_lookup(cls, name), class_lookup(cls, "__setattr__")
    if hook not in SETATTR and not (isinstance(hook, types.FunctionType) and hook.__code__.co_filename == MADE):
        if isinstance(owner.obj, Module) or not isinstance(hook, types.FunctionType) or not stays(f, "__setattr__"):
            ran_in_python(f, "an attribute that __setattr__ sets")
            return False
        guard_method(f, cls, "__setattr__", hook)
        call_function(f, hook, [owner, const(name), value], {})
        return True
    if isinstance(raw, property) and isinstance(raw.fset, types.FunctionType) and not is_own(cls) and stays(f, name):
        guard_property(f, cls, name, raw)
        call_function(f, raw.fset, [owner, value], {})
        return True
    if hasattr(type(raw), "__set__") and not isinstance(raw, (*GETTERS, property)):
        ran_in_python(f, "an attribute that a descriptor sets")
    return False


def store_attribute(f: Frame, owner: Abstract, name: str, value: Abstract, by_object: bool = False) -> None:
    """Append the write. by_object: by `object.__setattr__`, whatever the object's class says."""
    bound_anew(f, owner, name)
    if by_object:
        f.emit("py.call", Known(object.__setattr__), None, owner, name, value)
    else:
        f.emit("py.setattr", owner, name, value)
    learn_attribute(f, owner, name, widen(type_of_abstract(value)))


def _refuse_new_class(f: Frame, name: str) -> None:
    if name == "__class__":
        what = "an object that changes its class"
        raise to_capture_error(f.unsupported(what, hint="make an object of the other class"))


def bound_anew(f: Frame, owner: Abstract, name: str) -> None:
    """The attribute is bound or deleted: whatever was found under its name may be hidden from now on."""
    _refuse_new_class(f, name)
    if isinstance(owner, Known) and owner.value is not None:
        if hides(type(owner.obj), class_lookup(type(owner.obj), name)):
            rebinds(f, name)
    elif isinstance(owner, Known) or owner_is_open(owner):
        rebinds(f, name)


def owner_is_open(owner: Abstract) -> bool:
    """Whether the owner may be any object."""
    return isinstance(owner, Value) and owner.type.kind in ("any", "class", "optional")


def learn_attribute(f: Frame, owner: Abstract, name: str, found: Type) -> None:
    """The program sets the attribute to something of this type."""
    if isinstance(owner, Known):
        # From here on the example does not say what the attribute is; in a loop, from the start of the turn.
        key, written = (id(owner.obj), name), f.session.written
        before = instance_data(owner.obj, name)
        if is_fresh(owner):  # all objects of the class that the program makes
            t = join(_unfilled(found), written.get(key) or _unfilled(found))
        else:
            t = join(found, written.get(key) or (type_for(before) if before is not MISSING else ANY))
        if written.get(key) != t:
            written[key] = t
            f.session.unsettled = True


def _unfilled(t: Type) -> Type:
    """The type of a container of which it is not known what is put into it."""
    return t.with_(args=(ANY,) * len(t.args)) if t.kind in ("list", "dict", "set") else t


def set_item(f: Frame, owner: Value, index: Abstract, value: Abstract) -> None:
    if owner.type.is_tensor and "setitem" in all_ops():
        f.emit("setitem", owner, index, value)
    else:
        f.emit("py.setitem", owner, index, value)


@lowers(ast.AugAssign)
def _augmented(f: Frame, s: ast.AugAssign) -> None:
    name = BINARY[type(s.op)]
    target = s.target
    if isinstance(target, ast.Name):
        load = ast.copy_location(ast.Name(target.id, ast.Load()), target)
        bind_name(f, target.id, augmented(f, name, f.expr(load), f.expr(s.value)))
    elif isinstance(target, ast.Attribute):
        owner = f.expr(target.value)
        before = attribute(f, owner, target.attr)
        set_attribute(f, owner, target.attr, augmented(f, name, before, f.expr(s.value)))
    else:
        owner, index = f.value(f.expr(target.value)), f.expr(target.slice)
        before = getitem(f, owner, index)
        set_item(f, owner, index, augmented(f, name, before, f.expr(s.value)))


NUMBERS = ("int", "float", "bool", "complex")


def augmented(f: Frame, name: str, left: Abstract, right: Abstract) -> Abstract:
    """`left <op>= right`: in place for tensors and lists, a new value for numbers, strings and tuples."""
    if isinstance(left, TupleOf):
        if isinstance(right, TupleOf) and name == "add":
            return TupleOf(left.items + right.items)
    a, b = f.value(left), f.value(right)
    plain = a.type.kind in NUMBERS and (b.type.kind in NUMBERS or b.type.is_tensor)
    if plain or (name == "add" and a.type.kind == b.type.kind == "str"):
        return binary(f, name, a, b)
    in_place = f"{TENSOR_BINARY.get(name, '')}_"
    if a.type.is_tensor and (b.type.is_tensor or b.type.kind in ("int", "float", "bool")) and in_place in all_ops():
        op = get(in_place)
        return f.emit_node(op, [a, b, *(const(p.default) for p in op.params[2:])])[0].results[0]
    result = f.emit(f"py.i{name}", a, b)
    if a.type.kind in ("list", "dict", "set"):
        result.type = a.type
    return result


@lowers(ast.Delete)
def _delete(f: Frame, s: ast.Delete) -> None:
    for target in s.targets:
        delete(f, target)


def delete(f: Frame, target: ast.expr) -> None:
    """`del target`, which must have a value."""
    if isinstance(target, ast.Name):
        f.expr(ast.copy_location(ast.Name(target.id, ast.Load()), target))
        unbind(f, target.id)
    elif isinstance(target, ast.Subscript):
        f.emit("py.delitem", f.value(f.expr(target.value)), f.expr(target.slice))
    elif isinstance(target, ast.Attribute):
        delete_attribute(f, f.expr(target.value), target.attr)
    else:
        assert isinstance(target, ast.Tuple | ast.List)
        for each in target.elts:
            delete(f, each)


def delete_attribute(f: Frame, owner: Abstract, name: str) -> None:
    bound_anew(f, owner, name)
    f.emit("py.delattr", owner, name)
    learn_attribute(f, owner, name, ANY)
