"""Three tensors at once: lerp, addcmul, addcdiv.

Enters: tensors and Python numbers. Leaves: fresh tensors of the broadcast shape.
Invariant: float16 is computed in float32 and rounded once.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from specjit.dtypes import TITLES, dtype_of
from specjit.ops.records import infer
from specjit.ops.records.eager import half_as_float, not_implemented
from specjit.ops.records.grads import sum_to
from specjit.ops.records.lowering import pointwise
from specjit.ops.records.quiet import quiet
from specjit.ops.records.registry import defop
from specjit.ops.records.writes import in_place
from specjit.tensor.promotion import cast_operand, result_type


def _promoted(*arrays: np.ndarray) -> Sequence[np.ndarray]:
    if all(a.dtype is arrays[0].dtype for a in arrays):
        return arrays
    found = result_type(*[infer.Type.tensor(dtype_of(a.dtype), a.shape) for a in arrays])
    assert found is not None
    return [cast_operand(a, found.numpy) for a in arrays]


# input + value * tensor1 * tensor2 and input + value * tensor1 / tensor2


def _scaled(combine: Any) -> Any:
    @half_as_float
    def compute(x: np.ndarray, a: np.ndarray, b: np.ndarray, value: Any) -> Any:
        return x + combine(a if value == 1 else value * a, b)

    def eager(x: np.ndarray, a: np.ndarray, b: np.ndarray, value: Any) -> Any:
        x, a, b = _promoted(x, a, b)
        return compute(x, a, b, value if x.dtype.kind == "f" else cast_operand(int(value), x.dtype))

    return eager


_with_product = _scaled(np.multiply)
_with_quotient = _scaled(np.true_divide)


def _addcmul(x: np.ndarray, a: np.ndarray, b: np.ndarray, value: Any) -> Any:
    out = _with_product(x, a, b, value)
    if out.dtype.kind == "b":
        raise not_implemented("addcmul_cpu_out", out.dtype)
    return out


def _addcmul_infer(x: Any, a: Any, b: Any, value: Any) -> Any:
    out = infer.promoted(x, a, b)
    if out.dtype is not None and not out.dtype.category:
        raise not_implemented("addcmul_cpu_out", out.dtype)
    return out


addcmul = defop(
    "addcmul(input, tensor1, tensor2, *, value: Scalar = 1) -> Tensor",
    eager=quiet(_addcmul),
    infer=_addcmul_infer,
    vjp=lambda g, _y, _x, a, b, value: (
        lambda: sum_to(g, _x),
        lambda: sum_to(g * (b * value), a),
        lambda: sum_to(g * (a * value), b),
    ),
    lower=pointwise("{0} + {3} * {1} * {2}"),
    reads=((), (2,), (1,)),
    doc="input + value * tensor1 * tensor2.",
)
in_place(addcmul)


def _whole() -> RuntimeError:
    """PyTorch divides no ints here."""
    return RuntimeError(
        "Integer division with addcdiv is no longer supported, and in a future release addcdiv will perform a true "
        "division of tensor1 and tensor2. Use (input + value * trunc(tensor1 / tensor2)).to(input.dtype) for "
        "integer inputs, or convert them to floats."
    )


def _addcdiv(x: np.ndarray, a: np.ndarray, b: np.ndarray, value: Any) -> Any:
    if a.dtype.kind != "f" and b.dtype.kind != "f":
        raise _whole()
    return _with_quotient(x, a, b, value)


def _addcdiv_infer(x: Any, a: Any, b: Any, value: Any) -> Any:
    if all(t.dtype is not None and not t.dtype.is_floating_point for t in (a, b)):
        raise _whole()
    return infer.promoted(x, a, b)


addcdiv = defop(
    "addcdiv(input, tensor1, tensor2, *, value: Scalar = 1) -> Tensor",
    eager=quiet(_addcdiv),
    infer=_addcdiv_infer,
    vjp=lambda g, _y, _x, a, b, value: (
        lambda: sum_to(g, _x),
        lambda: sum_to(g * (value / b), a),
        lambda: sum_to(-g * (value * a / (b * b)), b),
    ),
    lower=pointwise("{0} + {3} * {1} / {2}"),
    reads=((), (2,), (1, 2)),
    doc="input + value * tensor1 / tensor2.",
)
in_place(addcdiv)


# input + weight * (end - input)


@half_as_float
def _lerp(x: np.ndarray, end: np.ndarray, weight: Any) -> Any:
    step = end - x
    if type(weight) is not np.ndarray:
        return x + weight * step if abs(weight) < 0.5 else end - step * (1 - weight)
    return np.where(np.abs(weight) < 0.5, x + weight * step, end - step * (1 - weight))


def _check_lerp(x: Any, end: Any, weight: Any) -> None:
    """DTypes, None where unknown; `weight` may be a number."""
    scalar = isinstance(weight, (bool, int, float))
    for name, other in (("end", end), ("weight", None if scalar else weight)):
        if x is not None and other is not None and other is not x:
            raise RuntimeError(f"expected dtype {_said(x)} for `{name}` but got dtype {_said(other)}")
    if x is not None and not x.is_floating_point:
        raise not_implemented("lerp_kernel_scalar" if scalar else "lerp_kernel_tensor", x)


def _said(dtype: Any) -> str:
    return TITLES[dtype.name].lower()


def _lerp_eager(x: np.ndarray, end: np.ndarray, weight: Any) -> Any:
    tensor = type(weight) is np.ndarray
    if x.dtype is not end.dtype or x.dtype.kind != "f" or (tensor and weight.dtype is not x.dtype):
        _check_lerp(dtype_of(x.dtype), dtype_of(end.dtype), dtype_of(weight.dtype) if tensor else weight)
    return _lerp(x, end, weight)


def _lerp_infer(x: Any, end: Any, weight: Any) -> Any:
    tensor = infer.is_tensor(weight)
    number = weight if isinstance(weight, (int, float)) or not isinstance(weight, infer.Type) else 0.0
    _check_lerp(x.dtype, end.dtype, weight.dtype if tensor else number)
    dims = infer.broadcast(x.dims, end.dims, *([weight.dims] if tensor else []))
    return infer.Type.tensor(x.dtype, dims)


lerp = defop(
    "lerp(input, end, weight: 'Tensor|Scalar') -> Tensor",
    eager=quiet(_lerp_eager),
    infer=_lerp_infer,
    vjp=lambda g, _y, x, end, weight: (
        lambda: sum_to(g * (1 - weight), x),
        lambda: sum_to(g * weight, end),
        lambda: sum_to(g * (end - x), weight),
    ),
    lower=pointwise(
        "select(abs({2}) < 0.5, {0} + {2} * ({1} - {0}), {1} - ({1} - {0}) * (1 - {2}))",
    ),
    reads=((2,), (2,), (0, 1)),
    doc="input + weight * (end - input); reckoned from `end` for weights from 1/2 on, so that 1 gives it exactly.",
)
in_place(lerp)
