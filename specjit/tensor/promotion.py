"""Type promotion: PyTorch's `result_type`, on IR types and on arrays.

Enters: operands. Leaves: the dtype they are combined in.
Invariant: category bool < int < float decides first; inside a category, tensors with dims beat 0-d tensors, which
beat Python numbers.
A Python float counts as the default dtype, a Python int as int64.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from specjit import dtypes
from specjit.dtypes import DType, dtype_of, get_default_dtype
from specjit.ir.types import Type
from specjit.tensor.tensor import Tensor


def promote_types(a: DType, b: DType) -> DType:
    """The smallest dtype that holds both, within the higher category."""
    if a is b:
        return a
    if a.category != b.category:
        return a if a.category > b.category else b
    return dtype_of(np.promote_types(a.numpy, b.numpy))


def can_cast(from_: DType, to: DType) -> bool:
    """Whether type promotion may turn `from_` into `to`: never to a lower category."""
    return from_.category <= to.category


def scalar_dtype(value: Any) -> DType:
    """The dtype a Python number stands for."""
    if isinstance(value, bool):
        return dtypes.bool_
    return dtypes.int64 if isinstance(value, int) else get_default_dtype()


def _combine(higher: DType | None, lower: DType | None) -> DType | None:
    if higher is None or lower is None:
        return higher or lower
    return lower if lower.category > higher.category else higher


def combine_ranked(ranks: list[list[DType]]) -> DType | None:
    """The result dtype from the operands' dtypes sorted into (with dims, 0-d, numbers)."""
    out: DType | None = None
    for rank in ranks:
        best: DType | None = None
        for d in rank:
            best = d if best is None else promote_types(best, d)
        out = _combine(out, best)
    return out


def result_type(*operands: Any) -> DType | None:
    """The dtype in which operands (tensors, IR types, Python numbers) are combined; None if the types do not say."""
    ranks: list[list[DType]] = [[], [], []]
    for x in operands:
        if isinstance(x, Tensor):
            ranks[0 if x.ndim else 1].append(x.dtype)
        elif isinstance(x, Type) and x.is_tensor:
            if x.dtype is None:
                return None
            if x.dims is None:
                return x.dtype if all(_same(x.dtype, y) for y in operands) else None
            ranks[0 if x.dims else 1].append(x.dtype)
        elif isinstance(x, Type):
            if x.kind not in ("bool", "int", "float"):
                return None
            ranks[2].append(scalar_dtype({"bool": True, "int": 1, "float": 1.0}[x.kind]))
        else:
            ranks[2].append(scalar_dtype(x))
    return combine_ranked(ranks)


def _same(d: DType, operand: Any) -> bool:
    """Whether `operand` leaves a result of dtype `d` as it is, whatever the ranks are."""
    if isinstance(operand, Type) and operand.is_tensor:
        return operand.dtype is d
    kind = operand.kind if isinstance(operand, Type) else type(operand).__name__
    category = {"bool": 0, "int": 1, "float": 2}.get(kind)
    return category is not None and category <= d.category


def common(a: Any, b: Any) -> tuple[Any, Any]:
    """Two operands (ndarrays or Python numbers) cast so that NumPy combines them as PyTorch would."""
    ranks: list[list[DType]] = [[], [], []]
    for x in (a, b):
        if isinstance(x, np.ndarray):
            ranks[0 if x.ndim else 1].append(dtype_of(x.dtype))
        else:
            ranks[2].append(scalar_dtype(x))
    found = combine_ranked(ranks)
    assert found is not None
    return cast_operand(a, found.numpy), cast_operand(b, found.numpy)


def cast_operand(x: Any, to: np.dtype) -> Any:
    """An operand as an array of dtype `to`; numbers that do not fit wrap around."""
    if isinstance(x, np.ndarray):
        return x if x.dtype is to else x.astype(to)
    if isinstance(x, int) and not isinstance(x, bool) and to.kind in "iu":
        bits = 8 * to.itemsize
        x = x & ((1 << bits) - 1)
        if to.kind == "i" and x >> (bits - 1):
            x -= 1 << bits
    return np.array(x, to)
