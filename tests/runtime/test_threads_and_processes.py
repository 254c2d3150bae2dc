"""One Program called from several threads at once, while it compiles and afterwards, across forks, and at the
interpreter's end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading

import numpy as np
import pytest

import specjit
from specjit.runtime import build, service
from tests.runtime.models import LSTM, arguments, lstm_float64
from tests.waiting import LONG, Crew


def half(x):
    return x.tanh() * 0.5


def step(x):
    return x * 1.0


def quadruple(x):
    return x * 4.0


def one_step(x):
    return step(x)


def check_half(program, size: int) -> None:
    x = np.linspace(-2, 2, size, dtype=np.float32)
    got = program(specjit.tensor(x))
    np.testing.assert_allclose(got.numpy(), np.tanh(x.astype(np.float64)) * 0.5, rtol=1e-6, atol=1e-6)


class Gate:
    """Stands in the way of builds: the test sees one begin, and lets it go on."""

    def __init__(self, monkeypatch) -> None:
        self.begun, self.open = threading.Event(), threading.Event()
        self.builds = 0
        real = build.build_variant

        def waits(*arguments):
            self.builds += 1
            self.begun.set()
            assert self.open.wait(LONG)
            return real(*arguments)

        monkeypatch.setattr(build, "build_variant", waits)


@pytest.fixture
def gate(monkeypatch):
    made = Gate(monkeypatch)
    yield made
    made.open.set()
    assert service.service.drain(LONG)


@pytest.fixture
def restless():
    """Threads take turns as often as Python can make them."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def test_threads_share_a_program() -> None:
    model = LSTM(6, 10)
    program = specjit.optimize(model, warmup=2)
    wrong: list[str] = []

    def work(seed: int) -> None:
        with specjit.no_grad():
            for k in range(60):
                x, (h, c) = arguments(1 + (seed + k) % 5, 3, 6, 10, seed=seed * 100 + k)
                y, _ = program(x, (h, c))
                expected = lstm_float64(model, x._data, h._data, c._data)[0]
                if not np.allclose(y._data, expected, rtol=2e-5, atol=2e-5):
                    wrong.append(f"thread {seed} call {k}")
                if k == 20:
                    assert program.wait(LONG)

    assert Crew(*[lambda seed=seed: work(seed) for seed in range(4)]).join() == []
    assert not wrong
    assert program.stats()["fast"] > 0


def test_threads_that_come_first_together_capture_once(restless) -> None:
    for _ in range(5):
        program = specjit.optimize(half, warmup=3)
        assert Crew(*[lambda program=program: check_half(program, 8)] * 6).join() == []
        assert len(program.events("CAPTURED")) == 1
        assert program.wait(LONG)
        assert program.stats()["compiles"] == 1


def test_threads_that_see_a_changed_function_together_capture_again_once(restless, monkeypatch) -> None:
    program = specjit.optimize(one_step, warmup=100)
    x = specjit.ones(3)
    assert program(x).tolist() == [1.0] * 3
    monkeypatch.setattr(sys.modules[__name__], "step", quadruple)
    results = []
    assert Crew(*[lambda: results.append(program(x).tolist())] * 6).join() == []
    assert results == [[4.0] * 3] * 6
    assert len(program.events("CAPTURED")) == 2


def test_a_build_is_planned_once_whoever_asks(gate, restless) -> None:
    program = specjit.optimize(half, warmup=1)
    assert Crew(*[lambda: [check_half(program, 8) for _ in range(20)]] * 4).join() == []
    assert len(program.events("SPECIALIZE_QUEUED")) == 1
    gate.open.set()
    assert program.wait(LONG)
    assert len(program.specializations) == 1


def test_builds_under_way_count_towards_the_limit(gate, capfd) -> None:
    program = specjit.optimize(half, warmup=1, max_specializations=2, dynamic=False)
    for dtype in (specjit.float32, specjit.float64, specjit.int32, specjit.int64):
        for _ in range(2):
            program(specjit.ones(4, dtype=dtype))
    assert gate.begun.wait(LONG)
    gate.open.set()
    assert program.wait(LONG)
    assert len(program.specializations) == 2
    assert len(program.events("MEGAMORPHIC")) == 1


def test_calls_and_questions_while_other_kinds_of_call_come(restless) -> None:
    """Tables that one thread reads grow in another."""
    program = specjit.optimize(lambda *xs: xs[0] * 2.0, warmup=1000, name="double")
    over = threading.Event()

    def call(rank: int) -> None:
        for k in range(60):
            program(specjit.ones(*[1] * (1 + (k + rank) % 12)))

    def ask() -> None:
        while not over.is_set():
            program.events()
            program.stats()
            str(program.explain())
            for site in list(program._sites.by_structure.values()):
                site.variants()

    asking = Crew(ask, ask)
    assert Crew(*[lambda rank=rank: call(rank) for rank in range(3)]).join() == []
    over.set()
    assert asking.join() == []


def test_a_profile_is_frozen_while_calls_go_on() -> None:
    from specjit.profile.lattice import Profile
    from specjit.profile.signature import observe

    def seen(n: int):
        return observe({"x": specjit.ones(n, 3), "y": specjit.ones(n, 3)}, True)

    profile = Profile(seen(2))
    profile.add(seen(2))
    frozen = profile.frozen()
    profile.add(seen(5))
    assert frozen.varying() == []
    assert frozen.count == 1
    assert profile.varying() == [[(0, 0), (1, 0)]]


@pytest.mark.parametrize("error", [SystemExit, KeyboardInterrupt, MemoryError, ZeroDivisionError])
def test_a_job_that_raises_takes_no_thread_down(monkeypatch, error) -> None:
    def fails(*arguments):
        raise error("of the build")

    monkeypatch.setattr(build, "build_variant", fails)
    program = specjit.optimize(half, warmup=1)
    for _ in range(2):
        check_half(program, 4)
    assert program.wait(LONG)
    assert "of the build" in program.events("SPECIALIZE_FAILED")[0].message
    thread = service.service._thread
    monkeypatch.undo()
    other = specjit.optimize(half, warmup=1)
    for _ in range(2):
        check_half(other, 4)
    assert other.wait(LONG)
    assert other.specializations
    assert service.service._thread is thread


def test_a_job_that_does_not_catch_is_reported(monkeypatch) -> None:
    reported = []
    monkeypatch.setattr(threading, "excepthook", reported.append)
    service.submit(lambda: 1 // 0)
    assert service.service.drain(LONG)
    assert [r.exc_type for r in reported] == [ZeroDivisionError]


def test_without_a_thread_calls_go_on_generic(monkeypatch) -> None:
    """The system may have no thread to give; then nothing waits for ever, and a later call tries again."""

    def fails(self):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(service, "service", service.Service())
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", fails)
        program = specjit.optimize(half, warmup=1)
        check_half(program, 4)
        assert program.wait(0)
        assert "can't start new thread" in program.events("SPECIALIZE_FAILED")[0].message
    check_half(program, 4)
    assert program.wait(LONG)
    assert program.specializations
    service.service.close(LONG)


def test_a_refused_compile_is_tried_again_outside_the_stance() -> None:
    program = specjit.optimize(half, warmup=1)
    with specjit.stance("fail_on_compile"), pytest.raises(RuntimeError, match="fail_on_compile"):
        check_half(program, 4)
    check_half(program, 4)
    assert program.wait(LONG)
    assert program.specializations


def test_threads_that_rest_a_site_never_rest_it_for_ever() -> None:
    program = specjit.optimize(half, warmup=1000)
    check_half(program, 4)
    (site,) = program._sites.by_structure.values()
    site.resting = -1  # two threads took the last turn of rest at once
    check_half(program, 4)
    (history,) = site.histories.values()
    assert history.profile.count == 2


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
class TestForks:
    @staticmethod
    def child(work) -> int:
        """The exit code of a forked child that works: 0 if `work` gives True."""
        child = os.fork()
        if child == 0:
            status = 1
            try:
                signal.alarm(int(LONG))  # a child that hangs is a failure too
                status = 0 if work() else 2
            finally:
                os._exit(status)
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

    def test_a_forked_child_goes_on(self) -> None:
        """The child runs the parent's native code, and can specialize anew in a process of its own."""
        model = LSTM(4, 6)
        x, (h, c) = arguments(3, 2, 4, 6)
        program = specjit.optimize(model, warmup=1)
        with specjit.no_grad():
            for _ in range(2):
                program(x, (h, c))
            assert program.wait(LONG)

            def work() -> bool:
                y, _ = program(x, (h, c))
                fine = np.allclose(y._data, lstm_float64(model, x._data, h._data, c._data)[0], rtol=2e-5, atol=2e-5)
                other = specjit.optimize(LSTM(4, 6), warmup=1)
                for _ in range(2):
                    other(x, (h, c))
                return fine and other.wait() and bool(other.specializations)

            assert self.child(work) == 0

    def test_a_fork_in_the_middle_of_a_build(self, gate) -> None:
        """What the parent's thread was building, the child builds itself: nothing there waits for that thread."""
        program, queued = specjit.optimize(half, warmup=1), specjit.optimize(half, warmup=1)
        check_half(program, 4)
        check_half(queued, 4)
        assert gate.begun.wait(LONG)

        def work() -> bool:
            gate.open.set()
            for each in (program, queued):
                assert each.wait()
                check_half(each, 4)
                assert each.wait()
                check_half(each, 4)
            return bool(program.specializations and queued.specializations)

        assert self.child(work) == 0
        gate.open.set()
        assert program.wait(LONG)
        assert len(program.specializations) == 1

    def test_a_fork_while_another_thread_holds_every_lock(self) -> None:
        from specjit import locks

        program = specjit.optimize(half, warmup=1)
        check_half(program, 4)
        assert program.wait(LONG)
        held, over = threading.Event(), threading.Event()

        def hold() -> None:
            taken = list(locks._locks)
            for lock in taken:
                lock.acquire()
            held.set()
            over.wait(LONG)
            for lock in taken:
                lock.release()

        holder = Crew(hold)
        assert held.wait(LONG)
        try:

            def work() -> bool:
                specjit.rand(3)
                other = specjit.optimize(half, warmup=1)
                for _ in range(2):
                    check_half(other, 4)
                    check_half(program, 5)
                return other.wait() and program.wait() and bool(other.specializations)

            assert self.child(work) == 0
        finally:
            over.set()
            assert holder.join() == []

    def test_a_thread_that_forks_under_its_own_lock_lets_go_of_it_in_the_child(self) -> None:
        from specjit import locks

        lock = locks.lock()

        def work() -> bool:
            lock.release()
            return Crew(lambda: lock.acquire(timeout=LONG) or 1 // 0).join() == []

        with lock:
            assert self.child(work) == 0


ENDS = {
    "at once": "",
    "while a kernel compiles": """
        from specjit.codegen import compiler
        while not any(worker.serving for pool in list(compiler._POOLS) for worker in list(pool._all)):
            time.sleep(0.001)
    """,
    "with an exit code": "sys.exit(0)",
    "with jobs in the queue": """
        for k in range(20):
            specjit.optimize(half, warmup=1, name=f"other{k}")(x)
    """,
    "with a call and a wait after ours": """
        def late():
            for n in (5, 6):
                program(specjit.ones(n, n))
            assert program.wait()
    """,
}


@pytest.mark.parametrize("how", ENDS)
def test_an_interpreter_that_ends_says_nothing(how, tmp_path) -> None:
    """In the middle of a compile, too: no traceback, no hang, nobody waits for what will not come."""
    text = """
        import atexit, sys, time
        late = lambda: None
        atexit.register(lambda: late())  # what registers first is called last
        import specjit

        def half(x):
            return x.tanh() * 0.5

        program = specjit.optimize(half, warmup=1)
        x = specjit.ones(4)
        program(x)
    """
    code = textwrap.dedent(text) + textwrap.dedent(ENDS[how])
    file = tmp_path / "program.py"
    file.write_text(code)
    environment = {**os.environ, "SPECJIT_CACHE_DIR": str(tmp_path / "cache")}
    done = subprocess.run([sys.executable, file], capture_output=True, text=True, timeout=LONG, env=environment)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
