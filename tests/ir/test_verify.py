"""The verifier: good graphs pass; each kind of fault is found and shown with the lines around it."""

from __future__ import annotations

import pytest

from specjit.ir.graph import Graph, Value, copy_graph
from specjit.ir.text import parse
from specjit.ir.types import Type
from specjit.ir.verify import VerifyError, compatible, find_faults, verify
from tests.ir.toy import OPS

GOOD = """
graph @good(%x: f32[T,B,8], param %w: f32[8,8], %h0: f32[B,8], %n: int<T>, %c: bool) -> (f32[B,8], f32[T,B,8]) {
  %h: f32[B,8], %ys: f32[T,B,8] = loop %n, True, (%i: int, %h1: f32[B,8] = %h0) {
    %xt: f32[B,8] = select(%x, 0, %i)
    %a: f32[B,8] = matmul(%h1, %w)
    %y: f32[B,8] = add(%xt, %a)
    %z: f32[B,8] = if %c {
      %t: f32[B,8] = tanh(%y)
      yield %t
    } else {
      yield %y
    }
    yield True, %z | stacked %z
  }
  %k: int, %ok: bool = loop None, %c, (%j: int, %s: int = 0, %p: bool = True) {
    %s1: int = py.add(%s, %j)
    %more: bool = py.lt(%s1, 10)
    yield %more, %s1, %more
  }
  %l: f32[B,4], %r: f32[B,4] = chunk(%h, 2, 1)
  %all: list[f32[B,4]] = py.list(%l, %r)
  %both: f32[?,4] = cat(%all)
  %none: None = py.print(%k, 'done')
  return %h, %ys
}
"""


def graph_of(text: str) -> Graph:
    return parse(text, ops=OPS.__getitem__)


def test_good_graph_passes():
    verify(graph_of(GOOD))
    verify(copy_graph(graph_of(GOOD)))
    # A condition may end a loop that stacks: the trip count says how many rows there is place for.
    verify(graph_of(GOOD.replace("loop %n, True, (%i: int, %h1", "loop %n, %c, (%i: int, %h1")))


@pytest.mark.parametrize(
    ("old", "new", "message", "line"),
    [
        ("%a: f32[B,8] = matmul", "%a: f32[B,9] = matmul", "recorded as f32[B,9], but matmul gives f32[B,8]", 4),
        ("%a: f32[B,8] = matmul", "%a: f64[B,8] = matmul", "recorded as f64[B,8]", 4),
        ("%a: f32[B,8] = matmul", "%a: f32[B,8,1] = matmul", "recorded as f32[B,8,1]", 4),
        ("matmul(%h1, %w)", "matmul(%h1, %x)", "infer of matmul raised RuntimeError", 4),
        ("chunk(%h, 2, 1)", "chunk(%h, 3, 1)", "chunk has 3 results, the node 2", 19),
        ("py.print(%k, 'done')", "py.print(%z)", "defined in another block", 22),
        ("yield True, %z | stacked %z", "yield True, %z", "outputs of the loop's block: 2, expected 3", 12),
        ("yield %t", "yield %t, %t", "outputs of a branch: 2, expected 1", 8),
        ("%h1: f32[B,8] = %h0", "%h1: f32[B,8] = %x", "starts as f32[T,B,8]", 2),
        ("loop %n, True, (%i: int, %h1", "loop None, True, (%i: int, %h1", "stacked outputs need a trip count", 2),
        ("loop %n, True, (%i: int, %h1", "loop %x, True, (%i: int, %h1", "the trip count is an int or None", 2),
        ("loop %n, True, (%i: int, %h1", "loop %n, True, (%i: bool, %h1", "the loop's index is an int", 2),
        ("%ys: f32[T,B,8] = loop", "%ys: f32[B,B,8] = loop", "recorded as f32[B,B,8], but loop gives f32[T,B,8]", 2),
        ("%z: f32[B,8] = if %c", "%z: f32[B,8] = if %n", "the condition of an if is a bool", 6),
        ("%p: bool = True) {", "%p: bool = True) reverse {", "a reverse loop needs a trip count", 14),
        ("'done'", "3: str", "the constant 3 is recorded as str", 22),
    ],
)
def test_faults_are_found_and_shown(old, new, message, line):
    assert GOOD.count(old) == 1
    with pytest.raises(VerifyError) as error:
        verify(graph_of(GOOD.replace(old, new)), "some pass")
    text = str(error.value)
    assert "after some pass" in text
    assert message in text
    assert f"line {line}: " in text
    assert f"--> {line:4d} | " in text


def test_faults_that_text_cannot_say():
    graph = graph_of(GOOD)
    graph.block.nodes.reverse()
    assert any("defined nowhere or later" in f.message for f in find_faults(graph))

    graph = graph_of(GOOD)
    graph.block.nodes.append(graph.block.nodes[-1])
    assert any("defined twice" in f.message for f in find_faults(graph))

    graph = graph_of(GOOD)
    graph.block.nodes[2].args.pop()
    assert any("chunk takes 3 arguments, got 2" in f.message for f in find_faults(graph))

    graph = graph_of(GOOD)
    graph.block.nodes[2].results[0].node = None
    assert any("does not point back" in f.message for f in find_faults(graph))

    graph = graph_of(GOOD)
    graph.attrs["params"] = {Value(Type("int"))}
    assert any("not an input" in f.message for f in find_faults(graph))


def test_types_may_know_less_but_never_contradict():
    known = Type.tensor(None, (3, None))
    assert compatible(known, Type.tensor())
    assert compatible(known, Type.tensor(None, (None, 4)))
    assert not compatible(known, Type.tensor(None, (4, None)))
    assert not compatible(known, Type.int())
    assert compatible(known, Type("any"))
    assert compatible(Type.optional(known), known)
    assert not compatible(Type.tuple(known), Type.tuple())
    assert compatible(Type.list(known), Type("list"))
