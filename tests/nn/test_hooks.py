"""Hooks around calls of modules and around their gradients."""

from __future__ import annotations

import copy
from collections import namedtuple

import pytest

import specjit
from specjit import nn


class Scale(nn.Module):
    def forward(self, x, factor=2.0):
        if factor is None:
            raise ValueError("no factor")
        return x * factor


def test_forward_hooks():
    net, seen = Scale(), []
    pre = net.register_forward_pre_hook(lambda m, args: args[0] + 1)
    post = net.register_forward_hook(lambda m, args, out: seen.append((m, args[0].item(), out.item())) or out + 1)
    assert net(specjit.tensor(1.0)).item() == 5
    assert seen == [(net, 2, 4)]
    pre.remove()
    with post:
        pass
    assert not net._forward_hooks
    assert net(specjit.tensor(1.0)).item() == 2
    net.register_forward_pre_hook(lambda m, args: (args[0] + 1,))
    assert copy.deepcopy(net)(specjit.tensor(1.0)).item() == 4


def test_hooks_run_in_order():
    net, order = Scale(), []
    for i in range(2):
        net.register_forward_hook(lambda *a, i=i: order.append(i))
    net.register_forward_hook(lambda *a: order.append("first"), prepend=True)
    net(specjit.ones(1))
    assert order == ["first", 0, 1]


def test_hooks_with_keyword_arguments():
    net, seen = Scale(), []
    net.register_forward_pre_hook(lambda m, args, kw: (args, {"factor": kw["factor"] * 2}), with_kwargs=True)
    net.register_forward_pre_hook(lambda m, args, kw: seen.append(kw), with_kwargs=True)
    net.register_forward_hook(lambda m, args, kw, out: out + kw["factor"], with_kwargs=True)
    assert net(specjit.tensor(1.0), factor=3.0).item() == 12
    assert seen == [{"factor": 6.0}]
    net.register_forward_pre_hook(lambda m, args, kw: args, with_kwargs=True)
    with pytest.raises(RuntimeError, match="None or a tuple of"):
        net(specjit.tensor(1.0), factor=3.0)


def test_hooks_that_are_always_called():
    net, seen = Scale(), []
    net.register_forward_hook(lambda m, args, out: seen.append("plain"))
    net.register_forward_hook(lambda m, args, out: seen.append(out), always_call=True)
    net.register_forward_hook(lambda m, args, out: 1 / 0, always_call=True)
    with pytest.raises(ValueError, match="no factor"), pytest.warns(UserWarning, match="silenced .* division by zero"):
        net(specjit.ones(1), None)
    assert seen == [None]


def test_backward_hooks_see_and_replace_gradients():
    net, seen = nn.Linear(2, 3), []
    x = specjit.ones(4, 2, requires_grad=True)
    net.register_full_backward_pre_hook(lambda m, grads: (grads[0] * 2,))
    net.register_full_backward_hook(lambda m, inner, outer: seen.append((inner[0], outer[0])))
    handle = net.register_full_backward_hook(lambda m, inner, outer: (inner[0] * 10,))
    out = net(x)
    out.sum().backward()
    ((inner, outer),) = seen
    want = (specjit.full((4, 3), 2.0) @ net.weight).detach()
    assert outer.tolist() == [[2.0] * 3] * 4
    assert inner.tolist() == want.tolist()
    assert x.grad.tolist() == (want * 10).tolist()
    assert net.bias.grad.tolist() == [8.0] * 3
    handle.remove()
    x.grad = None
    net(x).sum().backward()
    assert x.grad.tolist() == want.tolist()


def test_backward_hooks_have_an_entry_for_each_argument():
    Pair = namedtuple("Pair", "sum flag")

    class Two(nn.Module):
        def forward(self, a, text, b):
            return Pair(a + b, text)

    net, seen = Two(), []
    net.register_full_backward_hook(lambda m, inner, outer: seen.append((inner, outer)))
    a, b = specjit.ones(2, requires_grad=True), specjit.ones(2)
    out = net(a, "text", b)
    assert isinstance(out, Pair)
    out.sum.sum().backward()
    ((inner, outer),) = seen
    assert inner[0].tolist() == [1, 1]
    assert inner[1] is None
    assert inner[2].tolist() == [0, 0]
    assert outer[0].tolist() == [1, 1]
    assert outer[1] is None


def test_backward_hooks_where_no_input_has_a_gradient():
    net, seen = nn.Linear(2, 1), []
    net.register_full_backward_hook(lambda m, inner, outer: seen.append((inner, outer[0].tolist())))
    net(specjit.ones(1, 2)).sum().backward()
    assert seen == [((None,), [[1.0]])]
    net.register_full_backward_hook(lambda m, inner, outer: (outer[0],))
    with pytest.raises(RuntimeError, match="no input requires gradient"):
        net(specjit.ones(1, 2)).sum().backward()
    with specjit.no_grad():
        assert not net(specjit.ones(1, 2)).requires_grad


def test_wrong_backward_hooks():
    net = nn.Linear(2, 1)
    net.register_full_backward_hook(lambda m, inner, outer: (inner[0], None))
    with pytest.raises(RuntimeError, match="invalid number of grad_input, got 2, but expected 1"):
        net(specjit.ones(1, 2, requires_grad=True)).sum().backward()

    class Named(nn.Module):
        def forward(self, x):
            return {"x": x}

    named = Named()
    named.register_full_backward_hook(lambda *a: None)
    with pytest.warns(UserWarning, match="should be a Tensor or a tuple of Tensors"):
        named(specjit.ones(1, requires_grad=True))


def test_second_gradients_pass_through_hooks():
    net = Scale()
    net.register_full_backward_hook(lambda m, inner, outer: (inner[0] * 3,))
    x = specjit.tensor([2.0], requires_grad=True)
    (g,) = specjit.autograd.grad((net(x * x) * x).sum(), x, create_graph=True)
    g.sum().backward()
    # d/dx [2 x^3] with the factor 3 on the way through the module: 3 * 4 x^2 + 2 x^2 = 14 x^2.
    assert g.item() == 56
    # Again through the module in the second term: 24 x + 3 * 4 x.
    assert x.grad.item() == 72


def test_optimized_modules_call_hooks():
    net, seen = nn.Sequential(Scale(), nn.ReLU()), []
    net[0].register_forward_hook(lambda m, args, out: seen.append(1) or out + 1)
    x = specjit.ones(2)
    fast = specjit.optimize(net, warmup=1, background=False)
    for _ in range(3):
        assert fast(x).tolist() == [3, 3]
    late = net[1].register_full_backward_hook(lambda m, inner, outer: seen.append(2))
    y = specjit.ones(2, requires_grad=True)
    fast(y).sum().backward()
    assert seen[-1] == 2
    late.remove()
    fast.close()
