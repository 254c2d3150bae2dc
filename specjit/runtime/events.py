"""Events: the one stream that logs, `explain()`, HTML and traces are views of.

Enters: `EventLog.emit(kind, ...)` from every room that decides something.
Leaves: `Event` records in order, kept per Program in a bounded list, handed to `on_event` callbacks and, where the
log settings ask for it, printed to stderr as one line each.
Invariant: emitting never raises into the caller's program and never changes what it computes.
"""

from __future__ import annotations

import contextlib
import enum
import sys
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from specjit import config, locks
from specjit.ir.graph import Location
from specjit.limits import MAX_EVENTS, MAX_REASONS, MAX_SHOWN_CAUSES, clipped


class EventKind(enum.StrEnum):
    """What happened. The value is the word that logs print."""

    CAPTURED = "CAPTURED"
    OPAQUE = "OPAQUE"
    PROFILED = "PROFILED"
    SPECIALIZE_QUEUED = "SPECIALIZE_QUEUED"
    SPECIALIZE_READY = "SPECIALIZE_READY"
    SPECIALIZE_FAILED = "SPECIALIZE_FAILED"
    REPACKED = "REPACKED"
    GUARD_MISS = "GUARD_MISS"
    GENERALIZED = "GENERALIZED"
    MEGAMORPHIC = "MEGAMORPHIC"
    EVICTED = "EVICTED"
    QUARANTINED = "QUARANTINED"
    FUSED = "FUSED"
    NOT_FUSED = "NOT_FUSED"
    REORDERED = "REORDERED"
    CACHE_HIT = "CACHE_HIT"
    CACHE_MISS = "CACHE_MISS"
    CACHE_REJECT = "CACHE_REJECT"
    CACHE_STORE = "CACHE_STORE"
    FALLBACK = "FALLBACK"
    VERIFY_MISMATCH = "VERIFY_MISMATCH"


# The words of SPECJIT_LOG, and the kinds each one shows.
CHANNELS: dict[str, frozenset[EventKind]] = {
    "specialize": frozenset(
        k
        for k in EventKind
        if k.startswith("SPECIALIZE") or k in ("CAPTURED", "OPAQUE", "PROFILED", "GENERALIZED", "EVICTED", "REPACKED")
    ),
    "guards": frozenset({EventKind.GUARD_MISS, EventKind.GENERALIZED, EventKind.FALLBACK}),
    "fusion": frozenset({EventKind.FUSED, EventKind.NOT_FUSED, EventKind.REORDERED}),
    "cache": frozenset(k for k in EventKind if k.startswith("CACHE")),
    "all": frozenset(EventKind),
}
ALWAYS_SHOWN = frozenset({EventKind.MEGAMORPHIC, EventKind.QUARANTINED, EventKind.VERIFY_MISMATCH})
SHOWN_ONCE_PER_CAUSE = frozenset({EventKind.OPAQUE, EventKind.FALLBACK})
REASONED = frozenset(
    {
        EventKind.OPAQUE,
        EventKind.SPECIALIZE_FAILED,
        EventKind.GUARD_MISS,
        EventKind.NOT_FUSED,
        EventKind.CACHE_REJECT,
        EventKind.FALLBACK,
        EventKind.REPACKED,
    }
)


@dataclass(frozen=True, slots=True)
class Event:
    """One fact.

    message         what happened
    location        where in the user's program, if anywhere: `net.py:41`, or `matmul at net.py:41`
    then            what follows from it, or what to do about it
    call            the number of the call that it happened in, or (in the background) of the last one before it
    specialization  its number, if it is about one
    time            seconds since the epoch
    facts           the numbers and names behind the message; `file`, `line` and `column` in full for a location
    """

    kind: EventKind
    program: str
    message: str
    call: int = 0
    specialization: int | None = None
    location: str = ""
    then: str = ""
    time: float = 0.0
    facts: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        number = "" if self.specialization is None else f"#{self.specialization}"
        head = f"[specjit {self.program} {number:<2}] "
        where = f"  ({self.location})" if self.location else ""
        then = f"\n{' ' * len(head)}{self.then}" if self.then else ""
        return f"{head}{self._words()}{self.message}{where}{then}"

    def _words(self) -> str:
        if self.kind == EventKind.SPECIALIZE_READY:
            return "READY "
        return f"{self.kind} call {self.call}  " if self.kind == EventKind.GUARD_MISS else f"{self.kind}  "

    def to_dict(self) -> dict[str, Any]:
        return {
            "kind": str(self.kind),
            "program": self.program,
            "message": self.message,
            "call": self.call,
            "specialization": self.specialization,
            "location": self.location,
            "then": self.then,
            "time": self.time,
            "facts": self.facts,
        }


_callbacks: list[Callable[[Event], None]] = []
_shown_causes: set[tuple[EventKind, str, str]] = set()
_lock = locks.lock()


def on_event(callback: Callable[[Event], None]) -> Callable[[], None]:
    """Call `callback(event)` for every event of every Program; returns a function that unregisters it.

    A callback that raises is reported to stderr and unregistered: an observer must not change the observed program."""
    _callbacks.append(callback)

    def remove() -> None:
        with contextlib.suppress(ValueError):  # removed already
            _callbacks.remove(callback)

    return remove


class EventLog:
    """The events of one Program, newest last, at most `MAX_EVENTS` of them.

    counts   how many of each kind, exact for ever
    reasons  for the kinds of `REASONED`, how many of each reason: at most `MAX_REASONS` are told apart
    """

    def __init__(self, program: str) -> None:
        self.program = program
        self.events: deque[Event] = deque(maxlen=MAX_EVENTS)
        self.counts: dict[EventKind, int] = {}
        self.reasons: dict[EventKind, dict[str, int]] = {}

    def emit(
        self,
        kind: EventKind,
        message: str,
        *,
        call: int = 0,
        specialization: int | None = None,
        location: Location | str | None = None,
        then: str = "",
        reason: str = "",
        **facts: Any,
    ) -> Event:
        """Record an event. `location` may be a place of the IR: the user's own line is shown. `reason` groups events
        of one cause (by default, those of equal message and place)."""
        where = location or ""
        if isinstance(where, Location):
            at = where.user
            facts |= {"file": at.file, "line": at.line, "column": at.column + 1}
            where = str(at)
        if reason:
            facts["reason"] = reason
        event = Event(kind, self.program, message, call, specialization, where, then, time.time(), facts)
        self.events.append(event)
        with _lock:
            self.counts[kind] = self.counts.get(kind, 0) + 1
            if kind in REASONED:
                known = self.reasons.setdefault(kind, {})
                cause = clipped(reason or (f"{message} ({where})" if where else message))
                cause = cause if cause in known or len(known) < MAX_REASONS else "others"
                known[cause] = known.get(cause, 0) + 1
        for callback in tuple(_callbacks):
            _notify(callback, event)
        if _shows(event):
            _print(event)
        return event

    def of(self, kind: EventKind | str | None = None) -> list[Event]:
        wanted = None if kind is None else EventKind(kind)
        # A copy in one step: the background thread may be adding to the list itself.
        return [e for e in self.events.copy() if wanted is None or e.kind == wanted]


def _notify(callback: Callable[[Event], None], event: Event) -> None:
    try:
        callback(event)
    except Exception as error:
        with contextlib.suppress(ValueError):  # another thread met the same and was faster
            _callbacks.remove(callback)
        _print(f"[specjit] on_event callback {callback!r} raised {error!r} and was removed")


def _print(line: object) -> None:
    """One line to stderr, where there is one: it may be closed, or a pipe that nobody reads any more."""
    if sys.stderr is not None:
        with contextlib.suppress(OSError, ValueError):
            print(line, file=sys.stderr)


def _shows(event: Event) -> bool:
    words = config.current().log
    if any(event.kind in CHANNELS[word] for word in words) or event.kind in ALWAYS_SHOWN:
        return True
    if event.kind in SHOWN_ONCE_PER_CAUSE:
        cause = (event.kind, event.program, event.location or event.facts.get("reason") or event.message)
        with _lock:
            first = cause not in _shown_causes
            if len(_shown_causes) >= MAX_SHOWN_CAUSES:
                _shown_causes.clear()
            _shown_causes.add(cause)
        return first
    return False


def counted(n: int, what: str, plural: str = "s") -> str:
    """`1 region`, `2 regions`: for what events and reports say."""
    return f"{n} {what}{'' if n == 1 else plural}"
