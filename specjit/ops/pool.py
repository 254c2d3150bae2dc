"""Maxima and sums over the windows of images, one dim after the other.

Enters: a tensor whose last dims are the image (as many as `kernel` has), and ints per dim. Leaves: fresh tensors.
Invariant: padding holds the smallest number for maxima and zeros for sums; every window's maximum has the flat position
in the image that PyTorch gives: the first of equal ones, the last of NaNs.

A maximum or sum over a rectangle is one over rows of one over columns: with one pass per kernel position along each
dim, this reads height + width times instead of height * width times, and every pass is one NumPy call on whole images.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from specjit import dtypes
from specjit.ir.dims import Dim
from specjit.ir.types import Type
from specjit.ops.padding import constant_pad
from specjit.ops.records import infer
from specjit.ops.records.eager import half_as_float
from specjit.ops.records.lowering import composite
from specjit.ops.records.quiet import quiet
from specjit.ops.records.refuse import INTEGRAL, Refuse
from specjit.ops.records.registry import NO_GRAD, defop
from specjit.ops.slicing import slice_op
from specjit.ops.views import unfold
from specjit.tensor.tracer import TraceError

NO_BOOL = Refuse("max_pool2d", "Bool")
NO_INTS = Refuse("max_pool1d_impl", "Bool", *INTEGRAL)
SUMMED = Refuse("avg_pool2d", "Bool", *(t for t in INTEGRAL if t != "Long"))


def out_size(n: Dim, kernel: int, stride: int, padding: int, dilation: int, ceil_mode: bool) -> Dim:
    """How many windows fit. ceil_mode: also one that is not full, if it begins inside the image or its left padding."""
    if n is None:
        return None
    room = n + 2 * padding - dilation * (kernel - 1) - 1
    if not isinstance(room, int):
        return room + 1 if stride == 1 else None
    if not ceil_mode:
        return room // stride + 1
    count = -(-room // stride) + 1
    return count - 1 if isinstance(n, int) and (count - 1) * stride >= n + padding else count


def _dims_text(dims: Sequence[Any]) -> str:
    return f"({'x'.join(map(str, dims))})"


def _check_window(kernel: Any, stride: Any, padding: Any, dilation: Any) -> None:
    """The options that no pool takes, with PyTorch's errors."""
    if len(kernel) == 1 and dilation is not None:
        for name, (value,) in (("kernel_size", kernel), ("stride", stride), ("dilation", dilation)):
            if value <= 0:
                raise RuntimeError(f"max_pool1d() {name} must be greater than zero, but got {value}")
        if padding[0] < 0:
            raise RuntimeError(f"max_pool1d() padding must be non-negative, but got {padding[0]}")
        if padding[0] > kernel[0] // 2:
            raise RuntimeError(
                "max_pool1d() padding should be at most half of kernel size, but got "
                f"padding={padding[0]} and kernel_size={kernel[0]}"
            )
    spread = dilation or (1,) * len(kernel)
    if any(s == 0 for s in stride):
        raise RuntimeError("stride should not be zero")
    if any(k <= 0 for k in kernel) or any(s < 0 for s in stride):
        raise RuntimeError("kernel size and stride should be greater than zero")
    if any(d <= 0 for d in spread):
        raise RuntimeError(
            f"dilation should be greater than zero, but got dilationH: {spread[0]} dilationW: {spread[-1]}"
        )
    for k, p, d in zip(kernel, padding, spread):
        if p < 0:
            raise RuntimeError(f"pad must be non-negative, but got pad: {p}")
        if p > (d * (k - 1) + 1) // 2:
            raise RuntimeError(
                f"pad should be at most half of effective kernel size, but got pad={p}, kernel_size={k} and "
                f"dilation={d}"
            )


def empty_text(dims: Sequence[Any], count: int) -> str:
    return (
        f"{'max_pool1d: ' if count == 1 else ''}Expected {count + 1}D or {count + 2}D (batch mode) tensor with "
        f"optional 0 dim batch size for input, but got:{list(dims)}"
    )


def _sizes(
    dims: Sequence[Dim], kernel: Any, stride: Any, padding: Any, dilation: Any, ceil_mode: bool
) -> tuple[Dim, ...]:
    """The shape of the pooled tensor."""
    _check_window(kernel, stride, padding, dilation)
    count = len(kernel)
    # A batch may be empty, an image may not.
    if 0 in [d for d in dims[max(len(dims) - count - 1, 0) :] if isinstance(d, int)]:
        raise RuntimeError(empty_text(dims, count))
    lead, image = tuple(dims[: len(dims) - len(kernel)]), dims[len(dims) - len(kernel) :]
    spread = dilation or (1,) * len(kernel)
    out = [out_size(*each, ceil_mode) for each in zip(image, kernel, stride, padding, spread)]
    if any(isinstance(n, int) and n <= 0 for n in out):
        if len(kernel) == 1 and dilation is not None:
            raise RuntimeError(f"max_pool1d() Invalid computed output size: {out[0]}")
        channels = lead[-1:] if len(kernel) > 1 else (*lead[-1:], 1)
        raise RuntimeError(
            f"Given input size: {_dims_text((*channels, *image))}. Calculated output size: "
            f"{_dims_text((*channels, *out))}. Output size is too small"
        )
    return (*lead, *out)


def _sizes_if_known(dims: infer.Dims, kernel: Any, stride: Any, padding: Any, dilation: Any, ceil: Any) -> infer.Dims:
    """The same from arguments as type rules see them."""
    if dims is None:
        return None
    options = infer.known_ints(kernel, stride, padding, *([] if dilation is None else [dilation]))
    if options is None or not isinstance(ceil, bool):
        return (*dims[: len(dims) - len(kernel)], *[None] * len(kernel))
    kernel, stride, padding, *rest = options
    return _sizes(dims, kernel, stride, padding, rest[0] if rest else None, ceil)


def _padded(x: np.ndarray, sizes: Any, kernel: Any, stride: Any, padding: Any, dilation: Any, value: Any) -> np.ndarray:
    """The image with what its windows reach beyond it (and without what none reaches)."""
    count = len(kernel)
    reach = [s * (n - 1) + d * (k - 1) + 1 for n, k, s, d in zip(sizes[-count:], kernel, stride, dilation)]
    image = x.shape[-count:]
    if not any(padding) and all(r <= n for r, n in zip(reach, image)):
        return x
    shape = (*x.shape[:-count], *reach)
    out = np.full(shape, value, x.dtype) if value else np.zeros(shape, x.dtype)
    inside = [slice(p, min(p + n, r)) for p, n, r in zip(padding, image, reach)]
    target: Any = (..., *inside)
    source: Any = (..., *(slice(0, i.stop - i.start) for i in inside))
    out[target] = x[source]
    return out


def _part(x: np.ndarray, axis: int, tap: int, stride: int, count: int) -> np.ndarray:
    """Of every window along `axis`, counted from the end, the element at `tap`."""
    where: Any = (..., slice(tap, tap + stride * (count - 1) + 1, stride), *((slice(None),) * (-axis - 1)))
    return x[where]


def _combined(x: np.ndarray, sizes: Any, kernel: Any, stride: Any, dilation: Any, ufunc: np.ufunc) -> np.ndarray:
    """The padded image's windows, combined by a ufunc."""
    for axis in range(-1, -len(kernel) - 1, -1):
        n, k, s, d = sizes[axis], kernel[axis], stride[axis], dilation[axis]
        parts = [_part(x, axis, t * d, s, n) for t in range(k)]
        x = ufunc(parts[0], parts[1]) if k > 1 else parts[0].copy()
        for part in parts[2:]:
            ufunc(x, part, out=x)
    return x


def _smallest(dtype: np.dtype) -> Any:
    return -np.inf if dtype.kind == "f" else np.iinfo(dtype).min


def _refuse(dtype: Any, kernel: Any) -> None:
    refused = NO_BOOL if len(kernel) > 1 else NO_INTS
    if dtype in refused.dtypes:
        raise refused.error(dtype)


def _max_pool(x: np.ndarray, kernel: Any, stride: Any, padding: Any, dilation: Any, ceil_mode: bool) -> np.ndarray:
    _refuse(dtypes.dtype_of(x.dtype), kernel)
    sizes = _sizes(x.shape, kernel, stride, padding, dilation, ceil_mode)
    padded = _padded(x, sizes, kernel, stride, padding, dilation, _smallest(x.dtype))
    return _combined(padded, sizes, kernel, stride, dilation, np.maximum)


def _max_pool_indices(
    x: np.ndarray, kernel: Any, stride: Any, padding: Any, dilation: Any, ceil_mode: bool
) -> np.ndarray:
    sizes: Any = _sizes(x.shape, kernel, stride, padding, dilation, ceil_mode)
    if x.dtype.kind == "b":
        raise NO_BOOL.error(x.dtype)
    best = _padded(x, sizes, kernel, stride, padding, dilation, _smallest(x.dtype))
    flat: Any = 0
    span = 1
    for axis in range(-1, -len(kernel) - 1, -1):
        n, k, s, p, d = sizes[axis], kernel[axis], stride[axis], padding[axis], dilation[axis]
        first = np.arange(n) * s - p
        # Padding never wins over an element: where both are the smallest number, the first element does.
        first_inside = first + -(np.minimum(first, 0) // d) * d
        column = (slice(None), *((None,) * (-axis - 1)))
        found, inner = _part(best, axis, 0, s, n).copy(), flat if axis == -1 else _part(flat, axis, 0, s, n).copy()
        tap = np.zeros(found.shape, np.int64)
        for t in range(1, k):
            part = _part(best, axis, t * d, s, n)
            better = (part > found) | (part != part)
            np.copyto(found, part, where=better)
            tap[better] = t
            if axis < -1:
                np.copyto(inner, _part(flat, axis, t * d, s, n), where=better)
        at = np.maximum(tap * d + first[column], first_inside[column])
        best, flat = found, at if axis == -1 else at * span + inner
        span *= x.shape[axis]
    return flat


def _pooled(dtype: Any = None) -> Any:
    def rule(x: Type, kernel: Any, stride: Any, padding: Any, dilation: Any, ceil_mode: Any) -> Type:
        if dtype is None and x.dtype is not None:
            _refuse(x.dtype, kernel)
        return Type.tensor(dtype or x.dtype, _sizes_if_known(x.dims, kernel, stride, padding, dilation, ceil_mode))

    return rule


def _reach(x: Any, kernel: Any, stride: Any, padding: Any, dilation: Any, ceil_mode: bool, value: Any) -> Any:
    """The padding of the native form, in ops: as far as the windows reach."""
    pad: list[int] = []
    for axis in range(-1, -len(kernel) - 1, -1):
        p, d, k, s, n = padding[axis], dilation[axis], kernel[axis], stride[axis], x.shape[axis]
        count = out_size(n, k, s, p, d, ceil_mode) if ceil_mode else None
        pad += [p, p if count is None else s * (count - 1) + d * (k - 1) + 1 - n - p]
    return constant_pad(x, pad, value) if any(pad) else x


def _need_sizes(x: Any, kernel: Any) -> None:
    """A pool over images of unknown size stays one call: its parts would be called one by one."""
    if not all(isinstance(n, int) for n in x.shape[x.ndim - len(kernel) :]):
        raise TraceError("the size of the image is not known")


def windows(x: Any, dim: int, size: int, stride: int, dilation: int) -> Any:
    """A view of the windows along `dim`, with their elements, `dilation` apart, as a new last dim; in ops."""
    found = unfold(x, dim, dilation * (size - 1) + 1, stride)
    return slice_op(found, found.ndim - 1, 0, None, dilation) if dilation > 1 else found


def _max_pool_of(x: Any, kernel: Any, stride: Any, padding: Any, dilation: Any, ceil_mode: bool) -> Any:
    _need_sizes(x, kernel)
    x = _reach(x, kernel, stride, padding, dilation, ceil_mode, _smallest(x.dtype.numpy))
    for axis in range(-1, -len(kernel) - 1, -1):
        x = windows(x, x.ndim + axis, kernel[axis], stride[axis], dilation[axis]).amax(-1)
    return x


max_pool = defop(
    "max_pool(input, kernel: 'int[]', stride: 'int[]', padding: 'int[]', dilation: 'int[]', ceil_mode: bool) -> Tensor",
    eager=quiet(_max_pool),
    infer=_pooled(),
    vjp=lambda g, _y, x, kernel, stride, padding, dilation, ceil_mode: unpool(
        g, max_pool_indices(x, kernel, stride, padding, dilation, ceil_mode), list(x.shape[x.ndim - len(kernel) :])
    ),
    lower=composite(_max_pool_of),
    method=False,
    public=False,
    doc="The maximum of every window.",
)
max_pool_indices = defop(
    "max_pool_indices(input, kernel: 'int[]', stride: 'int[]', padding: 'int[]', dilation: 'int[]', ceil_mode: bool) "
    "-> Tensor",
    eager=quiet(_max_pool_indices),
    infer=_pooled(dtypes.int64),
    vjp=NO_GRAD,
    method=False,
    public=False,
    doc="Where in the image the maximum of every window is, as int64 positions in row-major order.",
)


def _unpool(g: np.ndarray, at: np.ndarray, sizes: Any) -> np.ndarray:
    lead, each = g.shape[: g.ndim - len(sizes)], math.prod(sizes)
    images = math.prod(lead)
    out = np.zeros(images * each, g.dtype)
    positions = at.reshape(images, at.size // max(images, 1)) + np.arange(images)[:, None] * each
    np.add.at(out, positions.reshape(-1), g.reshape(-1))
    return out.reshape(*lead, *sizes)


def _unpool_infer(g: Type, at: Type, sizes: Any) -> Type:
    image = infer.sizes_of(sizes)
    dims = g.dims if g.dims is not None else at.dims
    return Type.tensor(g.dtype, None if dims is None or image is None else (*dims[: len(dims) - len(image)], *image))


unpool = defop(
    "unpool(input, indices, sizes: 'int[]') -> Tensor",
    eager=quiet(half_as_float(_unpool)),
    infer=_unpool_infer,
    vjp=lambda g, _y, _input, indices, sizes: (
        g.flatten(-len(sizes)).gather(-1, indices.flatten(-len(sizes))).reshape(_input.shape),
        None,
    ),
    method=False,
    public=False,
    doc="Images of `sizes` with the input's elements added at flat positions: the gradient of `max_pool`.",
)


def _window_sum(x: np.ndarray, kernel: Any, stride: Any, padding: Any, ceil_mode: bool) -> np.ndarray:
    ones = (1,) * len(kernel)
    sizes = _sizes(x.shape, kernel, stride, padding, None, ceil_mode)
    return _combined(_padded(x, sizes, kernel, stride, padding, ones, 0), sizes, kernel, stride, ones, np.add)


def _window_sum_of(x: Any, kernel: Any, stride: Any, padding: Any, ceil_mode: bool) -> Any:
    _need_sizes(x, kernel)
    x = _reach(x, kernel, stride, padding, (1,) * len(kernel), ceil_mode, 0)
    for axis in range(-1, -len(kernel) - 1, -1):
        x = unfold(x, x.ndim + axis, kernel[axis], stride[axis]).sum(-1)
    return x


def _window_sum_infer(x: Type, kernel: Any, stride: Any, padding: Any, ceil_mode: Any) -> Type:
    return Type.tensor(x.dtype, _sizes_if_known(x.dims, kernel, stride, padding, None, ceil_mode))


window_sum = defop(
    "window_sum(input, kernel: 'int[]', stride: 'int[]', padding: 'int[]', ceil_mode: bool) -> Tensor",
    eager=quiet(SUMMED.eager(half_as_float(_window_sum))),
    infer=SUMMED.infer(_window_sum_infer),
    vjp=lambda g, _y, _x, kernel, stride, padding, ceil_mode: window_spread(
        g, list(_x.shape[_x.ndim - len(kernel) :]), kernel, stride, padding, ceil_mode
    ),
    lower=composite(_window_sum_of),
    method=False,
    public=False,
    doc="The sum of every window; padding counts as 0.",
)


def _window_spread(g: np.ndarray, sizes: Any, kernel: Any, stride: Any, padding: Any, ceil_mode: bool) -> np.ndarray:
    for i in range(len(kernel)):
        axis = i - len(kernel)
        n, k, s, p = sizes[i], kernel[i], stride[i], padding[i]
        count = g.shape[axis]
        wide = max(s * (count - 1) + k, n + p)
        inside: Any = (..., slice(p, p + n), *((slice(None),) * (-axis - 1)))
        out = np.zeros((*g.shape[:axis], wide, *g.shape[g.ndim + axis + 1 :]), g.dtype)
        for t in range(k):
            _part(out, axis, t, s, count)[...] += g
        g = out[inside]
    return np.ascontiguousarray(g)


def _window_spread_infer(g: Type, sizes: Any, kernel: Any, stride: Any, padding: Any, ceil_mode: Any) -> Type:
    image = infer.sizes_of(sizes)
    return Type.tensor(
        g.dtype, None if g.dims is None or image is None else (*g.dims[: len(g.dims) - len(image)], *image)
    )


window_spread = defop(
    "window_spread(grad, sizes: 'int[]', kernel: 'int[]', stride: 'int[]', padding: 'int[]', ceil_mode: bool) "
    "-> Tensor",
    eager=quiet(half_as_float(_window_spread)),
    infer=_window_spread_infer,
    vjp=lambda g, _y, _grad, sizes, kernel, stride, padding, ceil_mode: window_sum(
        g, kernel, stride, padding, ceil_mode
    ),
    method=False,
    public=False,
    doc="The gradient of `window_sum` for images of `sizes`: each number added to every element of its window.",
)
