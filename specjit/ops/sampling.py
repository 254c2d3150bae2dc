"""Random ints and orders, and the methods that fill a tensor with random numbers.

Enters: sizes or tensors, a generator. Leaves: fresh tensors; methods that write into their tensor.
Invariant: as in `draws`; whole numbers lie in a range that their dtype holds.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from specjit import dtypes
from specjit.dtypes import DType
from specjit.ir.types import Type
from specjit.ops.creation import OPTIONS, check_number, made, shape_of
from specjit.ops.draws import bernoulli, check_sampled, rand, randn
from specjit.ops.records.call import attach_method
from specjit.ops.records.eager import not_implemented
from specjit.ops.records.registry import NO_GRAD, RANDOM, defop, public_function
from specjit.tensor import random

C_NAMES = {
    "bool": "bool",
    "uint8": "unsigned char",
    "int8": "signed char",
    "int16": "short",
    "int32": "int",
    "int64": "long",
    "float16": "Half",
    "float32": "float",
    "float64": "double",
}


def _check_range(low: Any, high: Any, dtype: DType) -> None:
    """Both ends of [low, high) must be numbers of `dtype`."""
    if isinstance(low, Type) or isinstance(high, Type):
        return
    if high <= low:
        raise RuntimeError(f"random_ expects 'from' to be less than 'to', but got from={low} >= to={high}")
    first, last = bounds_of(dtype)
    if not first <= low <= last:
        raise RuntimeError(f"from is out of bounds for {C_NAMES[dtype.name]}")
    if not first <= high - 1 <= last:
        raise RuntimeError(f"to - 1 is out of bounds for {C_NAMES[dtype.name]}")


def bounds_of(dtype: DType) -> tuple[float, float]:
    """The smallest and the largest number of a dtype."""
    if dtype is dtypes.bool_:
        return 0, 1
    limits: Any = np.finfo(dtype.numpy) if dtype.is_floating_point else np.iinfo(dtype.numpy)
    return (float(limits.min), float(limits.max)) if dtype.is_floating_point else (limits.min, limits.max)


def _randint(low: int, high: int, size: Any, generator: Any, dtype: Any, device: Any, requires_grad: Any) -> np.ndarray:
    wanted = dtype or dtypes.int64
    _check_range(low, high, wanted)
    return random.integers(generator, low, high, shape_of(size)).astype(wanted.numpy)


def _randint_infer(low: Any, high: Any, size: Any, generator: Any, dtype: Any, device: Any, requires_grad: Any) -> Type:
    _check_range(low, high, dtype or dtypes.int64)
    return made(size, dtype or dtypes.int64, device, requires_grad)


randint_op = defop(
    f"randint(low: int, high: int, size: 'int[]', *, generator: 'Generator?' = None, {OPTIONS}) -> Tensor",
    eager=_randint,
    infer=_randint_infer,
    vjp=NO_GRAD,
    traits=RANDOM,
    method=False,
    public=False,
    doc="Integers in [low, high).",
)


@public_function
def randint(low: Any = None, high: Any = None, size: Any = None, **options: Any) -> Any:
    """Integers in [low, high): `randint(low, high, size)` or `randint(high, size)`."""
    if size is None and high is not None and not isinstance(high, int):
        low, high, size = 0, low, high
    if high is None or size is None:
        raise TypeError("randint() takes (high, size) or (low, high, size)")
    return randint_op(0 if low is None else low, high, size, **options)


def _randperm(n: int, generator: Any, dtype: Any, device: Any, requires_grad: Any) -> np.ndarray:
    wanted = _randperm_dtype(n, dtype)
    (count,) = shape_of(n)
    return random.permutation(generator, count).astype(wanted.numpy)


def _randperm_dtype(n: Any, dtype: DType | None) -> DType:
    wanted = dtype or dtypes.int64
    if wanted is dtypes.bool_:
        raise not_implemented("randperm", wanted)
    if wanted is not dtypes.int64 and not isinstance(n, Type):
        check_number(wanted, n)
    return wanted


randperm = defop(
    f"randperm(n: int, *, generator: 'Generator?' = None, {OPTIONS}) -> Tensor",
    eager=_randperm,
    infer=lambda n, generator, dtype, device, requires_grad: made(
        [n], _randperm_dtype(n, dtype), device, requires_grad
    ),
    vjp=NO_GRAD,
    traits=RANDOM,
    method=False,
    doc="A random order of 0..n-1.",
)


# methods that fill a tensor


def _two(name: str, given: tuple[Any, ...], named: dict[str, Any], parameters: dict[str, Any]) -> list[Any]:
    """Arguments of the two parameters, one of which PyTorch calls by a Python keyword (`from`)."""
    values = dict(zip(parameters, given))
    for key, value in named.items():
        if key not in parameters or key in values:
            raise TypeError(f"{name}() got an unexpected keyword argument {key!r}")
        values[key] = value
    if len(given) > 2:
        raise TypeError(f"{name}() takes 2 positional arguments but {len(given)} were given")
    return list({**parameters, **values}.values())


def normal_(input: Any, mean: float = 0.0, std: float = 1.0, *, generator: Any = None) -> Any:
    """Fill with normal values."""
    if std < 0:
        raise RuntimeError(f"normal expects std >= 0.0, but found std {std}")
    check_sampled("normal_kernel_cpu", input.dtype)
    return input.copy_(randn(input.shape, generator=generator, dtype=input.dtype, device=input.device) * std + mean)


def uniform_(input: Any, *bounds: float, generator: Any = None, **named: float) -> Any:
    """Fill with uniform values: `uniform_(from=0, to=1)`, in [from, to)."""
    low, high = _two("uniform_", bounds, named, {"from": 0.0, "to": 1.0})
    check_sampled("check_uniform_bounds", input.dtype)
    if high < low:
        raise RuntimeError(f"uniform_ expects to return a [from, to) range, but found from={low} > to={high}")
    drawn = rand(input.shape, generator=generator, dtype=input.dtype, device=input.device)
    return input.copy_(drawn * (high - low) + low)


def random_(input: Any, *bounds: int, generator: Any = None, **named: int) -> Any:
    """Fill with whole numbers: of [0, to) for `random_(to)`, of [from, to), or of all from 0 that the dtype holds (of
    a float dtype, all without gaps)."""
    low, high = _two("random_", bounds, named, {"from": None, "to": None})
    if len(bounds) == 1 and not named:
        low, high = 0, low
    if high is None:
        dtype = input.dtype
        whole = 2 ** (np.finfo(dtype.numpy).nmant + 1) if dtype.is_floating_point else int(bounds_of(dtype)[1])
        high = min(whole + 1, 2**63 - 1)
    drawn = randint_op(low or 0, high, input.shape, generator=generator, dtype=input.dtype, device=input.device)
    return input.copy_(drawn)


def bernoulli_(input: Any, p: Any = 0.5, *, generator: Any = None) -> Any:
    """Fill with 1 with probability p (a number, or a tensor of them), else 0."""
    if isinstance(p, (int, float)):
        return input.copy_(bernoulli(input.detach(), p, generator=generator))
    return input.copy_(bernoulli(p.detach().expand(input.shape), generator=generator))


for _fn in (normal_, uniform_, random_, bernoulli_):
    attach_method(_fn.__name__, _fn)
