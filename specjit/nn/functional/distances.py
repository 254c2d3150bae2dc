"""Lengths, distances and angles of vectors along a dim.

Enters: floating-point tensors. Leaves: tensors without that dim (or of the same shape, normalized).
Invariant: the gradient of the length of a zero vector is 0.
"""

from __future__ import annotations

from collections.abc import Sequence

from specjit.dtypes import TITLES
from specjit.nn.functional.common import at_least
from specjit.ops import arithmetic, casts, reduce
from specjit.ops.norms import vector_norm
from specjit.tensor.tensor import Tensor


def normalize(input: Tensor, p: float = 2.0, dim: int | Sequence[int] = 1, eps: float = 1e-12) -> Tensor:
    """input / max(its p-norm along `dim`, eps)."""
    return input / arithmetic.clamp(vector_norm(input, p, dim, True), min=eps)


def cosine_similarity(x1: Tensor, x2: Tensor, dim: int = 1, eps: float = 1e-08) -> Tensor:
    """The cosine of the angle between vectors along `dim`; lengths count as at least `eps`."""
    product = x1 * x2
    if not product.dtype.is_floating_point:
        raise RuntimeError(
            f"expected common dtype to be floating point, yet common dtype is {TITLES[product.dtype.name]}"
        )
    # `dim` is one of the broadcast shape, and so are the vectors.
    a, b = casts.widen(x1).expand(product.shape), casts.widen(x2).expand(product.shape)
    lengths = at_least(vector_norm(a, 2, dim), eps) * at_least(vector_norm(b, 2, dim), eps)
    return casts.to_dtype(reduce.sum(a * b, dim) / lengths, product.dtype)


def pairwise_distance(x1: Tensor, x2: Tensor, p: float = 2.0, eps: float = 1e-06, keepdim: bool = False) -> Tensor:
    """The p-norm of x1 - x2 + eps over the last dim."""
    return vector_norm(x1 - x2 + eps, p, -1, keepdim)
