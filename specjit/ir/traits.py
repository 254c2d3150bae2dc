"""What an operator does besides computing: the only thing passes may ask of an op they do not know.

Invariant: an op without traits (`PURE`) has no outside effect, reads nothing but its arguments, and returns fresh
storage.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Traits:
    """view_of: the result may alias that argument. itself: it may even be that very tensor object. writes: arguments
    written in place. random: draws from the generator. io: touches the outside world or runs unknown Python. reads:
    depends on mutable state (attributes, list contents)."""

    view_of: int | None = None
    itself: bool = False
    writes: frozenset[int] = frozenset()
    random: bool = False
    io: bool = False
    reads: bool = False

    @property
    def pure(self) -> bool:
        """No effect, no alias and no dependence on mutable state: may be removed, duplicated, merged and moved."""
        return self.view_of is None and not (self.writes or self.random or self.io or self.reads)

    @property
    def effect_free(self) -> bool:
        """May be removed when its results are unused."""
        return not (self.writes or self.random or self.io)


PURE = Traits()
RANDOM = Traits(random=True)
IO = Traits(io=True)
READS = Traits(reads=True)


def view(argument: int, itself: bool = False) -> Traits:
    return Traits(view_of=argument, itself=itself)


def writes(*arguments: int) -> Traits:
    return Traits(writes=frozenset(arguments))
