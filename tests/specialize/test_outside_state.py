"""What code that cannot be seen into may have changed is read again: attributes, globals, objects it was handed."""

from __future__ import annotations

import numpy as np
import pytest

import specjit
from specjit import jit, nn

X = np.array([[1.0, 2.0], [3.0, -4.0]], np.float32)
FACTOR = 1


class Counts(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.n = 1
        self.scale = nn.Parameter(specjit.tensor([2.0, 3.0]))

    @jit.ignore
    def bump(self) -> None:
        self.n += 1


class ReadsAfterTheCall(Counts):
    def forward(self, x):
        before = self.n
        self.bump()
        return x * self.n + before


class ReadsBeforeTheCallOfTheLastTurn(Counts):
    def forward(self, x):
        for _ in range(3):
            x = x * self.n
            self.bump()
        return x


class SetsInALoop(Counts):
    def forward(self, x):
        for _ in range(3):
            x = x * self.n
            self.n = self.n + 1
        return x


class ReadsOnlyItsParameter(Counts):
    def forward(self, x):
        self.bump()
        return (x * self.scale + 1.0).tanh() * self.scale


@pytest.mark.parametrize(
    "kind",
    [ReadsAfterTheCall, ReadsBeforeTheCallOfTheLastTurn, SetsInALoop, ReadsOnlyItsParameter],
    ids=lambda k: k.__name__,
)
def test_attributes_are_read_when_python_reads_them(kind) -> None:
    plain, model = kind(), kind()
    program = specjit.optimize(model, warmup=1, background=False)
    for _ in range(4):
        np.testing.assert_allclose(program(specjit.tensor(X)).detach(), plain(specjit.tensor(X)).detach(), rtol=1e-6)
    assert model.n == plain.n
    failed = program.events("SPECIALIZE_FAILED")
    assert not failed if kind is ReadsOnlyItsParameter else "self.n is read after" in failed[0].message


@jit.ignore
def sets_the_factor() -> None:
    global FACTOR
    FACTOR += 1


def reads_a_global(x):
    sets_the_factor()
    return x * FACTOR


def test_globals_are_read_when_python_reads_them() -> None:
    global FACTOR
    program = specjit.optimize(reads_a_global, warmup=1, background=False)
    for start in range(4):
        FACTOR = start
        assert program(specjit.tensor(X)).tolist() == (X * (start + 1)).tolist()


class Sum:
    def __init__(self) -> None:
        self.total = None

    def add(self, x) -> None:  # the name of a tensor method
        self.total = x if self.total is None else self.total + x


def sums_in_an_object(x, n: int):
    found = {"sum": Sum()}["sum"]
    for i in range(n):
        found.add(x * i)
    return found.total


def test_a_method_of_an_unknown_object_is_not_taken_for_an_op() -> None:
    program = specjit.optimize(sums_in_an_object, warmup=1, background=False)
    for n in (3, 1, 4, 2, 5, 3):
        assert program(specjit.tensor(X), n).tolist() == (X * sum(range(n))).tolist()
    assert program(specjit.tensor(X), 0) is None


class Keeps(nn.Module):
    """A state that is set, given to a layer, set again, written in place, and read."""

    state: specjit.Tensor

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(specjit.tensor([2.0, 3.0]))

    def forward(self, x):
        self.state = x * self.scale
        y = self.state.tanh()
        self.state = y + 1
        self.state += x
        y.mul_(2)
        return y * self.state


class KeepsInABranch(Keeps):
    def forward(self, x):
        self.state = x * self.scale
        if x.sum() > 0:
            self.state = self.state * 2
        return self.state + 1


class Doubles(Keeps):
    """Reading the attribute does not give what it was set to."""

    def __setattr__(self, name, value):
        super().__setattr__(name, value * 2 if name == "state" else value)

    def forward(self, x):
        self.state = x * self.scale
        return self.state + 1


@pytest.mark.parametrize(("kind", "whole"), [(Keeps, True), (KeepsInABranch, False), (Doubles, False)])
def test_an_attribute_that_was_set_is_what_it_was_set_to(kind, whole) -> None:
    plain, model = kind(), kind()
    program = specjit.optimize(model, warmup=1, background=False)
    for turn in range(4):
        x = specjit.tensor(X * (turn - 2))
        np.testing.assert_allclose(program(x).detach().numpy(), plain(x).detach().numpy(), rtol=1e-6)
        np.testing.assert_allclose(model.state.detach().numpy(), plain.state.detach().numpy(), rtol=1e-6)
    assert bool(program.stats()["fast"]) is whole
