"""Looking into a Program: its graphs before and after each pass, and what `explain()` says the passes did."""

from __future__ import annotations

import pytest

import specjit
from specjit import config
from specjit.ir import parse
from specjit.ops.records import registry
from tests.runtime.models import LSTM, arguments, uniform


def wasteful(x):
    y = -(-(x * 1.0))
    return (y + y.tanh()).t().t() * 2.0


@pytest.fixture
def program():
    program = specjit.optimize(wasteful, warmup=2, background=False, name="wasteful")
    for rows in (3, 4, 5):
        program(specjit.tensor(uniform(rows, 3, seed=1)))
    return program


@pytest.fixture(scope="module")
def trained():
    program = specjit.optimize(LSTM(6, 8), warmup=2, background=False, name="lstm")
    for _ in range(3):
        y, _ = program(*arguments(4, 3, 6, 8))
        y.sum().backward()
    return program


def ops(graph):
    return [n.op.name for n in graph.walk() if not n.blocks]


def test_graphs_before_and_after_each_pass(program) -> None:
    (variant,) = program.specializations
    graphs = variant.graphs
    assert ops(graphs.input) == ["mul", "neg", "neg", "tanh", "add", "t", "t", "mul"]
    assert graphs["simplify"].before is graphs.input
    assert sorted(ops(graphs.output)) == sorted(ops(variant.graph))
    assert "-  %" in graphs["simplify"].diff


def test_graphs_can_be_parsed(program) -> None:
    for stage in program.specializations[0].graphs.values():
        assert str(parse(str(stage.after), ops=registry.get)) == str(stage.after)


def test_the_settings_of_the_time_count(program) -> None:
    with config.options(limit={"simplify": 1}):
        limited = specjit.optimize(wasteful, warmup=1, background=False)
        limited(specjit.tensor(uniform(3, 3, seed=1)))
    (variant,) = limited.specializations
    assert variant.graphs["simplify"].record.rewrites == 1
    with config.options(limit={"simplify": 0}):
        assert program.specializations[0].graphs["simplify"].record.rewrites > 1


def test_looking_changes_nothing(program, tmp_path) -> None:
    (variant,) = program.specializations
    before = (str(variant.graph), variant.context.reports.keys(), len(program.events()), str(program.explain()))
    with config.options(dump=tmp_path):
        repr(variant.graphs)
    after = (str(variant.graph), variant.context.reports.keys(), len(program.events()), str(program.explain()))
    assert before == after
    assert not list(tmp_path.iterdir())


def test_a_region_with_gradients_has_two_graphs(trained, program) -> None:
    (variant,) = trained.specializations
    graphs = variant.derivative_graphs()
    assert list(graphs) == ["forward", "backward"]
    derivative = variant.regions[0].backward.derivative
    assert [str(g.output) for g in graphs.values()] == [str(derivative.graphs[0]), str(derivative.graphs[1])]
    assert "dce" in graphs["backward"]
    assert program.specializations[0].derivative_graphs() == {}


def test_explain_says_what_each_pass_did(trained) -> None:
    (told,) = trained.explain().to_dict()["specializations"]
    assert list(told["passes"]) == ["optimize", "lstm_1_0_forward", "lstm_1_0_backward"]
    (variant,) = trained.specializations
    backward = told["passes"]["lstm_1_0_backward"]
    stages = variant.derivative_graphs()["backward"]
    assert backward["nodes"] == [len(list(g.walk())) for g in (stages.input, stages.output)]
    assert backward["bytes"][1] < backward["bytes"][0]
    done = {p["name"]: p["rewrites"] for p in backward["passes"] if p["rewrites"]}
    assert done == {name: sum(s.record.rewrites for s in stages.values() if s.record.name == name) for name in done}
    text = str(trained.explain())
    n, m = backward["nodes"]
    assert f"lstm_1_0_backward: {n} -> {m} nodes, " in text
    assert f"dce {done['dce']}, -" in text


def test_memory_is_measured_at_the_sizes_of_the_latest_call(program) -> None:
    (told,) = program.explain().to_dict()["specializations"]
    assert list(told["measured_with"].values()) in ([4], [5])
    assert f"alive at most with {next(iter(told['measured_with']))} = " in str(program.explain())


def test_in_a_notebook_a_graph_is_a_picture_or_its_text(program) -> None:
    graph = program.graph
    assert graph.to_dot().startswith("digraph ")
    assert "graph @" in graph._repr_html_()
