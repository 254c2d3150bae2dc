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


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"precision": 2}, "tensor([1.50, 2.25])"),
        ({"sci_mode": True}, "tensor([1.5000e+00, 2.2500e+00])"),
        ({"profile": "short"}, "tensor([1.50, 2.25])"),
        ({"linewidth": 20}, "tensor([1.5000,\n        2.2500])"),
        ({"threshold": 1, "edgeitems": 1}, "tensor([1.5000, 2.2500])"),
    ],
)
def test_options(options, text):
    try:
        specjit.set_printoptions(**options)
        assert repr(specjit.tensor([1.5, 2.25])) == text
    finally:
        specjit.set_printoptions(profile="default")


def test_options_of_summaries():
    try:
        specjit.set_printoptions(threshold=4, edgeitems=1)
        assert repr(specjit.arange(5)) == "tensor([0,  ..., 4])"
        specjit.set_printoptions(profile="full")
        assert "..." not in repr(specjit.arange(2000))
        with pytest.raises(ValueError, match="unknown profile"):
            specjit.set_printoptions(profile="long")
    finally:
        specjit.set_printoptions(profile="default")


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ([200000.0, 3.0], "tensor([2.0000e+05, 3.0000e+00])"),  # whole numbers a thousandfold apart
        ([1e8, 1.0], "tensor([1.0000e+08, 1.0000e+00])"),
        ([1000.0, 2000.0], "tensor([1000., 2000.])"),
    ],
)
def test_whole_numbers_far_apart_are_scientific(values, text):
    assert repr(specjit.tensor(values)) == text


def test_format_of_numbers():
    assert f"{specjit.tensor(1.5)}" == "1.5"
    assert f"{specjit.tensor(1.5):.3f}" == "1.500"
    assert f"{specjit.tensor([1.5])}" == "tensor([1.5000])"
