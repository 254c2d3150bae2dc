"""What tensors on one storage share: the version, the views that may have to learn about gradients, and arrays given
away.

Enters: the version list of a tensor, `[count]` or `[count, Shared]`; views share the list object with their base.
Leaves: the count, live views, and whether an array outside can change the storage unseen.
Invariant: every in-place write through specjit moves the count; a storage is "exported" as long as any array made
from it by
`numpy()`, `__array__` or DLPack, or any NumPy view of such an array, is alive.
"""

from __future__ import annotations

import weakref
from typing import Any

import numpy as np

from specjit.tensor import state


class Shared:
    """The rarely needed part of a storage. `outside` is True for memory that was never ours (`from_numpy`); `handed`
    counts how
    often memory was given away under another version (`numpy()`, `.data`), so that who keeps copies can tell that it
    was."""

    __slots__ = ("exports", "handed", "limit", "outside", "views")

    def __init__(self) -> None:
        self.views: list[weakref.ref[Any]] = []
        self.exports: list[weakref.ref[Any]] = []
        self.outside = False
        self.handed = 0
        self.limit = 16


def shared(version: list[Any]) -> Shared:
    if len(version) == 1:
        version.append(Shared())
    found: Shared = version[1]
    return found


def add_view(version: list[Any], view: Any) -> None:
    """Remember a view that does not require grad, for the case that its base comes to require it by an in-place
    write."""
    info = shared(version)
    if len(info.views) >= info.limit:
        info.views = [ref for ref in info.views if ref() is not None]
        info.limit = max(16, 2 * len(info.views))
    info.views.append(weakref.ref(view))


def require_grad_of_views(version: list[Any], base: Any) -> None:
    """`base` now requires grad, so its views do. (Views of a detached tensor on the same storage have another base.)"""
    if len(version) > 1:
        for ref in version[1].views:
            view = ref()
            if view is not None and view._base is base:
                view._requires_grad = True


class _Export:
    """The base of an array given away. NumPy keeps it as the base of every further view, so its life tells theirs."""

    __slots__ = ("__array_interface__", "__weakref__", "_keep")

    def __init__(self, array: np.ndarray) -> None:
        self.__array_interface__ = array.__array_interface__
        self._keep = array


def share(version: list[Any], holder: Any) -> None:
    """`holder` (weakly referenceable) sees this memory under no version or another one, as long as it lives."""
    state.bump_write_epoch()
    info = shared(version)
    info.handed += 1
    info.exports = [ref for ref in info.exports if ref() is not None]
    info.exports.append(weakref.ref(holder))


def fingerprint(version: list[Any]) -> tuple[int, int]:
    """Changes whenever the memory may have changed, once nothing outside holds it (`exported` says whether something
    does)."""
    return version[0], version[1].handed if len(version) > 1 else 0


def export(version: list[Any], array: np.ndarray) -> np.ndarray:
    """An array on the same memory to give away; while it lives, the storage counts as exported."""
    holder = _Export(array)
    share(version, holder)
    return np.asarray(holder)


def exported(version: list[Any]) -> bool:
    if len(version) == 1:
        return False
    info = version[1]
    return bool(info.outside) or any(ref() is not None for ref in info.exports)
