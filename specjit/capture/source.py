"""The source of a function object, as a syntax tree with the file's own line and column numbers.

Enters: a function. Leaves: `FunctionSource`, or a `CaptureError` of kind "source" (REPL without history, exec, C code).
Invariant: the tree compiles to the code that the function runs, line numbers aside (but for code that an import hook
has rewritten, as pytest does with asserts); whole files are parsed and compiled once per content.
"""

from __future__ import annotations

import ast
import inspect
import linecache
import types
from dataclasses import dataclass

from specjit.capture.errors import CaptureError
from specjit.ir.graph import Location
from specjit.limits import MAX_PARSED_FILES
from specjit.parsing import parse

FunctionNode = ast.FunctionDef | ast.Lambda
_CALL_IT = "build a list and return it, or call the function without specjit"
_KIND = 0xFF  # of co_flags: parameters and kind of function; above are the future statements of a notebook
_AGAIN = "import the module again (importlib.reload), or start Python anew"
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
    """The functions and lambdas of one parsed file, and their code, by first line (with decorators)."""

    def __init__(self, lines: list[str], file: str) -> None:
        self.lines = lines
        self.functions: dict[tuple[str, int], list[FunctionNode | ast.AsyncFunctionDef]] = {}
        self.codes: dict[tuple[str, int], list[types.CodeType]] = {}
        tree = parse("".join(lines), file)
        self._add_codes(compile(tree, file, "exec", dont_inherit=True))
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                first = min([node.lineno, *(d.lineno for d in node.decorator_list)])
                self.functions.setdefault((node.name, first), []).append(node)
            elif isinstance(node, ast.Lambda):
                self.functions.setdefault(("<lambda>", node.lineno), []).append(node)

    def _add_codes(self, code: types.CodeType) -> None:
        self.codes.setdefault((code.co_name, code.co_firstlineno), []).append(code)
        for inner in code.co_consts:
            if isinstance(inner, types.CodeType):
                self._add_codes(inner)


_files: dict[str, _File] = {}


def _file(name: str) -> _File | None:
    linecache.checkcache(name)
    lines = linecache.getlines(name)
    if not lines:
        return None
    known = _files.get(name)
    if known is None or known.lines != lines:
        try:
            known = _File(lines, name)
        except (SyntaxError, ValueError):
            return None
        if len(_files) >= MAX_PARSED_FILES:
            _files.clear()
        _files[name] = known
    return known


def source_of(fn: types.FunctionType, generators: bool = False) -> FunctionSource:
    """The definition of `fn`; raises CaptureError("source") where there is none, or where the file has changed
    since. generators: whether a generator function will do."""
    code = fn.__code__
    place = Location(code.co_filename, code.co_firstlineno, 0, fn.__qualname__)
    allowed = generators and code.co_flags & inspect.CO_GENERATOR
    if not allowed and code.co_flags & (inspect.CO_GENERATOR | inspect.CO_COROUTINE | inspect.CO_ASYNC_GENERATOR):
        what = "a generator function" if code.co_flags & inspect.CO_GENERATOR else "a coroutine"
        raise CaptureError("unsupported", f"{fn.__qualname__} is {what}", location=place, hint=_CALL_IT)
    file = _file(code.co_filename)
    if file is None:
        raise CaptureError("source", f"no source for {fn.__qualname__}", location=place, hint=_HINT)
    at = (code.co_name, code.co_firstlineno)
    found = file.functions.get(at, [])
    nodes = [n for n in found if not isinstance(n, ast.AsyncFunctionDef) and parameters(n) == _code_parameters(code)]
    if len(nodes) > 1:
        nodes = [n for n in nodes if _holds(n, code)] or nodes
    if not nodes:
        reason = f"the source of {fn.__qualname__} is not where its code says (edited since import, or made by exec)"
        raise CaptureError("source", reason, location=place, hint=_HINT)
    if not _rewritten(code) and not any(_same_code(code, now) for now in file.codes.get(at, [])):
        reason = f"the file has changed since {fn.__qualname__} was imported: its source is not what runs"
        raise CaptureError("source", reason, location=place, hint=_AGAIN)
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


def _same_code(a: types.CodeType, b: types.CodeType) -> bool:
    """Whether two code objects do the same: instructions, names, constants; lines and columns may differ."""
    if a == b:
        return True
    return (
        a.co_code == b.co_code
        and a.co_exceptiontable == b.co_exceptiontable
        and (a.co_name, a.co_names, a.co_varnames) == (b.co_name, b.co_names, b.co_varnames)
        and (a.co_freevars, a.co_cellvars, a.co_argcount) == (b.co_freevars, b.co_cellvars, b.co_argcount)
        and (a.co_kwonlyargcount, a.co_posonlyargcount) == (b.co_kwonlyargcount, b.co_posonlyargcount)
        and a.co_flags & _KIND == b.co_flags & _KIND
        and _same_constant(a.co_consts, b.co_consts)
    )


def _same_constant(a: object, b: object) -> bool:
    """Equal in type and value, at every depth: 1 is not 1.0, nor -0.0 0.0."""
    if type(a) is not type(b):
        return False
    if isinstance(a, types.CodeType) and isinstance(b, types.CodeType):
        return _same_code(a, b)
    if isinstance(a, tuple) and isinstance(b, tuple):
        return len(a) == len(b) and all(map(_same_constant, a, b))
    return a == b and (isinstance(a, frozenset) or repr(a) == repr(b))


def _rewritten(code: types.CodeType) -> bool:
    """Whether an import hook has put names into the code that no source can spell (pytest: `@pytest_ar`)."""
    nested = (c for c in code.co_consts if isinstance(c, types.CodeType))
    return any(not name.isidentifier() for name in code.co_names) or any(map(_rewritten, nested))


def _holds(node: ast.AST, code: types.CodeType) -> bool:
    """Whether the code's instructions lie inside `node`: tells lambdas on one line apart."""
    for line, end_line, column, end_column in code.co_positions():
        if None in (line, end_line, column, end_column) or column == end_column:
            continue
        start, end = (line, column), (end_line, end_column)
        if start < (node.lineno, node.col_offset) or end > (node.end_lineno, node.end_col_offset):  # type: ignore[attr-defined]
            return False
    return True
