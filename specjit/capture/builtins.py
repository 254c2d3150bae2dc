"""Builtin functions with a meaning of their own in the IR, and methods of tensors and containers.

Enters: calls of builtins by identity, calls of methods by (type, name). Leaves: nodes or known values.
Invariant: the signature of a builtin's handler, after the frame, says which calls it takes. All other calls, and those
for which it gives None, stay calls of Python's function (`python_call`).
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

from specjit.capture import marks, members
from specjit.capture.containers import VIEWS, is_view, module_items, view, view_items
from specjit.capture.frame import Frame
from specjit.capture.instances import super_object
from specjit.capture.opaque import note
from specjit.capture.operators import binary, truth
from specjit.capture.pycalls import BUILTINS, METHODS, is_quiet, python_call, python_method
from specjit.capture.values import (
    NONE_VALUE,
    Abstract,
    Choice,
    Iteration,
    Known,
    Local,
    Method,
    Shape,
    TupleOf,
    Value,
    const,
    constant_of,
)
from specjit.ir.types import ANY, INT, Type
from specjit.nn.containers import ModuleDict
from specjit.ops.control import asked_by_class
from specjit.ops.pyinfer import SIZE
from specjit.tensor import Size, Tensor

Args = list[Abstract]
Named = dict[str, Abstract]
CONTAINERS = ("list", "dict", "set", "str")
CLASSES = {"int": int, "float": float, "bool": bool, "str": str, "list": list, "tuple": tuple, "dict": dict}
# Builtins that read their arguments and change nothing.
QUIET: tuple[Any, ...] = (pow, sorted, any, all, ord, chr, divmod, hash, id, repr, bin, hex, oct, slice, complex)


def builtin(*functions: Any) -> Callable[[Any], Any]:
    def register(handler: Any) -> Any:
        takes = inspect.signature(handler)
        BUILTINS.update({id(fn): functools.partial(_call, handler, takes, fn) for fn in functions})
        return handler

    return register


def _call(
    handler: Callable[..., Abstract | None],
    takes: inspect.Signature,
    function: Any,
    f: Frame,
    args: Args,
    named: Named,
) -> Abstract:
    try:
        takes.bind(f, *args, **named)
    except TypeError:
        return python_call(f, Known(function), args, named)
    result = handler(f, *args, **named)
    return python_call(f, Known(function), args, named) if result is None else result


def method(kind: str, *names: str) -> Callable[[Any], Any]:
    def register(handler: Any) -> Any:
        METHODS.update({(kind, name): handler for name in names})
        return handler

    return register


def quiet_call(function: Any, f: Frame, /, *args: Abstract, **named: Abstract) -> Value:
    """A call of a builtin that only looks at its arguments."""
    return f.emit("py.call", Known(function), tuple(named) or None, *args, *named.values())


for _function in QUIET:
    builtin(_function)(functools.partial(quiet_call, _function))


@builtin(len)
def _len(f: Frame, x: Abstract, /) -> Abstract:
    if isinstance(x, TupleOf):
        return const(len(x.items))
    items = module_items(f, x) if isinstance(x, Known) else view_items(x) if is_view(x) else None  # type: ignore[arg-type]
    if items is not None:
        return const(len(items))
    if isinstance(x, Shape):
        return f.emit("py.len", x, type=INT)
    return f.emit("py.len", x)


@builtin(range)
def _range(f: Frame, first: Abstract, stop: Abstract | None = None, step: Abstract | None = None, /) -> Abstract:
    start, stop = (const(0), first) if stop is None else (first, stop)
    return Iteration("range", (start, stop, const(1) if step is None else step))


@builtin(enumerate)
def _enumerate(f: Frame, iterable: Abstract, start: Abstract | None = None) -> Abstract:
    return Iteration("enumerate", (iterable, const(0) if start is None else start))


@builtin(zip)
def _zip(f: Frame, /, *iterables: Abstract) -> Abstract | None:
    return Iteration("zip", iterables) if iterables else None


@builtin(map)
def _map(f: Frame, function: Abstract, /, *iterables: Abstract) -> Abstract | None:
    return Iteration("map", (function, *iterables)) if iterables else None


@builtin(filter)
def _filter(f: Frame, function: Abstract, iterable: Abstract, /) -> Abstract:
    """Python calls the function, which is the user's own business where it has a name."""
    known = function.obj if isinstance(function, Known) and function.value is None else None
    if not (constant_of(function) == (True, None) or isinstance(function, Local) or is_quiet(known)):
        f.session.touched = True
        note(f, "a function that filter calls")
    return quiet_call(filter, f, function, iterable)


@builtin(reversed)
def _reversed(f: Frame, x: Abstract, /) -> Abstract | None:
    if isinstance(x, Value) and x.type.kind not in ("list", "tuple", "tensor", "str"):
        return None
    return Iteration("reversed", (x,))


@builtin(print)
def _print(f: Frame, /, *args: Abstract, sep: Abstract = NONE_VALUE, end: Abstract = NONE_VALUE) -> Abstract:
    f.emit("py.print", sep, end, *args)
    return NONE_VALUE


@builtin(isinstance)
def _isinstance(f: Frame, x: Abstract, classes: Abstract, /) -> Abstract:
    kinds, cls = tested_classes(classes), python_class(x)
    if kinds is None or cls is None:
        return quiet_call(isinstance, f, x, classes)
    return const(issubclass(cls, kinds))


def tested_classes(a: Abstract) -> tuple[type, ...] | None:
    """The classes that `isinstance` is given, where they are known."""
    if isinstance(a, Known) and asked_by_class(a.obj) and a.value is None:
        return (a.obj,)
    if isinstance(a, TupleOf):
        found = [tested_classes(x) for x in a.items]
        return tuple(c for cs in found for c in cs or ()) if all(found) else None
    return None


def python_class(a: Abstract) -> type | None:
    """The Python class of a value, where it is known."""
    ok, constant = constant_of(a)
    if ok:
        return type(constant)
    if isinstance(a, Known):
        return type(a.obj)
    if isinstance(a, TupleOf):
        return tuple
    if isinstance(a, Shape):
        return Size
    if isinstance(a, Value):
        return Tensor if a.type.is_tensor else CLASSES.get(a.type.kind)
    return None


@builtin(type)
def _type(f: Frame, x: Abstract, /) -> Abstract:
    return Known(type(x.obj)) if isinstance(x, Known) else quiet_call(type, f, x)


@builtin(super)
def _super(f: Frame, /) -> Abstract | None:
    return super_object(f)


@builtin(callable)
def _callable(f: Frame, x: Abstract, /) -> Abstract:
    if isinstance(x, Known):
        return const(callable(x.obj))
    return const(True) if isinstance(x, Local | Method | Choice) else quiet_call(callable, f, x)


def _conversion(name: str, f: Frame, x: Abstract, /) -> Abstract:
    return f.emit(name, x)


for _function in (int, float, str):
    builtin(_function)(functools.partial(_conversion, f"py.{_function.__name__}"))


@builtin(bool)
def _bool(f: Frame, x: Abstract, /) -> Abstract:
    return truth(f, x)


@builtin(abs)
def _abs(f: Frame, x: Abstract, /) -> Abstract:
    return f.emit("abs" if isinstance(x, Value) and x.type.is_tensor else "py.abs", x)


@builtin(round)
def _round(f: Frame, x: Abstract, digits: Abstract = NONE_VALUE, /) -> Abstract:
    return f.emit("py.round", x, digits)


def _extreme(function: Any, f: Frame, /, *args: Abstract, **named: Abstract) -> Abstract:
    if named or not args:
        return quiet_call(function, f, *args, **named)
    return f.emit(f"py.{function.__name__}", *args)


for _function in (min, max):
    builtin(_function)(functools.partial(_extreme, _function))


@builtin(sum)
def _sum(f: Frame, items: Abstract, /, start: Abstract | None = None) -> Abstract:
    total = const(0) if start is None else start
    if not isinstance(items, TupleOf):
        return f.emit("py.sum", items, total)
    for item in items.items:
        total = binary(f, "add", total, item)
    return total


@builtin(list)
def _list(f: Frame, x: Abstract | None = None, /) -> Abstract:
    if x is None:
        return f.emit("py.list")
    return f.emit("py.list", *x.items) if isinstance(x, TupleOf) else f.emit("py.iter_list", x)


@builtin(tuple)
def _tuple(f: Frame, x: Abstract | None = None, /) -> Abstract | None:
    if x is None:
        return TupleOf(())
    if isinstance(x, TupleOf) or (isinstance(x, Value) and x.type.kind == "tuple"):
        return x  # a tuple is its own copy
    if isinstance(x, Iteration) and x.kind == "range":
        bounds = [constant_of(p) for p in x.parts]
        if all(ok and isinstance(v, int) for ok, v in bounds) and bounds[2][1] != 0:
            return const(tuple(range(*(v for _, v in bounds))))
    if isinstance(x, Shape) or (isinstance(x, Value) and (x.type.kind in CONTAINERS or x.type == SIZE)):
        return f.emit("py.to_tuple", x)
    return None


@builtin(dict)
def _dict(f: Frame, /, *args: Abstract, **named: Abstract) -> Abstract | None:
    if not args:
        return f.emit("py.dict", *(a for k, v in named.items() for a in (const(k), v)))
    return _converted(f, dict, Type("dict", (ANY, ANY)), args[0]) if len(args) == 1 and not named else None


@builtin(set)
def _set(f: Frame, x: Abstract | None = None, /) -> Abstract | None:
    return f.emit("py.set") if x is None else _converted(f, set, Type("set", (ANY,)), x)


def _converted(f: Frame, function: Any, kind: Type, x: Abstract) -> Abstract | None:
    """A container made from an iterable that has no effect but the iteration itself."""
    if isinstance(x, Value) and x.type.kind not in (*CONTAINERS, "tuple") and x.type != SIZE:
        return None
    return f.emit("py.call", Known(function), None, x, type=kind)


@builtin(marks.is_scripting)
def _is_scripting(f: Frame, /) -> Abstract:
    return const(f.session.scripting)


@builtin(marks.annotate)
def _annotate(f: Frame, the_type: Abstract, the_value: Abstract) -> Abstract:
    return the_value


@builtin(marks.has_type)
def _has_type(f: Frame, x: Abstract, target_type: Abstract) -> Abstract:
    return quiet_call(marks.has_type, f, x, target_type)


# containers of modules


def _view(kind: str, f: Frame, owner: Abstract, /) -> Abstract | None:
    return view(f, owner, kind) if isinstance(owner, Known) else None


for _kind in VIEWS:
    builtin(getattr(ModuleDict, _kind))(functools.partial(_view, _kind))


# tensors


@method("tensor", "size")
def _size(f: Frame, owner: Abstract, args: Args, named: Named) -> Abstract:
    if len(args) + len(named) > 1 or not named.keys() <= {"dim"}:
        return python_method(f, owner, "size", args, named)  # raises, as Python has it
    dim = named.get("dim", args[0] if args else NONE_VALUE)
    if constant_of(dim) == (True, None):
        assert isinstance(owner, Value)
        return Shape(owner)
    return f.emit("size", owner, dim)


@method("tensor", "dim", "ndimension")
def _dim(f: Frame, owner: Abstract, args: Args, named: Named) -> Abstract:
    if args or named:
        return python_method(f, owner, "dim", args, named)  # raises, as Python has it
    return f.emit("py.getattr", owner, "ndim", type=INT)


@method("tensor", "numel", "nelement")
def _numel(f: Frame, owner: Abstract, args: Args, named: Named) -> Abstract:
    result = python_method(f, owner, "numel", args, named)
    assert isinstance(result, Value)
    result.type = INT
    return result


# lists and dicts


def _dict_view(kind: str, f: Frame, owner: Abstract, args: Args, named: Named) -> Abstract:
    known = isinstance(owner, Value) and not args and not named
    found = members.view(f, owner, kind) if known else None  # type: ignore[arg-type]
    return python_method(f, owner, kind, args, named) if found is None else found


for _kind in VIEWS:
    method("dict", _kind)(functools.partial(_dict_view, _kind))


@method("dict", "get")
def _get(f: Frame, owner: Abstract, args: Args, named: Named) -> Abstract:
    found = members.member(f, owner, args[0]) if args and not named and isinstance(owner, Value) else None
    return python_method(f, owner, "get", args, named) if found is None else found


@method("list", "append")
def _append(f: Frame, owner: Abstract, args: Args, named: Named) -> Abstract:
    if len(args) != 1 or named:
        return python_method(f, owner, "append", args, named)
    f.emit("py.append", owner, args[0])
    return NONE_VALUE
