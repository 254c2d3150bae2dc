"""Sequences of unequal lengths in one tensor.

Enters: tensors whose first dim is time. Leaves: a tensor (T, B, ...) or (B, T, ...), and back.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from specjit.ops.combine import cat, stack
from specjit.tensor.tensor import Tensor


def pad_sequence(
    sequences: Any, batch_first: bool = False, padding_value: float = 0.0, padding_side: str = "right"
) -> Any:
    """Sequences (T_i, ...) as one tensor (T, B, ...) [(B, T, ...) with batch_first] of the longest length, filled with
    `padding_value` at their `padding_side`."""
    if not isinstance(sequences, Iterable):
        raise RuntimeError(
            f"pad_sequence: Expected iterable for input sequences, but got arg of type: {type(sequences)}"
        )
    if padding_side not in ("right", "left"):
        raise RuntimeError(f"Expected padding_side to be one of left or right, but got {padding_side}.")
    each = list(sequences.unbind(0)) if isinstance(sequences, Tensor) else list(sequences)
    if not each:
        raise RuntimeError("received an empty list of sequences")
    longest = max(s.shape[0] for s in each)
    return stack([_padded(s, longest, padding_value, padding_side) for s in each], 0 if batch_first else 1)


def _padded(sequence: Any, length: int, value: float, side: str) -> Any:
    missing = length - sequence.shape[0]
    if not missing:
        return sequence
    fill = sequence.new_full([missing, *sequence.shape[1:]], value)
    return cat([sequence, fill] if side == "right" else [fill, sequence])


def unpad_sequence(padded_sequences: Any, lengths: Any, batch_first: bool = False) -> list[Any]:
    """The sequences of a padded tensor, given their lengths."""
    if not batch_first:
        padded_sequences = padded_sequences.transpose(0, 1)
    return [sequence[: int(n)] for sequence, n in zip(padded_sequences.unbind(0), lengths)]
