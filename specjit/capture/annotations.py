"""Annotations: what a program says its types are, in every spelling that Python has for it.

Enters: annotation objects, strings and type comments. Leaves: `Hint`: it prints as Python and as a schema, answers
whether a value is of the type, and gives examples to capture with.
Invariant: two spellings of one type (`list[int]`, `List[int]`, `"List[int]"`, `# type: (List[int])`) give equal hints.
"""

from __future__ import annotations

import ast
import collections.abc
import dataclasses
import enum
import inspect
import linecache
import re
import textwrap
import types
import typing
from collections.abc import Iterator
from typing import Any

import numpy as np

from specjit.capture.errors import CaptureError
from specjit.capture.source import FunctionSource, parameter_nodes
from specjit.dtypes import DType
from specjit.ir.graph import Location
from specjit.parsing import parse
from specjit.tensor.devices import device
from specjit.tensor.tensor import Tensor, wrap

INTERFACE = "__specjit_interface__"
SCALARS: dict[type, str] = {int: "int", float: "float", bool: "bool", complex: "complex", str: "str"}
CONTAINERS: dict[Any, str] = {
    list: "List",
    dict: "Dict",
    set: "Set",
    collections.abc.Sequence: "Sequence",
    collections.abc.Mapping: "Mapping",
}
_ABSTRACT = {"Sequence": collections.abc.Sequence, "Mapping": collections.abc.Mapping}
_ACCEPTED: dict[str, tuple[type, ...]] = {
    "int": (int,),
    "float": (float, int),
    "bool": (bool,),
    "complex": (complex, float, int),
    "str": (str,),
    "Tensor": (Tensor,),
    "Device": (device, str),
    "dtype": (DType,),
    "List": (list, tuple),
    "Dict": (dict,),
    "Set": (set, frozenset),
    "Tuple": (tuple,),
    **{name: (cls,) for name, cls in _ABSTRACT.items()},
}


@dataclasses.dataclass(frozen=True)
class Hint:
    """A type that a program names. kind: "Tensor", "int", ..., "List", "Dict", "Set", "Tuple", "Optional", "Union",
    "Any", "NoneType", "Device", "dtype", "function", "class" (of `cls`, which may be an Enum, a NamedTuple, a dataclass
    or an interface). args: the types of the items; None for a Tuple or container whose items are not said."""

    kind: str
    args: tuple[Hint, ...] | None = ()
    cls: Any = None

    def __str__(self) -> str:
        """As Python says it: `List[int]`, `Optional[Tensor]`."""
        if self.cls is not None:
            return str(self.cls.__qualname__)
        if self.args is None or (not self.args and self.kind != "Tuple"):
            return self.kind
        return f"{self.kind}[{', '.join(map(str, self.args)) or '()'}]"

    @property
    def schema(self) -> str:
        """As a schema says it: `int[]`, `Tensor?`, `(int, float)`, `Dict(str, Tensor)`."""
        if isinstance(self.cls, type) and issubclass(self.cls, enum.Enum):
            return f"Enum<{self}>"
        if self.cls is not None:
            return str(self)
        if not self.args:
            return "()" if self.kind == "Tuple" and self.args == () else str(self)
        inner = [a.schema for a in self.args]
        if self.kind == "List":
            return f"{inner[0]}[]"
        if self.kind == "Optional":
            return f"{inner[0]}?"
        if self.kind == "Tuple":
            return f"({', '.join(inner)})"
        return f"{self.kind}({', '.join(inner)})"

    def mismatch(self, value: Any) -> str | None:
        """None if `value` is of this type, else what is wrong, in a few words."""
        kind, args = self.kind, self.args
        if kind == "Any":
            return None
        if kind == "NoneType":
            return None if value is None else f"Unable to cast {value!r} to None"
        if kind == "Optional":
            assert args
            return None if value is None else args[0].mismatch(value)
        if kind == "Union":
            assert args
            known = any(a.mismatch(value) is None for a in args)
            return None if known else f"Expected a member of {self} but instead found type {type(value).__name__}"
        if kind == "function":
            return None if callable(value) else f"{value!r} cannot be called"
        if kind == "class":
            return self._class_mismatch(value)
        if not isinstance(value, _ACCEPTED[kind]) or (kind not in ("bool", "int") and isinstance(value, bool)):
            return f"Unable to cast {value!r} to {kind}"
        return self._items_mismatch(value) if args or (kind == "Tuple" and args is not None) else None

    def takes(self, cls: type) -> bool:
        """Whether instances of a class may be of this type, as far as the class says."""
        if self.kind == "function":
            return any("__call__" in vars(base) for base in cls.__mro__)
        if self.kind == "class":
            return bool(getattr(self.cls, INTERFACE, False)) or issubclass(cls, self.cls)
        return issubclass(cls, _ACCEPTED[self.kind])

    def holds(self, value: Any) -> bool:
        """Whether `value` is of this very type: an int is no float, a bool no int, a tuple no list."""
        exact = {**{name: cls for cls, name in SCALARS.items()}, "List": list, "Set": set}.get(self.kind)
        if exact is not None and type(value) is not exact:
            return False
        if self.kind in ("Optional", "Union"):
            return (value is None and self.kind == "Optional") or any(a.holds(value) for a in self.args or ())
        if self.kind == "Tuple" and isinstance(value, tuple) and self.args is not None:
            return len(value) == len(self.args) and all(a.holds(x) for a, x in zip(self.args, value))
        if self.kind in ("Dict", "Mapping") and isinstance(value, dict):
            return all(a.holds(x) for item in value.items() for a, x in zip(self.args or (), item))
        if self.kind in ("List", "Set"):
            return all(a.holds(x) for x in value for a in self.args or ())
        if self.kind == "class" and not getattr(self.cls, INTERFACE, False):
            return isinstance(value, self.cls)
        return self.mismatch(value) is None

    def _class_mismatch(self, value: Any) -> str | None:
        if getattr(self.cls, INTERFACE, False):
            missing = [name for name in interface_methods(self.cls) if not callable(getattr(value, name, None))]
            return f"{type(value).__name__} has no method {missing[0]!r} of the interface {self}" if missing else None
        named = self.args and isinstance(value, tuple) and len(value) == len(self.args)
        if named and type(value) is tuple:  # a plain tuple in place of a NamedTuple
            return self._items_mismatch(value)
        return None if isinstance(value, self.cls) else f"Unable to cast {value!r} to {self}"

    def _items_mismatch(self, value: Any) -> str | None:
        args = self.args or ()
        if self.kind in ("Tuple", "class"):
            if len(value) != len(args):
                return f"Object {value!r} had a different number of elements than type {self}"
            pairs: Any = zip(args, value)
        elif self.kind in ("Dict", "Mapping"):
            pairs = ((a, x) for item in value.items() for a, x in zip(args, item))
        else:
            pairs = ((a, x) for x in value for a in args)
        return next((m for a, x in pairs if (m := a.mismatch(x)) is not None), None)

    def examples(self) -> list[Any]:
        """A value of every Python structure that the type allows, the most usual first; none where only the program
        can make one."""
        kind, args = self.kind, self.args
        if kind in ("Any", "function", "Sequence", "Mapping") or args is None:
            return []
        if kind == "Tensor":
            return [wrap(np.zeros((), np.float32))]
        if kind in SCALARS.values():
            return [next(t for t, name in SCALARS.items() if name == kind)()]
        if kind == "NoneType":
            return [None]
        if kind == "Device":
            return [device("cpu")]
        if kind == "Optional":
            found = args[0].examples()
            return [*found, None] if found else []
        if kind == "Union":
            each = [a.examples() for a in args]
            return [x for found in each for x in found] if all(each) else []
        first = [found[0] for a in args if (found := a.examples())]
        if len(first) < len(args) or kind == "dtype":
            return []
        if kind == "List":
            return [first]
        if kind == "Tuple":
            return [tuple(first)]
        if kind == "Dict":
            return [dict([first])] if first[0] == "" or isinstance(first[0], int) else []
        if kind == "Set":
            return [set(first)] if isinstance(first[0], str | int | float) else []
        return self._instances(first)

    def _instances(self, fields: list[Any]) -> list[Any]:
        """An example of a class whose instances are data: no code of the user runs to make it."""
        if issubclass(self.cls, enum.Enum):
            return list(self.cls)[:1]
        return [tuple.__new__(self.cls, fields)] if issubclass(self.cls, tuple) and self.args else []


TENSOR = Hint("Tensor")
ANY = Hint("Any")
NONE = Hint("NoneType")


def interface_methods(cls: type) -> list[str]:
    """The names of the methods that an interface asks for."""
    return [name for name, member in vars(cls).items() if isinstance(member, types.FunctionType) and name[:1] != "_"]


def hint_of(annotation: Any) -> Hint:
    """The hint that an evaluated annotation stands for; TypeError where it is no type."""
    if annotation is None or annotation is type(None):
        return NONE
    if isinstance(annotation, typing.TypeVar | typing.ParamSpec) or annotation is inspect.Parameter.empty:
        return ANY
    if annotation in (Any, object):
        return ANY
    origin, args = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is None:
        return _plain(annotation)
    if origin in (typing.Union, types.UnionType):
        return _union([hint_of(a) for a in args])
    if origin is typing.Annotated or origin in (typing.Final, typing.ClassVar):
        return hint_of(args[0])
    if origin is typing.Literal:
        return _union([_plain(type(a)) if a is not None else NONE for a in args])
    if origin is tuple:
        if len(args) == 2 and args[1] is Ellipsis:
            return Hint("Tuple", None)
        return Hint("Tuple", tuple(hint_of(a) for a in args))
    if origin is collections.abc.Callable:
        return Hint("function")
    if origin in CONTAINERS:
        return Hint(CONTAINERS[origin], tuple(hint_of(a) for a in args) or None)
    return _plain(origin)


def _union(members: list[Hint]) -> Hint:
    flat = [inner for m in members for inner in ((*m.args, NONE) if m.kind == "Optional" and m.args else (m,))]
    others = list(dict.fromkeys(m for m in flat if m != NONE))
    inner = others[0] if len(others) == 1 else Hint("Union", tuple(others)) if others else NONE
    return Hint("Optional", (inner,)) if NONE in flat and others else inner


def _plain(annotation: Any) -> Hint:
    """A type without parameters."""
    if annotation in SCALARS:
        return Hint(SCALARS[annotation])
    if isinstance(annotation, DType):
        raise TypeError(f"{annotation} is a dtype; a tensor of any dtype is annotated as Tensor")
    if annotation is tuple or annotation is typing.Tuple:  # noqa: UP006 (the bare old spelling is what is looked for)
        return Hint("Tuple", None)
    container = CONTAINERS.get(typing.get_origin(annotation) or annotation)
    if container is not None:
        return Hint(container, None)
    if annotation is collections.abc.Callable or isinstance(annotation, types.FunctionType):
        return Hint("function")
    if not isinstance(annotation, type):
        raise TypeError(f"{annotation!r} is no type")
    if issubclass(annotation, Tensor):
        return TENSOR
    if annotation is device:
        return Hint("Device")
    if annotation is DType:
        return Hint("dtype")
    return Hint("class", _fields(annotation), annotation)


def _fields(cls: type) -> tuple[Hint, ...]:
    """The types of a NamedTuple's items, where the class says them."""
    names = getattr(cls, "_fields", ())
    if not (issubclass(cls, tuple) and names):
        return ()
    said = typing.get_type_hints(cls)
    return tuple(hint_of(said[n]) if n in said else TENSOR for n in names)


def declared_constants(cls: type) -> frozenset[str]:
    """The attributes that a class declares as constants: in `__constants__`, or annotated `Final`."""
    found: set[str] = set()
    for base in cls.__mro__:
        found.update(vars(base).get("__constants__", ()))
        for name, annotation in vars(base).get("__annotations__", {}).items():
            origin = typing.get_origin(annotation) or annotation
            if origin is typing.Final or (isinstance(origin, str) and re.match(r"(\w+\.)*Final\b", origin)):
                found.add(name)
    return frozenset(found)


# functions


def function_hints(fn: types.FunctionType, source: FunctionSource | None) -> dict[str, Hint]:
    """The hint of every annotated parameter, and of the result under "return"; the others are missing.

    Raises CaptureError("annotation") with the place of an annotation that means nothing."""
    said = _from_comments(source) if source is not None and not fn.__annotations__ else {}
    closure = inspect.getclosurevars(fn).nonlocals if fn.__closure__ else {}
    scope = {**vars(typing), "Tensor": Tensor, **fn.__globals__, **closure} if said else fn.__globals__
    out = {}
    for name, annotation in (said or fn.__annotations__).items():
        try:
            holder = types.SimpleNamespace(__annotations__={name: annotation})
            evaluated = typing.get_type_hints(holder, scope, closure)[name]
            out[name] = hint_of(evaluated)
        except (NameError, TypeError, SyntaxError, AttributeError) as error:
            raise CaptureError(
                "annotation",
                f"the type of {name!r} is not understood: {error}",
                location=_place(fn, source, name),
                hint="name a type that exists where the function is defined",
            ) from None
    return out


def _place(fn: types.FunctionType, source: FunctionSource | None, name: str) -> Location | None:
    if source is None:
        return None
    parameter = parameter_nodes(source.node).get(name)
    node: Any = source.node if parameter is None else parameter.annotation or parameter
    if parameter is None and isinstance(source.node, ast.FunctionDef):
        node = source.node.returns or source.node
    return Location(source.file, node.lineno, node.col_offset, fn.__qualname__)


def _from_comments(source: FunctionSource) -> dict[str, str]:
    """What type comments say: `# type: (Tensor, int) -> Tensor` below the signature, or one after each parameter."""
    node = source.node
    if not isinstance(node, ast.FunctionDef):
        return {}
    last = node.end_lineno or node.lineno
    text = "".join(linecache.getline(source.file, line) for line in range(node.lineno, last + 1))
    if "# type:" not in text:
        return {}
    (again,) = parse(textwrap.dedent(text), type_comments=True).body
    assert isinstance(again, ast.FunctionDef)
    each = parameter_nodes(again)
    said = {name: arg.type_comment for name, arg in each.items() if arg.type_comment}
    if again.type_comment is None:
        return said
    signature = parse(again.type_comment, mode="func_type")
    types_ = [ast.unparse(t) for t in signature.argtypes]
    names = list(each)[len(each) - len(types_) :]  # `self` has none
    if types_ != ["..."]:
        said.update(zip(names, types_))
    return {**said, "return": ast.unparse(signature.returns)}


def alternatives(hints: dict[str, Hint]) -> Iterator[dict[str, Any]]:
    """Examples of all parameters: the usual ones, then with every other structure of one parameter in its place.
    Nothing at all where a parameter has no example."""
    examples = {name: hint.examples() for name, hint in hints.items()}
    if not all(examples.values()):
        return
    usual = {name: found[0] for name, found in examples.items()}
    yield usual
    for name, found in examples.items():
        for other in found[1:]:
            yield {**usual, name: other}
