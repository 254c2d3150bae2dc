"""Nested functions as values: Python function objects over the variables that they share with the program.

Enters: functions that the program defines and does not only call. Leaves: a node that makes the function object, from
the user's own source lines.
Invariant: the function sees its captured variables as Python's closures do, later assignments included: a variable that
is bound more than once, or may have no value yet, lives in a cell from the start of its function (capture begins anew
when that turns out to be needed).
"""

from __future__ import annotations

import ast
import copy
import types
from typing import Any

from specjit.capture import merge
from specjit.capture.frame import Frame, Restart
from specjit.capture.scope import read
from specjit.capture.values import Cell, Known, Local, Value, const, same_abstract

_DEFAULT = "__specjit_default__"


def function_value(f: Frame, local: Local) -> Value:
    """The function object that a `def` or `lambda` makes here."""
    code = _code(local)
    kw = {p.arg: d for p, d in zip(local.node.args.kwonlyargs, local.kw_defaults) if d is not None}
    cells = [_cell(f, local, name) for name in code.co_freevars]
    template = types.FunctionType(code, local.frame.function.__globals__, closure=tuple(map(types.CellType, cells)))
    if not (cells or local.defaults or kw):
        return f.value(Known(template))
    parts = [*local.defaults, *kw.values(), *cells]
    return f.emit("py.call", Known(make_function), None, Known(template), len(local.defaults), tuple(kw), *parts)


def make_function(template: types.FunctionType, count: int, names: tuple[str, ...], *parts: Any) -> Any:
    """A function with the code of `template`; parts: `count` defaults, those of the keyword-only parameters `names`,
    and the cells of its captured variables."""
    defaults, named, cells = parts[:count], parts[count : count + len(names)], parts[count + len(names) :]
    made = types.FunctionType(template.__code__, template.__globals__, template.__name__, defaults or None, cells)
    made.__kwdefaults__ = dict(zip(names, named)) or None
    made.__module__ = template.__module__
    return made


def needs_cell(home: Frame, name: str) -> Restart:
    """To be raised: the variable has to live in a cell."""
    home.session.celled.add((home.source.node, name))
    return Restart()


def refers_to_itself(local: Local) -> list[str]:
    """The variables by which a function may call itself."""
    return sorted(n for n in read(local.node) if local.frame.lookup(n) is local)


def _cell(f: Frame, local: Local, name: str) -> Value:
    """The cell of a captured variable."""
    home = local.frame.home(name)
    if home is None:
        fn = local.frame.function
        return const((fn.__closure__ or ())[fn.__code__.co_freevars.index(name)])
    value = home.env.get(name)
    if isinstance(value, Cell):
        return value.cell
    if name in home.shadowed:
        raise f.unsupported(
            f"the function {local.name!r} as a value: it captures {name!r} of a comprehension",
            hint="pass the variable as a default argument",
        )
    settled = value is not None and same_abstract(merge.bound(home.env, name), merge.TRUE)
    if not settled or bindings(home.source.node, name) > 1 or name in f.session.making:
        raise needs_cell(home, name)
    assert value is not None
    f.session.making.append(name)
    try:
        return f.emit("py.cell", value, hint=f"{name}_cell")
    finally:
        f.session.making.pop()


def _code(local: Local) -> types.CodeType:
    """The function's code, in the user's file. Defaults were evaluated already."""
    node = copy.copy(local.node)
    node.args = copy.copy(node.args)
    default: ast.expr = ast.copy_location(ast.Constant(None), node)
    node.args.defaults = [default for _ in node.args.defaults]
    node.args.kw_defaults = [None if d is None else default for d in node.args.kw_defaults]
    frame = local.frame
    around = {n for n in read(node) if frame.home(n) is not None} | set(frame.function.__code__.co_freevars)
    name = "<lambda>" if isinstance(node, ast.Lambda) else node.name
    body = ast.copy_location(ast.Return(node), node) if isinstance(node, ast.Lambda) else node
    given = [ast.arg(n) for n in sorted(around - {name})]
    holder = ast.arguments(posonlyargs=[], args=given, kwonlyargs=[], kw_defaults=[], defaults=[])
    outer = ast.copy_location(ast.FunctionDef(name="outer", args=holder, body=[body], decorator_list=[]), node)
    module = compile(ast.fix_missing_locations(ast.Module([outer], [])), frame.source.file, "exec")
    found = next(c for c in _codes(_codes(module)[0]) if c.co_name == name)
    return found.replace(co_qualname=f"{frame.source.name}.<locals>.{name}")


def _codes(code: types.CodeType) -> list[types.CodeType]:
    return [c for c in code.co_consts if isinstance(c, types.CodeType)]


def bindings(function: ast.AST, name: str) -> int:
    """How often a function may bind `name`; a binding in a loop or a comprehension counts twice."""
    count = 0

    def visit(node: ast.AST, weight: int) -> None:
        nonlocal count
        if isinstance(node, ast.arg) and node.arg == name and weight == 1:
            count += 1
        if isinstance(node, ast.Name) and node.id == name and not isinstance(node.ctx, ast.Load):
            count += weight
        if isinstance(node, ast.FunctionDef | ast.ClassDef | ast.ExceptHandler) and node.name == name:
            count += weight if node is not function else 0
        again = isinstance(node, ast.For | ast.While | ast.comprehension)
        for child in ast.iter_child_nodes(node):
            if not (isinstance(child, ast.Lambda | ast.FunctionDef) and child is not function):
                visit(child, 2 if again else weight)
            elif isinstance(child, ast.FunctionDef) and child.name == name:
                count += 2 if again else weight

    visit(function, 1)
    return count


def bound_elsewhere(function: ast.AST, s: ast.AST, name: str) -> bool:
    """Whether `function` may bind `name` outside of `s` after `s` has begun."""
    inside = {id(n) for n in ast.walk(s)}
    loops = [n for n in ast.walk(function) if isinstance(n, ast.For | ast.While) and any(c is s for c in ast.walk(n))]
    again = {id(n) for loop in loops for n in ast.walk(loop)}
    start = getattr(s, "lineno", 0)
    for node in ast.walk(function):
        if isinstance(node, ast.Name) and node.id == name and not isinstance(node.ctx, ast.Load):
            if id(node) not in inside and (node.lineno >= start or id(node) in again):
                return True
    return False


def captures_what_changes(f: Frame, s: ast.AST) -> bool:
    """Whether functions and generators in `s` capture variables that are bound again outside of it. Where `s` runs by
    itself, on copies of the variables, they would not see that."""
    scopes = ast.Lambda | ast.FunctionDef | ast.GeneratorExp
    names = {n for node in ast.walk(s) if isinstance(node, scopes) for n in read(node)} & f.locals
    return any(bound_elsewhere(f.source.node, s, name) for name in names)
