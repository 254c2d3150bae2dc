"""What families share: axes and their errors, shapes of reductions, refused dtypes, float16, type rules."""

from __future__ import annotations

import numpy as np
import pytest

from specjit.dtypes import ALL, TITLES, bool_, float16, float32, float64, int64
from specjit.ir.types import Type
from specjit.ops.records import infer
from specjit.ops.records.eager import all_axes, along, half_as_float, needs_float, picked
from specjit.ops.records.refuse import INTEGRAL, Refuse


def test_all_axes():
    x = np.zeros((2, 3, 4))
    assert all_axes(x, None) == all_axes(x, ()) == (0, 1, 2)
    assert all_axes(x, -1) == (2,)
    assert all_axes(x, [0, -2]) == (0, 1)
    assert all_axes(np.zeros(()), 0) == all_axes(np.zeros(()), -1) == ()
    with pytest.raises(IndexError, match=r"expected to be in range of \[-3, 2\], but got 3"):
        all_axes(x, 3)
    with pytest.raises(RuntimeError, match="dim 1 appears multiple times"):
        all_axes(x, (1, -2))


def test_along_and_picked_take_0d_as_one_element():
    running = along(lambda x, axis: np.add.accumulate(x, axis))
    assert running(np.array(3.0), -1).shape == ()
    np.testing.assert_array_equal(running(np.ones((2, 3)), 1), [[1, 2, 3]] * 2)
    with pytest.raises(IndexError, match="out of range"):
        running(np.ones(2), 1)
    both = picked(lambda x, axis: (x.max(axis, keepdims=True), x.argmax(axis, keepdims=True)))
    assert [a.shape for a in both(np.ones((2, 3)), -1, True)] == [(2, 1), (2, 1)]
    assert [a.shape for a in both(np.ones((2, 3)), 0, False)] == [(3,), (3,)]
    assert [a.shape for a in both(np.array(1.0), 0, True)] == [(), ()]


def test_half_is_computed_in_float32_and_rounded_once():
    seen = []

    def square_root_of_sum(x, y):
        seen.append(x.dtype)
        return np.sqrt(x * x + y * y)

    fn = half_as_float(square_root_of_sum)
    x = np.array([300.0], np.float16)  # its square is no float16
    assert fn(x, x).dtype == np.float16
    assert fn(x, x)[0] == np.float16(300 * np.sqrt(2))
    assert fn(x.astype(np.float64), x.astype(np.float64)).dtype == np.float64
    assert seen == [np.float32, np.float32, np.float64]
    kept, index = half_as_float(lambda x: (x, np.argmax(x)))(x)
    assert kept.dtype == np.float16
    assert index.dtype == np.int64


def test_refused_dtypes():
    refuse = Refuse("lgamma_cpu", "Bool", *INTEGRAL)
    eager = refuse.eager(np.sqrt)
    rule = refuse.infer(infer.same)
    for d in ALL:
        t = Type.tensor(d, (2,))
        if d.category == 2:
            assert rule(t).dtype is d
            assert eager(np.ones(2, d.numpy)).dtype == d.numpy
            continue
        for call in (lambda: rule(t), lambda: eager(np.ones(2, d.numpy))):
            with pytest.raises(NotImplementedError, match=f"\"lgamma_cpu\" not implemented for '{TITLES[d.name]}'"):
                call()
    assert rule(Type.tensor(None)).dtype is None
    said = Refuse("", "Bool", message="Boolean inputs not supported for relu")
    with pytest.raises(RuntimeError, match="Boolean inputs"):
        said.infer(infer.same)(Type.tensor(bool_))
    common = Refuse("fmod_cpu", "Bool", operands=2).infer(infer.pointwise)
    assert common(Type.tensor(bool_, (2,)), Type.tensor(int64, (2,))).dtype is int64
    with pytest.raises(NotImplementedError):
        common(Type.tensor(bool_, (2,)), True)


def test_needs_float():
    for dtype in (float32, np.dtype(np.float16), None):
        needs_float("mean", dtype)
    with pytest.raises(RuntimeError, match=r"mean\(\): could not infer output dtype.* Got: Long"):
        needs_float("mean", int64)


def test_type_rules():
    x = Type.tensor(float16, (2, None, 4))
    assert infer.along()(x, 1).dims == (2, None, 4)
    with pytest.raises(IndexError):
        infer.along()(x, 3)
    values, indices = infer.with_indices(infer.reduction(lambda d: d))(x, -1)
    assert (values.dtype, values.dims, indices.dtype, indices.dims) == (float16, (2, None), int64, (2, None))
    assert infer.promoted(x, None, Type.tensor(float64, (4,)), 2).dtype is float64
    infer.check_write(bool_, (2, 3, 4), x)
    with pytest.raises(RuntimeError, match="result type Half can't be cast to the desired output type Long"):
        infer.check_write(float16, (2,), Type.tensor(int64, (2,)))
    with pytest.raises(RuntimeError, match=r"output with shape \[2\] doesn't match the broadcast shape \[3, 2\]"):
        infer.check_write(float16, (3, 2), Type.tensor(float32, (2,)))
