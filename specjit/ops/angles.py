"""Degrees and radians: a product with a number.

Enters: tensors; ints and bools give the default float dtype. Leaves: fresh tensors.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from specjit.ops.records.define import float_function
from specjit.ops.records.lowering import composite

_RADIANS, _DEGREES = math.pi / 180, 180 / math.pi
_DEGREES_OF = {np.dtype(d): np.array(_DEGREES, d) for d in (np.float32, np.float64)}


def _degrees(x: np.ndarray) -> Any:
    """`np.rad2deg` rounds twice on the way to its factor in float32."""
    return np.multiply(x, _DEGREES_OF.get(x.dtype, _DEGREES) if x.ndim else _DEGREES)


deg2rad = float_function(
    "deg2rad",
    np.deg2rad,
    lambda g, _y, _x: g * _RADIANS,
    composite(lambda x: x * _RADIANS),
    doc="Degrees as radians.",
)
rad2deg = float_function(
    "rad2deg",
    _degrees,
    lambda g, _y, _x: g * _DEGREES,
    composite(lambda x: x * _DEGREES),
    doc="Radians as degrees.",
)
