"""The LSTM of `bench.models`, line for line, in PyTorch: for its eager loop and for `torch.jit.script`."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn


class LSTMCell(nn.Module):
    """One step: x (B, I), h and c (B, H)."""

    def __init__(self, weights: dict[str, np.ndarray]) -> None:
        super().__init__()
        self.w_ih = nn.Parameter(torch.tensor(weights["w_ih"]))
        self.w_hh = nn.Parameter(torch.tensor(weights["w_hh"]))
        self.bias = nn.Parameter(torch.tensor(weights["bias"]))

    def forward(self, x: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        gates = x @ self.w_ih + h @ self.w_hh + self.bias
        i, f, g, o = gates.chunk(4, -1)
        c = f.sigmoid() * c + i.sigmoid() * g.tanh()
        h = o.sigmoid() * c.tanh()
        return h, c


class LSTM(nn.Module):
    """A cell over a sequence x (T, B, I)."""

    def __init__(self, cell: nn.Module) -> None:
        super().__init__()
        self.cell = cell

    def forward(self, x: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        outputs: list[Tensor] = []
        for t in range(x.shape[0]):
            h, c = self.cell(x[t], h, c)
            outputs.append(h)
        return torch.stack(outputs), h, c


def library_lstm(weights: dict[str, np.ndarray]) -> nn.LSTM:
    """`torch.nn.LSTM` with these weights; it keeps them transposed, and two biases."""
    inputs, hidden = weights["w_ih"].shape[0], weights["w_hh"].shape[0]
    layer = nn.LSTM(inputs, hidden)
    with torch.no_grad():
        layer.weight_ih_l0.copy_(torch.tensor(weights["w_ih"].T))
        layer.weight_hh_l0.copy_(torch.tensor(weights["w_hh"].T))
        layer.bias_ih_l0.copy_(torch.tensor(weights["bias"]))
        layer.bias_hh_l0.zero_()
    return layer
