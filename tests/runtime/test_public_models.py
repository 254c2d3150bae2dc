"""Constructions of well-known models: the same answers, state and gradients as in plain Python, and how much of them
runs natively.

Each test names what once kept such a model in Python, or broke it. The reference is a copy of the model, run plainly.
"""

from __future__ import annotations

import copy
from typing import Any

import numpy as np

import specjit
from specjit import nn


def randn(*shape: int, seed: int = 0) -> specjit.Tensor:
    return specjit.tensor(np.random.default_rng(seed).standard_normal(shape).astype(np.float32))


def same_as_plain(model: Any, *calls: tuple[Any, ...], gradients: bool = True) -> specjit.Program[..., Any]:
    """Call the model optimized and a copy of it plainly: equal results, parameters' gradients and buffers. The
    Program."""
    plain = copy.deepcopy(model)
    program = specjit.optimize(model, warmup=1, background=False)
    for args in calls:
        found, expected = program(*args), plain(*args)
        np.testing.assert_allclose(found.detach().numpy(), expected.detach().numpy(), rtol=2e-5, atol=2e-6)
        if gradients:
            found.sum().backward()
            expected.sum().backward()
    for (name, p), q in zip(model.named_parameters(), plain.parameters(), strict=True):
        assert (p.grad is None) == (q.grad is None), name
        if p.grad is not None:
            np.testing.assert_allclose(p.grad.numpy(), q.grad.numpy(), rtol=2e-4, atol=2e-5, err_msg=name)
    for name, value in model.state_dict().items():
        np.testing.assert_allclose(value.numpy(), plain.state_dict()[name].numpy(), rtol=2e-5, atol=2e-6, err_msg=name)
    return program


def native(program: specjit.Program[..., Any]) -> bool:
    """Whether the last kind of call runs in a specialization of the whole program."""
    return bool(program.specializations) and not program.events("SPECIALIZE_FAILED")


class Residual(nn.Module):
    def __init__(self, size: int) -> None:
        super().__init__()
        self.inner = nn.Sequential(nn.Linear(size, size), nn.BatchNorm1d(size), nn.ReLU(inplace=True))
        self.skips = True

    def forward(self, x: Any) -> Any:
        return x + self.inner(x) if self.skips else self.inner(x)


def test_containers_in_containers_are_no_recursion() -> None:
    model = nn.Sequential(nn.Linear(4, 4), Residual(4), nn.Sequential(nn.Sequential(nn.Linear(4, 2)), nn.Tanh()))
    program = same_as_plain(model, *[(randn(3, 4, seed=s),) for s in range(4)])
    assert native(program)
    assert program.events("OPAQUE") == []


class Tree(nn.Module):
    """The same module calls itself, as often as the data says."""

    def __init__(self) -> None:
        super().__init__()
        self.mix = nn.Linear(4, 4)

    def forward(self, x: Any, tree: Any) -> Any:
        for branch in tree:
            x = self.mix(x) + self(x, branch)
        return x.tanh()


def test_a_module_that_calls_itself_is() -> None:
    program = same_as_plain(Tree(), *[(randn(2, 4, seed=s), ((), ((), ()))) for s in range(4)])
    assert "recursion" in str(program.events("OPAQUE")[0])
