"""The guards of one variant's inputs, and what of each input goes into the frame: readable records, and their encoding
for the entry.

Enters: one builder call per guarded object. Leaves: `records` (what `plain` interprets), `encode(layout)` (what
the native entry reads) and `describe()`.
Invariant: a record says the same in both forms. Sizes and strides count elements; only the encoding knows bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Literal

import numpy as np
from numpy.typing import DTypeLike

from specjit.codegen.entry.layout import Layout, slot_offset
from specjit.codegen.machine.instructions import Words, float_bits

ALIGNED, WRITEABLE = 0x100, 0x400  # NumPy's public flag bits


class Kind(IntEnum):
    SKIP = 0
    INT = 1
    FLOAT = 2
    BOOL = 3
    IS = 4
    ARRAY = 5
    TENSOR = 6


class DimMode(IntEnum):
    """The first two ask for equality, the others for at least `value`."""

    CONST = 0
    EQUAL = 1
    AT_LEAST = 2
    STORE = 3


class StrideMode(IntEnum):
    IGNORE = 0
    CONST = 1
    CONTIGUOUS = 2
    STORE = 3


@dataclass(frozen=True)
class Dim:
    """One size: equal to `value`, equal to what `slot` holds, or at least `value` (and then maybe stored in `slot`)."""

    mode: DimMode
    value: int = 0
    slot: int = -1

    def __str__(self) -> str:
        texts = {
            DimMode.CONST: f"{self.value}",
            DimMode.EQUAL: f"=[{self.slot}]",
            DimMode.AT_LEAST: f">={self.value}",
            DimMode.STORE: f"->[{self.slot}]" + (f">={self.value}" if self.value else ""),
        }
        return texts[self.mode]


@dataclass(frozen=True)
class Stride:
    """One stride, in elements: ignored, equal to `value`, what C order gives for the actual sizes, or stored in `slot`.

    The stride of a dimension of size 0 or 1, and any stride of an empty array, addresses nothing: it passes, and 0 is
    stored.
    """

    mode: StrideMode
    value: int = 0
    slot: int = -1

    def __str__(self) -> str:
        texts = {
            StrideMode.IGNORE: "any",
            StrideMode.CONST: f"{self.value}",
            StrideMode.CONTIGUOUS: "c",
            StrideMode.STORE: f"->[{self.slot}]",
        }
        return texts[self.mode]


def store(slot: int, at_least: int = 0) -> Dim:
    """A size that is at least `at_least` and goes to the frame."""
    return Dim(DimMode.STORE, at_least, slot)


def equal(slot: int) -> Dim:
    """A size that an earlier dimension put into the frame."""
    return Dim(DimMode.EQUAL, slot=slot)


def at_least(size: int) -> Dim:
    """A size that only has a lower bound."""
    return Dim(DimMode.AT_LEAST, size)


def store_stride(slot: int) -> Stride:
    """A stride that goes to the frame, in elements."""
    return Stride(StrideMode.STORE, slot=slot)


IGNORE = Stride(StrideMode.IGNORE)
CONTIGUOUS = Stride(StrideMode.CONTIGUOUS)

Strides = Literal["contiguous", "any"] | Sequence[int | Stride]


@dataclass(frozen=True)
class ArrayGuard:
    """An exact ndarray: native-order dtype, rank, sizes, strides, flags; its data address goes to `data`."""

    dtype: np.dtype[np.generic]
    dims: tuple[Dim, ...]
    strides: tuple[Stride, ...]
    data: int | None
    aligned: bool
    writeable: bool
    alignment: int

    def __str__(self) -> str:
        shape = ",".join(map(str, self.dims))
        strides = ",".join(map(str, self.strides))
        flags = " writeable" if self.writeable else ""
        address = "" if self.data is None else f" data->[{self.data}]"
        return f"{self.dtype.name}[{shape}] strides({strides}){flags}{address}"


@dataclass(frozen=True)
class TensorGuard:
    """An object of exactly `type` whose slot `array_slot` holds the array, and whose other slots hold the very objects
    of `same`.
    """

    type: type
    array_slot: str
    same: tuple[tuple[str, object], ...]
    array: ArrayGuard

    def __str__(self) -> str:
        same = "".join(f" {name} is {value!r}" for name, value in self.same)
        return f"{self.type.__name__}.{self.array_slot} {self.array}{same}"


@dataclass(frozen=True)
class ScalarGuard:
    """An exact int that fits 64 bits, an exact float, or a bool: equal to `value` (a float: in every bit), or stored in
    `slot`.
    """

    kind: Kind
    value: int | float | None
    slot: int = -1

    def __str__(self) -> str:
        return f"{self.kind.name.lower()} " + (f"->[{self.slot}]" if self.value is None else repr(self.value))


@dataclass(frozen=True)
class IsGuard:
    """The very object `value`."""

    value: object

    def __str__(self) -> str:
        return f"is {self.value!r}"


Record = ArrayGuard | TensorGuard | ScalarGuard | IsGuard | None


class GuardTable:
    """Guards on `count` objects, in their order; an object without a guard is skipped. It keeps every object that it
    compares with.
    """

    def __init__(self, count: int) -> None:
        self.records: list[Record] = [None] * count

    def tensor(
        self,
        i: int,
        type: type,
        array_slot: str,
        dtype: DTypeLike,
        dims: Sequence[int | Dim],
        *,
        same: Sequence[tuple[str, object]] = (),
        strides: Strides = "contiguous",
        data: int | None = None,
        aligned: bool = True,
        writeable: bool = False,
        alignment: int = 1,
    ) -> None:
        """Object `i` is exactly a `type` (a class with `__slots__`) whose `array_slot` holds an array as in `array`.

        same     (slot name, object) pairs compared by identity, as `("requires_grad", False)`
        """
        array = _array_guard(dtype, dims, strides, data, aligned, writeable, alignment)
        self.records[i] = TensorGuard(type, array_slot, tuple(same), array)

    def array(
        self,
        i: int,
        dtype: DTypeLike,
        dims: Sequence[int | Dim],
        *,
        strides: Strides = "contiguous",
        data: int | None = None,
        aligned: bool = True,
        writeable: bool = False,
        alignment: int = 1,
    ) -> None:
        """Object `i` is exactly an ndarray.

        dims     an int (that size), `store(slot)`, `equal(slot)`, `at_least(n)`
        strides  "contiguous" (C order), "any", or per dimension an int (elements), IGNORE, CONTIGUOUS,
        `store_stride(slot)` data     the frame slot that gets the data address
        """
        self.records[i] = _array_guard(dtype, dims, strides, data, aligned, writeable, alignment)

    def integer(self, i: int, value: int | None = None, *, slot: int = -1) -> None:
        """Object `i` is an int (no bool): `value`, or any that fits 64 bits, which goes to `slot`."""
        self.records[i] = ScalarGuard(Kind.INT, value, slot)

    def real(self, i: int, value: float | None = None, *, slot: int = -1) -> None:
        """Object `i` is a float: with the bits of `value`, or any, whose bits go to `slot`."""
        self.records[i] = ScalarGuard(Kind.FLOAT, value, slot)

    def boolean(self, i: int, *, slot: int) -> None:
        """Object `i` is True or False; 1 or 0 goes to `slot`. (For one fixed bool: `same`.)"""
        self.records[i] = ScalarGuard(Kind.BOOL, None, slot)

    def same(self, i: int, value: object) -> None:
        """Object `i` is `value` itself."""
        self.records[i] = IsGuard(value)

    def describe(self) -> str:
        """One line per object."""
        return "\n".join(f"{i}: {'skipped' if record is None else record}" for i, record in enumerate(self.records))

    def encode(self, layout: Layout) -> Words:
        """The table that the native entry reads: the number of records, then each record as (kind, length in words,
        fields).
        """
        words = [len(self.records)]
        for record in self.records:
            fields = _encode(record, layout)
            words += [fields[0], 1 + len(fields), *fields[1:]]
        return np.array(words, np.int64)


def _array_guard(
    dtype: DTypeLike,
    dims: Sequence[int | Dim],
    strides: Strides,
    data: int | None,
    aligned: bool,
    writeable: bool,
    alignment: int,
) -> ArrayGuard:
    dtype = np.dtype(dtype)
    if dtype.byteorder not in "=|" or dtype.kind not in "biufc" or dtype.itemsize & (dtype.itemsize - 1):
        raise ValueError(f"no guard for arrays of {dtype!r}")
    if alignment & (alignment - 1):
        raise ValueError(f"an alignment is a power of two, not {alignment}")
    if isinstance(strides, str):
        every = CONTIGUOUS if strides == "contiguous" else IGNORE
        strides = [every] * len(dims)
    if len(strides) != len(dims):
        raise ValueError(f"{len(dims)} sizes and {len(strides)} strides")
    return ArrayGuard(
        dtype,
        tuple(d if isinstance(d, Dim) else Dim(DimMode.CONST, d) for d in dims),
        tuple(s if isinstance(s, Stride) else Stride(StrideMode.CONST, s) for s in strides),
        data,
        aligned,
        writeable,
        alignment,
    )


def _encode(record: Record, layout: Layout) -> list[int]:
    """A record's kind and fields; the layout of fields is what `native` reads."""
    if record is None:
        return [Kind.SKIP]
    if isinstance(record, IsGuard):
        return [Kind.IS, id(record.value)]
    if isinstance(record, ScalarGuard):
        if record.value is None:
            return [record.kind, 0, record.slot]
        return [record.kind, 1, float_bits(float(record.value)) if record.kind is Kind.FLOAT else int(record.value)]
    if isinstance(record, ArrayGuard):
        return [Kind.ARRAY, *_encode_array(record)]
    words = [Kind.TENSOR, id(record.type), slot_offset(record.type, record.array_slot, layout), len(record.same)]
    for name, value in record.same:
        words += [slot_offset(record.type, name, layout), id(value)]
    return words + _encode_array(record.array)


def _encode_array(guard: ArrayGuard) -> list[int]:
    size = guard.dtype.itemsize
    flags = ALIGNED * guard.aligned | WRITEABLE * guard.writeable
    data = -1 if guard.data is None else guard.data
    words = [guard.dtype.num, ord(guard.dtype.byteorder), len(guard.dims), flags, guard.alignment - 1, data, size]
    for dim, stride in zip(guard.dims, guard.strides):
        argument = stride.slot if stride.mode is StrideMode.STORE else stride.value * size
        words += [dim.mode, dim.value, dim.slot, stride.mode, argument]
    return words
