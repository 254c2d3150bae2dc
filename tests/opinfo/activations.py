"""Rows of activations: their records, and the functions of nn.functional."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

import specjit
from specjit.ops.records.registry import get
from tests.opinfo import FLOATS, NUMBERS, Make, Sample, row, silent, unary, wide

F = specjit.nn.functional
LONGS = specjit.ones(2, dtype=specjit.int64)
BOOLS = specjit.ones(2, dtype=specjit.bool)


def with_options(*options: dict[str, Any], **ranges: float) -> Callable[[Make], Iterator[Sample]]:
    """The samples of a function of one tensor, and some with other options."""

    def sample(make: Make) -> Iterator[Sample]:
        yield from unary(**ranges)(make)
        for o in options:
            yield (make(3, 4),), o
            if make.plain:
                yield (make.special(),), o

    return sample


def refused(name: str, kernel: str) -> list[Any]:
    def call() -> Any:
        return getattr(specjit.nn.functional, name)(LONGS)

    return [(call, NotImplementedError, f"\"{kernel}\" not implemented for 'Long'")]


def activation(name: str, reference: Any, *options: dict[str, Any], kernel: str = "", **more: Any) -> None:
    """The row of `nn.functional.name`, and that of `name_` if there is one. reference(x, **options) takes float64,
    whatever the dtype of the row."""
    errors = more.pop("errors", []) + (refused(name, kernel) if kernel else [])
    row(f"nn.functional.{name}", with_options(*options), wide(reference), errors=errors, **more)
    if hasattr(F, name + "_"):
        # Leaves cannot be written into; gradients through writes are tested in tests/nn/test_inplace.py.
        row(
            f"nn.functional.{name}_",
            with_options(*options),
            wide(reference),
            **{**more, "grad": False, "scripted": False, "view": True},
        )


def sigmoid(x: Any) -> Any:
    return 1 / (1 + np.exp(-x))


def elu(x: Any, alpha: float = 1.0, scale: float = 1.0, rate: float = 1.0) -> Any:
    return np.where(x > 0, scale * x, scale * alpha * np.expm1(rate * x))


def softplus(x: Any, beta: float = 1.0, threshold: float = 20.0) -> Any:
    return np.where(x * beta > threshold, x, np.log1p(np.exp(beta * x)) / beta)


def gelu(x: Any, approximate: str = "none") -> Any:
    if approximate == "tanh":
        return x / 2 * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))
    return x / 2 * (1 + np.vectorize(math.erf, otypes=[float])(x / math.sqrt(2)))


def rectified(x: np.ndarray) -> np.ndarray:
    return np.maximum(x, x.dtype.type(0))


ON_BOOLS = [(lambda: specjit.nn.functional.relu(BOOLS), RuntimeError, "Boolean inputs not supported for relu")]
row("relu", unary(), silent(rectified), dtypes=NUMBERS, exact=True, errors=ON_BOOLS)
activation("relu", rectified, dtypes=NUMBERS, exact=True, errors=ON_BOOLS)


def hardtanh(x: np.ndarray, min_val: float = -1, max_val: float = 1) -> np.ndarray:
    return np.minimum(np.maximum(x, min_val), max_val)


def hardtanh_samples(make: Make) -> Iterator[Sample]:
    for args, kwargs in unary()(make):
        yield (*args, 0, 2), kwargs
    if make.dtype is not specjit.uint8:
        yield (make(3, 4), -1.5, 0.5), {}


row(
    "hardtanh",
    hardtanh_samples,
    silent(lambda x, a, b: hardtanh(x, x.dtype.type(a), x.dtype.type(b))),
    dtypes=NUMBERS,
    exact=True,
    errors=[
        (lambda: get("hardtanh").fn(BOOLS), RuntimeError, "Bool inputs not supported"),
        (lambda: get("hardtanh").fn(specjit.ones(1, dtype=specjit.uint8)), RuntimeError, "negative limits"),
    ],
)
activation(
    "hardtanh",
    hardtanh,
    {"min_val": 0.5, "max_val": 1.5},
    {"min_val": -2, "max_val": -1.0},
    errors=[
        (lambda: specjit.nn.functional.hardtanh(specjit.ones(1), 2.0, 1.0), ValueError, "cannot be greater"),
        (lambda: specjit.nn.functional.hardtanh(BOOLS), RuntimeError, "Bool inputs not supported for hardtanh"),
    ],
)
activation("relu6", lambda x: np.minimum(np.maximum(x, 0), 6), dtypes=NUMBERS)


def threshold_samples(make: Make) -> Iterator[Sample]:
    for args, kwargs in unary()(make):
        yield (*args, 0.1, 7), kwargs
    yield (make(3, 4), -1, 2.5), {}


def threshold(x: np.ndarray, threshold: float, value: float) -> np.ndarray:
    low, other = (np.array(v).astype(x.dtype) for v in (threshold, value))
    return np.where(x <= low, other, x)


row("threshold", threshold_samples, silent(threshold), dtypes=NUMBERS, exact=True)
row(
    "nn.functional.threshold",
    threshold_samples,
    silent(threshold),
    dtypes=NUMBERS,
    exact=True,
    errors=[
        (lambda: specjit.nn.functional.threshold(BOOLS, 0, 1), NotImplementedError, '"threshold_cpu" not implemented')
    ],
)
row(
    "nn.functional.threshold_",
    threshold_samples,
    silent(threshold),
    dtypes=NUMBERS,
    exact=True,
    grad=False,
    scripted=False,
    view=True,
)

activation(
    "leaky_relu",
    lambda x, negative_slope=0.01: np.where(x > 0, x, x * negative_slope),
    {"negative_slope": 0.3},
    {"negative_slope": -1.0},
    kernel="leaky_relu_cpu",
)
activation("elu", elu, {"alpha": 0.5}, kernel="elu_cpu", scale=2)
activation(
    "celu",
    lambda x, alpha=1.0: elu(x, alpha, 1.0, 1 / alpha),
    {"alpha": 0.5},
    kernel="elu_cpu",
    scale=4,
    errors=[(lambda: specjit.nn.functional.celu(specjit.ones(1), 0.0), RuntimeError, "ZeroDivisionError")],
)
activation("selu", lambda x: elu(x, 1.6732632423543772, 1.0507009873554805), kernel="elu_cpu", scale=2)
activation(
    "gelu",
    gelu,
    {"approximate": "tanh"},
    kernel="GeluKernelImpl",
    scale=4,
    errors=[
        (lambda: specjit.nn.functional.gelu(specjit.ones(2), approximate="x"), RuntimeError, "approximate argument")
    ],
)
activation("silu", lambda x: x * sigmoid(x), kernel="silu_cpu", scale=4)
activation("mish", lambda x: x * np.tanh(softplus(x)), kernel="mish_cpu", scale=4)
activation(
    "softplus",
    softplus,
    {"beta": 2.0},
    {"beta": 0.5, "threshold": 1.0},
    kernel="softplus_cpu",
    scale=2,
)
activation(
    "logsigmoid",
    lambda x: np.minimum(x, 0) - np.log1p(np.exp(-np.abs(x))),
    kernel="log_sigmoid_cpu",
    scale=4,
)
activation(
    "hardshrink",
    lambda x, lambd=0.5: np.where(np.abs(x) <= lambd, 0, x),
    {"lambd": 1.5},
    kernel="hardshrink_cpu",
)
activation(
    "softshrink",
    lambda x, lambd=0.5: np.sign(x) * np.maximum(np.abs(x) - lambd, 0),
    {"lambd": 0.0},
    {"lambd": 1.5},
    kernel="softshrink_check",
    errors=[(lambda: specjit.nn.functional.softshrink(specjit.ones(1), -1.0), RuntimeError, "greater or equal to 0")],
)
activation("hardsigmoid", lambda x: np.clip(x + 3, 0, 6) / 6, kernel="hardsigmoid_cpu", scale=2)
activation("tanhshrink", lambda x: x - np.tanh(x), dtypes=(*FLOATS, specjit.int64), scale=8)
activation("softsign", lambda x: x / (1 + np.abs(x)), dtypes=(*FLOATS, specjit.int64), scale=2)
activation("tanh", np.tanh, dtypes=(*FLOATS, specjit.int64, specjit.bool), scale=2)
activation("sigmoid", sigmoid, dtypes=(*FLOATS, specjit.int64, specjit.bool), scale=2)


def hardswish(x: np.ndarray) -> np.ndarray:
    middle = x.astype(np.float32 if x.dtype == np.float16 else x.dtype)
    # The product may overflow before it is divided, as in PyTorch.
    return middle * np.clip(middle + 3, 0, 6) / 6


row(
    "nn.functional.hardswish",
    unary(),
    silent(hardswish),
    scale=2,
    errors=refused("hardswish", "hardswish_cpu"),
)


def prelu_samples(make: Make) -> Iterator[Sample]:
    for shape, count in (((3, 4), 4), ((3, 4), 1), ((2, 3, 2, 2), 3), ((5,), 1), ((0, 3), 3), ((), 1)):
        yield (make(*shape), make(count)), {}
    yield (make(3, 4), make()), {}
    yield (make(4, 3, layout="T"), make(3)), {}
    if make.plain:
        yield (make.special(), make(1)), {}


def prelu(x: np.ndarray, w: np.ndarray) -> np.ndarray:
    slopes = w.reshape(()) if w.size == 1 else w.reshape(-1, *[1] * (x.ndim - 2))
    return np.where(x > 0, x, x * slopes)


row(
    "nn.functional.prelu",
    prelu_samples,
    wide(prelu),
    errors=[
        (
            lambda: specjit.nn.functional.prelu(specjit.ones(2, 4), specjit.ones(2)),
            RuntimeError,
            "Found parameter numbers = 2 and channel size = 4",
        ),
        (
            lambda: specjit.nn.functional.prelu(specjit.ones(2, 4), specjit.ones(2, dtype=specjit.float64)),
            RuntimeError,
            "Type promoting not supported",
        ),
        (lambda: specjit.nn.functional.prelu(LONGS, LONGS[:1]), NotImplementedError, "prelu_cpu"),
    ],
)


def glu_samples(make: Make) -> Iterator[Sample]:
    yield (make(3, 4),), {}
    yield (make(4, 3), 0), {}
    yield (make(2, 4, 3), -2), {}
    yield (make(2),), {}
    yield (make(0, 2),), {}
    yield (make(4, 3, layout="T"), 0), {}
    yield (make(3, 4, layout="S"), 1), {}
    if make.plain:
        yield (make.special(), 0), {}


def glu(x: np.ndarray, dim: int = -1) -> np.ndarray:
    a, b = np.split(x, 2, dim)
    return a * sigmoid(b)


row(
    "nn.functional.glu",
    glu_samples,
    wide(glu),
    scale=2,
    errors=[
        (lambda: specjit.nn.functional.glu(specjit.ones(3)), RuntimeError, "Halving dimension must be even"),
        (lambda: specjit.nn.functional.glu(specjit.tensor(1.0)), RuntimeError, "0-dimensional"),
        (lambda: specjit.nn.functional.glu(specjit.ones(2), 1), IndexError, "out of range"),
        *refused("glu", "glu_cpu"),
    ],
)


def rrelu_samples(make: Make) -> Iterator[Sample]:
    yield from unary()(make)
    yield (make(3, 4), 0.2, 0.4), {}
    yield (make(3, 4), 0.2, 0.4, True), {}
    yield (make(3, 4), 0.25, 0.25), {"training": True}


def rrelu_properties(
    out: np.ndarray, x: np.ndarray, lower: float = 1 / 8, upper: float = 1 / 3, training: bool = False
) -> None:
    negative = x < 0
    np.testing.assert_array_equal(out[~negative], x[~negative])
    slopes = np.divide(out, x, dtype=np.float64)[negative & np.isfinite(x)]
    middle = (lower + upper) / 2
    slack = 1e-2 if x.dtype == np.float16 else 1e-6
    near, far = (lower, upper) if training else (middle, middle)
    large = np.abs(x[negative & np.isfinite(x)]) > 1e-2
    assert ((slopes >= near - slack) & (slopes <= far + slack))[large].all()


row(
    "nn.functional.rrelu",
    rrelu_samples,
    properties=silent(rrelu_properties),
    random=True,
    dtypes=(specjit.float32, specjit.float64),
)
row(
    "nn.functional.rrelu_",
    rrelu_samples,
    properties=silent(rrelu_properties),
    random=True,
    dtypes=(specjit.float32, specjit.float64),
    grad=False,
    scripted=False,
    view=True,
)
