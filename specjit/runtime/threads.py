"""How many threads specjit may use.

Enters: `set_num_threads(n)`. Leaves: the same number for NumPy's BLAS, which eager mode and library calls between
regions use. Native regions run on the calling thread. Invariant: the setting is the process's; results never depend
on it.
"""

from __future__ import annotations

import os

from threadpoolctl import threadpool_limits

_threads: int | None = None


def get_num_threads() -> int:
    """The number of threads set, or the number of usable cores."""
    if _threads is not None:
        return _threads
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:
        return os.cpu_count() or 1


def set_num_threads(n: int) -> None:
    """Use at most `n` threads from now on. TypeError for anything but an int, RuntimeError for n < 1, as PyTorch."""
    global _threads
    if type(n) is not int:
        raise TypeError(f"set_num_threads expects an int, but got {type(n).__name__}")
    if n < 1:
        raise RuntimeError("set_num_threads expects a positive integer")
    _threads = n
    threadpool_limits(limits=n, user_api="blas")
