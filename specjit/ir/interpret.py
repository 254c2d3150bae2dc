"""The reference interpreter: what a graph means, one node at a time, on NumPy arrays.

Enters: a Graph and its inputs (np.ndarray for tensors, plain Python for the rest). Leaves: the list of its outputs.
Invariant: every value is what `op.eager` returned; the interpreter shares no code with the generic path, the passes,
or the kernels, so it can judge them. With `check=True` every tensor is compared with its recorded type, symbols bound
by first use.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from specjit.ir.dims import Dim, Poly, evaluate
from specjit.ir.graph import Block, Graph, Node, Value
from specjit.ir.structure import EXCEPTIONAL, FINALLY, IF, LOOP, TRY
from specjit.ir.types import Type


class TypeMismatch(AssertionError):
    """A value does not have the type that the graph records for it."""


def interpret(graph: Graph, *inputs: Any, check: bool = False) -> list[Any]:
    """Run `graph`. Arguments written in place by the graph are written in place here too."""
    return Interpreter(check).run(graph, *inputs)


class Interpreter:
    """One run. A subclass may give plain nodes (`operation`) or nodes with one block (`enclosed`) another meaning."""

    def __init__(self, check: bool = False) -> None:
        self.check = check
        self.env: dict[Value, Any] = {}
        self.symbols: dict[str, int] = {}

    def run(self, graph: Graph, *inputs: Any) -> list[Any]:
        if len(inputs) != len(graph.inputs):
            raise TypeError(f"graph @{graph.name} takes {len(graph.inputs)} inputs, got {len(inputs)}")
        for value, given in zip(graph.inputs, inputs):
            self.symbols_of(value.type, given)
        for value, given in zip(graph.inputs, inputs):
            self.set(value, given, None)
        return self.block(graph.block)

    def get(self, value: Value) -> Any:
        return value.const if value.is_const else self.env[value]

    def set(self, value: Value, data: Any, node: Node | None) -> None:
        if value.type.is_tensor and not isinstance(data, np.ndarray):
            data = np.asarray(data)
        if self.check:
            self.compare(value.type, data, node)
        self.env[value] = data

    def block(self, block: Block) -> list[Any]:
        for node in block.nodes:
            results = self.node(node)
            for value, data in zip(node.results, results, strict=True):
                self.set(value, data, node)
        return [self.get(o) for o in block.outputs]

    def node(self, node: Node) -> Sequence[Any]:
        if node.op is IF:
            return self.block(node.blocks[0 if self.get(node.args[0]) else 1])
        if node.op is LOOP:
            return self.loop(node)
        if node.op in EXCEPTIONAL:
            return self.exceptional(node)
        args = [self.get(a) for a in node.args]
        if node.blocks:
            return self.enclosed(node, args)
        out = self.operation(node, args)
        several = len(node.results) != 1 or (isinstance(out, list | tuple) and node.results[0].type.is_tensor)
        return (out or []) if several else [out]

    def operation(self, node: Node, args: list[Any]) -> Any:
        return node.op.eager(*args)  # type: ignore[attr-defined]

    def enclosed(self, node: Node, args: list[Any]) -> Sequence[Any]:
        (body,) = node.blocks
        self.env.update(zip(body.params, args, strict=True))
        return self.block(body)

    def exceptional(self, node: Node) -> list[Any]:
        first, second = node.blocks
        if node.op is TRY:
            try:
                return self.block(first)
            except BaseException as error:
                self.env[second.params[0]] = error
                return self.block(second)
        if node.op is FINALLY:
            try:
                out = self.block(first)
            finally:
                last = self.block(second)
            return out + last
        with self.get(node.args[0]) as self.env[first.params[0]]:
            return self.block(first)
        return self.block(second)

    def loop(self, node: Node) -> list[Any]:
        (body,) = node.blocks
        trip, cond, *carried = (self.get(a) for a in node.args)
        rows: list[list[Any]] = []
        i = 0
        while cond and (trip is None or i < trip):
            index = trip - 1 - i if node.attrs.get("reverse") else i
            for param, data in zip(body.params, [index, *carried], strict=True):
                self.set(param, data, node)
            cond, *outs = self.block(body)
            carried = outs[: len(carried)]
            rows.append(outs[len(carried) :])
            i += 1
        stacked = node.results[len(carried) :]
        missing = 0 if trip is None else max(trip, 0) - i
        return carried + [
            self.stack(node, result, [row[k] for row in rows], missing) for k, result in enumerate(stacked)
        ]

    def stack(self, node: Node, result: Value, rows: list[np.ndarray], missing: int) -> np.ndarray:
        """The rows of a loop's turns. Those of turns that were not made are poison, to be noticed if something depends
        on them."""
        dtype, dims = result.type.dtype, result.type.dims
        if rows:
            shape, kind = np.shape(rows[0]), np.asarray(rows[0]).dtype
        elif dtype is None or dims is None:
            raise TypeMismatch(f"a loop without a turn stacks no rows, and the type {result.type} hides their shape")
        else:
            shape, kind = tuple(self.size(d) for d in dims[1:]), dtype.numpy
        poison = np.full(shape, np.nan if kind.kind == "f" else np.iinfo(np.int8).max, kind)
        filled = [*rows, *[poison] * missing]
        if node.attrs.get("reverse"):
            filled.reverse()
        return np.stack(filled) if filled else np.empty([0, *shape], kind)

    def size(self, dim: Dim) -> int:
        if dim is None:
            raise TypeMismatch("an unknown size is needed")
        return evaluate(dim, self.symbols)

    def symbols_of(self, type: Type, data: Any) -> None:
        """Bind the symbols that an input's type names alone (`T`, not `T+1`)."""
        sizes: tuple[Dim, ...] = (type.dim,) if type.kind == "int" else (type.dims or ()) if type.is_tensor else ()
        found = (data,) if type.kind == "int" else np.shape(data) if type.is_tensor else ()
        for dim, size in zip(sizes, found):
            if isinstance(dim, Poly) and list(dim.terms.values()) == [1] and len(next(iter(dim.terms))) == 1:
                self.symbols.setdefault(next(iter(dim.terms))[0], int(size))

    def compare(self, type: Type, data: Any, node: Node | None) -> None:
        problem = self.problem(type, data)
        if problem:
            raise TypeMismatch(f"{node.op.name if node else 'input'} at {node.loc if node else '?'}: {type}: {problem}")

    def problem(self, type: Type, data: Any) -> str:
        if type.kind == "int" and type.dim is not None and not self.holds(type.dim, data):
            return f"the value is {data}"
        if not type.is_tensor:
            return ""
        if type.dtype is not None and data.dtype != type.dtype.numpy:
            return f"the dtype is {data.dtype}"
        if type.dims is not None and len(type.dims) != data.ndim:
            return f"the rank is {data.ndim}"
        if type.dims is not None and not all(map(self.holds, type.dims, data.shape)):
            return f"the shape is {data.shape} with {self.symbols}"
        return ""

    def holds(self, dim: Dim, size: int) -> bool:
        """Whether a size is what its expression says; sizes over symbols that no input binds are not judged."""
        if dim is None or (isinstance(dim, Poly) and not dim.symbols() <= self.symbols.keys()):
            return True
        return evaluate(dim, self.symbols) == size
