"""Loops of few turns become straight code where that pays, and stay where it does not."""

from __future__ import annotations

import numpy as np
import pytest

import specjit
from specjit import nn
from specjit.passes import unroll
from tests.golden import check_pass, check_unchanged, run_pass

HEAD = "(%x: f32[3,N], %y: f32[N], %m: f32[4,4], %h: f32[B,4], param %w: f32[3,4,4], %n: int, %c: bool, %z: f32[])"


def text(body: str, end: str, header: str = "loop 3, True, (%i, %a = %y)") -> str:
    return f"{HEAD} {{ %r = {header} {{ {body}; yield True, {end} }}; return %r }}"


def test_arithmetic_on_carried_tensors():
    check_pass(
        "unroll",
        text("%p = mul(%a, 2.0); %q = add(%p, %z)", "%q"),
        f"""{HEAD} {{
          %p = mul(%y, 2.0); %q = add(%p, %z); %p1 = mul(%q, 2.0); %q1 = add(%p1, %z); %p2 = mul(%q1, 2.0)
          %q2 = add(%p2, %z); return %q2 }}""",
    )


@pytest.mark.parametrize(("reverse", "rows"), [("", "0 1 2"), (" reverse", "2 1 0")])
def test_the_index_is_a_number_and_rows_land_where_they_did(reverse, rows):
    i, j, k = rows.split()
    check_pass(
        "unroll",
        f"""{HEAD} {{ %r, %o = loop 3, True, (%i, %a = %y){reverse} {{
          %s = select(%x, 0, %i); %q = sub(%a, %s); yield True, %q | stacked %q }}; return %r, %o }}""",
        f"""{HEAD} {{
          %s = select(%x, 0, {i}); %q{i} = sub(%y, %s); %s1 = select(%x, 0, {j}); %q{j} = sub(%q{i}, %s1)
          %s2 = select(%x, 0, {k}); %q{k} = sub(%q{j}, %s2); %l = py.list(%q0, %q1, %q2); %o = stack(%l)
          return %q{k}, %o }}""",
    )


def test_parts_of_a_parameter_that_are_multiplied_with():
    graph = run_pass(
        "unroll",
        text("%u = select(%w, 0, %i); %p = matmul(%a, %u); %q = tanh(%p)", "%q", "loop 3, True, (%i, %a = %h)"),
    )
    assert [n.op.name for n in graph.walk()] == ["select", "matmul", "tanh"] * 3


@pytest.mark.parametrize(
    ("body", "end", "init"),
    [
        pytest.param(
            "%e = py.gt(%i, 0); %q = if %e { %s = neg(%a); yield %s } else { yield %a }", "%q", "%y", id="branch"
        ),
        pytest.param("%q = py.mul(%a, 2)", "%q", "%n", id="numbers"),
        pytest.param("%s = select(%x, 0, %i); %k = eq(%s, %a); %q = where(%k, %s, %a)", "%q", "%y", id="comparison"),
        pytest.param("%q = maximum(%a, %z)", "%q", "%z", id="0-d"),
    ],
)  # fmt: skip
def test_fires(body, end, init):
    graph = run_pass("unroll", text(body, end, f"loop 3, True, (%i, %a = {init})"))
    assert "loop" not in {n.op.name for n in graph.walk()}


ARITHMETIC = "%p = mul(%a, 2.0); %q = add(%p, %z)"


@pytest.mark.parametrize(
    ("body", "end", "header"),
    [
        pytest.param(ARITHMETIC, "%q", "loop %n, True, (%i, %a = %y)", id="number of turns not known"),
        pytest.param(ARITHMETIC, "%q", "loop 3, %c, (%i, %a = %y)", id="may not run"),
        pytest.param(ARITHMETIC, "%q", "loop 33, True, (%i, %a = %y)", id="66 nodes are too many"),
        pytest.param("%q = tanh(%a)", "%q", "loop 3, True, (%i, %a = %y)", id="a function"),
        pytest.param("%q = matmul(%a, %m)", "%q", "loop 3, True, (%i, %a = %h)", id="the same weights in each turn"),
        pytest.param("%s = sum(%a); %q = sub(%a, %s)", "%q", "loop 3, True, (%i, %a = %y)", id="a sum"),
        pytest.param("%q = add(%a, 1.0); %0 = add_(%z, 1.0)", "%q", "loop 3, True, (%i, %a = %y)", id="a write"),
        pytest.param("%q = dropout_mask(%a, 0.5)", "%q", "loop 3, True, (%i, %a = %y)", id="a draw"),
        pytest.param(
            "%e = gt(%z, 0); %e1 = py.bool(%e); %q = if %e1 { %s = neg(%a); yield %s } else { yield %a }", "%q",
            "loop 3, True, (%i, %a = %y)", id="a branch on data",
        ),
        pytest.param(
            "%u = select(%w, 0, 1); %p = matmul(%a, %u); %q = tanh(%p)", "%q", "loop 3, True, (%i, %a = %h)",
            id="always the same part",
        ),
    ],
)  # fmt: skip
def test_near_misses(body, end, header):
    check_unchanged("unroll", text(body, end, header))


def test_ends_before_its_count():
    check_unchanged("unroll", text(ARITHMETIC, "%q").replace("yield True", "%d = py.lt(%i, 1); yield %d"))


def test_turns_that_do_not_go_on_from_one_another_stay():
    check_unchanged(
        "unroll",
        f"{HEAD} {{ %r = loop 3, True, (%i) {{ %q = mul(%y, 2.0); yield True | stacked %q }}; return %r }}",
    )


def test_weights_whose_gradient_is_recorded_stay_in_the_loop():
    body = "%u = select(%w, 0, %i); %p = matmul(%a, %u)"
    before = text(body, "%p", "loop 3, True, (%i, %a = %h)").replace("4]", "4]!")
    check_unchanged("unroll", before)


def test_exactly_the_budget():
    turns = unroll.MAX_NODES // 2
    graph = run_pass("unroll", text(ARITHMETIC, "%q", f"loop {turns}, True, (%i, %a = %y)"))
    assert sum(1 for _ in graph.walk()) == unroll.MAX_NODES


def test_inner_loops_first_then_what_they_made_constant():
    """The inner loop has as many turns as the outer one's index says."""
    graph = run_pass(
        "all",
        f"""{HEAD} {{ %r = loop 3, True, (%i, %a = %y) {{
          %b = loop %i, True, (%j, %d = %a) {{ %e = mul(%d, 2.0); yield True, %e }}; %f = add(%b, 1.0)
          yield True, %f }}; return %r }}""",
    )
    assert "loop" not in {n.op.name for n in graph.walk()}


# -- whole programs ----------------------------------------------------------------------------------------------------


class Scaled(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(specjit.tensor(np.linspace(-1, 1, 12).reshape(3, 4).astype(np.float32)))

    def forward(self, x):
        rows = []
        for k in range(3):
            x = x * self.weight[k] + 0.5 * k
            rows.append(x)
        return x, specjit.stack(rows)


def test_training_is_as_eager():
    model = Scaled()
    program = specjit.optimize(model, warmup=1, background=False)
    x = np.linspace(-2, 2, 20).reshape(5, 4).astype(np.float32)
    grads = []
    for run in (model, program, program, program):
        given = specjit.tensor(x).requires_grad_()
        model.weight.grad = None
        last, rows = run(given)
        (last.sum() + (rows * rows).sum()).backward()
        grads.append((last.detach().numpy(), given.grad.numpy(), model.weight.grad.numpy()))
    for found in grads[1:]:
        for a, b in zip(found, grads[0], strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)
    assert "unroll: a loop of 3 turns is now 3 times its body" in str(program.explain())
