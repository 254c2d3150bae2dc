"""Element types and devices.

Enters: names and NumPy dtypes. Leaves: `DType` singletons, compared by identity.
Invariant: one `DType` per NumPy dtype; `short` is the spelling of IR text and of kernels.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class DType:
    """An element type. `category` orders promotion: bool < int < float."""

    name: str
    short: str
    numpy: np.dtype
    category: int

    @property
    def is_floating_point(self) -> bool:
        return self.category == 2

    @property
    def is_signed(self) -> bool:
        return self.numpy.kind in "if"

    @property
    def itemsize(self) -> int:
        return self.numpy.itemsize

    def __repr__(self) -> str:
        return f"specjit.{self.name}"

    def __reduce__(self) -> str:
        return "bool_" if self.name == "bool" else self.name


def _make(name: str, short: str, category: int) -> DType:
    return DType(name, short, np.dtype(name), category)


bool_ = _make("bool", "bool", 0)
uint8 = _make("uint8", "u8", 1)
int8 = _make("int8", "i8", 1)
int16 = _make("int16", "i16", 1)
int32 = _make("int32", "i32", 1)
int64 = _make("int64", "i64", 1)
float16 = _make("float16", "f16", 2)
float32 = _make("float32", "f32", 2)
float64 = _make("float64", "f64", 2)

ALL = (bool_, uint8, int8, int16, int32, int64, float16, float32, float64)
BY_SHORT = {d.short: d for d in ALL}
_BY_NUMPY = {d.numpy: d for d in ALL}


TITLES = {
    "bool": "Bool",
    "uint8": "Byte",
    "int8": "Char",
    "int16": "Short",
    "int32": "Int",
    "int64": "Long",
    "float16": "Half",
    "float32": "Float",
    "float64": "Double",
}
"""How PyTorch's messages name element types, by `DType.name`."""


def dtype_of(numpy_dtype: np.dtype) -> DType:
    """The `DType` of a NumPy dtype in native byte order; TypeError for one that tensors cannot hold."""
    try:
        return _BY_NUMPY[numpy_dtype]
    except KeyError:
        known = ", ".join(d.name for d in ALL)
        raise TypeError(f"a tensor cannot hold elements of NumPy dtype {numpy_dtype}; supported: {known}") from None


default = float32


def get_default_dtype() -> DType:
    """The dtype of tensors made from Python floats."""
    return default


def set_default_dtype(d: DType) -> None:
    """Change the dtype of tensors made from Python floats; float16, float32 or float64."""
    global default
    if not isinstance(d, DType) or not d.is_floating_point:
        raise TypeError(f"only floating-point types are supported as the default type, got {d!r}")
    default = d
