"""The background thread that specializes and compiles.

Enters: jobs (callables) from Programs. Leaves: nothing; a job publishes its own result.
Invariant: one daemon thread per process, started by the first job; it dies with the interpreter, a forked child
starts its own, and a job that raises never takes the thread down (Programs catch and report their own failures).
"""

from __future__ import annotations

import atexit
import os
import queue
import threading
from collections.abc import Callable

Job = Callable[[], None]


class Service:
    """A single worker thread with a queue."""

    def __init__(self) -> None:
        self._queue: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()

    def submit(self, job: Job) -> None:
        with self._lock:
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._work, name="specjit-compile", daemon=True)
                self._thread.start()
        self._queue.put(job)

    def _work(self) -> None:
        while (job := self._queue.get()) is not None:
            job()

    def close(self, timeout: float = 2.0) -> None:
        """Stop after the job at hand; called at interpreter exit, where a compile in flight is not worth waiting
        for."""
        thread = self._thread
        if thread is not None and thread.is_alive():
            self._queue.put(None)
            thread.join(timeout)


service = Service()


def _after_fork() -> None:
    global service
    service = Service()


atexit.register(lambda: service.close())
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def submit(job: Job) -> None:
    service.submit(job)
