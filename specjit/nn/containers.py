"""Modules that hold modules.

Enters: modules. Leaves: registered children, reached by position or key.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from specjit.nn.module import Module
from specjit.nn.registry import Registry


def _position(n: int, index: int) -> int:
    if not -n <= index < n:
        raise IndexError(f"index {index} is out of range")
    return index % n


class _Numbered(Module):
    """Children named "0", "1", ..."""

    def _put(self, modules: Iterable[Module]) -> None:
        self.__dict__["_modules"] = Registry()
        for i, module in enumerate(modules):
            self.add_module(str(i), module)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return self._copy(list(self._modules.items())[index])
        return list(self._modules.values())[_position(len(self._modules), index)]

    def _copy(self, items: list[tuple[str, Module]]) -> Any:
        out = type(self)()
        out._put(m for _, m in items)
        return out

    def __setitem__(self, index: int, module: Module) -> None:
        key = list(self._modules)[_position(len(self._modules), index)]
        setattr(self, key, module)

    def __delitem__(self, index: Any) -> None:
        kept = list(self._modules.values())
        del kept[index]
        self._put(kept)

    def __len__(self) -> int:
        return len(self._modules)

    def __iter__(self) -> Iterator[Module]:
        return iter(self._modules.values())

    def append(self, module: Module) -> Any:
        """Add a module at the end; returns self."""
        self.add_module(str(len(self)), module)
        return self

    def extend(self, modules: Iterable[Module]) -> Any:
        for module in modules:
            self.append(module)
        return self

    def insert(self, index: int, module: Module) -> Any:
        kept = list(self._modules.values())
        kept.insert(index, module)
        self._put(kept)
        return self


class Sequential(_Numbered):
    """Modules applied one after another. Takes modules, or one dict of named ones."""

    def __init__(self, *args: Any) -> None:
        super().__init__()
        if len(args) == 1 and isinstance(args[0], Mapping):
            for name, module in args[0].items():
                self.add_module(name, module)
        else:
            for i, module in enumerate(args):
                self.add_module(str(i), module)

    def _copy(self, items: list[tuple[str, Module]]) -> Any:
        return type(self)(dict(items))

    def forward(self, input: Any) -> Any:
        for module in self:
            input = module(input)
        return input


class ModuleList(_Numbered):
    """A list of modules; calling them is the owner's business."""

    def __init__(self, modules: Iterable[Module] | None = None) -> None:
        super().__init__()
        if modules is not None:
            self.extend(modules)

    def __iadd__(self, modules: Iterable[Module]) -> ModuleList:
        self.extend(modules)
        return self


class ModuleDict(Module):
    """A dict of modules."""

    def __init__(self, modules: Mapping[str, Module] | None = None) -> None:
        super().__init__()
        if modules is not None:
            self.update(modules)

    def __getitem__(self, key: str) -> Any:
        return self._modules[key]

    def __setitem__(self, key: str, module: Module) -> None:
        self.add_module(key, module)

    def __delitem__(self, key: str) -> None:
        del self._modules[key]

    def __len__(self) -> int:
        return len(self._modules)

    def __iter__(self) -> Iterator[str]:
        return iter(self._modules)

    def __contains__(self, key: str) -> bool:
        return key in self._modules

    def keys(self) -> Any:
        return self._modules.keys()

    def values(self) -> Any:
        return self._modules.values()

    def items(self) -> Any:
        return self._modules.items()

    def pop(self, key: str) -> Module:
        found: Module = self._modules[key]
        del self._modules[key]
        return found

    def update(self, modules: Mapping[str, Module]) -> None:
        for key, module in modules.items():
            self.add_module(key, module)
