"""Rows of pools. References look at one window at a time."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

import specjit
from specjit.dtypes import int64
from tests.opinfo import FLOATS, NUMBERS, Make, Sample, row, silent


def ints(value: Any, count: int) -> tuple[int, ...]:
    return (value,) * count if isinstance(value, int) else tuple(value) * (count if len(value) == 1 else 1)


def count_of(n: int, k: int, s: int, p: int, d: int, ceil_mode: bool) -> int:
    """How many windows: by PyTorch's definition, a window in ceil mode may not begin in the right padding."""
    room = (n + 2 * p - d * (k - 1) - 1) / s
    count = (math.ceil(room) if ceil_mode else math.floor(room)) + 1
    return count - 1 if ceil_mode and (count - 1) * s >= n + p else count


def each_window(
    x: np.ndarray, kernel: Any, stride: Any, padding: Any, dilation: Any, ceil_mode: bool, fn: Callable[..., Any]
) -> np.ndarray:
    """fn(image, positions inside it, first corner) of every window of every image."""
    count = len(kernel)
    size = x.shape[-count:]
    out_size = [count_of(*each, ceil_mode) for each in zip(size, kernel, stride, padding, dilation)]
    images = x.reshape(-1, *size)
    out = np.empty((len(images), *out_size), object)
    for i, image in enumerate(images):
        for at in np.ndindex(*out_size):
            corner = [a * s - p for a, s, p in zip(at, stride, padding)]
            places = [
                tuple(c + t * d for c, t, d in zip(corner, tap, dilation)) for tap in np.ndindex(*map(int, kernel))
            ]
            inside = [q for q in places if all(0 <= v < n for v, n in zip(q, size))]
            out[(i, *at)] = fn(image, inside, corner)
    return out.reshape(*x.shape[:-count], *out_size)


def largest(image: np.ndarray, places: Any, _: Any) -> tuple[int, ...]:
    """PyTorch's choice: the first of equal maxima, the last NaN."""
    best = places[0]
    for q in places:
        if image[q] > image[best] or np.isnan(image[q]):
            best = q
    return best


def maxima(x: np.ndarray, *options: Any) -> np.ndarray:
    out = each_window(x, *options, lambda image, inside, corner: image[largest(image, inside, corner)])
    return out.astype(x.dtype)


def positions(x: np.ndarray, *options: Any) -> np.ndarray:
    size = x.shape[-len(options[0]) :]
    out = each_window(
        x, *options, lambda image, inside, corner: np.ravel_multi_index(largest(image, inside, corner), size)
    )
    return out.astype(np.int64)


# shape, kernel, stride, padding, dilation, ceil_mode
WINDOWS: list[tuple[Any, ...]] = [
    ((1, 1, 4, 5), (2, 2), (2, 2), (0, 0), (1, 1), False),
    ((2, 4, 3), (3, 2), (1, 2), (1, 0), (1, 1), False),
    ((1, 2, 5, 5), (2, 3), (2, 2), (1, 1), (1, 1), True),
    ((1, 1, 6, 5), (2, 2), (1, 1), (1, 1), (2, 3), False),
    ((0, 2, 4, 4), (2, 2), (2, 2), (0, 0), (1, 1), False),
    ((1, 1, 1), (1, 1), (1, 1), (0, 0), (1, 1), False),
    ((1, 2, 7), (3,), (2,), (1,), (1,), True),
    ((2, 6), (2,), (1,), (0,), (2,), False),
]


def window_samples(dilated: bool = True, line: bool = False) -> Any:
    """line: also windows along one dim where the dtype is an int."""

    def sample(make: Make) -> Iterator[Sample]:
        for shape, kernel, stride, padding, dilation, ceil_mode in WINDOWS:
            if len(kernel) == 1 and not line and not make.dtype.is_floating_point:
                continue
            if not dilated and dilation != (1,) * len(kernel):
                continue
            rest = (dilation, ceil_mode) if dilated else (ceil_mode,)
            yield (make(*shape, low=-9, high=9), kernel, stride, padding, *rest), {}
        first = ((2, 2), (1, 2), (1, 0), *(((1, 1),) if dilated else ()), True)
        yield (make(3, 4, 5, layout="T"), *first), {}
        yield (make(1, 3, 4, layout="S"), *first), {}
        if make.plain:
            yield (make.special().reshape(1, 3, 4), *first), {}
            yield (specjit.full((1, 3, 3), -math.inf, dtype=make.dtype), *first), {}

    return sample


row("max_pool", window_samples(), maxima, dtypes=NUMBERS, exact=True)
row(
    "max_pool_indices",
    window_samples(line=True),
    positions,
    dtypes=NUMBERS,
    exact=True,
    grad=False,
)


def unpool_samples(make: Make) -> Iterator[Sample]:
    yield (make(1, 2, 2, 3), make.ints(1, 2, 2, 3, high=20), [4, 5]), {}
    yield (make(2, 3), make.ints(2, 3, high=7), [7]), {}
    yield (make(1, 1, 1), specjit.zeros(1, 1, 1, dtype=int64), [1, 1]), {}
    yield (make(0, 2, 2), make.ints(0, 2, 2, high=4), [3, 3]), {}
    yield (make(2, 2, 3, layout="T"), make.ints(2, 2, 3, high=20), [4, 5]), {}


def unpool_reference(g: np.ndarray, at: np.ndarray, sizes: Any) -> np.ndarray:
    lead = g.shape[: g.ndim - len(sizes)]
    out = np.zeros((*lead, math.prod(sizes)))
    for i in np.ndindex(*g.shape):
        out[(*i[: len(lead)], at[i])] += g[i]
    return out.reshape(*lead, *sizes)


row("unpool", unpool_samples, unpool_reference, scale=4)


def sums(x: np.ndarray, kernel: Any, stride: Any, padding: Any, ceil_mode: bool) -> np.ndarray:
    kind: Any = np.int64 if x.dtype.kind == "i" else np.float64
    found = each_window(
        x,
        kernel,
        stride,
        padding,
        (1,) * len(kernel),
        ceil_mode,
        lambda image, inside, _: sum((kind(image[q]) for q in inside), kind(0)),
    )
    return found.astype(kind)


row("window_sum", window_samples(False, line=True), silent(sums), dtypes=(*FLOATS, int64), scale=8)


def spread_samples(make: Make) -> Iterator[Sample]:
    for shape, kernel, stride, padding, dilation, ceil_mode in WINDOWS:
        if dilation == (1,) * len(kernel):
            size = shape[-len(kernel) :]
            out = [count_of(*each, ceil_mode) for each in zip(size, kernel, stride, padding, dilation)]
            yield (make(*shape[: -len(kernel)], *out), list(size), kernel, stride, padding, ceil_mode), {}


def spread_reference(g: np.ndarray, sizes: Any, kernel: Any, stride: Any, padding: Any, ceil_mode: bool) -> np.ndarray:
    count = len(kernel)
    lead = g.shape[: g.ndim - count]
    out = np.zeros((*lead, *sizes))
    for i in np.ndindex(*g.shape):
        for tap in np.ndindex(*kernel):
            at = tuple(a * s - p + t for a, s, p, t in zip(i[len(lead) :], stride, padding, tap))
            if all(0 <= a < n for a, n in zip(at, sizes)):
                out[(*i[: len(lead)], *at)] += g[i]
    return out


row("window_spread", spread_samples, spread_reference, dtypes=FLOATS, scale=4)


# functions


def pool_samples(count: int, options: list[dict[str, Any]]) -> Any:
    def sample(make: Make) -> Iterator[Sample]:
        size = (5, 4)[:count]
        yield (make(1, 2, *size), 2), {}
        yield (make(2, *size), (3,) * count, (2,)), {}
        for given in options:
            yield (make(1, 1, *size), 2), given
        yield (make(0, 2, *size), 2), {}
        yield (make(1, 1, *(1, 1)[:count]), 1), {}
        yield (make(2, 3, *size, layout="T"), 2), {}
        yield (make(2, 3, *size, layout="S"), 2, 1), {}
        if make.plain:
            yield (make.special().reshape(1, 1, *(3, 4)[2 - count :] if count == 2 else (12,)), 2, 1), {}

    return sample


MAX_OPTIONS: list[dict[str, Any]] = [
    {"stride": 1, "padding": 1},
    {"stride": 3, "ceil_mode": True},
    {"dilation": 2, "stride": 1},
    {"return_indices": True},
    {"padding": 1, "ceil_mode": True, "return_indices": True},
]


def max_reference(count: int) -> Any:
    def reference(
        x: np.ndarray,
        kernel_size: Any,
        stride: Any = None,
        padding: Any = 0,
        dilation: Any = 1,
        ceil_mode: bool = False,
        return_indices: bool = False,
    ) -> Any:
        kernel = ints(kernel_size, count)
        strides = kernel if stride is None else ints(stride, count)
        options = (kernel, strides, ints(padding, count), ints(dilation, count), ceil_mode)
        return (maxima(x, *options), positions(x, *options)) if return_indices else maxima(x, *options)

    return reference


F = "nn.functional."
row(
    F + "max_pool1d",
    pool_samples(1, MAX_OPTIONS),
    max_reference(1),
    exact=True,
    errors=[
        (lambda: specjit.nn.functional.max_pool1d(specjit.ones(4), 2), RuntimeError, "Expected 2D or 3D"),
        (lambda: specjit.nn.functional.max_pool1d(specjit.ones(1, 1, 2), 3), RuntimeError, "computed output size: 0"),
        (
            lambda: specjit.nn.functional.max_pool1d(specjit.ones(1, 1, 2), 2, padding=2),
            RuntimeError,
            "at most half of kernel size, but got padding=2 and kernel_size=2",
        ),
        (lambda: specjit.nn.functional.max_pool1d(specjit.ones(1, 1, 4), 0), RuntimeError, "kernel_size must be"),
        (lambda: specjit.nn.functional.max_pool1d(specjit.ones(1, 1, 4), 2, 0), RuntimeError, "stride must be"),
        (
            lambda: specjit.nn.functional.max_pool1d(specjit.ones(1, 1, 4), 2, dilation=0),
            RuntimeError,
            "dilation must be greater than zero",
        ),
        (
            lambda: specjit.nn.functional.max_pool1d(specjit.ones(1, 1, 4), 2, padding=-1),
            RuntimeError,
            "padding must be non-negative",
        ),
        (lambda: specjit.nn.functional.max_pool1d(specjit.ones(1, 0, 4), 2), RuntimeError, "optional 0 dim batch"),
        (
            lambda: specjit.nn.functional.max_pool1d(specjit.ones(1, 1, 4), [2, 2]),
            RuntimeError,
            "size 1 but got size 2",
        ),
        (
            lambda: specjit.nn.functional.max_pool1d(specjit.ones(1, 1, 4).long(), 2),
            NotImplementedError,
            "not implemented for 'Long'",
        ),
    ],
)
row(
    F + "max_pool2d",
    pool_samples(2, MAX_OPTIONS),
    max_reference(2),
    dtypes=NUMBERS,
    exact=True,
    errors=[
        (lambda: specjit.nn.functional.max_pool2d(specjit.ones(2, 2), 2), RuntimeError, "non-empty 3D or 4D"),
        (
            lambda: specjit.nn.functional.max_pool2d(specjit.ones(1, 1, 2, 2), 3),
            RuntimeError,
            r"\(1x0x0\). Output size",
        ),
        (
            lambda: specjit.nn.functional.max_pool2d(specjit.ones(1, 1, 2, 2), 2, padding=2),
            RuntimeError,
            "at most half of effective kernel size",
        ),
        (lambda: specjit.nn.functional.max_pool2d(specjit.ones(1, 1, 2, 2), 0), RuntimeError, "stride should not be"),
        (
            lambda: specjit.nn.functional.max_pool2d(specjit.ones(1, 1, 2, 2), 2, dilation=0),
            RuntimeError,
            "dilation should be greater than zero",
        ),
        (lambda: specjit.nn.functional.max_pool2d(specjit.ones(1, 1, 2, 2), (2, 2, 2)), RuntimeError, "tuple of two"),
        (lambda: specjit.nn.functional.max_pool2d(specjit.ones(1, 0, 2, 2), 2), RuntimeError, "optional 0 dim batch"),
        (
            lambda: specjit.nn.functional.max_pool2d(specjit.ones(1, 1, 4, 4).bool(), 2),
            NotImplementedError,
            "not implemented for 'Bool'",
        ),
    ],
)


def mean_reference(count: int) -> Any:
    def reference(
        x: np.ndarray,
        kernel_size: Any,
        stride: Any = None,
        padding: Any = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
        divisor_override: Any = None,
    ) -> np.ndarray:
        kernel = ints(kernel_size, count)
        strides, pads = kernel if stride is None else ints(stride, count), ints(padding, count)
        size = x.shape[-count:]

        def mean(image: np.ndarray, inside: Any, corner: Any) -> Any:
            """Padding may count, what lies beyond it (in ceil mode) does not."""
            total = sum((image[q].astype(np.float64) for q in inside), np.float64(0))
            padded = math.prod(min(c + k, n + p) - c for c, k, n, p in zip(corner, kernel, size, pads))
            return total / (divisor_override or (padded if count_include_pad else len(inside)))

        found = each_window(x, kernel, strides, pads, (1,) * count, ceil_mode, mean).astype(np.float64)
        return np.trunc(found).astype(np.int64) if x.dtype.kind == "i" else found

    return reference


AVG_OPTIONS: list[dict[str, Any]] = [
    {"stride": 1, "padding": 1},
    {"stride": 1, "padding": 1, "count_include_pad": False},
    {"stride": 3, "ceil_mode": True, "padding": 1},
    {"stride": 3, "ceil_mode": True, "padding": 1, "count_include_pad": False},
]
row(
    F + "avg_pool1d",
    pool_samples(1, AVG_OPTIONS),
    silent(mean_reference(1)),
    dtypes=(*FLOATS, int64),
    scale=4,
    errors=[
        (lambda: specjit.nn.functional.avg_pool1d(specjit.ones(2), 2), RuntimeError, "Expected 2 to 3 dimensions"),
        (lambda: specjit.nn.functional.avg_pool1d(specjit.ones(1, 1, 2), 3), RuntimeError, "Output size is too small"),
        (
            lambda: specjit.nn.functional.avg_pool1d(specjit.ones(1, 1, 2), 2, padding=2),
            RuntimeError,
            "at most half of effective kernel size",
        ),
    ],
)
row(
    F + "avg_pool2d",
    pool_samples(2, [*AVG_OPTIONS, {"divisor_override": 3}]),
    silent(mean_reference(2)),
    dtypes=(*FLOATS, int64),
    scale=4,
    errors=[
        (lambda: specjit.nn.functional.avg_pool2d(specjit.ones(2, 2), 2), IndexError, "out of range"),
        (
            lambda: specjit.nn.functional.avg_pool2d(specjit.ones(1, 1, 2, 2), 3),
            RuntimeError,
            "Output size is too small",
        ),
        (
            lambda: specjit.nn.functional.avg_pool2d(specjit.ones(1, 1, 2, 2), 2, divisor_override=0),
            RuntimeError,
            "divisor must be not zero",
        ),
        (
            lambda: specjit.nn.functional.avg_pool2d(specjit.ones(1, 1, 2, 2).int(), 2),
            NotImplementedError,
            "not implemented for 'Int'",
        ),
    ],
)


def adaptive(x: np.ndarray, output_size: Any, count: int, fn: Callable[..., Any]) -> np.ndarray:
    size = x.shape[-count:]
    given = (output_size,) * count if output_size is None or isinstance(output_size, int) else tuple(output_size)
    wanted = tuple(n if g is None else g for n, g in zip(size, given))
    images = x.reshape(-1, *size)
    out = np.empty((len(images), *wanted), object)
    for i, *at in np.ndindex(*out.shape):
        places = [range(a * n // w, -((a + 1) * -n // w)) for a, n, w in zip(at, size, wanted)]
        out[(i, *at)] = fn(images[i], [tuple(r[j] for r, j in zip(places, k)) for k in np.ndindex(*map(len, places))])
    return out.reshape(*x.shape[:-count], *wanted)


def adaptive_samples(count: int, indices: bool) -> Any:
    def sample(make: Make) -> Iterator[Sample]:
        size = (5, 4)[:count]
        for wanted in (1, 2, 3, 7, *([(None, 3), (5, 2)] if count == 2 else [])):
            yield (make(1, 1, *size), wanted), {}
        yield (make(2, *size), 2), {}
        yield (make(0, 2, *size), 3), {}
        yield (make(2, 3, *size, layout="T"), 3), {}
        yield (make(2, 3, *size, layout="S"), 3), {}
        if indices:
            yield (make(1, 2, *size), 2), {"return_indices": True}
            yield (make(2, *size), 4, True), {}
        if make.plain:
            yield (make.special().reshape(1, 1, *((3, 4) if count == 2 else (12,))), 5 - count), {}

    return sample


def adaptive_mean(count: int) -> Any:
    def reference(x: np.ndarray, output_size: Any) -> np.ndarray:
        wide = x.astype(np.float64)
        return adaptive(wide, output_size, count, lambda image, q: np.mean([image[i] for i in q])).astype(np.float64)

    return reference


def adaptive_max(count: int) -> Any:
    def reference(x: np.ndarray, output_size: Any, return_indices: bool = False) -> Any:
        size = x.shape[-count:]
        values = adaptive(x, output_size, count, lambda image, q: image[largest(image, q, None)]).astype(x.dtype)
        if not return_indices:
            return values
        at = adaptive(x, output_size, count, lambda image, q: np.ravel_multi_index(largest(image, q, None), size))
        return values, at.astype(np.int64)

    return reference


row(
    F + "adaptive_avg_pool1d",
    adaptive_samples(1, False),
    silent(adaptive_mean(1)),
    dtypes=FLOATS,
    scale=4,
    errors=[
        (lambda: specjit.nn.functional.adaptive_avg_pool1d(specjit.ones(2), 2), RuntimeError, "Expected 2 to 3"),
        (
            lambda: specjit.nn.functional.adaptive_avg_pool1d(specjit.ones(1, 1, 2), -1),
            RuntimeError,
            r"received {1, -1}",
        ),
    ],
)
row(
    F + "adaptive_avg_pool2d",
    adaptive_samples(2, False),
    silent(adaptive_mean(2)),
    dtypes=FLOATS,
    scale=4,
    errors=[
        (lambda: specjit.nn.functional.adaptive_avg_pool2d(specjit.ones(2, 2), 2), RuntimeError, "3D or 4D tensor"),
        (
            lambda: specjit.nn.functional.adaptive_avg_pool2d(specjit.ones(1, 1, 2, 2), (1, 2, 3)),
            RuntimeError,
            "output_size must be 2",
        ),
        (
            lambda: specjit.nn.functional.adaptive_avg_pool2d(specjit.ones(1, 1, 2, 2).long(), 2),
            NotImplementedError,
            "not implemented for 'Long'",
        ),
    ],
)
row(
    F + "adaptive_max_pool1d",
    adaptive_samples(1, True),
    adaptive_max(1),
    exact=True,
    errors=[
        (lambda: specjit.nn.functional.adaptive_max_pool1d(specjit.ones(2), 2), RuntimeError, "Expected 2 to 3"),
        (
            lambda: specjit.nn.functional.adaptive_max_pool1d(specjit.ones(1, 1, 2), -1),
            RuntimeError,
            "negative dimension",
        ),
    ],
)
row(
    F + "adaptive_max_pool2d",
    adaptive_samples(2, True),
    adaptive_max(2),
    exact=True,
    errors=[
        (lambda: specjit.nn.functional.adaptive_max_pool2d(specjit.ones(2, 2), 2), RuntimeError, "3D or 4D tensor"),
        (
            lambda: specjit.nn.functional.adaptive_max_pool2d(specjit.ones(1, 1, 0, 2), 1),
            RuntimeError,
            "with dimension 2 being empty",
        ),
    ],
)
