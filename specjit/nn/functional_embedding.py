"""Tables looked up by index.

Enters: index tensors. Leaves: rows.
"""

from __future__ import annotations

from typing import Any

from specjit.ops import gather


def embedding(
    input: Any,
    weight: Any,
    padding_idx: int | None = None,
    max_norm: None = None,
    norm_type: float = 2.0,
    scale_grad_by_freq: bool = False,
    sparse: bool = False,
) -> Any:
    """Rows of weight (count, d) at the indices in `input`."""
    if max_norm is not None or scale_grad_by_freq or sparse:
        raise NotImplementedError("embedding: max_norm, scale_grad_by_freq and sparse are not supported")
    row = -1
    if padding_idx is not None:
        row = padding_idx if padding_idx >= 0 else weight.shape[0] + padding_idx
    return gather.embedding(weight, input, row)


def one_hot(tensor: Any, num_classes: int = -1) -> Any:
    """int64 rows with a 1 at the class index."""
    return gather.one_hot(tensor, num_classes)
