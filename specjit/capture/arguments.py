"""The arguments of a call, as syntax says them.

Enters: `ast.Call` nodes, and the callee. Leaves: abstract positional and keyword arguments.
Invariant: arguments are evaluated from left to right, each once. Where their number or names are known only when the
call happens, they are run-time lists and dicts.
"""

from __future__ import annotations

import ast
import inspect
import types
from typing import Any

from specjit.capture.displays import displayed
from specjit.capture.frame import Frame
from specjit.capture.pycalls import Keywords
from specjit.capture.values import Abstract, Known, Method, Value, const, constant_of
from specjit.ir.types import INT, Type
from specjit.ops.records.composites import CompositeFunction
from specjit.ops.records.registry import Op

Named = dict[str, Abstract]


def positional(f: Frame, callee: Abstract, node: ast.Call) -> list[Abstract] | Value:
    """The positional arguments; as one list where their number is known only at run time. Sizes may come as a list."""
    items = displayed(f, node.args)
    if isinstance(items, Value) and items.type == Type.list(INT) and _takes_sizes(callee):
        return [items]
    return items


def _takes_sizes(callee: Abstract) -> bool:
    """Whether the arguments are sizes that may come one by one or as one sequence (`x.view(2, -1)`)."""
    owned = isinstance(callee, Method)
    function = callee.function if isinstance(callee, Method) else callee.obj if isinstance(callee, Known) else None
    signature = getattr(function, "record", None) or getattr(function, "composite", None)
    body = signature.body if isinstance(signature, CompositeFunction) else function
    if isinstance(body, types.FunctionType) and (body.__module__ or "").split(".")[0] == "specjit":
        takes = inspect.getfullargspec(body)
        if takes.varargs == "size":
            return len(takes.args) == owned
    params = (signature.params or ())[owned:] if isinstance(signature, Op | CompositeFunction) else ()
    return bool(params) and params[0].type.spread


def keywords(f: Frame, node: ast.Call) -> Named | list[Value]:
    """The keyword arguments by name; as mappings to be joined where the names are known only at run time."""
    known: Named = {}
    mappings: list[Value] = []
    for k in node.keywords:
        named = {k.arg: f.expr(k.value)} if k.arg is not None else _spread(f, k.value)
        if isinstance(named, dict) and not known.keys() & named.keys():
            known |= named
            continue
        mappings += [*_as_dict(f, known), *([named] if isinstance(named, Value) else _as_dict(f, named))]
        known = {}
    return [*mappings, *_as_dict(f, known)] if mappings else known


def _as_dict(f: Frame, named: Named) -> list[Value]:
    return [f.emit("py.dict", *(x for k, v in named.items() for x in (const(k), v)))] if named else []


def _spread(f: Frame, node: ast.expr) -> Named | Value:
    """What `**node` gives: values by name, or the mapping where its keys are not known."""
    if isinstance(node, ast.Dict) and all(isinstance(k, ast.Constant) and isinstance(k.value, str) for k in node.keys):
        return {k.value: f.expr(v) for k, v in zip(node.keys, node.values)}  # type: ignore[union-attr]
    value = f.expr(node)
    if isinstance(value, Keywords):
        return dict(value.named)
    return {} if constant_of(value) == (True, {}) else f.value(value)


def as_values(f: Frame, args: list[Abstract] | Value, kwargs: Named | list[Value]) -> tuple[Value, Value]:
    """Arguments as a run-time list, and a run-time list of mappings."""
    given = args if isinstance(args, Value) else f.emit("py.list", *args)
    return given, f.emit("py.list", *(kwargs if isinstance(kwargs, list) else _as_dict(f, kwargs)))


def has_no_effect(n: ast.expr) -> bool:
    return isinstance(n.operand if isinstance(n, ast.UnaryOp) else n, ast.Constant | ast.Name | ast.Lambda)


TAKE_ALL: tuple[Any, ...] = (sum, min, max, list, tuple, set, frozenset, sorted, dict)
TAKERS = {"str": ("join",), "list": ("extend",), "set": ("update",)}  # methods of builtin containers


def takes_all(callee: Abstract) -> bool:
    """Whether a callee takes all items of its first argument before anything else can be seen of it."""
    if isinstance(callee, Known) and callee.value is None:
        return any(callee.obj is function for function in TAKE_ALL)
    if not isinstance(callee, Method) or not isinstance(callee.owner, Value):
        return False
    return callee.name in TAKERS.get(callee.owner.type.kind, ())


__all__ = ["as_values", "has_no_effect", "keywords", "positional", "takes_all"]
