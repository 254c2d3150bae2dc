"""A guard: one fact that captured or specialized code relies on, as data.

Enters: a source expression over the call's arguments (`x.shape[1]`, `self.cell.hidden`, `globals['SCALE']`).
Leaves: something that prints, explains a miss and is compared field by field; how it is checked fast is `specialize`'s
business.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

SHOWN_CHARACTERS = 60


@dataclass(frozen=True, slots=True)
class Guard:
    """`source` must have, for its `kind` (type, dtype, rank, size, strides, device, requires_grad, value, identity,
    ...), the `expected` value. `origin` is the place in the user's program that made it necessary: `net.py:41`, or
    `matmul at net.py:41` where it is the use of a value rather than its reading."""

    source: str
    kind: str
    expected: Any
    origin: str = ""

    def __str__(self) -> str:
        where = f"  ({self.origin})" if self.origin else ""
        return f"{self.source} {self.kind} {self.show(self.expected)}{where}"

    def missed(self, actual: Any) -> str:
        """What a call with `actual` did to this guard, in words."""
        if self.kind.endswith("at least"):
            return f"{self.source} expected {self.kind} {self.expected}, got {actual}"
        what = self.source if self.kind in ("size", "value") else f"{self.source} {self.kind}"
        return f"{what} expected {self.show(self.expected)}, got {self.show(actual)}"

    def show(self, value: Any) -> str:
        """A value of this guard's kind as text: strings are quoted where the value itself is one."""
        if isinstance(value, type):
            return value.__qualname__
        if isinstance(value, str) and self.kind != "value":
            return value
        text = repr(value)
        return text if len(text) <= SHOWN_CHARACTERS else text[: SHOWN_CHARACTERS - 3] + "..."


def by_source(guards: Iterable[Guard]) -> dict[str, list[Guard]]:
    """Guards on one argument, attribute or mode side by side, in order of first appearance."""
    found: dict[str, list[Guard]] = {}
    for guard in guards:
        found.setdefault(guard.source, []).append(guard)
    return found
