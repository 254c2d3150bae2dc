"""Displays: tuples, lists, sets and dicts that are written out, with starred items.

Enters: display syntax, or the arguments of a call. Leaves: the container; items that are known one by one where the
length of every starred item is known.
Invariant: items are evaluated, and starred ones taken apart, from left to right, each once.
"""

from __future__ import annotations

import ast

from specjit.capture.expressions import unpack
from specjit.capture.frame import Frame, lowers
from specjit.capture.values import Abstract, Iteration, Known, TupleOf, Value, const, constant_of
from specjit.ir.types import ANY, Type

MAX_ITEMS = 256  # of a range that is written out


@lowers(ast.Tuple)
def _tuple(f: Frame, node: ast.Tuple) -> Abstract:
    items = displayed(f, node.elts)
    return TupleOf(tuple(map(f.held, items))) if isinstance(items, list) else f.emit("py.to_tuple", items)


@lowers(ast.List)
def _list(f: Frame, node: ast.List) -> Abstract:
    items = displayed(f, node.elts)
    return f.emit("py.list", *items) if isinstance(items, list) else items


@lowers(ast.Set)
def _set(f: Frame, node: ast.Set) -> Abstract:
    items = displayed(f, node.elts)
    if isinstance(items, list):
        return f.emit("py.set", *items)
    return f.emit("py.call", Known(set), None, items, type=Type("set", (ANY,)))


@lowers(ast.Dict)
def _dict(f: Frame, node: ast.Dict) -> Abstract:
    whole: Value | None = None
    pairs: list[Abstract] = []
    for key, value in zip(node.keys, node.values):
        if key is not None:
            pairs += [f.expr(key), f.expr(value)]
            continue
        if pairs:
            whole, pairs = _merged(f, whole, f.emit("py.dict", *pairs)), []
        whole = _merged(f, whole, f.emit("py.spread_dict", f.expr(value)))
    return (
        f.emit("py.dict", *pairs) if whole is None else _merged(f, whole, f.emit("py.dict", *pairs) if pairs else None)
    )


def _merged(f: Frame, whole: Value | None, more: Value | None) -> Value:
    if whole is None or more is None:
        found = more if whole is None else whole
        assert found is not None
        return found
    return f.emit("py.or", whole, more)


def displayed(f: Frame, nodes: list[ast.expr]) -> list[Abstract] | Value:
    """The values of expressions of which some may be starred: one by one, or as a list where their number is known
    only at run time."""
    whole: Value | None = None
    items: list[Abstract] = []
    for n in nodes:
        if not isinstance(n, ast.Starred):
            items.append(f.expr(n))
            continue
        if isinstance(n.value, ast.List | ast.Tuple):
            value: Abstract | list[Abstract] = displayed(f, n.value.elts)
        else:
            value = f.expr(n.value)
        known = value if isinstance(value, list) else known_items(f, value)
        if known is not None:
            items += known
            continue
        whole, items = _joined(f, whole, items), []
        part = f.emit("py.spread", value)
        whole = part if whole is None else f.emit("py.add", whole, part)
    return items if whole is None else whole if not items else _joined(f, whole, items)  # type: ignore[return-value]


def _joined(f: Frame, whole: Value | None, items: list[Abstract]) -> Value | None:
    """`whole` and more items, as one list."""
    if not items:
        return whole
    part = f.emit("py.list", *items)
    return part if whole is None else f.emit("py.add", whole, part)


def known_items(f: Frame, value: Abstract) -> list[Abstract] | None:
    """The items of something whose length is known at capture; None for anything else."""
    if isinstance(value, TupleOf):
        return list(value.items)
    ok, constant = constant_of(value)
    if ok and isinstance(constant, tuple | str):
        return [const(x) for x in constant]
    if isinstance(value, Iteration) and value.kind == "range":
        bounds = [constant_of(p) for p in value.parts]
        if all(ok and isinstance(v, int) for ok, v in bounds) and bounds[2][1]:
            found = range(*(v for _, v in bounds))
            return [const(x) for x in found] if len(found) <= MAX_ITEMS else None
    if isinstance(value, Value) and value.type.kind == "tuple":
        return list(unpack(f, value, len(value.type.args)))
    return None


__all__ = ["displayed", "known_items"]
