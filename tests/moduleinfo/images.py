"""Rows of convolution, pooling, padding and image layers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from tests.moduleinfo import layers, module
from tests.moduleinfo.basic import state
from tests.opinfo import Make
from tests.opinfo.conv import conv_reference, transpose_reference
from tests.opinfo.images import padded

SIZES = (5, 4, 3)


def conv_cases(count: int) -> Any:
    size = SIZES[:count]

    def cases(make: Make) -> Iterator[Any]:
        yield (2, 3, 2), {}, (make(1, 2, *size, low=-1, high=1),)
        options = {"stride": 2, "padding": 1, "groups": 2, "bias": False}
        yield (2, 4, (3, 2, 2)[:count]), options, (make(2, 2, *size, low=-1, high=1),)
        yield (1, 1, 3), {"padding": "same", "dilation": (1,) * count}, (make(1, *size, low=-1, high=1),)
        for mode in ("reflect", "replicate", "circular"):
            yield (1, 2, 2), {"padding": 1, "padding_mode": mode}, (make(1, 1, *size, low=-1, high=1),)
        yield (1, 1, 2), {"padding": "same", "padding_mode": "circular"}, (make(1, 1, *size, low=-1, high=1),)

    return cases


def conv_layer(count: int) -> Any:
    def reference(m: Any, x: np.ndarray) -> np.ndarray:
        bias = None if m.bias is None else state(m, "bias")
        padding = m.padding
        if m.padding_mode != "zeros":
            total = [d * (k - 1) for d, k in zip(m.dilation, m.kernel_size)]
            sides = [(t // 2, t - t // 2) for t in total] if padding == "same" else [(p, p) for p in padding]
            x, padding = padded(x, [p for side in sides[::-1] for p in side], m.padding_mode), 0
        return conv_reference(count)(x, state(m, "weight"), bias, m.stride, padding, m.dilation, m.groups)

    return reference


for n in (1, 2, 3):
    module(f"Conv{n}d", conv_cases(n), conv_layer(n), scale=10)


def transpose_cases(count: int) -> Any:
    size = SIZES[:count]

    def cases(make: Make) -> Iterator[Any]:
        yield (2, 1, 2), {}, (make(1, 2, *size, low=-1, high=1),)
        options = {"stride": 2, "padding": 1, "output_padding": 1, "groups": 2, "bias": False}
        yield (2, 4, 3), options, (make(2, 2, *size, low=-1, high=1),)
        yield (1, 2, 2), {"dilation": 2}, (make(1, *size, low=-1, high=1),)

    return cases


def transpose_layer(count: int) -> Any:
    def reference(m: Any, x: np.ndarray) -> np.ndarray:
        bias = None if m.bias is None else state(m, "bias")
        options = (m.stride, m.padding, m.output_padding, m.groups, m.dilation)
        return transpose_reference(count)(x, state(m, "weight"), bias, *options)

    return reference


for n in (1, 2):
    module(f"ConvTranspose{n}d", transpose_cases(n), transpose_layer(n), scale=10)

LINE, IMAGE = (1, 2, 6), (1, 2, 6, 5)
INDICES: dict[str, Any] = {"return_indices": True, "ceil_mode": True}
for n, shape in ((1, LINE), (2, IMAGE)):
    module(
        f"MaxPool{n}d",
        layers(((2,), shape), ((3, 2, 1), shape), ((2, {"stride": 1, **INDICES}), shape)),
        functional=f"max_pool{n}d",
    )
    module(
        f"AvgPool{n}d",
        layers(((2,), shape), ((3, 2, 1), shape), ((3, {"padding": 1, "count_include_pad": False}), shape)),
        functional=f"avg_pool{n}d",
    )
    module(f"AdaptiveAvgPool{n}d", layers(((2,), shape), ((4,), shape)), functional=f"adaptive_avg_pool{n}d")
    module(
        f"AdaptiveMaxPool{n}d",
        layers(((2,), shape), ((4, {"return_indices": True}), shape)),
        functional=f"adaptive_max_pool{n}d",
    )


def pad_cases(count: int, *extra: Any) -> Any:
    shape = (1, 2, *(4, 3, 3)[:count])
    return layers(((1, *extra), shape), (((1, 0, 2, 1, 0, 1)[: 2 * count], *extra), shape[1:]))


def pad_layer(mode: str) -> Any:
    return lambda m, x: padded(x, m.padding, mode, getattr(m, "value", None))


for n in (1, 2, 3):
    module(f"ConstantPad{n}d", pad_cases(n, 2.5), pad_layer("constant"))
    module(f"ZeroPad{n}d", pad_cases(n), pad_layer("constant"))
    module(f"ReflectionPad{n}d", pad_cases(n), pad_layer("reflect"))
    module(f"ReplicationPad{n}d", pad_cases(n), pad_layer("replicate"))
    module(f"CircularPad{n}d", pad_cases(n), pad_layer("circular"))

module(
    "Upsample",
    layers(
        (({"scale_factor": 2},), IMAGE),
        (((3, 4),), IMAGE),
        ((7, None, "linear", True), LINE),
        ((None, 1.5, "bilinear"), IMAGE),
    ),
    functional="interpolate",
)
module("Unfold", layers(((2,), (1, 2, 3, 4)), (((2, 3), 1, 1, 2), (2, 3, 4))), functional="unfold")
module("Fold", layers((((3, 4), 2), (1, 8, 6)), ((3, 2, {"stride": 1}), (4, 4))), functional="fold")
module("PixelShuffle", layers(((2,), (1, 4, 2, 3)), ((1,), (2, 2, 2))), functional="pixel_shuffle")
module("PixelUnshuffle", layers(((2,), (1, 1, 2, 4)), ((1,), (2, 2, 2))), functional="pixel_unshuffle")
