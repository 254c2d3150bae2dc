"""`check_pass(name, before, after)`: the unit test of a pass, as text in and text out.

It parses and verifies `before`, runs the pass, verifies, compares texts (but for names), and evaluates both sides with
the reference interpreter on random and special values (NaN, infinities, -0.0, integer extremes), on several sizes of
every symbol (0 and 1 among them): equal results, equal exceptions, equal final contents of the inputs, equal sharing
of storage between outputs and inputs.
"""

from __future__ import annotations

import copy
import functools
import itertools
import textwrap
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

import specjit.passes as passes
from specjit.ir.dims import Poly, evaluate
from specjit.ir.graph import Graph, copy_graph
from specjit.ir.structure import LOOP
from specjit.ir.text import parse, print_graph
from specjit.ir.types import Type
from specjit.ir.verify import verify
from specjit.ops.records import registry
from specjit.passes.aliases import Aliases
from specjit.tensor.random import default_generator
from tests.graphs.rounding import Judge, Limited, Noisy, same_bits

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
    check_same(original, graph, exact=exact, special=numerics == "exact")
    return graph


def by_name(name: str) -> passes.Pass:
    flat = [p for item in passes.PIPELINE for p in (item.passes if isinstance(item, passes.Repeat) else (item,))]
    return next(p for p in flat if p.name == name)


# -- evaluating both sides --------------------------------------------------------------------------------------------


def check_same(before: Graph, after: Graph, *, exact: bool = True, special: bool = True) -> None:
    """Both graphs do the same on random, special and aliased inputs: to the bit, or (`exact=False`) but for what
    rounding may change (see `tests.graphs.rounding`). special=False: on ordinary numbers only, for numerics="fast",
    which promises nothing of others."""
    for sizes in choices_of_sizes(before):
        if any(evaluate(size, sizes) < 1 for size in after.attrs.get("nonempty", ())):
            continue  # guarded
        for seed in range(3):
            given = make_inputs(before, sizes, seed, special=special and seed > 0)
            check_run(before, after, given, exact=exact, what=f"sizes {sizes}, inputs of seed {seed}")


def check_run(
    before: Graph, after: Graph, given: list[Any], *, exact: bool, what: str = "", run: Callable[..., Any] | None = None
) -> None:
    """`run`: another way to run `after` than the reference interpreter."""
    a, b = outcome(before, given), outcome(after, given, run)
    compare(a, b, None if exact else judge_of(before, given), f"{what}\n{before}\n{after}")


def choices_of_sizes(graph: Graph) -> list[dict[str, int]]:
    names = symbols_of(graph)
    choices = [dict(zip(names, itertools.cycle(SIZES))), dict.fromkeys(names, 1), dict.fromkeys(names, 0)]
    return choices if names else choices[:1]


def symbols_of(graph: Graph) -> list[str]:
    found: dict[str, None] = {}
    for value in graph.inputs:
        for dim in (*(value.type.dims or ()), value.type.dim):
            if isinstance(dim, Poly):
                found.update(dict.fromkeys(sorted(dim.symbols())))
    return list(found)


def make_inputs(graph: Graph, sizes: dict[str, int], seed: int, special: bool = False) -> list[Any]:
    """Inputs of these sizes. special: values at the edges, memory that is not contiguous, and, where the graph writes
    nothing, tensors that share memory."""
    rng = np.random.default_rng(seed)
    # Each has a generator of its own: what it is does not depend on which others there are.
    names = [v.hint or str(k) for k, v in enumerate(graph.inputs)]
    own = [np.random.default_rng([seed, zlib.crc32(name.encode())]) for name in names]
    made = [make_input(v.type, sizes, r, special) for v, r in zip(graph.inputs, own)]
    if special and not any(n.op is LOOP for n in graph.walk()):
        made = [big_number(v.type, x, r) for v, x, r in zip(graph.inputs, made, own)]
    if special and not Aliases(graph).has_writes:
        for k, x in enumerate(made):
            other = made[rng.integers(len(made))]
            if type(x) is type(other) is np.ndarray and (x.shape, x.dtype) == (other.shape, other.dtype):
                made[k] = other
    return made


def make_input(type: Type, sizes: dict[str, int], rng: np.random.Generator, special: bool) -> Any:
    if type.kind == "int":
        return int(rng.integers(0, 4)) if type.dim is None else evaluate(type.dim, sizes)
    if type.kind == "bool":
        return bool(rng.integers(2))
    if type.kind == "float":
        return float(rng.choice(SPECIAL)) if special else float(rng.standard_normal())
    assert type.dtype is not None, f"tests make inputs of known types only, not {type}"
    assert type.dims is not None, f"tests make inputs of known types only, not {type}"
    shape = tuple(evaluate(d, sizes) for d in type.dims)  # type: ignore[arg-type]
    data = elements(shape, type.dtype.numpy, rng, special)
    return scattered(data, rng) if special else data


def elements(shape: tuple[int, ...], dtype: np.dtype, rng: np.random.Generator, special: bool) -> np.ndarray:
    if dtype.kind == "f":
        data = rng.standard_normal(shape)
        if special:
            data = np.where(rng.random(shape) < 0.3, rng.choice(SPECIAL, shape), data)
        with np.errstate(all="ignore"):
            return np.asarray(data, dtype)
    if dtype.kind == "b":
        return rng.integers(0, 2, shape).astype(bool)
    if special:
        info = np.iinfo(dtype)
        return np.asarray(rng.choice(np.array([info.min, info.max, 0, 1, info.max - 1], dtype), shape))
    return rng.integers(0, 4, shape).astype(dtype)


def scattered(data: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The same elements in memory of another layout, or as they were."""
    if data.ndim < 2 or rng.random() < 0.5:
        return data
    if rng.random() < 0.5:
        return np.ascontiguousarray(data.swapaxes(-1, -2)).swapaxes(-1, -2)
    return np.repeat(data, 2, -1)[..., ::2]


def big_number(type: Type, value: Any, rng: np.random.Generator) -> Any:
    """Python's integers are as large as they get; those that no size fixes may be."""
    return int(rng.choice([0, 1, -1, 2**62, -(2**63)])) if type.kind == "int" and type.dim is None else value


def copied(given: list[Any]) -> list[Any]:
    """A copy of each array, in a layout like its own; what was one array stays one."""
    return copy.deepcopy(given)


@dataclass
class Outcome:
    """What a caller sees of a run: the exception, the outputs, the inputs afterwards, which pairs of arrays share
    memory, and where the random generator stands."""

    error: type | None
    outputs: list[Any]
    inputs: list[Any]
    shared: list[bool]
    drawn: list[int]

    @property
    def values(self) -> list[Any]:
        return [*self.outputs, *self.inputs]


def outcome(graph: Graph, given: list[Any], run: Callable[..., list[Any]] | None = None) -> Outcome:
    """Run on copies of the inputs; `run` is another way to run than the reference interpreter with checked types."""
    run = run or functools.partial(Limited(check=True).run, graph)
    given = copied(given)
    default_generator.manual_seed(5)
    with np.errstate(all="ignore"):
        try:
            outputs = run(*given)
        except (RuntimeError, IndexError, ValueError, TypeError, ZeroDivisionError, OverflowError) as error:
            return Outcome(type(error), [], given, [], default_generator.get_state().tolist())
    arrays = [a for a in [*outputs, *given] if isinstance(a, np.ndarray)]
    shared = [np.shares_memory(a, b) for a, b in itertools.combinations(arrays, 2)]
    return Outcome(None, outputs, given, shared, default_generator.get_state().tolist())


def judge_of(graph: Graph, given: list[Any]) -> Judge:
    def rerun(seed: int) -> tuple[Any, list[Any]]:
        found = outcome(graph, given, functools.partial(Noisy(seed).run, graph))
        return (found.error, found.drawn), found.values

    return Judge(rerun)


def compare(a: Outcome, b: Outcome, judge: Judge | None, what: str) -> None:
    """Assert that outcome b may be where outcome a is right."""
    ends = [(o.error, o.drawn) for o in (a, b)]
    if ends[0] != ends[1]:
        assert judge is not None and judge.may_end_otherwise(ends[0]), f"{ends[0]} against {ends[1]}: {what}"
        return
    assert len(a.outputs) == len(b.outputs), what
    for k, (x, y) in enumerate(zip(a.values, b.values, strict=True)):
        assert type(x) is type(y), what
        if isinstance(x, np.ndarray):
            assert (x.dtype, x.shape) == (y.dtype, y.shape), what
        if same_bits(np.asarray(x), np.asarray(y)) or (judge is not None and judge.allows(k, x, y)):
            continue
        raise AssertionError(f"result {k}: {x!r} against {y!r}: {what}")
    assert a.shared == b.shared, f"outputs and inputs share storage differently: {what}"
