"""Recurrent cells and layers, in plain Python over ops.

Enters: inputs (input size last) and states. Leaves: outputs and new states, with PyTorch's parameter names, shapes
and gate order.
Invariant: there is no kernel here; a layer is a loop over its cell's equations, as a user would write it.
"""

from __future__ import annotations

import math
from typing import Any

from specjit.nn import functional as F
from specjit.nn import init
from specjit.nn.module import Module
from specjit.ops.combine import cat, stack
from specjit.ops.creation import empty, zeros
from specjit.ops.pointwise import sigmoid, tanh
from specjit.tensor.tensor import Parameter


def lstm_cell(x: Any, h: Any, c: Any, w_ih: Any, w_hh: Any, b_ih: Any, b_hh: Any) -> Any:
    """One step: gates i, f, g, o from x (B, I) and h (B, H)."""
    gates = F.linear(x, w_ih, b_ih) + F.linear(h, w_hh, b_hh)
    i, f, g, o = gates.chunk(4, -1)
    c = sigmoid(f) * c + sigmoid(i) * tanh(g)
    h = sigmoid(o) * tanh(c)
    return h, c


def gru_cell(x: Any, h: Any, w_ih: Any, w_hh: Any, b_ih: Any, b_hh: Any) -> Any:
    """One step: gates r, z, n; the reset gate acts on the hidden part of n after its bias."""
    r_x, z_x, n_x = F.linear(x, w_ih, b_ih).chunk(3, -1)
    r_h, z_h, n_h = F.linear(h, w_hh, b_hh).chunk(3, -1)
    r = sigmoid(r_x + r_h)
    z = sigmoid(z_x + z_h)
    n = tanh(n_x + r * n_h)
    return n + z * (h - n)


class _Cell(Module):
    gates = 1

    def __init__(self, input_size: int, hidden_size: int, bias: bool = True, dtype: Any = None) -> None:
        super().__init__()
        self.input_size = input_size
        self.hidden_size = hidden_size
        rows = self.gates * hidden_size
        self.weight_ih = Parameter(empty(rows, input_size, dtype=dtype))
        self.weight_hh = Parameter(empty(rows, hidden_size, dtype=dtype))
        for name in ("bias_ih", "bias_hh"):
            self.register_parameter(name, Parameter(empty(rows, dtype=dtype)) if bias else None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        bound = 1.0 / math.sqrt(self.hidden_size) if self.hidden_size > 0 else 0
        for p in self.parameters():
            init.uniform_(p, -bound, bound)

    def extra_repr(self) -> str:
        return f"{self.input_size}, {self.hidden_size}"


class LSTMCell(_Cell):
    """(x, (h, c)) -> (h, c); states default to zeros. x (B, I) or (I)."""

    gates = 4

    def forward(self, input: Any, hx: Any = None) -> Any:
        if hx is None:
            start = zeros(list(input.shape[:-1]) + [self.hidden_size], dtype=input.dtype)
            hx = (start, start)
        return lstm_cell(input, hx[0], hx[1], self.weight_ih, self.weight_hh, self.bias_ih, self.bias_hh)


class GRUCell(_Cell):
    """(x, h) -> h; the state defaults to zeros. x (B, I) or (I)."""

    gates = 3

    def forward(self, input: Any, hx: Any = None) -> Any:
        if hx is None:
            hx = zeros(list(input.shape[:-1]) + [self.hidden_size], dtype=input.dtype)
        return gru_cell(input, hx, self.weight_ih, self.weight_hh, self.bias_ih, self.bias_hh)


class _Recurrent(Module):
    """Layers and directions around a cell. Parameters are named weight_ih_l0, weight_hh_l0, bias_ih_l0, ...
    (`_reverse`)."""

    gates = 1

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        if not 0 <= dropout <= 1:
            raise ValueError(
                "dropout should be a number in range [0, 1] representing the probability of an element being zeroed"
            )
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.num_layers = num_layers
        self.bias = bias
        self.batch_first = batch_first
        self.dropout = float(dropout)
        self.bidirectional = bidirectional
        self.directions = 2 if bidirectional else 1
        rows = self.gates * hidden_size
        for layer in range(num_layers):
            width = input_size if layer == 0 else hidden_size * self.directions
            for suffix in self._suffixes(layer):
                self.register_parameter(f"weight_ih_{suffix}", Parameter(empty(rows, width, dtype=dtype)))
                self.register_parameter(f"weight_hh_{suffix}", Parameter(empty(rows, hidden_size, dtype=dtype)))
                for name in ("bias_ih", "bias_hh"):
                    self.register_parameter(f"{name}_{suffix}", Parameter(empty(rows, dtype=dtype)) if bias else None)
        self.reset_parameters()

    def _suffixes(self, layer: int) -> list[str]:
        return [f"l{layer}", f"l{layer}_reverse"] if self.bidirectional else [f"l{layer}"]

    def reset_parameters(self) -> None:
        bound = 1.0 / math.sqrt(self.hidden_size) if self.hidden_size > 0 else 0
        for p in self.parameters():
            init.uniform_(p, -bound, bound)

    def _weights(self, layer: int, direction: int) -> Any:
        suffix = f"l{layer}_reverse" if direction else f"l{layer}"
        return (
            getattr(self, f"weight_ih_{suffix}"),
            getattr(self, f"weight_hh_{suffix}"),
            getattr(self, f"bias_ih_{suffix}"),
            getattr(self, f"bias_hh_{suffix}"),
        )

    def _prepare(self, input: Any) -> Any:
        if input.ndim not in (2, 3):
            raise ValueError(f"{type(self).__name__}: Expected input to be 2D or 3D, got {input.ndim}D instead")
        if input.shape[-1] != self.input_size:
            raise RuntimeError(
                f"input.size(-1) must be equal to input_size. Expected {self.input_size}, got {input.shape[-1]}"
            )
        if input.ndim == 2:
            return input.unsqueeze(1)
        return input.transpose(0, 1) if self.batch_first else input

    def _finish(self, output: Any, batched: bool) -> Any:
        if not batched:
            return output.squeeze(1)
        return output.transpose(0, 1) if self.batch_first else output

    def _start(self, x: Any, state: Any, batched: bool) -> Any:
        if state is None:
            return zeros(self.num_layers * self.directions, x.shape[1], self.hidden_size, dtype=x.dtype)
        return state if batched else state.unsqueeze(1)

    def _between(self, layer: int, x: Any) -> Any:
        """Dropout between layers."""
        if layer + 1 < self.num_layers and self.dropout > 0:
            return F.dropout(x, self.dropout, self.training)
        return x

    def extra_repr(self) -> str:
        text = f"{self.input_size}, {self.hidden_size}"
        return text if self.num_layers == 1 else f"{text}, num_layers={self.num_layers}"


class LSTM(_Recurrent):
    """input (T, B, I) [(B, T, I) with batch_first, (T, I) unbatched] and (h0, c0), each (layers * directions, B, H).

    Returns output (T, B, H * directions) and (h, c).
    """

    gates = 4

    def forward(self, input: Any, hx: Any = None) -> Any:
        batched = input.ndim == 3
        x = self._prepare(input)
        h0 = self._start(x, None if hx is None else hx[0], batched)
        c0 = self._start(x, None if hx is None else hx[1], batched)
        hs = []
        cs = []
        for layer in range(self.num_layers):
            outs = []
            for direction in range(self.directions):
                k = layer * self.directions + direction
                out, h, c = self._run(x, h0[k], c0[k], self._weights(layer, direction), direction == 1)
                outs.append(out)
                hs.append(h)
                cs.append(c)
            x = outs[0] if len(outs) == 1 else cat(outs, -1)
            x = self._between(layer, x)
        h, c = stack(hs), stack(cs)
        if not batched:
            h, c = h.squeeze(1), c.squeeze(1)
        return self._finish(x, batched), (h, c)

    def _run(self, x: Any, h: Any, c: Any, weights: Any, reverse: bool) -> Any:
        w_ih, w_hh, b_ih, b_hh = weights
        rows = []
        steps = x.shape[0]
        for t in range(steps):
            step = x[steps - 1 - t] if reverse else x[t]
            h, c = lstm_cell(step, h, c, w_ih, w_hh, b_ih, b_hh)
            rows.append(h)
        out = stack(rows)
        return out.flip(0) if reverse else out, h, c


class GRU(_Recurrent):
    """input (T, B, I) [(B, T, I) with batch_first, (T, I) unbatched] and h0 (layers * directions, B, H).

    Returns output (T, B, H * directions) and h.
    """

    gates = 3

    def forward(self, input: Any, hx: Any = None) -> Any:
        batched = input.ndim == 3
        x = self._prepare(input)
        h0 = self._start(x, hx, batched)
        hs = []
        for layer in range(self.num_layers):
            outs = []
            for direction in range(self.directions):
                k = layer * self.directions + direction
                out, h = self._run(x, h0[k], self._weights(layer, direction), direction == 1)
                outs.append(out)
                hs.append(h)
            x = outs[0] if len(outs) == 1 else cat(outs, -1)
            x = self._between(layer, x)
        h = stack(hs)
        return self._finish(x, batched), (h if batched else h.squeeze(1))

    def _run(self, x: Any, h: Any, weights: Any, reverse: bool) -> Any:
        w_ih, w_hh, b_ih, b_hh = weights
        rows = []
        steps = x.shape[0]
        for t in range(steps):
            step = x[steps - 1 - t] if reverse else x[t]
            h = gru_cell(step, h, w_ih, w_hh, b_ih, b_hh)
            rows.append(h)
        out = stack(rows)
        return out.flip(0) if reverse else out, h
