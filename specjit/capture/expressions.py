"""Expressions: each kind of syntax as nodes, in Python's order of evaluation.

Enters: `ast.expr` nodes. Leaves: abstract values.
Invariant: operands are lowered left to right, and what Python may skip (`and`, `or`, ternaries, chained comparisons)
stands in an `if`.
"""

from __future__ import annotations

import ast
from collections.abc import Callable

from specjit.capture import containers, members, merge
from specjit.capture.attributes import attribute, global_value
from specjit.capture.frame import Frame, lowers
from specjit.capture.instances import super_attribute
from specjit.capture.operators import condition, truth
from specjit.capture.values import (
    NONE_VALUE,
    Abstract,
    Cell,
    Iteration,
    Known,
    Local,
    Shape,
    TupleOf,
    Unbound,
    Value,
    const,
    constant_of,
)
from specjit.ir.constants import UNBOUND
from specjit.ir.types import ANY, INT
from specjit.ops.pyinfer import SIZE
from specjit.ops.records.registry import all_ops, get


@lowers(ast.Constant)
def _constant(f: Frame, node: ast.Constant) -> Abstract:
    return const(node.value)


@lowers(ast.Name)
def _name(f: Frame, node: ast.Name) -> Abstract:
    home = f.home(node.id)
    if home is None:
        written = (id(f.function.__globals__), node.id) in f.session.written
        return f.emit("py.global", node.id, Known(f.function)) if written else global_value(f, node.id)
    found = home.env.get(node.id, UNBOUND)
    if isinstance(found, Cell):
        value = f.emit("py.load", found.cell, hint=node.id)
        return f.emit("py.bound", value, node.id, f.emit("py.is_not", value, UNBOUND), node.id not in f.locals)
    outside = home is not f or (bool(f.inside) and node.id not in f.inside)
    if isinstance(found, Unbound):
        return f.emit("py.bound", found, node.id, False, outside)
    flag = home.env.get(merge.bound_flag(node.id))
    if flag is None:
        return found
    # Some path left the variable without a value: reading it is an error there.
    value = f.emit("py.bound", found, node.id, flag, outside, hint=node.id)
    value.type = merge.type_of_abstract(found)
    if home is not f:
        return value
    f.env[node.id] = found if isinstance(found, TupleOf) else value
    del f.env[merge.bound_flag(node.id)]
    return f.env[node.id]


@lowers(ast.NamedExpr)
def _walrus(f: Frame, node: ast.NamedExpr) -> Abstract:
    value = f.held(f.expr(node.value))
    bind_name(f, node.target.id, value)
    return value


def bind_name(f: Frame, name: str, value: Abstract) -> None:
    """Bind a local variable; the value takes its name, if it has none."""
    value = f.held(value)
    if name in f.globals and name not in f.shadowed:
        _bind_global(f, name, value)
        return
    place = None if name in f.shadowed else f.lookup(name)
    if isinstance(place, Cell):
        f.emit("py.store", place.cell, value)
        return
    if name not in f.locals:
        raise f.unsupported(f"assignment to {name!r}, which is not a local variable", hint="return the value instead")
    if isinstance(value, Iteration) and f.session.trying:
        value = f.value(value)  # if making it raises, that is here
    if isinstance(value, Value) and not value.is_const and not value.hint:
        value.hint = name
    f.env[name] = value
    f.env.pop(merge.bound_flag(name), None)
    f.stored(name)


def _bind_global(f: Frame, name: str, value: Abstract) -> None:
    """`global name; name = value`: from now on, and in an earlier turn, the module's dict says what the name is."""
    key = (id(f.function.__globals__), name)
    if key not in f.session.written:
        f.session.written[key] = ANY
        f.session.unsettled = True
    f.emit("py.set_global", name, Known(f.function), value)


def unbind(f: Frame, name: str) -> None:
    """The variable has no value any more."""
    place = f.lookup(name)
    if isinstance(place, Cell):
        f.emit("py.store", place.cell, UNBOUND)
        return
    if name not in f.locals:
        raise f.unsupported(f"del of {name!r}, which is not a local variable")
    f.env.pop(name, None)
    f.env.pop(merge.bound_flag(name), None)
    f.stored(name)


@lowers(ast.BoolOp)
def _boolop(f: Frame, node: ast.BoolOp) -> Abstract:
    return _operands(f, isinstance(node.op, ast.And), node.values)


def _operands(f: Frame, conjunction: bool, nodes: list[ast.expr]) -> Abstract:
    """`and`/`or` return an operand: the first that decides, or the last."""
    first = f.expr(nodes[0])
    if len(nodes) == 1:
        return first
    cond = truth(f, first)
    go_on = lambda: merge.refined(f, nodes[0], conjunction, lambda: _operands(f, conjunction, nodes[1:]))  # noqa: E731
    stay: Callable[[], Abstract] = lambda: first  # noqa: E731
    return merge.either(f, cond, go_on, stay) if conjunction else merge.either(f, cond, stay, go_on)


@lowers(ast.IfExp)
def _ternary(f: Frame, node: ast.IfExp) -> Abstract:
    cond = condition(f, node.test)
    return merge.either(
        f,
        cond,
        lambda: merge.refined(f, node.test, True, lambda: f.expr(node.body)),
        lambda: merge.refined(f, node.test, False, lambda: f.expr(node.orelse)),
    )


@lowers(ast.Attribute)
def _attribute(f: Frame, node: ast.Attribute) -> Abstract:
    above = super_attribute(f, node)
    return attribute(f, f.expr(node.value), node.attr) if above is None else above


@lowers(ast.Slice)
def _slice(f: Frame, node: ast.Slice) -> Abstract:
    parts = [NONE_VALUE if p is None else f.expr(p) for p in (node.lower, node.upper, node.step)]
    known = [constant_of(p) for p in parts]
    if all(ok for ok, _ in known):
        return const(slice(*(v for _, v in known)))
    return f.emit("py.slice", *parts)


@lowers(ast.Subscript)
def _subscript(f: Frame, node: ast.Subscript) -> Abstract:
    owner = f.expr(node.value)
    return getitem(f, owner, f.expr(node.slice))


def getitem(f: Frame, owner: Abstract, index: Abstract) -> Abstract:
    ok, i = constant_of(index)
    if isinstance(owner, TupleOf) and ok and isinstance(i, int | slice):
        if isinstance(i, slice):
            return TupleOf(owner.items[i])
        if -len(owner.items) <= i < len(owner.items):
            return owner.items[i]
    if isinstance(owner, Iteration) and owner.kind == "slice" and ok and type(i) is int:
        items = containers.view_items(owner)
        if -len(items) <= i < len(items):
            return items[i]
    if isinstance(owner, Shape):
        if ok and type(i) is int:
            return f.emit("size", owner.tensor, i)
        sliced = isinstance(index, Value) and (index.node is not None and index.node.op.name == "py.slice")
        kind = SIZE if sliced or (ok and isinstance(i, slice)) else INT
        return f.emit("py.getitem", owner, index, type=kind)
    if isinstance(owner, Known):
        found = containers.member(f, owner, index)
        if found is not None:
            return found
    whole, items = constant_of(owner)
    if whole and ok and isinstance(items, tuple | str):
        try:
            return const(items[i])
        except (IndexError, TypeError):
            return f.emit("py.getitem", owner, index)
    v = f.value(owner)
    if v in f.session.stores:
        found = members.member(f, v, index)
        if found is not None:
            return found
    if v.type.is_tensor and "getitem" in all_ops():
        return f.emit("getitem", v, index)
    return f.emit("py.getitem", v, index)


def unpack(f: Frame, value: Abstract, n: int) -> tuple[Abstract, ...]:
    """`a, b, ... = value`, n names."""
    if isinstance(value, TupleOf) and len(value.items) == n:
        return value.items
    ok, constant = constant_of(value)
    if ok and isinstance(constant, tuple) and len(constant) == n:
        return tuple(const(x) for x in constant)
    node, _ = f.emit_node(get("py.unpack"), [f.value(value), const(n)])
    return tuple(node.results)


@lowers(ast.JoinedStr)
def _fstring(f: Frame, node: ast.JoinedStr) -> Abstract:
    parts = [f.expr(p) for p in node.values]
    return f.emit("py.concat", *parts) if parts else const("")


@lowers(ast.FormattedValue)
def _formatted(f: Frame, node: ast.FormattedValue) -> Abstract:
    value = f.expr(node.value)
    spec = const("") if node.format_spec is None else f.expr(node.format_spec)
    return f.emit("py.format", value, "" if node.conversion < 0 else chr(node.conversion), spec)


@lowers(ast.Lambda)
def _lambda(f: Frame, node: ast.Lambda) -> Abstract:
    return nested(f, node, "<lambda>")


def nested(f: Frame, node: ast.FunctionDef | ast.Lambda, name: str) -> Local:
    a = node.args
    kw = tuple(None if d is None else f.expr(d) for d in a.kw_defaults)
    return Local(node, f, tuple(f.expr(d) for d in a.defaults), kw, name)
