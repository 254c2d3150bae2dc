"""One capture: its generic code, the profiles of its calls, and when to build the next variant.

Enters: the values of calls that no variant took, one per parameter. Leaves: now and then a `Plan`.
Invariant: per profile at most one build is pending; live variants never exceed `max_specializations`. So it is for any
number of threads that call: what is counted or decided once, is so under the Program's lock.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from specjit.codegen.generic.python import generate
from specjit.limits import MAX_GLANCES, MAX_PROFILES, clipped
from specjit.passes import dump
from specjit.profile.lattice import Position, Profile
from specjit.profile.signature import Signature, glance, leaves, observe
from specjit.runtime import gate
from specjit.runtime.events import EventKind, counted
from specjit.runtime.history import MISS, History, Plan, Scope
from specjit.tensor import state

if TYPE_CHECKING:
    from specjit.runtime.parts import Part
    from specjit.runtime.program import Program
    from specjit.runtime.target import Target
    from specjit.runtime.variant import Variant
    from specjit.specialize.abstract import Refused

EXPLAINED_MISSES = 100
RESTS = 15  # a site that learns nothing looks at every 16th call only
SHARED = "such calls stay generic: one argument is written and shares memory with another"
QUIET = 8  # so many calls must teach nothing, while a compile is pending, before the site rests


class Site:
    """One capture: generic code, profiles, and the variants built from them."""

    def __init__(self, program: Program[Any, Any], captured: Any, target: Target) -> None:
        self.program, self.captured, self.target, self.root = program, captured, target, target.root
        self.leading: tuple[Any, ...] = () if target.root is None else (target.root,)
        self.holds: Callable[..., bool] = captured.checks.all
        code = generate(captured.graph, name=captured.graph.name)
        self.source: str = code.source
        self.generic: Callable[..., Any] = code.fn
        dump(program._log_name, "capture.ir", lambda: str(captured.graph))
        dump(program._log_name, "generic.py", lambda: code.source)
        self.parts: list[Part] = []  # of a graph that is not specialized as a whole
        self.histories: dict[Any, History] = {}
        self.resting = 0
        self.settled = False  # the latest call was of a kind that no native code will come for
        self._quiet = 0
        self._glanced: dict[Any, tuple[Signature, History]] = {}
        self._megamorphic = False

    def observe(self, values: tuple[Any, ...], enough: bool = False) -> Plan | None:
        """Record the call; a plan when it is time to build."""
        signature, history = self._describe(values)
        taught = history.profile.add(signature)
        built = self.variants()
        if any(v.apart.failures(leaves(signature, self.target.named(values))) for v in history.variants):
            plan, then = None, SHARED
        else:
            history.misses += bool(built)
            plan, then = self._next(signature, history, taught, enough)
        if built:
            runs = "ran generic; " if plan is None or self.program._options.background else ""
            self._missed(built, values, runs + then, plan is not None)
        if plan is not None:
            self.program._emit(plan.kind, plan.message, specialization=plan.number)
        return plan

    def _next(self, signature: Signature, history: History, taught: bool, enough: bool) -> tuple[Plan | None, str]:
        """What to do about a call that was just added to its profile: a plan if it is time to build, and in words."""
        profile, options = history.profile, self.program._options
        scope = history.scope(profile)
        self.settled = False
        if history.pending:
            self._quiet = 0 if taught else self._quiet + 1
            self.resting = RESTS if self._quiet > QUIET else 0
            return None, "a specialization for such calls is being compiled"
        if history.quarantined:
            self.resting, self.settled = RESTS, True
            return None, "such calls stay generic: native code for them was quarantined"
        if profile.count < history.unpaid_until:
            self.settled = True
            return None, "such calls stay in Python, which is faster"
        if self.parts and not history.built:
            self.resting = RESTS
            return None, "such calls run in parts"
        if not history.built:
            if scope is Scope.NONE or (history.failed_at >= 0 and not taught and scope is Scope.EVERY):
                self.resting, self.settled = RESTS, True
                return None, "such calls stay generic: specializing them failed"
            if profile.count < options.warmup and not enough:
                return None, f"{counted(options.warmup - profile.count, 'more such call')} until it is specialized"
            message = f"{counted(profile.count, 'call')} of this kind"
            return self._plan(history, message, "for such calls", EventKind.SPECIALIZE_QUEUED)
        varied = profile.varying()
        if scope is not Scope.EVERY and taught:
            return None, "such calls stay generic unless they come again: specializing for whatever varies failed"
        if taught and varied:
            what = ", ".join(self._position(signature, c[0]) for c in varied)
            one = "a symbol" if len(varied) == 1 else "symbols"
            return self._plan(history, f"{what} became {one}", f"with {what} as {one}", EventKind.GENERALIZED)
        if history.misses >= history.retry_at:
            message = "a guarded attribute, global or number changed"
            if scope is not Scope.EVERY:
                message = "such calls came again; for all that vary, it failed"
            return self._plan(history, message, "for what it is now", EventKind.SPECIALIZE_QUEUED)
        return (
            None,
            f"{counted(history.retry_at - history.misses, 'more such miss', 'es')} until it is specialized again",
        )

    def _describe(self, values: tuple[Any, ...]) -> tuple[Signature, History]:
        """The signature of a call and the history it belongs to."""
        grad = state.is_grad_enabled()
        glanced = glance(values)
        key = None if glanced is None else (glanced, grad)
        known = self._glanced.get(key) if key is not None else None
        if known is not None:
            return known
        signature = observe(self.target.named(values), grad)
        kind = signature.key()
        with self.program._lock:
            history = self.histories.get(kind)
            if history is None:
                self._make_room()
                history = self.histories[kind] = History(Profile(signature))
            if key is not None:
                if len(self._glanced) >= MAX_GLANCES:
                    self._glanced.clear()
                self._glanced[key] = signature, history
        return signature, history

    def _make_room(self) -> None:
        """Forget profiles of which no call can come any more, or, when there are too many, the oldest that nothing was
        built from. Where kinds of calls come and go like that, there is little to learn: the site rests."""
        live = self.program._variants
        idle = {k: h for k, h in self.histories.items() if not h.pending and not any(v in live for v in h.variants)}
        drop = [k for k in idle if any(s.gone for s in k[0])]
        if not drop and len(self.histories) >= MAX_PROFILES:
            drop = sorted(idle, key=lambda k: idle[k].quarantined)[:1]  # the sort is stable: the oldest first
        for k in drop:
            del self.histories[k]
        if drop:
            self._glanced.clear()
            self.resting = RESTS

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
            program._emit(
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
            call = program._calls + 1
            program._emit(EventKind.GUARD_MISS, message, call=call, then=then, reason="no guard that is listed")
            return
        variant, failures = found
        guard, actual = failures[0]
        more = f" (and {counted(len(failures) - 1, 'other guard')})" if len(failures) > 1 else ""
        rest = f"; of further misses one in {EXPLAINED_MISSES} is told" if count == EXPLAINED_MISSES else ""
        program._emit(
            EventKind.GUARD_MISS,
            call=program._calls + 1,
            message=f"closest #{variant.number}: {guard.missed(actual)}{more}",
            location=guard.origin,
            then=then + rest,
            reason=f"{guard.source} {guard.kind}",
            closest=variant.number,
            guard=str(guard),
            actual=clipped(repr(actual)),
            failures=[[str(g), clipped(repr(a))] for g, a in failures],
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
        profile = history.profile.frozen()
        scope = history.scope(profile)
        try:
            variant = build_variant(self, profile, scope, plan.number, disabled)
            gate.begin(self, variant, MISS)
            with program._lock:
                program._adding.discard(plan)
                if plan.drop is not None:
                    program._sites.retire(plan.drop)
                    program._emit(
                        EventKind.EVICTED,
                        f"used longest ago, it made room for #{plan.number}",
                        specialization=plan.drop.number,
                    )
                program._variants = (*program._variants, variant)
                history.variants = [*history.variants, variant]
                history.built += 1
                program._rest.end()
            history.failed_at, history.retry_at = -1, self._later(history)
        except Refused as refused:
            history.failed_at = history.profile.count
            history.retry_at = self._later(history)
            if program._options.strict:
                raise
            left = history.refuse(profile, scope)
            self._remember(refused, plan, left)
            history.retry_at = history.misses + 1 if left < Scope.NONE else self._later(history)
        except BaseException:
            history.failed_at = history.profile.count
            history.retry_at = self._later(history)
            raise
        finally:
            self.abandon(plan)
            self.resting = self._quiet = 0

    @staticmethod
    def _later(history: History) -> int:
        """The miss count from which to specialize again: ever more calls apart."""
        return max(4, 2 * history.misses + 4)

    def _remember(self, refused: Refused, plan: Plan, left: Scope) -> None:
        """Specializing failed: tell why, once for each reason, and what becomes of such calls."""
        then = "such calls are specialized for what does not vary, when they come again" if left < Scope.NONE else ""
        if not plan.history.built:
            self._split()
            parts = counted(len(self.parts), "part")
            then = f"the code between its opaque lines is specialized in {parts}" if self.parts else then
        if str(refused) not in plan.history.told:
            plan.history.told.add(str(refused))
            self.program._refused(refused, plan.number, then)

    def _split(self) -> None:
        """Specialize the code between opaque lines on its own, from now on."""
        from specjit.runtime.parts import split

        found = None if self.parts else split(self)
        if found is not None:
            code, self.parts = found
            self.generic = code.fn

    def quarantine(self, variant: Variant) -> None:
        """`variant` gave a wrong result: it goes, and no other is built for its kind of call."""
        with self.program._lock:
            for history in list(self.histories.values()):
                history.quarantined |= variant in history.variants
            self.program._sites.retire(variant)

    def unpaid(self, variant: Variant, native: float, python: float) -> None:
        """`variant` is slower than the model itself: it goes, until the calls may have become others."""
        program = self.program
        with program._lock:
            for history in list(self.histories.values()):
                if variant in history.variants:
                    history.unpaid_until = 64 + 4 * history.profile.count
                    history.retry_at = history.misses
            program._sites.retire(variant)
        program._emit(
            EventKind.EVICTED,
            f"native code took {native * 1e6:.1f} us a call, plain Python {python * 1e6:.1f} us",
            specialization=variant.number,
            then="such calls run as plain Python",
            native=native,
            python=python,
        )

    def retire(self) -> None:
        """This capture is no longer right: its variants go."""
        with self.program._lock:
            self.program._sites.retire(*(v for h in list(self.histories.values()) for v in h.variants))
