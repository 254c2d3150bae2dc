"""What is remembered of the calls of one kind, and of variants that are gone.

Enters: profiles, variants, counters. Leaves: `History`, and `Plan`, the order to build a variant for one.
Invariant: nothing here decides; the tables are bounded (`specjit.limits`) and their counters lose no call.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from specjit.limits import MAX_RETIRED
from specjit.profile.lattice import Pattern, Profile
from specjit.runtime.events import EventKind

if TYPE_CHECKING:
    from specjit.runtime.variant import Counts, Variant

PLAIN = 62  # calls that run the model itself after one for which nothing is to gain; with that one the period is odd


class Scope(enum.IntEnum):
    """How many calls a specialization is for."""

    EVERY = 0  # whatever varied may be anything
    NUMBERS = 1  # whatever size varied may be anything, numbers are those of one call
    ONE = 2  # sizes and numbers are those of one call
    NONE = 3  # none can be made


class _Miss:
    def __repr__(self) -> str:
        return "MISS"


MISS: Any = _Miss()


@dataclass(eq=False)
class Plan:
    """Build variant `number` for `history`; `message` says why; `drop` is a variant to evict first."""

    history: History
    number: int
    message: str
    kind: EventKind
    drop: Variant | None = None


class Rest:
    """The next `left` calls run the model itself without a look at them, because there was nothing to gain."""

    __slots__ = ("begun", "left")

    def __init__(self) -> None:
        self.left = self.begun = 0

    def begin(self) -> None:
        self.begun += PLAIN - self.left
        self.left = PLAIN

    def end(self) -> None:
        """There may be something to gain again."""
        self.begun -= self.left
        self.left = 0

    @property
    def taken(self) -> int:
        """How many calls have been answered so."""
        return self.begun - self.left


class Retired:
    """The counters of variants that are gone. The latest ones are kept as they are, for calls that still run."""

    def __init__(self) -> None:
        self.latest: list[Counts] = []
        self.calls = self.fallbacks = 0

    def add(self, counts: Counts) -> None:
        self.latest.append(counts)
        if len(self.latest) > MAX_RETIRED:
            oldest = self.latest.pop(0)
            self.calls += oldest.calls
            self.fallbacks += oldest.fallbacks

    def total(self) -> tuple[int, int]:
        calls = self.calls + sum(c.calls for c in self.latest)
        return calls, self.fallbacks + sum(c.fallbacks for c in self.latest)


@dataclass
class History:
    """A profile with what was built from it.

    variants     the live ones
    built        how many were made in all
    retry_at     the miss count from which a variant is tried again
    quarantined  a variant of it gave wrong results: no other is built
    unpaid_until the call count before which none is built, because the last one was slower than Python
    scopes       by what varied: the widest scope for which specializing has not failed
    told         the reasons for which it did
    """

    profile: Profile
    variants: list[Variant] = field(default_factory=list)
    built: int = 0
    pending: bool = False
    failed_at: int = -1
    misses: int = 0
    retry_at: int = 0
    quarantined: bool = False
    unpaid_until: int = 0
    scopes: dict[Pattern, Scope] = field(default_factory=dict)
    told: set[str] = field(default_factory=set)

    def scope(self, profile: Profile) -> Scope:
        """The widest scope in which such calls can be specialized, as far as has been tried."""
        return self.scopes.get(profile.pattern(), Scope.EVERY)

    def refuse(self, profile: Profile, scope: Scope) -> Scope:
        """Specializing failed in this scope: remember, and say what is left to try."""
        sizes, numbers = pattern = profile.pattern()
        left = [Scope.NUMBERS] if sizes and numbers else []
        left += [Scope.ONE] if (sizes or numbers) and self.scopes.get(((), ())) is not Scope.NONE else []
        found = next((s for s in left if s > scope), Scope.NONE)
        self.scopes[pattern] = found
        return found
