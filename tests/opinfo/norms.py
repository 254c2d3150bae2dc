"""Rows of normalization."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

import specjit
from tests.opinfo import Make, Sample, row


def standardized(x: np.ndarray, dims: Any, eps: float) -> np.ndarray:
    x = x.astype(np.float64)
    with np.errstate(all="ignore"):
        return (x - x.mean(dims, keepdims=True)) / np.sqrt(x.var(dims, keepdims=True) + eps)


def by_channel(v: np.ndarray, x: np.ndarray) -> np.ndarray:
    return v.astype(np.float64).reshape(-1, *[1] * (x.ndim - 2))


def affine(x: np.ndarray, weight: Any, bias: Any, channels: bool = True) -> np.ndarray:
    for v, combine in ((weight, np.multiply), (bias, np.add)):
        if v is not None:
            x = combine(x, by_channel(v, x) if channels else v)
    return x


ONES = specjit.ones(2, 3)


def layer_samples(make: Make) -> Iterator[Sample]:
    for shape, last in (((3, 4), (4,)), ((2, 3, 4), (3, 4)), ((5,), (5,)), ((0, 3), (3,))):
        yield (make(*shape), last), {}
        yield (make(*shape), last, make(*last), make(*last)), {}
    yield (make(4, 3, layout="T"), [3], make(3)), {"eps": 0.5}
    yield (make(3, 4, layout="S"), (4,)), {"bias": make(4)}


def layer_norm(x: Any, shape: Any, weight: Any = None, bias: Any = None, eps: float = 1e-5) -> Any:
    return affine(standardized(x, tuple(range(-len(shape), 0)), eps), weight, bias, False)


row(
    "nn.functional.layer_norm",
    layer_samples,
    layer_norm,
    scale=20,
    errors=[
        (lambda: specjit.nn.functional.layer_norm(ONES, (4,)), RuntimeError, "expected input with shape"),
        (lambda: specjit.nn.functional.layer_norm(ONES, ()), RuntimeError, "at least 1-dimensional"),
        (lambda: specjit.nn.functional.layer_norm(ONES, (3,), ONES[0][:2]), RuntimeError, "Expected weight to be"),
        (lambda: specjit.nn.functional.layer_norm(ONES.long(), (3,)), NotImplementedError, "LayerNormKernelImpl"),
    ],
)


def rms_samples(make: Make) -> Iterator[Sample]:
    for shape, last in (((3, 4), (4,)), ((2, 3, 4), (3, 4)), ((5,), (5,)), ((0, 3), (3,))):
        yield (make(*shape), last), {}
        yield (make(*shape), last, make(*last)), {"eps": 0.1}
    yield (make(4, 3, layout="T"), (3,)), {}
    yield (make(2, 3, low=-1e-3, high=1e-3), (3,)), {}


def rms_norm(x: np.ndarray, shape: Any, weight: Any = None, eps: Any = None) -> np.ndarray:
    # float16 is computed in float32, whose epsilon counts.
    eps = np.finfo(np.float64 if x.dtype == np.float64 else np.float32).eps if eps is None else eps
    wide = x.astype(np.float64)
    out = wide / np.sqrt((wide**2).mean(tuple(range(-len(shape), 0)), keepdims=True) + eps)
    return out if weight is None else out * weight


row(
    "nn.functional.rms_norm",
    rms_samples,
    rms_norm,
    scale=10,
    errors=[
        (lambda: specjit.nn.functional.rms_norm(ONES, (4,)), RuntimeError, "expected input with shape"),
        (lambda: specjit.nn.functional.rms_norm(ONES.long(), (3,)), NotImplementedError, "rms_norm"),
    ],
)


def group_samples(make: Make) -> Iterator[Sample]:
    for shape, groups in (((2, 4), 2), ((2, 4, 3), 2), ((2, 4, 3), 1), ((1, 2, 3, 2), 2), ((0, 2, 3), 1)):
        yield (make(*shape), groups), {}
        yield (make(*shape), groups, make(shape[1]), make(shape[1])), {}
    yield (make(4, 2, layout="T"), 1), {"eps": 0.5, "weight": make(2), "bias": make(2)}


def group_norm(x: Any, groups: int, weight: Any = None, bias: Any = None, eps: float = 1e-5) -> Any:
    grouped = x.reshape(x.shape[0], groups, x[:1].size // groups if len(x) else 0)
    return affine(standardized(grouped, (2,), eps).reshape(x.shape), weight, bias) if x.size else x


row(
    "nn.functional.group_norm",
    group_samples,
    group_norm,
    scale=20,
    errors=[
        (lambda: specjit.nn.functional.group_norm(ONES, 2), RuntimeError, "divisible by num_groups"),
        (lambda: specjit.nn.functional.group_norm(ONES[0], 2), RuntimeError, "at least 2 dimensions"),
        (lambda: specjit.nn.functional.group_norm(ONES[:1], 3), ValueError, "more than 1 value per channel"),
        (lambda: specjit.nn.functional.group_norm(ONES, 1, ONES[0][:2]), RuntimeError, "Expected weight to be a vec"),
        (lambda: specjit.nn.functional.group_norm(ONES.long(), 1), NotImplementedError, "GroupNormKernelImpl"),
    ],
)


def batch_samples(make: Make) -> Iterator[Sample]:
    for shape in ((4, 3), (2, 3, 4), (2, 2, 3, 2), (1, 3, 2)):
        c = shape[1]
        yield (make(*shape), None, None, make(c), make(c)), {"training": True}
        mean, var = make(c).detach(), make(c, low=0.5, high=2).detach()
        yield (make(*shape), mean, var, make(c), make(c)), {}
        yield (make(*shape), mean, var), {"eps": 0.1}
    yield (make(3, 2, layout="T"), None, None), {"training": True, "eps": 0.5}


def batch_norm(
    x: Any, mean: Any, var: Any, weight: Any = None, bias: Any = None, training: bool = False, eps: float = 1e-5
) -> Any:
    if training:
        out = standardized(x, tuple(d for d in range(x.ndim) if d != 1), eps)
    else:
        out = (x - by_channel(mean, x)) / np.sqrt(by_channel(var, x) + eps)
    return affine(out, weight, bias)


row(
    "nn.functional.batch_norm",
    batch_samples,
    batch_norm,
    scale=20,
    errors=[
        (lambda: specjit.nn.functional.batch_norm(ONES, None, None), RuntimeError, "running_mean must be defined"),
        (lambda: specjit.nn.functional.batch_norm(ONES, ONES[:, 0], ONES[0]), RuntimeError, "3 elements not 2"),
        (
            lambda: specjit.nn.functional.batch_norm(ONES[:1], None, None, training=True),
            ValueError,
            "more than 1 value per channel",
        ),
        (
            lambda: specjit.nn.functional.batch_norm(ONES.long(), None, None, training=True),
            NotImplementedError,
            "batch_norm",
        ),
    ],
)


def instance_samples(make: Make) -> Iterator[Sample]:
    for shape in ((2, 3, 4), (1, 2, 3, 2), (2, 1, 5)):
        c = shape[1]
        yield (make(*shape),), {}
        yield (make(*shape),), {"weight": make(c), "bias": make(c)}
        mean, var = make(c).detach(), make(c, low=0.5, high=2).detach()
        yield (make(*shape), mean, var, make(c)), {"use_input_stats": False}
    yield (make(4, 3, 2, layout="T"),), {"eps": 0.5}


def instance_norm(
    x: Any,
    mean: Any = None,
    var: Any = None,
    weight: Any = None,
    bias: Any = None,
    use_input_stats: bool = True,
    eps: float = 1e-5,
) -> Any:
    if not use_input_stats:
        return batch_norm(x, mean, var, weight, bias, False, eps)
    return affine(standardized(x, tuple(range(2, x.ndim)), eps), weight, bias)


row(
    "nn.functional.instance_norm",
    instance_samples,
    instance_norm,
    scale=20,
    errors=[
        (lambda: specjit.nn.functional.instance_norm(ONES), ValueError, "more than 1 spatial element"),
        (
            lambda: specjit.nn.functional.instance_norm(specjit.ones(2, 3, 4), use_input_stats=False),
            RuntimeError,
            "Expected running_mean and running_var",
        ),
    ],
)


def response_samples(make: Make) -> Iterator[Sample]:
    for shape, size in (((2, 5, 3), 2), ((2, 3, 2, 2), 3), ((1, 4, 3), 5), ((0, 2, 3), 2), ((2, 3, 4), 1)):
        yield (make(*shape), size), {}
    yield (make(2, 5, 3), 2, 0.5, 0.6, 2.0), {}
    yield (make(3, 4, 2, layout="T"), 3), {"k": 0.5}


def local_response_norm(x: Any, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0) -> Any:
    wide = x.astype(np.float64)
    padded = np.pad(wide**2, [(0, 0), (size // 2, (size - 1) // 2)] + [(0, 0)] * (x.ndim - 2))
    windows = [padded[:, i : i + size].mean(1) for i in range(x.shape[1])]
    return wide / (np.stack(windows, 1) * alpha + k) ** beta if x.size else x


row(
    "nn.functional.local_response_norm",
    response_samples,
    local_response_norm,
    scale=10,
    view=None,  # the input itself if it is empty
    errors=[(lambda: specjit.nn.functional.local_response_norm(ONES, 2), ValueError, "Expected 3D or higher")],
)
