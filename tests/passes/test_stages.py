"""A graph before and after each pass: what is shown is what happened."""

from __future__ import annotations

import pytest

import specjit.passes as passes
from specjit.ir.graph import copy_graph
from tests.golden import graph_of
from tests.graphs import random_graph
from tests.passes.test_manager import NEGATIONS


def test_stages_are_a_chain_from_input_to_output():
    """So no pass changes a graph without saying that it rewrote something."""
    for seed in range(30):
        graph = random_graph(seed)
        before = str(graph)
        optimized = copy_graph(graph)
        report = passes.optimize(optimized)
        stages = passes.stages(graph)
        assert str(graph) == before
        assert [stages[name].record.rewrites for name in stages] == [r.rewrites for r in report.records if r.rewrites]
        at = str(stages.input)
        assert at == before
        for stage in stages.values():
            assert str(stage.before) == at
            at = str(stage.after)
        assert at == str(stages.output) == str(optimized)


def test_runs_have_names():
    stages = passes.stages(graph_of(NEGATIONS))
    assert list(stages) == ["simplify", "cse", "dce"]
    assert [n.op.name for n in stages["simplify"].after.walk()] == ["neg", "neg", "tanh"]
    with pytest.raises(KeyError, match="no run called 'hoist' rewrote anything; those that did: simplify, cse, dce"):
        stages["hoist"]
    assert "simplify        2 rewrites, 5 -> 3 nodes" in repr(stages)


def test_a_later_run_has_its_number():
    stages = passes.stages(
        graph_of("(%x: f32[3]) { %c = neg(%x); %d = neg(%c); %a = variance(%d, None, 1, False); return %a }")
    )
    assert list(stages) == ["simplify", "dce", "decompose", "simplify.2"]
    assert stages["simplify.2"].record.name == "simplify"


def test_a_stage_shows_the_difference():
    stage = passes.stages(graph_of(NEGATIONS))["dce"]
    assert stage.diff.splitlines()[:3] == ["--- before", "+++ dce", "@@ -1,5 +1,4 @@"]
    assert [line for line in stage.diff.splitlines()[3:] if line[0] in "+-"] == ["-  %a: f32[N] = neg(%x)"]
    assert str(stage) == stage.diff
    assert "&lt;" not in stage._repr_html_()
    assert stage._repr_html_().startswith("<pre>--- before")


def test_nothing_rewritten():
    stages = passes.stages(graph_of("(%x: f32[3]) { %y = tanh(%x); return %y }"))
    assert not stages
    assert repr(stages) == "no pass rewrote anything"
    assert repr(stages.output) == "<graph @g: 1 nodes>"
    assert str(stages.input) == str(stages.output)


def test_the_context_decides_and_stays_as_it_is():
    ctx = passes.Context(disable=frozenset({"cse"}), limits={"dce": 0})
    stages = passes.stages(graph_of(NEGATIONS), ctx)
    assert list(stages) == ["simplify"]
    assert (ctx.reports, ctx.facts) == ({}, [])
