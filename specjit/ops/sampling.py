"""Random numbers.

Enters: sizes or tensors, a generator. Leaves: fresh tensors; methods that fill a tensor.
Invariant: a random op draws only from its generator, one reserved range per call; which values come does not depend
on anything else.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from specjit import dtypes
from specjit.dtypes import DType, dtype_of
from specjit.ir.types import Type
from specjit.ops import infer
from specjit.ops.call import attach_method
from specjit.ops.composites import composite_function
from specjit.ops.creation import OPTIONS, check_number, made, shape_of
from specjit.ops.eager import not_implemented
from specjit.ops.registry import NO_GRAD, RANDOM, defop, public_function
from specjit.tensor import random
from specjit.tensor.random import Generator
from specjit.tensor.tensor import Tensor, get_default_dtype


def check_sampled(name: str, dtype: Any) -> None:
    """Continuous distributions fill floats only. name: of PyTorch's kernel."""
    if dtype is not None and not dtype.is_floating_point:
        raise not_implemented(name, dtype)


def _random(name: str, kernel: str, fn: Any, doc: str) -> Any:
    def eager(size: Any, generator: Any, dtype: Any, device: Any, requires_grad: Any) -> np.ndarray:
        shape = shape_of(size)
        if name == "rand" or 0 not in shape:
            check_sampled(kernel, dtype)
        return fn(generator, shape, (dtype or get_default_dtype()).numpy)

    def rule(size: Any, generator: Any, dtype: Any, device: Any, requires_grad: Any) -> Type:
        out = made(size, dtype or get_default_dtype(), device, requires_grad)
        if name == "rand" or (out.dims is not None and 0 not in out.dims):
            check_sampled(kernel, dtype)
        return out

    return defop(
        f"{name}(size: 'int[*]', *, generator: 'Generator?' = None, {OPTIONS}) -> Tensor",
        eager=eager,
        infer=rule,
        vjp=NO_GRAD,
        traits=RANDOM,
        method=False,
        doc=doc,
    )


rand = _random("rand", "check_uniform_bounds", random.uniform, "Uniform in [0, 1).")
randn = _random("randn", "normal_kernel_cpu", random.normal, "Standard normal.")


@composite_function(method=False)
def rand_like(
    input: Tensor,
    *,
    generator: Generator | None = None,
    dtype: DType | None = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """`rand` with the shape, dtype and device of `input`."""
    return rand(
        input.shape,
        generator=generator,
        dtype=dtype or input.dtype,
        device=device or input.device,
        requires_grad=requires_grad,
    )


@composite_function(method=False)
def randn_like(
    input: Tensor,
    *,
    generator: Generator | None = None,
    dtype: DType | None = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """`randn` with the shape, dtype and device of `input`."""
    return randn(
        input.shape,
        generator=generator,
        dtype=dtype or input.dtype,
        device=device or input.device,
        requires_grad=requires_grad,
    )


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


def _check_bernoulli(p: Any, dtype: Any) -> None:
    if p is None:
        check_sampled("bernoulli_tensor_cpu_p_", dtype)
    elif not isinstance(p, Type) and not 0 <= p <= 1:
        raise RuntimeError(f"bernoulli_ expects p to be in [0, 1], but got p={p}")


def _bernoulli(x: np.ndarray, p: Any, generator: Any) -> np.ndarray:
    _check_bernoulli(p, dtype_of(x.dtype))
    if p is None and not np.all((x >= 0) & (x <= 1)):
        raise RuntimeError("Expected p_in >= 0 && p_in <= 1 to be true, but got false.")
    return random.bernoulli(generator, x if p is None else p, x.shape).astype(x.dtype)


def _bernoulli_infer(x: Type, p: Any, generator: Any) -> Type:
    _check_bernoulli(p, x.dtype)
    return infer.same(x)


bernoulli = defop(
    "bernoulli(input, p: 'float?' = None, *, generator: 'Generator?' = None) -> Tensor",
    eager=_bernoulli,
    infer=_bernoulli_infer,
    vjp=lambda g, _y, _input, p, generator: g * 0.0,
    traits=RANDOM,
    doc="1 with the probability in `input` (with probability p, if that is given), else 0.",
)


def _check_probability(p: Any) -> None:
    if isinstance(p, (int, float)) and not 0 <= p <= 1:
        raise ValueError(f"dropout probability has to be between 0 and 1, but got {p}")


def _dropout_mask_infer(x: Type, p: Any, generator: Any) -> Type:
    _check_probability(p)
    return infer.same(x)


def _dropout_mask(x: np.ndarray, p: float, generator: Any) -> np.ndarray:
    _check_probability(p)
    keep = random.bernoulli(generator, 1.0 - p, x.shape)
    scale = 0.0 if p == 1 else 1.0 / (1.0 - p)
    return keep.astype(x.dtype) * x.dtype.type(scale)


dropout_mask = defop(
    "dropout_mask(input, p: float = 0.5, *, generator: 'Generator?' = None) -> Tensor",
    eager=_dropout_mask,
    infer=_dropout_mask_infer,
    vjp=NO_GRAD,
    traits=RANDOM,
    method=False,
    public=False,
    doc="For each element of `input`, 1/(1-p) with probability 1-p, else 0. The values of `input` are not read.",
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
