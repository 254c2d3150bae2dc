"""Python's operator syntax on tensors, and methods that are plain Python over ops.

Enters: the records and functions of the family files. Leaves: attributes of `TensorMethods`.
Invariant: an operator given an operand it does not know returns NotImplemented, so that other libraries get their turn.
"""

from __future__ import annotations

from typing import Any

from specjit.ops import (
    arithmetic,
    casts,
    compare,
    creation,
    gather,
    inplace,
    linalg,
    pointwise,
    reduce,
    registry,
    shape,
)
from specjit.ops.call import OPERANDS, attach_method
from specjit.ops.generate import operator_function
from specjit.tensor.methods import TensorMethods

BINARY = {
    "add": arithmetic.add,
    "sub": arithmetic.sub,
    "mul": arithmetic.mul,
    "truediv": arithmetic.div,
    "floordiv": arithmetic.floor_divide,
    "mod": arithmetic.remainder,
    "pow": arithmetic.pow,
    "and": compare.bitwise_and,
    "or": compare.bitwise_or,
    "xor": compare.bitwise_xor,
}
COMPARE = {
    "eq": compare.eq,
    "ne": compare.ne,
    "lt": compare.lt,
    "le": compare.le,
    "gt": compare.gt,
    "ge": compare.ge,
}
UNARY = {"neg": pointwise.neg, "invert": compare.bitwise_not, "abs": pointwise.abs}
AUGMENTED = {
    "iadd": inplace.add_,
    "isub": inplace.sub_,
    "imul": inplace.mul_,
    "itruediv": inplace.div_,
    "ipow": inplace.pow_,
}

for _name, _fn in BINARY.items():
    attach_method(f"__{_name}__", operator_function(_fn.record, f"__{_name}__"))
    attach_method(f"__r{_name}__", operator_function(_fn.record, f"__r{_name}__", swapped=True))
for _name, _fn in COMPARE.items():
    attach_method(f"__{_name}__", operator_function(_fn.record, f"__{_name}__"))
for _name, _fn in UNARY.items():
    attach_method(f"__{_name}__", _fn)
attach_method("__matmul__", operator_function(registry.get("matmul"), "__matmul__"))


def _augmented(fn: Any) -> Any:
    def method(self: Any, other: Any) -> Any:
        return fn(self, other) if isinstance(other, OPERANDS) else NotImplemented

    method.record = fn.record  # type: ignore[attr-defined]
    return method


for _name, _fn in AUGMENTED.items():
    attach_method(f"__{_name}__", _augmented(_fn))


def rsub(input: Any, other: Any, *, alpha: Any = 1) -> Any:
    """other - alpha * input."""
    return arithmetic.sub(other, input, alpha=alpha)


def _where(input: Any, condition: Any, other: Any) -> Any:
    """The tensor where `condition` is True, else `other`."""
    return arithmetic.where(condition, input, other)


def expand_as(input: Any, other: Any) -> Any:
    """`expand` to the shape of `other`."""
    return input.expand(other.shape)


def view_as(input: Any, other: Any) -> Any:
    """`view` with the shape of `other`."""
    return input.view(other.shape)


def reshape_as(input: Any, other: Any) -> Any:
    """`reshape` to the shape of `other`."""
    return input.reshape(other.shape)


def new_zeros(input: Any, *size: Any, dtype: Any = None, requires_grad: bool = False) -> Any:
    """`zeros` with the dtype of the tensor."""
    return creation.zeros(*size, dtype=dtype or input.dtype, requires_grad=requires_grad)


def new_ones(input: Any, *size: Any, dtype: Any = None, requires_grad: bool = False) -> Any:
    """`ones` with the dtype of the tensor."""
    return creation.ones(*size, dtype=dtype or input.dtype, requires_grad=requires_grad)


def new_empty(input: Any, *size: Any, dtype: Any = None, requires_grad: bool = False) -> Any:
    """`empty` with the dtype of the tensor."""
    return creation.empty(*size, dtype=dtype or input.dtype, requires_grad=requires_grad)


def new_full(input: Any, size: Any, fill_value: Any, dtype: Any = None, requires_grad: bool = False) -> Any:
    """`full` with the dtype of the tensor."""
    return creation.full(size, fill_value, dtype=dtype or input.dtype, requires_grad=requires_grad)


def new_tensor(input: Any, data: Any, dtype: Any = None, requires_grad: bool = False) -> Any:
    """`tensor` with the dtype of the tensor."""
    return creation.tensor(data, dtype=dtype or input.dtype, requires_grad=requires_grad)


def equal(input: Any, other: Any) -> bool:
    """Whether two tensors have the same shape and elements."""
    return tuple(input.shape) == tuple(other.shape) and bool((input == other).all())


def allclose(input: Any, other: Any, rtol: float = 1e-05, atol: float = 1e-08, equal_nan: bool = False) -> bool:
    """Whether |input - other| <= atol + rtol * |other| everywhere."""
    close = (input == other) | (((input - other).abs() <= atol + rtol * other.abs()) & compare.isfinite(other))
    if equal_nan:
        close = close | (compare.isnan(input) & compare.isnan(other))
    return bool(close.all())


def swapaxes(input: Any, axis0: int, axis1: int) -> Any:
    """`transpose` under its NumPy name."""
    return shape.transpose(input, axis0, axis1)


METHODS: dict[str, Any] = {
    "where": _where,
    "rsub": rsub,
    "expand_as": expand_as,
    "view_as": view_as,
    "reshape_as": reshape_as,
    "new_zeros": new_zeros,
    "new_ones": new_ones,
    "new_empty": new_empty,
    "new_full": new_full,
    "new_tensor": new_tensor,
    "equal": equal,
    "allclose": allclose,
    "swapaxes": swapaxes,
    "max": reduce.max,
    "min": reduce.min,
    "std": reduce.std,
    "nonzero": gather.nonzero,
    "dot": linalg.dot,
    "mv": linalg.mv,
    "outer": linalg.outer,
    "addmm": linalg.addmm,
    "to": casts.to,
    "type_as": casts.type_as,
    "float": casts.float,
    "double": casts.double,
    "half": casts.half,
    "int": casts.int,
    "long": casts.long,
    "bool": casts.bool,
    "cpu": casts.cpu,
    "normal_": inplace.normal_,
    "uniform_": inplace.uniform_,
}
for _name, _fn in METHODS.items():
    attach_method(_name, _fn)

TensorMethods.T = property(  # type: ignore[attr-defined]
    lambda self: shape.permute(self, tuple(range(self.ndim))[::-1]), doc="A view with the dims in reverse order."
)
TensorMethods.mT = property(  # type: ignore[attr-defined]
    lambda self: shape.transpose(self, -2, -1), doc="A view with the last two dims swapped."
)
