"""New tensors: filled and counted.

Enters: sizes, values, a dtype, a device. Leaves: fresh tensors, which share memory with nothing.
"""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np

from specjit import dtypes
from specjit.dtypes import DType, dtype_of, get_default_dtype
from specjit.ir.types import Type
from specjit.ops.records import infer
from specjit.ops.records.composites import Ints, Number, Spread, composite_function
from specjit.ops.records.eager import not_implemented
from specjit.ops.records.lowering import creation
from specjit.ops.records.registry import NO_GRAD, defop, public_function
from specjit.tensor.promotion import cast_operand, scalar_dtype
from specjit.tensor.tensor import Tensor

OPTIONS = "dtype: 'dtype?' = None, device: 'device?' = None, requires_grad: bool = False"


def on_device(device: Any) -> Any:
    """A `device` argument as types name it; None if there is none."""
    return None if device is None else str(device)


def check_number(dtype: DType, value: Any, name: str = "") -> None:
    """RuntimeError for a Python number that `dtype` cannot hold; unsigned ints take negative ints, which wrap.

    name: what the message calls the dtype; PyTorch's are those of C."""
    if dtype is dtypes.bool_ or isinstance(value, Type):
        return
    low, high = _limits(dtype)
    if dtype.is_floating_point:
        fits = low <= value <= high or not math.isfinite(value)
    else:
        fits = (-high if low == 0 and isinstance(value, int) else low) <= value <= high
    if not fits:
        named = {"float32": "float", "float64": "double", "float16": "Half"}.get(dtype.name, dtype.name + "_t")
        raise RuntimeError(f"value cannot be converted to type {name or named} without overflow")


@functools.cache
def _limits(dtype: DType) -> tuple[Any, Any]:
    """The least and the greatest number, infinities aside."""
    if dtype.is_floating_point:
        reals = np.finfo(dtype.numpy)
        return float(reals.min), float(reals.max)
    ints = np.iinfo(dtype.numpy)
    return ints.min, ints.max


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
        dtype, dims, on_device(device) or "cpu", requires_grad if isinstance(requires_grad, bool) else None
    )


def _sized(name: str, fn: Any, kind: str, doc: str) -> Any:
    # NumPy refuses negative sizes itself; `infer` then says it in PyTorch's words.
    def eager(size: Any, dtype: Any, device: Any, requires_grad: Any) -> np.ndarray:
        found: np.ndarray = fn(size, (dtype or get_default_dtype()).numpy)
        return found

    eager.fill = fn  # type: ignore[attr-defined]
    return defop(
        f"{name}(size: 'int[*]', *, {OPTIONS}) -> Tensor",
        eager=eager,
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


def _full(size: Any, fill_value: Any, dtype: Any, device: Any, requires_grad: Any) -> np.ndarray:
    wanted = _fill_dtype(fill_value, dtype)
    check_number(wanted, fill_value)
    out = np.empty(shape_of(size), wanted.numpy)
    out.fill(cast_operand(fill_value, wanted.numpy))
    return out


def _full_infer(size: Any, fill_value: Any, dtype: Any, device: Any, requires_grad: Any) -> Type:
    wanted = _fill_dtype(fill_value, dtype)
    if wanted is not None:
        check_number(wanted, fill_value)
    return made(size, wanted, device, requires_grad)


full = defop(
    f"full(size: 'int[]', fill_value: Scalar, *, {OPTIONS}) -> Tensor",
    eager=_full,
    infer=_full_infer,
    vjp=NO_GRAD,
    lower=creation("full"),
    method=False,
    doc="A new tensor of `fill_value`; its dtype follows from the value.",
)


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
    return Type.tensor(dtype or x.dtype, x.dims, on_device(device), grad)


zeros_like = _like("zeros_like", 0, doc="A new tensor of zeros with the shape and dtype of `input`.")
ones_like = _like("ones_like", 1, doc="A new tensor of ones with the shape and dtype of `input`.")
empty_like = _like(
    "empty_like", None, "empty", doc="A new tensor of arbitrary elements with the shape and dtype of `input`."
)


def _full_like(x: np.ndarray, fill_value: Any, dtype: Any, device: Any, requires_grad: Any) -> np.ndarray:
    wanted = dtype or dtype_of(x.dtype)
    check_number(wanted, fill_value)
    return np.full_like(x, cast_operand(fill_value, wanted.numpy), dtype=wanted.numpy)


def _full_like_infer(x: Type, fill_value: Any, dtype: Any, device: Any, requires_grad: Any) -> Type:
    wanted: DType | None = dtype or x.dtype
    if wanted is not None:
        check_number(wanted, fill_value)
    return _like_infer(x, dtype, device, requires_grad)


full_like = defop(
    f"full_like(input, fill_value: Scalar, *, {OPTIONS}) -> Tensor",
    eager=_full_like,
    infer=_full_like_infer,
    vjp=NO_GRAD,
    lower=creation("full"),
    method=False,
    doc="A new tensor of `fill_value` with the shape and dtype of `input`.",
)


# With the dtype and the device of a tensor


@composite_function(name="Tensor.new_zeros", fill=np.zeros)
def _new_zeros(
    input: Tensor, size: Spread, *, dtype: DType | None = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """`zeros` with the dtype and the device of the tensor."""
    return zeros(size, dtype=dtype or input.dtype, device=device or input.device, requires_grad=requires_grad)


@composite_function(name="Tensor.new_ones", fill=np.ones)
def _new_ones(
    input: Tensor, size: Spread, *, dtype: DType | None = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """`ones` with the dtype and the device of the tensor."""
    return ones(size, dtype=dtype or input.dtype, device=device or input.device, requires_grad=requires_grad)


@composite_function(name="Tensor.new_empty", fill=np.empty)
def _new_empty(
    input: Tensor, size: Spread, *, dtype: DType | None = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """`empty` with the dtype and the device of the tensor."""
    return empty(size, dtype=dtype or input.dtype, device=device or input.device, requires_grad=requires_grad)


def _new_full_array(
    x: np.ndarray, size: Any, fill_value: Any, dtype: DType | None, device: Any, requires_grad: bool
) -> Any:
    if device is not None or requires_grad:
        return None
    return _full(size, fill_value, dtype or dtype_of(x.dtype), None, False)


@composite_function(name="Tensor.new_full", direct=_new_full_array)
def _new_full(
    input: Tensor,
    size: Ints,
    fill_value: Number,
    *,
    dtype: DType | None = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """`full` with the dtype and the device of the tensor."""
    return full(
        size, fill_value, dtype=dtype or input.dtype, device=device or input.device, requires_grad=requires_grad
    )


def _arange_dtype(dtype: Any, *values: Any) -> DType:
    if dtype is not None:
        found: DType = dtype
        return found
    kinds = [v.kind if isinstance(v, Type) else type(v).__name__ for v in values]
    return get_default_dtype() if "float" in kinds else dtypes.int64


def _arange_check(start: Any, end: Any, step: Any, dtype: DType) -> tuple[Any, Any, Any]:
    """The numbers as counted with: of an integer dtype, whole ones."""
    if dtype is dtypes.bool_:
        raise not_implemented("arange_cpu", dtype)
    if not (math.isfinite(start) and math.isfinite(end)):
        raise RuntimeError(f"unsupported range: {start} -> {end}")
    if step == 0:
        raise RuntimeError("step must be nonzero")
    if (end - start) * step < 0:
        raise RuntimeError("upper bound and lower bound inconsistent with step sign")
    if dtype.is_floating_point:
        return start, end, step
    if not int(step):
        raise ValueError("step must be nonzero")
    return int(start), int(end), int(step)


def _arange(start: Any, end: Any, step: Any, dtype: Any, device: Any, requires_grad: Any) -> np.ndarray:
    wanted = _arange_dtype(dtype, start, end, step)
    start, end, step = _arange_check(start, end, step, wanted)
    # Counted, not accumulated: element i is start + i * step, rounded once.
    count = math.ceil((end - start) / step)
    kind = np.float64 if any(isinstance(v, float) for v in (start, end, step)) else np.int64
    return (start + np.arange(count, dtype=kind) * step).astype(wanted.numpy)


def _arange_infer(start: Any, end: Any, step: Any, dtype: Any, device: Any, requires_grad: Any) -> Type:
    wanted = _arange_dtype(dtype, start, end, step)
    length: Any = None
    if all(isinstance(v, (int, float)) for v in (start, end, step)):
        start, end, step = _arange_check(start, end, step, wanted)
        length = math.ceil((end - start) / step)
    elif _whole(start) and _whole(end) and not isinstance(step, Type) and step == 1:
        a, b = infer.dim_of(start), infer.dim_of(end)
        length = None if a is None or b is None else b - a
    return made([infer.int_of(length)], wanted, device, requires_grad)


def _whole(x: Any) -> bool:
    return (isinstance(x, Type) and x.kind == "int") or isinstance(x, int)


_arange_op = defop(
    f"arange(start: Scalar, end: Scalar, step: Scalar, *, {OPTIONS}) -> Tensor",
    eager=_arange,
    infer=_arange_infer,
    vjp=NO_GRAD,
    lower=creation("arange"),
    method=False,
    public=False,
    doc="start, start + step, ... before end; int64 if all are ints.",
)


@public_function
def arange(
    start: Any = None,
    end: Any = None,
    step: Any = 1,
    *,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Any:
    """start, start + step, ... before end; `arange(n)` counts from 0. int64 if all are ints."""
    if start is None and end is None:
        raise TypeError("arange() missing required argument: 'end'")
    if end is None:
        return _arange_op(0, start, step, dtype=dtype, device=device, requires_grad=requires_grad)
    first = 0 if start is None else start
    return _arange_op(first, end, step, dtype=dtype, device=device, requires_grad=requires_grad)
