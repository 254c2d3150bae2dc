"""Checking derivatives of graphs written as text, through the reference interpreter: against finite differences and the
tape."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from specjit.ir.graph import Block, Graph, Node, Value
from specjit.ir.interpret import interpret
from specjit.ir.structure import IF, LOOP
from specjit.ir.text import parse
from specjit.ir.types import Type
from specjit.ir.verify import verify
from specjit.ops.combine import stack
from specjit.ops.records import registry
from specjit.passes.autodiff.derivative import Derivative, differentiate
from specjit.passes.autodiff.when import Given
from specjit.tensor import engine
from specjit.tensor.tensor import Tensor, wrap


def is_float(type: Type) -> bool:
    return type.is_tensor and type.dtype is not None and type.dtype.is_floating_point


def floats(graph: Graph) -> list[bool]:
    return [is_float(v.type) for v in graph.inputs]


def derive(text: str, wanted: list[bool] | None = None) -> tuple[Graph, Derivative]:
    """Parse and differentiate (by default with respect to every floating-point input); both results are verified."""
    graph = parse(text, ops=registry.get)
    verify(graph)
    before = str(graph)
    derivative = differentiate(graph.block, floats(graph) if wanted is None else wanted, name=graph.name)
    assert str(graph) == before
    if derivative.refused is None:
        for made in derivative.graphs:
            verify(made)
            assert str(parse(str(made), ops=registry.get)) == str(made)
    return graph, derivative


def refusal(text: str) -> str:
    _, d = derive(text)
    assert d.refused is not None
    assert not d.saved
    return d.refused


Grads = dict[int, np.ndarray]
"""Gradients of outputs, by position; one that is left out has not come."""


def symbols_of(d: Derivative, inputs: list[Any]) -> dict[str, int]:
    symbols: dict[str, int] = {}
    for value, data in zip(d.forward.params, inputs):
        shape = np.shape(data) if value.type.is_tensor else (data,) if value.type.kind == "int" else ()
        dims = value.type.dims or () if value.type.is_tensor else (value.type.dim,)
        symbols.update((str(dim), size) for dim, size in zip(dims, shape))
    return symbols


def run_forward(d: Derivative, forward: Graph, given: list[Any], check: bool = True) -> tuple[list[Any], list[Any]]:
    """The inputs, with as much room for loops as they turn out to need in front, and everything that forward gives."""
    room = 1
    while True:
        inputs = [*[room] * len(d.rooms), *given]
        try:
            return inputs, interpret(forward, *inputs, check=check)
        except RuntimeError as error:
            if "there was room for" not in str(error):
                raise
            room *= 3


def backward_inputs(d: Derivative, inputs: list[Any], results: list[Any], grads: Grads) -> list[Any]:
    """What the runtime hands to the backward block."""
    count = len(results) - len(d.kept())
    symbols = symbols_of(d, inputs)
    find = {
        "input": lambda i: inputs[len(d.rooms) + i],
        "output": lambda j: results[j],
        "saved": lambda k: results[count + k],
        "size": lambda dim: symbols[str(dim)],
        "grad": lambda j: grads[j] if j in grads else np.zeros_like(results[j]),
        "given": lambda j: j in grads,
    }
    return [find[kind](which) for kind, which in d.saved]


def run_backward(
    d: Derivative, backward: Graph, inputs: list[Any], results: list[Any], grads: Grads, check: bool = True
) -> list[Any]:
    """The gradients of the wanted inputs; None where there is none."""
    found = interpret(backward, *backward_inputs(d, inputs, results, grads), check=check)
    symbols = symbols_of(d, inputs)

    def known(fact: Any) -> bool:
        return fact.output in grads if isinstance(fact, Given) else fact.size.evaluate(symbols) > 0

    out: list[Any] = []
    for gradient, present in zip(found, d.present):
        there = any(all(map(known, term)) for term in present.terms)
        there = there or (present.flag is not None and found[present.flag])
        if not there and gradient is not None:
            assert not gradient.any(), "a gradient that is not there is zeros"
        out.append(gradient if there else None)
    return out


def run(
    d: Derivative, given: list[Any], seed: int = 0, only: list[int] | None = None
) -> tuple[list[Any], Grads, list[Any]]:
    """Results, the random gradients given to them (or to `only` some), and the gradients of the wanted inputs."""
    forward, backward = d.graphs
    inputs, results = run_forward(d, forward, given)
    rng = np.random.default_rng(seed)
    count = len(results) - len(d.kept())
    grads = {
        j: rng.standard_normal(np.shape(r)).astype(r.dtype)
        for j, r in enumerate(results[:count])
        if is_float(d.forward.outputs[j].type) and (only is None or j in only)
    }
    return results[:count], grads, run_backward(d, backward, inputs, results, grads)


def check(text: str, *inputs: Any, wanted: list[bool] | None = None, tol: float = 1e-6) -> Derivative:
    """Compare every gradient with the tape, and with central differences of the graph itself; float64 inputs."""
    graph, d = derive(text, wanted)
    assert d.refused is None, d.refused
    given = list(inputs)
    results, grads, found = run(d, given)
    for plain, result in zip(interpret(graph, *given), results, strict=True):
        np.testing.assert_array_equal(plain, result)
    marks = floats(graph) if wanted is None else wanted
    positions = [i for i, w in enumerate(marks) if w]
    assert len(found) == len(positions)
    for i, gradient, taped in zip(positions, found, tape_gradients(graph, given, marks, grads), strict=True):
        expected = _differences(graph, given, i, grads)
        assert (gradient is None) == (taped is None), f"input {i}: {gradient} where the tape has {taped}"
        if gradient is None:
            assert not expected.any(), f"input {i}: no gradient, expected {expected}"
            continue
        assert gradient.shape == given[i].shape
        assert gradient.dtype == given[i].dtype
        np.testing.assert_allclose(gradient, expected, rtol=tol * 100, atol=tol, err_msg=f"gradient of input {i}")
        np.testing.assert_allclose(gradient, taped, rtol=1e-12, atol=1e-12, err_msg=f"input {i} against the tape")
    check_absences(graph, d, given, marks)
    return d


def check_absences(graph: Graph, d: Derivative, given: list[Any], wanted: list[bool]) -> None:
    """With gradients of one output alone, the same inputs as on the tape get one."""
    for j in d.differentiable if len(d.differentiable) > 1 else ():
        _, grads, found = run(d, given, only=[j])
        taped = tape_gradients(graph, given, wanted, grads)
        assert [g is None for g in found] == [t is None for t in taped], f"gradients of output {j} alone"
        for gradient, expected in zip(found, taped):
            if gradient is not None:
                np.testing.assert_allclose(gradient, expected, rtol=1e-12, atol=1e-12)


def _differences(graph: Graph, inputs: list[Any], i: int, grads: dict[int, np.ndarray], step: float = 1e-6) -> Any:
    def loss(x: np.ndarray) -> float:
        results = interpret(graph, *inputs[:i], x, *inputs[i + 1 :])
        return math.fsum((grads[j] * results[j]).sum() for j in grads)

    out = np.zeros(inputs[i].shape)
    for at in np.ndindex(*inputs[i].shape):
        up, down = inputs[i].copy(), inputs[i].copy()
        up[at] += step
        down[at] -= step
        out[at] = (loss(up) - loss(down)) / (2 * step)
    return out


def tape_gradients(graph: Graph, inputs: list[Any], wanted: list[bool], grads: dict[int, np.ndarray]) -> list[Any]:
    """The gradients that eager mode finds, running the graph op by op; None where it finds none."""
    tensors = [wrap(np.array(data)) if v.type.is_tensor else data for v, data in zip(graph.inputs, inputs)]
    for t, w in zip(tensors, wanted):
        if w:
            t.requires_grad = True
    results = _Eager(dict(zip(graph.inputs, tensors))).block(graph.block)
    asked = [(results[j], wrap(g)) for j, g in grads.items() if results[j].requires_grad]
    if asked:
        engine.backward([r for r, _ in asked], [g for _, g in asked])
    return [None if t.grad is None else t.grad._data for t, w in zip(tensors, wanted) if w]


class _Eager:
    def __init__(self, env: dict[Value, Any]) -> None:
        self.env = env

    def get(self, value: Value) -> Any:
        return value.const if value.is_const else self.env[value]

    def block(self, block: Block) -> list[Any]:
        for node in block.nodes:
            self.env.update(zip(node.results, self.node(node), strict=True))
        return [self.get(o) for o in block.outputs]

    def node(self, node: Node) -> list[Any]:
        args = [self.get(a) for a in node.args]
        if node.op is IF:
            return self.block(node.blocks[0 if args[0] else 1])
        if node.op is LOOP:
            return self.loop(node, *args)
        named = {p.name: a for p, a in zip(node.op.params, args) if p.kwonly}
        out = node.op.fn(*args[: len(args) - len(named)], **named)  # type: ignore[attr-defined]
        return list(out) if isinstance(out, (tuple, list)) and node.results[0].type.kind == "tensor" else [out]

    def loop(self, node: Node, trip: int | None, cond: bool, *carried: Any) -> list[Any]:
        (body,) = node.blocks
        rows: list[list[Tensor]] = []
        limit = 1000 if trip is None else trip
        turns = range(limit - 1, -1, -1) if node.attrs.get("reverse") else range(limit)
        values = list(carried)
        for i in turns:
            if not cond:
                break
            self.env.update(zip(body.params, [i, *values], strict=True))
            cond, *outs = self.block(body)
            values = outs[: len(carried)]
            rows.append(outs[len(carried) :])
        if node.attrs.get("reverse"):
            rows.reverse()
        stacks = [
            stack([row[k] for row in rows]) if rows else self.empty(result)
            for k, result in enumerate(node.results[len(carried) :])
        ]
        return values + stacks

    def empty(self, result: Value) -> Tensor:
        assert result.type.dims is not None
        assert result.type.dtype is not None
        sizes = [d if isinstance(d, int) else 1 for d in result.type.dims[1:]]
        return wrap(np.zeros([0, *sizes], result.type.dtype.numpy))


def bytes_per_turn(d: Derivative, symbol: str = "T") -> int:
    """Bytes that a loop keeps in each turn, for the backward pass alone; every kept tensor must be a stack over
    `symbol`, or a history with one row more."""
    total = 0
    for value in d.kept():
        assert value.type.dtype is not None
        assert value.type.dims is not None
        assert str(value.type.dims[0]) in (symbol, f"{symbol}+1")
        total += value.type.dtype.itemsize * math.prod(int(n) for n in value.type.dims[1:])  # type: ignore[arg-type]
    return total
