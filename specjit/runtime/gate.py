"""The cost gate: native code stays only where it is faster than the Python that it replaces.

Enters: a variant that is about to be published. Leaves: its entry, alone, after some calls were timed; or the verdict
that the model itself is faster for such calls.
Invariant: every call runs once, on one road, so a trial has no effect but time. Both roads are timed by turns on the
program's own calls, and the best time of each counts, so a disturbed call decides nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from specjit import config
from specjit.runtime import stance as stances

if TYPE_CHECKING:
    from specjit.runtime.site import Site
    from specjit.runtime.variant import Variant

ALONE = 2  # native calls before the first on the other road
TURNS = 8  # calls on each road, then
CHEAP = 50e-6  # seconds: a call that takes longer natively has work in it, and is not tried the slow way
WORTH = 1.05  # native code may take so many times as long as Python: less is within what a measurement is off


class Trial:
    """Stands in for the entry of a variant while it is compared with the model."""

    def __init__(self, site: Site, variant: Variant, entry: Callable[..., Any], miss: Any) -> None:
        self.site, self.variant, self.entry, self.miss = site, variant, entry, miss
        self.native = self.python = float("inf")
        self.calls = 0

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if stances.engaged.count or config.slow_road.count:
            return self.entry(*args, **kwargs)
        self.calls += 1
        if self.calls > ALONE and self.calls % 2 == 0:
            return self._python(args, kwargs)
        start = time.perf_counter()
        out = self.entry(*args, **kwargs)
        took = time.perf_counter() - start
        if out is self.miss:
            self.calls -= 1
            return out
        self.native = min(self.native, took)
        if self.calls == ALONE and self.native > CHEAP:
            self.variant.entry = self.entry
        elif self.calls > ALONE + 2 * TURNS:
            self._decide()
        return out

    def _python(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        program = self.site.program
        start = time.perf_counter()
        out = program._model(*args, **kwargs)
        self.python = min(self.python, time.perf_counter() - start)
        program._counts["eager"] += 1
        return out

    def _decide(self) -> None:
        self.variant.entry = self.entry
        if self.native > WORTH * self.python:
            self.site.unpaid(self.variant, self.native, self.python)


def begin(site: Site, variant: Variant, miss: Any) -> None:
    """Try `variant` out in its first calls. Not where gradients are recorded: native code pays in backward then; nor in
    a script, which plain Python does not replace (`is_scripting`)."""
    tried = config.current().gate and not site.program._options.scripting
    if tried and not any(r.backward is not None for r in variant.regions):
        variant.entry = Trial(site, variant, variant.entry, miss)
