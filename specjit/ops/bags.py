"""Bags of embeddings: which bag each index is in, where the largest entries of a bag are, gradients by frequency.

Enters: offsets, rows in the order of their bags. Leaves: indices, for gathers and sums of other ops.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from specjit import dtypes
from specjit.ir.types import Type
from specjit.ops.records import infer
from specjit.ops.records.lowering import pointwise
from specjit.ops.records.registry import NO_GRAD, defop


def _bag_numbers(offsets: np.ndarray, count: int) -> np.ndarray:
    if offsets.size and offsets[0] != 0:
        raise RuntimeError(
            "offsets[0] has to be 0, i.e., the first sequence in the mini-batch has to start from position 0. However, "
            f"got {offsets[0]}"
        )
    if offsets.size and offsets[-1] > count:
        raise RuntimeError(
            f"offsets[-1] can not be greater than input's length({count}), but got offsets[-1] of {offsets[-1]}"
        )
    return np.searchsorted(offsets, np.arange(count), side="right").astype(np.int64) - 1


bag_numbers = defop(
    "bag_numbers(offsets, count: int) -> Tensor",
    eager=_bag_numbers,
    infer=lambda offsets, count: Type.tensor(dtypes.int64, (infer.dim_of(count),)),
    vjp=NO_GRAD,
    public=False,
    method=False,
    doc="The bag of each of `count` positions; bag i begins at offsets[i].",
)


def _bag_argmax(rows: np.ndarray, bag: np.ndarray, kept: np.ndarray, bags: int) -> np.ndarray:
    out = np.full((bags, rows.shape[1]), -1, np.int64)
    places = np.flatnonzero(kept & (bag < bags))
    if not places.size:
        return out
    values, owner = rows[places], bag[places]
    first = np.flatnonzero(np.concatenate(([True], owner[1:] != owner[:-1])))
    top = np.maximum.reduceat(values, first, axis=0)
    of_row = np.repeat(np.arange(first.size), np.diff(np.append(first, owner.size)))
    hit = (values == top[of_row]) | np.isnan(values)
    out[owner[first]] = np.minimum.reduceat(np.where(hit, places[:, None], rows.shape[0]), first, axis=0)
    return out


def _bag_argmax_infer(rows: Type, bag: Any, kept: Any, bags: Any) -> Type:
    return Type.tensor(dtypes.int64, None if rows.dims is None else (infer.dim_of(bags), rows.dims[1]))


bag_argmax = defop(
    "bag_argmax(rows, bag, kept, bags: int) -> Tensor",
    eager=_bag_argmax,
    infer=_bag_argmax_infer,
    vjp=NO_GRAD,
    public=False,
    method=False,
    doc="For each bag and column the row with the first largest value among those `kept`; -1 for an empty bag. `bag` "
    "does not decrease.",
)
scaled_gradient = defop(
    "scaled_gradient(input, scale) -> Tensor",
    eager=lambda x, scale: x.copy(),
    infer=lambda x, scale: infer.same(x),
    vjp=lambda g, _y, _x, scale: (lambda: g * scale, None),
    lower=pointwise("{0}"),
    public=False,
    method=False,
    doc="A copy whose gradient is multiplied by `scale` on the way back.",
)
