"""Geometry of images: padding, resizing, patches and their inverse, pixel shuffling.

Enters: tensors whose last dims are the image. Leaves: fresh tensors of the same dtype.
Invariant: everything is a selection along dims one after the other, a view, or a weighted sum of selections.
"""

from __future__ import annotations

import math
from typing import Any

from specjit import dtypes
from specjit.nn.functional_pool import adaptive_mean
from specjit.ops import arithmetic, casts, creation, gather, pointwise
from specjit.ops.eager import not_implemented
from specjit.ops.indexing import slice_backward
from specjit.ops.padding import constant_pad
from specjit.ops.pool import windows
from specjit.ops.views import unfold_backward

# Mode -> the number of spatial dims it is for.
DIMENSIONS = {"linear": 1, "bilinear": 2, "bicubic": 2, "trilinear": 3}
MODES = "nearest | linear | bilinear | bicubic | trilinear | area | nearest-exact"


def pad(input: Any, pad: Any, mode: str = "constant", value: Any = None) -> Any:
    """`pad[0]` elements before and `pad[1]` after the last dim, `pad[2]` and `pad[3]` around the one before it, and so
    on; negative amounts take away. mode: 'constant' (with `value`, 0), 'reflect' (without the edge), 'replicate' (the
    edge), 'circular' (the other end); all but the first for the last 1, 2 or 3 dims, beside channels and a batch."""
    amounts = tuple(pad)
    if len(amounts) % 2:
        raise RuntimeError("Padding length must be divisible by 2")
    if len(amounts) > 2 * input.ndim:
        raise RuntimeError(
            "Padding length should be less than or equal to two times the input dimension but got padding length "
            f"{len(amounts)} and input of dimension {input.ndim}"
        )
    if mode == "constant":
        return constant_pad(input, amounts, 0 if value is None else value)
    if value is not None and value != 0:
        raise RuntimeError(f'Padding mode "{mode}" doesn\'t take in value argument')
    if mode not in ("reflect", "replicate", "circular"):
        raise NotImplementedError(f"Unrecognised padding mode {mode}")
    count = len(amounts) // 2
    if count < 1 or count > 3 or (input.ndim != count + 1 and input.ndim != count + 2):
        raise NotImplementedError(f"Padding size {len(amounts)} is not supported for {input.ndim}D input tensor.")
    _check_padded(input, amounts, mode)
    out = input
    for i in range(count):
        before, after = amounts[2 * i], amounts[2 * i + 1]
        if before != 0 or after != 0:
            at = input.ndim - 1 - i
            out = gather.index_select(out, at, _around(input.shape[at], before, after, mode))
    return out.clone() if out is input else out


def _check_padded(input: Any, amounts: Any, mode: str) -> None:
    count = len(amounts) // 2
    if mode != "circular":
        if 0 in input.shape[input.ndim - count - 1 :]:
            raise RuntimeError(
                f"Expected {count + 1}D or {count + 2}D (batch mode) tensor with possibly 0 batch size and other "
                f"non-zero dimensions for input, but got: {list(input.shape)}"
            )
        if input.dtype is dtypes.bool_:
            raise not_implemented(f"{'reflection' if mode == 'reflect' else 'replication'}_pad{count}d", input.dtype)
    for i in range(count):
        n, before, after = input.shape[input.ndim - 1 - i], amounts[2 * i], amounts[2 * i + 1]
        if mode == "circular" and max(before, after) > n:
            raise RuntimeError("Padding value causes wrapping around more than once.")
        if mode == "circular" and before + after + n < 0:
            raise RuntimeError("Negative padding value is resulting in an empty dimension.")
        if mode == "reflect" and (before >= n or after >= n):
            raise RuntimeError(
                f"Argument #{4 + 2 * i}: Padding size should be less than the corresponding input dimension, but got: "
                f"padding ({before}, {after}) at dimension {input.ndim - 1 - i} of input {list(input.shape)}"
            )
        if mode != "circular" and before + after + n < 1:
            raise RuntimeError(f"input (W: {n}) is too small. Calculated output W: {before + after + n}")


def _around(n: Any, before: int, after: int, mode: str) -> Any:
    """Which element of a dim of size n each place of the padded dim shows."""
    if mode == "circular":
        # What is taken away does not come back at the other end.
        first, rest = max(-before, 0), n + min(before, 0) + min(after, 0)
        return creation.arange(-max(before, 0), rest + max(after, 0)) % rest + first
    at = creation.arange(-before, n + after)
    if mode == "replicate":
        return arithmetic.clamp(at, 0, n - 1)
    return (n - 1) - pointwise.abs((n - 1) - pointwise.abs(at))


def interpolate(
    input: Any,
    size: Any = None,
    scale_factor: Any = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
    recompute_scale_factor: bool | None = None,
    antialias: bool = False,
) -> Any:
    """(N, C, *image) resized to `size`, or by `scale_factor`, over 1 to 3 dims.

    mode           'nearest' (the pixel at floor(i / scale)), 'nearest-exact' (at the centre), 'linear', 'bilinear',
                   'trilinear', 'bicubic' (cubic convolution with a = -0.75), 'area' (adaptive means)
    align_corners  the corners of both images are pixel centres, rather than their outer edges
    recompute_scale_factor  positions follow from the sizes, not from `scale_factor`
    """
    if align_corners is not None and mode not in DIMENSIONS:
        raise ValueError(
            "align_corners option can only be set with the interpolating modes: linear | bilinear | bicubic | trilinear"
        )
    if antialias:
        if input.ndim != 4 or mode not in ("bilinear", "bicubic"):
            raise ValueError(
                "Anti-alias option is restricted to bilinear, bicubic, and lanczos modes and requires a 4-D tensor as "
                "input"
            )
        raise NotImplementedError("interpolate: antialias=True is not supported")
    count = input.ndim - 2
    sizes, scales = _resized(input, size, scale_factor, recompute_scale_factor)
    if count < 1 or count > 3 or (mode not in DIMENSIONS and mode not in ("nearest", "nearest-exact", "area")):
        raise NotImplementedError(
            f"Input Error: Only 3D, 4D and 5D input Tensors supported (got {input.ndim}D) for the modes: {MODES} "
            f"(got {mode})"
        )
    if mode in DIMENSIONS and DIMENSIONS[mode] != count:
        raise NotImplementedError(f"Got {input.ndim}D input, but {mode} mode needs {DIMENSIONS[mode] + 2}D input")
    if mode == "area":
        return adaptive_mean(input, sizes)
    _check_resized(input, sizes, mode)
    out = input if mode in ("nearest", "nearest-exact") else _working(input)
    for i in range(count):
        out = _resize(out, i + 2, sizes[i], scales[i], mode, align_corners is True)
    if input.dtype is dtypes.uint8 and out.dtype is not input.dtype:
        out = arithmetic.clamp(pointwise.floor(out + 0.5), 0, 255)
    return casts.to_dtype(out, input.dtype)


def _working(input: Any) -> Any:
    """In the dtype that weighted sums are made in: float32 for float16 and bytes."""
    return casts.to_dtype(input, dtypes.float32) if input.dtype is dtypes.uint8 else casts.widen(input)


def _resized(input: Any, size: Any, scale_factor: Any, recompute: Any) -> Any:
    """(sizes, scale factors that positions follow from, None where they follow from the sizes)."""
    count = input.ndim - 2
    if size is not None and scale_factor is not None:
        raise ValueError("only one of size or scale_factor should be defined")
    if size is None and scale_factor is None:
        raise ValueError("either size or scale_factor should be defined")
    spatial = list(input.shape[2:])
    if size is not None:
        if recompute:
            raise ValueError("recompute_scale_factor is not meaningful with an explicit size.")
        sizes = [size] * count if isinstance(size, (int, float)) else list(size)
        if len(sizes) != count:
            raise ValueError(
                "Input and output must have the same number of spatial dimensions, but got input with spatial "
                f"dimensions of {spatial} and output size of {size}. Please provide input tensor in (N, C, d1, d2, ..."
                ",dK) format and output size in (o1, o2, ...,oK) format."
            )
        if any([isinstance(s, float) for s in sizes]):
            raise TypeError(f"interpolate(): argument 'size' must be tuple of ints, but got {sizes}")
        return sizes, [None] * count
    factors = [scale_factor] * count if isinstance(scale_factor, (int, float)) else list(scale_factor)
    if len(factors) != count:
        raise ValueError(
            "Input and scale_factor must have the same number of spatial dimensions, but got input with spatial "
            f"dimensions of {spatial} and scale_factor of shape {scale_factor}. Please provide input tensor in (N, C, "
            "d1, d2, ...,dK) format and scale_factor in (s1, s2, ...,sK) format."
        )
    sizes = [math.floor(n * f) for n, f in zip(spatial, factors)]
    return sizes, [None] * count if recompute else factors


def _check_resized(input: Any, sizes: Any, mode: str) -> None:
    names = ("D", "H", "W")[3 - len(sizes) :]
    if any([n <= 0 for n in sizes]) or 0 in input.shape[2:]:
        have = ", ".join([f"{a}: {n}" for a, n in zip(names, input.shape[2:])])
        want = ", ".join([f"{a}: {n}" for a, n in zip(names, sizes)])
        raise RuntimeError(f"Input and output sizes should be greater than 0, but got input ({have}) output ({want})")
    if input.shape[1] == 0:
        raise RuntimeError(
            f"Non-empty {input.ndim}D data tensor expected but got a tensor with sizes {list(input.shape)}"
        )
    if not input.dtype.is_floating_point and input.dtype is not dtypes.uint8:
        raise not_implemented(
            f"compute_indices_weights_{mode}" if mode in DIMENSIONS else f"upsample_{mode.replace('-', '_')}",
            input.dtype,
        )


def _resize(x: Any, dim: int, size: int, factor: Any, mode: str, align_corners: bool) -> Any:
    """One dim of `x` at `size` positions."""
    n = x.shape[dim]
    if mode in ("nearest", "nearest-exact"):
        if size == n and factor is None:
            return x
        # Positions are float32 in PyTorch too, whatever the image is.
        at = creation.arange(size, dtype=dtypes.float32)
        if mode == "nearest-exact":
            at = at + 0.5
        at = casts.to_dtype(pointwise.floor(at * (n / size if factor is None else 1 / factor)), dtypes.int64)
        return gather.index_select(x, dim, arithmetic.clamp(at, max=n - 1))
    at = creation.arange(size, dtype=x.dtype)
    if align_corners:
        at = at * ((n - 1) / (size - 1) if size > 1 else 0.0)
    else:
        at = (at + 0.5) * (n / size if factor is None else 1 / factor) - 0.5
    if mode != "bicubic":
        at = arithmetic.clamp(at, min=0.0)
    low = pointwise.floor(at)
    if mode != "bicubic":
        low = arithmetic.clamp(low, max=float(n - 1))
    part = at - low
    tail = [-1] + [1] * (x.ndim - dim - 1)
    first = casts.to_dtype(low, dtypes.int64)
    weights = _cubic(part) if mode == "bicubic" else [1.0 - part, part]
    offset = -1 if mode == "bicubic" else 0
    out = None
    for i in range(len(weights)):
        taken = gather.index_select(x, dim, arithmetic.clamp(first + (offset + i), 0, n - 1)) * weights[i].reshape(tail)
        out = taken if out is None else out + taken
    return out


def _cubic(t: Any) -> list[Any]:
    """Weights of the four neighbours at distances 1 + t, t, 1 - t and 2 - t (Keys 1981, with a = -0.75)."""
    return [_far(t + 1.0), _near(t), _near(1.0 - t), _far(2.0 - t)]


def _near(t: Any) -> Any:
    return ((1.25 * t) - 2.25) * t * t + 1.0


def _far(t: Any) -> Any:
    return ((-0.75 * t + 3.75) * t - 6.0) * t + 3.0


# patches


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
    image = _padded(image, pads)
    rows = windows(image, 2, kernel[0], strides[0], dilations[0])
    found = windows(rows, 3, kernel[1], strides[1], dilations[1]).permute(0, 1, 4, 5, 2, 3)
    shape = [input.shape[-3] * kernel[0] * kernel[1], count[0] * count[1]]
    return found.reshape(shape if input.ndim == 3 else [input.shape[0]] + shape)


def _padded(image: Any, pads: Any) -> Any:
    """Zeros around the image, or with negative amounts its edges taken away."""
    if pads[0] == 0 and pads[1] == 0:
        return image
    return constant_pad(image, (pads[1], pads[1], pads[0], pads[0]))


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
    image = _padded(image, (-pads[0], -pads[1]))
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


# pixels


def pixel_shuffle(input: Any, upscale_factor: int) -> Any:
    """(*, C * r * r, H, W) to (*, C, H * r, W * r): channels become pixels."""
    r = upscale_factor
    if input.ndim < 3:
        raise RuntimeError(
            f"pixel_shuffle expects input to have at least 3 dimensions, but got input with {input.ndim} dimension(s)"
        )
    if r <= 0:
        raise RuntimeError(f"pixel_shuffle expects a positive upscale_factor, but got {r}")
    channels, height, width = input.shape[-3], input.shape[-2], input.shape[-1]
    if channels % (r * r) != 0:
        raise RuntimeError(
            "pixel_shuffle expects its input's 'channel' dimension to be divisible by the square of upscale_factor, but"
            f" input.size(-3)={channels} is not divisible by {r * r}"
        )
    lead = list(input.shape[:-3])
    k = len(lead)
    parts = input.reshape(lead + [channels // (r * r), r, r, height, width])
    parts = parts.permute(list(range(k)) + [k, k + 3, k + 1, k + 4, k + 2])
    return parts.reshape(lead + [channels // (r * r), height * r, width * r])


def pixel_unshuffle(input: Any, downscale_factor: int) -> Any:
    """(*, C, H * r, W * r) to (*, C * r * r, H, W): the inverse of `pixel_shuffle`."""
    r = downscale_factor
    if input.ndim < 3:
        raise RuntimeError(
            f"pixel_unshuffle expects input to have at least 3 dimensions, but got input with {input.ndim} dimension(s)"
        )
    if r <= 0:
        raise RuntimeError(f"pixel_unshuffle expects a positive downscale_factor, but got {r}")
    channels, height, width = input.shape[-3], input.shape[-2], input.shape[-1]
    if height % r != 0:
        raise RuntimeError(
            "pixel_unshuffle expects height to be divisible by downscale_factor, but input.size(-2)="
            f"{height} is not divisible by {r}"
        )
    if width % r != 0:
        raise RuntimeError(
            "pixel_unshuffle expects width to be divisible by downscale_factor, but input.size(-1)="
            f"{width} is not divisible by {r}"
        )
    lead = list(input.shape[:-3])
    k = len(lead)
    parts = input.reshape(lead + [channels, height // r, r, width // r, r])
    parts = parts.permute(list(range(k)) + [k, k + 2, k + 4, k + 1, k + 3])
    return parts.reshape(lead + [channels * r * r, height // r, width // r])
