"""Rows of activation and dropout layers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from tests.moduleinfo import layers, module
from tests.moduleinfo.basic import state
from tests.opinfo import Make

SHAPES = (((), (3, 4)), ((), ()), ((), (0, 2)))
MATRICES = ((3, 4),)


def plain(name: str, functional: str, *options: tuple[Any, ...]) -> None:
    """A layer without parameters, with some constructor arguments."""
    module(name, layers(*SHAPES, *((o, (3, 4)) for o in options)), functional=functional)


plain("ReLU6", "relu6")
plain("CELU", "celu", (0.5,))
plain("SELU", "selu")
plain("Mish", "mish")
plain("Hardswish", "hardswish")
plain("Hardsigmoid", "hardsigmoid")
plain("LogSigmoid", "logsigmoid")
plain("Softsign", "softsign")
plain("Tanhshrink", "tanhshrink")
plain("Hardshrink", "hardshrink", (0.2,))
plain("Softshrink", "softshrink", (0.2,))
plain("Hardtanh", "hardtanh", (-0.5, 2.0))
module("Threshold", layers(((0.1, 5.0), (3, 4)), ((0.1, 5.0), ())), functional="threshold")
module("GLU", layers(((), (3, 4)), ((0,), (4, 3))), functional="glu")
module("Softmin", layers(((0,), (3, 4)), ((-1,), (3, 4))), functional="softmin")


def prelu_cases(make: Make) -> Iterator[Any]:
    yield (), {}, (make(3, 4),)
    yield (4,), {"init": 0.1}, (make(3, 4),)
    yield (2,), {}, (make(3, 2, 2),)


def prelu_reference(m: Any, x: np.ndarray) -> np.ndarray:
    slopes = state(m, "weight")
    return np.where(x > 0, x, x * (slopes if slopes.size == 1 else slopes.reshape(-1, *[1] * (x.ndim - 2))))


module("PReLU", prelu_cases, prelu_reference)
# In evaluation the slope is the middle.
module(
    "RReLU",
    layers(((), (3, 4)), ((0.1, 0.2), (3, 4))),
    lambda m, x: np.where(x > 0, x, x * (m.lower + m.upper) / 2),
    random=True,
)


def channels(x: np.ndarray) -> np.ndarray:
    e = np.exp(x - x.max(-3, keepdims=True))
    return e / e.sum(-3, keepdims=True)


module("Softmax2d", layers(((), (2, 3, 2, 2)), ((), (3, 2, 2))), lambda m, x: channels(x))

for _name, _shape in (
    ("Dropout1d", (2, 3, 4)),
    ("Dropout2d", (2, 3, 2, 2)),
    ("Dropout3d", (2, 3, 1, 2, 2)),
    ("AlphaDropout", (3, 4)),
    ("FeatureAlphaDropout", (2, 3, 4)),
):
    module(_name, layers(((0.5,), _shape), ((0.0,), _shape)), lambda m, x: x, random=True)
