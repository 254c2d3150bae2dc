"""Degrees and radians. Composite functions: a product with a number.

Enters: tensors; ints and bools give the default float dtype. Leaves: fresh tensors.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from specjit.ops.records.composites import composite_function
from specjit.tensor.tensor import Tensor


def _times(factor: float) -> Callable[[np.ndarray], Any]:
    """The product of an array of floats with a number. (NumPy's own functions round the factor to float32 twice.)"""
    factors: dict[str, Any] = {"f": np.array(factor, np.float32), "d": np.array(factor)}

    def direct(x: np.ndarray) -> Any:
        number = factors.get(x.dtype.char)
        return None if number is None or not x.ndim else np.multiply(x, number)

    return direct


@composite_function(inplace=True, direct=_times(math.pi / 180))
def deg2rad(input: Tensor) -> Tensor:
    """Degrees as radians."""
    return input * (math.pi / 180)


@composite_function(inplace=True, direct=_times(180 / math.pi))
def rad2deg(input: Tensor) -> Tensor:
    """Radians as degrees."""
    return input * (180 / math.pi)
