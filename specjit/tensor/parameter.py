"""`Parameter`: a tensor that modules register.

Enters: a tensor. Leaves: a leaf on the same storage, with the same version.
Invariant: a Parameter is a Tensor in every other respect.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from specjit.tensor.tensor import Tensor, bare


class Parameter(Tensor):
    """A tensor that a Module registers when it is assigned as an attribute. `requires_grad` is True by default."""

    def __new__(cls, data: Any = None, requires_grad: bool = True) -> Any:
        if data is None:
            out = bare(cls, np.empty(0, np.float32))
        elif isinstance(data, Tensor):
            out = bare(cls, data._data)
            out._version = data._version
            if data._data is None:
                out._meta = data._meta
        else:
            raise TypeError(f"Parameter data has to be a tensor, but got {type(data).__name__}")
        out.requires_grad = requires_grad
        return out

    def __init__(self, data: Any = None, requires_grad: bool = True) -> None:
        """`__new__` has done everything."""

    def __repr__(self) -> str:
        return "Parameter containing:\n" + super().__repr__()
