"""What gradient code is written with: sizes without tensors, sums of contributions, and rows of outer tensors.

Enters: requests of `reverse`. Leaves: nodes in a backward block.
Invariant: asking for a size never makes gradient code read the tensor that has it, if an expression says the size.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from specjit.ir.builder import Builder
from specjit.ir.dims import Dim, Poly, Size
from specjit.ir.graph import Block, Location, Node, OpLike, Value
from specjit.ir.types import Type
from specjit.passes.autodiff.when import NEVER, Givens, When, either
from specjit.passes.raising import not_negative, size_expression
from specjit.passes.rows import affine
from specjit.tensor.tracer import Scalar, Tracer, wrap


@dataclass(frozen=True)
class OpenLoop:
    """A loop whose body is being reversed: what it defines, its trip count, and whether it always makes that many
    turns."""

    inside: set[Value]
    trip: Dim
    full: bool


Loops = Mapping[Value, OpenLoop]
"""By induction variable."""


class RefusedError(Exception):
    """There is no gradient here: the reason, and where."""

    def __init__(self, reason: str, loc: Location | None) -> None:
        super().__init__(f"{reason} ({loc})" if loc else reason)


@dataclass(frozen=True)
class Row:
    """The gradient of `select(base, axis, sign * index + offset)`, for the induction variable `index` of a loop that
    `base` is outside of. In the turns of the loop this reads the rows from `first` on, each once."""

    base: Value
    axis: int
    index: Value
    sign: int
    first: Size


Key = Value | Row


class Sizes:
    """Stands for sizes by their expression: one int value per dim, defined later (`keep`)."""

    def __init__(self) -> None:
        self.values: dict[Poly, Value] = {}

    def of(self, dim: Poly) -> Value:
        return self.values.setdefault(dim, Value(Type.int(dim), None, repr(dim)))


class GradientBuilder(Builder):
    """A builder whose sizes do not hold on to the tensors they were asked of. `givens`: which gradients arrive."""

    def __init__(
        self,
        block: Block,
        lookup: Callable[[str], OpLike],
        sizes: Sizes,
        givens: Givens | None = None,
        loc: Location | None = None,
    ) -> None:
        super().__init__(block, lookup, loc)
        self.sizes = sizes
        self.givens = givens or Givens(())

    def inner(self, block: Block) -> GradientBuilder:
        return GradientBuilder(block, self.lookup, self.sizes, self.givens, self.loc)

    def size(self, tensor: Value, axis: int) -> Value:
        dim = None if tensor.type.dims is None else tensor.type.dims[axis]
        return self.sizes.of(dim) if isinstance(dim, Poly) else super().size(tensor, axis)

    def zeros(self, key: Key) -> Value:
        """Zeros with the type of a gradient."""
        base = key if isinstance(key, Value) else key.base
        assert base.type.dims is not None
        shape = [self.size(base, k) for k in range(len(base.type.dims)) if isinstance(key, Value) or k != key.axis]
        return self.call("zeros", shape, dtype=base.type.dtype)


@dataclass(frozen=True)
class Gradient:
    """A gradient, and when there is one (where there is none, `value` is zeros)."""

    value: Value
    when: When


class Gradients:
    """The contributions to each gradient so far, in the order in which they came."""

    def __init__(self, builder: GradientBuilder) -> None:
        self.builder = builder
        self.parts: dict[Key, list[Gradient]] = {}

    def add(self, key: Key, gradient: Value, when: When) -> None:
        self.parts.setdefault(key, []).append(Gradient(gradient, when))

    def take(self, key: Key) -> Gradient | None:
        """The sum of the contributions, which are then forgotten; None if there are none."""
        parts = self.parts.pop(key, None)
        if parts is None:
            return None
        total = parts[0].value
        for part in parts[1:]:
            total = self.builder.call("add", total, part.value)
        return Gradient(total, either([part.when for part in parts], self.builder))

    def taken(self, key: Key) -> Gradient:
        """The sum of the contributions; zeros that are never there if there are none."""
        return self.take(key) or Gradient(self.builder.zeros(key), NEVER)


def row_of(node: Node, loops: Loops) -> Row | None:
    """What `node` reads, if it reads one row of a tensor from outside a loop by the loop's induction variable."""
    if node.op.name not in ("select", "narrow", "slice") or not node.args[1].is_const:
        return None
    if (found := affine(node.args[2], loops)) is None or not _reads_one(node, found, loops):
        return None
    index, sign, first = found
    loop, base = loops[index], node.args[0]
    if sign < 0:
        if loop.trip is None:
            return None
        first = first - loop.trip + 1
    # A negative index counts from the end, so the rows would not lie side by side.
    if base in loop.inside or not not_negative(first):
        return None
    axis, dims = node.args[1].const, base.type.dims
    assert dims is not None
    # The turns that a loop leaves out may stand for rows that are not there.
    if not loop.full and (first != 0 or dims[axis] is None or dims[axis] != loop.trip):
        return None
    return Row(base, axis % len(dims), index, sign, first)


def _reads_one(node: Node, start: tuple[Value, int, Size], loops: Loops) -> bool:
    """Whether what begins at `start` is one row, whatever the turn. (A slice past the end would have none.)"""
    if node.op.name == "select":
        return True
    if node.op.name == "narrow":
        return size_expression(node.args[3]) == 1
    dims = node.results[0].type.dims
    if dims is None or dims[node.args[1].const] != 1:
        return False
    end = affine(node.args[3], loops)
    return size_expression(node.args[4]) == 1 and end is not None and end == (*start[:2], start[2] + 1)


def place_rows(builder: GradientBuilder, rows: Value, key: Row) -> Value:
    """The gradient of a tensor of which a loop read rows: those rows, among zeros for what it did not read."""
    base, read = key.base.type.dims, rows.type.dims
    assert base is not None
    assert read is not None
    if key.sign < 0:
        rows = builder.call("flip", rows, [0])
    size = base[key.axis]
    if key.first != 0 or size is None or size != read[0]:
        total, count = wrap(builder.size(key.base, key.axis), builder), wrap(builder.size(rows, 0), builder)
        first: Any = key.first
        if isinstance(first, Poly):
            first = wrap(builder.sizes.of(first), builder)
        before, after = _unread(builder, key, first), _unread(builder, key, total - count - first)
        rows = builder.call("cat", [before, rows, after] if key.first != 0 else [rows, after], 0)
    if key.axis:
        order = [*range(1, key.axis + 1), 0, *range(key.axis + 1, len(base))]
        rows = builder.call("permute", rows, order)
    return rows


def _unread(builder: GradientBuilder, key: Row, count: Any) -> Value:
    """Zeros for `count` rows."""
    rank = len(key.base.type.dims or ())
    shape = [_value(count, builder), *(builder.size(key.base, k) for k in range(rank) if k != key.axis)]
    return builder.call("zeros", shape, dtype=key.base.type.dtype)


def _value(x: Any, builder: Builder) -> Value:
    return x.value if isinstance(x, (Scalar, Tracer)) else builder.constant(x)
