"""Limits on gradients.

Enters: parameters (those without a gradient are left out). Leaves: their gradients, changed in place.
PyTorch's `foreach` picks between implementations of equal meaning; here there is one, and the argument is ignored.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

from specjit import linalg
from specjit.ops.combine import stack
from specjit.ops.creation import zeros
from specjit.tensor.state import no_grad
from specjit.tensor.tensor import Tensor


def _listed(tensors: Tensor | Iterable[Tensor]) -> list[Tensor]:
    return [tensors] if isinstance(tensors, Tensor) else list(tensors)


def _gradients(parameters: Tensor | Iterable[Tensor]) -> list[Tensor]:
    return [p.grad for p in _listed(parameters) if p.grad is not None]


@no_grad()
def get_total_norm(
    tensors: Tensor | Iterable[Tensor],
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
    foreach: bool | None = None,
) -> Tensor:
    """The norm of the norms of tensors, as if they were one vector; RuntimeError if it is infinite or NaN and
    `error_if_nonfinite`."""
    each = _listed(tensors)
    if not each:
        return zeros(())
    norm_type = float(norm_type)
    total: Tensor = linalg.vector_norm(stack([linalg.vector_norm(t, norm_type) for t in each]), norm_type)
    if error_if_nonfinite and not math.isfinite(total.item()):
        raise RuntimeError(
            f"The total norm of order {norm_type} for gradients from `parameters` is non-finite, so it cannot be "
            "clipped. To disable this error and scale the gradients by the non-finite norm anyway, set "
            "`error_if_nonfinite=False`"
        )
    return total


@no_grad()
def clip_grads_with_norm_(
    parameters: Tensor | Iterable[Tensor], max_norm: float, total_norm: Tensor, foreach: bool | None = None
) -> None:
    """Scale the gradients by max_norm / total_norm where that is less than 1."""
    factor = (float(max_norm) / (total_norm + 1e-6)).clamp(max=1.0)
    # Without asking whether the factor is 1: the answer would cost a read of the value on every step.
    for g in _gradients(parameters):
        g.mul_(factor)


def clip_grad_norm_(
    parameters: Tensor | Iterable[Tensor],
    max_norm: float,
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
    foreach: bool | None = None,
) -> Tensor:
    """Scale the gradients so that their norm, as of one vector, is at most `max_norm`; returns the norm before."""
    parameters = _listed(parameters)
    total = get_total_norm(_gradients(parameters), norm_type, error_if_nonfinite)
    clip_grads_with_norm_(parameters, max_norm, total)
    return total


@no_grad()
def clip_grad_value_(parameters: Tensor | Iterable[Tensor], clip_value: float, foreach: bool | None = None) -> None:
    """Bring every element of the gradients between -clip_value and clip_value."""
    clip_value = float(clip_value)
    for g in _gradients(parameters):
        g.clamp_(-clip_value, clip_value)
