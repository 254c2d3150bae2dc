"""What the functions of layers share.

Enters: their inputs and results. Leaves: the same in the dtype to compute in, and in that of the input.
Invariant: `result(operand(x), x)` is x.
"""

from __future__ import annotations

from specjit.ops import arithmetic, casts
from specjit.ops.records.composites import store_
from specjit.tensor.tensor import Tensor


def operand(input: Tensor, kernel: str, inplace: bool = False) -> Tensor:
    """The input to compute with: float16 as float32; ints and bools are refused in the name of PyTorch's kernel.

    inplace: the result will replace the content. Gradients read it as it was, so they get a copy.
    """
    return casts.widen(input.clone() if inplace else input, kernel)


def result(out: Tensor, input: Tensor, inplace: bool = False) -> Tensor:
    """What was computed, in the dtype of the input, or in the input itself."""
    out = casts.to_dtype(out, input.dtype)
    return store_(input, out) if inplace else out


def at_least(x: Tensor, limit: float) -> Tensor:
    """max(x, limit) with the gradient of x everywhere, as PyTorch has it where it clamps without recording."""
    return x + (arithmetic.clamp(x, min=limit) - x).detach()
