"""Results with names: what max, sort or topk return can be unpacked as a tuple and read by field, as in PyTorch.

Enters: tensors. Leaves: named tuples.
Invariant: a captured program knows the fields of the tuples it builds, and returns what eager mode would.
"""

from __future__ import annotations

from typing import Any, NamedTuple


class ValuesIndices(NamedTuple):
    """Elements, and where they come from."""

    values: Any
    indices: Any


class MinMax(NamedTuple):
    """The extremes, as of `aminmax`."""

    min: Any
    max: Any


NAMED: tuple[type, ...] = (ValuesIndices, MinMax)
CLASSES: dict[tuple[str, ...], type] = {("values", "indices"): ValuesIndices, ("min", "max"): MinMax}
