"""The background thread that specializes and compiles.

Enters: jobs (callables) from Programs. Leaves: nothing; a job publishes its own result.
Invariant: one daemon thread per process, started by the first job; it dies with the interpreter, a forked child
starts its own, and a job that raises never takes the thread down (Programs catch and report their own failures).
"""

from __future__ import annotations

import atexit
import queue
import sys
import threading
from collections.abc import Callable

from specjit import locks

Job = Callable[[], None]


class Service:
    """A single worker thread with a queue."""

    def __init__(self) -> None:
        self.closing = False
        self._queue: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._lock = locks.lock()

    def submit(self, job: Job) -> None:
        """Queue a job. RuntimeError when the system, or an interpreter that exits, gives us no thread."""
        with self._lock:
            if self._thread is None or not self._thread.is_alive():
                thread = threading.Thread(target=self._work, name="specjit-compile", daemon=True)
                thread.start()
                self._thread = thread
            self._queue.put(job)

    def drain(self, timeout: float | None = None) -> bool:
        """Wait until the jobs that are queued now are done; whether they are."""
        with self._lock:
            if self._thread is None:
                return True
            done = threading.Event()
            self._queue.put(done.set)
        return done.wait(timeout)

    def _work(self) -> None:
        while (job := self._queue.get()) is not None:
            try:
                job()
            except BaseException:
                threading.excepthook(threading.ExceptHookArgs((*sys.exc_info(), threading.current_thread())))
            del job  # an idle service keeps no Program alive

    def close(self, timeout: float = 2.0) -> None:
        """Called at interpreter exit: `closing` tells the jobs in the queue that they are not worth starting, and a
        compile in flight is not worth waiting for."""
        self.closing = True
        thread = self._thread
        if thread is not None and thread.is_alive():
            self._queue.put(None)
            thread.join(timeout)


service = Service()


def _after_fork() -> None:
    global service
    service = Service()


atexit.register(lambda: service.close())
locks.in_forked_child(_after_fork)


def submit(job: Job) -> None:
    service.submit(job)


def closing() -> bool:
    """Whether the interpreter exits."""
    return service.closing
