"""The example of a C++ class in a model, compiled with the system's compiler: what is compiled around its calls does
what plain Python does."""

from __future__ import annotations

import ctypes

import numpy as np
import pytest

import specjit
from examples import native_counter
from specjit import jit

pytestmark = pytest.mark.skipif(native_counter.compiler() is None, reason="no C++ compiler on this machine")


@pytest.fixture(scope="module")
def functions(tmp_path_factory):
    return native_counter.bind(native_counter.build(tmp_path_factory.mktemp("library")))


def make(functions):
    specjit.manual_seed(0)
    return native_counter.Counting(functions, 3)


def optimized(model):
    return specjit.optimize(model, warmup=1, background=False)


@pytest.mark.parametrize("compiled", [optimized, jit.script])
def test_a_model_with_a_native_class_does_what_python_does(functions, compiled) -> None:
    plain, fast = make(functions), compiled(make(functions))
    for rows in (2, 2, 2, 2, 3, 3, 0, 0):
        x = specjit.ones(rows, 3)
        np.testing.assert_allclose(fast(x).detach().numpy(), plain(x).detach().numpy(), rtol=1e-6)
    assert fast._model.seen.add(0) == plain.seen.add(0) == 14
    assert not fast.events("OPAQUE")
    assert not fast.events("SPECIALIZE_FAILED")
    assert compiled is jit.script or fast.events("SPECIALIZE_READY")


def test_signatures_are_guarded(functions, tmp_path) -> None:
    """A function of another result type is another program."""
    add = native_counter.bind(native_counter.build(tmp_path)).counter_add
    counter = native_counter.Counter(functions)

    def doubled(x):
        return x * add(counter.handle, 1), add(counter.handle, 0)

    fast = optimized(doubled)
    x = specjit.ones(2)
    assert [fast(x)[1] for _ in range(3)] == [1, 2, 3]
    add.restype = ctypes.c_bool
    assert [fast(x)[1] for _ in range(2)] == [True, True]


def test_without_a_declared_signature_it_runs_in_python(functions, tmp_path) -> None:
    add = ctypes.CDLL(str(native_counter.build(tmp_path))).counter_add
    counter = native_counter.Counter(functions)
    handle = ctypes.c_void_p(counter.handle)

    def adds(x):
        return x * add(handle, 1)

    fast = optimized(adds)
    assert [fast(specjit.ones(1)).item() for _ in range(3)] == [1.0, 2.0, 3.0]
    assert fast.events("OPAQUE")
    with pytest.raises(jit.Error, match=r"a call of counter_add"):
        jit.script(adds)(specjit.ones(1))
