"""In-place writes and the tape: what becomes of a tensor's history, and of the histories of the views that share its
storage.

Enters: the target of a write, the node of the write. Leaves: updated nodes of target, base and views.
Invariant: the history of a base covers every write made through any of its views; a view whose storage was written
since its node was
attached gets a new node, a read of the base's newest one. Positions of a view inside its base are logical (row-major)
indices,
so the layout of gradients does not matter.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from specjit.tensor import state, storage
from specjit.tensor.tape import Node, edge
from specjit.tensor.tensor import Tensor, address, wrap


def positions(view: Tensor, base: Tensor) -> Tensor:
    """The row-major index in `base` of each element of `view`, as a flat int64 tensor."""
    whole, part = base._data, view._data
    at = _offsets(part).reshape(-1) + (address(part) - address(whole))
    if whole.flags.c_contiguous:
        return wrap(at // whole.itemsize)
    offsets = _offsets(whole).reshape(-1)
    order = np.argsort(offsets, kind="stable")
    return wrap(order[np.searchsorted(offsets[order], at)])


def _offsets(array: np.ndarray) -> np.ndarray:
    """The byte offset of every element from the first."""
    total = np.zeros((), np.int64)
    for size, stride in zip(array.shape, array.strides):
        total = total[..., None] + np.arange(size, dtype=np.int64) * stride
    return total


class ReadView(Node):
    """The view of a base that was written after the view was taken."""

    __slots__ = ("shape", "where")

    def __init__(self, view: Tensor, base: Tensor) -> None:
        super().__init__([edge(base)])
        self.where = positions(view, base)
        self.shape = base.shape

    def backward(self, grads: Sequence[Tensor | None]) -> Sequence[Tensor | None]:
        (g,) = grads
        assert g is not None
        zeros = wrap(np.zeros(self.shape.numel(), g._data.dtype))
        return [zeros.index_put((self.where,), g.reshape(-1), accumulate=True).reshape(self.shape)]


class WriteView(Node):
    """A base after a write through one of its views: outside the view its old history, inside the node of the write."""

    __slots__ = ("view_shape", "where", "write")

    def __init__(self, base_edge: Any, write: Node, view: Tensor, base: Tensor) -> None:
        super().__init__([base_edge, *write.edges[1:]])
        self.write = write
        self.where = positions(view, base)
        self.view_shape = view.shape

    def backward(self, grads: Sequence[Tensor | None]) -> Sequence[Tensor | None]:
        return self.run(grads, [True] * len(self.edges))

    def run(self, grads: Sequence[Tensor | None], needs: Sequence[bool]) -> Sequence[Tensor | None]:
        (g,) = grads
        assert g is not None
        flat = g.reshape(-1)
        inner = flat.index_select(0, self.where).reshape(self.view_shape)
        found = list(self.write.run([inner], [needs[0] and self.write.edges[0] is not None, *needs[1:]]))
        if not needs[0]:
            return [None, *found[1:]]
        before = found[0] if found[0] is not None else inner * 0.0
        outer = flat.index_put((self.where,), before.reshape(-1)).reshape(g.shape)
        return [outer, *found[1:]]

    def release(self) -> None:
        self.write.release()


def check_target(target: Tensor, grads_wanted: bool) -> None:
    """Refuse a recorded write to a leaf that requires grad, or to a view of one."""
    if not grads_wanted or not target._requires_grad:
        return
    base = target._base
    if target._node is None and base is None:
        raise RuntimeError("a leaf Variable that requires grad is being used in an in-place operation.")
    if base is not None and base._requires_grad and base._node is None:
        raise RuntimeError("a view of a leaf Variable that requires grad is being used in an in-place operation.")


def written(target: Tensor) -> None:
    """The storage of `target` has changed."""
    if target._counter is not None:
        target._counter[0] += 1
    state.bump_write_epoch()


def record_write(target: Tensor, node: Node) -> None:
    """Attach the node of a write that was just done (`written` has been called)."""
    base = target._base
    if base is None:
        target._node = node
        if not target._requires_grad:
            target._requires_grad = True
            storage.require_grad_of_views(target._version, target)
        return
    base._node = WriteView(edge(base), node, target, base)
    if not base._requires_grad:
        base._requires_grad = True
        storage.require_grad_of_views(target._version, base)
    target._requires_grad = True
    refresh(target)


def refresh(view: Tensor) -> None:
    """Give a view whose storage was written since a node that reads the base as it is now."""
    base = view._base
    assert base is not None
    view._attached = view._version[0]
    if base._requires_grad:
        view._node = ReadView(view, base)
        view._requires_grad = True
