"""Normalization layers.

Enters: sizes and options. Leaves: modules with initialized parameters.
"""

from __future__ import annotations

from typing import Any

from specjit.nn import functional as F
from specjit.nn.module import Module
from specjit.ops.creation import ones, zeros
from specjit.tensor.tensor import Parameter


class LayerNorm(Module):
    """Normalize over the last dims, then scale and shift (unless `elementwise_affine` is False)."""

    def __init__(
        self,
        normalized_shape: Any,
        eps: float = 1e-05,
        elementwise_affine: bool = True,
        bias: bool = True,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        shape = (normalized_shape,) if isinstance(normalized_shape, int) else tuple(normalized_shape)
        self.normalized_shape = shape
        self.eps = eps
        self.elementwise_affine = elementwise_affine
        self.register_parameter("weight", Parameter(ones(shape, dtype=dtype)) if elementwise_affine else None)
        self.register_parameter("bias", Parameter(zeros(shape, dtype=dtype)) if elementwise_affine and bias else None)

    def forward(self, input: Any) -> Any:
        return F.layer_norm(input, self.normalized_shape, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        flags = f"elementwise_affine={self.elementwise_affine}, bias={self.bias is not None}"
        return f"{self.normalized_shape}, eps={self.eps}, {flags}"
