"""Waiting in tests: for what surely comes, for as long as the slowest machine may need.

Invariant: no outcome depends on how fast a machine or another process is; the bound only turns a hang into a failure.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

LONG = 600.0  # seconds


def until(condition: Callable[[], object]) -> bool:
    """Whether the condition came true within `LONG`."""
    end = time.monotonic() + LONG
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.01)
    return True


class Crew:
    """Threads that start together. `join` ends with the exceptions that they raised."""

    def __init__(self, *works: Callable[[], object]) -> None:
        self.errors: list[BaseException] = []
        barrier = threading.Barrier(len(works))

        def run(work: Callable[[], object]) -> None:
            try:
                barrier.wait(LONG)
                work()
            except BaseException as error:
                self.errors.append(error)

        self.threads = [threading.Thread(target=run, args=(work,), daemon=True) for work in works]
        for thread in self.threads:
            thread.start()

    def join(self) -> list[BaseException]:
        for thread in self.threads:
            thread.join(LONG)
            assert not thread.is_alive(), "a thread hangs"
        return self.errors
