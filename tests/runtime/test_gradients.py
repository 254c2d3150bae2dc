"""What autograd promises, kept by native regions: the same gradients, the same absences, the same errors as eager."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import specjit


def values(*shape: int, seed: int = 0, grad: bool = True) -> specjit.Tensor:
    data = np.random.default_rng(seed).uniform(-0.8, 0.8, shape)
    return specjit.tensor(data).requires_grad_(grad)


def warm(f: Callable[..., Any], *args: Any) -> specjit.Program:
    """An optimized `f` whose next call with such arguments is native, gradients included."""
    program = specjit.optimize(f, warmup=1, background=False)
    for _ in range(3):
        program(*args)
    assert program.stats()["fast"], "\n".join(map(str, program.events()))
    return program


def is_native(program: specjit.Program) -> bool:
    """Whether all of it is one region with native gradients, which never had to run generically."""
    variant = program.specializations[-1]
    backward = [region.backward is not None for region in variant.regions]
    return backward == [True] and variant.python_nodes == 0 and variant.fallbacks == 0


def gradients(f: Callable[..., Any], args: list[Any], pick: Callable[[Any], Any]) -> list[np.ndarray | None]:
    """`.grad` of the arguments after a weighted sum of what `pick` takes of the result went backward."""
    for a in args:
        a.grad = None
    picked = pick(f(*args))
    weights = [specjit.tensor(np.random.default_rng(k).standard_normal(o.shape)) for k, o in enumerate(picked)]
    sum((o * w).sum() for o, w in zip(picked, weights)).backward()
    return [None if a.grad is None else a.grad.numpy().copy() for a in args]


def everything(out: Any) -> list[specjit.Tensor]:
    found = list(out) if isinstance(out, (tuple, list)) else [out]
    return [t for t in found if t.requires_grad]


def check(f: Callable[..., Any], *args: Any, pick: Callable[[Any], Any] = everything) -> specjit.Program:
    """Native gradients are eager's, and None where eager's are."""
    expected = gradients(f, list(args), pick)
    program = warm(f, *args)
    for k, (got, want) in enumerate(zip(gradients(program, list(args), pick), expected, strict=True)):
        assert (got is None) == (want is None), f"argument {k}: {got} where eager has {want}"
        if want is not None:
            np.testing.assert_allclose(got, want, rtol=1e-10, atol=1e-12, err_msg=f"argument {k}")
    return program


def test_no_gradient_flows_through_detach() -> None:
    def f(x, w, h):
        y = (x @ w).tanh()
        return y * y.detach() + h.detach()

    assert is_native(check(f, values(3, 4), values(4, 4, seed=1), values(3, 4, seed=2)))


@pytest.mark.parametrize("grad", [True, False])
def test_only_some_inputs_require_gradients(grad: bool) -> None:
    def f(x, w, h):
        for t in range(x.shape[0]):
            h = (x[t] + h @ w).tanh()
        return h

    assert is_native(check(f, values(5, 3, 4, grad=grad), values(4, 4, seed=1), values(3, 4, seed=2, grad=not grad)))
