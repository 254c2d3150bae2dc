"""Masks: filling where one is True, and where elements are not zero; classes as rows of zeros and a one.

Enters: tensors, masks. Leaves: fresh tensors.
Invariant: `masked_fill` keeps the dtype of its input; what finds positions gives int64, without a gradient.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from specjit import dtypes
from specjit.ir.types import Type
from specjit.ops.arithmetic import where
from specjit.ops.records import infer
from specjit.ops.records.grads import sum_to
from specjit.ops.records.lowering import pointwise
from specjit.ops.records.quiet import quiet
from specjit.ops.records.registry import NO_GRAD, defop, public_function
from specjit.tensor.promotion import cast_operand


def _masked_fill(x: np.ndarray, mask: np.ndarray, value: Any) -> np.ndarray:
    if mask.dtype.kind != "b":
        raise RuntimeError(f"masked_fill_ only supports boolean masks, but got mask with dtype {mask.dtype}")
    if isinstance(value, np.ndarray) and value.ndim:
        raise RuntimeError(
            f"masked_fill_ only supports a 0-dimensional value tensor, but got tensor with {value.ndim} dimension(s)."
        )
    if not isinstance(value, np.ndarray) and x.dtype.kind in "iu":
        limits = np.iinfo(x.dtype)
        # PyTorch lets negative numbers wrap around in bytes, as C does. Infinities and NaN lie between no bounds.
        if not (-limits.max if x.dtype.kind == "u" else limits.min) <= value <= limits.max:
            raise RuntimeError(f"value cannot be converted to type {x.dtype} without overflow")
        value = int(value)
    return np.where(mask, cast_operand(value, x.dtype), x)


def _masked_fill_infer(x: Type, mask: Type, value: Any) -> Type:
    if mask.dtype is not None and mask.dtype.category:
        raise RuntimeError(f"masked_fill_ only supports boolean masks, but got mask with dtype {mask.dtype.name}")
    return Type.tensor(x.dtype, infer.broadcast(x.dims, mask.dims))


masked_fill = defop(
    "masked_fill(input, mask, value: 'Tensor|Scalar') -> Tensor",
    eager=quiet(_masked_fill),
    infer=_masked_fill_infer,
    vjp=lambda g, _y, _x, mask, _value: (
        lambda: sum_to(where(mask, 0.0, g), _x),
        None,
        lambda: sum_to(where(mask, g, 0.0), _value),
    ),
    lower=pointwise("select({1}, {2}, {0})", keep=(1,)),
    doc="A copy with `value` where `mask` is True.",
)


def _nonzero(x: np.ndarray) -> np.ndarray:
    if not x.ndim:
        return np.zeros((int(bool(x)), 0), np.int64)
    return np.argwhere(x).astype(np.int64, copy=False)


nonzero_op = defop(
    "nonzero(input) -> Tensor",
    eager=_nonzero,
    infer=lambda x: Type.tensor(dtypes.int64, (None, x.rank)),
    vjp=NO_GRAD,
    method=False,
    public=False,
    doc="Indices of all nonzero elements, one row each, in row-major order.",
)


@public_function
def nonzero(input: Any, *, as_tuple: bool = False) -> Any:
    """Indices of nonzero elements: a tensor of shape (count, ndim), or with `as_tuple` one index tensor per dim."""
    if not as_tuple:
        return nonzero_op(input)
    return nonzero_op(input if input.ndim else input.unsqueeze(0)).unbind(1)


def _one_hot(x: np.ndarray, num_classes: int) -> np.ndarray:
    if x.dtype != np.int64:
        raise RuntimeError("one_hot is only applicable to index tensor of type LongTensor.")
    if not x.size and num_classes <= 0:
        raise RuntimeError("Can not infer total number of classes from empty tensor.")
    if x.size and x.min() < 0:
        raise RuntimeError("Class values must be non-negative.")
    count = num_classes if num_classes > 0 else int(x.max()) + 1
    if x.size and x.max() >= count:
        raise RuntimeError("Class values must be smaller than num_classes.")
    return (x[..., None] == np.arange(count)).astype(np.int64)


one_hot = defop(
    "one_hot(input, num_classes: int = -1) -> Tensor",
    eager=_one_hot,
    infer=lambda x, num_classes: Type.tensor(
        dtypes.int64,
        None
        if x.dims is None
        else (*x.dims, num_classes if isinstance(num_classes, int) and num_classes > 0 else None),
    ),
    vjp=NO_GRAD,
    method=False,
    public=False,
    doc="int64 rows with a 1 at the class; -1 takes the number of classes from the data.",
)
