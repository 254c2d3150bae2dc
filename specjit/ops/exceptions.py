"""Records for exceptions and for variables that outlive a jump: cells, the test of an `except` clause, raising again.

Enters: exceptions that a `try` node has caught; values that its other block may need. Leaves: the same, later.
Invariant: a cell holds what was stored last, however control left the place that stored it. The cell of a variable
without a value is empty, as Python's own functions expect it; nodes see UNBOUND.
"""

from __future__ import annotations

import types
from typing import Any

from specjit.ir.constants import UNBOUND
from specjit.ir.traits import IO, Traits
from specjit.ir.types import ANY, BOOL
from specjit.ops import pyinfer as rule
from specjit.ops.python import defpy

READ = Traits(reads=True, io=True)  # io: a read must not pass a store


def make_cell(content: Any) -> types.CellType:
    """A variable as an object: what one block stores in it, another one reads."""
    return types.CellType() if content is UNBOUND else types.CellType(content)


def load_cell(cell: types.CellType) -> Any:
    """The content of a cell."""
    try:
        return cell.cell_contents
    except ValueError:
        return UNBOUND


def store_cell(cell: types.CellType, content: Any) -> None:
    """Replace the content of a cell."""
    if content is UNBOUND:
        del cell.cell_contents
    else:
        cell.cell_contents = content


defpy("cell(content: any) -> any", make_cell, lambda content: ANY, IO, doc=make_cell.__doc__ or "")
defpy("load(cell: any) -> any", load_cell, lambda cell: ANY, READ, doc=load_cell.__doc__ or "")
defpy("store(cell: any, content: any) -> None", store_cell, rule.nothing, IO, doc=store_cell.__doc__ or "")


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
