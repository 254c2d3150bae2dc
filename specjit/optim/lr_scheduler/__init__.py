"""Schedules of learning rates.

Enters: an optimizer. Leaves: new values of "lr" (and of momenta) in its groups at every `step()`.
"""

from specjit.optim.lr_scheduler.base import LRScheduler
from specjit.optim.lr_scheduler.combined import ChainedScheduler, SequentialLR
from specjit.optim.lr_scheduler.factors import (
    ConstantLR,
    CosineAnnealingLR,
    ExponentialLR,
    LambdaLR,
    LinearLR,
    MultiplicativeLR,
    MultiStepLR,
    PolynomialLR,
    StepLR,
)
from specjit.optim.lr_scheduler.one_cycle import OneCycleLR
from specjit.optim.lr_scheduler.plateau import ReduceLROnPlateau
