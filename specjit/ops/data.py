"""Tensors from Python data and from other libraries' arrays.

Enters: numbers, nested sequences, arrays, tensors. Leaves: tensors; `tensor` copies, `as_tensor` and `from_numpy` share
memory where they can.
Invariant: the dtype without `dtype=` is PyTorch's: bools give bool, ints int64, floats the default dtype; elements that
have a dtype of their own (NumPy's numbers, tensors) keep it.
"""

from __future__ import annotations

from collections import UserList, deque
from collections.abc import Iterator
from typing import Any

import numpy as np

from specjit import dtypes
from specjit.dtypes import DType, dtype_of
from specjit.ir.types import Type
from specjit.ops.creation import OPTIONS, check_number, on_device
from specjit.ops.records.quiet import quiet
from specjit.ops.records.registry import NO_GRAD, defop, public_function
from specjit.tensor.promotion import scalar_dtype
from specjit.tensor.tensor import Tensor, get_default_dtype, wrap

SEQUENCES = (list, tuple, range, deque, UserList)


@quiet
def _array(data: Any, dtype: DType | None) -> np.ndarray:
    """A fresh array. Tensors, inside lists and tuples too, have become arrays on the way here; those of one shape
    stack."""
    if isinstance(data, (deque, UserList)):
        data = [x._data if isinstance(x, Tensor) else x for x in data]
    if isinstance(data, (np.ndarray, np.generic)):
        return np.array(data, dtype=(dtype_of(data.dtype) if dtype is None else dtype).numpy, order="C")
    if isinstance(data, (bytearray, memoryview)):
        data = list(data)
    try:
        found = np.array(data)
    except (ValueError, OverflowError) as error:
        raise (_problem(data, dtype) or error) from None
    if found.dtype.kind not in "fiub" or (found.dtype == np.uint64 and (dtype is None or dtype.category == 1)):
        if found.dtype.kind != "O" or dtype is None or not dtype.is_floating_point or _problem(data, dtype):
            raise _problem(data, dtype) or ValueError("Overflow when unpacking long long")
    if dtype is None:
        dtype = _float_dtype(data) if found.dtype.kind == "f" else dtype_of(found.dtype)
    elif dtype.category == 1 and found.size:
        for limit in (found.min(), found.max()):
            check_number(dtype, limit.item(), dtype.name)
    return found.astype(dtype.numpy, order="C", copy=False)


def _leaves(data: Any) -> Iterator[Any]:
    for x in data if isinstance(data, SEQUENCES) else (data,):
        if isinstance(x, SEQUENCES):
            yield from _leaves(x)
        else:
            yield x


def _types(data: Any) -> set[type]:
    """The types of the elements."""
    found = set(map(type, data)) if isinstance(data, SEQUENCES) else {type(data)}
    if found.isdisjoint(SEQUENCES):
        return found
    return set().union(*map(_types, data))


def _float_dtype(data: Any) -> DType:
    """Of what NumPy takes for floats: the default dtype, unless elements bring their own."""
    types = _types(data)
    floats = [get_default_dtype().numpy] if float in types or not types else []
    if not types <= {bool, int, float}:
        floats += [x.dtype for x in _leaves(data) if hasattr(x, "dtype") and x.dtype.kind == "f"]
    if not floats:
        raise ValueError("Overflow when unpacking long long")  # NumPy takes ints past int64 for floats
    return dtype_of(np.result_type(*set(floats)))


def _problem(data: Any, dtype: DType | None) -> Exception | None:
    """Why no array comes of `data`, in PyTorch's words; None if its elements are fine."""
    for x in _leaves(data):
        if isinstance(x, (str, bytes)):
            name = type(x).__name__
            nested = x is not data and dtype is None
            return (
                ValueError(f"too many dimensions '{name}'")
                if nested
                else TypeError(f"new(): invalid data type '{name}'")
            )
        if isinstance(x, int):
            if not -(2**63) <= x < 2**63 and (dtype is None or not dtype.is_floating_point):
                return ValueError("Overflow when unpacking long long")
        elif not isinstance(x, (float, np.ndarray, np.generic)):
            name = type(x).__name__
            return (
                RuntimeError(f"Could not infer dtype of {name}")
                if dtype is None
                else TypeError(f"must be real number, not {name}")
            )
    return _ragged(data, _sizes(data), 0)


def _sizes(data: Any) -> list[int]:
    """The shape that the first elements say."""
    out = []
    while isinstance(data, SEQUENCES):
        out.append(len(data))
        if not data:
            break
        data = data[0]
    return out


def _ragged(data: Any, sizes: list[int], dim: int) -> Exception | None:
    if not isinstance(data, SEQUENCES):
        return TypeError("not a sequence") if dim < len(sizes) else None
    if dim == len(sizes):
        return TypeError(f"'{type(data).__name__}' object cannot be interpreted as an integer")
    if len(data) != sizes[dim]:
        return ValueError(f"expected sequence of length {sizes[dim]} at dim {dim} (got {len(data)})")
    return next((p for x in data if (p := _ragged(x, sizes, dim + 1))), None)


def _tensor(data: Any, dtype: Any, device: Any, requires_grad: Any) -> np.ndarray:
    return _array(data, dtype)


def _tensor_infer(data: Any, dtype: Any, device: Any, requires_grad: Any) -> Type:
    grad = requires_grad if isinstance(requires_grad, bool) else None
    on = on_device(device) or "cpu"
    if _constant(data):
        found = _array(data, dtype)
        return Type.tensor(dtype_of(found.dtype), found.shape, on, grad)
    kinds, dims = _kinds(data)
    return Type.tensor(dtype or kinds, dims, on, grad)


def _constant(data: Any) -> bool:
    return not isinstance(data, Type) and (not isinstance(data, (list, tuple)) or all(map(_constant, data)))


def _kinds(data: Any) -> tuple[Any, Any]:
    """(dtype, dims) of nested lists of numbers that are not all known."""
    if isinstance(data, Type):
        if data.is_tensor:
            return data.dtype, data.dims
        known = {"float": get_default_dtype(), "int": dtypes.int64, "bool": dtypes.bool_}
        return known.get(data.kind), () if data.kind in known else None
    if isinstance(data, (list, tuple)):
        inner = [_kinds(d) for d in data]
        found = {d for d, _ in inner}
        dims = inner[0][1] if inner and all(s == inner[0][1] for _, s in inner) else None
        best = None if None in found else max(found, key=lambda d: d.category, default=None)
        return best, None if dims is None else (len(data), *dims)
    return scalar_dtype(data), ()


tensor = defop(
    f"tensor(data: any, *, {OPTIONS}) -> Tensor",
    eager=_tensor,
    infer=_tensor_infer,
    vjp=NO_GRAD,
    method=False,
    doc="A new tensor with a copy of `data`: a number, nested sequences of numbers, an array, a tensor.\n\n"
    "TypeError, ValueError: data that is no rectangle of numbers; RuntimeError: a number that `dtype` does not hold.",
)


@public_function
def as_tensor(data: Any, dtype: Any = None, device: Any = None) -> Any:
    """`data` as a tensor, without a copy where it is a tensor or an array of the wanted dtype."""
    if isinstance(data, np.ndarray):
        data = from_numpy(data)
    if isinstance(data, Tensor):
        return data.to(dtype=dtype, device=device)
    return tensor(data, dtype=dtype, device=device)


@public_function
def from_numpy(ndarray: Any) -> Any:
    """A tensor on the memory of an array: writes to either show in both."""
    from specjit.tensor import storage

    if not isinstance(ndarray, np.ndarray):
        raise TypeError(f"expected np.ndarray (got {type(ndarray).__name__})")
    if any(s < 0 for s in ndarray.strides):
        raise ValueError(
            "At least one stride in the given numpy array is negative, and tensors with negative strides are not "
            "currently supported. (You can probably work around this by making a copy of your array with array.copy().)"
        )
    dtype_of(ndarray.dtype)
    out = wrap(ndarray.view())
    storage.shared(out._version).outside = True
    return out


@public_function
def from_dlpack(ext_tensor: Any) -> Any:
    """A tensor on memory shared through DLPack."""
    return from_numpy(np.from_dlpack(ext_tensor))
