"""Optimizers.

Enters: parameters with gradients. Leaves: parameters updated in place.
"""

from specjit.optim.algorithms import SGD, Adam
from specjit.optim.optimizer import Optimizer
