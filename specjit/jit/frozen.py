"""`freeze`: a scripted module whose attributes cannot change.

Enters: a scripted module in eval mode. Leaves: a `FrozenModule` over a copy of its structure that shares its tensors.
Invariant: nothing that happens to the original's attributes reaches the frozen module; the frozen one has no attributes
but those in `preserved_attrs`, and none of them can be set.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from specjit.jit.script import ScriptedModule
from specjit.nn.module import Module


class FrozenModule(ScriptedModule):
    """A scripted module without attributes of its own to change: no parameters, no train mode."""

    def __init__(self, model: Module, preserved: Iterable[str] = (), **options: Any) -> None:
        self.__dict__["_preserved"] = frozenset(preserved)
        super().__init__(model, **options)
        self.__dict__["_frozen"] = True

    def __getattr__(self, name: str) -> Any:
        if name in ("forward", "training") or name in self.__dict__["_preserved"] or name[:2] == "__":
            return super().__getattr__(name)
        if name in ("_forward_hooks", "_forward_pre_hooks"):
            return {}
        raise AttributeError(f"'{self._log_name}' is frozen: '{name}' is not among its preserved_attrs")

    def __setattr__(self, name: str, value: Any) -> None:
        if "_frozen" in self.__dict__ and not hasattr(type(self), name) and name not in self.__dict__:
            raise RuntimeError(f"'{self._log_name}' is frozen: '{name}' cannot be set")
        super().__setattr__(name, value)

    def __deepcopy__(self, memo: dict[int, Any]) -> FrozenModule:
        return FrozenModule(copy.deepcopy(self._model, memo), self.__dict__["_preserved"], **self._options.to_dict())

    def __copy__(self) -> FrozenModule:
        return self  # nothing of it can change

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        return FrozenModule, (self._model, self.__dict__["_preserved"])

    def eval(self) -> FrozenModule:
        """It is in eval mode already."""
        return self

    def train(self, mode: bool = True) -> FrozenModule:
        """RuntimeError for train mode."""
        if mode:
            raise RuntimeError("a frozen module stays in eval mode")
        return self

    def parameters(self, recurse: bool = True) -> Iterator[Any]:
        """None: they are constants now."""
        return iter(())

    def named_parameters(self, *args: Any, **kwargs: Any) -> Iterator[Any]:
        """None: they are constants now."""
        return iter(())

    def buffers(self, recurse: bool = True) -> Iterator[Any]:
        """None: they are constants now."""
        return iter(())

    def state_dict(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """Empty: what the module holds are constants now."""
        return {}


def freeze(mod: Any, preserved_attrs: Sequence[str] | None = None) -> FrozenModule:
    """A copy of the scripted module `mod` whose attributes cannot change, for inference.

    mod: in eval mode (RuntimeError if it is not). preserved_attrs: attributes and exported methods that stay reachable
    (AttributeError for one that does not exist); all others are gone, `parameters()` is empty. Tensors are shared with
    `mod`: a write into one is seen by both."""
    if not issubclass(type(mod), ScriptedModule):
        raise RuntimeError(
            "Freezing expects a ScriptModule as input. Please use specjit.jit.script to script your 'nn.Module'."
        )
    if mod.training:
        raise RuntimeError(
            "Freezing is currently only implemented for modules in eval mode. "
            "Please call .eval() on your module before freezing."
        )
    preserved = list(preserved_attrs or ())
    for name in preserved:
        if not hasattr(mod, name):
            raise AttributeError(f"Module does not have a attribute named {name} to preserve")
    model = mod._model
    shared = {id(t): t for t in (*model.parameters(), *model.buffers())}
    return FrozenModule(copy.deepcopy(model, shared), preserved)
