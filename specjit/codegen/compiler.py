"""The parent's side of the compile worker: starting, talking to, timing out, replacing and ending worker processes.

Enters: kernel sources. Leaves: object images with their LLVM IR text, or `CompileError` with the worker's traceback.
Invariant: a worker whose conversation was interrupted (crash, time limit, Ctrl-C, fork) is never spoken to again.
Ctrl-C comes between any two steps of the main thread, so there one only waits; other threads do what is asked.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import queue
import subprocess
import sys
import tempfile
import threading
import weakref
from collections.abc import Callable
from importlib.util import find_spec
from io import RawIOBase
from pathlib import Path
from typing import TypeVar, cast

from specjit import locks
from specjit.codegen.target import llvm_lock
from specjit.codegen.worker import read_message, write_message

R = TypeVar("R")

REQUEST_SECONDS = 300.0  # far more than a kernel takes on a slow and busy machine: only a hang meets this limit
LAST_WORDS_SECONDS = 10.0  # a worker that closed its pipe and yet does not end within this time is ended
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
    """One worker process. One thread at a time converses with it; any thread may end it.

    Its files are closed after the conversation: under a thread that reads, a file's number could become another's.
    """

    def __init__(self) -> None:
        self.answered = 0
        self.retirement: threading.Timer | None = None
        self.serving: threading.Event | None = None  # the name of the request under way
        self._conversation = threading.RLock()
        # Like the pipes without a buffer, hence without a lock that a fork could leave taken.
        self._log = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115 - lives as long as the process
        try:
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
        except BaseException:
            self._log.close()
            raise
        self._requests = cast(RawIOBase, self._process.stdin)
        self._answers = cast(RawIOBase, self._process.stdout)

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
            with self._conversation:
                write_message(self._requests, *fields)
                answer = read_message(self._answers)
        except (OSError, ValueError):  # the pipe broke, or `close` came first
            answer = None
        finally:
            watchdog.cancel()
        if answer is None and expired.is_set():
            raise CompileTimeout(f"no answer within {seconds:g} s; the worker was ended")
        self.answered += 1
        return answer

    def last_words(self) -> str:
        """The end of what the process printed, with its exit status."""
        try:
            status = self._process.wait(LAST_WORDS_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()
            status = self._process.wait()
        with self._conversation:
            if self._log.closed:  # `close` came first
                return f"exit status {status}"
            self._log.seek(0)
            return f"exit status {status}\n{self._log.read()[-4000:].decode(errors='replace')}"

    def kill(self) -> None:
        """End the process: who converses with it reads the end of its pipe."""
        self._process.kill()

    def close(self) -> None:
        """End the process and close its files. Safe to call in any state, and by several threads at once."""
        if self.retirement is not None:
            self.retirement.cancel()
        self.kill()
        self._process.wait()
        with self._conversation:
            self._close_files()

    def forget(self) -> None:
        """After a fork, in the child: the process is not ours to wait for, the pipes not ours to hold open."""
        self._process.returncode = 0
        self._close_files()

    def _close_files(self) -> None:
        for stream in (self._requests, self._answers, self._log):
            stream.close()


class CompilerPool:
    """Up to `workers` compile processes, started when first needed. Thread-safe."""

    def __init__(self, workers: int = 1, seconds: float = REQUEST_SECONDS) -> None:
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
        self._asked: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._asker: threading.Thread | None = None

    def compile(
        self, source: str, symbol: str, path: str, cancelled: threading.Event | None = None
    ) -> tuple[bytes, str]:
        """A kernel's object image and LLVM IR text. A worker that dies is replaced, and the request repeated once.

        `cancelled` names the request, for `cancel`.
        """
        name = cancelled or threading.Event()
        return self._away_from_ctrl_c(name, lambda: self._compile(source, symbol, path, name))

    def _compile(self, source: str, symbol: str, path: str, cancelled: threading.Event) -> tuple[bytes, str]:
        request = (symbol.encode(), source.encode(), path.encode())
        words = ""
        with self._slots:
            for _ in range(2):
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
            for worker in self._all:
                if worker.serving is cancelled:
                    worker.kill()

    def warm_up(self) -> None:
        """Start a worker and let it import what it needs, so that the first kernel does not wait for that."""
        name = threading.Event()

        def ask() -> None:
            with self._slots:
                self._converse((), name)

        self._away_from_ctrl_c(name, ask)

    def close(self) -> None:
        """End all workers. A later `compile` raises."""
        with self._lock:
            self._closed = True
            workers, self._all = self._all, set()
            self._idle.clear()
            self._asked.put(None)
        for worker in workers:
            worker.close()

    def _away_from_ctrl_c(self, name: threading.Event, work: Callable[[], R]) -> R:
        """What `work` gives: done here, or, for the main thread, by a thread that no signal interrupts.

        An exception that ends the main thread's wait cancels the requests of this name. (SimpleQueue is written in C:
        an interrupt comes before or after what it does. Futures and conditions can be torn.)
        """
        if threading.current_thread() is not threading.main_thread():
            return work()
        outcome: list[tuple[R | None, BaseException | None]] = []
        done: queue.SimpleQueue[None] = queue.SimpleQueue()

        def run() -> None:
            try:
                outcome.append((work(), None))
            except BaseException as error:
                outcome.append((None, error))
            done.put(None)

        try:
            with self._lock:  # `close` is before, or its end of the queue after
                self._refuse_if_closed()
                self._start_asker()
                self._asked.put(run)
            done.get()
        except BaseException:
            self.cancel(name)
            if not (outcome or self._closed):  # whoever goes on from here finds the pool at rest
                with contextlib.suppress(queue.Empty):
                    done.get(timeout=LAST_WORDS_SECONDS)
            raise
        result, error = outcome.pop()
        if error is None:
            return cast(R, result)
        try:
            raise error
        finally:
            del error  # it refers to this frame

    def _start_asker(self) -> None:
        if self._asker is None or not self._asker.is_alive():
            self._asker = threading.Thread(target=_run_all, args=[self._asked], name="specjit-ask", daemon=True)
            self._asker.start()

    def _converse(self, request: tuple[bytes, ...], cancelled: threading.Event) -> tuple[list[bytes] | None, str]:
        """One question to one worker: its answer, or None and its last words."""
        worker = self._take(cancelled)
        try:
            answer = worker.ask(*request, seconds=self.seconds)
        except BaseException:  # a time limit or Ctrl-C: the conversation is out of step
            self._drop(worker)
            raise
        with self._lock:
            worker.serving = None
            if answer is not None:
                self._crashes = 0
            elif not (cancelled.is_set() or self._closed):
                self._crashes += 1
            keep = answer is not None and not self._closed and worker.answered < REQUESTS_PER_WORKER
            if keep:
                self._rest(worker)
        words = worker.last_words() if answer is None else ""
        if not keep:
            self._drop(worker)
        return answer, words

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

    def _take(self, cancelled: threading.Event) -> _Worker:
        with self._lock:
            self._refuse_if_closed()
            if cancelled.is_set():  # under the lock: `cancel` came before, or finds the worker
                raise CompileError("the request was cancelled")
            if self._crashes >= MAX_CRASHES:
                raise WorkerCrash(f"the compile worker died {self._crashes} times in a row")
            if self._idle:
                worker = self._idle.pop()
                if worker.retirement is not None:
                    worker.retirement.cancel()
            else:
                with llvm_lock:  # a fork waits: a child that had half of a worker would keep its pipes open
                    worker = _Worker()
                self._all.add(worker)
            worker.serving = cancelled
            return worker

    def _refuse_if_closed(self) -> None:
        if self._closed:
            raise CompileError("the compiler pool is closed")

    def _drop(self, worker: _Worker) -> None:
        with self._lock:
            self._all.discard(worker)
        worker.close()

    def _after_fork_in_child(self) -> None:
        """The workers are the parent's. Close our ends of their pipes, or they would outlive it; start anew."""
        for worker in self._all:
            worker.forget()
        self._reset_state()


def _run_all(asked: queue.SimpleQueue[Callable[[], None] | None]) -> None:
    while (work := asked.get()) is not None:
        work()
        del work  # it refers to its pool


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


locks.in_forked_child(_after_fork)
