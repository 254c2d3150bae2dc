"""What is taken out of lists and dicts from outside is guarded: whatever changes there is seen by the next call."""

from __future__ import annotations

import numpy as np
import pytest

import specjit
import specjit.nn.functional as F
from specjit import nn, tensor

X = tensor([[1.0, -2.0], [3.0, 4.0]])


class Scale:
    def __init__(self, factor):
        self.factor = factor

    def run(self, x):
        return x * self.factor


def twice(x):
    return x * 2.0


def plus(x):
    return x + 1.0


class Holder(nn.Module):
    def __init__(self):
        super().__init__()
        self.steps = [twice, plus]
        self.named = {"a": twice, "b": F.relu}
        self.key = "a"
        self.layers = [nn.Linear(2, 2), nn.Linear(2, 2)]
        self.scales = (Scale(2.0), Scale(3.0))

    def forward(self, x):
        for step in self.steps:
            x = step(x)
        for f in self.named.values():
            x = f(x)
        for layer in self.layers:
            x = layer(x)
        return self.scales[1].run(self.named[self.key](self.steps[-1](x)))


def _weight(model):
    model.layers[1].weight = nn.Parameter(specjit.ones(2, 2))


def _factor(model):
    model.scales[1].factor = 7.0


CHANGES = {
    "a function of a list": lambda m: m.steps.__setitem__(0, plus),
    "the length of a list": lambda m: m.steps.append(twice),
    "a function of a dict": lambda m: m.named.__setitem__("a", plus),
    "the keys of a dict": lambda m: m.named.update(c=plus),
    "the order of a dict": lambda m: m.named.update(a=m.named.pop("a")),
    "the key that is asked for": lambda m: setattr(m, "key", "b"),
    "a module of a list": lambda m: m.layers.__setitem__(0, m.layers[1]),
    "a new module in a list": lambda m: m.layers.__setitem__(0, nn.Linear(2, 2)),
    "a parameter of a module in a list": _weight,
    "an attribute of an object in a tuple": _factor,
    "a method of an object in a tuple": lambda m: setattr(m.scales[1], "run", plus),
    "the list itself": lambda m: setattr(m, "steps", [plus]),
    "the class of what is in a list": lambda m: m.layers.__setitem__(0, nn.ReLU()),
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("stance", ["default", "generic"])
def test_a_change_is_seen(change, stance) -> None:
    specjit.manual_seed(0)
    model = Holder()
    program = specjit.optimize(model, warmup=1, background=False)
    with specjit.stance(stance):
        for _ in range(3):
            np.testing.assert_allclose(program(X).detach().numpy(), model(X).detach().numpy(), rtol=1e-5)
        assert not program.events("OPAQUE")
        CHANGES[change](model)
        for _ in range(3):
            np.testing.assert_allclose(program(X).detach().numpy(), model(X).detach().numpy(), rtol=1e-5)


def test_all_of_it_is_one_native_region() -> None:
    program = specjit.optimize(Holder(), warmup=1, background=False)
    for _ in range(3):
        program(X)
    (variant,) = program.specializations
    assert (len(variant.regions), variant.python_nodes) == (1, 0), str(program.explain())
    assert any(g.source == "self.layers[0].weight" for g in variant.guards)


class Grows(nn.Module):
    def __init__(self):
        super().__init__()
        self.steps = [twice]

    def forward(self, x, n):
        for step in self.steps:
            x = step(x)
        for _ in range(n):
            self.steps.append(plus)
        return x


@pytest.mark.parametrize("stance", ["default", "generic"])
def test_a_list_that_the_program_itself_changes_is_read_anew(stance) -> None:
    plain, program = Grows(), specjit.optimize(Grows(), warmup=1, background=False)
    with specjit.stance(stance):
        for n in (0, 1, 2, 0, 0, 1, 0):
            np.testing.assert_allclose(program(X, n).numpy(), plain(X, n).numpy())
    assert program.events("OPAQUE")


LATER = [twice, plus, twice]


@specjit.jit.ignore
def shorten():
    if len(LATER) > 2:
        LATER.pop()


def over_a_list_that_python_changes(x):
    for f in LATER:
        x = f(x)
        shorten()
    return x


def over_items_that_python_changes(x):
    return [(f(x), shorten())[0] for _, f in enumerate(LATER)]


@pytest.mark.parametrize("fn", [over_a_list_that_python_changes, over_items_that_python_changes])
def test_a_list_that_python_code_changes_while_it_is_gone_through(fn) -> None:
    program = specjit.optimize(fn, warmup=1, background=False)
    for _ in range(3):
        LATER[:] = [twice, plus, twice]
        want = fn(X)
        LATER[:] = [twice, plus, twice]
        assert repr(program(X)) == repr(want)
