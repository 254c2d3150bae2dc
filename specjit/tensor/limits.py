"""`finfo` and `iinfo`: the numbers that an element type can hold.

Enters: dtypes. Leaves: their limits as Python numbers, under PyTorch's names.
"""

from __future__ import annotations

import numpy as np

from specjit.dtypes import DType, get_default_dtype


class finfo:
    """The limits of a floating-point dtype (that of new tensors, if none is given).

    bits, eps (the distance from 1 to the next number), min, max, tiny and smallest_normal (the least normal number),
    resolution (a power of ten that tells numbers near 1 apart), dtype (its name).
    """

    def __init__(self, type: DType | None = None) -> None:
        dtype = get_default_dtype() if type is None else type
        if not isinstance(dtype, DType) or not dtype.is_floating_point:
            raise TypeError(
                "specjit.finfo() requires a floating point input type. Use specjit.iinfo to handle other types"
            )
        found = np.finfo(dtype.numpy)
        self.bits = int(found.bits)
        self.eps = float(found.eps)
        self.min = float(found.min)
        self.max = float(found.max)
        self.tiny = self.smallest_normal = float(found.smallest_normal)
        self.resolution = 10.0 ** -int(found.precision)
        self.dtype = dtype.name

    def __repr__(self) -> str:
        numbers = ("resolution", "min", "max", "eps", "smallest_normal", "tiny")
        return f"finfo({', '.join(f'{n}={getattr(self, n):g}' for n in numbers)}, dtype={self.dtype})"


class iinfo:
    """The limits of an integer dtype: bits, min, max, dtype (its name)."""

    def __init__(self, type: DType) -> None:
        if not isinstance(type, DType) or type.is_floating_point or type.numpy.kind == "b":
            raise TypeError("specjit.iinfo() requires an integer input type. Use specjit.finfo to handle floats")
        found = np.iinfo(type.numpy)
        self.bits, self.min, self.max, self.dtype = int(found.bits), int(found.min), int(found.max), type.name

    def __repr__(self) -> str:
        return f"iinfo(min={self.min}, max={self.max}, dtype={self.dtype})"
