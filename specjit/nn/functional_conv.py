"""Convolution.

Enters: images. Leaves: images.
"""

from __future__ import annotations

from typing import Any

from specjit.ops import conv, creation


def conv2d(
    input: Any, weight: Any, bias: Any = None, stride: Any = 1, padding: Any = 0, dilation: Any = 1, groups: int = 1
) -> Any:
    """2-d cross-correlation: (N, C, H, W) or (C, H, W) with weight (O, C/groups, kH, kW). padding: sizes, 'valid' or
    'same'."""
    s, d = conv.pair(stride), conv.pair(dilation)
    if isinstance(padding, str):
        input, p = _named_padding(input, padding, weight.shape[2:], s, d)
    else:
        p = conv.pair(padding)
    batched = input.ndim != 3
    out = conv.conv2d_op(input if batched else input.unsqueeze(0), weight, s, p, d, groups)
    if bias is not None:
        out = out + bias.reshape(1, -1, 1, 1)
    return out if batched else out.squeeze(0)


def _named_padding(input: Any, padding: str, kernel: Any, stride: Any, dilation: Any) -> Any:
    if padding == "valid":
        return input, (0, 0)
    if padding != "same":
        raise ValueError(f"Invalid padding string {padding!r}, should be one of 'valid', 'same'")
    if stride != (1, 1):
        raise RuntimeError("padding='same' is not supported for strided convolutions")
    total = [d * (k - 1) for d, k in zip(dilation, kernel)]
    # An odd total puts the extra row and column after the image.
    extra = [t % 2 for t in total]
    for axis, e in zip((-2, -1), extra):
        if e:
            shape = list(input.shape)
            shape[axis] = 1
            from specjit.ops.combine import cat

            input = cat([input, creation.zeros(shape, dtype=input.dtype)], axis)
    return input, (total[0] // 2, total[1] // 2)
