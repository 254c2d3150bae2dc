"""2-d convolution, by strided windows and one matrix product per group.

Enters: (N, C, H, W) input, (O, C/groups, kH, kW) weight. Leaves: (N, O, H', W').
Invariant: the three products (result, input gradient, weight gradient) are records whose gradients are each other, so
any order of
differentiation works. Padding is explicit here: the public function resolves 'same' and 'valid'.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from specjit.ir.dims import Dim
from specjit.ir.types import Type
from specjit.ops import infer
from specjit.ops.quiet import quiet
from specjit.ops.registry import defop


def pair(value: Any) -> tuple[int, int]:
    """An int, or one or two of them, as (vertical, horizontal)."""
    if isinstance(value, int):
        return value, value
    items = tuple(value)
    return (items[0], items[0]) if len(items) == 1 else (items[0], items[1])


def _out_size(n: Dim, k: Dim, stride: int, padding: int, dilation: int) -> Dim:
    if n is None or k is None:
        return None
    reach = n + 2 * padding - dilation * (k - 1) - 1
    if isinstance(reach, int):
        return reach // stride + 1
    return reach + 1 if stride == 1 else None


def _windows(x: np.ndarray, k: tuple[int, int], stride: Any, padding: Any, dilation: Any) -> np.ndarray:
    """Views (N, C, kH, kW, H', W') of the padded input."""
    (ph, pw), (sh, sw), (dh, dw) = padding, stride, dilation
    if ph or pw:
        x = np.pad(x, ((0, 0), (0, 0), (ph, ph), (pw, pw)))
    n, c, h, w = x.shape
    oh = (h - dh * (k[0] - 1) - 1) // sh + 1
    ow = (w - dw * (k[1] - 1) - 1) // sw + 1
    a, b, y, z = x.strides
    shape = (n, c, *k, max(oh, 0), max(ow, 0))
    return np.lib.stride_tricks.as_strided(x, shape, (a, b, y * dh, z * dw, y * sh, z * sw), writeable=False)


def _columns(
    x: np.ndarray, k: tuple[int, int], stride: Any, padding: Any, dilation: Any, groups: int
) -> tuple[np.ndarray, Any]:
    """The windows as matrices (groups, C/groups*kH*kW, N*H'*W'), and (H', W')."""
    w = _windows(x, k, stride, padding, dilation)
    n, c, kh, kw, oh, ow = w.shape
    return w.transpose(1, 2, 3, 0, 4, 5).reshape(groups, c // groups * kh * kw, n * oh * ow), (oh, ow)


def _conv2d(x: np.ndarray, weight: np.ndarray, stride: Any, padding: Any, dilation: Any, groups: int) -> np.ndarray:
    _check(x.shape, weight.shape, groups, x.dtype, weight.dtype)
    s, p, d = pair(stride), pair(padding), pair(dilation)
    o, _, kh, kw = weight.shape
    columns, (oh, ow) = _columns(x, (kh, kw), s, p, d, groups)
    if oh <= 0 or ow <= 0:
        raise RuntimeError(
            f"Calculated padded input size per channel: ({x.shape[2] + 2 * p[0]} x {x.shape[3] + 2 * p[1]}). Kernel "
            f"size: ({kh} x {kw}). Kernel size can't be greater than actual input size"
        )
    out = weight.reshape(groups, o // groups, -1) @ columns
    return np.ascontiguousarray(out.reshape(o, x.shape[0], oh, ow).swapaxes(0, 1))


def _check(x: Any, w: Any, groups: Any, x_dtype: Any = None, w_dtype: Any = None) -> None:
    if len(x) != 4 or len(w) != 4:
        raise RuntimeError(
            f"Expected 4D input and weight to conv2d, but got input of size: {list(x)}, weight {list(w)}"
        )
    if x_dtype is not None and w_dtype is not None and x_dtype != w_dtype:
        raise RuntimeError(f"Input type ({x_dtype}) and weight type ({w_dtype}) should be the same")
    if not all(isinstance(v, int) for v in (x[1], w[0], w[1], groups)):
        return
    if w[0] % groups or x[1] != w[1] * groups:
        raise RuntimeError(
            f"Given groups={groups}, weight of size {list(w)}, expected input{list(x)} to have {w[1] * groups} "
            "channels, but got "
            f"{x[1]} channels instead"
        )


def _conv2d_infer(x: Type, w: Type, stride: Any, padding: Any, dilation: Any, groups: Any) -> Type:
    if x.dims is None or w.dims is None:
        return Type.tensor(x.dtype)
    _check(x.dims, w.dims, groups, x.dtype, w.dtype)
    s, p, d = pair(stride), pair(padding), pair(dilation)
    sizes = [_out_size(x.dims[2 + i], w.dims[2 + i], s[i], p[i], d[i]) for i in (0, 1)]
    if any(isinstance(n, int) and n <= 0 for n in sizes):
        raise RuntimeError("Kernel size can't be greater than actual input size")
    return Type.tensor(x.dtype, (x.dims[0], w.dims[0], *sizes))


conv2d_op = defop(
    "conv2d(input, weight, stride: 'int[]', padding: 'int[]', dilation: 'int[]', groups: int) -> Tensor",
    eager=quiet(_conv2d),
    infer=_conv2d_infer,
    vjp=lambda g, _y, x, weight, stride, padding, dilation, groups: (
        lambda: conv2d_input(g, weight, x.shape, stride, padding, dilation, groups),
        lambda: conv2d_weight(x, g, weight.shape, stride, padding, dilation, groups),
    ),
    reads=((1,), (0,)),
    method=False,
    public=False,
    doc="Cross-correlation without bias; see nn.functional.conv2d.",
)


def _conv2d_input(
    g: np.ndarray, weight: np.ndarray, sizes: Any, stride: Any, padding: Any, dilation: Any, groups: int
) -> np.ndarray:
    (sh, sw), (ph, pw), (dh, dw) = pair(stride), pair(padding), pair(dilation)
    o, c, kh, kw = weight.shape
    n, _, oh, ow = g.shape
    rows = g.swapaxes(0, 1).reshape(groups, o // groups, n * oh * ow)
    columns = weight.reshape(groups, o // groups, c * kh * kw).swapaxes(1, 2) @ rows
    parts = columns.reshape(groups * c, kh, kw, n, oh, ow)
    h, w = sizes[2] + 2 * ph, sizes[3] + 2 * pw
    out = np.zeros((groups * c, n, h, w), g.dtype)
    # One addition per kernel position; everything inside is a strided array.
    for i in range(kh):
        for j in range(kw):
            y, z = i * dh, j * dw
            out[:, :, y : y + sh * (oh - 1) + 1 : sh, z : z + sw * (ow - 1) + 1 : sw] += parts[:, i, j]
    return np.ascontiguousarray(out[:, :, ph : h - ph, pw : w - pw].swapaxes(0, 1))


conv2d_input = defop(
    "conv2d_input(grad, weight, sizes: 'int[]', stride: 'int[]', padding: 'int[]', dilation: 'int[]', groups: int) -> "
    "Tensor",
    eager=quiet(_conv2d_input),
    infer=lambda g, weight, sizes, stride, padding, dilation, groups: Type.tensor(g.dtype, infer.sizes_of(sizes)),
    vjp=lambda g, _y, grad, weight, sizes, stride, padding, dilation, groups: (
        lambda: conv2d_op(g, weight, stride, padding, dilation, groups),
        lambda: conv2d_weight(g, grad, weight.shape, stride, padding, dilation, groups),
    ),
    reads=((1,), (0,)),
    method=False,
    public=False,
    doc="The gradient of conv2d for its input of `sizes`.",
)


def _conv2d_weight(
    x: np.ndarray, g: np.ndarray, sizes: Any, stride: Any, padding: Any, dilation: Any, groups: int
) -> np.ndarray:
    o, c, kh, kw = sizes
    oh, ow = g.shape[2:]
    w = _windows(x, (kh, kw), pair(stride), pair(padding), pair(dilation))[..., :oh, :ow]
    columns = w.transpose(1, 2, 3, 0, 4, 5).reshape(groups, c * kh * kw, -1)
    rows = g.swapaxes(0, 1).reshape(groups, o // groups, -1)
    return (rows @ columns.swapaxes(1, 2)).reshape(sizes)


conv2d_weight = defop(
    "conv2d_weight(input, grad, sizes: 'int[]', stride: 'int[]', padding: 'int[]', dilation: 'int[]', groups: int) -> "
    "Tensor",
    eager=quiet(_conv2d_weight),
    infer=lambda x, g, sizes, stride, padding, dilation, groups: Type.tensor(g.dtype, infer.sizes_of(sizes)),
    vjp=lambda g, _y, x, grad, sizes, stride, padding, dilation, groups: (
        lambda: conv2d_input(grad, g, x.shape, stride, padding, dilation, groups),
        lambda: conv2d_op(x, g, stride, padding, dilation, groups),
    ),
    reads=((1,), (0,)),
    method=False,
    public=False,
    doc="The gradient of conv2d for its weight of `sizes`.",
)
