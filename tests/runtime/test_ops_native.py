"""The column "specialized = eager" of every operator row: one operator as a native region.

Each row's samples become a one-node graph that goes through the pipeline, the scheduler, the compiler and the guards;
what comes back is compared with eager mode (whose own column compares it with an independent reference). Operators
that stay extern are listed, so that losing a lowering fails here.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import specjit
from specjit import passes
from specjit.codegen import regions
from specjit.codegen.schedule import NotSchedulable, schedule
from specjit.dtypes import float32, int64
from specjit.ir.builder import Builder
from specjit.ir.graph import Block, Graph, Value
from specjit.ir.types import INT
from specjit.ops.records import registry, schema
from specjit.passes import draws as draw
from specjit.profile.signature import tensor_fact
from specjit.runtime.code import Code
from specjit.runtime.draws import Draws
from specjit.runtime.native import Input
from specjit.tensor.tensor import Tensor, type_of_tensor
from tests.opinfo import OPINFO, samples

SAMPLES = 2
LEFT_OUT = {
    "empty",  # the content of fresh memory is nobody's business
    "empty_like",
    "getitem",  # no node of a typed graph: the specializer takes indexing apart
    "getitem_backward",
}
EXTERN = {
    "index",
    "index_put",
    "index_write",
    "nonzero",
    "randint",
    "randn",
    "tensor",
}


def one_node(name: str, args: tuple[Any, ...]) -> tuple[Graph, list[Tensor]]:
    """The graph of one call, and its tensor arguments in the order of the graph's inputs."""
    block, given = Block(), []
    builder = Builder(block, registry.get)

    def value(a: Any) -> Value:
        if isinstance(a, Tensor):
            given.append(a)
            return block.param(type_of_tensor(a))
        if isinstance(a, (list, tuple)) and any(isinstance(x, Tensor) for x in a):
            return builder.emit(registry.get("py.list"), [value(x) for x in a]).result
        return builder.constant(a)

    block.outputs = list(builder.emit(registry.get(name), [value(a) for a in args]).results)
    graph = Graph(name, block)
    passes.optimize(graph)
    return graph, given


def native(graph: Graph, given: list[Tensor]) -> tuple[Any, ...] | None:
    """Run the graph as one region; None if it cannot be one with these arguments."""
    if any(regions.lowerable(n) for n in graph.block.nodes) or any(o.is_const for o in graph.block.outputs):
        return None
    facts = [tensor_fact(t) for t in given]
    inputs = [
        Input(v.type, type(t), None, "contiguous" if f.contiguous else f.strides)
        for v, t, f in zip(graph.block.params, given, facts)
    ]
    block, draws = graph.block, None
    if draw.draws(block):
        explicit = draw.explicit(block)
        block, draws = explicit.block, Draws(explicit.taken)
        inputs += [Input(INT), Input(INT)]
        passes.optimize(Graph(graph.name, block))
    layouts = {v: i.layout for v, i in zip(block.params, inputs) if isinstance(i.layout, tuple)}
    try:
        plan = schedule(block, name=graph.name, layouts=layouts, params=set())
    except NotSchedulable:
        return None
    code = Code(plan, inputs, [None] * len(inputs), lambda *args, **kwargs: None, graph.name, draws=draws)
    specjit.manual_seed(1)
    out = code.call(*given)
    assert isinstance(out, tuple), "a guard failed, or the region stopped"
    return out if draws is None else out[:-2]


def writes(name: str) -> bool:
    return bool(registry.get(name).traits.writes)


@pytest.mark.parametrize("name", [n for n in OPINFO if n not in LEFT_OUT and not writes(n)])
def test_native_is_eager(name) -> None:
    ran = 0
    for dtype in (float32, int64):
        if dtype not in OPINFO[name].dtypes:
            continue
        rows = list(samples(registry.get(name), dtype, False))
        picked = rows[:: max(1, len(rows) // SAMPLES)][: SAMPLES if dtype is float32 else 1]
        for args, kwargs in picked:
            graph, given = one_node(name, schema.bind(registry.get(name), args, kwargs))
            found = native(graph, given)
            if found is None:
                continue
            ran += 1
            specjit.manual_seed(1)
            with np.errstate(all="ignore"):
                expected = registry.get(name).fn(*args, **kwargs)
            expected = expected if isinstance(expected, (tuple, list)) else (expected,)
            for f, e in zip(found, expected, strict=True):
                array = e._data if isinstance(e, Tensor) else np.asarray(e)
                assert np.shape(f) == array.shape
                np.testing.assert_allclose(f, array, rtol=2e-5, atol=1e-6)
    if name in EXTERN:
        assert not ran, f"{name} lowers now: take it off the list"
