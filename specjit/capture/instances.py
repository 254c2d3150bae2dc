"""Objects that a captured program makes itself: its constructor is read like any function.

Enters: a class and abstract arguments. Leaves: the new object, whose methods are known and whose attributes are read at
run time; None for a class that makes its objects in a way of its own.
Invariant: such an object exists only while the program runs, so no guard speaks of it (its `Known` has no source); an
attribute that would hide a method is an error.
"""

from __future__ import annotations

import ast
import dataclasses
import types
import weakref
from typing import Any

from specjit.capture.frame import SIMPLE, Frame
from specjit.capture.values import Abstract, Known, Method, const
from specjit.ir.types import Type
from specjit.nn.module import Module

_MADE = "<string>"  # the file of methods that dataclasses and namedtuple generate
_blank: weakref.WeakKeyDictionary[type, Any] = weakref.WeakKeyDictionary()


def construct(f: Frame, cls: type, args: list[Abstract], kwargs: dict[str, Abstract]) -> Abstract | None:
    """`cls(*args, **kwargs)`, where what that runs is known."""
    from specjit.capture.assignments import set_attribute
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
    initialize: Any = cls.__init__  # type: ignore[misc]
    fields = _fields(f, cls, args, kwargs)
    generated = not isinstance(initialize, types.FunctionType) or initialize.__code__.co_filename == _MADE
    if generated and fields is None:
        return None
    made = f.emit("py.call", Known(object.__new__), None, Known(cls))
    made.type = kind
    if cls not in _blank:
        _blank[cls] = object.__new__(cls)
    out = Known(_blank[cls], made)
    guard_method(f, cls, "__init__", initialize)
    if fields is None:
        call_function(f, initialize, [out, *args], kwargs)
    else:
        for name, value in fields.items():
            set_attribute(f, out, name, value)
    return out


def super_method(f: Frame, node: ast.Attribute) -> Abstract | None:
    """`super().name` as what is called, where that is a plain function of a class above; None for anything else."""
    call = node.value
    plain = isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and not (call.args or call.keywords)
    free = f.function.__code__.co_freevars
    if not plain or call.func.id != "super" or "__class__" not in free:  # type: ignore[attr-defined]
        return None
    if "super" in f.env or f.function.__globals__.get("super", super) is not super:
        return None
    cls = (f.function.__closure__ or ())[free.index("__class__")].cell_contents
    owner = f.env.get(f.function.__code__.co_varnames[0])
    if not isinstance(owner, Known) or owner.value is None or not isinstance(owner.obj, cls):
        return None
    order = type(owner.obj).__mro__
    home = next(base for base in order[order.index(cls) + 1 :] if node.attr in base.__dict__ or base is object)
    raw = home.__dict__.get(node.attr)
    if raw is object.__init__:
        return Known(_nothing)
    if not isinstance(raw, types.FunctionType):
        return None
    from specjit.capture.attributes import guard_method

    guard_method(f, home, node.attr, raw)
    return Method(owner, node.attr, raw)


def _nothing() -> None:
    """What `object.__init__` does."""


def is_fresh(owner: Known) -> bool:
    """Whether the program made the object itself."""
    return owner.value is not None and not owner.source


def hides_method(owner: Known, name: str) -> bool:
    """Whether setting the attribute of a fresh object would hide what its class has under the name."""
    return is_fresh(owner) and isinstance(getattr(type(owner.obj), name, None), types.FunctionType)


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


def _fields(f: Frame, cls: type, args: list[Abstract], kwargs: dict[str, Abstract]) -> dict[str, Abstract] | None:
    """What the constructor of a dataclass stores, by attribute; None for any other class, or a call that fails."""
    code = getattr(cls.__init__, "__code__", None)  # type: ignore[misc]
    if not dataclasses.is_dataclass(cls) or hasattr(cls, "__post_init__") or code is None or code.co_filename != _MADE:
        return None
    if cls.__dataclass_params__.frozen or len(args) > len(given := _parameters(cls)):  # type: ignore[attr-defined]
        return None
    said = dict(zip(given, args))
    if not kwargs.keys() <= given.keys() - said.keys():
        return None
    said.update(kwargs)
    for field in dataclasses.fields(cls):
        if field.name in said:
            continue
        if field.default is not dataclasses.MISSING:
            said[field.name] = const(field.default) if isinstance(field.default, SIMPLE) else Known(field.default)
        elif field.default_factory in (list, dict, set):
            said[field.name] = f.emit(f"py.{field.default_factory.__name__}")
        else:
            return None
    return {field.name: said[field.name] for field in dataclasses.fields(cls)}


def _parameters(cls: Any) -> dict[str, Any]:
    return {field.name: field for field in dataclasses.fields(cls) if field.init and not field.kw_only}
