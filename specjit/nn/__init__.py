"""Layers, containers, initializers and losses: plain Python over ops.

Enters: sizes and options. Leaves: modules whose `forward` calls `nn.functional`.
Invariant: no operator is defined here.
"""

from specjit.nn import functional, init
from specjit.nn.containers import ModuleDict, ModuleList, Sequential
from specjit.nn.layers import (
    ELU,
    GELU,
    Conv2d,
    CrossEntropyLoss,
    Dropout,
    Embedding,
    Flatten,
    Identity,
    L1Loss,
    LayerNorm,
    LeakyReLU,
    Linear,
    LogSoftmax,
    MSELoss,
    NLLLoss,
    ReLU,
    Sigmoid,
    SiLU,
    Softmax,
    Softplus,
    Tanh,
)
from specjit.nn.module import Module
from specjit.nn.parameter import Parameter
from specjit.nn.recurrent import GRU, LSTM, GRUCell, LSTMCell
