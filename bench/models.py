"""The recurrent nets that are measured: the user's plain Python, and what they must compute, in float64 NumPy.

Enters: a shape and a seed. Leaves: float32 weights as arrays (`*_weights`), modules that hold them, and reference
outputs.
Weights multiply from the right, `x @ w_ih`, with the gates side by side: (inputs, gates * hidden).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

import specjit
from specjit import nn

Weights = dict[str, np.ndarray]


class Shape(NamedTuple):
    """A sequence of `steps` vectors of `inputs` numbers, for `batch` sequences at once, through `hidden` units."""

    steps: int
    batch: int
    inputs: int
    hidden: int

    def __str__(self) -> str:
        return "x".join(map(str, self))


SHAPES = [
    Shape(100, 1, 128, 128),
    Shape(100, 8, 128, 128),
    Shape(50, 32, 64, 64),
    Shape(100, 64, 512, 512),
    Shape(1, 1, 128, 128),
]


class LSTMCell(nn.Module):
    """One step: x (B, I), h and c (B, H)."""

    def __init__(self, weights: Weights) -> None:
        super().__init__()
        self.w_ih = parameter(weights["w_ih"])
        self.w_hh = parameter(weights["w_hh"])
        self.bias = parameter(weights["bias"])

    def forward(self, x, h, c):
        gates = x @ self.w_ih + h @ self.w_hh + self.bias
        i, f, g, o = gates.chunk(4, -1)
        c = f.sigmoid() * c + i.sigmoid() * g.tanh()
        h = o.sigmoid() * c.tanh()
        return h, c


class PeepholeCell(nn.Module):
    """An LSTM step whose gates see the cell and whose sums are layer-normalized: no library has a kernel for it."""

    def __init__(self, weights: Weights) -> None:
        super().__init__()
        hidden = weights["w_hh"].shape[0]
        self.w_ih = parameter(weights["w_ih"])
        self.w_hh = parameter(weights["w_hh"])
        self.bias = parameter(weights["bias"])
        self.peep_i = parameter(weights["peep_i"])
        self.peep_f = parameter(weights["peep_f"])
        self.peep_o = parameter(weights["peep_o"])
        self.norm_x = nn.LayerNorm(4 * hidden)
        self.norm_h = nn.LayerNorm(4 * hidden)

    def forward(self, x, h, c):
        gates = self.norm_x(x @ self.w_ih) + self.norm_h(h @ self.w_hh) + self.bias
        i, f, g, o = gates.chunk(4, -1)
        i = (i + self.peep_i * c).sigmoid()
        f = (f + self.peep_f * c).sigmoid()
        c = f * c + i * g.tanh()
        o = (o + self.peep_o * c).sigmoid()
        return o * c.tanh(), c


class GRUCell(nn.Module):
    """One step: x (B, I), h (B, H)."""

    def __init__(self, weights: Weights) -> None:
        super().__init__()
        self.w_ih = parameter(weights["w_ih"])
        self.w_hh = parameter(weights["w_hh"])
        self.b_ih = parameter(weights["b_ih"])
        self.b_hh = parameter(weights["b_hh"])

    def forward(self, x, h):
        x_r, x_z, x_n = (x @ self.w_ih + self.b_ih).chunk(3, -1)
        h_r, h_z, h_n = (h @ self.w_hh + self.b_hh).chunk(3, -1)
        r = (x_r + h_r).sigmoid()
        z = (x_z + h_z).sigmoid()
        n = (x_n + r * h_n).tanh()
        return (1 - z) * n + z * h


class LSTM(nn.Module):
    """Any cell with the state (h, c) over a sequence x (T, B, I)."""

    def __init__(self, cell: nn.Module) -> None:
        super().__init__()
        self.cell = cell

    def forward(self, x, h, c):
        outputs = []
        for t in range(x.shape[0]):
            h, c = self.cell(x[t], h, c)
            outputs.append(h)
        return specjit.stack(outputs), h, c


class GRU(nn.Module):
    """A cell with the state h over a sequence x (T, B, I)."""

    def __init__(self, cell: nn.Module) -> None:
        super().__init__()
        self.cell = cell

    def forward(self, x, h):
        outputs = []
        for t in range(x.shape[0]):
            h = self.cell(x[t], h)
            outputs.append(h)
        return specjit.stack(outputs), h


def parameter(array: np.ndarray) -> nn.Parameter:
    return nn.Parameter(specjit.tensor(array))


def inputs_of(shape: Shape, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """x (T, B, I), h and c (B, H), float32."""
    random = np.random.default_rng((seed, 1))
    state = (shape.batch, shape.hidden)
    return tuple(
        random.standard_normal(size).astype(np.float32)
        for size in ((shape.steps, shape.batch, shape.inputs), state, state)
    )


def lstm_weights(shape: Shape, seed: int = 0) -> Weights:
    inputs, hidden = shape.inputs, shape.hidden
    return _uniform(hidden, seed, w_ih=(inputs, 4 * hidden), w_hh=(hidden, 4 * hidden), bias=(4 * hidden,))


def peephole_weights(shape: Shape, seed: int = 0) -> Weights:
    peepholes = dict.fromkeys(("peep_i", "peep_f", "peep_o"), (shape.hidden,))
    return {**lstm_weights(shape, seed), **_uniform(shape.hidden, seed + 1, **peepholes)}


def gru_weights(shape: Shape, seed: int = 0) -> Weights:
    gates = 3 * shape.hidden
    return _uniform(
        shape.hidden, seed, w_ih=(shape.inputs, gates), w_hh=(shape.hidden, gates), b_ih=(gates,), b_hh=(gates,)
    )


def _uniform(hidden: int, seed: int, **sizes: tuple[int, ...]) -> Weights:
    random = np.random.default_rng((seed, 2))
    bound = hidden**-0.5
    return {name: random.uniform(-bound, bound, size).astype(np.float32) for name, size in sizes.items()}


def lstm_reference(w: Weights, x: np.ndarray, h: np.ndarray, c: np.ndarray) -> list[np.ndarray]:
    """Outputs (T, B, H), last h and last c."""
    w, x, h, c = _double(w), x.astype(np.float64), h.astype(np.float64), c.astype(np.float64)
    outputs = []
    for row in x:
        i, f, g, o = np.split(row @ w["w_ih"] + h @ w["w_hh"] + w["bias"], 4, -1)
        c = _sigmoid(f) * c + _sigmoid(i) * np.tanh(g)
        h = _sigmoid(o) * np.tanh(c)
        outputs.append(h)
    return [np.stack(outputs), h, c]


def peephole_reference(w: Weights, x: np.ndarray, h: np.ndarray, c: np.ndarray) -> list[np.ndarray]:
    w, x, h, c = _double(w), x.astype(np.float64), h.astype(np.float64), c.astype(np.float64)
    outputs = []
    for row in x:
        i, f, g, o = np.split(_normalized(row @ w["w_ih"]) + _normalized(h @ w["w_hh"]) + w["bias"], 4, -1)
        c = _sigmoid(f + w["peep_f"] * c) * c + _sigmoid(i + w["peep_i"] * c) * np.tanh(g)
        h = _sigmoid(o + w["peep_o"] * c) * np.tanh(c)
        outputs.append(h)
    return [np.stack(outputs), h, c]


def gru_reference(w: Weights, x: np.ndarray, h: np.ndarray) -> list[np.ndarray]:
    w, x, h = _double(w), x.astype(np.float64), h.astype(np.float64)
    outputs = []
    for row in x:
        x_r, x_z, x_n = np.split(row @ w["w_ih"] + w["b_ih"], 3, -1)
        h_r, h_z, h_n = np.split(h @ w["w_hh"] + w["b_hh"], 3, -1)
        z = _sigmoid(x_z + h_z)
        h = (1 - z) * np.tanh(x_n + _sigmoid(x_r + h_r) * h_n) + z * h
        outputs.append(h)
    return [np.stack(outputs), h]


def _double(weights: Weights) -> Weights:
    return {name: array.astype(np.float64) for name, array in weights.items()}


def _sigmoid(x: np.ndarray) -> np.ndarray:
    return 0.5 * (1.0 + np.tanh(0.5 * x))


def _normalized(x: np.ndarray) -> np.ndarray:
    return (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-5)
