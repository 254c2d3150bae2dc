"""Views by geometry against NumPy's own."""

from __future__ import annotations

import numpy as np
import pytest

from specjit.ir.dims import symbol
from specjit.ir.viewref import ViewRef, infer_sizes

T, B = symbol("T"), symbol("B")
BASE = np.arange(120)


def ref_of(view: np.ndarray) -> ViewRef:
    offset = (view.__array_interface__["data"][0] - BASE.__array_interface__["data"][0]) // 8
    return ViewRef(view.shape, tuple(s // 8 for s in view.strides), offset)


def array_of(ref: ViewRef) -> np.ndarray:
    return np.lib.stride_tricks.as_strided(BASE[ref.offset :], ref.sizes, [8 * s for s in ref.strides])


X = BASE.reshape(2, 3, 4, 5)
STEPS = [
    (lambda r: r.permute([2, 0, 3, 1]), lambda x: x.transpose(2, 0, 3, 1)),
    (lambda r: r.transpose(-1, 0), lambda x: x.swapaxes(-1, 0)),
    (lambda r: r.narrow(2, 1, 2), lambda x: x[:, :, 1:3]),
    (lambda r: r.narrow(-1, 0, 3, 2), lambda x: x[..., 0:5:2]),
    (lambda r: r.select(1, 2), lambda x: x[:, 2]),
    (lambda r: r.select(1, -1), lambda x: x[:, -1]),
    (lambda r: r.flip(1).flip(-1), lambda x: x[:, ::-1, :, ::-1]),
    (lambda r: r.flip(2).narrow(2, 1, 2), lambda x: x[:, :, ::-1][:, :, 1:3]),
    (lambda r: r.unsqueeze(0), lambda x: x[None]),
    (lambda r: r.unsqueeze(-1), lambda x: x[..., None]),
    (lambda r: r.narrow(0, 1, 1).squeeze(), lambda x: x[1]),
    (lambda r: r.narrow(0, 1, 1).squeeze([0, 1]), lambda x: x[1]),
    (lambda r: r.narrow(0, 0, 1).expand([4, 3, 4, 5]), lambda x: np.broadcast_to(x[:1], (4, 3, 4, 5))),
    (lambda r: r.expand([7, -1, 3, 4, 5]), lambda x: np.broadcast_to(x, (7, 2, 3, 4, 5))),
]


@pytest.mark.parametrize(("step", "numpy_step"), STEPS)
def test_one_step(step, numpy_step):
    np.testing.assert_array_equal(array_of(step(ref_of(X))), numpy_step(X))


@pytest.mark.parametrize("layout", ["plain", "transposed", "sliced", "inner"])
def test_reshape_is_a_view_exactly_where_numpy_makes_one(layout):
    x = {"plain": X, "transposed": X.transpose(1, 0, 2, 3), "sliced": X[:, 1:], "inner": X[..., 1:4]}[layout]
    shapes = [
        (x.size,),
        (2, -1),
        (x.shape[0], -1),
        (*x.shape[:2], -1),
        (*x.shape[:2], 2, -1, x.shape[3]),
        (x.shape[0] * x.shape[1], *x.shape[2:]),
        (1, *x.shape, 1),
    ]
    for shape in shapes:
        try:
            want = x.reshape(shape)
        except ValueError:
            continue
        got = ref_of(x).reshape(shape)
        assert (got is not None) == np.shares_memory(want, x), shape
        if got is not None:
            np.testing.assert_array_equal(array_of(got), want)


def test_symbols():
    x = ViewRef.contiguous((T, B, 8))
    assert x.strides == (B * 8, 8, 1)
    assert x.reshape((T * B, 8)).sizes == (T * B, 8)
    assert x.reshape((-1, 8)).sizes == (T * B, 8)
    assert x.select(0, symbol("i")).offset == symbol("i") * B * 8
    assert x.select(0, -1).offset == T * B * 8 - B * 8
    assert x.narrow(2, 2, 4).reshape((T * B, 4)).strides == (8, 1)
    assert x.narrow(2, 2, 4).reshape((T, B * 4)) is None
    assert x.permute([1, 0, 2]).reshape((T * B, 8)) is None
    assert x.permute([1, 0, 2]).reshape((B, T, 2, 4)).strides == (8, B * 8, 4, 1)
    assert x.is_contiguous
    assert not x.transpose(0, 1).is_contiguous
    assert x.expand([T, B, 8]) == x
    assert ViewRef.contiguous((T, None)).strides == (None, 1)
    assert ViewRef.contiguous((T, None)).reshape((None,)) is None
    assert ViewRef.contiguous((2, 1)).expand((2, T)).strides == (1, 0)


def test_empty_and_scalar_views():
    assert ViewRef.contiguous((0, 3)).reshape((3, 0)).sizes == (3, 0)
    assert ViewRef.contiguous(()).reshape((1, 1)).strides == (1, 1)
    assert ViewRef.contiguous((1, 1)).reshape(()).sizes == ()
    assert ViewRef.contiguous(()).unsqueeze(0).sizes == (1,)


def test_errors():
    with pytest.raises(IndexError, match="out of range"):
        ViewRef.contiguous((2,)).select(1, 0)
    with pytest.raises(RuntimeError, match="expand"):
        ViewRef.contiguous((2, 2)).expand((2,))


def test_infer_sizes():
    assert infer_sizes((-1, 4), 12) == (3, 4)
    assert infer_sizes((-1, T), T * 6) == (6, T)
    assert infer_sizes((-1, T), None) == (None, T)
