"""Dropout: random zeros in training.

Enters: tensors. Leaves: tensors of the same shape.
"""

from __future__ import annotations

from typing import Any

from specjit.ops import sampling


def dropout(input: Any, p: float = 0.5, training: bool = True, inplace: bool = False) -> Any:
    """Zero elements with probability p and scale the rest by 1/(1-p)."""
    if p < 0.0 or p > 1.0:
        raise ValueError(f"dropout probability has to be between 0 and 1, but got {p}")
    if not training or p == 0.0:
        return input
    mask = sampling.dropout_mask(input, p)
    return input.mul_(mask) if inplace else input * mask
