"""The row of attention."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

import specjit
from tests.opinfo import FLOATS, Make, Sample, row

Q = specjit.ones(2, 3, 4)
MASK = specjit.ones(3, 3, dtype=specjit.bool)


def samples(make: Make) -> Iterator[Sample]:
    def given(*batch: int, queries: int = 3, keys: int = 4, width: int = 2, values: int = 2) -> tuple[Any, ...]:
        return make(*batch, queries, width), make(*batch, keys, width), make(*batch, keys, values)

    yield given(2), {}
    yield given(), {"scale": 0.3}
    yield given(1, 2, values=3), {"is_causal": True}
    yield given(2, queries=4, keys=3), {"is_causal": True, "scale": 1.0}
    yield (*given(2), make.mask(3, 4)), {}
    yield (*given(2), make(3, 4)), {}
    yield (*given(1, 2), make(1, 1, 3, 4)), {}
    yield given(2), {"dropout_p": 0.0}
    empty = specjit.tensor([[True, False, True, False], [False] * 4, [True] * 4])
    yield (*given(2), empty), {}
    q, (_, k, v) = make(1, 4, 3, 2), given(1, 2)
    yield (q, k, v), {"enable_gqa": True}


def reference(
    q: Any,
    k: Any,
    v: Any,
    mask: Any = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: Any = None,
    enable_gqa: bool = False,
) -> np.ndarray:
    q, k, v = (a.astype(np.float64) for a in (q, k, v))
    if enable_gqa:
        k, v = (np.repeat(a, q.shape[-3] // a.shape[-3], axis=-3) for a in (k, v))
    x = q @ np.swapaxes(k, -1, -2) * (1 / np.sqrt(q.shape[-1]) if scale is None else scale)
    if is_causal:
        mask = np.tril(np.ones(x.shape[-2:], bool))
    if mask is not None:
        x = np.where(mask, x, -np.inf) if mask.dtype == bool else x + mask
    top = np.where(np.isinf(x.max(-1, keepdims=True)), 0, x.max(-1, keepdims=True))
    e = np.exp(x - top)
    total = e.sum(-1, keepdims=True)
    return e / np.where(total == 0, 1, total) @ v


row(
    "nn.functional.scaled_dot_product_attention",
    samples,
    reference,
    dtypes=FLOATS,
    scale=16,
    errors=[
        (
            lambda: specjit.nn.functional.scaled_dot_product_attention(Q, Q, Q, MASK, is_causal=True),
            RuntimeError,
            "Explicit attn_mask should not be set when is_causal=True",
        ),
        (
            lambda: specjit.nn.functional.scaled_dot_product_attention(Q[0, 0], Q, Q),
            RuntimeError,
            "at least 2 dimensional",
        ),
        (
            lambda: specjit.nn.functional.scaled_dot_product_attention(Q, Q.double(), Q),
            RuntimeError,
            "to have the same dtype",
        ),
        (
            lambda: specjit.nn.functional.scaled_dot_product_attention(Q, Q, Q, MASK.long()),
            RuntimeError,
            "Expected attn_mask dtype",
        ),
        (
            lambda: (
                specjit.nn.functional.scaled_dot_product_attention(Q[None], Q[None], Q[None], enable_gqa=True)
                + specjit.nn.functional.scaled_dot_product_attention(
                    specjit.ones(1, 4, 3, 4), specjit.ones(1, 3, 3, 4), specjit.ones(1, 3, 3, 4), enable_gqa=True
                )
            ),
            RuntimeError,
            "must divide the number of heads",
        ),
    ],
)
