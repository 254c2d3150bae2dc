"""Tracers: stand-ins for tensors and sizes on which op functions append IR nodes instead of computing.

Enters: IR values and a `Builder`. Leaves: nodes in the builder's block. Gradient rules and the bodies of composite ops
are written once, in specjit ops; run on Tracers they become IR.
Invariant: nothing here computes with data. A decision that needs data (truth value, `int`, comparing unknown sizes)
raises `TraceError`. An op is traced if an argument is traced, or inside `recording(builder)`, where ops without tensor
arguments (`zeros`) become nodes too. Sizes that are equal as expressions compare equal and all others compare unequal;
that decides broadcasting rightly, because a symbol is never guarded into a place where it could be 1 and broadcast.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from specjit.dtypes import DType
from specjit.ir.builder import Builder, result_types
from specjit.ir.dims import Dim, Poly
from specjit.ir.graph import OpLike, Value
from specjit.tensor import state
from specjit.tensor.methods import TensorMethods


class TraceError(RuntimeError):
    """The traced function needs the data of a tensor, or a size, that is not known while tracing."""


class Scalar:
    """A Python number that is an IR value: a symbolic size, or a number known only at run time.

    The value is made on first use as an argument, so sizes that only decide something leave no node behind.
    """

    __slots__ = ("_make", "_value", "builder", "dim", "kind")

    def __init__(self, builder: Builder, kind: str, make: Callable[[], Value], dim: Dim = None) -> None:
        self.builder = builder
        self.kind = kind
        self.dim = dim
        self._make = make
        self._value: Value | None = None

    @property
    def value(self) -> Value:
        if self._value is None:
            self._value = self._make()
        return self._value

    def _binary(self, name: str, other: Any, swap: bool) -> Any:
        if not isinstance(other, (int, float, Scalar)):
            return NotImplemented
        a, b = (other, self) if swap else (self, other)
        x, y = _dim(a), _dim(b)
        dim = _DIM_RULES[name](x, y) if name in _DIM_RULES and x is not None and y is not None else None
        if isinstance(dim, int):
            return dim
        kind = "float" if name == "py.truediv" or "float" in (_kind(a), _kind(b)) else "int"
        builder = self.builder
        return Scalar(builder, kind, lambda: builder.call(name, argument(builder, a), argument(builder, b)), dim)

    def __add__(self, other: Any) -> Any:
        return self._binary("py.add", other, False)

    def __radd__(self, other: Any) -> Any:
        return self._binary("py.add", other, True)

    def __sub__(self, other: Any) -> Any:
        return self._binary("py.sub", other, False)

    def __rsub__(self, other: Any) -> Any:
        return self._binary("py.sub", other, True)

    def __mul__(self, other: Any) -> Any:
        return self._binary("py.mul", other, False)

    def __rmul__(self, other: Any) -> Any:
        return self._binary("py.mul", other, True)

    def __floordiv__(self, other: Any) -> Any:
        return self._binary("py.floordiv", other, False)

    def __mod__(self, other: Any) -> Any:
        return self._binary("py.mod", other, False)

    def __truediv__(self, other: Any) -> Any:
        return self._binary("py.truediv", other, False)

    def __rtruediv__(self, other: Any) -> Any:
        return self._binary("py.truediv", other, True)

    def __pow__(self, other: Any) -> Any:
        return self._binary("py.pow", other, False)

    def __rpow__(self, other: Any) -> Any:
        return self._binary("py.pow", other, True)

    def __neg__(self) -> Any:
        return self._binary("py.mul", -1, False)

    def at_least(self, bound: int) -> Scalar:
        """The larger of the two."""
        builder = self.builder
        return Scalar(builder, self.kind, lambda: builder.call("py.max", self.value, bound))

    def __eq__(self, other: object) -> bool:
        x, y = _dim(self), _dim(other)
        if self is other:
            return True
        if x is None or y is None:
            raise TraceError("tracing cannot compare numbers that are known only at run time")
        return x == y

    def __hash__(self) -> int:
        return hash(self.dim) if self.dim is not None else id(self)

    def _order(self, other: Any, sign: int) -> bool:
        """Whether (self - other) * sign > 0, where the sizes alone decide it."""
        x, y = _dim(self), _dim(other)
        difference = None if x is None or y is None else (x - y) * sign
        if isinstance(difference, int):
            return difference > 0
        raise TraceError("tracing cannot order sizes that are known only at run time")

    def __lt__(self, other: Any) -> bool:
        return self._order(other, -1)

    def __gt__(self, other: Any) -> bool:
        return self._order(other, 1)

    def __le__(self, other: Any) -> bool:
        return not self._order(other, 1)

    def __ge__(self, other: Any) -> bool:
        return not self._order(other, -1)

    def __bool__(self) -> bool:
        raise TraceError("tracing cannot decide on a number that is known only at run time")

    def __index__(self) -> int:
        raise TraceError(f"tracing has no value for the size {self.dim if self.dim is not None else '?'}")

    def __repr__(self) -> str:
        return f"<traced {self.kind} {self.dim if self.dim is not None else ''}>"


_DIM_RULES: dict[str, Callable[[Any, Any], Dim]] = {
    "py.add": lambda x, y: x + y,
    "py.sub": lambda x, y: x - y,
    "py.mul": lambda x, y: x * y,
}


def _dim(x: Any) -> Dim:
    if isinstance(x, Scalar):
        return x.dim
    return x if isinstance(x, int) and not isinstance(x, bool) else None


def _kind(x: Any) -> str:
    return x.kind if isinstance(x, Scalar) else "float" if isinstance(x, float) else "int"


class Tracer(TensorMethods):
    """A tensor that is an IR value. Ops called on it append nodes to `builder.block`."""

    __slots__ = ("builder", "value")

    def __init__(self, value: Value, builder: Builder) -> None:
        self.value = value
        self.builder = builder

    @property
    def dtype(self) -> DType:
        if self.value.type.dtype is None:
            raise TraceError("tracing needs the dtype of every tensor")
        return self.value.type.dtype

    @property
    def ndim(self) -> int:
        return len(self._dims())

    @property
    def shape(self) -> tuple[Any, ...]:
        return tuple(d if isinstance(d, int) else self._size(k, d) for k, d in enumerate(self._dims()))

    @property
    def device(self) -> str:
        return self.value.type.device or "cpu"

    @property
    def requires_grad(self) -> bool:
        return bool(self.value.type.requires_grad)

    def dim(self) -> int:
        return self.ndim

    def size(self, dim: int | None = None) -> Any:
        return self.shape if dim is None else self.shape[dim]

    def numel(self) -> Any:
        total: Any = 1
        for size in self.shape:
            total = total * size
        return total

    def is_floating_point(self) -> bool:
        return self.dtype.is_floating_point

    def _dims(self) -> tuple[Dim, ...]:
        if self.value.type.dims is None:
            raise TraceError("tracing needs the rank of every tensor")
        return self.value.type.dims

    def _size(self, axis: int, dim: Poly | None) -> Scalar:
        builder, value = self.builder, self.value
        return Scalar(builder, "int", lambda: builder.size(value, axis), dim)

    def __len__(self) -> int:
        size = self.shape[0]
        if isinstance(size, Scalar):
            raise TraceError(f"tracing has no value for the size {size!r}")
        return size

    def __bool__(self) -> bool:
        raise TraceError("tracing cannot decide on the data of a tensor")

    def __repr__(self) -> str:
        return f"<traced {self.value.type}>"


class BuilderRecorder:
    """A recorder (`tensor.state`) that traces every op call into one builder."""

    def __init__(self, builder: Builder) -> None:
        self.builder = builder

    def call(self, op: OpLike, args: Sequence[Any]) -> Any:
        return trace(op, args, self.builder)

    def reads(self, tensor: Any, name: str, seen: Any, *args: Any) -> None:
        """Compositions of ops may ask constants anything."""

    refuse = reads


def recording(builder: Builder) -> state.recording:
    """Within `with recording(builder):`, every op call of this thread appends to `builder`, whatever its arguments."""
    return state.recording(BuilderRecorder(builder))


def find(args: Sequence[Any]) -> Builder | None:
    """The builder of the first Tracer or Scalar among op arguments, one level of lists deep."""
    for a in args:
        if isinstance(a, (Tracer, Scalar)):
            return a.builder
        if isinstance(a, (list, tuple)):
            for item in a:
                if isinstance(item, (Tracer, Scalar)):
                    return item.builder
    return None


def argument(builder: Builder, x: Any) -> Value:
    """An op argument as an IR value: traced things are their values, the rest are constants."""
    if isinstance(x, (Tracer, Scalar)):
        return x.value
    if isinstance(x, (list, tuple)):
        items = [argument(builder, item) for item in x]
        return builder.constant(list(items) if isinstance(x, list) else tuple(items))
    return builder.constant(x)


def wrap(value: Value, builder: Builder) -> Any:
    """An IR value as the Python object that traced code sees."""
    if value.type.is_tensor:
        return Tracer(value, builder)  # a constant tensor too: it has methods
    if value.is_const:
        return value.const
    if value.type.kind in ("int", "float", "bool"):
        dim = value.type.dim if value.type.kind == "int" else None
        return dim if isinstance(dim, int) else Scalar(builder, value.type.kind, lambda: value, dim)
    if value.node is not None and value.node.op.name in ("py.list", "py.tuple"):
        items = [wrap(a, builder) for a in value.node.args]
        return items if value.node.op.name == "py.list" else tuple(items)
    raise TraceError(f"tracing has no stand-in for a value of type {value.type}")


def trace(op: OpLike, args: Sequence[Any], builder: Builder | None = None) -> Any:
    """Append `op(*args)` (bound arguments, in schema order) and return its traced result or results."""
    builder = builder or find(args)
    if builder is None:
        raise TraceError(f"{op.name}: no traced argument")
    values = [argument(builder, a) for a in args]
    _, several = result_types(op, values)
    results = [wrap(r, builder) for r in builder.emit(op, values).results]
    return results if several else results[0]
