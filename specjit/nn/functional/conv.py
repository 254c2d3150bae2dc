"""Convolutions and transposed convolutions.

Enters: (N, C, *size) or (C, *size), and weights. Leaves: the same form.
"""

from __future__ import annotations

from typing import Any

from specjit.dtypes import TITLES
from specjit.ops import conv
from specjit.ops.padding import constant_pad


def conv1d(
    input: Any, weight: Any, bias: Any = None, stride: Any = 1, padding: Any = 0, dilation: Any = 1, groups: int = 1
) -> Any:
    """1-d cross-correlation: (N, C, L) or (C, L) with weight (O, C/groups, k), bias (O). padding: sizes, 'valid' or
    'same'. Leaves (N, O, L') with L' = (L + 2 * padding - dilation * (k - 1) - 1) // stride + 1."""
    return _conv("conv1d", 1, input, weight, bias, stride, padding, dilation, groups)


def conv2d(
    input: Any, weight: Any, bias: Any = None, stride: Any = 1, padding: Any = 0, dilation: Any = 1, groups: int = 1
) -> Any:
    """2-d cross-correlation: (N, C, H, W) or (C, H, W) with weight (O, C/groups, kH, kW); see `conv1d`."""
    return _conv("conv2d", 2, input, weight, bias, stride, padding, dilation, groups)


def conv3d(
    input: Any, weight: Any, bias: Any = None, stride: Any = 1, padding: Any = 0, dilation: Any = 1, groups: int = 1
) -> Any:
    """3-d cross-correlation: (N, C, D, H, W) or (C, D, H, W) with weight (O, C/groups, kD, kH, kW); see `conv1d`."""
    return _conv("conv3d", 3, input, weight, bias, stride, padding, dilation, groups)


def conv_transpose1d(
    input: Any,
    weight: Any,
    bias: Any = None,
    stride: Any = 1,
    padding: Any = 0,
    output_padding: Any = 0,
    groups: int = 1,
    dilation: Any = 1,
) -> Any:
    """The gradient of `conv1d` for its input, as a layer: (N, C, L) or (C, L) with weight (C, O/groups, k). Leaves
    (N, O, L') with L' = (L - 1) * stride - 2 * padding + dilation * (k - 1) + output_padding + 1."""
    return _conv_transpose(
        "conv_transpose1d", 1, input, weight, bias, stride, padding, output_padding, groups, dilation
    )


def conv_transpose2d(
    input: Any,
    weight: Any,
    bias: Any = None,
    stride: Any = 1,
    padding: Any = 0,
    output_padding: Any = 0,
    groups: int = 1,
    dilation: Any = 1,
) -> Any:
    """The gradient of `conv2d` for its input, as a layer: (N, C, H, W) or (C, H, W) with weight (C, O/groups, kH, kW);
    see `conv_transpose1d`."""
    return _conv_transpose(
        "conv_transpose2d", 2, input, weight, bias, stride, padding, output_padding, groups, dilation
    )


def _per_dim(value: Any, count: int, name: str) -> tuple[int, ...]:
    """An int, or one or `count` of them, as one per dim."""
    if isinstance(value, int):
        return (value,) * count
    given = tuple(value)
    if len(given) == 1:
        return given * count
    if len(given) != count:
        raise RuntimeError(
            f"expected {name} to be a single integer value or a list of {count} values to match the convolution "
            f"dimensions, but got {name}={list(given)}"
        )
    return given


def _check_rank(name: str, input: Any, count: int) -> None:
    if input.ndim != count + 2 and input.ndim != count + 1:
        raise RuntimeError(
            f"Expected {count + 1}D (unbatched) or {count + 2}D (batched) input to {name}, but got input of size: "
            f"{list(input.shape)}"
        )


def _conv(
    name: str,
    count: int,
    input: Any,
    weight: Any,
    bias: Any,
    stride: Any,
    padding: Any,
    dilation: Any,
    groups: int,
) -> Any:
    _check_rank(name, input, count)
    if weight.ndim != count + 2:
        count = weight.ndim - 2
    strides, dilations = _per_dim(stride, count, "stride"), _per_dim(dilation, count, "dilation")
    if isinstance(padding, str):
        input, paddings = _named_padding(input, padding, tuple(weight.shape[2:]), strides, dilations)
    else:
        paddings = _per_dim(padding, count, "padding")
    if input.ndim == count + 2:
        return _biased(conv.convolution(input, weight, strides, paddings, dilations, groups), weight, bias, 0, groups)
    out = conv.convolution(input.unsqueeze(0), weight, strides, paddings, dilations, groups)
    return _biased(out, weight, bias, 0, groups).squeeze(0)


def _named_padding(input: Any, name: str, kernel: Any, stride: Any, dilation: Any) -> Any:
    """The input and the padding on both sides that 'same' or 'valid' mean."""
    if name == "valid":
        return input, (0,) * len(kernel)
    if name != "same":
        raise RuntimeError(f"Invalid padding string: '{name}'")
    if max(stride) != 1:
        raise RuntimeError("padding='same' is not supported for strided convolutions")
    total = [d * (k - 1) for d, k in zip(dilation, kernel)]
    # Of an odd total, the one that is over goes after the image.
    extra: list[int] = []
    for t in total[::-1]:
        extra += [0, t % 2]
    if max(extra) > 0:
        input = constant_pad(input, extra)
    return input, tuple([t // 2 for t in total])


def _conv_transpose(
    name: str,
    count: int,
    input: Any,
    weight: Any,
    bias: Any,
    stride: Any,
    padding: Any,
    output_padding: Any,
    groups: int,
    dilation: Any,
) -> Any:
    _check_rank(name, input, count)
    strides, paddings = _per_dim(stride, count, "stride"), _per_dim(padding, count, "padding")
    dilations = _per_dim(dilation, count, "dilation")
    extras = _per_dim(output_padding, count, "output_padding")
    whole = input if input.ndim == count + 2 else input.unsqueeze(0)
    if min(extras) < 0:
        raise RuntimeError("negative output_padding is not supported")
    if min([max(s, d) - e for e, s, d in zip(extras, strides, dilations)]) <= 0:
        raise RuntimeError(
            "output padding must be smaller than either stride or dilation, but got "
            f"output_padding: {list(extras)} stride: {list(strides)} dilation: {list(dilations)}"
        )
    size = [
        (n - 1) * s - 2 * p + d * (k - 1) + e + 1
        for n, s, p, d, k, e in zip(whole.shape[2:], strides, paddings, dilations, weight.shape[2:], extras)
    ]
    sizes = [whole.shape[0], weight.shape[1] * groups] + size
    out = conv.convolution_input(whole, weight, sizes, strides, paddings, dilations, groups)
    out = _biased(out, weight, bias, 1, groups)
    return out if input.ndim == count + 2 else out.squeeze(0)


def _biased(out: Any, weight: Any, bias: Any, axis: int, groups: int) -> Any:
    """The bias added to the channels; `axis` of the weight counts them."""
    if bias is None:
        return out
    channels = weight.shape[axis] * (groups if axis else 1)
    if bias.ndim != 1 or bias.shape[0] != channels:
        raise RuntimeError(
            f"Given {'transposed=1' if axis else f'groups={groups}'}, weight of size {list(weight.shape)}, expected "
            f"bias to be 1-dimensional with {channels} elements, but got bias of size {list(bias.shape)} instead"
        )
    if bias.dtype is not out.dtype:
        raise RuntimeError(
            f"Input type ({TITLES[out.dtype.name]}) and bias type ({TITLES[bias.dtype.name]}) should be the same"
        )
    return out + bias.reshape((-1,) + (1,) * (out.ndim - 2))
