"""The base of optimizers: parameter groups, state, and what they save.

Enters: parameters, pairs (name, parameter), or dicts with `params` and options of their own. Leaves: updates in place,
through tensor ops without gradients, so that versions and the write epoch move.
Invariant: every parameter is in one group; `state` is keyed by the parameter itself.
"""

from __future__ import annotations

import warnings
from collections import defaultdict
from collections.abc import Callable
from copy import deepcopy
from typing import Any

from specjit.nn.module import clear_grad
from specjit.tensor.state import enable_grad, set_grad_enabled
from specjit.tensor.tape import RemovableHandle
from specjit.tensor.tensor import Tensor


class Optimizer:
    """Subclasses give `defaults` and `_update`, or a `step` of their own.

    param_groups   dicts of "params" and options
    state          for each parameter, what the optimizer remembers of it
    """

    def __init__(self, params: Any, defaults: dict[str, Any]) -> None:
        if isinstance(params, Tensor):
            raise TypeError(
                "params argument given to the optimizer should be an iterable of Tensors or dicts, but got "
                f"{type(params).__name__}"
            )
        self.defaults = defaults
        self.state: dict[Any, dict[str, Any]] = defaultdict(dict)
        self.param_groups: list[dict[str, Any]] = []
        self.steps = 0  # how often `step` was called; schedulers look at it
        self._make_hooks()
        groups = list(params)
        if not groups:
            raise ValueError("optimizer got an empty parameter list")
        for group in groups if isinstance(groups[0], dict) else [{"params": groups}]:
            self.add_param_group(group)

    def _make_hooks(self) -> None:
        self._hooks: dict[str, dict[int, Callable[..., Any]]] = {}

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add parameters, with options of their own."""
        if not isinstance(param_group, dict):
            raise TypeError(f"param_group must be a dict, but got {type(param_group)}")
        given = param_group["params"]
        if isinstance(given, set):
            raise TypeError(
                "optimizer parameters need to be organized in ordered collections, but the ordering of tensors in sets "
                "will change between runs. Please use a list instead."
            )
        group = {**self.defaults, **param_group}
        params = [given] if isinstance(given, Tensor) else list(given)
        named = [isinstance(p, tuple) for p in params]
        if any(named):
            if not all(named):
                raise ValueError("all optimizer params should be with/without names. Some param names are missing")
            group["param_names"] = [name for name, _ in params]
            params = [p for _, p in params]
        group["params"] = params
        self._check(params, bool(group.get("differentiable")))
        if self.param_groups and ("param_names" in group) != ("param_names" in self.param_groups[0]):
            raise ValueError(
                "all optimizer param groups should be with/without names. cannot add param group with"
                f"{'' if 'param_names' in group else 'out'} names to the optimizer"
            )
        self.param_groups.append(group)

    def _check(self, params: list[Any], differentiable: bool) -> None:
        taken = {id(p) for g in self.param_groups for p in g["params"]}
        for p in params:
            if not isinstance(p, Tensor):
                raise TypeError(f"optimizer can only optimize Tensors, but one of the params is {type(p).__name__}")
            if not (differentiable or p.is_leaf):
                raise ValueError("can't optimize a non-leaf Tensor")
        if len({id(p) for p in params}) < len(params):
            warnings.warn(
                "optimizer contains a parameter group with duplicate parameters; in future, this will cause an error",
                stacklevel=4,
            )
        if any(id(p) in taken for p in params):
            raise ValueError("some parameters appear in more than one parameter group")

    # steps

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Clear the gradients."""
        for group in self.param_groups:
            for p in group["params"]:
                clear_grad(p, set_to_none)

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Update every parameter that has a gradient. `closure` computes the loss again and returns it."""
        args: tuple[Any, ...] = (closure,)
        kwargs: dict[str, Any] = {}
        for hook in self._called("step_pre"):
            changed = hook(self, args, kwargs)
            if changed is not None:
                if not isinstance(changed, tuple) or len(changed) != 2:
                    raise RuntimeError(
                        f"{hook} must return None or a tuple of (new_args, new_kwargs), but got {changed}."
                    )
                args, kwargs = changed
        loss = self._step(*args, **kwargs)
        self.steps += 1
        for hook in self._called("step_post"):
            hook(self, args, kwargs)
        return loss

    def _step(self, closure: Callable[[], Any] | None = None) -> Any:
        loss = None
        if closure is not None:
            with enable_grad():
                loss = closure()
        with set_grad_enabled(bool(self.defaults.get("differentiable"))):
            for group in self.param_groups:
                for p in group["params"]:
                    g = p.grad
                    if g is not None:
                        self._update(p, -g if group.get("maximize") else g, self.state[p], group)
        return loss

    def _update(self, p: Tensor, g: Tensor, state: dict[str, Any], group: dict[str, Any]) -> None:
        """Move one parameter by its gradient `g` (turned around already where `maximize` is asked)."""
        raise NotImplementedError

    # what is saved

    def state_dict(self) -> dict[str, Any]:
        """State and options, parameters as their numbers. The tensors in it are those of the optimizer."""
        for hook in self._called("state_dict_pre"):
            hook(self)
        number: dict[int, int] = {}
        for group in self.param_groups:
            for p in group["params"]:
                number.setdefault(id(p), len(number))
        groups = [{**g, "params": [number[id(p)] for p in g["params"]]} for g in self.param_groups]
        state = {number[id(p)] if isinstance(p, Tensor) else p: dict(held) for p, held in self.state.items()}
        saved = {"state": state, "param_groups": groups}
        for hook in self._called("state_dict_post"):
            changed = hook(self, saved)
            saved = saved if changed is None else changed
        return saved

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue from a saved state, with copies of its tensors in the dtypes of the parameters; the groups must have
        the same sizes."""
        state_dict = dict(state_dict)
        for hook in self._called("load_state_dict_pre"):
            changed = hook(self, state_dict)
            state_dict = state_dict if changed is None else changed
        groups = deepcopy(state_dict["param_groups"])
        if len(groups) != len(self.param_groups):
            raise ValueError("loaded state dict has a different number of parameter groups")
        if any(len(a["params"]) != len(b["params"]) for a, b in zip(groups, self.param_groups)):
            raise ValueError(
                "loaded state dict contains a parameter group that doesn't match the size of optimizer's group"
            )
        params = {
            number: p
            for mine, saved in zip(self.param_groups, groups)
            for number, p in zip(saved["params"], mine["params"])
        }
        for mine, saved in zip(self.param_groups, groups):
            mine.update({k: v for k, v in saved.items() if k != "params"})
        self.state.clear()
        for number, held in state_dict["state"].items():
            if number in params:
                p = params[number]
                self.state[p] = {k: _taken(v, k, p) for k, v in held.items()}
            else:
                self.state[number] = deepcopy(held)
        for hook in self._called("load_state_dict_post"):
            hook(self)

    def __getstate__(self) -> dict[str, Any]:
        return {k: v for k, v in self.__dict__.items() if k != "_hooks"}

    def __setstate__(self, held: dict[str, Any]) -> None:
        self.__dict__.update(held)
        self._make_hooks()

    # hooks

    def register_step_pre_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """Call `hook(optimizer, args, kwargs)` before each step; it may return new (args, kwargs)."""
        return self._register("step_pre", hook)

    def register_step_post_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """Call `hook(optimizer, args, kwargs)` after each step."""
        return self._register("step_post", hook)

    def register_state_dict_pre_hook(self, hook: Callable[..., Any], prepend: bool = False) -> RemovableHandle:
        """Call `hook(optimizer)` before the state is collected."""
        return self._register("state_dict_pre", hook, prepend)

    def register_state_dict_post_hook(self, hook: Callable[..., Any], prepend: bool = False) -> RemovableHandle:
        """Call `hook(optimizer, state_dict)` after it was; what it returns replaces it."""
        return self._register("state_dict_post", hook, prepend)

    def register_load_state_dict_pre_hook(self, hook: Callable[..., Any], prepend: bool = False) -> RemovableHandle:
        """Call `hook(optimizer, state_dict)` before a state is loaded; what it returns replaces it."""
        return self._register("load_state_dict_pre", hook, prepend)

    def register_load_state_dict_post_hook(self, hook: Callable[..., Any], prepend: bool = False) -> RemovableHandle:
        """Call `hook(optimizer)` after a state was loaded."""
        return self._register("load_state_dict_post", hook, prepend)

    def _register(self, kind: str, hook: Callable[..., Any], prepend: bool = False) -> RemovableHandle:
        hooks = self._hooks.setdefault(kind, {})
        handle = RemovableHandle(hooks)
        later = dict(hooks) if prepend else {}
        if prepend:
            hooks.clear()
        hooks[handle.id] = hook
        hooks.update(later)
        return handle

    def _called(self, kind: str) -> list[Callable[..., Any]]:
        return list(self._hooks.get(kind, {}).values())

    def __repr__(self) -> str:
        lines = []
        for i, group in enumerate(self.param_groups):
            lines.append(f"Parameter Group {i}")
            lines += [f"    {key}: {group[key]}" for key in sorted(group) if key != "params"]
        return f"{type(self).__name__} (\n" + "\n".join(lines) + "\n)"


def _taken(value: Any, key: str, p: Tensor) -> Any:
    """A saved value for parameter `p`. The count of steps keeps its dtype: float16 counts to 2048 only."""
    if not isinstance(value, Tensor):
        return deepcopy(value)
    out = value.detach().clone()
    return out.to(p.dtype) if key != "step" and p.is_floating_point() else out


def check(name: str, value: Any, upper: float | None = None) -> None:
    """ValueError for an option outside its range."""
    if value < 0.0 or (upper is not None and value >= upper):
        raise ValueError(f"Invalid {name}: {value}")


def _gradient(p: Any, group: dict[str, Any]) -> Any:
    g = -p.grad if group["maximize"] else p.grad
    return g + group["weight_decay"] * p if group["weight_decay"] else g
