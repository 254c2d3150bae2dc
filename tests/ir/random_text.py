"""Random graphs for the text: any ops, any types, any nesting; nothing has to make sense but scoping."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from hypothesis import strategies as st

from specjit import dtypes
from specjit.ir.dims import product, symbol
from specjit.ir.graph import Block, Graph, Location, Node, Value
from specjit.ir.structure import IF, LOOP, REGION, WITH
from specjit.ir.traits import PURE
from specjit.ir.types import Type


@dataclass(frozen=True)
class Param:
    name: str
    default: Any = None
    kwonly: bool = False
    variadic: bool = False
    required: bool = False


@dataclass(frozen=True, eq=False)
class FakeOp:
    name: str
    params: tuple[Param, ...]
    traits: Any = PURE
    infer: Any = field(default=None)


OPS = {
    op.name: op
    for op in (
        FakeOp("tanh", (Param("input", required=True),)),
        FakeOp("chunk", (Param("input", required=True), Param("chunks", required=True), Param("dim", 0))),
        FakeOp(
            "sum",
            (Param("input", required=True), Param("dim"), Param("keepdim", False), Param("dtype", None, kwonly=True)),
        ),
        FakeOp("py.list", (Param("items", variadic=True),)),
        FakeOp("py.print", (Param("sep", " "), Param("end", "\n"), Param("args", variadic=True))),
        FakeOp("scale", (Param("by", -0.0), Param("rest", variadic=True), Param("mode", "a", kwonly=True))),
    )
}

dims = st.one_of(
    st.none(),
    st.integers(0, 10**12),
    st.sampled_from("TBN").map(symbol),
    st.builds(
        lambda a, b, k, c: product([symbol(a), symbol(b)]) * k + c,
        *[st.sampled_from("TB")] * 2,
        *[st.integers(-4, 4)] * 2,
    ),
)
tensors = st.builds(
    Type.tensor,
    st.one_of(st.none(), st.sampled_from(dtypes.ALL)),
    st.one_of(st.none(), st.lists(dims, max_size=3)),
    st.sampled_from([None, "meta"]),
    st.sampled_from([None, True]),
)
simple = st.one_of(
    tensors,
    dims.map(Type.int),
    st.sampled_from(["float", "bool", "str", "any", "none", "list", "function", "complex"]).map(Type),
    st.sampled_from(["LSTM", "net.Cell", "f.<locals>.C"]).map(Type.instance),
)
types = st.recursive(
    simple,
    lambda t: st.one_of(
        t.map(Type.list),
        st.lists(t, max_size=3).map(lambda ts: Type.tuple(*ts)),
        t.map(Type.optional),
        st.builds(lambda k, v: Type("dict", (k, v)), t, t),
    ),
    max_leaves=4,
)
arrays = st.builds(
    lambda d, shape, fill: np.full(shape, 0 if d.category < 2 else fill, d.numpy),
    st.sampled_from(dtypes.ALL),
    st.sampled_from([(), (0,), (2,), (2, 0), (2, 3)]),
    st.sampled_from([0.1, -0.0, np.inf]),
)
leaves = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=8),
    st.binary(max_size=4),
    st.complex_numbers(),
    st.sampled_from([..., *dtypes.ALL, range(3), range(4, 0, -1)]),
    arrays,
)
constants = st.recursive(
    leaves,
    lambda c: st.one_of(
        st.lists(c, max_size=3),
        st.lists(c, max_size=3).map(tuple),
        st.builds(slice, c, c, c),
        st.dictionaries(st.one_of(st.integers(), st.text(max_size=3)), c, max_size=2),
    ),
    max_leaves=4,
)
hints = st.sampled_from(["", "", "x", "x", "x1", "h", "h_1", "0", "7up", "self.w", "été", "a b"])
locations = st.one_of(st.none(), st.builds(Location, st.sampled_from(["model.py", "my net.py"]), st.integers(1, 999)))


@st.composite
def graphs(draw: Any) -> Graph:
    graph = Graph(draw(st.sampled_from(["f", "cell", "LSTM.forward"])))
    scope = [graph.block.param(draw(types), draw(hints)) for _ in range(draw(st.integers(0, 3)))]
    chosen = {v for v in scope if draw(st.booleans())}
    if chosen:
        graph.attrs["params"] = chosen

    def value(scope: list[Value]) -> Value:
        if scope and draw(st.booleans()):
            return draw(st.sampled_from(scope))
        return Value.constant(draw(constants), draw(st.one_of(st.none(), st.none(), types)))

    def values(scope: list[Value], low: int, high: int) -> list[Value]:
        return [value(scope) for _ in range(draw(st.integers(low, high)))]

    def fill(block: Block, scope: list[Value], depth: int) -> None:
        for _ in range(draw(st.integers(0, 3))):
            kind = draw(st.sampled_from(["op", "op", "if", "loop", "region"] if depth else ["op"]))
            loc = draw(locations)
            made = {"op": op, "if": branch, "loop": loop, "region": region}[kind](scope, depth - 1)
            made.loc = loc
            made.results = (
                [Value(draw(types), made, draw(hints)) for _ in range(draw(st.integers(0, 2)))]
                if kind != "loop"
                else [Value(draw(types), made, draw(hints)) for _ in made.blocks[0].outputs[1:]]
            )
            block.nodes.append(made)
            scope = scope + made.results
        block.outputs = values(scope, 0, 2)

    def op(scope: list[Value], depth: int) -> Node:
        record = draw(st.sampled_from(list(OPS.values())))
        args: list[Value] = []
        for p in record.params:
            if p.variadic:
                args += values(scope, 0, 2)
            elif not p.required and draw(st.booleans()):
                args.append(Value.constant(p.default))
            else:
                args.append(value(scope))
        attrs = draw(st.dictionaries(st.sampled_from(["axis", "kind"]), constants, max_size=1))
        return Node(record, args, (), attrs=attrs)

    def branch(scope: list[Value], depth: int) -> Node:
        node = Node(IF, [value(scope)], (), blocks=[Block(), Block()])
        for block in node.blocks:
            fill(block, scope, depth)
        return node

    def loop(scope: list[Value], depth: int) -> Node:
        carried = values(scope, 0, 2)
        body = Block(Value(draw(types), None, draw(hints)) for _ in range(1 + len(carried)))
        reverse = {"reverse": True} if draw(st.booleans()) else {}
        node = Node(LOOP, [value(scope), value(scope), *carried], (), blocks=[body], attrs=reverse)
        fill(body, scope + body.params, depth)
        body.outputs = [value(scope), *[value(scope) for _ in carried], *body.outputs]
        return node

    def region(scope: list[Value], depth: int) -> Node:
        args = values(scope, 0, 2)
        body = Block(Value(draw(types), None, draw(hints)) for _ in args)
        node = Node(draw(st.sampled_from([REGION, WITH])), args, (), blocks=[body])
        fill(body, scope + body.params, depth)
        return node

    fill(graph.block, scope, 2)
    return graph


def shape_of(graph: Graph) -> Any:
    """The graph as nested tuples: equal for graphs that are the same but for the names of their values."""
    from specjit.ir.constants import key

    numbers: dict[Value, int] = {}

    def define(values: list[Value]) -> Any:
        for v in values:
            numbers[v] = len(numbers)
        return [v.type for v in values]

    def use(v: Value) -> Any:
        return ("const", key(v.const), v.type) if v.is_const else numbers[v]

    def block(b: Block) -> Any:
        params = define(b.params)
        nodes = []
        for n in b.nodes:
            inner = ([use(a) for a in n.args], [block(x) for x in n.blocks])
            attrs = sorted((k, key(v)) for k, v in n.attrs.items())
            nodes.append((n.op.name, inner, define(n.results), attrs, n.loc))
        return params, nodes, [use(o) for o in b.outputs]

    return graph.name, block(graph.block), {numbers[v] for v in graph.attrs.get("params", ())}
