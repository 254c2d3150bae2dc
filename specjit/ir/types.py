"""The types of values: one immutable class, `Type`.

Enters: a kind and, for tensors, dtype, dims, device and requires_grad, each of which may be unknown (None).
Leaves: hashable types that print as `f32[T,B,128]`, `int`, `list[Tensor]`, `class<LSTM>` and parse back (`ir.text`).
Invariant: unknown is always legal; knowing more never contradicts what was known.
"""

from __future__ import annotations

import builtins
from dataclasses import dataclass, replace

import numpy as np

from specjit.dtypes import DType, dtype_of
from specjit.ir.dims import Dim, show

SCALAR_KINDS = ("int", "float", "bool", "complex", "str")
KINDS = ("tensor", *SCALAR_KINDS, "none", "list", "tuple", "dict", "set", "optional", "class", "function", "any")


@dataclass(frozen=True, slots=True)
class Type:
    """The type of a value.

    args: element types (list, set: 1; tuple: each; dict: key, value; optional: 1). name: the class of a `class` type.
    dim: what is known of an `int` value (a size expression), for shape arithmetic.
    dtype, dims, device, requires_grad: tensors only; None means unknown.
    """

    kind: str
    args: tuple[Type, ...] = ()
    name: str = ""
    dim: Dim = None
    dtype: DType | None = None
    dims: tuple[Dim, ...] | None = None
    device: str | None = None
    requires_grad: bool | None = None

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"unknown type kind {self.kind!r}; expected one of {KINDS}")

    @staticmethod
    def tensor(
        dtype: DType | None = None,
        dims: tuple[Dim, ...] | list[Dim] | None = None,
        device: str | None = None,
        requires_grad: bool | None = None,
    ) -> Type:
        return Type(
            "tensor",
            dtype=dtype,
            dims=None if dims is None else tuple(dims),
            device=device,
            requires_grad=requires_grad,
        )

    @staticmethod
    def int(dim: Dim = None) -> Type:
        return Type("int", dim=dim)

    @staticmethod
    def list(element: Type) -> Type:
        return Type("list", (element,))

    @staticmethod
    def tuple(*elements: Type) -> Type:
        return Type("tuple", elements)

    @staticmethod
    def optional(element: Type) -> Type:
        return element if element.kind in ("optional", "none", "any") else Type("optional", (element,))

    @staticmethod
    def instance(name: str) -> Type:
        return Type("class", name=name)

    @property
    def is_tensor(self) -> bool:
        return self.kind == "tensor"

    @property
    def rank(self) -> builtins.int | None:
        return None if self.dims is None else len(self.dims)

    def with_(self, **changes: object) -> Type:
        return replace(self, **changes)  # type: ignore[arg-type]

    def __str__(self) -> str:
        if self.kind == "tensor":
            return _show_tensor(self)
        if self.kind == "int" and self.dim is not None:
            return f"int<{show(self.dim)}>"
        if self.kind == "class":
            return f"class<{self.name}>"
        if self.kind == "none":
            return "None"
        if self.args or self.kind in ("tuple",):
            return f"{self.kind}[{', '.join(map(str, self.args))}]"
        return self.kind


def _show_tensor(t: Type) -> str:
    if t.dtype is None and t.dims is None:
        text = "Tensor"
    else:
        dims = "..." if t.dims is None else ",".join(map(show, t.dims))
        text = f"{t.dtype.short if t.dtype else '?'}[{dims}]"
    if t.device not in (None, "cpu"):
        text += f"@{t.device}"
    return text + ("!" if t.requires_grad else "")


ANY = Type("any")
NONE = Type("none")
BOOL = Type("bool")
INT = Type("int")
FLOAT = Type("float")
STR = Type("str")
TENSOR = Type("tensor")


def type_of(value: object) -> Type:
    """The type of a Python constant. Containers with unlike elements have element type `any`."""
    if value is None:
        return NONE
    if isinstance(value, bool):
        return BOOL
    if isinstance(value, int):
        return Type.int(value if value.bit_length() < 64 else None)  # no size is larger
    if isinstance(value, float):
        return FLOAT
    if isinstance(value, complex):
        return Type("complex")
    if isinstance(value, str):
        return STR
    if isinstance(value, tuple):
        return Type.tuple(*map(type_of, value))
    if isinstance(value, list):
        return Type.list(join_all([type_of(v) for v in value]))
    if isinstance(value, np.ndarray) and value.dtype.kind in "biuf":
        return Type.tensor(dtype_of(value.dtype), value.shape)
    return ANY


def join_all(types: list[Type]) -> Type:
    out = types[0] if types else ANY
    for t in types[1:]:
        out = join(out, t)
    return out


def join(a: Type, b: Type) -> Type:
    """The most precise type that covers both: what is known in both and agrees stays known."""
    if a == b:
        return a
    if a.kind == "tensor" and b.kind == "tensor":
        dims: tuple[Dim, ...] | None = None
        if a.dims is not None and b.dims is not None and len(a.dims) == len(b.dims):
            dims = tuple(x if x == y else None for x, y in zip(a.dims, b.dims, strict=True))
        return Type.tensor(
            a.dtype if a.dtype == b.dtype else None,
            dims,
            a.device if a.device == b.device else None,
            a.requires_grad if a.requires_grad == b.requires_grad else None,
        )
    if a.kind == "int" and b.kind == "int":
        return INT
    if a.kind == b.kind and len(a.args) == len(b.args) and a.name == b.name and a.args:
        return Type(a.kind, tuple(join(x, y) for x, y in zip(a.args, b.args, strict=True)), a.name)
    if a.kind == "none":
        return Type.optional(b)
    if b.kind == "none":
        return Type.optional(a)
    if a.kind == "optional" or b.kind == "optional":
        x, y = (t.args[0] if t.kind == "optional" else t for t in (a, b))
        return Type.optional(join(x, y))
    return ANY
