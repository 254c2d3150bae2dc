"""How many tensors are kept for backward beside inputs and outputs: golden counts for five models. They change when a
gradient rule, a price or a pass does; look at what is kept before you change a number."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import specjit
from specjit import nn
from specjit.passes.autodiff.derivative import Derivative
from tests.runtime.models import GRU, LSTM, PeepholeNormLSTM, arguments


class MLP(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c = nn.Linear(5, 8), nn.Linear(8, 8), nn.Linear(8, 3)

    def forward(self, x: Any) -> Any:
        return self.c(specjit.tanh(self.b(specjit.relu(self.a(x)))))


class Attention(nn.Module):
    """One head, as in a transformer's block."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(8)
        self.q, self.k, self.v, self.o = (nn.Linear(8, 8, bias=False) for _ in range(4))

    def forward(self, x: Any) -> Any:
        y = self.norm(x)
        weights = specjit.softmax(self.q(y) @ self.k(y).transpose(-1, -2) * 0.35, -1)
        return x + self.o(weights @ self.v(y))


def derivative(model: nn.Module, *args: Any) -> Derivative:
    program = specjit.optimize(model, warmup=1, background=False)
    for _ in range(3):
        program(*args)
    (region,) = program.specializations[0].regions
    return region.backward.derivative


def state(model: nn.Module) -> tuple[Any, ...]:
    x, (h, c) = arguments(4, 3, 5, 8)
    return {GRU: (x, h), PeepholeNormLSTM: (x, h, c)}.get(type(model), (x, (h, c)))


@pytest.mark.parametrize(
    ("make", "kept"),
    [
        (lambda: LSTM(5, 8), 6),  # four gates, and the histories of h and c
        (lambda: GRU(5, 8), 5),
        (lambda: PeepholeNormLSTM(5, 8), 5),
        (MLP, 2),
        (Attention, 8),
    ],
    ids=["lstm", "gru", "norm lstm", "mlp", "attention"],
)
def test_saved_tensors(make: Any, kept: int) -> None:
    model = make()
    args = state(model)
    if isinstance(model, (MLP, Attention)):
        args = (specjit.tensor(np.ones((4, 5 if isinstance(model, MLP) else 8), np.float32)),)
    d = derivative(model, *args)
    assert len(d.kept()) == kept, [f"{v.hint}: {v.type}" for v in d.kept()]
