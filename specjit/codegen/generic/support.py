"""What generated Python needs at run time: helpers, and tracebacks that show the user's lines.

Enters: generated source with a table of places. Leaves: a code object whose exceptions carry, after the frame of the
generated code, one frame per user function that the failing line came from.
Invariant: the type, arguments and identity of an exception never change; only its traceback gets frames.
"""

from __future__ import annotations

import ast
import functools
import itertools
import sys
import types
from typing import Any

from specjit.ir.graph import Location
from specjit.ir.types import Type
from specjit.ops import control, exceptions
from specjit.ops.records.registry import get
from specjit.parsing import parse
from specjit.tensor import state

GRAD_MODES = {"no_grad": state.no_grad, "enable_grad": state.enable_grad}
_serial = itertools.count(1)


def serial() -> int:
    return next(_serial)


# tracebacks

Places = dict[int, tuple[Location, ...]]


def with_places(source: str, file: str) -> ast.Module:
    """The function with its body inside a handler that puts the user's frames into the traceback of what passes
    through.

    The code finds its table of places under the name `_places`."""
    tree = parse(source, file)
    function = tree.body[0]
    assert isinstance(function, ast.FunctionDef)
    text = "try:\n    pass\nexcept BaseException as _error:\n    _show_places(_error, _places)\n    raise\n"
    handler = parse(text).body[0]
    assert isinstance(handler, ast.Try)
    for node in ast.walk(handler):
        if hasattr(node, "lineno"):
            ast.copy_location(node, function)
    handler.body, function.body = function.body, [handler]
    return tree


def _show_places(error: BaseException, places: Places) -> None:
    tb = error.__traceback__
    if tb is None:
        return
    chain = places.get(tb.tb_lineno, ())
    inner = tb.tb_next
    if not chain or (inner is not None and inner.tb_frame is _frame_at(chain[-1])):  # shown already, in a handler
        return
    for place in chain:
        inner = types.TracebackType(inner, _frame_at(place), 0, place.line)
    error.__traceback__ = types.TracebackType(inner, tb.tb_frame, tb.tb_lasti, tb.tb_lineno)


@functools.lru_cache(maxsize=1024)
def _frame_at(place: Location) -> types.FrameType:
    """A finished frame at a place in the user's program: nothing in it changes any more, so one serves every error."""
    function = place.function.rpartition(".")[2] or "<specjit>"
    code = _stub.__code__.replace(
        co_filename=place.file,
        co_firstlineno=place.line,
        co_name=function,
        co_qualname=place.function or function,
        co_linetable=_on_first_line(len(_stub.__code__.co_code) // 2),
    )
    return types.FunctionType(code, {"_frame": _frame})()


def _on_first_line(units: int) -> bytes:
    """A location table that puts all code units on the first line, without columns (format of CPython 3.11 and
    later)."""
    chunks = [8] * (units // 8) + ([units % 8] if units % 8 else [])
    return b"".join(bytes((0x80 | 13 << 3 | n - 1, 0)) for n in chunks)


def _frame() -> types.FrameType:
    return sys._getframe(1)


def _stub() -> Any:
    return _frame()


# helpers of generated code


def _global(names: dict[str, Any], name: str) -> Any:
    """A global that did not exist when the function was captured."""
    import builtins

    if name in names:
        return names[name]
    if hasattr(builtins, name):
        return getattr(builtins, name)
    raise NameError(f"name {name!r} is not defined")


def _closure(cell: types.CellType, name: str) -> Any:
    try:
        return cell.cell_contents
    except ValueError:
        raise NameError(
            f"cannot access free variable {name!r} where it is not associated with a value in enclosing scope"
        ) from None


def _stack_rows(rows: list[Any], kind: Type) -> Any:
    """The rows that a loop has stacked. Without a turn there is no row to ask for a shape: sizes come from the type."""
    from specjit.tensor.tensor import wrap

    if rows and hasattr(rows[0], "_data"):
        return get("stack").fn(rows)
    import numpy as np

    dtype = kind.dtype.numpy if kind.dtype is not None else np.float32
    if rows:
        return wrap(np.array(rows, dtype))
    return wrap(np.zeros((0, *(d if isinstance(d, int) else 0 for d in (kind.dims or (0,))[1:])), dtype))


def _unbound(name: str, free: bool = False) -> Any:
    return control.bound(None, name, False, free)


HELPERS: dict[str, Any] = {
    "_bound": control.bound,
    "_closure": _closure,
    "_content": exceptions.load_cell,
    "_global": _global,
    "_guard": control.check_guard,
    "_next": control.next_item,
    "_show_places": _show_places,
    "_stack_rows": _stack_rows,
    "_unbound": _unbound,
}
