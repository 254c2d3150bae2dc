"""How many threads specjit computes on: native regions and NumPy's BLAS alike.

Enters: a count. Leaves: the same count in every BLAS that is loaded.
Invariant: until someone sets a count, BLAS keeps its own, and `get_num_threads` answers the processors at hand.
"""

from __future__ import annotations

import os

from threadpoolctl import threadpool_limits

_chosen: int | None = None


def set_num_threads(count: int) -> None:
    """Compute on `count` threads from now on. TypeError unless it is an int, RuntimeError unless it is positive."""
    global _chosen
    if not isinstance(count, int) or isinstance(count, bool):
        raise TypeError(f"set_num_threads expects an int, but got {type(count).__name__}")
    if count < 1:
        raise RuntimeError(f"set_num_threads expects a positive integer, but got {count}")
    threadpool_limits(count, user_api="blas")
    _chosen = count


def get_num_threads() -> int:
    """The count last set, or the number of processors that this process may run on."""
    if _chosen is not None:
        return _chosen
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
