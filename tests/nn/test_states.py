"""State dicts: what is saved, what loading checks, hooks, state of other kinds."""

from __future__ import annotations

from collections import OrderedDict

import pytest

import specjit
from specjit import nn


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(3, 4)
        self.scale = nn.Parameter(specjit.ones(1))
        self.register_buffer("seen", specjit.zeros(1))
        self.register_buffer("cache", specjit.zeros(1), persistent=False)


def test_what_is_saved():
    net = Net()
    saved = net.state_dict()
    assert list(saved) == ["scale", "seen", "first.weight", "first.bias"]
    assert list(net.state_dict(prefix="net.")) == [f"net.{k}" for k in saved]
    assert saved._metadata == {"": {"version": 1}, "first": {"version": 1}}
    into = OrderedDict(a=1)
    assert net.state_dict(destination=into) is into
    assert list(into) == ["a", *saved]
    assert net.state_dict(keep_vars=True)["scale"] is net.scale
    with specjit.no_grad():
        net.scale.fill_(7)
    assert saved["scale"].item() == 7
    assert not saved["scale"].requires_grad
    net.register_buffer("seen", specjit.zeros(1), persistent=False)
    net.register_buffer("cache", specjit.zeros(1))
    assert list(net.state_dict())[1] == "cache"


def test_loading_copies_in_place():
    a, b = Net(), Net()
    kept = a.first.weight
    result = a.load_state_dict(b.state_dict())
    assert str(result) == "<All keys matched successfully>"
    assert a.first.weight is kept
    assert kept.tolist() == b.first.weight.tolist()
    assert kept.requires_grad
    with pytest.raises(TypeError, match="dict-like"):
        a.load_state_dict(3)


def test_missing_and_unexpected_keys():
    a, saved = Net(), Net().state_dict()
    saved["extra"] = saved.pop("scale")
    saved["first.more"] = saved["first.bias"]
    saved["other.bias"] = saved.pop("first.bias")
    with pytest.raises(RuntimeError) as error:
        a.load_state_dict(saved)
    assert str(error.value) == (
        "Error(s) in loading state_dict for Net:\n"
        '\tMissing key(s) in state_dict: "scale", "first.bias". \n'
        '\tUnexpected key(s) in state_dict: "extra", "other.bias", "first.more". '
    )
    result = a.load_state_dict(saved, strict=False)
    assert result == (["scale", "first.bias"], ["extra", "other.bias", "first.more"])
    assert "missing_keys=['scale', 'first.bias']" in repr(result)


def test_entries_that_do_not_fit():
    net, saved = Net(), Net().state_dict()
    saved["first.weight"] = specjit.ones(2, 2)
    saved["scale"] = 3
    with pytest.raises(RuntimeError) as error:
        net.load_state_dict(saved, strict=False)
    assert str(error.value) == (
        "Error(s) in loading state_dict for Net:\n"
        '\tWhile copying the parameter named "scale", expected specjit.Tensor or Tensor-like object from checkpoint '
        "but received <class 'int'>\n"
        "\tsize mismatch for first.weight: copying a param with shape specjit.Size([2, 2]) from checkpoint, the shape "
        "in current model is specjit.Size([4, 3])."
    )


def test_assign_takes_tensors_over():
    net, saved = Net(), Net().double().state_dict()
    net.first.weight.requires_grad_(False)
    net.load_state_dict(saved, assign=True)
    assert net.scale.dtype is specjit.float64
    assert isinstance(net.scale, nn.Parameter)
    assert net.scale.requires_grad
    assert not net.first.weight.requires_grad
    assert net.seen is saved["seen"]
    meta = nn.Linear(3, 4, device="meta")
    with pytest.warns(UserWarning, match="no-op"):
        meta.load_state_dict(nn.Linear(3, 4).state_dict())
    meta.load_state_dict(nn.Linear(3, 4).state_dict(), assign=True)
    assert meta(specjit.ones(1, 3)).shape == (1, 4)


def test_saving_hooks():
    net, seen = Net(), []
    net.first.register_state_dict_pre_hook(lambda m, prefix, keep: seen.append((m, prefix, keep)))
    renamed = net.register_state_dict_post_hook(
        lambda m, saved, prefix, metadata: saved.__setitem__(prefix + "gain", saved.pop(prefix + "scale"))
    )
    assert "gain" in net.state_dict()
    assert seen == [(net.first, "first.", False)]
    renamed.remove()
    assert "scale" in net.state_dict()
    net.register_state_dict_post_hook(lambda *a: 1)
    with pytest.raises(RuntimeError, match="must return None"):
        net.state_dict()


def test_loading_hooks():
    net, saved = Net(), Net().state_dict()
    saved["gain"] = saved.pop("scale")

    def rename(module, values, prefix, metadata, strict, missing, unexpected, errors):
        assert metadata["version"] == 1
        values[prefix + "scale"] = values.pop(prefix + "gain")

    net.register_load_state_dict_pre_hook(rename)
    net.load_state_dict(saved)
    assert "gain" in saved
    other = Net()
    other.register_load_state_dict_post_hook(lambda m, keys: keys.missing_keys.clear() or keys.unexpected_keys.clear())
    other.load_state_dict(saved)
    other.register_load_state_dict_post_hook(lambda m, keys: keys)
    with pytest.raises(RuntimeError, match="not expected to return"):
        other.load_state_dict(saved)


def test_state_of_other_kinds():
    class Counter(nn.Module):
        count = 0

        def get_extra_state(self):
            return self.count

        def set_extra_state(self, state):
            self.count = state

    a, b = nn.Sequential(Counter()), nn.Sequential(Counter())
    a[0].count = 5
    saved = a.state_dict()
    assert list(saved) == ["0._extra_state"]
    b.load_state_dict(saved)
    assert b[0].count == 5
    with pytest.raises(RuntimeError, match=r'Missing key\(s\) in state_dict: "0._extra_state"'):
        b.load_state_dict({})


def test_a_layout_of_an_older_version():
    class Scaled(nn.Module):
        _version = 2

        def __init__(self):
            super().__init__()
            self.register_buffer("scale", specjit.ones(1))

        def _load_from_state_dict(self, values, prefix, metadata, *rest):
            if metadata.get("version", 1) < 2:
                values[prefix + "scale"] = values.pop(prefix + "inverse") ** -1
            super()._load_from_state_dict(values, prefix, metadata, *rest)

    net = nn.Sequential(Scaled())
    net.load_state_dict({"0.inverse": specjit.tensor([4.0])})
    assert net[0].scale.item() == 0.25
    assert net.state_dict()._metadata["0"]["version"] == 2
