"""Models behind decorators: what is called is what is captured, however the call spells its arguments."""

from __future__ import annotations

import functools

import numpy as np
import pytest

import specjit
from specjit import nn
from specjit.runtime.events import EventKind

CALLS: list[str] = []


def passes_on(function):
    @functools.wraps(function)
    def wrapper(*args, **kwargs):
        return function(*args, **kwargs)

    return wrapper


def looks_at_names(function):
    @functools.wraps(function)
    def wrapper(*args, **kwargs):
        return function(*args, **kwargs) * (2.0 if "steps" in kwargs else 1.0)

    return wrapper


def keeps_count(function):
    @functools.wraps(function)
    def wrapper(*args, **kwargs):
        CALLS.append(function.__name__)
        return function(*args, **kwargs)

    return wrapper


def fixes_steps(function):
    @functools.wraps(function)
    def wrapper(x):
        return function(x, 3) + 1.0

    return wrapper


def plain(x, steps: int = 2, *, scale: float = 1.5):
    for _ in range(steps):
        x = (x * scale).tanh() + 0.5
    return x


class Model(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(4, 4)

    @passes_on
    def forward(self, x, steps: int = 2):
        for _ in range(steps):
            x = self.linear(x).tanh() * 2.0
        return x

    @specjit.no_grad()
    def generate(self, x, *, scale: float = 2.0):
        return self.linear(x).sigmoid() * scale


def spelled(x):
    """The ways to call `plain`."""
    return [((x,), {}), ((x, 3), {}), ((x,), {"steps": 3}), ((), {"x": x, "scale": 0.5}), ((x, 1), {"scale": 2.5})]


def native(program) -> int:
    return program.stats()["fast"]


def told(program) -> list:
    kinds = (EventKind.OPAQUE, EventKind.FALLBACK, EventKind.SPECIALIZE_FAILED)
    return [e for e in program.events() if e.kind in kinds]


@pytest.mark.parametrize("decorate", [passes_on, specjit.no_grad(), specjit.enable_grad(), specjit.inference_mode()])
def test_a_decorator_that_passes_on_is_followed(decorate) -> None:
    function = decorate(plain)
    program = specjit.optimize(function, warmup=1, background=False)
    x = specjit.tensor(np.linspace(-1, 1, 12, dtype=np.float32).reshape(3, 4), requires_grad=True)
    for _ in range(3):
        for args, kwargs in spelled(x):
            got, expected = program(*args, **kwargs), function(*args, **kwargs)
            np.testing.assert_allclose(got.detach().numpy(), expected.detach().numpy(), rtol=1e-5, atol=1e-6)
            assert got.requires_grad is expected.requires_grad
    if decorate.__class__ is not specjit.inference_mode:  # of which nothing is known
        assert native(program) >= 5
        assert not told(program)


def test_what_a_decorator_does_with_the_names_is_done() -> None:
    function = looks_at_names(plain)
    program = specjit.optimize(function, warmup=1, background=False)
    x = specjit.ones(3, 4)
    for _ in range(3):
        for args, kwargs in spelled(x):
            np.testing.assert_allclose(
                program(*args, **kwargs).numpy(), function(*args, **kwargs).numpy(), rtol=1e-5, atol=1e-6
            )


def test_what_a_decorator_does_besides_is_done_in_each_call() -> None:
    function = keeps_count(plain)
    program = specjit.optimize(function, warmup=1, background=False)
    CALLS.clear()
    for _ in range(4):
        program(specjit.ones(3, 4), steps=2)
    assert CALLS == ["plain"] * 4


def test_a_decorator_with_parameters_of_its_own_is_called_by_them() -> None:
    function = fixes_steps(plain)
    x = specjit.ones(3, 4)
    for program in (specjit.optimize(function, warmup=1, background=False), specjit.jit.script(function)):
        for _ in range(3):
            np.testing.assert_allclose(program(x).numpy(), function(x).numpy(), rtol=1e-5, atol=1e-6)
    with pytest.raises(TypeError):
        specjit.optimize(function, warmup=1, background=False)(x, 3)


def test_methods_behind_decorators() -> None:
    model = Model()
    x = specjit.tensor(np.linspace(-1, 1, 12, dtype=np.float32).reshape(3, 4))
    whole = specjit.optimize(model, warmup=1, background=False)
    part = specjit.optimize(model.generate, warmup=1, background=False)
    for _ in range(3):
        np.testing.assert_allclose(whole(x).detach().numpy(), model(x).detach().numpy(), rtol=1e-5, atol=1e-6)
        for kwargs in ({}, {"scale": 3.0}):
            got = part(x, **kwargs)
            np.testing.assert_allclose(got.numpy(), model.generate(x, **kwargs).numpy(), rtol=1e-5, atol=1e-6)
            assert not got.requires_grad
    assert whole(x).requires_grad
    assert native(whole) and native(part)
    assert not told(whole) and not told(part)
    with specjit.no_grad():
        model.linear.weight.mul_(2.0)
    np.testing.assert_allclose(part(x).numpy(), model.generate(x).numpy(), rtol=1e-5, atol=1e-6)
    Model.generate, kept = fixes_generate, Model.generate
    try:
        np.testing.assert_allclose(specjit.optimize(model.generate)(x).numpy(), x.numpy() - 1.0)
        np.testing.assert_allclose(part(x).numpy(), kept(model, x).numpy(), rtol=1e-5, atol=1e-6)
    finally:
        Model.generate = kept


def fixes_generate(self, x):
    return x - 1.0


def test_scripts_of_decorated_functions_have_the_parameters_of_what_is_decorated() -> None:
    scripted = specjit.jit.script(specjit.no_grad()(plain))
    assert str(scripted.schema) == "plain(Tensor x, int steps=2, *, float scale=1.5) -> Tensor"
    x = specjit.ones(3, 4)
    for args, kwargs in spelled(x):
        np.testing.assert_allclose(
            scripted(*args, **kwargs).numpy(), plain(*args, **kwargs).numpy(), rtol=1e-5, atol=1e-6
        )
    with pytest.raises(RuntimeError, match="Expected a value of type 'int' for argument 'steps'"):
        scripted(x, "two")
    module = specjit.jit.script(Model())
    np.testing.assert_allclose(
        module(x, steps=1).detach().numpy(), module.linear(x).tanh().detach().numpy() * 2, rtol=1e-5
    )
