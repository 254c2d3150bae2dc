"""Never slower: native code that does not pay goes, and calls that nothing can be done for run the model itself."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

import specjit
from specjit import config
from specjit.runtime import gate, history

CALLS: list[int] = []


def small(x: Any, y: Any) -> Any:
    return x * 2.0 + y


def counts_itself(x: Any) -> Any:
    CALLS.append(1)
    return x * eval("len(CALLS)")


def of_text(x: Any, text: str) -> Any:
    return x + len(list(map(str.upper, text)))


class Clock:
    """Calls on the native road take `native` seconds, those on the other `python`."""

    def __init__(self, native: float, python: float) -> None:
        self.took, self.now, self.reads = (native, python), 0.0, 0

    def perf_counter(self) -> float:
        call = self.reads // 2 + 1
        road = int(call > gate.ALONE and call % 2 == 0)
        self.now += self.took[road] if self.reads % 2 else 1.0
        self.reads += 1
        return self.now


def timed(monkeypatch: pytest.MonkeyPatch, native: float, python: float) -> Any:
    monkeypatch.setattr(gate, "time", SimpleNamespace(perf_counter=Clock(native, python).perf_counter))
    program = specjit.optimize(small, warmup=1, background=False)
    x, y = specjit.ones(3), specjit.ones(3)
    with config.options(gate=True):
        for i in range(2 * gate.TURNS + 10):
            assert program(x + i, y).tolist() == [3.0 + 2 * i] * 3
    return program


def test_native_code_that_is_slower_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    program = timed(monkeypatch, 3e-6, 2e-6)
    (event,) = program.events("EVICTED")
    assert "native code took 3.0 us a call, plain Python 2.0 us" in event.message
    assert event.then == "such calls run as plain Python"
    assert not program.specializations
    stats = program.stats()
    assert stats["fast"] == gate.ALONE + gate.TURNS + 1
    assert stats["calls"] == 2 * gate.TURNS + 10 == stats["fast"] + stats["generic"] + stats["eager"]


def test_it_is_tried_again_when_calls_may_have_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    program = timed(monkeypatch, 3e-6, 2e-6)
    x = specjit.ones(3)
    for _ in range(200 * (history.PLAIN + 1)):
        program(x, x)
    assert program.stats()["compiles"] == 2


@pytest.mark.parametrize("native", [1e-6, 2.05e-6])
def test_native_code_that_pays_stays(monkeypatch: pytest.MonkeyPatch, native: float) -> None:
    program = timed(monkeypatch, native, 2e-6)
    assert not program.events("EVICTED")
    (variant,) = program.specializations
    assert not isinstance(variant.entry, gate.Trial)
    assert program.stats()["eager"] == gate.TURNS


def test_calls_with_work_in_them_are_not_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    program = timed(monkeypatch, 2 * gate.CHEAP, 1e-6)
    assert len(program.specializations) == 1
    assert program.stats()["eager"] == 0


def test_a_trial_does_not_meet_other_kinds_of_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    program = specjit.optimize(small, warmup=1, background=False)
    x = specjit.ones(2)
    with config.options(gate=True):
        program(x, x)
        assert isinstance(program.specializations[0].entry, gate.Trial)
        assert program(x.double(), x).dtype == specjit.float64
        with pytest.raises(TypeError, match="missing 1 required positional argument"):
            program(x)
        with specjit.stance("generic"):
            assert program(x, x).tolist() == [3.0, 3.0]


def test_code_that_is_never_captured_rests() -> None:
    program = specjit.optimize(counts_itself, background=False)
    x = specjit.ones(1)
    for i in range(1, 300):
        assert program(x).tolist() == [len(CALLS) * 1.0] == [i * 1.0]
    assert program.stats()["eager"] == program._calls == 299
    assert program._rest.taken > 200


def test_code_that_is_refused_rests_until_a_call_of_another_kind_pays() -> None:
    program = specjit.optimize(of_text, warmup=2, background=False)
    x = specjit.ones(1)
    total = 0
    for _ in range(100):
        assert program(x, "text").tolist() == [5.0]
        total += 1
    stats = program.stats()
    assert stats["calls"] == total == stats["fast"] + stats["generic"] + stats["eager"]
    program.reset()
    assert program(x, "ab").tolist() == [3.0]


def test_a_specialization_ends_the_rest() -> None:
    rest = history.Rest()
    rest.begin()
    rest.left -= 3
    rest.end()
    assert (rest.left, rest.taken) == (0, 3)
    rest.begin()
    rest.begin()
    assert (rest.left, rest.taken) == (history.PLAIN, 3)
