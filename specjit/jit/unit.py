"""`CompilationUnit`: functions compiled from a string.

Enters: source text. Leaves: its functions, scripted, as attributes. Invariant: the functions see one another, the names
of the place that made the unit, `Tensor` and the names of `typing`; errors show the lines of the text.
"""

from __future__ import annotations
import __future__

import ast
import itertools
import linecache
import sys
import textwrap
import typing
import weakref
from typing import Any

import specjit
from specjit.capture.errors import CaptureError
from specjit.ir.graph import Location
from specjit.jit.script import ScriptFunction
from specjit.parsing import parse

_numbers = itertools.count(1)


class CompilationUnit:
    """Scripted functions made from source text: `CompilationUnit("def f(x):\\n    return x + 1").f(x)`."""

    def __init__(self, source: str = "", *, _frames_up: int = 0) -> None:
        caller = sys._getframe(1 + _frames_up)
        self._scope: dict[str, Any] = {
            **{name: getattr(typing, name) for name in typing.__all__},
            "Tensor": specjit.Tensor,
            "specjit": specjit,
            **caller.f_globals,
            **caller.f_locals,
            "__name__": "compilation_unit",
        }
        self._functions: dict[str, ScriptFunction] = {}
        if source:
            self.define(source)

    def define(self, source: str) -> None:
        """Add the functions of `source`; nothing is added if one of them cannot be compiled."""
        file = f"<specjit unit {next(_numbers)}>"
        text = textwrap.dedent(source)
        try:
            tree = parse(text, file)
        except SyntaxError as error:
            place = Location(file, error.lineno or 1, max((error.offset or 1) - 1, 0))
            linecache.cache[file] = (len(text), None, text.splitlines(keepends=True), file)
            raise CaptureError("source", f"invalid syntax: {error.msg}", location=place) from None
        linecache.cache[file] = (len(text), None, text.splitlines(keepends=True), file)
        weakref.finalize(self, linecache.cache.pop, file, None)
        for node in tree.body:
            if not isinstance(node, ast.FunctionDef):
                place = Location(file, node.lineno, node.col_offset)
                raise CaptureError("unsupported", "a compilation unit consists of functions", location=place)
        before = dict(self._scope)
        try:
            # Annotations stay text, so that one without meaning is an error with a place.
            flags = __future__.annotations.compiler_flag
            exec(compile(tree, file, "exec", flags, dont_inherit=True), self._scope)
            names = [node.name for node in tree.body if isinstance(node, ast.FunctionDef)]
            functions = {name: ScriptFunction(self._scope[name]) for name in names}
        except BaseException:
            self._scope.clear()
            self._scope.update(before)
            raise
        self._functions.update(functions)

    def __getattr__(self, name: str) -> ScriptFunction:
        if name.startswith("_") or name not in self._functions:
            raise AttributeError(f"'CompilationUnit' has no attribute '{name}'")
        return self._functions[name]

    def __getitem__(self, name: str) -> ScriptFunction:
        return self._functions[name]

    def __contains__(self, name: str) -> bool:
        return name in self._functions

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *self._functions})
