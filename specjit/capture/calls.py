"""Calls: ops with their arguments bound, user functions inlined, everything else a Python call.

Enters: `ast.Call` nodes, or a callee with abstract arguments. Leaves: the abstract result.
Invariant: callee, then arguments, are evaluated in Python's order. A function that cannot be inlined is called as it is (`py.call`),
and then nothing is assumed of what it may have changed.
"""

from __future__ import annotations

import ast
import functools
import types
from collections.abc import Callable, Sequence
from typing import Any

from specjit.capture import marks, opaque
from specjit.capture.attributes import attribute, place_of
from specjit.capture.errors import CaptureError, Unsupported
from specjit.capture.expressions import known_items
from specjit.capture.frame import MAX_DEPTH, Frame, lowers
from specjit.capture.loops import NeedsConstant
from specjit.capture.merge import DEAD, RETURN_VALUE
from specjit.capture.source import FunctionSource, source_of
from specjit.capture.values import (
    NONE_VALUE,
    Abstract,
    Known,
    Local,
    Method,
    TupleOf,
    Unbound,
    Value,
    const,
    constant_of,
)
from specjit.ir.types import ANY, BOOL, INT, STR
from specjit.ops.registry import Op, get

Handler = Callable[[Frame, list[Abstract], dict[str, Abstract]], Abstract]
BUILTINS: dict[int, Handler] = {}  # by id of the Python callable; `builtins.py` fills it
METHODS: dict[tuple[str, str], Callable[[Frame, Abstract, list[Abstract], dict[str, Abstract]], Abstract]] = {}


@lowers(ast.Call)
def _call(f: Frame, node: ast.Call) -> Abstract:
    callee = _callee(f, node.func)
    args, kwargs = _arguments(f, node)
    return call(f, callee, args, kwargs)


def _callee(f: Frame, node: ast.expr) -> Abstract:
    """What is called. A method of something unknown is looked up when it is called, in one node."""
    if not isinstance(node, ast.Attribute):
        return f.expr(node)
    owner = f.expr(node.value)
    saved, f.at = f.at, node
    try:
        if isinstance(owner, Value) and not owner.is_const and owner.type.kind in ("any", "optional", "class"):
            return Method(owner, node.attr)
        return attribute(f, owner, node.attr)
    finally:
        f.at = saved


def _arguments(f: Frame, node: ast.Call) -> tuple[list[Abstract], dict[str, Abstract]]:
    args: list[Abstract] = []
    for a in node.args:
        if isinstance(a, ast.Starred):
            args += known_items(f, f.expr(a.value), a)
        elif isinstance(a, ast.GeneratorExp) and len(node.args) == 1:
            args.append(_generator(f, node, a))
        else:
            args.append(f.expr(a))
    kwargs: dict[str, Abstract] = {}
    for k in node.keywords:
        if k.arg is None:
            kwargs.update(_mapping_items(f, f.expr(k.value), k.value))
        else:
            kwargs[k.arg] = f.expr(k.value)
    return args, kwargs


def _generator(f: Frame, node: ast.Call, a: ast.GeneratorExp) -> Abstract:
    """A generator argument as a list, where the callee takes all items anyway."""
    from specjit.capture.loops import comprehension

    name = (
        node.func.id
        if isinstance(node.func, ast.Name)
        else node.func.attr
        if isinstance(node.func, ast.Attribute)
        else ""
    )
    if name not in ("sum", "min", "max", "list", "tuple", "set", "sorted", "join", "dict", "stack", "cat", "len"):
        raise f.unsupported("a generator expression here", a, "write a list comprehension")
    return comprehension(f, a)


def _mapping_items(f: Frame, value: Abstract, node: ast.AST) -> dict[str, Abstract]:
    if isinstance(value, Value) and value.node is not None and value.node.op.name == "py.dict":
        keys, values = value.node.args[::2], value.node.args[1::2]
        if all(k.is_const and isinstance(k.const, str) for k in keys) and f.session.block.nodes[-1:] == [value.node]:
            return {k.const: v for k, v in zip(keys, values)}
    ok, constant = constant_of(value)
    if ok and constant == {}:
        return {}
    if isinstance(value, _Keywords):
        return dict(value.named)
    raise f.unsupported("** of something whose keys are not known", node, "name the arguments")


class _Keywords(TupleOf):
    """`**kwargs` of an inlined function: names and values, known one by one."""

    __slots__ = ("named",)

    def __init__(self, named: dict[str, Abstract]) -> None:
        super().__init__(tuple(named.values()))
        object.__setattr__(self, "named", named)


# dispatch


def call(f: Frame, callee: Abstract, args: list[Abstract], kwargs: dict[str, Abstract]) -> Abstract:
    """`callee(*args, **kwargs)`."""
    if isinstance(callee, Known) and callee.value is None:
        return _call_known(f, callee.obj, args, kwargs)
    if isinstance(callee, Known):
        return _call_instance(f, callee, args, kwargs)
    if isinstance(callee, Method):
        return _call_method(f, callee, args, kwargs)
    if isinstance(callee, Local):
        return _call_local(f, callee, args, kwargs)
    return python_call(f, f.value(callee), args, kwargs)


def _call_known(f: Frame, obj: Any, args: list[Abstract], kwargs: dict[str, Abstract]) -> Abstract:
    handler = BUILTINS.get(id(obj))
    if handler is not None:
        return handler(f, args, kwargs)
    record = getattr(obj, "record", None)
    if isinstance(record, Op):
        return call_op(f, record, args, kwargs)
    if isinstance(obj, types.FunctionType):
        return call_function(f, obj, args, kwargs)
    if isinstance(obj, types.MethodType) and isinstance(obj.__func__, types.FunctionType):
        return call_function(f, obj.__func__, [Known(obj.__self__, None), *args], kwargs)
    if isinstance(obj, functools.partial):
        bound = [_plain(a) for a in obj.args]
        named = {k: _plain(v) for k, v in obj.keywords.items()}
        return _call_known(f, obj.func, [*bound, *args], {**named, **kwargs})
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
    method = attribute(f, callee, "__call__")
    if isinstance(method, Method) and isinstance(method.function, types.FunctionType):
        return call(f, method, args, kwargs)
    return python_call(f, callee, args, kwargs)


HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")


def no_hooks(f: Frame, module: Known) -> bool:
    """Whether calling the module is calling its forward; guarded if so."""
    own = module.obj.__dict__
    present = [h for h in HOOKS if h in own]
    if any(own[h] for h in present):
        return False
    _, source, fetch = place_of(module)
    for h in present:
        f.session.facts.add("structure", f"{source}.{h}", "empty", {}, str(f.location()), f"{fetch}.{h}")
    return True


def _call_method(f: Frame, m: Method, args: list[Abstract], kwargs: dict[str, Abstract]) -> Abstract:
    owner = m.owner
    if isinstance(owner, Known):
        if isinstance(m.function, types.FunctionType):
            return call_function(f, m.function, [owner, *args], kwargs)
        return python_method(f, owner, m.name, args, kwargs)
    record = getattr(m.function, "record", None)
    if isinstance(record, Op):
        return call_op(f, record, [owner, *args], kwargs)
    if isinstance(m.function, types.FunctionType) and m.function.__module__.startswith("specjit.ops"):
        return call_function(f, m.function, [owner, *args], kwargs)  # a method that is plain Python over ops
    kind = owner.type.kind if isinstance(owner, Value) else "tuple" if isinstance(owner, TupleOf) else "shape"
    handler = METHODS.get((kind, m.name))
    if handler is not None:
        return handler(f, owner, args, kwargs)
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


def _bind(f: Frame, op: Op, args: list[Abstract], kwargs: dict[str, Abstract]) -> list[Abstract] | None:
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
            out.append(const(p.default))
    return None if args or kwargs else out


def _is_sequence(a: Abstract) -> bool:
    if isinstance(a, TupleOf):
        return True
    ok, constant = constant_of(a)
    if ok:
        return isinstance(constant, tuple | list)
    return not (isinstance(a, Value) and a.type.kind in ("int", "bool", "float"))


# Python calls


def python_call(f: Frame, callee: Abstract, args: list[Abstract], kwargs: dict[str, Abstract]) -> Abstract:
    """A call that stays a call. Only what is known to have no effect leaves our knowledge of attributes alone."""
    obj = callee.obj if isinstance(callee, Known) else None
    values = [f.value(a) for a in (*args, *kwargs.values())]
    names = tuple(kwargs) or None
    if obj is not None and is_pure_function(obj):
        if all(v.is_const for v in values) and not kwargs:
            folded = _fold(obj, [v.const for v in values])
            if folded is not None:
                return folded
        return f.emit("py.call", callee, names, *values)
    result = f.emit("py.call", callee, names, *values)
    if not (isinstance(obj, type) and issubclass(obj, BaseException)):
        f.session.touched = True
        opaque.note(f, f"a call of {_name(obj)}" if obj is not None else "a call of an unknown function")
    return result


def python_method(f: Frame, owner: Abstract, name: str, args: list[Abstract], kwargs: dict[str, Abstract]) -> Abstract:
    values = [f.value(a) for a in (*args, *kwargs.values())]
    target = f.value(owner)
    result = f.emit("py.method", target, name, tuple(kwargs) or None, *values)
    if target.type.kind == "str":
        result.type = STR_METHODS.get(name, ANY)
    if target.type.kind not in ("list", "dict", "set", "str", "tuple", "int", "float", "bool", "tensor"):
        f.session.touched = True
        opaque.note(f, f"a call of the method {name!r} of an unknown object")
    return result


STR_METHODS = dict.fromkeys(
    (
        "upper",
        "lower",
        "strip",
        "lstrip",
        "rstrip",
        "replace",
        "format",
        "join",
        "title",
        "capitalize",
        "zfill",
        "center",
    ),
    STR,
)
STR_METHODS |= dict.fromkeys(("find", "rfind", "index", "count"), INT)
STR_METHODS |= dict.fromkeys(("startswith", "endswith", "isdigit", "isalpha", "isspace", "isupper", "islower"), BOOL)


def is_pure_function(obj: Any) -> bool:
    """Functions of numbers and strings without effects, all in C."""
    return isinstance(obj, types.BuiltinFunctionType) and getattr(obj, "__module__", "") in ("math", "cmath")


def _fold(function: Any, args: list[Any]) -> Value | None:
    try:
        return const(function(*args))
    except (ArithmeticError, ValueError, TypeError):
        return None


def _name(obj: Any) -> str:
    return getattr(obj, "__qualname__", None) or getattr(obj, "__name__", None) or type(obj).__qualname__


# inlining


def call_function(f: Frame, fn: types.FunctionType, args: list[Abstract], kwargs: dict[str, Abstract]) -> Abstract:
    """A plain Python function, read in place of the call."""
    handler = BUILTINS.get(id(fn))
    if handler is not None:
        return handler(f, args, kwargs)
    session = f.session
    reason = ""
    if getattr(fn, marks.IGNORED, False):
        return python_call(f, Known(fn), args, kwargs)
    if getattr(fn, marks.UNUSED, False):
        if session.scripting:
            message = f"{fn.__qualname__} is marked unused"
            f.emit("py.raise", f.emit("py.call", Known(NotImplementedError), None, message), NONE_VALUE)
            f.env[DEAD] = const(True)
            return NONE_VALUE
        return python_call(f, Known(fn), args, kwargs)
    if any(code is fn.__code__ for code in session.active):
        reason = "recursion"
    elif len(session.active) >= MAX_DEPTH:
        reason = f"more than {MAX_DEPTH} nested calls"
    mark = session.mark()
    if not reason:
        try:
            source = source_of(fn)
            env = bind_parameters(f, source.node, fn, args, kwargs)
            if env is None:
                return python_call(f, Known(fn), args, kwargs)
            _guard_code(f, fn)
            return inline(f, source, fn, env)
        except CaptureError as error:
            reason = error.reason
        except NeedsConstant:
            raise
        except Unsupported as error:
            if session.strict:
                raise
            session.rollback(mark)
            f.place(error)
            reason = f"{error.what} at {error.place.location}" if error.place else error.what
    if session.strict and reason:
        raise f.unsupported(
            f"the call of {fn.__qualname__} ({reason})", hint="use @specjit.jit.ignore to run it in Python"
        )
    opaque.note(f, f"{fn.__qualname__} runs as plain Python: {reason}")
    session.touched = True
    return f.emit("py.call", Known(fn), tuple(kwargs) or None, *args, *kwargs.values())


def _guard_code(f: Frame, fn: types.FunctionType) -> None:
    if (fn.__module__ or "").split(".")[0] == "specjit":
        return
    fetch = f.session.facts.bind(fn)
    f.session.facts.add(
        "globals", f"{fn.__qualname__}.__code__", "identity", fn.__code__, str(f.location()), f"{fetch}.__code__"
    )


def inline(
    f: Frame, source: FunctionSource, fn: types.FunctionType, env: dict[str, Abstract], parent: Frame | None = None
) -> Abstract:
    """The result of running the function's body with `env` as its parameters."""
    from specjit.capture.statements import run

    inner = Frame(f.session, source, fn, env, parent=parent, caller=f)
    f.session.active.append(fn.__code__ if parent is None else source.node)
    try:
        run(inner, inner.body)
    finally:
        f.session.active.pop()
    if DEAD in inner.env:
        f.env[DEAD] = const(True)
        return NONE_VALUE
    result = inner.env[RETURN_VALUE]
    assert not isinstance(result, Unbound)
    return result


def _call_local(f: Frame, local: Local, args: list[Abstract], kwargs: dict[str, Abstract]) -> Abstract:
    """A function defined in the captured program; it sees the variables around it."""
    if local.node in f.session.active:
        raise f.unsupported(f"recursion in the nested function {local.name!r}")
    env = _bind_ast(f, local.node.args, args, kwargs, list(local.defaults), list(local.kw_defaults))
    if env is None:
        raise f.unsupported(f"a call of {local.name!r} with the wrong arguments")
    source = FunctionSource(local.frame.source.file, local.node, f"{local.frame.source.name}.{local.name}")
    if _yields(local.node):
        raise f.unsupported("a generator function", local.node)
    return inline(f, source, local.frame.function, env, parent=local.frame)


def _yields(node: ast.AST) -> bool:
    return any(isinstance(n, ast.Yield | ast.YieldFrom) for n in ast.walk(node))


def bind_parameters(
    f: Frame,
    node: ast.FunctionDef | ast.Lambda,
    fn: types.FunctionType,
    args: list[Abstract],
    kwargs: dict[str, Abstract],
) -> dict[str, Abstract] | None:
    """Arguments by parameter name; None where Python would raise a TypeError."""
    defaults = [_default(f, fn, d) for d in fn.__defaults__ or ()]
    named = fn.__kwdefaults__ or {}
    kw_defaults = [_default(f, fn, named[p.arg]) if p.arg in named else None for p in node.args.kwonlyargs]
    if defaults and (fn.__module__ or "").split(".")[0] != "specjit":
        fetch = f.session.facts.bind(fn)
        source = f"{fn.__qualname__}.__defaults__"
        f.session.facts.add("globals", source, "identity", fn.__defaults__, str(f.location()), f"{fetch}.__defaults__")
    return _bind_ast(f, node.args, args, kwargs, defaults, kw_defaults)


def _default(f: Frame, fn: types.FunctionType, value: Any) -> Abstract:
    """A parameter's default: one object for all calls, so a mutable one must stay that object."""
    return Known(value) if callable(value) or isinstance(value, types.ModuleType) else const(value)


def _bind_ast(
    f: Frame,
    a: ast.arguments,
    args: list[Abstract],
    kwargs: dict[str, Abstract],
    defaults: list[Abstract],
    kw_defaults: list[Abstract | None],
) -> dict[str, Abstract] | None:
    positional = [p.arg for p in (*a.posonlyargs, *a.args)]
    env: dict[str, Abstract] = dict(zip(positional, args))
    extra = args[len(positional) :]
    if extra and a.vararg is None:
        return None
    left = dict(kwargs)
    for name in [*positional[len(a.posonlyargs) :], *(p.arg for p in a.kwonlyargs)]:
        if name in left:
            if name in env:
                return None
            env[name] = left.pop(name)
    if left and a.kwarg is None:
        return None
    for name, default in zip(positional[len(positional) - len(defaults) :], defaults):
        env.setdefault(name, default)
    for p, d in zip(a.kwonlyargs, kw_defaults):
        if d is not None:
            env.setdefault(p.arg, d)
    if a.vararg is not None:
        env[a.vararg.arg] = TupleOf(tuple(extra))
    if a.kwarg is not None:
        env[a.kwarg.arg] = _Keywords(left)
    wanted = [*positional, *(p.arg for p in a.kwonlyargs)]
    return env if all(name in env for name in wanted) else None


__all__ = ["BUILTINS", "METHODS", "call", "call_function", "call_op", "get"]
