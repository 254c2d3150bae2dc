"""Which capture, which profile and which variant a call belongs to, and when to build the next one.

Enters: the values of calls that no variant took, one per parameter. Leaves: the `Site` whose generic code runs the
call, and now and then a `Plan`, the order to build a variant.
Invariant: per structure of arguments at most `MAX_CAPTURES` captures; per profile at most one build is pending; live
variants never exceed `max_specializations`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from specjit.capture.errors import CaptureError
from specjit.capture.script import capture
from specjit.codegen.python import generate
from specjit.profile.lattice import Position, Profile
from specjit.profile.signature import Signature, glance, observe
from specjit.runtime.events import EventKind
from specjit.tensor import state

if TYPE_CHECKING:
    from specjit.runtime.program import Program
    from specjit.runtime.variant import Variant

MAX_CAPTURES = 8
MAX_RECAPTURES = 16
EXPLAINED_MISSES = 100
RESTS = 15  # a site that learns nothing looks at every 16th call only
QUIET = 8  # so many calls must teach nothing, while a compile is pending, before the site rests
MAX_KNOWN = 64  # arguments whose signature is remembered by a cheap key


class _Miss:
    def __repr__(self) -> str:
        return "MISS"


MISS: Any = _Miss()


@dataclass
class Plan:
    """Build a variant for `profile`; `message` says why; `drop` is a variant to evict first."""

    profile: Profile
    message: str
    kind: EventKind = EventKind.SPECIALIZE_QUEUED
    drop: Variant | None = None


class Sites:
    """The captures of one Program, by the Python structure of the arguments."""

    def __init__(self, program: Program[Any, Any]) -> None:
        self.program = program
        self.by_structure: dict[Any, Site | None] = {}
        self.recaptures = 0
        self.recent: Site | None = None
        self.retired: list[Variant] = []
        self._lock = threading.Lock()

    def find(self, values: tuple[Any, ...]) -> Site | None:
        """The site for these arguments, capturing it on first sight; None: this structure runs eagerly (events say
        why)."""
        recent = self.recent
        if recent is not None and recent.holds(*recent.leading, *values):
            return recent
        arguments = self.program._named(values)
        key = observe(arguments, state.is_grad_enabled()).structures
        site = self.by_structure.get(key, MISS)
        if site is MISS:
            if len(self.by_structure) >= MAX_CAPTURES:
                return None
            site = self._capture(arguments, key)
        elif site is not None:
            broken = site.captured.check(*site.leading, *values)
            if broken is not None:
                site = self._recapture(arguments, key, broken)
        self.recent = site
        return site

    def _capture(self, arguments: dict[str, Any], key: Any) -> Site | None:
        with self._lock:
            program = self.program
            model = program._model
            root = None if program._function is model else model
            try:
                captured = capture(
                    program._function, arguments, root=root, strict=program._options.strict, on_event=_forward(program)
                )
                site: Site | None = Site(program, captured, root)
            except CaptureError as error:
                if program._options.strict:
                    raise
                site = None
                where = f"{error.location.file}:{error.location.line}" if error.location else ""
                program.emit(EventKind.FALLBACK, f"runs as plain Python: {error}", location=where)
            else:
                nodes = sum(1 for _ in captured.graph.walk())
                program.emit(EventKind.CAPTURED, f"{nodes} nodes, {len(captured.guards)} capture guards", nodes=nodes)
            self.by_structure[key] = site
            return site

    def _recapture(self, arguments: dict[str, Any], key: Any, broken: Any) -> Site | None:
        self.program.emit(EventKind.GUARD_MISS, f"capture guard failed: {broken}", guard=str(broken))
        self.recaptures += 1
        old = self.by_structure[key]
        if self.recaptures > MAX_RECAPTURES:
            self.program.emit(
                EventKind.FALLBACK, f"captured {MAX_RECAPTURES} times already: runs as plain Python from now on"
            )
            self.by_structure[key] = None
        if old is not None:
            old.retire()
        return None if self.recaptures > MAX_RECAPTURES else self._capture(arguments, key)

    def all_variants(self) -> list[Variant]:
        """Live and evicted variants, for counting."""
        return [*self.program._variants, *self.retired]

    def latest(self) -> Site:
        for site in reversed(self.by_structure.values()):
            if site is not None:
                return site
        raise RuntimeError(
            "nothing is captured yet: call the Program first (see Program.events('FALLBACK') if it was called)"
        )


@dataclass
class History:
    """A profile with what was built from it. `retry_at`: the miss count from which a megamorphic site tries again."""

    profile: Profile
    variants: list[Variant] = field(default_factory=list)
    pending: bool = False
    failed_at: int = -1
    misses: int = 0
    retry_at: int = 0


class Site:
    """One capture: generic code, profiles, and the variants built from them."""

    def __init__(self, program: Program[Any, Any], captured: Any, root: Any) -> None:
        self.program, self.captured, self.root = program, captured, root
        self.leading: tuple[Any, ...] = () if root is None else (root,)
        self.holds: Callable[..., bool] = captured.checks.all
        code = generate(captured.graph, name=captured.graph.name)
        self.source: str = code.source
        self.generic: Callable[..., Any] = code.fn
        self.histories: dict[Any, History] = {}
        self.resting = 0
        self._quiet = 0
        self._known: dict[Any, tuple[Signature, History]] = {}
        self._megamorphic = False

    def observe(self, values: tuple[Any, ...], enough: bool = False) -> Plan | None:
        """Record the call; a plan when it is time to build."""
        signature, history = self._describe(values)
        profile = history.profile
        taught = profile.add(signature)
        options = self.program._options
        built = self.variants()
        if built:
            self._missed(history, built, values)
        if history.pending:
            self._quiet = 0 if taught else self._quiet + 1
            self.resting = RESTS if self._quiet > QUIET else 0
            return None
        if not history.variants:
            if history.failed_at >= 0 and not taught:
                self.resting = RESTS
                return None
            if profile.count < options.warmup and not enough:
                return None
            return self._plan(history, f"after {profile.count} calls", EventKind.SPECIALIZE_QUEUED)
        varied = profile.varying()
        if taught and varied:
            what = ", ".join(self._position(signature, c[0]) for c in varied)
            return self._plan(history, f"{what} became a symbol", EventKind.GENERALIZED)
        if history.misses >= history.retry_at:
            return self._plan(history, "a guarded attribute or global changed", EventKind.SPECIALIZE_QUEUED)
        return None

    def _describe(self, values: tuple[Any, ...]) -> tuple[Signature, History]:
        """The signature of a call and the history it belongs to."""
        grad = state.is_grad_enabled()
        glanced = glance(values)
        key = None if glanced is None else (glanced, grad)
        known = self._known.get(key) if key is not None else None
        if known is not None:
            return known
        signature = observe(self.program._named(values), grad)
        history = self.histories.get(signature.key())
        if history is None:
            history = self.histories[signature.key()] = History(Profile(signature))
        if key is not None:
            if len(self._known) >= MAX_KNOWN:
                self._known.clear()
            self._known[key] = signature, history
        return signature, history

    def _plan(self, history: History, message: str, kind: EventKind) -> Plan | None:
        program = self.program
        drop = None
        if len(program._variants) >= program._options.max_specializations:
            if not self._megamorphic:
                self._megamorphic = True
                history.retry_at = max(64, 2 * history.misses)
                program.emit(
                    EventKind.MEGAMORPHIC,
                    f"{len(program._variants)} specializations are live (the limit); further shapes run generic",
                )
            if history.misses < history.retry_at:
                self.resting = RESTS
                return None
            history.retry_at = max(64, 2 * history.misses)
            drop = min(program._variants, key=lambda v: v.last_used)
        history.pending = True
        plan = Plan(history.profile, message, kind, drop)
        program.emit(kind, message)
        return plan

    def variants(self) -> list[Variant]:
        """The live variants of this capture."""
        live = self.program._variants
        return [v for h in self.histories.values() for v in h.variants if v in live]

    def _missed(self, history: History, built: list[Variant], values: tuple[Any, ...]) -> None:
        history.misses += 1
        program = self.program
        program._counts["misses"] += 1
        if program._counts["misses"] > EXPLAINED_MISSES and not history.pending and history.misses % 100:
            return
        from specjit.runtime.variant import closest

        found = closest(built, program._named(values))
        if found is None:
            return
        variant, failures = found
        guard, actual = failures[0]
        program.emit(
            EventKind.GUARD_MISS,
            f"{_told(variant, guard, actual)}; ran generic",
            guard=str(guard),
            actual=repr(actual),
            failures=len(failures),
        )

    def explain_miss(self, values: tuple[Any, ...]) -> str:
        """The closest variant and the first guard that it fails for these arguments."""
        from specjit.runtime.variant import closest

        found = closest(self.variants(), self.program._named(values))
        return "no variant misses" if found is None else _told(found[0], *found[1][0])

    def _position(self, signature: Signature, at: Position) -> str:
        from specjit.profile.signature import sources

        return f"{sources(signature)[at[0]]}.shape[{at[1]}]"

    def build(self, plan: Plan, disabled: frozenset[str]) -> None:
        """Build and publish the variant (on the background thread, or in the call with background=False)."""
        from specjit.runtime.build import build_variant
        from specjit.specialize.abstract import Refused

        history = self.histories[plan.profile.first.key()]
        program = self.program
        try:
            variant = build_variant(self, plan.profile, disabled)
            with program._lock:
                live = [v for v in program._variants if v is not plan.drop]
                if plan.drop is not None:
                    self.program._sites.retired.append(plan.drop)
                    program.emit(
                        EventKind.EVICTED, "the least recently used made room", specialization=plan.drop.number
                    )
                program._variants = (*live, variant)
            history.variants.append(variant)
            history.failed_at = -1
        except Refused as refused:
            history.failed_at = plan.profile.count
            where = str(refused.loc) if refused.loc else ""
            program.emit(EventKind.SPECIALIZE_FAILED, f"stays generic: {refused.reason}", location=where)
            if program._options.strict:
                raise
        except BaseException:
            history.failed_at = plan.profile.count
            raise
        finally:
            history.retry_at = max(4, 2 * history.misses + 4)
            history.pending = False
            self.resting = self._quiet = 0

    def retire(self) -> None:
        """This capture is no longer right: its variants go."""
        program = self.program
        with program._lock:
            mine = [v for h in self.histories.values() for v in h.variants]
            program._variants = tuple(v for v in program._variants if v not in mine)
            program._sites.retired.extend(mine)


def _told(variant: Variant, guard: Any, actual: Any) -> str:
    what = guard.source if guard.kind in ("size", "value") else f"{guard.source} {guard.kind}"
    return f"closest #{variant.number}: {what} expected {guard.expected}, got {actual}"


def _forward(program: Program[Any, Any]) -> Callable[..., None]:
    def on_event(kind: str, message: str, **facts: Any) -> None:
        program.emit(EventKind(kind), message, **facts)

    return on_event
