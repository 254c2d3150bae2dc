"""Pictures: the dot text says what the graph says; SVG comes from Graphviz where that is there."""

from __future__ import annotations

import re
import textwrap
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings

from specjit.ir.dot import dot, html, svg
from specjit.ir.graph import Graph, Value
from specjit.ir.text import GraphPrinter, parse
from tests.golden import graph_of
from tests.ir.random_text import OPS, graphs

BRANCHES = """(%x: f32[B,3], param %w: f32[3], %n: int<T>, %c: bool) {
  %y = mul(%x, %w)  # cell.py:7
  %z = if %c { %a = tanh(%y) yield %a } else { yield %y }
  %h, %hs = loop %n, True, (%i, %h1 = %z) { %t = add(%h1, 1.0) yield True, %t | stacked %t }
  return %h, %hs
}"""


def strings_removed(text: str) -> str:
    return re.sub(r'"(?:[^"\\]|\\.)*"', "_", text)


def points(text: str) -> Counter[str]:
    return Counter(re.findall(r"^ *(n\d+) \[", strings_removed(text), re.MULTILINE))


def edges(text: str) -> list[tuple[str, str, str]]:
    found = re.findall(r"^  (n\d+) -> (n\d+)(?: \[(.*)\])?;$", text, re.MULTILINE)
    return [(a, b, style) for a, b, style in found]


def uses(graph: Graph) -> int:
    """How often a value that is no constant is read: by nodes, and by what blocks hand out."""
    blocks = [graph.block, *(b for n in graph.walk() for b in n.blocks)]
    read = [a for n in graph.walk() for a in n.args] + [o for b in blocks for o in b.outputs]
    return sum(not v.is_const for v in read)


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(graphs())
def test_any_graph_has_a_picture(graph):
    text = dot(graph)
    bare = strings_removed(text)
    assert bare.count("{") == bare.count("}")
    assert bare.count('"') == 0
    defined = points(text)
    assert set(defined.values()) <= {1}
    found = edges(text)
    assert {n for a, b, _ in found for n in (a, b)} <= set(defined)
    structural = [n for n in graph.walk() if n.blocks]
    # One solid edge per use; besides, one from each block to the results of its node, and one from a loop's head to
    # its counter.
    around = sum(len(n.blocks) + (n.op.name == "loop") for n in structural)
    assert sum(not style for _, _, style in found) == uses(graph) + around


def test_a_picture_reads_as_the_text_does():
    text = graph_of(BRANCHES).to_dot()
    labels = re.findall(r'label="((?:[^"\\]|\\.)*)"', text)
    assert labels[:4] == ["%x: f32[B,3]", "param %w: f32[3]", "%n: int<T>", "%c: bool"]
    assert labels[4] == r"%y = mul(%x, %w)\nf32[B,3]\ncell.py:7"
    assert {"then", "else", "if %c", "loop %n, True", "yield True, %t, %t", "return %h, %hs"} <= set(labels)
    assert {"%z: f32[B,3]", "%h: f32[B,3], %hs: f32[T,B,3]"} <= set(labels)


def test_what_a_loop_hands_on_goes_back_to_its_parameters():
    text = graph_of(BRANCHES).to_dot()
    (dashed,) = [(a, b) for a, b, style in edges(text) if "dashed" in style]
    label = {n: re.search(rf'^ *{n} \[label="([^"]*)"', text, re.MULTILINE)[1] for n in dashed}  # type: ignore[index]
    assert [label[n] for n in dashed] == ["yield True, %t, %t", "%h1: f32[B,3]"]


def test_strings_are_quoted():
    graph = Graph('a "name"\\')
    graph.block.outputs = [Value.constant('say "hi" \\ bye')]
    text = dot(graph)
    assert text.startswith('digraph "a \\"name\\"\\\\" {')
    assert strings_removed(text).count('"') == 0


@pytest.fixture
def no_graphviz(monkeypatch, tmp_path: Path) -> Path:
    """A PATH with nothing but an empty folder."""
    monkeypatch.setenv("PATH", str(tmp_path))
    return tmp_path


def install(folder: Path, script: str) -> None:
    program = folder / "dot"
    program.write_text("#!/bin/sh\n" + textwrap.dedent(script))
    program.chmod(0o755)


def test_without_graphviz_a_notebook_shows_the_text(no_graphviz):
    graph = graph_of(BRANCHES)
    assert svg(graph) is None
    assert html(graph).startswith("<pre>graph @g(")
    assert "-&gt;" in html(graph)


def test_graphviz_draws(no_graphviz):
    install(no_graphviz, 'read first; echo \'<?xml version="1.0"?>\'; echo "<svg>$first</svg>"')
    graph = graph_of(BRANCHES)
    assert svg(graph) == '<svg>digraph "g" {</svg>\n'
    shown = graph._repr_html_()
    assert shown.startswith("<svg>")
    assert "<pre>graph @g(" in shown


@pytest.mark.parametrize("script", ["exit 3", "kill -9 $$"])
def test_a_picture_that_fails_is_no_error(no_graphviz, script):
    install(no_graphviz, script)
    assert svg(graph_of(BRANCHES)) is None


def test_names_are_those_of_the_text():
    graph = graph_of(BRANCHES)
    printer = GraphPrinter()
    printer.graph(parse(str(graph), ops={**OPS, **{n.op.name: n.op for n in graph.walk()}}.__getitem__))
    names = set(re.findall(r"%[\w.]+", "\n".join(printer.lines)))
    assert names == set(re.findall(r"%[\w.]+", graph.to_dot()))
