"""Steps with blocks: branches, loops that count, loops that end themselves, grad modes; and what stands in loops.

Enters: a `Maker`. Leaves: an `if`, `loop` or `with` node whose results are in scope.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from specjit import dtypes
from specjit.ir.graph import Block, Node, Value
from specjit.ir.structure import IF, WITH, make_if, make_loop
from specjit.ir.types import INT, Type
from tests.graphs.maker import K, Maker, NoFit, T, broadcasts

if TYPE_CHECKING:
    from collections.abc import Callable


def rows(in_loop: bool, blocks: bool) -> list[tuple[Callable[[Maker], Any], str, float, bool]]:
    """Steps with family, weight and whether they are smooth, for a place inside or outside of loops."""
    inside = [(row, "control", 7, True), (cell, "control", 8, True), (store, "write", 2, False)] if in_loop else []
    more = [(branch, "control", 4, True), (loop, "control", 8, True), (until, "while", 1.5, False)]
    return [*inside, *([*more, (mode, "rare", 0.5, False)] if blocks else [])]  # type: ignore[list-item]


# -- inside loops ------------------------------------------------------------------------------------------------------


def row(m: Maker) -> Value:
    """What a loop reads in a turn: mostly row i, also the last row first, or one that may be none."""
    x = m.pick(lambda t: t.dims and t.dims[0] == T)
    i = m.rng.choice(m.indices)
    way = m.rng.random()
    if way < 0.15:
        i = m.call("py.sub", m.call("py.sub", m.call("size", x, 0), 1), i)
    elif way < 0.2:
        i = m.call("py.sub", i, 1)
    elif way < 0.25:
        return m.call("narrow", x, 0, i, 1)
    return m.call("select", x, 0, i)


def cell(m: Maker) -> None:
    """What recurrent nets are made of: a row, or any value of the turn, times weights; a bias or a state is added."""
    left = row(m) if m.rng.random() < 0.7 else m.floating(lambda t: t.dims[-1:] == (K,))
    if not left.type.dtype.is_floating_point:  # type: ignore[union-attr]
        raise NoFit("a product of floats")
    if m.rng.random() < 0.3:
        left = m.call(m.rng.choice(["tanh", "sigmoid", "neg"]), left)
    weights = m.pick(lambda t: t.dims == (K, K) and t.dtype is left.type.dtype)
    product = m.call("matmul", left, weights)
    if m.rng.random() < 0.7:
        product = m.call("add", product, m.floating(lambda t: broadcasts(t.dims, product.type.dims)))
    if m.rng.random() < 0.4:
        m.call(m.rng.choice(["tanh", "sigmoid"]), product)


def store(m: Maker) -> None:
    """Row i of a buffer is written."""
    x = m.pick(lambda t: t.dims and t.dims[0] == T)
    part = m.call("select", x, 0, m.rng.choice(m.indices))
    exact = not x.type.dtype.is_floating_point  # type: ignore[union-attr]
    value = m.pick(lambda t: t.dims == part.type.dims and t.dtype is part.type.dtype, exact=exact)
    m.call(m.rng.choice(["copy_", "copy_", "add_"]), part, value)


# -- blocks ------------------------------------------------------------------------------------------------------------


def branch(m: Maker) -> None:
    condition = m.number("bool", exact=True) if m.rng.random() < 0.9 else Value.constant(m.rng.random() < 0.5)
    sides: list[Block] = []
    wanted: list[Type] = []
    for _ in range(2):
        side = Block()
        with m.inside(side):
            m.fill()
            if not sides:
                side.outputs = [m.pick() for _ in range(m.rng.randint(1, 2))]
                wanted = [o.type for o in side.outputs]
            else:
                side.outputs = [m.pick(lambda t, w=w: _alike(t, w)) for w in wanted]
        sides.append(side)
    node = make_if(m.block, condition, *sides)
    _mark(m, node, [(sides[0].outputs[k], sides[1].outputs[k]) for k in range(len(node.results))])
    m.define(node.results)


def loop(m: Maker) -> None:
    """A loop that counts: carries tensors and numbers, stacks rows; some end themselves earlier."""
    early = not m.flavor.smooth and m.rng.random() < 0.12
    stacks = 0 if early else m.rng.randint(0, 2)
    _loop(m, _trip(m), early, stacks, m.rng.random() < 0.3)


def until(m: Maker) -> None:
    """A loop without a count, which ends after a few turns at most."""
    _loop(m, Value.constant(None), True, 0, False)


def _trip(m: Maker) -> Value:
    sizes = [v for v in m.numbers if v.type.kind == "int" and v.type.dim == T]
    others = [v for v in m.numbers if v.type.kind == "int" and v.node is None and v not in m.indices]
    if sizes and m.rng.random() < 0.7:
        return m.rng.choice(sizes)
    if others and m.rng.random() < 0.2:
        return m.rng.choice(others)
    return Value.constant(m.rng.choice([0, 1, 1, 2, 3]))


def _loop(m: Maker, trip: Value, early: bool, stacks: int, reverse: bool) -> None:
    inits = [m.pick() for _ in range(m.rng.randint(0, 3))]
    params = [Value(v.type) for v in inits]
    turns = trip.const is None if trip.is_const else False
    if early or m.rng.random() < 0.15:  # a counter of its own, or a number that changes
        inits.append(Value.constant(m.rng.choice([0, 1, -1])) if early or m.rng.random() < 0.6 else m.number("int"))
        params.append(Value(INT))
    body = Block([Value(INT), *params])
    with m.inside(body):
        m.define(params)
        m.numbers.append(body.params[0])
        m.indices.append(body.params[0])
        m.rough.update(p for p in params if p.type.is_tensor and p.type.dtype.is_floating_point)  # type: ignore[union-attr]
        m.fill()
        nexts = [_next(m, p) for p in params]
        more = Value.constant(True)
        if early:
            more = m.call("py.lt", nexts[-1], m.rng.randint(1, 3))
            if not turns and m.rng.random() < 0.3:
                more = m.number("bool", exact=True)
        body.outputs = [more, *nexts, *(m.pick() for _ in range(stacks))]
    start = m.number("bool", exact=True) if early and m.rng.random() < 0.2 else Value.constant(True)
    node = make_loop(m.block, trip, start, inits, body, reverse=reverse and not (trip.is_const and trip.const is None))
    _mark(m, node, [(o,) for o in body.outputs[1:]])
    if any(not _alike(r.type, p.type) for r, p in zip(node.results, params)):
        raise NoFit("a carried value changes its type")
    m.define(node.results)


def _next(m: Maker, param: Value) -> Value:
    """What a carried value becomes: another value of its type, or a running sum; numbers grow, so that loops end."""
    if not param.type.is_tensor:
        return m.call("py.add", param, 1)
    exact = not param.type.dtype.is_floating_point  # type: ignore[union-attr]
    value = m.pick(lambda t: _alike(t, param.type), exact=exact)
    if m.rng.random() < 0.4 and param.type.dtype is not dtypes.bool_:
        return m.call("add", param, value)
    return value


def mode(m: Maker) -> None:
    """A grad mode around some nodes; nothing here requires a gradient, so it decides nothing."""
    body = Block()
    with m.inside(body):
        m.fill()
        body.outputs = [m.pick()]
    node = Node(WITH, [], [o.type for o in body.outputs], blocks=[body], attrs={"grad": m.rng.random() < 0.5})
    m.block.nodes.append(node)
    _mark(m, node, [(o,) for o in body.outputs])
    m.define(node.results)


def _alike(a: Type, b: Type) -> bool:
    return (a.kind, a.dtype, a.dims) == (b.kind, b.dtype, b.dims)


def _mark(m: Maker, node: Node, sources: list[tuple[Value, ...]]) -> None:
    """Results are rough where what they come from is; so are all floats that a loop carries."""
    for result, values in zip(node.results, sources):
        carried = node.op is not IF and result.type.is_tensor and result.type.dtype.is_floating_point  # type: ignore[union-attr]
        if carried or any(map(m.is_rough, values)):
            m.rough.add(result)
