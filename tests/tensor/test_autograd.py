"""The tape: backward, grad, modes, hooks, retained graphs, in-place writes, custom functions."""

from __future__ import annotations

import gc
import threading
import weakref

import numpy as np
import pytest

import specjit
from specjit import autograd
from specjit.tensor import tape
from specjit.tensor.tensor import wrap, wrap_node


def leaf(*values: float) -> specjit.Tensor:
    return specjit.tensor(list(values), dtype=specjit.float64, requires_grad=True)


def test_backward_adds_to_leaves():
    x = leaf(1.0, 2.0)
    y = (x * x).sum()
    y.backward()
    assert x.grad.tolist() == [2, 4]
    (x * 3).sum().backward()
    assert x.grad.tolist() == [5, 7]
    assert not x.grad.requires_grad
    assert x.is_leaf
    assert not y.is_leaf


def test_gradients_of_two_leaves_do_not_share_memory():
    x, y = leaf(1.0), leaf(2.0)
    (x + y).sum().backward()
    assert not np.shares_memory(x.grad._data, y.grad._data)
    x.grad.add_(1)
    assert y.grad.tolist() == [1]


def test_a_gradient_given_by_the_user_is_not_kept():
    x = leaf(1.0, 2.0)
    g = specjit.ones(2, dtype=specjit.float64)
    x.backward(g)
    x.backward(g)
    assert x.grad.tolist() == [2, 2]
    assert g.tolist() == [1, 1]


def test_diamonds_are_visited_once_each_node():
    x = leaf(2.0)
    y = x
    for _ in range(60):
        y = y + y * 0.5
    y.sum().backward()
    assert x.grad.item() == pytest.approx(1.5**60)


def test_deep_graphs_need_no_recursion():
    x = leaf(1.0)
    y = x
    for _ in range(20000):
        y = y + 1.0
    y.sum().backward()
    assert x.grad.tolist() == [1]
    del y


def test_errors_of_backward():
    x = leaf(1.0, 2.0)
    with pytest.raises(RuntimeError, match="implicitly created only for scalar"):
        (x * 2).backward()
    with pytest.raises(RuntimeError, match="does not require grad"):
        specjit.ones(1).backward()
    with pytest.raises(RuntimeError, match="Mismatch in shape"):
        (x * 2).backward(specjit.ones(3))
    with pytest.raises(RuntimeError, match="cannot be empty"):
        x.sum().backward(inputs=[])


def test_freed_and_retained_graphs():
    x = leaf(3.0)
    y = (x * x).sum()
    y.backward(retain_graph=True)
    y.backward()
    assert x.grad.tolist() == [12]
    with pytest.raises(RuntimeError, match="second time"):
        y.backward()
    z = (x + 1).sum()
    z.backward()
    z.backward()


def test_gradients_with_and_without_graphs_add_up():
    x = leaf(1.0, 2.0)
    x.sum().backward(create_graph=True)
    x.sum().backward()
    assert x.grad.tolist() == [2, 2]
    x.grad = specjit.ones(1, dtype=specjit.float64).expand(2)
    (x * x).sum().backward()
    assert x.grad.tolist() == [3, 5]


def test_grad_leaves_grad_alone():
    x, y = leaf(2.0), leaf(3.0)
    z = (x * x * y).sum()
    gx, gy = autograd.grad(z, (x, y), retain_graph=True)
    assert (gx.item(), gy.item(), x.grad) == (12, 4, None)
    inner = x * y
    (g,) = autograd.grad((inner * inner).sum(), inner)
    assert g.item() == 12
    with pytest.raises(RuntimeError, match="appears to not have been used"):
        autograd.grad((x * 2).sum(), y)
    assert autograd.grad((x * 2).sum(), y, allow_unused=True) == (None,)
    assert autograd.grad((x * 2).sum(), y, materialize_grads=True)[0].tolist() == [0]
    (same,) = autograd.grad(x, x, specjit.ones(1, dtype=specjit.float64))
    assert same.tolist() == [1]


def test_grad_does_not_walk_where_it_need_not():
    x, y = leaf(2.0), leaf(3.0)
    seen = []
    branch = y * 2
    branch.register_hook(lambda g: seen.append(1))
    autograd.grad((x * x + branch).sum(), x)
    assert not seen


def test_backward_into_chosen_inputs():
    x, y = leaf(2.0), leaf(3.0)
    (x * y).sum().backward(inputs=[x])
    assert x.grad.item() == 3
    assert y.grad is None


def test_create_graph():
    x = leaf(2.0)
    (g,) = autograd.grad((x**3).sum(), x, create_graph=True)
    assert g.item() == 12
    (h,) = autograd.grad(g.sum(), x, create_graph=True)
    assert h.item() == 12
    (third,) = autograd.grad(h.sum(), x)
    assert third.item() == 6
    (x**3).sum().backward(create_graph=True)
    assert x.grad.requires_grad


def test_grad_modes():
    x = leaf(1.0)
    with specjit.no_grad():
        y = x * 2
        assert not y.requires_grad
        assert not specjit.is_grad_enabled()
        with specjit.enable_grad():
            assert (x * 2).requires_grad
    assert specjit.is_grad_enabled()

    @specjit.no_grad()
    def one(v):
        return v * 2

    @specjit.no_grad
    def two(v):
        return v * 2

    @specjit.inference_mode()
    def three(v):
        return v * 2

    @specjit.set_grad_enabled(False)
    def four(v):
        return v * 2

    assert not any(f(x).requires_grad for f in (one, two, three, four))
    assert specjit.is_grad_enabled()
    assert two.__name__ == "two"
    with specjit.set_grad_enabled(False):
        assert not specjit.is_grad_enabled()
    assert specjit.is_grad_enabled()
    specjit.set_grad_enabled(False)
    assert not specjit.is_grad_enabled()
    specjit.set_grad_enabled(True)
    with specjit.inference_mode():
        assert specjit.is_inference_mode_enabled()
    try:
        with specjit.no_grad():
            raise ValueError
    except ValueError:
        pass
    assert specjit.is_grad_enabled()


def test_grad_mode_belongs_to_the_thread():
    found = []
    with specjit.no_grad():
        thread = threading.Thread(target=lambda: found.append(specjit.is_grad_enabled()))
        thread.start()
        thread.join()
    assert found == [True]


def test_hooks():
    x = leaf(1.0, 2.0)
    y = x * 2
    seen = []
    y.register_hook(lambda g: seen.append(g.tolist()))
    handle = y.register_hook(lambda g: g * 10)
    x.register_hook(lambda g: g + 1)
    (y * 3).sum().backward(retain_graph=True)
    assert seen == [[3, 3]]
    assert x.grad.tolist() == [61, 61]
    handle.remove()
    x.grad = None
    y.backward(specjit.ones(2, dtype=specjit.float64))
    assert x.grad.tolist() == [3, 3]
    with pytest.raises(RuntimeError, match="doesn't require gradient"):
        specjit.ones(1).register_hook(print)


def test_a_hook_on_one_of_several_results():
    x = leaf(1.0, 2.0, 3.0, 4.0)
    a, b = x.split(2)
    a.register_hook(lambda g: g * 10)
    (a + b).sum().backward()
    assert x.grad.tolist() == [10, 10, 1, 1]
    assert a.grad_fn is b.grad_fn
    assert (a.output_nr, b.output_nr) == (0, 1)


def test_retain_grad():
    x = leaf(1.0)
    y = x * 2
    y.retain_grad()
    (y * y).sum().backward()
    assert y.grad.tolist() == [4]


def test_unused_results_of_a_split_get_zeros():
    x = leaf(1.0, 2.0, 3.0)
    x.split(1)[1].sum().backward()
    assert x.grad.tolist() == [0, 1, 0]


def test_changed_saved_values_are_an_error():
    x = leaf(1.0, 2.0)
    y = x * 1.0
    z = y * y
    y.add_(1)
    with pytest.raises(
        RuntimeError, match=r"modified by an inplace operation.*float64 \[2\].*version 1; expected version 0"
    ):
        z.sum().backward()
    out = x.exp()
    with specjit.no_grad():
        out.mul_(2)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        out.sum().backward()
    index = specjit.tensor([0, 1])
    picked = x[index]
    index.add_(0)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        picked.sum().backward()


def test_values_that_no_gradient_reads_may_change():
    x, w = leaf(1.0), specjit.ones(1, dtype=specjit.float64)
    y = x * w + 1.0
    h = x + w
    y.mul_(2)
    w2 = specjit.ones(1, dtype=specjit.float64)
    z = w2 * x
    specjit.ones(1)
    (y + h).sum().backward()
    assert x.grad.tolist() == [3]
    # The gradient of x reads w2, that of w2 (not wanted) would read x.
    with specjit.no_grad():
        x.add_(1)
    x.grad = None
    z.sum().backward()
    assert x.grad.tolist() == [1]


def test_writes_in_place_are_part_of_the_graph():
    x = leaf(1.0, 2.0)
    y = specjit.zeros(2, dtype=specjit.float64)
    y.add_(x).mul_(x)
    assert y.requires_grad
    y.sum().backward()
    assert x.grad.tolist() == [2, 4]


def test_writes_through_views_reach_the_base():
    x = leaf(3.0)
    base = specjit.ones(2, 2, dtype=specjit.float64)
    early = base[:, 1]
    row = base[0]
    row.mul_(x)
    assert base.requires_grad
    assert row.requires_grad
    assert early.requires_grad
    (base.sum() * 2 + early.sum() * 10).backward()
    assert x.grad.tolist() == [2 * 2 + 10]


def test_setitem_and_augmented_items():
    x = leaf(1.0, 2.0, 3.0)
    y = x * 2
    y[0] = x[1] * x[2]
    y[1] += x[0]
    y.sum().backward()
    # y = (x1 * x2, 2 * x1 + x0, 2 * x2)
    assert x.grad.tolist() == [1, 3 + 2, 2 + 2]


def test_a_loop_that_fills_a_tensor():
    x = leaf(*range(5))
    out = specjit.zeros(5, dtype=specjit.float64)
    for i in range(5):
        out[i] = x[i] * i
    out.sum().backward()
    assert x.grad.tolist() == [0, 1, 2, 3, 4]


def test_writing_to_leaves():
    x = leaf(1.0, 2.0)
    with pytest.raises(RuntimeError, match="a leaf Variable that requires grad"):
        x.add_(1)
    with pytest.raises(RuntimeError, match="a view of a leaf"):
        x[0:1].add_(1)
    with pytest.raises(RuntimeError, match="leaf"):
        x[0] = 1.0
    with specjit.no_grad():
        x.add_(1)
    x.data.mul_(2)
    assert x.tolist() == [4, 6]
    frozen = specjit.ones(2, dtype=specjit.float64)
    frozen.requires_grad_()
    detached = frozen.detach()
    y = frozen * frozen
    detached.add_(1)
    with pytest.raises(RuntimeError, match="modified by an inplace"):
        y.sum().backward()


def test_views_keep_their_values_in_step_with_their_gradients():
    x = leaf(1.0, 2.0)
    y = x * 1
    v = y[0:1]
    y.mul_(3)
    assert v.tolist() == [3]
    (v * v).sum().backward()
    assert x.grad.tolist() == [18, 0]


def test_expanded_tensors_are_not_written_whole():
    x = specjit.ones(3).expand(2, 3)
    with pytest.raises(RuntimeError, match="single memory location"):
        x.add_(1)
    x[0] = 5.0
    assert x.tolist() == [[5, 5, 5], [5, 5, 5]]


def test_the_graph_dies_with_its_tensors():
    x = leaf(1.0)
    y = x.exp() * x
    node = weakref.ref(y.grad_fn)
    data = weakref.ref(y)
    del y
    assert node() is None
    assert data() is None
    gc.collect()


def test_mixed_dtypes_give_gradients_of_the_inputs_dtype():
    a = specjit.ones(2, requires_grad=True)
    b = specjit.ones(2, dtype=specjit.float64, requires_grad=True)
    (a * b).sum().backward()
    assert a.grad.dtype is specjit.float32
    assert b.grad.dtype is specjit.float64


class Cube(autograd.Function):
    @staticmethod
    def forward(ctx, x, power):
        ctx.save_for_backward(x)
        ctx.power = power
        return x**power

    @staticmethod
    def backward(ctx, grad):
        (x,) = ctx.saved_tensors
        return grad * ctx.power * x ** (ctx.power - 1), None


def test_custom_function():
    x = leaf(2.0)
    y = Cube.apply(x, 3)
    assert y.grad_fn.name == "CubeBackward"
    y.sum().backward(retain_graph=True)
    assert x.grad.item() == 12
    (g,) = autograd.grad(y.sum(), x, create_graph=True)
    (h,) = autograd.grad(g.sum(), x)
    assert h.item() == 12
    with specjit.no_grad():
        assert not Cube.apply(x, 3).requires_grad
    z = Cube.apply(x, 2)
    with specjit.no_grad():
        x.add_(1)
    with pytest.raises(RuntimeError, match="inplace"):
        z.sum().backward()


def test_custom_function_with_several_results():
    class Both(autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.mark_non_differentiable()
            return x * 2, x * 3

        @staticmethod
        def backward(ctx, a, b):
            return a * 2 + b * 3

    x = leaf(1.0)
    a, b = Both.apply(x)
    b.sum().backward()
    assert x.grad.item() == 3
    a, b = Both.apply(x)
    (a + b).sum().backward()
    assert x.grad.item() == 8

    class Wrong(autograd.Function):
        @staticmethod
        def forward(ctx, x, y):
            return x + y

        @staticmethod
        def backward(ctx, g):
            return g

    with pytest.raises(RuntimeError, match="incorrect number of gradients"):
        Wrong.apply(x, x).sum().backward()


def test_function_without_methods():
    class Empty(autograd.Function):
        pass

    with pytest.raises(NotImplementedError, match="forward"):
        Empty.apply(leaf(1.0))


def test_own_nodes():
    """What the runtime does for a native region: a node with several results and saved values of its own."""

    class Region(tape.Node):
        __slots__ = ("freed",)
        count = 2

        def __init__(self, *inputs):
            super().__init__([tape.edge(t) for t in inputs])
            self.freed = False

        def backward(self, grads):
            if self.freed:
                raise RuntimeError(tape.FREED)
            a, b = grads
            zero = wrap(np.zeros(1))
            return [(a if a is not None else zero) * 2, (b if b is not None else zero) * 5]

        def release(self):
            self.freed = True

    x, y = leaf(1.0), leaf(1.0)
    node = Region(x * 1, y)
    a = wrap_node(np.array([2.0]), node.output(0))
    b = wrap_node(np.array([5.0]), node.output(1))
    (a + b * 2).sum().backward()
    assert (x.grad.item(), y.grad.item()) == (2, 10)
    assert node.freed
    with pytest.raises(RuntimeError, match="second time"):
        a.backward()
    assert [n.name if n is not None and not isinstance(n, specjit.Tensor) else n for n, _ in node.next_functions][
        1
    ] is y


def test_gradcheck_finds_a_wrong_gradient():
    class Wrong(autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x * x

        @staticmethod
        def backward(ctx, g):
            return g

    with pytest.raises(autograd.GradcheckError, match="Jacobian mismatch"):
        autograd.gradcheck(Wrong.apply, leaf(2.0))
    assert not autograd.gradcheck(Wrong.apply, leaf(2.0), raise_exception=False)
    assert autograd.gradcheck(lambda x: x * x, leaf(2.0))
    assert autograd.gradgradcheck(lambda x: x**3, leaf(2.0))
    with pytest.raises(ValueError, match="at least one input"):
        autograd.gradcheck(lambda x: x, specjit.ones(1))


def test_backward_of_several_tensors():
    x = leaf(2.0)
    autograd.backward([x * 2, x * 3], [specjit.ones(1, dtype=specjit.float64)] * 2)
    assert x.grad.item() == 5


def test_a_function_with_a_tuple_of_one_result():
    class One(specjit.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return (x * 2,)

        @staticmethod
        def backward(ctx, g):
            return g * 2

    x = specjit.ones(2, requires_grad=True)
    (out,) = One.apply(x)
    out.sum().backward()
    assert x.grad.tolist() == [2, 2]


@pytest.mark.parametrize("part", [lambda x: x.split(3), lambda x: x.chunk(1), lambda x: x[:1].unbind()])
def test_a_single_one_of_several_results_has_a_gradient(part):
    x = specjit.ones(3, 2, requires_grad=True)
    (only,) = part(x)
    (only * 2).sum().backward()
    assert x.grad.sum().item() == 2 * only.numel()
