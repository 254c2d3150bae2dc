"""Events: their fields, their line in the log, what is shown by default, counts and reasons, callbacks."""

from __future__ import annotations

import json

import pytest

import specjit
from specjit import config
from specjit.ir.graph import LIBRARY, Location
from specjit.runtime import events
from specjit.runtime.events import CHANNELS, EventKind, EventLog

K = EventKind
DESIGN = (
    "CAPTURED OPAQUE PROFILED SPECIALIZE_QUEUED SPECIALIZE_READY SPECIALIZE_FAILED REPACKED GUARD_MISS GENERALIZED "
    "MEGAMORPHIC EVICTED QUARANTINED FUSED NOT_FUSED REORDERED CACHE_HIT CACHE_MISS CACHE_REJECT CACHE_STORE FALLBACK "
    "VERIFY_MISMATCH"
)


@pytest.fixture(autouse=True)
def forget_causes(monkeypatch):
    monkeypatch.setattr(events, "_shown_causes", set())


def test_the_kinds_are_the_designs() -> None:
    assert [str(kind) for kind in K] == DESIGN.split()


def test_lines_of_the_log() -> None:
    log = EventLog("lstm")
    ready = log.emit(K.SPECIALIZE_READY, "1.9s background  cache=miss  1 region, 14/14 ops native", specialization=1)
    assert str(ready) == "[specjit lstm #1] READY 1.9s background  cache=miss  1 region, 14/14 ops native"
    miss = log.emit(
        K.GUARD_MISS,
        "closest #1: x.shape[1] expected 32, got 48",
        call=231,
        location="matmul at net.py:41",
        then="ran generic; next: #2 with x.shape[1] as a symbol",
    )
    assert str(miss).splitlines() == [
        "[specjit lstm   ] GUARD_MISS call 231  closest #1: x.shape[1] expected 32, got 48  (matmul at net.py:41)",
        "                  ran generic; next: #2 with x.shape[1] as a symbol",
    ]


def test_a_place_is_shown_short_and_kept_whole() -> None:
    event = EventLog("p").emit(K.OPAQUE, "the try statement", location=Location("/somewhere/my net.py", 7, 4, "f"))
    assert event.location == "my net.py:7"
    assert (event.facts["file"], event.facts["line"], event.facts["column"]) == ("/somewhere/my net.py", 7, 5)


def test_a_place_in_the_library_is_shown_as_the_users_call() -> None:
    user = Location("/somewhere/net.py", 12)
    inner = Location(LIBRARY[0] + "layers.py", 80, caller=Location(LIBRARY[0] + "containers.py", 9, caller=user))
    assert inner.user is user
    assert [str(at) for at in inner.chain] == ["layers.py:80", "containers.py:9", "net.py:12"]
    assert EventLog("p").emit(K.FUSED, "x", location=inner).location == "net.py:12"
    alone = Location(LIBRARY[0] + "layers.py", 80)
    assert alone.user is alone


def test_data_is_json_and_complete() -> None:
    event = EventLog("p").emit(K.FALLBACK, "m", call=3, specialization=2, location="a.py:1", then="t", reason="r", n=1)
    data = json.loads(json.dumps(event.to_dict()))
    assert data.pop("time") > 0
    assert data == {
        "kind": "FALLBACK",
        "program": "p",
        "message": "m",
        "call": 3,
        "specialization": 2,
        "location": "a.py:1",
        "then": "t",
        "facts": {"n": 1, "reason": "r"},
    }


SILENT = {
    K.CAPTURED,
    K.PROFILED,
    K.SPECIALIZE_QUEUED,
    K.SPECIALIZE_READY,
    K.GUARD_MISS,
    K.REPACKED,
    K.FUSED,
    K.CACHE_HIT,
}


def test_only_surprises_are_shown_by_default(capfd) -> None:
    log = EventLog("quiet")
    for kind in K:
        for _ in range(2):
            log.emit(kind, "m", location="a.py:1")
    shown = [line.split("] ")[1].split()[0] for line in capfd.readouterr().err.splitlines()]
    assert sorted(shown) == sorted(
        ["MEGAMORPHIC"] * 2 + ["QUARANTINED"] * 2 + ["VERIFY_MISMATCH"] * 2 + ["OPAQUE", "FALLBACK"]
    )
    assert not SILENT & {K(word) for word in shown}


def test_one_cause_is_shown_once_and_another_again(capfd) -> None:
    log, other = EventLog("one"), EventLog("two")
    for where in ("a.py:1", "a.py:1", "a.py:2"):
        log.emit(K.OPAQUE, "the try statement", location=where)
    other.emit(K.OPAQUE, "the try statement", location="a.py:1")
    assert [line.split("(")[1] for line in capfd.readouterr().err.splitlines()] == ["a.py:1)", "a.py:2)", "a.py:1)"]


@pytest.mark.parametrize("word", CHANNELS)
def test_the_words_of_the_log_setting(word, capfd) -> None:
    log = EventLog("loud")
    with config.options(log=word):
        for kind in K:
            log.emit(kind, "m", location="a.py:1")
    shown = {
        line.split("] ")[1].split()[0].replace("READY", "SPECIALIZE_READY")
        for line in capfd.readouterr().err.splitlines()
    }
    always = {"MEGAMORPHIC", "QUARANTINED", "VERIFY_MISMATCH", "OPAQUE", "FALLBACK"}
    assert shown == {str(kind) for kind in CHANNELS[word]} | always


def test_every_kind_is_on_some_channel_or_always_shown() -> None:
    named = frozenset().union(*(kinds for word, kinds in CHANNELS.items() if word != "all"))
    assert set(K) == named | events.ALWAYS_SHOWN


def test_counts_and_reasons_are_exact_while_the_list_is_bounded(monkeypatch) -> None:
    monkeypatch.setattr(events, "MAX_REASONS", 3)
    log = EventLog("busy")
    for n in range(events.MAX_EVENTS + 50):
        log.emit(K.FALLBACK, "m", reason=f"cause {min(n % 5, 3)}")
    assert len(log.events) == events.MAX_EVENTS
    assert log.counts[K.FALLBACK] == events.MAX_EVENTS + 50
    total = events.MAX_EVENTS + 50
    assert log.reasons[K.FALLBACK] == {
        "cause 0": total // 5,
        "cause 1": total // 5,
        "cause 2": total // 5,
        "others": total * 2 // 5,
    }
    log.emit(K.FUSED, "m")
    assert K.FUSED not in log.reasons
    log.emit(K.OPAQUE, "m", location="a.py:1")
    assert log.reasons[K.OPAQUE] == {"m (a.py:1)": 1}


def test_a_callback_hears_everything_and_may_fail(capfd) -> None:
    heard = []

    def bad(event):
        raise ValueError("no")

    remove, remove_bad = specjit.on_event(heard.append), specjit.on_event(bad)
    log = EventLog("p")
    first, second = log.emit(K.FUSED, "a"), log.emit(K.FUSED, "b")
    remove()
    remove_bad()
    remove()
    log.emit(K.FUSED, "c")
    assert heard == [first, second]
    assert capfd.readouterr().err.count("was removed") == 1


def test_events_of_a_program_by_kind() -> None:
    program = specjit.optimize(lambda x: x * 2, warmup=9)
    program(specjit.zeros(2))
    assert program.events("CAPTURED") == program.events(K.CAPTURED) == program.events()
    with pytest.raises(ValueError):
        program.events("CAUGHT")
