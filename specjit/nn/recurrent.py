"""Recurrent cells and layers, plain Python over ops: the optimizer has no private kernel to lean on.

Enters: sizes. Leaves: `RNNCell`-style cells (batch, features) and layers over sequences (time, batch, features).
Invariant: parameter names, shapes and gate order are PyTorch's, so that weights carry over. Equations: Hochreiter and
Schmidhuber 1997 with forget gates (LSTM), Cho et al. 2014 in the form with a gate on the hidden projection (GRU).
"""

from __future__ import annotations

import math

import specjit
from specjit.nn import functional as F
from specjit.nn import init
from specjit.nn.module import Module
from specjit.tensor import Parameter, Tensor


def _parameters(module: Module, inputs: int, hidden: int, gates: int, bias: bool, suffix: str = "") -> None:
    bound = 1 / math.sqrt(hidden) if hidden else 0.0
    shapes = {"weight_ih": (gates * hidden, inputs), "weight_hh": (gates * hidden, hidden)}
    if bias:
        shapes |= {"bias_ih": (gates * hidden,), "bias_hh": (gates * hidden,)}
    for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
        shape = shapes.get(name)
        made = None if shape is None else init.uniform_(Parameter(specjit.zeros(*shape)), -bound, bound)
        module.register_parameter(name + suffix, made)  # type: ignore[arg-type]


def lstm_step(
    x: Tensor, h: Tensor, c: Tensor, w_ih: Tensor, w_hh: Tensor, b_ih: Tensor, b_hh: Tensor
) -> tuple[Tensor, Tensor]:
    """One LSTM step: gates i, f, g, o side by side in the projections. Returns (h, c)."""
    gates = F.linear(x, w_ih, b_ih) + F.linear(h, w_hh, b_hh)
    i, f, g, o = gates.chunk(4, -1)
    c = f.sigmoid() * c + i.sigmoid() * g.tanh()
    return o.sigmoid() * c.tanh(), c


def gru_step(x: Tensor, h: Tensor, w_ih: Tensor, w_hh: Tensor, b_ih: Tensor, b_hh: Tensor) -> Tensor:
    """One GRU step: gates r, z, n side by side in the projections."""
    xr, xz, xn = F.linear(x, w_ih, b_ih).chunk(3, -1)
    hr, hz, hn = F.linear(h, w_hh, b_hh).chunk(3, -1)
    r = (xr + hr).sigmoid()
    z = (xz + hz).sigmoid()
    n = (xn + r * hn).tanh()
    return (1 - z) * n + z * h


class LSTMCell(Module):
    """(batch, input_size), ((batch, hidden), (batch, hidden)) -> (h, c)."""

    def __init__(self, input_size: int, hidden_size: int, bias: bool = True) -> None:
        super().__init__()
        self.input_size, self.hidden_size = input_size, hidden_size
        _parameters(self, input_size, hidden_size, 4, bias)

    def forward(self, input: Tensor, hx: tuple[Tensor, Tensor] | None = None) -> tuple[Tensor, Tensor]:
        if hx is None:
            zeros = specjit.zeros(input.shape[0], self.hidden_size, dtype=input.dtype)
            hx = (zeros, zeros)
        h, c = hx
        return lstm_step(input, h, c, self.weight_ih, self.weight_hh, self.bias_ih, self.bias_hh)


class GRUCell(Module):
    """(batch, input_size), (batch, hidden) -> h."""

    def __init__(self, input_size: int, hidden_size: int, bias: bool = True) -> None:
        super().__init__()
        self.input_size, self.hidden_size = input_size, hidden_size
        _parameters(self, input_size, hidden_size, 3, bias)

    def forward(self, input: Tensor, hx: Tensor | None = None) -> Tensor:
        if hx is None:
            hx = specjit.zeros(input.shape[0], self.hidden_size, dtype=input.dtype)
        return gru_step(input, hx, self.weight_ih, self.weight_hh, self.bias_ih, self.bias_hh)


class LSTM(Module):
    """A stack of LSTM layers. input: (T, B, input_size), or (B, T, input_size) with `batch_first`.

    Returns (output, (h_n, c_n)) with h_n, c_n of shape (num_layers, B, hidden_size)."""

    def __init__(
        self, input_size: int, hidden_size: int, num_layers: int = 1, bias: bool = True, batch_first: bool = False
    ) -> None:
        super().__init__()
        self.input_size, self.hidden_size = input_size, hidden_size
        self.num_layers, self.batch_first = num_layers, batch_first
        for layer in range(num_layers):
            _parameters(self, input_size if layer == 0 else hidden_size, hidden_size, 4, bias, f"_l{layer}")

    def forward(self, input: Tensor, hx: tuple[Tensor, Tensor] | None = None) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        x = input.transpose(0, 1) if self.batch_first else input
        if hx is None:
            zeros = specjit.zeros(self.num_layers, x.shape[1], self.hidden_size, dtype=x.dtype)
            hx = (zeros, zeros)
        hs, cs = [], []
        for layer in range(self.num_layers):
            w_ih, w_hh = getattr(self, f"weight_ih_l{layer}"), getattr(self, f"weight_hh_l{layer}")
            b_ih, b_hh = getattr(self, f"bias_ih_l{layer}"), getattr(self, f"bias_hh_l{layer}")
            h, c = hx[0][layer], hx[1][layer]
            outs = []
            for t in range(x.shape[0]):
                h, c = lstm_step(x[t], h, c, w_ih, w_hh, b_ih, b_hh)
                outs.append(h)
            x = specjit.stack(outs)
            hs.append(h)
            cs.append(c)
        y = x.transpose(0, 1) if self.batch_first else x
        return y, (specjit.stack(hs), specjit.stack(cs))


class GRU(Module):
    """A stack of GRU layers; shapes as in `LSTM`, state h_n only."""

    def __init__(
        self, input_size: int, hidden_size: int, num_layers: int = 1, bias: bool = True, batch_first: bool = False
    ) -> None:
        super().__init__()
        self.input_size, self.hidden_size = input_size, hidden_size
        self.num_layers, self.batch_first = num_layers, batch_first
        for layer in range(num_layers):
            _parameters(self, input_size if layer == 0 else hidden_size, hidden_size, 3, bias, f"_l{layer}")

    def forward(self, input: Tensor, hx: Tensor | None = None) -> tuple[Tensor, Tensor]:
        x = input.transpose(0, 1) if self.batch_first else input
        if hx is None:
            hx = specjit.zeros(self.num_layers, x.shape[1], self.hidden_size, dtype=x.dtype)
        hs = []
        for layer in range(self.num_layers):
            w_ih, w_hh = getattr(self, f"weight_ih_l{layer}"), getattr(self, f"weight_hh_l{layer}")
            b_ih, b_hh = getattr(self, f"bias_ih_l{layer}"), getattr(self, f"bias_hh_l{layer}")
            h = hx[layer]
            outs = []
            for t in range(x.shape[0]):
                h = gru_step(x[t], h, w_ih, w_hh, b_ih, b_hh)
                outs.append(h)
            x = specjit.stack(outs)
            hs.append(h)
        return (x.transpose(0, 1) if self.batch_first else x), specjit.stack(hs)
