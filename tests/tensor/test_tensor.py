"""Tensor: attributes, conversions, copies, views and their versions, NumPy in both directions, the meta device."""

from __future__ import annotations

import copy
import gc
import pickle

import numpy as np
import pytest

import specjit
from specjit import Size, Tensor, nn
from specjit.tensor import state


def test_attributes():
    x = specjit.zeros(2, 3)
    assert x.shape == (2, 3)
    assert x.size() == Size((2, 3))
    assert (x.size(-1), x.ndim, x.dim(), x.numel(), len(x), x.stride(), x.stride(0)) == (3, 2, 2, 6, 2, (3, 1), 3)
    assert x.dtype is specjit.float32
    assert x.device == "cpu"
    assert str(x.device) == "cpu"
    assert not x.requires_grad
    assert x.is_leaf
    assert x.grad_fn is None
    assert x.grad is None
    assert x.is_contiguous()
    assert not x.t().is_contiguous()
    assert x.itemsize == 4
    assert x.nbytes == 24


def test_size_is_a_tuple_with_numel():
    s = specjit.zeros(2, 3, 4).shape
    assert isinstance(s, tuple)
    assert s.numel() == 24
    assert isinstance(s[1:], Size)
    assert s[1:] == (3, 4)
    assert repr(s) == "specjit.Size([2, 3, 4])"
    assert pickle.loads(pickle.dumps(s)) == s


@pytest.mark.parametrize(
    ("data", "dtype"),
    [
        (1.5, "float32"),
        (1, "int64"),
        (True, "bool"),
        ([1, 2.5], "float32"),
        ([], "float32"),
        (np.float64(2), "float64"),
        (np.arange(3, dtype=np.int16), "int16"),
        ([np.float64(1)], "float64"),
    ],
)
def test_dtype_of_new_tensors(data, dtype):
    assert specjit.tensor(data).dtype.name == dtype


def test_default_dtype():
    specjit.set_default_dtype(specjit.float64)
    try:
        assert specjit.tensor(1.0).dtype is specjit.float64
        assert specjit.zeros(2).dtype is specjit.float64
        assert (specjit.tensor([1]) / 2).dtype is specjit.float64
    finally:
        specjit.set_default_dtype(specjit.float32)
    with pytest.raises(TypeError, match="floating"):
        specjit.set_default_dtype(specjit.int64)


def test_tensor_copies_and_from_numpy_shares():
    array = np.ones(3, np.float32)
    copied, shared = specjit.tensor(array), specjit.from_numpy(array)
    array[0] = 5
    assert copied[0].item() == 1
    assert shared[0].item() == 5
    shared[1] = 7.0
    assert array[1] == 7
    assert shared.exported()
    with pytest.raises(ValueError, match="negative"):
        specjit.from_numpy(array[::-1])
    with pytest.raises(TypeError, match="NumPy dtype"):
        specjit.from_numpy(np.array(["a"]))
    with pytest.raises(TypeError, match="NumPy dtype"):
        specjit.from_numpy(np.zeros(2, ">f4"))


def test_numpy_shares_and_counts_as_exported_while_any_view_of_it_lives():
    x = specjit.zeros(4)
    assert not x.exported()
    epoch = state.write_epoch
    array = x.numpy()
    assert state.write_epoch != epoch
    assert x.exported()
    assert x[1:].exported()
    part = array[1:]
    del array
    gc.collect()
    assert x.exported()
    part[0] = 3
    assert x.tolist() == [0, 3, 0, 0]
    del part
    gc.collect()
    assert not x.exported()


def test_numpy_of_a_tensor_that_requires_grad():
    x = specjit.ones(2, requires_grad=True)
    with pytest.raises(RuntimeError, match="Can't call numpy"):
        x.numpy()
    with pytest.raises(RuntimeError, match="Can't call numpy"):
        np.asarray(x)
    assert x.detach().numpy().tolist() == [1, 1]
    assert np.asarray(specjit.arange(3)).tolist() == [0, 1, 2]
    assert np.array(specjit.arange(3), dtype=float).dtype == float


def test_dlpack_both_ways():
    x = specjit.arange(4)
    array = np.from_dlpack(x)
    array[0] = 9
    assert x[0].item() == 9
    back = specjit.from_dlpack(np.arange(3.0))
    assert back.tolist() == [0, 1, 2]


def test_zero_d_and_empty_arrays_stay_arrays():
    for t in (
        specjit.tensor(2.0),
        specjit.tensor(2.0) * 3,
        specjit.ones(3).sum(),
        specjit.ones(3)[0],
        specjit.zeros(0),
    ):
        assert type(t._data) is np.ndarray


def test_python_numbers():
    x = specjit.tensor([3])
    assert int(x) == 3
    assert float(x) == 3.0
    assert bool(x)
    assert [10, 11, 12, 13][specjit.tensor(2)] == 12
    assert f"{specjit.tensor(1.25):.1f}" == "1.2"
    with pytest.raises(RuntimeError, match="more than one value is ambiguous"):
        bool(specjit.ones(2))
    with pytest.raises(RuntimeError, match="no values is ambiguous"):
        bool(specjit.ones(0))
    with pytest.raises(RuntimeError, match="2 elements cannot be converted"):
        float(specjit.ones(2))
    with pytest.raises(TypeError, match="integer tensors"):
        range(specjit.tensor(1.5))


def test_iteration():
    rows = list(specjit.arange(4).reshape(2, 2))
    assert [r.tolist() for r in rows] == [[0, 1], [2, 3]]
    with pytest.raises(TypeError, match="0-d"):
        iter(specjit.tensor(1))
    with pytest.raises(TypeError, match="0-d"):
        len(specjit.tensor(1))
    assert 3 in specjit.arange(4)
    assert 7 not in specjit.arange(4)


def test_views_share_storage_and_version():
    x = specjit.zeros(2, 3)
    for v in (
        x[0],
        x.t(),
        x.reshape(6),
        x.view(3, 2),
        x[:, 1:],
        x.unsqueeze(0),
        x.expand(4, 2, 3),
        x.detach(),
        x.chunk(2)[1],
    ):
        before = x._version[0]
        assert v._version is x._version
        v.zero_()
        assert x._version[0] == before + 1
    assert x.contiguous() is x
    assert x.to(specjit.float32) is x
    assert x.data._version is not x._version
    assert x.clone()._version is not x._version
    assert x.t().reshape(6)._version is not x._version


def test_view_metadata():
    x = specjit.arange(12).reshape(3, 4)
    v = x[1:, ::2]
    assert v.stride() == (4, 2)
    assert v.storage_offset() == 4
    assert v._base is x._base


def test_writes_move_the_epoch():
    x = specjit.zeros(3)
    for write in (lambda: x.add_(1), lambda: x.__setitem__(0, 2.0), lambda: x[1:].mul_(2)):
        epoch = state.write_epoch
        write()
        assert state.write_epoch != epoch


@pytest.mark.parametrize("dtype", [specjit.float32, specjit.int64, specjit.bool])
def test_pickle_and_deepcopy(dtype):
    x = specjit.ones(2, 3, dtype=dtype)
    for y in (pickle.loads(pickle.dumps(x)), copy.deepcopy(x)):
        assert y.dtype is dtype
        assert y.tolist() == x.tolist()
        assert not np.shares_memory(x._data, y._data)


def test_deepcopy_keeps_what_is_shared():
    x = specjit.arange(12.0).reshape(4, 3)
    part, turned = x[1:, ::2], x.t()
    y, part2, turned2 = copy.deepcopy((x, part, turned))
    assert (part2.stride(), turned2.stride()) == (part.stride(), turned.stride())
    part2.zero_()
    assert x.tolist() == np.arange(12.0).reshape(4, 3).tolist()
    assert y.tolist() == turned2.t().tolist() == [[0, 1, 2], [0, 4, 0], [0, 7, 0], [0, 10, 0]]
    assert y._version is part2._version
    assert y._version is not x._version
    assert copy.deepcopy(specjit.ones(3).expand(2, 3)).tolist() == [[1, 1, 1], [1, 1, 1]]
    assert copy.deepcopy(specjit.zeros(0, 3)).shape == (0, 3)


def test_pickle_and_deepcopy_of_parameters():
    p = nn.Parameter(specjit.ones(2))
    p.grad = specjit.ones(2) * 3
    q = copy.deepcopy(p)
    assert isinstance(q, nn.Parameter)
    assert q.requires_grad
    assert q.grad.tolist() == [3, 3]
    r = pickle.loads(pickle.dumps(p))
    assert isinstance(r, nn.Parameter)
    assert r.requires_grad
    with pytest.raises(RuntimeError, match="graph leaves"):
        copy.deepcopy(p * 2)
    twice = copy.deepcopy([p, p])
    assert twice[0] is twice[1]
    assert copy.deepcopy(specjit.tensor(2.0)).shape == ()


def test_requires_grad_only_for_floats():
    with pytest.raises(RuntimeError, match="floating point"):
        specjit.tensor([1], requires_grad=True)
    x = specjit.ones(2, requires_grad=True)
    assert x._requires_grad is True
    with pytest.raises(RuntimeError, match="leaf variables"):
        (x * 2).requires_grad = False
    assert not x.requires_grad_(False).requires_grad


def test_meta_tensors_have_no_data():
    x = specjit.empty(2, 3, device="meta")
    assert x.is_meta
    assert x.device == "meta"
    y = (x @ x.t()).tanh().sum(0, keepdim=True)
    assert y.shape == (1, 2)
    assert y.dtype is specjit.float32
    assert (x + 1.0).is_meta
    assert (x * specjit.tensor(2.0)).is_meta
    assert [p.shape for p in x.split([1, 2], 1)] == [(2, 1), (2, 2)]
    x.add_(1)
    assert "device='meta'" in repr(x)
    with pytest.raises(RuntimeError, match="meta"):
        x.item()
    with pytest.raises(RuntimeError, match="no data"):
        x.numpy()
    with pytest.raises(RuntimeError, match="same device"):
        x + specjit.ones(3)
    with pytest.raises(RuntimeError, match="cannot be multiplied"):
        x @ x
    with pytest.raises(NotImplementedError, match="no data"):
        x.to("cpu")
    with pytest.raises(RuntimeError, match="device type"):
        specjit.zeros(1, device="cuda")
    linear = nn.Linear(3, 4, device="meta")
    assert linear(x).shape == (2, 4)
    assert linear(x).requires_grad


def test_subclasses_and_slots():
    p = nn.Parameter(specjit.ones(2))
    for name in ("_data", "_requires_grad"):
        assert getattr(Tensor, name).__get__(p) is getattr(p, name)
    assert type(p * 2) is Tensor
    p.note = "kept"
    assert copy.deepcopy(p).note == "kept"


def test_to():
    x = specjit.ones(2)
    assert x.to(specjit.float64).dtype is specjit.float64
    assert x.to("cpu", specjit.int32).dtype is specjit.int32
    assert x.to(specjit.zeros(1, dtype=specjit.float16)).dtype is specjit.float16
    assert x.to(specjit.float32, copy=True) is not x
    assert x.to(dtype=float).dtype is specjit.float64
    assert x.double().float().long().int().bool().half().dtype is specjit.float16
    assert x.type_as(specjit.arange(2)).dtype is specjit.int64


def test_constructors():
    assert Tensor([1, 2]).dtype is specjit.float32
    assert Tensor(2, 3).shape == (2, 3)
    x = specjit.ones(2, dtype=specjit.float64)
    assert x.new_zeros(3).dtype is specjit.float64
    assert x.new_full((2,), 4).tolist() == [4, 4]
    assert specjit.as_tensor(x) is x
    array = np.zeros(2)
    specjit.as_tensor(array)[0] = 1.0
    assert array[0] == 1
    assert specjit.arange(3, 9, 2).tolist() == [3, 5, 7]
    assert specjit.full((2,), True).dtype is specjit.bool
    assert specjit.zeros(size=(2,)).shape == (2,)


def test_subclasses_extend_the_constructor():
    class Named(Tensor):
        def __init__(self, data, name="none"):
            super().__init__(data)
            self.name = name

    class Doubled(Tensor):
        def __new__(cls, data):
            return super().__new__(cls, data)

        def double(self):
            return self * 2

    class Plain(Tensor):
        pass

    named = Named([1.0, 2.0], name="pair")
    assert (named.name, named.tolist(), (named + 1).tolist()) == ("pair", [1.0, 2.0], [2.0, 3.0])
    assert Doubled([1.0]).double().tolist() == [2.0]
    assert (Plain(2, 3).shape, Plain([3.0]).tolist(), Plain().shape, Tensor().shape) == ((2, 3), [3.0], (0,), (0,))
    assert all(isinstance(t, Tensor) for t in (named, Plain(1))) and not isinstance(3, Tensor)
    assert copy.deepcopy(Plain([3.0])).tolist() == [3.0]
    with pytest.raises(TypeError, match="sizes as ints"):
        Tensor(1, 2.5)


def test_a_version_is_one_for_all_who_ask():
    x = specjit.ones(3)
    detached, view = x.detach(), x[1:]
    assert x._version is detached._version is view._version
    view.add_(1)
    assert x._version[0] == 1
    y = specjit.ones(2)
    y.add_(1)  # nobody asked, so nothing is counted
    assert y._version == [0]


@pytest.mark.parametrize("dtype", [specjit.float16, specjit.float32, specjit.float64])
def test_limits_of_floats(dtype):
    found, wanted = specjit.finfo(dtype), np.finfo(dtype.numpy)
    for name in ("bits", "eps", "min", "max", "smallest_normal", "tiny"):
        assert getattr(found, name) == getattr(wanted, name)
    assert (found.resolution, found.dtype) == (10.0**-wanted.precision, dtype.name)
    assert repr(specjit.finfo()) == repr(specjit.finfo(specjit.float32))
    with pytest.raises(TypeError, match="floating point"):
        specjit.finfo(specjit.int8)


def test_limits_of_ints():
    found = specjit.iinfo(specjit.int8)
    assert (found.bits, found.min, found.max, found.dtype) == (8, -128, 127, "int8")
    assert repr(found) == "iinfo(min=-128, max=127, dtype=int8)"
    for dtype in (specjit.float32, specjit.bool):
        with pytest.raises(TypeError, match="integer"):
            specjit.iinfo(dtype)


def test_short_names_of_conversions():
    x = specjit.tensor([1.5, 200.0])
    assert [getattr(x, name)().dtype for name in ("byte", "char", "short")] == [
        specjit.uint8,
        specjit.int8,
        specjit.int16,
    ]
