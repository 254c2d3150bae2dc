"""Appending typed nodes: the one place that turns `op.infer` answers into result types.

Enters: an op record and argument values. Leaves: a node at the end of a block, its results typed.
Invariant: an emitted node's types are what the verifier will infer again. Structural nodes are made by `ir.structure`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from specjit.ir import signature
from specjit.ir.graph import Block, Location, Node, OpLike, Value
from specjit.ir.types import Type, type_of


def abstract(value: Value) -> Any:
    """What `op.infer` sees of an argument: a constant is itself, a list built here is a list, everything else its
    type. A list that starts empty is there to be filled."""
    if value.is_const:
        return value.type if isinstance(value.const, np.ndarray) else value.const
    node = value.node
    if node is not None and (node.op.name == "py.tuple" or (node.op.name == "py.list" and node.args)):
        items = [abstract(a) for a in node.args]
        return items if node.op.name == "py.list" else tuple(items)
    if value.type.kind == "int" and isinstance(value.type.dim, int):
        return value.type.dim
    return value.type


def result_types(op: OpLike, args: Sequence[Value]) -> tuple[list[Type], bool]:
    """Types of the results of `op(*args)`, and whether the op answers with several values (a list or a tuple)."""
    inferred = op.infer(*map(abstract, args))
    several = isinstance(inferred, (list, tuple))
    found = list(inferred) if several else [inferred]
    return [t if isinstance(t, Type) else type_of(t) for t in found], several


class Builder:
    """Appends nodes to `block`. `loc` is given to every node; `lookup` finds the records of `py.*` ops by name."""

    def __init__(self, block: Block, lookup: Callable[[str], OpLike], loc: Location | None = None) -> None:
        self.block = block
        self.lookup = lookup
        self.loc = loc

    def emit(self, op: OpLike, args: Sequence[Value]) -> Node:
        types, _ = result_types(op, args)
        return self.block.append(op, args, types, loc=self.loc)

    def call(self, name: str, *args: Any, **named: Any) -> Value:
        """Append the op called `name` on values and Python constants, defaults filled in; its one result."""
        op = self.lookup(name)
        values = [a if isinstance(a, Value) else self.constant(a) for a in args]
        keywords = {k: a if isinstance(a, Value) else self.constant(a) for k, a in named.items()}
        return self.emit(op, signature.complete(op, values, keywords)).result

    def constant(self, value: Any) -> Value:
        """A Python value as an argument; a list that holds IR values becomes a `py.list` node."""
        if isinstance(value, (list, tuple)) and any(isinstance(v, Value) and not v.is_const for v in value):
            items = [v if isinstance(v, Value) else self.constant(v) for v in value]
            kind = "py.list" if isinstance(value, list) else "py.tuple"
            return self.emit(self.lookup(kind), items).result
        if isinstance(value, (list, tuple)):
            value = type(value)(v.const if isinstance(v, Value) else v for v in value)
        return Value.constant(value)

    def size(self, tensor: Value, axis: int) -> Value:
        """The size of `tensor` along `axis`, as an int value."""
        dim = None if tensor.type.dims is None else tensor.type.dims[axis]
        return self.constant(dim) if isinstance(dim, int) else self.call("size", tensor, axis)
