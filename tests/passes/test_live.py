"""Peak bytes of small graphs, counted by hand."""

from __future__ import annotations

import pytest

from specjit.passes.live import peak_bytes, size_of, typical
from tests.golden import graph_of

CASES = {
    "one result": ("(%x: f32[10]) { %y = tanh(%x); return %y }", 40),
    "an argument dies when its last reader has run": (
        "(%x: f32[10]) { %a = tanh(%x); %b = neg(%a); %c = neg(%b); return %c }",
        80,
    ),
    "a result that is returned stays": (
        "(%x: f32[10]) { %a = tanh(%x); %b = neg(%a); %c = neg(%b); return %a, %c }",
        120,
    ),
    "a result that nobody reads": ("(%x: f32[10]) { %a = tanh(%x); %b = neg(%x); return %b }", 40),
    "views are no storage": (
        "(%x: f32[2,5]) { %a = tanh(%x); %b = permute(%a, [1, 0]); %c = reshape(%b, [10]); return %c }",
        40,
    ),
    "a view keeps what it looks at": (
        "(%x: f32[2,5]) { %a = tanh(%x); %b = select(%a, 0, 1); %c = neg(%x); %d = add(%b, %c); return %d }",
        120,
    ),
    "a list keeps its items": (
        """(%x: f32[10]) {
          %a = tanh(%x); %l = py.list(%a, %a); %b = neg(%x); %c = neg(%b); %d = stack(%l)
          return %c, %d }""",
        160,
    ),
    "one branch at a time": (
        """(%x: f32[10], %c: bool) {
          %y = if %c { %a = tanh(%x) %b = neg(%a) yield %b } else { %d = neg(%x) yield %d }
          return %y }""",
        80,
    ),
    "what is needed after a branch stays during it": (
        """(%x: f32[10], %c: bool) {
          %k = exp(%x)
          %y = if %c { %a = tanh(%x) yield %a } else { %d = neg(%x) yield %d }
          %z = add(%k, %y)
          return %z }""",
        120,
    ),
    "a loop: present and next value, and the stack": (
        """(%x: f32[10], %n: int<T>) {
          %h, %hs = loop %n, True, (%i, %h1 = %x) { %t = tanh(%h1); yield True, %t | stacked %t }
          return %h, %hs }""",
        40 + 40 * 7 + 40,
    ),
    "numbers take nothing": ("(%x: f32[10]) { %n = size(%x, 0); %s = sum(%x); %v = item(%s); return %v }", 4),
}


@pytest.mark.parametrize("name", CASES)
def test_peak(name):
    text, expected = CASES[name]
    assert peak_bytes(graph_of(text), {"T": 7}) == expected


def test_symbols_have_typical_sizes_unless_told():
    (value,) = graph_of("(%x: f32[T,3]) { return %x }").inputs
    assert size_of(value.type) == 4 * 64 * 3
    assert size_of(value.type, {"T": 2}) == 4 * 2 * 3
    assert typical(None) == 64
    assert typical(0) == 1
