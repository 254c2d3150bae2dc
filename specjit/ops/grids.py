"""Tensors of a pattern: identity, evenly spaced numbers, the indices of triangles.

Enters: sizes and numbers. Leaves: fresh tensors.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from specjit import dtypes
from specjit.dtypes import DType
from specjit.ir.types import Type
from specjit.ops import casts
from specjit.ops.creation import OPTIONS, arange, check_number, full, made
from specjit.ops.records.composites import Number, composite_function
from specjit.ops.records.eager import not_implemented
from specjit.ops.records.lowering import composite
from specjit.ops.records.quiet import quiet
from specjit.ops.records.registry import NO_GRAD, defop
from specjit.tensor.promotion import cast_operand
from specjit.tensor.tensor import Tensor, get_default_dtype


def _eye_sizes(n: Any, m: Any) -> tuple[Any, Any]:
    m = n if m is None else m
    for name, size in (("n", n), ("m", m)):
        if isinstance(size, int) and size < 0:
            raise RuntimeError(f"{name} must be greater or equal to 0, got {size}")
    return n, m


def _eye_composite(n: Any, m: Any, dtype: Any, device: Any, requires_grad: Any) -> Any:
    n, m = _eye_sizes(n, m)
    return casts.to_dtype(arange(n).unsqueeze(1) == arange(m), dtype or get_default_dtype())


eye = defop(
    f"eye(n: int, m: 'int?' = None, *, {OPTIONS}) -> Tensor",
    eager=lambda n, m, dtype, device, requires_grad: np.eye(
        *_eye_sizes(n, m), dtype=(dtype or get_default_dtype()).numpy
    ),
    infer=lambda n, m, dtype, device, requires_grad: made(
        _eye_sizes(n, m), dtype or get_default_dtype(), device, requires_grad
    ),
    vjp=NO_GRAD,
    lower=composite(_eye_composite),
    method=False,
    doc="The n x m matrix (n x n without m) with ones on the diagonal, zeros elsewhere.",
)


@composite_function
def scalar_tensor(s: Number, *, dtype: DType | None = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """A 0-d tensor of a number; of the default dtype, if `dtype` does not say another."""
    wanted = get_default_dtype() if dtype is None else dtype
    return full((), s, dtype=wanted, device=device, requires_grad=requires_grad)


def _spaced(start: Any, end: Any, steps: int, dtype: DType) -> np.ndarray:
    """From both ends towards the middle, so that both are exact; whole numbers for integer dtypes, as in PyTorch."""
    if steps < 0:
        raise RuntimeError("number of steps must be non-negative")
    first, last = (np.float64(cast_operand(_fitting(v, dtype), dtype.numpy)) for v in (start, end))
    place = np.arange(steps)
    step = (last - first) / max(steps - 1, 1)
    return np.where(place < max(steps // 2, 1), first + step * place, last - step * (steps - 1 - place))


def _fitting(value: Any, dtype: DType) -> Any:
    check_number(dtype, value)
    return value if dtype.is_floating_point else int(value)


def _rounded(x: np.ndarray, dtype: DType) -> np.ndarray:
    return x.astype(np.int64).astype(dtype.numpy) if dtype.category == 1 else x.astype(dtype.numpy)


def _not_bool(name: str, steps: Any, dtype: DType | None) -> DType:
    wanted = dtype or get_default_dtype()
    if wanted is dtypes.bool_ and isinstance(steps, int) and steps > 1:
        raise not_implemented(name, wanted)
    return wanted


def _linspace(start: Any, end: Any, steps: int, dtype: Any, device: Any, requires_grad: Any) -> np.ndarray:
    wanted = _not_bool("linspace_cpu", steps, dtype)
    return _rounded(_spaced(start, end, steps, wanted), wanted)


def _steps_infer(name: str, steps: Any, dtype: Any, device: Any, requires_grad: Any) -> Type:
    if isinstance(steps, int) and steps < 0:
        raise RuntimeError("number of steps must be non-negative")
    return made([steps], _not_bool(name, steps, dtype), device, requires_grad)


linspace = defop(
    f"linspace(start: Scalar, end: Scalar, steps: int, *, {OPTIONS}) -> Tensor",
    eager=quiet(_linspace),
    infer=lambda start, end, steps, *options: _steps_infer("linspace_cpu", steps, *options),
    vjp=NO_GRAD,
    method=False,
    doc="`steps` numbers from start to end, both included.",
)


def _logspace(start: Any, end: Any, steps: int, base: float, dtype: Any, device: Any, requires_grad: Any) -> np.ndarray:
    wanted = _not_bool("logspace_cpu", steps, dtype)
    return _rounded(np.power(np.float64(base), _spaced(start, end, steps, wanted)), wanted)


logspace = defop(
    f"logspace(start: Scalar, end: Scalar, steps: int, base: float = 10.0, *, {OPTIONS}) -> Tensor",
    eager=quiet(_logspace),
    infer=lambda start, end, steps, base, *options: _steps_infer("logspace_cpu", steps, *options),
    vjp=NO_GRAD,
    method=False,
    doc="`steps` powers of base, whose exponents run evenly from start to end, both included.",
)


def _triangle(name: str, indices: Any) -> Any:
    def check(row: Any, col: Any, dtype: Any) -> DType:
        for what, n in (("row", row), ("col", col)):
            if isinstance(n, int) and n < 0:
                raise RuntimeError(f"{what} must be non-negative, got{n}")
        wanted = dtype or dtypes.int64
        if wanted not in (dtypes.int32, dtypes.int64):
            raise not_implemented(name, wanted)
        return wanted

    def eager(row: int, col: int, offset: int, dtype: Any, device: Any, requires_grad: Any) -> np.ndarray:
        return np.stack(indices(row, offset, col)).astype(check(row, col, dtype).numpy)

    def rule(row: Any, col: Any, offset: Any, dtype: Any, device: Any, requires_grad: Any) -> Type:
        known = all(isinstance(n, int) for n in (row, col, offset))
        wanted = check(row, col, dtype)
        count = len(indices(row, offset, col)[0]) if known else Type.int(None)
        return made([2, count], wanted, device, requires_grad)

    return defop(
        f"{name}(row: int, col: int, offset: int = 0, *, {OPTIONS}) -> Tensor",
        eager=eager,
        infer=rule,
        vjp=NO_GRAD,
        method=False,
        doc="Row and column indices, shape (2, count), of the triangle of a row x col matrix that `offset` diagonals "
        "above the main one bound; ordered by rows.",
    )


tril_indices = _triangle("tril_indices", np.tril_indices)
triu_indices = _triangle("triu_indices", np.triu_indices)
