"""Rows of the first layers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from tests.moduleinfo import layers, module
from tests.opinfo import Make


def state(m: Any, name: str) -> np.ndarray:
    return m.state_dict()[name].detach().numpy().astype(np.float64)


def linear_reference(m: Any, x: np.ndarray) -> np.ndarray:
    out = x @ state(m, "weight").T
    return out + state(m, "bias") if m.bias is not None else out


module("Linear", layers(((3, 4), (2, 3)), ((3, 4, {"bias": False}), (5, 2, 3)), ((1, 1), (1,))), linear_reference)
SHAPES = (((), (3, 4)), ((), ()), ((), (0, 2)))
module("ReLU", layers(*SHAPES), functional="relu")
module("Tanh", layers(*SHAPES), functional="tanh")
module("Sigmoid", layers(*SHAPES), functional="sigmoid")
module("SiLU", layers(*SHAPES), functional="silu")
module("GELU", layers(*SHAPES, (({"approximate": "tanh"},), (3, 4))), functional="gelu")
module("Softmax", layers(((0,), (3, 4)), ((-1,), (3, 4))), functional="softmax")
module("LogSoftmax", layers(((0,), (3, 4)), ((-1,), (3, 4))), functional="log_softmax")
module("ELU", layers(*SHAPES, ((0.5,), (3, 4))), functional="elu")
module("LeakyReLU", layers(*SHAPES, ((0.2,), (3, 4))), functional="leaky_relu")
module("Softplus", layers(*SHAPES, ((2.0, 1.0), (3, 4))), functional="softplus")
module("Identity", layers(((), (3, 4))), lambda m, x: x)
module(
    "Flatten",
    layers(((), (2, 3, 4)), ((0, 1), (2, 3, 4))),
    lambda m, x: x.reshape((2, 12) if m.end_dim < 0 else (6, 4)),
)
module("Dropout", layers(((0.5,), (3, 4)), ((0.0,), (2,))), lambda m, x: x, random=True)


def layer_norm_reference(m: Any, x: np.ndarray) -> np.ndarray:
    dims = tuple(range(-len(m.normalized_shape), 0))
    centered = x - x.mean(dims, keepdims=True)
    out = centered / np.sqrt((centered**2).mean(dims, keepdims=True) + m.eps)
    return out * state(m, "weight") + state(m, "bias") if m.weight is not None else out


module(
    "LayerNorm",
    layers(((4,), (2, 3, 4)), (((3, 4),), (2, 3, 4)), ((4, {"elementwise_affine": False}), (2, 4))),
    layer_norm_reference,
    scale=10,
)


def embedding_cases(make: Make) -> Iterator[Any]:
    yield (5, 3), {}, (make.ints(2, 4, high=5),)
    yield (5, 3), {"padding_idx": 1}, (make.ints(4, high=5),)


module("Embedding", embedding_cases, lambda m, i: state(m, "weight")[i])


def loss_cases(make: Make) -> Iterator[Any]:
    for reduction in ("mean", "sum", "none"):
        yield (), {"reduction": reduction}, (make(3, 4), make(3, 4))


module("MSELoss", loss_cases, functional="mse_loss")
module("L1Loss", loss_cases, functional="l1_loss")


def class_cases(make: Make) -> Iterator[Any]:
    for reduction in ("mean", "sum", "none"):
        yield (), {"reduction": reduction}, (make(4, 3), make.ints(4, high=3))
    yield (), {}, (make(2, 3, 5), make.ints(2, 5, high=3))


module("CrossEntropyLoss", class_cases, functional="cross_entropy")
module("NLLLoss", class_cases, functional="nll_loss")
