"""The one way in which the scheduler says no."""

from __future__ import annotations

from specjit.ir.graph import Location


class NotSchedulable(Exception):
    """This block cannot become a native region; `reason` is for the event, `loc` the place in the user's program."""

    def __init__(self, reason: str, loc: Location | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.loc = loc
