"""Constant padding, and its own inverse: a negative amount takes elements away.

Enters: a tensor, amounts (last dim first, before and after), a value. Leaves: a fresh tensor.
Invariant: the gradient of a padding is the padding by the negative amounts.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from specjit.ir.dims import Dim
from specjit.ir.types import Type
from specjit.ops.combine import cat
from specjit.ops.creation import full
from specjit.ops.records import infer
from specjit.ops.records.lowering import composite
from specjit.ops.records.quiet import quiet
from specjit.ops.records.registry import defop


def _amounts(rank: int, pad: Sequence[int]) -> list[tuple[int, int]]:
    """(before, after) of each dim in order."""
    if len(pad) % 2:
        raise RuntimeError("Padding length must be divisible by 2")
    if len(pad) > 2 * rank:
        raise RuntimeError(
            "Padding length should be less than or equal to two times the input dimension but got padding length "
            f"{len(pad)} and input of dimension {rank}"
        )
    given = list(zip(pad[::2], pad[1::2]))
    return [(0, 0)] * (rank - len(given)) + given[::-1]


def _size(n: Dim, before: int, after: int) -> Dim:
    if n is None:
        return None
    size = n + before + after
    if isinstance(size, int) and (size < 0 or (isinstance(n, int) and n + min(before, 0) + min(after, 0) < 0)):
        raise RuntimeError("narrow(): length must be non-negative.")
    return size


def _constant_pad(x: np.ndarray, pad: Any, value: Any) -> np.ndarray:
    amounts = _amounts(x.ndim, pad)
    shape: Any = [_size(n, a, b) for n, (a, b) in zip(x.shape, amounts)]
    out = np.full(shape, value, x.dtype) if value else np.zeros(shape, x.dtype)
    out[tuple(slice(max(a, 0), n - max(b, 0)) for n, (a, b) in zip(shape, amounts))] = x[
        tuple(slice(max(-a, 0), n - max(-b, 0)) for n, (a, b) in zip(x.shape, amounts))
    ]
    return out


def _constant_pad_infer(x: Type, pad: Any, value: Any) -> Type:
    if x.dims is None or not isinstance(pad, (list, tuple)):
        return Type.tensor(x.dtype, None if x.dims is None else (None,) * len(x.dims))
    if any(infer.known_int(p) is None for p in pad):
        return Type.tensor(x.dtype, (None,) * len(x.dims))
    return Type.tensor(x.dtype, [_size(n, *ab) for n, ab in zip(x.dims, _amounts(len(x.dims), pad))])


def _joined(x: Any, pad: Any, value: Any) -> Any:
    """The padding as the cat of what is left of the tensor and of filled tensors."""
    for dim, (before, after) in enumerate(_amounts(x.ndim, pad)):
        if before < 0 or after < 0:
            x = x.narrow(dim, max(-before, 0), x.shape[dim] + min(before, 0) + min(after, 0))
        shape = list(x.shape)
        parts = [
            full([*shape[:dim], n, *shape[dim + 1 :]], value, dtype=x.dtype) if n > 0 else None for n in (before, after)
        ]
        parts.insert(1, x)
        given = [p for p in parts if p is not None]
        x = cat(given, dim) if len(given) > 1 else x
    return x.clone() if all(p <= 0 for p in pad) else x


constant_pad = defop(
    "constant_pad(input, pad: 'int[]', value: Scalar = 0) -> Tensor",
    eager=quiet(_constant_pad),
    infer=_constant_pad_infer,
    vjp=lambda g, _y, _x, pad, value: constant_pad(g, [-p for p in pad]),
    lower=composite(_joined),
    method=False,
    public=False,
    doc="`pad[2 * i]` elements of `value` before and `pad[2 * i + 1]` after the i-th dim from the end.",
)
