"""Outputs of differentiable regions: which of them require grad, and writes to storage that backward still reads."""

from __future__ import annotations

import numpy as np
import pytest

import specjit


def settled(function, *args):
    """An optimized function after its specialization is published."""
    program = specjit.optimize(function, warmup=1)
    for _ in range(3):
        program(*args)
        assert program.wait(600)
    before = program.stats()["fast"]
    program(*args)
    assert program.stats()["fast"] == before + 1
    return program


def two(x, w, z):
    a = x @ w
    return (a * a).tanh(), z * 2.0, a.t()


def tensors():
    rng = np.random.default_rng(3)
    x, w, z = (specjit.tensor(rng.standard_normal((4, 4)).astype(np.float32)) for _ in range(3))
    return x, w.requires_grad_(), z


def test_only_outputs_that_depend_on_a_wanted_input_require_grad() -> None:
    args = tensors()
    fast = settled(two, *args)
    assert [y.requires_grad for y in fast(*args)] == [y.requires_grad for y in two(*args)] == [True, False, True]


@pytest.mark.parametrize("kind", ["eager", "fast"])
def test_a_write_to_a_view_of_what_backward_reads_is_an_error(kind: str) -> None:
    args = tensors()
    call = two if kind == "eager" else settled(two, *args)
    y, _, view = call(*args)
    with specjit.no_grad():
        view.add_(1.0)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.sum().backward()
