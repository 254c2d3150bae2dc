"""Writes at run-time positions that give a new tensor: scatter, scatter_reduce, index_copy, index_fill, masked_scatter.

Enters: tensors, index tensors and masks. Leaves: fresh tensors.
Invariant: of several writes to one place the last stays (scatter, index_copy), or all are combined (scatter_reduce).
Gradients are gathers at the same positions, and scatters again.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from specjit.dtypes import bool_, int64
from specjit.ops.arithmetic import where
from specjit.ops.casts import cast
from specjit.ops.creation import full, ones_like, zeros, zeros_like
from specjit.ops.gather import addressed, gather, index_add, index_select, outside, scatter_add, scatter_infer
from specjit.ops.records import infer
from specjit.ops.records.composites import Number, composite_function
from specjit.ops.records.eager import not_implemented, one_axis
from specjit.ops.records.grads import cast_like, sum_to
from specjit.ops.records.infer import Type
from specjit.ops.records.quiet import quiet
from specjit.ops.records.registry import defop
from specjit.ops.records.writes import in_place
from specjit.tensor.promotion import cast_operand
from specjit.tensor.tensor import Tensor

REDUCE = {"sum": np.add, "prod": np.multiply, "mean": np.add, "amax": np.maximum, "amin": np.minimum}


def _scattered(x: np.ndarray, dim: int, at: np.ndarray, src: Any) -> np.ndarray:
    values = src if isinstance(src, np.ndarray) else np.broadcast_to(cast_operand(src, x.dtype), at.shape)
    out, place, values = addressed(x, dim, at, values)
    out[place] = values
    return out.reshape(x.shape)


scatter_op = defop(
    "scatter_op(input, dim: int, index, src: 'Tensor|Scalar') -> Tensor",
    eager=quiet(_scattered),
    infer=scatter_infer,
    vjp=lambda g, _y, _x, dim, index, _src: (
        lambda: scatter_op(g, dim, index, 0.0),
        None,
        lambda: gather(g, dim, index) if hasattr(_src, "shape") else None,
    ),
    public=False,
    method=False,
    doc="A copy of input with src at the positions of `index` along `dim`.",
)


@composite_function(inplace=True)
def scatter(
    input: Tensor,
    dim: int,
    index: Tensor,
    src: Tensor | Number | None = None,
    *,
    value: Number | None = None,
    reduce: str | None = None,
) -> Tensor:
    """A copy of input with src, or the number `value`, at the positions of `index` along `dim`; with `reduce` "add" or
    "multiply" it is combined with what is there."""
    given = src if value is None else value
    if given is None:
        raise TypeError("scatter() missing required argument: 'src' or 'value'")
    if reduce is None:
        return scatter_op(input, dim, index, given)
    if reduce not in ("add", "multiply"):
        raise RuntimeError("reduce argument must be either add or multiply.")
    if not hasattr(given, "shape"):
        given = full(list(index.shape), given, dtype=input.dtype)
    return scatter_reduce(input, dim, index, given, "sum" if reduce == "add" else "prod")


def _start(mode: str, dtype: np.dtype) -> Any:
    """What changes nothing when it is combined with an element."""
    if mode in ("sum", "mean", "prod"):
        return dtype.type(mode == "prod")
    if dtype.kind == "f":
        return dtype.type(-np.inf if mode == "amax" else np.inf)
    if dtype.kind == "b":
        return mode == "amin"
    limits = np.iinfo(dtype)
    return limits.min if mode == "amax" else limits.max


def _check_mode(mode: Any) -> None:
    if isinstance(mode, str) and mode not in REDUCE:
        raise RuntimeError(f"reduce argument must be either sum, prod, mean, amax or amin, got {mode}")


def _scatter_reduce(
    x: np.ndarray, dim: int, at: np.ndarray, src: np.ndarray, mode: str, include_self: bool
) -> np.ndarray:
    _check_mode(mode)
    if mode == "mean" and x.dtype.kind == "b":
        raise not_implemented("scatter_gather_tensor_cpu_reduce_mean", x.dtype)
    out, place, values = addressed(x, dim, at, src)
    if not include_self:
        out[place] = _start(mode, x.dtype)
    REDUCE[mode].at(out, place, values)
    if mode == "mean":
        count = np.full(out.shape, int(include_self))
        np.add.at(count, place, 1)
        np.maximum(count, 1, out=count)
        out = (out // count if x.dtype.kind != "f" else out / count).astype(x.dtype)
    return out.reshape(x.shape)


def _scatter_reduce_infer(x: Type, dim: Any, index: Type, src: Type, mode: Any, include_self: Any) -> Type:
    _check_mode(mode)
    return scatter_infer(x, dim, index, src)


def _scatter_reduce_vjp(g: Any, y: Any, x: Any, dim: int, index: Any, src: Any, mode: str, include_self: bool) -> Any:
    def own(found: Any) -> Any:
        """The input's gradient: none where it was left out."""
        return found if include_self else scatter_op(found, dim, index, 0.0)

    if mode == "sum":
        return lambda: own(g), None, lambda: gather(g, dim, index)
    if mode == "mean":
        first = ones_like(g) if include_self else zeros_like(g)
        share = g / scatter_add(first, dim, index, ones_like(gather(g, dim, index))).clamp(1)
        return lambda: own(share), None, lambda: gather(share, dim, index)
    if mode == "prod":
        # The product of all others is that of what is not zero, if no other is zero.
        zero, zeros_in = x == 0, src == 0
        rest = scatter_reduce(
            where(zero, 1.0, x), dim, index, where(zeros_in, 1.0, src), "prod", include_self=include_self
        )
        counted = cast(zero, g.dtype)
        counted = scatter_add(own(counted), dim, index, cast(zeros_in, g.dtype))
        return (
            lambda: own(g * where(counted == cast(zero, g.dtype), rest / where(zero, 1.0, x), 0.0)),
            None,
            lambda: (
                gather(g, dim, index)
                * where(
                    gather(counted, dim, index) == cast(zeros_in, g.dtype),
                    gather(rest, dim, index) / where(zeros_in, 1.0, src),
                    0.0,
                )
            ),
        )
    # Equal extremes share.
    hit, hits = cast(x == y, g.dtype), cast(src == gather(y, dim, index), g.dtype)
    share = g / scatter_add(own(hit), dim, index, hits)
    return lambda: own(hit * share), None, lambda: hits * gather(share, dim, index)


scatter_reduce = defop(
    "scatter_reduce(input, dim: int, index, src, reduce: str, *, include_self: bool = True) -> Tensor",
    eager=quiet(_scatter_reduce),
    infer=_scatter_reduce_infer,
    vjp=_scatter_reduce_vjp,
    doc='A copy of input with src combined ("sum", "prod", "mean", "amax", "amin") at the positions of `index` along '
    "`dim`; without `include_self`, input's elements there are left out.",
)
in_place(scatter_reduce)


# along one dim


def _check_copy(x: Any, dim: Any, at: Any, source: Any) -> None:
    """Shapes, with unknown sizes as None."""
    axis = infer.axis(dim, len(x))
    if len(at) > 1:
        raise IndexError(f"index_copy_(): Index should have dimension 1 or 0 (got {len(at)})")
    if len(x) and len(source) and len(x) != len(source):
        raise IndexError(
            "index_copy_(): When source and destination are not scalars, their dimensionality must match. Source "
            f"dimensionality ({len(source)}), destination dimensionality ({len(x)})"
        )
    for d, (n, m) in enumerate(zip(x, source)):
        if d != axis and axis is not None and isinstance(n, int) and isinstance(m, int) and n != m:
            raise RuntimeError(
                "index_copy_(): Source/destination tensor must have same slice shapes. Destination slice shape: "
                f"{list(x)} at dimension {axis} and source slice shape: {list(source)} at dimension 0."
            )
    count, have = at[0] if at else 1, source[axis] if source and axis is not None else 1
    if isinstance(count, int) and isinstance(have, int) and count != have:
        raise IndexError(f"index_copy_(): Number of indices ({count}) should be equal to source.size(dim) ({have})")


def _check_copy_dtypes(x: Any, at: Any, source: Any) -> None:
    if x is not None and source is not None and x != source:
        raise RuntimeError(
            f"index_copy_(): self and source expected to have the same dtype, but got (self) {x.name} and (source) "
            f"{source.name}"
        )
    if at is not None and at.name != "int64":
        raise RuntimeError(f"index_copy_(): Expected a long tensor for index, but got {at.name}")


def _index_copy(x: np.ndarray, dim: int, at: np.ndarray, source: np.ndarray) -> np.ndarray:
    whole, axis = one_axis(x, dim)
    _check_copy(x.shape, dim, at.shape, source.shape)
    _check_copy_dtypes(x.dtype, at.dtype, source.dtype)
    found = outside(at, whole.shape[axis])
    if found is not None:
        raise IndexError(
            f"index_copy_(): index {found} is out of bounds for dimension {axis} with size {whole.shape[axis]}"
        )
    out = whole.copy()
    out[(slice(None),) * axis + (at.reshape(-1),)] = source
    return out.reshape(x.shape)


def _index_copy_infer(x: Type, dim: Any, at: Type, source: Type) -> Type:
    _check_copy_dtypes(x.dtype, at.dtype, source.dtype)
    if x.dims is not None and at.dims is not None and source.dims is not None:
        _check_copy(x.dims, dim, at.dims, source.dims)
    return infer.same(x)


index_copy = defop(
    "index_copy(input, dim: int, index, source) -> Tensor",
    eager=_index_copy,
    infer=_index_copy_infer,
    vjp=lambda g, _y, _x, dim, index, _source: (
        lambda: g.index_fill(dim, index, 0.0),
        None,
        lambda: index_select(g, dim, index).reshape(_source.shape),
    ),
    doc="A copy of input with source[i] at position index[i] of `dim`.",
)
in_place(index_copy)


def _check_fill(at: Any, rank: Any, value: Any) -> None:
    if at is not None and at.name != "int64":
        raise IndexError("index_fill_(): Expected dtype int64 for index.")
    if rank is not None and rank > 1:
        raise RuntimeError("Index has to be a vector/scalar")
    dims = value.ndim if isinstance(value, np.ndarray) else value.rank if infer.is_tensor(value) else 0
    if dims:
        raise RuntimeError(
            f"index_fill_ only supports a 0-dimensional value tensor, but got tensor with {dims} dimension(s)."
        )


def _index_fill(x: np.ndarray, dim: int, at: np.ndarray, value: Any) -> np.ndarray:
    whole, axis = one_axis(x, dim)
    _check_fill(at.dtype, at.ndim, value)
    n = whole.shape[axis]
    if at.size and not -n <= at.min() <= at.max() < n:
        worst = int(at.min() if at.min() < -n else at.max())
        raise IndexError(f"index {worst} is out of bounds for dimension {axis} with size {n}")
    out = whole.copy()
    out[(slice(None),) * axis + (at.reshape(-1),)] = cast_operand(value, x.dtype)
    return out.reshape(x.shape)


def _index_fill_infer(x: Type, dim: Any, at: Type, value: Any) -> Type:
    infer.axis(dim, x.rank)
    _check_fill(at.dtype, at.rank, value)
    return infer.same(x)


def _filled(g: Any, dim: int, index: Any) -> Any:
    """The sum of g where it was filled; an index that repeats counts once."""
    return where(index_fill(zeros_like(g, dtype=bool_), dim, index, True), g, 0.0).sum()


index_fill = defop(
    "index_fill(input, dim: int, index, value: 'Tensor|Scalar') -> Tensor",
    eager=quiet(_index_fill),
    infer=_index_fill_infer,
    vjp=lambda g, _y, _x, dim, index, _value: (
        lambda: index_fill(g, dim, index, 0.0),
        None,
        lambda: cast_like(_filled(g, dim, index), _value) if hasattr(_value, "shape") else None,
    ),
    doc="A copy of input with `value` (a number or a 0-d tensor) at the positions `index` of `dim`.",
)
in_place(index_fill)


# masks


def _check_masked(x: Any, mask: Any, source: Any) -> None:
    if mask is not None and mask.name != "bool":
        raise RuntimeError(f"masked_scatter_ only supports boolean masks, but got mask with dtype {mask.name}")
    if x is not None and source is not None and x != source:
        raise RuntimeError(
            f"masked_scatter: expected self and source to have same dtypes but got {x.name} and {source.name}"
        )


def _masked_scatter(x: np.ndarray, mask: np.ndarray, source: np.ndarray) -> np.ndarray:
    _check_masked(x.dtype, mask.dtype, source.dtype)
    shape: Any = infer.broadcast(x.shape, mask.shape)
    out, chosen = np.broadcast_to(x, shape).copy(), np.broadcast_to(mask, shape)
    count = int(np.count_nonzero(chosen))
    if source.size < count:
        raise RuntimeError("Number of elements of source < number of ones in mask")
    out[chosen] = source.reshape(-1)[:count]
    return out


def _masked_scatter_infer(x: Type, mask: Type, source: Type) -> Type:
    _check_masked(x.dtype, mask.dtype, source.dtype)
    return Type.tensor(x.dtype, infer.broadcast(x.dims, mask.dims))


def _masked_scatter_vjp(g: Any, _y: Any, _x: Any, mask: Any, _source: Any) -> Any:
    def taken() -> Any:
        # Where the mask is False, zeros are added at the place that the next True takes.
        chosen = mask.expand(g.shape).reshape(-1)
        n = _source.numel()
        at = (chosen.cumsum(0) - cast(chosen, int64)).clamp(max=max(n - 1, 0))
        if n == 0:
            return zeros(_source.shape, dtype=g.dtype)
        return index_add(zeros(n, dtype=g.dtype), 0, at, where(chosen, g.reshape(-1), 0.0)).reshape(_source.shape)

    return lambda: sum_to(where(mask, 0.0, g), _x), None, taken


masked_scatter = defop(
    "masked_scatter(input, mask, source) -> Tensor",
    eager=_masked_scatter,
    infer=_masked_scatter_infer,
    vjp=_masked_scatter_vjp,
    doc="A copy of input, broadcast with mask, whose True places hold the elements of source, one after another.",
)
in_place(masked_scatter)
