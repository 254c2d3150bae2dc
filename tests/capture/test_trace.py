"""Traces: a run recorded, under guards that never let a decision disappear."""

from __future__ import annotations

import numpy as np
import pytest

import specjit
from specjit import jit
from tests.capture import models


def branching(x, n):
    y = specjit.tanh(x) * n
    if y.sum() > 0:
        y = y + 1
    return y, [y, {"sum": y.sum()}]


def test_a_decision_on_data_is_a_guard():
    x = specjit.ones(2, 3)
    traced = jit.trace(branching, (x, 2))
    up, (same, sums) = traced(x * 0.5, 2)
    np.testing.assert_array_equal(up.numpy(), branching(x * 0.5, 2)[0].numpy())
    assert same is up
    assert set(sums) == {"sum"}
    assert traced.misses == 0
    down, _ = traced(-x, 2)
    np.testing.assert_array_equal(down.numpy(), branching(-x, 2)[0].numpy())
    assert traced.misses == 1


@pytest.mark.parametrize(
    "args",
    [
        (specjit.ones(3, 3), 2),
        (specjit.ones(2, 3), 3),
        (specjit.ones(2, 3, dtype=specjit.float64), 2),
        (specjit.ones(2, 3), 2.0),
    ],
    ids=["shape", "number", "dtype", "type"],
)
def test_inputs_are_guarded(args):
    traced = jit.trace(branching, (specjit.ones(2, 3), 2))
    np.testing.assert_array_equal(traced(*args)[0].numpy(), branching(*args)[0].numpy())
    assert traced.misses == 1
    strict = jit.trace(branching, (specjit.ones(2, 3), 2), strict=True)
    with pytest.raises(jit.Error, match="the trace does not cover this call"):
        strict(*args)


def test_modules_read_their_parameters_at_run_time():
    specjit.manual_seed(0)
    model = models.LSTM(3, 4)
    x = specjit.randn(3, 2, 3)
    traced = jit.trace(model, (x,))
    assert [name for name, _ in traced.constants] == ["cell.w_ih", "cell.w_hh", "cell.bias"]
    with specjit.no_grad():
        model.cell.bias.add_(1.0)
    np.testing.assert_array_equal(traced(x)[0].detach().numpy(), model(x)[0].detach().numpy())
    assert traced.misses == 0
    longer = specjit.randn(5, 2, 3)
    np.testing.assert_array_equal(traced(longer)[0].detach().numpy(), model(longer)[0].detach().numpy())
    assert traced.misses == 1


def test_other_tensors_are_constants_and_listed():
    w = specjit.full((3,), 2.0)
    traced = jit.trace(lambda x: x * w, (specjit.ones(3),))
    assert [kind for kind, _ in traced.constants] == ["tensor [3]"]
    assert traced(specjit.ones(3)).tolist() == [2.0, 2.0, 2.0]


def test_places_are_the_users():
    traced = jit.trace(branching, (specjit.ones(2, 3), 2))
    assert {node.loc.file for node in traced.graph.walk() if node.loc is not None} == {__file__}
    assert "py.guard" in str(traced.graph)
    assert "_guard(" in traced.code


def test_writes_are_recorded_and_a_decision_after_one_is_refused():
    def writes(x):
        x.add_(1.0)
        return x * 2

    traced = jit.trace(writes, (specjit.zeros(2),))
    y = specjit.zeros(2)
    assert traced(y).tolist() == [2.0, 2.0]
    assert y.tolist() == [1.0, 1.0]

    def decides(x):
        x.add_(1.0)
        return x if bool(x.sum() > 0) else -x

    with pytest.raises(jit.Error, match="after an in-place write"):
        jit.trace(decides, (specjit.zeros(2),))


def test_a_function_that_changes_its_mind_is_found():
    calls = []

    def moody(x):
        calls.append(1)
        return specjit.tanh(x) if len(calls) % 2 else specjit.sigmoid(x)

    with pytest.raises(jit.TracingCheckError, match="called sigmoid where the trace has tanh") as caught:
        jit.trace(moody, (specjit.zeros(2),))
    assert caught.value.location.file == __file__
    jit.trace(moody, (specjit.zeros(2),), check_trace=False)


def test_is_tracing():
    seen = []

    def asks(x):
        seen.append(jit.is_tracing())
        return x + 1

    jit.trace(asks, (specjit.zeros(2),), check_trace=False)
    asks(specjit.zeros(1))
    assert seen == [True, False]


def test_lists_are_recorded_as_they_were():
    def function(x):
        sizes = [2, 3]
        out = specjit.zeros(sizes) + x
        sizes[0] = 5
        return out + specjit.zeros(sizes[1:])

    x = specjit.ones(2, 3)
    traced = specjit.jit.trace(function, (x,))
    assert traced(x).tolist() == function(x).tolist()
