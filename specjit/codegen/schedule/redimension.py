"""The same elementwise computation over other dimensions: `relu(y.reshape(n, c, h, w) + b)` computed where `y` is, in
the shape that `y` has.

Enters: a `Map` and dims with as many elements. Leaves: the map in these dims, if every array that it reads can be
looked at in them and the place that it must write, too.
Invariant: the row-major order of the result's elements stays, so that every view of the result stays right.
"""

from __future__ import annotations

from dataclasses import dataclass

from specjit.codegen.schedule.items import Map
from specjit.codegen.schedule.model import Home, Scalar, View
from specjit.ir.dims import Size, product
from specjit.ir.viewref import ViewRef


@dataclass(frozen=True)
class Shape:
    """What changes of a map and its result when it is computed over other dims."""

    dims: tuple[Size, ...]
    operands: list[View | Scalar | int]
    want: Home | None

    @staticmethod
    def of(item: Map) -> Shape:
        return Shape(item.out.dims, item.operands, item.out.want)

    def give(self, item: Map) -> None:
        item.out.dims, item.operands, item.out.want = self.dims, self.operands, self.want


def over(item: Map, dims: tuple[Size, ...]) -> Shape | None:
    """The map over these dims; None where it is over them already, or cannot be."""
    if dims == item.out.dims or product(dims) != product(item.out.dims):
        return None
    operands: list[View | Scalar | int] = []
    for operand in item.operands:
        if isinstance(operand, int):
            return None  # a number of one of the dims
        if isinstance(operand, View):
            ref = operand.ref.reshape(dims)
            if ref is None:
                return None
            operand = operand.with_ref(ref)
        operands.append(operand)
    want = item.out.want
    if want is not None and want.strides is not None:
        ref = ViewRef(item.out.dims, want.strides).reshape(dims)
        if ref is None or any(s is None for s in ref.strides):
            return None
        want = Home(want.base, want.offset, ref.strides)  # type: ignore[arg-type]
    return Shape(dims, operands, want)
