"""Comprehensions: a container, and loops that fill it.

Enters: comprehension syntax. Leaves: the container. Invariant: the targets are variables of the comprehension only.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Callable
from typing import Any

from specjit.capture import stores
from specjit.capture.closures import needs_cell
from specjit.capture.frame import Frame, lowers
from specjit.capture.inline import ITEMS, call_local
from specjit.capture.iteration import plan
from specjit.capture.loops import assign_target, for_each
from specjit.capture.merge import bound_flag
from specjit.capture.scope import Do, assigned
from specjit.capture.values import Abstract, Cell, Local


@lowers(ast.ListComp, ast.SetComp, ast.DictComp)
def comprehension(f: Frame, node: ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp) -> Abstract:
    """The container it builds. A generator is built as a list: only for consumers that take all of it."""
    targets = {n for g in node.generators for n in assigned(g.target)}
    with stores.iterating(f):
        return _scoped(f, targets, lambda: _comprehension(f, node))


def _scoped(f: Frame, targets: set[str], make: Callable[[], Abstract]) -> Abstract:
    """What `make` gives where `targets` are variables of a scope of their own."""
    saved = {n: f.env.get(n) for t in targets for n in (t, bound_flag(t))}
    outer, f.shadowed = f.shadowed, f.shadowed | targets
    shadowing = targets - f.locals
    f.locals |= targets
    try:
        return make()
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
        how = plan(f, iterable)
        if how.items is not None:
            return f.emit("py.list", *(_element(f, first.target, how.turn(item), node.elt) for item in how.items))
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


def collected(f: Frame, iterable: Abstract) -> Abstract:
    """The items of an iterable as a list: `[item for item in iterable]`."""
    name = ast.Name(ITEMS, ast.Store())
    node = ast.ListComp(ast.Name(ITEMS, ast.Load()), [ast.comprehension(name, ast.Constant(None), [], 0)])
    for n in ast.walk(node):
        if "lineno" in n._attributes:
            ast.copy_location(n, f.at)
    return _scoped(f, {ITEMS}, lambda: _filled(f, node, node.generators[0], iterable))


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


def _bound_outside(f: Frame, node: ast.GeneratorExp) -> list[str]:
    """The variables of the function around it that a generator assigns with `:=`. They have to live in cells."""
    names = sorted({n.target.id for n in ast.walk(node) if isinstance(n, ast.NamedExpr)})
    for name in names:
        home = f.home(name)
        if home is None or name in home.shadowed:
            raise f.unsupported("an assignment in a generator expression", node, "write a list comprehension")
        if not isinstance(home.env.get(name), Cell):
            raise needs_cell(home, name)
    return names


def quantified(f: Frame, wanted: bool, node: ast.GeneratorExp) -> Abstract:
    """`any(...)` (wanted: True) or `all(...)` of a generator: a function that returns when an item has decided."""
    outside = _bound_outside(f, node)
    first = node.generators[0]
    decides = node.elt if wanted else ast.UnaryOp(ast.Not(), node.elt)
    body: ast.stmt = ast.If(decides, [ast.Return(ast.Constant(wanted))], [])
    for generator in reversed(node.generators):
        for test in reversed(generator.ifs):
            body = ast.If(test, [body], [])
        source = ast.Name(ITEMS, ast.Load()) if generator is first else generator.iter
        body = ast.For(generator.target, source, [body], [])
    takes = ast.arguments(posonlyargs=[], args=[ast.arg(ITEMS)], kwonlyargs=[], kw_defaults=[], defaults=[])
    otherwise = ast.Return(ast.Constant(not wanted))
    says: list[ast.stmt] = [ast.Nonlocal(outside)] if outside else []
    function = ast.FunctionDef(name="genexpr", args=takes, body=[*says, body, otherwise], decorator_list=[])
    for n in ast.walk(function):
        if "lineno" in n._attributes and not hasattr(n, "lineno"):
            ast.copy_location(n, node)
    return call_local(f, Local(function, f, (), (), "<genexpr>"), [f.expr(first.iter)], {})
