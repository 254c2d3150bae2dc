"""Python's operator syntax on tensors, and methods that are plain Python over ops.

Enters: the records and functions of the family files. Leaves: attributes of `TensorMethods`.
Invariant: an operator given an operand it does not know returns NotImplemented, so that other libraries get their turn.
"""

from __future__ import annotations

from typing import Any

from specjit.dtypes import DType
from specjit.ops import arithmetic, casts, compare, division, inplace, masks, pointwise, power, shape
from specjit.ops.data import tensor
from specjit.ops.records import registry
from specjit.ops.records.call import OPERANDS, attach_method
from specjit.ops.records.composites import Number, composite_function
from specjit.ops.records.generate import operator_function
from specjit.tensor.methods import TensorMethods
from specjit.tensor.tensor import Tensor

BINARY = {
    "add": arithmetic.add,
    "sub": arithmetic.sub,
    "mul": arithmetic.mul,
    "truediv": arithmetic.div,
    "floordiv": division.floor_divide,
    "mod": division.remainder,
    "pow": power.pow,
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


def augmented(fn: Any) -> Any:
    """The method of an augmented assignment that writes through `fn`; an operand of a foreign type gets its own
    chance."""

    def method(self: Any, other: Any) -> Any:
        return fn(self, other) if isinstance(other, OPERANDS) else NotImplemented

    method.record = fn.record  # type: ignore[attr-defined]
    return method


for _name, _fn in AUGMENTED.items():
    attach_method(f"__{_name}__", augmented(_fn))


@composite_function
def rsub(input: Tensor, other: Tensor | Number, *, alpha: Number = 1) -> Tensor:
    """other - alpha * input."""
    return arithmetic.sub(other, input, alpha=alpha)


@registry.public_function
def where(condition: Any, input: Any = None, other: Any = None) -> Any:
    """`input` where `condition` (bools) holds, else `other`; of `condition` alone, the indices where it is not zero."""
    if input is None and other is None:
        return masks.nonzero(condition, as_tuple=True)
    return arithmetic.where(condition, input, other)


@composite_function(name="Tensor.where")
def _where(input: Tensor, condition: Tensor, other: Tensor | Number) -> Tensor:
    """`input` where `condition` holds, else `other`."""
    return arithmetic.where(condition, input, other)


@composite_function(public=False)
def expand_as(input: Tensor, other: Tensor) -> Tensor:
    """`expand` to the shape of `other`."""
    return input.expand(other.shape)


@composite_function(name="Tensor.view")
def _view(input: Any, *size: Any, dtype: Any = None) -> Any:
    """`view(2, 3)`, `view((2, 3))`: the same elements under another shape; `view(dtype)`: the same memory read as
    another dtype."""
    wanted = size[0] if size else dtype
    if wanted is None:
        raise TypeError("view() missing required argument: 'size'")
    if isinstance(wanted, DType):
        return shape.view_dtype(input, wanted)
    return shape.view_op(input, size[0] if len(size) == 1 else size)


@composite_function(public=False)
def view_as(input: Tensor, other: Tensor) -> Tensor:
    """`view` with the shape of `other`."""
    return input.view(other.shape)


@composite_function(public=False)
def reshape_as(input: Tensor, other: Tensor) -> Tensor:
    """`reshape` to the shape of `other`."""
    return input.reshape(other.shape)


@composite_function(name="Tensor.new_tensor")
def _new_tensor(
    input: Tensor, data: Any, *, dtype: DType | None = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """`tensor` with the dtype and the device of the tensor."""
    return tensor(data, dtype=dtype or input.dtype, device=device or input.device, requires_grad=requires_grad)


@composite_function
def equal(input: Tensor, other: Tensor) -> bool:
    """Whether two tensors have the same shape and elements."""
    return tuple(input.shape) == tuple(other.shape) and bool((input == other).all())


@composite_function
def allclose(input: Tensor, other: Tensor, rtol: float = 1e-05, atol: float = 1e-08, equal_nan: bool = False) -> bool:
    """Whether |input - other| <= atol + rtol * |other| everywhere."""
    return bool(input.isclose(other, rtol, atol, equal_nan).all())


@composite_function
def swapaxes(input: Tensor, axis0: int, axis1: int) -> Tensor:
    """`transpose` under its NumPy name."""
    return shape.transpose(input, axis0, axis1)


METHODS: dict[str, Any] = {
    "nonzero": masks.nonzero,
    "to": casts.to,
    "type_as": casts.type_as,
    "float": casts.float,
    "double": casts.double,
    "half": casts.half,
    "byte": casts.byte,
    "char": casts.char,
    "short": casts.short,
    "int": casts.int,
    "long": casts.long,
    "bool": casts.bool,
    "cpu": casts.cpu,
}
for _name, _fn in METHODS.items():
    attach_method(_name, _fn)


@composite_function(name="Tensor.T", method=False, inlined=False)
def _reversed(input: Tensor) -> Tensor:
    """All dims in reverse order: the transpose of a matrix."""
    return shape.permute(input, list(range(input.ndim))[::-1])


@composite_function(name="Tensor.mT", method=False)
def _matrix_transpose(input: Tensor) -> Tensor:
    """The last two dims exchanged; a 0-d tensor is itself."""
    if input.ndim == 1:
        raise RuntimeError("tensor.mT is only supported on matrices or batches of matrices. Got 1-D tensor.")
    return shape.transpose(input, -2, -1) if input.ndim else input


@composite_function(name="Tensor.H", method=False)
def _conjugate_transpose(input: Tensor) -> Tensor:
    """The transpose of a matrix (all numbers here are real)."""
    if input.ndim not in (0, 2):
        raise RuntimeError(f"tensor.H is only supported on matrices (2-D tensors). Got {input.ndim}-D tensor.")
    return shape.t(input)


for _name, _fn in {
    "T": _reversed,
    "mT": _matrix_transpose,
    "H": _conjugate_transpose,
    "mH": _matrix_transpose,
}.items():
    setattr(TensorMethods, _name, property(_fn))
