"""`try` in the IR and in generated Python: golden text, and native code between the lines of a handler."""

from __future__ import annotations

import re

import numpy as np

import specjit
from specjit.capture.script import capture
from specjit.codegen.generic.python import generate
from tests.capture.programs.handlers import default_by_exception, only_finally

DEFAULT = """\
graph @default_by_exception(%d: dict[any, any], %key: str) -> tuple[any, dict[any, any]] {
  %value: any = try {
    %value1: any = py.getitem(%d, %key)
    yield %value1
  } except (%error: any) {
    %0: bool = py.matches(%error, <class builtins.KeyError>)
    if %0 {
      %1: None = py.setitem(%d, %key, 0)
    } else {
      %2: None = py.reraise(%error)
    }
    yield 0
  }
  %3: tuple[any, dict[any, any]] = py.tuple(%value, %d)
  return %3
}
"""

FINALLY = """\
def f(k):
    x_cell = cell(0)
    try:
        x_cell.cell_contents = 1
        x = 10 // k
        x_cell.cell_contents = x
        y = x
    finally:
        x3 = _content(x_cell)
        x2 = x3 + 100
        print('x is', x2)
    return (x2, y)
"""


def test_the_graph_of_a_try():
    graph = capture(default_by_exception, {"d": {}, "key": "a"}).graph
    assert re.sub(r"  # \S+$", "", str(graph), flags=re.M) == DEFAULT


def test_the_code_of_a_finally():
    assert generate(capture(only_finally, {"k": 1}).graph, name="f").source == FINALLY


def guarded_layers(x):
    try:
        y = (x @ x).tanh() * 2 + x
        if float(y.sum()) > 100:
            raise ValueError("big")
    except ValueError:
        y = x * 0
    return (y @ x).sigmoid() + x


def test_code_inside_and_after_a_try_is_native():
    program = specjit.optimize(guarded_layers, warmup=1, background=False)
    for scale in (0.1, 20.0, 0.2, 0.1):
        x = specjit.tensor(np.full((4, 4), scale, np.float32))
        np.testing.assert_allclose(program(x).numpy(), guarded_layers(x).numpy(), rtol=1e-5)
    (site,) = program._sites.by_structure.values()
    assert len(site.parts) >= 2
    assert sum(part.stats()["fast"] for part in site.parts) >= 4
