"""Exact division of sizes, against values put in for the symbols."""

from __future__ import annotations

import pytest

from specjit.ir.dims import divide, evaluate, symbol

T, B = symbol("T"), symbol("B")


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        (0, B * 20, 0),
        (T * B * 20, B * 20, T),
        (T * (B + 1) * 20, (B + 1) * 20, T),
        (T * T - B * B, T - B, T + B),
        ((T + B) * (T * B + 3), T * B + 3, T + B),
        (T * 4, 2, T * 2),
        (T + 1, -1, -T - 1),
        (T, T, 1),
        (7, 2, 3),
    ],
)
def test_exact_division(a, b, expected) -> None:
    found = divide(a, b)
    assert found == expected
    values = {"T": 7, "B": 4}
    assert evaluate(found, values) == evaluate(a, values) // evaluate(b, values)


@pytest.mark.parametrize(("a", "b"), [(T, B), (T * 3, 2), (5, T), (T + 1, T), (T * T + 1, T + 1), (T, 0), (None, T)])
def test_what_does_not_divide_is_unknown(a, b) -> None:
    assert divide(a, b) is None
