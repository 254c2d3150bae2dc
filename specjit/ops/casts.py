"""Copies and conversions of dtype.

Enters: tensors. Leaves: fresh tensors (`clone`, `cast`), or the same tensor where nothing is to be converted (`to`).
"""

from __future__ import annotations

import builtins
from typing import Any

import numpy as np

from specjit import dtypes
from specjit.dtypes import DType
from specjit.ir.types import Type
from specjit.ops.records import infer
from specjit.ops.records.call import as_dtype
from specjit.ops.records.eager import not_implemented
from specjit.ops.records.lowering import composite, pointwise
from specjit.ops.records.quiet import quiet
from specjit.ops.records.registry import NO_GRAD, defop, view
from specjit.tensor.tensor import Tensor, wrap_meta

clone = defop(
    "clone(input) -> Tensor",
    eager=lambda x: x.copy(order="K"),
    infer=infer.same,
    vjp=lambda g, _y, _x: g,
    lower=pointwise("{0}"),
    doc="A copy, whose gradient flows back to the original.",
)


@quiet
def _cast(x: np.ndarray, dtype: DType) -> np.ndarray:
    return x.astype(dtype.numpy)


_cast.text = "{0}.astype({1}.numpy)"  # type: ignore[attr-defined]


def _cast_infer(x: Type, dtype: Any) -> Type:
    return Type.tensor(dtype if isinstance(dtype, DType) else None, x.dims)


cast = defop(
    "cast(input, dtype: dtype) -> Tensor",
    eager=_cast,
    infer=_cast_infer,
    vjp=lambda g, _y, _x, dtype: to_dtype(g, _x.dtype),
    lower=pointwise("{0}"),
    method=False,
    public=False,
    doc="A copy with elements of another dtype.",
)
to_dtype = defop(
    "to_dtype(input, dtype: dtype) -> Tensor",
    eager=quiet(lambda x, dtype: x if x.dtype is dtype.numpy else x.astype(dtype.numpy)),
    infer=_cast_infer,
    vjp=lambda g, _y, _x, dtype: to_dtype(g, _x.dtype),
    lower=composite(lambda x, dtype: x if x.dtype is dtype else cast(x, dtype)),
    traits=view(0, itself=True),
    method=False,
    public=False,
    doc="The tensor itself if it has that dtype, else a converted copy.",
)


def _widen(x: np.ndarray, kernel: str | None) -> np.ndarray:
    if x.dtype.char == "e":
        return x.astype(np.float32)
    if kernel is not None and x.dtype.kind != "f":
        raise not_implemented(kernel, x.dtype)
    return x


def _widen_infer(x: Type, kernel: str | None) -> Type:
    if kernel is not None and x.dtype is not None and not x.dtype.is_floating_point:
        raise not_implemented(kernel, x.dtype)
    return Type.tensor(dtypes.float32 if x.dtype is dtypes.float16 else x.dtype, x.dims)


widen = defop(
    "widen(input, kernel: 'str?' = None) -> Tensor",
    eager=_widen,
    infer=_widen_infer,
    vjp=lambda g, _y, _x, kernel: to_dtype(g, _x.dtype),
    lower=composite(lambda x, kernel: cast(x, dtypes.float32) if x.dtype is dtypes.float16 else x),
    traits=view(0),
    method=False,
    public=False,
    doc="float32 of float16, any other tensor itself: what PyTorch computes in on the CPU. A composite function that "
    "would lose digits of float16 between its ops begins with it and ends with `to_dtype(out, input.dtype)`. kernel: "
    "ints and bools are refused, as PyTorch's kernel of that name does.",
)


def to(
    input: Any, *args: Any, dtype: Any = None, device: Any = None, copy: Any = False, non_blocking: Any = False
) -> Any:
    """`to(dtype)`, `to(device)`, `to(device, dtype)` or `to(other)`: the tensor itself if nothing changes (unless
    `copy`)."""
    for a in args:
        if isinstance(a, Tensor):
            dtype, device = a.dtype, a.device
        elif isinstance(a, (DType, type)):
            dtype = a
        elif a is not None and not isinstance(a, builtins.bool):
            device = a
    out = input if dtype is None else to_dtype(input, as_dtype(dtype))
    if device is not None and out.device != device:
        out = _moved(out, device)
    return out.clone() if copy and out is input else out


def _moved(x: Any, device: Any) -> Any:
    if device != "meta" and not isinstance(device, str) and device != "cpu":
        raise TypeError(f"to(): device must be a device or a str, not {type(device).__name__}")
    from specjit.tensor.devices import device as make

    if make(device).type == "meta":
        out = wrap_meta(x.dtype, x.shape)
        out._requires_grad = x.requires_grad
        return out
    raise NotImplementedError("Cannot copy out of meta tensor; no data!")


def type_as(input: Any, other: Any) -> Any:
    """`to(other.dtype)`."""
    return to_dtype(input, other.dtype)


def float(input: Any) -> Any:
    """To float32."""
    return to_dtype(input, dtypes.float32)


def double(input: Any) -> Any:
    """To float64."""
    return to_dtype(input, dtypes.float64)


def half(input: Any) -> Any:
    """To float16."""
    return to_dtype(input, dtypes.float16)


def byte(input: Any) -> Any:
    """To uint8."""
    return to_dtype(input, dtypes.uint8)


def char(input: Any) -> Any:
    """To int8."""
    return to_dtype(input, dtypes.int8)


def short(input: Any) -> Any:
    """To int16."""
    return to_dtype(input, dtypes.int16)


def int(input: Any) -> Any:
    """To int32."""
    return to_dtype(input, dtypes.int32)


def long(input: Any) -> Any:
    """To int64."""
    return to_dtype(input, dtypes.int64)


def bool(input: Any) -> Any:
    """To bool."""
    return to_dtype(input, dtypes.bool_)


def cpu(input: Any) -> Any:
    """The tensor itself: all data lives on the CPU."""
    return to(input, device="cpu")


def _item(x: np.ndarray) -> Any:
    if x.size != 1:
        raise RuntimeError(f"a Tensor with {x.size} elements cannot be converted to Scalar")
    return x.item()


item = defop(
    "item(input) -> Scalar",
    eager=_item,
    infer=lambda x: infer.number_type(x.dtype),
    vjp=NO_GRAD,
    public=False,
    doc="The one element as a Python number.",
)
