"""Which capture, which profile and which variant a call belongs to, and when to build the next one.

Enters: the values of calls that no variant took, one per parameter. Leaves: the `Site` whose generic code runs the
call, and now and then a `Plan`, the order to build a variant.
Invariant: per structure of arguments at most `MAX_CAPTURES` captures; per profile at most one build is pending; live
variants never exceed `max_specializations`. So it is for any number of threads that call: what is counted or decided
once, is so under the Program's lock.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from specjit import locks
from specjit.capture.errors import CaptureError
from specjit.capture.script import capture
from specjit.codegen.python import generate
from specjit.ir.guard import Guard
from specjit.passes import dump
from specjit.profile.lattice import Position, Profile
from specjit.profile.signature import Signature, glance, observe
from specjit.runtime.events import EventKind
from specjit.tensor import state

if TYPE_CHECKING:
    from specjit.runtime.program import Program
    from specjit.runtime.target import Target
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


@dataclass(eq=False)
class Plan:
    """Build variant `number` for `history`; `message` says why; `drop` is a variant to evict first."""

    history: History
    number: int
    message: str
    kind: EventKind
    drop: Variant | None = None


class Sites:
    """The captures of one Program, by the Python structure of the arguments."""

    def __init__(self, program: Program[Any, Any]) -> None:
        self.program = program
        self.by_structure: dict[Any, Site | None] = {}
        self.recaptures = 0
        self.numbered = 0  # specializations begun
        self.recent: Site | None = None
        self.full = False  # more structures came than are captured
        self.retired: list[Variant] = []
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
        """A site that holds for these arguments: the one there is, or one captured now."""
        site = self.by_structure.get(key, MISS)
        if site is MISS:
            if len(self.by_structure) >= MAX_CAPTURES:
                self._too_many()
                return None
            return self._capture(arguments, key)
        broken = None if site is None else site.captured.checks.failing(*site.leading, *values)
        return site if broken is None else self._recapture(arguments, key, broken)

    def _too_many(self) -> None:
        if not self.full:
            self.full = True
            reason = f"more structures of arguments came than are captured ({MAX_CAPTURES})"
            hint = "pass containers of fixed lengths, and options as attributes of the model"
            self.program.runs_eagerly(CaptureError("limit", reason, hint=hint))

    def _capture(self, arguments: dict[str, Any], key: Any) -> Site | None:
        program = self.program
        target = program._target
        assert target is not None
        try:
            captured = capture(
                target.function,
                arguments,
                root=target.root,
                strict=program._options.strict,
                on_event=_forward(program),
            )
            site: Site | None = Site(program, captured, target)
        except CaptureError as error:
            program.runs_eagerly(error)
            site = None
        else:
            nodes, opaque = sum(1 for _ in captured.graph.walk()), len(captured.opaque)
            program.emit(
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
        self.program.emit(
            EventKind.GUARD_MISS,
            call=self.program.calls + 1,
            message=f"the captured code: {guard.missed(actual)}",
            location=guard.origin,
            then="captured again" if again else "",
            reason=f"{guard.source} {guard.kind}",
            guard=str(guard),
            actual=repr(actual),
        )
        old = self.by_structure[key]
        if old is not None:
            old.retire()
        if again:
            return self._capture(arguments, key)
        self.by_structure[key] = None
        reason = f"it was captured {MAX_RECAPTURES} times already, and {guard.source} changed again ({guard.origin})"
        hint = f"keep {guard.source} as it is between calls, or pass it as an argument"
        self.program.runs_eagerly(CaptureError("limit", reason, hint=hint))
        return None

    def abandon(self) -> None:
        """The model's own call is another one now, so nothing that was captured is asked again. Counts as a capture."""
        with self._lock:
            self.recaptures += 1
            for site in list(self.by_structure.values()):
                if site is not None:
                    site.retire()
            self.program.emit(EventKind.GUARD_MISS, "the captured code: a call of the model runs another function now")
            exhausted = self.recaptures > MAX_RECAPTURES
            self.by_structure = dict.fromkeys(self.by_structure) if exhausted else {}
            self.recent = None

    def all_variants(self) -> list[Variant]:
        """Live and evicted variants, for counting."""
        return [*self.program._variants, *self.retired]

    def latest(self) -> Site:
        for site in reversed(list(self.by_structure.values())):
            if site is not None:
                return site
        raise RuntimeError(
            "nothing is captured yet: call the Program first (see Program.events('FALLBACK') if it was called)"
        )


@dataclass
class History:
    """A profile with what was built from it.

    retry_at     the miss count from which a variant is tried again
    quarantined  a variant of it gave wrong results: no other is built
    """

    profile: Profile
    variants: list[Variant] = field(default_factory=list)
    pending: bool = False
    failed_at: int = -1
    misses: int = 0
    retry_at: int = 0
    quarantined: bool = False


class Site:
    """One capture: generic code, profiles, and the variants built from them."""

    def __init__(self, program: Program[Any, Any], captured: Any, target: Target) -> None:
        self.program, self.captured, self.target, self.root = program, captured, target, target.root
        self.leading: tuple[Any, ...] = () if target.root is None else (target.root,)
        self.holds: Callable[..., bool] = captured.checks.all
        code = generate(captured.graph, name=captured.graph.name)
        self.source: str = code.source
        self.generic: Callable[..., Any] = code.fn
        dump(program.name, "capture.ir", lambda: str(captured.graph))
        dump(program.name, "generic.py", lambda: code.source)
        self.histories: dict[Any, History] = {}
        self.resting = 0
        self._quiet = 0
        self._known: dict[Any, tuple[Signature, History]] = {}
        self._megamorphic = False

    def observe(self, values: tuple[Any, ...], enough: bool = False) -> Plan | None:
        """Record the call; a plan when it is time to build."""
        signature, history = self._describe(values)
        taught = history.profile.add(signature)
        built = self.variants()
        history.misses += bool(built)
        plan, then = self._next(signature, history, taught, enough)
        if built:
            runs = "ran generic; " if plan is None or self.program._options.background else ""
            self._missed(built, values, runs + then, plan is not None)
        if plan is not None:
            self.program.emit(plan.kind, plan.message, specialization=plan.number)
        return plan

    def _next(self, signature: Signature, history: History, taught: bool, enough: bool) -> tuple[Plan | None, str]:
        """What to do about a call that was just added to its profile: a plan if it is time to build, and in words."""
        profile, options = history.profile, self.program._options
        if history.pending:
            self._quiet = 0 if taught else self._quiet + 1
            self.resting = RESTS if self._quiet > QUIET else 0
            return None, "a specialization for such calls is being compiled"
        if history.quarantined:
            self.resting = RESTS
            return None, "such calls stay generic: native code for them was quarantined"
        if not history.variants:
            if history.failed_at >= 0 and not taught:
                self.resting = RESTS
                return None, "such calls stay generic: specializing them failed"
            if profile.count < options.warmup and not enough:
                return None, f"{_count(options.warmup - profile.count, 'more such call')} until it is specialized"
            message = f"{_count(profile.count, 'call')} of this kind"
            return self._plan(history, message, "for such calls", EventKind.SPECIALIZE_QUEUED)
        varied = profile.varying()
        if taught and varied:
            what = ", ".join(self._position(signature, c[0]) for c in varied)
            one = "a symbol" if len(varied) == 1 else "symbols"
            return self._plan(history, f"{what} became {one}", f"with {what} as {one}", EventKind.GENERALIZED)
        if history.misses >= history.retry_at:
            message = "a guarded attribute, global or number changed"
            return self._plan(history, message, "for what it is now", EventKind.SPECIALIZE_QUEUED)
        return (
            None,
            f"{_count(history.retry_at - history.misses, 'more such miss', 'es')} until it is specialized again",
        )

    def _describe(self, values: tuple[Any, ...]) -> tuple[Signature, History]:
        """The signature of a call and the history it belongs to."""
        grad = state.is_grad_enabled()
        glanced = glance(values)
        key = None if glanced is None else (glanced, grad)
        known = self._known.get(key) if key is not None else None
        if known is not None:
            return known
        signature = observe(self.target.named(values), grad)
        history = self.histories.setdefault(signature.key(), History(Profile(signature)))
        if key is not None:
            if len(self._known) >= MAX_KNOWN:
                self._known.clear()
            self._known[key] = signature, history
        return signature, history

    def _plan(self, history: History, message: str, purpose: str, kind: EventKind) -> tuple[Plan | None, str]:
        program = self.program
        limit = program._options.max_specializations
        with program._lock:
            if history.pending:  # since a moment ago, by another thread's call
                return None, "a specialization for such calls is being compiled"
            drop = None
            full = len(program._variants) + len(program._adding) >= limit
            first = full and not self._megamorphic
            if first:
                self._megamorphic = True
                history.retry_at = max(64, 2 * history.misses)
            elif full and history.misses >= history.retry_at:
                history.retry_at = max(64, 2 * history.misses)
                drop = min(program._variants, key=lambda v: v.last_used, default=None)
            history.pending = not full or drop is not None
            if history.pending:
                program._sites.numbered += 1
                plan = Plan(history, program._sites.numbered, message, kind, drop)
                program._adding |= {plan} if drop is None else set()
                return plan, f"next: #{plan.number} {purpose}"
        if first:
            program.emit(
                EventKind.MEGAMORPHIC,
                f"{limit} specializations are live (the limit): other kinds of call run generic",
                then=f"raise max_specializations (now {limit}), or call it with fewer kinds of shapes and dtypes",
            )
        self.resting = RESTS
        return None, "the limit of max_specializations is reached: such calls stay generic for now"

    def abandon(self, plan: Plan) -> None:
        """`plan` is done with, or not carried out after all: a later call may make another."""
        with self.program._lock:
            self.program._adding.discard(plan)
            plan.history.pending = False

    def variants(self) -> list[Variant]:
        """The live variants of this capture."""
        live = self.program._variants
        return [v for h in list(self.histories.values()) for v in h.variants if v in live]

    def _missed(self, built: list[Variant], values: tuple[Any, ...], then: str, always: bool) -> None:
        """Tell of a call that none of `built` took: all of the first ones, later every hundredth (or `always`)."""
        program = self.program
        count = program._counts["misses"] = program._counts["misses"] + 1
        if count > EXPLAINED_MISSES and not always and count % EXPLAINED_MISSES:
            return
        from specjit.runtime.variant import closest

        found = closest(built, self.target.named(values))
        if found is None:
            message = "a specialization was published during the call, or the call's memory is not aligned"
            call = program.calls + 1
            program.emit(EventKind.GUARD_MISS, message, call=call, then=then, reason="no guard that is listed")
            return
        variant, failures = found
        guard, actual = failures[0]
        more = f" (and {_count(len(failures) - 1, 'other guard')})" if len(failures) > 1 else ""
        rest = f"; of further misses one in {EXPLAINED_MISSES} is told" if count == EXPLAINED_MISSES else ""
        program.emit(
            EventKind.GUARD_MISS,
            call=program.calls + 1,
            message=f"closest #{variant.number}: {guard.missed(actual)}{more}",
            location=guard.origin,
            then=then + rest,
            reason=f"{guard.source} {guard.kind}",
            closest=variant.number,
            guard=str(guard),
            actual=repr(actual),
            failures=[[str(g), repr(a)] for g, a in failures],
        )

    def explain_miss(self, values: tuple[Any, ...]) -> str:
        """The closest variant and the first guard that it fails for these arguments."""
        from specjit.runtime.variant import closest

        found = closest(self.variants(), self.target.named(values))
        if found is None:
            return "no specialization misses"
        variant, ((guard, actual), *_) = found
        where = f" ({guard.origin})" if guard.origin else ""
        return f"closest #{variant.number}: {guard.missed(actual)}{where}"

    def _position(self, signature: Signature, at: Position) -> str:
        from specjit.profile.signature import sources

        return f"{sources(signature)[at[0]]}.shape[{at[1]}]"

    def build(self, plan: Plan, disabled: frozenset[str]) -> None:
        """Build and publish the variant (on the background thread, or in the call with background=False)."""
        from specjit.runtime.build import build_variant
        from specjit.specialize.abstract import Refused

        history = plan.history
        program = self.program
        try:
            variant = build_variant(self, plan, disabled)
            with program._lock:
                program._adding.discard(plan)
                live = [v for v in program._variants if v is not plan.drop]
                if plan.drop is not None:
                    self.program._sites.retired.append(plan.drop)
                    program.emit(
                        EventKind.EVICTED,
                        f"used longest ago, it made room for #{plan.number}",
                        specialization=plan.drop.number,
                    )
                program._variants = (*live, variant)
            history.variants.append(variant)
            history.failed_at = -1
        except Refused as refused:
            history.failed_at = history.profile.count
            if program._options.strict:
                raise
            program.refused(refused, plan.number)
        except BaseException:
            history.failed_at = history.profile.count
            raise
        finally:
            history.retry_at = max(4, 2 * history.misses + 4)
            self.abandon(plan)
            self.resting = self._quiet = 0

    def quarantine(self, variant: Variant) -> None:
        """`variant` gave a wrong result: it goes, and no other is built for its kind of call."""
        program = self.program
        with program._lock:
            program._variants = tuple(v for v in program._variants if v is not variant)
            program._sites.retired.append(variant)
            for history in list(self.histories.values()):
                history.quarantined |= variant in history.variants

    def retire(self) -> None:
        """This capture is no longer right: its variants go."""
        program = self.program
        with program._lock:
            mine = [v for h in list(self.histories.values()) for v in h.variants]
            program._variants = tuple(v for v in program._variants if v not in mine)
            program._sites.retired.extend(mine)


def _count(n: int, what: str, plural: str = "s") -> str:
    return f"{n} {what}{'' if n == 1 else plural}"


def _forward(program: Program[Any, Any]) -> Callable[..., None]:
    def on_event(kind: str, message: str, **facts: Any) -> None:
        program.emit(EventKind(kind), message, **facts)

    return on_event
