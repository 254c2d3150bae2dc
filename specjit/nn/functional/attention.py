"""Scaled dot-product attention.

Enters: queries (..., L, E), keys (..., S, E), values (..., S, Ev). Leaves: (..., L, Ev).
Invariant: a query whose keys are all masked gets zeros, as in PyTorch.
"""

from __future__ import annotations

import math

from specjit import dtypes
from specjit.nn.functional.dropout import dropout
from specjit.ops import arithmetic, casts, creation, linalg, pointwise, reduce
from specjit.tensor.tensor import Tensor


def _repeated_heads(x: Tensor, heads: int) -> Tensor:
    """Each head of (..., H, S, E) for several neighbouring ones of `heads`."""
    have = x.shape[-3]
    if heads % have != 0:
        raise RuntimeError("Number of heads in key and value must divide the number of heads in query")
    shape = list(x.shape)
    times = x.unsqueeze(-3).expand(shape[:-2] + [heads // have] + shape[-2:])
    return times.reshape(shape[:-3] + [heads] + shape[-2:])


def _check(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, is_causal: bool) -> None:
    if query.ndim < 2 or key.ndim < 2 or value.ndim < 2:
        raise RuntimeError(
            "Expected query, key, and value to all be  at least 2 dimensional, but got query.dim: "
            f"{query.ndim} key.dim: {key.ndim} and value.dim: {value.ndim} instead."
        )
    if query.dtype is not key.dtype or query.dtype is not value.dtype:
        raise RuntimeError(
            f"Expected query, key, and value to have the same dtype, but got query.dtype: {query.dtype.name} "
            f"key.dtype: {key.dtype.name} and value.dtype: {value.dtype.name} instead."
        )
    if not query.dtype.is_floating_point:
        raise RuntimeError(f"expected m1 and m2 to have the same dtype, but got: float != {query.dtype.name}")
    if mask is not None:
        if is_causal:
            raise RuntimeError(
                "_scaled_dot_product_attention: Explicit attn_mask should not be set when is_causal=True"
            )
        if mask.dtype is not dtypes.bool_ and mask.dtype is not dtypes.float32 and mask.dtype is not query.dtype:
            raise RuntimeError(
                "Expected attn_mask dtype to be bool or float or to match query dtype, but got attn_mask.dtype: "
                f"{mask.dtype.name} and  query.dtype: {query.dtype.name} instead."
            )


def scaled_dot_product_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    *,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:
    """softmax(query @ key.T * scale + mask) @ value.

    attn_mask: bool, True where a key takes part, or numbers to add; broadcast to (..., L, S).
    is_causal: query i sees the keys up to i. scale: 1/sqrt(E) unless given. dropout_p: of the weights, always applied.
    enable_gqa: fewer heads (dim -3) of key and value than of query, each shared by neighbouring ones.
    """
    _check(query, key, value, attn_mask, is_causal)
    q, k, v = casts.widen(query), casts.widen(key), casts.widen(value)
    if enable_gqa:
        k, v = _repeated_heads(k, q.shape[-3]), _repeated_heads(v, q.shape[-3])
    factor = query.shape[-1] ** -0.5 if scale is None else scale
    logits = linalg.matmul(q * factor, k.transpose(-2, -1))
    if is_causal:
        seen = creation.arange(query.shape[-2]).unsqueeze(1) >= creation.arange(key.shape[-2])
        logits = arithmetic.where(seen, logits, -math.inf)
    elif attn_mask is not None and attn_mask.dtype is dtypes.bool_:
        logits = arithmetic.where(attn_mask, logits, -math.inf)
    elif attn_mask is not None:
        logits = logits + casts.to_dtype(attn_mask, logits.dtype)
    weights = _weights(logits)
    if dropout_p > 0.0:
        weights = dropout(weights, dropout_p)
    return casts.to_dtype(linalg.matmul(weights, v), query.dtype)


def _weights(logits: Tensor) -> Tensor:
    """Softmax over the last dim, whose rows of nothing but -inf are 0 instead of NaN."""
    top = reduce.amax(logits, -1, True).detach()
    e = pointwise.exp(logits - arithmetic.where(top == -math.inf, 0.0, top))
    total = reduce.sum(e, -1, True)
    return e / arithmetic.where(total == 0, 1.0, total)
