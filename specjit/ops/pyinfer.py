"""Type rules of the `py.*` records.

Enters: operands as `infer` sees them: constants, `Type`s, lists and tuples of those. Leaves: a constant where
Python's own answer is
known now, else a `Type`.
Invariant: a size expression stays one under + - * and exact division; whatever could raise at run time gets its type,
never an error here.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

from specjit.ir.dims import Dim, divide
from specjit.ir.types import ANY, BOOL, FLOAT, INT, NONE, STR, Type, join, join_all, type_of

NUMERIC = ("bool", "int", "float")
SEQUENCES = (str, bytes, list, tuple)
SIZE = Type.instance("Size")  # the shape of a tensor
FOLDED_SIZE = 4096  # bits of a number, items of a sequence
TENSOR_OPS = {
    "add": "add",
    "sub": "sub",
    "mul": "mul",
    "truediv": "div",
    "pow": "pow",
    "matmul": "matmul",
    "eq": "eq",
    "ne": "ne",
    "lt": "lt",
    "le": "le",
    "gt": "gt",
    "ge": "ge",
    "neg": "neg",
    "abs": "abs",
    "floordiv": "floor_divide",
    "mod": "remainder",
    "and": "bitwise_and",
    "or": "bitwise_or",
    "xor": "bitwise_xor",
    "lshift": "bitwise_left_shift",
    "rshift": "bitwise_right_shift",
    "invert": "bitwise_not",
}


def known(x: Any) -> bool:
    """A constant through and through."""
    if isinstance(x, Type):
        return False
    if isinstance(x, (list, tuple)):
        return all(map(known, x))
    return True


def as_type(x: Any) -> Type:
    if isinstance(x, Type):
        return x
    if isinstance(x, tuple):
        return Type.tuple(*map(as_type, x))
    if isinstance(x, list):
        return Type.list(join_all([as_type(v) for v in x]))
    return type_of(x)


def fold(fn: Callable[..., Any], args: tuple[Any, ...], otherwise: Any) -> Any:
    """fn(*args) when all are constants and it does not raise; an error belongs to run time, at the user's line."""
    if not all(map(known, args)):
        return otherwise
    try:
        return fn(*args)
    except Exception:
        return otherwise


def folded(fn: Callable[..., Any], result: Type) -> Callable[..., Any]:
    return lambda *args: fold(fn, args, result)


def nothing(*_args: Any) -> Type:
    return NONE


def unknown(*_args: Any) -> Type:
    return ANY


def dim_of(x: Any) -> Dim:
    """The size expression of an int operand, None if it is unknown or no int."""
    if isinstance(x, Type):
        return x.dim if x.kind == "int" else None
    return int(x) if isinstance(x, int) else None


def _is_tensor(x: Any) -> bool:
    return isinstance(x, Type) and x.is_tensor


def _tensor_rule(name: str, args: tuple[Any, ...]) -> Any:
    """What the tensor op of that name says; ANY where there is none."""
    from specjit.ops.records.registry import all_ops

    op = all_ops().get(TENSOR_OPS.get(name, ""))
    if op is None or any(not _is_tensor(a) and as_type(a).kind not in NUMERIC for a in args):
        return ANY
    return op.infer(*args)


SIZE_RULES: dict[str, Callable[[Any, Any], Dim]] = {
    "add": operator.add,
    "sub": operator.sub,
    "mul": operator.mul,
}


def binary(name: str, fn: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    def infer(a: Any, b: Any) -> Any:
        if known(a) and known(b):
            otherwise = _number(name, as_type(a), as_type(b))
            return fold(fn, (a, b), otherwise) if _affordable(name, a, b) else otherwise
        if _is_tensor(a) or _is_tensor(b):
            return _tensor_rule(name, (a, b))
        ta, tb = as_type(a), as_type(b)
        if name == "pow" and ta.kind in NUMERIC and tb.kind in NUMERIC:
            return _power(a, b, ta, tb)
        if ta.kind in NUMERIC and tb.kind in NUMERIC:
            x, y = dim_of(a), dim_of(b)
            if x is not None and y is not None and "bool" not in (ta.kind, tb.kind):
                if name in SIZE_RULES:
                    return Type.int(SIZE_RULES[name](x, y))
                if name == "floordiv":
                    # Only a divisor that cannot be 0 makes a constant of the quotient (`n // n`).
                    quotient = divide(x, y)
                    return Type.int(quotient if isinstance(y, int) or not isinstance(quotient, int) else None)
            return _number(name, ta, tb)
        return _container(name, ta, tb)

    return infer


def _affordable(name: str, a: Any, b: Any) -> bool:
    """Whether the answer is of bounded size: constants are folded even in a line that never runs."""
    if name == "mul":
        sequence, count = (b, a) if isinstance(a, int) else (a, b)
        return not (isinstance(sequence, SEQUENCES) and isinstance(count, int)) or len(sequence) * count <= FOLDED_SIZE
    if name in ("pow", "lshift") and isinstance(a, int) and isinstance(b, int):
        return (a.bit_length() * b if name == "pow" else a.bit_length() + b) <= FOLDED_SIZE
    return True


def _number(name: str, a: Type, b: Type) -> Type:
    kinds = {a.kind, b.kind}
    if not kinds <= set(NUMERIC):
        return _container(name, a, b)
    if name == "truediv" or "float" in kinds:
        return FLOAT
    if name in ("and", "or", "xor") and kinds == {"bool"}:
        return BOOL
    return INT


def _power(a: Any, b: Any, ta: Type, tb: Type) -> Type:
    """An int to a negative power is a float, a negative number to a fraction complex: only known operands decide."""
    if "float" not in (ta.kind, tb.kind):
        if isinstance(tb.dim, int):
            return INT if tb.dim >= 0 else FLOAT
        return ANY
    if tb.kind != "float" or (isinstance(b, float) and b.is_integer()) or (not isinstance(a, Type) and a >= 0):
        return FLOAT
    return ANY


def _container(name: str, a: Type, b: Type) -> Type:
    if name == "add" and a.kind == b.kind == "str":
        return STR
    if name == "add" and a.kind == b.kind == "tuple":
        return Type.tuple(*a.args, *b.args)
    if name == "add" and a.kind == b.kind == "list":
        return Type.list(join_all([*a.args, *b.args]))
    if name == "mod" and a.kind == "str":
        return STR
    if name == "or" and a.kind == b.kind == "dict" and a.args and b.args:
        return Type("dict", tuple(map(join, a.args, b.args)))
    if name == "mul" and a.kind in ("str", "list") and b.kind == "int":
        return a
    if name == "mul" and b.kind in ("str", "list") and a.kind == "int":
        return b
    return ANY


def comparison(name: str, fn: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    def infer(a: Any, b: Any) -> Any:
        if known(a) and known(b):
            return fold(fn, (a, b), BOOL)
        if _is_tensor(a) or _is_tensor(b):
            return _tensor_rule(name, (a, b))
        ta, tb = as_type(a), as_type(b)
        if ta.kind in NUMERIC and tb.kind in NUMERIC:
            x, y = dim_of(a), dim_of(b)
            difference = None if x is None or y is None else x - y
            if isinstance(difference, int):
                return bool(fn(difference, 0))
            return BOOL
        plain = (*NUMERIC, "str", "tuple", "list", "none", "dict", "set")
        return BOOL if ta.kind in plain and tb.kind in plain else ANY

    return infer


def identity(fn: Callable[[Any, Any], bool]) -> Callable[[Any, Any], Any]:
    """`is`: decided for None against what cannot be None; identity of other constants is a run-time matter."""

    def infer(a: Any, b: Any) -> Any:
        if (a is None or isinstance(a, bool)) and known(b):
            return fn(a, b)
        if (b is None or isinstance(b, bool)) and known(a):
            return fn(a, b)
        for x, y in ((a, b), (b, a)):
            if x is None and isinstance(y, Type) and y.kind not in ("any", "optional", "none"):
                return fn(None, 0)
        return BOOL

    return infer


def unary(name: str, fn: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def infer(a: Any) -> Any:
        if known(a):
            return fold(fn, (a,), ANY)
        if _is_tensor(a):
            return a if name == "pos" else _tensor_rule(name, (a,))
        if a.kind == "int" and a.dim is not None and name in ("neg", "pos"):
            return Type.int(-a.dim if name == "neg" else a.dim)
        if a.kind in ("int", "bool"):
            return INT
        return FLOAT if a.kind == "float" and name != "invert" else ANY

    return infer


def to_int(a: Any) -> Any:
    if isinstance(a, Type) and a.kind == "int":
        return a
    return fold(int, (a,), INT)


def length(a: Any) -> Any:
    if isinstance(a, (list, tuple)):
        return len(a)
    if _is_tensor(a):
        if a.dims is None:
            return INT
        if not a.dims:
            raise TypeError("len() of a 0-d tensor")
        return a.dims[0] if isinstance(a.dims[0], int) else Type.int(a.dims[0])
    if isinstance(a, Type):
        return len(a.args) if a.kind == "tuple" else INT
    return fold(len, (a,), INT)


def rounded(a: Any, digits: Any = None) -> Any:
    if known(a) and known(digits):
        return fold(round, (a,) if digits is None else (a, digits), ANY)
    if as_type(a).kind == "int":
        return INT
    return (INT if digits is None else FLOAT) if as_type(a).kind == "float" else ANY


def extreme(fn: Callable[..., Any]) -> Callable[..., Any]:
    def infer(*args: Any) -> Any:
        if all(map(known, args)):
            return fold(fn, args, ANY)
        items = args[0] if len(args) == 1 and isinstance(args[0], (list, tuple)) else args
        if len(items) > 1 and all(not isinstance(i, Type) or i.kind in NUMERIC for i in items):
            kinds = {as_type(i).kind for i in items}
            return Type(kinds.pop()) if len(kinds) == 1 else ANY
        return ANY

    return infer


def summed(items: Any, start: Any = 0) -> Any:
    if isinstance(items, (list, tuple)):
        add = binary("add", operator.add)
        for item in items:
            start = add(start, item)
        return start
    return ANY


def attribute(obj: Any, name: Any) -> Any:
    if not _is_tensor(obj):
        return ANY
    if name == "shape" and obj.dims is not None:
        return tuple(d if isinstance(d, int) else Type.int(d) for d in obj.dims)
    if name == "ndim" and obj.dims is not None:
        return len(obj.dims)
    if name == "dtype" and obj.dtype is not None:
        return obj.dtype
    if name == "requires_grad":
        return BOOL if obj.requires_grad is None else obj.requires_grad
    return ANY


def item(obj: Any, index: Any) -> Any:
    if _is_tensor(obj):
        from specjit.ops.records.registry import get

        return get("getitem").infer(obj, index)
    if known(index) and isinstance(obj, (list, tuple, str)):
        return fold(operator.getitem, (obj, index), ANY) if known(obj) else _pick(obj, index)
    if isinstance(obj, (list, tuple)):
        return join_all([as_type(v) for v in obj]) if as_type(index).kind == "int" and obj else ANY
    if isinstance(obj, Type) and obj.kind == "tuple" and isinstance(index, int):
        return obj.args[index] if -len(obj.args) <= index < len(obj.args) else ANY
    if isinstance(obj, Type) and (obj.kind == "list" or obj == SIZE) and as_type(index).kind == "int":
        return _element(obj)
    if obj == SIZE and isinstance(index, slice):
        return SIZE
    if isinstance(obj, Type) and obj.kind == "dict" and obj.args:
        return obj.args[1]
    return ANY


def _pick(obj: Any, index: Any) -> Any:
    try:
        return obj[index]
    except (IndexError, TypeError):
        return ANY


def list_of(*items: Any) -> Type:
    return Type.list(join_all([as_type(i) for i in items]))


def tuple_of(*items: Any) -> Type:
    return Type.tuple(*map(as_type, items))


def dict_of(*items: Any) -> Type:
    return Type("dict", (join_all([as_type(k) for k in items[::2]]), join_all([as_type(v) for v in items[1::2]])))


def set_of(*items: Any) -> Type:
    return Type("set", (join_all([as_type(i) for i in items]),))


def slice_of(start: Any, stop: Any, step: Any) -> Any:
    """A slice of types: `getitem` reads sizes out of it."""
    return fold(slice, (start, stop, step), ANY)


def range_of(start: Any, stop: Any, step: Any) -> Any:
    return fold(range, (start, stop, step), Type.list(INT))


def unpacked(obj: Any, n: Any) -> Any:
    if isinstance(obj, (list, tuple)) and isinstance(n, int) and len(obj) == n:
        return [as_type(v) for v in obj]
    count = n if isinstance(n, int) else 0
    if isinstance(obj, Type) and obj.kind == "tuple" and len(obj.args) == count:
        return list(obj.args)
    return [_element(obj)] * count


def _element(obj: Any) -> Type:
    """The type of what iterating over `obj` yields."""
    if isinstance(obj, range):
        return INT
    if not isinstance(obj, Type):
        return join_all([as_type(v) for v in obj]) if isinstance(obj, (list, tuple)) and obj else ANY
    if obj.is_tensor:
        return obj.with_(dims=None if obj.dims is None else obj.dims[1:])
    if obj.kind == "str":
        return obj
    if obj == SIZE:
        return INT
    if obj.kind == "tuple":
        return join_all(list(obj.args)) if obj.args else ANY
    return obj.args[0] if obj.kind in ("list", "set", "dict") and obj.args else ANY


def iterated(obj: Any) -> Any:
    return Type.list(_element(obj))


def unpacked_star(obj: Any, before: Any, after: Any) -> list[Type]:
    element = _element(obj)
    return [*[element] * before, Type.list(element), *[element] * after]


def mapped(obj: Any) -> Type:
    """`{**obj}`."""
    return Type("dict", obj.args if isinstance(obj, Type) and obj.kind == "dict" and obj.args else (ANY, ANY))
