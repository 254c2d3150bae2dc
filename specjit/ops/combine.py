"""Joining tensors, and taking them apart into several.

Enters: lists of tensors, or one tensor and sizes. Leaves: fresh tensors (cat, stack), tuples of views (split, chunk,
unbind).
Invariant: the parts of a split cover the whole in order, so the gradient of a split is a cat and the other way round.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from specjit.dtypes import dtype_of
from specjit.ir.dims import Dim
from specjit.ir.types import Type
from specjit.ir.viewref import ViewRef, add
from specjit.ops.records import infer
from specjit.ops.records.grads import cast_like
from specjit.ops.records.lowering import special, viewing
from specjit.ops.records.registry import defop, view
from specjit.ops.shape import axis_of
from specjit.tensor.promotion import promote_types


def _same_dtype(arrays: list[np.ndarray]) -> list[np.ndarray]:
    first = arrays[0].dtype
    if all(a.dtype == first for a in arrays):
        return arrays
    wanted = functools.reduce(promote_types, [dtype_of(a.dtype) for a in arrays])
    return [a.astype(wanted.numpy, copy=False) for a in arrays]


def _cat(tensors: Any, dim: int) -> np.ndarray:
    if not tensors:
        raise ValueError("specjit.cat(): expected a non-empty list of Tensors")
    dtype = tensors[0].dtype
    for a in tensors:
        if a.dtype is not dtype:
            break
    else:
        try:
            return np.concatenate(tensors, dim)
        except ValueError:
            pass  # the errors of PyTorch, and what NumPy does not take, are below
    # An empty 1-d tensor fits everywhere: the customary start of a loop that grows a tensor.
    kept = [a for a in tensors if a.shape != (0,)] or list(tensors)
    if not kept[0].ndim:
        raise RuntimeError("zero-dimensional tensor (at position 0) cannot be concatenated")
    joined = _same_dtype(list(tensors))
    kept = [a for a in joined if a.shape != (0,)] or joined[:1]
    return np.concatenate(kept, axis_of(dim, kept[0].ndim))


def _list_dtype(types: list[Type]) -> Any:
    found = [t.dtype for t in types]
    return None if None in found else functools.reduce(promote_types, found)  # type: ignore[arg-type]


def _types(tensors: Any) -> list[Type] | None:
    return list(tensors) if isinstance(tensors, (list, tuple)) else None


def _cat_infer(tensors: Any, dim: Any) -> Type:
    types = _types(tensors)
    if types is None:
        return Type.tensor(tensors.args[0].dtype if tensors.args and tensors.args[0].is_tensor else None)
    if not types:
        raise ValueError("specjit.cat(): expected a non-empty list of Tensors")
    dtype = _list_dtype(types)
    if any(t.dims is None for t in types):
        return Type.tensor(dtype)
    shapes: list[tuple[Dim, ...]] = [t.dims for t in types if t.dims is not None]
    kept = [s for s in shapes if s != (0,)] or shapes[:1]
    # A 1-d tensor of unknown size beside others of higher rank can only be such an empty one.
    kept = [s for s in kept if s != (None,) or all(len(o) == 1 for o in kept)]
    if not kept[0]:
        raise RuntimeError("zero-dimensional tensor (at position 0) cannot be concatenated")
    at = infer.axis(dim, len(kept[0]))
    if at is None:
        return Type.tensor(dtype, (None,) * len(kept[0]))
    out: list[Dim] = list(kept[0])
    for s in kept[1:]:
        if len(s) != len(out):
            raise RuntimeError(f"Tensors must have same number of dimensions: got {len(out)} and {len(s)}")
        for i, d in enumerate(s):
            if i == at:
                out[i] = add(out[i], d)
            elif isinstance(d, int) and isinstance(out[i], int) and d != out[i]:
                raise RuntimeError(
                    f"Sizes of tensors must match except in dimension {at}. Expected size {out[i]} but got size {d} "
                    "for one of the tensors in the list."
                )
            elif out[i] is None or isinstance(d, int):
                out[i] = d
    return Type.tensor(dtype, out)


def _cat_vjp(g: Any, _y: Any, _tensors: Any, dim: int) -> Any:
    from specjit.ops.slicing import narrow, slice_op

    def parts() -> list[Any]:
        out: list[Any] = []
        start: Any = 0
        for t in _tensors:
            if tuple(t.shape) == (0,) and g.ndim != 1:
                out.append(slice_op(g.reshape(-1), 0, 0, 0))
                continue
            out.append(cast_like(narrow(g, dim, start, t.shape[dim]), t))
            start = start + t.shape[dim]
        return out

    return parts


cat = defop(
    "cat(tensors: 'Tensor[]', dim: int = 0) -> Tensor",
    eager=_cat,
    infer=_cat_infer,
    vjp=_cat_vjp,
    lower=special("cat"),
    doc="The tensors one after another along `dim`; their other sizes are equal.",
)


def _stack(tensors: Any, dim: int) -> np.ndarray:
    if not tensors:
        raise RuntimeError("stack expects a non-empty TensorList")
    return np.stack(_same_dtype(list(tensors)), axis_of(dim, tensors[0].ndim, 1))


def _stack_infer(tensors: Any, dim: Any) -> Type:
    types = _types(tensors)
    if types is None:
        row = tensors.args[0] if tensors.args else None
        if row is None or not row.is_tensor:
            return Type.tensor()
        types = [row]
        count: Dim = None
    else:
        count = len(types)
    if not types:
        raise RuntimeError("stack expects a non-empty TensorList")
    dtype = _list_dtype(types)
    if any(t.dims is None for t in types):
        return Type.tensor(dtype)
    out: list[Dim] = list(types[0].dims or ())
    for n, t in enumerate(types):
        assert t.dims is not None
        mismatch = len(t.dims) != len(out) or any(
            isinstance(a, int) and isinstance(b, int) and a != b for a, b in zip(out, t.dims)
        )
        if mismatch:
            raise RuntimeError(
                f"stack expects each tensor to be equal size, but got {out} at entry 0 and {list(t.dims)} at entry {n}"
            )
        out = [b if a is None else a for a, b in zip(out, t.dims)]
    at = infer.axis(dim, len(out) + 1)
    if at is None:
        return Type.tensor(dtype, (None,) * (len(out) + 1))
    return Type.tensor(dtype, (*out[:at], count, *out[at:]))


def _stack_vjp(g: Any, _y: Any, _tensors: Any, dim: int) -> Any:
    return lambda: [cast_like(g.select(dim, i), t) for i, t in enumerate(_tensors)]


stack = defop(
    "stack(tensors: 'Tensor[]', dim: int = 0) -> Tensor",
    eager=_stack,
    infer=_stack_infer,
    vjp=_stack_vjp,
    lower=special("stack"),
    doc="Tensors of one shape side by side along a new dim.",
)


def _join(g: Any, dim: int) -> Any:
    return cat(list(g), dim)


def _sections(n: Dim, given: Any) -> list[Dim] | None:
    """Sizes of the parts of a split of a dim of size n; None if their number is unknown."""
    if isinstance(given, (list, tuple)):
        sizes = [infer.dim_of(s) for s in given]
        if isinstance(n, int) and all(isinstance(s, int) for s in sizes) and sum(sizes) != n:  # type: ignore[arg-type]
            raise RuntimeError(
                f"split_with_sizes expects split_sizes to sum exactly to {n} (input tensor's size at dimension), but "
                f"got split_sizes={sizes}"
            )
        return sizes
    each = infer.dim_of(given)
    if isinstance(each, int) and each < 0:
        raise RuntimeError(f"split expects split_size be non-negative, but got split_size={each}")
    if not isinstance(n, int) or not isinstance(each, int):
        return None
    if each == 0:
        if n:
            raise RuntimeError(f"split_size can only be 0 if dimension size is 0, but got dimension size of {n}")
        return [0]
    return [min(each, n - i) for i in range(0, n, each)] or [0]


def _chunk_sections(n: Dim, chunks: Any) -> list[Dim] | None:
    count = infer.known_int(chunks)
    if count is not None and count <= 0:
        raise RuntimeError(f"chunk expects `chunks` to be greater than 0, got: {count}")
    if not isinstance(n, int) or count is None:
        return None
    if n == 0:
        return [0] * count
    return _sections(n, -(-n // count))


def _parts(x: np.ndarray, sizes: list[Any], dim: int) -> list[np.ndarray]:
    at = axis_of(dim, x.ndim)
    lead = (slice(None),) * at
    out = []
    start = 0
    for n in sizes:
        out.append(x[(*lead, slice(start, start + n))])
        start += n
    return out


def _dimension(x: np.ndarray, dim: int, what: str) -> int:
    if not x.ndim:
        raise RuntimeError(f"{what} expects at least a 1-dimensional tensor")
    return x.shape[axis_of(dim, x.ndim)]


def _split_infer(sections: Any, what: str) -> Any:
    def rule(x: Type, given: Any, dim: Any = 0) -> Any:
        if x.dims is not None and not x.dims:
            raise RuntimeError(f"{what} expects at least a 1-dimensional tensor")
        at = infer.axis(dim, x.rank)
        if x.dims is None or at is None:
            return Type.list(Type.tensor(x.dtype))
        sizes = sections(x.dims[at], given)
        if sizes is None:
            return Type.list(Type.tensor(x.dtype, (*x.dims[:at], None, *x.dims[at + 1 :])))
        return [Type.tensor(x.dtype, (*x.dims[:at], s, *x.dims[at + 1 :])) for s in sizes]

    return rule


def _split_ref(sections: Any) -> Any:
    def refs(ref: ViewRef, given: Any, dim: Any = 0) -> list[ViewRef] | None:
        at = ref.axis(dim)
        sizes = sections(ref.sizes[at], given)
        if sizes is None:
            return None
        out = []
        start: Dim = 0
        for s in sizes:
            out.append(ref.narrow(at, start, s))
            start = add(start, s)
        return out

    return refs


split = defop(
    "split(input, split_size_or_sections: any, dim: int = 0) -> Tensor[]",
    eager=lambda x, given, dim: _parts(x, _sections(_dimension(x, dim, "split"), given), dim),  # type: ignore[arg-type]
    infer=_split_infer(_sections, "split"),
    vjp=lambda g, _y, _x, split_size_or_sections, dim: _join(g, dim),
    lower=viewing(_split_ref(_sections)),
    traits=view(0),
    doc="Views of parts: of one size (the last may be smaller), or of the sizes in a list.",
)
chunk = defop(
    "chunk(input, chunks: int, dim: int = 0) -> Tensor[]",
    eager=lambda x, chunks, dim: _parts(x, _chunk_sections(_dimension(x, dim, "chunk"), chunks), dim),  # type: ignore[arg-type]
    infer=_split_infer(_chunk_sections, "chunk"),
    vjp=lambda g, _y, _x, chunks, dim: _join(g, dim),
    lower=viewing(_split_ref(_chunk_sections)),
    traits=view(0),
    doc="At most `chunks` views of equal parts (the last may be smaller).",
)


def _unbind(x: np.ndarray, dim: int) -> list[np.ndarray]:
    if not x.ndim:
        raise IndexError("Dimension specified as 0 but tensor has no dimensions")
    at = axis_of(dim, x.ndim)
    lead: tuple[Any, ...] = (slice(None),) * at
    return [x[(*lead, i, ...)] for i in range(x.shape[at])]


def _unbind_infer(x: Type, dim: Any) -> Any:
    if x.dims is not None and not x.dims:
        raise IndexError("Dimension specified as 0 but tensor has no dimensions")
    at = infer.axis(dim, x.rank)
    if x.dims is None or at is None:
        return Type.list(Type.tensor(x.dtype))
    row = Type.tensor(x.dtype, (*x.dims[:at], *x.dims[at + 1 :]))
    count = x.dims[at]
    return [row] * count if isinstance(count, int) else Type.list(row)


def _unbind_ref(ref: ViewRef, dim: Any = 0) -> list[ViewRef] | None:
    n = ref.sizes[ref.axis(dim)]
    return [ref.select(dim, i) for i in range(n)] if isinstance(n, int) else None


unbind = defop(
    "unbind(input, dim: int = 0) -> Tensor[]",
    eager=_unbind,
    infer=_unbind_infer,
    vjp=lambda g, _y, _x, dim: stack(list(g), dim),
    lower=viewing(_unbind_ref),
    traits=view(0),
    doc="Views of all positions along `dim`.",
)
