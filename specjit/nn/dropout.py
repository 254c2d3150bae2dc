"""Dropout layers.

Enters: the probability. Leaves: modules without parameters.
"""

from __future__ import annotations

from typing import Any

from specjit.nn import functional as F
from specjit.nn.module import Module


class Dropout(Module):
    """In training, zero elements with probability p and scale the rest by 1/(1-p)."""

    def __init__(self, p: float = 0.5, inplace: bool = False) -> None:
        super().__init__()
        if p < 0 or p > 1:
            raise ValueError(f"dropout probability has to be between 0 and 1, but got {p}")
        self.p = p
        self.inplace = inplace

    def forward(self, input: Any) -> Any:
        return F.dropout(input, self.p, self.training, self.inplace)

    def extra_repr(self) -> str:
        return f"p={self.p}, inplace={self.inplace}"
