"""Hooks on gradients, gradients on demand, and custom functions at their edges."""

from __future__ import annotations

import pytest

import specjit
from specjit import autograd
from specjit.autograd import Function, once_differentiable


def leaf(*values: float) -> specjit.Tensor:
    return specjit.tensor(list(values or (1.0, 1.0)), requires_grad=True)


# hooks


def test_retained_gradients_come_after_hooks_and_only_once():
    x = leaf()
    y = x * 3
    assert not y.retains_grad
    assert not x.retains_grad
    y.retain_grad()
    y.retain_grad()
    y.register_hook(lambda g: g * 10)
    assert y.retains_grad
    y.sum().backward()
    assert y.grad.tolist() == [10, 10]
    assert x.grad.tolist() == [30, 30]


def test_a_hook_keeps_the_size():
    x = leaf()
    x.register_hook(lambda g: specjit.ones(5))
    with pytest.raises(RuntimeError, match="has changed the size"):
        x.sum().backward()


def test_hooks_after_accumulation():
    x = leaf()
    seen = []
    handle = x.register_post_accumulate_grad_hook(lambda t: seen.append(t.grad.tolist()))
    (x * 2).sum().backward()
    (x * 2).sum().backward()
    assert seen == [[2, 2], [4, 4]]
    handle.remove()
    x.sum().backward()
    assert len(seen) == 2
    with pytest.raises(RuntimeError, match="non-leaf"):
        (x * 2).register_post_accumulate_grad_hook(print)
    with pytest.raises(RuntimeError, match="doesn't require gradient"):
        specjit.ones(2).register_post_accumulate_grad_hook(print)


# grad


def test_grad_says_which_input_was_not_used():
    x, y = leaf(), leaf()
    out = (x * 2).sum()
    with pytest.raises(RuntimeError, match="at index 1 appears to not have been used"):
        autograd.grad(out, [x, y], retain_graph=True)
    assert autograd.grad(out, [x, y], retain_graph=True, allow_unused=True)[1] is None
    assert autograd.grad(out, [x, y], retain_graph=True, materialize_grads=True)[1].tolist() == [0, 0]
    with pytest.raises(ValueError, match="allow_unused"):
        autograd.grad(out, [y], allow_unused=False, materialize_grads=True)
    with pytest.raises(RuntimeError, match="cannot be empty"):
        autograd.grad(out, [])
    with pytest.raises(NotImplementedError, match="is_grads_batched"):
        autograd.grad(out, [x], specjit.ones(3, 1), is_grads_batched=True)


# custom functions


class Square(Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x * x

    @staticmethod
    @once_differentiable
    def backward(ctx, g):
        (x,) = ctx.saved_tensors
        return 2 * x * g


def test_once_differentiable():
    x = leaf(3.0)
    Square.apply(x).sum().backward()
    assert x.grad.tolist() == [6]
    (g,) = autograd.grad(Square.apply(x).sum(), x, create_graph=True)
    assert not g.requires_grad  # the gradient that came in was a constant
    y = leaf(2.0)
    (g,) = autograd.grad((Square.apply(x) * y).sum(), x, create_graph=True)
    assert g.tolist() == [12]
    with pytest.raises(RuntimeError, match="once_differentiable"):
        g.sum().backward()


class Double(Function):
    @staticmethod
    def forward(ctx, x):
        ctx.mark_dirty(x)
        return x.mul_(2)

    @staticmethod
    def backward(ctx, g):
        return g * 2


def test_dirty_inputs():
    x = leaf()
    y = x * 1
    assert Double.apply(y) is y
    (y * y).sum().backward()
    assert x.grad.tolist() == [8, 8]
    with pytest.raises(RuntimeError, match="a leaf Variable that requires grad"):
        Double.apply(leaf())
    base = leaf() * 1
    square = base * base
    Double.apply(base)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        square.sum().backward()


def test_dirty_views_write_to_their_base():
    x = specjit.ones(2, 2, requires_grad=True)
    base = x * 1
    Double.apply(base[0])
    base.sum().backward()
    assert x.grad.tolist() == [[2, 2], [1, 1]]


def wrong(gradient: specjit.Tensor) -> type[Function]:
    class Wrong(Function):
        @staticmethod
        def forward(ctx, x):
            return x * 1

        @staticmethod
        def backward(ctx, g):
            return gradient

    return Wrong


def test_sizes_of_gradients():
    x = specjit.ones(1, requires_grad=True)
    wrong(specjit.ones(3, 2)).apply(x).sum().backward()
    assert x.grad.tolist() == [6]
    with pytest.raises(RuntimeError, match="invalid gradient at index 0"):
        wrong(specjit.ones(3)).apply(leaf()).sum().backward()
    with pytest.raises(TypeError, match="expected Tensor or None"):
        wrong(2.0).apply(leaf()).sum().backward()
