"""Functions of square matrices by their products and inverses, and the older names of `specjit.linalg`.

Enters: square matrices, alone or in batches. Leaves: powers, determinants, inverses.
"""

from __future__ import annotations

import math
from typing import Any

from specjit.ops import creation, inverses
from specjit.ops.arithmetic import where
from specjit.ops.records.composites import composite_function
from specjit.tensor.tensor import Tensor


@composite_function(name="linalg.matrix_power", method=False, inlined=False)
def _matrix_power(A: Tensor, n: int) -> Tensor:
    """A multiplied by itself n times, by repeated squaring; of the inverse for a negative n."""
    _check_square(A.shape)
    if n == 0:
        return creation.zeros_like(A) + _identity(A)
    if n == 1:
        return A.clone()
    return _power(inverses.inv(A) if n < 0 else A, abs(n))


@composite_function(inlined=False)
def matrix_power(input: Tensor, n: int) -> Tensor:
    """`linalg.matrix_power`."""
    return _matrix_power(input, n)


@composite_function
def inverse(input: Tensor) -> Tensor:
    """`linalg.inv`."""
    return inverses.inv(input)


@composite_function
def det(input: Tensor) -> Tensor:
    """`linalg.det`."""
    return inverses.det(input)


@composite_function
def slogdet(input: Tensor) -> Any:
    """`linalg.slogdet`."""
    return inverses.slogdet(input)


@composite_function
def logdet(input: Tensor) -> Tensor:
    """The logarithm of the determinant: NaN where that is negative."""
    sign, size = inverses.slogdet_parts(input)
    return where(sign < 0, math.nan, size)


def _check_square(shape: Any) -> None:
    if len(shape) < 2:
        raise RuntimeError("linalg.matrix_power: The input tensor A must have at least 2 dimensions.")
    if shape[-1] != shape[-2]:
        raise RuntimeError(
            "linalg.matrix_power: A must be batches of square matrices, but they are "
            f"{shape[-2]} by {shape[-1]} matrices"
        )


def _identity(x: Any) -> Any:
    side = creation.arange(x.shape[-1], device=x.device)
    return (side.unsqueeze(1) == side).to(x.dtype)


def _power(x: Any, n: int) -> Any:
    found = None
    while True:
        if n % 2:
            found = x if found is None else found @ x
        n = n // 2
        if not n:
            return found
        x = x @ x
