"""The row of attention of several heads as a function."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

import specjit
from tests.attention import attend
from tests.opinfo import Make, Sample, row


def samples(make: Make) -> Iterator[Sample]:
    def x(*shape: int) -> Any:
        return make(*shape, low=-1, high=1)

    def given(q: Any, k: Any, v: Any, *, heads: int = 2, extra: Any = (None, None), bias: bool = True) -> Any:
        e = q.shape[-1]
        weights = (x(3 * e, e), x(3 * e) if bias else None, *extra, False, 0.0, x(e, e), x(e) if bias else None)
        return (q, k, v, e, heads, *weights)

    yield given(x(3, 2, 4), x(5, 2, 4), x(5, 2, 4)), {"average_attn_weights": False}
    yield given(x(3, 4), x(5, 4), x(5, 4), bias=False), {"attn_mask": make(3, 5)}
    hidden = specjit.tensor(np.arange(3) >= np.array([[3], [2]]))
    extra = (x(1, 1, 2), x(1, 1, 2))
    yield given(x(2, 2, 2), x(3, 2, 2), x(3, 2, 2), heads=1, extra=extra), {"key_padding_mask": hidden}
    yield given(x(1, 1, 2), x(1, 1, 2), x(1, 1, 2)), {"attn_mask": make(2, 1, 1)}


def reference(
    query: Any,
    key: Any,
    value: Any,
    width: int,
    heads: int,
    weight: Any,
    bias: Any,
    bias_k: Any,
    bias_v: Any,
    zero: bool,
    p: float,
    out_weight: Any,
    out_bias: Any,
    key_padding_mask: Any = None,
    attn_mask: Any = None,
    average_attn_weights: bool = True,
) -> Any:
    named = {"in_proj_weight": weight, "in_proj_bias": bias, "bias_k": bias_k, "bias_v": bias_v}
    named |= {"out_proj.weight": out_weight, "out_proj.bias": out_bias}
    w = {k: v.astype(np.float64) for k, v in named.items() if v is not None}
    inputs = [x.astype(np.float64) for x in (query, key, value)]
    if query.ndim == 2:
        inputs = [x[:, None] for x in inputs]
    out, weights = attend(w, heads, *inputs, key_padding_mask, attn_mask, zero)
    weights = weights.mean(1) if average_attn_weights else weights
    return (out[:, 0], weights[0]) if query.ndim == 2 else (out, weights)


def call(library: Any, *inputs: Any, heads: int = 2, **options: Any) -> Any:
    """The function of specjit, or PyTorch's in the comparison."""
    ones = library.ones
    w = (ones(12, 4), None, None, None, False, 0.0, ones(4, 4), None)
    return library.nn.functional.multi_head_attention_forward(*inputs, 4, heads, *w, **options)


Q, K = specjit.ones(3, 2, 4), specjit.ones(5, 2, 4)
row(
    "nn.functional.multi_head_attention_forward",
    samples,
    reference,
    scale=16,
    errors=[
        (lambda: call(specjit, Q[..., :3], K, K), AssertionError, "expecting embedding dimension of 4, but got 3"),
        (lambda: call(specjit, Q, K, K, heads=3), AssertionError, "not divisible by num_heads"),
        (lambda: call(specjit, Q, K, K[1:]), AssertionError, "does not match value shape"),
        (lambda: call(specjit, Q[0, 0], K, K), AssertionError, "unbatched 2D or batched 3D tensor but received 1-D"),
        (
            lambda: call(specjit, Q[0], K, K),
            AssertionError,
            "expected `key` and `value` to be 2-D but found 3-D and 3-D",
        ),
        (lambda: call(specjit, Q, K, K, attn_mask=specjit.ones(2, 2)), RuntimeError, "2D attn_mask is"),
        (lambda: call(specjit, Q, K, K, attn_mask=specjit.ones(2, 3, 5)), RuntimeError, "3D attn_mask is"),
        (lambda: call(specjit, Q, K, K, attn_mask=specjit.ones(5)), AssertionError, "found 1-D tensor instead"),
        (
            lambda: call(specjit, Q, K, K, attn_mask=specjit.ones(3, 5).int()),
            AssertionError,
            "only bool and floating types",
        ),
        (lambda: call(specjit, Q, K, K, key_padding_mask=specjit.ones(2, 3)), AssertionError, "key_padding_mask|shape"),
        (
            lambda: call(specjit, Q, K, K, key_padding_mask=specjit.ones(5)),
            AssertionError,
            "`None` or 2-D but found 1-D",
        ),
        (lambda: call(specjit, Q, K, K, is_causal=True), RuntimeError, "Need attn_mask"),
    ],
)
