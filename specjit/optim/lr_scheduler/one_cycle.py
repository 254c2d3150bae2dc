"""The 1cycle policy (Smith and Topin 2017, "Super-convergence").

Enters: an optimizer and the number of steps. Leaves: rates that rise to a maximum and fall far below the start, and
momenta that go the other way.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from specjit.optim.lr_scheduler.base import LRScheduler, checked
from specjit.optim.optimizer import Optimizer


class Phase(NamedTuple):
    """Until step `end`, from the first to the second of each pair of keys of a group."""

    end: float
    rate: tuple[str, str]
    momentum: tuple[str, str]


UP = (("initial_lr", "max_lr"), ("max_momentum", "base_momentum"))
DOWN = (("max_lr", "initial_lr"), ("base_momentum", "max_momentum"))
OUT = (("initial_lr", "min_lr"), ("max_momentum", "max_momentum"))
AWAY = (("max_lr", "min_lr"), ("base_momentum", "max_momentum"))


def _between(strategy: str, start: float, end: float, part: float) -> float:
    if strategy == "linear":
        return (end - start) * part + start
    return end + (start - end) / 2.0 * (math.cos(math.pi * part) + 1)


class OneCycleLR(LRScheduler):
    """Up from max_lr / div_factor to max_lr in the fraction `pct_start` of all steps, then down to the start divided by
    `final_div_factor` (`three_phase`: down to the start first). To be stepped after every batch."""

    def __init__(
        self,
        optimizer: Optimizer,
        max_lr: float | list[float],
        total_steps: int | None = None,
        epochs: int | None = None,
        steps_per_epoch: int | None = None,
        pct_start: float = 0.3,
        anneal_strategy: str = "cos",
        cycle_momentum: bool = True,
        base_momentum: float | list[float] = 0.85,
        max_momentum: float | list[float] = 0.95,
        div_factor: float = 25.0,
        final_div_factor: float = 1e4,
        three_phase: bool = False,
        last_epoch: int = -1,
    ) -> None:
        self.optimizer = checked(optimizer)
        self.total_steps = _steps(total_steps, epochs, steps_per_epoch)
        if not isinstance(pct_start, float) or not 0 <= pct_start <= 1:
            raise ValueError(f"Expected float between 0 and 1 pct_start, but got {pct_start}")
        if anneal_strategy not in ("cos", "linear"):
            raise ValueError(f"anneal_strategy must be one of 'cos' or 'linear', instead got {anneal_strategy}")
        self.anneal_strategy = anneal_strategy
        rise, last = float(pct_start * self.total_steps) - 1, self.total_steps - 1
        if three_phase:
            fall = float(2 * pct_start * self.total_steps) - 2
            self.phases = [Phase(rise, *UP), Phase(fall, *DOWN), Phase(last, *OUT)]
        else:
            self.phases = [Phase(rise, *UP), Phase(last, *AWAY)]
        groups = optimizer.param_groups
        for group, top in zip(groups, _each("max_lr", max_lr, groups)):
            if last_epoch == -1:
                group["initial_lr"] = top / div_factor
                group["max_lr"] = top
                group["min_lr"] = group["initial_lr"] / final_div_factor
        self.cycle_momentum = cycle_momentum
        if cycle_momentum:
            if not {"momentum", "betas"} & set(optimizer.defaults):
                raise ValueError("optimizer must support momentum or beta1 with `cycle_momentum` option enabled")
            self.use_beta1 = "betas" in optimizer.defaults
            low, high = _each("base_momentum", base_momentum, groups), _each("max_momentum", max_momentum, groups)
            if last_epoch == -1:
                for group, least, most in zip(groups, low, high):
                    group["max_momentum"], group["base_momentum"] = most, least
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[Any]:
        """The rates of this step; sets the momenta too."""
        step = self.last_epoch
        if step > self.total_steps:
            raise ValueError(f"Tried to step {step} times. The specified number of total steps is {self.total_steps}")
        start = 0.0
        for phase in self.phases:
            if step <= phase.end or phase is self.phases[-1]:
                break
            start = phase.end
        part = (step - start) / (phase.end - start)
        rates = []
        for group in self.optimizer.param_groups:
            first, second = phase.rate
            rates.append(_between(self.anneal_strategy, group[first], group[second], part))
            if self.cycle_momentum:
                first, second = phase.momentum
                self._set_momentum(group, _between(self.anneal_strategy, group[first], group[second], part))
        return rates

    def _set_momentum(self, group: dict[str, Any], value: float) -> None:
        if self.use_beta1:
            group["betas"] = (value, *group["betas"][1:])
        else:
            group["momentum"] = value


def _steps(total_steps: int | None, epochs: int | None, steps_per_epoch: int | None) -> int:
    if total_steps is not None:
        given = {"total_steps": total_steps}
    elif epochs is not None and steps_per_epoch is not None:
        given = {"epochs": epochs, "steps_per_epoch": steps_per_epoch}
    else:
        raise ValueError("You must define either total_steps OR (epochs AND steps_per_epoch)")
    for name, value in given.items():
        if not isinstance(value, int) or value <= 0:
            raise ValueError(f"Expected positive integer {name}, but got {value}")
    return math.prod(given.values())


def _each(name: str, value: Any, groups: list[Any]) -> list[float]:
    """A value for each group."""
    if not isinstance(value, (list, tuple)):
        return [value] * len(groups)
    if len(value) != len(groups):
        raise ValueError(f"Expected {len(groups)} values for {name}, got {len(value)}")
    return list(value)
