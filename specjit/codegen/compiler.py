"""The parent's side of the compile worker: starting, talking to, timing out, replacing and ending worker processes.

Enters: kernel sources. Leaves: object images with their LLVM IR text, or `CompileError` with the worker's traceback.
Invariant: a worker whose conversation was interrupted (crash, time limit, Ctrl-C, fork) is never spoken to again.
"""

from __future__ import annotations

import atexit
import os
import subprocess
import sys
import tempfile
import threading
import weakref
from importlib.util import find_spec
from io import RawIOBase
from pathlib import Path
from typing import IO, cast

from specjit.codegen.worker import read_message, write_message

IDLE_SECONDS = 120.0  # then a worker ends, and with it its 140 MB
REQUESTS_PER_WORKER = 300  # Numba never forgets a type or a symbol: a fresh process bounds the memory
MAX_CRASHES = 4  # in a row, over all requests: then the pool gives up


class CompileError(Exception):
    """A kernel did not compile. The message holds the worker's traceback."""


class CompileTimeout(CompileError):
    """A kernel took longer to compile than the pool allows."""


class WorkerCrash(CompileError):
    """The worker process died, twice for one request or too often in a row."""


class _Worker:
    """One worker process. Used by one thread at a time; any thread may end it."""

    def __init__(self) -> None:
        self.answered = 0
        self.retirement: threading.Timer | None = None
        self.serving: threading.Event | None = None  # the name of the request under way
        # Like the pipes without a buffer, hence without a lock that a fork could leave taken.
        self._log: IO[bytes] = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115 - lives as long as the process
        self._process = subprocess.Popen(
            [sys.executable, "-P", str(Path(__file__).with_name("worker.py"))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            bufsize=0,
            env=_environment(),
            # The terminal's Ctrl-C is for the parent (POSIX; then Windows).
            start_new_session=True,
            creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),
        )
        self._requests = cast(RawIOBase, self._process.stdin)
        self._answers = cast(RawIOBase, self._process.stdout)
        self._open: list[IO[bytes] | RawIOBase] = [self._requests, self._answers, self._log]

    def ask(self, *fields: bytes, seconds: float) -> list[bytes] | None:
        """Send a request and wait for the answer.

        None if the worker died; CompileTimeout if it was ended for taking too long.
        """
        expired = threading.Event()

        def expire() -> None:
            expired.set()
            self._process.kill()

        watchdog = threading.Timer(seconds, expire)
        watchdog.daemon = True
        watchdog.start()
        try:
            write_message(self._requests, *fields)
            answer = read_message(self._answers)
        except (OSError, ValueError):  # the pipe broke, or `close` came from another thread
            answer = None
        finally:
            watchdog.cancel()
        if answer is None and expired.is_set():
            raise CompileTimeout(f"no answer within {seconds:g} s; the worker was ended")
        self.answered += 1
        return answer

    def last_words(self) -> str:
        """The end of what the process printed, with its exit status."""
        status = self._process.wait()
        try:
            self._log.seek(0)
            return f"exit status {status}\n{self._log.read()[-4000:].decode(errors='replace')}"
        except ValueError:  # `close` came from another thread
            return f"exit status {status}"

    def close(self) -> None:
        """End the process. Safe to call in any state, and by several threads at once."""
        if self.retirement is not None:
            self.retirement.cancel()
        self._process.kill()
        self._process.wait()
        self._close_files()

    def forget(self) -> None:
        """After a fork, in the child: the process is not ours to wait for, the pipes not ours to hold open."""
        self._process.returncode = 0
        self._close_files()

    def _close_files(self) -> None:
        while True:
            try:
                stream = self._open.pop()  # atomic: of the threads that close a worker, one closes each file
            except IndexError:
                return
            stream.close()


class CompilerPool:
    """Up to `workers` compile processes, started when first needed. Thread-safe."""

    def __init__(self, workers: int = 1, seconds: float = 120.0) -> None:
        self.workers = workers
        self.seconds = seconds
        self._reset_state()
        _POOLS.add(self)

    def _reset_state(self) -> None:
        self._lock = threading.RLock()
        self._slots = threading.BoundedSemaphore(self.workers)
        self._idle: list[_Worker] = []
        self._all: set[_Worker] = set()
        self._crashes = 0
        self._closed = False

    def compile(
        self, source: str, symbol: str, path: str, cancelled: threading.Event | None = None
    ) -> tuple[bytes, str]:
        """A kernel's object image and LLVM IR text. A worker that dies is replaced, and the request repeated once.

        `cancelled` names the request, for `cancel`.
        """
        request = (symbol.encode(), source.encode(), path.encode())
        words = ""
        with self._slots:
            for _ in range(2):
                if cancelled is not None and cancelled.is_set():
                    raise CompileError(f"{symbol} was cancelled")
                answer, words = self._converse(request, cancelled)
                if answer is not None:
                    if answer[0] == b"ok":
                        return answer[1], answer[2].decode()
                    raise CompileError(f"{symbol} did not compile ({path})\n{answer[1].decode()}")
        raise WorkerCrash(f"the compile worker died on {symbol}: {words}")

    def cancel(self, cancelled: threading.Event) -> None:
        """End the requests of this name now, with a CompileError."""
        cancelled.set()
        with self._lock:
            workers = [worker for worker in self._all if worker.serving is cancelled]
        for worker in workers:
            worker.close()

    def warm_up(self) -> None:
        """Start a worker and let it import what it needs, so that the first kernel does not wait for that."""
        with self._slots:
            self._converse(())

    def close(self) -> None:
        """End all workers. A later `compile` raises."""
        with self._lock:
            self._closed = True
            workers, self._all = self._all, set()
            self._idle.clear()
        for worker in workers:
            worker.close()

    def _converse(
        self, request: tuple[bytes, ...], cancelled: threading.Event | None = None
    ) -> tuple[list[bytes] | None, str]:
        """One question to one worker: its answer, or None and its last words."""
        worker = self._take(cancelled)
        try:
            answer = worker.ask(*request, seconds=self.seconds)
        except BaseException:  # a time limit or Ctrl-C: the conversation is out of step
            self._drop(worker)
            raise
        worker.serving = None
        if answer is None:
            words = worker.last_words()
            self._drop(worker)
            with self._lock:
                self._crashes += cancelled is None or not cancelled.is_set()
            return None, words
        with self._lock:
            self._crashes = 0
            keep = not self._closed and worker.answered < REQUESTS_PER_WORKER
            if keep:
                self._rest(worker)
        if not keep:
            self._drop(worker)
        return answer, ""

    def _rest(self, worker: _Worker) -> None:
        """Put a worker back, until it is taken again or its time is up. Under the lock."""
        self._idle.append(worker)
        worker.retirement = threading.Timer(IDLE_SECONDS, self._retire, [worker])
        worker.retirement.daemon = True
        worker.retirement.start()

    def _retire(self, worker: _Worker) -> None:
        with self._lock:
            if worker not in self._idle:
                return
            self._idle.remove(worker)
        self._drop(worker)

    def _take(self, cancelled: threading.Event | None) -> _Worker:
        with self._lock:
            if self._closed:
                raise CompileError("the compiler pool is closed")
            if self._crashes >= MAX_CRASHES:
                raise WorkerCrash(f"the compile worker died {self._crashes} times in a row")
            if self._idle:
                worker = self._idle.pop()
                if worker.retirement is not None:
                    worker.retirement.cancel()
            else:
                worker = _Worker()
                self._all.add(worker)
            worker.serving = cancelled
            return worker

    def _drop(self, worker: _Worker) -> None:
        with self._lock:
            self._all.discard(worker)
        worker.close()

    def _after_fork_in_child(self) -> None:
        """The workers are the parent's. Close our ends of their pipes, or they would outlive it; start anew."""
        for worker in self._all:
            worker.forget()
        self._reset_state()


_POOLS: weakref.WeakSet[CompilerPool] = weakref.WeakSet()


def _environment() -> dict[str, str]:
    """The worker's environment: our own NumPy and Numba, and no switch that a cache key does not hold."""
    switches = ("NUMBA_", "PYTHON")
    environment = {k: v for k, v in os.environ.items() if k == "PYTHONHOME" or not k.startswith(switches)}
    folders = []
    for name in ("numba", "llvmlite", "numpy"):
        spec = find_spec(name)
        if spec is not None and spec.origin is not None:
            folders.append(str(Path(spec.origin).parents[1]))
    environment["PYTHONPATH"] = os.pathsep.join(dict.fromkeys(folders))
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        environment[name] = "1"
    return environment


@atexit.register
def _close_all() -> None:
    for pool in list(_POOLS):
        pool.close()


def _after_fork() -> None:
    for pool in list(_POOLS):
        pool._after_fork_in_child()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
