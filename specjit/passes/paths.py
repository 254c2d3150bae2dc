"""Views as steps from the storage they look at, which can be taken again on other content, and written back through.

Enters: view nodes. Leaves: `Step`: `apply(builder, base)` is the view of another base, and `put(builder, base,
content)` the base with `content` where the view looks.
Invariant: a step is exactly a view: what may or may not copy (`reshape` of a layout that is not known) is refused, and
so is what shows one element in two places (`expand`). A refusal is a `Refusal` with the reason.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from specjit.ir.builder import Builder
from specjit.ir.graph import Location, Node, OpLike, Value
from specjit.ops.records.lowering import Creation
from specjit.ops.records.registry import get


class Refusal(Exception):
    """Why a write stays a write. `loc` is where in the user's program."""

    def __init__(self, reason: str, loc: Location | None = None) -> None:
        super().__init__(reason)
        self.reason, self.loc = reason, loc


class Step:
    """One view: result `index` of `op(base, *rest)`. `place` is where it was made (see `functionalize`)."""

    def __init__(
        self, op: OpLike, rest: list[Value], index: int = 0, loc: Location | None = None, place: int = 0
    ) -> None:
        self.op, self.rest, self.index, self.loc, self.place = op, rest, index, loc, place

    def apply(self, builder: Builder, base: Value) -> Value:
        # Of row-major storage every `view` is a `reshape`, which also takes what has another layout here.
        op = get("reshape") if self.op.name == "view" else self.op
        return builder.emit(op, [base, *self.rest]).results[self.index]

    def put(self, builder: Builder, base: Value, content: Value) -> Value:
        """`base` with `content`, a value of the view's shape and dtype, where the view looks."""
        return PUT[self.op.name](self, builder, base, content)

    def const(self, position: int) -> Any:
        """A constant argument; 0 is the first after the base."""
        value = self.rest[position]
        if not value.is_const:
            raise Refusal("it is written through a view along a dimension that is a run-time number", self.loc)
        return value.const

    @property
    def portable(self) -> bool:
        """Whether the step needs nothing of the block it was made in."""
        return all(a.is_const for a in self.rest)


def step_of(node: Node, result: Value, rest: list[Value], row_major: bool, place: int) -> Step:
    """The step of a view node. row_major: the base is known to lie in row-major order, so that reshapes are views."""
    name = node.op.name
    if name not in PUT:
        raise Refusal(f"it is written through {name.removeprefix('py.')}, which is not exactly a view", node.loc)
    if name in MAY_COPY and not row_major:
        raise Refusal(f"it is written through {name}, whose layout decides whether it is a view", node.loc)
    return Step(node.op, rest, node.results.index(result), node.loc, place)


def keeps_row_major(op: OpLike) -> bool:
    """Whether a view of row-major storage by this op is row-major again."""
    return op.name in (*MAY_COPY, "unsqueeze", "squeeze", "alias", "detach")


def makes_row_major(node: Node) -> bool:
    """Whether a node makes storage in row-major order, whatever its arguments' layout."""
    lower = getattr(node.op, "lower", None)
    return isinstance(lower, Creation) and not any(a.type.is_tensor for a in node.args)


# -- writing back, per op ---------------------------------------------------------------------------------------------

Put = Callable[[Step, Builder, Value, Value], Value]


def _select(step: Step, b: Builder, base: Value, content: Value) -> Value:
    return b.call("select_scatter", base, content, *step.rest)


def _slice(step: Step, b: Builder, base: Value, content: Value) -> Value:
    return b.call("slice_scatter", base, content, *step.rest)


def _narrow(step: Step, b: Builder, base: Value, content: Value) -> Value:
    dim, start, length = step.rest
    if not (start.is_const and length.is_const) or start.const < 0:
        raise Refusal("it is written through a narrow at a run-time position", step.loc)
    return b.call("slice_scatter", base, content, dim, start, start.const + length.const)


def _unbind(step: Step, b: Builder, base: Value, content: Value) -> Value:
    return b.call("select_scatter", base, content, step.const(0), step.index)


def _parts(step: Step, b: Builder, base: Value, content: Value) -> Value:
    """Chunk and split: a part begins where those before it end."""
    dim = step.const(1)
    cut = b.emit(step.op, [base, *step.rest])
    sizes = [n for r in cut.results[: step.index + 1] if r.type.dims and isinstance(n := r.type.dims[dim], int)]
    if len(sizes) <= step.index:
        raise Refusal("it is written through a part of a size that is not known", step.loc)
    end = sum(sizes)
    return b.call("slice_scatter", base, content, dim, end - sizes[-1], end)


def _permute(step: Step, b: Builder, base: Value, content: Value) -> Value:
    order = step.const(0)
    rank = len(order)
    inverse = sorted(range(rank), key=[d % rank for d in order].__getitem__)
    return _fresh(b, b.call("permute", content, inverse))


def _transpose(step: Step, b: Builder, base: Value, content: Value) -> Value:
    return _fresh(b, b.call("transpose", content, *step.rest))


def _t(step: Step, b: Builder, base: Value, content: Value) -> Value:
    return _fresh(b, b.call("t", content))


def _reshaped(step: Step, b: Builder, base: Value, content: Value) -> Value:
    dims = base.type.dims
    if dims is None or sum(not isinstance(d, int) for d in dims) > 1:
        raise Refusal("it is written through a view of sizes that are not known", step.loc)
    return _fresh(b, b.call("reshape", content, [d if isinstance(d, int) else -1 for d in dims]))


def _same(step: Step, b: Builder, base: Value, content: Value) -> Value:
    return content


def _detach(step: Step, b: Builder, base: Value, content: Value) -> Value:
    if base.type.requires_grad is not False:
        raise Refusal("it is written through detach while it requires grad", step.loc)
    return content


def _fresh(b: Builder, view: Value) -> Value:
    """The content of a whole storage is storage of its own, in row-major order."""
    return b.call("cat", [view], 0) if view.type.dims else b.call("clone", view)


PUT: dict[str, Put] = {
    "select": _select,
    "slice": _slice,
    "narrow": _narrow,
    "unbind": _unbind,
    "chunk": _parts,
    "split": _parts,
    "permute": _permute,
    "transpose": _transpose,
    "t": _t,
    "unsqueeze": _reshaped,
    "squeeze": _reshaped,
    "view": _reshaped,
    "reshape": _reshaped,
    "flatten": _reshaped,
    "contiguous": _same,
    "alias": _same,
    "detach": _detach,
}
MAY_COPY = ("reshape", "flatten", "contiguous", "view")  # or fail, depending on the layout


# -- indices ----------------------------------------------------------------------------------------------------------


def steps_of_index(index: Value, rank: int, loc: Location | None) -> list[Step] | None:
    """The views that `x[index]` stands for, for an x of this rank; None where the index is more than ints and
    slices."""
    items = _items(index)
    if items is None or sum(_is_dots(i) for i in items) > 1:
        return None
    used = sum(not (_is_dots(i) or _is_none(i)) for i in items)
    if used > rank:
        raise Refusal(f"it has {rank} dimensions and is indexed by {used}", loc)
    at = next((k for k, i in enumerate(items) if _is_dots(i)), len(items))
    items[at : at + 1] = [Value.constant(slice(None))] * (rank - used)
    steps: list[Step] = []
    dim = 0
    for item in items:
        where = Value.constant(dim)
        if _is_none(item):
            steps.append(Step(get("unsqueeze"), [where], loc=loc))
        elif (bounds := _bounds(item)) is None:
            steps.append(Step(get("select"), [where, item], loc=loc))
            continue
        elif not all(b.is_const and b.const is None for b in bounds):
            start, stop, by = bounds
            by = Value.constant(1) if by.is_const and by.const is None else by
            steps.append(Step(get("slice"), [where, start, stop, by], loc=loc))
        dim += 1
    return steps


def _items(index: Value) -> list[Value] | None:
    """The entries of an index, each an int, a slice, None or Ellipsis."""
    if index.is_const:
        found = [Value.constant(i) for i in (index.const if isinstance(index.const, tuple) else (index.const,))]
    elif index.node is not None and index.node.op.name == "py.tuple":
        found = list(index.node.args)
    else:
        found = [index]
    return found if all(map(_basic, found)) else None


def _basic(item: Value) -> bool:
    if item.is_const:
        return item.const is None or item.const is Ellipsis or type(item.const) in (int, slice)
    return item.type.kind == "int" or (item.node is not None and item.node.op.name == "py.slice")


def _bounds(item: Value) -> list[Value] | None:
    """Start, stop and step of a slice; None for a position."""
    if item.is_const and isinstance(item.const, slice):
        return [Value.constant(b) for b in (item.const.start, item.const.stop, item.const.step)]
    return list(item.node.args) if not item.is_const and item.node and item.node.op.name == "py.slice" else None


def _is_none(item: Value) -> bool:
    return item.is_const and item.const is None


def _is_dots(item: Value) -> bool:
    return item.is_const and item.const is Ellipsis
