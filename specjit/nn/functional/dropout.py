"""Dropout: random zeros in training, and what keeps the mean (and variance) of what is left.

Enters: tensors and probabilities. Leaves: tensors of the same shape; the input itself where nothing is dropped.
"""

from __future__ import annotations

from specjit.dtypes import TITLES
from specjit.ops import creation, draws
from specjit.tensor.tensor import Tensor

# The limit of SELU at -inf, with the other sign (Klambauer et al. 2017): what alpha dropout puts in place of elements.
SATURATION = 1.7580993408473766


def _check(input: Tensor, p: float) -> None:
    if p < 0.0 or p > 1.0:
        raise ValueError(f"dropout probability has to be between 0 and 1, but got {p}")


def _check_dtype(input: Tensor) -> None:
    if not input.dtype.is_floating_point:
        raise RuntimeError(f"result type Float can't be cast to the desired output type {TITLES[input.dtype.name]}")


def _per_channel(input: Tensor) -> Tensor:
    """A tensor with one element for each channel (dim 1) of each sample, whose values nobody reads."""
    if input.ndim < 2:
        raise RuntimeError("Feature dropout requires at least 2 dimensions in the input")
    return creation.empty(list(input.shape[:2]) + [1] * (input.ndim - 2), dtype=input.dtype)


def _masked(input: Tensor, like: Tensor, p: float, inplace: bool) -> Tensor:
    _check_dtype(input)
    mask = draws.dropout_mask(like, p)
    return input.mul_(mask) if inplace else input * mask


def dropout(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """Each element is 0 with probability p, else scaled by 1/(1-p)."""
    _check(input, p)
    if not training or p == 0.0:
        return input
    return _masked(input, input, p, inplace)


def _feature_dropout(input: Tensor, p: float, training: bool, inplace: bool) -> Tensor:
    if not training or p == 0.0:
        return input
    return _masked(input, _per_channel(input), p, inplace)


def dropout1d(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """`dropout` of whole channels of (N, C, L) or (C, L)."""
    _check(input, p)
    if input.ndim != 2 and input.ndim != 3:
        raise RuntimeError(f"dropout1d: Expected 2D or 3D input, but received a {input.ndim}D input.")
    if input.ndim == 2:
        return _feature_dropout(input.unsqueeze(0), p, training, inplace).squeeze(0)
    return _feature_dropout(input, p, training, inplace)


def dropout2d(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """`dropout` of whole channels of (N, C, H, W); three dims are taken as (N, C, L), as PyTorch does."""
    _check(input, p)
    return _feature_dropout(input, p, training, inplace)


def dropout3d(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """`dropout` of whole channels of (N, C, D, H, W) or (C, D, H, W)."""
    _check(input, p)
    if input.ndim != 5:
        return _feature_dropout(input.unsqueeze(0), p, training, inplace).squeeze(0)
    return _feature_dropout(input, p, training, inplace)


def _alpha_dropout(input: Tensor, like: Tensor, p: float, inplace: bool) -> Tensor:
    """a * x + b where kept, a * -SATURATION + b elsewhere: mean 0 and variance 1 stay."""
    _check_dtype(input)
    a = 0.0 if p == 1.0 else ((SATURATION**2 * p + 1) * (1 - p)) ** -0.5
    keep = draws.bernoulli(creation.full(like.shape, 1 - p, dtype=input.dtype))
    shift = (keep - 1) * (SATURATION * a) + SATURATION * a * p
    return input.mul_(keep * a).add_(shift) if inplace else input * (keep * a) + shift


def alpha_dropout(input: Tensor, p: float = 0.5, training: bool = False, inplace: bool = False) -> Tensor:
    """Dropout for SELU: elements become its limit at -inf, then all are moved to the mean and variance of before."""
    _check(input, p)
    if not training or p == 0.0:
        return input
    return _alpha_dropout(input, input, p, inplace)


def feature_alpha_dropout(input: Tensor, p: float = 0.5, training: bool = False, inplace: bool = False) -> Tensor:
    """`alpha_dropout` of whole channels (dim 1)."""
    _check(input, p)
    if not training or p == 0.0:
        return input
    return _alpha_dropout(input, _per_channel(input), p, inplace)
