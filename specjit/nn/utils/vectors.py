"""Parameters as one vector, and back.

Enters: tensors, or a vector. Leaves: their elements in order.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from specjit.ops.combine import cat
from specjit.tensor.tensor import Tensor


def parameters_to_vector(parameters: Iterable[Tensor]) -> Any:
    """All elements in one vector."""
    return cat([p.reshape(-1) for p in parameters])


def vector_to_parameters(vec: Tensor, parameters: Iterable[Tensor]) -> None:
    """Make the parameters views of slices of a vector."""
    if not isinstance(vec, Tensor):
        raise TypeError(f"expected specjit.Tensor, but got: {type(vec).__name__}")
    start = 0
    for p in parameters:
        p.data = vec[start : start + p.numel()].view(p.shape).data
        start += p.numel()
