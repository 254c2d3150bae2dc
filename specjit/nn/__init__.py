"""Layers, containers, initializers and losses: plain Python over ops.

Enters: sizes and options. Leaves: modules whose `forward` calls `nn.functional`.
Invariant: no operator is defined here.
"""

from specjit.nn import functional, init, utils
from specjit.nn.activations import (
    ELU,
    GELU,
    LeakyReLU,
    LogSoftmax,
    ReLU,
    Sigmoid,
    SiLU,
    Softmax,
    Softplus,
    Tanh,
)
from specjit.nn.containers import ModuleDict, ModuleList, Sequential
from specjit.nn.conv import Conv2d
from specjit.nn.dropout import Dropout
from specjit.nn.linear import Flatten, Identity, Linear
from specjit.nn.losses import CrossEntropyLoss, L1Loss, MSELoss, NLLLoss
from specjit.nn.module import Module
from specjit.nn.normalization import LayerNorm
from specjit.nn.parameter import Parameter
from specjit.nn.parameter_containers import ParameterDict, ParameterList
from specjit.nn.recurrent import GRU, LSTM, RNN
from specjit.nn.recurrent_cells import GRUCell, LSTMCell, RNNCell
from specjit.nn.sparse import Embedding
