"""Generated Python: what it reads like, and that it computes what the reference interpreter computes."""

from __future__ import annotations

import linecache
import textwrap
import traceback

import numpy as np
import pytest

import specjit
from specjit.codegen.generic.python import generate, generate_block
from specjit.ir.graph import Block
from specjit.ir.interpret import interpret
from specjit.ir.structure import REGION
from specjit.ir.text import parse
from specjit.ops.records import registry
from tests.golden import make_inputs
from tests.graphs import PLAIN, random_graph

SAMPLES = {
    "nested expressions keep the order of evaluation": (
        """
        graph @f(%a: int, %b: int) -> int {
          %0: int = py.add(%a, %b)
          %1: int = py.sub(%a, %b)
          %2: int = py.mul(%0, %1)
          %3: int = py.neg(%2)
          %4: int = py.pow(%3, 2)
          return %4
        }
        """,
        "return (-((a + b) * (a - b))) ** 2",
        [(5, 3), (1, 2)],
    ),
    "out of order: a variable": (
        """
        graph @f(%a: int, %b: int) -> int {
          %0: int = py.add(%a, %b)
          %1: int = py.sub(%a, %b)
          %2: int = py.mul(%1, %0)
          return %2
        }
        """,
        """
        v1 = a + b
        v2 = a - b
        return v2 * v1
        """,
        [(5, 3)],
    ),
    "a loop with a trip count and a carried value": (
        """
        graph @f(%n: int) -> int {
          %s: int = loop %n, True, (%i: int, %s1: int = 0) {
            %s2: int = py.add(%s1, %i)
            yield True, %s2
          }
          return %s
        }
        """,
        """
        s = 0
        for i in range(n):
            s = s + i
        return s
        """,
        [(5,), (0,), (-3,)],
    ),
    "backwards": (
        """
        graph @f(%n: int) -> int {
          %s: int = loop %n, True, (%i: int, %s1: int = 1) reverse {
            %0: int = py.mul(%s1, 2)
            %s2: int = py.add(%0, %i)
            yield True, %s2
          }
          return %s
        }
        """,
        """
        s = 1
        for i in range(n - 1, -1, -1):
            s = s * 2 + i
        return s
        """,
        [(5,), (0,)],
    ),
    "values that change places": (
        """
        graph @f(%n: int) -> int {
          %a: int, %b: int = loop %n, True, (%i: int, %a1: int = 0, %b1: int = 1) {
            %0: int = py.add(%a1, %b1)
            yield True, %b1, %0
          }
          return %a
        }
        """,
        """
        a, b = 0, 1
        for _ in range(n):
            v1 = a + b
            a, b = b, v1
        return a
        """,
        [(7,), (0,)],
    ),
    "while": (
        """
        graph @f(%n: int) -> int {
          %0: bool = py.gt(%n, 3)
          %k: int = loop None, %0, (%turn: int, %k1: int = %n) {
            %k2: int = py.sub(%k1, 2)
            %1: bool = py.gt(%k2, 3)
            yield %1, %k2
          }
          return %k
        }
        """,
        """
        go_on = n > 3
        while go_on:
            n = n - 2
            go_on = n > 3
        return n
        """,
        [(12,), (3,)],
    ),
    "a loop that may leave early": (
        """
        graph @f(%n: int) -> int {
          %s: int = loop %n, True, (%i: int, %s1: int = 0) {
            %s2: int = py.add(%s1, %i)
            %0: bool = py.lt(%s2, 10)
            yield %0, %s2
          }
          return %s
        }
        """,
        """
        s = 0
        for i in range(n):
            s = s + i
            leave = not s < 10
            if leave:
                break
        return s
        """,
        [(3,), (50,)],
    ),
    "branches": (
        """
        graph @f(%a: int, %b: int) -> int {
          %0: bool = py.lt(%a, %b)
          %m: int = if %0 { yield %b } else { yield %a }
          %1: bool = py.eq(%m, 0)
          %2: int = if %1 {
            %3: int = py.add(%m, 1)
            py.print(None, None, %3)
            yield %3
          } else { yield %m }
          return %2
        }
        """,
        """
        m = b if a < b else a
        if m == 0:
            v1 = m + 1
            print(v1)
            return v1
        return m
        """,
        [(1, 2), (-1, 0), (0, 0)],
    ),
}


@pytest.mark.parametrize("name", SAMPLES)
def test_it_reads_as_a_person_would_write_it(name):
    text, body, cases = SAMPLES[name]
    graph = parse(textwrap.dedent(text).strip(), ops=registry.get)
    code = generate(graph, name="f")
    assert code.source.partition("\n")[2] == textwrap.indent(textwrap.dedent(body).strip(), "    ") + "\n"
    for args in cases:
        assert code.fn(*args) == interpret(graph, *args)[0]


SCAN = """
graph @f(%x: f32[T,3]) -> (f32[3], f32[T,3]) {
  %n: int<T> = size(%x, 0)
  %h0: f32[3] = zeros((3,))
  %h: f32[3], %ys: f32[T,3] = loop %n, True, (%i: int, %h1: f32[3] = %h0)REVERSE {
    %r: f32[3] = getitem(%x, %i)
    %h2: f32[3] = add(%h1, %r)
    yield True, %h2 | stacked %h2
  }
  return %h, %ys
}
"""


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("steps", [4, 1, 0])
def test_stacked_rows(reverse, steps):
    graph = parse(SCAN.replace("REVERSE", " reverse" if reverse else "").strip(), ops=registry.get)
    code = generate(graph, name="scan")
    x = specjit.randn(steps, 3)
    h, ys = code.fn(x)
    wanted = interpret(graph, x.numpy())
    np.testing.assert_array_equal(h.numpy(), wanted[0])
    assert tuple(ys.shape) == (steps, 3)
    if steps:
        np.testing.assert_array_equal(ys.numpy(), wanted[1])


REGIONS = """
graph @f(%x: f32[3], %w: f32[3]) -> (f32[3], f32[3]) {
  %a: f32[3], %b: f32[3] = region (%p: f32[3] = %x, %q: f32[3] = %w) {
    %0: f32[3] = add(%p, %q)
    %1: f32[3] = mul(%0, %q)
    yield %0, %1
  }
  %c: f32[3] = tanh(%b)
  %d: f32[3] = region (%p1: f32[3] = %c) {
    %2: f32[3] = sigmoid(%p1)
    yield %2
  }
  return %a, %d
}
"""


def test_regions_are_called_or_written_out():
    graph = parse(REGIONS.strip(), ops=registry.get)
    x, w = specjit.randn(3), specjit.randn(3)
    wanted = interpret(graph, x.numpy(), w.numpy())
    regions = [n for n in graph.block.nodes if n.op is REGION]
    called = []

    def runner(k):
        block = generate_block(regions[k].blocks[0], regions[k].blocks[0].params, name=f"region{k}")

        def run(*args):
            called.append(k)
            return block.fn(*args)

        return run

    for code in (generate(graph, name="f"), generate(graph, name="f", regions=[runner(0), runner(1)])):
        for got, want in zip(code.fn(x, w), wanted):
            np.testing.assert_allclose(got.numpy(), want, rtol=1e-6)
    assert called == [0, 1]
    assert "a, b = region0(x, w)" in code.source
    assert "d, = region1(tanh(b))" in code.source


def test_one_output_is_a_value_and_flat_code_gives_a_tuple():
    graph = parse("graph @f(%x: int) -> int {\n  return %x\n}", ops=registry.get)
    assert generate(graph, name="f").fn(3) == 3
    assert generate(graph, name="f", flat=True).fn(3) == (3,)
    assert generate(graph, name="f", regions=[]).fn(3) == (3,)


def test_a_block_needs_all_its_inputs():
    graph = parse(REGIONS.strip(), ops=registry.get)
    with pytest.raises(ValueError, match="also uses"):
        generate_block(graph.block, graph.inputs[:1])
    loose = Block()
    loose.nodes, loose.outputs = graph.block.nodes[1:2], graph.block.nodes[1].results
    (b,) = generate_block(loose, [graph.block.nodes[0].results[1]]).fn(specjit.zeros(3))
    np.testing.assert_array_equal(b.numpy(), np.zeros(3, np.float32))


@pytest.mark.parametrize("seed", range(60))
def test_random_graphs_compute_what_the_interpreter_computes(seed):
    graph = random_graph(seed, PLAIN)
    inputs = make_inputs(graph, {"T": 3, "B": 2, "N": 5}, seed)
    code = generate(graph, name="random", flat=True)
    given = [specjit.tensor(i.copy()) if isinstance(i, np.ndarray) else i for i in inputs]
    try:
        wanted = interpret(graph, *[np.copy(i) if isinstance(i, np.ndarray) else i for i in inputs])
    except (
        RuntimeError,
        IndexError,
        ValueError,
        ArithmeticError,
    ) as error:  # sizes that are different symbols need not fit
        with pytest.raises((RuntimeError, IndexError, ArithmeticError)) as raised:
            code.fn(*given)
        assert isinstance(error, ValueError) or raised.type is type(error)
        return
    for got, want in zip(code.fn(*given), wanted, strict=True):
        shown = got.numpy() if isinstance(got, specjit.Tensor) else got
        np.testing.assert_allclose(shown, want, rtol=1e-5, atol=1e-6, err_msg=code.source)


def fails_inside(xs, i):
    total = 0
    for _ in range(2):
        total += pick(xs, i)
    return total


def pick(xs, i):
    ys = xs + [1]
    return ys[i]


def test_tracebacks_show_the_users_lines_and_the_generated_one():
    from specjit.capture.script import capture

    code = generate(capture(fails_inside, {"xs": [1], "i": 0}).graph, name="fails_inside")
    with pytest.raises(IndexError) as caught:
        code.fn([1], 9)
    frames = traceback.extract_tb(caught.value.__traceback__)[1:]
    assert [f.name for f in frames] == ["fails_inside", "fails_inside", "pick"]
    assert frames[0].filename.startswith("<specjit fails_inside")
    assert frames[0].line in code.source
    assert frames[1].line == "total += pick(xs, i)"
    assert frames[2].line == "return ys[i]"
    assert frames[2].filename == __file__
    assert "return ys[i]" in "".join(traceback.format_exception(caught.value))
    assert linecache.getline(frames[0].filename, 1).startswith("def fails_inside(")


def test_generated_code_is_the_same_for_the_same_graph():
    graph = random_graph(3, PLAIN)
    assert generate(graph, name="g").source == generate(graph, name="g").source
