"""Recurrent cells: one step of a recurrent net, in plain Python over ops.

Enters: an input (B, I) or (I) and a state. Leaves: the new state, with PyTorch's parameter names, shapes and gate
order.
"""

from __future__ import annotations

import math
from typing import Any

from specjit.nn import functional as F
from specjit.nn import init
from specjit.nn.module import Module
from specjit.ops.creation import empty, zeros
from specjit.ops.pointwise import sigmoid, tanh
from specjit.tensor.parameter import Parameter


def rnn_cell(x: Any, h: Any, w_ih: Any, w_hh: Any, b_ih: Any, b_hh: Any, nonlinearity: str) -> Any:
    """One step: tanh (or relu) of both linear maps."""
    total = F.linear(x, w_ih, b_ih) + F.linear(h, w_hh, b_hh)
    return tanh(total) if nonlinearity == "tanh" else F.relu(total)


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


def reset_within_hidden(module: Any) -> None:
    """Uniform within 1 / sqrt(hidden_size)."""
    bound = 1.0 / math.sqrt(module.hidden_size) if module.hidden_size > 0 else 0
    for p in module.parameters():
        init.uniform_(p, -bound, bound)


class _Cell(Module):
    """The parameters of one step, and its checks."""

    gates = 1

    def __init__(
        self, input_size: int, hidden_size: int, bias: bool = True, device: Any = None, dtype: Any = None
    ) -> None:
        super().__init__()
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.bias = bias
        rows = self.gates * hidden_size
        self.weight_ih = Parameter(empty(rows, input_size, device=device, dtype=dtype))
        self.weight_hh = Parameter(empty(rows, hidden_size, device=device, dtype=dtype))
        for name in ("bias_ih", "bias_hh"):
            self.register_parameter(name, Parameter(empty(rows, device=device, dtype=dtype)) if bias else None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Uniform within 1 / sqrt(hidden_size)."""
        reset_within_hidden(self)

    def _check_input(self, input: Any) -> None:
        if input.ndim not in (1, 2):
            raise ValueError(f"{type(self).__name__}: Expected input to be 1D or 2D, got {input.ndim}D instead")
        if input.shape[-1] != self.input_size:
            raise RuntimeError(f"input has inconsistent input_size: got {input.shape[-1]} expected {self.input_size}")

    def _start(self, input: Any, state: Any) -> Any:
        """The state to begin with, of the input's batch."""
        if state is None:
            return zeros(list(input.shape[:-1]) + [self.hidden_size], dtype=input.dtype, device=input.device)
        if state.ndim not in (1, 2):
            raise ValueError(f"{type(self).__name__}: Expected hidden to be 1D or 2D, got {state.ndim}D instead")
        if state.shape[-1] != self.hidden_size:
            raise RuntimeError(
                f"hidden0 has inconsistent hidden_size: got {state.shape[-1]}, expected {self.hidden_size}"
            )
        if state.ndim != input.ndim or (input.ndim == 2 and state.shape[0] != input.shape[0]):
            raise RuntimeError(f"Input of size {list(input.shape)} doesn't match hidden0 of size {list(state.shape)}")
        return state

    def extra_repr(self) -> str:
        return f"{self.input_size}, {self.hidden_size}" + ("" if self.bias else ", bias=False")


class RNNCell(_Cell):
    """(x, h) -> h; the state defaults to zeros. x (B, I) or (I)."""

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        nonlinearity: str = "tanh",
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(input_size, hidden_size, bias, device, dtype)
        self.nonlinearity = nonlinearity

    def forward(self, input: Any, hx: Any = None) -> Any:
        self._check_input(input)
        if self.nonlinearity not in ("tanh", "relu"):
            raise RuntimeError(f"Unknown nonlinearity: {self.nonlinearity}")
        h = self._start(input, hx)
        return rnn_cell(input, h, self.weight_ih, self.weight_hh, self.bias_ih, self.bias_hh, self.nonlinearity)

    def extra_repr(self) -> str:
        return super().extra_repr() + ("" if self.nonlinearity == "tanh" else f", nonlinearity={self.nonlinearity}")


class LSTMCell(_Cell):
    """(x, (h, c)) -> (h, c); states default to zeros. x (B, I) or (I)."""

    gates = 4

    def forward(self, input: Any, hx: Any = None) -> Any:
        self._check_input(input)
        if hx is None:
            start = self._start(input, None)
            hx = (start, start)
        elif not isinstance(hx, (tuple, list)):
            raise TypeError(
                f"lstm_cell(): argument 'hx' (position 2) must be tuple of Tensors, not {type(hx).__name__}"
            )
        h, c = self._start(input, hx[0]), self._start(input, hx[1])
        return lstm_cell(input, h, c, self.weight_ih, self.weight_hh, self.bias_ih, self.bias_hh)


class GRUCell(_Cell):
    """(x, h) -> h; the state defaults to zeros. x (B, I) or (I)."""

    gates = 3

    def forward(self, input: Any, hx: Any = None) -> Any:
        self._check_input(input)
        h = self._start(input, hx)
        return gru_cell(input, h, self.weight_ih, self.weight_hh, self.bias_ih, self.bias_hh)
