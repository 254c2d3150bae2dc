"""Copies of tensors: `copy.deepcopy` and pickling.

Enters: tensors. Leaves: tensors of the same class on storage of their own.
Invariant: what shares memory within one deep copy shares it among the copies too.
"""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import numpy as np

from specjit.tensor.tensor import Tensor, address, bare


def deep(t: Tensor, memo: dict[int, Any]) -> Tensor:
    """`copy.deepcopy(t, memo)`. RuntimeError for a tensor that an op computed with a gradient."""
    if id(t) in memo:
        return memo[id(t)]
    if t._node is not None:
        raise RuntimeError(
            "Only Tensors created explicitly by the user (graph leaves) support the deepcopy protocol at the moment"
        )
    if t._data is None:
        out: Tensor = bare(type(t), None)
        out._meta = t._meta
    else:
        out = _on_copied_storage(t, memo)
    out._requires_grad = t._requires_grad
    memo[id(t)] = out
    if t.grad is not None:
        out.grad = t.grad.__deepcopy__(memo)
    extra = getattr(t, "__dict__", None)
    if extra:
        out.__dict__.update(deepcopy(extra, memo))
    return out


def _on_copied_storage(t: Tensor, memo: dict[int, Any]) -> Tensor:
    """The tensor on a copy of its whole storage."""
    data = t._data
    owner = data.base if isinstance(data.base, np.ndarray) else data
    if id(owner) not in memo:
        memo[id(owner)] = owner.copy(order="K"), [0]
    copied, version = memo[id(owner)]
    if copied.strides != owner.strides:
        # Memory with gaps or repeated elements: only the tensor's own elements are copied.
        return bare(type(t), data.copy(order="K"))
    order = sorted(range(owner.ndim), key=lambda d: -owner.strides[d])
    offset = address(data) - address(owner)
    whole = copied.transpose(order)
    out: Tensor = bare(type(t), np.ndarray(data.shape, data.dtype, whole, offset, data.strides))
    out._version = version
    return out


def reduced(t: Tensor) -> tuple[Any, ...]:
    """What `pickle` keeps of a tensor: its class, elements in C order (or dtype and shape), and attributes."""
    held = t._meta if t._data is None else np.ascontiguousarray(t._data).reshape(t._data.shape)
    return rebuild, (type(t), held, t._requires_grad, getattr(t, "__dict__", None) or {})


def rebuild(kind: type[Tensor], held: Any, requires_grad: bool, extra: dict[str, Any]) -> Tensor:
    """The tensor that `reduced` has taken apart."""
    out: Tensor = bare(kind, held if isinstance(held, np.ndarray) else None)
    if out._data is None:
        out._meta = held
    out._requires_grad = requires_grad
    if extra:
        out.__dict__.update(extra)
    return out
