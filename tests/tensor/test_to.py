"""`Tensor.to`: every way to say a dtype and a device, and that nothing is copied where nothing changes."""

from __future__ import annotations

import pytest

import specjit


def test_same_tensor_when_nothing_changes():
    t = specjit.zeros(2)
    for same in (
        t.to("cpu"),
        t.to(specjit.device("cpu")),
        t.to(specjit.float32),
        t.to("cpu", specjit.float32),
        t.cpu(),
    ):
        assert same is t
    assert t.to("cpu", copy=True) is not t


def test_dtype_and_device():
    t = specjit.tensor([1.5, -2.0])
    assert t.to(specjit.int32).tolist() == [1, -2]
    assert t.to("cpu", specjit.float64, True).dtype is specjit.float64
    assert t.to(device="cpu", dtype=specjit.float64).dtype is specjit.float64
    assert t.to(specjit.zeros(1, dtype=specjit.int64)).dtype is specjit.int64
    assert t.to(int).dtype is specjit.int64
    meta = t.to("meta", specjit.float64)
    assert (meta.device.type, meta.dtype, meta.shape) == ("meta", specjit.float64, (2,))


def test_wrong_device():
    with pytest.raises(RuntimeError, match="device"):
        specjit.zeros(2).to("moon")
    with pytest.raises(TypeError, match="device must be"):
        specjit.zeros(2).to(3)
    with pytest.raises(NotImplementedError, match="no data"):
        specjit.zeros(2).to("meta").to("cpu")
