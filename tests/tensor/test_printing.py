"""`print(tensor)` in PyTorch's form (expected texts follow its documentation)."""

from __future__ import annotations

import pytest

import specjit


@pytest.mark.parametrize(
    ("tensor", "text"),
    [
        (lambda: specjit.tensor([1.0, 2.5]), "tensor([1.0000, 2.5000])"),
        (lambda: specjit.tensor([1.0, 2.0]), "tensor([1., 2.])"),
        (lambda: specjit.tensor([1, -20]), "tensor([  1, -20])"),
        (lambda: specjit.tensor(3), "tensor(3)"),
        (lambda: specjit.tensor([True, False]), "tensor([ True, False])"),
        (lambda: specjit.tensor([[1.0, 2.0], [3.0, 4.0]]), "tensor([[1., 2.],\n        [3., 4.]])"),
        (lambda: specjit.tensor([]), "tensor([])"),
        (lambda: specjit.zeros(2, 0), "tensor([], size=(2, 0))"),
        (lambda: specjit.tensor([1.0], dtype=specjit.float64), "tensor([1.], dtype=specjit.float64)"),
        (lambda: specjit.tensor([1], dtype=specjit.int32), "tensor([1], dtype=specjit.int32)"),
        (lambda: specjit.tensor([float("nan"), float("inf"), 1.0]), "tensor([nan, inf, 1.])"),
        (lambda: specjit.tensor([1e-5, 1.0]), "tensor([1.0000e-05, 1.0000e+00])"),
        (lambda: specjit.ones(1, requires_grad=True), "tensor([1.], requires_grad=True)"),
        (lambda: specjit.ones(1, requires_grad=True) * 2, "tensor([2.], grad_fn=<MulBackward>)"),
        (lambda: specjit.nn.Parameter(specjit.ones(1)), "Parameter containing:\ntensor([1.], requires_grad=True)"),
        (
            lambda: specjit.arange(2000),
            "tensor([   0,    1,    2,  ..., 1997, 1998, 1999])",
        ),
        (
            lambda: specjit.arange(8).reshape(2, 2, 2),
            "tensor([[[0, 1],\n         [2, 3]],\n\n        [[4, 5],\n         [6, 7]]])",
        ),
    ],
)
def test_repr(tensor, text):
    assert repr(tensor()) == text


def test_long_rows_wrap():
    lines = repr(specjit.arange(30)).split("\n")
    assert len(lines) > 1
    assert all(len(line) <= 90 for line in lines)
    assert lines[1].startswith("        ")
