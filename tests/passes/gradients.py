"""Checking derivatives of graphs written as text: against finite differences in float64, through the reference interpreter."""

from __future__ import annotations

from typing import Any

import numpy as np

import specjit.ops
from specjit.dtypes import dtype_of
from specjit.ir.graph import Graph
from specjit.ir.interpret import interpret
from specjit.ir.text import parse
from specjit.ir.verify import verify
from specjit.passes.autodiff import Derivative, differentiate


def derive(text: str, wanted: list[bool] | None = None) -> tuple[Graph, Derivative]:
    """Parse and differentiate (by default with respect to every floating-point input); both results are verified."""
    graph = parse(text)
    verify(graph)
    before = str(graph)
    if wanted is None:
        wanted = [v.type.is_tensor and v.type.dtype.is_floating_point for v in graph.inputs]
    derivative = differentiate(graph.block, wanted, name=graph.name)
    assert str(graph) == before
    if derivative.refused is None:
        for made in derivative.graphs:
            verify(made)
    return graph, derivative


def backward_inputs(d: Derivative, inputs: list[Any], results: list[Any], grads: dict[int, np.ndarray]) -> list[Any]:
    """What the runtime hands to the backward block."""
    count = len(results) - len(d.kept())
    symbols: dict[str, int] = {}
    for value, data in zip(d.forward.params, inputs):
        shape = np.shape(data) if value.type.is_tensor else (data,) if value.type.kind == "int" else ()
        dims = value.type.dims or () if value.type.is_tensor else (value.type.dim,)
        symbols.update((str(dim), size) for dim, size in zip(dims, shape))
    find = {
        "input": lambda i: inputs[i],
        "output": lambda j: results[j],
        "saved": lambda k: results[count + k],
        "size": lambda dim: symbols[str(dim)],
        "grad": lambda j: grads[j],
    }
    return [find[kind](which) for kind, which in d.saved]


def run(d: Derivative, inputs: list[Any], seed: int = 0) -> tuple[list[Any], dict[int, np.ndarray], list[Any]]:
    """Results, the random gradients given to them, and the gradients of the wanted inputs."""
    forward, backward = d.graphs
    results = interpret(forward, *inputs, check=True)
    rng = np.random.default_rng(seed)
    grads = {
        j: rng.standard_normal(r.shape).astype(r.dtype)
        for j, r in enumerate(results)
        if isinstance(r, np.ndarray) and r.dtype.kind == "f"
    }
    return results, grads, interpret(backward, *backward_inputs(d, inputs, results, grads), check=True)


def check(
    text: str, *inputs: Any, wanted: list[bool] | None = None, step: float = 1e-6, tol: float = 1e-6
) -> Derivative:
    """Compare every gradient with central differences of the graph itself; float64 inputs."""
    graph, d = derive(text, wanted)
    assert d.refused is None, d.refused
    given = list(inputs)
    results, grads, found = run(d, given)
    plain = interpret(graph, *given)
    for a, b in zip(plain, results):
        np.testing.assert_array_equal(a, b)
    if wanted is None:
        wanted = [v.type.is_tensor and v.type.dtype.is_floating_point for v in graph.inputs]
    positions = [i for i, w in enumerate(wanted) if w]
    assert len(found) == len(positions)
    for i, gradient in zip(positions, found):
        expected = _differences(graph, given, i, grads, step)
        if gradient is None:
            assert not expected.any(), f"input {i}: no gradient, expected {expected}"
            continue
        assert gradient.shape == given[i].shape
        assert gradient.dtype == given[i].dtype
        np.testing.assert_allclose(gradient, expected, rtol=tol * 100, atol=tol, err_msg=f"gradient of input {i}")
    return d


def _differences(graph: Graph, inputs: list[Any], i: int, grads: dict[int, np.ndarray], step: float) -> np.ndarray:
    def loss(x: np.ndarray) -> float:
        results = interpret(graph, *inputs[:i], x, *inputs[i + 1 :])
        return float(sum((grads[j] * results[j]).sum() for j in grads if j < len(results)))

    out = np.zeros(inputs[i].shape)
    for at in np.ndindex(*inputs[i].shape):
        up, down = inputs[i].copy(), inputs[i].copy()
        up[at] += step
        down[at] -= step
        out[at] = (loss(up) - loss(down)) / (2 * step)
    return out


def bytes_per_turn(d: Derivative, symbol: str = "T") -> int:
    """Bytes that a loop keeps in each turn, for the backward pass alone."""
    total = 0
    for value in d.kept():
        assert value.type.dtype is not None
        assert value.type.dims is not None
        assert str(value.type.dims[0]) == symbol
        total += value.type.dtype.itemsize * int(np.prod([int(n) for n in value.type.dims[1:]]))  # type: ignore[arg-type]
    return total


__all__ = ["backward_inputs", "bytes_per_turn", "check", "derive", "dtype_of", "run", "specjit"]
