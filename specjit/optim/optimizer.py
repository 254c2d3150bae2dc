"""What all optimizers share: parameter groups, state, `state_dict`.

Enters: parameters, or dicts with a "params" entry and own options. Leaves: `Optimizer`. Invariant: state is keyed by
parameter.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from specjit.tensor import Tensor, state


class Optimizer:
    """Base class: `update(parameter, gradient, state, group)` moves one parameter."""

    def __init__(self, params: Iterable[Any], defaults: dict[str, Any]) -> None:
        groups = list(params)
        if not groups:
            raise ValueError("optimizer got an empty parameter list")
        if not isinstance(groups[0], dict):
            groups = [{"params": groups}]
        self.defaults = defaults
        self.param_groups: list[dict[str, Any]] = []
        self.state: dict[Tensor, dict[str, Any]] = {}
        for group in groups:
            self.add_param_group(group)

    def add_param_group(self, group: dict[str, Any]) -> None:
        """Add parameters with options of their own; TypeError for what is not a tensor, ValueError for one already
        there."""
        given = group["params"]
        chosen = [given] if isinstance(given, Tensor) else list(given)
        known = {id(p) for g in self.param_groups for p in g["params"]}
        for p in chosen:
            if not isinstance(p, Tensor):
                raise TypeError(f"optimizer can only optimize Tensors, but one of the params is {type(p).__name__}")
            if not p.is_leaf:
                raise ValueError("can't optimize a non-leaf Tensor")
            if id(p) in known:
                raise ValueError("some parameters appear in more than one parameter group")
            known.add(id(p))
        self.param_groups.append({**self.defaults, **group, "params": chosen})

    def zero_grad(self, set_to_none: bool = True) -> None:
        for group in self.param_groups:
            for p in group["params"]:
                if set_to_none or p.grad is None:
                    p.grad = None
                else:
                    p.grad.zero_()

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Move every parameter that has a gradient; `closure` recomputes the loss first, which is returned."""
        loss = None
        if closure is not None:
            with state.enable_grad():
                loss = closure()
        with state.no_grad():
            for group in self.param_groups:
                for p in group["params"]:
                    if p.grad is not None:
                        self.update(p, p.grad, self.state.setdefault(p, {}), group)
        return loss

    def update(self, p: Tensor, g: Tensor, s: dict[str, Any], group: dict[str, Any]) -> None:
        raise NotImplementedError

    def state_dict(self) -> dict[str, Any]:
        """State by position of the parameter, and the groups' options."""
        order = [p for g in self.param_groups for p in g["params"]]
        place = {id(p): i for i, p in enumerate(order)}
        groups = [{**g, "params": [place[id(p)] for p in g["params"]]} for g in self.param_groups]
        return {"state": {place[id(p)]: dict(s) for p, s in self.state.items()}, "param_groups": groups}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over what `state_dict` returned; ValueError if the groups differ in number or size."""
        groups = state_dict["param_groups"]
        if [len(g["params"]) for g in groups] != [len(g["params"]) for g in self.param_groups]:
            raise ValueError("loaded state dict has parameter groups of other sizes")
        order = [p for g in self.param_groups for p in g["params"]]
        for mine, theirs in zip(self.param_groups, groups):
            mine.update({k: v for k, v in theirs.items() if k != "params"})
        self.state = {
            order[i]: {k: v.clone() if isinstance(v, Tensor) else v for k, v in s.items()}
            for i, s in state_dict["state"].items()
        }


def check(**ranges: tuple[float, bool]) -> None:
    """ValueError for an option out of range: `check(lr=(lr, lr >= 0))`."""
    for name, (value, fits) in ranges.items():
        if not fits:
            raise ValueError(f"Invalid {name}: {value}")
