"""The parser gives a tree also where CPython's own counter was disturbed."""

from __future__ import annotations

import ast

import pytest

from specjit import parsing


def test_a_disturbed_parser_tries_again(monkeypatch):
    real, failures = ast.parse, [SystemError("AST constructor recursion depth mismatch")] * 2

    def parse(*args, **kwargs):
        if failures:
            raise failures.pop()
        return real(*args, **kwargs)

    monkeypatch.setattr(ast, "parse", parse)
    assert ast.unparse(parsing.parse("x = 1 + 2")) == "x = 1 + 2"
    assert not failures


def test_errors_of_the_text_are_raised_at_once():
    with pytest.raises(SyntaxError, match="was never closed"):
        parsing.parse("f(", "some file")
