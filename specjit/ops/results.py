"""Results with names: what max, sort or topk return can be unpacked as a tuple and read by field, as in PyTorch.

Enters: tensors. Leaves: named tuples.
Invariant: captured programs know the fields of such a tuple for as long as they build it themselves; one that a
program returns is a plain tuple.
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
