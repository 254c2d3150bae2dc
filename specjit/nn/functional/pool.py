"""Pools: windows of images reduced to one number each.

Enters: (N, C, *image) or (C, *image). Leaves: the same form, with smaller images.
Invariant: an adaptive pool is a regular one over an image whose windows were made equally large.
"""

from __future__ import annotations

from typing import Any

from specjit import dtypes
from specjit.ops import arithmetic, casts, creation, division, gather, pool, shape
from specjit.ops.records.eager import not_implemented


def max_pool1d(
    input: Any,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """The maximum of every window along the last dim of (N, C, L) or (C, L); with return_indices also where it is."""
    _check_rank("max_pool1d", input, 1)
    kernel = _per_dim(kernel_size, 1, "max_pool1d", "kernel_size")
    strides = kernel if stride is None else _per_dim(stride, 1, "max_pool1d", "stride")
    paddings, dilations = _per_dim(padding, 1, "max_pool1d", "padding"), _per_dim(dilation, 1, "max_pool1d", "dilation")
    if not return_indices:
        return pool.max_pool(input, kernel, strides, paddings, dilations, ceil_mode)
    # PyTorch takes more dtypes where it returns positions: those of images with one row.
    values, indices = max_pool2d(
        input.unsqueeze(-2),
        (1, kernel[0]),
        (1, strides[0]),
        (0, paddings[0]),
        (1, dilations[0]),
        ceil_mode,
        True,
    )
    return values.squeeze(-2), indices.squeeze(-2)


def max_pool2d(
    input: Any,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """The maximum of every window of (N, C, H, W) or (C, H, W); with return_indices also its position h * W + w."""
    kernel = _per_dim(kernel_size, 2, "max_pool2d", "kernel_size")
    strides = kernel if stride is None else _per_dim(stride, 2, "max_pool2d", "stride")
    paddings, dilations = _per_dim(padding, 2, "max_pool2d", "padding"), _per_dim(dilation, 2, "max_pool2d", "dilation")
    _check_rank("max_pool2d", input, 2)
    values = pool.max_pool(input, kernel, strides, paddings, dilations, ceil_mode)
    if not return_indices:
        return values
    return values, pool.max_pool_indices(input, kernel, strides, paddings, dilations, ceil_mode)


def avg_pool1d(
    input: Any,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> Any:
    """The mean of every window along the last dim of (N, C, L) or (C, L); with count_include_pad over padding too."""
    _check_dims("avg_pool1d", input)
    kernel = _per_dim(kernel_size, 1, "avg_pool1d", "kernel_size")
    strides = kernel if stride is None else _per_dim(stride, 1, "avg_pool1d", "stride")
    return _avg_pool(
        input, kernel, strides, _per_dim(padding, 1, "avg_pool1d", "padding"), ceil_mode, count_include_pad, None
    )


def avg_pool2d(
    input: Any,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Any:
    """The mean of every window of (N, C, H, W) or (C, H, W). count_include_pad: padding counts as zeros;
    divisor_override: what the sums are divided by instead of the size of the window."""
    kernel = _per_dim(kernel_size, 2, "avg_pool2d", "kernel_size")
    strides = kernel if stride is None else _per_dim(stride, 2, "avg_pool2d", "stride")
    paddings = _per_dim(padding, 2, "avg_pool2d", "padding")
    if divisor_override == 0:
        raise RuntimeError("divisor must be not zero")
    if input.ndim < 3:
        raise IndexError(
            f"Dimension out of range (expected to be in range of [{-input.ndim}, {input.ndim - 1}], but got -3)"
        )
    _check_rank("avg_pool2d", input, 2)
    return _avg_pool(input, kernel, strides, paddings, ceil_mode, count_include_pad, divisor_override)


def adaptive_avg_pool1d(input: Any, output_size: Any) -> Any:
    """Means of `output_size` windows that cover the last dim of (N, C, L) or (C, L) evenly."""
    _check_dims("adaptive_avg_pool1d", input)
    return adaptive_mean(input, _per_dim(output_size, 1, "adaptive_avg_pool1d", "output_size"))


def adaptive_avg_pool2d(input: Any, output_size: Any) -> Any:
    """Means of windows that cover (N, C, H, W) or (C, H, W) evenly; None in output_size keeps the input's size."""
    sizes = _adaptive_sizes("adaptive_avg_pool2d", input, output_size)
    if input.ndim != 3 and input.ndim != 4:
        raise RuntimeError(f"adaptive_avg_pool2d(): Expected 3D or 4D tensor, but got {list(input.shape)}")
    return adaptive_mean(input, sizes)


def adaptive_max_pool1d(input: Any, output_size: Any, return_indices: bool = False) -> Any:
    """Maxima of `output_size` windows that cover the last dim of (N, C, L) or (C, L) evenly."""
    _check_dims("adaptive_max_pool1d", input)
    return _adaptive_max(
        "adaptive_max_pool1d", input, _per_dim(output_size, 1, "adaptive_max_pool1d", "output_size"), return_indices
    )


def adaptive_max_pool2d(input: Any, output_size: Any, return_indices: bool = False) -> Any:
    """Maxima of windows that cover (N, C, H, W) or (C, H, W) evenly; None in output_size keeps the input's size."""
    sizes = _adaptive_sizes("adaptive_max_pool2d", input, output_size)
    if input.ndim != 3 and input.ndim != 4:
        raise RuntimeError(f"adaptive_max_pool2d(): Expected 3D or 4D tensor, but got: {list(input.shape)}")
    return _adaptive_max("adaptive_max_pool2d", input, sizes, return_indices)


def _per_dim(value: Any, count: int, name: str, what: str) -> tuple[int, ...]:
    """An int, or one or `count` of them, as one per dim."""
    if isinstance(value, int):
        return (value,) * count
    given = tuple(value)
    if len(given) == 1:
        return given * count
    if len(given) != count:
        if count == 1:
            raise RuntimeError(
                f"{name}() {what} must be an int, list of ints or tuple of ints of size 1 but got size {len(given)}"
            )
        raise RuntimeError(f"{name}: {what} must either be a single int, or a tuple of two ints")
    return given


def _check_rank(name: str, input: Any, count: int) -> None:
    """PyTorch's rule for pools of images; that they are not empty is the record's to say, which knows symbols."""
    if input.ndim != count + 1 and input.ndim != count + 2:
        if name == "max_pool2d":
            raise RuntimeError("non-empty 3D or 4D (batch mode) tensor expected for input")
        raise RuntimeError(pool.empty_text(input.shape, count))


def _check_dims(name: str, input: Any) -> None:
    if input.ndim != 2 and input.ndim != 3:
        raise RuntimeError(
            f"Expected 2 to 3 dimensions, but got {input.ndim}-dimensional tensor for argument #1 'self' (while "
            f"checking arguments for {name})"
        )


def _avg_pool(
    input: Any, kernel: Any, stride: Any, padding: Any, ceil_mode: bool, include_pad: bool, divisor: Any
) -> Any:
    total = pool.window_sum(casts.widen(input), kernel, stride, padding, ceil_mode)
    if divisor is not None:
        return _divided(total, divisor, input)
    if ceil_mode or (max(padding) > 0 and not include_pad):
        wide = _covered(input.shape[-1], total.shape[-1], kernel[-1], stride[-1], padding[-1], include_pad)
        if len(kernel) == 1:
            return _divided(total, wide, input)
        high = _covered(input.shape[-2], total.shape[-2], kernel[0], stride[0], padding[0], include_pad)
        return _divided(total, high.unsqueeze(1) * wide, input)
    return _divided(total, kernel[0] if len(kernel) == 1 else kernel[0] * kernel[1], input)


def _divided(total: Any, count: Any, input: Any) -> Any:
    """Sums divided, in the dtype of the input; those of ints towards zero."""
    if not input.dtype.is_floating_point:
        return division.divide(total, count, rounding_mode="trunc")
    return casts.to_dtype(total / count, input.dtype)


def _covered(n: Any, count: Any, kernel: int, stride: int, padding: int, include_pad: bool) -> Any:
    """How many elements of each window count along a dim of size n: those in the padded image, or in the image."""
    start = creation.arange(count) * stride - padding
    end = arithmetic.clamp(start + kernel, max=n + padding)
    if not include_pad:
        start, end = arithmetic.clamp(start, min=0), arithmetic.clamp(end, max=n)
    return arithmetic.clamp(end - start, min=1)


def _adaptive_sizes(name: str, input: Any, output_size: Any) -> tuple[int, ...]:
    given = (output_size, output_size) if output_size is None or isinstance(output_size, int) else tuple(output_size)
    if len(given) != 2:
        raise RuntimeError(f"{name}: output_size must be 2")
    return tuple([input.shape[i - 2] if given[i] is None else given[i] for i in (0, 1)])


def _window_positions(n: int, count: int) -> tuple[Any, Any, int]:
    """(positions, length, size): the positions in a dim of size n of `count` windows that cover it evenly, each with
    `size` places, of which the first `length` are its own; the rest repeat the last one."""
    at = creation.arange(count)
    start = division.floor_divide(at * n, count)
    length = division.floor_divide((at + 1) * n + (count - 1), count) - start
    size = min((n + count - 1) // count + 1, n)
    places = creation.arange(size)
    positions = start.unsqueeze(1) + arithmetic.minimum(places.unsqueeze(0), length.unsqueeze(1) - 1)
    return positions, length, size


def adaptive_mean(input: Any, sizes: Any) -> Any:
    """Means of windows that cover the last dims evenly, as many as `sizes` has."""
    count = len(sizes)
    if min(sizes) < 0:
        shown = sizes if count == 2 else (1, *sizes)
        raise RuntimeError(
            "adaptive_avg_pool2d: elements of output_size must be greater than or equal to 0 but received "
            f"{{{', '.join([str(s) for s in shown])}}}"
        )
    if not input.dtype.is_floating_point:
        if max(sizes) == 1 and min(sizes) == 1:
            return input.mean(-1)
        raise not_implemented("adaptive_avg_pool2d", input.dtype)
    out = casts.widen(input)
    # Spelled out: capture knows what straight lines give, but not what a loop of unknown length carries.
    out = _adaptive_mean(out, input.ndim - 1, sizes[-1])
    if count > 1:
        out = _adaptive_mean(out, input.ndim - 2, sizes[-2])
    if count > 2:
        out = _adaptive_mean(out, input.ndim - 3, sizes[-3])
    return casts.to_dtype(out, input.dtype)


def _adaptive_mean(x: Any, dim: int, count: int) -> Any:
    """The means of `count` windows along one dim."""
    n = x.shape[dim]
    if count == 0:
        return x.narrow(dim, 0, 0)
    if n % count == 0:
        return _split(x, dim, count, n // count).mean(dim + 1)
    positions, length, size = _window_positions(n, count)
    parts = _split(gather.index_select(x, dim, positions.flatten()), dim, count, size)
    after = x.ndim - dim - 1
    own = trailing(creation.arange(size).unsqueeze(0) < length.unsqueeze(1), after)
    return arithmetic.where(own, parts, 0.0).sum(dim + 1) / trailing(length, after)


def _split(x: Any, dim: int, count: int, size: int) -> Any:
    """One dim as two: `count` groups of `size`."""
    return x.reshape(tuple(x.shape[:dim]) + (count, size) + tuple(x.shape[dim + 1 :]))


def trailing(x: Any, count: int) -> Any:
    """`x` with up to two dims of size 1 at the end, to stand along a dim that has others after it."""
    if count > 1:
        return shape.unsqueeze(shape.unsqueeze(x, -1), -1)
    return shape.unsqueeze(x, -1) if count > 0 else x


def _adaptive_max(name: str, input: Any, sizes: Any, return_indices: bool) -> Any:
    count = len(sizes)
    for i in range(1 if input.ndim > count + 1 else 0, input.ndim):
        if input.shape[i] == 0:
            raise RuntimeError(
                f"{name}(): Expected input to have non-zero size for non-batch dimensions, but input has sizes "
                f"{list(input.shape)} with dimension {i} being empty"
            )
    if min(sizes) < 0:
        raise RuntimeError(
            f"Trying to create tensor with negative dimension {min(sizes)}: {list(input.shape[:-count]) + list(sizes)}"
        )
    if not input.dtype.is_floating_point:
        raise not_implemented("adaptive_max_pool2d", input.dtype)
    # Windows are made equally large by repeating elements, which changes no maximum; the rest is a regular pool.
    even = input
    kernel: list[int] = []
    maps: list[Any] = []
    for axis in range(-count, 0):
        n, out = input.shape[axis], sizes[axis]
        if out == 0 or n % out == 0:
            kernel = kernel + [n // out if out else 1]
            maps = maps + [None]
            even = even.narrow(input.ndim + axis, 0, n if out else 0)
        else:
            positions, _, size = _window_positions(n, out)
            even = gather.index_select(even, input.ndim + axis, positions.flatten())
            kernel = kernel + [size]
            maps = maps + [positions.flatten()]
    if 0 in sizes:
        values = even.narrow(-1, 0, sizes[-1]).narrow(-count, 0, sizes[0])
        return (values, casts.to_dtype(values, dtypes.int64)) if return_indices else values
    if count == 1:
        even, kernel = even.unsqueeze(-2), [1] + kernel
    zero, one = (0, 0), (1, 1)
    values = pool.max_pool(even, kernel, kernel, zero, one, False)
    if count == 1:
        values = values.squeeze(-2)
    if not return_indices:
        return values
    flat = pool.max_pool_indices(even, kernel, kernel, zero, one, False)
    width = even.shape[-1]
    row, column = division.floor_divide(flat, width), flat % width
    if maps[-1] is not None:
        column = gather.index_select(maps[-1], 0, column.flatten()).reshape(flat.shape)
    if count == 1:
        return values, column.squeeze(-2)
    if maps[0] is not None:
        row = gather.index_select(maps[0], 0, row.flatten()).reshape(flat.shape)
    return values, row * input.shape[-1] + column
