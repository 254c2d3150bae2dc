"""Every operator's gradient on the IR equals the tape's, on all samples of its row, sizes as numbers and as symbols."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from specjit.dtypes import float64
from specjit.ir.builder import Builder
from specjit.ir.dims import symbol
from specjit.ir.graph import Block, Graph, Value
from specjit.ir.interpret import interpret
from specjit.ir.types import Type
from specjit.ir.verify import verify
from specjit.ops.records import registry, schema
from specjit.passes.autodiff.derivative import differentiate
from specjit.tensor import engine
from specjit.tensor.tensor import Tensor, wrap
from tests.opinfo import OPINFO, OpInfo, Sample, samples
from tests.passes.gradients import backward_inputs

ROWS = [i for i in OPINFO.values() if i.grad and not i.random and i.op.differentiable and not i.op.traits.writes]


class Call:
    """One sample as a graph with one node (and `py.list` nodes for lists of tensors)."""

    def __init__(self, info: OpInfo, sample: Sample, symbolic: bool) -> None:
        self.block = Block()
        self.tensors: list[Tensor] = []
        self.symbolic = symbolic
        self.params: dict[int, Value] = {}
        builder = Builder(self.block, registry.get)
        args, kwargs = sample
        bound = schema.bind(info.op, args, kwargs)
        node = builder.emit(info.op, [self.value(a, builder) for a in bound])
        self.block.outputs = list(node.results)

    def value(self, a: Any, builder: Builder) -> Value:
        if isinstance(a, Tensor):
            if id(a) not in self.params:
                dims = [symbol(f"N{n}") if self.symbolic and n > 1 else n for n in a.shape]
                self.params[id(a)] = self.block.param(Type.tensor(a.dtype, dims, "cpu"))
                self.tensors.append(a)
            return self.params[id(a)]
        if isinstance(a, (list, tuple)):
            return builder.constant(type(a)(self.value(x, builder) for x in a))
        return builder.constant(a)


def known(value: Value) -> bool:
    return (
        value.type.is_tensor
        and value.type.dtype is not None
        and value.type.dims is not None
        and None not in value.type.dims
    )


def compare(info: OpInfo, sample: Sample, symbolic: bool) -> bool:
    """False where a sample does not have a typed form with symbols."""
    try:
        call = Call(info, sample, symbolic)
    except (RuntimeError, IndexError, TypeError, ValueError):
        if symbolic:
            return False  # an error that only numbers can exclude
        raise
    if not all(map(known, call.block.outputs)):
        return False
    wanted = [t.requires_grad for t in call.tensors]
    graph = Graph(info.name, call.block)
    verify(graph)
    d = differentiate(call.block, wanted, name=info.name)
    if d.refused is not None and (symbolic or "known only at run time" in d.refused):
        return False  # a size that depends on data, such as the number of true elements of a mask
    assert d.refused is None, d.refused
    for made in d.graphs:
        verify(made)
    arrays = [t.detach().numpy() for t in call.tensors]
    results = interpret(d.graphs[0], *arrays, check=True)
    rng = np.random.default_rng(0)
    grads = {j: rng.standard_normal(np.shape(results[j])) for j in d.differentiable}
    found = interpret(d.graphs[1], *backward_inputs(d, arrays, results, grads), check=True)
    args, kwargs = sample
    eager = info.op.fn(*args, **kwargs)
    outs = list(eager) if isinstance(eager, (tuple, list)) else [eager]
    assert [j for j, o in enumerate(outs) if o.requires_grad] == d.differentiable
    sources = [t for t, w in zip(call.tensors, wanted) if w]
    expected = engine.grad([outs[j] for j in grads], sources, [wrap(g) for g in grads.values()], allow_unused=True)
    for actual, taped in zip(found, expected, strict=True):
        assert (actual is None) == (taped is None)
        if taped is not None:
            np.testing.assert_allclose(actual, taped.numpy(), rtol=1e-12, atol=1e-12)
    return True


@pytest.mark.parametrize("info", ROWS, ids=lambda i: i.name)
def test_gradient_equals_the_tape(info: OpInfo) -> None:
    assert any([compare(info, sample, symbolic=False) for sample in samples(info, float64, requires_grad=True)])


@pytest.mark.parametrize("info", ROWS, ids=lambda i: i.name)
def test_gradient_with_symbolic_sizes_equals_the_tape(info: OpInfo) -> None:
    done = [compare(info, sample, symbolic=True) for sample in samples(info, float64, requires_grad=True)]
    assert any(done) or info.name in NUMBERS_ONLY


# These need numbers: how many parts they have, or shapes said by value.
NUMBERS_ONLY = {"view", "reshape", "split", "chunk", "unbind", "unfold_backward"}
