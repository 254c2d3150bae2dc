"""Functions that are others with fixed arguments: bounds on one side, splits along a given dim, membership. Composites.

Enters: tensors. Leaves: what the functions leave that they call.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from specjit.dtypes import bool_
from specjit.ops.combine import split
from specjit.ops.norms import vector_norm
from specjit.ops.records.composites import Number, composite_function
from specjit.ops.views import diag_embed, tensor_split
from specjit.tensor.tensor import Tensor


@composite_function(inplace=True)
def clamp_min(input: Tensor, min: Tensor | Number) -> Tensor:
    """`clamp` with a lower bound only."""
    return input.clamp(min, None)


@composite_function(inplace=True)
def clamp_max(input: Tensor, max: Tensor | Number) -> Tensor:
    """`clamp` with an upper bound only."""
    return input.clamp(None, max)


@composite_function
def split_with_sizes(input: Tensor, split_sizes: Sequence[int], dim: int = 0) -> Any:
    """`split` into parts of the given sizes."""
    return split(input, split_sizes, dim)


@composite_function
def hsplit(input: Tensor, indices_or_sections: Any) -> Any:
    """`tensor_split` into columns: along dim 1, or dim 0 of 1-d tensors."""
    _check_split(input, indices_or_sections, 1, "hsplit", 0 if input.ndim == 1 else 1)
    return tensor_split(input, indices_or_sections, 0 if input.ndim == 1 else 1)


@composite_function
def vsplit(input: Tensor, indices_or_sections: Any) -> Any:
    """`tensor_split` into rows."""
    _check_split(input, indices_or_sections, 2, "vsplit", 0)
    return tensor_split(input, indices_or_sections, 0)


@composite_function
def dsplit(input: Tensor, indices_or_sections: Any) -> Any:
    """`tensor_split` along dim 2."""
    _check_split(input, indices_or_sections, 3, "dsplit", 2)
    return tensor_split(input, indices_or_sections, 2)


def _check_split(x: Any, given: Any, least: int, name: str, dim: int) -> None:
    """Unlike `tensor_split`, these want enough dims, and parts of one size."""
    if x.ndim < least:
        raise RuntimeError(
            f"torch.{name} requires a tensor with at least {least} dimension{'s' * (least > 1)}, but got a tensor with "
            f"{x.ndim} dimensions!"
        )
    if isinstance(given, int) and (given <= 0 or x.shape[dim] % given):
        raise RuntimeError(
            f"torch.{name} attempted to split along dimension {dim}, but the size of the dimension {x.shape[dim]} is "
            f"not divisible by the split_size {given}!"
        )


@composite_function(method=False)
def isin(elements: Tensor, test_elements: Tensor, *, assume_unique: bool = False, invert: bool = False) -> Tensor:
    """Whether each of `elements` is among `test_elements`, or (`invert`) is not. `assume_unique` changes nothing."""
    for dtype in (elements.dtype, test_elements.dtype):
        if dtype is bool_:
            raise RuntimeError("Unsupported input type encountered for isin(): Bool")
    found = (elements.unsqueeze(-1) == test_elements.reshape(-1)).any(-1)
    return ~found if invert else found


@composite_function
def diagflat(input: Tensor, offset: int = 0) -> Tensor:
    """The matrix with all elements, in row-major order, on a diagonal."""
    return diag_embed(input.reshape(-1), offset)


@composite_function
def dist(input: Tensor, other: Tensor, p: Number = 2) -> Tensor:
    """The p-norm of input - other."""
    return vector_norm(input - other, p)
