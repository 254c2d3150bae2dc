"""Loops that read rows from the last one on count down."""

from __future__ import annotations

import numpy as np
import pytest

import specjit
from specjit import nn
from tests.golden import check_pass, check_unchanged

HEAD = "(%x: f32[T,B,6], %y: f32[B,T,6], %h0: f32[B,6], %n: int<T>, %x1: f32[T+1,B,6])"
MIRROR = "%j = py.sub(%n, 1); %k = py.sub(%j, %i)"


def loop(body: str, result: str = "flip(%hs, [0])", kind: str = "", header: str = "loop %n, True") -> str:
    return f"""{HEAD} {{
      %h, %hs = {header}, (%i, %h1 = %h0){kind} {{
        {body}
        %h2 = add(%h1, %r)
        yield True, %h2 | stacked %h2
      }}
      %out = {result}
      return %out, %h
    }}"""


def turned(body: str, kind: str) -> str:
    return loop(body, kind=kind).replace("return %out", "return %hs")


@pytest.mark.parametrize(
    ("body", "after"),
    [
        pytest.param(
            f"{MIRROR}; %r = select(%x, 0, %k)", "%j = py.sub(%n, 1); %k = py.sub(%j, %i); %r = select(%x, 0, %i)"
        ),
        pytest.param("%k = py.sub(-1, %i); %r = select(%x, 0, %k)", "%k = py.sub(-1, %i); %r = select(%x, 0, %i)"),
        pytest.param(
            "%j = py.add(%i, 1); %k = py.neg(%j); %r = select(%y, 1, %k)",
            "%j = py.add(%i, 1); %k = py.neg(%j); %r = select(%y, 1, %i)",
        ),
    ],
    ids=["from n - 1", "from -1", "from -1, time second"],
)
@pytest.mark.parametrize("reverse", [False, True])
def test_turns(body, after, reverse):
    """Both ways: of a loop that counts down already, the rows from the last one on come in the order of the index."""
    kinds = [" reverse", ""] if reverse else ["", " reverse"]
    check_pass("turn", loop(body, kind=kinds[0]), turned(after, kinds[1]))


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(loop("%r = select(%x, 0, %i)"), id="rows in order"),
        pytest.param(loop(f"{MIRROR}; %r = select(%x, 0, %k)", "mul(%hs, 2.0)"), id="the stack is read as it is"),
        pytest.param(loop(f"{MIRROR}; %r = select(%x, 0, %k)", "flip(%hs, [1])"), id="another dimension is flipped"),
        pytest.param(
            loop(f"{MIRROR}; %a = select(%x, 0, %k); %b = select(%x, 0, %i); %r = add(%a, %b)"), id="rows both ways"
        ),
        pytest.param(loop(f"{MIRROR}; %a = select(%x, 0, %k); %r = mul(%a, %i)"), id="the index is a number, too"),
        pytest.param(loop(f"{MIRROR}; %r = mul(%h1, %k)"), id="no row"),
        pytest.param(
            loop("%k = py.sub(%n, %i); %r = select(%x1, 0, %k)"),
            id="not all rows",
        ),
    ],
)
def test_near_misses(text):
    check_unchanged("turn", text)


def test_two_flips_are_two_tensors():
    text = loop(f"{MIRROR}; %r = select(%x, 0, %k)", "flip(%hs, [0]); %more = flip(%hs, [0])")
    check_unchanged("turn", text.replace("return %out", "return %out, %more"))


@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("layer", [nn.LSTM, nn.GRU, nn.RNN])
def test_layers_of_both_directions(layer, batch_first):
    """Each direction of each layer multiplies its inputs once; results and gradients are eager's."""
    specjit.manual_seed(0)
    model = layer(5, 4, 2, bidirectional=True, batch_first=batch_first)
    x = specjit.tensor(np.random.default_rng(0).standard_normal((1, 7, 5) if batch_first else (7, 1, 5)))
    model, x = model.to(specjit.float64), x.requires_grad_()

    def run(program):
        for leaf in (x, *model.parameters()):
            leaf.grad = None
        out = program(x)[0]
        (out * out).sum().backward()
        return [out.detach().numpy(), *(leaf.grad.numpy().copy() for leaf in (x, *model.parameters()))]

    fast = specjit.optimize(model, warmup=1, background=False)
    expected = run(model)
    for _ in range(2):
        for got, wanted in zip(run(fast), expected, strict=True):
            np.testing.assert_allclose(got, wanted, rtol=1e-12, atol=1e-14)
    (made,) = fast.specializations
    loops = [node for node in made.graph.walk() if node.op.name == "loop"]
    assert [bool(loop.attrs.get("reverse")) for loop in loops] == [False, True, False, True]
    assert (
        sum(n.op.name == "matmul" for loop in loops for n in loop.blocks[0].nodes) == 4
    )  # that of the state, in each loop
