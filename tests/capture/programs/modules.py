"""Modules: parameters, buffers, submodules, attributes that `forward` writes and that persist."""

from __future__ import annotations

import specjit
from specjit import nn, tensor
from tests.capture.programs.table import prog

X = tensor([1.0, -2.0, 3.0])


@prog((X,), (X * 2,), traced=True)
class Feeds(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = nn.Linear(3, 4)
        self.outer = nn.Linear(4, 3, bias=False)
        self.scale = nn.Parameter(tensor([1.0, 2.0, 3.0]))

    def forward(self, x):
        return self.outer(self.inner(x).relu()) * self.scale + x


@prog((X,), (X,), (X * 2,))
class Counts(nn.Module):
    def __init__(self):
        super().__init__()
        self.calls = 0
        self.seen = []
        self.by_size = {}

    def forward(self, x):
        self.calls += 1
        self.seen.append(self.calls * 2)
        self.by_size[len(x)] = self.by_size.get(len(x), 0) + 1
        self.last = x * self.calls
        return self.last + len(self.seen)


@prog((X,), (X * 2,), (X * 3,))
class RunningMean(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("mean", specjit.zeros(3))
        self.register_buffer("count", tensor(0))

    def forward(self, x):
        self.count += 1
        self.mean.mul_(0.9).add_(x * 0.1)
        return x - self.mean, self.count * 2


@prog((X,), (X,))
class ReplacesABuffer(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("state", specjit.ones(3))

    def forward(self, x):
        self.state = self.state * 0.5 + x
        return self.state.sum()


@prog((X, True), (X, False), (X, True))
class TrainsOrNot(nn.Module):
    def __init__(self):
        super().__init__()
        self.drop = nn.Dropout(0.5)

    def forward(self, x, on):
        self.train(on)
        y = self.drop(x) if not self.training else x * 2
        return y, self.training


@prog((X, 2), (X, 0), (X, 5), traced=True)
class Repeats(nn.Module):
    def __init__(self):
        super().__init__()
        self.cell = nn.Linear(3, 3)

    def forward(self, x, n):
        states = []
        for _ in range(n):
            x = self.cell(x).tanh()
            states.append(x)
        return specjit.stack(states) if states else x


@prog((X,), (X * -1,), traced=True)
class Chooses(nn.Module):
    def __init__(self):
        super().__init__()
        self.positive, self.negative = nn.Linear(3, 1), nn.Linear(3, 2)

    def forward(self, x):
        part = self.positive if x.sum() > 0 else self.negative
        return part(x)


class Base(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.width = width
        self.linear = nn.Linear(3, width)

    def head(self, x):
        return self.linear(x)

    def forward(self, x):
        return self.head(x).sum() * self.factor

    @property
    def factor(self):
        return self.width * 2


@prog((X,), (X * 2,), traced=True)
class Derives(Base):
    def __init__(self):
        super().__init__(2)
        self.extra = nn.Parameter(tensor([0.5, 0.25]))

    def head(self, x):
        return super().head(x) * self.extra

    def forward(self, x):
        return super().forward(x) + self.width


@prog((X, "a"), (X, "b"), (X, "z"), dynamic=True, traced=True)
class ChoosesByName(nn.Module):
    def __init__(self):
        super().__init__()
        self.parts = nn.ModuleDict({"a": nn.Linear(3, 1), "b": nn.Identity()})

    def forward(self, x, name):
        if name not in self.parts:
            return x * 0
        return self.parts[name](x)


@prog((X, 0), (X, 1), (X, 2), dynamic=True)
class ChoosesByNumber(nn.Module):
    def __init__(self):
        super().__init__()
        self.parts = nn.ModuleList([nn.Linear(3, 1), nn.Identity()])

    def forward(self, x, i):
        return self.parts[i](x)


@prog((X,), (X,), traced=True)
class SharesParameters(nn.Module):
    def __init__(self):
        super().__init__()
        self.a = nn.Linear(3, 3)
        self.b = nn.Linear(3, 3)
        self.b.weight = self.a.weight

    def forward(self, x):
        return self.b(self.a(x)), self.a.weight is self.b.weight


@prog((X,), (X,))
class KeepsHistory(nn.Module):
    def __init__(self):
        super().__init__()
        self.history = []

    def forward(self, x):
        self.history.append(x * 2)
        if len(self.history) > 1:
            x = x + self.history[-2]
        return x, len(self.history)


@prog((X, 1), (X, 0))
class RaisesAfterAWrite(nn.Module):
    def __init__(self):
        super().__init__()
        self.count = 0

    def forward(self, x, n):
        self.count += 1
        y = x * (6 // n)
        self.count += 10
        return y


@prog((X,), (X,))
class WritesToASubmodule(nn.Module):
    def __init__(self):
        super().__init__()
        self.child = nn.Identity()
        self.child.steps = 0

    def forward(self, x):
        self.child.steps += 2
        self.note = f"step {self.child.steps}"
        return self.child(x) * self.child.steps, self.note


class Plain:
    def __init__(self):
        self.total = 0
        self.names = []


@prog((X,), (X,))
class HoldsAnObject(nn.Module):
    def __init__(self):
        super().__init__()
        self.stats = Plain()
        self.options = {"scale": 2.0, "names": ["a"]}

    def forward(self, x):
        self.stats.total += len(x)
        self.stats.names.append(self.options["names"][0])
        self.options["scale"] *= 2
        return x * self.options["scale"], self.stats.total


@prog((X,), (X * 2,))
class LearnsInPlace(nn.Module):
    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(tensor([1.0, 1.0, 1.0]))

    def forward(self, x):
        loss = (self.w * x).sum()
        loss.backward()
        with specjit.no_grad():
            self.w -= 0.1 * self.w.grad
        self.w.grad = None
        return loss.detach()


@prog((X,), (X,), traced=True)
class NestsModules(nn.Module):
    def __init__(self):
        super().__init__()
        self.blocks = nn.ModuleList([nn.Sequential(nn.Linear(3, 3), nn.ReLU()) for _ in range(2)])
        self.named = nn.ModuleDict({"norm": nn.LayerNorm(3)})

    def forward(self, x):
        for i, block in enumerate(self.blocks):
            x = x + block(x) * i
        names = [name for name, _ in self.named_children()]
        return self.named["norm"](x), names, sum(p.numel() for p in self.parameters())
