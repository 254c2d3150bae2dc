"""Constants of the IR: how they compare and how they print.

Enters: Python values that stand in a graph as constants, and the names under which opaque ones (functions, modules,
big arrays) print.
Leaves: `same` and `key` (equality by bits and by type: 1, 1.0 and True differ, nan equals nan, -0.0 is not 0.0) and
`Printer`.
Invariant: what `Printer.show` writes, `ir.parser` reads back as a value that is `same`; opaque values need a table for
that.
"""

from __future__ import annotations

import math
import types
from collections.abc import Hashable
from typing import Any

import numpy as np

from specjit.dtypes import BY_SHORT, DType, dtype_of

INLINE_ELEMENTS = 64  # a longer array constant prints as an opaque name, to keep the text readable
LITERAL_BITS = 10_000  # so does a longer int: Python refuses to print it
SIMPLE = (bool, int, str, bytes, type(None), type(...), type(NotImplemented))


class Unbound:
    """The content of a local variable that has no value yet, where control flow merges. One instance: `UNBOUND`."""

    __ir_constant__ = {"name": "UNBOUND"}

    def __repr__(self) -> str:
        return "UNBOUND"

    def __reduce__(self) -> str:
        return "UNBOUND"


UNBOUND = Unbound()


class Opaque:
    """Stands for a value that the text only names, when the text is read without a table of such values."""

    __slots__ = ("text",)

    def __init__(self, text: str) -> None:
        self.text = text

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Opaque) and self.text == other.text

    def __hash__(self) -> int:
        return hash(self.text)

    def __repr__(self) -> str:
        return self.text


def key(value: Any) -> Hashable:
    """A hashable stand-in that is equal exactly when two constants are interchangeable."""
    kind = type(value)
    if kind in SIMPLE:
        return kind, value
    if kind is float:
        return kind, "nan" if math.isnan(value) else value.hex()
    if kind is complex:
        return kind, key(value.real), key(value.imag)
    if kind is list or (isinstance(value, tuple) and not hasattr(value, "__dict__")):  # Size and named tuples too
        return kind, tuple(map(key, value))
    if kind is dict:
        return kind, tuple((key(k), key(v)) for k, v in value.items())
    if kind is slice:
        return kind, key(value.start), key(value.stop), key(value.step)
    if kind is range:
        return kind, value.start, value.stop, value.step
    if isinstance(value, np.ndarray | np.generic) and value.dtype.hasobject is False:
        return "array", str(value.dtype), value.shape, value.tobytes()
    if isinstance(value, DType | Opaque):
        return kind, value
    return kind, id(value)


def same(a: Any, b: Any) -> bool:
    return type(a) is type(b) and key(a) == key(b)


class Printer:
    """Prints constants; gives every opaque object one name per graph, `<function helper model.py:12>`, and remembers
    it."""

    def __init__(self) -> None:
        self.opaque: dict[str, Any] = {}
        self._names: dict[int, str] = {}

    def show(self, value: Any) -> str:
        kind = type(value)
        if kind in (bool, str, bytes, type(None)) or (kind is int and value.bit_length() <= LITERAL_BITS):
            return repr(value)
        if value is ...:
            return "..."
        if kind is float:
            return repr(value)
        if kind is complex:
            return f"complex({self.show(value.real)}, {self.show(value.imag)})"
        if kind is tuple:
            return f"({', '.join(map(self.show, value))}{',' if len(value) == 1 else ''})"
        if kind is list:
            return f"[{', '.join(map(self.show, value))}]"
        if kind is dict:
            return f"{{{', '.join(f'{self.show(k)}: {self.show(v)}' for k, v in value.items())}}}"
        if kind is slice:
            return f"slice({', '.join(map(self.show, (value.start, value.stop, value.step)))})"
        if kind is range:
            return repr(value)
        if isinstance(value, DType):
            return value.short
        if isinstance(value, np.ndarray | np.generic) and value.size <= INLINE_ELEMENTS and _plain(value):
            return f"array({self.show(value.tolist())}, {self.show(dtype_of(value.dtype))}{_shape_note(value)})"
        return self.name_opaque(value)

    def name_opaque(self, value: Any) -> str:
        if isinstance(value, Opaque):
            self.opaque.setdefault(value.text, value)
            return value.text
        known = self._names.get(id(value))
        if known is not None:
            return known
        base = describe(value)
        text, n = f"<{base}>", 1
        while text in self.opaque:
            n += 1
            text = f"<{base} #{n}>"
        self.opaque[text] = value
        self._names[id(value)] = text
        return text


def _plain(value: Any) -> bool:
    return any(value.dtype == d.numpy for d in BY_SHORT.values())


def _shape_note(value: Any) -> str:
    """Nested lists say the shape of an array, except of one without elements."""
    return "" if value.size else f", {tuple(value.shape)!r}"


def describe(value: Any) -> str:
    """A short, deterministic name of an opaque object (never its address)."""
    code = getattr(value, "__code__", None)
    if isinstance(code, types.CodeType):
        return (
            f"function {_clean(value.__qualname__)} {_clean(code.co_filename.rsplit('/', 1)[-1])}:{code.co_firstlineno}"
        )
    if isinstance(value, type):
        return f"class {value.__module__}.{_clean(value.__qualname__)}"
    if isinstance(value, types.BuiltinFunctionType | types.ModuleType):
        kind = "module" if isinstance(value, types.ModuleType) else "builtin"
        return f"{kind} {_clean(value.__name__)}"
    if isinstance(value, np.ndarray):
        return f"array {value.dtype} {'x'.join(map(str, value.shape))}"
    name = getattr(value, "__name__", "") or getattr(value, "name", "")
    return f"object {_clean(type(value).__qualname__)}{f' {_clean(name)}' if isinstance(name, str) and name else ''}"


def _clean(name: str) -> str:
    return name.replace("<", "").replace(">", "").replace("\n", " ")
