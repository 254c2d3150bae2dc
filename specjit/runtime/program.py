"""`Program`: what `specjit.optimize` returns.

Enters: a model (an `nn.Module` or a function) and its calls. Leaves: the model's results, by the fastest road whose
guards hold. Invariant: `_variants` is an immutable tuple that is replaced, never changed, so a call sees a variant
whole or not at all.

The road of a call: variants in order; else `_slow`: capture (once per structure), observe, run the generic code; in
the background a profile with enough calls becomes a variant.
"""

from __future__ import annotations

import copy
import threading
import time
import traceback
import weakref
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Generic, ParamSpec, TypeVar

from specjit import config, locks
from specjit.capture.errors import CaptureError
from specjit.ir.graph import Graph
from specjit.nn import Module
from specjit.runtime import stance as stances
from specjit.runtime.dispatch import Sites
from specjit.runtime.events import Event, EventKind, EventLog
from specjit.runtime.history import MISS, Plan, Rest
from specjit.runtime.options import Options
from specjit.runtime.site import QUIET, Site
from specjit.runtime.target import Target, target_of
from specjit.runtime.variant import Variant
from specjit.specialize.abstract import Refused
from specjit.tensor import state

P = ParamSpec("P")
R = TypeVar("R")

_OWN = frozenset(
    {
        "_model",
        "_options",
        "_log",
        "_sites",
        "_variants",
        "_lock",
        "_idle",
        "_pending",
        "_adding",
        "_counts",
        "_seconds",
        "_target",
        "_failure",
        "_closed",
        "_rest",
        "_no_target",
    }
)


class Program(Generic[P, R]):
    """A model that optimizes itself while it is called. See `specjit.optimize` for the options.

    Anything that is not a name of Program itself (parameters(), state_dict(), train(), attributes, ...) is the
    model's."""

    def __init__(self, model: Callable[P, R], **options: Any) -> None:
        if not callable(model):
            raise TypeError(f"specjit.optimize takes a Module or a function, got {type(model).__name__}: {model!r}")
        inner = getattr(model, "__specjit_model__", None)
        self._model: Any = model if inner is None else inner
        self._options = Options(**options)
        self._target: Target | None = None
        self._closed = False
        self._rest = Rest()
        self._log = EventLog(self._options.name or _name_of(self._model))
        self._sites = Sites(self)
        self._variants: tuple[Variant, ...] = ()
        self._lock = locks.lock()
        self._idle = threading.Condition(self._lock)
        self._pending = 0
        self._adding: set[Plan] = set()  # those under way that will add to `_variants`
        self._counts = {"generic": 0, "eager": 0, "misses": 0}
        self._seconds = 0.0
        self._failure: BaseException | None = None
        self._no_target = ""
        self._follow()
        _PROGRAMS.add(self)

    # -- calling ------------------------------------------------------------------------------------------------------

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        if not stances.engaged.count and not config.slow_road.count:
            try:
                for variant in self._variants:
                    # Handing on a dict without names costs as much as a small function.
                    out = variant.entry(*args, **kwargs) if kwargs else variant.entry(*args)
                    if out is not MISS:
                        return out
            except TypeError:
                if self._bind(args, kwargs) is not None:
                    raise
                # The call does not fit the parameters: the model itself says so in its own words.
            rest = self._rest
            if rest.left > 0:
                rest.left -= 1
                return self._model(*args, **kwargs) if kwargs else self._model(*args)
        return self._slow(args, kwargs)

    def _slow(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> R:
        """No variant took the call (or a setting wants a look at every call)."""
        if state.recorders and state.thread.recorder is not None:
            return self._recorded(state.thread.recorder, args, kwargs)
        counts = self._counts
        stance = stances.current() if stances.engaged.count else stances.DEFAULT
        if stances.engaged.count or config.slow_road.count:
            verify_every = 0
            if config.slow_road.count:
                settings = config.current()
                verify_every = settings.verify
                if not settings.enabled:
                    counts["eager"] += 1
                    return self._model(*args, **kwargs)
            for variant in self._variants if stance.kind != "generic" else ():
                verify = verify_every and self._calls % verify_every == 0
                out = self._verified(variant, args, kwargs) if verify else variant.entry(*args, **kwargs)
                if out is not MISS:
                    return out
        values = self._bind(args, kwargs)
        site = self._sites.recent
        if site is None or values is None or not site.holds(*site.leading, *values):
            self._follow()
            values = self._bind(args, kwargs)
            site = self._sites.find(values) if values is not None else None
        if site is None:
            self._sites.vain += 1
            if self._options.scripting:
                raise self._unscripted(args, kwargs)
            if self._sites.vain > QUIET:
                self._rest.begin()
            counts["eager"] += 1
            return self._model(*args, **kwargs)
        self._sites.vain = 0
        assert values is not None
        if stance.kind != "generic":
            if site.resting > 0 and not stances.engaged.count:
                site.resting -= 1
            else:
                self._observe(site, values)
                if site.settled and not self._options.scripting:
                    self._rest.begin()
            for variant in self._variants if not self._options.background else ():
                out = variant.entry(*args, **kwargs)
                if out is not MISS:
                    return out
        counts["generic"] += 1
        return site.generic(*site.leading, *values)

    def _recorded(self, recorder: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """A call within `jit.trace`: the model itself runs, so that the trace sees its operations."""
        return self._model(*args, **kwargs)

    def _unscripted(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Exception:
        """The error for a call that has no captured code, where plain Python would be another program."""
        if self._target is not None and self._bind(args, kwargs) is None:
            try:
                self._model(*args, **kwargs)  # does not fit the parameters, and says so before any of it runs
            except TypeError as error:
                return error
        told = self.events(EventKind.FALLBACK)
        return CaptureError("limit", told[-1].message if told else self._no_target or "it is closed")

    def _verified(self, variant: Variant, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        from specjit.runtime.verify import run_both

        return run_both(self, variant, args, kwargs)

    def _follow(self) -> None:
        """Take note of what a call of the model comes down to now: a forward may have been replaced, hooks added."""
        if self._closed:
            return
        try:
            target = target_of(self._model, self._target)
        except CaptureError as error:
            if str(error) != self._no_target:
                self._no_target = str(error)
                self._runs_eagerly(error)
            target = None
        if target is not self._target:
            with self._lock:
                if self._target is not None:
                    self._sites.abandon()
                self._target = target

    def _bind(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, ...] | None:
        """The value of every parameter; None where the call does not fit (the original then raises its own error)."""
        target = self._target
        if target is None:
            return None
        return args if not kwargs and len(args) == target.arity else target.bind(args, kwargs)

    def _observe(self, site: Site, values: tuple[Any, ...]) -> None:
        stance = stances.current()
        if stance.kind == "fail_on_miss" and site.variants():
            raise RuntimeError(f"specjit stance fail_on_miss: {site.explain_miss(values)}")
        plan = site.observe(values)
        if plan is None:
            return
        if stance.kind == "fail_on_compile":
            site.abandon(plan)
            raise RuntimeError(f"specjit stance fail_on_compile: this call would compile ({plan.message})")
        self._start(site, plan, stance.disable)

    def _start(self, site: Site, plan: Plan, disabled: frozenset[str]) -> None:
        """Carry out `plan`."""
        self._start_job(lambda: site.build(plan, disabled), plan.number, lambda: site.abandon(plan))

    def _start_job(self, job: Callable[[], None], number: int, abandon: Callable[[], None] = lambda: None) -> None:
        """Do a job for specialization `number` in the background (or now, with background=False), counted by
        `wait`."""
        from specjit.runtime import service

        with self._lock:
            self._pending += 1
        if not self._options.background:
            self._carry_out(job)
            return
        try:
            service.submit(lambda: self._carry_out(job))
        except RuntimeError as error:
            abandon()
            self._finished(0.0)
            then = "such calls stay generic until a thread can be started"
            self._emit(EventKind.SPECIALIZE_FAILED, str(error), then=then, specialization=number)

    def _carry_out(self, job: Callable[[], None]) -> None:
        from specjit.runtime import service

        start = time.perf_counter()
        try:
            if not service.closing():
                job()
        except Refused as refused:  # only under strict
            self._failure = refused
            self._refused(refused)
        except BaseException as error:
            self._failure = error
            self._emit(
                EventKind.SPECIALIZE_FAILED,
                f"{type(error).__name__}: {str(error).partition(chr(10))[0]}",
                then="such calls stay generic. Please report it, with facts['traceback'] of this event",
                reason=type(error).__name__,
                traceback="".join(traceback.format_exception(error)),
            )
            if not (self._options.background or isinstance(error, Exception)):
                raise
        finally:
            self._finished(time.perf_counter() - start)

    def _finished(self, seconds: float) -> None:
        """A plan that was started is over."""
        with self._lock:
            self._seconds += seconds
            self._pending -= 1
            self._idle.notify_all()

    def _begin_anew(self) -> None:
        """In a forked child: the thread that carries out what is pending exists in the parent only."""
        self._pending = 0
        for site in list(self._sites.by_structure.values()):
            for history in [] if site is None else list(site.histories.values()):
                history.pending = False
        self._adding.clear()

    # -- what a user asks ---------------------------------------------------------------------------------------------

    def _prepare(self, calls: Iterable[tuple[tuple[Any, ...], dict[str, Any]]]) -> None:
        """Capture ahead of time for arguments of the structure of these; nothing is observed or compiled."""
        self._follow()
        for args, kwargs in calls:
            values = None if self._target is None else self._target.bind(args, kwargs)
            if values is not None:
                self._sites.find(values)

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until no compile of this Program is pending; `timeout` in seconds, None for ever. True if none is
        pending.

        Under `strict=True` a failure of the background work is raised here."""
        end = None if timeout is None else time.monotonic() + timeout
        with self._lock:
            done = self._idle.wait_for(lambda: self._pending == 0, timeout)
        for site in list(self._sites.by_structure.values()):
            for part in [] if site is None else site.parts:
                done = part.wait(None if end is None else max(0.0, end - time.monotonic())) and done
        if done and self._failure is not None and self._options.strict:
            failure, self._failure = self._failure, None
            raise failure
        return done

    def warmup(self, examples: Iterable[Any]) -> None:
        """Profile and compile ahead of time for these calls, without running the model.

        examples: an iterable of argument tuples (a bare non-tuple is one argument). Returns when the variants are
        published."""
        for example in examples:
            args = example if isinstance(example, tuple) else (example,)
            self._follow()
            values = self._bind(args, {})
            if values is None:
                what = "the model" if self._target is None else self._target.signature
                raise TypeError(f"warmup: the arguments {[type(a).__name__ for a in args]} do not fit {what}")
            site = self._sites.find(values)
            if site is None:
                raise RuntimeError(f"warmup: {self._log_name} cannot be captured; see Program.events('FALLBACK')")
            plan = site.observe(values, enough=True)
            if plan is not None:
                self._start(site, plan, frozenset())
        self.wait()

    def explain(self) -> Any:
        """What was captured, observed, specialized, fused and refused: str(), `.to_dict()`, HTML in notebooks."""
        from specjit.report.explain import Explanation

        return Explanation.of(self)

    def events(self, kind: str | EventKind | None = None) -> list[Event]:
        """Events so far, oldest first, of one kind or of all."""
        return self._log.of(kind)

    def stats(self) -> dict[str, Any]:
        """Counts: calls, fast, generic, eager, misses, fallbacks, compiles; `seconds` spent specializing and compiling;
        `events` by kind, and `reasons` of misses, failures and refusals by kind and cause (of the misses that were
        explained: all of the first hundred, then every hundredth)."""
        fast, fallbacks = self._sites.counted()
        compiled = self._log.counts.get(EventKind.SPECIALIZE_READY, 0)
        return {
            **self._counts,
            "eager": self._counts["eager"] + self._rest.taken,
            "calls": self._calls,
            "fast": fast,
            "fallbacks": fallbacks,
            "compiles": compiled,
            "seconds": self._seconds,
            "events": {str(k): n for k, n in sorted(self._log.counts.items())},
            "reasons": {str(k): dict(found) for k, found in sorted(self._log.reasons.items())},
        }

    @property
    def _calls(self) -> int:
        """How often the Program was called."""
        return self._sites.counted()[0] + self._counts["generic"] + self._counts["eager"] + self._rest.taken

    @property
    def _log_name(self) -> str:
        """What logs call it."""
        return self._log.program

    @property
    def specializations(self) -> Sequence[Variant]:
        """The live variants, in the order in which a call tries them."""
        return self._variants

    @property
    def graph(self) -> Graph:
        """The generic graph of the latest capture; RuntimeError before the first call."""
        return self._sites.latest().captured.graph

    @property
    def code(self) -> str:
        """The generic path as Python source."""
        return self._sites.latest().source

    def _runs_eagerly(self, error: CaptureError) -> None:
        """Calls run the model itself, for this reason: said in an event, or raised under `strict` and by scripts."""
        if self._options.strict or self._options.scripting:
            raise error
        where = {"location": error.location, "then": error.hint, "text": str(error)}
        self._emit(EventKind.FALLBACK, f"runs as plain Python: {error.reason}", **where)

    def _refused(self, refused: Refused, number: int | None = None, then: str = "") -> None:
        """Tell that a specialization cannot be made."""
        cause = refused.__cause__
        self._emit(
            EventKind.SPECIALIZE_FAILED,
            refused.reason,
            specialization=number,
            location=refused.loc,
            then=then or "such calls stay generic",
            reason=f"{refused.reason} ({refused.loc.user})" if refused.loc else refused.reason,
            **({} if cause is None else {"cause": "".join(traceback.format_exception(cause))}),
        )

    def _emit(self, kind: EventKind, message: str, **facts: Any) -> Event:
        """Record an event; `call` (by default, the calls answered so far) and the other names as `EventLog.emit`."""
        return self._log.emit(kind, message, **{"call": self._calls, **facts})

    def reset(self) -> None:
        """Forget captures, profiles and variants; the model itself is untouched."""
        self.wait()
        with self._lock:
            self._variants = ()
            self._sites = Sites(self)

    def close(self) -> None:
        """Drop native code and compiled variants; further calls run the original model."""
        self.reset()
        self._closed, self._target = True, None

    # -- being the model ----------------------------------------------------------------------------------------------

    @property
    def __specjit_model__(self) -> Any:
        return self.__dict__["_model"]

    # isinstance(program, nn.Module) holds when the model is a module, so that Programs nest in modules.
    @property  # type: ignore[misc]
    def __class__(self) -> type:
        model = self.__dict__.get("_model")
        return type(model) if isinstance(model, Module) else Program

    def __getattr__(self, name: str) -> Any:
        if name in _OWN:
            raise AttributeError(name)
        return getattr(self._model, name)

    def __setattr__(self, name: str, value: Any) -> None:
        if name in _OWN:
            object.__setattr__(self, name, value)
        else:
            setattr(self._model, name, value)

    def __delattr__(self, name: str) -> None:
        delattr(self._model, name)

    def __dir__(self) -> list[str]:
        return sorted({*object.__dir__(self), *dir(self._model)})

    def __repr__(self) -> str:
        return f"specjit.optimize({self._model!r})"

    def __deepcopy__(self, memo: dict[int, Any]) -> Program[P, R]:
        return _rebuild(type(self), copy.deepcopy(self._model, memo), self._options.to_dict())

    def __copy__(self) -> Program[P, R]:
        return _rebuild(type(self), copy.copy(self._model), self._options.to_dict())

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        return _rebuild, (type(self), self._model, self._options.to_dict())

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        """As a decorated method: calls get the instance as first argument, as a function would."""
        if instance is None or isinstance(self._model, Module):
            return self
        import types

        return types.MethodType(self, instance)


_PROGRAMS: weakref.WeakSet[Program[Any, Any]] = weakref.WeakSet()


def _after_fork() -> None:
    for program in list(_PROGRAMS):
        program._begin_anew()


locks.in_forked_child(_after_fork)


def _rebuild(kind: type[Program[Any, Any]], model: Any, options: dict[str, Any]) -> Program[Any, Any]:
    return kind(model, **options)


def _name_of(model: Any) -> str:
    name = type(model).__name__ if isinstance(model, Module) else getattr(model, "__name__", type(model).__name__)
    return name.lower().strip("<>_") or "program"
