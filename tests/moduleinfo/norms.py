"""Rows of normalization layers."""

from __future__ import annotations

from typing import Any

import numpy as np

from tests.moduleinfo import layers, module
from tests.moduleinfo.basic import state


def by_channel(m: Any, name: str, x: np.ndarray) -> np.ndarray:
    return state(m, name).reshape(-1, *[1] * (x.ndim - 2))


def affine(m: Any, x: np.ndarray) -> np.ndarray:
    if m.weight is not None:
        x = x * by_channel(m, "weight", x)
    return x if m.bias is None else x + by_channel(m, "bias", x)


def standardized(x: np.ndarray, dims: Any, eps: float) -> np.ndarray:
    return (x - x.mean(dims, keepdims=True)) / np.sqrt(x.var(dims, keepdims=True) + eps)


def batch_reference(m: Any, x: np.ndarray) -> np.ndarray:
    return affine(m, standardized(x, tuple(d for d in range(x.ndim) if d != 1), m.eps))


def instance_reference(m: Any, x: np.ndarray) -> np.ndarray:
    spatial = tuple(range(-(m.RANKS[-1] - 2), 0))
    whole = x[None] if x.ndim == m.RANKS[0] else x
    return affine(m, standardized(whole, spatial, m.eps)).reshape(x.shape)


OPTIONS = ({}, {"affine": False}, {"track_running_stats": False, "eps": 0.1}, {"momentum": None}, {"bias": False})
for _rank, _shapes in ((1, ((4, 3), (2, 3, 4))), (2, ((2, 3, 2, 2),)), (3, ((2, 3, 1, 2, 2),))):
    module(
        f"BatchNorm{_rank}d",
        layers(*(((3, o), s) for o in OPTIONS for s in _shapes)),
        batch_reference,
        scale=20,
    )
CHOICES = ({}, {"affine": True}, {"track_running_stats": True, "eps": 0.1}, {"affine": True, "bias": False})
for _rank, _shapes in ((1, ((2, 3, 4), (3, 4))), (2, ((2, 3, 2, 2), (3, 2, 2))), (3, ((2, 3, 2, 1, 2),))):
    module(
        f"InstanceNorm{_rank}d",
        layers(*(((3, o), s) for o in CHOICES for s in _shapes)),
        instance_reference,
        scale=20,
    )


def group_reference(m: Any, x: np.ndarray) -> np.ndarray:
    grouped = x.reshape(x.shape[0], m.num_groups, -1)
    return affine(m, standardized(grouped, (2,), m.eps).reshape(x.shape))


module(
    "GroupNorm",
    layers(((2, 4), (2, 4, 3)), ((1, 2, {"affine": False}), (3, 2)), ((2, 2, 0.1, {"bias": False}), (2, 2, 2, 2))),
    group_reference,
    scale=20,
)


def rms_reference(m: Any, x: np.ndarray) -> np.ndarray:
    eps = np.finfo(x.dtype).eps if m.eps is None else m.eps
    out = x / np.sqrt((x**2).mean(tuple(range(-len(m.normalized_shape), 0)), keepdims=True) + eps)
    return out if m.weight is None else out * state(m, "weight")


module(
    "RMSNorm",
    layers(((4,), (2, 3, 4)), (((3, 4), 0.1), (2, 3, 4)), ((4, {"elementwise_affine": False}), (2, 4))),
    rms_reference,
    scale=10,
)
module(
    "LocalResponseNorm", layers(((2,), (2, 5, 3)), ((3, 0.5, 0.6, 2.0), (2, 4, 3))), functional="local_response_norm"
)
