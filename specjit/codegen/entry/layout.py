"""Where CPython and NumPy keep what the native entry reads: probed and verified at start-up, never assumed.

Enters: nothing but sample objects (and classes with `__slots__`). Leaves: byte offsets, or None where a probe fails.
Invariant: an offset is returned only after every sample object agreed with what Python says about it. A reader of raw
memory stays inside the object (`__basicsize__`).
"""

from __future__ import annotations

import ctypes
import functools
from typing import NamedTuple

import numpy as np

HEADER_BYTES = object.__basicsize__


class Layout(NamedTuple):
    """Byte offsets: of an object's type; in an ndarray (NumPy's public PyArrayObject); in a dtype (PyArray_Descr)."""

    type: int
    data: int
    nd: int
    dims: int
    strides: int
    descr: int
    flags: int
    descr_byteorder: int
    descr_num: int


def _word(address: int) -> int:
    return ctypes.c_size_t.from_address(address).value


def _int(address: int) -> int:
    return ctypes.c_int.from_address(address).value


@functools.cache
def probe() -> Layout | None:
    """The layout of this interpreter and NumPy, or None if it is not the one we know."""
    if ctypes.sizeof(ctypes.c_void_p) != 8:
        return None
    samples = [1 << 40, 1.5, "text", np.zeros(3), Layout]
    at_type = [
        offset
        for offset in range(0, HEADER_BYTES, 8)
        if all(_word(id(sample) + offset) == id(type(sample)) for sample in samples)
    ]
    if len(at_type) != 1:
        return None
    fields = range(HEADER_BYTES, HEADER_BYTES + 56, 8)  # data, nd, dimensions, strides, base, descr, flags
    data, nd, dims, strides, _, descr, flags = fields
    layout = Layout(at_type[0], data, nd, dims, strides, descr, flags, HEADER_BYTES + 10, HEADER_BYTES + 12)
    return layout if all(_agrees(layout, array) for array in _sample_arrays()) else None


def _sample_arrays() -> list[np.ndarray]:
    read_only = np.arange(6.0)
    read_only.flags.writeable = False
    raw = np.zeros(64, np.uint8)
    return [
        np.zeros((2, 3, 4), np.float32).transpose(2, 0, 1)[::-1],
        np.array(7),
        np.zeros((3, 0), np.int16),
        read_only,
        np.zeros(5, ">i4"),
        np.zeros(2, "c16"),
        raw[1:33].view(np.float64),
        raw,
        np.zeros(4, bool),
        np.broadcast_to(np.float32(1), (4, 5)),
    ]


def _agrees(layout: Layout, array: np.ndarray) -> bool:
    """Does memory say of this array what Python says?"""
    if type(array).__basicsize__ < layout.flags + 4 or type(array.dtype).__basicsize__ < layout.descr_num + 4:
        return False
    here, dtype = id(array), array.dtype
    if _word(here + layout.data) != array.__array_interface__["data"][0] or _int(here + layout.nd) != array.ndim:
        return False
    dims, strides = _word(here + layout.dims), _word(here + layout.strides)
    there = [(_word(dims + 8 * i), ctypes.c_int64.from_address(strides + 8 * i).value) for i in range(array.ndim)]
    return (
        there == list(zip(array.shape, array.strides))
        and _word(here + layout.descr) == id(dtype)
        and _int(here + layout.flags) == array.flags.num
        and ctypes.c_char.from_address(id(dtype) + layout.descr_byteorder).value.decode() == dtype.byteorder
        and _int(id(dtype) + layout.descr_num) == dtype.num
    )


class LayoutError(Exception):
    """A slot is not where a plain `__slots__` class keeps it."""


@functools.cache
def slot_offset(cls: type, name: str, layout: Layout) -> int:
    """The byte offset of a `__slots__` entry in objects of exactly `cls`."""
    descriptor = getattr(cls, name)
    sentinels = [object(), object()]
    found: set[int] | None = None
    for sentinel in sentinels:
        sample: object = object.__new__(cls)
        descriptor.__set__(sample, sentinel)
        offsets = range(HEADER_BYTES, cls.__basicsize__ - 7, 8)
        here = {offset for offset in offsets if _word(id(sample) + offset) == id(sentinel)}
        found = here if found is None else found & here
    if found is None or len(found) != 1:
        raise LayoutError(f"{cls.__qualname__}.{name} has no fixed place in its objects")
    return found.pop()
