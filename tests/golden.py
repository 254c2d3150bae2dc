"""`check_pass(name, before, after)`: the unit test of a pass, as text in and text out.

It parses and verifies `before`, runs the pass, verifies, compares texts (but for names), and evaluates both sides with
the reference interpreter on random and special values (NaN, infinities, -0.0, integer extremes), on several sizes of
every symbol (0 and 1 among them): equal results, equal exceptions, equal final contents of the inputs, equal sharing
of storage between outputs and inputs.
"""

from __future__ import annotations

import itertools
import textwrap
from typing import Any

import numpy as np

import specjit.passes as passes
from specjit.ir.dims import Poly, evaluate
from specjit.ir.graph import Graph, copy_graph
from specjit.ir.interpret import interpret
from specjit.ir.text import parse, print_graph
from specjit.ir.types import Type
from specjit.ir.verify import verify
from specjit.ops import registry

SIZES = (3, 2, 5, 4)  # of the first, second, ... symbol; then all 1, then all 0
SPECIAL = np.array([np.nan, np.inf, -np.inf, -0.0, 0.0, 1.0, -1.0, 1e-42, 3e38])


def graph_of(text: str, name: str = "g") -> Graph:
    """A graph from its text; the header may leave out `graph @name`."""
    text = textwrap.dedent(text).strip()
    return parse(text if text.startswith("graph") else f"graph @{name}{text}", ops=registry.get)


def check_pass(name: str, before: str, after: str, *, exact: bool = True, numerics: str = "exact") -> None:
    """The pass turns `before` into `after`. `exact=False`: sums and products may round differently."""
    graph = run_pass(name, before, exact=exact, numerics=numerics)
    expected = graph_of(after)
    assert nameless(graph) == nameless(expected), f"\n--- got\n{graph}\n--- expected\n{expected}"


def nameless(graph: Graph) -> str:
    """The text of a graph with all values but the inputs numbered: names are for readers, a pass may choose them."""
    graph = copy_graph(graph)
    for node in graph.walk():
        for value in (*node.results, *(p for b in node.blocks for p in b.params)):
            value.hint = ""
    return print_graph(graph)


def check_unchanged(name: str, text: str, **options: Any) -> None:
    """The near miss: the pass leaves the graph alone."""
    check_pass(name, text, text, **options)


def run_pass(name: str, text: str, *, exact: bool = True, numerics: str = "exact") -> Graph:
    graph = graph_of(text)
    verify(graph, "parsing")
    original = copy_graph(graph)
    chosen = passes.PIPELINE if name == "all" else (by_name(name),)
    passes.run_pipeline(graph, chosen, passes.Context(numerics=numerics))
    verify(graph, name)
    check_same(original, graph, exact=exact)
    return graph


def by_name(name: str) -> passes.Pass:
    flat = [p for item in passes.PIPELINE for p in (item.passes if isinstance(item, passes.Repeat) else (item,))]
    return next(p for p in flat if p.name == name)


# -- evaluating both sides --------------------------------------------------------------------------------------------


def check_same(before: Graph, after: Graph, *, exact: bool = True, tolerance: float = 100) -> None:
    """Both graphs do the same on random and special inputs: bit for bit, or within a tolerance (see `same_array`)."""
    names = symbols_of(before)
    choices = [dict(zip(names, itertools.cycle(SIZES))), dict.fromkeys(names, 1), dict.fromkeys(names, 0)]
    for sizes in choices if names else choices[:1]:
        if any(evaluate(size, sizes) == 0 for size in after.attrs.get("nonempty", ())):
            continue  # guarded
        for seed in range(2):
            special = SPECIAL if exact else SPECIAL[:-1]  # near overflow, sums in another order may overflow elsewhere
            given = make_inputs(before, sizes, seed, special if seed % 2 else None)
            a = outcome(before, [copied(g) for g in given])
            b = outcome(after, [copied(g) for g in given])
            compare(a, b, None if exact else tolerance, f"sizes {sizes}, seed {seed}\n{before}\n{after}")


def symbols_of(graph: Graph) -> list[str]:
    found: dict[str, None] = {}
    for value in graph.inputs:
        for dim in (*(value.type.dims or ()), value.type.dim):
            if isinstance(dim, Poly):
                found.update(dict.fromkeys(sorted(dim.symbols())))
    return list(found)


def make_inputs(graph: Graph, sizes: dict[str, int], seed: int, special: np.ndarray | None) -> list[Any]:
    rng = np.random.default_rng(seed)
    return [make_input(v.type, sizes, rng, special) for v in graph.inputs]


def make_input(type: Type, sizes: dict[str, int], rng: np.random.Generator, special: np.ndarray | None) -> Any:
    if type.kind == "int":
        return int(rng.integers(0, 4)) if type.dim is None else evaluate(type.dim, sizes)
    if type.kind == "bool":
        return bool(rng.integers(2))
    if type.kind == "float":
        return float(rng.standard_normal()) if special is None else float(rng.choice(special))
    assert type.dtype is not None, f"tests make inputs of known types only, not {type}"
    assert type.dims is not None, f"tests make inputs of known types only, not {type}"
    shape = tuple(evaluate(d, sizes) for d in type.dims)  # type: ignore[arg-type]
    dtype = type.dtype.numpy
    if dtype.kind == "f":
        data = rng.standard_normal(shape)
        if special is not None:
            data = np.where(rng.random(shape) < 0.3, rng.choice(special, shape), data)
        with np.errstate(all="ignore"):
            return data.astype(dtype)
    if dtype.kind == "b":
        return rng.integers(0, 2, shape).astype(bool)
    if special is not None:
        info = np.iinfo(dtype)
        return rng.choice(np.array([info.min, info.max, 0, 1, info.max - 1], dtype), shape)
    return rng.integers(0, 4, shape).astype(dtype)


def copied(value: Any) -> Any:
    return value.copy() if isinstance(value, np.ndarray) else value


def outcome(graph: Graph, given: list[Any]) -> tuple[Any, ...]:
    """(exception type or None, outputs, inputs afterwards, which pairs of arrays share storage)."""
    with np.errstate(all="ignore"):
        try:
            outputs = interpret(graph, *given, check=True)
        except (RuntimeError, IndexError, ValueError, TypeError, ZeroDivisionError, OverflowError) as error:
            return type(error), [], given, []
    arrays = [a for a in [*outputs, *given] if isinstance(a, np.ndarray)]
    shared = [np.shares_memory(a, b) for a, b in itertools.combinations(arrays, 2)]
    return None, outputs, given, shared


def compare(a: tuple[Any, ...], b: tuple[Any, ...], tolerance: float | None, what: str) -> None:
    assert a[0] == b[0], what
    assert len(a[1]) == len(b[1]), what
    for x, y in zip([*a[1], *a[2]], [*b[1], *b[2]]):
        assert type(x) is type(y), what
        if isinstance(x, np.ndarray):
            assert (x.dtype, x.shape) == (y.dtype, y.shape), what
            same_array(x, y, tolerance, what)
        elif isinstance(x, float):
            same_array(np.array(x), np.array(y), tolerance, what)
        else:
            assert x == y, what
    assert a[3] == b[3], f"outputs and inputs share storage differently: {what}"


def same_array(x: np.ndarray, y: np.ndarray, tolerance: float | None, what: str) -> None:
    """The same bits (but for the payload of NaN), or the same within a tolerance: relative if below 1, else in units
    of eps."""
    if x.dtype.kind != "f" or tolerance is None:
        np.testing.assert_array_equal(x, y, err_msg=what)
        if x.dtype.kind == "f":
            signs = ~np.isnan(x)
            np.testing.assert_array_equal(np.signbit(x)[signs], np.signbit(y)[signs], err_msg=f"sign of zero: {what}")
        return
    np.testing.assert_array_equal(np.isnan(x), np.isnan(y), err_msg=what)
    with np.errstate(all="ignore"):
        scale = np.max(np.abs(x), where=np.isfinite(x), initial=0)
        relative = tolerance if tolerance < 1 else tolerance * np.finfo(x.dtype).eps
        np.testing.assert_allclose(x, y, rtol=relative, atol=relative * max(scale, 1), err_msg=what)
