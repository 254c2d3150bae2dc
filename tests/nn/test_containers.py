"""Containers of modules and of parameters."""

from __future__ import annotations

import copy
import pickle

import pytest

import specjit
from specjit import nn


def kinds(modules):
    return [type(m).__name__ for m in modules]


def test_module_list():
    items = nn.ModuleList([nn.Tanh(), nn.ReLU()])
    items.append(nn.Sigmoid()).insert(1, nn.Identity())
    assert kinds(items) == ["Tanh", "Identity", "ReLU", "Sigmoid"]
    assert isinstance(items[-1], nn.Sigmoid)
    assert kinds(items[1:3]) == ["Identity", "ReLU"]
    items[0] = nn.GELU()
    del items[1]
    assert [n for n, _ in items.named_children()] == ["0", "1", "2"]
    assert kinds(items.extend([nn.Tanh()])) == ["GELU", "ReLU", "Sigmoid", "Tanh"]
    assert isinstance(items.pop(1), nn.ReLU)
    del items[1:]
    assert kinds(items) == ["GELU"]
    items += [nn.Tanh()]
    assert kinds(items + [nn.ReLU()]) == ["GELU", "Tanh", "ReLU"]
    assert len(items) == 2
    with pytest.raises(IndexError, match="index 5 is out of range"):
        items[5]
    with pytest.raises(TypeError, match="iterable, but got int"):
        items.extend(3)
    with pytest.raises(TypeError, match="int is not a Module subclass"):
        nn.ModuleList([3])
    with pytest.raises(NotImplementedError, match="forward"):
        items(1)


def test_sequential():
    named = nn.Sequential({"x": nn.Linear(2, 3), "y": nn.ReLU()})
    assert named.x.out_features == 3
    assert named(specjit.ones(1, 2)).shape == (1, 3)
    assert list(named[:1].state_dict()) == ["x.weight", "x.bias"]
    a, b = nn.Sequential(nn.Tanh(), nn.ReLU()), nn.Sequential(nn.Sigmoid())
    assert kinds(a + b) == ["Tanh", "ReLU", "Sigmoid"]
    assert kinds(b * 2) == kinds(2 * b) == ["Sigmoid", "Sigmoid"]
    kept = a
    a += b
    a *= 2
    assert a is kept
    assert kinds(a) == ["Tanh", "ReLU", "Sigmoid"] * 2
    assert isinstance(a.pop(-1), nn.Sigmoid)
    assert kinds(b.insert(0, nn.GELU())) == ["GELU", "Sigmoid"]
    assert a[0](specjit.zeros(1)).item() == 0
    for call, kind, text in (
        (lambda: a + 3, ValueError, "only objects of Sequential"),
        (lambda: a * 0, ValueError, "Non-positive"),
        (lambda: a * 1.5, TypeError, "unsupported operand"),
        (lambda: b.insert(9, nn.Tanh()), IndexError, "out of range: 9"),
        (lambda: nn.Sequential(3), TypeError, "int is not a Module"),
    ):
        with pytest.raises(kind, match=text):
            call()


def test_module_dict():
    named = nn.ModuleDict({"a": nn.Tanh()})
    named["b"] = nn.ReLU()
    assert list(named) == list(named.keys()) == ["a", "b"]
    assert "a" in named
    assert isinstance(named.pop("a"), nn.Tanh)
    assert kinds(named.values()) == ["ReLU"]
    named.update([("c", nn.Tanh()), ("b", nn.GELU())])
    assert [(k, type(m).__name__) for k, m in named.items()] == [("b", "GELU"), ("c", "Tanh")]
    del named["b"]
    named.clear()
    assert len(named) == 0
    for call, kind, text in (
        (lambda: named["a"], KeyError, "a"),
        (lambda: named.update(3), TypeError, "key/value pairs, but got int"),
        (lambda: named.update([("a",)]), ValueError, "element #0 has length 1; 2 is required"),
        (lambda: named.update([3]), TypeError, "element #0 should be Iterable; is int"),
    ):
        with pytest.raises(kind, match=text):
            call()


def test_repr():
    items = nn.ModuleList([nn.Linear(2, 3), nn.Linear(2, 3), nn.ReLU(), nn.Sequential(nn.Tanh())])
    assert repr(items) == (
        "ModuleList(\n  (0-1): 2 x Linear(in_features=2, out_features=3, bias=True)\n  (2): ReLU()\n"
        "  (3): Sequential(\n    (0): Tanh()\n  )\n)"
    )
    assert repr(nn.ModuleList()) == "ModuleList()"
    assert repr(nn.ModuleDict({"a": nn.Tanh()})) == "ModuleDict(\n  (a): Tanh()\n)"
    assert repr(nn.ParameterList([specjit.ones(2, 3), 3])) == (
        "ParameterList(\n    (0): Parameter containing: [specjit.float32 of size 2x3]\n    (1): Object of type: int\n)"
    )
    assert repr(nn.ParameterDict()) == "ParameterDict()"


def test_parameter_list():
    one = nn.Parameter(specjit.ones(2))
    items = nn.ParameterList([one, specjit.zeros(3)])
    assert items[0] is one
    assert isinstance(items[1], nn.Parameter)
    assert [n for n, _ in items.named_parameters()] == ["0", "1"]
    items.append("text").extend([one])
    items += [specjit.ones(1)]
    assert [len(v) for v in items] == [2, 3, 4, 2, 1]
    assert len(items) == 5
    assert len(items[1:3]) == 2
    items[-1] = specjit.ones(7)
    assert items[4].shape == (7,)
    with pytest.raises(IndexError, match="out of range"):
        items[5]
    with pytest.raises(TypeError, match="iterable, but got Tensor"):
        nn.ParameterList(specjit.ones(2))
    for twin in (copy.deepcopy(items), pickle.loads(pickle.dumps(items))):
        assert [len(v) for v in twin] == [2, 3, 4, 2, 7]
        assert twin[0] is not one
        assert twin[0] is twin[3]


def test_parameter_dict():
    one = nn.Parameter(specjit.ones(2))
    held = nn.ParameterDict({"a": one, "b": specjit.zeros(3)})
    assert held["a"] is one
    assert list(held.state_dict()) == ["a", "b"]
    assert list(reversed(held)) == ["b", "a"]
    assert held.get("c") is None
    assert held.setdefault("c", specjit.ones(1)).requires_grad
    assert held.popitem()[0] == "c"
    assert list(held | {"d": one}) == ["a", "b", "d"]
    assert list({"d": one} | held) == ["d", "a", "b"]
    twin = held.copy()
    twin |= {"e": 3}
    assert ("e" in twin, "e" in held) == (True, False)
    assert dict(twin.items())["e"] == 3
    assert list(held.fromkeys(["x"], 1).values()) == [1]
    assert held.pop("a") is one
    held.clear()
    assert len(held) == 0
    with pytest.raises(KeyError, match="empty"):
        held.popitem()
    with pytest.raises(TypeError, match="not a string"):
        held[1] = one
