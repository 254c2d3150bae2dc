"""Optimizers: plain Python over ops, updating parameters in place without recording gradients.

Enters: parameters with `.grad`. Leaves: the same parameters, moved. Invariant: every update moves the parameter's
version.
"""

from specjit.optim.adam import Adam
from specjit.optim.optimizer import Optimizer
from specjit.optim.sgd import SGD
