"""Elements picked by masks, flat positions and positions along a dim: composites over indexing and gather.

Enters: tensors, masks, int64 index tensors. Leaves: fresh tensors.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from specjit.dtypes import bool_, int64
from specjit.ops.creation import zeros_like
from specjit.ops.gather import gather
from specjit.ops.masks import nonzero_op
from specjit.ops.records.composites import composite_function
from specjit.tensor.tensor import Tensor


@composite_function
def argwhere(input: Tensor) -> Tensor:
    """Indices of the nonzero elements, one row each: `nonzero` by another name."""
    return nonzero_op(input)


@composite_function
def masked_select(input: Tensor, mask: Tensor) -> Tensor:
    """The elements where `mask` is True, in row-major order; the two are broadcast."""
    if mask.dtype is not bool_:
        raise RuntimeError("masked_select: expected BoolTensor for mask")
    chosen = mask | zeros_like(input, dtype=bool_)
    return input.expand_as(chosen)[chosen]


@composite_function(direct=lambda x, index: np.asarray(np.take(x, index)) if index.dtype.char in "lq" else None)
def take(input: Tensor, index: Tensor) -> Tensor:
    """The elements of the flattened tensor at the positions `index`, which may be negative."""
    if index.dtype is not int64:
        raise RuntimeError(f"take(): Expected a long tensor for index, but got {index.dtype.name}")
    return input.reshape(-1)[index]


@composite_function
def take_along_dim(input: Tensor, indices: Tensor, dim: int | None = None) -> Tensor:
    """The elements at `indices` along `dim`, where the other dims are broadcast; without `dim`, of the flattened
    tensor. Positions are taken modulo the size."""
    if indices.dtype is not int64:
        raise RuntimeError(f"torch.take_along_dim(): dtype of indices should be Long but got {indices.dtype.name}")
    if dim is None:
        return _along(input.reshape(-1), indices.reshape(-1), 0)
    if input.ndim != indices.ndim:
        raise RuntimeError(
            "torch.take_along_dim(): input and indices should have the same number of dimensions, but got "
            f"{input.ndim} dimensions for input, and {indices.ndim} dimensions for indices"
        )
    if not -input.ndim <= dim < input.ndim:
        raise IndexError(
            f"Dimension out of range (expected to be in range of [{-input.ndim}, {input.ndim - 1}], but got {dim})"
        )
    axis = dim % input.ndim
    sizes = [indices.shape[d] if input.shape[d] == 1 else input.shape[d] for d in range(input.ndim)]
    wide = input.expand(sizes[:axis] + [input.shape[axis]] + sizes[axis + 1 :])
    return _along(wide, indices.expand(sizes[:axis] + [indices.shape[axis]] + sizes[axis + 1 :]), axis)


def _along(x: Any, at: Any, axis: int) -> Any:
    return gather(x, axis, at % x.shape[axis])
