"""Library layers under `optimize`: they are plain Python over ops, so they become regions like anybody's code."""

from __future__ import annotations

import copy

import numpy as np
import pytest

import specjit
from specjit import nn


class Tagger(nn.Module):
    """Embedding, recurrent layers, linear, loss."""

    def __init__(self, kind, **options) -> None:
        super().__init__()
        self.embedding = nn.Embedding(11, 8)
        self.layers = kind(8, 16, **options)
        width = 32 if options.get("bidirectional") else 16
        self.head = nn.Linear(width, 11)

    def forward(self, x, y):
        out, _ = self.layers(self.embedding(x))
        logits = self.head(out)
        return nn.functional.cross_entropy(logits.reshape(-1, 11), y.reshape(-1))


def step(call, model, x, y):
    for p in model.parameters():
        p.grad = None
    specjit.manual_seed(3)
    loss = call(x, y)
    loss.backward()
    return loss.item(), [p.grad.numpy().copy() for p in model.parameters()]


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        (nn.LSTM, {}),
        (nn.GRU, {}),
        (nn.LSTM, {"num_layers": 2}),
        (nn.LSTM, {"bidirectional": True}),
        (nn.LSTM, {"num_layers": 3, "dropout": 0.4}),
        (nn.GRU, {"num_layers": 2, "dropout": 0.4, "bidirectional": True}),
    ],
    ids=["lstm", "gru", "two layers", "bidirectional", "dropout between layers", "everything"],
)
def test_training_a_tagger(kind, options) -> None:
    model = Tagger(kind, **options)
    twin = copy.deepcopy(model)
    rng = np.random.default_rng(0)
    program = specjit.optimize(model, warmup=1, background=False)
    for steps in (6, 6, 6, 9):
        x = specjit.tensor(rng.integers(0, 11, (steps, 4)))
        y = specjit.tensor(rng.integers(0, 11, (steps, 4)))
        loss, grads = step(program, model, x, y)
        expected_loss, expected = step(twin, twin, x, y)
        np.testing.assert_allclose(loss, expected_loss, rtol=1e-5)
        for g, e in zip(grads, expected):
            np.testing.assert_allclose(g, e, rtol=2e-4, atol=1e-6)
    assert program.stats()["fast"] >= 2, "\n".join(map(str, program.events()))
    assert not program.events("OPAQUE")
    variant = program.specializations[0]
    assert len(variant.regions) == 1
    assert variant.python_nodes == 0
    assert not variant.fallbacks


def test_an_argument_of_another_kind_raises_what_eager_does() -> None:
    model = nn.Linear(2, 2)
    program = specjit.optimize(model, warmup=1, background=False)
    for given in ([1.0, 2.0], 3.0, None, "text"):
        with pytest.raises(Exception) as expected:
            model(given)
        with pytest.raises(type(expected.value)) as found:
            program(given)
        assert str(found.value) == str(expected.value)


@pytest.mark.parametrize("given", [[1.0, 2.0], 3.0, None])
def test_an_operator_on_another_kind_raises_what_eager_does(given) -> None:
    for function in (lambda x: x @ specjit.ones(2), lambda x: specjit.ones(2) @ x):
        with pytest.raises(TypeError) as expected:
            function(given)
        with pytest.raises(TypeError) as found:
            specjit.optimize(function)(given)
        assert str(found.value) == str(expected.value)
