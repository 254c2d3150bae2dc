"""Which capture a call belongs to, and when to capture anew.

Enters: the values of calls that no variant took, one per parameter. Leaves: the `Site` whose generic code runs them.
Invariant: every table stays within `specjit.limits` and keeps no argument alive. So it is for any number of threads
that call: what is captured or counted once, is so under the Program's lock.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from specjit import locks
from specjit.capture.errors import CaptureError
from specjit.capture.script import capture
from specjit.ir.guard import Guard
from specjit.limits import MAX_CAPTURES, MAX_RECAPTURES, MAX_SCRIPTED, clipped
from specjit.profile.signature import observe
from specjit.runtime.events import EventKind
from specjit.runtime.history import MISS, Retired
from specjit.runtime.site import Site
from specjit.tensor import state

if TYPE_CHECKING:
    from specjit.runtime.program import Program
    from specjit.runtime.variant import Variant


class Sites:
    """The captures of one Program, by the Python structure of the arguments."""

    def __init__(self, program: Program[Any, Any]) -> None:
        self.program = program
        self.by_structure: dict[Any, Site | None] = {}
        self.recaptures = 0
        self.numbered = 0  # specializations begun
        self.vain = 0  # calls in a row that no capture was found for
        self.recent: Site | None = None
        self.full = False  # more structures came than are captured
        self.retired = Retired()
        self.limit = MAX_SCRIPTED if program._options.scripting else MAX_CAPTURES
        self._lock = locks.lock()

    def find(self, values: tuple[Any, ...]) -> Site | None:
        """The site for these arguments, capturing it on first sight; None: this structure runs eagerly (events say
        why)."""
        target = self.program._target
        assert target is not None  # the values were bound to it
        arguments = target.named(values)
        key = observe(arguments, state.is_grad_enabled()).structures
        site = self.by_structure.get(key, MISS)
        if site is MISS or (site is not None and not site.holds(*site.leading, *values)):
            with self._lock:  # one thread captures; the others wait, and find what it found
                site = self._renewed(values, arguments, key)
        self.recent = site
        return site

    def _renewed(self, values: tuple[Any, ...], arguments: dict[str, Any], key: Any) -> Site | None:
        """A site that holds for these arguments: one that there is, or one captured now. Arguments of one structure
        may need several captures (lists of parameters, and of other tensors), which stand side by side."""
        first = None
        for place in itertools.chain((key,), ((key, i) for i in itertools.count(1))):
            site = self.by_structure.get(place, MISS)
            if site is MISS:
                break
            broken = None if site is None else site.captured.checks.failing(*site.leading, *values)
            if broken is None:
                return site
            if not site.captured.checks.of_arguments(broken[0]):
                return self._recapture(arguments, place, broken)
            first = first or broken
        for other in self.by_structure.values():  # a string or an object may differ where the capture does not care
            if other is not None and other.holds(*other.leading, *values):
                return other
        if len(self.by_structure) < self.limit:
            return self._capture(arguments, place)
        if first is not None:
            return self._recapture(arguments, key, first)
        self._too_many()
        return None

    def _too_many(self) -> None:
        if not self.full:
            self.full = True
            reason = f"more structures of arguments came than are captured ({self.limit})"
            hint = "pass containers of fixed lengths, and options as attributes of the model"
            self.program._runs_eagerly(CaptureError("limit", reason, hint=hint))

    def _capture(self, arguments: dict[str, Any], key: Any) -> Site | None:
        program = self.program
        target = program._target
        assert target is not None
        try:
            captured: Any = getattr(target.function, "__specjit_captured__", None) or capture(
                target.function,
                arguments,
                root=target.root,
                strict=program._options.strict or program._options.scripting,
                scripting=program._options.scripting,
                on_event=_forward(program),
            )
            site: Site | None = Site(program, captured, target)
        except CaptureError as error:
            program._runs_eagerly(error)
            site = None
        else:
            nodes, opaque = sum(1 for _ in captured.graph.walk()), len(captured.opaque)
            program._emit(
                EventKind.CAPTURED,
                f"{nodes} nodes, {len(captured.guards)} capture guards"
                + (f", {opaque} places run in Python" if opaque else ""),
                location=captured.graph.attrs["place"],
                nodes=nodes,
                guards=len(captured.guards),
                opaque=opaque,
            )
        self.by_structure[key] = site
        return site

    def _recapture(self, arguments: dict[str, Any], key: Any, broken: tuple[Guard, Any]) -> Site | None:
        guard, actual = broken
        self.recaptures += 1
        again = self.recaptures <= MAX_RECAPTURES
        self.program._counts["misses"] += 1
        self.program._emit(
            EventKind.GUARD_MISS,
            call=self.program._calls + 1,
            message=f"the captured code: {guard.missed(actual)}",
            location=guard.origin,
            then="captured again" if again else "",
            reason=f"{guard.source} {guard.kind}",
            guard=str(guard),
            actual=clipped(repr(actual)),
        )
        old = self.by_structure[key]
        if old is not None:
            old.retire()
        if again:
            return self._capture(arguments, key)
        self.by_structure[key] = None
        reason = f"it was captured {MAX_RECAPTURES} times already, and {guard.source} changed again ({guard.origin})"
        hint = f"keep {guard.source} as it is between calls, or pass it as an argument"
        self.program._runs_eagerly(CaptureError("limit", reason, hint=hint))
        return None

    def abandon(self) -> None:
        """The model's own call is another one now, so nothing that was captured is asked again. Counts as a capture."""
        with self._lock:
            self.recaptures += 1
            for site in list(self.by_structure.values()):
                if site is not None:
                    site.retire()
            self.program._emit(EventKind.GUARD_MISS, "the captured code: a call of the model runs another function now")
            exhausted = self.recaptures > MAX_RECAPTURES
            self.by_structure = dict.fromkeys(self.by_structure) if exhausted else {}
            self.recent = None

    def counted(self) -> tuple[int, int]:
        """Calls and fallbacks of live and evicted variants."""
        with self.program._lock:
            live = [v.counts for v in self.program._variants]
            calls, fallbacks = self.retired.total()
        return calls + sum(c.calls for c in live), fallbacks + sum(c.fallbacks for c in live)

    def retire(self, *gone: Variant) -> None:
        """These variants take no more calls; what they hold can go. Called under the Program's lock."""
        self.program._variants = tuple(v for v in self.program._variants if v not in gone)
        for variant in gone:
            self.retired.add(variant.counts)
        for site in self.by_structure.values():
            for history in [] if site is None else site.histories.values():
                history.variants = [v for v in history.variants if v not in gone]

    def latest(self) -> Site:
        for site in reversed(list(self.by_structure.values())):
            if site is not None:
                return site
        raise RuntimeError(
            "nothing is captured yet: call the Program first (see Program.events('FALLBACK') if it was called)"
        )


def _forward(program: Program[Any, Any]) -> Callable[..., None]:
    def on_event(kind: str, message: str, **facts: Any) -> None:
        program._emit(EventKind(kind), message, **facts)

    return on_event
