"""Operators: arithmetic, comparison, identity, membership and truth.

Enters: operator syntax, or abstract operands. Leaves: the tensor op where an operand is a tensor, the `py.*` op
otherwise; constants where Python's answer is known.
Invariant: a comparison chain evaluates each operand once, and none after the first false link.
"""

from __future__ import annotations

import ast
from typing import Any

from specjit.capture import merge
from specjit.capture.frame import Frame, lowers
from specjit.capture.values import (
    Abstract,
    Iteration,
    Known,
    Local,
    Method,
    Shape,
    TupleOf,
    Value,
    const,
    constant_of,
    is_none,
)
from specjit.ir.types import BOOL
from specjit.ops.pyinfer import TENSOR_OPS
from specjit.ops.records.registry import get

BINARY = {
    ast.Add: "add",
    ast.Sub: "sub",
    ast.Mult: "mul",
    ast.Div: "truediv",
    ast.FloorDiv: "floordiv",
    ast.Mod: "mod",
    ast.Pow: "pow",
    ast.LShift: "lshift",
    ast.RShift: "rshift",
    ast.BitAnd: "and",
    ast.BitOr: "or",
    ast.BitXor: "xor",
    ast.MatMult: "matmul",
}
UNARY = {ast.USub: "neg", ast.UAdd: "pos", ast.Invert: "invert"}
COMPARE = {
    ast.Eq: "eq",
    ast.NotEq: "ne",
    ast.Lt: "lt",
    ast.LtE: "le",
    ast.Gt: "gt",
    ast.GtE: "ge",
    ast.Is: "is",
    ast.IsNot: "is_not",
}
# Python operators whose tensor meaning is an op of the same operands.
_SAME_OPERANDS = "add sub mul truediv pow matmul eq ne lt le gt ge floordiv mod"
TENSOR_BINARY = {name: TENSOR_OPS[name] for name in _SAME_OPERANDS.split()}
NUMBERS = ("int", "float", "bool")


@lowers(ast.BinOp)
def _binop(f: Frame, node: ast.BinOp) -> Abstract:
    left, right = f.expr(node.left), f.expr(node.right)
    name = BINARY[type(node.op)]
    if name == "add" and isinstance(left, TupleOf) and isinstance(right, TupleOf):
        return TupleOf(left.items + right.items)
    return binary(f, name, left, right)


def binary(f: Frame, name: str, left: Abstract, right: Abstract) -> Value:
    """`left <op> right`: the tensor op where an operand is a tensor and the other one a tensor or a number."""
    a, b = f.value(left), f.value(right)
    tensors = a.type.is_tensor + b.type.is_tensor
    number = name != "matmul" and (b if a.type.is_tensor else a).type.kind in NUMBERS
    if tensors and name in TENSOR_BINARY and (tensors == 2 or number):
        op = get(TENSOR_BINARY[name])
        if _accepts_scalar_first(op) or a.type.is_tensor:
            return f.emit_node(op, [a, b, *(const(p.default) for p in op.params[2:])])[0].results[0]
    return f.emit(f"py.{name}", a, b)


def _accepts_scalar_first(op: Any) -> bool:
    return op.params[0].type.scalar


@lowers(ast.UnaryOp)
def _unary(f: Frame, node: ast.UnaryOp) -> Abstract:
    if isinstance(node.op, ast.Not):
        return negate(f, condition(f, node.operand))
    v = f.value(f.expr(node.operand))
    if v.type.is_tensor and isinstance(node.op, ast.USub):
        return f.emit("neg", v)
    return f.emit(f"py.{UNARY[type(node.op)]}", v)


def negate(f: Frame, a: Abstract) -> Value:
    cond = truth(f, a)
    if cond.is_const:
        return const(not cond.const)
    return f.emit("py.not", cond)


def truth(f: Frame, a: Abstract) -> Value:
    """`bool(a)`: a bool constant, or a value of type bool."""
    ok, constant = constant_of(a)
    if ok:
        return const(bool(constant))
    if isinstance(a, TupleOf):
        return const(bool(a.items))
    if isinstance(a, Local | Method):
        return const(True)
    if isinstance(a, Known):
        kind = type(a.obj)
        if not hasattr(kind, "__bool__") and not hasattr(kind, "__len__"):
            return const(True)
    v = f.value(a)
    return v if v.type == BOOL else f.emit("py.bool", v)


def condition(f: Frame, test: ast.expr) -> Value:
    """The truth of an expression of which nothing but its truth is asked: then `and`, `or` and chains give bools,
    whatever their operands are."""
    if isinstance(test, ast.BoolOp):
        return _decided(f, isinstance(test.op, ast.And), test.values)
    if isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
        return negate(f, condition(f, test.operand))
    if isinstance(test, ast.Compare) and len(test.ops) > 1:
        return truth(f, _chain(f, f.expr(test.left), list(zip(test.ops, test.comparators)), asked=True))
    return truth(f, f.expr(test))


def _decided(f: Frame, conjunction: bool, parts: list[ast.expr]) -> Value:
    first = condition(f, parts[0])
    if len(parts) == 1:
        return first

    def rest() -> Abstract:
        return merge.refined(f, parts[0], conjunction, lambda: _decided(f, conjunction, parts[1:]))

    sides = (rest, lambda: first) if conjunction else (lambda: first, rest)
    return truth(f, merge.either(f, first, *sides))


@lowers(ast.Compare)
def _compare(f: Frame, node: ast.Compare) -> Abstract:
    left = f.expr(node.left)
    return _chain(f, left, list(zip(node.ops, node.comparators)))


def _chain(f: Frame, left: Abstract, rest: list[tuple[ast.cmpop, ast.expr]], asked: bool = False) -> Abstract:
    """asked: only whether it holds is asked for."""
    op, expr = rest[0]
    right = f.expr(expr)
    first = compare(f, op, left, right)
    if len(rest) == 1:
        return first
    holds = truth(f, first)
    if asked:
        return merge.either(f, holds, lambda: truth(f, _chain(f, right, rest[1:], asked)), lambda: holds)
    return merge.either(f, holds, lambda: _chain(f, right, rest[1:]), lambda: first)


def compare(f: Frame, op: ast.cmpop, left: Abstract, right: Abstract) -> Abstract:
    if isinstance(op, ast.Is | ast.IsNot):
        decided = _identity(left, right)
        if decided is not None:
            return const(decided == isinstance(op, ast.Is))
        return f.emit(f"py.{COMPARE[type(op)]}", left, right)
    if isinstance(op, ast.In | ast.NotIn):
        found = contains(f, right, left)
        return found if isinstance(op, ast.In) else negate(f, found)
    return binary(f, COMPARE[type(op)], left, right)


def _identity(a: Abstract, b: Abstract) -> bool | None:
    """Whether two values are the same object, where that is known."""
    for x, y in ((a, b), (b, a)):
        if is_none(x):
            if is_none(y):
                return True
            if isinstance(y, TupleOf | Local | Method | Iteration | Shape):
                return False
            if isinstance(y, Known):
                return y.obj is None
            if isinstance(y, Value) and not y.is_const and y.type.kind not in ("any", "optional", "none"):
                return False
            if isinstance(y, Value) and y.is_const:
                return y.const is None
    if isinstance(a, Known) and isinstance(b, Known) and a.value is None and b.value is None:
        return a.obj is b.obj
    return None


def contains(f: Frame, container: Abstract, item: Abstract) -> Value:
    ok, items = constant_of(container)
    known, constant = constant_of(item)
    if ok and known and (isinstance(items, tuple) or (isinstance(items, str) and isinstance(constant, str))):
        return const(constant in items)
    return f.emit("py.contains", container, item)
