"""The nodes of exceptions: their text, what the verifier says of malformed ones, and how they run."""

from __future__ import annotations

import contextlib

import pytest

import specjit  # noqa: F401
from specjit.ir.interpret import interpret
from specjit.ir.text import parse, print_graph
from specjit.ir.verify import VerifyError, verify

TEXT = """\
graph @f(%n: int, %m: any) -> (int, any, int) {
  %c: any = py.cell(7)
  %a: int = try {  # m.py:3
    %0: None = py.store(%c, 8)
    %1: int = py.floordiv(10, %n)
    yield %1
  } except (%error: any) {
    %2: int = py.load(%c)
    yield %2
  }
  %b: any = using %m, (%entered: any) {
    %3: int = py.floordiv(1, %n)
    yield %entered
  } suppressed {
    yield 'suppressed'
  }
  %4: int, %5: int = finally {
    yield %a
  } then {
    %6: int = py.add(%n, 1)
    yield %6
  }
  return %4, %b, %5
}
"""


def test_the_text_parses_back():
    graph = parse(TEXT)
    verify(graph)
    assert print_graph(graph) == TEXT
    assert [len(node.blocks) for node in graph.block.nodes if node.blocks] == [2, 2, 2]


@pytest.mark.parametrize(("n", "wanted"), [(5, [2, "in", 6]), (0, [8, "suppressed", 1])])
def test_the_interpreter_runs_them(n, wanted):
    class Manager(contextlib.suppress):
        def __enter__(self):
            return "in"

    assert interpret(parse(TEXT), n, Manager(ZeroDivisionError)) == wanted


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (" (%error: any)", "", "parameters of the second block of a try: 0, expected 1"),
        ("    yield %2\n", "", "outputs of a block of a try: 0, expected 1"),
        ("    yield %6\n", "", "outputs of the blocks of a finally: 1, expected 2"),
        ("(%entered: any)", "(%entered: any, %more: any)", "parameters of the first block of a using: 2, expected 1"),
        ("    yield %2\n", "    yield %1\n", "defined in another block"),
    ],
)
def test_malformed_nodes(old, new, message):
    assert old in TEXT
    with pytest.raises((VerifyError, ValueError), match=message) as caught:
        verify(parse(TEXT.replace(old, new)))
    assert message in str(caught.value) or "not defined here" in str(caught.value)
