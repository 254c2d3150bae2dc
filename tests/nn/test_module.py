"""Module: registration, traversal, state dicts, hooks, modes, conversion, the mutation epoch."""

from __future__ import annotations

import copy
import pickle

import pytest

import specjit
from specjit import nn
from specjit.tensor import state


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(3, 4)
        self.rest = nn.Sequential(nn.Tanh(), nn.Linear(4, 2))
        self.scale = nn.Parameter(specjit.ones(1))
        self.register_buffer("seen", specjit.zeros(1))
        self.register_buffer("cache", specjit.zeros(1), persistent=False)
        self.label = "net"

    def forward(self, x):
        return self.rest(self.first(x)) * self.scale


NAMES = ["scale", "first.weight", "first.bias", "rest.1.weight", "rest.1.bias"]


def test_registration_and_traversal():
    net = Net()
    assert [n for n, _ in net.named_parameters()] == NAMES
    assert [n for n, _ in net.named_buffers()] == ["seen", "cache"]
    assert [n for n, _ in net.named_modules()] == ["", "first", "rest", "rest.0", "rest.1"]
    assert [n for n, _ in net.named_children()] == ["first", "rest"]
    assert list(net.state_dict()) == ["scale", "seen", "first.weight", "first.bias", "rest.1.weight", "rest.1.bias"]
    assert net.get_submodule("rest.1") is net.rest[1]
    assert "first" in dir(net)
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        net.nothing
    net.tied = net.first
    assert len(list(net.parameters())) == len(NAMES)


def test_assignment_rules():
    net = Net()
    with pytest.raises(TypeError, match="cannot assign 'Tensor' as parameter 'scale'"):
        net.scale = specjit.ones(1)
    with pytest.raises(TypeError, match="child module"):
        net.first = 3
    with pytest.raises(TypeError, match="buffer"):
        net.seen = 3
    net.scale = None
    assert "scale" not in dict(net.named_parameters())
    net.first = nn.Identity()
    del net.rest
    assert [n for n, _ in net.named_children()] == ["first"]
    net.label = nn.Parameter(specjit.ones(2))
    assert "label" in net._parameters
    assert "label" not in net.__dict__
    with pytest.raises(KeyError, match="already exists"):
        net.register_parameter("forward", None)
    with pytest.raises(KeyError, match="be empty or contain"):
        net.add_module("a.b", nn.Identity())

    class Early(nn.Module):
        def __init__(self):
            self.p = nn.Parameter(specjit.ones(1))

    with pytest.raises(AttributeError, match="before Module"):
        Early()


def test_load_state_dict():
    a, b = Net(), Net()
    result = a.load_state_dict(b.state_dict())
    assert not result.missing_keys
    assert a.first.weight.tolist() == b.first.weight.tolist()
    kept = a.first.weight
    saved = b.state_dict()
    saved["extra"] = saved.pop("scale")
    with pytest.raises(RuntimeError, match=r'Missing key\(s\) in state_dict: "scale"') as error:
        a.load_state_dict(saved)
    assert 'Unexpected key(s) in state_dict: "extra"' in str(error.value)
    result = a.load_state_dict(saved, strict=False)
    assert (result.missing_keys, result.unexpected_keys) == (["scale"], ["extra"])
    bad = b.state_dict()
    bad["first.weight"] = specjit.ones(2, 2)
    with pytest.raises(
        RuntimeError, match=r"size mismatch for first.weight: copying a param with shape specjit.Size\(\[2, 2\]\)"
    ):
        a.load_state_dict(bad)
    assert a.first.weight is kept
    assert kept.requires_grad


def test_state_dict_shares_memory_and_version():
    net = Net()
    saved = net.state_dict()
    with specjit.no_grad():
        net.scale.fill_(7)
    assert saved["scale"].item() == 7
    assert not saved["scale"].requires_grad


def test_hooks():
    net = nn.Linear(2, 2)
    seen = []
    pre = net.register_forward_pre_hook(lambda m, args: (args[0] * 0,))
    post = net.register_forward_hook(lambda m, args, out: seen.append(out) or out + 1)
    assert net(specjit.ones(1, 2)).tolist() == (net.bias.reshape(1, 2) + 1).tolist()
    pre.remove()
    with post:
        pass
    assert not net._forward_hooks
    assert len(seen) == 1


def test_modes_and_conversion():
    net = Net()
    assert not net.eval().training
    assert not net.rest[1].training
    assert net.train() is net
    weight = net.first.weight
    net.double()
    assert net.first.weight is weight
    assert weight.dtype is specjit.float64
    assert net.seen.dtype is specjit.float64
    net.to(specjit.float32)
    assert weight.dtype is specjit.float32
    assert not next(net.requires_grad_(False).parameters()).requires_grad
    with pytest.raises(TypeError, match="floating point"):
        net.to(specjit.int64)
    net.apply(lambda m: setattr(m, "visited", True))
    assert net.rest[0].visited


def test_zero_grad():
    net = Net()
    net(specjit.ones(1, 3)).sum().backward()
    assert all(p.grad is not None for p in net.parameters())
    net.zero_grad(set_to_none=False)
    assert net.scale.grad.tolist() == [0]
    net.zero_grad()
    assert net.scale.grad is None


def test_every_change_moves_the_epoch():
    net = Net()
    changes = [
        lambda: setattr(net, "number", 1),
        lambda: setattr(net, "scale", nn.Parameter(specjit.ones(1))),
        lambda: setattr(net, "seen", specjit.ones(1)),
        lambda: setattr(net, "first", nn.Linear(3, 4)),
        lambda: net.register_forward_hook(lambda *a: None),
        lambda: net.rest.append(nn.Tanh()),
        lambda: net.eval(),
        lambda: delattr(net, "number"),
        lambda: net._buffers.pop("cache"),
        lambda: net.double(),
        lambda: net.__setstate__({}),
    ]
    for change in changes:
        epoch = state.module_epoch
        change()
        assert state.module_epoch != epoch
    epoch = state.module_epoch
    net(specjit.ones(1, 3, dtype=specjit.float64))
    assert state.module_epoch == epoch


def test_copies():
    net = Net()
    for twin in (copy.deepcopy(net), pickle.loads(pickle.dumps(net))):
        assert [n for n, _ in twin.named_parameters()] == NAMES
        x = specjit.ones(2, 3)
        assert twin(x).tolist() == net(x).tolist()
        assert twin.scale is not net.scale
        epoch = state.module_epoch
        twin._parameters["scale"] = None
        assert state.module_epoch != epoch


def test_repr():
    assert repr(nn.Linear(2, 3)) == "Linear(in_features=2, out_features=3, bias=True)"
    text = repr(Net())
    assert text.startswith("Net(\n  (first): Linear(")
    assert "    (1): Linear(in_features=4" in text


def test_containers():
    items = nn.ModuleList([nn.Tanh(), nn.ReLU()])
    items.append(nn.Sigmoid())
    items.insert(1, nn.Identity())
    assert [type(m).__name__ for m in items] == ["Tanh", "Identity", "ReLU", "Sigmoid"]
    assert isinstance(items[-1], nn.Sigmoid)
    assert len(items[1:3]) == 2
    items[0] = nn.GELU()
    del items[1]
    assert [n for n, _ in items.named_children()] == ["0", "1", "2"]
    with pytest.raises(IndexError, match="out of range"):
        items[5]
    named = nn.ModuleDict({"a": nn.Tanh()})
    named["b"] = nn.ReLU()
    assert list(named) == ["a", "b"]
    assert "a" in named
    assert isinstance(named.pop("a"), nn.Tanh)
    assert len(named) == 1
    ordered = nn.Sequential({"x": nn.Linear(2, 3), "y": nn.ReLU()})
    assert ordered.x.out_features == 3
    assert ordered(specjit.ones(1, 2)).shape == (1, 3)
    assert list(ordered[:1].state_dict()) == ["x.weight", "x.bias"]


def test_a_module_without_forward():
    with pytest.raises(NotImplementedError, match="forward"):
        nn.Module()(1)


def test_a_state_dict_is_a_mapping():
    with pytest.raises(TypeError, match="dict-like, got <class 'list'>"):
        nn.Linear(2, 2).load_state_dict([("weight", None)])


def test_an_index_without_a_row_is_named():
    with pytest.raises(IndexError, match=r"index out of range in self: 5 is not in 0\.\.2"):
        nn.Embedding(3, 2)(specjit.tensor([[1, 5], [0, 7]]))
