"""Rows of attention and of the Transformer's encoders, against their equations in NumPy."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from scipy import special

import specjit
from specjit import nn
from tests.attention import attend
from tests.moduleinfo import module
from tests.opinfo import Make


def state(m: Any) -> dict[str, np.ndarray]:
    return {k: v.numpy().astype(np.float64) for k, v in m.state_dict().items()}


def attention_reference(m: Any, query: Any, key: Any, value: Any, padding: Any = None, *rest: Any) -> Any:
    need, mask, average = (*rest, *(True, None, True)[len(rest) :])
    w, heads, zero = state(m), m.num_heads, m.add_zero_attn
    if query.ndim == 2:
        padding = None if padding is None else padding[None]
        out, weights = attend(w, heads, query[:, None], key[:, None], value[:, None], padding, mask, zero)
        out, weights = out[:, 0], weights[0]
    elif m.batch_first:
        out, weights = attend(w, heads, *(x.swapaxes(0, 1) for x in (query, key, value)), padding, mask, zero)
        out = out.swapaxes(0, 1)
    else:
        out, weights = attend(w, heads, query, key, value, padding, mask, zero)
    if not need:
        return (out, None)
    return out, (weights.mean(-3) if average else weights)


def triangle(n: int) -> Any:
    return specjit.tensor(np.triu(np.ones((n, n), bool), 1))


def attention_cases(make: Make) -> Iterator[Any]:
    def x(*shape: int) -> Any:
        return make(*shape, low=-1, high=1)

    yield (4, 2), {}, (x(3, 2, 4), x(5, 2, 4), x(5, 2, 4))
    yield (4, 2), {"bias": False, "batch_first": True}, (x(2, 3, 4), x(2, 5, 4), x(2, 5, 4))
    q = x(3, 4)
    yield (4, 1), {}, (q, q, q, None, False, triangle(3))
    late = specjit.tensor(np.arange(5) >= np.array([[4], [2]]))
    yield (4, 2), {"kdim": 3, "vdim": 5}, (x(3, 2, 4), x(5, 2, 3), x(5, 2, 5), late, True, None, False)
    yield (4, 2), {"kdim": 3}, (x(3, 4), x(5, 3), x(5, 4), late[0])
    both = {"add_bias_kv": True, "add_zero_attn": True}
    yield (4, 2), both, (x(3, 2, 4), x(3, 2, 4), x(3, 2, 4), late[:, 1:4], True, triangle(3))
    yield (4, 4), {"add_bias_kv": True}, (x(3, 1, 4), x(2, 1, 4), x(2, 1, 4), None, False, make(4, 3, 2))
    yield (4, 2), {"add_zero_attn": True}, (x(3, 2, 4), x(5, 2, 4), x(5, 2, 4), make(2, 5), False, make(3, 5))
    # A query with no key left gets zeros where weights are not asked for.
    nothing = specjit.tensor(np.array([[True, True], [False, True]]))
    yield (4, 2), {}, (x(2, 1, 4), x(2, 1, 4), x(2, 1, 4), None, False, nothing)


module("MultiheadAttention", attention_cases, attention_reference, scale=10)


def normed(w: dict[str, Any], name: str, x: Any, eps: float) -> Any:
    centered = x - x.mean(-1, keepdims=True)
    out = centered / np.sqrt((centered**2).mean(-1, keepdims=True) + eps)
    return out * w.get(f"{name}.weight", 1.0) + w.get(f"{name}.bias", 0.0)


def layer_reference(m: Any, x: Any, mask: Any = None, padding: Any = None, *_: Any) -> Any:
    w, gelu = state(m), m.activation is not nn.functional.relu

    def attention(y: Any) -> Any:
        return attention_reference(m.self_attn, y, y, y, padding, False, mask)[0]

    def feed(y: Any) -> Any:
        inner = y @ w["linear1.weight"].T + w.get("linear1.bias", 0.0)
        inner = inner * special.ndtr(inner) if gelu else np.maximum(inner, 0)
        return inner @ w["linear2.weight"].T + w.get("linear2.bias", 0.0)

    if m.norm_first:
        x = x + attention(normed(w, "norm1", x, m.norm1.eps))
        return x + feed(normed(w, "norm2", x, m.norm2.eps))
    x = normed(w, "norm1", x + attention(x), m.norm1.eps)
    return normed(w, "norm2", x + feed(x), m.norm2.eps)


def layer_cases(make: Make) -> Iterator[Any]:
    late = specjit.tensor(np.arange(3) >= np.array([[3], [2]]))
    yield (4, 2, 3), {}, (make(3, 2, 4),)
    yield (4, 2, 3), {"norm_first": True, "activation": "gelu"}, (make(3, 2, 4), triangle(3), late)
    yield (4, 2, 3, 0.1, "gelu", 1e-3, True), {"bias": False}, (make(2, 3, 4), triangle(3), None, True)
    yield (4, 1, 3), {}, (make(3, 4), None, late[1])


module("TransformerEncoderLayer", layer_cases, layer_reference, random=True, scale=100)


def encoder_reference(m: Any, x: Any, *rest: Any) -> Any:
    for layer in m.layers:
        x = layer_reference(layer, x, *rest)
    return x


def encoder_cases(make: Make) -> Iterator[Any]:
    late = specjit.tensor(np.arange(3) >= np.array([[3], [2]]))
    yield (nn.TransformerEncoderLayer(4, 2, 3), 2), {}, (make(3, 2, 4),)
    layer = nn.TransformerEncoderLayer(4, 2, 3, norm_first=True, bias=False)
    yield (layer, 2), {}, (make(3, 2, 4), triangle(3), late)


# Made of a layer, which PyTorch's would not take; its loop is compared by the rows of the layer.
module("TransformerEncoder", encoder_cases, encoder_reference, random=True, compared=False, scale=100)
