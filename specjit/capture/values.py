"""What capture knows of a Python value while it reads a program.

Enters: IR values and Python objects. Leaves: the abstract values below; `ir.Value` itself is the one that exists at
run time.
Invariant: abstract values are immutable; whatever is not an `ir.Value` is known completely from the source, guarded
globals and the structure of the arguments.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from specjit.ir.constants import Unbound, same
from specjit.ir.graph import Value
from specjit.ir.types import ANY, NONE, Type, type_of
from specjit.ops.pyinfer import SIZE

if TYPE_CHECKING:
    from specjit.capture.frame import Frame


@dataclass(frozen=True, eq=False, slots=True)
class Known:
    """A Python object that is known at capture: a module, function, class, or an instance whose structure is guarded.

    value: the IR value that holds it at run time (None: it is a constant). source: how a guard names it, "" if it
    needs none."""

    obj: Any
    value: Value | None = None
    source: str = ""


@dataclass(frozen=True, eq=False, slots=True)
class TupleOf:
    """A tuple whose items are known one by one; it becomes a run-time value only where one is needed.

    names: its fields, if it is a result with names (`ops.records.results`)."""

    items: tuple[Abstract, ...]
    names: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False, slots=True)
class Method:
    """`owner.name` about to be called. function: what it resolves to, where that is known and a plain function."""

    owner: Abstract
    name: str
    function: Any = None


@dataclass(frozen=True, eq=False, slots=True)
class Local:
    """A function or lambda defined in the captured program itself; it sees the variables of `frame`."""

    node: ast.FunctionDef | ast.Lambda
    frame: Frame
    defaults: tuple[Abstract, ...]
    kw_defaults: tuple[Abstract | None, ...]
    name: str


@dataclass(frozen=True, eq=False, slots=True)
class Iteration:
    """A lazy iterable: kind "range" (start, stop, step), "enumerate" (iterable, start), "zip" (iterables), "reversed"
    (sequence), "map" (function, iterables). Or a view of a container of modules, whose items are known: "slice" (owner,
    index, items), "keys", "values" and "items" (owner, items)."""

    kind: str
    parts: tuple[Abstract, ...]


@dataclass(frozen=True, eq=False, slots=True)
class Shape:
    """`x.shape`, not yet indexed."""

    tensor: Value


@dataclass(frozen=True, eq=False, slots=True)
class Ran:
    """Whether a loop ran at least once: its trip count (positive then), or its first condition."""

    header: Value


@dataclass(frozen=True, eq=False, slots=True)
class Cell:
    """A variable that a nested function assigns: its value is in a cell (`py.load`, `py.store`)."""

    cell: Value


@dataclass(frozen=True, eq=False, slots=True)
class Choice:
    """One of two known functions or modules (or choices): `then` where `cond` holds, else `other`."""

    cond: Value
    then: Known | Local | Choice
    other: Known | Local | Choice


ITERATORS = ("enumerate", "zip", "reversed", "map")  # the kinds of `Iteration` that run out


Abstract = Cell | Value | Known | TupleOf | Method | Local | Iteration | Shape | Ran | Unbound | Choice


def const(value: Any) -> Value:
    return Value.constant(value)


NONE_VALUE = const(None)


def is_const(a: Abstract) -> bool:
    return isinstance(a, Value) and a.is_const


def constant_of(a: Abstract) -> tuple[bool, Any]:
    """(True, the Python value) of something known at capture: a constant, or a tuple of them."""
    if isinstance(a, Value) and a.is_const:
        return True, a.const
    if isinstance(a, TupleOf):
        items = [constant_of(x) for x in a.items]
        if all(ok for ok, _ in items):
            return True, tuple(v for _, v in items)
    return False, None


def is_none(a: Abstract) -> bool:
    return isinstance(a, Value) and (a.type.kind == "none" or (a.is_const and a.const is None))


def same_abstract(a: Abstract, b: Abstract) -> bool:
    """Whether two abstract values are one and the same value at run time."""
    if a is b:
        return True
    if isinstance(a, Value) and isinstance(b, Value):
        return a.is_const and b.is_const and a.type == b.type and same(a.const, b.const)
    if isinstance(a, Known) and isinstance(b, Known):
        return a.obj is b.obj and a.value is b.value
    if isinstance(a, TupleOf) and isinstance(b, TupleOf):
        return len(a.items) == len(b.items) and all(map(same_abstract, a.items, b.items))
    if isinstance(a, Local) and isinstance(b, Local):
        return a.node is b.node and a.frame is b.frame and not (a.defaults or any(a.kw_defaults))
    if isinstance(a, Iteration) and isinstance(b, Iteration):
        return a.kind == b.kind and len(a.parts) == len(b.parts) and all(map(same_abstract, a.parts, b.parts))
    if isinstance(a, Shape) and isinstance(b, Shape):
        return a.tensor is b.tensor
    if isinstance(a, Cell) and isinstance(b, Cell):
        return a.cell is b.cell
    if isinstance(a, Choice) and isinstance(b, Choice):
        return a.cond is b.cond and same_abstract(a.then, b.then) and same_abstract(a.other, b.other)
    return isinstance(a, Ran) and isinstance(b, Ran) and a.header is b.header


def type_for(obj: Any) -> Type:
    """The IR type of an example object, from its Python structure: no dtype, no dims, no numbers."""
    from specjit.tensor.tensor import Tensor

    if isinstance(obj, Tensor):
        return Type("tensor")
    kind = type(obj)
    if obj is None:
        return NONE
    if kind in (bool, int, float, complex, str):
        return Type(kind.__name__)
    if kind is tuple:
        return Type.tuple(*map(type_for, obj))
    if kind is list:
        found = {type_for(x) for x in obj}
        return Type.list(found.pop() if len(found) == 1 else ANY)
    if kind is dict:
        keys, values = {type_for(k) for k in obj}, {type_for(v) for v in obj.values()}
        return Type("dict", (keys.pop() if len(keys) == 1 else ANY, values.pop() if len(values) == 1 else ANY))
    if kind is set:
        return Type("set", (ANY,))
    return Type.instance(kind.__qualname__)


def widen(t: Type) -> Type:
    """The type without what is known of a number's value: right for something that will change."""
    if t.kind == "int" and t.dim is not None:
        return t.with_(dim=None)
    if t.args:
        return t.with_(args=tuple(map(widen, t.args)))
    return t


def type_of_abstract(a: Abstract) -> Type:
    if isinstance(a, Value):
        return a.type
    if isinstance(a, TupleOf):
        return Type.tuple(*map(type_of_abstract, a.items))
    if isinstance(a, Known):
        return a.value.type if a.value is not None else type_of(a.obj)
    if isinstance(a, Shape):
        return SIZE
    return ANY
