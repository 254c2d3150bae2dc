"""Rows of convolutions. References add one product at a time, in float64."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

import specjit
from specjit.dtypes import float64, int64
from specjit.nn import functional as F
from tests.opinfo import FLOATS, NUMBERS, Make, Sample, row, silent

# PyTorch has no dilated and no transposed convolution of the smaller ints.
DTYPES = NUMBERS
WHOLE = (*FLOATS, int64)
# (input, weight, stride, padding, dilation, groups)
CONVOLUTIONS: list[tuple[Any, ...]] = [
    ((1, 2, 3, 4), (2, 2, 2, 2), (1, 1), (0, 0), (1, 1), 1),
    ((2, 3, 5, 6), (4, 3, 3, 2), (1, 1), (0, 0), (1, 1), 1),
    ((1, 2, 6, 6), (4, 1, 3, 3), (2, 1), (1, 2), (1, 1), 2),
    ((2, 1, 7, 5), (2, 1, 2, 2), (2, 2), (0, 1), (2, 1), 1),
    ((1, 1, 1, 1), (1, 1, 1, 1), (1, 1), (0, 0), (1, 1), 1),
    ((0, 2, 4, 4), (3, 2, 3, 3), (1, 1), (1, 1), (1, 1), 1),
    ((1, 2, 5), (2, 2, 2), (2,), (1,), (1,), 1),
    ((2, 6, 2, 3), (3, 2, 1, 2), (1, 1), (0, 0), (1, 1), 3),
    ((1, 1, 2, 3, 2), (2, 1, 2, 2, 1), (1, 1, 1), (0, 1, 0), (1, 1, 1), 1),
]


def correlation(x: np.ndarray, w: np.ndarray, stride: Any, padding: Any, dilation: Any, groups: int) -> np.ndarray:
    (n, _, *size), (o, per, *kernel) = x.shape, w.shape
    whole = np.int64 if x.dtype.kind in "iu" else np.float64
    padded = np.zeros((n, x.shape[1], *(s + 2 * p for s, p in zip(size, padding))), whole)
    padded[(..., *(slice(p, p + s) for s, p in zip(size, padding)))] = x
    out_size = [(m - d * (k - 1) - 1) // s + 1 for m, d, k, s in zip(padded.shape[2:], dilation, kernel, stride)]
    out = np.zeros((n, o, *out_size), whole)
    for b, c, *at in np.ndindex(n, o, *out_size):
        first = c // (o // groups) * per
        for k, *tap in np.ndindex(per, *kernel):
            where = tuple(i * s + t * d for i, s, t, d in zip(at, stride, tap, dilation))
            out[(b, c, *at)] += padded[(b, first + k, *where)] * w[(c, k, *tap)].astype(whole)
    return out.astype(x.dtype) if whole is np.int64 else out


def convolution_samples(make: Make) -> Iterator[Sample]:
    for x, w, *rest in CONVOLUTIONS:
        if make.dtype in WHOLE or max(rest[2]) == 1:
            yield (make(*x, low=-1, high=1), make(*w, low=-1, high=1), *rest), {}


def output_shape(x: Any, w: Any, rest: Any) -> tuple[int, ...]:
    return correlation(np.zeros(x), np.zeros(w), *rest).shape


def input_samples(make: Make) -> Iterator[Sample]:
    for x, w, *rest in CONVOLUTIONS:
        yield (make(*output_shape(x, w, rest), low=-1, high=1), make(*w, low=-1, high=1), x, *rest), {}


def weight_samples(make: Make) -> Iterator[Sample]:
    for x, w, *rest in CONVOLUTIONS:
        yield (make(*x, low=-1, high=1), make(*output_shape(x, w, rest), low=-1, high=1), w, *rest), {}


def adjoint(of_input: bool) -> Any:
    """The gradient of a linear map, from its values on unit vectors."""

    def reference(a: np.ndarray, b: np.ndarray, target: Any, *rest: Any) -> np.ndarray:
        out = np.zeros(int(np.prod(target)))
        for k in range(out.size):
            unit = np.zeros(out.size)
            unit[k] = 1
            unit = unit.reshape(target)
            made = correlation(unit, b, *rest) if of_input else correlation(a, unit, *rest)
            out[k] = (made * (a if of_input else b)).sum()
        return out.reshape(target)

    return reference


row("convolution", convolution_samples, correlation, dtypes=DTYPES, scale=16)
row("convolution_input", input_samples, adjoint(True), dtypes=(float64,), scale=64)
row("convolution_weight", weight_samples, adjoint(False), dtypes=(float64,), scale=64)


def spread(value: Any, count: int) -> tuple[int, ...]:
    return (value,) * count if isinstance(value, int) else tuple(value) * (count if len(value) == 1 else 1)


def conv_reference(count: int) -> Any:
    def reference(
        x: np.ndarray,
        w: np.ndarray,
        bias: Any = None,
        stride: Any = 1,
        padding: Any = 0,
        dilation: Any = 1,
        groups: int = 1,
    ) -> np.ndarray:
        strides, dilations = spread(stride, count), spread(dilation, count)
        whole = x if x.ndim == count + 2 else x[None]
        if isinstance(padding, str):
            total = [d * (k - 1) if padding == "same" else 0 for d, k in zip(dilations, w.shape[2:])]
            whole = np.pad(whole, ((0, 0), (0, 0), *((t // 2, t - t // 2) for t in total)))
            padding = 0
        out = correlation(whole, w, strides, spread(padding, count), dilations, groups)
        if bias is not None:
            out = out + bias.reshape(-1, *(1,) * count)
        return out if x.ndim == count + 2 else out[0]

    return reference


SIZE, KERNEL = (5, 4, 3), (2, 3, 2)


def conv_samples(count: int) -> Any:
    def sample(make: Make) -> Iterator[Sample]:
        def image(*lead: int, **layout: Any) -> Any:
            return make(*lead, *SIZE[:count], low=-1, high=1, **layout)

        def weight(o: int, c: int) -> Any:
            return make(o, c, *KERNEL[:count], low=-1, high=1)

        yield (make(1, 1, *(3, 2, 2)[:count], low=-1, high=1), make(2, 1, *(2, 1, 2)[:count], low=-1, high=1)), {}
        yield (image(1, 2), weight(2, 2), make(2)), {}
        yield (image(2), weight(2, 2), make(2)), {"padding": 1}
        yield (image(2, 4), weight(2, 2)), {"groups": 2, "stride": 2, "padding": (1,) * count}
        yield (image(1, 1), weight(1, 1)), {"padding": "same"}
        yield (image(1, 1), weight(1, 1)), {"padding": "valid", "stride": 2}
        if make.dtype in WHOLE:
            yield (image(1, 2), weight(2, 2), make(2), 1, 2, (2,)), {}
        yield (image(0, 2), weight(2, 2)), {}
        yield (image(2, 2, layout="T"), weight(2, 2)), {}
        yield (image(2, 2, layout="S"), weight(2, 2)), {}
        if make.plain:
            special = make.special()
            yield (special.reshape(1, 1, *(12, 1, 1)[:count]), make(1, 1, *(2, 1, 1)[:count], low=1, high=2)), {}

    return sample


def ones(*shape: int) -> Any:
    return specjit.ones(*shape)


CONV2D_ERRORS: list[Any] = [
    (
        lambda: specjit.nn.functional.conv2d(specjit.ones(1, 1, 4, 4), specjit.ones(1, 1, 3, 3), stride=0),
        RuntimeError,
        "non-positive stride is not supported",
    ),
    (
        lambda: specjit.nn.functional.conv2d(specjit.ones(1, 1, 4, 4), specjit.ones(1, 1, 3, 3), stride=(1, 1, 1)),
        RuntimeError,
        "expected stride to be a single integer value or a list of 2 values",
    ),
    (
        lambda: specjit.nn.functional.conv2d(specjit.ones(1, 1, 4, 4), specjit.ones(1, 1, 3, 3), padding=-1),
        RuntimeError,
        "negative padding is not supported",
    ),
    (
        lambda: specjit.nn.functional.conv2d(specjit.ones(1, 1, 4, 4), specjit.ones(1, 1, 3, 3), dilation=0),
        RuntimeError,
        "dilation should be greater than zero",
    ),
    (
        lambda: specjit.nn.functional.conv2d(specjit.ones(1, 1, 4, 4), specjit.ones(1, 1, 3, 3), groups=0),
        RuntimeError,
        "non-positive groups is not supported",
    ),
    (
        lambda: specjit.nn.functional.conv2d(specjit.ones(1, 4, 4, 4), specjit.ones(3, 2, 3, 3), groups=2),
        RuntimeError,
        "expected weight to be divisible by 2 at dimension 0",
    ),
    (
        lambda: specjit.nn.functional.conv2d(
            specjit.ones(1, 1, 4, 4), specjit.ones(1, 1, 3, 3), padding="same", stride=2
        ),
        RuntimeError,
        "padding='same' is not supported for strided convolutions",
    ),
    (
        lambda: specjit.nn.functional.conv2d(specjit.ones(1, 1, 4, 4), specjit.ones(1, 1, 3, 3), padding="all"),
        RuntimeError,
        "Invalid padding string: 'all'",
    ),
    (
        lambda: specjit.nn.functional.conv2d(specjit.ones(1, 1, 4, 4), specjit.ones(2, 1, 3, 3), specjit.ones(3)),
        RuntimeError,
        "expected bias to be 1-dimensional with 2 elements",
    ),
    (
        lambda: specjit.nn.functional.conv2d(specjit.ones(1, 1, 4, 4), specjit.ones(2, 1, 3, 3).double()),
        RuntimeError,
        "expected scalar type Float but found Double",
    ),
    (
        lambda: specjit.nn.functional.conv2d(specjit.ones(1, 1, 4, 4).bool(), specjit.ones(2, 1, 3, 3).bool()),
        NotImplementedError,
        "not implemented for 'Bool'",
    ),
]

for n in (1, 2, 3):
    row(
        f"nn.functional.conv{n}d",
        conv_samples(n),
        silent(conv_reference(n)),
        dtypes=DTYPES,
        scale=16,
        errors=[
            (lambda n=n: getattr(F, f"conv{n}d")(ones(4), ones(1, 1, *(3,) * n)), RuntimeError, f"to conv{n}d, but"),
            (
                lambda n=n: getattr(F, f"conv{n}d")(ones(1, 2, *(4,) * n), ones(1, 3, *(2,) * n)),
                RuntimeError,
                "to have 3 channels, but got 2 channels instead",
            ),
            (
                lambda n=n: getattr(F, f"conv{n}d")(ones(1, 1, *(2,) * n), ones(1, 1, *(3,) * n)),
                RuntimeError,
                "Kernel size can't be greater than actual input size",
            ),
            *(CONV2D_ERRORS if n == 2 else []),
        ],
    )


def transpose_reference(count: int) -> Any:
    """Every input pixel adds its weighted kernel to the output."""

    def reference(
        x: np.ndarray,
        w: np.ndarray,
        bias: Any = None,
        stride: Any = 1,
        padding: Any = 0,
        output_padding: Any = 0,
        groups: int = 1,
        dilation: Any = 1,
    ) -> np.ndarray:
        strides, pads, extra, dilations = (spread(v, count) for v in (stride, padding, output_padding, dilation))
        whole = x if x.ndim == count + 2 else x[None]
        (n, c, *size), (_, per, *kernel) = whole.shape, w.shape
        kind = np.int64 if x.dtype.kind in "iu" else np.float64
        full = [(m - 1) * s + d * (k - 1) + e + 1 for m, s, d, k, e in zip(size, strides, dilations, kernel, extra)]
        out = np.zeros((n, per * groups, *full), kind)
        for b, i, o, *at in np.ndindex(n, c, per, *size):
            channel = i // (c // groups) * per + o
            for tap in np.ndindex(*kernel):
                where = tuple(p * s + t * d for p, s, t, d in zip(at, strides, tap, dilations))
                out[(b, channel, *where)] += whole[(b, i, *at)] * w[(i, o, *tap)].astype(kind)
        out = out[(..., *(slice(p, m - p) for p, m in zip(pads, full)))]
        if bias is not None:
            out = out + bias.reshape(-1, *(1,) * count)
        return (out if x.ndim == count + 2 else out[0]).astype(x.dtype if kind is np.int64 else kind)

    return reference


def transpose_samples(count: int) -> Any:
    def sample(make: Make) -> Iterator[Sample]:
        def image(*lead: int, **layout: Any) -> Any:
            return make(*lead, *(3, 2)[:count], low=-1, high=1, **layout)

        def weight(c: int, o: int) -> Any:
            return make(c, o, *(2, 3)[:count], low=-1, high=1)

        yield (make(1, 1, *(3, 2)[:count], low=-1, high=1), make(1, 2, *(2, 1)[:count], low=-1, high=1)), {}
        yield (image(1, 2), weight(2, 1), make(1)), {}
        yield (image(2), weight(2, 2), make(2)), {"stride": 2, "padding": 1}
        yield (image(1, 2), weight(2, 1), make(2)), {"stride": 2, "output_padding": 1, "groups": 2}
        yield (image(1, 1), weight(1, 1)), {"stride": (3,), "dilation": 2, "output_padding": (2,) * count}
        yield (image(1, 1), weight(1, 1)), {"dilation": 2, "output_padding": 1}
        yield (image(0, 2), weight(2, 2)), {}
        yield (image(2, 2, layout="T"), weight(2, 2)), {}
        yield (image(2, 2, layout="S"), weight(2, 2)), {}

    return sample


TRANSPOSE_ERRORS: list[Any] = [
    (
        lambda: specjit.nn.functional.conv_transpose2d(specjit.ones(1, 2, 4, 4), specjit.ones(3, 1, 2, 2)),
        RuntimeError,
        "Given transposed=1, .* to have 3 channels, but got 2",
    ),
    (
        lambda: specjit.nn.functional.conv_transpose2d(
            specjit.ones(1, 2, 4, 4), specjit.ones(2, 1, 2, 2), output_padding=1
        ),
        RuntimeError,
        "output padding must be smaller than either stride or dilation",
    ),
    (
        lambda: specjit.nn.functional.conv_transpose2d(specjit.ones(1, 2, 4, 4), specjit.ones(2, 1, 2, 2), padding=9),
        RuntimeError,
        "Output size is too small",
    ),
    (
        lambda: specjit.nn.functional.conv_transpose2d(
            specjit.ones(1, 2, 4, 4), specjit.ones(2, 1, 2, 2), specjit.ones(4)
        ),
        RuntimeError,
        "expected bias to be 1-dimensional with 1 elements",
    ),
    (
        lambda: specjit.nn.functional.conv_transpose2d(
            specjit.ones(1, 2, 4, 4), specjit.ones(2, 1, 2, 2), output_padding=-1
        ),
        RuntimeError,
        "negative output_padding is not supported",
    ),
    (
        lambda: specjit.nn.functional.conv_transpose2d(specjit.ones(2, 4), specjit.ones(2, 1, 2, 2)),
        RuntimeError,
        "to conv_transpose2d, but got input of size",
    ),
]
for n in (1, 2):
    row(
        f"nn.functional.conv_transpose{n}d",
        transpose_samples(n),
        transpose_reference(n),
        dtypes=WHOLE,
        scale=16,
        errors=TRANSPOSE_ERRORS if n == 2 else [],
    )
