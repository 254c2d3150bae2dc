"""Statements, and the ways out of them: `return`, `break` and `continue` as structured control flow.

Enters: statement lists. Leaves: nodes; pending exits as flags among the variables (`merge.FLAGS`).
Invariant: after a statement that may have exited, the rest of the list stands in an `if`; where one branch of an `if`
always exits, the rest stands in the other one, so plain early returns need no flags at all.
"""

from __future__ import annotations

import ast
import functools
import sys
from collections.abc import Callable
from typing import Any

from specjit.capture import merge, opaque
from specjit.capture.attributes import attribute
from specjit.capture.errors import Unsupported
from specjit.capture.expressions import bind_name, nested
from specjit.capture.frame import HANDLERS, Frame, lowers
from specjit.capture.iteration import NeedsConstant
from specjit.capture.merge import BROKE, CONTINUED, DEAD, FLAGS, RETURN_VALUE, RETURNED
from specjit.capture.operators import condition
from specjit.capture.scope import Exits
from specjit.capture.typecheck import check_return
from specjit.capture.values import (
    NONE_VALUE,
    Abstract,
    Cell,
    Known,
    Value,
)

MAX_SINK = 24  # nesting of "the rest of the list" inside branches

_UNSUPPORTED: dict[type, tuple[str, str]] = {
    ast.ClassDef: ("a class that is defined in a function", "define the class at the top of the module"),
    ast.AsyncFunctionDef: ("an async function", "make it a plain function"),
    ast.TryStar: ("except*", "use except"),
}


def run(f: Frame, body: list[ast.stmt]) -> None:
    """Lower statements in order; what follows a possible exit is guarded."""
    for k, s in enumerate(body):
        if DEAD in f.env:
            return
        state = exited(f)
        if state.is_const and state.const:
            return
        if not state.is_const:
            rest = body[k:]
            guarded(f, functools.partial(run, f, rest), f.live.after[rest[-1]])
            return
        if isinstance(s, ast.If) and _statement(f, s, body[k + 1 :]):
            return
        if not isinstance(s, ast.If):
            _statement(f, s, [])


def exited(f: Frame) -> Value:
    """Whether control has left the statement list: a bool constant or value."""
    state = merge.FALSE
    for flag in FLAGS:
        value = f.env.get(flag, merge.FALSE)
        assert isinstance(value, Value)
        if value.is_const and value.const:
            return merge.TRUE
        if value.is_const:
            continue
        if state.is_const:
            state = value
        else:
            first = state
            found = merge.either(f, first, lambda: merge.TRUE, lambda v=value: v)  # type: ignore[misc]
            assert isinstance(found, Value)
            state = found
    return state


def guarded(f: Frame, rest: Callable[[], None], live: set[str], left: Value = merge.FALSE) -> None:
    """Run `rest` unless control has left already, or `left` says so."""
    state = exited(f)
    if state.is_const and not state.const:
        state = left
    elif not state.is_const and not (left.is_const and not left.const):
        first = state
        both = merge.either(f, first, lambda: merge.TRUE, lambda: left)
        assert isinstance(both, Value)
        state = both
    if state.is_const:
        if not state.const:
            rest()
        return
    with f.block() as block:
        gone = merge.Branch(block, f.env)
    with f.block() as block:
        for flag in FLAGS:
            f.env.pop(flag, None)
        rest()
        here = merge.Branch(block, f.env)
    merge.join(f, state, gone, here, live)


def _statement(f: Frame, s: ast.stmt, rest: list[ast.stmt]) -> bool:
    """Lower one statement, in Python if it cannot be compiled. True if it took `rest`, what follows, into itself."""
    mark, env, at = f.session.mark(), dict(f.env), f.at
    f.at = s
    try:
        if isinstance(s, ast.If):
            return _if(f, s, rest)
        handler = HANDLERS.get(type(s))
        if handler is None:
            what, hint = _UNSUPPORTED.get(type(s), (f"the {type(s).__name__.lower()} statement", ""))
            raise f.unsupported(what, hint=hint)
        handler(f, s)
        return False
    except NeedsConstant as error:
        f.place(error)
        if f.session.unrollable:
            raise
        _outline(f, s, error, mark, env)
        return False
    except Unsupported as error:
        f.place(error)
        _outline(f, s, error, mark, env)
        return False
    finally:
        f.at = at


def _outline(f: Frame, s: ast.stmt, error: Unsupported, mark: Any, env: dict[str, Abstract]) -> None:
    """The statement as an opaque node; re-raises where it has to be captured."""
    if (
        f.session.strict
        or f.own
        or (isinstance(s, ast.Expr) and isinstance(s.value, ast.Yield | ast.YieldFrom | ast.Await))
    ):
        raise error
    f.session.rollback(mark)
    f.env = dict(env)
    opaque.outline(f, s, error)


# branches


def _if(f: Frame, s: ast.If, rest: list[ast.stmt]) -> bool:
    cond = condition(f, s.test)
    if cond.is_const:
        merge.refine(f, s.test, bool(cond.const))
        run(f, s.body if cond.const else s.orelse)
        return False
    sink = rest if rest and Exits([s]).any and f.session.sunk < MAX_SINK else []
    sides: list[merge.Branch] = []
    for holds, body in ((True, s.body), (False, s.orelse)):
        with f.block() as block:
            merge.refine(f, s.test, holds)
            run(f, body)
            sides.append(merge.Branch(block, f.env))
    took = False
    done = [_left(side) for side in sides]
    if sink and done.count(True) == 1:
        k = done.index(False)
        took = True
        f.session.sunk += 1
        saved_block, saved_env = f.session.block, f.env
        f.session.block, f.env = sides[k].block, sides[k].env
        try:
            run(f, sink)
            sides[k].env = f.env
        finally:
            f.session.block, f.env = saved_block, saved_env
            f.session.sunk -= 1
    merge.join(f, cond, sides[0], sides[1], f.live.after[sink[-1] if took else s])
    return took or all(done)


def _left(side: merge.Branch) -> bool:
    """Whether control always leaves the list on this side by return, break or continue."""
    flags = [side.env.get(flag) for flag in FLAGS]
    return any(isinstance(v, Value) and v.is_const and v.const for v in flags)


# exits


@lowers(ast.Return)
def _return(f: Frame, s: ast.Return) -> None:
    value = NONE_VALUE if s.value is None else _or_opaque(f, s.value)
    check_return(f, s, value)
    f.env[RETURN_VALUE] = value
    f.env[RETURNED] = merge.TRUE


def _or_opaque(f: Frame, node: ast.expr) -> Abstract:
    """An expression whose statement has to be captured: only the expression itself runs in Python if need be."""
    mark, env = f.session.mark(), dict(f.env)
    try:
        return f.expr(node)
    except NeedsConstant:
        raise
    except Unsupported as error:
        f.place(error)
        if f.session.strict or f.own:
            raise
        f.session.rollback(mark)
        f.env = dict(env)
        return opaque.outline_expression(f, node, error)


@lowers(ast.Break)
def _break(f: Frame, s: ast.Break) -> None:
    f.env[BROKE] = merge.TRUE


@lowers(ast.Continue)
def _continue(f: Frame, s: ast.Continue) -> None:
    f.env[CONTINUED] = merge.TRUE


@lowers(ast.Pass)
def _pass(f: Frame, s: ast.Pass) -> None:
    return None


@lowers(ast.Raise)
def _raise(f: Frame, s: ast.Raise) -> None:
    if s.exc is None:
        caught = f.session.handling[-1] if f.session.handling else None
        if caught is None:
            raise f.unsupported("raise without an exception, outside a handler")
        f.emit("py.reraise", caught)
        f.env[DEAD] = merge.TRUE
        return
    exception = f.value(f.expr(s.exc))
    cause = NONE_VALUE if s.cause is None else f.value(f.expr(s.cause))
    f.emit("py.raise", exception, cause, isinstance(s.cause, ast.Constant))
    f.env[DEAD] = merge.TRUE


@lowers(ast.Assert)
def _assert(f: Frame, s: ast.Assert) -> None:
    cond = condition(f, s.test)
    if cond.is_const and cond.const:
        return
    if s.msg is None or isinstance(s.msg, ast.Constant):
        f.emit("py.assert", cond, NONE_VALUE if s.msg is None else f.expr(s.msg))
        merge.refine(f, s.test, True)
        return
    with f.block() as block:
        fine = merge.Branch(block, f.env)
    with f.block() as block:
        error = f.emit("py.call", Known(AssertionError), None, f.expr(s.msg))
        f.emit("py.raise", error, NONE_VALUE, False)
        f.env[DEAD] = merge.TRUE
        bad = merge.Branch(block, f.env)
    merge.join(f, cond, fine, bad, set(f.env))
    merge.refine(f, s.test, True)


@lowers(ast.Expr)
def _expression(f: Frame, s: ast.Expr) -> None:
    if not isinstance(s.value, ast.Constant):
        f.expr(s.value)


@lowers(ast.FunctionDef)
def _function(f: Frame, s: ast.FunctionDef) -> None:
    if s.decorator_list:
        raise f.unsupported("a decorated nested function")
    bind_name(f, s.name, nested(f, s, s.name))


@lowers(ast.Global, ast.Nonlocal)
def _scope(f: Frame, s: ast.Global | ast.Nonlocal) -> None:
    """A declaration, which `Frame` has read."""
    if isinstance(s, ast.Nonlocal) and not all(isinstance(f.lookup(name), Cell) for name in s.names):
        what = "nonlocal variables of a function that is not captured"
        raise f.unsupported(what, s, "pass the value in and return it")


@lowers(ast.Import, ast.ImportFrom)
def _import(f: Frame, s: ast.Import | ast.ImportFrom) -> None:
    """An import of what is already imported binds a name; the guard says it still is."""
    if isinstance(s, ast.ImportFrom) and s.level:
        raise f.unsupported("a relative import inside a function", hint="import at the top of the module")
    for alias in s.names:
        path = s.module or "" if isinstance(s, ast.ImportFrom) else alias.name
        module = sys.modules.get(path)
        if module is None or alias.name == "*" or (isinstance(s, ast.Import) and "." in path and not alias.asname):
            raise f.unsupported("import inside a function", hint="import at the top of the module")
        fetch = f"{f.session.facts.bind(sys.modules)}[{path!r}]"
        f.session.facts.add("globals", f"sys.modules[{path!r}]", "identity", module, f.origin(), fetch)
        found = Known(module) if isinstance(s, ast.Import) else attribute(f, Known(module), alias.name)
        bind_name(f, alias.asname or alias.name, found)
