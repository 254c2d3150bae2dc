"""The compile workers: they crash, hang, print and get interrupted, and the parent goes on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import pytest

from specjit.codegen import compiler, worker
from specjit.codegen.compiler import CompileError, CompilerPool, CompileTimeout, WorkerCrash
from tests.codegen.sources import axpy

ZERO = "def kernel(frame, ops):\n    return 0\n"
# A preamble runs in the worker: that is how these tests make it misbehave.
DIES = "import os\nos._exit(7)\n" + ZERO
DIES_ONCE = "import os\nif not os.path.exists({path!r}):\n    open({path!r}, 'w').close()\n    os._exit(7)\n" + ZERO
HANGS = "import time\ntime.sleep(600)\n" + ZERO
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
    for _ in range(500):
        if not alive(pid):
            return True
        time.sleep(0.02)
    return False


def pids(pool: CompilerPool) -> list[int]:
    return [w._process.pid for w in pool._all]


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


def test_close_while_compiling(own_pool):
    failures: list[BaseException] = []

    def compile_it():
        try:
            own_pool.compile(HANGS, "hangs", "h.py")
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=compile_it)
    thread.start()
    while not pids(own_pool):
        time.sleep(0.01)
    time.sleep(0.3)
    own_pool.close()
    thread.join(20)
    assert not thread.is_alive()
    assert isinstance(failures[0], CompileError)


def test_many_threads_close_one_worker():
    for _ in range(5):
        worker = compiler._Worker()
        start = threading.Barrier(8)
        failures: list[BaseException] = []

        def close_it(worker=worker, start=start, failures=failures):
            start.wait()
            try:
                worker.close()
                worker.last_words()
            except BaseException as error:
                failures.append(error)

        threads = [threading.Thread(target=close_it) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)
        assert failures == []
        assert gone(worker._process.pid)


def test_two_workers_for_two_threads():
    pool = CompilerPool(workers=2)
    threads = [threading.Thread(target=pool.compile, args=(axpy(i), f"axpy_{i}", "a.py")) for i in range(6)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert 1 <= len(pids(pool)) <= 2
    pool.close()


def test_an_idle_worker_retires(monkeypatch):
    monkeypatch.setattr(compiler, "IDLE_SECONDS", 0.05)
    pool = CompilerPool()
    pool.compile(ZERO, "zero", "zero.py")
    for _ in range(500):
        if not pids(pool):
            break
        time.sleep(0.02)
    assert pids(pool) == []
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
    return subprocess.Popen([sys.executable, "-c", text], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_the_worker_ends_with_its_parent_even_when_that_is_killed():
    parent = script(
        f"""
        import time
        pool.compile({ZERO!r}, "zero", "zero.py")
        print(*[w._process.pid for w in pool._all], flush=True)
        time.sleep(100)
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
    out, err = parent.communicate(timeout=60)
    assert parent.returncode == 0, err
    assert gone(int(out))


def test_ctrl_c_interrupts_the_parent_and_not_the_worker():
    """SIGINT to the whole foreground group, as a terminal sends it: an idle worker survives, a wait in the parent does
    not.
    """
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
            print("waiting", flush=True)
            pool.compile({HANGS!r}, "hangs", "h.py")
        except KeyboardInterrupt:
            assert not pool._all
            pool.compile({ZERO!r}, "zero", "zero.py")
            print("fine")
        """
    )
    assert parent.stdout.readline() == "waiting\n"
    time.sleep(0.3)
    os.killpg(parent.pid, signal.SIGINT)
    out, err = parent.communicate(timeout=60)
    assert out == "fine\n", err


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
    out, err = parent.communicate(timeout=60)
    assert out == "fine\n", err
    assert err == ""


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
    assert process.wait(20) == 0
    process.stdout.close()
