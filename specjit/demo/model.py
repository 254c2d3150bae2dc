"""The demo's model, written as a user writes one: a cell of one's own, a Python loop over time, a list that grows.

Nothing here knows about compiling. `specjit.optimize(CharLM(...))` is all that the demo adds.
"""

from __future__ import annotations

import specjit
from specjit import Tensor, nn


class LSTMCell(nn.Module):
    """One step of an LSTM: x (batch, inputs), h and c (batch, hidden) -> the next h and c."""

    def __init__(self, inputs: int, hidden: int) -> None:
        super().__init__()
        self.w_ih = nn.Parameter(specjit.randn(inputs, 4 * hidden) * inputs**-0.5)
        self.w_hh = nn.Parameter(specjit.randn(hidden, 4 * hidden) * hidden**-0.5)
        self.bias = nn.Parameter(specjit.zeros(4 * hidden))

    def forward(self, x: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        gates = x @ self.w_ih + h @ self.w_hh + self.bias
        i, f, g, o = gates.chunk(4, -1)
        c = f.sigmoid() * c + i.sigmoid() * g.tanh()
        h = o.sigmoid() * c.tanh()
        return h, c


class CharLM(nn.Module):
    """Scores of the next character: tokens (time, batch) -> logits (time, batch, vocabulary), and the last h and c."""

    def __init__(self, vocabulary: int, inputs: int = 48, hidden: int = 128) -> None:
        super().__init__()
        self.hidden = hidden
        self.embedding = nn.Embedding(vocabulary, inputs)
        self.cell = LSTMCell(inputs, hidden)
        self.head = nn.Linear(hidden, vocabulary)

    def forward(self, tokens: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        x = self.embedding(tokens)
        outputs = []
        for t in range(x.shape[0]):
            h, c = self.cell(x[t], h, c)
            outputs.append(h)
        return self.head(specjit.stack(outputs)), h, c

    def start(self, batch: int) -> tuple[Tensor, Tensor]:
        """The state before the first character."""
        return specjit.zeros(batch, self.hidden), specjit.zeros(batch, self.hidden)
