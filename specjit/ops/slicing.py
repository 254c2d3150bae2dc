"""Parts of a tensor along one dim: views.

Enters: a tensor, a dim, positions. Leaves: NumPy views.
Invariant: the rules for bounds are Python's (slice) or strict (select, narrow); symbolic bounds count as inside.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from specjit.ir.dims import Dim
from specjit.ir.types import Type
from specjit.ir.viewref import ViewRef
from specjit.ir.viewref import sub as dim_sub
from specjit.ops.records import infer
from specjit.ops.records.lowering import viewing
from specjit.ops.records.registry import defop, view
from specjit.ops.shape import axis_of


def check_index(index: int, n: int, dim: int) -> int:
    if not -n <= index < n:
        raise IndexError(f"index {index} is out of bounds for dimension {dim} with size {n}")
    return index


def _select(x: np.ndarray, dim: int, index: int) -> np.ndarray:
    if not x.ndim:
        raise IndexError("select() cannot be applied to a 0-dim tensor.")
    at = axis_of(dim, x.ndim)
    return x[(slice(None),) * at + (check_index(index, x.shape[at], at), ...)]


def _select_infer(x: Type, dim: Any, index: Any) -> Type:
    if x.dims is None:
        return Type.tensor(x.dtype)
    if not x.dims:
        raise IndexError("select() cannot be applied to a 0-dim tensor.")
    at, i = infer.axis(dim, len(x.dims)), infer.known_int(index)
    if at is None:
        return Type.tensor(x.dtype, (None,) * (len(x.dims) - 1))
    n = x.dims[at]
    if i is not None and isinstance(n, int):
        check_index(i, n, at)
    return Type.tensor(x.dtype, (*x.dims[:at], *x.dims[at + 1 :]))


select = defop(
    "select(input, dim: int, index: int) -> Tensor",
    eager=_select,
    infer=_select_infer,
    vjp=lambda g, _y, _x, dim, index: _backward("select_backward")(g, _x.shape, dim, index),
    lower=viewing(lambda ref, dim, index: ref.select(dim, infer.dim_of(index))),
    traits=view(0),
    doc="One position along `dim`.",
)


def _backward(name: str) -> Any:
    from specjit.ops.records.registry import get

    return get(name).fn


def _slice(x: np.ndarray, dim: int, start: Any, end: Any, step: int) -> np.ndarray:
    if step <= 0:
        raise ValueError("step must be greater than zero")
    if not x.ndim:
        raise IndexError("slice() cannot be applied to a 0-dim tensor.")
    return x[(slice(None),) * axis_of(dim, x.ndim) + (slice(start, end, step),)]


def slice_bounds(n: Dim, start: Any, end: Any, step: Any) -> tuple[Dim, Dim]:
    """(start, length) of a slice of a dim of size n. Symbolic bounds are taken to lie inside, as in `ViewRef`."""
    by = infer.known_int(step)
    if by is None:
        return None, None
    if by <= 0:
        raise ValueError("step must be greater than zero")
    a, b = 0 if start is None else infer.dim_of(start), n if end is None else infer.dim_of(end)
    if isinstance(n, int) and isinstance(a, int) and isinstance(b, int):
        r = range(*slice(a, b, by).indices(n))
        return r.start, len(r)
    if a is None or b is None or n is None:
        return a, None
    if isinstance(a, int) and a < 0:
        a = n + a
    if isinstance(b, int) and b < 0:
        b = n + b
    over = b - n
    if isinstance(over, int) and over > 0:
        b = n
    if isinstance(b, int) and not isinstance(n, int):
        # How much of a symbolic dim a constant end leaves depends on its size.
        return a, None
    length = b - a
    if by != 1:
        return a, (-(-length // by) if isinstance(length, int) else None)
    return a, (max(length, 0) if isinstance(length, int) else length)


def _slice_infer(x: Type, dim: Any, start: Any, end: Any, step: Any) -> Type:
    at = infer.axis(dim, x.rank)
    if x.dims is None or at is None:
        return Type.tensor(x.dtype, None if x.dims is None else (None,) * len(x.dims))
    if not x.dims:
        raise IndexError("slice() cannot be applied to a 0-dim tensor.")
    _, length = slice_bounds(x.dims[at], start, end, step)
    return Type.tensor(x.dtype, (*x.dims[:at], length, *x.dims[at + 1 :]))


def _slice_assumes(x: Type, dim: Any, start: Any, end: Any, step: Any) -> list[Dim]:
    """That symbolic bounds lie inside: what else would be clipped."""
    at = infer.axis(dim, x.rank)
    n = x.dims[at] if x.dims and at is not None else None
    a, b = 0 if start is None else infer.dim_of(start), n if end is None else infer.dim_of(end)
    if n is None or a is None or b is None or (isinstance(n, int) and isinstance(a, int) and isinstance(b, int)):
        return []
    a, b = (n + d if isinstance(d, int) and d < 0 else d for d in (a, b))
    inside: list[Dim] = [a + 1, n - a + 1]
    return inside if isinstance(b, int) else [*inside, b + 1, n - b + 1, b - a + 1]


def _slice_ref(ref: ViewRef, dim: int, start: Any, end: Any, step: Any) -> ViewRef | None:
    by = 1 if step is None else infer.known_int(step)
    if by is None:
        return None
    at = ref.axis(dim)
    first, length = slice_bounds(ref.sizes[at], start, end, step)
    return ref.narrow(at, first, length, by)


slice_op = defop(
    "slice(input, dim: int = 0, start: 'int?' = None, end: 'int?' = None, step: int = 1) -> Tensor",
    eager=_slice,
    infer=_slice_infer,
    assumes=_slice_assumes,
    vjp=lambda g, _y, _x, dim, start, end, step: _backward("slice_backward")(g, _x.shape, dim, start, end, step),
    lower=viewing(_slice_ref),
    traits=view(0),
    method=False,
    public=False,
    doc="Elements start, start + step, ... before end along `dim`, with Python's rules for bounds.",
)


def _narrow(x: np.ndarray, dim: int, start: int, length: int) -> np.ndarray:
    at = axis_of(dim, x.ndim)
    if not x.ndim:
        raise RuntimeError("narrow() cannot be applied to a 0-dim tensor.")
    n = x.shape[at]
    _check_narrow(n, start, length)
    start = start + n if start < 0 else start
    return x[(slice(None),) * at + (slice(start, start + length),)]


def _check_narrow(n: int, start: int, length: int) -> None:
    if length < 0:
        raise RuntimeError("narrow(): length must be non-negative.")
    if not -n <= start <= n:
        raise IndexError(f"start out of range (expected to be in range of [{-n}, {n}], but got {start})")
    if (start + n if start < 0 else start) + length > n:
        raise RuntimeError(f"start ({start}) + length ({length}) exceeds dimension size ({n}).")


def _narrow_infer(x: Type, dim: Any, start: Any, length: Any) -> Type:
    at = infer.axis(dim, x.rank)
    if x.dims is None or at is None:
        return Type.tensor(x.dtype, None if x.dims is None else (None,) * len(x.dims))
    if not x.dims:
        raise RuntimeError("narrow() cannot be applied to a 0-dim tensor.")
    n, a, b = x.dims[at], infer.dim_of(start), infer.dim_of(length)
    if isinstance(n, int) and isinstance(a, int) and isinstance(b, int):
        _check_narrow(n, a, b)
    return Type.tensor(x.dtype, (*x.dims[:at], b, *x.dims[at + 1 :]))


def _narrow_ref(ref: ViewRef, dim: int, start: Any, length: Any) -> ViewRef:
    at, a = ref.axis(dim), infer.dim_of(start)
    if isinstance(a, int) and a < 0:
        a = dim_sub(ref.sizes[at], -a)
    return ref.narrow(at, a, infer.dim_of(length))


narrow = defop(
    "narrow(input, dim: int, start: int, length: int) -> Tensor",
    eager=_narrow,
    infer=_narrow_infer,
    vjp=lambda g, _y, _x, dim, start, length: _backward("slice_backward")(
        g, _x.shape, dim, start, start + length if start >= 0 else _x.shape[dim] + start + length, 1
    ),
    lower=viewing(_narrow_ref),
    traits=view(0),
    doc="A view of `length` positions along `dim`, from `start` on.",
)
