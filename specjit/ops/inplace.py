"""In-place variants: `add_` and its like write the result of their functional op into argument 0 and return it.

Enters: the functional records. Leaves: records that write argument 0, with the functional's gradient.
Invariant: the target keeps its shape and dtype; a result that would need more dims, or a higher dtype category, is an
error.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from specjit.dtypes import dtype_of
from specjit.ir.traits import Traits
from specjit.ir.types import Type
from specjit.ops import arithmetic, draws, gather, infer, parts, pointwise
from specjit.ops.eager import writable
from specjit.ops.grads import sum_to
from specjit.ops.quiet import quiet
from specjit.ops.registry import Op, defop
from specjit.tensor.promotion import cast_operand

WRITES_SELF = Traits(view_of=0, writes=frozenset({0}))


def _check(have: Any, want: Any, shape: Any, target: Any) -> None:
    if have.category > want.category:
        raise RuntimeError(f"result type {have.name} can't be cast to the desired output type {want.name}")
    if shape is not None and target is not None and tuple(shape) != tuple(target):
        known = all(isinstance(d, int) for d in (*shape, *target))
        if known or len(shape) != len(target):
            raise RuntimeError(f"output with shape {list(target)} doesn't match the broadcast shape {list(shape)}")


def _eager(op: Op, ufunc: Any) -> Callable[..., Any]:
    compute = getattr(op.eager, "raw", op.eager)

    def eager(x: np.ndarray, *rest: Any) -> np.ndarray:
        writable(x)
        if ufunc is not None and x.dtype.kind == "f" and _simple(x, rest):
            return ufunc(x, rest[0], out=x)
        out = np.asarray(compute(x, *rest))
        if out.dtype is not x.dtype or out.shape != x.shape:
            _check(dtype_of(out.dtype), dtype_of(x.dtype), out.shape, x.shape)
        x[...] = out
        return x

    return quiet(eager)


def _simple(x: np.ndarray, rest: tuple[Any, ...]) -> bool:
    """An operand of the same dtype that does not enlarge the target, and no alpha."""
    if len(rest) > 1 and rest[1] != 1:
        return False
    other = rest[0]
    if type(other) is float or type(other) is int:
        return True
    return type(other) is np.ndarray and other.dtype is x.dtype and (other.shape == x.shape or not other.ndim)


def _infer(op: Op) -> Callable[..., Any]:
    def rule(x: Type, *rest: Any) -> Type:
        found = op.infer(x, *rest)
        if found.dtype is not None and x.dtype is not None:
            _check(found.dtype, x.dtype, found.dims, x.dims)
        # The target takes on the gradients of what is written into it.
        return Type.tensor(x.dtype, x.dims)

    return rule


def _define(fn: Any, ufunc: Any = None) -> Any:
    op: Op = fn.record
    # The target itself is a tensor, also where the functional op would take a number.
    schema = op.schema.replace(op.name, op.name + "_", 1).replace("input: 'Tensor|Scalar'", "input", 1)
    assert op._vjp is not None
    return defop(
        schema,
        eager=_eager(op, ufunc),
        infer=_infer(op),
        vjp=op._vjp,
        traits=WRITES_SELF,
        functional=op,
        reads=op.reads,
        method=True,
        doc=f"`{op.name}` in place; returns the tensor.",
    )


add_ = _define(arithmetic.add, np.add)
sub_ = _define(arithmetic.sub, np.subtract)
mul_ = _define(arithmetic.mul, np.multiply)
div_ = _define(arithmetic.div, np.true_divide)
pow_ = _define(arithmetic.pow)
clamp_ = _define(arithmetic.clamp)
masked_fill_ = _define(gather.masked_fill)
exp_ = _define(pointwise.exp)
sqrt_ = _define(pointwise.sqrt)
neg_ = _define(pointwise.neg)
abs_ = _define(pointwise.abs)
relu_ = _define(pointwise.relu)
sigmoid_ = _define(pointwise.sigmoid)
tanh_ = _define(pointwise.tanh)
floor_ = _define(pointwise.floor)
ceil_ = _define(pointwise.ceil)
round_ = _define(pointwise.round)
scatter_add_ = _define(gather.scatter_add)
index_add_ = _define(gather.index_add)


def _fill(x: np.ndarray, value: Any) -> np.ndarray:
    if isinstance(value, np.ndarray) and value.ndim:
        raise RuntimeError(f"fill_ only supports 0-dimension value tensor but got tensor with {value.ndim} dimensions.")
    x[...] = cast_operand(value, x.dtype)
    return x


fill_ = defop(
    "fill_(input, value: 'Tensor|Scalar') -> Tensor",
    eager=quiet(_fill),
    infer=lambda x, value: infer.same(x),
    vjp=lambda g, _y, _x, _value: (lambda: g * 0.0, lambda: sum_to(g, _value)),
    traits=WRITES_SELF,
    functional=parts.filled,
    doc="Set all elements to `value`.",
)


def _zero(x: np.ndarray) -> np.ndarray:
    x.fill(0)
    return x


zero_ = defop(
    "zero_(input) -> Tensor",
    eager=_zero,
    infer=infer.same,
    vjp=lambda g, _y, _x: g * 0.0,
    traits=WRITES_SELF,
    functional=parts.filled,
    doc="Set all elements to 0.",
)


def _copy(x: np.ndarray, src: np.ndarray, non_blocking: bool) -> np.ndarray:
    writable(x)[...] = cast_operand(src, x.dtype)
    return x


def _copy_infer(x: Type, src: Type, non_blocking: Any) -> Type:
    if x.dims is not None and src.dims is not None:
        infer.expanded(src, list(map(infer.int_of, x.dims)))
    return infer.same(x)


copy_ = defop(
    "copy_(input, src, non_blocking: bool = False) -> Tensor",
    eager=quiet(_copy),
    infer=_copy_infer,
    vjp=lambda g, _y, _x, _src, non_blocking: (lambda: g * 0.0, lambda: sum_to(g, _src)),
    traits=WRITES_SELF,
    functional=parts.overwritten,
    doc="Copy `src`, broadcast and converted, into the tensor.",
)


def normal_(input: Any, mean: float = 0.0, std: float = 1.0, *, generator: Any = None) -> Any:
    """Fill with normal values."""
    return input.copy_(draws.randn(input.shape, generator=generator, dtype=_sampled(input)) * std + mean)


def uniform_(input: Any, a: float = 0.0, b: float = 1.0, *, generator: Any = None) -> Any:
    """Fill with uniform values from [a, b)."""
    return input.copy_(draws.rand(input.shape, generator=generator, dtype=_sampled(input)) * (b - a) + a)


def _sampled(x: Any) -> Any:
    if not x.dtype.is_floating_point:
        raise RuntimeError("random values need a floating point tensor")
    return x.dtype
