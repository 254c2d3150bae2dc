"""Optimizers.

Enters: parameters with gradients. Leaves: parameters updated in place.
"""

from specjit.optim import lr_scheduler
from specjit.optim.algorithms import SGD, Adagrad, Adam, AdamW, RMSprop
from specjit.optim.optimizer import Optimizer
