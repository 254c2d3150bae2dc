"""Errors of capture, told the way a compiler should: where, what, and a way out.

Enters: a file, a place in it, a reason. Leaves: `CaptureError`, whose text carries file:line:column, the source line
and a caret.
Invariant: every failure of capture that a user can see is a `CaptureError`; `Unsupported` never leaves `capture`.
"""

from __future__ import annotations

import ast
import linecache
from dataclasses import dataclass

from specjit.ir.graph import Location


class CaptureError(Exception):
    """A function cannot be captured. `kind` says why in one word for programs: "source", "unsupported", "signature",
    "type", "annotation", "limit"."""

    def __init__(self, kind: str, reason: str, *, location: Location | None = None, hint: str = "") -> None:
        self.kind = kind
        self.reason = reason
        self.location = location
        self.hint = hint
        super().__init__(render(reason, location, hint))


class Unsupported(Exception):
    """Raised while one statement or expression is lowered; becomes an opaque node, or a `CaptureError` under strict."""

    kind = "unsupported"

    def __init__(self, what: str, node: ast.AST | None = None, hint: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.node = node
        self.hint = hint
        self.own = False  # in a function of this package, which can be called as it is
        self.place: Place | None = None


@dataclass(frozen=True, slots=True)
class Place:
    """Where an `Unsupported` was raised: the location and the width of the source text under the caret."""

    location: Location
    width: int = 1


def render(reason: str, location: Location | None, hint: str = "", width: int = 1) -> str:
    """The text of an error: `file:line:column: reason`, the source line, a caret, and what to do."""
    if location is None:
        return reason + (f"\n  {hint}" if hint else "")
    text = f"{location.file}:{location.line}:{location.column + 1}: {reason}"
    line = linecache.getline(location.file, location.line).rstrip("\n")
    if line.strip():
        indent = len(line) - len(line.lstrip())
        column = max(location.column - indent, 0)
        width = max(1, min(width, len(line.strip()) - column))
        text += f"\n    {line.strip()}\n    {' ' * column}{'^' * width}"
    return text + (f"\n  {hint}" if hint else "")


def to_capture_error(error: Unsupported, hint: str = "") -> CaptureError:
    """The public error for something that strict mode cannot compile."""
    place = error.place
    out = CaptureError(
        error.kind,
        error.what,
        location=place.location if place else None,
        hint=error.hint or hint,
    )
    if place is not None:
        out.args = (render(out.reason, place.location, out.hint, place.width),)
    return out
