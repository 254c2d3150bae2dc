"""The source of a function object, as a syntax tree with the file's own line and column numbers.

Enters: a function. Leaves: `FunctionSource`, or a `CaptureError` of kind "source" (REPL without history, exec, C code).
Invariant: the tree's arguments are those of the function's code; whole files are parsed once per content.
"""

from __future__ import annotations

import ast
import inspect
import linecache
import types
from dataclasses import dataclass

from specjit.capture.errors import CaptureError
from specjit.ir.graph import Location

FunctionNode = ast.FunctionDef | ast.Lambda
_CALL_IT = "build a list and return it, or call the function without specjit"
_HINT = "put the function in a file, or call it without specjit"


@dataclass(frozen=True, slots=True)
class FunctionSource:
    """Where a function's text stands: `node` is its definition in `file`."""

    file: str
    node: FunctionNode
    name: str

    @property
    def body(self) -> list[ast.stmt]:
        """The statements; a lambda's expression reads as a return."""
        if isinstance(self.node, ast.Lambda):
            return [ast.copy_location(ast.Return(self.node.body), self.node.body)]
        return self.node.body


class _File:
    """The functions and lambdas of one parsed file, by first line (with decorators)."""

    def __init__(self, lines: list[str], file: str) -> None:
        self.lines = lines
        self.functions: dict[tuple[str, int], list[FunctionNode | ast.AsyncFunctionDef]] = {}
        for node in ast.walk(ast.parse("".join(lines), file)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                first = min([node.lineno, *(d.lineno for d in node.decorator_list)])
                self.functions.setdefault((node.name, first), []).append(node)
            elif isinstance(node, ast.Lambda):
                self.functions.setdefault(("<lambda>", node.lineno), []).append(node)


_files: dict[str, _File] = {}


def _file(name: str) -> _File | None:
    linecache.checkcache(name)
    lines = linecache.getlines(name)
    if not lines:
        return None
    known = _files.get(name)
    if known is None or known.lines != lines:
        try:
            known = _files[name] = _File(lines, name)
        except (SyntaxError, ValueError):
            return None
    return known


def source_of(fn: types.FunctionType) -> FunctionSource:
    """The definition of `fn`; raises CaptureError("source") where there is none, or where the file has changed
    since."""
    code = fn.__code__
    place = Location(code.co_filename, code.co_firstlineno, 0, fn.__qualname__)
    if code.co_flags & (inspect.CO_GENERATOR | inspect.CO_COROUTINE | inspect.CO_ASYNC_GENERATOR):
        what = "a generator function" if code.co_flags & inspect.CO_GENERATOR else "a coroutine"
        raise CaptureError("unsupported", f"{fn.__qualname__} is {what}", location=place, hint=_CALL_IT)
    file = _file(code.co_filename)
    if file is None:
        raise CaptureError("source", f"no source for {fn.__qualname__}", location=place, hint=_HINT)
    found = file.functions.get((code.co_name, code.co_firstlineno), [])
    nodes = [n for n in found if not isinstance(n, ast.AsyncFunctionDef) and parameters(n) == _code_parameters(code)]
    if len(nodes) > 1:
        nodes = [n for n in nodes if _holds(n, code)] or nodes
    if not nodes:
        reason = f"the source of {fn.__qualname__} is not where its code says (edited since import, or made by exec)"
        raise CaptureError("source", reason, location=place, hint=_HINT)
    return FunctionSource(code.co_filename, nodes[0], fn.__qualname__)


def parameter_nodes(node: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) -> dict[str, ast.arg]:
    """The parameters in the order of the code object's variables."""
    a = node.args
    every = [*a.posonlyargs, *a.args, *a.kwonlyargs, *(p for p in (a.vararg, a.kwarg) if p is not None)]
    return {p.arg: p for p in every}


def parameters(node: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) -> list[str]:
    return list(parameter_nodes(node))


def signature_names(node: FunctionNode) -> list[str]:
    """The parameters in the order of `inspect.signature`: *args before the keyword-only ones."""
    a = node.args
    first = [p.arg for p in (*a.posonlyargs, *a.args)] + ([a.vararg.arg] if a.vararg else [])
    return first + [p.arg for p in a.kwonlyargs] + ([a.kwarg.arg] if a.kwarg else [])


def _code_parameters(code: types.CodeType) -> list[str]:
    count = code.co_argcount + code.co_kwonlyargcount
    count += bool(code.co_flags & 0x04) + bool(code.co_flags & 0x08)
    return list(code.co_varnames[:count])


def _holds(node: ast.AST, code: types.CodeType) -> bool:
    """Whether the code's instructions lie inside `node`: tells lambdas on one line apart."""
    for line, end_line, column, end_column in code.co_positions():
        if None in (line, end_line, column, end_column) or column == end_column:
            continue
        start, end = (line, column), (end_line, end_column)
        if start < (node.lineno, node.col_offset) or end > (node.end_lineno, node.end_col_offset):  # type: ignore[attr-defined]
            return False
    return True
