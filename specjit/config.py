"""The settings: one table of environment variables, and the same as keyword arguments of one context manager.

Enters: the environment. Leaves: `current()`, a frozen `Config`; `options(check=True, ...)` overrides fields of it for
a `with` block.
Invariant: no other file reads a `SPECJIT*` variable. A bad variable warns and counts as unset, so that a typo in a
shell never stops a program; a bad keyword argument raises ValueError.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from specjit import locks

LOG_WORDS = ("specialize", "guards", "fusion", "cache", "all")


def _flag(text: str | bool) -> bool:
    if isinstance(text, bool):
        return text
    words = {"0": False, "false": False, "off": False, "no": False, "1": True, "true": True, "on": True, "yes": True}
    if text.strip().lower() not in words:
        raise ValueError(f"expected 0 or 1, got {text!r}")
    return words[text.strip().lower()]


def _log(value: str | frozenset[str] | set[str] | list[str] | tuple[str, ...]) -> frozenset[str]:
    words = value.split(",") if isinstance(value, str) else value
    found = frozenset(w.strip() for w in words) - {""}
    unknown = sorted(found - set(LOG_WORDS))
    if unknown:
        raise ValueError(f"unknown words {', '.join(unknown)}; expected some of {', '.join(LOG_WORDS)}")
    return found


def _limit(value: str | dict[str, int]) -> dict[str, int]:
    pairs = [p.rpartition(":") for p in value.split(",") if p.strip()] if isinstance(value, str) else None
    try:
        found = {name.strip(): int(n) for name, _, n in pairs} if pairs is not None else dict(value)  # type: ignore[arg-type]
    except ValueError:
        raise ValueError(f"expected pass:count, got {value!r}") from None
    if "" in found or any(n < 0 for n in found.values()):
        raise ValueError(f"expected pass:count, got {value!r}")
    return found


def _count(text: str | int) -> int:
    n = int(text)
    if n < 0:
        raise ValueError(f"expected a count, got {text!r}")
    return n


def _path(value: str | os.PathLike[str] | None) -> str | None:
    return None if value is None else os.fspath(value)


@dataclass(frozen=True)
class Config:
    """All settings, typed; `TABLE` says where each comes from and what it does."""

    enabled: bool = True
    log: frozenset[str] = frozenset()
    dump: str | None = None
    check: bool = False
    limit: Mapping[str, int] = field(default_factory=dict)
    verify: int = 0
    gate: bool = True
    cache_dir: str | None = None


class Setting(NamedTuple):
    """One row: a field of `Config`, its variable, how a value is read (ValueError: it makes no sense), and what it
    does."""

    name: str
    variable: str
    read: Callable[[Any], Any]
    doc: str


TABLE = (
    Setting("enabled", "SPECJIT", _flag, "0: everything runs eagerly, optimize() changes nothing"),
    Setting("log", "SPECJIT_LOG", _log, f"what to log: {', '.join(LOG_WORDS)}, separated by commas"),
    Setting("dump", "SPECJIT_DUMP", _path, "a folder: write every stage of every graph there as numbered files"),
    Setting("check", "SPECJIT_CHECK", _flag, "1: verify the IR after each pass"),
    Setting(
        "limit",
        "SPECJIT_LIMIT",
        _limit,
        "pass:n stops that pass after n rewrites, all:n all passes together, to bisect",
    ),
    Setting("verify", "SPECJIT_VERIFY", _count, "n: run every n-th fast call on both paths and compare"),
    Setting("gate", "SPECJIT_GATE", _flag, "0: keep native code even where plain Python turns out to be faster"),
    Setting("cache_dir", "SPECJIT_CACHE_DIR", _path, "the folder of the kernel cache"),
)
SLOW_ROAD = frozenset({"enabled", "verify"})  # settings that the fast road of a Program does not look at


class _SlowRoad:
    """count > 0: some setting of `SLOW_ROAD` is in force (or `looking`), so every call takes the road that looks."""

    __slots__ = ("count",)

    def __init__(self) -> None:
        self.count = sum(bool(os.environ.get(row.variable, "").strip()) for row in TABLE if row.name in SLOW_ROAD)


slow_road = _SlowRoad()
_lock = locks.lock()
_overrides: list[dict[str, Any]] = []
_memo: tuple[tuple[str | None, ...], Config] | None = None


def current() -> Config:
    """The settings now: `options(...)` blocks that are open over the environment over the defaults. Not for hot
    paths."""
    global _memo
    raw = tuple(os.environ.get(row.variable) for row in TABLE)
    memo = _memo
    if memo is None or memo[0] != raw:
        memo = _memo = (raw, _from_environment(raw))
    config = memo[1]
    for changes in _overrides:
        config = replace(config, **changes)
    return config


def _from_environment(raw: tuple[str | None, ...]) -> Config:
    found: dict[str, Any] = {}
    for row, text in zip(TABLE, raw):
        if text is None or not text.strip():
            continue
        try:
            found[row.name] = row.read(text)
        except ValueError as error:
            warnings.warn(f"{row.variable} is ignored: {error}", RuntimeWarning, stacklevel=3)
    return Config(**found)


@contextmanager
def options(**changes: Any) -> Iterator[Config]:
    """Override settings for a `with` block, in the whole process (background compiles too).

    The names are the fields of `Config` (enabled, log, dump, check, limit, verify, gate, cache_dir); values are as in
    the environment or plain Python (`log="guards,cache"` or a list, `limit={"simplify": 17}`). TypeError for a name
    that does not exist, ValueError for a value that makes no sense.
    """
    rows = {row.name: row for row in TABLE}
    read: dict[str, Any] = {}
    for name, value in changes.items():
        if name not in rows:
            raise TypeError(f"options() got an unexpected keyword argument {name!r}; settings are {', '.join(rows)}")
        try:
            read[name] = rows[name].read(value)
        except ValueError as error:
            raise ValueError(f"options({name}=...): {error}") from None
    looks = len(SLOW_ROAD & set(read))
    with _lock:
        _overrides.append(read)
        slow_road.count += looks
    try:
        yield current()
    finally:
        with _lock:
            _overrides[:] = [o for o in _overrides if o is not read]
            slow_road.count -= looks


@contextmanager
def looking() -> Iterator[None]:
    """For a `with` block, every call of every Program takes the road that looks (at what a trace records)."""
    with _lock:
        slow_road.count += 1
    try:
        yield
    finally:
        with _lock:
            slow_road.count -= 1
