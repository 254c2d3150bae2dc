"""Reading the smallest parts of a graph's text: words, constants, types.

Enters: text, and a table of the opaque objects that it names. Leaves: `Reader`, a position in that text with methods
that take what comes next; `ParseError` with line, column and caret where that is something else.
Invariant: nothing in the text is evaluated: literals are read by hand, names are looked up in tables.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Mapping
from typing import Any, NoReturn

import numpy as np

from specjit import dtypes
from specjit.ir import dims
from specjit.ir.constants import Opaque
from specjit.ir.types import KINDS, Type

_STRING = r"""[bB]?(?:'(?:[^'\\\n]|\\.)*'|"(?:[^"\\\n]|\\.)*")"""
_NUMBER = r"-?(?:inf\b|nan\b|(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?)"
_WORDS = {"None": None, "True": True, "False": False, "inf": float("inf"), "nan": float("nan")}
_SCALARS = {kind: Type(kind) for kind in KINDS if kind not in ("tensor", "none", "class")}


class ParseError(ValueError):
    """The text is not a graph; the message names line and column and shows the place."""


class Reader:
    def __init__(self, text: str, table: Mapping[str, Any]) -> None:
        self.text, self.table = text, table
        self.at = 0

    # scanning

    def fail(self, message: str) -> NoReturn:
        before = self.text[: self.at]
        line, column = before.count("\n") + 1, self.at - (before.rfind("\n") + 1) + 1
        source = self.text.split("\n")[line - 1]
        raise ParseError(f"line {line}, column {column}: {message}\n  {source}\n  {' ' * (column - 1)}^")

    def space(self) -> None:
        """Skip blanks, newlines and comments."""
        self.at = re.compile(r"(?:\s|#[^\n]*)*").match(self.text, self.at).end()  # type: ignore[union-attr]

    def blanks(self) -> None:
        self.at = re.compile(r"[ \t]*").match(self.text, self.at).end()  # type: ignore[union-attr]

    def take(self, pattern: str) -> str | None:
        """The text that matches here (after blanks), if any."""
        self.blanks()
        match = re.compile(pattern).match(self.text, self.at)
        if match is None:
            return None
        self.at = match.end()
        return match.group()

    def peek(self, pattern: str) -> bool:
        self.blanks()
        return re.compile(pattern).match(self.text, self.at) is not None

    def expect(self, pattern: str, what: str) -> str:
        found = self.take(pattern)
        return found if found is not None else self.fail(f"expected {what}")

    def items(self, end: str, item: Callable[[], Any]) -> list[Any]:
        """Comma-separated items up to the closing text `end`, which is consumed; a trailing comma is allowed."""
        out: list[Any] = []
        while self.take(re.escape(end)) is None:
            if out:
                self.expect(",", f"',' or {end!r}")
                if self.take(re.escape(end)) is not None:
                    break
            out.append(item())
        return out

    # constants

    def constant(self) -> Any:
        self.blanks()
        if (text := self.take(_STRING)) is not None:
            return ast.literal_eval(text)
        if (text := self.take(_NUMBER)) is not None:
            return float(text) if re.search(r"[.einf]", text) else int(text)
        if self.take(r"\.\.\.") is not None:
            return ...
        if self.take(r"\(") is not None:
            return tuple(self.items(")", self.constant))
        if self.take(r"\[") is not None:
            return self.items("]", self.constant)
        if self.take(r"\{") is not None:
            return dict(self.items("}", self.pair))
        if self.peek("<"):
            text = self.expect(r"<[^<>\n]*>", "'<...>'")
            return self.table.get(text, Opaque(text))
        word = self.take(r"[A-Za-z_]\w*")
        if word in _WORDS:
            return _WORDS[word]
        if word in dtypes.BY_SHORT:
            return dtypes.BY_SHORT[word]
        if word in ("slice", "range", "complex", "array"):
            self.expect(r"\(", "'('")
            return self.made(word, self.items(")", self.constant))
        return self.fail("expected a value or a constant")

    def pair(self) -> tuple[Any, Any]:
        key = self.constant()
        self.expect(":", "':'")
        return key, self.constant()

    def made(self, word: str, parts: list[Any]) -> Any:
        try:
            if word == "array":
                data, dtype, *shape = parts
                out = np.array(data, dtype=dtype.numpy)
                return out.reshape(shape[0]) if shape else out
            return {"slice": slice, "range": range, "complex": complex}[word](*parts)
        except (TypeError, ValueError, AttributeError) as error:
            return self.fail(f"bad {word}: {error}")

    # types

    def type(self) -> Type:
        word = self.take(r"[A-Za-z_]\w*|\?")
        if word is None:
            return self.fail("expected a type")
        if word == "Tensor" or (self.peek(r"\[") and (word == "?" or word in dtypes.BY_SHORT)):
            return self.tensor(word)
        if word == "class":
            return Type.instance(self.angles())
        if word == "int" and self.peek("<"):
            return Type.int(self.dim(self.angles()))
        if word == "None":
            return Type("none")
        if word not in _SCALARS:
            return self.fail(f"no type is called {word!r}")
        if self.take(r"\[") is None:
            return _SCALARS[word]
        return Type(word, tuple(self.items("]", self.type)))

    def tensor(self, word: str) -> Type:
        dtype, sizes = None, None
        if word != "Tensor":
            dtype = dtypes.BY_SHORT.get(word)
            inside = self.expect(r"\[[^\]\n]*\]", "'[dims]'")[1:-1].strip()
            if inside != "...":
                sizes = tuple(self.dim(d) for d in inside.split(",")) if inside else ()
        device = self.take(r"@\w+")
        grad = True if self.take("!") is not None else None
        return Type.tensor(dtype, sizes, device[1:] if device else None, grad)

    def dim(self, text: str) -> dims.Dim:
        try:
            return dims.parse(text)
        except ValueError as error:
            return self.fail(str(error))

    def angles(self) -> str:
        """The text inside balanced `<...>`."""
        self.expect("<", "'<'")
        start, depth = self.at, 1
        while depth:
            char = self.text[self.at : self.at + 1]
            if char in ("", "\n"):
                self.fail("expected '>'")
            depth += {"<": 1, ">": -1}.get(char, 0)
            self.at += 1
        return self.text[start : self.at - 1]
