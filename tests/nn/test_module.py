"""Module: registration, traversal, modes, conversion, the mutation epoch."""

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
    with pytest.raises(KeyError, match="t contain"):
        net.add_module("a.b", nn.Identity())

    class Early(nn.Module):
        def __init__(self):
            self.p = nn.Parameter(specjit.ones(1))

    with pytest.raises(AttributeError, match="before Module"):
        Early()


def test_members_by_path():
    net = Net()
    assert net.get_submodule("") is net
    assert net.get_parameter("rest.1.weight") is net.rest[1].weight
    assert net.get_buffer("seen") is net.seen
    net.set_submodule("rest.0", nn.ReLU())
    assert isinstance(net.rest[0], nn.ReLU)
    with pytest.raises(ValueError, match="target name"):
        net.set_submodule("", nn.ReLU())
    for call, text in (
        (lambda: net.get_submodule("rest.7"), "Sequential has no attribute `7`"),
        (lambda: net.get_submodule("first.weight"), "`weight` is not an nn.Module"),
        (lambda: net.get_parameter("label"), "`label` is not an nn.Parameter"),
        (lambda: net.get_buffer("scale"), "`scale` is not a buffer"),
        (lambda: net.get_buffer("nothing"), "Net has no attribute `nothing`"),
        (lambda: net.set_submodule("other", nn.ReLU(), strict=True), "Net has no attribute `other`"),
    ):
        with pytest.raises(AttributeError, match=text):
            call()
    assert "0" not in dir(net.rest)
    net.register_module("more", None)
    assert net.more is None
    with pytest.raises(KeyError, match="t be empty"):
        net.register_buffer("", None)
    with pytest.raises(TypeError, match="module name should be a string"):
        net.add_module(3, None)
    with pytest.raises(TypeError, match="int is not a Module subclass"):
        net.add_module("x", 3)


def test_members_that_occur_twice():
    net = Net()
    net.tied = net.first
    net.same = net.scale
    twice = [n for n, _ in net.named_parameters(remove_duplicate=False)]
    assert twice == ["scale", "same", "first.weight", "first.bias", *NAMES[3:], "tied.weight", "tied.bias"]
    assert [n for n, _ in net.named_parameters(recurse=False)] == ["scale"]
    assert [n for n, _ in net.named_parameters("net")][:2] == ["net.scale", "net.first.weight"]
    assert [n for n, _ in net.named_modules(remove_duplicate=False)][-1] == "tied"
    assert len(list(net.modules())) == 5
    assert [n for n, _ in net.named_buffers(prefix="b", recurse=False)] == ["b.seen", "b.cache"]


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
    net.count = specjit.tensor(1)
    net.register_buffer("number", specjit.tensor(1))
    assert net.half().number.dtype is specjit.int64
    assert net.to(specjit.ones(1, dtype=specjit.float64)).scale.dtype is specjit.float64
    assert net.to("cpu", specjit.float32, non_blocking=True).scale.dtype is specjit.float32
    assert net.to(dtype=specjit.float64).cpu().scale.dtype is specjit.float64
    assert net.type(specjit.float16).number.dtype is specjit.float16
    assert net.to_empty(device="meta").first.weight.is_meta
    with pytest.raises(ValueError, match="boolean"):
        net.train("yes")
    net.apply(lambda m: setattr(m, "visited", True))
    assert net.rest[0].visited


def test_zero_grad():
    net = Net()
    net(specjit.ones(1, 3)).sum().backward()
    assert all(p.grad is not None for p in net.parameters())
    kept = net.scale.grad
    net.zero_grad(set_to_none=False)
    assert kept.tolist() == [0]
    assert net.scale.grad is kept
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
        lambda: net.register_forward_hook(lambda *a: None, prepend=True),
        lambda: net.register_full_backward_hook(lambda *a: None),
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


def test_a_module_without_forward():
    with pytest.raises(NotImplementedError, match="forward"):
        nn.Module()(1)


def test_a_state_dict_is_a_mapping():
    with pytest.raises(TypeError, match="dict-like, got <class 'list'>"):
        nn.Linear(2, 2).load_state_dict([("weight", None)])


def test_an_index_without_a_row_is_named():
    with pytest.raises(IndexError, match=r"index out of range in self: 5 is not in 0\.\.2"):
        nn.Embedding(3, 2)(specjit.tensor([[1, 5], [0, 7]]))


def test_a_buffer_is_registered_when_it_is_assigned():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.seen = nn.Buffer(specjit.ones(2))
            self.cache = nn.Buffer(specjit.zeros(1), persistent=False)

    net = Net()
    assert list(net.state_dict()) == ["seen"]
    assert [name for name, _ in net.named_buffers()] == ["seen", "cache"]
    assert type(net.seen) is specjit.Tensor and net.seen.tolist() == [1.0, 1.0]
    net.seen = nn.Buffer(specjit.zeros(3))
    assert net.state_dict()["seen"].shape == (3,)
    net.weight = nn.Parameter(specjit.ones(1))
    net.weight = nn.Buffer(specjit.ones(1))
    assert not list(net.parameters()) and "weight" in dict(net.named_buffers())
