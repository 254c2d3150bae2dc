"""The arguments of a call, as syntax says them.

Enters: `ast.Call` nodes, and the callee. Leaves: abstract positional and keyword arguments.
Invariant: arguments are evaluated from left to right; starred ones must have a known length, or be sizes.
"""

from __future__ import annotations

import ast
import inspect
import types
from typing import Any

from specjit.capture.displays import displayed
from specjit.capture.frame import Frame
from specjit.capture.pycalls import Keywords
from specjit.capture.values import Abstract, Known, Method, Value, constant_of
from specjit.ir.types import INT, Type
from specjit.ops.composites import CompositeFunction
from specjit.ops.registry import Op


def positional(f: Frame, callee: Abstract, node: ast.Call) -> list[Abstract]:
    """The positional arguments; starred sizes of an unknown number as one list, where the callee takes that too."""
    items = displayed(f, node.args)
    if isinstance(items, list):
        return items
    if items.type == Type.list(INT) and _takes_sizes(callee):
        return [items]
    star = next(a for a in node.args if isinstance(a, ast.Starred))
    raise f.unsupported("* of something whose length is not known", star, "use a tuple")


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


def keywords(f: Frame, node: ast.Call) -> dict[str, Abstract]:
    kwargs: dict[str, Abstract] = {}
    for k in node.keywords:
        if k.arg is None and isinstance(k.value, ast.Dict) and all(_is_text(x) for x in k.value.keys):
            kwargs.update({x.value: f.expr(v) for x, v in zip(k.value.keys, k.value.values)})  # type: ignore[union-attr]
        elif k.arg is None:
            kwargs.update(_mapping_items(f, f.expr(k.value), k.value))
        else:
            kwargs[k.arg] = f.expr(k.value)
    return kwargs


def _is_text(node: ast.expr | None) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


def _mapping_items(f: Frame, value: Abstract, node: ast.AST) -> dict[str, Abstract]:
    if isinstance(value, Value) and value.node is not None and value.node.op.name == "py.dict":
        keys, values = value.node.args[::2], value.node.args[1::2]
        if all(k.is_const and isinstance(k.const, str) for k in keys) and f.session.block.nodes[-1:] == [value.node]:
            return {k.const: v for k, v in zip(keys, values)}
    ok, constant = constant_of(value)
    if ok and constant == {}:
        return {}
    if isinstance(value, Keywords):
        return dict(value.named)
    raise f.unsupported("** of something whose keys are not known", node, "name the arguments")


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


__all__ = ["has_no_effect", "keywords", "positional", "takes_all"]
