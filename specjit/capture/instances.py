"""Objects that a captured program makes itself: its constructor is read like any function.

Enters: a class and abstract arguments. Leaves: the new object, whose methods are known and whose attributes are read at
run time; None for a class that makes its objects in a way of its own.
Invariant: such an object exists only while the program runs, so no guard speaks of it (its `Known` has no source).
"""

from __future__ import annotations

import ast
import dataclasses
import types
import weakref
from typing import Any

from specjit.capture import generated
from specjit.capture.frame import Frame
from specjit.capture.pycalls import is_library
from specjit.capture.rebinding import stays
from specjit.capture.values import Abstract, Known, Method
from specjit.ir.types import Type
from specjit.nn.module import Module

_blank: weakref.WeakKeyDictionary[type, Any] = weakref.WeakKeyDictionary()


def construct(f: Frame, cls: type, args: list[Abstract], kwargs: dict[str, Abstract]) -> Abstract | None:
    """`cls(*args, **kwargs)`, where what that runs is known."""
    from specjit.capture.attributes import guard_method
    from specjit.capture.inline import call_function

    kind = Type.instance(cls.__qualname__)
    names = tuple(kwargs) or None
    if _is_named_tuple(cls):
        made = f.emit("py.call", Known(cls), names, *args, *kwargs.values())
        made.type = kind
        return made
    if not _is_plain(cls):
        return None
    if not stays(f, "__init__"):
        return None
    initialize: Any = cls.__init__  # type: ignore[misc]
    given = generated.arguments_of(cls, args, kwargs) if generated.is_generated(cls) else None
    if given is None and (generated.is_generated(cls) or (initialize is object.__init__ and (args or kwargs))):
        return f.emit("py.call", Known(cls), names, *args, *kwargs.values())  # the call is wrong, and says so
    if initialize is not object.__init__ and (not isinstance(initialize, types.FunctionType) or is_library(initialize)):
        return None
    made = f.emit("py.call", Known(object.__new__), None, Known(cls))
    made.type = kind
    if cls not in _blank:
        _blank[cls] = object.__new__(cls)
    out = Known(_blank[cls], made)
    guard_method(f, cls, "__init__", initialize)
    if given is not None:
        generated.fill(f, cls, out, given)
    elif isinstance(initialize, types.FunctionType):
        call_function(f, initialize, [out, *args], kwargs)
    return out


@dataclasses.dataclass
class Above:
    """What `super().name` finds: `raw` in the dict of the class `home`. `owner`: the instance or class it is asked
    for."""

    owner: Known
    home: type
    raw: Any


def above(f: Frame, node: ast.Attribute) -> Above | None:
    """The member that `super().name` means; None for anything else, and where only Python can tell."""
    if not is_super(f, node.value):
        return None
    cls = _class_around(f)
    owner = f.env.get(f.function.__code__.co_varnames[0])
    if cls is None or not isinstance(owner, Known) or not stays(f, node.attr):
        return None
    made_of = owner.obj if owner.value is None else type(owner.obj)
    if not isinstance(made_of, type) or not issubclass(made_of, cls):
        return None
    order = made_of.__mro__
    home = next((base for base in order[order.index(cls) + 1 :] if node.attr in base.__dict__), None)
    return None if home is None else Above(owner, home, home.__dict__[node.attr])


def is_super(f: Frame, node: ast.expr) -> bool:
    """Whether an expression is `super()` without arguments."""
    plain = isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and not (node.args or node.keywords)
    if not plain or node.func.id != "super" or f.lookup("super") is not None:  # type: ignore[attr-defined]
        return False
    return f.function.__globals__.get("super", super) is super


def _class_around(f: Frame) -> type | None:
    """The class in whose body the function is defined."""
    free = f.function.__code__.co_freevars
    if "__class__" not in free:
        return None
    found: type = (f.function.__closure__ or ())[free.index("__class__")].cell_contents
    return found


def super_method(f: Frame, node: ast.Attribute) -> Abstract | None:
    """`super().name` as what is called; None for anything else."""
    found = above(f, node)
    if found is None:
        return None
    owner, raw = found.owner, found.raw
    if raw is object.__init__:
        return Known(_nothing)
    function = raw if isinstance(raw, types.FunctionType) else getattr(raw, "__func__", None)
    if not isinstance(function, types.FunctionType):
        return None
    from specjit.capture.attributes import guard_method

    guard_method(f, found.home, node.attr, raw)
    if isinstance(raw, staticmethod) or (owner.value is None and not isinstance(raw, classmethod)):
        return Known(function)
    if isinstance(raw, classmethod) and owner.value is not None:
        owner = Known(type(owner.obj))
    return Method(owner, node.attr, function)


def super_attribute(f: Frame, node: ast.Attribute) -> Abstract | None:
    """`super().name` where that is a property of a class above; None for anything else."""
    found = above(f, node)
    getter = getattr(found.raw, "fget", None) if found is not None and isinstance(found.raw, property) else None
    if found is None or found.owner.value is None or not isinstance(getter, types.FunctionType):
        return None
    from specjit.capture.inline import call_function

    f.session.facts.add(
        "globals",
        f"{found.home.__qualname__}.{node.attr}",
        "identity",
        found.raw,
        f.origin(),
        f"{f.session.facts.bind(found.home)}.{node.attr}",
    )
    return call_function(f, getter, [found.owner], {})


def super_object(f: Frame) -> Abstract | None:
    """`super()` itself, with its arguments spelled out: in generated code no class is around it."""
    cls, first = _class_around(f), f.function.__code__.co_varnames[:1]
    if cls is None or not first or first[0] not in f.env:
        return None
    f.session.touched = True
    return f.emit("py.call", Known(super), None, Known(cls), f.env[first[0]])


def _nothing() -> None:
    """What `object.__init__` does."""


def is_fresh(owner: Known) -> bool:
    """Whether the program made the object itself."""
    return owner.value is not None and not owner.source


def _is_named_tuple(cls: type) -> bool:
    new = cls.__new__
    return (
        issubclass(cls, tuple) and hasattr(cls, "_fields") and getattr(new, "__module__", "").startswith("namedtuple_")
    )


def _is_plain(cls: type) -> bool:
    """Whether making an object is `object.__new__` and `__init__`, and its attributes are found in the usual way."""
    new: Any = cls.__new__
    get: Any = cls.__getattribute__
    return (
        type(cls).__call__ is type.__call__
        and new is object.__new__
        and get is object.__getattribute__
        and not issubclass(cls, Module)
        and cls.__module__.split(".")[0] not in ("specjit", "builtins")
    )
