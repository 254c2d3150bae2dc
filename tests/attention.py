"""Attention of several heads in NumPy, for the rows of the function and of the layers."""

from __future__ import annotations

import math
from typing import Any

import numpy as np


def softmax(x: np.ndarray) -> np.ndarray:
    """Over the last axis; zeros where nothing is left."""
    e = np.exp(x - np.maximum(x.max(-1, keepdims=True), -1e300))
    return e / np.maximum(e.sum(-1, keepdims=True), 1e-300)


def additive(mask: Any) -> Any:
    if mask is None:
        return 0.0
    return np.where(mask, -np.inf, 0.0) if mask.dtype == bool else mask


def attend(
    w: dict[str, Any],
    heads: int,
    query: Any,
    key: Any,
    value: Any,
    padding: Any = None,
    mask: Any = None,
    zero: bool = False,
) -> tuple[Any, Any]:
    """Result (L, N, E) and weights (N, heads, L, S) for weights under the layer's names and inputs with time first, one
    sample and head after another."""
    width = query.shape[-1]
    names = ("q_proj_weight", "k_proj_weight", "v_proj_weight")
    maps = np.split(w["in_proj_weight"], 3) if "in_proj_weight" in w else [w[n] for n in names]
    shifts = np.split(w.get("in_proj_bias", np.zeros(3 * width)), 3)
    q, k, v = (x @ a.T + b for x, a, b in zip((query, key, value), maps, shifts))
    sources, size = key.shape[0], width // heads
    results, weights = np.zeros(query.shape[:2] + (width,)), []
    for n in range(query.shape[1]):
        weights.append([])
        for h in range(heads):
            own = slice(h * size, (h + 1) * size)
            keys, values = k[:, n, own], v[:, n, own]
            total = np.zeros((len(query), sources))
            total = total + additive(None if padding is None else padding[n])
            total = total + additive(mask if mask is None or mask.ndim == 2 else mask[n * heads + h])
            more = []
            if "bias_k" in w:
                more.append((w["bias_k"][0, :, own], w["bias_v"][0, :, own]))
            if zero:
                more.append((np.zeros((1, size)),) * 2)
            for one, two in more:
                keys, values = np.concatenate([keys, one]), np.concatenate([values, two])
                total = np.concatenate([total, np.zeros((len(query), 1))], 1)
            p = softmax(q[:, n, own] @ keys.T / math.sqrt(size) + total)
            results[:, n, own] = p @ values
            weights[-1].append(p)
    return results @ w["out_proj.weight"].T + w.get("out_proj.bias", 0.0), np.array(weights)
