"""Random well-typed graphs, and how a failing one gets small.

`random_graph(seed)` makes elementwise work, products, reductions, views, branches, loops that carry and stack, and
(`writes=True`) writes in place. Every graph verifies and runs on any sizes of its symbols T and B; where one reduces
nothing to a maximum, both sides of a comparison raise the same.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

from specjit.dtypes import bool_, float64
from specjit.ir.builder import Builder
from specjit.ir.dims import symbol
from specjit.ir.graph import Block, Graph, Value, copy_graph, replace_uses, uses
from specjit.ir.structure import make_if, make_loop
from specjit.ir.types import BOOL, INT, Type
from specjit.ir.verify import find_faults
from specjit.ops.records import registry

T, B, K = symbol("T"), symbol("B"), 4
UNARY = ("tanh", "neg", "sigmoid", "relu", "abs", "clone", "square")
BINARY = ("add", "sub", "mul", "maximum")
NUMBERS = (0, 1, 2, 1.0, -0.0, 0.5, -1)
KINDS = ("unary", "binary", "binary", "number", "matmul", "matmul", "reduce", "view", "view", "pieces", "where")
DEPTH = 2


def random_graph(seed: int, *, writes: bool = False) -> Graph:
    """The graph of a seed; the same on every machine."""
    return _Maker(random.Random(seed), writes).make()


class _Maker:
    """Makes one graph. A step whose shapes do not fit is given up."""

    def __init__(self, rng: random.Random, writes: bool) -> None:
        self.rng = rng
        self.kinds = KINDS + ("write",) * writes
        self.graph = Graph("random")
        block = self.graph.block
        shapes = {"x": (T, B, K), "h": (B, K), "w": (K, K), "u": (K, K), "b": (K,)}
        self.tensors = [block.param(Type.tensor(float64, dims, "cpu", False), name) for name, dims in shapes.items()]
        self.graph.attrs["params"] = set(self.tensors[2:])
        self.mask = block.param(Type.tensor(bool_, (B, K), "cpu", False), "m")
        self.trip = block.param(Type.int(T), "n")
        self.flags = [block.param(BOOL, "c"), block.param(BOOL, "d")]

    def make(self) -> Graph:
        scope = list(self.tensors)
        self.fill(self.graph.block, scope, DEPTH, [])
        self.graph.block.outputs = [self.rng.choice(scope[-6:]) for _ in range(self.rng.randint(1, 3))]
        return self.graph

    def pick(self, scope: list[Value], fits: Callable[[Any], bool] = lambda dims: True) -> Value:
        """One of the values with fitting dims, more likely a late one; IndexError if there is none."""
        found = [v for v in scope if fits(v.type.dims)]
        return self.rng.choice(found[-4:] if self.rng.random() < 0.7 else found)

    def fill(self, block: Block, scope: list[Value], depth: int, indices: list[Value]) -> None:
        for _ in range(self.rng.randint(2, 7)):
            kinds = (
                self.kinds + ("row", "row", "cell", "cell") * len(indices) + ("branch", "loop", "loop") * (depth > 0)
            )
            kind = self.rng.choice(kinds)
            builder = Builder(block, registry.get)
            before, known = len(block.nodes), len(scope)
            try:
                if kind in ("branch", "loop"):
                    scope += getattr(self, kind)(block, scope, depth, indices)
                elif kind in ("row", "cell"):
                    scope += getattr(self, kind)(builder, scope, indices)
                else:
                    scope += getattr(self, kind)(builder, scope)
                if any(v.type.dims is None or None in v.type.dims for v in scope):
                    raise ValueError("typed graphs know every size")
            except (RuntimeError, IndexError, ValueError, TypeError):
                del block.nodes[before:], scope[known:]

    def row(self, b: Builder, scope: list[Value], indices: list[Value]) -> list[Value]:
        return [b.call("select", self.pick(scope, lambda dims: dims[:1] == (T,)), 0, self.rng.choice(indices))]

    def cell(self, b: Builder, scope: list[Value], indices: list[Value]) -> list[Value]:
        """What recurrent nets are made of: a row, or any value of the turn, times weights, with a bias or a state
        added."""
        left = self.row(b, scope, indices)[0] if self.rng.random() < 0.7 else self.pick(scope, lambda d: d[-1:] == (K,))
        if self.rng.random() < 0.3:
            left = b.call(self.rng.choice(UNARY), left)
        product = b.call("matmul", left, self.rng.choice(self.tensors[2:4]))
        other = self.pick(scope, lambda dims: dims in (product.type.dims, (K,)))
        return [b.call("add", product, other) if self.rng.random() < 0.7 else product]

    def unary(self, b: Builder, scope: list[Value]) -> list[Value]:
        return [b.call(self.rng.choice(UNARY), self.pick(scope))]

    def binary(self, b: Builder, scope: list[Value]) -> list[Value]:
        x = self.pick(scope)
        return [b.call(self.rng.choice(BINARY), x, self.pick(scope, lambda dims: dims in (x.type.dims, (K,))))]

    def number(self, b: Builder, scope: list[Value]) -> list[Value]:
        return [b.call(self.rng.choice(BINARY[:3]), self.pick(scope), self.rng.choice(NUMBERS))]

    def matmul(self, b: Builder, scope: list[Value]) -> list[Value]:
        left = self.pick(scope, lambda dims: dims[-1:] == (K,))
        return [b.call("matmul", left, self.rng.choice([v for v in scope if v.type.dims == (K, K)]))]

    def reduce(self, b: Builder, scope: list[Value]) -> list[Value]:
        x = self.pick(scope)
        dim = self.rng.randint(-1, max(len(x.type.dims or ()) - 1, 0))
        return [b.call(self.rng.choice(["sum", "sum", "mean", "amax"]), x, [dim], self.rng.random() < 0.5)]

    def view(self, b: Builder, scope: list[Value]) -> list[Value]:
        x = self.pick(scope)
        rank = len(x.type.dims or ())
        order = self.rng.sample(range(rank), rank)
        name, *args = self.rng.choice(
            [
                ("permute", order),
                ("transpose", 0, -1),
                ("unsqueeze", 0),
                ("select", rank - 1, 1),
                ("slice", rank - 1, 0, self.rng.choice([2, 4])),
                ("reshape", [-1, K]),
                ("detach",),
            ]
        )
        return [b.call(name, x, *args)]

    def pieces(self, b: Builder, scope: list[Value]) -> list[Value]:
        x = self.pick(scope, lambda dims: dims[-1:] == (K,))
        parts = b.emit(registry.get("chunk"), [x, Value.constant(2), Value.constant(-1)]).results
        mixed = b.constant([self.rng.choice(parts), b.call("tanh", self.rng.choice(parts))])
        return [b.call("cat", mixed, -1) if self.rng.random() < 0.7 else b.call("stack", mixed, 0)]

    def where(self, b: Builder, scope: list[Value]) -> list[Value]:
        def fits(dims: Any) -> bool:
            return dims in ((B, K), (K,), (T, B, K))

        return [b.call("where", self.mask, self.pick(scope, fits), self.pick(scope, fits))]

    def write(self, b: Builder, scope: list[Value]) -> list[Value]:
        return [b.call(self.rng.choice(["add_", "mul_"]), self.pick(scope), self.rng.choice([2, 1, 0.5]))]

    def branch(self, block: Block, scope: list[Value], depth: int, indices: list[Value]) -> list[Value]:
        sides, scopes = [Block(), Block()], [list(scope), list(scope)]
        for side, inner in zip(sides, scopes):
            self.fill(side, inner, depth - 1, indices)
        left = self.pick(scopes[0])
        right = self.pick(scopes[1], lambda dims: dims == left.type.dims)
        sides[0].outputs, sides[1].outputs = [left], [right]
        condition = self.rng.choice([*self.flags, Value.constant(True)])
        return make_if(block, condition, *sides).results

    def loop(self, block: Block, scope: list[Value], depth: int, indices: list[Value]) -> list[Value]:
        carried = [self.pick(scope) for _ in range(self.rng.randint(0, 3))]
        body = Block([Value(INT)])
        params = [body.param(v.type) for v in carried]
        inner = scope + params
        self.fill(body, inner, depth - 1, [*indices, body.params[0]])
        body.outputs = [Value.constant(True), *(self.next(body, p, inner) for p in params)]
        body.outputs += [self.pick(inner) for _ in range(self.rng.randint(0, 2))]
        trip = self.rng.choice([self.trip] * 4 + [Value.constant(2), Value.constant(1)])
        reverse = self.rng.random() < 0.3
        return make_loop(block, trip, Value.constant(True), carried, body, reverse=reverse).results

    def next(self, body: Block, param: Value, inner: list[Value]) -> Value:
        """What a carried value becomes: another value of its shape, or its running sum."""
        value = self.pick(inner, lambda dims: dims == param.type.dims)
        if self.rng.random() < 0.5:
            return Builder(body, registry.get).call("add", param, value)
        return value


def shrink(graph: Graph, fails: Callable[[Graph], bool]) -> Graph:
    """A smaller graph that still fails: nodes are taken out one by one, other values of their type put in their
    place."""
    smaller = True
    while smaller:
        smaller = False
        for candidate in _smaller(graph):
            if not find_faults(candidate) and fails(candidate):
                graph, smaller = candidate, True
                break
    return graph


def _smaller(graph: Graph) -> Any:
    for k in range(len(graph.outputs) if len(graph.outputs) > 1 else 0):
        copy = copy_graph(graph)
        del copy.block.outputs[k]
        yield copy
    count = sum(1 for _ in graph.walk())
    for k in reversed(range(count)):
        for choice in range(3):
            copy = copy_graph(graph)
            if _take_out(copy, k, choice):
                yield copy


def _take_out(graph: Graph, k: int, choice: int) -> bool:
    """Remove node number k; its results become the choice-th value of their type among its arguments and the inputs."""
    owner, node = [(b, n) for b in _blocks(graph.block) for n in b.nodes][k]
    used = uses(graph.block)
    mapping: dict[Value, Value] = {}
    for result in node.results:
        if result in used:
            alike = [
                v
                for v in (*node.args, *graph.inputs)
                if (v.type.dims, v.type.dtype) == (result.type.dims, result.type.dtype)
            ]
            if choice >= len(alike):
                return False
            mapping[result] = alike[choice]
    if choice and not mapping:
        return False
    owner.nodes.remove(node)
    replace_uses(graph.block, mapping)
    return True


def _blocks(block: Block) -> list[Block]:
    return [block, *(inner for node in block.nodes for b in node.blocks for inner in _blocks(b))]
