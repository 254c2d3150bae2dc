"""Calls: ops with their arguments bound, user functions inlined, everything else a Python call.

Enters: `ast.Call` nodes, or a callee with abstract arguments. Leaves: the abstract result.
Invariant: callee, then arguments, are evaluated in Python's order. A function that cannot be inlined is called as it
is (`py.call`), and then nothing is assumed of what it may have changed.
"""

from __future__ import annotations

import ast
import functools
import types
from collections.abc import Sequence
from typing import Any

from specjit.capture import marks, native, opaque, yields
from specjit.capture.arguments import Named, as_values, has_no_effect, keywords, positional, takes_all
from specjit.capture.attributes import attribute, class_lookup, guard_method, place_of
from specjit.capture.choices import decided
from specjit.capture.frame import Frame, is_own, lowers
from specjit.capture.inline import call_function, call_local
from specjit.capture.instances import construct, super_method
from specjit.capture.pycalls import BUILTINS, METHODS, apply, is_quiet, python_call, python_method
from specjit.capture.rebinding import stays
from specjit.capture.values import (
    NONE_VALUE,
    Abstract,
    Choice,
    Iteration,
    Known,
    Local,
    Method,
    TupleOf,
    Value,
    const,
    constant_of,
)
from specjit.ops.records.composites import CompositeFunction
from specjit.ops.records.registry import Op, get
from specjit.ops.records.results import NAMED
from specjit.ops.records.schema import Signature


@lowers(ast.Call)
def _call(f: Frame, node: ast.Call) -> Abstract:
    callee = callee_of(f, node.func)
    if node.args and isinstance(node.args[0], ast.GeneratorExp):
        return _consumed(f, callee, node.args[0], node)
    made = yields.taken_whole(f, callee, node)
    if made is not None:
        return _with_items(f, callee, node, *made)
    args = positional(f, callee, node)
    kwargs = keywords(f, node)
    if isinstance(args, list) and isinstance(kwargs, dict):
        return call(f, callee, args, kwargs)
    return spread_call(f, callee, args, kwargs)


def callee_of(f: Frame, node: ast.expr) -> Abstract:
    """What is called. A method of something unknown is looked up when it is called, in one node."""
    if not isinstance(node, ast.Attribute):
        return f.expr(node)
    above = super_method(f, node)
    if above is not None:
        return above
    owner = f.expr(node.value)
    saved, f.at = f.at, node
    try:
        if isinstance(owner, Value) and not owner.is_const and owner.type.kind in ("any", "optional", "class"):
            return Method(owner, node.attr)
        return attribute(f, owner, node.attr)
    finally:
        f.at = saved


def _with_items(f: Frame, taker: Abstract, node: ast.Call, generator: Abstract, inner: ast.Call) -> Abstract:
    """`taker(generator(...), ...)` for a taker that takes all items before anything else can be seen of it."""
    args, kwargs = positional(f, generator, inner), keywords(f, inner)
    if isinstance(args, list) and isinstance(kwargs, dict):
        saved, f.at = f.at, inner
        items = yields.collected_from(f, generator, args, kwargs)
        items = call(f, generator, args, kwargs) if items is None else items
        f.at = saved
    else:
        items = spread_call(f, generator, args, kwargs)
    return call(f, taker, [items, *map(f.expr, node.args[1:])], {})


def spread_call(f: Frame, callee: Abstract, args: list[Abstract] | Value, kwargs: Named | list[Value]) -> Abstract:
    """A call whose number of arguments, or their names, are known only at run time."""
    given, named = as_values(f, args, kwargs)
    obj = callee.obj if isinstance(callee, Known) and callee.value is None else None
    if obj is not None and (is_quiet(obj) or obj is print or is_own(obj)):
        return f.emit("py.call", Known(apply), None, callee, given, named)
    f.session.touched = True
    if f.session.scripting and marks.invoke is not None:
        return f.emit("py.call", Known(apply), None, Known(marks.invoke), given, named, callee)
    opaque.note(f, "a call with arguments whose number or names are not known")
    return f.emit("py.call", Known(apply), None, callee, given, named)


def _consumed(f: Frame, callee: Abstract, generator: ast.GeneratorExp, node: ast.Call) -> Abstract:
    """A call with a generator expression as its first argument, by a callee that takes items until it knows enough."""
    from specjit.capture.comprehensions import comprehension, quantified

    obj = callee.obj if isinstance(callee, Known) and callee.value is None else None
    others = [*node.args[1:], *(k.value for k in node.keywords)]
    if not others and (obj is any or obj is all):
        return quantified(f, obj is any, generator)
    # What the other arguments do is not to come before the items.
    if not takes_all(callee) or not all(map(has_no_effect, others)):
        raise f.unsupported("a generator expression here", generator, "write a list comprehension")
    items = comprehension(f, generator)
    kwargs = keywords(f, node)
    if isinstance(kwargs, list):
        raise f.unsupported("** beside a generator expression", generator, "write a list comprehension")
    return call(f, callee, [items, *map(f.expr, node.args[1:])], kwargs)


# dispatch


def call(f: Frame, callee: Abstract, args: list[Abstract], kwargs: dict[str, Abstract]) -> Abstract:
    """`callee(*args, **kwargs)`."""
    if args and isinstance(args[0], Iteration) and args[0].kind == "map" and takes_all(callee):
        from specjit.capture.comprehensions import collected

        args = [collected(f, args[0]), *args[1:]]
    if isinstance(callee, Known) and callee.value is None:
        return _call_known(f, callee.obj, args, kwargs)
    if isinstance(callee, Known):
        return _call_instance(f, callee, args, kwargs)
    if isinstance(callee, Method):
        return _call_method(f, callee, args, kwargs)
    if isinstance(callee, Local):
        return call_local(f, callee, args, kwargs)
    if isinstance(callee, Choice):
        return decided(f, callee, lambda one: call(f, one, args, kwargs))
    return python_call(f, f.value(callee), args, kwargs)


def _call_known(f: Frame, obj: Any, args: list[Abstract], kwargs: dict[str, Abstract]) -> Abstract:
    handler = BUILTINS.get(id(obj))
    if handler is not None:
        return handler(f, args, kwargs)
    record = getattr(obj, "record", None)
    if isinstance(record, Op):
        return call_op(f, record, args, kwargs)
    composite = getattr(obj, "composite", None)
    if isinstance(composite, CompositeFunction):
        return call_composite(f, composite, args, kwargs)
    if isinstance(obj, types.FunctionType):
        return call_function(f, obj, args, kwargs)
    if obj in NAMED and not kwargs:
        return TupleOf(tuple(args), obj._fields)
    if isinstance(obj, types.MethodType) and isinstance(obj.__func__, types.FunctionType):
        return call_function(f, obj.__func__, [Known(obj.__self__, None), *args], kwargs)
    if isinstance(obj, functools.partial):
        bound = [_plain(a) for a in obj.args]
        named = {k: _plain(v) for k, v in obj.keywords.items()}
        return _call_known(f, obj.func, [*bound, *args], {**named, **kwargs})
    if isinstance(obj, type):
        made = construct(f, obj, args, kwargs)
        if made is not None:
            return made
    return python_call(f, Known(obj), args, kwargs)


def _plain(x: Any) -> Abstract:
    return Known(x) if callable(x) else const(x)


def _call_instance(f: Frame, callee: Known, args: list[Abstract], kwargs: dict[str, Abstract]) -> Abstract:
    """A call of an object: a module's forward where nothing hooks into it, or the class's `__call__`."""
    from specjit.nn.module import Module

    obj = callee.obj
    if isinstance(obj, Module) and type(obj).__call__ is Module.__call__:
        if not no_hooks(f, callee):
            return python_call(f, callee, args, kwargs)
        forward = attribute(f, callee, "forward")
        return call(f, forward, args, kwargs)
    method = class_lookup(type(obj), "__call__")
    if isinstance(method, types.FunctionType) and stays(f, "__call__"):
        guard_method(f, type(obj), "__call__", method)
        return call_function(f, method, [callee, *args], kwargs)
    declared = native.result_type(f, callee)
    if declared is not None and not kwargs:
        return f.emit("py.call", callee, None, *map(f.value, args), type=declared)
    return python_call(f, callee, args, kwargs)


def guard_root(f: Frame, root: Known, fn: types.FunctionType) -> None:
    """A call of the captured object stays a call of `fn`: its class keeps it, nothing shadows it or hooks into it."""
    from specjit.nn.module import Module

    name = "forward" if isinstance(root.obj, Module) else fn.__name__
    if isinstance(attribute(f, root, name), Method) and isinstance(root.obj, Module):
        no_hooks(f, root)


HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")


def no_hooks(f: Frame, module: Known) -> bool:
    """Whether calling the module is calling its forward; guarded if so."""
    own = module.obj.__dict__
    present = [h for h in HOOKS if h in own]
    if any(own[h] for h in present):
        return False
    _, source, fetch = place_of(module)
    for h in present:
        f.session.facts.add("structure", f"{source}.{h}", "empty", {}, f.origin(), f"{fetch}.{h}")
    return True


def _call_method(f: Frame, m: Method, args: list[Abstract], kwargs: dict[str, Abstract]) -> Abstract:
    owner = m.owner
    if isinstance(owner, Known):
        if isinstance(m.function, types.FunctionType):
            return call_function(f, m.function, [owner, *args], kwargs)
        return python_method(f, owner, m.name, args, kwargs)
    kind = owner.type.kind if isinstance(owner, Value) else "tuple" if isinstance(owner, TupleOf) else "shape"
    handler = METHODS.get((kind, m.name))
    if handler is not None:
        return handler(f, owner, args, kwargs)
    record = getattr(m.function, "record", None)
    if isinstance(record, Op):
        return call_op(f, record, [owner, *args], kwargs)
    composite = getattr(m.function, "composite", None)
    if isinstance(composite, CompositeFunction):
        return call_composite(f, composite, [owner, *args], kwargs)
    if isinstance(m.function, types.FunctionType) and m.function.__module__.startswith("specjit.ops"):
        return call_function(f, m.function, [owner, *args], kwargs)  # a method that is plain Python over ops
    return python_method(f, owner, m.name, args, kwargs)


# ops


def call_op(f: Frame, op: Op, args: Sequence[Abstract], kwargs: dict[str, Abstract]) -> Abstract:
    """An operator: arguments in schema order, defaults filled in."""
    bound = _bind(f, op, list(args), dict(kwargs))
    if bound is None:
        # The call is wrong in a way that Python reports when it happens.
        return python_call(f, Known(op.fn), list(args), dict(kwargs))
    node, several = f.emit_node(op, [f.value(a) for a in bound])
    if op.traits.io:
        f.session.touched = True
    if several:
        return TupleOf(tuple(node.results))
    return node.results[0] if node.results else NONE_VALUE


def call_composite(
    f: Frame, composite: CompositeFunction, args: list[Abstract], kwargs: dict[str, Abstract]
) -> Abstract:
    """A composite function: its body in place of the call, with the arguments bound as those of an operator."""
    body = composite.body
    assert isinstance(body, types.FunctionType)
    if not composite.inlined:
        values = [f.value(a) for a in (*args, *kwargs.values())]
        return f.emit("py.call", Known(composite.fn), tuple(kwargs) or None, *values)
    if composite.free:
        return call_function(f, body, args, kwargs)
    bound = _bind(f, composite, list(args), dict(kwargs))
    if bound is None:
        return python_call(f, Known(composite.fn), args, kwargs)
    target = bound[0]
    if composite.writes:
        bound[0] = call_op(f, get("clone"), [target], {})
    positional = [a for p, a in zip(composite.params, bound) if not p.kwonly]
    named = {p.name: a for p, a in zip(composite.params, bound) if p.kwonly}
    result = call_function(f, body, positional, named)
    return call_op(f, get("store_"), [target, result], {}) if composite.writes else result


def _bind(f: Frame, op: Signature, args: list[Abstract], kwargs: dict[str, Abstract]) -> list[Abstract] | None:
    out: list[Abstract] = []
    for p in op.params:
        if p.variadic:
            out += args
            args = []
        elif args and not p.kwonly:
            if p.type.spread and not _is_sequence(args[0]):
                # x.view(2, -1): the sizes are spread over the rest of the positional arguments.
                args = [TupleOf(tuple(args))]
            out.append(args.pop(0))
        elif p.name in kwargs:
            out.append(kwargs.pop(p.name))
        elif p.required:
            return None
        else:
            out.append(_plain(p.default))
    return None if args or kwargs else out


def _is_sequence(a: Abstract) -> bool:
    if isinstance(a, TupleOf):
        return True
    ok, constant = constant_of(a)
    if ok:
        return isinstance(constant, tuple | list)
    return not (isinstance(a, Value) and a.type.kind in ("int", "bool", "float"))
