"""Random numbers with parameters: categories, normals with means and deviations, integers like a tensor.

Enters: tensors of parameters, a generator. Leaves: fresh tensors.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from specjit import dtypes
from specjit.dtypes import TITLES, dtype_of
from specjit.ir.types import Type
from specjit.ops.draws import check_sampled, randn
from specjit.ops.records import infer
from specjit.ops.records.grads import sum_to
from specjit.ops.records.registry import NO_GRAD, RANDOM, defop, public_function
from specjit.ops.sampling import randint_op
from specjit.tensor import random
from specjit.tensor.tensor import get_default_dtype

# categories


def _check_multinomial(dtype: Any, dims: Any, count: Any, replacement: Any) -> None:
    if dtype is not None and not dtype.is_floating_point:
        raise RuntimeError(f"multinomial only supports floating-point dtypes for input, got: {TITLES[dtype.name]}")
    if dims is not None and len(dims) not in (1, 2):
        raise RuntimeError("prob_dist must be 1 or 2 dim")
    if isinstance(count, int) and count <= 0:
        raise RuntimeError("cannot sample n_sample <= 0 samples")
    if dims is not None and isinstance(count, int) and isinstance(dims[-1], int) and replacement is False:
        if count > dims[-1]:
            raise RuntimeError("cannot sample n_sample > prob_dist.size(-1) samples without replacement")


def _multinomial(x: np.ndarray, num_samples: int, replacement: bool, generator: Any) -> np.ndarray:
    _check_multinomial(dtype_of(x.dtype), x.shape, num_samples, replacement)
    weights = x.astype(np.float64)
    if not (np.isfinite(weights) & (weights >= 0)).all():
        raise RuntimeError("probability tensor contains either `inf`, `nan` or element < 0")
    if not (weights.sum(-1) > 0).all():
        raise RuntimeError("invalid multinomial distribution (sum of probabilities <= 0)")
    rows = weights.reshape(-1, x.shape[-1])
    pick = _with_replacement if replacement else _without_replacement
    return pick(rows, num_samples, generator).reshape(*x.shape[:-1], num_samples)


def _with_replacement(rows: np.ndarray, count: int, generator: Any) -> np.ndarray:
    """By inverting the distribution function of each row."""
    uniform = random.uniform(generator, (len(rows), count), np.dtype(np.float64))
    out = np.empty((len(rows), count), np.int64)
    for i, row in enumerate(rows):
        total = np.cumsum(row)
        found = np.searchsorted(total, uniform[i] * total[-1], side="right")
        out[i] = np.minimum(found, np.flatnonzero(row)[-1])  # the product may round up to the total
    return out


def _without_replacement(rows: np.ndarray, count: int, generator: Any) -> np.ndarray:
    """A race: category k arrives after an exponential time of rate weights[k]; those of weight 0 come last."""
    uniform = random.uniform(generator, rows.shape, np.dtype(np.float64))
    with np.errstate(divide="ignore", invalid="ignore"):
        arrival = np.where(rows > 0, -np.log1p(-uniform) / rows, np.inf)
    return np.argsort(arrival, axis=-1, kind="stable")[:, :count]


def _multinomial_infer(x: Type, num_samples: Any, replacement: Any, generator: Any) -> Type:
    _check_multinomial(x.dtype, x.dims, num_samples, replacement)
    return Type.tensor(dtypes.int64, None if x.dims is None else (*x.dims[:-1], infer.dim_of(num_samples)))


multinomial = defop(
    "multinomial(input, num_samples: int, replacement: bool = False, *, generator: 'Generator?' = None) -> Tensor",
    eager=_multinomial,
    infer=_multinomial_infer,
    vjp=NO_GRAD,
    traits=RANDOM,
    doc="Indices drawn with the probabilities that the rows of `input` (of any positive sum) give.",
)

# normals


def _check_normal(std: Any, *operands: Any) -> None:
    check_sampled("normal_kernel_cpu", _normal_dtype(*operands))
    if isinstance(std, (int, float)) and std < 0:
        raise RuntimeError(f"normal expects std >= 0.0, but found std {std}")


def _normal_dtype(mean: Any, std: Any) -> Any:
    """That of the first tensor (array or type)."""
    first = next(x for x in (mean, std) if hasattr(x, "dtype") and (not isinstance(x, Type) or x.is_tensor))
    return dtype_of(first.dtype) if isinstance(first, np.ndarray) else first.dtype


def _normal(mean: Any, std: Any, generator: Any) -> np.ndarray:
    _check_normal(std, mean, std)
    dtype = _normal_dtype(mean, std).numpy
    if isinstance(std, np.ndarray) and not (std >= 0).all():
        raise RuntimeError("normal expects all elements of std >= 0.0")
    drawn = random.normal(generator, np.broadcast_shapes(np.shape(mean), np.shape(std)), np.dtype(np.float64))
    return np.asarray(drawn * std + mean).astype(dtype)


def _normal_infer(mean: Any, std: Any, generator: Any) -> Type:
    _check_normal(std, mean, std)
    return Type.tensor(_normal_dtype(mean, std), infer.broadcast(infer.dims_of(mean), infer.dims_of(std)))


_normal_op = defop(
    "normal(mean: 'Tensor|Scalar', std: 'Tensor|Scalar', *, generator: 'Generator?' = None) -> Tensor",
    eager=_normal,
    infer=_normal_infer,
    vjp=lambda g, _y, _mean, _std, generator: (lambda: sum_to(g * 0.0, _mean), lambda: sum_to(g * 0.0, _std)),
    traits=RANDOM,
    method=False,
    public=False,
    doc="`randn` of the broadcast shape, times `std`, plus `mean`.",
)


@public_function
def normal(
    mean: Any = 0.0,
    std: Any = 1.0,
    size: Any = None,
    *,
    generator: Any = None,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Any:
    """Normal numbers with a mean and a deviation for each element (tensors, or one of them a number), or of the given
    size with both the same."""
    if size is None:
        if isinstance(mean, (int, float)) and isinstance(std, (int, float)):
            raise TypeError("normal() missing required argument: 'size'")
        return _normal_op(mean, std, generator=generator)
    if std < 0:
        raise RuntimeError(f"normal expects std >= 0.0, but found std {std}")
    wanted = get_default_dtype() if dtype is None else dtype
    out = randn(size, generator=generator, dtype=wanted, device=device) * std + mean
    return out.requires_grad_() if requires_grad else out


# integers


@public_function
def randint_like(
    input: Any,
    low: Any = None,
    high: Any = None,
    *,
    generator: Any = None,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Any:
    """Integers in [low, high) with the shape and dtype of `input`: `randint_like(x, high)`, `randint_like(x, low,
    high)`."""
    if high is None:
        low, high = 0, low
    return randint_op(
        0 if low is None else low,
        high,
        input.shape,
        generator=generator,
        dtype=input.dtype if dtype is None else dtype,
        device=input.device if device is None else device,
        requires_grad=requires_grad,
    )
