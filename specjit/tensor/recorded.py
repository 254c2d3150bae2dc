"""The tape's node of an operator call.

Enters: an op record (by its interface: `vjp_needed`, `saves`, `saves_result`, `keeps_values`, `params`,
`tensor_positions`) and the call's bound arguments.
Leaves: gradients of the tensor arguments, computed by the record's own vjp.
Invariant: an argument that vjp reads by value is kept with its version, and a later write to it is an error; one that
vjp needs for shape and dtype only is kept as just that.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from specjit.dtypes import DType, dtype_of
from specjit.tensor import devices
from specjit.tensor.size import Size
from specjit.tensor.tape import FREED, Edge, Node, edge
from specjit.tensor.tensor import Tensor, wrap, wrap_node


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
    """A recorded call with one result.

    args      per parameter: the tensor (by value), (shape, numpy dtype) of a tensor (type only), a list of such, or the
              plain value
    versions  one count per tensor parameter (or list item) kept by value, in order; 0 for a number
    result    (array, version, count) if vjp reads the result, else (shape, numpy dtype)
    edges     one per tensor parameter (None for a number), one per item of a list of tensors

    The generated functions of `ops.records.call` fill these slots themselves in the common case.
    """

    __slots__ = ("args", "op", "result", "versions")
    several = False

    def __init__(self, op: Any, args: Sequence[Any], edges: tuple[Edge, ...]) -> None:
        self.op = op
        self.edges = edges
        self.hooks = None
        self.result: Any = None
        kept: list[Any] = []
        versions: list[int] = []
        for i, (value, save, param) in enumerate(zip(args, op.saves, op.params)):
            if not param.type.is_tensor:
                kept.append(KeptIndex.of(value))
                continue
            if save and op.reads is not None:
                wanted = any(getattr(args[k], "_requires_grad", False) for k in op.readers(i))
                if not wanted:
                    kept.append(_keep(value, False, versions))
                    versions.append(0)
                    continue
            kept.append(_keep(value, save, versions))
        self.args: Any = kept
        self.versions: Sequence[int] = versions

    @classmethod
    def of_list(cls, op: Any, args: Sequence[Any], arrays: Sequence[np.ndarray], result: np.ndarray) -> OpNode:
        """A call with a list of tensors and plain values of which vjp needs types only."""
        node: OpNode = cls.__new__(cls)
        node.op = op
        node.edges = tuple([edge(t) for t in args[0]])
        node.hooks = None
        node.args = (_Kept([(a.shape, a.dtype) for a in arrays]), *args[1:])
        node.versions = ()
        node.result = (result.shape, result.dtype)
        return node

    @property
    def name(self) -> str:
        return "".join(part.capitalize() for part in self.op.name.strip("_").split("_")) + "Backward"

    def keep_results(self, results: Sequence[Tensor]) -> None:
        """Remember what the call gave: by value (without a cycle through the tensors) if vjp reads it, else only its
        type."""
        (self.result,) = self._kept(results)

    def _kept(self, results: Sequence[Tensor]) -> list[Any]:
        if self.op.saves_result:
            return [(t._data, t._version, t._version[0]) for t in results]
        return [(t._data.shape, t._data.dtype) for t in results]

    def release(self) -> None:
        if self.op.keeps_values:
            self.args = None
            self.result = None

    def backward(self, grads: Sequence[Tensor | None]) -> Sequence[Tensor | None]:
        return self.run(grads, [e is not None for e in self.edges])

    def run(self, grads: Sequence[Tensor | None], needs: Sequence[bool]) -> Sequence[Tensor | None]:
        if self.args is None:
            raise RuntimeError(FREED)
        args = self._restore()
        y, g = self._restore_result(grads)
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
            else:
                out.append(d)
        return out

    def _restore(self) -> list[Any]:
        """The arguments as vjp wants them; versions are checked on the way."""
        versions = iter(self.versions)
        out: list[Any] = []
        for value, save, param in zip(self.args, self.op.saves, self.op.params):
            if not param.type.is_tensor:
                out.append(value.checked(self) if type(value) is KeptIndex else value)
            elif type(value) is _Kept:
                out.append([self._one(item, save, versions) for item in value])
            else:
                out.append(self._one(value, save, versions))
        return out

    def _one(self, kept: Any, save: bool, versions: Iterator[int]) -> Any:
        version = next(versions) if save else 0
        if save and isinstance(kept, Tensor):
            self._check(kept._version[0], version, kept._data)
        return Like(kept[0], dtype_of(kept[1])) if type(kept) is tuple else kept

    def _restore_result(self, grads: Sequence[Tensor | None]) -> tuple[Any, Any]:
        return self._again(self.result, self), grads[0]

    def _again(self, kept: Any, node: Node) -> Any:
        if not self.op.saves_result:
            return Like(kept[0], dtype_of(kept[1]))
        data, version, count = kept
        self._check(version[0], count, data)
        out = wrap_node(data, node) if data.dtype.kind == "f" else wrap(data)
        out._version = version
        return out

    def _check(self, now: int, then: int, data: Any) -> None:
        if now != then:
            raise modified(data, self.name, now, then)


def modified(data: Any, user: str, now: int, then: int) -> RuntimeError:
    """The error of a backward whose kept array `data`, of the node called `user`, was written since."""
    kind = f"[specjit.{dtype_of(data.dtype).name} {list(data.shape)}]"
    return RuntimeError(
        "one of the variables needed for gradient computation has been modified by an inplace operation: "
        f"{kind}, used by {user}, is at version {now}; expected version {then} instead."
    )


class KeptIndex:
    """An argument of any type with tensors in it (an index), and their versions."""

    __slots__ = ("tensors", "value")

    def __init__(self, value: Any, tensors: list[tuple[Tensor, int]]) -> None:
        self.value = value
        self.tensors = tensors

    @staticmethod
    def of(value: Any) -> Any:
        if type(value) is int or type(value) is slice:
            return value
        items = value if type(value) is tuple or type(value) is list else (value,)
        found = [(t, t._version[0]) for t in items if isinstance(t, Tensor)]
        return KeptIndex(value, found) if found else value

    def checked(self, node: OpNode) -> Any:
        for t, version in self.tensors:
            node._check(t._version[0], version, t._data)
        return self.value


class _Kept(list[Any]):
    """What is kept of a list of tensors."""


def _keep(value: Any, save: bool, versions: list[int]) -> Any:
    if isinstance(value, (list, tuple)):
        return _Kept([_keep(item, save, versions) for item in value])
    if save:
        versions.append(value._version[0] if isinstance(value, Tensor) else 0)
        return value
    return (value._data.shape, value._data.dtype) if isinstance(value, Tensor) else value


def _edges_of(kept: Any) -> int:
    if type(kept) is _Kept:
        return len(kept)
    return 1


class OpNodes(OpNode):
    """A recorded call with several results."""

    __slots__ = ("_count",)
    several = True

    @property
    def count(self) -> int:  # type: ignore[override]
        return self._count

    def keep_results(self, results: Sequence[Tensor]) -> None:
        self._count = len(results)
        self.result = self._kept(results)

    def _restore_result(self, grads: Sequence[Tensor | None]) -> tuple[Any, Any]:
        y = tuple(self._again(kept, self.output(i)) for i, kept in enumerate(self.result))
        filled = tuple(
            wrap(np.zeros(t.shape, t.dtype.numpy)) if g is None and t.dtype.is_floating_point else g
            for g, t in zip(grads, y)
        )
        return y, filled


def edges_of(op: Any, args: Sequence[Any]) -> tuple[Edge, ...]:
    """One edge per tensor parameter (None for a number), one per item of a list."""
    out: list[Edge] = []
    for i in op.tensor_positions:
        value = args[i]
        if isinstance(value, (list, tuple)):
            out += [edge(t) for t in value]
        else:
            out.append(edge(value) if isinstance(value, Tensor) else None)
    return tuple(out)
