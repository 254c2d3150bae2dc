"""Schedules made of others.

Enters: schedules of one optimizer. Leaves: their rates one after another, or all at once.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from typing import Any

from specjit.optim.lr_scheduler.base import LRScheduler, Schedule, checked
from specjit.optim.lr_scheduler.plateau import ReduceLROnPlateau
from specjit.optim.optimizer import Optimizer


class _Several(Schedule):
    """Schedules whose states are saved together."""

    _schedulers: list[Any]

    def _check(self, optimizer: Any, schedulers: Sequence[Any], plateau: bool) -> None:
        name = type(self).__name__
        if not schedulers:
            raise ValueError(f"{name} expects at least one scheduler to be chained, but got no scheduler.")
        for i, scheduler in enumerate(schedulers):
            if isinstance(scheduler, ReduceLROnPlateau) and not plateau:
                raise ValueError(
                    f"{name} does not support `ReduceLROnPlateau` scheduler as it requires additional kwargs to be "
                    f"specified when calling `step`, but got one at index {i} in the given schedulers sequence."
                )
            if scheduler.optimizer is not optimizer:
                raise ValueError(
                    f"{name} expects all schedulers to belong to the same optimizer, but got scheduler "
                    f"{type(scheduler).__name__} at index {i} with another one."
                )

    def state_dict(self) -> dict[str, Any]:
        """Everything but the optimizer, with the states of the schedules."""
        return {**super().state_dict(), "_schedulers": [s.state_dict() for s in self._schedulers]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        super().load_state_dict({k: v for k, v in state_dict.items() if k != "_schedulers"})
        for scheduler, saved in zip(self._schedulers, state_dict["_schedulers"]):
            scheduler.load_state_dict(saved)


class SequentialLR(_Several):
    """One schedule after another: the next begins, from the base rates, at each of the epochs `milestones`."""

    def __init__(
        self, optimizer: Optimizer, schedulers: list[LRScheduler], milestones: list[int], last_epoch: int = -1
    ) -> None:
        self.optimizer = checked(optimizer)
        self._check(optimizer, schedulers, plateau=False)
        if len(milestones) != len(schedulers) - 1:
            raise ValueError(
                "Sequential Schedulers expects number of schedulers provided to be one more than the number of "
                f"milestone points, but got number of schedulers {len(schedulers)} and the number of milestones to be "
                f"equal to {len(milestones)}"
            )
        self._schedulers = list(schedulers)
        self._milestones = list(milestones)
        self.last_epoch = last_epoch + 1
        # Making the schedules has stepped each of them; only the first begins now.
        self._set([group["initial_lr"] for group in optimizer.param_groups])
        self.rewind()
        self._schedulers[0].step()
        self._last_lr = self._schedulers[0].get_last_lr()

    def rewind(self) -> None:
        """Take back the first step of each."""
        for scheduler in self._schedulers:
            scheduler.rewind()

    def step(self) -> None:
        """Set the rates of the next epoch."""
        self.last_epoch += 1
        at = bisect_right(self._milestones, self.last_epoch)
        scheduler = self._schedulers[at]
        if at and self._milestones[at - 1] == self.last_epoch:
            scheduler.step(0)
        else:
            scheduler.step()
        self._last_lr = scheduler.get_last_lr()


class ChainedScheduler(_Several):
    """All schedules at every step, so that their factors multiply."""

    def __init__(self, schedulers: Sequence[Any], optimizer: Optimizer | None = None) -> None:
        if not schedulers:
            raise ValueError("ChainedScheduler expects at least one scheduler to be chained, but got no scheduler.")
        self.optimizer = checked(optimizer if optimizer is not None else schedulers[0].optimizer)
        self._check(self.optimizer, schedulers, plateau=False)
        self._schedulers = list(schedulers)
        self._last_lr = [float(group["lr"]) for group in self.optimizer.param_groups]

    def step(self) -> None:
        """Step all of them."""
        for scheduler in self._schedulers:
            scheduler.step()
        self._last_lr = [float(group["lr"]) for group in self.optimizer.param_groups]
