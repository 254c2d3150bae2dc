"""Attention of several heads, from the projections of its inputs to that of its result.

Enters: query (L, N, E), key (S, N, ·), value (S, N, ·), or the same without N; weights; masks. Leaves: result (L, N, E)
and, if wanted, the weights of attention (N, L, S).
Inside, heads are a dim of their own: (N, H, L, E / H); masks are added to the scores (N, H, L, S).
"""

from __future__ import annotations

import math
from typing import Any

from specjit.dtypes import bool_
from specjit.nn.functional.attention import scaled_dot_product_attention
from specjit.nn.functional.dropout import dropout
from specjit.nn.functional.linear import linear
from specjit.ops.combine import cat
from specjit.ops.creation import full, zeros
from specjit.ops.linalg import matmul
from specjit.ops.reduce import mean
from specjit.ops.softmax import softmax


def multi_head_attention_forward(
    query: Any,
    key: Any,
    value: Any,
    embed_dim_to_check: int,
    num_heads: int,
    in_proj_weight: Any,
    in_proj_bias: Any,
    bias_k: Any,
    bias_v: Any,
    add_zero_attn: bool,
    dropout_p: float,
    out_proj_weight: Any,
    out_proj_bias: Any,
    training: bool = True,
    key_padding_mask: Any = None,
    need_weights: bool = True,
    attn_mask: Any = None,
    use_separate_proj_weight: bool = False,
    q_proj_weight: Any = None,
    k_proj_weight: Any = None,
    v_proj_weight: Any = None,
    static_k: Any = None,
    static_v: Any = None,
    average_attn_weights: bool = True,
    is_causal: bool = False,
) -> Any:
    """(result, weights or None). Masks are bool (True: not attended to) or float (added to the scores).

    key_padding_mask: (N, S), or (S) without batch. attn_mask: (L, S), or (N * heads, L, S).
    bias_k, bias_v: one more key and value for all; add_zero_attn: one more of zeros.
    static_k, static_v: projected keys and values (N * heads, S, head_dim) in the place of `key` and `value`.
    is_causal: says that `attn_mask` is the causal one.
    need_weights=False: a query all of whose keys are masked gets 0; otherwise NaN, as the weights are.
    """
    _check_shapes(query, key, value, key_padding_mask, attn_mask)
    if is_causal and attn_mask is None:
        raise RuntimeError("Need attn_mask if specifying the is_causal hint.")
    batched = query.ndim == 3
    if not batched:
        query, key, value = query.unsqueeze(1), key.unsqueeze(1), value.unsqueeze(1)
        key_padding_mask = None if key_padding_mask is None else key_padding_mask.unsqueeze(0)
    length, batch, width = query.shape
    if width != embed_dim_to_check:
        raise AssertionError(f"was expecting embedding dimension of {embed_dim_to_check}, but got {width}")
    head = width // num_heads
    if head * num_heads != width:
        raise AssertionError(f"embed_dim {width} not divisible by num_heads {num_heads}")
    _check_sources(key, value, use_separate_proj_weight)

    if use_separate_proj_weight:
        w_q, w_k, w_v = q_proj_weight, k_proj_weight, v_proj_weight
    else:
        w_q, w_k, w_v = in_proj_weight.chunk(3)
    b_q, b_k, b_v = (None, None, None) if in_proj_bias is None else in_proj_bias.chunk(3)
    q, k, v = linear(query, w_q, b_q), linear(key, w_k, b_k), linear(value, w_v, b_v)
    # The hint saves reading the mask, where nothing else needs it.
    hinted = is_causal and key_padding_mask is None and not need_weights
    mask = None if hinted else _mask(attn_mask, key_padding_mask, (batch, num_heads, length, key.shape[0]), query)
    if bias_k is not None and bias_v is not None:
        if static_k is not None or static_v is not None:
            raise AssertionError("bias cannot be added to static key or value.")
        k = cat([k, bias_k.expand(1, batch, width)])
        v = cat([v, bias_v.expand(1, batch, width)])
        mask = _one_more_key(mask)
    q = _heads(q, num_heads, head)
    k = _heads(k, num_heads, head) if static_k is None else static_k.reshape(batch, num_heads, -1, head)
    v = _heads(v, num_heads, head) if static_v is None else static_v.reshape(batch, num_heads, -1, head)
    if add_zero_attn:
        zero = zeros(batch, num_heads, 1, head, dtype=k.dtype, device=k.device)
        k, v = cat([k, zero], 2), cat([v, zero], 2)
        mask = _one_more_key(mask)

    p = dropout_p if training else 0.0
    if not need_weights:
        out = scaled_dot_product_attention(q, k, v, mask, p, hinted)
        return _joined(out, out_proj_weight, out_proj_bias, batched), None
    scores = matmul(q * head**-0.5, k.transpose(-2, -1))
    weights = softmax(scores if mask is None else scores + mask, -1)
    weights = dropout(weights, p)
    out = _joined(matmul(weights, v), out_proj_weight, out_proj_bias, batched)
    if average_attn_weights:
        weights = mean(weights, 1)
    return out, (weights if batched else weights.squeeze(0))


def _joined(x: Any, weight: Any, bias: Any, batched: bool) -> Any:
    """(N, heads, L, head) as (L, N, E), projected; without N as it came."""
    x = x.permute(2, 0, 1, 3)
    out = linear(x.reshape(x.shape[0], x.shape[1], x.shape[2] * x.shape[3]), weight, bias)
    return out if batched else out.squeeze(1)


def _heads(x: Any, heads: int, head: int) -> Any:
    """(S, N, E) as (N, heads, S, head)."""
    return x.reshape(x.shape[0], x.shape[1], heads, head).permute(1, 2, 0, 3)


def _mask(attn_mask: Any, key_padding_mask: Any, shape: tuple[int, int, int, int], like: Any) -> Any:
    """What is added to the scores (N, H, L, S), of a shape that broadcasts to theirs; None if nothing is masked."""
    batch, heads, length, sources = shape
    mask = None
    if attn_mask is not None:
        mask = added(attn_mask, "attn_mask", like)
        if attn_mask.ndim == 2 and tuple(attn_mask.shape) != (length, sources):
            raise RuntimeError(
                f"The shape of the 2D attn_mask is {attn_mask.shape}, but should be {(length, sources)}."
            )
        if attn_mask.ndim == 3:
            if tuple(attn_mask.shape) != (batch * heads, length, sources):
                raise RuntimeError(
                    f"The shape of the 3D attn_mask is {attn_mask.shape}, but should be "
                    f"{(batch * heads, length, sources)}."
                )
            mask = mask.reshape(batch, heads, length, sources)
    if key_padding_mask is None:
        return mask
    if tuple(key_padding_mask.shape) != (batch, sources):
        raise AssertionError(
            f"expecting key_padding_mask shape of {(batch, sources)}, but got {key_padding_mask.shape}"
        )
    padding = added(key_padding_mask, "key_padding_mask", like).reshape(batch, 1, 1, sources)
    return padding if mask is None else mask + padding


def added(mask: Any, name: str, like: Any) -> Any:
    """A mask as what is added to scores: -inf where a bool mask is True."""
    if mask.dtype == bool_:
        return zeros(mask.shape, dtype=like.dtype, device=like.device).masked_fill(mask, -math.inf)
    if not mask.dtype.is_floating_point:
        raise AssertionError(f"only bool and floating types of {name} are supported")
    return mask


def _one_more_key(mask: Any) -> Any:
    """The mask with a further key that is never masked."""
    if mask is None:
        return None
    return cat([mask, full(list(mask.shape[:-1]) + [1], 0.0, dtype=mask.dtype, device=mask.device)], -1)


def _check_shapes(query: Any, key: Any, value: Any, key_padding_mask: Any, attn_mask: Any) -> None:
    ndim = query.ndim
    if ndim not in (2, 3):
        raise AssertionError(f"query should be unbatched 2D or batched 3D tensor but received {ndim}-D query tensor")
    kind = "batched (3-D)" if ndim == 3 else "unbatched (2-D)"
    if key.ndim != ndim or value.ndim != ndim:
        raise AssertionError(
            f"For {kind} `query`, expected `key` and `value` to be {ndim}-D but found {key.ndim}-D and {value.ndim}-D "
            "tensors respectively"
        )
    if key_padding_mask is not None and key_padding_mask.ndim != ndim - 1:
        raise AssertionError(
            f"For {kind} `query`, expected `key_padding_mask` to be `None` or {ndim - 1}-D but found "
            f"{key_padding_mask.ndim}-D tensor instead"
        )
    if attn_mask is not None and attn_mask.ndim not in (2, 3):
        raise AssertionError(
            f"For {kind} `query`, expected `attn_mask` to be `None`, 2-D or 3-D but found {attn_mask.ndim}-D tensor "
            "instead"
        )


def _check_sources(key: Any, value: Any, separate: bool) -> None:
    if separate:
        if key.shape[:2] != value.shape[:2]:
            raise AssertionError(
                f"key's sequence and batch dims {key.shape[:2]} do not match value's {value.shape[:2]}"
            )
    elif key.shape != value.shape:
        raise AssertionError(f"key shape {key.shape} does not match value shape {value.shape}")
