"""Doing for all turns of a loop at once what its body does row by row.

Enters: a loop and nodes of its body that are row-independent: elementwise work, reductions inside a row, and matrix
products, whose operands are rows (one per turn) or invariant. Leaves: the same computation on whole sequences, where
row t of a result, along a new leading dimension, is what turn t computes.
Invariant: which nodes qualify follows from their lowering kind, shapes and dtypes; elementwise results keep their bits.
"""

from __future__ import annotations

from collections.abc import Callable, Container
from dataclasses import dataclass

from specjit.ir.builder import Builder
from specjit.ir.dims import Size
from specjit.ir.graph import Block, Node, Value
from specjit.ir.structure import stacked, trip_dim
from specjit.ir.types import Type
from specjit.ops.records.lowering import Contraction, Pointwise, Reduction, Viewing
from specjit.passes.raising import dim_position, not_negative, reduced_dims, selected_row, size_expression


@dataclass(frozen=True)
class Read:
    """What the turns of a loop read of `base`: its rows along `axis` from `first` on, one per turn, in order; or, where
    `turned`, the last of these rows in turn 0."""

    base: Value
    axis: int
    first: Size
    turned: bool


class Loop:
    """A counted loop that always runs its full trip, with what is invariant in it."""

    def __init__(self, node: Node) -> None:
        self.node = node
        (self.body,) = node.blocks
        self.trip = trip_dim(node)
        self.inside: set[Value] = set(self.body.params)
        for inner in self.body.walk():
            self.inside.update(inner.results)
            for block in inner.blocks:
                self.inside.update(block.params)

    @property
    def full(self) -> bool:
        """Whether every turn happens: nothing but the trip count ends the loop."""
        ends = (self.node.args[1], self.body.outputs[0])
        return self.node.args[0].type.kind == "int" and all(c.is_const and c.const is True for c in ends)

    def invariant(self, value: Value) -> bool:
        return value.is_const or value not in self.inside

    def row_read(self, node: Node) -> Read | None:
        """What the loop reads by a node `select(x, axis, index)`, if x is invariant and the index moves by one row
        in every turn, inside x and without passing its end."""
        found = selected_row(node)
        if found is None or self.trip is None or not self.invariant(found[0]):
            return None
        base, axis, index = found
        place, size = affine(index, (self.body.params[0],)), (base.type.dims or ())[axis]
        if place is None or size is None:
            return None
        _, sign, offset = place
        first, last = (offset, offset + self.trip - 1) if sign > 0 else (offset - self.trip + 1, offset)
        if not_negative(-1 - last):  # counted from the end
            first, last = first + size, last + size
        inside = not_negative(first) and not_negative(size - 1 - last)
        return Read(base, axis, first, sign < 0) if inside else None

    def whole(self, read: Read) -> bool:
        """Whether the loop reads all rows that there are."""
        return read.first == 0 and (read.base.type.dims or ())[read.axis] == self.trip

    def row_source(self, node: Node) -> tuple[Value, int] | None:
        """(x, dimension) where the node is `select(x, dimension, i)` for an invariant x that has exactly one row per
        turn."""
        read = self.row_read(node)
        return (read.base, read.axis) if read is not None and self.whole(read) and not read.turned else None

    def sequence_type(self, value: Value) -> Type:
        """The type of all turns' values of a value of the body."""
        return stacked(value.type, self.trip)

    def stack_of(self, value: Value) -> Value | None:
        """The result of the loop that stacks `value`, a value of the body."""
        carried = len(self.node.args) - 2
        pairs = zip(self.node.results[carried:], self.body.outputs[1 + carried :], strict=True)
        return next((result for result, out in pairs if out is value), None)

    def stack(self, value: Value) -> Value:
        """The result of the loop that stacks `value`, a value of the body; made if there is none."""
        known = self.stack_of(value)
        if known is not None:
            return known
        made = Value(self.sequence_type(value), self.node, value.hint and f"{value.hint}s")
        self.node.results.append(made)
        self.body.outputs.append(value)
        return made


def affine(value: Value, indices: Container[Value]) -> tuple[Value, int, Size] | None:
    """An int as (induction variable, its factor 1 or -1, what is added), if it has that form."""
    if value in indices:
        return value, 1, 0
    node = value.node
    if node is None or node.op.name not in ("py.add", "py.sub", "py.mul", "py.neg"):
        return None
    if node.op.name == "py.neg":
        found = affine(node.args[0], indices)
        return found and (found[0], -found[1], -found[2])
    left, right = node.args
    for a, b in ((left, right), (right, left)):
        found, size = affine(a, indices), size_expression(b)
        if found is None or size is None:
            continue
        index, sign, offset = found
        if node.op.name == "py.add":
            return index, sign, offset + size
        if node.op.name == "py.sub":
            return (index, sign, offset - size) if a is left else (index, -sign, size - offset)
        if isinstance(size, int) and abs(size) == 1:
            return index, sign * size, offset * size
    return None


def batchable(node: Node, is_row: Callable[[Value], bool], invariant: Callable[[Value], bool]) -> bool:
    """Whether `batch` can do this node, given which of its operands are rows; every other operand must be invariant."""
    if len(node.results) != 1 or node.blocks or not node.op.traits.pure or not _typed(node):
        return False
    rows = [a for a in node.args if not a.is_const and is_row(a)]
    if not rows or not all(is_row(a) or invariant(a) for a in node.args):
        return False
    lower = node.op.lower  # type: ignore[attr-defined]
    if isinstance(lower, Pointwise):
        tensors = [a for a in node.args if a.type.is_tensor]
        # A 0-d row becomes a dimension of a batch and would then count in type promotion.
        return all(a.type.dims for a in rows) or len({a.type.dtype for a in tensors}) == 1
    if isinstance(lower, Contraction):
        return _batchable_product(node, is_row)
    if isinstance(lower, Reduction):
        return bool(node.args[0].type.dims) and reduced_dims(node) is not None
    return False


def batch(node: Node, batched: Callable[[Value], Value | None], builder: Builder) -> Value:
    """Append the node's computation for all turns; `batched(row)` is a row's sequence, None for what is invariant."""
    lower = node.op.lower  # type: ignore[attr-defined]
    if isinstance(lower, Contraction):
        return _batch_product(node, batched, builder)
    rank = len(node.result.type.dims or ())
    if isinstance(lower, Reduction):
        args = [batched(node.args[0]) or node.args[0], *node.args[1:]]
        args[dim_position(node)] = Value.constant([d + 1 for d in reduced_dims(node) or ()])
    else:
        args = [_aligned(a, batched(a), rank, builder) for a in node.args]
    return builder.emit(node.op, args).result


def batchable_view(node: Node, is_row: Callable[[Value], bool]) -> bool:
    """Whether `batch_view` can do this node: a view of a row that takes its dimensions one by one."""
    if not isinstance(getattr(node.op, "lower", None), Viewing) or node.op.traits.view_of != 0 or not _typed(node):
        return False
    if not is_row(node.args[0]) or not all(a.is_const for a in node.args[1:]):
        return False
    at = dim_position(node)
    return node.op.name == "permute" or (at >= 0 and isinstance(node.args[at].const, int))


def batch_view(node: Node, sequence: Value, builder: Builder) -> list[Value]:
    """Append the node's views for all turns, of the sequence of its argument."""
    rank = _rank(node.args[0])
    args = [sequence, *node.args[1:]]
    if node.op.name == "permute":
        args[1] = Value.constant([0, *(d % rank + 1 for d in node.args[1].const)])
    else:
        at = dim_position(node)
        places = rank + (node.op.name == "unsqueeze")  # where the new dimension may stand
        args[at] = Value.constant(node.args[at].const % max(places, 1) + 1)
    return builder.emit(node.op, args).results


def front(x: Value, dim: int, builder: Builder) -> Value:
    """A view of `x` with dimension `dim` first."""
    rank = len(x.type.dims or ())
    return x if dim == 0 else builder.call("permute", x, [dim, *(d for d in range(rank) if d != dim)])


def _typed(node: Node) -> bool:
    return all(
        v.type.dtype is not None and v.type.dims is not None for v in (*node.args, *node.results) if v.type.is_tensor
    )


def _aligned(value: Value, sequence: Value | None, rank: int, builder: Builder) -> Value:
    """A row of fewer dimensions broadcasts from the right; its sequence needs the missing ones between."""
    if sequence is None:
        return value
    for _ in range(rank - len(value.type.dims or ())):
        sequence = builder.call("unsqueeze", sequence, 1)
    return sequence


def _rank(value: Value) -> int:
    return len(value.type.dims or ())


def _batchable_product(node: Node, is_row: Callable[[Value], bool]) -> bool:
    a, b = node.args[:2]
    if is_row(a) and is_row(b):
        return _rank(a) == _rank(b) and _rank(a) >= 2
    row, other = (a, b) if is_row(a) else (b, a)
    return 1 <= _rank(other) <= 2 and _rank(row) >= 1


def _batch_product(node: Node, batched: Callable[[Value], Value | None], builder: Builder) -> Value:
    """A sequence has one dimension more than `mm` and `bmm` take: the product is a `matmul`."""
    a, b = node.args[:2]
    left, right = batched(a), batched(b)
    if left is None and _rank(b) == 1:
        # w @ x for vectors x: one row of the sequence per turn, so x @ w.T
        a, right, left = b, builder.call("permute", a, [1, 0]) if _rank(a) == 2 else a, right
    return builder.call("matmul", left or a, right or b)


def uses_in(body: Block, value: Value) -> int:
    """How often `value` is used in `body` and inside it, outputs included."""
    count = sum(o is value for o in body.outputs)
    for node in body.nodes:
        count += sum(a is value for a in node.args) + sum(uses_in(b, value) for b in node.blocks)
    return count
