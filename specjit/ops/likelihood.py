"""The likelihood of probabilities: binary cross entropy.

Enters: probabilities and targets of one shape. Leaves: the loss of each element.
Invariant: logarithms are at least -100, and gradients stay finite where a probability is exactly 0 or 1.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from specjit.ops import infer
from specjit.ops.arithmetic import clamp
from specjit.ops.eager import half_as_float
from specjit.ops.quiet import quiet
from specjit.ops.refuse import INTEGRAL, Refuse
from specjit.ops.registry import defop

_refuses = Refuse("binary_cross_entropy", "Bool", *INTEGRAL)


def _binary_cross_entropy(p: np.ndarray, t: np.ndarray) -> Any:
    if p.size and not ((p >= 0) & (p <= 1)).all():
        raise RuntimeError("all elements of input should be between 0 and 1")
    low = p.dtype.type(-100)
    return (t - 1) * np.maximum(np.log1p(-p), low) - t * np.maximum(np.log(p), low)


binary_cross_entropy = defop(
    "binary_cross_entropy(input, target) -> Tensor",
    eager=quiet(_refuses.eager(half_as_float(_binary_cross_entropy))),
    infer=_refuses.infer(infer.pointwise),
    # d/dp = (p - t) / (p * (1 - p)), with PyTorch's lower bound of the denominator.
    vjp=lambda g, _y, p, t: (
        lambda: g * (p - t) / clamp((1 - p) * p, min=1e-12),
        lambda: g * ((1 - p).log() - p.log()),
    ),
    public=False,
    method=False,
    doc="-(target * log(input) + (1 - target) * log(1 - input)). RuntimeError for what is no probability.",
)
