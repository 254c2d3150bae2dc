"""Writing into a tensor or a part of it, as a new tensor: what in-place writes become (`passes.functionalize`).

Enters: a tensor, and new content for all of it, for one position or for a slice. Leaves: a fresh tensor.
Invariant: elements outside the part are the input's, bit for bit; what is written takes the input's dtype.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from specjit.dtypes import dtype_of
from specjit.ir.types import Type
from specjit.ops.creation import check_number, full_like, zeros
from specjit.ops.records import infer
from specjit.ops.records.grads import sum_to
from specjit.ops.records.lowering import composite, special
from specjit.ops.records.quiet import quiet
from specjit.ops.records.registry import defop, get
from specjit.tensor.promotion import cast_operand
from specjit.tensor.tracer import Scalar, TraceError


def _written(x: np.ndarray, src: np.ndarray, part: Any, what: str) -> np.ndarray:
    out = x.copy(order="K")
    target = part(out)
    if target.shape != src.shape:
        raise RuntimeError(f"expected src to have a size equal to the {what}: {list(target.shape)}, {list(src.shape)}")
    target[...] = cast_operand(src, x.dtype)
    return out


def _select_scatter(x: np.ndarray, src: np.ndarray, dim: int, index: int) -> np.ndarray:
    return _written(x, src, lambda out: get("select").eager(out, dim, index), "selected part")


def _slice_scatter(x: np.ndarray, src: np.ndarray, dim: int, start: Any, end: Any, step: int) -> np.ndarray:
    return _written(x, src, lambda out: get("slice").eager(out, dim, start, end, step), "slice")


def _infer(view: str) -> Any:
    def rule(x: Type, src: Type, *where: Any) -> Type:
        part, given = get(view).infer(x, *where).dims, src.dims
        if part is not None and given is not None:
            unlike = [a for a, b in zip(part, given) if isinstance(a, int) and isinstance(b, int) and a != b]
            if unlike or len(part) != len(given):
                raise RuntimeError(f"expected src to have a size equal to the {view}: {list(part)}, {list(given)}")
        return infer.same(x)

    return rule


def _nothing(like: Any) -> Any:
    return zeros(like.shape, dtype=like.dtype)


select_scatter = defop(
    "select_scatter(input, src, dim: int, index: int) -> Tensor",
    eager=quiet(_select_scatter),
    infer=_infer("select"),
    vjp=lambda g, _y, _x, _src, dim, index: (
        lambda: select_scatter(g, _nothing(_src), dim, index),
        lambda: g.select(dim, index).to(_src.dtype),
    ),
    lower=special("select_scatter"),
    doc="A copy of input with `src` at position `index` of `dim`.",
)
slice_scatter = defop(
    "slice_scatter(input, src, dim: int = 0, start: 'int?' = None, end: 'int?' = None, step: int = 1) -> Tensor",
    eager=quiet(_slice_scatter),
    infer=_infer("slice"),
    vjp=lambda g, _y, _x, _src, dim, start, end, step: (
        lambda: slice_scatter(g, _nothing(_src), dim, start, end, step),
        lambda: get("slice").fn(g, dim, start, end, step).to(_src.dtype),
    ),
    lower=special("slice_scatter"),
    doc="A copy of input with `src` in the slice `start:end:step` of `dim`.",
)


def _filled(x: np.ndarray, value: Any) -> np.ndarray:
    if isinstance(value, np.ndarray) and value.ndim:
        raise RuntimeError(f"expected a number or a tensor without dimensions, got one with {value.ndim} dimensions")
    if not isinstance(value, np.ndarray):
        check_number(dtype_of(x.dtype), value)
    return np.full_like(x, cast_operand(value, x.dtype))


def filled_infer(x: Type, value: Any) -> Type:
    if x.dtype is not None and not infer.is_tensor(value):
        check_number(x.dtype, value)
    return infer.same(x)


def _filled_composite(x: Any, value: Any) -> Any:
    if not isinstance(value, bool | int | float | Scalar):
        return _overwritten_composite(x, value)
    if x.dtype.category == 1 and not (isinstance(value, int) and _fits(value, x.dtype.numpy)):
        raise TraceError("a number that has to be rounded or wrapped")
    return full_like(x, value)


def _fits(value: int, dtype: np.dtype) -> bool:
    return bool(np.iinfo(dtype).min <= value <= np.iinfo(dtype).max)


filled = defop(
    "filled(input, value: 'Tensor|Scalar' = 0) -> Tensor",
    eager=quiet(_filled),
    infer=filled_infer,
    vjp=lambda g, _y, _x, _value: (lambda: g * 0.0, lambda: sum_to(g, _value)),
    lower=composite(_filled_composite),
    method=False,
    public=False,
    doc="A tensor like input, all of whose elements are `value`: what `fill_` writes.",
)


def _overwritten(x: np.ndarray, src: np.ndarray) -> np.ndarray:
    out = np.empty_like(x)
    while src.ndim > x.ndim and src.shape[0] == 1:
        src = src[0]
    out[...] = cast_operand(src, x.dtype)
    return out


def _overwritten_infer(x: Type, src: Type) -> Type:
    if x.dims is not None and src.dims is not None:
        extra = max(len(src.dims) - len(x.dims), 0)
        if any(isinstance(d, int) and d != 1 for d in src.dims[:extra]):
            raise RuntimeError(f"a tensor of shape {list(src.dims)} cannot be written to one of shape {list(x.dims)}")
        infer.expanded(Type.tensor(src.dtype, src.dims[extra:]), list(map(infer.int_of, x.dims)))
    return infer.same(x)


def _overwritten_composite(x: Any, src: Any) -> Any:
    while src.ndim > x.ndim:
        src = src.select(0, 0)
    return src.to(x.dtype).expand(x.shape).clone()


overwritten = defop(
    "overwritten(input, src) -> Tensor",
    eager=quiet(_overwritten),
    infer=_overwritten_infer,
    vjp=lambda g, _y, _x, _src: (lambda: g * 0.0, lambda: sum_to(g, _src)),
    lower=composite(_overwritten_composite),
    method=False,
    public=False,
    doc="`src`, broadcast to the shape of input and converted to its dtype: what `copy_` writes.",
)
