"""Views: whose memory and version they share, what writes through them do to gradients, shapes changed in place."""

from __future__ import annotations

import numpy as np
import pytest

import specjit
from specjit.dtypes import float64
from specjit.tensor.gradcheck import gradcheck
from specjit.tensor.tracer import TraceError


def numbers(*shape: int, requires_grad: bool = False) -> specjit.Tensor:
    values = np.arange(1.0, np.prod(shape) + 1).reshape(shape)
    return specjit.from_numpy(values).clone().requires_grad_(requires_grad)


VIEWS = {
    "unflatten": lambda x: x.unflatten(1, (2, 2)),
    "movedim": lambda x: x.movedim(0, 1),
    "swapdims": lambda x: x.swapdims(0, 1),
    "adjoint": lambda x: x.adjoint(),
    "ravel": lambda x: x.ravel(),
    "diagonal": lambda x: x.diagonal(1),
    "unfold": lambda x: x.unfold(1, 2, 2),
    "atleast_3d": lambda x: specjit.atleast_3d(x),
    "tensor_split": lambda x: x.tensor_split((1,))[1],
    "T": lambda x: x.T,
    "mT": lambda x: x.mT,
    "H": lambda x: x.H,
    "mH": lambda x: x.mH,
}


@pytest.mark.parametrize("name", VIEWS)
def test_views_share_memory_and_version(name):
    x = numbers(3, 4)
    view = VIEWS[name](x)
    assert np.shares_memory(view._data, x._data)
    before = x._version[0]
    view.add_(1)
    assert x._version[0] == view._version[0] == before + 1
    x.zero_()
    assert not view.numpy().any()


@pytest.mark.parametrize("name", VIEWS)
def test_gradients_of_writes_through_views(name):
    def program(x):
        base = x * 1
        VIEWS[name](base).mul_(3)
        return base * base

    assert gradcheck(program, [numbers(3, 4, requires_grad=True)])


@pytest.mark.parametrize("name", VIEWS)
def test_gradients_of_views_of_written_tensors(name):
    def program(x):
        base = x * 1
        view = VIEWS[name](base)
        base.mul_(x)
        return view * view

    assert gradcheck(program, [numbers(3, 4, requires_grad=True)])


def test_views_of_memory_that_is_not_row_major():
    x = numbers(2, 3, 4).permute(2, 0, 1).clone()
    assert not x.is_contiguous()
    windows = x.unfold(0, 2, 1)
    np.testing.assert_array_equal(windows.numpy(), np.lib.stride_tricks.sliding_window_view(x.numpy(), 2, 0))
    x[:, 0].unfold(0, 3, 1)[0, 0].zero_()
    assert not x[:3, 0, 0].numpy().any()


# shapes changed in place


CHANGES = {
    "squeeze_": (lambda x: x.squeeze_(0), (2, 3)),
    "unsqueeze_": (lambda x: x.unsqueeze_(-1), (1, 2, 3, 1)),
    "transpose_": (lambda x: x.transpose_(0, 2), (3, 2, 1)),
    "swapaxes_": (lambda x: x.swapaxes_(1, 2), (1, 3, 2)),
    "swapdims_": (lambda x: x.swapdims_(0, 1), (2, 1, 3)),
    "t_": (lambda x: x.t_(), None),
}


def start(name: str, x: specjit.Tensor) -> specjit.Tensor:
    return x[0] if name == "t_" else x


@pytest.mark.parametrize("name", CHANGES)
def test_the_tensor_itself_changes(name):
    change, shape = CHANGES[name]
    x = start(name, numbers(1, 2, 3)).clone()
    part = x[0]
    values, version = x.numpy().reshape(-1).copy(), x._version[0]
    assert change(x) is x
    assert x._version[0] == version + 1
    assert tuple(x.shape) == (shape or (3, 2))
    assert sorted(x.numpy().reshape(-1)) == sorted(values)
    part.zero_()
    assert (x == 0).sum().item() == part.numel()


@pytest.mark.parametrize("name", CHANGES)
def test_gradients_flow_through_changes(name):
    change, _ = CHANGES[name]

    def program(x):
        y = start(name, x * 1).clone()
        part = y[0]
        change(y)
        part.mul_(2)
        return y * y

    assert gradcheck(program, [numbers(1, 2, 3, requires_grad=True)])


def test_a_changed_view_writes_to_its_base():
    def program(x):
        base = x * 1
        base[0].unsqueeze_(0).mul_(5)
        return base.sum(0)

    assert gradcheck(program, [numbers(2, 3, requires_grad=True)])


def test_changes_that_are_refused():
    leaf = numbers(2, 3, requires_grad=True)
    with pytest.raises(RuntimeError, match="a leaf Variable that requires grad"):
        leaf.t_()
    with pytest.raises(RuntimeError, match="a view of a leaf Variable"):
        leaf[0].unsqueeze_(0)
    with specjit.no_grad():
        assert tuple(leaf.t_().shape) == (3, 2)
    y = numbers(2, 3, requires_grad=True) * 2
    z = y * y
    y.t_()
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        z.sum().backward()
    with pytest.raises(IndexError, match="out of range"):
        numbers(2).transpose_(0, 1)
    with pytest.raises(TraceError, match="cannot change its shape"):
        specjit.jit.trace(lambda x: x.t_(), (numbers(2, 3),))


def test_captured_programs_leave_them_to_python():
    def program(x):
        y = x * 2
        y.t_()
        return y.shape[0], y @ x

    x = numbers(2, 3)
    fast = specjit.optimize(program)
    for _ in range(4):
        rows, product = fast(x)
        assert rows == 3
        np.testing.assert_array_equal(product.numpy(), 2 * x.numpy().T @ x.numpy())


# other dtypes


def test_views_of_other_dtypes():
    x = specjit.tensor([[1.0, 2.0], [3.0, 4.0]])
    for dtype, kind in ((specjit.int32, np.int32), (float64, np.float64), (specjit.uint8, np.uint8)):
        view = x.view(dtype)
        np.testing.assert_array_equal(view.numpy(), x.numpy().view(kind))
        assert np.shares_memory(view._data, x._data)
    x.view(specjit.int32).zero_()
    assert not x.numpy().any()
    assert x.view(specjit.float32).shape == x.shape
    assert not specjit.ones(2, requires_grad=True).view(specjit.int32).requires_grad


def test_views_of_other_dtypes_that_are_refused():
    with pytest.raises(RuntimeError, match="must be divisible by 2"):
        specjit.ones(2, 3).view(float64)
    with pytest.raises(RuntimeError, match="must be 1"):
        specjit.ones(2, 3).t().view(specjit.uint8)
    with pytest.raises(RuntimeError, match="cannot be 0"):
        specjit.tensor(1.0).view(float64)
    assert not specjit.ones(2, requires_grad=True).view(float64).requires_grad


@pytest.mark.parametrize("name", ["mT", "H", "mH"])
def test_transposes_need_matrices(name):
    with pytest.raises(RuntimeError, match="only supported on matrices"):
        getattr(specjit.ones(3), name)
    assert getattr(specjit.tensor(2.0), name).item() == 2


def test_what_is_picked_lies_in_c_order():
    """As in PyTorch, whatever NumPy does: `x[:, rows].view(-1)` works."""
    x, rows = specjit.tensor(np.arange(60.0).reshape(5, 3, 4)), specjit.tensor([0, 2, 1])
    for index in (
        (slice(None), rows),
        (..., rows),
        (slice(None), rows, 0),
        (slice(None), [0, 2]),
        (rows, slice(None), rows),
    ):
        found = x[index]
        assert found.is_contiguous()
        plain = tuple(i.numpy() if isinstance(i, specjit.Tensor) else i for i in index)
        np.testing.assert_array_equal(found.view(-1).numpy(), x.numpy()[plain].reshape(-1))
    assert x[specjit.tensor(1), specjit.tensor(1), specjit.tensor(1)].shape == ()
