"""Comprehensions: a container, and loops that fill it.

Enters: comprehension syntax. Leaves: the container. Invariant: the targets are variables of the comprehension only.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Callable
from typing import Any

from specjit.capture.frame import Frame, lowers
from specjit.capture.inline import call_local
from specjit.capture.iteration import plan
from specjit.capture.loops import assign_target, for_each
from specjit.capture.merge import bound_flag
from specjit.capture.scope import Do, assigned
from specjit.capture.values import Abstract, Local

_ITEMS = "__specjit_items__"  # the parameter of a generator that is read as a function


@lowers(ast.ListComp, ast.SetComp, ast.DictComp)
def comprehension(f: Frame, node: ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp) -> Abstract:
    """The container it builds. A generator is built as a list: only for consumers that take all of it."""
    targets = {n for g in node.generators for n in assigned(g.target)}
    saved = {n: f.env.get(n) for t in targets for n in (t, bound_flag(t))}
    outer, f.shadowed = f.shadowed, f.shadowed | targets
    shadowing = targets - f.locals
    f.locals |= targets
    try:
        return _comprehension(f, node)
    finally:
        f.locals -= shadowing
        f.shadowed = outer
        for n, a in saved.items():
            f.env.pop(n, None)
            if a is not None:
                f.env[n] = a


def _comprehension(f: Frame, node: Any) -> Abstract:
    first = node.generators[0]
    if any(g.is_async for g in node.generators):
        raise f.unsupported("async comprehensions")
    iterable = f.expr(first.iter)
    targets = {n for g in node.generators for n in assigned(g.target)}
    outer, f.inside = f.inside, targets if sys.version_info < (3, 12) else f.inside
    try:
        return _filled(f, node, first, iterable)
    finally:
        f.inside = outer


def _filled(f: Frame, node: Any, first: ast.comprehension, iterable: Abstract) -> Abstract:
    if isinstance(node, ast.ListComp | ast.GeneratorExp) and len(node.generators) == 1 and not first.ifs:
        mark = f.session.mark()
        items = plan(f, iterable).items
        if items is not None:
            return f.emit("py.list", *(_element(f, first.target, item, node.elt) for item in items))
        f.session.rollback(mark)
    kind = {ast.SetComp: "py.set", ast.DictComp: "py.dict"}.get(type(node), "py.list")
    target = f.emit(kind)

    def add() -> None:
        if isinstance(node, ast.DictComp):
            key = f.expr(node.key)
            f.emit("py.setitem", target, key, f.expr(node.value))
        elif isinstance(node, ast.SetComp):
            f.emit("py.method", target, "add", None, f.expr(node.elt))
        else:
            f.emit("py.append", target, f.expr(node.elt))

    _generators(f, node, 0, iterable, add)
    return target


def _element(f: Frame, target: ast.expr, item: Abstract, elt: ast.expr) -> Abstract:
    assign_target(f, target, item)
    return f.expr(elt)


@lowers(Do)
def _do(f: Frame, s: Do) -> None:
    s.action()


def _generators(f: Frame, node: Any, k: int, iterable: Abstract | None, add: Callable[[], None]) -> None:
    """The loops of a comprehension, from generator `k` inwards."""
    if k == len(node.generators):
        add()
        return
    generator = node.generators[k]
    inner = Do()
    inner.parts = [*node.generators[k + 1 :], *(getattr(node, n) for n in ("elt", "key", "value") if hasattr(node, n))]
    inner.action = lambda: _generators(f, node, k + 1, None, add)
    body: ast.stmt = inner
    for test in reversed(generator.ifs):
        body = ast.copy_location(ast.If(test, [body], []), test)
    loop = ast.copy_location(ast.For(generator.target, generator.iter, [body], []), node)
    ast.copy_location(inner, node)
    # Only what `:=` binds outlives the comprehension.
    live = f.live.always | {n.target.id for n in ast.walk(node) if isinstance(n, ast.NamedExpr)}
    for s in ast.walk(loop):
        if isinstance(s, ast.stmt):
            f.live.after[s] = f.live.head[s] = live
    for_each(f, loop, f.expr(generator.iter) if iterable is None else iterable)


def quantified(f: Frame, wanted: bool, node: ast.GeneratorExp) -> Abstract:
    """`any(...)` (wanted: True) or `all(...)` of a generator: a function that returns when an item has decided."""
    if any(isinstance(n, ast.NamedExpr) for n in ast.walk(node)):
        raise f.unsupported("an assignment in a generator expression", node, "write a list comprehension")
    first = node.generators[0]
    decides = node.elt if wanted else ast.UnaryOp(ast.Not(), node.elt)
    body: ast.stmt = ast.If(decides, [ast.Return(ast.Constant(wanted))], [])
    for generator in reversed(node.generators):
        for test in reversed(generator.ifs):
            body = ast.If(test, [body], [])
        source = ast.Name(_ITEMS, ast.Load()) if generator is first else generator.iter
        body = ast.For(generator.target, source, [body], [])
    takes = ast.arguments(posonlyargs=[], args=[ast.arg(_ITEMS)], kwonlyargs=[], kw_defaults=[], defaults=[])
    otherwise = ast.Return(ast.Constant(not wanted))
    function = ast.FunctionDef(name="genexpr", args=takes, body=[body, otherwise], decorator_list=[])
    for n in ast.walk(function):
        if "lineno" in n._attributes and not hasattr(n, "lineno"):
            ast.copy_location(n, node)
    return call_local(f, Local(function, f, (), (), "<genexpr>"), [f.expr(first.iter)], {})
