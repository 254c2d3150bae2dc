"""The one way in which the scheduler says no."""

from __future__ import annotations

from specjit.codegen.abi import fits_word
from specjit.ir.graph import Location


class NotSchedulable(Exception):
    """This block cannot become a native region; `reason` is for the event, `loc` the place in the user's program."""

    def __init__(self, reason: str, loc: Location | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.loc = loc


def in_word(value: int) -> int:
    """`value`; what is computed from constants here may outgrow 64 bits though each of them fits."""
    if not fits_word(value):
        raise NotSchedulable(f"the int {value} is beyond 64 bits")
    return value
