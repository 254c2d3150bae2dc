"""Lengths, distances and angles of vectors along a dim.

Enters: floating-point tensors. Leaves: tensors without that dim (or of the same shape, normalized).
Invariant: the gradient of the length of a zero vector is 0.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from specjit.dtypes import TITLES
from specjit.nn.functional_common import at_least
from specjit.ops import arithmetic, casts, pointwise, reduce
from specjit.tensor.tensor import Tensor


def length(x: Tensor, p: float, dim: int | Sequence[int], keepdim: bool) -> Tensor:
    """The p-norm along `dim`."""
    if p == math.inf:
        return reduce.amax(pointwise.abs(x), dim, keepdim)
    if p == -math.inf:
        return reduce.amin(pointwise.abs(x), dim, keepdim)
    if p == 1.0:
        return reduce.sum(pointwise.abs(x), dim, keepdim)
    if p == 0.0:
        return reduce.sum(casts.to_dtype(x != 0, x.dtype), dim, keepdim)
    total = reduce.sum(x * x if p == 2.0 else pointwise.abs(x) ** p, dim, keepdim)
    # A root has no slope at 0; what is not taken must not have one either.
    zero = total == 0
    safe = arithmetic.where(zero, 1.0, total)
    return arithmetic.where(zero, 0.0, pointwise.sqrt(safe) if p == 2.0 else safe ** (1.0 / p))


def normalize(input: Tensor, p: float = 2.0, dim: int | Sequence[int] = 1, eps: float = 1e-12) -> Tensor:
    """input / max(its p-norm along `dim`, eps)."""
    if not input.dtype.is_floating_point:
        raise RuntimeError(
            f"linalg.vector_norm: Expected a floating point or complex tensor as input. Got {TITLES[input.dtype.name]}"
        )
    x = casts.widen(input)
    return casts.to_dtype(x / arithmetic.clamp(length(x, p, dim, True), min=eps), input.dtype)


def cosine_similarity(x1: Tensor, x2: Tensor, dim: int = 1, eps: float = 1e-08) -> Tensor:
    """The cosine of the angle between vectors along `dim`; lengths count as at least `eps`."""
    product = x1 * x2
    if not product.dtype.is_floating_point:
        raise RuntimeError(
            f"expected common dtype to be floating point, yet common dtype is {TITLES[product.dtype.name]}"
        )
    # `dim` is one of the broadcast shape, and so are the vectors.
    a, b = casts.widen(x1).expand(product.shape), casts.widen(x2).expand(product.shape)
    lengths = at_least(length(a, 2.0, dim, False), eps) * at_least(length(b, 2.0, dim, False), eps)
    return casts.to_dtype(reduce.sum(a * b, dim) / lengths, product.dtype)


def pairwise_distance(x1: Tensor, x2: Tensor, p: float = 2.0, eps: float = 1e-06, keepdim: bool = False) -> Tensor:
    """The p-norm of x1 - x2 + eps over the last dim."""
    difference = x1 - x2 + eps
    return casts.to_dtype(length(casts.widen(difference), p, -1, keepdim), difference.dtype)
