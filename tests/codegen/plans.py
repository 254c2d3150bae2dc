"""Helpers for scheduler tests: parse text, plan it, run the plan in Python and compare with the reference
interpreter."""

from __future__ import annotations

import re
from typing import Any

import numpy as np

from specjit.codegen.schedule import RegionPlan, schedule
from specjit.codegen.schedule.interp import interpret as run_plan
from specjit.ir.graph import Graph
from specjit.ir.interpret import interpret as run_graph
from specjit.ir.text import parse
from specjit.ops.records import registry


def graph_of(text: str) -> Graph:
    """Parse; a line that ends in a comma goes on in the next one."""
    return parse(re.sub(r",\s*\n\s*", ", ", text), ops=registry.get)


def plan_of(
    text: str,
    *,
    params: tuple[str, ...] = (),
    layouts: dict[str, tuple[Any, ...]] | None = None,
    numerics: str = "exact",
    disable: tuple[str, ...] = (),
) -> RegionPlan:
    graph = graph_of(text)
    chosen = {v for v in graph.inputs if v.hint in params}
    strides = {v: (layouts or {})[v.hint] for v in graph.inputs if v.hint in (layouts or {})}
    return schedule(
        graph.block, name=graph.name, params=chosen, layouts=strides, numerics=numerics, disable=frozenset(disable)
    )


def calls(plan: RegionPlan) -> list[int]:
    """Kernel numbers in the order of the program's text."""
    return [line[1][0].number for line in plan.lines if isinstance(line, tuple) and line[0] == "CALL"]


def loop_calls(plan: RegionPlan) -> int:
    """Kernel calls inside the (outermost) loops."""
    depth = count = 0
    for line in plan.lines:
        if isinstance(line, tuple):
            depth += {"LOOP": 1, "ENDL": -1}.get(line[0], 0)
            count += line[0] == "CALL" and depth > 0
    return count


def check(
    text: str,
    *inputs: Any,
    params: tuple[str, ...] = (),
    layouts: dict[str, tuple[Any, ...]] | None = None,
    rtol: float = 2e-5,
    atol: float = 2e-6,
) -> RegionPlan:
    """Plan, run in Python, compare every output with the graph interpreted op by op, and aliasing with it. The plan."""
    plan = plan_of(text, params=params, layouts=layouts)
    graph = graph_of(text)
    expected = run_graph(graph, *[x.copy() if isinstance(x, np.ndarray) else x for x in inputs])
    before = [x.copy() if isinstance(x, np.ndarray) else x for x in inputs]
    found = run_plan(plan, inputs)
    assert len(found) == len(expected)
    for mine, theirs in zip(found, expected):
        if isinstance(theirs, np.ndarray) or np.isscalar(theirs):
            a, b = np.asarray(mine), np.asarray(theirs)
            assert a.shape == b.shape, (a.shape, b.shape)
            if isinstance(theirs, np.ndarray):
                assert a.dtype == b.dtype, (a.dtype, b.dtype)
            np.testing.assert_allclose(a, b, rtol=rtol, atol=atol)
        else:
            assert mine == theirs
    for x, old in zip(inputs, before):
        if isinstance(x, np.ndarray):
            np.testing.assert_array_equal(x, old, "an input was changed")
    return plan


def f32(rng: np.random.Generator, *shape: int) -> np.ndarray:
    return rng.standard_normal(shape).astype(np.float32)
