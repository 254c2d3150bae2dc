"""Resizing of images and pixel shuffling.

Enters: tensors whose last dims are the image. Leaves: fresh tensors of the same dtype.
Invariant: a resized image is a selection, or a weighted sum of selections, along one dim after the other.
"""

from __future__ import annotations

from typing import Any

from specjit import dtypes
from specjit.nn.functional.pool import adaptive_mean, trailing
from specjit.ops import arithmetic, casts, creation, gather, pointwise
from specjit.ops.padding import constant_pad
from specjit.ops.records.eager import not_implemented

MODES = "nearest | linear | bilinear | bicubic | trilinear | area | nearest-exact"


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
    wanted = _dimension(mode)
    if align_corners is not None and wanted == 0:
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
    if size is not None and scale_factor is not None:
        raise ValueError("only one of size or scale_factor should be defined")
    if size is None and scale_factor is None:
        raise ValueError("either size or scale_factor should be defined")
    if count < 1 or count > 3 or (wanted == 0 and mode not in ("nearest", "nearest-exact", "area")):
        raise NotImplementedError(
            f"Input Error: Only 3D, 4D and 5D input Tensors supported (got {input.ndim}D) for the modes: {MODES} "
            f"(got {mode})"
        )
    if wanted > 0 and wanted != count:
        raise NotImplementedError(f"Got {input.ndim}D input, but {mode} mode needs {wanted + 2}D input")
    sizes, steps = _resized(input, size, scale_factor, recompute_scale_factor)
    if mode == "area":
        return adaptive_mean(input, sizes)
    _check_resized(input, sizes, mode)
    align = align_corners is True
    # Spelled out: capture knows what straight lines give, but not what a loop of unknown length carries.
    out = _resize(input if wanted == 0 else _working(input), 2, sizes[0], steps[0], mode, align)
    if count > 1:
        out = _resize(out, 3, sizes[1], steps[1], mode, align)
    if count > 2:
        out = _resize(out, 4, sizes[2], steps[2], mode, align)
    if input.dtype is dtypes.uint8 and out.dtype is not input.dtype:
        out = arithmetic.clamp(pointwise.floor(out + 0.5), 0, 255)
    return casts.to_dtype(out, input.dtype)


def _dimension(mode: str) -> int:
    """The number of spatial dims that a mode of weighted sums is for; 0 for other modes."""
    if mode == "linear":
        return 1
    if mode == "trilinear":
        return 3
    return 2 if mode in ("bilinear", "bicubic") else 0


def _working(input: Any) -> Any:
    """In the dtype that weighted sums are made in: float32 for float16 and bytes."""
    return casts.to_dtype(input, dtypes.float32) if input.dtype is dtypes.uint8 else casts.widen(input)


def _resized(input: Any, size: Any, scale_factor: Any, recompute: Any) -> Any:
    """(sizes, steps from one pixel to the next in the input)."""
    count = input.ndim - 2
    if size is not None and recompute:
        raise ValueError("recompute_scale_factor is not meaningful with an explicit size.")
    given = scale_factor if size is None else size
    each = (given,) * count if isinstance(given, (int, float)) else tuple(given)
    if len(each) != count:
        what = "scale_factor" if size is None else "output"
        raise ValueError(
            f"Input and {what} must have the same number of spatial dimensions, but got input with spatial dimensions "
            f"of {list(input.shape[2:])} and {what} of {each}. Please provide input tensor in (N, C, d1, d2, ...,dK) "
            "format and as many numbers."
        )
    # Spelled out: capture knows what straight lines give, but not what a loop of unknown length collects.
    first = _target(input.shape[2], each[0], size is None, recompute)
    if count == 1:
        return (first[0],), (first[1],)
    second = _target(input.shape[3], each[1], size is None, recompute)
    if count == 2:
        return (first[0], second[0]), (first[1], second[1])
    third = _target(input.shape[4], each[2], size is None, recompute)
    return (first[0], second[0], third[0]), (first[1], second[1], third[1])


def _target(n: int, given: Any, scales: bool, recompute: Any) -> tuple[int, float]:
    """(size, step) of one dim."""
    if not scales:
        if isinstance(given, float):
            raise TypeError(f"interpolate(): argument 'size' must be tuple of ints, but got {given}")
        return given, n / max(given, 1)
    size = int(n * given)
    step = n / max(size, 1) if recompute else 1 / given
    return size, step


def _check_resized(input: Any, sizes: Any, mode: str) -> None:
    names = ("D", "H", "W")[3 - len(sizes) :]
    if min(sizes) <= 0 or min(input.shape[2:]) <= 0:
        have = ", ".join([f"{a}: {n}" for a, n in zip(names, input.shape[2:])])
        want = ", ".join([f"{a}: {n}" for a, n in zip(names, sizes)])
        raise RuntimeError(f"Input and output sizes should be greater than 0, but got input ({have}) output ({want})")
    if input.shape[1] == 0:
        raise RuntimeError(
            f"Non-empty {input.ndim}D data tensor expected but got a tensor with sizes {list(input.shape)}"
        )
    if not input.dtype.is_floating_point and input.dtype is not dtypes.uint8:
        raise not_implemented(
            f"compute_indices_weights_{mode}" if _dimension(mode) > 0 else f"upsample_{mode.replace('-', '_')}",
            input.dtype,
        )


def _resize(x: Any, dim: int, size: int, step: float, mode: str, align_corners: bool) -> Any:
    """One dim of `x` at `size` positions, `step` apart."""
    n = x.shape[dim]
    if mode in ("nearest", "nearest-exact"):
        # Positions are float32 in PyTorch too, whatever the image is.
        place = creation.arange(size, dtype=dtypes.float32) + (0.5 if mode == "nearest-exact" else 0.0)
        return _taken(x, dim, pointwise.floor(place * step), 0)
    at = creation.arange(size, dtype=x.dtype)
    if align_corners:
        at = at * ((n - 1) / (size - 1) if size > 1 else 0.0)
    else:
        at = (at + 0.5) * step - 0.5
    after = x.ndim - dim - 1
    if mode == "bicubic":
        low = pointwise.floor(at)
        t = at - low
        out = _taken(x, dim, low, -1) * trailing(_far(t + 1.0), after)
        out = out + _taken(x, dim, low, 0) * trailing(_near(t), after)
        out = out + _taken(x, dim, low, 1) * trailing(_near(1.0 - t), after)
        return out + _taken(x, dim, low, 2) * trailing(_far(2.0 - t), after)
    at = arithmetic.clamp(at, min=0.0)
    low = arithmetic.clamp(pointwise.floor(at), max=float(n - 1))
    t = at - low
    return _taken(x, dim, low, 0) * trailing(1.0 - t, after) + _taken(x, dim, low, 1) * trailing(t, after)


def _taken(x: Any, dim: int, place: Any, offset: int) -> Any:
    """The pixels at `place + offset`, or at the edge that lies before them."""
    at = arithmetic.clamp(casts.to_dtype(place, dtypes.int64) + offset, 0, x.shape[dim] - 1)
    return gather.index_select(x, dim, at)


# Weights of the four neighbours, at distances 1 + t, t, 1 - t and 2 - t (Keys 1981, with a = -0.75).


def _near(t: Any) -> Any:
    return ((1.25 * t) - 2.25) * t * t + 1.0


def _far(t: Any) -> Any:
    return ((-0.75 * t + 3.75) * t - 6.0) * t + 3.0


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
    lead = tuple(input.shape[:-3])
    k = len(lead)
    parts = input.reshape(lead + (channels // (r * r), r, r, height, width))
    parts = _copied(parts.permute(list(range(k)) + [k, k + 3, k + 1, k + 4, k + 2]))
    return parts.reshape(lead + (channels // (r * r), height * r, width * r))


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
    lead = tuple(input.shape[:-3])
    k = len(lead)
    parts = input.reshape(lead + (channels, height // r, r, width // r, r))
    parts = _copied(parts.permute(list(range(k)) + [k, k + 2, k + 4, k + 1, k + 3]))
    return parts.reshape(lead + (channels * r * r, height // r, width // r))


def _copied(x: Any) -> Any:
    """A contiguous tensor that is never `x` itself, even where dims of size 1 make a view of it possible."""
    return constant_pad(x, [0, 0])
