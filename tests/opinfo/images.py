"""Rows of padding, resizing, patches and pixel shuffling."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

import specjit
from specjit.dtypes import bool_, uint8
from tests.opinfo import ALL, FLOATS, Make, Sample, row

F = "nn.functional."


# padding


def amounts(rank: int, pad: Any) -> list[tuple[int, int]]:
    given = list(zip(pad[::2], pad[1::2]))[::-1]
    return [(0, 0)] * (rank - len(given)) + given


def padded(x: np.ndarray, pad: Any, mode: str = "constant", value: Any = None) -> np.ndarray:
    """What is taken away first, then NumPy's padding."""
    if not x.ndim:
        return x
    pairs = amounts(x.ndim, pad)
    kept = x[tuple(slice(max(-a, 0), n - max(-b, 0)) for n, (a, b) in zip(x.shape, pairs))]
    grown = [(max(a, 0), max(b, 0)) for a, b in pairs]
    if mode == "constant":
        return np.pad(kept, grown, constant_values=np.asarray(value or 0).astype(x.dtype))
    name: Any = {"reflect": "reflect", "replicate": "edge", "circular": "wrap"}[mode]
    return np.pad(kept, grown, name)


def constant_samples(make: Make) -> Iterator[Sample]:
    yield (make(2, 3), (1, 2)), {}
    yield (make(2, 3), [1, 0, 2, 1], 2), {}
    yield (make(3, 4), [-1, 2, 1, -1], 1), {}
    yield (make(3, 4), [-1, -1]), {}
    yield (make(), []), {}
    yield (make(0, 2), [1, 1, 0, 1]), {}
    yield (make(3, 2, layout="T"), [1, 1]), {}
    yield (make(2, 3, layout="S"), [0, 1, 1, 0], 3), {}
    if make.plain:
        yield (make.special(), [1, 1], -math.inf), {}


row(
    "constant_pad",
    constant_samples,
    lambda x, pad, value=0: padded(x, pad, "constant", value),
    dtypes=ALL,
    exact=True,
)


def pad_samples(make: Make) -> Iterator[Sample]:
    yield from ((args[:2], {} if len(args) < 3 else {"value": args[2]}) for args, _ in constant_samples(make))
    modes = ["reflect", "replicate", "circular"] if make.dtype is not bool_ else ["circular"]
    for mode in modes:
        yield (make(2, 4), (1, 2), mode), {}
        yield (make(1, 2, 3), (2, 0)), {"mode": mode}
        yield (make(1, 3, 4), (1, 2, 0, 1)), {"mode": mode}
        yield (make(1, 1, 3, 3), (0, 1, 2, 1)), {"mode": mode}
        yield (make(1, 2, 2, 3), (1, 1, 1, 0, 1, 1)), {"mode": mode}
        yield (make(3, 4, layout="T"), (1, 1)), {"mode": mode}
        yield (make(0, 2, 3), (1, 1)), {"mode": mode}
        yield (make(1, 2, 4, layout="S"), (2, 1)), {"mode": mode}
    yield (make(1, 5), (-1, 2), "circular"), {}


row(
    F + "pad",
    pad_samples,
    padded,
    dtypes=ALL,
    exact=True,
    errors=[
        (lambda: specjit.nn.functional.pad(specjit.ones(2, 3), (1, 2, 3)), RuntimeError, "must be divisible by 2"),
        (lambda: specjit.nn.functional.pad(specjit.ones(2), (1, 2, 3, 4)), RuntimeError, "padding length 4 and input"),
        (lambda: specjit.nn.functional.pad(specjit.ones(2, 3), (-2, -2)), RuntimeError, "must be non-negative"),
        (
            lambda: specjit.nn.functional.pad(specjit.ones(3), (1, 1), mode="reflect"),
            NotImplementedError,
            "Padding size 2 is not supported for 1D input tensor",
        ),
        (
            lambda: specjit.nn.functional.pad(specjit.ones(1, 2, 3), (3, 1), mode="reflect"),
            RuntimeError,
            r"padding \(3, 1\) at dimension 2 of input \[1, 2, 3\]",
        ),
        (
            lambda: specjit.nn.functional.pad(specjit.ones(1, 2, 3), (4, 1), mode="circular"),
            RuntimeError,
            "wrapping around more than once",
        ),
        (
            lambda: specjit.nn.functional.pad(specjit.ones(1, 2, 3), (-1, -2), mode="replicate"),
            RuntimeError,
            "is too small",
        ),
        (
            lambda: specjit.nn.functional.pad(specjit.ones(1, 2, 3), (1, 1), mode="foo"),
            NotImplementedError,
            "Unrecognised padding mode foo",
        ),
        (
            lambda: specjit.nn.functional.pad(specjit.ones(1, 2, 3), (1, 1), mode="reflect", value=1.0),
            RuntimeError,
            "doesn't take in value",
        ),
        (
            lambda: specjit.nn.functional.pad(specjit.ones(1, 2, 0), (1, 2), mode="replicate"),
            RuntimeError,
            "other non-zero dimensions",
        ),
        (
            lambda: specjit.nn.functional.pad(specjit.ones(1, 2, 3).bool(), (1, 2), mode="reflect"),
            NotImplementedError,
            "not implemented for 'Bool'",
        ),
    ],
)


# resizing


def taps(mode: str, n: int, size: int, scale: Any, align: bool, i: int) -> list[tuple[int, float]]:
    """(position, weight) of what the i-th of `size` pixels is made of."""
    step = n / size if scale is None else 1 / scale
    if mode == "nearest":
        return [(min(math.floor(np.float32(i) * np.float32(step)), n - 1), 1.0)]
    if mode == "nearest-exact":
        return [(min(math.floor(np.float32(i + 0.5) * np.float32(step)), n - 1), 1.0)]
    at = i * ((n - 1) / (size - 1) if size > 1 else 0.0) if align else (i + 0.5) * step - 0.5
    if mode == "bicubic":
        first = math.floor(at)
        return [(min(max(first + k, 0), n - 1), keys(abs(at - first - k))) for k in (-1, 0, 1, 2)]
    at = min(max(at, 0.0), n - 1)
    low = min(math.floor(at), n - 1)
    return [(low, 1 - (at - low)), (min(low + 1, n - 1), at - low)]


def keys(d: float, a: float = -0.75) -> float:
    """The cubic convolution kernel at distance d."""
    if d <= 1:
        return (a + 2) * d**3 - (a + 3) * d**2 + 1
    return a * d**3 - 5 * a * d**2 + 8 * a * d - 4 * a if d < 2 else 0.0


def resized(
    x: np.ndarray,
    size: Any = None,
    scale_factor: Any = None,
    mode: str = "nearest",
    align_corners: Any = None,
    recompute_scale_factor: Any = None,
) -> np.ndarray:
    count = x.ndim - 2
    if size is not None:
        sizes, scales = ([size] * count if isinstance(size, int) else list(size)), [None] * count
    else:
        factors = [scale_factor] * count if isinstance(scale_factor, (int, float)) else list(scale_factor)
        sizes = [math.floor(n * f) for n, f in zip(x.shape[2:], factors)]
        scales = [None] * count if recompute_scale_factor else factors
    out = x.astype(np.float64)
    for k in range(count):
        n = x.shape[k + 2]
        if mode == "area":
            rows = [
                [(j, 1 / len(w)) for j in w]
                for w in (range(i * n // sizes[k], -((i + 1) * -n // sizes[k])) for i in range(sizes[k]))
            ]
        else:
            rows = [taps(mode, n, sizes[k], scales[k], bool(align_corners), i) for i in range(sizes[k])]
        front = np.moveaxis(out, k + 2, 0)
        out = np.moveaxis(np.stack([sum(front[j] * w for j, w in row) for row in rows]), 0, k + 2)
    return np.clip(np.floor(out + 0.5), 0, 255).astype(np.uint8) if x.dtype == np.uint8 else out


RESIZES: list[tuple[tuple[int, ...], dict[str, Any]]] = [
    ((1, 2, 5), {"size": 3}),
    ((1, 1, 3, 2), {"size": (5, 4)}),
    ((1, 1, 4), {"scale_factor": 1.6}),
    ((1, 1, 3, 4), {"scale_factor": (2.0, 0.5)}),
    ((1, 1, 2, 3, 2), {"size": (3, 2, 4)}),
    ((1, 2, 4), {"size": 7, "mode": "linear"}),
    ((1, 2, 4), {"size": 7, "mode": "linear", "align_corners": True}),
    ((1, 1, 3, 4), {"size": (5, 3), "mode": "bilinear"}),
    ((1, 1, 3, 4), {"size": (1, 6), "mode": "bilinear", "align_corners": True}),
    ((1, 1, 3, 4), {"scale_factor": 1.7, "mode": "bilinear", "align_corners": False}),
    ((1, 1, 3, 4), {"scale_factor": 1.7, "mode": "bilinear", "recompute_scale_factor": True}),
    ((1, 1, 3, 4), {"size": (5, 6), "mode": "bicubic"}),
    ((1, 1, 2, 2, 3), {"size": 4, "mode": "trilinear", "align_corners": True}),
    ((1, 1, 3, 4), {"scale_factor": 1.6, "mode": "nearest-exact"}),
    ((0, 1, 3, 4), {"size": 2, "mode": "bilinear"}),
    ((1, 1, 1, 1), {"size": 3, "mode": "bilinear"}),
]


def resize_samples(make: Make) -> Iterator[Sample]:
    for shape, options in RESIZES:
        # PyTorch has bytes in fixed-point arithmetic of its own, for which a tie may round the other way.
        if make.dtype.is_floating_point or options.get("mode", "nearest").startswith("nearest"):
            yield (make(*shape),), options
    yield (make(1, 2, 3, layout="T"),), {"size": 5}
    yield (make(1, 2, 3, 4, layout="S"), (2, 2)), {}
    if make.dtype.is_floating_point:
        yield (make(1, 2, 5),), {"size": 2, "mode": "area"}
        yield (make(1, 1, 4, 3),), {"size": 2, "mode": "area"}


row(
    F + "interpolate",
    resize_samples,
    resized,
    dtypes=(*FLOATS, uint8),
    scale=16,
    errors=[
        (lambda: specjit.nn.functional.interpolate(specjit.ones(1, 1, 2)), ValueError, "either size or scale_factor"),
        (lambda: specjit.nn.functional.interpolate(specjit.ones(1, 1, 2), 4, 2), ValueError, "only one of size"),
        (
            lambda: specjit.nn.functional.interpolate(specjit.ones(1, 1, 2), 4, mode="bilinear"),
            NotImplementedError,
            "Got 3D input, but bilinear mode needs 4D input",
        ),
        (
            lambda: specjit.nn.functional.interpolate(specjit.ones(1, 1, 2, 2), 4, mode="foo"),
            NotImplementedError,
            "Only 3D, 4D and 5D input Tensors supported",
        ),
        (
            lambda: specjit.nn.functional.interpolate(specjit.ones(1, 1, 2, 2), 4, align_corners=True),
            ValueError,
            "align_corners option can only be set",
        ),
        (lambda: specjit.nn.functional.interpolate(specjit.ones(1, 2), 4), NotImplementedError, r"got 2D"),
        (
            lambda: specjit.nn.functional.interpolate(specjit.ones(1, 1, 2, 2), (4, 4, 4)),
            ValueError,
            "same number of spatial dimensions",
        ),
        (
            lambda: specjit.nn.functional.interpolate(specjit.ones(1, 1, 2, 2), scale_factor=(4.0, 4.0, 4.0)),
            ValueError,
            "scale_factor must have the same number",
        ),
        (
            lambda: specjit.nn.functional.interpolate(specjit.ones(1, 1, 2, 2), 0),
            RuntimeError,
            "Input and output sizes should be greater than 0",
        ),
        (lambda: specjit.nn.functional.interpolate(specjit.ones(1, 0, 2, 2), 4), RuntimeError, "Non-empty 4D"),
        (
            lambda: specjit.nn.functional.interpolate(specjit.ones(1, 1, 2, 2).long(), 4),
            NotImplementedError,
            "not implemented for 'Long'",
        ),
        (
            lambda: specjit.nn.functional.interpolate(specjit.ones(1, 1, 2), 4, recompute_scale_factor=True),
            ValueError,
            "not meaningful with an explicit size",
        ),
        (
            lambda: specjit.nn.functional.interpolate(specjit.ones(1, 1, 2), 4, antialias=True),
            ValueError,
            "Anti-alias option is restricted",
        ),
        (lambda: specjit.nn.functional.interpolate(specjit.ones(1, 1, 2, 2), 4.5), TypeError, "size"),
    ],
)


# patches


def two(value: Any) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else (value[0], value[-1])


def patch_places(size: Any, kernel: Any, dilation: Any, padding: Any, stride: Any) -> Any:
    """[tap][block] -> (row, column) in the image, or None in its padding."""
    counts = [(n + 2 * p - d * (k - 1) - 1) // s + 1 for n, k, d, p, s in zip(size, kernel, dilation, padding, stride)]
    for t, tap in enumerate(np.ndindex(*kernel)):
        for b, block in enumerate(np.ndindex(*counts)):
            at = tuple(i * s + j * d - p for i, s, j, d, p in zip(block, stride, tap, dilation, padding))
            if all(0 <= a < n for a, n in zip(at, size)):
                yield t, b, at


def columns(x: np.ndarray, kernel_size: Any, dilation: Any = 1, padding: Any = 0, stride: Any = 1) -> np.ndarray:
    options = tuple(map(two, (kernel_size, dilation, padding, stride)))
    whole = x if x.ndim == 4 else x[None]
    area = math.prod(options[0])
    counts = [(n + 2 * p - d * (k - 1) - 1) // s + 1 for n, k, d, p, s in zip(whole.shape[2:], *options)]
    out = np.zeros((*whole.shape[:2], area, math.prod(counts)), x.dtype)
    for tap, block, at in patch_places(whole.shape[2:], *options):
        out[:, :, tap, block] = whole[(slice(None), slice(None), *at)]
    out = out.reshape(whole.shape[0], whole.shape[1] * area, math.prod(counts))
    return out if x.ndim == 4 else out[0]


def image(
    x: np.ndarray, output_size: Any, kernel_size: Any, dilation: Any = 1, padding: Any = 0, stride: Any = 1
) -> np.ndarray:
    options, size = tuple(map(two, (kernel_size, dilation, padding, stride))), two(output_size)
    whole = x if x.ndim == 3 else x[None]
    area = math.prod(options[0])
    channels = whole.shape[1] // area
    parts = whole.reshape(whole.shape[0], channels, area, whole.shape[2])
    out = np.zeros((whole.shape[0], channels, *size), bool if x.dtype == bool else np.float64)
    for tap, block, at in patch_places(size, *options):
        out[(slice(None), slice(None), *at)] += parts[:, :, tap, block]
    return out if x.ndim == 3 else out[0]


PATCHES: list[tuple[tuple[int, ...], Any, dict[str, Any]]] = [
    ((1, 2, 3, 4), 2, {}),
    ((2, 3, 4), (2, 3), {"padding": 1}),
    ((1, 1, 5, 4), (2, 1), {"stride": (2, 1)}),
    ((1, 1, 5, 5), 2, {"dilation": 2, "padding": (1, 0), "stride": 3}),
    ((1, 1, 4, 6), (2, 3), {"dilation": (1, 2), "stride": 2}),
    ((0, 2, 3, 3), 2, {}),
    ((1, 1, 1, 1), 1, {}),
]


def unfold_samples(make: Make) -> Iterator[Sample]:
    for shape, kernel, options in PATCHES:
        yield (make(*shape), kernel), options
    yield (make(2, 3, 3, 4, layout="T"), 2), {}
    yield (make(2, 3, 3, 4, layout="S"), 2, 1, 1), {}
    if make.plain:
        yield (make.special().reshape(1, 1, 3, 4), 2), {}


row(
    F + "unfold",
    unfold_samples,
    columns,
    dtypes=(*FLOATS, bool_),
    exact=True,
    view=None,
    errors=[
        (lambda: specjit.nn.functional.unfold(specjit.ones(2, 2), 2), IndexError, "out of range"),
        (lambda: specjit.nn.functional.unfold(specjit.ones(1, 1, 2, 2), 3), RuntimeError, "must be at least one"),
        (lambda: specjit.nn.functional.unfold(specjit.ones(1, 1, 2, 2), 0), RuntimeError, "kernel size should be"),
        (lambda: specjit.nn.functional.unfold(specjit.ones(1, 1, 3, 3), 2, stride=0), RuntimeError, "stride should be"),
        (lambda: specjit.nn.functional.unfold(specjit.ones(1, 1, 3, 3), 2, 0), RuntimeError, "dilation should be"),
        (lambda: specjit.nn.functional.unfold(specjit.ones(1, 1, 3, 3), 2, 1, -1), RuntimeError, "should be non-negat"),
        (lambda: specjit.nn.functional.unfold(specjit.ones(1, 1, 3, 3), (2, 2, 2)), RuntimeError, "but got size 3"),
        (lambda: specjit.nn.functional.unfold(specjit.ones(1, 0, 3, 3), 2), RuntimeError, "non-zero dimensions"),
        (
            lambda: specjit.nn.functional.unfold(specjit.ones(1, 1, 3, 3).long(), 2),
            NotImplementedError,
            "not implemented for 'Long'",
        ),
    ],
)


def fold_samples(make: Make) -> Iterator[Sample]:
    for shape, kernel, options in PATCHES:
        if shape[0]:
            made = columns(np.zeros(shape), kernel, **options).shape
            yield (make(*made), shape[-2:], kernel), options
    yield (make(2, 4, 6, layout="T"), (3, 4), 2), {}
    yield (make(4, 4), 3, 2), {}
    yield (make(0, 4, 4), 3, 2), {}


row(
    F + "fold",
    fold_samples,
    image,
    dtypes=(*FLOATS, bool_),
    scale=4,
    view=None,
    errors=[
        (
            lambda: specjit.nn.functional.fold(specjit.ones(1, 4, 3), (3, 3), 2),
            RuntimeError,
            "to match the calc",
        ),
        (
            lambda: specjit.nn.functional.fold(specjit.ones(1, 3, 4), (3, 3), 2),
            RuntimeError,
            "divisible by the",
        ),
        (lambda: specjit.nn.functional.fold(specjit.ones(4), (3, 3), 2), RuntimeError, "Expected 2D or 3D"),
        (lambda: specjit.nn.functional.fold(specjit.ones(1, 4, 4), (3, 3), 0), RuntimeError, "kernel size should be"),
        (
            lambda: specjit.nn.functional.fold(specjit.ones(1, 4, 4).long(), (3, 3), 2),
            NotImplementedError,
            "not implemented for 'Long'",
        ),
    ],
)


# pixels


def shuffled(x: np.ndarray, r: int) -> np.ndarray:
    *lead, c, h, w = x.shape
    out = np.empty((*lead, c // (r * r), h * r, w * r), x.dtype)
    for i in np.ndindex(c // (r * r), h * r, w * r):
        out[(..., *i)] = x[..., i[0] * r * r + i[1] % r * r + i[2] % r, i[1] // r, i[2] // r]
    return out


def unshuffled(x: np.ndarray, r: int) -> np.ndarray:
    *lead, c, h, w = x.shape
    out = np.empty((*lead, c * r * r, h // r, w // r), x.dtype)
    for i in np.ndindex(c * r * r, h // r, w // r):
        out[(..., *i)] = x[..., i[0] // (r * r), i[1] * r + i[0] // r % r, i[2] * r + i[0] % r]
    return out


def shuffle_samples(*shapes: tuple[tuple[int, ...], int]) -> Any:
    def sample(make: Make) -> Iterator[Sample]:
        for shape, r in shapes:
            yield (make(*shape), r), {}
            yield (make(*shape, layout="T"), r), {}
        yield (make(*shapes[0][0], layout="S"), shapes[0][1]), {}

    return sample


row(
    F + "pixel_shuffle",
    shuffle_samples(((1, 4, 2, 3), 2), ((9, 1, 2), 3), ((2, 1, 3, 2), 1), ((0, 4, 2, 2), 2), ((2, 2, 4, 1, 2), 2)),
    shuffled,
    dtypes=ALL,
    exact=True,
    view=None,
    errors=[
        (lambda: specjit.nn.functional.pixel_shuffle(specjit.ones(1, 3, 2, 2), 2), RuntimeError, "not divisible by 4"),
        (lambda: specjit.nn.functional.pixel_shuffle(specjit.ones(2, 2), 2), RuntimeError, "at least 3 dimensions"),
        (lambda: specjit.nn.functional.pixel_shuffle(specjit.ones(1, 4, 2, 2), 0), RuntimeError, "positive upscale"),
    ],
)
row(
    F + "pixel_unshuffle",
    shuffle_samples(((1, 1, 4, 2), 2), ((1, 3, 6), 3), ((2, 1, 3, 2), 1), ((0, 1, 2, 2), 2), ((2, 2, 1, 2, 2), 2)),
    unshuffled,
    dtypes=ALL,
    exact=True,
    view=None,
    errors=[
        (
            lambda: specjit.nn.functional.pixel_unshuffle(specjit.ones(1, 1, 3, 2), 2),
            RuntimeError,
            "height to be",
        ),
        (lambda: specjit.nn.functional.pixel_unshuffle(specjit.ones(1, 1, 2, 3), 2), RuntimeError, "width to be divis"),
        (lambda: specjit.nn.functional.pixel_unshuffle(specjit.ones(2, 2), 2), RuntimeError, "at least 3 dimensions"),
        (
            lambda: specjit.nn.functional.pixel_unshuffle(specjit.ones(1, 1, 2, 2), -1),
            RuntimeError,
            "positive down",
        ),
    ],
)
