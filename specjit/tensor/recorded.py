"""The tape's node of an operator call.

Enters: an op record (by its interface: `vjp_needed`, `saves`, `saves_result`, `params`, `tensor_positions`) and the call's bound arguments.
Leaves: gradients of the tensor arguments, computed by the record's own vjp.
Invariant: an argument that vjp reads by value is kept with its version, and a later write to it is an error; one that vjp needs
for shape and dtype only is kept as just that.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from specjit.dtypes import DType, dtype_of
from specjit.tensor import devices
from specjit.tensor.tape import FREED, Edge, Node, edge
from specjit.tensor.tensor import Size, Tensor, wrap, wrap_node


class Like:
    """The shape and dtype of a tensor whose value a gradient does not need."""

    __slots__ = ("dtype", "shape")
    device = devices.cpu
    requires_grad = False

    def __init__(self, shape: tuple[int, ...], dtype: DType) -> None:
        self.shape = Size(shape)
        self.dtype = dtype

    @property
    def ndim(self) -> int:
        return len(self.shape)

    def dim(self) -> int:
        return len(self.shape)

    def size(self, dim: int | None = None) -> Any:
        return self.shape if dim is None else self.shape[dim]

    def numel(self) -> int:
        return self.shape.numel()

    def __repr__(self) -> str:
        return f"<like {self.dtype.short}{list(self.shape)}>"


class OpNode(Node):
    """A recorded call. `args` has, per parameter: the tensor (by value), (shape, numpy dtype) of a tensor (type only), a list
    of such, or the plain value. `versions` has one count per tensor kept by value, in order."""

    __slots__ = ("_count", "args", "op", "results", "versions")

    def __init__(self, op: Any, args: Sequence[Any], edges: tuple[Edge, ...]) -> None:
        self.op = op
        self.edges = edges
        self.hooks = None
        self.results: Any = None
        self._count = 1
        kept: list[Any] = []
        versions: list[int] = []
        for value, save, param in zip(args, op.saves, op.params):
            kept.append(_keep(value, save, versions) if param.type.is_tensor else _Index.of(value))
        self.args: Any = kept
        self.versions = versions

    @property
    def count(self) -> int:  # type: ignore[override]
        return self._count

    @property
    def name(self) -> str:
        return "".join(part.capitalize() for part in self.op.name.strip("_").split("_")) + "Backward"

    def keep_results(self, results: Sequence[Tensor], several: bool) -> None:
        """Remember what the call gave: by value (without a cycle through the tensors) if vjp reads it, else only its type."""
        self._count = len(results) if several else 1
        by_value = self.op.saves_result
        self.results = (
            several,
            [(t._data, t._version, t._version[0]) if by_value else (t._data.shape, t._data.dtype) for t in results],
        )

    def release(self) -> None:
        if any(self.op.saves) or self.op.saves_result:
            self.args = None
            self.results = None

    def backward(self, grads: Sequence[Tensor | None]) -> Sequence[Tensor | None]:
        return self.run(grads, [e is not None for e in self.edges])

    def run(self, grads: Sequence[Tensor | None], needs: Sequence[bool]) -> Sequence[Tensor | None]:
        if self.args is None:
            raise RuntimeError(FREED)
        args = self._restore()
        y, g = self._restore_results(grads)
        wanted: list[bool] = []
        counts: list[int] = []
        at = 0
        for i in self.op.tensor_positions:
            size = _edges_of(self.args[i])
            counts.append(size)
            wanted.append(any(needs[at : at + size]))
            at += size
        found = self.op.vjp_needed(wanted, g, y, *args)
        out: list[Tensor | None] = []
        for size, i, d in zip(counts, self.op.tensor_positions, found):
            if type(self.args[i]) is _Kept:
                out += [None] * size if d is None else list(d)
            elif size:
                out.append(d)
        return out

    def _restore(self) -> list[Any]:
        at = 0
        out: list[Any] = []
        for value in self.args:
            if type(value) is _Kept:
                items = []
                for item in value:
                    if isinstance(item, Tensor):
                        self._check(item._version[0], self.versions[at], item._data)
                        at += 1
                    items.append(item.like() if isinstance(item, _Shape) else item)
                out.append(items)
            elif type(value) is _Index:
                for t, version in value.tensors:
                    self._check(t._version[0], version, t._data)
                out.append(value.value)
            elif isinstance(value, Tensor):
                self._check(value._version[0], self.versions[at], value._data)
                at += 1
                out.append(value)
            else:
                out.append(value.like() if type(value) is _Shape else value)
        return out

    def _restore_results(self, grads: Sequence[Tensor | None]) -> tuple[Any, Any]:
        several, kept = self.results
        found: list[Any] = []
        for i, item in enumerate(kept):
            if self.op.saves_result:
                data, version, count = item
                self._check(version[0], count, data)
                if data.dtype.kind == "f":
                    t = wrap_node(data, self.output(i) if several else self)
                else:
                    t = wrap(data)
                t._version = version
                found.append(t)
            else:
                found.append(Like(item[0], dtype_of(item[1])))
        if not several:
            return found[0], grads[0]
        filled = tuple(
            wrap(np.zeros(y.shape, y.dtype.numpy)) if g is None and y.dtype.is_floating_point else g
            for g, y in zip(grads, found)
        )
        return tuple(found), filled

    def _check(self, now: int, then: int, data: Any) -> None:
        if now != then:
            kind = f"[specjit.{dtype_of(data.dtype).name} {list(data.shape)}]"
            raise RuntimeError(
                "one of the variables needed for gradient computation has been modified by an inplace operation: "
                f"{kind}, used by {self.name}, is at version {now}; expected version {then} instead."
            )


class _Shape(tuple[Any, ...]):
    """(shape, numpy dtype) of a tensor argument that is not kept."""

    __slots__ = ()

    def like(self) -> Like:
        return Like(self[0], dtype_of(self[1]))


class _Index:
    """An argument of any type with tensors in it (an index), and their versions."""

    __slots__ = ("tensors", "value")

    def __init__(self, value: Any, tensors: list[tuple[Tensor, int]]) -> None:
        self.value = value
        self.tensors = tensors

    @staticmethod
    def of(value: Any) -> Any:
        items = value if type(value) is tuple or type(value) is list else (value,)
        found = [(t, t._version[0]) for t in items if isinstance(t, Tensor)]
        return _Index(value, found) if found else value


class _Kept(list[Any]):
    """What is kept of a list of tensors."""


def _keep(value: Any, save: bool, versions: list[int]) -> Any:
    if isinstance(value, Tensor):
        if save:
            versions.append(value._version[0])
            return value
        return _Shape((value._data.shape, value._data.dtype))
    return _Kept([_keep(item, save, versions) for item in value]) if isinstance(value, (list, tuple)) else value


def _edges_of(kept: Any) -> int:
    if type(kept) is _Kept:
        return len(kept)
    return 1 if isinstance(kept, (Tensor, _Shape)) else 0


def edges_of(op: Any, args: Sequence[Any]) -> tuple[Edge, ...]:
    """One edge per tensor among the arguments for tensor parameters."""
    out: list[Edge] = []
    for i in op.tensor_positions:
        value = args[i]
        if isinstance(value, Tensor):
            out.append(edge(value))
        elif isinstance(value, (list, tuple)):
            out += [edge(t) for t in value]
    return tuple(out)
