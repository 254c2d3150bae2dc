"""Random regions: whatever is planned computes what the graph means, op by op."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st

from specjit.codegen.abi import Status
from specjit.codegen.machine.instructions import verify
from specjit.codegen.schedule import NotSchedulable, schedule
from specjit.codegen.schedule.interp import RegionFailed
from specjit.codegen.schedule.interp import interpret as run_plan
from specjit.dtypes import float32, int64
from specjit.ir.builder import Builder
from specjit.ir.dims import Poly, evaluate, symbol
from specjit.ir.graph import Block, Graph, Value
from specjit.ir.interpret import interpret as run_graph
from specjit.ir.structure import make_if, make_loop
from specjit.ir.types import BOOL, Type
from specjit.ops.records import registry

B, T = symbol("B"), symbol("T")
UNARY = ("tanh", "sigmoid", "neg", "relu", "square", "clone", "contiguous", "abs")
BINARY = ("add", "sub", "mul", "maximum")


class Region:
    """Grows a random graph; `pool` are the tensor values in scope."""

    def __init__(self, draw: Any) -> None:
        self.draw = draw
        self.graph = Graph("random")
        self.b = Builder(self.graph.block, registry.get)
        self.pool: list[Value] = []
        self.index: list[Value] = []
        for k in range(draw(st.integers(1, 3))):
            dims = draw(st.sampled_from([(B, 4), (4,), (B, 1), (4, 4), (T, B, 4), (8, 4), (B, 8), (3, 4)]))
            self.pool.append(self.graph.block.param(Type.tensor(float32, dims), f"x{k}"))
        self.graph.block.param(Type.tensor(float32, (T, B, 8)), "seq")
        self.n = self.graph.block.param(Type.int(T), "n")
        self.pool.append(self.graph.block.params[-2])
        self.params = {v for v in self.graph.block.params[:-2] if draw(st.booleans()) and not _symbolic(v)}

    def pick(self, test: Any = lambda v: True) -> Value | None:
        fitting = [v for v in self.pool if test(v)]
        return self.draw(st.sampled_from(fitting)) if fitting else None

    def grow(self, steps: int, depth: int = 0) -> None:
        for _ in range(steps):
            kind = self.draw(st.sampled_from(KINDS if depth < 2 else KINDS[:-2]))
            getattr(self, kind)(depth)

    def add(self, name: str, *args: Any) -> None:
        value = self.b.call(name, *args)
        if value.type.dims is not None and len(value.type.dims) <= 4 and None not in value.type.dims:
            self.pool.append(value)

    # kinds of steps

    def unary(self, depth: int) -> None:
        self.add(self.draw(st.sampled_from(UNARY)), self.pick())

    def binary(self, depth: int) -> None:
        a = self.pick()
        c = self.pick(lambda v: _broadcasts(a.type.dims, v.type.dims))
        self.add(self.draw(st.sampled_from(BINARY)), a, c if c is not None and self.draw(st.booleans()) else 0.5)

    def reduce(self, depth: int) -> None:
        a = self.pick(lambda v: v.type.dims)
        if a is None:
            return
        name = self.draw(st.sampled_from(["sum", "mean_of", "amax"]))
        dim = self.draw(st.integers(-len(a.type.dims), len(a.type.dims) - 1))
        if name == "amax" and a.type.dims[dim] not in (1, 2, 3, 4, 8):
            return
        value = self.b.call("sum" if name == "mean_of" else name, a, [dim], self.draw(st.booleans()))
        self.pool.append(self.b.call("mul", value, 0.25) if name == "mean_of" else value)

    def matmul(self, depth: int) -> None:
        a = self.pick(lambda v: len(v.type.dims) in (1, 2, 3))
        c = self.pick(lambda v: a is not None and len(v.type.dims) == 2 and v.type.dims[0] == a.type.dims[-1])
        if a is not None and c is not None:
            self.pool.append(self.b.call("tanh", self.b.call("matmul", a, c)))

    def view(self, depth: int) -> None:
        a = self.pick(lambda v: len(v.type.dims) >= 1)
        if a is None:
            return
        rank = len(a.type.dims)
        dim = self.draw(st.integers(0, rank - 1))
        size = a.type.dims[dim]
        kind = self.draw(st.sampled_from(["transpose", "unsqueeze", "select", "slice", "chunk", "flatten", "split"]))
        if kind == "transpose":
            self.add("transpose", a, dim, self.draw(st.integers(0, rank - 1)))
        elif kind == "unsqueeze":
            self.add("unsqueeze", a, dim)
        elif kind == "select" and isinstance(size, int) and size:
            self.add("select", a, dim, self.draw(st.integers(-size, size - 1)))
        elif kind == "slice" and isinstance(size, int):
            low, high = sorted((self.draw(st.integers(0, size)), self.draw(st.integers(0, size))))
            self.add("slice", a, dim, low, high, self.draw(st.integers(1, 2)))
        elif kind == "chunk" and isinstance(size, int) and size % 4 == 0 and size:
            node = self.b.emit(registry.get("chunk"), [a, Value.constant(4), Value.constant(dim)])
            self.pool += node.results
        elif kind == "flatten":
            self.add("reshape", a, [-1])
        elif kind == "split" and isinstance(size, int) and size == 8:
            sizes = [d if isinstance(d, int) else -1 for d in a.type.dims]
            if sizes.count(-1) <= 1:
                self.add("reshape", a, [*sizes[:dim], 2, 4, *sizes[dim + 1 :]])

    def join(self, depth: int) -> None:
        a = self.pick(lambda v: len(v.type.dims) >= 1)
        if a is not None:
            c = self.pick(lambda v: v.type.dims == a.type.dims)
            self.add(self.draw(st.sampled_from(["cat", "stack"])), [a, c], self.draw(st.integers(-1, 0)))

    def softmax(self, depth: int) -> None:
        a = self.pick(lambda v: v.type.dims and v.type.dims[-1] in (2, 4, 8))
        if a is None:
            return
        shifted = self.b.call("sub", a, self.b.call("amax", a, [-1], True))
        e = self.b.call("exp", shifted)
        self.pool += [shifted, self.b.call("div", e, self.b.call("sum", e, [-1], True))]

    def normalize(self, depth: int) -> None:
        a = self.pick(lambda v: v.type.dims and v.type.dims[-1] in (4, 8))
        if a is None:
            return
        centred = self.b.call("sub", a, self.b.call("mul", self.b.call("sum", a, [-1], True), 0.125))
        size = self.b.call("sum", self.b.call("square", centred), [-1], True)
        self.pool.append(self.b.call("div", centred, self.b.call("sqrt", self.b.call("add", size, 1.0))))

    def gates(self, depth: int) -> None:
        """Chunks of one value meet again, and meet another value."""
        a = self.pick(lambda v: v.type.dims and v.type.dims[-1] == 8)
        if a is None:
            return
        count = self.draw(st.sampled_from([2, 4]))
        parts = self.b.emit(registry.get("chunk"), [a, Value.constant(count), Value.constant(-1)]).results
        left = self.b.call("sigmoid", self.draw(st.sampled_from(parts)))
        made = self.b.call("mul", left, self.draw(st.sampled_from(parts)))
        other = self.pick(lambda v: _broadcasts(made.type.dims, v.type.dims))
        self.pool.append(made if other is None else self.b.call("add", made, other))

    def compare(self, depth: int) -> None:
        a = self.pick()
        c = self.pick(lambda v: _broadcasts(a.type.dims, v.type.dims))
        if c is not None:
            c = self.b.call("add", self.b.call("mul", c, 0.77), 0.0123)  # sums may round differently: no ties
            mask = self.b.call(self.draw(st.sampled_from(["lt", "ge", "ne"])), a, c)
            self.add("where", mask, a, 0.5)
            self.add(
                "cast", self.b.call("sum", self.b.call("cast", mask, int64), [-1]), float32
            ) if a.type.dims else None

    def row(self, depth: int) -> None:
        a = self.pick(lambda v: v.type.dims and v.type.dims[0] == T)
        if a is not None and self.index:
            self.add("select", a, 0, self.draw(st.sampled_from(self.index)))

    def loop(self, depth: int) -> None:
        outer, index, pool = self.b.block, list(self.index), list(self.pool)
        inits = [self.draw(st.sampled_from(pool)) for _ in range(self.draw(st.integers(0, 2)))]
        body = Block()
        i = body.param(Type.int(), "i")
        params = [body.param(v.type, f"c{k}") for k, v in enumerate(inits)]
        self.b.block = body
        self.index.append(i)
        self.pool = pool + params
        self.grow(self.draw(st.integers(1, 4)), depth + 1)
        nexts = [self.draw(st.sampled_from([v for v in self.pool if v.type == p.type])) for p in params]
        rows = [self.pick() for _ in range(self.draw(st.integers(0 if inits else 1, 2)))]
        body.outputs = [Value.constant(True, BOOL), *nexts, *rows]
        self.b.block, self.index, self.pool = outer, index, pool
        made = make_loop(outer, self.n, Value.constant(True, BOOL), inits, body, reverse=self.draw(st.booleans()))
        self.pool += [r for r in made.results if len(r.type.dims) <= 4]

    def branch(self, depth: int) -> None:
        if not self.index:
            return
        cond = self.b.call("py.eq", self.b.call("py.mod", self.draw(st.sampled_from(self.index)), 2), 0)
        outer, pool = self.b.block, list(self.pool)
        sides = []
        for _ in range(2):
            self.b.block, self.pool = Block(), list(pool)
            self.grow(self.draw(st.integers(0, 2)), depth + 1)
            sides.append((self.b.block, self.pool))
        (then, p1), (other, p2) = sides
        a = self.draw(st.sampled_from(p1))
        c = self.draw(st.sampled_from([v for v in p2 if v.type == a.type] or [None]))
        self.b.block, self.pool = outer, pool
        if c is None:
            return
        then.outputs, other.outputs = [a], [c]
        self.pool += make_if(outer, cond, then, other).results


LEAVES = "unary binary binary reduce matmul matmul view view join softmax normalize gates gates compare row"
KINDS = [*LEAVES.split(), "branch", "loop"]


def _symbolic(v: Value) -> bool:
    return any(isinstance(d, Poly) for d in v.type.dims)


def _broadcasts(a: tuple, b: tuple) -> bool:
    return all(x == y or 1 in (x, y) for x, y in zip(a[::-1], b[::-1]))


@st.composite
def regions(draw: Any) -> Region:
    region = Region(draw)
    region.grow(draw(st.integers(2, 9)))
    made = [v for v in region.pool if v not in region.graph.inputs] or region.pool
    region.graph.block.outputs = draw(st.lists(st.sampled_from(made), min_size=1, max_size=3))
    return region


def arrays_for(graph: Graph, sizes: dict[str, int], seed: int) -> list[Any]:
    rng = np.random.default_rng(seed)
    out: list[Any] = []
    for v in graph.inputs:
        if v.type.kind == "int":
            out.append(sizes["T"])
        else:
            out.append((rng.integers(-4, 5, [evaluate(d, sizes) for d in v.type.dims]) / 4).astype(np.float32))
    return out


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(regions(), st.sampled_from([(3, 2), (1, 1), (2, 5), (4, 3)]), st.integers(0, 99))
def test_random_regions(region: Region, sizes: tuple[int, int], seed: int) -> None:
    note(str(region.graph))
    reason = ""
    try:
        plan = schedule(region.graph.block, name="random", params=region.params)
    except NotSchedulable as refused:
        reason = refused.reason
    assert not reason or "shares memory with an input" in reason
    if reason:
        return
    verify(plan.assemble(range(1, len(plan.specs) + 1)), plan.frame_size)
    inputs = arrays_for(region.graph, dict(zip("TB", sizes)), seed)
    status = Status.OK
    try:
        found = run_plan(plan, inputs)
    except RegionFailed as failure:
        status = failure.status
    assert status in (Status.OK, Status.GUARD)
    if status is not Status.OK:
        return
    with np.errstate(all="ignore"):
        expected = run_graph(region.graph, *inputs)
    for mine, theirs in zip(found, expected, strict=True):
        assert mine.shape == theirs.shape
        np.testing.assert_allclose(mine, theirs, rtol=1e-4, atol=1e-5)
        if 1 in sizes:
            continue  # whether a view needs a copy may depend on which sizes are 1
        assert {k for k, x in enumerate(inputs) if np.shares_memory(x, mine)} == {
            k for k, x in enumerate(inputs) if np.shares_memory(x, theirs)
        }
