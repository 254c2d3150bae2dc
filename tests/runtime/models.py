"""Models in the user's plain style, and their formulas in NumPy float64: the independent references of the runtime
tests."""

from __future__ import annotations

import numpy as np

import specjit
from specjit import nn


def uniform(*shape: int, seed: int, scale: float = 0.3) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-scale, scale, shape).astype(np.float32)


class Cell(nn.Module):
    def __init__(self, inputs: int, hidden: int) -> None:
        super().__init__()
        self.hidden = hidden
        self.w_x = nn.Parameter(specjit.tensor(uniform(4 * hidden, inputs, seed=1)))
        self.w_h = nn.Parameter(specjit.tensor(uniform(4 * hidden, hidden, seed=2)))
        self.b_x = nn.Parameter(specjit.tensor(uniform(4 * hidden, seed=3)))
        self.b_h = nn.Parameter(specjit.tensor(uniform(4 * hidden, seed=4)))

    def forward(self, x, state):
        h, c = state
        gates = x @ self.w_x.t() + self.b_x + h @ self.w_h.t() + self.b_h
        i, f, g, o = gates.chunk(4, 1)
        c = f.sigmoid() * c + i.sigmoid() * g.tanh()
        h = o.sigmoid() * c.tanh()
        return h, (h, c)


class LSTM(nn.Module):
    def __init__(self, inputs: int, hidden: int) -> None:
        super().__init__()
        self.cell = Cell(inputs, hidden)

    def forward(self, x, state):
        outs = []
        for t in range(x.shape[0]):
            out, state = self.cell(x[t], state)
            outs.append(out)
        return specjit.stack(outs), state


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1.0 / (1.0 + np.exp(-x))


def lstm_float64(model: LSTM, x: np.ndarray, h: np.ndarray, c: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    wx, wh, bx, bh = (
        p.detach().numpy().astype(np.float64) for p in (model.cell.w_x, model.cell.w_h, model.cell.b_x, model.cell.b_h)
    )
    x, h, c = (a.astype(np.float64) for a in (x, h, c))
    outs = []
    for row in x:
        i, f, g, o = np.split(row @ wx.T + bx + h @ wh.T + bh, 4, 1)
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        h = sigmoid(o) * np.tanh(c)
        outs.append(h)
    return (np.stack(outs) if outs else np.zeros((0, *h.shape))), h, c


def arguments(steps: int, batch: int, inputs: int, hidden: int, seed: int = 7):
    x = specjit.tensor(np.random.default_rng(seed).standard_normal((steps, batch, inputs)).astype(np.float32))
    h = specjit.tensor(uniform(batch, hidden, seed=seed + 1))
    c = specjit.tensor(uniform(batch, hidden, seed=seed + 2))
    return x, (h, c)


class GRU(nn.Module):
    """A gated recurrent unit with its own loop."""

    def __init__(self, inputs: int, hidden: int) -> None:
        super().__init__()
        self.w_x = nn.Parameter(specjit.tensor(uniform(3 * hidden, inputs, seed=11)))
        self.w_h = nn.Parameter(specjit.tensor(uniform(3 * hidden, hidden, seed=12)))
        self.b_x = nn.Parameter(specjit.tensor(uniform(3 * hidden, seed=13)))
        self.b_h = nn.Parameter(specjit.tensor(uniform(3 * hidden, seed=14)))

    def forward(self, x, h):
        outs = []
        for t in range(x.shape[0]):
            xr, xz, xn = (x[t] @ self.w_x.t() + self.b_x).chunk(3, 1)
            hr, hz, hn = (h @ self.w_h.t() + self.b_h).chunk(3, 1)
            r = (xr + hr).sigmoid()
            z = (xz + hz).sigmoid()
            n = (xn + r * hn).tanh()
            h = (1 - z) * n + z * h
            outs.append(h)
        return specjit.stack(outs), h


def gru_float64(model: GRU, x: np.ndarray, h: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    wx, wh, bx, bh = (p.detach().numpy().astype(np.float64) for p in (model.w_x, model.w_h, model.b_x, model.b_h))
    x, h = x.astype(np.float64), h.astype(np.float64)
    outs = []
    for row in x:
        xr, xz, xn = np.split(row @ wx.T + bx, 3, 1)
        hr, hz, hn = np.split(h @ wh.T + bh, 3, 1)
        r, z = sigmoid(xr + hr), sigmoid(xz + hz)
        n = np.tanh(xn + r * hn)
        h = (1 - z) * n + z * h
        outs.append(h)
    return np.stack(outs), h


class PeepholeNormLSTM(nn.Module):
    """An LSTM whose gates look at the cell state and are layer-normalized."""

    def __init__(self, inputs: int, hidden: int) -> None:
        super().__init__()
        self.w_x = nn.Parameter(specjit.tensor(uniform(4 * hidden, inputs, seed=21)))
        self.w_h = nn.Parameter(specjit.tensor(uniform(4 * hidden, hidden, seed=22)))
        self.gain = nn.Parameter(specjit.tensor(1 + uniform(4 * hidden, seed=23)))
        self.bias = nn.Parameter(specjit.tensor(uniform(4 * hidden, seed=24)))
        self.peep_i = nn.Parameter(specjit.tensor(uniform(hidden, seed=25)))
        self.peep_f = nn.Parameter(specjit.tensor(uniform(hidden, seed=26)))
        self.peep_o = nn.Parameter(specjit.tensor(uniform(hidden, seed=27)))

    def forward(self, x, h, c):
        outs = []
        for t in range(x.shape[0]):
            gates = x[t] @ self.w_x.t() + h @ self.w_h.t()
            mean = gates.mean(1, keepdim=True)
            centered = gates - mean
            scale = ((centered * centered).mean(1, keepdim=True) + 1e-5).sqrt()
            i, f, g, o = (centered / scale * self.gain + self.bias).chunk(4, 1)
            i = (i + self.peep_i * c).sigmoid()
            f = (f + self.peep_f * c).sigmoid()
            c = f * c + i * g.tanh()
            o = (o + self.peep_o * c).sigmoid()
            h = o * c.tanh()
            outs.append(h)
        return specjit.stack(outs), h, c


def peephole_float64(model: PeepholeNormLSTM, x: np.ndarray, h: np.ndarray, c: np.ndarray) -> tuple[np.ndarray, ...]:
    wx, wh, gain, bias, pi, pf, po = (
        getattr(model, n).detach().numpy().astype(np.float64)
        for n in ("w_x", "w_h", "gain", "bias", "peep_i", "peep_f", "peep_o")
    )
    x, h, c = (a.astype(np.float64) for a in (x, h, c))
    outs = []
    for row in x:
        gates = row @ wx.T + h @ wh.T
        centered = gates - gates.mean(1, keepdims=True)
        normal = centered / np.sqrt((centered**2).mean(1, keepdims=True) + 1e-5) * gain + bias
        i, f, g, o = np.split(normal, 4, 1)
        i, f = sigmoid(i + pi * c), sigmoid(f + pf * c)
        c = f * c + i * np.tanh(g)
        h = sigmoid(o + po * c) * np.tanh(c)
        outs.append(h)
    return np.stack(outs), h, c
