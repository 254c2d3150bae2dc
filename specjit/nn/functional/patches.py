"""Images as columns of patches, and back.

Enters: (N, C, H, W) or (C, H, W); columns (N, C * kH * kW, count). Leaves: the other of the two.
Invariant: `fold` is the adjoint of `unfold`.
"""

from __future__ import annotations

from typing import Any

from specjit import dtypes
from specjit.ops.indexing import slice_backward
from specjit.ops.padding import constant_pad
from specjit.ops.pool import windows
from specjit.ops.records.eager import not_implemented
from specjit.ops.views import unfold_backward


def unfold(input: Any, kernel_size: Any, dilation: Any = 1, padding: Any = 0, stride: Any = 1) -> Any:
    """The patches of (N, C, H, W) or (C, H, W) as columns: (N, C * kH * kW, number of patches)."""
    kernel, dilations, pads, strides = _patches(kernel_size, dilation, padding, stride)
    if input.ndim < 3:
        raise IndexError(
            f"Dimension out of range (expected to be in range of [{-input.ndim}, {input.ndim - 1}], but got 2)"
        )
    if input.ndim > 4 or 0 in input.shape[input.ndim - 3 :]:
        raise RuntimeError(
            "Expected 3D or 4D (batch mode) tensor with possibly 0 batch size and other non-zero dimensions for input, "
            f"but got: {list(input.shape)}"
        )
    if not (input.dtype.is_floating_point or input.dtype is dtypes.bool_):
        raise not_implemented("im2col_out_cpu", input.dtype)
    image = input if input.ndim == 4 else input.unsqueeze(0)
    count = _blocks(image.shape[2:], kernel, dilations, pads, strides)
    if count[0] < 1 or count[1] < 1:
        raise RuntimeError(
            f"Given input with spatial size {tuple(image.shape[2:])}, kernel_size={kernel}, dilation={dilations}, "
            f"padding={pads}, calculated shape of the array of sliding blocks as {count}, but its components must be at"
            " least one."
        )
    # A copy, also without padding: the columns of a single patch are no view of the input.
    image = constant_pad(image, (pads[1], pads[1], pads[0], pads[0]))
    rows = windows(image, 2, kernel[0], strides[0], dilations[0])
    found = windows(rows, 3, kernel[1], strides[1], dilations[1]).permute(0, 1, 4, 5, 2, 3)
    shape = [input.shape[-3] * kernel[0] * kernel[1], count[0] * count[1]]
    return found.reshape(shape if input.ndim == 3 else [input.shape[0]] + shape)


def fold(input: Any, output_size: Any, kernel_size: Any, dilation: Any = 1, padding: Any = 0, stride: Any = 1) -> Any:
    """The adjoint of `unfold`: patches (N, C * kH * kW, count) or (C * kH * kW, count) added into images of
    output_size."""
    kernel, dilations, pads, strides = _patches(kernel_size, dilation, padding, stride)
    size = _two(output_size, "output_size")
    area = kernel[0] * kernel[1]
    if input.ndim not in (2, 3) or 0 in input.shape[input.ndim - 2 :]:
        raise RuntimeError(
            "Expected 2D or 3D (batch mode) tensor for input with possibly 0 batch size and non-zero dimensions for "
            f"input, but got: {list(input.shape)}"
        )
    if input.shape[-2] % area != 0:
        raise RuntimeError(
            "Expected size of input's dimension 1 to be divisible by the product of kernel_size, but got "
            f"input.size(1)={input.shape[-2]} and kernel_size={kernel}."
        )
    count = _blocks(size, kernel, dilations, pads, strides)
    if count[0] * count[1] != input.shape[-1]:
        raise RuntimeError(
            f"Given output_size={size}, kernel_size={kernel}, dilation={dilations}, padding={pads}, stride={strides}, "
            f"expected size of input's dimension 2 to match the calculated number of sliding blocks {count[0]} * "
            f"{count[1]} = {count[0] * count[1]}, but got input.size(2)={input.shape[-1]}."
        )
    if not (input.dtype.is_floating_point or input.dtype is dtypes.bool_):
        raise not_implemented("col2im_out_cpu", input.dtype)
    batch = 1 if input.ndim == 2 else input.shape[0]
    parts = input.reshape([batch, input.shape[-2] // area, kernel[0], kernel[1], count[0], count[1]])
    parts = parts.permute(0, 1, 4, 5, 2, 3)
    height, width = size[0] + 2 * pads[0], size[1] + 2 * pads[1]
    rows = _overlapped(parts, 3, width, kernel[1], strides[1], dilations[1])
    image = _overlapped(rows, 2, height, kernel[0], strides[0], dilations[0])
    if pads[0] != 0 or pads[1] != 0:
        image = constant_pad(image, (-pads[1], -pads[1], -pads[0], -pads[0]))
    return image.squeeze(0) if input.ndim == 2 else image


def _overlapped(parts: Any, dim: int, n: int, size: int, stride: int, dilation: int) -> Any:
    """The adjoint of `windows`: the elements in the last dim added to a dim of size n."""
    reach = dilation * (size - 1) + 1
    if dilation > 1:
        parts = slice_backward(parts, list(parts.shape[:-1]) + [reach], parts.ndim - 1, 0, reach, dilation)
    sizes = list(parts.shape[:-1])
    sizes[dim] = n
    return unfold_backward(parts, sizes, dim, reach, stride)


def _two(value: Any, name: str) -> tuple[int, int]:
    if isinstance(value, int):
        return (value, value)
    given = tuple(value)
    if len(given) == 1:
        return (given[0], given[0])
    if len(given) != 2:
        raise RuntimeError(f"It is expected {name} equals to 2, but got size {len(given)}")
    return given


def _patches(kernel_size: Any, dilation: Any, padding: Any, stride: Any) -> Any:
    kernel, dilations = _two(kernel_size, "kernel_size"), _two(dilation, "dilation")
    pads, strides = _two(padding, "padding"), _two(stride, "stride")
    for name, short, given in (
        ("kernel size", "kernel", kernel),
        ("stride", "stride", strides),
        ("dilation", "dilation", dilations),
    ):
        if given[0] <= 0 or given[1] <= 0:
            raise RuntimeError(
                f"{name} should be greater than zero, but got {short}_height: {given[0]} {short}_width: {given[1]}"
            )
    if pads[0] < 0 or pads[1] < 0:
        raise RuntimeError(f"padding should be non-negative, but got pad_height: {pads[0]} pad_width: {pads[1]}")
    return kernel, dilations, pads, strides


def _blocks(size: Any, kernel: Any, dilation: Any, pads: Any, stride: Any) -> tuple[int, int]:
    """How many patches there are along each dim."""
    high, wide = [(size[i] + 2 * pads[i] - dilation[i] * (kernel[i] - 1) - 1) // stride[i] + 1 for i in (0, 1)]
    return (high, wide)
