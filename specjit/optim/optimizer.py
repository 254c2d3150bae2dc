"""The base of optimizers: parameter groups, state, and what they save.

Enters: parameters, or dicts with `params` and options of their own. Leaves: updates in place, through tensor ops
under `no_grad`, so that versions and the write epoch move.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from typing import Any

from specjit.tensor.state import enable_grad, no_grad
from specjit.tensor.tensor import Tensor


class Optimizer:
    """Subclasses give defaults and `_update(p, g, group)`."""

    def __init__(self, params: Any, defaults: dict[str, Any]) -> None:
        if isinstance(params, Tensor):
            raise TypeError(
                "params argument given to the optimizer should be an iterable of Tensors or dicts, but got Tensor"
            )
        groups = list(params)
        if not groups:
            raise ValueError("optimizer got an empty parameter list")
        self.defaults = defaults
        self.state: dict[Any, dict[str, Any]] = defaultdict(dict)
        self.param_groups: list[dict[str, Any]] = []
        for group in groups if isinstance(groups[0], dict) else [{"params": groups}]:
            self.add_param_group(group)

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add parameters, with options of their own."""
        group = {**self.defaults, **param_group}
        given = group["params"]
        group["params"] = [given] if isinstance(given, Tensor) else list(given)
        taken = {id(p) for g in self.param_groups for p in g["params"]}
        for p in group["params"]:
            if not isinstance(p, Tensor):
                raise TypeError(f"optimizer can only optimize Tensors, but one of the params is {type(p).__name__}")
            if not p.is_leaf:
                raise ValueError("can't optimize a non-leaf Tensor")
            if id(p) in taken:
                raise ValueError("some parameters appear in more than one parameter group")
        self.param_groups.append(group)

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Clear the gradients."""
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    if set_to_none:
                        p.grad = None
                    else:
                        with no_grad():
                            p.grad = p.grad.detach()
                            p.grad.zero_()

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Update every parameter that has a gradient. `closure` computes the loss again and returns it."""
        loss = None
        if closure is not None:
            with enable_grad():
                loss = closure()
        with no_grad():
            for group in self.param_groups:
                for p in group["params"]:
                    if p.grad is not None:
                        self._update(p, _gradient(p, group), group)
        return loss

    def _update(self, p: Any, g: Any, group: dict[str, Any]) -> None:
        """Move one parameter by its gradient (`maximize` and `weight_decay` are in `g` already)."""
        raise NotImplementedError

    def state_dict(self) -> dict[str, Any]:
        """State and options by parameter number."""
        number = {id(p): i for i, p in enumerate(p for g in self.param_groups for p in g["params"])}
        groups = [{**g, "params": [number[id(p)] for p in g["params"]]} for g in self.param_groups]
        return {"state": {number[id(p)]: dict(s) for p, s in self.state.items()}, "param_groups": groups}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue from a saved state; the groups must have the same sizes."""
        groups = state_dict["param_groups"]
        if len(groups) != len(self.param_groups):
            raise ValueError("loaded state dict has a different number of parameter groups")
        if any(len(a["params"]) != len(b["params"]) for a, b in zip(groups, self.param_groups)):
            raise ValueError(
                "loaded state dict contains a parameter group that doesn't match the size of optimizer's group"
            )
        params = [p for g in self.param_groups for p in g["params"]]
        for mine, saved in zip(self.param_groups, groups):
            mine.update({k: v for k, v in saved.items() if k != "params"})
        self.state.clear()
        for i, held in state_dict["state"].items():
            self.state[params[i]] = {k: v.clone() if isinstance(v, Tensor) else v for k, v in held.items()}

    def __repr__(self) -> str:
        options = {k: v for k, v in self.param_groups[0].items() if k != "params"}
        return f"{type(self).__name__}({', '.join(f'{k}={v}' for k, v in options.items())})"


def check(name: str, value: float, upper: float | None = None) -> None:
    """ValueError for an option outside its range."""
    if value < 0.0 or (upper is not None and value >= upper):
        raise ValueError(f"Invalid {name}: {value}")


def _gradient(p: Any, group: dict[str, Any]) -> Any:
    g = -p.grad if group["maximize"] else p.grad
    return g + group["weight_decay"] * p if group["weight_decay"] else g
