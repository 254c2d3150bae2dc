"""New tensors: filled, counted, or from Python data.

Enters: sizes, values, a dtype, a device. Leaves: fresh tensors.
Invariant: a new tensor shares memory with nothing, but for `from_numpy` and `from_dlpack`, which are there to share.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from specjit import dtypes
from specjit.dtypes import DType, dtype_of, get_default_dtype
from specjit.ir.types import Type
from specjit.ops import infer
from specjit.ops.lowering import creation
from specjit.ops.registry import NO_GRAD, defop
from specjit.tensor.promotion import cast_operand, scalar_dtype
from specjit.tensor.tensor import Tensor, to_numpy, wrap

OPTIONS = "dtype: 'dtype?' = None, device: 'device?' = None, requires_grad: bool = False"


def _device(device: Any) -> Any:
    return None if device is None else str(device)


def shape_of(size: Any) -> tuple[int, ...]:
    shape = (size,) if isinstance(size, int) else tuple(size)
    for n in shape:
        if n < 0:
            raise RuntimeError(f"Trying to create tensor with negative dimension {n}: {list(shape)}")
    return shape


def made(size: Any, dtype: Any, device: Any, requires_grad: Any) -> Type:
    dims = infer.sizes_of(size)
    for n in dims or ():
        if isinstance(n, int) and n < 0:
            raise RuntimeError(f"Trying to create tensor with negative dimension {n}")
    return Type.tensor(
        dtype, dims, _device(device) or "cpu", requires_grad if isinstance(requires_grad, bool) else None
    )


def _sized(name: str, fn: Any, kind: str, doc: str) -> Any:
    return defop(
        f"{name}(size: 'int[*]', *, {OPTIONS}) -> Tensor",
        eager=lambda size, dtype, device, requires_grad: fn(shape_of(size), (dtype or get_default_dtype()).numpy),
        infer=lambda size, dtype, device, requires_grad: made(
            size, dtype or get_default_dtype(), device, requires_grad
        ),
        vjp=NO_GRAD,
        lower=creation(kind),
        method=False,
        doc=doc,
    )


zeros = _sized("zeros", np.zeros, "full", doc="A new tensor of zeros.")
ones = _sized("ones", np.ones, "full", doc="A new tensor of ones.")
empty = _sized("empty", np.empty, "empty", doc="A new tensor whose elements are arbitrary.")


def _fill_dtype(value: Any, dtype: Any) -> Any:
    if dtype is not None:
        return dtype
    if isinstance(value, Type):
        return {"float": get_default_dtype(), "int": dtypes.int64, "bool": dtypes.bool_}.get(value.kind)
    return scalar_dtype(value)


full = defop(
    f"full(size: 'int[]', fill_value: Scalar, *, {OPTIONS}) -> Tensor",
    eager=lambda size, fill_value, dtype, device, requires_grad: np.full(
        shape_of(size), cast_operand(fill_value, _fill_dtype(fill_value, dtype).numpy)
    ),
    infer=lambda size, fill_value, dtype, device, requires_grad: made(
        size, _fill_dtype(fill_value, dtype), device, requires_grad
    ),
    vjp=NO_GRAD,
    lower=creation("full"),
    method=False,
    doc="A new tensor of `fill_value`; its dtype follows from the value.",
)


def _full_like(x: np.ndarray, value: Any, dtype: DType | None, device: Any, requires_grad: Any) -> np.ndarray:
    made = x.dtype if dtype is None else dtype.numpy
    return np.full_like(x, cast_operand(value, made), dtype=made)


def _like(name: str, value: Any, kind: str = "full", *, doc: str) -> Any:
    def eager(x: np.ndarray, dtype: Any, device: Any, requires_grad: Any) -> np.ndarray:
        out = np.empty_like(x, dtype=x.dtype if dtype is None else dtype.numpy)
        if value is not None:
            out.fill(value)
        return out

    return defop(
        f"{name}(input, *, {OPTIONS}) -> Tensor",
        eager=eager,
        infer=_like_infer,
        vjp=NO_GRAD,
        lower=creation(kind),
        method=False,
        doc=doc,
    )


def _like_infer(x: Type, dtype: Any, device: Any, requires_grad: Any) -> Type:
    grad = requires_grad if isinstance(requires_grad, bool) else None
    return Type.tensor(dtype or x.dtype, x.dims, _device(device), grad)


zeros_like = _like("zeros_like", 0, doc="A new tensor of zeros with the shape and dtype of `input`.")
ones_like = _like("ones_like", 1, doc="A new tensor of ones with the shape and dtype of `input`.")
empty_like = _like(
    "empty_like", None, "empty", doc="A new tensor of arbitrary elements with the shape and dtype of `input`."
)
full_like = defop(
    f"full_like(input, fill_value: Scalar, *, {OPTIONS}) -> Tensor",
    eager=_full_like,
    infer=lambda x, fill_value, dtype, device, requires_grad: _like_infer(x, dtype, device, requires_grad),
    vjp=NO_GRAD,
    lower=creation("full"),
    method=False,
    doc="A new tensor of `fill_value` with the shape and dtype of `input`.",
)


def _arange_dtype(dtype: Any, *values: Any) -> DType:
    if dtype is not None:
        found: DType = dtype
        return found
    kinds = [v.kind if isinstance(v, Type) else type(v).__name__ for v in values]
    return get_default_dtype() if "float" in kinds else dtypes.int64


def _arange(start: Any, end: Any, step: Any, dtype: Any, device: Any, requires_grad: Any) -> np.ndarray:
    if step == 0:
        raise RuntimeError("step must be nonzero")
    if (end - start) * step < 0:
        raise RuntimeError("upper bound and lower bound inconsistent with step sign")
    wanted = _arange_dtype(dtype, start, end, step).numpy
    # Counted, not accumulated: element i is start + i * step, rounded once.
    count = math.ceil((end - start) / step)
    if any(isinstance(v, float) for v in (start, end, step)):
        return (start + np.arange(count, dtype=np.float64) * step).astype(wanted)
    return (start + np.arange(count, dtype=np.int64) * step).astype(wanted)


def _arange_infer(start: Any, end: Any, step: Any, dtype: Any, device: Any, requires_grad: Any) -> Type:
    a, b, by = infer.dim_of(start) if _whole(start) else None, infer.dim_of(end) if _whole(end) else None, step
    length: Any = None
    if all(isinstance(v, (int, float)) for v in (start, end, step)):
        if step == 0:
            raise RuntimeError("step must be nonzero")
        if (end - start) * step < 0:
            raise RuntimeError("upper bound and lower bound inconsistent with step sign")
        length = math.ceil((end - start) / step)
    elif a is not None and b is not None and by == 1:
        length = b - a
    return made([infer.int_of(length)], _arange_dtype(dtype, start, end, step), device, requires_grad)


def _whole(x: Any) -> bool:
    return (isinstance(x, Type) and x.kind == "int") or isinstance(x, int)


_arange_op = defop(
    f"arange(start: Scalar, end: Scalar, step: Scalar, *, {OPTIONS}) -> Tensor",
    eager=_arange,
    infer=_arange_infer,
    vjp=NO_GRAD,
    lower=creation("arange"),
    method=False,
    doc="start, start + step, ... before end; int64 if all are ints.",
)


def arange(
    start: Any, end: Any = None, step: Any = 1, *, dtype: Any = None, device: Any = None, requires_grad: bool = False
) -> Any:
    """start, start + step, ... before end; `arange(n)` counts from 0. int64 if all are ints."""
    if end is None:
        return _arange_op(0, start, step, dtype=dtype, device=device, requires_grad=requires_grad)
    return _arange_op(start, end, step, dtype=dtype, device=device, requires_grad=requires_grad)


def _array(data: Any, dtype: Any) -> np.ndarray:
    """Python data as a fresh array: floats get the default dtype, ints int64."""
    if isinstance(data, Tensor):
        found = data._needs_data("tensor")
    else:
        try:
            found = np.array(to_numpy(data))
        except ValueError as error:
            raise ValueError(f"expected sequences of equal length at every level: {error}") from None
        if found.dtype.kind == "f" and not _from_numpy(data):
            found = found.astype(get_default_dtype().numpy)
        if found.dtype.kind not in "fiub":
            raise TypeError(f"cannot make a tensor of {type(data).__name__} (elements of NumPy dtype {found.dtype})")
        if not found.size and found.dtype.kind == "f" and not isinstance(data, (np.ndarray, np.generic)):
            found = found.astype(get_default_dtype().numpy)
    wanted = found.dtype if dtype is None else dtype.numpy
    return np.array(found, dtype=wanted, order="C")


def _from_numpy(data: Any) -> bool:
    """Whether the floats in `data` bring a dtype of their own."""
    while isinstance(data, (list, tuple)) and data:
        data = data[0]
    return isinstance(data, (np.ndarray, np.generic, Tensor))


def _tensor(data: Any, dtype: Any, device: Any, requires_grad: Any) -> np.ndarray:
    return _array(data, dtype)


def _tensor_infer(data: Any, dtype: Any, device: Any, requires_grad: Any) -> Type:
    grad = requires_grad if isinstance(requires_grad, bool) else None
    on = _device(device) or "cpu"
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
    doc="A new tensor with a copy of `data` (numbers, nested sequences, arrays).",
)


def as_tensor(data: Any, dtype: Any = None, device: Any = None) -> Any:
    """`data` as a tensor, without a copy where it is a tensor or an array of the wanted dtype."""
    if isinstance(data, np.ndarray):
        data = from_numpy(data)
    if isinstance(data, Tensor):
        return data.to(dtype=dtype, device=device)
    return tensor(data, dtype=dtype, device=device)


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


def from_dlpack(ext_tensor: Any) -> Any:
    """A tensor on memory shared through DLPack."""
    return from_numpy(np.from_dlpack(ext_tensor))
