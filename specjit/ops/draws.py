"""Random floats: uniform, normal, Bernoulli and dropout masks.

Enters: sizes or tensors, a generator (None: the default one). Leaves: fresh tensors.
Invariant: a random op draws only from its generator, one reserved range per call; which values come does not depend
on anything else. Where a record lowers as `drawn`, its definition over `uniform` gives the same bits.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from specjit import dtypes
from specjit.dtypes import DType, dtype_of, get_default_dtype
from specjit.ir.types import Type
from specjit.ops.arithmetic import where
from specjit.ops.creation import OPTIONS, made, shape_of
from specjit.ops.records import infer
from specjit.ops.records.composites import composite_function
from specjit.ops.records.eager import not_implemented
from specjit.ops.records.lowering import Draw, drawn, special
from specjit.ops.records.registry import NO_GRAD, RANDOM, defop
from specjit.tensor import random
from specjit.tensor.random import Generator
from specjit.tensor.tensor import Tensor


def check_sampled(name: str, dtype: Any) -> None:
    """Continuous distributions fill floats only. name: of PyTorch's kernel."""
    if dtype is not None and not dtype.is_floating_point:
        raise not_implemented(name, dtype)


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


def _draw_size(draw: Draw, size: Any, generator: Any, dtype: Any, device: Any, requires_grad: Any) -> Any:
    return draw(size, dtype or get_default_dtype())


def _sized(name: str, fn: Any, lower: Any, check: Callable[[Any, Any], None], doc: str) -> Any:
    """A record of `fn(generator, shape, dtype)`; check(dtype, shape) refuses dtypes."""

    def eager(size: Any, generator: Any, dtype: Any, device: Any, requires_grad: Any) -> np.ndarray:
        shape = shape_of(size)
        check(dtype, shape)
        return fn(generator, shape, (dtype or get_default_dtype()).numpy)

    def rule(size: Any, generator: Any, dtype: Any, device: Any, requires_grad: Any) -> Type:
        out = made(size, dtype or get_default_dtype(), device, requires_grad)
        check(dtype, out.dims)
        return out

    return defop(
        f"{name}(size: 'int[*]', *, generator: 'Generator?' = None, {OPTIONS}) -> Tensor",
        eager=eager,
        infer=rule,
        vjp=NO_GRAD,
        lower=lower,
        traits=RANDOM,
        method=False,
        doc=doc,
    )


def _check_uniform(dtype: Any, _shape: Any) -> None:
    check_sampled("check_uniform_bounds", dtype)


def _check_normal(dtype: Any, shape: Any) -> None:
    if shape is not None and 0 not in shape:  # PyTorch's kernel is not asked for nothing
        check_sampled("normal_kernel_cpu", dtype)


rand = _sized("rand", random.uniform, drawn(_draw_size), _check_uniform, "Uniform in [0, 1).")
randn = _sized("randn", random.normal, None, _check_normal, "Standard normal.")


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


def _check_bernoulli(p: Any, dtype: Any) -> None:
    if p is None:
        check_sampled("bernoulli_tensor_cpu_p_", dtype)
    elif not isinstance(p, Type) and not 0 <= p <= 1:
        raise RuntimeError(f"bernoulli_ expects p to be in [0, 1], but got p={p}")


def _bernoulli(x: np.ndarray, p: Any, generator: Any) -> np.ndarray:
    _check_bernoulli(p, dtype_of(x.dtype))
    return random.bernoulli(generator, _probability(x) if p is None else p, x.shape).astype(x.dtype)


def _bernoulli_infer(x: Type, p: Any, generator: Any) -> Type:
    _check_bernoulli(p, x.dtype)
    return infer.same(x)


def _at_least(number: float) -> float:
    """The smallest float32 that is not below `number`: a float32 is below one exactly if it is below the other."""
    found = np.float32(number)
    return float(found if found >= number else np.nextafter(found, np.float32(np.inf)))


def _draw_bernoulli(draw: Draw, x: Any, p: Any, generator: Any) -> Any:
    if p is None:
        x = probability(x)
        return (draw(x.shape, dtypes.float32) < x).to(x.dtype) + x * 0.0  # the gradient is zeros, not missing
    found = (draw(x.shape, dtypes.float32) < _at_least(p)).to(x.dtype)
    return found + where(x.isfinite(), x, 0.0) * 0.0 if x.dtype.is_floating_point else found


bernoulli = defop(
    "bernoulli(input, p: 'float?' = None, *, generator: 'Generator?' = None) -> Tensor",
    eager=_bernoulli,
    infer=_bernoulli_infer,
    vjp=lambda g, _y, _input, p, generator: g * 0.0,
    lower=drawn(_draw_bernoulli, constant=("p",)),
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
    return keep.astype(x.dtype) * x.dtype.type(_scale(p))


def _scale(p: float) -> float:
    return 0.0 if p == 1 else 1.0 / (1.0 - p)


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
