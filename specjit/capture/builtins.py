"""Builtin functions with a meaning of their own in the IR, and methods of tensors and containers.

Enters: calls of builtins by identity, calls of methods by (type, name). Leaves: nodes or known values.
Invariant: a handler that does not recognize its arguments leaves the call to Python (`python_call`).
"""

from __future__ import annotations

import builtins as python
from collections.abc import Callable
from typing import Any

from specjit.capture import marks
from specjit.capture.attributes import attribute, instance_data, module_items
from specjit.capture.frame import Frame
from specjit.capture.operators import binary
from specjit.capture.pycalls import BUILTINS, METHODS, python_call, python_method
from specjit.capture.values import (
    NONE_VALUE,
    Abstract,
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

Args = list[Abstract]
CONTAINERS = ("list", "dict", "set", "str")
SIZE = Type.instance("Size")  # what slicing a shape gives
Named = dict[str, Abstract]


def builtin(*functions: Any) -> Callable[[Any], Any]:
    def register(handler: Any) -> Any:
        BUILTINS.update({id(fn): handler for fn in functions})
        return handler

    return register


def method(kind: str, *names: str) -> Callable[[Any], Any]:
    def register(handler: Any) -> Any:
        METHODS.update({(kind, name): handler for name in names})
        return handler

    return register


def quiet_call(f: Frame, function: Any, args: Args, named: Named) -> Value:
    """A call of a builtin that only looks at its arguments."""
    return f.emit("py.call", Known(function), tuple(named) or None, *args, *named.values())


@builtin(len)
def _len(f: Frame, args: Args, named: Named) -> Abstract:
    if len(args) != 1 or named:
        return python_call(f, Known(len), args, named)
    (x,) = args
    if isinstance(x, TupleOf):
        return const(len(x.items))
    if isinstance(x, Known):
        items = module_items(f, x)
        if items is not None:
            return const(len(items))
    if isinstance(x, Shape):
        return f.emit("py.len", x, type=INT)
    return f.emit("py.len", x)


@builtin(range)
def _range(f: Frame, args: Args, named: Named) -> Abstract:
    if named or not 1 <= len(args) <= 3:
        return python_call(f, Known(range), args, named)
    start, stop, step = (const(0), args[0], const(1)) if len(args) == 1 else (*args, const(1))[:3]
    return Iteration("range", (start, stop, step))


@builtin(enumerate)
def _enumerate(f: Frame, args: Args, named: Named) -> Abstract:
    start = named.get("start", args[1] if len(args) > 1 else const(0))
    if not args or set(named) - {"start"}:
        return python_call(f, Known(enumerate), args, named)
    return Iteration("enumerate", (args[0], start))


@builtin(zip)
def _zip(f: Frame, args: Args, named: Named) -> Abstract:
    if named or not args:
        return python_call(f, Known(zip), args, named)
    return Iteration("zip", tuple(args))


@builtin(reversed)
def _reversed(f: Frame, args: Args, named: Named) -> Abstract:
    (x,) = args
    if isinstance(x, Value) and x.type.kind not in ("list", "tuple", "tensor", "str"):
        return python_call(f, Known(reversed), args, named)
    return Iteration("reversed", (x,))


@builtin(print)
def _print(f: Frame, args: Args, named: Named) -> Abstract:
    if set(named) - {"sep", "end"}:
        return python_call(f, Known(print), args, named)
    f.emit("py.print", named.get("sep", NONE_VALUE), named.get("end", NONE_VALUE), *args)
    return NONE_VALUE


@builtin(isinstance)
def _isinstance(f: Frame, args: Args, named: Named) -> Abstract:
    kinds = _classes(args[1]) if len(args) == 2 and not named else None
    cls = python_class(args[0])
    if kinds is None or cls is None:
        return quiet_call(f, isinstance, args, named)
    return const(issubclass(cls, kinds))


def _classes(a: Abstract) -> tuple[type, ...] | None:
    if isinstance(a, Known) and isinstance(a.obj, type) and a.value is None:
        return (a.obj,)
    if isinstance(a, TupleOf):
        found = [_classes(x) for x in a.items]
        return tuple(c for cs in found for c in cs or ()) if all(found) else None
    return None


def _tensor_class() -> type:
    from specjit.tensor.tensor import Tensor

    return Tensor


def python_class(a: Abstract) -> type | None:
    """The Python class of a value, where it is known."""
    from specjit.tensor import Size, Tensor

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
        if a.type.is_tensor:
            return Tensor
        return {"int": int, "float": float, "bool": bool, "str": str, "list": list, "tuple": tuple, "dict": dict}.get(
            a.type.kind
        )
    return None


@builtin(type)
def _type(f: Frame, args: Args, named: Named) -> Abstract:
    if len(args) == 1 and isinstance(args[0], Known):
        return Known(type(args[0].obj))
    return quiet_call(f, type, args, named)


@builtin(callable)
def _callable(f: Frame, args: Args, named: Named) -> Abstract:
    if len(args) == 1 and isinstance(args[0], Known):
        return const(callable(args[0].obj))
    if len(args) == 1 and isinstance(args[0], Local | Method):
        return const(True)
    return quiet_call(f, callable, args, named)


@builtin(hasattr)
def _hasattr(f: Frame, args: Args, named: Named) -> Abstract:
    if len(args) == 2 and isinstance(args[0], Known):
        ok, name = constant_of(args[1])
        if ok and isinstance(name, str):
            owner = args[0]
            if any(name in base.__dict__ for base in type(owner.obj).__mro__):
                return const(True)
            if instance_data(owner.obj, name) is not _MISSING:
                attribute(f, owner, name)  # notes the guard
                return const(True)
    if len(args) == 2 and isinstance(args[0], Value) and args[0].type.is_tensor:
        ok, name = constant_of(args[1])
        if ok and isinstance(name, str) and hasattr(_tensor_class(), name):
            return const(True)
    return quiet_call(f, hasattr, args, named)


_MISSING = instance_data(object(), "")


@builtin(getattr)
def _getattr(f: Frame, args: Args, named: Named) -> Abstract:
    ok, name = constant_of(args[1]) if len(args) >= 2 else (False, None)
    if ok and isinstance(name, str) and not named:
        if len(args) == 2:
            return attribute(f, args[0], name)
        if isinstance(args[0], Known):
            present = _hasattr(f, args[:2], {})
            if isinstance(present, Value) and present.is_const:
                return attribute(f, args[0], name)
    if isinstance(args[0], Known) and len(args) == 2 and not ok and f.session.unrollable:
        from specjit.capture.iteration import NeedsConstant

        raise NeedsConstant("an attribute whose name is known only at run time")
    return python_call(f, Known(getattr), args, named)


@builtin(setattr)
def _setattr(f: Frame, args: Args, named: Named) -> Abstract:
    from specjit.capture.assignments import set_attribute

    ok, name = constant_of(args[1]) if len(args) == 3 else (False, None)
    if not ok or named or not isinstance(name, str):
        return python_call(f, Known(setattr), args, named)
    set_attribute(f, args[0], name, args[2])
    return NONE_VALUE


def _unary(name: str, function: Any, result: Type | None = None) -> None:
    def handler(f: Frame, args: Args, named: Named) -> Abstract:
        if len(args) != 1 or named:
            return python_call(f, Known(function), args, named)
        return f.emit(name, args[0], type=result)

    BUILTINS[id(function)] = handler


_unary("py.int", int)
_unary("py.float", float)
_unary("py.str", str)


@builtin(bool)
def _bool(f: Frame, args: Args, named: Named) -> Abstract:
    from specjit.capture.operators import truth

    return truth(f, args[0]) if len(args) == 1 and not named else python_call(f, Known(bool), args, named)


@builtin(abs)
def _abs(f: Frame, args: Args, named: Named) -> Abstract:
    if len(args) == 1 and isinstance(args[0], Value) and args[0].type.is_tensor:
        return f.emit("abs", args[0])
    return f.emit("py.abs", args[0]) if len(args) == 1 and not named else python_call(f, Known(abs), args, named)


@builtin(round)
def _round(f: Frame, args: Args, named: Named) -> Abstract:
    if named or not 1 <= len(args) <= 2:
        return python_call(f, Known(round), args, named)
    return f.emit("py.round", args[0], args[1] if len(args) == 2 else NONE_VALUE)


def _extreme(name: str, function: Any) -> None:
    def handler(f: Frame, args: Args, named: Named) -> Abstract:
        if named or not args:
            return f.emit("py.call", Known(function), tuple(named) or None, *args, *named.values())
        return f.emit(f"py.{name}", *args)

    BUILTINS[id(function)] = handler


_extreme("min", min)
_extreme("max", max)


@builtin(sum)
def _sum(f: Frame, args: Args, named: Named) -> Abstract:
    start = named.get("start", args[1] if len(args) > 1 else const(0))
    if len(args) > 2 or set(named) - {"start"}:
        return python_call(f, Known(sum), args, named)
    if isinstance(args[0], TupleOf):
        total = start
        for item in args[0].items:
            total = binary(f, "add", total, item)
        return total
    return f.emit("py.sum", args[0], start)


@builtin(list)
def _list(f: Frame, args: Args, named: Named) -> Abstract:
    if not args and not named:
        return f.emit("py.list")
    if len(args) != 1 or named:
        return python_call(f, Known(list), args, named)
    if isinstance(args[0], TupleOf):
        return f.emit("py.list", *args[0].items)
    return f.emit("py.iter_list", args[0])


@builtin(tuple)
def _tuple(f: Frame, args: Args, named: Named) -> Abstract:
    if not args and not named:
        return TupleOf(())
    if len(args) != 1 or named:
        return python_call(f, Known(tuple), args, named)
    (x,) = args
    if isinstance(x, TupleOf) or (isinstance(x, Value) and x.type.kind == "tuple"):
        return x  # a tuple is its own copy
    if isinstance(x, Iteration) and x.kind == "range":
        bounds = [constant_of(p) for p in x.parts]
        if all(ok and isinstance(v, int) for ok, v in bounds) and bounds[2][1] != 0:
            return const(tuple(range(*(v for _, v in bounds))))
    if isinstance(x, Shape) or (isinstance(x, Value) and (x.type.kind in CONTAINERS or x.type == SIZE)):
        return f.emit("py.to_tuple", x)
    return python_call(f, Known(tuple), args, named)


@builtin(dict)
def _dict(f: Frame, args: Args, named: Named) -> Abstract:
    if args:
        return _converted(f, dict, "dict", args, named)
    return f.emit("py.dict", *(x for k, v in named.items() for x in (const(k), v)))


@builtin(set)
def _set(f: Frame, args: Args, named: Named) -> Abstract:
    return _converted(f, set, "set", args, named) if args else f.emit("py.set")


def _converted(f: Frame, function: Any, kind: str, args: Args, named: Named) -> Abstract:
    """A container made from an iterable: no effect but the iteration itself."""
    plain = (
        len(args) == 1
        and not named
        and (not isinstance(args[0], Value) or args[0].type.kind in (*CONTAINERS, "tuple") or args[0].type == SIZE)
    )
    if not plain:
        return python_call(f, Known(function), args, named)
    result = f.emit("py.call", Known(function), None, args[0])
    if kind != "tuple":
        result.type = Type(kind, (ANY, ANY) if kind == "dict" else (ANY,))
    return result


def _plain_call(*functions: Any) -> None:
    """Builtins that read their arguments and change nothing."""
    for function in functions:

        def handler(f: Frame, args: Args, named: Named, function: Any = function) -> Abstract:
            return f.emit("py.call", Known(function), tuple(named) or None, *args, *named.values())

        BUILTINS[id(function)] = handler


_plain_call(pow, sorted, any, all, ord, chr, divmod, hash, id, repr, bin, hex, oct, python.slice, python.complex)


@builtin(marks.is_scripting)
def _is_scripting(f: Frame, args: Args, named: Named) -> Abstract:
    return const(f.session.scripting)


@builtin(marks.annotate)
def _annotate(f: Frame, args: Args, named: Named) -> Abstract:
    return named["the_value"] if "the_value" in named else args[1]


# tensors


@method("tensor", "size")
def _size(f: Frame, owner: Abstract, args: Args, named: Named) -> Abstract:
    dim = named.get("dim", args[0] if args else NONE_VALUE)
    if constant_of(dim) == (True, None):
        assert isinstance(owner, Value)
        return Shape(owner)
    return f.emit("size", owner, dim)


@method("tensor", "dim", "ndimension")
def _dim(f: Frame, owner: Abstract, args: Args, named: Named) -> Abstract:
    return f.emit("py.getattr", owner, "ndim", type=INT)


@method("tensor", "numel", "nelement")
def _numel(f: Frame, owner: Abstract, args: Args, named: Named) -> Abstract:
    result = python_method(f, owner, "numel", args, named)
    assert isinstance(result, Value)
    result.type = INT
    return result


# lists


@method("list", "append")
def _append(f: Frame, owner: Abstract, args: Args, named: Named) -> Abstract:
    if len(args) != 1 or named:
        return python_method(f, owner, "append", args, named)
    f.emit("py.append", owner, args[0])
    return NONE_VALUE
