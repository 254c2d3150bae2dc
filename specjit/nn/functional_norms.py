"""Normalization layers.

Enters: tensors. Leaves: tensors of the same shape.
"""

from __future__ import annotations

from typing import Any

from specjit.ops import arithmetic, pointwise, reduce


def layer_norm(input: Any, normalized_shape: Any, weight: Any = None, bias: Any = None, eps: float = 1e-05) -> Any:
    """Mean 0 and variance 1 over the last dims, then weight and bias."""
    shape = tuple(normalized_shape)
    if tuple(input.shape[input.ndim - len(shape) :]) != shape:
        raise RuntimeError(
            f"Given normalized_shape={list(shape)}, expected input with shape {['*', *shape]}, but got input of size "
            f"{list(input.shape)}"
        )
    dims = tuple(range(-len(shape), 0))
    centered = input - reduce.mean(input, dims, True)
    variance = reduce.mean(centered * centered, dims, True)
    out = centered * pointwise.rsqrt(variance + eps)
    if weight is not None:
        out = out * weight
    if bias is not None:
        out = out + bias
    return out


def normalize(input: Any, p: float = 2.0, dim: int = 1, eps: float = 1e-12) -> Any:
    """input / max(||input||_p, eps) along `dim`."""
    if p == 2.0:
        length = pointwise.sqrt(reduce.sum(input * input, dim, True))
    else:
        length = reduce.sum(pointwise.abs(input) ** p, dim, True) ** (1.0 / p)
    return input / arithmetic.clamp(length, min=eps)
