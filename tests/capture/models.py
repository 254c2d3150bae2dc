"""Models in the style of users, for capture tests. Line numbers of this file appear in no test."""

from __future__ import annotations

import specjit
from specjit import nn
from specjit.nn import functional as F

SCALE = 2.0


class Cell(nn.Module):
    def __init__(self, inputs, hidden):
        super().__init__()
        self.w_ih = nn.Parameter(specjit.randn(inputs, 4 * hidden))
        self.w_hh = nn.Parameter(specjit.randn(hidden, 4 * hidden))
        self.bias = nn.Parameter(specjit.randn(4 * hidden))
        self.hidden = hidden

    def forward(self, x, state):
        h, c = state
        gates = x @ self.w_ih + h @ self.w_hh + self.bias
        i, f, g, o = gates.chunk(4, 1)
        c = specjit.sigmoid(f) * c + specjit.sigmoid(i) * specjit.tanh(g)
        h = specjit.sigmoid(o) * specjit.tanh(c)
        return h, (h, c)


class LSTM(nn.Module):
    def __init__(self, inputs, hidden):
        super().__init__()
        self.cell = Cell(inputs, hidden)
        self.verbose = False

    def forward(self, x, state=None):
        if state is None:
            zeros = specjit.zeros(x.shape[1], self.cell.hidden)
            state = (zeros, zeros)
        outs = []
        for t in range(x.shape[0]):
            y, state = self.cell(x[t], state)
            outs.append(y)
        if self.verbose:
            print(f"{len(outs)} steps, last mean {float(y.mean()):.3f}")
        return specjit.stack(outs), state


class Stacked(nn.Module):
    """Layers in a ModuleList, indexed by a number that is an attribute."""

    def __init__(self, size, layers):
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(size, size) for _ in range(layers)])
        self.norms = nn.ModuleDict({"first": nn.LayerNorm(size), "last": nn.Identity()})
        self.count = layers
        self.act = specjit.tanh
        self.residual = True

    def forward(self, x):
        for i in range(self.count):
            y = self.act(self.layers[i](x))
            x = x + y if self.residual else y
        for layer in self.layers:
            x = layer(x)
        for i, layer in enumerate(reversed(self.layers)):
            x = layer(x) * (i + 1)
        x = self.norms["first"](x)
        return self.norms["last"](x) * SCALE


class Peephole(nn.Module):
    def __init__(self, inputs, hidden):
        super().__init__()
        self.ih = nn.Linear(inputs, 3 * hidden)
        self.hh = nn.Linear(hidden, 3 * hidden, bias=False)
        self.peep = nn.Parameter(specjit.randn(2, hidden))
        self.norm = nn.LayerNorm(hidden)
        self.hidden = hidden

    def step(self, x, h, c, *, forget_bias=1.0):
        f, i, g = (self.ih(x) + self.hh(h)).split(self.hidden, dim=-1)
        f = F.sigmoid(f + self.peep[0] * c + forget_bias)
        i = F.sigmoid(i + self.peep[1] * c)
        c = f * c + i * specjit.tanh(g)
        return self.norm(specjit.tanh(c)), c

    def forward(self, x):
        h = c = (
            x.new_zeros(x.size(1), self.hidden) if hasattr(x, "new_zeros") else specjit.zeros(x.size(1), self.hidden)
        )
        for x_t in x:
            h, c = self.step(x_t, h, c)
        return h


class Greedy(nn.Module):
    """A loop whose length depends on data, with a state that the module keeps."""

    def __init__(self, size, end=0):
        super().__init__()
        self.out = nn.Linear(size, 5)
        self.back = nn.Embedding(5, size)
        self.end = end
        self.calls = 0
        self.last = None

    def forward(self, h, limit: int):
        self.calls += 1
        found = []
        while len(found) < limit:
            k = int(self.out(h).argmax())
            if k == self.end:
                break
            found.append(k)
            h = specjit.tanh(h + self.back(specjit.tensor(k)))
        self.last = h
        return found, self.last


class Dropped(nn.Module):
    def __init__(self, size):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(size, size), nn.ReLU(), nn.Dropout(0.5), nn.Linear(size, size))

    def forward(self, x, scale=1.0):
        with specjit.no_grad():
            mean = x.mean()
        if self.training:
            x = x - mean
        return self.net(x) * scale
