"""Indices of `x[...]`: taken apart into a basic part (a view) and an advanced part (a gather), by PyTorch's rules.

Enters: what stood between the brackets, with tensors as arrays (eager) or types (infer). Leaves: `Split`.
Invariant: ints and 0-d integer tensors select first, so that, unlike in NumPy, an int beside an index tensor does not
move dims.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from specjit.dtypes import bool_, dtype_of, uint8
from specjit.ir.dims import Dim
from specjit.ir.types import Type
from specjit.ops.records import infer
from specjit.ops.slicing import check_index, slice_bounds


@dataclass
class Split:
    """`basic`: one entry per dim (int, slice or None for a new dim). `advanced`: per dim of the basic result, an
    index array, or
    None; empty if there is none."""

    basic: tuple[Any, ...]
    advanced: tuple[Any, ...]


def _rank_of(item: Any) -> int:
    """How many dims of the source an entry consumes."""
    if item is None or isinstance(item, bool):
        return 0
    if isinstance(item, np.ndarray) and item.dtype.kind == "b":
        return item.ndim
    if isinstance(item, Type) and item.is_tensor and item.dtype is not None and item.dtype.category == 0:
        return item.rank or 0
    return 1


def _entries(index: Any, rank: int) -> list[Any]:
    """The index as a list with Ellipsis replaced by full slices and lists by arrays."""
    items = list(index) if isinstance(index, tuple) else [index]
    items = [np.asarray(i) if isinstance(i, (list, range)) and not _has_types(i) else i for i in items]
    items = [as_mask(i) for i in items]
    dots = [k for k, i in enumerate(items) if i is Ellipsis]
    if len(dots) > 1:
        raise IndexError("an index can only have a single ellipsis ('...')")
    used = sum(_rank_of(i) for i in items if i is not Ellipsis)
    if used > rank:
        raise IndexError(f"too many indices for tensor of dimension {rank}")
    if dots:
        items[dots[0] : dots[0] + 1] = [slice(None)] * (rank - used)
    return items


def as_mask(item: Any) -> Any:
    """An index tensor in today's form: bytes are masks, as they were before there were bools; an empty list says
    nothing of its dtype."""
    if isinstance(item, np.ndarray):
        if item.dtype.char == "B":
            return item.astype(bool)
        return item.astype(np.int64) if not item.size and item.dtype.kind == "f" else item
    return item.with_(dtype=bool_) if isinstance(item, Type) and item.is_tensor and item.dtype is uint8 else item


def _has_types(items: Any) -> bool:
    return any(isinstance(i, Type) or (isinstance(i, (list, tuple)) and _has_types(i)) for i in items)


def _check(item: Any) -> Any:
    """An entry in one of the known forms; IndexError names what cannot index."""
    if isinstance(item, slice):
        step = item.step
        if isinstance(step, int) and step <= 0:
            raise ValueError("step must be greater than zero")
        return slice(_bound(item.start), _bound(item.stop), _bound(step))
    if item is None or isinstance(item, (bool, int, Type)):
        return item
    if isinstance(item, np.ndarray):
        if item.dtype.kind not in "iub":
            raise IndexError("tensors used as indices must be long, int, byte or bool tensors")
        return item if item.ndim else item.item()
    if isinstance(item, (np.integer, np.bool_)):
        return item.item()
    raise IndexError(
        "only integers, slices (`:`), ellipsis (`...`), None and long or byte Variables are valid indices "
        f"(got {type(item).__name__})"
    )


def _bound(b: Any) -> Any:
    return b if b is None or isinstance(b, (int, Type)) else b.__index__()


def split(index: Any, shape: Sequence[Dim]) -> Split:
    """Take an index apart. Bounds of int entries are checked where the size is known."""
    basic: list[Any] = []
    advanced: list[Any] = []
    some = False
    dim = 0
    for item in map(_check, _entries(index, len(shape))):
        if item is None:
            basic.append(None)
            advanced.append(None)
        elif isinstance(item, bool):
            basic.append(None)
            advanced.append(np.array([item]))
            some = True
        elif isinstance(item, slice):
            basic.append(item)
            advanced.append(None)
            dim += 1
        elif isinstance(item, int) or (isinstance(item, Type) and not item.is_tensor):
            n = shape[dim]
            if isinstance(item, int) and isinstance(n, int):
                check_index(item, n, dim)
            basic.append(item)
            dim += 1
        else:
            if isinstance(item, np.ndarray) and item.dtype.kind == "b":
                for k, n in enumerate(item.shape):
                    if n != shape[dim + k]:
                        raise IndexError(
                            f"The shape of the mask {list(item.shape)} at index {k} does not match the shape of the "
                            f"indexed tensor {list(shape)} at index {dim + k}"
                        )
            used = _rank_of(item)
            basic += [slice(None)] * used if used else [None]
            # A mask without dims chooses all or nothing along a dim of its own.
            advanced.append(item if used else Type.tensor(item.dtype, (1,)))
            dim += used
            some = True
    return Split(tuple(basic), tuple(advanced) if some else ())


def infer_getitem(x: Type, index: Any) -> Type:
    """The type of `x[index]`."""
    if x.dims is None or (isinstance(index, Type) and index.kind in ("any", "tuple", "list")):
        return Type.tensor(x.dtype)
    entries = index if isinstance(index, tuple) else (index,)
    if any(isinstance(i, Type) and (i.kind == "any" or (i.is_tensor and i.dtype is None)) for i in entries):
        # A tensor may be a mask, or indices.
        return Type.tensor(x.dtype)
    found = split(index, x.dims)
    dims: list[Dim] = []
    d = 0
    for item in found.basic:
        if item is None:
            dims.append(1)
            continue
        n = x.dims[d]
        d += 1
        if isinstance(item, slice):
            step = 1 if item.step is None else item.step
            whole = item.start is None and item.stop is None and step == 1
            dims.append(n if whole else slice_bounds(n, item.start, item.stop, step)[1])
    dims += x.dims[d:]
    if not found.advanced:
        return Type.tensor(x.dtype, dims)
    return Type.tensor(x.dtype, indexed_dims(dims, found.advanced))


def indexed_dims(dims: Sequence[Dim], indices: Sequence[Any]) -> tuple[Dim, ...] | None:
    """Dims of advanced indexing: `indices` per dim (None: kept); masks count as the index of each True."""
    shapes: list[infer.Dims] = []
    where: list[int] = []
    kept: list[Dim] = []
    d = 0
    for position, item in enumerate(indices):
        if item is None:
            kept.append(dims[d])
            d += 1
            continue
        where.append(position)
        mask, rank, shape = _index_shape(item)
        if rank is None:
            return None
        d += rank if mask else 1
        shapes.append(shape)
    kept += dims[d:]
    try:
        out = infer.broadcast(*shapes)
    except RuntimeError:
        listed = ", ".join(str(list(d)) for d in shapes if d is not None)
        message = f"shape mismatch: indexing tensors could not be broadcast together with shapes {listed}"
        raise IndexError(message) from None
    if out is None:
        return None
    together = where == list(range(where[0], where[0] + len(where)))
    at = sum(i is None for i in indices[: where[0]]) if together else 0
    return (*kept[:at], *out, *kept[at:])


def _index_shape(item: Any) -> tuple[bool, int | None, infer.Dims]:
    if isinstance(item, Type):
        if item.dtype is None:
            return False, None, None
        if item.dtype.category == 0:
            return True, item.rank, (None,)
        return False, item.rank, item.dims
    array = np.asarray(item)
    if dtype_of(array.dtype).category == 0:
        return True, max(array.ndim, 1), (int(array.sum()),)
    return False, array.ndim, array.shape


def take(x: np.ndarray, found: Split) -> np.ndarray:
    """`x[index]`: a view unless there is an advanced part."""
    out: np.ndarray = x[(*found.basic, ...)]
    return picked(out, numpy_index(found.advanced)) if found.advanced else out


def picked(x: np.ndarray, index: Any) -> np.ndarray:
    """Advanced indexing. NumPy lays out what it picks along a later dim in another order; here it is C order."""
    return np.asarray(x[index], order="C")


def numpy_index(advanced: Sequence[Any]) -> tuple[Any, ...]:
    return tuple(slice(None) if i is None else i for i in advanced)
