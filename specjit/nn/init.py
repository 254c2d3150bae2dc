"""Initial values of parameters, written in place without gradients.

Enters: tensors, usually parameters. Leaves: the same tensors. Random ones take a `generator`.
Invariant: a tensor on the meta device has no values, and nothing is done to it.
"""

from __future__ import annotations

import functools
import math
import warnings
from collections.abc import Callable
from typing import Any

from specjit import linalg
from specjit.ops.creation import arange, empty
from specjit.ops.sampling import randperm
from specjit.tensor.state import no_grad


def _initializer(fn: Callable[..., Any]) -> Callable[..., Any]:
    """A function that writes its first argument: without gradients, and not where there are no values."""

    @functools.wraps(fn)
    def initialize(tensor: Any, *args: Any, **kwargs: Any) -> Any:
        if tensor.is_meta:
            return tensor
        with no_grad():
            fn(tensor, *args, **kwargs)
        return tensor

    return initialize


@_initializer
def uniform_(tensor: Any, a: float = 0.0, b: float = 1.0, generator: Any = None) -> Any:
    """Uniform between a and b."""
    tensor.uniform_(a, b, generator=generator)


@_initializer
def normal_(tensor: Any, mean: float = 0.0, std: float = 1.0, generator: Any = None) -> Any:
    """Normal."""
    tensor.normal_(mean, std, generator=generator)


@_initializer
def trunc_normal_(
    tensor: Any, mean: float = 0.0, std: float = 1.0, a: float = -2.0, b: float = 2.0, generator: Any = None
) -> Any:
    """Normal, given that the value lies between a and b: the inverse of its distribution function at uniform values."""
    if mean < a - 2 * std or mean > b + 2 * std:
        warnings.warn(
            "mean is more than 2 std from [a, b] in nn.init.trunc_normal_. The distribution of values may be "
            "incorrect.",
            stacklevel=3,
        )
    # erf and not the distribution function (1 + erf) / 2: erfinv takes it back.
    low, high = (math.erf((bound - mean) / (std * math.sqrt(2.0))) for bound in (a, b))
    tensor.uniform_(low, high, generator=generator)
    tensor.copy_((tensor.erfinv() * (std * math.sqrt(2.0)) + mean).clamp(a, b))


@_initializer
def constant_(tensor: Any, val: float) -> Any:
    """`val` everywhere."""
    tensor.fill_(val)


def zeros_(tensor: Any) -> Any:
    """0 everywhere."""
    return constant_(tensor, 0.0)


def ones_(tensor: Any) -> Any:
    """1 everywhere."""
    return constant_(tensor, 1.0)


@_initializer
def eye_(tensor: Any) -> Any:
    """1 on the diagonal of a matrix, 0 elsewhere."""
    if tensor.ndim != 2:
        raise ValueError("Only tensors with 2 dimensions are supported")
    tensor.fill_(0.0)
    tensor.diagonal().fill_(1.0)


@_initializer
def dirac_(tensor: Any, groups: int = 1) -> Any:
    """A convolution's weight (out, in, *kernel) that hands its input channels through, as many as there are in each
    group."""
    if tensor.ndim not in (3, 4, 5):
        raise ValueError("Only tensors with 3, 4, or 5 dimensions are supported")
    if tensor.shape[0] % groups:
        raise ValueError("dim 0 must be divisible by groups")
    out, channels, *kernel = tensor.shape
    handed = arange(min(out // groups, channels))
    tensor.fill_(0.0)
    for group in range(groups):
        tensor[(handed + group * (out // groups), handed, *(size // 2 for size in kernel))] = 1.0


@_initializer
def orthogonal_(tensor: Any, gain: float = 1, generator: Any = None) -> Any:
    """A (semi-)orthogonal matrix (dims after the first flattened), times `gain`: the Q of a normal matrix, with the
    signs that make it uniformly distributed (Mezzadri 2007, "How to generate random matrices from the classical
    compact groups")."""
    if tensor.ndim < 2:
        raise ValueError("Only tensors with 2 or more dimensions are supported")
    if tensor.numel() == 0:
        return
    rows = tensor.shape[0]
    columns = tensor.numel() // rows
    tall = (max(rows, columns), min(rows, columns))
    q, r = linalg.qr(empty(tall, dtype=tensor.dtype).normal_(0.0, 1.0, generator=generator))
    q = q * r.diagonal().sign()
    tensor.copy_((q.t() if rows < columns else q).reshape(tensor.shape) * gain)


@_initializer
def sparse_(tensor: Any, sparsity: float, std: float = 0.01, generator: Any = None) -> Any:
    """A normal matrix with a fraction `sparsity` of zeros in each column."""
    if tensor.ndim != 2:
        raise ValueError("Only tensors with 2 dimensions are supported")
    rows, columns = tensor.shape
    tensor.normal_(0.0, std, generator=generator)
    for column in range(columns):
        tensor[randperm(rows)[: math.ceil(sparsity * rows)], column] = 0.0


def calculate_gain(nonlinearity: str, param: float | None = None) -> float:
    """The factor by which a nonlinearity shrinks a standard normal."""
    if nonlinearity in ("linear", "sigmoid") or nonlinearity.startswith(
        ("conv1d", "conv2d", "conv3d", "conv_transpose")
    ):
        return 1.0
    if nonlinearity == "tanh":
        return 5.0 / 3
    if nonlinearity == "relu":
        return math.sqrt(2.0)
    if nonlinearity == "leaky_relu":
        if param is not None and (isinstance(param, bool) or not isinstance(param, (int, float))):
            raise ValueError(f"negative_slope {param} not a valid number")
        slope = 0.01 if param is None else param
        return math.sqrt(2.0 / (1 + slope**2))
    if nonlinearity == "selu":
        return 3.0 / 4
    raise ValueError(f"Unsupported nonlinearity {nonlinearity}")


def _fans(tensor: Any) -> tuple[int, int]:
    """(fan_in, fan_out) of a weight (out, in, *kernel)."""
    if tensor.ndim < 2:
        raise ValueError("Fan in and fan out can not be computed for tensor with fewer than 2 dimensions")
    field = math.prod(tensor.shape[2:])
    return tensor.shape[1] * field, tensor.shape[0] * field


def xavier_uniform_(tensor: Any, gain: float = 1.0, generator: Any = None) -> Any:
    """Uniform with variance gain^2 * 2 / (fan_in + fan_out)."""
    fan_in, fan_out = _fans(tensor)
    bound = gain * math.sqrt(6.0 / (fan_in + fan_out))
    return uniform_(tensor, -bound, bound, generator)


def xavier_normal_(tensor: Any, gain: float = 1.0, generator: Any = None) -> Any:
    """Normal with variance gain^2 * 2 / (fan_in + fan_out)."""
    fan_in, fan_out = _fans(tensor)
    return normal_(tensor, 0.0, gain * math.sqrt(2.0 / (fan_in + fan_out)), generator)


def _kaiming_std(tensor: Any, a: float, mode: str, nonlinearity: str) -> float | None:
    """The standard deviation gain / sqrt(fan); None where there is nothing to fill."""
    if 0 in tensor.shape:
        warnings.warn("Initializing zero-element tensors is a no-op", stacklevel=3)
        return None
    if mode.lower() not in ("fan_in", "fan_out"):
        raise ValueError(f"Mode {mode.lower()} not supported, please use one of ['fan_in', 'fan_out']")
    fan_in, fan_out = _fans(tensor)
    return calculate_gain(nonlinearity, a) / math.sqrt(fan_in if mode.lower() == "fan_in" else fan_out)


def kaiming_uniform_(
    tensor: Any, a: float = 0, mode: str = "fan_in", nonlinearity: str = "leaky_relu", generator: Any = None
) -> Any:
    """Uniform with variance gain^2 / fan; `a` is the slope of a leaky_relu."""
    std = _kaiming_std(tensor, a, mode, nonlinearity)
    return tensor if std is None else uniform_(tensor, -math.sqrt(3.0) * std, math.sqrt(3.0) * std, generator)


def kaiming_normal_(
    tensor: Any, a: float = 0, mode: str = "fan_in", nonlinearity: str = "leaky_relu", generator: Any = None
) -> Any:
    """Normal with variance gain^2 / fan; `a` is the slope of a leaky_relu."""
    std = _kaiming_std(tensor, a, mode, nonlinearity)
    return tensor if std is None else normal_(tensor, 0.0, std, generator)
