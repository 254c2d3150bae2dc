"""Scales and shifts of channels go into the weights before them: under numerics="fast" only."""

from __future__ import annotations

import numpy as np
import pytest

import specjit
import specjit.passes as passes
from specjit import nn
from specjit.ir.interpret import interpret
from tests.golden import by_name, check_unchanged, copy_graph, graph_of, make_inputs
from tests.runtime.models import uniform

VECTORS = ", ".join(f"param %{name}: f32[8]" for name in "bmvgh")
LINEAR = f"""graph @g(%x: f32[B,6], param %w: f32[8,6], {VECTORS}) -> f32[B,8] {{
  %t = t(%w); %p = matmul(%x, %t); %a = add(%p, %b); %c = sub(%a, %m); %e = add(%v, 0.001); %s = rsqrt(%e)
  %d = mul(%c, %s); %f = mul(%d, %g); %y = add(%f, %h)
  return %y
}}"""
IMAGE = """graph @g(%x: f32[N,6,12], param %w: f32[8,6], param %b: f32[8,1,1], param %g: f32[1,8,1,1]) -> f32[N,8,3,4] {
  %p = matmul(%w, %x); %n: int<N> = size(%x, 0); %l = py.tuple(%n, 8, 3, 4); %i = reshape(%p, %l); %a = add(%i, %b)
  %y = mul(%a, %g); return %y
}"""


def run(text: str, numerics: str) -> tuple[passes.Report, list[str]]:
    graph = graph_of(text)
    original = copy_graph(graph)
    report = passes.run_pipeline(graph, (by_name("foldscale"),), passes.Context(numerics=numerics))
    for seed in range(3):  # finite numbers, and variances that are not negative: infinite scales make other NaN
        given = make_inputs(original, {"B": 3, "N": 2}, seed, None)
        given = [np.abs(g) if v.hint == "v" else g for v, g in zip(original.inputs, given, strict=True)]
        for before, after in zip(interpret(original, *given), interpret(graph, *given), strict=True):
            np.testing.assert_allclose(after, before, rtol=2e-4, atol=1e-4)
    return report, [n.op.name for n in graph.walk()]


@pytest.mark.parametrize("text", [LINEAR, IMAGE], ids=["linear", "image"])
def test_one_addition_is_left_behind_the_product(text):
    report, ops = run(text, "fast")
    assert report.rewrites == 1
    assert "rounded after the scale" in report.facts[0].message
    behind = ops[ops.index("matmul") + 1 :]
    assert behind.count("add") == 1
    assert not {"mul", "sub", "div"} & set(behind)


@pytest.mark.parametrize("text", [LINEAR, IMAGE], ids=["linear", "image"])
def test_exact_numerics_keep_the_order_of_roundings(text):
    report, _ = run(text, "exact")
    assert report.rewrites == 0
    assert ["numerics='fast' allows it" in f.message for f in report.facts] == [True]


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(LINEAR.replace("%d = mul(%c, %s); %f = mul(%d, %g)", "%f = tanh(%c)"), id="nothing scales"),
        pytest.param(LINEAR.replace("param %g", "%g").replace("mul(%c, %s)", "tanh(%c)"), id="a scale of the call"),
        pytest.param(IMAGE.replace("param %g: f32[1,8,1,1]", "param %g: f32[4]"), id="a scale along another dim"),
        pytest.param(IMAGE.replace("param %w", "%w"), id="weights of the call"),
        pytest.param(IMAGE.replace("%y = mul(%a, %g)", "%z = mul(%a, %g); %y = mul(%z, %a)"), id="read twice"),
    ],
)
def test_near_misses(text):
    check_unchanged("foldscale", text, numerics="fast")


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3, padding=1)
        self.norm = nn.BatchNorm2d(8)
        self.last = nn.Linear(8, 4)
        self.scaled = nn.BatchNorm1d(4)

    def forward(self, x):
        return self.scaled(self.last(self.norm(self.conv(x)).relu().mean((2, 3))))


def test_a_convnet_folds_its_normalizations_and_follows_its_parameters():
    net = Net()
    with specjit.no_grad():
        for p in (net.norm.running_var, net.scaled.running_var):
            p.copy_(specjit.tensor(np.abs(uniform(*p.shape, seed=3)) + 0.5))
        for p in (net.norm.running_mean, net.norm.weight, net.norm.bias, net.scaled.running_mean, net.scaled.weight):
            p.copy_(specjit.tensor(uniform(*p.shape, seed=4)))
        net.eval()
        program = specjit.optimize(net, warmup=2, background=False, numerics="fast")
        given = [specjit.tensor(uniform(n, 3, 6, 5, seed=n)) for n in (2, 3, 2, 4)]
        for x in given:
            np.testing.assert_allclose(program(x).numpy(), net(x).numpy(), rtol=1e-4, atol=1e-5)
        net.norm.running_mean.add_(1.0)
        net.conv.weight.mul_(2.0)
        for x in given:
            np.testing.assert_allclose(program(x).numpy(), net(x).numpy(), rtol=1e-4, atol=1e-5)
    variant = program.specializations[-1]
    assert variant.graphs["foldscale"].record.rewrites == 2
    assert "scale and shift of channels in the weights" in " ".join(variant.told)
    assert program.events("REPACKED")
    assert program.stats()["fast"] >= 4


def test_a_product_with_a_vector_has_no_channels():
    text = "(param %w: f32[4,4], param %b: f32[4], %x: f32[4]) { %p = matmul(%w, %x); %y = mul(%p, %b); return %y }"
    check_unchanged("foldscale", text, numerics="fast", exact=False)
