"""What calls leave behind stays within `specjit.limits`, and no argument is kept alive."""

from __future__ import annotations

import gc
import linecache
import threading
import weakref
from collections import namedtuple
from typing import Any

import numpy as np
import pytest

import specjit
from specjit import limits, nn
from specjit.capture import source
from specjit.profile.signature import ById, observe
from specjit.runtime import events

CALLS = 10_000
Pair = namedtuple("Pair", "scale shift")


class Plain:
    def __init__(self, scale: float) -> None:
        self.scale = scale


class Slots:
    __slots__ = ("scale",)

    def __init__(self, scale: float) -> None:
        self.scale = scale


def scaled(x: Any, options: Any) -> Any:
    return x * options.scale


def named(x: Any, name: str) -> Any:
    return x + 1.0


def by_length(items: Any, name: str) -> Any:
    return items[0] * 2.0


def applied(x: Any, fn: Any) -> Any:
    return fn(x)


def within(program: Any) -> None:
    """Every table of a Program is at its limit at most."""
    sites = [s for s in program._sites.by_structure.values() if s is not None]
    assert len(program._sites.by_structure) <= limits.MAX_CAPTURES
    assert len(program.specializations) <= program._options.max_specializations
    assert len(program._sites.retired.latest) <= limits.MAX_RETIRED
    assert len(program.events()) <= limits.MAX_EVENTS
    assert all(len(found) <= limits.MAX_REASONS + 1 for found in program.stats()["reasons"].values())
    for site in sites:
        assert len(site.histories) <= limits.MAX_PROFILES
        assert len(site._glanced) <= limits.MAX_GLANCES
        assert all(len(h.profile.kept) <= limits.MAX_SIGNATURES for h in site.histories.values())


@pytest.mark.parametrize("kind", [Plain, Slots, lambda scale: Pair(scale, 0.0)], ids=["plain", "slots", "namedtuple"])
def test_fresh_objects(kind: Any) -> None:
    program = specjit.optimize(scaled, background=False)
    x, alive = specjit.ones(3), []
    for i in range(CALLS // 4):
        given = kind(float(i))
        if isinstance(given, Plain):
            alive.append(weakref.ref(given))
        assert program(x, given).tolist() == [float(i)] * 3
    del given
    gc.collect()
    assert not [ref for ref in alive if ref() is not None]
    within(program)


def test_fresh_strings_and_lengths() -> None:
    program = specjit.optimize(named, background=False)
    x = specjit.ones(3)
    for i in range(CALLS):
        assert program(x, f"call {i}").tolist() == [2.0] * 3
    within(program)
    assert program.stats()["eager"] == 0  # a string says nothing about which capture holds
    program = specjit.optimize(by_length, background=False)
    for i in range(CALLS // 10):
        assert program([x] * (1 + i % 50), f"call {i}").tolist() == [2.0] * 3
    within(program)


def test_fresh_functions_are_kept_by_their_captures_only() -> None:
    program = specjit.optimize(applied, background=False)
    x, alive = specjit.ones(2), []
    for i in range(CALLS // 10):
        fn = lambda t, i=i: t * i  # noqa: E731
        alive.append(weakref.ref(fn))
        assert program(x, fn).tolist() == [float(i)] * 2
    del fn
    gc.collect()
    assert len([ref for ref in alive if ref() is not None]) <= limits.MAX_CAPTURES
    within(program)


def test_an_object_that_stays_is_specialized_to_and_one_that_goes_is_forgotten() -> None:
    program = specjit.optimize(scaled, warmup=2, background=False)
    x, options = specjit.ones(3), Plain(2.0)
    for _ in range(4):
        assert program(x, options).tolist() == [2.0] * 3
    assert program.stats()["fast"] == 3
    options = Plain(3.0)
    assert program(x, options).tolist() == [3.0] * 3


def test_long_strings_are_not_kept() -> None:
    text = "x" * (limits.MAX_CONSTANT + 1)
    kept = observe({"name": text}, True).structures[0].payload
    assert isinstance(kept, ById)
    assert kept.value is None
    assert observe({"name": text[1:]}, True).structures[0].payload == text[1:]
    program = specjit.optimize(named, warmup=1, background=False)
    for _ in range(4):
        assert program(specjit.ones(1), text).tolist() == [2.0]


def test_identity_is_weak() -> None:
    a, b = Plain(1.0), Plain(1.0)
    assert ById(a) == ById(a) != ById(b)
    assert hash(ById(a)) == hash(ById(a))
    dead = ById(Plain(1.0))
    assert dead.gone
    assert dead == dead
    assert dead != ById(a)
    slots = Slots(1.0)
    assert ById(slots) == ById(slots)
    assert ById(slots).value is None


def test_counters_of_specializations_that_are_gone() -> None:
    """Evictions fold counters together, and no call gets lost."""
    program = specjit.optimize(named, warmup=1, background=False, max_specializations=1)
    x = specjit.ones(2)
    for i in range(limits.MAX_RETIRED * 3):
        site = program._sites.recent
        for history in site.histories.values() if site is not None else ():
            history.retry_at = 0
        if site is not None:
            site.resting = 0
        program(x, f"name {i}")
    within(program)
    stats = program.stats()
    assert stats["calls"] == limits.MAX_RETIRED * 3 == stats["fast"] + stats["generic"] + stats["eager"]
    assert sum(len(h.variants) for s in program._sites.by_structure.values() for h in s.histories.values()) <= 1


def test_generated_source_goes_with_its_program() -> None:
    def count() -> int:
        gc.collect()
        generated = [name for name in linecache.cache if name.startswith("<specjit")]
        return sum(not name.startswith("<specjit op ") for name in generated)  # the operators stay: so many there are

    before = count()
    for _ in range(20):
        model = nn.Linear(2, 2)
        program = specjit.optimize(model, warmup=1, background=False)
        program(specjit.ones(2))
        program(specjit.ones(2))
    assert count() > before
    del model, program
    assert count() <= before


def test_frames_of_many_calls_at_once() -> None:
    program = specjit.optimize(lambda x: x.exp().sum(), warmup=1, background=False)
    x = specjit.ones(64)
    program(x)
    code = program.specializations[0].regions[0].forward
    frames = [code.take() for _ in range(4 * limits.MAX_FRAMES)]
    for frame in frames:
        code._pool.append(frame)
    assert len(code.frames()) == limits.MAX_FRAMES
    threads = [threading.Thread(target=lambda: [program(x) for _ in range(50)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(code.frames()) == limits.MAX_FRAMES


def test_events_and_their_texts() -> None:
    log = events.EventLog("limits")
    for i in range(limits.MAX_EVENTS + 10):
        log.emit(events.EventKind.REPACKED, "again", reason=f"{'r' * limits.MAX_TEXT} {i}")
    assert len(log.of()) == limits.MAX_EVENTS
    assert log.counts[events.EventKind.REPACKED] == limits.MAX_EVENTS + 10
    assert list(log.reasons[events.EventKind.REPACKED]) == [limits.clipped("r" * limits.MAX_TEXT + " ")]
    for i in range(limits.MAX_SHOWN_CAUSES + 10):
        events._shows(events.Event(events.EventKind.OPAQUE, "limits", str(i)))
        assert len(events._shown_causes) <= limits.MAX_SHOWN_CAUSES


def test_parsed_files(tmp_path: Any) -> None:
    for i in range(limits.MAX_PARSED_FILES + 5):
        file = tmp_path / f"m{i}.py"
        file.write_text(f"def f(x):\n    return x + {i}\n")
        names: dict[str, Any] = {}
        exec(compile(file.read_text(), str(file), "exec"), names)
        assert source.source_of(names["f"]).file == str(file)
        assert len(source._files) <= limits.MAX_PARSED_FILES


def test_arrays_as_arguments_die() -> None:
    program = specjit.optimize(lambda x, a: x * float(a[0]), background=False)
    x, alive = specjit.ones(2), []
    for i in range(200):
        array = np.full(3, float(i))
        alive.append(weakref.ref(array))
        assert program(x, array).tolist() == [float(i)] * 2
    del array
    gc.collect()
    assert not [ref for ref in alive if ref() is not None]
