"""A guard: one fact that captured or specialized code relies on, as data.

Enters: a source expression over the call's arguments (`x.shape[1]`, `self.cell.hidden`, `globals['SCALE']`).
Leaves: something that prints, explains a miss and is compared field by field; how it is checked fast is `specialize`'s
business.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Guard:
    """`source` must have, for its `kind` (type, dtype, rank, size, stride, device, requires_grad, value, identity,
    ...), the `expected` value. `origin` is the place in the user's program (or in specjit) that made it necessary."""

    source: str
    kind: str
    expected: Any
    origin: str = ""

    def __str__(self) -> str:
        where = f"  # {self.origin}" if self.origin else ""
        return f"{self.source} {self.kind} {_show(self.expected)}{where}"


def _show(value: Any) -> str:
    if isinstance(value, type):
        return value.__qualname__
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
