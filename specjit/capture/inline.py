"""Inlining: a user function read in place of its call.

Enters: a function object with source and abstract arguments. Leaves: the abstract result; the nodes carry the call's
place in its location's `caller`.
Invariant: parameters are bound as Python binds them. Recursion and what cannot be captured stay calls, with a note.
"""

from __future__ import annotations

import ast
import types
from typing import Any

from specjit.capture import marks, opaque
from specjit.capture.closures import needs_cell, refers_to_itself
from specjit.capture.errors import CaptureError, Unsupported
from specjit.capture.frame import MAX_DEPTH, Frame, is_own
from specjit.capture.loops import NeedsConstant
from specjit.capture.merge import DEAD, RETURN_VALUE
from specjit.capture.pycalls import BUILTINS, Keywords, is_library, python_call
from specjit.capture.source import FunctionSource, source_of
from specjit.capture.typecheck import check_arguments
from specjit.capture.values import (
    NONE_VALUE,
    Abstract,
    Known,
    Local,
    TupleOf,
    Unbound,
    const,
)
from specjit.nn.module import Module

ITEMS = "__specjit_items__"  # the parameter of a generator that is read as a function: who takes items once


def call_function(f: Frame, fn: types.FunctionType, args: list[Abstract], kwargs: dict[str, Abstract]) -> Abstract:
    """A plain Python function, read in place of the call."""
    handler = BUILTINS.get(id(fn))
    if handler is not None:
        return handler(f, args, kwargs)
    session = f.session
    reason = ""
    if getattr(fn, marks.IGNORED, False):
        session.touched = True
        return f.emit("py.call", Known(fn), tuple(kwargs) or None, *args, *kwargs.values())
    if getattr(fn, marks.UNUSED, False):
        if session.scripting:
            message = f"{fn.__qualname__} is marked unused"
            f.emit("py.raise", f.emit("py.call", Known(NotImplementedError), None, message), NONE_VALUE, False)
            f.env[DEAD] = const(True)
            return NONE_VALUE
        return python_call(f, Known(fn), args, kwargs)
    if any(code is fn.__code__ and receiver is _receiver(args) for code, receiver in session.active):
        reason = "recursion"
    elif len(session.active) >= MAX_DEPTH:
        reason = f"more than {MAX_DEPTH} nested calls"
    if is_library(fn):
        return python_call(f, Known(fn), args, kwargs)
    mark = session.mark()
    if not reason:
        try:
            source = source_of(fn)
            env = bind_parameters(f, source.node, fn, args, kwargs)
            if env is None:  # the call is wrong, and says so when it happens, before any of the function runs
                return f.emit("py.call", Known(fn), tuple(kwargs) or None, *args, *kwargs.values())
            return enter(f, source, fn, env, args)
        except CaptureError as error:
            reason = error.reason
        except NeedsConstant:
            raise
        except Unsupported as error:
            if session.strict and not (error.own and is_own(fn)):
                raise
            session.rollback(mark)
            f.place(error)
            reason = f"{error.what} at {error.place.location}" if error.place else error.what
    if reason == "recursion" and not is_own(fn) and marks.recursive is not None:
        session.touched = True
        again = marks.recursive(fn, session.scripting)
        return f.emit("py.call", Known(again), tuple(kwargs) or None, *args, *kwargs.values())
    if is_own(fn):
        session.touched = True
        return f.emit("py.call", Known(fn), tuple(kwargs) or None, *args, *kwargs.values())
    what = f"the call of {fn.__qualname__} ({reason})"
    if session.strict:
        raise f.unsupported(what, hint="use @specjit.jit.ignore to run it in Python")
    opaque.note(f, what)
    session.touched = True
    return f.emit("py.call", Known(fn), tuple(kwargs) or None, *args, *kwargs.values())


def _guard_code(f: Frame, fn: types.FunctionType) -> None:
    if is_own(fn):
        return
    fetch = f.session.facts.bind(fn)
    f.session.facts.add(
        "globals", f"{fn.__qualname__}.__code__", "identity", fn.__code__, f.origin(), f"{fetch}.__code__"
    )


def _receiver(args: list[Abstract]) -> Any:
    """The module whose method is called: that of another module, a container in a container, is no recursion."""
    return args[0].obj if args and isinstance(args[0], Known) and isinstance(args[0].obj, Module) else None


def enter(
    f: Frame, source: FunctionSource, fn: types.FunctionType, env: dict[str, Abstract], args: list[Abstract]
) -> Abstract:
    """The result of a call of `fn`, read in its place: its types are checked and its code is guarded."""
    check_arguments(f, fn, source, env)
    _guard_code(f, fn)
    return inline(f, source, fn, env, receiver=_receiver(args))


def inline(
    f: Frame,
    source: FunctionSource,
    fn: types.FunctionType,
    env: dict[str, Abstract],
    parent: Frame | None = None,
    receiver: Any = None,
) -> Abstract:
    """The result of running the function's body with `env` as its parameters."""
    from specjit.capture.statements import run

    inner = Frame(f.session, source, fn, env, parent=parent, caller=f)
    f.session.active.append((fn.__code__ if parent is None else source.node, receiver))
    try:
        inner.open_cells()
        run(inner, inner.body)
    finally:
        f.session.active.pop()
    if DEAD in inner.env:
        f.env[DEAD] = const(True)
        return NONE_VALUE
    result = inner.env.get(RETURN_VALUE, NONE_VALUE)  # missing where nothing returns after all
    assert not isinstance(result, Unbound)
    return result


def call_local(f: Frame, local: Local, args: list[Abstract], kwargs: dict[str, Abstract]) -> Abstract:
    """A function defined in the captured program; it sees the variables around it."""
    if any(node is local.node for node, _ in f.session.active):  # then it is called as a function object
        names = refers_to_itself(local)
        if not names:
            raise f.unsupported(f"recursion in the nested function {local.name!r}")
        home = local.frame.home(names[0])
        assert home is not None
        raise needs_cell(home, names[0])
    env = _bind_ast(f, local.node, args, kwargs, list(local.defaults), list(local.kw_defaults))
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
    if defaults and not is_own(fn):
        fetch = f.session.facts.bind(fn)
        source = f"{fn.__qualname__}.__defaults__"
        f.session.facts.add("globals", source, "identity", fn.__defaults__, f.origin(), f"{fetch}.__defaults__")
    return _bind_ast(f, node, args, kwargs, defaults, kw_defaults)


def only_passed_on(node: ast.AST, name: str) -> bool:
    """Whether every use of `name` is `f(**name)`."""
    passed = {id(k.value) for n in ast.walk(node) if isinstance(n, ast.Call) for k in n.keywords if k.arg is None}
    return all(id(n) in passed for n in ast.walk(node) if isinstance(n, ast.Name) and n.id == name)


def _default(f: Frame, fn: types.FunctionType, value: Any) -> Abstract:
    """A parameter's default: one object for all calls, so a mutable one must stay that object."""
    return Known(value) if callable(value) or isinstance(value, types.ModuleType) else const(value)


def _bind_ast(
    f: Frame,
    node: ast.FunctionDef | ast.Lambda,
    args: list[Abstract],
    kwargs: dict[str, Abstract],
    defaults: list[Abstract],
    kw_defaults: list[Abstract | None],
) -> dict[str, Abstract] | None:
    a = node.args
    positional = [p.arg for p in (*a.posonlyargs, *a.args)]
    kept = args if positional == [ITEMS] else [f.held(x) for x in args]
    env: dict[str, Abstract] = dict(zip(positional, kept))
    extra = kept[len(positional) :]
    if extra and a.vararg is None:
        return None
    left = {name: f.held(x) for name, x in kwargs.items()}
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
        name = a.kwarg.arg
        if only_passed_on(node, name):
            env[name] = Keywords(left)
        else:
            env[name] = f.emit("py.dict", *(x for k, v in left.items() for x in (const(k), v)))
    wanted = [*positional, *(p.arg for p in a.kwonlyargs)]
    return env if all(name in env for name in wanted) else None
