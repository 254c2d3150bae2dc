"""Every in-place variant by the row of its functional operator: content, gradient, version, refusals."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import specjit
from specjit.dtypes import float64, int64
from specjit.ops.records.registry import Op, all_ops
from specjit.tensor import state
from specjit.tensor.tensor import Tensor
from tests.opinfo import OPINFO, samples
from tests.ops.test_opinfo import _all_tensors

VARIANTS = {n: op for n, op in all_ops().items() if op.returns and op.functional and op.functional.name in OPINFO}
EACH = [pytest.param(op, id=n) for n, op in VARIANTS.items()]


def fitting(op: Op, dtype: Any, grad: bool = False) -> Any:
    """Samples whose result fits into the first argument."""
    info = OPINFO[op.functional.name]
    for args, kwargs in samples(info, dtype, grad):
        if not args or not isinstance(args[0], Tensor):
            continue
        with specjit.no_grad():
            out = info.fn(*args, **kwargs)
        if isinstance(out, Tensor) and out.shape == args[0].shape and out.dtype.category <= args[0].dtype.category:
            yield args[: len(op.params)], kwargs


def wide_of(op: Op) -> Any:
    """float64; of an operator that takes no floats, its first dtype."""
    dtypes = OPINFO[op.functional.name].dtypes
    return float64 if float64 in dtypes else dtypes[0]


@pytest.mark.parametrize("op", EACH)
def test_content(op):
    ran = 0
    for dtype in OPINFO[op.functional.name].dtypes:
        for args, kwargs in fitting(op, dtype):
            target = args[0].clone()
            version = target._version[0]
            want = op.functional.fn(*args, **kwargs).numpy()
            assert op.fn(target, *args[1:], **kwargs) is target
            assert target._version[0] > version
            with np.errstate(all="ignore"):
                np.testing.assert_array_equal(target.numpy(), want.astype(target.dtype.numpy))
            ran += 1
    assert ran


@pytest.mark.parametrize("op", EACH)
def test_content_of_strided_views(op):
    """Elements that lie apart, in place: their neighbours stay, the rest is as in a fresh tensor."""
    for dtype in OPINFO[op.functional.name].dtypes:
        for args, kwargs in fitting(op, dtype):
            shape = args[0].shape
            wide = specjit.zeros(*(4 * n + 1 for n in shape), dtype=args[0].dtype)
            target = wide[tuple(slice(1, None, 4) for _ in shape)]
            target.copy_(args[0])
            want = op.functional.fn(*args, **kwargs).numpy().astype(target.dtype.numpy)
            op.fn(target, *args[1:], **kwargs)
            with np.errstate(all="ignore"):
                np.testing.assert_array_equal(target.numpy(), want)
            assert not wide[tuple(slice(0, None, 4) for _ in shape)].numpy().any() or not shape


@pytest.mark.parametrize("op", EACH)
def test_gradient(op):
    """That of the functional operator; zeros for what is overwritten where that has none."""
    for args, kwargs in fitting(op, wide_of(op), True):
        inputs = [t for t in _all_tensors(args) if t.requires_grad]
        if not args[0].requires_grad:
            continue
        target = args[0].clone()
        weight = specjit.from_numpy(np.random.default_rng(0).standard_normal(target.shape))
        op.fn(target, *args[1:], **kwargs)
        found = specjit.autograd.grad((target * weight).sum(), inputs, allow_unused=True)
        if op.functional.differentiable:
            want = specjit.autograd.grad((op.functional.fn(*args, **kwargs) * weight).sum(), inputs, allow_unused=True)
        else:
            want = [specjit.zeros_like(t) for t in inputs]
        for f, w in zip(found, want):
            f, w = ((specjit.zeros(()) if x is None else x).numpy() for x in (f, w))
            np.testing.assert_allclose(f, w, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("op", EACH)
def test_refusals(op):
    """Leaves that require grad, tensors whose elements share memory, and results of a higher category."""
    for args, kwargs in fitting(op, wide_of(op)):
        if args[0].ndim and args[0].shape[0] > 1 and args[0].numel():
            if args[0].is_floating_point():
                with pytest.raises(RuntimeError, match="leaf"):
                    op.fn(args[0].clone().requires_grad_(), *args[1:], **kwargs)
            if op.functional.name != "filled":  # one number may go to one place twice
                with pytest.raises(RuntimeError, match="single memory location"):
                    op.fn(args[0][:1].clone().expand(args[0].shape), *args[1:], **kwargs)
            break


def test_results_of_a_higher_category_do_not_fit():
    x = specjit.ones(2, dtype=int64)
    with pytest.raises(RuntimeError, match="result type Float can't be cast to the desired output type Long"):
        x.add_(1.5)
    with pytest.raises(RuntimeError, match="result type Float can't be cast to the desired output type Long"):
        x.exp_()
    with pytest.raises(RuntimeError, match="doesn't match the broadcast shape"):
        x.add_(specjit.ones(2, 2, dtype=int64))


def test_writes_that_run_straight_through():
    """The call of a ufunc with out=: what overlaps, broadcasts, warns or does not fit."""
    start = np.arange(9, dtype=np.float32).reshape(3, 3)
    x = specjit.tensor(start)
    view, version, epoch = x[0], x._version, state.write_epoch
    assert x.add_(x.t()) is x
    np.testing.assert_array_equal(x.numpy(), start + start.T)
    assert view._version is x._version is version
    assert version[0] == 1
    assert state.write_epoch > epoch
    x.mul_(specjit.tensor([1.0, 2.0, 0.0])).sub_(1).t().div_(specjit.tensor(2.0))
    np.testing.assert_array_equal(x.numpy(), ((start + start.T) * [1, 2, 0] - 1) / 2)
    with np.errstate(all="raise"):
        assert specjit.zeros(2).log_().tolist() == [-np.inf, -np.inf]
        assert specjit.ones(2).div_(specjit.zeros(2)).tolist() == [np.inf, np.inf]
        assert specjit.ones(2).div_(0.0).tolist() == [np.inf, np.inf]
    with pytest.raises(RuntimeError, match="broadcast shape"):
        specjit.ones(3).add_(specjit.ones(2, 3))
    with pytest.raises(RuntimeError, match="single memory location"):
        specjit.ones(1).expand(3).add_(specjit.ones(3))


def test_an_interrupted_write_counts_as_written(monkeypatch):
    """Ctrl-C may come after NumPy wrote: whoever kept something of the old content must know."""
    x, before = specjit.ones(4, dtype=specjit.float16), state.write_epoch
    assert x._version == [0]

    def interrupted(*_args):
        raise KeyboardInterrupt

    monkeypatch.setitem(specjit.Tensor.add_.__globals__, "_quiet_eager", interrupted)
    with pytest.raises(KeyboardInterrupt):
        x.add_(x)
    assert x._version == [1]
    assert state.write_epoch > before
