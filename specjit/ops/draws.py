"""Random tensors: uniform, normal, integers, orders, Bernoulli and dropout masks.

Enters: sizes or tensors, a generator (None: the default one). Leaves: fresh tensors.
Invariant: a random op draws only from its generator, one reserved range per call; which values come does not depend
on anything else. Where a record lowers as `drawn`, its definition over `uniform` gives the same bits.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from specjit import dtypes
from specjit.dtypes import DType, get_default_dtype
from specjit.ir.types import Type
from specjit.ops import infer
from specjit.ops.composites import composite_function
from specjit.ops.creation import OPTIONS, made, shape_of
from specjit.ops.lowering import Draw, drawn, special
from specjit.ops.registry import NO_GRAD, RANDOM, defop, public_function
from specjit.tensor import random
from specjit.tensor.tensor import Tensor


def _options_infer(size: Any, generator: Any, dtype: Any, device: Any, requires_grad: Any) -> Type:
    return made(size, dtype or get_default_dtype(), device, requires_grad)


def _draw_size(draw: Draw, size: Any, generator: Any, dtype: Any, device: Any, requires_grad: Any) -> Any:
    return draw(size, dtype or get_default_dtype())


uniform = defop(
    "uniform(size: 'int[]', seed: int, block: int, dtype: dtype) -> Tensor",
    eager=lambda size, seed, block, dtype: random.uniform_at(seed, block, shape_of(size), dtype.numpy),
    infer=lambda size, seed, block, dtype: made(size, dtype, None, False),
    vjp=NO_GRAD,
    lower=special("uniform"),
    method=False,
    public=False,
    doc="What `rand` gives when its generator has this seed and stands at the start of this block of four words.",
)


def _sized(name: str, fn: Any, lower: Any, doc: str) -> Any:
    return defop(
        f"{name}(size: 'int[*]', *, generator: 'Generator?' = None, {OPTIONS}) -> Tensor",
        eager=lambda size, generator, dtype, device, requires_grad: fn(
            generator, shape_of(size), (dtype or get_default_dtype()).numpy
        ),
        infer=_options_infer,
        vjp=NO_GRAD,
        lower=lower,
        traits=RANDOM,
        method=False,
        doc=doc,
    )


rand = _sized("rand", random.uniform, drawn(_draw_size), "Uniform in [0, 1).")
randn = _sized("randn", random.normal, None, "Standard normal.")


@composite_function(method=False)
def rand_like(input: Tensor, *, dtype: DType | None = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """`rand` of the shape and dtype of `input`."""
    return rand(input.shape, dtype=dtype or input.dtype, device=device, requires_grad=requires_grad)


@composite_function(method=False)
def randn_like(input: Tensor, *, dtype: DType | None = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """`randn` of the shape and dtype of `input`."""
    return randn(input.shape, dtype=dtype or input.dtype, device=device, requires_grad=requires_grad)


def _randint(low: int, high: int, size: Any, generator: Any, dtype: Any, device: Any, requires_grad: Any) -> np.ndarray:
    if high <= low:
        raise RuntimeError(f"random_ expects 'from' to be less than 'to', but got from={low} >= to={high}")
    return random.integers(generator, low, high, shape_of(size)).astype((dtype or dtypes.int64).numpy)


_randint_op = defop(
    f"randint(low: int, high: int, size: 'int[]', *, generator: 'Generator?' = None, {OPTIONS}) -> Tensor",
    eager=_randint,
    infer=lambda low, high, size, generator, dtype, device, requires_grad: made(
        size, dtype or dtypes.int64, device, requires_grad
    ),
    vjp=NO_GRAD,
    traits=RANDOM,
    method=False,
    public=False,
    doc="Integers in [low, high).",
)


@public_function
def randint(low: Any, high: Any, size: Any = None, **options: Any) -> Any:
    """Integers in [low, high): `randint(low, high, size)` or `randint(high, size)`."""
    if size is None:
        return _randint_op(0, low, high, **options)
    return _randint_op(low, high, size, **options)


@public_function
def randperm(n: int, *, generator: Any = None, dtype: Any = None) -> Any:
    """A random order of 0..n-1."""
    return _randperm_op(n, generator=generator, dtype=dtype)


_randperm_op = defop(
    f"randperm(n: int, *, generator: 'Generator?' = None, {OPTIONS}) -> Tensor",
    eager=lambda n, generator, dtype, device, requires_grad: random.permutation(generator, n).astype(
        (dtype or dtypes.int64).numpy
    ),
    infer=lambda n, generator, dtype, device, requires_grad: made([n], dtype or dtypes.int64, device, requires_grad),
    vjp=NO_GRAD,
    traits=RANDOM,
    method=False,
    public=False,
    doc="A random order of 0..n-1.",
)


def _bernoulli(p: np.ndarray, generator: Any) -> np.ndarray:
    if p.dtype.kind != "f":
        raise RuntimeError(f"bernoulli_tensor_cpu_p_ not implemented for '{p.dtype}'")
    return random.bernoulli(generator, _probability(p), p.shape).astype(p.dtype)


def _probability(p: np.ndarray) -> np.ndarray:
    if not np.all((p >= 0) & (p <= 1)):
        raise RuntimeError("Expected p_in >= 0 && p_in <= 1 to be true, but got false.")
    return p.copy()


probability = defop(
    "probability(input) -> Tensor",
    eager=_probability,
    infer=lambda p: infer.same(p),
    vjp=lambda g, _y, _input: g,
    lower=special("probability"),
    method=False,
    public=False,
    doc="`input`, all of whose elements must lie in [0, 1].",
)


def _draw_bernoulli(draw: Draw, p: Any, generator: Any) -> Any:
    p = probability(p)
    return (draw(p.shape, dtypes.float32) < p).to(p.dtype) + p * 0.0  # the gradient is zeros, not missing


bernoulli = defop(
    "bernoulli(input, *, generator: 'Generator?' = None) -> Tensor",
    eager=_bernoulli,
    infer=lambda p, generator: infer.same(p),
    vjp=lambda g, _y, _input, generator: g * 0.0,
    lower=drawn(_draw_bernoulli),
    traits=RANDOM,
    doc="1 with the probability in `input`, else 0.",
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
    return keep.astype(x.dtype) * x.dtype.type(_scale(p))


def _scale(p: float) -> float:
    return 0.0 if p == 1 else 1.0 / (1.0 - p)


def _at_least(number: float) -> float:
    """The smallest float32 that is not below `number`: a float32 is below one exactly if it is below the other."""
    found = np.float32(number)
    return float(found if found >= number else np.nextafter(found, np.float32(np.inf)))


def _draw_dropout_mask(draw: Draw, x: Any, p: float, generator: Any) -> Any:
    return (draw(x.shape, dtypes.float32) < _at_least(1.0 - p)).to(x.dtype) * _scale(p)


dropout_mask = defop(
    "dropout_mask(input, p: float = 0.5, *, generator: 'Generator?' = None) -> Tensor",
    eager=_dropout_mask,
    infer=_dropout_mask_infer,
    vjp=NO_GRAD,
    lower=drawn(_draw_dropout_mask, constant=("p",)),
    traits=RANDOM,
    method=False,
    public=False,
    doc="For each element of `input`, 1/(1-p) with probability 1-p, else 0. The values of `input` are not read.",
)
