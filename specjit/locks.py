"""Locks that a forked child finds free.

Enters: nothing. Leaves: `lock()`, and `in_forked_child(function)` for what else a child has to begin anew.
Invariant: every lock of specjit that outlives a call is made here, or is held around fork (`codegen.target.llvm_lock`).
They are reentrant: a finalizer or a signal handler may come in the middle of a locked section and take the same road.
"""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable
from typing import Any

_locks: weakref.WeakSet[Any] = weakref.WeakSet()


def lock() -> threading.RLock:
    """A reentrant lock. Whatever the parent's other threads held when it forked, the child may take it."""
    made = threading.RLock()
    _locks.add(made)
    return made


def in_forked_child(function: Callable[[], None]) -> None:
    """Call `function` in every forked child, after the locks are free and in the order of registration."""
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=function)


def _free_locks() -> None:
    held: Any
    for held in list(_locks):
        if not held._is_owned():  # the thread that forked goes on in the child, and lets go of what it holds itself
            held._at_fork_reinit()


in_forked_child(_free_locks)
