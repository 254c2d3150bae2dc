"""Layers, functional, initializers: plain Python over ops.

Enters: sizes and tensors. Leaves: modules. Invariant: nothing here has a private road into the optimizer.
"""

from specjit.nn import functional, init
from specjit.nn.containers import ModuleDict, ModuleList, ParameterList, Sequential
from specjit.nn.layers import (
    GELU,
    Conv2d,
    CrossEntropyLoss,
    Dropout,
    Embedding,
    Flatten,
    Identity,
    LayerNorm,
    Linear,
    LogSoftmax,
    MSELoss,
    ReLU,
    Sigmoid,
    SiLU,
    Softmax,
    Tanh,
)
from specjit.nn.module import Module
from specjit.nn.recurrent import GRU, LSTM, GRUCell, LSTMCell
from specjit.tensor import Parameter
