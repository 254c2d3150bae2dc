"""How Programs behave in a `with` block: the stance.

Enters: `stance("generic")` and the like. Leaves: `current()`, read by every Program on its slow road, and `engaged`,
a counter that lets the fast road see with one attribute read that no stance is in force.
Invariant: a stance is per context (thread or task), and leaving the block restores the one before.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Literal, get_args

Kind = Literal["default", "generic", "fail_on_miss", "fail_on_compile"]


@dataclass(frozen=True)
class Stance:
    """kind: default; generic (never run or build variants); fail_on_miss (a call that no variant takes, once one
    exists, raises); fail_on_compile (a call that would start a compile raises). disable: names of passes to leave
    out."""

    kind: Kind = "default"
    disable: frozenset[str] = frozenset()


class _Engaged:
    """count: how many stance blocks are open in the process. Zero is the common case and costs one attribute read."""

    __slots__ = ("count",)

    def __init__(self) -> None:
        self.count = 0


engaged = _Engaged()
DEFAULT = Stance()
_current: ContextVar[Stance] = ContextVar("specjit_stance", default=DEFAULT)


def current() -> Stance:
    return _current.get()


def _check_names(disable: frozenset[str]) -> None:
    from specjit import passes
    from specjit.codegen.schedule.driver import DECISIONS

    known = [*passes.names(), *DECISIONS]
    if unknown := disable - set(known):
        raise ValueError(f"unknown passes {sorted(unknown)}; there are {', '.join(known)}")


@contextlib.contextmanager
def stance(kind: Kind = "default", disable: Iterable[str] = ()) -> Iterator[Stance]:
    """Set how Programs behave inside the block.

    kind: "default", "generic", "fail_on_miss" or "fail_on_compile" (see `Stance`). disable: names of optimization
    passes and of the scheduler's decisions that specializations made inside the block leave out
    (`specjit.passes.names()` and `specjit.codegen.schedule.driver.DECISIONS` list them). ValueError for an unknown
    kind or name.
    """
    if kind not in get_args(Kind):
        raise ValueError(f"stance must be one of {', '.join(get_args(Kind))}; got {kind!r}")
    disable = frozenset(disable)
    if disable:
        _check_names(disable)
    token = _current.set(Stance(kind, disable))
    engaged.count += 1
    try:
        yield current()
    finally:
        engaged.count -= 1
        _current.reset(token)
