"""`Registry`: the dict behind a module's parameters, buffers, submodules and hooks.

Enters: entries. Leaves: the same entries, in order.
Invariant: every change moves `state.module_epoch`, so a reader that saw an epoch need not look again until it moves.
"""

from __future__ import annotations

from copy import deepcopy
from typing import Any

from specjit.tensor import state


class Registry(dict[Any, Any]):
    """A dict that moves the module epoch whenever it changes."""

    __slots__ = ()

    def __setitem__(self, key: Any, value: Any) -> None:
        dict.__setitem__(self, key, value)
        state.bump_module_epoch()

    def __delitem__(self, key: Any) -> None:
        dict.__delitem__(self, key)
        state.bump_module_epoch()

    def pop(self, *args: Any) -> Any:
        state.bump_module_epoch()
        return dict.pop(self, *args)

    def popitem(self) -> Any:
        state.bump_module_epoch()
        return dict.popitem(self)

    def update(self, *args: Any, **kwargs: Any) -> None:
        dict.update(self, *args, **kwargs)
        state.bump_module_epoch()

    def clear(self) -> None:
        dict.clear(self)
        state.bump_module_epoch()

    def setdefault(self, key: Any, default: Any = None) -> Any:
        state.bump_module_epoch()
        return dict.setdefault(self, key, default)

    def prepend(self, key: Any, value: Any) -> None:
        """Add an entry before all others."""
        rest = list(self.items())
        dict.clear(self)
        dict.__setitem__(self, key, value)
        self.update(rest)

    def __reduce__(self) -> tuple[Any, ...]:
        return Registry, (dict(self),)

    def __deepcopy__(self, memo: dict[int, Any]) -> Registry:
        return Registry({k: deepcopy(v, memo) for k, v in self.items()})
