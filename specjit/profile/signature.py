"""One call's signature: the Python structure of the arguments and the facts of every leaf.

Enters: bound arguments (name -> object). Leaves: `Signature(structure, leaves)`; equal structures take the same road
through the specializer and the same unpacking code in a variant's entry.
Invariant: containers, a tensor's shape among them, are matched by exact type (`type(x) is tuple`); what is not
a tensor, number or plain container is part of the structure itself, by value for constants and by identity for objects.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from specjit.dtypes import DType, dtype_of
from specjit.limits import MAX_CONSTANT
from specjit.tensor import Tensor
from specjit.tensor.tensor import Size

CONSTANT_TYPES = (bool, str, bytes, complex, type(None), DType, slice, type(Ellipsis))


@dataclass(frozen=True, slots=True)
class TensorFact:
    """What one tensor looked like: `strides` are in elements; `cls` is its exact Python class."""

    cls: type
    dtype: DType | None
    dims: tuple[int, ...]
    strides: tuple[int, ...]
    device: str
    requires_grad: bool

    @property
    def contiguous(self) -> bool:
        return self.strides == contiguous_strides(self.dims) or 0 in self.dims


@dataclass(frozen=True, slots=True)
class NumberFact:
    """A Python int or float argument (`bool` is part of the structure)."""

    cls: type
    value: float


Fact = TensorFact | NumberFact


@dataclass(frozen=True, slots=True)
class Structure:
    """A node of the argument tree. kind: tensor, int, float, const, object, tuple, list, Size, dict.

    `payload`: the value of a const, a weak `ById` of an object, or the keys of a dict."""

    kind: str
    children: tuple[Structure, ...] = ()
    payload: Any = None

    def leaves(self) -> int:
        if self.kind in ("tensor", "int", "float"):
            return 1
        return sum(c.leaves() for c in self.children)

    @property
    def gone(self) -> bool:
        """Whether an object in it is there no more, so that no call can have this structure again."""
        return self.payload.gone if self.kind == "object" else any(c.gone for c in self.children)


class ById:
    """An object that is compared by identity and not kept alive.

    `value` is None once it is gone, and for objects that Python cannot refer to weakly: these may be taken for another
    one that has come to the same address, so nothing is specialized to them."""

    __slots__ = ("_hash", "_ref", "kind")

    def __init__(self, value: Any) -> None:
        self._hash, self.kind = id(value), type(value).__name__
        try:
            self._ref: Any = weakref.ref(value)
        except TypeError:
            self._ref = None

    @property
    def value(self) -> Any:
        return None if self._ref is None else self._ref()

    @property
    def gone(self) -> bool:
        return self._ref is not None and self._ref() is None

    def __eq__(self, other: object) -> bool:
        if self is other or not isinstance(other, ById) or self._hash != other._hash:
            return self is other
        return self.value is other.value and not self.gone and self.kind == other.kind

    def __hash__(self) -> int:
        return self._hash


@dataclass(frozen=True, slots=True)
class Signature:
    """Structure per parameter, the facts of all leaves in order, and whether gradients were being recorded."""

    names: tuple[str, ...]
    structures: tuple[Structure, ...]
    facts: tuple[Fact, ...]
    grad_mode: bool

    def key(self) -> tuple[Any, ...]:
        """What must be equal for two calls to be described by one profile."""
        kinds = tuple(
            (f.cls, f.dtype, len(f.dims), f.device, f.requires_grad) if isinstance(f, TensorFact) else (f.cls,)
            for f in self.facts
        )
        return self.structures, kinds, self.grad_mode


def contiguous_strides(dims: tuple[int, ...]) -> tuple[int, ...]:
    out: list[int] = []
    step = 1
    for d in reversed(dims):
        out.append(step)
        step *= d
    return tuple(reversed(out))


def normal_strides(dims: tuple[int, ...], strides: tuple[int, ...]) -> tuple[int, ...]:
    """Strides with those that no element depends on (sizes 0 and 1) replaced by what C order would have."""
    c_order = contiguous_strides(dims)
    if 0 in dims:
        return c_order
    return tuple(c if d == 1 else s for d, s, c in zip(dims, strides, c_order, strict=True))


def tensor_fact(x: Tensor) -> TensorFact:
    data: np.ndarray | None = x._data
    if data is None:
        shape = tuple(x.shape)
        return TensorFact(type(x), x.dtype, shape, contiguous_strides(shape), "meta", x.requires_grad)
    strides = tuple(s // data.itemsize for s in data.strides)
    return TensorFact(
        type(x), dtype_of(data.dtype), data.shape, normal_strides(data.shape, strides), "cpu", x.requires_grad
    )


def describe(value: Any, facts: list[Fact]) -> Structure:
    """The structure of one argument; facts of its leaves are appended in depth-first order."""
    cls = type(value)
    if issubclass(cls, Tensor):
        facts.append(tensor_fact(value))
        return Structure("tensor")
    if cls is int or cls is float:
        facts.append(NumberFact(cls, value))
        return Structure(cls.__name__)
    if cls is tuple or cls is list or cls is Size:
        return Structure(cls.__name__, tuple(describe(v, facts) for v in value))
    if cls is dict and all(type(k) in (str, int, bool) for k in value):
        return Structure("dict", tuple(describe(v, facts) for v in value.values()), tuple(value))
    if cls in CONSTANT_TYPES and cls is not slice and not (cls in (str, bytes) and len(value) > MAX_CONSTANT):
        return Structure("const", (), value)
    return Structure("object", (), ById(value))


def glance(values: Iterable[Any]) -> tuple[Any, ...] | None:
    """A key that is cheap to make: arguments with equal keys have equal signatures, under one grad mode. None for
    arguments that only `observe` can describe."""
    key: list[Any] = []
    for value in values:
        cls = type(value)
        if issubclass(cls, Tensor):
            data = value._data
            if data is None:
                return None
            key.append((cls, data.dtype, data.shape, data.strides, value._requires_grad))
        elif cls is tuple or cls is list:
            inner = glance(value)
            if inner is None:
                return None
            key.append((cls, inner))
        elif cls in (int, float, bool, type(None)) or (cls is str and len(value) <= MAX_CONSTANT):
            key.append((cls, value))
        else:
            return None
    return tuple(key)


def observe(arguments: Mapping[str, Any], grad_mode: bool) -> Signature:
    """The signature of a call with these bound arguments."""
    facts: list[Fact] = []
    structures = tuple(describe(v, facts) for v in arguments.values())
    return Signature(tuple(arguments), structures, tuple(facts), grad_mode)


def sources(signature: Signature) -> list[str]:
    """A Python expression over the parameters for every leaf, in the order of `facts`."""

    def walk(s: Structure, at: str) -> Iterator[str]:
        if s.kind in ("tensor", "int", "float"):
            yield at
        for i, child in enumerate(s.children):
            yield from walk(child, f"{at}[{s.payload[i]!r}]" if s.kind == "dict" else f"{at}[{i}]")

    return [src for name, s in zip(signature.names, signature.structures, strict=True) for src in walk(s, name)]


def leaves(signature: Signature, arguments: Mapping[str, Any]) -> list[Any]:
    """The leaves of arguments that have this signature, in the order of `facts`."""

    def walk(s: Structure, value: Any) -> Iterator[Any]:
        if s.kind in ("tensor", "int", "float"):
            yield value
        for child, item in zip(s.children, value.values() if s.kind == "dict" else value) if s.children else ():
            yield from walk(child, item)

    return [leaf for s, v in zip(signature.structures, arguments.values(), strict=True) for leaf in walk(s, v)]
