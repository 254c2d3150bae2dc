"""Every layer by its row: results, state, copies, script and optimize."""

from __future__ import annotations

import copy
import inspect
import pickle
from typing import Any

import numpy as np
import pytest

import specjit
from specjit import nn
from specjit.dtypes import float32, float64
from specjit.tensor.gradcheck import gradcheck
from specjit.tensor.tensor import Tensor
from tests.moduleinfo import MODULES, ModuleInfo
from tests.opinfo import raw

EACH = [pytest.param(MODULES[n], id=n) for n in sorted(MODULES)]
CONTAINERS = {"Module", "Sequential", "ModuleList", "ModuleDict", "ParameterList", "ParameterDict", "Parameter"}


def test_every_layer_has_a_row():
    layers = {n for n in dir(nn) if isinstance(getattr(nn, n), type) and issubclass(getattr(nn, n), nn.Module)}
    missing = sorted(layers - set(MODULES) - CONTAINERS)
    assert not missing, f"layers without a row in tests/moduleinfo/: {missing}"


def flat(value: Any) -> list[Any]:
    """What is in tuples and lists, but for the Nones."""
    if isinstance(value, (list, tuple)):
        return [x for v in value for x in flat(v)]
    return [] if value is None else [value]


def same(got: Any, want: Any, tolerance: float) -> None:
    for g, w in zip(flat(got), flat(want), strict=True):
        g, w = (x.detach().numpy() if isinstance(x, Tensor) else np.asarray(x) for x in (g, w))
        assert g.shape == w.shape
        np.testing.assert_allclose(g, w, rtol=tolerance, atol=tolerance)


def built(info: ModuleInfo, args: Any, kwargs: Any) -> nn.Module:
    specjit.manual_seed(0)
    made = info.make(args, kwargs).to(float64)
    return made.eval() if info.random else made


@pytest.mark.parametrize("info", EACH)
def test_result(info):
    for args, kwargs, inputs in info.samples():
        made = built(info, args, kwargs)
        got = made(*inputs)
        if info.reference is not None:
            same(got, info.reference(made, *raw(inputs)), 1e-12 * info.scale)
        elif info.functional is not None:
            fn = getattr(nn.functional, info.functional)
            names = list(inspect.signature(type(made).__init__).parameters)[1:]
            same(got, fn(*inputs, **dict(zip(names, args)), **kwargs), 1e-12)


@pytest.mark.parametrize("info", EACH)
def test_gradients(info):
    if not info.grad:
        pytest.skip("no gradient")
    for args, kwargs, inputs in info.samples(grad=True)[:2]:
        made = built(info, args, kwargs)
        wanted = [t for t in (*flat(inputs), *made.parameters()) if t.requires_grad]
        if wanted and 0 < sum(t.numel() for t in wanted) <= 150:
            assert gradcheck(lambda *_: tuple(flat(made(*inputs))), wanted)


@pytest.mark.parametrize("info", EACH)
def test_state_and_copies(info):
    """A state dict carries over to a fresh layer; copies and pickles compute the same and share nothing."""
    for args, kwargs, inputs in info.samples():
        made = built(info, args, kwargs)
        want = made(*inputs)
        other = info.make(args, kwargs).to(float64).train(made.training)
        assert list(other.state_dict()) == list(made.state_dict())
        other.load_state_dict(made.state_dict())
        for again in (other, copy.deepcopy(made), pickle.loads(pickle.dumps(made))):
            same(again(*inputs), want, 0)
            assert not {id(p) for p in again.parameters()} & {id(p) for p in made.parameters()}
        assert type(made).__name__ in repr(made)


@pytest.mark.parametrize("info", EACH)
def test_script_and_optimized_are_eager(info):
    args, kwargs, inputs = info.samples(float32)[0]
    specjit.manual_seed(0)
    made = info.make(args, kwargs)
    made = made.eval() if info.random else made
    want = made(*inputs)
    same(specjit.jit.script(made)(*inputs), want, 1e-5)
    fast = specjit.optimize(made, warmup=1, background=False)
    for _ in range(3):
        same(fast(*inputs), want, 1e-5)
    fast.close()
