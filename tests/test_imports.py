"""Imports go one way through the rooms, and importing specjit stays light."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import specjit

PACKAGE = Path(specjit.__file__).parent
# Each room imports only from itself and from the rooms before it. Rooms in one row do not see each other.
ORDER = [
    {"version", "locks", "limits"},
    {"config", "parsing"},
    {"dtypes"},
    {"ir"},
    {"tensor"},
    {"ops"},
    {"linalg"},
    {"nn"},
    {"optim"},
    {"autograd"},
    {"capture"},
    {"profile"},
    {"specialize"},
    {"passes"},
    {"codegen"},
    {"runtime"},
    {"archive"},
    {"report"},
    {"jit"},
    {"demo"},
    {"cli"},
    {"__main__"},
]
# What a room may take from a later one, inside a function, and why.
ALLOWED = {
    ("specjit.runtime.program", "specjit.report.explain"): "Program.explain() is the public name of a report",
}
LEVEL = {room: level for level, rooms in enumerate(ORDER) for room in rooms}
FILES = sorted(path for path in PACKAGE.rglob("*.py") if path != PACKAGE / "__init__.py")


def room_of(module: str) -> str | None:
    """`specjit.ir.text` -> `ir`; the package itself, and modules of others, are no room."""
    parts = module.split(".")
    return parts[1] if parts[0] == "specjit" and len(parts) > 1 else None


def imports(tree: ast.AST, package: str) -> Iterator[tuple[int, str]]:
    """Line and full module name of every import, in functions too, but for those under `if TYPE_CHECKING`."""
    for child in ast.iter_child_nodes(tree):
        if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
            for other in child.orelse:
                yield from imports(other, package)
        elif isinstance(child, ast.Import):
            yield from ((child.lineno, alias.name) for alias in child.names)
        elif isinstance(child, ast.ImportFrom):
            base = package.split(".")[: len(package.split(".")) - child.level + 1] if child.level else []
            module = ".".join([*base, *filter(None, [child.module])])
            names = [alias.name for alias in child.names] if module == "specjit" else [""]
            yield from ((child.lineno, f"{module}.{name}".rstrip(".")) for name in names)
        else:
            yield from imports(child, package)


def faults(text: str, module: str) -> list[str]:
    """What is wrong with the imports of one module's text."""
    room = room_of(module)
    assert room is not None
    if room not in LEVEL:
        return [f"specjit/{room} is no known room: give it a place in ORDER"]
    found = []
    package = module.rpartition(".")[0]
    for line, name in imports(ast.parse(text), package):
        other = room_of(name)
        later = other is not None and other != room and LEVEL.get(other, -1) >= LEVEL[room]
        if later and (module, name) not in ALLOWED:
            found.append(f"{module}:{line}: {room} imports {name}, but {other} comes after {room}")
    return found


def module_name(path: Path) -> str:
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts)


def test_rooms_import_only_from_earlier_rooms():
    found = [fault for path in FILES for fault in faults(path.read_text(), module_name(path))]
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    ("text", "module", "firing"),
    [
        ("import specjit.codegen.cache", "specjit.ir.text", True),
        ("from specjit.codegen import cache", "specjit.ir.text", True),
        ("from specjit import codegen", "specjit.ir.text", True),
        ("from ..codegen import cache", "specjit.ir.text", True),
        ("def f():\n    from specjit.runtime import events", "specjit.ops.math", True),
        ("from specjit.ir import graph", "specjit.codegen.cache", False),
        ("from specjit.ir import types", "specjit.ir.text", False),
        ("from . import types", "specjit.ir.text", False),
        ("from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import specjit.cli", "specjit.ir.text", False),
        ("import numpy", "specjit.ir.text", False),
    ],
)
def test_the_check_itself(text, module, firing):
    assert bool(faults(text, module)) == firing


def test_only_the_compile_room_names_the_compilers():
    """numba and llvmlite may be imported in codegen only, so that no other room can load them by accident."""
    found = [
        f"{module_name(path)}:{line}: imports {name}"
        for path in FILES
        if room_of(module_name(path)) != "codegen"
        for line, name in imports(ast.parse(path.read_text()), "")
        if name.split(".")[0] in ("numba", "llvmlite")
    ]
    assert not found, "\n".join(found)


def test_import_loads_no_compiler():
    program = "import sys, specjit; print(sorted({'numba', 'llvmlite', 'scipy', 'rich'} & set(sys.modules)))"
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=600, check=True)
    assert result.stdout.strip() == "[]"
