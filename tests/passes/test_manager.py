"""The runner: it counts, times, verifies, dumps, limits and leaves out."""

from __future__ import annotations

import pytest

import specjit.passes as passes
from specjit import config
from specjit.ir.graph import Graph
from specjit.ir.text import parse
from specjit.ir.types import Type
from specjit.ir.verify import VerifyError
from specjit.ops.records import registry
from tests.golden import graph_of

NEGATIONS = "(%x: f32[N]) { %a = neg(%x); %b = neg(%a); %c = neg(%b); %d = neg(%c); %y = tanh(%d); return %y }"


def ops(graph: Graph) -> list[str]:
    return [n.op.name for n in graph.walk()]


def test_optimize_reports_what_each_pass_did():
    graph = graph_of(NEGATIONS)
    report = passes.optimize(graph)
    assert ops(graph) == ["tanh"]
    assert report.by_pass() == {"simplify": 2, "cse": 1, "dce": 1}
    assert report.rewrites == 4
    first = report.records[0]
    assert (first.name, first.before.nodes, first.after.nodes) == ("turn", 5, 5)
    assert all(r.seconds >= 0 for r in report.records)
    assert "simplify" in str(report)
    assert [p["name"] for p in report.to_dict()["passes"]] == passes.names()
    assert report.to_dict()["nodes"] == [5, 1]


def test_facts_say_where():
    graph = graph_of(
        """(%x: f32[T,B,6], %w: f32[6,8], %h0: f32[B,8], %n: int<T>) {
          %h = loop %n, True, (%i, %h1 = %h0) {
            %xt = select(%x, 0, %i)
            %p = matmul(%xt, %w)  # cell.py:7
            %s = add(%p, %h1)
            yield True, %s
          }
          return %h
        }"""
    )
    report = passes.optimize(graph)
    assert [str(f) for f in report.facts] == ["hoist: one product for all turns of the loop, before it  (cell.py:7)"]


@pytest.mark.parametrize("limit", [0, 1, 2])
def test_limit_stops_a_pass_over_all_its_runs(limit):
    graph = graph_of(NEGATIONS)
    with config.options(limit={"simplify": limit}):
        report = passes.optimize(graph)
    assert report.by_pass().get("simplify", 0) == limit


@pytest.mark.parametrize("limit", [0, 1, 3, 4, 9])
def test_limit_counts_all_passes_together(limit):
    graph = graph_of(NEGATIONS)
    with config.options(limit={"all": limit}):
        assert passes.optimize(graph).rewrites == min(limit, 4)


def test_the_rewrites_under_a_limit_are_the_first_ones():
    graphs = []
    for limit in range(5):
        graph = graph_of(NEGATIONS)
        passes.optimize(graph, passes.Context(limits={"all": limit}))
        graphs.append(graph)
    assert [len(ops(g)) for g in graphs] == [5, 4, 3, 2, 1]
    assert len({str(g) for g in graphs}) == 5


def test_a_limit_on_no_pass_is_told():
    with config.options(limit={"simplfy": 3}), pytest.warns(RuntimeWarning, match="no pass is called simplfy"):
        passes.optimize(graph_of(NEGATIONS))


def test_one_context_keeps_a_report_per_label():
    ctx = passes.Context()
    passes.optimize(graph_of(NEGATIONS), ctx)
    passes.optimize(graph_of("(%x: f32[3]) { %y = tanh(%x); return %y }"), ctx, "backward")
    assert {label: r.rewrites for label, r in ctx.reports.items()} == {"optimize": 4, "backward": 0}


def test_nodes_and_bytes_are_measured_before_and_after():
    ctx = passes.Context(sizes={"N": 10})
    report = passes.optimize(graph_of(NEGATIONS), ctx)
    assert report.before == (5, 2 * 40)  # an argument and a result
    assert report.after == (1, 40)
    assert sum(t.nodes for t in report.totals()) == -4
    assert sum(t.bytes for t in report.totals()) == -40


def test_disabled_passes_do_not_run():
    graph = graph_of(NEGATIONS)
    report = passes.optimize(graph, passes.Context(disable=frozenset({"simplify"})))
    assert "simplify" not in {r.name for r in report.records}
    assert ops(graph) == ["neg"] * 4 + ["tanh"]


def test_names_are_the_pipeline_in_order():
    assert passes.names() == [
        "turn", "functionalize", "fold", "simplify", "prune", "cse", "dce", "decompose", "unroll", "foldscale", "licm",
        "hoist", "sink", "concat",
    ]  # fmt: skip


def test_dump_writes_numbered_files_that_parse(tmp_path):
    graph = graph_of(NEGATIONS, "net.cell")
    with config.options(dump=tmp_path):
        passes.optimize(graph)
        passes.optimize(graph_of(NEGATIONS, "net.cell"), label="forward")
    files = sorted(p.name for p in (tmp_path / "net.cell").iterdir())
    assert files == [
        "000_optimize_input.ir",
        "001_optimize_simplify.ir",
        "002_optimize_cse.ir",
        "003_optimize_dce.ir",
        "004_forward_input.ir",
        "005_forward_simplify.ir",
        "006_forward_cse.ir",
        "007_forward_dce.ir",
    ]
    last = parse((tmp_path / "net.cell" / files[3]).read_text(), ops=registry.get)
    assert str(last) == str(graph)


def test_check_names_the_pass_that_broke_the_graph():
    def wreck(graph: Graph, ctx: passes.Context) -> None:
        ctx.fire()
        graph.block.nodes[0].results[0].type = Type("bool")

    graph = graph_of(NEGATIONS)
    with config.options(check=True), pytest.raises(VerifyError, match="after wreck"):
        passes.run_pipeline(graph, (passes.Pass("wreck", wreck),))
    with config.options(check=False):
        passes.run_pipeline(graph_of(NEGATIONS), (passes.Pass("wreck", wreck),))


def test_repeat_ends():
    def always(graph: Graph, ctx: passes.Context) -> None:
        ctx.fire()

    report = passes.run_pipeline(graph_of(NEGATIONS), (passes.Repeat((passes.Pass("always", always),)),))
    assert 1 < len(report.records) < 20
