"""The way in, in plain Python: what the native entry does, for interpreters whose layout we do not know, and as its
reference in tests.

Enters: a frame, a `GuardTable` (or `OutputTable`) and the objects. Leaves: the same result and the same frame as
`native`.
Invariant: written from the records, not from their encoding; no exception escapes a guard.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any

import numpy as np

from specjit.codegen.abi import BUDGET, PC, Status, fits_word
from specjit.codegen.entry.guard_table import (
    ArrayGuard,
    DimMode,
    GuardTable,
    IsGuard,
    Kind,
    Record,
    ScalarGuard,
    StrideMode,
    TensorGuard,
)
from specjit.codegen.entry.output_table import OutputTable
from specjit.codegen.loader import Kernel
from specjit.codegen.machine.instructions import Words, float_bits


def bind(frame: Words, table: GuardTable, *objects: object) -> int:
    """Check every object and fill the frame: 0, or i + 1 when object i is the first that fails."""
    frame[PC] = 0
    for i, record in enumerate(table.records):
        if i >= len(objects) or not _passes(record, objects[i], frame):
            return i + 1
    return 0 if len(objects) == len(table.records) else len(table.records) + 1


def _passes(record: Record, value: Any, frame: Words) -> bool:
    if record is None:
        return True
    if isinstance(record, IsGuard):
        return value is record.value
    if isinstance(record, ScalarGuard):
        return _passes_scalar(record, value, frame)
    if isinstance(record, ArrayGuard):
        return _passes_array(record, value, frame)
    return _passes_tensor(record, value, frame)


def _passes_tensor(record: TensorGuard, value: Any, frame: Words) -> bool:
    if type(value) is not record.type:
        return False
    missing = object()
    if any(getattr(value, name, missing) is not expected for name, expected in record.same):
        return False
    return _passes_array(record.array, getattr(value, record.array_slot, None), frame)


def _passes_scalar(record: ScalarGuard, value: Any, frame: Words) -> bool:
    expected_type: type = {Kind.INT: int, Kind.FLOAT: float, Kind.BOOL: bool}[record.kind]
    exact = type(value) is expected_type
    if not exact:
        return False
    word = float_bits(value) if record.kind is Kind.FLOAT else int(value)
    if not fits_word(word):
        return False
    if record.value is not None:
        return word == (float_bits(record.value) if record.kind is Kind.FLOAT else record.value)
    frame[record.slot] = word
    return True


def _passes_array(guard: ArrayGuard, array: Any, frame: Words) -> bool:
    if type(array) is not np.ndarray:
        return False
    address = array.__array_interface__["data"][0]
    if array.dtype.num != guard.dtype.num or array.dtype.byteorder != guard.dtype.byteorder:
        return False
    if array.ndim != len(guard.dims) or address % guard.alignment:
        return False
    if (guard.aligned and not array.flags.aligned) or (guard.writeable and not array.flags.writeable):
        return False
    if guard.data is not None:
        frame[guard.data] = address
    for dim, size in zip(guard.dims, array.shape):
        if dim.mode in (DimMode.CONST, DimMode.EQUAL):
            if size != (dim.value if dim.mode is DimMode.CONST else frame[dim.slot]):
                return False
        elif size < dim.value:
            return False
        elif dim.mode is DimMode.STORE:
            frame[dim.slot] = size
    return _passes_strides(guard, array, frame)


def _passes_strides(guard: ArrayGuard, array: np.ndarray, frame: Words) -> bool:
    in_c_order = guard.dtype.itemsize
    for stride, size, actual in reversed(list(zip(guard.strides, array.shape, array.strides))):
        unused = size <= 1 or array.size == 0
        if stride.mode is StrideMode.STORE:
            if not unused and actual % guard.dtype.itemsize:
                return False
            frame[stride.slot] = 0 if unused else actual // guard.dtype.itemsize
        elif stride.mode is not StrideMode.IGNORE and not unused:
            if actual != (in_c_order if stride.mode is StrideMode.CONTIGUOUS else stride.value * guard.dtype.itemsize):
                return False
        in_c_order *= size
    return True


def address(array: np.ndarray) -> int:
    """The data address of an exact ndarray, 0 for anything else."""
    return array.__array_interface__["data"][0] if type(array) is np.ndarray else 0


def make_run(machine: Kernel) -> Callable[..., int]:
    """`run(frame, code, outputs, *arrays) -> status` for the native machine at this address, called through ctypes."""
    released = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_size_t, ctypes.c_size_t)(machine.address)
    holding = ctypes.PYFUNCTYPE(ctypes.c_int64, ctypes.c_size_t, ctypes.c_size_t)(machine.address)

    def run(frame: Words, code: Words, outputs: OutputTable, *arrays: np.ndarray | None) -> int:
        if len(arrays) != len(outputs.slots):
            return Status.GUARD
        for slot, array in zip(outputs.slots, arrays):
            if array is not None:
                if type(array) is not np.ndarray:
                    return Status.GUARD
                frame[slot] = array.__array_interface__["data"][0]
        frame[BUDGET] = outputs.budget
        call = released if outputs.release_gil else holding
        return int(call(code.ctypes.data, frame.ctypes.data))

    run.machine = machine  # type: ignore[attr-defined]  # keeps its code loaded
    return run
