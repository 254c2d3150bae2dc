"""The text of graphs: it parses back to the same graph, and errors name the place."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

from specjit import dtypes
from specjit.ir.constants import Opaque, Printer, key, same
from specjit.ir.graph import Graph, Location, Value
from specjit.ir.text import GraphPrinter, ParseError, parse, parse_type, print_block, print_graph
from specjit.ir.types import Type
from tests.ir.random_text import OPS, constants, graphs, shape_of, types

lookup = OPS.__getitem__


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(graphs())
def test_text_parses_back_to_the_same_graph(graph):
    text = print_graph(graph)
    back = parse(text, ops=lookup)
    assert shape_of(back) == shape_of(graph)
    assert print_graph(back) == text
    for node in back.walk():
        assert all(r.node is node for r in node.results)


@settings(max_examples=200, deadline=None)
@given(types)
def test_types_parse_back(type_):
    assert parse_type(str(type_)) == type_


@settings(max_examples=200, deadline=None)
@given(constants)
def test_constants_parse_back(value):
    graph = Graph("c")
    graph.block.outputs = [Value.constant(value)]
    (back,) = parse(print_graph(graph), ops=lookup).outputs
    assert same(back.const, value)
    assert back.type == graph.outputs[0].type


CELL = """\
graph @cell(%x: f32[T,B,128], param %w: f32[128,512]!) -> (f32[B,512], f32[T,B,512]) {
  %n: int<T> = sum(%x, dtype=f32)  # model.py:12
  %a: f32[B,64], %b: f32[B,64] = chunk(%w, 2, 1)
  %h: f32[B,512], %ys: f32[T,B,512] = loop %n, True, (%i: int, %h1: f32[B,512] = %a) reverse {  # model.py:14
    %y: f32[B,512] = tanh(%h1)
    %0: bool = sum(%y, None, True)
    %z: f32[B,512] = if %0 {
      %1: f32[B,512] = tanh(%y)
      yield %1
    } else {
      yield %y
    }
    if %0 {
      py.print(' ', '\\n', 'say "hi" # not a place', %i)
    }
    yield True, %z | stacked %y
  }
  return %h, %ys
}
"""


def test_readable_form_is_stable():
    graph = parse(CELL, ops=lookup)
    assert print_graph(graph) == CELL
    assert str(graph) == CELL
    loop = graph.block.nodes[2]
    assert loop.attrs == {"reverse": True}
    assert loop.loc == Location("model.py", 14)
    assert graph.attrs["params"] == {graph.inputs[1]}
    assert graph.inputs[1].type.requires_grad
    assert [v.hint for v in graph.inputs] == ["x", "w"]
    chunk = graph.block.nodes[1]
    assert [a.const for a in chunk.args[1:]] == [2, 1]


def test_default_of_the_same_value_but_another_type_is_printed():
    text = "graph @g(%x: Tensor) -> Tensor {\n  %0: Tensor = chunk(%x, 2, %s)\n  return %0\n}\n"
    for written, printed in (("0", "chunk(%x, 2)"), ("False", "chunk(%x, 2, False)"), ("0.0", "chunk(%x, 2, 0.0)")):
        assert printed in print_graph(parse(text.replace("%s", written), ops=lookup))


def test_names_are_unique_and_keep_hints():
    graph = Graph("g")
    for hint in ("h", "h", "h1", "", "", "h"):
        graph.block.param(Type("int"), hint)
    assert print_graph(graph).startswith("graph @g(%h: int, %h1: int, %h1_1: int, %0: int, %1: int, %h2: int)")


def test_functions_print_by_place_and_parse_by_table():
    def helper() -> None: ...

    graph = Graph("g")
    graph.block.outputs = [Value.constant(helper), Value.constant(helper), Value.constant(lambda: 0)]
    printer = GraphPrinter()
    text = printer.graph(graph)
    line = helper.__code__.co_firstlineno
    assert f"helper test_text.py:{line}>" in text
    back = parse(text, ops=lookup, table=printer.opaque)
    assert [o.const for o in back.outputs] == [o.const for o in graph.outputs]
    unknown = parse(text, ops=lookup)
    assert isinstance(unknown.outputs[0].const, Opaque)
    assert print_graph(unknown) == text


def test_two_objects_of_one_name_stay_apart():
    a, b = object(), object()
    printer = Printer()
    assert [printer.show(v) for v in (a, b, a)] == ["<object object>", "<object object #2>", "<object object>"]


def test_an_int_too_long_to_print_has_a_name():
    printer = Printer()
    assert printer.show(10**3000) == repr(10**3000)
    assert printer.show(10**5000) == "<object int>"


class Pair(NamedTuple):
    a: int
    b: float


class Noted(tuple):
    """A tuple with a `__dict__`."""


def test_constants_compare_by_bits_and_type():
    assert not same(0.0, -0.0)
    assert not same(1, True)
    assert not same(1, 1.0)
    assert same(math.nan, float("nan"))
    assert same((1, [2.0, None]), (1, [2.0, None]))
    assert not same((1,), [1])
    assert key(np.float32([1, 2])) != key(np.float64([1, 2]))
    assert not same(dtypes.float32, dtypes.float64)
    assert same(Pair(1, math.nan), Pair(1, math.nan))
    assert not same(Pair(1, 2), (1, 2))
    assert not same(Noted((1, 2)), Noted((1, 2))), "each may carry notes of its own"


def test_blocks_print_alone():
    block = parse(CELL, ops=lookup).block.nodes[2].blocks[0]
    assert print_block(block).splitlines()[0] == "%y: f32[B,512] = tanh(%h1)"


def test_one_line_blocks_and_comments_are_read():
    graph = parse(
        """
        # a graph by hand
        graph @g(%c: bool, %x: Tensor) -> Tensor {
          # and a comment
          %z: Tensor = if %c { %a: Tensor = tanh(%x); yield %a } else { yield %x }
          return %z
        }
        """,
        ops=lookup,
    )
    assert [n.op.name for n in graph.walk()] == ["if", "tanh"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("graph @g() -> () {\n  %a: int = nope(1)\n}", "line 2, column 13: no operator is called 'nope'"),
        ("graph @g() -> int {\n  return %a\n}", "line 2, column 10: %a is not defined here"),
        ("graph @g(%a: floot) -> int {\n}", "no type is called 'floot'"),
        ("graph @g() -> int {\n  %a: int = tanh()\n}", "tanh() is missing the argument 'input'"),
        ("graph @g() -> int {\n  %a: int = tanh(1, 2)\n}", "takes 1 arguments, got 1 more"),
        ("graph @g() -> int {\n  %a: int = tanh(1, q=2)\n}", "unexpected or repeated argument 'q'"),
        ("graph @g(%a: int, %a: int) -> int {\n}", "%a is defined twice"),
        ("graph @g() -> int {\n  %a: int = tanh(%a)\n}", "%a is not defined here"),
        ("graph @g() -> int {\n", "expected an operation"),
        ("graph @g() -> int {\n}\nrest", "text after the end"),
        ("graph @g(%a: f32[T-]) -> int {\n}", "T"),
    ],
)
def test_errors_name_the_place(text, message):
    with pytest.raises(ParseError) as error:
        parse(text, ops=lookup)
    assert message in str(error.value)
    assert "^" in str(error.value)


def test_public_names():
    import specjit.ir

    assert specjit.ir.print(specjit.ir.parse(CELL, ops=lookup)) == CELL
    graph = specjit.ir.parse("graph @g(%x: f32[3]) { %y = tanh(%x); return %y }")
    assert graph.outputs[0].type == Type.tensor(dtypes.float32, (3,), None, None)
