"""The likelihood of targets: binary cross entropy, and the classes that the other losses look up.

Enters: probabilities and targets. Leaves: the loss of each element; classes that exist.
Invariant: logarithms are at least -100, and gradients stay finite where a probability is exactly 0 or 1.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from specjit.ops.arithmetic import clamp
from specjit.ops.gather import outside
from specjit.ops.records import infer
from specjit.ops.records.eager import half_as_float
from specjit.ops.records.lowering import special
from specjit.ops.records.quiet import quiet
from specjit.ops.records.refuse import INTEGRAL, Refuse
from specjit.ops.records.registry import NO_GRAD, defop

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


def _known_classes(target: np.ndarray, classes: int, ignore_index: int) -> np.ndarray:
    found = np.where(target == ignore_index, target.dtype.type(0), target)
    beyond = outside(found, classes)
    if beyond is not None:
        raise IndexError(f"Target {beyond} is out of bounds.")
    return found


known_classes = defop(
    "known_classes(target, classes: int, ignore_index: int) -> Tensor",
    eager=_known_classes,
    infer=lambda target, classes, ignore_index: infer.same(target),
    vjp=NO_GRAD,
    lower=special("known_classes"),
    public=False,
    method=False,
    doc="`target`, with 0 in place of `ignore_index`. IndexError for what is not in [0, classes).",
)
