"""What cannot be compiled runs in Python: a statement, outlined over the names it reads and writes, as one opaque node.

Enters: a statement or expression and the reason. Leaves: a `py.call` of a function compiled from the user's own source
lines, and a note for the OPAQUE event.
Invariant: the outlined function sees the user's globals and closure cells themselves, its traceback shows the user's
file and line, and names it may leave without a value are `UNBOUND` afterwards.
"""

from __future__ import annotations

import ast
import types
from typing import Any

from specjit.capture import merge
from specjit.capture.closures import captures_what_changes
from specjit.capture.errors import Unsupported
from specjit.capture.frame import Frame
from specjit.capture.rebinding import rebinds
from specjit.capture.scope import Do, Exits, assigned, read
from specjit.capture.values import Abstract, Cell, Known, Unbound, Value, same_abstract
from specjit.ir.constants import UNBOUND
from specjit.ir.types import ANY
from specjit.ops.records.registry import get
from specjit.parsing import parse

# Statements that bind their names last, when nothing can fail any more.
SIMPLE = (ast.Assign, ast.AnnAssign, ast.AugAssign, ast.Expr, ast.FunctionDef, ast.ClassDef, ast.Import, ast.ImportFrom)


def note(f: Frame, reason: str) -> None:
    """Something at this place runs in Python: an error under `strict`, else remembered for the event. In a function of
    this package it is an error always, so that the function is called as it is."""
    if f.session.strict or f.own:
        raise f.unsupported(reason)
    f.session.opaque.append((f.location(), reason))


def outline(f: Frame, s: ast.stmt, error: Unsupported) -> None:
    """Append statement `s` as an opaque node; raises `error` again where the statement cannot stand alone."""
    exits = Exits([s])
    unbound = isinstance(s, ast.Global | ast.Nonlocal) or any(
        isinstance(n, ast.Global | ast.Nonlocal) for n in ast.walk(s)
    )
    if exits.any or unbound or any(isinstance(n, Do) for n in ast.walk(s)):
        raise error
    for n in ast.walk(s):
        if isinstance(n, ast.Attribute) and not isinstance(n.ctx, ast.Load):
            rebinds(f, n.attr)
    reads, writes = _names(f, s, error)
    watched = {n for cells in f.watched for n in cells} | {n for n, a in f.env.items() if isinstance(a, Cell)}
    if (watched & set(writes) and not isinstance(s, SIMPLE)) or (assigned(s)) & f.globals:
        raise error  # it might raise after it has bound a variable that a handler sees, or make a global a local one
    deleted = {n.id for n in ast.walk(s) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Del)}
    definite = {n for n in writes if same_abstract(merge.bound(f.env, n), merge.TRUE)} - deleted
    result = [ast.Name(n, ast.Load()) if n in definite else _maybe(n) for n in writes]
    body = [s, ast.Return(ast.Tuple(result, ast.Load()))] if writes else [s]
    function = _compile(f, s, body, reads)
    node, _ = f.emit_node(
        get("py.call"), [f.value(Known(function)), f.value(Known(None)), *(f.value(f.env[n]) for n in reads)]
    )
    _taint(f, error)
    if not writes:
        return
    items, _ = f.emit_node(get("py.unpack"), [node.results[0], Value.constant(len(writes))], writes)
    for name, value in zip(writes, items.results):
        place = f.env.get(name)
        if isinstance(place, Cell):
            f.emit("py.store", place.cell, value)
            continue
        f.env[name] = value
        f.env.pop(merge.bound_flag(name), None)
        if name in deleted or (name not in definite and not _always_binds(s, name)):
            f.env[merge.bound_flag(name)] = f.emit("py.is_not", value, UNBOUND)
        f.stored(name)


def outline_expression(f: Frame, node: ast.expr, error: Unsupported) -> Value:
    """Append an expression as an opaque node; its value has no known type."""
    if any(isinstance(n, ast.NamedExpr | ast.Yield | ast.YieldFrom | ast.Await) for n in ast.walk(node)):
        raise error
    if captures_what_changes(f, node):
        raise error
    reads, _ = _names(f, node, error)
    function = _compile(f, node, [ast.Return(node)], reads)
    out, _ = f.emit_node(
        get("py.call"), [f.value(Known(function)), f.value(Known(None)), *(f.value(f.env[n]) for n in reads)]
    )
    out.results[0].type = ANY
    _taint(f, error)
    return out.results[0]


def _taint(f: Frame, error: Unsupported) -> None:
    f.session.touched = True
    assert error.place is not None
    f.session.opaque.append((error.place.location, error.what))


def _names(f: Frame, s: ast.AST, error: Unsupported) -> tuple[list[str], list[str]]:
    """Variables that `s` reads and writes, in a fixed order. Some values cannot be handed to Python code."""
    writes = sorted(assigned(s) & f.locals & f.live.after.get(s, f.locals))  # type: ignore[call-overload]
    reads = []
    outer: Frame | None = f.parent
    for name in sorted((read(s) | set(writes)) & f.locals):
        value = f.env.get(name, UNBOUND)
        if not isinstance(value, Unbound):
            reads.append(name)
    while outer is not None:
        if (read(s) | (assigned(s) - f.locals)) & outer.locals:
            raise error
        outer = outer.parent
    first = [a.arg for a in f.source.node.args.args[:1]]
    return [n for n in first if n in reads] + [n for n in reads if n not in first], writes


def _maybe(name: str) -> ast.expr:
    """`locals().get(name, UNBOUND)`, spelled with names that no program defines."""
    call = parse("__specjit_locals__().get(0, __specjit_unbound__)", mode="eval").body
    assert isinstance(call, ast.Call)
    call.args[0] = ast.Constant(name)
    return call


def _unbound_again(name: str) -> ast.stmt:
    """A parameter whose variable has no value yet has none in the outlined function either."""
    (test,) = parse("if 0 is __specjit_unbound__: del _").body
    assert isinstance(test, ast.If)
    assert isinstance(test.test, ast.Compare)
    test.test.left = ast.Name(name, ast.Load())
    test.body = [ast.Delete([ast.Name(name, ast.Del())])]
    return test


def _always_binds(s: ast.stmt, name: str) -> bool:
    """Whether running `s` to its end certainly binds `name`."""
    if isinstance(s, SIMPLE):
        return all(n.target.id != name for n in ast.walk(s) if isinstance(n, ast.NamedExpr))
    if isinstance(s, ast.If) and s.orelse:
        return all(any(_always_binds(t, name) and name in assigned(t) for t in side) for side in (s.body, s.orelse))
    return False


def _compile(f: Frame, origin: ast.AST, body: list[ast.stmt], params: list[str]) -> types.FunctionType:
    """A function of `params` with this body, in the user's file, over the user's globals and cells."""
    fn = f.function
    free = list(fn.__code__.co_freevars)
    arguments = ast.arguments(
        posonlyargs=[], args=[ast.arg(p) for p in params], kwonlyargs=[], kw_defaults=[], defaults=[]
    )
    unbinding = [_unbound_again(p) for p in params if merge.bound_flag(p) in f.env or isinstance(f.env.get(p), Cell)]
    inner = ast.FunctionDef(name="__specjit_body__", args=arguments, body=[*unbinding, *body], decorator_list=[])
    cells = [n for n in free if n not in params]
    holder = ast.arguments(
        posonlyargs=[],
        args=[ast.arg(n) for n in (*cells, "__specjit_locals__", "__specjit_unbound__")],
        kwonlyargs=[],
        kw_defaults=[],
        defaults=[],
    )
    outer = ast.FunctionDef(name="outer", args=holder, body=[inner], decorator_list=[])
    for node in (inner, outer):
        ast.copy_location(node, origin)
    module = ast.fix_missing_locations(ast.Module([outer], []))
    code = compile(module, f.source.file, "exec")
    outer_code = _code_in(code)
    inner_code = _code_in(outer_code).replace(co_name=fn.__name__, co_qualname=fn.__qualname__)
    known: dict[str, Any] = {"__specjit_locals__": locals, "__specjit_unbound__": UNBOUND}
    closure = []
    for name in inner_code.co_freevars:
        if name in known:
            closure.append(types.CellType(known[name]))
        else:
            closure.append((fn.__closure__ or ())[free.index(name)])
    return types.FunctionType(inner_code, fn.__globals__, fn.__name__, None, tuple(closure))


def _code_in(code: types.CodeType) -> types.CodeType:
    return next(c for c in code.co_consts if isinstance(c, types.CodeType))


__all__ = ["Abstract", "note", "outline", "outline_expression"]
