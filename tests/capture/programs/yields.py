"""Generator functions of the user, of which somebody takes all items."""

from __future__ import annotations

import specjit
from specjit import nn, tensor
from tests.capture.programs.table import prog

X = tensor([[1.0, -2.0], [3.0, 4.0], [5.0, 6.0]])


def counts_up(n, k=2):
    for i in range(n):
        yield i * k


def with_everything(n):
    """Yields in branches, loops and a try, nothing, and what others yield; a return in between."""
    yield
    i = 0
    while True:
        try:
            if i > n:
                return "ignored"
            yield i
            yield from [10, i]
        finally:
            i += 1
        print(i)


def raises_late(n):
    yield 1
    yield 10 // n


def collects(n):
    seen = []

    def note(x):
        seen.append(x)
        return len(seen)

    for x in range(n):
        yield note(x)
    yield seen


@prog((3,), (0,))
def takes_all(n):
    return (
        list(counts_up(n)),
        sum(counts_up(n, k=3)),
        tuple(counts_up(n, 1)),
        sorted(set(counts_up(n))),
        sum(counts_up(n), 5),
    )


@prog((3,), (0,))
def the_largest(n):
    return max(counts_up(n))


@prog((2,), (-1,))
def all_kinds_of_yields(n):
    return list(with_everything(n))


@prog((2,), (0,))
def one_that_raises(n):
    try:
        return list(raises_late(n))
    except ZeroDivisionError as error:
        return str(error)


@prog((3,), (0,))
def with_functions_inside(n):
    return list(collects(n))


@prog((3,))
def wrong_arguments(n):
    return list(counts_up(n, n, n))


@prog((X,), (X * 2,))
class Parts(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(2, 2), nn.Linear(2, 2)])

    def parts(self, x):
        for layer in self.layers:
            x = layer(x)
            yield x

    def rows(self, x):
        for i in range(x.shape[0]):
            yield x[i] * i

    def forward(self, x):
        a, b = list(self.parts(x))
        return a + b, specjit.stack(list(self.rows(x)))


def sent():
    got = yield 1
    yield got


@prog((1,), opaque=True)
def sends_values(n):
    return list(sent())


@prog((3,), opaque=True)
def takes_one_by_one(n):
    total = 0
    for x in counts_up(n):
        total += x
    return total
