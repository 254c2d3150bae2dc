"""Decomposition of composite ops, and joining of products that share an operand."""

from __future__ import annotations

import pytest

from specjit import passes
from specjit.ir.dims import symbol
from specjit.passes.concat import pays
from tests.golden import by_name, check_pass, check_unchanged, graph_of, run_pass


def test_composites_become_their_definition():
    check_pass(
        "decompose",
        "(%x: f32[B,4]) { %m = mean(%x, [1], True); return %m }",
        "(%x: f32[B,4]) { %s = sum(%x, [1], True); %m = div(%s, 4); return %m }",
    )
    graph = run_pass("decompose", "(%x: f32[B,N]) { %m = softmax(%x, -1); return %m }", exact=False)
    assert [n.op.name for n in graph.walk()] == ["amax", "sub", "exp", "sum", "div"]
    assert graph.attrs["nonempty"] == {symbol("N")}


def test_variance_of_fewer_elements_than_its_correction_is_that_of_eager():
    """The divisor is never below 0; sizes 0 and 1 are among those that are evaluated."""
    graph = run_pass("decompose", "(%x: f32[N,4]) { %v = variance(%x, [0], 1, False); return %v }", exact=False)
    assert "py.max" in [n.op.name for n in graph.walk()]


def test_a_truncated_quotient_of_truth_values_is_of_whole_numbers():
    graph = run_pass("decompose", "(%m: bool[N,4]) { %q = trunc_divide(%m, 4); return %q }")
    assert "trunc_divide" not in [n.op.name for n in graph.walk()]


CONVOLUTION = """(%x: f32[2,3,9,9]{}, %w: f32[4,3,3,3]) {{
  %y: f32[2,4,7,7]{} = convolution(%x, %w, [1, 1], [0, 0], [1, 1], 1)
  return %y
}}"""


def test_what_has_a_gradient_of_its_own_is_differentiated_first():
    """A convolution's own gradients are convolutions; those of its windows would be sums of windows."""
    found = []
    for text in (CONVOLUTION.format("", ""), CONVOLUTION.format("!", "!")):
        graph = graph_of(text)
        passes.run_pipeline(graph, (by_name("decompose"),))
        found.append("convolution" if "convolution(" in str(graph) else "matmul")
    assert found == ["matmul", "convolution"]


def test_a_softmax_of_nothing_stays():
    check_unchanged("decompose", "(%x: f32[B,0]) { %m = softmax(%x, -1); return %m }")


def test_what_is_written_keeps_the_layout_that_a_view_asks_for():
    text = "(%x: f32[2,3], %y: f32[3,2]) {{ %t = t(%y); %a = overwritten(%x, %t); %b = {}(%a, [6]); return %b }}"
    check_unchanged("decompose", text.format("view"))
    assert "clone" in str(run_pass("decompose", text.format("reshape")))


def test_ops_with_a_kernel_stay():
    check_unchanged("decompose", "(%x: f32[B,4]) { %m = sum(%x, [1]); %y = tanh(%m); return %y }")


HEAD = "(param %ur: f32[8,8], param %uz: f32[8,8], %vz: f32[8,8], param %un: f32[8,4], %h0: f32[B,8], %n: int<T>)"
GRU = """{{
  {before}
  %h = loop {trip}, True, (%i, %h1 = %h0) {{
    {body}
    %s = add(%r, %z)
    %h2 = mul(%h1, %s)
    yield True, %h2
  }}
  return %h
}}"""


def gru(body: str, before: str = "", trip: str = "%n") -> str:
    return HEAD + GRU.format(body=body, before=before, trip=trip)


def test_products_of_one_operand_join():
    check_pass(
        "concat",
        gru("%r = matmul(%h1, %ur); %z = matmul(%h1, %uz)"),
        gru("%l = py.list(%ur, %uz); %w = cat(%l, 1); %p = matmul(%h1, %w); %r, %z = chunk(%p, 2, -1)"),
        exact=False,
    )


def test_joined_weights_leave_the_loop():
    graph = run_pass("all", gru("%r = matmul(%h1, %ur); %z = matmul(%h1, %uz)"), exact=False)
    assert [n.op.name for n in graph.block.nodes] == ["py.list", "cat", "loop"]


@pytest.mark.parametrize(
    ("body", "trip"),
    [
        pytest.param("%r = matmul(%h1, %ur); %z = matmul(%r, %uz)", "%n", id="other operands"),
        pytest.param("%r = matmul(%h1, %ur); %z = matmul(%h1, %ur)", "%n", id="the same weights: one product, by cse"),
        pytest.param("%r = matmul(%h1, %ur); %k = matmul(%h1, %un); %z = sum(%k)", "%n", id="other widths"),
        pytest.param("%r = matmul(%h1, %ur); %z = matmul(%h1, %vz)", "2", id="too few turns for a copy per call"),
        pytest.param(
            "%u = mul(%ur, %i); %r = matmul(%h1, %u); %z = matmul(%h1, %uz)",
            "%n",
            id="no weights",
        ),
    ],
)
def test_near_misses(body, trip):
    check_unchanged("concat", gru(body, trip=trip), exact=False)


@pytest.mark.parametrize("grad", ["", "!"])
def test_products_for_unlike_outputs_stay_apart_where_gradients_are_recorded(grad):
    """A weight of which nothing that is used depends gets no gradient; as a part of a joined one it would get zeros."""
    text = f"""(%x: f32[B,8], param %u: f32[8,8]{grad}, param %v: f32[8,8]{grad}) {{
      %a: f32[B,8]{grad} = matmul(%x, %u)
      %b: f32[B,8]{grad} = matmul(%x, %v)
      %c: f32[B,8]{grad} = tanh(%a)
      %d: f32[B,8]{grad} = tanh(%b)
      return %c, %d
    }}"""
    names = [n.op.name for n in run_pass("concat", text, exact=False).walk()]
    assert ("cat" in names) == (not grad)
    both = text.replace("tanh(%b)", "add(%a, %b)").replace("tanh(%a)", "sub(%a, %b)")
    assert "cat" in [n.op.name for n in run_pass("concat", both, exact=False).walk()]


# Two loops that read products of %x.
ROWS = "(%x: f32[T,1,4], param %u: f32[4,8], param %v: f32[4,8], param %b: f32[8], %h0: f32[1,8], %z: f32[T,1,8])"
DIRECTIONS = (
    ROWS
    + """ {{
  %n: int<T> = size(%x, 0)
  %p = matmul(%x, %u)
  %m = matmul(%x, %v)
  %q = add(%m, %b)
  %r = loop %n, True, (%i, %h = %h0) {{ {first}; %k = mul(%h, %s); yield True, %k }}
  %t = loop %n, True, (%j, %g = %h0) reverse {{ {second}; %l = mul(%g, %a); yield True, %l }}
  %y = sub(%r, %t)
  return %y
}}"""
)
ROW_OF_P, ROW_OF_Q = "%s = select(%p, 0, %i)", "%a = select(%q, 0, %j)"


def test_products_that_loops_of_their_own_read_row_by_row_stay_apart():
    """Each loop can run its own product ahead; also where elementwise work on all rows comes between."""
    text = DIRECTIONS.format(first=ROW_OF_P, second=ROW_OF_Q)
    check_unchanged("concat", text, exact=False)
    (fact,) = passes.run_pipeline(graph_of(text), (by_name("concat"),)).facts
    assert "no joining of 2 products" in fact.message
    assert "ahead of its turns" in fact.message


@pytest.mark.parametrize(
    ("first", "second"),
    [
        pytest.param(
            "%o = select(%p, 0, %i); %c = select(%q, 0, %i); %s = add(%o, %c)",
            "%a = select(%z, 0, %j)",
            id="one loop reads rows of both",
        ),
        pytest.param("%s = sum(%p, [0])", "%a = sum(%q, [0])", id="every turn reads all rows"),
        pytest.param(
            "%o = select(%p, 0, %i); %c = select(%q, 0, %i); %s = add(%o, %c)",
            "%d = select(%p, 0, %j); %e = select(%q, 0, %j); %a = add(%d, %e)",
            id="both loops read rows of both",
        ),
    ],
)
def test_products_without_a_loop_of_their_own_join(first, second):
    graph = run_pass("concat", DIRECTIONS.format(first=first, second=second), exact=False)
    assert [n.op.name for n in graph.walk()].count("matmul") == 1


def test_results_that_the_caller_gets_stay_apart():
    text = "(%x: f32[B,8], param %u: f32[8,8], param %v: f32[8,8]) {{ %a = matmul(%x, %u); %b = matmul(%x, %v); {} }}"
    check_unchanged("concat", text.format("return %a, %b"), exact=False)
    graph = run_pass("concat", text.format("%c = add(%a, %b); return %c"), exact=False)
    assert [n.op.name for n in graph.walk()] == ["py.list", "cat", "matmul", "chunk", "add"]


def test_decision():
    T = symbol("T")
    assert pays([64, 64], T, False)
    assert pays([64, 64, 64], 1, True)
    assert not pays([64, 64], 4, False)
    assert not pays([64, 32], T, True)
    assert not pays([64], T, True)
    assert not pays([T, T], T, True)
    assert not pays([8192, 8192], T, True)
