"""What a name or an attribute is: a known Python object under a guard, or a value read at run time.

Enters: owners (abstract values) and names. Leaves: abstract values and facts.
Invariant: structure (modules, functions, classes, methods) is known and guarded by identity or type; data (numbers,
tensors, lists) is always read at run time, only its Python type is guarded. No property or `__getattr__` of the user
runs while capturing.
"""

from __future__ import annotations

import builtins
import collections
import enum
import types
from collections.abc import Callable
from typing import Any

from specjit.capture import opaque
from specjit.capture.annotations import declared_constants
from specjit.capture.frame import SIMPLE, Frame, is_own
from specjit.capture.guards import Group, is_stable_module
from specjit.capture.instances import is_fresh
from specjit.capture.rebinding import ANYTHING, is_unhidden, rebinds, stays
from specjit.capture.values import Abstract, Known, Method, Shape, TupleOf, Value, const, type_for
from specjit.dtypes import DType
from specjit.ir.types import ANY, BOOL, INT, Type
from specjit.nn.module import Module
from specjit.tensor.methods import TensorMethods
from specjit.tensor.tensor import Tensor

_FIELD = type(vars(collections.namedtuple("_", "field"))["field"])
GETTERS = (types.MemberDescriptorType, _FIELD)  # of slots and named tuples: reading them runs no code of the user
BUILTIN_METHODS = (types.MethodDescriptorType, types.WrapperDescriptorType, types.ClassMethodDescriptorType)
BUILTIN_FUNCTIONS = (types.MethodDescriptorType, types.WrapperDescriptorType, types.BuiltinFunctionType)
METHODS = (types.FunctionType, staticmethod, classmethod)
FUNCTIONS = (types.FunctionType, types.BuiltinFunctionType, types.MethodType, types.MethodDescriptorType, type)
ALWAYS_KNOWN = (*FUNCTIONS, types.ModuleType, DType)
TENSOR_ATTRIBUTES = {
    "ndim": INT,
    "requires_grad": BOOL,
    "is_leaf": BOOL,
    "grad": ANY,
    "dtype": ANY,
    "device": ANY,
}
REGISTRIES = ("_parameters", "_buffers", "_modules")  # of a Module
MISSING = object()


def is_operator(obj: Any) -> bool:
    """Whether the object is a callable of this package that stands for an operator record."""
    return is_own(type(obj)) and hasattr(obj, "record")


def describe(f: Frame, obj: Any, group: Group, source: str, fetch: str, read: Any) -> Abstract:
    """The abstract value of `obj`, found at `source`; `read()` emits the node that reads it at run time."""
    from specjit.capture.members import note_store

    origin = f.origin()
    facts = f.session.facts
    if isinstance(obj, ALWAYS_KNOWN) or is_operator(obj):
        facts.add(group, source, "identity", obj, origin, fetch)
        return Known(obj)
    if f.session.scripting and getattr(type(obj), "__specjit_scripted__", False):
        # What is scripted already is read as a part of this script.
        facts.add(group, source, "identity", obj, origin, fetch)
        return describe(f, obj.__specjit_model__, group, source, f"{fetch}.__specjit_model__", read)
    facts.add(group, source, "type", type(obj), origin, fetch)
    if isinstance(obj, Tensor) or type(obj) in SIMPLE:
        if obj is None:
            return const(None)
        value = read()
        value.type = type_for(obj)
        f.session.examples[value] = (obj, group, source, fetch)
        return value
    if type(obj) in (list, dict, set):
        value = read()
        value.type = Type(type(obj).__name__, (ANY,) if type(obj) is not dict else (ANY, ANY))
        note_store(f, value, obj, source, fetch)
        return value
    if type(obj) is tuple:
        facts.add(group, source, "length", len(obj), origin, fetch)
        value = read()
        items = []
        for i, item in enumerate(obj[:32]):
            facts.add(group, f"{source}[{i}]", "type", type(item), origin, f"{fetch}[{i}]")
            items.append(type_for(item) if type(item) in SIMPLE or isinstance(item, Tensor) else ANY)
        value.type = Type.tuple(*items, *[ANY] * (len(obj) - len(items)))
        note_store(f, value, obj, source, fetch)
        return value
    value = read()
    value.type = Type.instance(type(obj).__qualname__)
    return Known(obj, value, f"{group}|{source}|{fetch}")


def place_of(known: Known) -> tuple[Group, str, str]:
    group, source, fetch = known.source.split("|", 2)
    return group, source, fetch  # type: ignore[return-value]


# names


def global_value(f: Frame, name: str) -> Abstract:
    """A name that is no local variable of the captured functions: a closure variable, a global or a builtin."""
    fn = f.function
    if name in fn.__code__.co_freevars:
        return _closure_value(f, fn, name)
    scope = fn.__globals__
    stable = is_own(fn)
    if name in scope and not (stable or stays(f, name)):
        return f.emit("py.global", name, Known(fn), hint=name)
    if name in scope:
        obj = scope[name]
        if stable and (isinstance(obj, ALWAYS_KNOWN) or is_operator(obj)):
            return Known(obj)
        fetch = f"{f.session.facts.bind(scope)}[{name!r}]"
        source = f"globals[{name!r}]" if fn is f.session.root else f"{fn.__module__}.{name}"
        return describe(f, obj, "globals", source, fetch, lambda: f.emit("py.global", name, Known(fn), hint=name))
    if hasattr(builtins, name):
        if not stable:
            f.session.facts.add(
                "globals", f"globals[{name!r}]", "absent", name, f.origin(), f.session.facts.bind(scope)
            )
        obj = getattr(builtins, name)
        return const(obj) if obj is None or isinstance(obj, SIMPLE) else Known(obj)
    return f.emit("py.global", name, Known(fn))


def _closure_value(f: Frame, fn: types.FunctionType, name: str) -> Abstract:
    cell = (fn.__closure__ or ())[fn.__code__.co_freevars.index(name)]
    read = lambda: f.emit("py.closure", name, Known(fn), hint=name)  # noqa: E731
    try:
        obj = cell.cell_contents
    except ValueError:
        return read()
    if name == "__class__":
        return Known(obj)
    fetch = f"{f.session.facts.bind(cell)}.cell_contents"
    return describe(f, obj, "globals", f"closure[{name!r}]", fetch, read)


# attributes


BUILTIN_KINDS = {t.__name__: t for t in (list, dict, set, str, tuple, int, float, bool, complex)}


def attribute(f: Frame, owner: Abstract, name: str) -> Abstract:
    """`owner.name`."""
    if name == "__dict__":
        return _namespace(f, owner)
    if isinstance(owner, Known):
        return _known_attribute(f, owner, name)
    if isinstance(owner, Value) and owner.type.is_tensor:
        return _tensor_attribute(f, owner, name)
    if isinstance(owner, Shape) and name in ("numel", "index", "count"):
        return Method(owner, name)
    if isinstance(owner, TupleOf):
        return owner.items[owner.names.index(name)] if name in owner.names else Method(owner, name)
    v = f.value(owner)
    kind = BUILTIN_KINDS.get(v.type.kind)
    if kind is not None and hasattr(kind, name):
        return Method(v, name)
    return f.emit("py.getattr", v, name)


def _namespace(f: Frame, owner: Abstract) -> Value:
    """`owner.__dict__`: whoever has it can bind any attribute."""
    rebinds(f, ANYTHING)
    f.session.touched = True
    return f.emit("py.getattr", owner, "__dict__")


def _tensor_attribute(f: Frame, x: Value, name: str) -> Abstract:
    if name == "shape":
        return Shape(x)
    found = getattr(TensorMethods, name, None) or getattr(Tensor, name, None)
    getter = getattr(found, "fget", None)
    record = getattr(getter, "record", None)
    if record is not None:
        from specjit.capture.calls import call_op

        return call_op(f, record, [x], {})
    composite = getattr(getter, "composite", None)
    if composite is not None:
        from specjit.capture.calls import call_composite

        return call_composite(f, composite, [x], {})
    if found is not None and callable(found):
        return Method(x, name, found)
    return f.emit("py.getattr", x, name, type=TENSOR_ATTRIBUTES.get(name))


def _known_attribute(f: Frame, owner: Known, name: str) -> Abstract:
    obj = owner.obj
    if isinstance(obj, types.ModuleType):
        return _module_attribute(f, owner, name)
    if isinstance(obj, type) and owner.value is None:
        return _class_attribute(f, obj, name)
    if owner.value is None:
        if not hasattr(obj, name):
            return f.emit("py.getattr", owner, name)
        found = getattr(obj, name)
        return const(found) if type(found) in SIMPLE else Known(found)
    return _instance_attribute(f, owner, name)


def _module_attribute(f: Frame, owner: Known, name: str) -> Abstract:
    module = owner.obj
    found = module.__dict__.get(name, MISSING)
    if found is MISSING:
        # A lazily loaded attribute (PEP 562) of a package this one knows; anything else is decided at run time.
        if not is_stable_module(module) or not hasattr(module, name):
            return f.emit("py.getattr", owner, name)
        found = getattr(module, name)
    if is_stable_module(module):
        if type(found) in SIMPLE:
            return const(found)
        if isinstance(found, ALWAYS_KNOWN) or is_operator(found):
            return Known(found)
    elif not stays(f, name) or ANYTHING in f.session.rebound:
        return f.emit("py.getattr", owner, name)
    fetch = f"{f.session.facts.bind(module)}.{name}"
    return describe(
        f, found, "globals", f"{module.__name__}.{name}", fetch, lambda: f.emit("py.getattr", owner, name, hint=name)
    )


def _class_attribute(f: Frame, cls: type, name: str) -> Abstract:
    for base in cls.__mro__ if stays(f, name) else ():
        if name in base.__dict__:
            raw = base.__dict__[name]
            if isinstance(raw, BUILTIN_FUNCTIONS) and base.__module__ == "builtins":
                return Known(raw)
            if isinstance(raw, staticmethod | classmethod | types.FunctionType):
                found = getattr(cls, name)
                guard_method(f, cls, name, raw)
                return Known(found)
            break
    return f.emit("py.getattr", Known(cls), name)


def guard_method(f: Frame, cls: type, name: str, raw: Any) -> None:
    """`cls.name` stays the function it is."""
    if (cls.__module__ or "").split(".")[0] == "specjit" or isinstance(raw, classmethod):
        return
    function = raw.__func__ if isinstance(raw, staticmethod) else raw
    fetch = f"{f.session.facts.bind(cls)}.{name}"
    f.session.facts.add("globals", f"{cls.__qualname__}.{name}", "identity", function, f.origin(), fetch)


def guard_property(f: Frame, cls: type, name: str, raw: property) -> None:
    """`cls.name` stays the property it is."""
    if not is_own(cls):
        fetch = f"{f.session.facts.bind(cls)}.{name}"
        f.session.facts.add("globals", f"{cls.__qualname__}.{name}", "identity", raw, f.origin(), fetch)


def _instance_attribute(f: Frame, owner: Known, name: str) -> Abstract:
    obj, cls = owner.obj, type(owner.obj)
    fresh = is_fresh(owner)
    place: tuple[Group, str, str] = ("arguments", "", "") if fresh else place_of(owner)
    group, source, fetch = place
    raw = class_lookup(cls, name)
    read = lambda: f.emit("py.getattr", owner, name, hint=name)  # noqa: E731
    if name == "__class__":
        return Known(cls)
    if isinstance(raw, property):
        if stays(f, name) and isinstance(raw.fget, types.FunctionType) and not isinstance(obj, Tensor):
            from specjit.capture.calls import call_function

            guard_property(f, cls, name, raw)
            return call_function(f, raw.fget, [owner], {})
        return read()
    if isinstance(raw, GETTERS):
        found = getattr(obj, name, MISSING)
    else:
        found = instance_data(obj, name)
        if found is MISSING and raw is not MISSING:
            return _class_member(f, owner, name, raw, read)
        if raw is not MISSING and hasattr(type(raw), "__set__"):
            return read()
    if _may_be_computed(f, owner, name, found):
        return _computed(f, read, "an attribute that __getattr__ computes")
    if not stays(f, name) and not is_registered(obj, name):
        return read()  # an object of which it is not known which one it is has the attribute set
    if fresh:
        value = read()
        if not f.session.touched:
            value.type = f.session.written.get((id(obj), name), ANY)
        return value
    if found is MISSING or (f.session.touched and not is_registered(obj, name)):
        return read()
    inner = group if group != "structure" or isinstance(obj, Module) else "arguments"
    if isinstance(obj, Module) and inner == "arguments":
        inner = "structure"
    table = next((t for t in REGISTRIES if isinstance(obj, Module) and name in obj.__dict__.get(t, ())), None)
    where = f"{fetch}.{table}[{name!r}]" if table else f"{fetch}.{name}"
    if type(found) in SIMPLE and isinstance(obj, Module) and name in declared_constants(cls):
        f.session.facts.add(inner, f"{source}.{name}", "type", type(found), f.origin(), where)
        f.session.facts.add(inner, f"{source}.{name}", "value", found, f.origin(), where)
        return const(found)
    written = f.session.written.get((id(obj), name))
    if written is not None:
        value = read()
        value.type = written
        return value
    return describe(f, found, inner, f"{source}.{name}", where, read)


def _may_be_computed(f: Frame, owner: Known, name: str, found: Any) -> bool:
    """Whether a `__getattr__` of the user is asked for an attribute that the class does not have. `found`: what the
    example of the object holds under the name."""
    obj = owner.obj
    hook = class_lookup(type(obj), "__getattr__")
    if hook is MISSING or hook is Module.__dict__["__getattr__"]:
        return False
    if is_fresh(owner):
        return (id(obj), name) not in f.session.written
    return found is MISSING or (isinstance(obj, Module) and name not in obj.__dict__)


def _class_member(f: Frame, owner: Known, name: str, raw: Any, read: Any) -> Abstract:
    """An attribute that lives in the class: a method, or data that instances share."""
    cls = type(owner.obj)
    if isinstance(raw, METHODS) and not is_unhidden(f, owner, name):
        return Method(owner, name)
    if isinstance(raw, types.FunctionType):
        guard_method(f, cls, name, raw)
        _guard_not_shadowed(f, owner, name)
        return Method(owner, name, raw)
    if isinstance(raw, staticmethod):
        guard_method(f, cls, name, raw)
        _guard_not_shadowed(f, owner, name)
        return Known(raw.__func__)
    if isinstance(raw, classmethod) and isinstance(raw.__func__, types.FunctionType):
        home = next(base for base in cls.__mro__ if name in base.__dict__)
        fetch = f"{f.session.facts.bind(home)}.__dict__[{name!r}]"
        f.session.facts.add("globals", f"{cls.__qualname__}.{name}", "identity", raw, f.origin(), fetch)
        _guard_not_shadowed(f, owner, name)
        return Method(Known(cls), name, raw.__func__)
    if isinstance(raw, BUILTIN_METHODS):
        return Method(owner, name)
    if isinstance(raw, types.DynamicClassAttribute) and isinstance(owner.obj, enum.Enum):
        return read()  # its name or value
    if hasattr(type(raw), "__get__"):
        return _computed(f, read, "an attribute that a descriptor computes")
    if is_fresh(owner):
        return read()
    group, source, fetch = place_of(owner)
    return describe(f, raw, "globals" if group == "structure" else group, f"{source}.{name}", f"{fetch}.{name}", read)


def _computed(f: Frame, read: Callable[[], Value], what: str) -> Value:
    """An attribute that code of the user gives, which then runs in Python."""
    ran_in_python(f, what)
    return read()


def ran_in_python(f: Frame, what: str) -> None:
    """Code of the user that is not read runs here, as part of the next node."""
    f.session.touched = True
    opaque.note(f, what)


def _guard_not_shadowed(f: Frame, owner: Known, name: str) -> None:
    if is_fresh(owner):
        return
    group, source, fetch = place_of(owner)
    if hasattr(owner.obj, "__dict__"):
        inner: Group = "structure" if isinstance(owner.obj, Module) else group
        f.session.facts.add(inner, f"vars({source})[{name!r}]", "absent", name, f.origin(), f"{fetch}.__dict__")


def class_lookup(cls: type, name: str) -> Any:
    for base in cls.__mro__:
        if name in base.__dict__:
            return base.__dict__[name]
    return MISSING


def instance_data(obj: Any, name: str) -> Any:
    """What the instance itself holds under `name`, without running any of its code."""
    own = getattr(obj, "__dict__", {})
    if name in own:
        return own[name]
    if isinstance(obj, Module):
        for table in REGISTRIES:
            if name in own.get(table, {}):
                return own[table][name]
    return MISSING


def is_registered(obj: Any, name: str) -> bool:
    """Parameters, buffers and submodules: what a Program owns. They are not expected to move within one call."""
    return isinstance(obj, Module) and isinstance(instance_data(obj, name), Module | Tensor)
