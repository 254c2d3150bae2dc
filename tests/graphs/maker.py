"""Making one random graph: what is in scope, how a step picks from it, and what happens to a step that does not fit.

Enters: a seed and a flavor. Leaves: a verified-to-be graph. Steps (`steps.py`, `control.py`) are functions of the maker
that append nodes; one whose shapes do not fit raises and is undone.
Invariant: whatever depends on how sums round (`rough`) decides nothing: no branch, no comparison, no position.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from specjit import dtypes
from specjit.dtypes import DType
from specjit.ir import signature
from specjit.ir.builder import Builder, abstract
from specjit.ir.dims import Dim, Poly, evaluate, product, symbol
from specjit.ir.graph import Block, Graph, Node, Value
from specjit.ir.types import BOOL, FLOAT, INT, Type
from specjit.ops.records import registry
from tests.graphs.rounding import rounds

T, B, N = symbol("T"), symbol("B"), symbol("N")
K = 4
MAX_RANK = 4
MAX_ELEMENTS = 4000  # of a value, at sizes that tests use; graphs of small values run fast
AT = {"T": 4, "B": 3, "N": 5}
UNDONE = (RuntimeError, IndexError, ValueError, TypeError, OverflowError)


class NoFit(RuntimeError):
    """Nothing in scope fits what a step wants."""


@dataclass(frozen=True)
class Flavor:
    """Which graphs to make.

    dtypes: of inputs and casts; one that stands there more often is made more often. families: of steps that take
    part. depth: how deeply blocks nest. length: bounds of the number of steps in a block. smooth: only what has
    derivatives everywhere.
    """

    dtypes: tuple[DType, ...]
    families: frozenset[str]
    depth: int = 2
    length: tuple[int, int] = (2, 7)
    smooth: bool = False


FAMILIES = frozenset({"math", "view", "index", "number", "control", "while", "write", "draw", "rare"})
_USUAL = (dtypes.float32,) * 4 + (dtypes.float64,) * 2 + (dtypes.int64, dtypes.int64, dtypes.int32, dtypes.bool_)
PLAIN = Flavor(_USUAL, FAMILIES - {"write", "draw", "rare", "while"})
FULL = Flavor((*_USUAL * 2, dtypes.uint8, dtypes.int16, dtypes.int8, dtypes.float16), FAMILIES)
LIBRARY = replace(FULL, families=FAMILIES | {"library"})
SMOOTH = Flavor((dtypes.float64,), frozenset({"math", "view", "index", "number", "control"}), smooth=True)


def random_graph(seed: int, flavor: Flavor = FULL, **changes: Any) -> Graph:
    """The graph of a seed; the same on every machine. `changes` are made to the flavor."""
    return Maker(random.Random(seed), replace(flavor, **changes)).make(f"random_{seed}")


class Maker:
    """See the module docstring. `tensors`, `numbers` (ints, floats, bools) and `indices` (of loops) are in scope."""

    def __init__(self, rng: random.Random, flavor: Flavor) -> None:
        self.rng, self.flavor = rng, flavor
        self.block = Block()
        self.tensors: list[Value] = []
        self.numbers: list[Value] = []
        self.indices: list[Value] = []
        self.params: set[Value] = set()
        self.rough: set[Value] = set()
        self.nonempty: set[Poly] = set()  # sizes that a guard would hold above 0
        self.depth = flavor.depth

    # -- the whole graph ----------------------------------------------------------------------------------------------

    def make(self, name: str) -> Graph:
        graph = Graph(name, self.block)
        self.inputs()
        self.fill()
        tensors = [v for v in self.tensors if v not in graph.inputs] or self.tensors
        late = [v for v in (*self.numbers, *tensors) if v not in graph.inputs][-8:] or tensors
        outputs = [self.rng.choice(tensors[-6:]) for _ in range(self.rng.randint(1, 3))]
        if self.rng.random() < 0.2:
            outputs.append(self.rng.choice(late))
        graph.block.outputs = outputs
        graph.attrs["params"] = self.params
        graph.attrs["nonempty"] = self.nonempty
        return graph

    def inputs(self) -> None:
        """Operands that fit one another, a few of any shape, a mask, and numbers."""
        floats = [d for d in self.flavor.dtypes if d.is_floating_point and d.itemsize >= 4]
        main = self.rng.choice(floats)
        for name, dims in {"x": (T, B, K), "h": (B, K), "w": (K, K), "u": (K, K), "b": (K,)}.items():
            given = self.input(Type.tensor(main, dims), name)
            if name in "wub":
                self.params.add(given)
        for k in range(self.rng.randint(0, 3)):
            rank = self.rng.randint(0, 3)
            dims = tuple(self.rng.choice([T, B, B, N, 1, 2, 3, K, K, 2 * K]) for _ in range(rank))
            if self.rng.random() < 0.04 and rank:
                dims = (0, *dims[1:])
            given = self.input(Type.tensor(self.rng.choice(self.flavor.dtypes), dims), f"z{k}")
            if all(isinstance(d, int) for d in dims) and self.rng.random() < 0.3:
                self.params.add(given)
        if not self.flavor.smooth:
            self.input(Type.tensor(dtypes.bool_, (B, K)), "m")
        self.input(Type.int(T), "n")
        self.input(INT, "k")
        if not self.flavor.smooth:
            self.input(FLOAT, "s")
        self.input(BOOL, "c")
        self.input(BOOL, "d")

    def input(self, type: Type, name: str) -> Value:
        value = self.block.param(type.with_(device="cpu", requires_grad=False) if type.is_tensor else type, name)
        (self.tensors if type.is_tensor else self.numbers).append(value)
        return value

    def fill(self) -> None:
        """Append steps to the block."""
        from tests.graphs.steps import choices

        table = choices(self.flavor, bool(self.indices), self.depth > 0)
        for step in self.rng.choices(
            [s for s, _ in table], [w for _, w in table], k=self.rng.randint(*self.flavor.length)
        ):
            before = self._mark()
            try:
                step(self)
                self._check(before[1])
            except UNDONE:
                self._back_to(before)

    @contextmanager
    def inside(self, block: Block) -> Iterator[None]:
        """Append to `block`; what is defined there is out of scope afterwards."""
        outer, before = self.block, self._mark()
        self.block, self.depth = block, self.depth - 1
        try:
            yield
        finally:
            self.block, self.depth = outer, self.depth + 1
            self._back_to(before, nodes=False)

    def _mark(self) -> tuple[int, int, int, int]:
        return len(self.block.nodes), len(self.tensors), len(self.numbers), len(self.indices)

    def _back_to(self, mark: tuple[int, int, int, int], nodes: bool = True) -> None:
        if nodes:
            del self.block.nodes[mark[0] :]
        del self.tensors[mark[1] :], self.numbers[mark[2] :], self.indices[mark[3] :]

    def _check(self, first: int) -> None:
        """Refuse tensors, from number `first` on, that a typed graph does not hold or that are large."""
        for v in self.tensors[first:]:
            dims = v.type.dims
            if v.type.dtype is None or dims is None or None in dims or len(dims) > MAX_RANK:
                raise NoFit(f"{v.type} is not known, or of too many dims")
            if evaluate(product(dims), AT) > MAX_ELEMENTS:  # type: ignore[arg-type]
                raise NoFit(f"{v.type} is large")

    # -- picking ------------------------------------------------------------------------------------------------------

    def pick(self, fits: Callable[[Type], Any] = lambda t: True, *, exact: bool = False) -> Value:
        """A tensor in scope, more likely a late one. exact: one that does not depend on how sums round."""
        return self._choose([v for v in self.tensors if fits(v.type) and not (exact and v in self.rough)])

    def number(self, kind: str, *, exact: bool = False) -> Value:
        return self._choose([v for v in self.numbers if v.type.kind == kind and not (exact and v in self.rough)])

    def _choose(self, found: list[Value]) -> Value:
        if not found:
            raise NoFit("nothing in scope")
        return self.rng.choice(found[-5:] if self.rng.random() < 0.6 else found)

    def floating(self, fits: Callable[[Type], Any] = lambda t: True, *, exact: bool = False) -> Value:
        return self.pick(lambda t: t.dtype.is_floating_point and fits(t), exact=exact)  # type: ignore[union-attr]

    def axis(self, x: Value, least: int = 0) -> int:
        """A dimension of a tensor, counted from either end."""
        rank = len(x.type.dims or ())
        if rank <= least:
            raise NoFit("too few dims")
        return self.rng.randint(-rank, rank - 1)

    def constant(self, dtype: DType) -> Any:
        """A Python number that keeps a tensor's dtype."""
        if dtype.category == 0:
            return self.rng.random() < 0.5
        if dtype.category == 1:
            return self.rng.choice([0, 1, 2, 3, -1, 7])
        return self.rng.choice([0, 1, 2, 1.0, 0.0, -0.0, 0.5, -1, 0.25, -2.0, 3, 0.3])

    def operand(self, dtype: DType, dims: tuple[Dim, ...], exact: bool = False) -> Any:
        """What an elementwise op may take beside a tensor of this type: a tensor that broadcasts with it, a number in
        scope, a constant."""
        way = self.rng.random()
        if way < 0.25:
            return self.constant(dtype)
        if way < 0.32:
            kind = {0: "bool", 1: "int", 2: self.rng.choice(["int", "float"])}[dtype.category]
            return self.number(kind, exact=exact)
        mixed = self.rng.random() < 0.12

        def fits(t: Type) -> bool:
            return (mixed or t.dtype is dtype) and broadcasts(dims, t.dims or ())

        return self.pick(fits, exact=exact)

    # -- appending ----------------------------------------------------------------------------------------------------

    @property
    def builder(self) -> Builder:
        return Builder(self.block, registry.get)

    def call(self, name: str, *args: Any, **named: Any) -> Any:
        """Append an op; its results are in scope. The one result, or all of them."""
        op, b = registry.get(name), self.builder
        values = [a if isinstance(a, Value) else b.constant(a) for a in args]
        keywords = {k: a if isinstance(a, Value) else b.constant(a) for k, a in named.items()}
        node = b.emit(op, signature.complete(op, values, keywords))
        self.nonempty |= op.assumed([abstract(a) for a in node.args], [r.type for r in node.results])
        if self._depends_on_rounding(node):
            self.rough.update(r for r in node.results)
            self.rough.update(node.args[k] for k in op.traits.writes)
        self.define(node.results)
        return node.result if len(node.results) == 1 else node.results

    def define(self, values: list[Value]) -> None:
        """Put values of the block in scope."""
        self.tensors += [v for v in values if v.type.is_tensor]
        self.numbers += [v for v in values if v.type.kind in ("int", "float", "bool")]

    def _depends_on_rounding(self, node: Node) -> bool:
        return rounds(node) or any(self.is_rough(a) for a in node.args)

    def is_rough(self, value: Value) -> bool:
        made = value.node
        listed = made.args if made is not None and made.op.name in ("py.list", "py.tuple") else ()
        return value in self.rough or any(self.is_rough(a) for a in listed)


def broadcasts(a: tuple[Dim, ...], b: tuple[Dim, ...]) -> bool:
    """Whether shapes fit for all sizes."""
    return all(x == y or 1 in (x, y) for x, y in zip(a[::-1], b[::-1]))
