"""Generator functions of which somebody takes all items at once: `list(parts(x))`, `sum(self.terms(x))`.

Enters: a generator function and abstract arguments. Leaves: the list of what it yields.
Invariant: it is read as a function that fills a list, which is what its caller sees: nothing of the program runs
between two items. Whoever takes items one by one (`for`, `next`, `any`) may run code in between: that stays a call of
Python's.
"""

from __future__ import annotations

import ast
import copy
import inspect
import types
from typing import Any

from specjit.capture.arguments import TAKE_ALL, has_no_effect
from specjit.capture.frame import Frame, is_own
from specjit.capture.source import FunctionSource, source_of
from specjit.capture.values import Abstract, Known, Method

_FILLED = "__specjit_filled__"
OUT, ITEM = "__specjit_yielded__", "__specjit_item__"


def taken_whole(f: Frame, taker: Abstract, node: ast.Call) -> tuple[Abstract, ast.Call] | None:
    """The generator function of `list(function(...))`, and its call; None for anything else. Nothing is evaluated
    unless it is one."""
    whole = isinstance(taker, Known) and taker.value is None and any(taker.obj is t for t in TAKE_ALL)
    inner = node.args[0] if node.args else None
    if not whole or not isinstance(inner, ast.Call) or not all(map(has_no_effect, node.args[1:])) or node.keywords:
        return None
    from specjit.capture.calls import callee_of

    mark, env = f.session.mark(), dict(f.env)
    callee = callee_of(f, inner.func)
    if _generator(callee) is not None:
        return callee, inner
    f.session.rollback(mark)
    f.env = env
    return None


def _generator(callee: Abstract) -> types.FunctionType | None:
    """The generator function that a callee is."""
    function: Any = callee.function if isinstance(callee, Method) else getattr(callee, "obj", None)
    if isinstance(callee, Known) and callee.value is not None:
        return None
    plain = isinstance(function, types.FunctionType) and not is_own(function)
    return function if plain and function.__code__.co_flags & inspect.CO_GENERATOR else None


def collected_from(f: Frame, callee: Abstract, args: list[Abstract], kwargs: dict[str, Abstract]) -> Abstract | None:
    """The list of all that the generator yields; None where it is being read already. A call that is wrong says so
    when it happens."""
    from specjit.capture.inline import bind_parameters, enter

    fn = _generator(callee)
    assert fn is not None  # `taken_whole` has found one
    given = [callee.owner, *args] if isinstance(callee, Method) else args
    source = source_of(fn, generators=True)
    env = bind_parameters(f, source.node, fn, given, kwargs)
    if env is None:
        return f.emit("py.call", Known(fn), tuple(kwargs) or None, *given, *kwargs.values())
    if any(code is fn.__code__ for code, _ in f.session.active):
        return None
    filled = FunctionSource(source.file, _filled(f, source.node), source.name)
    return enter(f, filled, fn, env, given)


def _filled(f: Frame, node: ast.AST) -> ast.FunctionDef:
    """The function that fills a list: one tree for all captures, whose lists are known by their places in it."""
    found: ast.FunctionDef | None = getattr(node, _FILLED, None)
    if found is None:
        assert isinstance(node, ast.FunctionDef)
        found = _Filler(f).function(node)
        setattr(node, _FILLED, found)
    return found


class _Filler(ast.NodeTransformer):
    """Yields become appends, and every return gives the list."""

    def __init__(self, f: Frame) -> None:
        self.f = f

    def function(self, node: ast.FunctionDef) -> ast.FunctionDef:
        made = copy.deepcopy(node)
        body = [self.visit(s) for s in made.body]
        begin = ast.Assign([ast.Name(OUT, ast.Store())], ast.List([], ast.Load()))
        end = ast.copy_location(self.visit_Return(ast.Return(None)), made.body[-1])
        made.body = [ast.copy_location(begin, made.body[0]), *body, end]
        return ast.fix_missing_locations(made)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        return node  # what it yields or returns is its own

    def visit_Lambda(self, node: ast.Lambda) -> ast.AST:
        return node

    def visit_Return(self, node: ast.Return) -> ast.stmt:
        return ast.copy_location(ast.Return(ast.Name(OUT, ast.Load())), node)

    def visit_Expr(self, node: ast.Expr) -> ast.stmt:
        if isinstance(node.value, ast.Yield):
            value = node.value.value or ast.Constant(None)
            return ast.copy_location(_append(self.visit(value)), node)
        if isinstance(node.value, ast.YieldFrom):
            item = ast.For(ast.Name(ITEM, ast.Store()), self.visit(node.value.value), [], [])
            item.body = [_append(ast.Name(ITEM, ast.Load()))]
            return ast.copy_location(item, node)
        self.generic_visit(node)
        return node

    def visit_Yield(self, node: ast.Yield) -> ast.AST:
        raise self.f.unsupported("a generator function that is sent values", node, "yield in statements of its own")

    def visit_YieldFrom(self, node: ast.YieldFrom) -> ast.AST:
        return self.visit_Yield(ast.copy_location(ast.Yield(node.value), node))


def _append(value: ast.expr) -> ast.Expr:
    return ast.Expr(ast.Call(ast.Attribute(ast.Name(OUT, ast.Load()), "append", ast.Load()), [value], []))
