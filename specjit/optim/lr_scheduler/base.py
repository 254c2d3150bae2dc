"""The base of schedules.

Enters: an optimizer whose groups have an "lr". Leaves: groups with "initial_lr" too, and a new "lr" at every step.
Invariant: `get_lr` says the new values from those in the groups now, so that several schedules of one optimizer
multiply; `closed_form` says them from the epoch alone.
"""

from __future__ import annotations

import warnings
from typing import Any

from specjit.optim.optimizer import Optimizer
from specjit.tensor.tensor import Tensor


def checked(optimizer: Any) -> Any:
    """An optimizer, or TypeError."""
    if not isinstance(optimizer, Optimizer):
        raise TypeError(f"{type(optimizer).__name__} is not an Optimizer")
    return optimizer


def set_lr(group: dict[str, Any], value: float) -> None:
    """A learning rate that is a tensor is written in place."""
    if isinstance(group["lr"], Tensor):
        group["lr"].fill_(value)
    else:
        group["lr"] = value


class Schedule:
    """What all schedules have: an optimizer, the rates set last, and their state."""

    optimizer: Any
    _last_lr: list[Any]

    def get_last_lr(self) -> list[Any]:
        """The rates set last, one for each group."""
        return self._last_lr

    def _set(self, values: list[Any]) -> None:
        for group, value in zip(self.optimizer.param_groups, values):
            set_lr(group, value)
        self._last_lr = [float(group["lr"]) for group in self.optimizer.param_groups]

    def state_dict(self) -> dict[str, Any]:
        """Everything but the optimizer."""
        return {k: v for k, v in self.__dict__.items() if k != "optimizer"}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue from a saved state."""
        self.__dict__.update(state_dict)


class LRScheduler(Schedule):
    """Base of schedules by epoch. Subclasses define `get_lr`, and call `super().__init__` last, since it takes the
    first step.

    last_epoch   the number of the epoch whose rates are set; -1 starts anew
    base_lrs     the rates at the start, one for each group
    """

    def __init__(self, optimizer: Optimizer, last_epoch: int = -1) -> None:
        self.optimizer = checked(optimizer)
        for i, group in enumerate(optimizer.param_groups):
            if last_epoch == -1:
                group.setdefault("initial_lr", float(group["lr"]))
            elif "initial_lr" not in group:
                raise KeyError(
                    f"param 'initial_lr' is not specified in param_groups[{i}] when resuming scheduler with "
                    "last_epoch >= 0"
                )
        self.base_lrs = [group["initial_lr"] for group in optimizer.param_groups]
        self.last_epoch = last_epoch
        self._step_count = 0
        self.step()

    def step(self, epoch: int | None = None) -> None:
        """Set the rates of the next epoch (or of `epoch`)."""
        if self._step_count == 1 and not self.optimizer.steps and type(self.optimizer).step is Optimizer.step:
            warnings.warn(
                "Detected call of `lr_scheduler.step()` before `optimizer.step()`. Call them in the opposite order: "
                "`optimizer.step()` before `lr_scheduler.step()`. Otherwise the first value of the learning rate "
                "schedule is skipped.",
                stacklevel=2,
            )
        self._step_count += 1
        self.last_epoch = self.last_epoch + 1 if epoch is None else epoch
        at_epoch = None if epoch is None else self.closed_form()
        self._set(self.get_lr() if at_epoch is None else at_epoch)

    def rewind(self) -> None:
        """Take back the first step, for a schedule that begins later."""
        self.last_epoch -= 1
        self._step_count = 0

    def _rates(self) -> list[Any]:
        return [float(group["lr"]) for group in self.optimizer.param_groups]

    def get_lr(self) -> list[Any]:
        """The rates of epoch `last_epoch`, from those in the groups."""
        raise NotImplementedError

    def closed_form(self) -> list[Any] | None:
        """The rates of epoch `last_epoch`, from `base_lrs`; None where there is no such formula."""
        return None
