"""`CompilationUnit`: functions from text."""

from __future__ import annotations

import pytest

import specjit
from specjit import jit

SOURCE = """
    def twice(x, n: int = 2):
        return x * n

    def steps(x, ns: List[int]) -> Tuple[Tensor, int]:
        total = 0
        for n in ns:
            x = twice(x, n)
            total += n
        if is_it_scripting():
            total += 100
        return x, total
"""
is_it_scripting = jit.is_scripting


def test_functions_are_attributes():
    unit = jit.CompilationUnit(SOURCE)
    x = specjit.ones(2)
    assert unit.twice(x).tolist() == [2.0, 2.0]
    out, total = unit.steps(x, [2, 3])
    assert (out.tolist(), total) == ([6.0, 6.0], 105)
    assert str(unit.steps.schema) == "steps(Tensor x, int[] ns) -> ((Tensor, int))"
    assert "def twice" in unit.twice.code
    assert "twice" in dir(unit)
    assert "twice" in unit
    assert unit["twice"] is unit.twice
    with pytest.raises(RuntimeError, match="missing value for argument 'x'"):
        unit.twice()
    with pytest.raises(AttributeError, match="'CompilationUnit' has no attribute 'missing'"):
        unit.missing


def test_define_adds_and_replaces():
    unit = jit.CompilationUnit()
    unit.define("def f(x):\n    return x + 1\n")
    unit.define("def g(x):\n    return f(x) * 10\n")
    assert unit.g(specjit.ones(1)).tolist() == [20.0]
    unit.define("def f(x):\n    return x + 2\n")
    assert unit.g(specjit.ones(1)).tolist() == [30.0]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "def f(x):\n    class A:\n        pass\n    return x",
            ":2:5: a class that is defined in a function\n    class A:\n    ^",
        ),
        ("x = 3", ":1:1: a compilation unit consists of functions\n    x = 3\n    ^"),
        ("def f(x:\n", ":1:6: invalid syntax: '(' was never closed\n    def f(x:\n         ^"),
        (
            "def f(x: Missing):\n    return x",
            (
                ":1:10: the type of 'x' is not understood: name 'Missing' is not defined\n    def f(x: Missing):\n"
                "             ^"
            ),
        ),
    ],
)
def test_errors_show_the_text(text, expected):
    unit = jit.CompilationUnit("def kept(x):\n    return x")
    with pytest.raises(jit.Error) as caught:
        unit.define(text)
    assert expected in str(caught.value)
    assert "f" not in unit
    assert unit.kept(specjit.ones(1)).tolist() == [1.0]
