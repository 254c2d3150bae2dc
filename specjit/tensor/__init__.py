"""Eager mode: tensors on NumPy, the autograd tape, grad mode and random numbers.

Enters: data, and the operators that `specjit.ops` attaches as methods. Leaves: results, gradients, versions and epochs.
Invariant: nothing here knows an operator by name except through the record it is given.
"""

from specjit.tensor.devices import device
from specjit.tensor.parameter import Parameter
from specjit.tensor.size import Size
from specjit.tensor.tensor import Tensor
