"""Degrees and radians. Composite functions: a product with a number.

Enters: tensors; ints and bools give the default float dtype. Leaves: fresh tensors.
"""

from __future__ import annotations

import math

from specjit.ops.records.composites import composite_function
from specjit.tensor.tensor import Tensor


@composite_function(inplace=True)
def deg2rad(input: Tensor) -> Tensor:
    """Degrees as radians."""
    return input * (math.pi / 180)


@composite_function(inplace=True)
def rad2deg(input: Tensor) -> Tensor:
    """Radians as degrees."""
    return input * (180 / math.pi)
