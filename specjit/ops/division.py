"""Division that rounds, and what it leaves: floor_divide, remainder, and `div` with a rounding mode.

Enters: tensors and Python numbers. Leaves: fresh tensors of the broadcast shape and promoted dtype.
Invariant: an integer division by zero is an error in eager mode; floats follow IEEE 754.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from specjit.ops.arithmetic import div
from specjit.ops.records.composites import Number, composite_function
from specjit.ops.records.eager import binary, inlined
from specjit.ops.records.grads import is_tensor, sum_to
from specjit.ops.records.infer import pointwise as promoted
from specjit.ops.records.lowering import composite, pointwise
from specjit.ops.records.refuse import Refuse
from specjit.ops.records.registry import alias, defop
from specjit.tensor.tensor import Tensor
from specjit.tensor.tracer import TraceError


def no_zero_divisor(fn: Callable[..., Any]) -> Callable[..., Any]:
    """`fn` of two arrays, or of an array and a number; RuntimeError for ints over zero."""

    def checked(a: Any, b: Any) -> Any:
        if a.dtype.kind in "iu" and np.any(np.equal(b, 0)):
            raise RuntimeError("ZeroDivisionError")
        return fn(a, b)

    return checked


def _quotient(name: str, fn: Any, refuse: Refuse, vjp: Any, lower: Any, *, reads: Any = None, **options: Any) -> Any:
    return defop(
        f"{name}(input: 'Tensor|Scalar', other: 'Tensor|Scalar') -> Tensor",
        eager=inlined(binary(refuse.eager(no_zero_divisor(fn))), fn, floats=True),
        infer=refuse.infer(promoted),
        vjp=vjp,
        lower=lower,
        reads=reads,
        **options,
    )


floor_divide = _quotient(
    "floor_divide",
    np.floor_divide,
    Refuse("div_floor_cpu", "Bool", operands=2),
    lambda g, _y, _a, _b: (lambda: sum_to(g * 0.0, _a), lambda: sum_to(g * 0.0, _b)),
    pointwise("{0} // {1}"),
    method=True,
    doc="The quotient rounded down, as Python's //.",
)
remainder = _quotient(
    "remainder",
    np.remainder,
    Refuse("remainder_cpu", "Bool", operands=2),
    lambda g, _y, a, b: (lambda: sum_to(g, a), lambda: sum_to(-g * (a / b).floor(), b)),
    pointwise("{0} % {1}"),
    reads=((), (0, 1)),
    method=True,
    doc="The remainder with the sign of the divisor, as Python's %.",
)


def _trunc_divide(a: Any, b: Any) -> Any:
    if a.dtype.kind == "f":
        return np.trunc(np.true_divide(a, b))
    return np.floor_divide(a - np.fmod(a, b), b)


def _trunc_divide_composite(a: Any, b: Any) -> Any:
    if any(type(x) is float or (is_tensor(x) and x.dtype.is_floating_point) for x in (a, b)):
        return (a / b).trunc()
    if not is_tensor(a):
        raise TraceError("trunc_divide of a number by ints")
    rest = a.fmod(b)
    return (a.to(rest.dtype) - rest) // b


trunc_divide = _quotient(
    "trunc_divide",
    _trunc_divide,
    Refuse("div_trunc_cpu", "Bool", operands=2),
    lambda g, _y, _a, _b: (lambda: sum_to(g * 0.0, _a), lambda: sum_to(g * 0.0, _b)),
    composite(_trunc_divide_composite),
    method=False,
    public=False,
    doc="The quotient, rounded towards zero.",
)


@composite_function(inplace=True)
def divide(input: Tensor | Number, other: Tensor | Number, *, rounding_mode: str | None = None) -> Tensor:
    """input / other; rounding_mode "trunc" rounds towards zero, "floor" down, and ints then stay ints. `div` is the
    same function."""
    if rounding_mode is None:
        return div(input, other)
    if rounding_mode == "trunc":
        return trunc_divide(input, other)
    if rounding_mode == "floor":
        return floor_divide(input, other)
    raise RuntimeError(f"div expected rounding_mode to be one of None, 'trunc', or 'floor' but found '{rounding_mode}'")


alias("div", "divide")
