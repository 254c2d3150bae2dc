"""Padding of the last dims.

Enters: tensors and amounts. Leaves: fresh tensors.
Invariant: all modes but 'constant' select elements along one dim after the other.
"""

from __future__ import annotations

from typing import Any

from specjit import dtypes
from specjit.ops import arithmetic, creation, gather, pointwise
from specjit.ops.padding import constant_pad
from specjit.ops.records.eager import not_implemented


def pad(input: Any, pad: Any, mode: str = "constant", value: Any = None) -> Any:
    """`pad[0]` elements before and `pad[1]` after the last dim, `pad[2]` and `pad[3]` around the one before it, and so
    on; negative amounts take away. mode: 'constant' (with `value`, 0), 'reflect' (without the edge), 'replicate' (the
    edge), 'circular' (the other end); all but the first for the last 1, 2 or 3 dims, beside channels and a batch."""
    amounts = tuple(pad)
    if len(amounts) % 2:
        raise RuntimeError("Padding length must be divisible by 2")
    if len(amounts) > 2 * input.ndim:
        raise RuntimeError(
            "Padding length should be less than or equal to two times the input dimension but got padding length "
            f"{len(amounts)} and input of dimension {input.ndim}"
        )
    if mode == "constant":
        return constant_pad(input, amounts, 0 if value is None else value)
    if value is not None and value != 0:
        raise RuntimeError(f'Padding mode "{mode}" doesn\'t take in value argument')
    if mode not in ("reflect", "replicate", "circular"):
        raise NotImplementedError(f"Unrecognised padding mode {mode}")
    count = len(amounts) // 2
    if count < 1 or count > 3 or (input.ndim != count + 1 and input.ndim != count + 2):
        raise NotImplementedError(f"Padding size {len(amounts)} is not supported for {input.ndim}D input tensor.")
    _check_padded(input, amounts, mode)
    out = input
    for i in range(count):
        before, after = amounts[2 * i], amounts[2 * i + 1]
        if before != 0 or after != 0:
            at = input.ndim - 1 - i
            out = gather.index_select(out, at, _around(input.shape[at], before, after, mode))
    return out.clone() if out is input else out


def _check_padded(input: Any, amounts: Any, mode: str) -> None:
    count = len(amounts) // 2
    if mode != "circular":
        if min(input.shape[input.ndim - count - 1 :]) == 0:
            raise RuntimeError(
                f"Expected {count + 1}D or {count + 2}D (batch mode) tensor with possibly 0 batch size and other "
                f"non-zero dimensions for input, but got: {list(input.shape)}"
            )
        if input.dtype is dtypes.bool_:
            raise not_implemented(f"{'reflection' if mode == 'reflect' else 'replication'}_pad{count}d", input.dtype)
    for i in range(count):
        n, before, after = input.shape[input.ndim - 1 - i], amounts[2 * i], amounts[2 * i + 1]
        if mode == "circular" and max(before, after) > n:
            raise RuntimeError("Padding value causes wrapping around more than once.")
        if mode == "circular" and before + after + n < 0:
            raise RuntimeError("Negative padding value is resulting in an empty dimension.")
        if mode == "reflect" and (before >= n or after >= n):
            raise RuntimeError(
                f"Argument #{4 + 2 * i}: Padding size should be less than the corresponding input dimension, but got: "
                f"padding ({before}, {after}) at dimension {input.ndim - 1 - i} of input {list(input.shape)}"
            )
        if mode != "circular" and before + after + n < 1:
            raise RuntimeError(f"input (W: {n}) is too small. Calculated output W: {before + after + n}")


def _around(n: Any, before: int, after: int, mode: str) -> Any:
    """Which element of a dim of size n each place of the padded dim shows."""
    if mode == "circular":
        # What is taken away does not come back at the other end.
        first, rest = max(-before, 0), n + min(before, 0) + min(after, 0)
        return creation.arange(-max(before, 0), rest + max(after, 0)) % rest + first
    at = creation.arange(-before, n + after)
    if mode == "replicate":
        return arithmetic.clamp(at, 0, n - 1)
    return (n - 1) - pointwise.abs((n - 1) - pointwise.abs(at))
