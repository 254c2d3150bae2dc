"""The compile workers: they crash, hang, print and get interrupted, and the parent goes on."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import pytest

from specjit.codegen import compiler, worker
from specjit.codegen.compiler import CompileError, CompilerPool, CompileTimeout, WorkerCrash
from tests.codegen.sources import axpy
from tests.waiting import LONG, Crew, until

ZERO = "def kernel(frame, ops):\n    return 0\n"
# A preamble runs in the worker: that is how these tests make it misbehave.
DIES = "import os\nos._exit(7)\n" + ZERO
DIES_ONCE = "import os\nif not os.path.exists({path!r}):\n    open({path!r}, 'w').close()\n    os._exit(7)\n" + ZERO
HANGS = "import time\ntime.sleep(3600)\n" + ZERO
# The same, and it says so: whoever sees the file knows that the worker is at it.
HANGS_AT = "import time\nopen({path!r}, 'w').close()\ntime.sleep(3600)\n" + ZERO
PRINTS = "import os, sys\nprint('stray')\nsys.stdout.flush()\nos.write(1, b'bytes')\nos.system('echo shell')\n" + ZERO


@pytest.fixture
def own_pool():
    pool = CompilerPool()
    yield pool
    pool.close()


def alive(pid: int) -> bool:
    """Is the process running (and not a zombie)?"""
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return False


def gone(pid: int) -> bool:
    """Wait for a process to end."""
    return until(lambda: not alive(pid))


def pids(pool: CompilerPool) -> list[int]:
    return [w._process.pid for w in list(pool._all)]


def test_no_worker_before_the_first_kernel(own_pool):
    assert pids(own_pool) == []
    own_pool.compile(ZERO, "zero", "zero.py")
    assert len(pids(own_pool)) == 1


def test_workers_are_reused(own_pool):
    for i in range(3):
        own_pool.compile(ZERO, f"zero_{i}", "zero.py")
    assert len(pids(own_pool)) == 1


def test_warm_up_starts_one(own_pool):
    own_pool.warm_up()
    assert len(pids(own_pool)) == 1


def test_stray_prints_do_not_reach_the_pipe(own_pool):
    image, _ = own_pool.compile(PRINTS, "prints", "prints.py")
    assert image == own_pool.compile(ZERO, "prints", "prints.py")[0]


def test_a_crash_is_repeated_once_with_a_new_worker(own_pool, tmp_path):
    own_pool.compile(DIES_ONCE.format(path=str(tmp_path / "died")), "dies_once", "d.py")
    assert (tmp_path / "died").exists()


def test_a_source_that_kills_workers_is_an_error_with_their_last_words(own_pool):
    source = "import os\nos.write(2, b'farewell')\n" + DIES
    with pytest.raises(WorkerCrash, match=r"(?s)exit status 7.*farewell"):
        own_pool.compile(source, "dies", "d.py")
    own_pool.compile(ZERO, "zero", "zero.py")


def test_crashes_are_bounded(own_pool):
    for _ in range(compiler.MAX_CRASHES // 2):
        with pytest.raises(WorkerCrash, match="exit status"):
            own_pool.compile(DIES, "dies", "d.py")
    with pytest.raises(WorkerCrash, match="in a row"):
        own_pool.compile(ZERO, "zero", "zero.py")
    assert pids(own_pool) == []


def test_an_error_is_no_crash_and_keeps_the_worker(own_pool):
    own_pool.compile(ZERO, "zero", "zero.py")
    before = pids(own_pool)
    for _ in range(compiler.MAX_CRASHES + 1):
        with pytest.raises(CompileError, match="bad did not compile"):
            own_pool.compile("def kernel(frame, ops):\n    return nothing\n", "bad", "bad.py")
    assert pids(own_pool) == before


def test_time_limit():
    pool = CompilerPool(seconds=1.0)
    with pytest.raises(CompileTimeout, match="1 s"):
        pool.compile(HANGS, "hangs", "h.py")
    assert pids(pool) == []
    pool.seconds = 100.0
    pool.compile(ZERO, "zero", "zero.py")
    pool.close()


def test_closed_pool(own_pool):
    own_pool.compile(ZERO, "zero", "zero.py")
    (pid,) = pids(own_pool)
    own_pool.close()
    assert gone(pid)
    with pytest.raises(CompileError, match="closed"):
        own_pool.compile(ZERO, "zero", "zero.py")
    own_pool.close()


def test_close_while_compiling(own_pool, tmp_path):
    at = tmp_path / "at it"
    crew = Crew(lambda: own_pool.compile(HANGS_AT.format(path=str(at)), "hangs", "h.py"))
    assert until(at.exists)
    own_pool.close()
    (error,) = crew.join()
    assert isinstance(error, CompileError)


def test_many_threads_close_one_worker():
    for _ in range(5):
        worker = compiler._Worker()

        def close_it(worker=worker):
            worker.close()
            worker.last_words()

        assert Crew(*[close_it] * 8).join() == []
        assert gone(worker._process.pid)


def test_files_close_after_the_conversation(tmp_path):
    """Under a thread that reads, a file's number could become that of another file."""
    worker, at = compiler._Worker(), tmp_path / "at it"
    closed_while_reading = []
    read = compiler.read_message

    def watched(stream):
        try:
            return read(stream)
        finally:
            closed_while_reading.append(stream.closed)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compiler, "read_message", watched)
        source = HANGS_AT.format(path=str(at))
        crew = Crew(lambda: worker.ask(b"hangs", source.encode(), b"h.py", seconds=LONG))
        assert until(at.exists)
        worker.close()
        assert crew.join() == []
    assert closed_while_reading == [False]
    assert worker._answers.closed


def test_cancel_ends_the_requests_of_one_name(own_pool, tmp_path):
    own_pool = CompilerPool(workers=2)
    name, at = threading.Event(), tmp_path / "at it"
    crew = Crew(lambda: own_pool.compile(HANGS_AT.format(path=str(at)), "hangs", "h.py", name))
    assert until(at.exists)
    own_pool.compile(ZERO, "zero", "zero.py")
    before = pids(own_pool)
    own_pool.cancel(name)
    (error,) = crew.join()
    assert isinstance(error, CompileError)
    assert set(pids(own_pool)) < set(before)
    own_pool.compile(ZERO, "zero", "zero.py")
    own_pool.close()


def test_cancel_before_a_worker_is_taken(own_pool, monkeypatch):
    """It comes between the request and its worker: no worker is started for it."""
    name = threading.Event()
    slots = own_pool._slots

    class CancelsFirst:
        def __enter__(self):
            own_pool.cancel(name)
            return slots.__enter__()

        def __exit__(self, *error):
            return slots.__exit__(*error)

    monkeypatch.setattr(own_pool, "_slots", CancelsFirst())
    with pytest.raises(CompileError, match="cancelled"):
        own_pool.compile(HANGS, "hangs", "h.py", name)
    assert pids(own_pool) == []


def test_a_worker_that_cannot_be_started_leaves_nothing_open(own_pool, monkeypatch):
    """Open files are ResourceWarnings, hence errors here."""

    def fails(*arguments, **options):
        raise OSError("no more processes")

    monkeypatch.setattr(subprocess, "Popen", fails)
    with pytest.raises(OSError, match="no more processes"):
        own_pool.compile(ZERO, "zero", "zero.py")
    gc.collect()
    monkeypatch.undo()
    own_pool.compile(ZERO, "zero", "zero.py")


def test_a_worker_that_closes_its_pipe_and_lives_on_is_ended(own_pool, monkeypatch):
    monkeypatch.setattr(compiler, "LAST_WORDS_SECONDS", 0.1)
    source = "import os, time\nfor number in range(3, 64):\n    try:\n        os.close(number)\n    except OSError:\n"
    source += "        pass\ntime.sleep(3600)\n" + ZERO
    with pytest.raises(WorkerCrash, match=f"exit status -{signal.SIGKILL:d}"):
        own_pool.compile(source, "closes", "c.py")


def test_two_workers_for_many_threads():
    pool = CompilerPool(workers=2)
    crew = Crew(*[lambda i=i: pool.compile(axpy(i), f"axpy_{i}", "a.py") for i in range(6)])
    assert crew.join() == []
    assert 1 <= len(pids(pool)) <= 2
    pool.close()


def test_an_idle_worker_retires(monkeypatch):
    monkeypatch.setattr(compiler, "IDLE_SECONDS", 0.05)
    pool = CompilerPool()
    pool.compile(ZERO, "zero", "zero.py")
    assert until(lambda: not pids(pool))
    pool.compile(ZERO, "zero", "zero.py")
    pool.close()


def test_a_worker_is_replaced_after_its_share(monkeypatch):
    monkeypatch.setattr(compiler, "REQUESTS_PER_WORKER", 2)
    pool = CompilerPool()
    seen = set()
    for _ in range(4):
        pool.compile(ZERO, "zero", "zero.py")
        seen.update(pids(pool))
    assert len(seen) == 2
    pool.close()


def script(body: str) -> subprocess.Popen[str]:
    text = "from specjit.codegen.compiler import CompilerPool\npool = CompilerPool()\n" + textwrap.dedent(body)
    # From 3.12 on, Python warns of every fork beside threads; that it works is what these tests show.
    return subprocess.Popen(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", text],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_the_worker_ends_with_its_parent_even_when_that_is_killed():
    parent = script(
        f"""
        import time
        pool.compile({ZERO!r}, "zero", "zero.py")
        print(*[w._process.pid for w in pool._all], flush=True)
        time.sleep(3600)
        """
    )
    pid = int(parent.stdout.readline())
    assert alive(pid)
    parent.kill()
    parent.communicate()
    assert gone(pid)


def test_the_worker_ends_at_exit():
    parent = script(
        f"""
        pool.compile({ZERO!r}, "zero", "zero.py")
        print(*[w._process.pid for w in pool._all], flush=True)
        """
    )
    out, err = parent.communicate(timeout=LONG)
    assert parent.returncode == 0, err
    assert gone(int(out))


def test_ctrl_c_interrupts_the_parent_and_not_the_worker(tmp_path):
    """SIGINT to the whole foreground group, as a terminal sends it: an idle worker survives, a wait in the parent does
    not.
    """
    at = tmp_path / "at it"
    parent = script(
        f"""
        import os
        os.setpgrp()
        pool.compile({ZERO!r}, "zero", "zero.py")
        (idle,) = [w._process.pid for w in pool._all]
        try:
            os.killpg(0, 2)
        except KeyboardInterrupt:
            pass
        pool.compile({ZERO!r}, "zero", "zero.py")
        assert [w._process.pid for w in pool._all] == [idle]
        try:
            pool.compile({HANGS_AT.format(path=str(at))!r}, "hangs", "h.py")
        except KeyboardInterrupt:
            pool.compile({ZERO!r}, "zero", "zero.py")
            assert [w._process.pid for w in pool._all] != [idle]
            print("fine")
        """
    )
    assert until(at.exists)
    os.killpg(parent.pid, signal.SIGINT)
    out, err = parent.communicate(timeout=LONG)
    assert (out, err) == ("fine\n", "")


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="needs timers that send signals")
def test_ctrl_c_at_any_step():
    """Interrupted at many moments of many requests, the pool goes on: no count of it is ever off."""
    parent = script(
        """
        import random, signal
        from specjit.codegen import compiler

        class Quick:  # a worker that answers at once, so that nearly every interrupt meets the pool at work
            def __init__(self):
                self.answered, self.retirement, self.serving = 0, None, None

            def ask(self, *fields, seconds):
                return [b"ok", b"", b""]

            def kill(self): pass
            close = kill

        compiler._Worker = Quick
        random.seed(0)
        fired = False

        def interrupt(*_):
            global fired
            fired = True
            raise KeyboardInterrupt

        def work():
            while not fired:
                pool.compile("", "zero", "zero.py")

        signal.signal(signal.SIGALRM, interrupt)
        interrupted = 0
        for _ in range(300):
            try:
                fired = False
                signal.setitimer(signal.ITIMER_REAL, 1e-5 * random.randrange(1, 300))
                work()  # a call: an interrupt between two turns of a loop right here may miss this `try`
            except KeyboardInterrupt:
                interrupted += 1
        done = [pool.compile("", "zero", "zero.py") for _ in range(3)]
        print(interrupted > 200, len(done), len(pool._all))
        """
    )
    out, _ = parent.communicate(timeout=LONG)  # Python itself tells of interrupts that came to a weak reference's end
    assert out == "True 3 1\n"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_leaves_the_parents_worker_alone():
    parent = script(
        f"""
        import os
        first = pool.compile({ZERO!r}, "zero", "zero.py")
        (before,) = [w._process.pid for w in pool._all]
        child = os.fork()
        if child == 0:
            ok = not pool._all and pool.compile({ZERO!r}, "zero", "zero.py") == first
            pool.close()
            os._exit(0 if ok else 1)
        assert os.waitpid(child, 0)[1] == 0
        assert pool.compile({ZERO!r}, "zero", "zero.py") == first
        assert [w._process.pid for w in pool._all] == [before]
        print("fine")
        """
    )
    out, err = parent.communicate(timeout=LONG)
    assert (out, err) == ("fine\n", "")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_fork_waits_for_a_worker_that_is_being_started():
    """A child that had half of a worker would keep its pipes open, and the worker would outlive the parent."""
    parent = script(
        """
        import os, subprocess, threading
        import specjit.codegen.compiler as compiler
        starting, forking = threading.Event(), threading.Event()
        os.register_at_fork(before=forking.set)
        popen = subprocess.Popen

        def slow(*arguments, **options):
            made = popen(*arguments, **options)
            starting.set()
            assert forking.wait(600)
            return made

        subprocess.Popen = slow
        thread = threading.Thread(target=pool.warm_up)
        thread.start()
        starting.wait()
        child = os.fork()
        if child == 0:
            links = [os.readlink(f"/proc/self/fd/{n}") for n in os.listdir("/proc/self/fd") if int(n) > 2
                     and os.path.exists(f"/proc/self/fd/{n}")]
            os._exit(sum(link.startswith("pipe:") for link in links))
        left = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        thread.join()
        print(left)
        """
    )
    out, err = parent.communicate(timeout=LONG)
    assert (out, err) == ("0\n", "")


def test_user_settings_do_not_reach_the_worker(monkeypatch, tmp_path):
    """NUMBA_* would change code that the cache key does not know; a user's module may not shadow what the worker
    imports.
    """
    (tmp_path / "numba.py").write_text("raise SystemExit('imported user code')")
    monkeypatch.setenv("NUMBA_DISABLE_JIT", "1")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    pool = CompilerPool()
    pool.compile(ZERO, "zero", "zero.py")
    pool.close()


@pytest.mark.parametrize("cut", [0, 3, 4, 10, 13, 20])
def test_a_message_cut_short_is_no_message(tmp_path, cut):
    path = tmp_path / "message"
    with path.open("wb", buffering=0) as stream:
        worker.write_message(stream, b"one", b"", b"three" * 1000)
    whole = path.read_bytes()
    with path.open("rb", buffering=0) as stream:
        assert worker.read_message(stream) == [b"one", b"", b"three" * 1000]
        assert worker.read_message(stream) is None
    path.write_bytes(whole[:cut])
    with path.open("rb", buffering=0) as stream:
        assert worker.read_message(stream) is None


def test_runs_as_a_module():
    process = subprocess.Popen(
        [sys.executable, "-m", "specjit.codegen.worker"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0
    )
    worker.write_message(process.stdin, b"zero", ZERO.encode(), b"zero.py")
    answer = worker.read_message(process.stdout)
    assert answer[0] == b"ok"
    process.stdin.close()
    assert process.wait(LONG) == 0
    process.stdout.close()
