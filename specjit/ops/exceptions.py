"""Records for exceptions and for variables that outlive a jump: cells, the test of an `except` clause, raising again.

Enters: exceptions that a `try` node has caught; values that its other block may need. Leaves: the same, later.
Invariant: a cell holds what was stored last, however control left the place that stored it. UNBOUND in a cell is a
variable without a value.
"""

from __future__ import annotations

import types
from typing import Any

from specjit.ir.traits import IO, Traits
from specjit.ir.types import ANY, BOOL
from specjit.ops import pyinfer as rule
from specjit.ops.python import defpy

READ = Traits(reads=True, io=True)  # io: a read must not pass a store

defpy(
    "cell(content: any) -> any",
    types.CellType,
    lambda content: ANY,
    IO,
    doc="A variable as an object: what one block stores in it, another one reads.",
)


def _load(cell: types.CellType) -> Any:
    return cell.cell_contents


def _store(cell: types.CellType, content: Any) -> None:
    cell.cell_contents = content


defpy("load(cell: any) -> any", _load, lambda cell: ANY, READ, doc="The content of a cell.")
defpy("store(cell: any, content: any) -> None", _store, rule.nothing, IO, doc="Replace the content of a cell.")


def matches(exception: BaseException, kind: Any) -> bool:
    """Whether `except kind:` catches the exception."""
    kinds = kind if isinstance(kind, tuple) else (kind,)
    if not all(isinstance(k, type) and issubclass(k, BaseException) for k in kinds):
        raise TypeError("catching classes that do not inherit from BaseException is not allowed")
    return any(k in type(exception).__mro__ for k in kinds)


def _reraise(exception: BaseException) -> None:
    raise exception


defpy(
    "matches(exception: any, kind: any) -> bool", matches, lambda exception, kind: BOOL, IO, doc=matches.__doc__ or ""
)
defpy(
    "reraise(exception: any) -> None",
    _reraise,
    rule.nothing,
    IO,
    doc="`raise` in a handler: the exception that it handles goes on, with the traceback that it has.",
)
