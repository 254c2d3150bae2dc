"""Which outputs of a region are one array, and which are the caller's memory, when only a run says: as in eager."""

from __future__ import annotations

import numpy as np
import pytest

from specjit.codegen.abi import Status
from specjit.codegen.schedule.interp import RegionFailed
from specjit.codegen.schedule.interp import interpret as run_plan
from tests.codegen.plans import plan_of
from tests.golden import check_run, graph_of
from tests.graphs.planned import Planned

LOOP = """(%x: f32[2,3], %n: int<T>, %d: bool) {{
  %z = zeros([2, 3])
  %o = ones([2, 3])
  {results} = loop %n, True, (%i, {carried}) {{
    %q = add(%p, %x)
    %r = mul(%q, %c)
    {body}
  }}
  return {results}
}}"""


def loop(carried: str, body: str, results: str = "%h, %g") -> str:
    return LOOP.format(carried=carried, body=body, results=results)


ONE_START = loop("%p = %z, %c = %z", "yield True, %q, %r")
CALLERS = loop("%p = %x, %c = %z", "yield True, %q, %r")
SHIFTED = loop("%p = %z, %c = %o", "yield True, %q, %p")
SHIFTED_FROM_ONE = loop("%p = %z, %c = %z", "yield True, %q, %p")
TWICE = loop("%p = %z, %c = %o", "yield True, %q, %q")
OUTSIDE = loop("%p = %z, %c = %x", "yield True, %o, %p")
BEST = loop("%p = %z, %c = %o", "%s = if %d { yield %r } else { yield %c }; yield True, %r, %s")
CHOSEN = """(%x: f32[2,3], %d: bool) {
  %a = add(%x, 1)
  %b = mul(%a, 2)
  %h = if %d { yield %a } else { yield %b }
  return %a, %h
}"""
EITHER = """(%x: f32[2,3], %d: bool) {
  %e = abs(%x)
  %a = add(%e, 1)
  %h = if %d { yield %a } else { yield %x }
  return %h
}"""


@pytest.mark.parametrize("turns", [0, 1, 2, 3])
@pytest.mark.parametrize("flag", [False, True])
@pytest.mark.parametrize(
    "text",
    [ONE_START, CALLERS, SHIFTED, SHIFTED_FROM_ONE, TWICE, OUTSIDE, BEST, CHOSEN, EITHER],
    ids=["one start", "callers", "shifted", "shifted from one", "twice", "outside", "best", "chosen", "either"],
)
def test_outputs_are_one_array_where_they_are_in_eager(text, turns, flag):
    graph = graph_of(text)
    x = np.arange(6, dtype=np.float32).reshape(2, 3)
    given = {"int": turns, "bool": flag}
    planned = Planned(graph)
    check_run(graph, graph, [given.get(v.type.kind, x) for v in graph.inputs], exact=True, run=planned.run)
    assert not [why for why in planned.statuses if why.startswith("not planned")]


@pytest.mark.parametrize(
    ("text", "turns", "flag"),
    [(ONE_START, 1, False), (CALLERS, 2, False), (SHIFTED, 0, False), (SHIFTED_FROM_ONE, 3, False), (BEST, 3, False),
     (CHOSEN, 0, False), (EITHER, 0, True), (TWICE, 3, False)],
)  # fmt: skip
def test_a_run_in_which_they_are_apart_is_native(text, turns, flag):
    graph = graph_of(text)
    planned = Planned(graph)
    given = {"int": turns, "bool": flag}
    planned.run(*(given.get(v.type.kind, np.ones((2, 3), np.float32)) for v in graph.inputs))
    assert planned.statuses == {"OK": 1}


def test_numbers_that_nothing_compares_are_not_carried():
    plan = plan_of(str(graph_of(loop("%p = %z, %c = %o", "yield True, %q, %r", "%h, %g"))))
    assert "=65536" not in plan.describe()


def test_views_of_what_depends_on_parameters_alone_share_one_copy():
    text = "(param %w: f32[4,4]) { %a = add(%w, 1); %b = mul(%a, 2); %c = select(%b, 0, 1); return %b, %c, %b }"
    graph = graph_of(text)
    check_run(graph, graph, [np.eye(4, dtype=np.float32)], exact=True, run=Planned(graph).run)


def test_a_write_after_the_region_shows_in_all_that_are_one_array():
    """The loop passes one array on to both results, after two turns."""
    graph = graph_of(
        """(%u: f32[4,4], %w: f32[4,4], %n: int) {
          %l = gt(%u, %w)
          %a = where(%l, 0.0, %u)
          %x, %y = loop %n, True, (%i, %p = %u, %q = %w) { yield True, %a, %p }
          %m = masked_fill_(%y, %l, -2.0)
          return %x
        }"""
    )
    rng = np.random.default_rng(0)
    given = [rng.standard_normal((4, 4)).astype(np.float32) for _ in range(2)]
    for turns in (3, 1):
        check_run(graph, graph, [*given, turns], exact=True, run=Planned(graph).run)


def test_the_status_is_a_guard():
    with pytest.raises(RegionFailed) as failed:
        run_plan(plan_of(str(graph_of(ONE_START))), [np.ones((2, 3), np.float32), 0, True])
    assert failed.value.status is Status.GUARD
