"""Layers, containers, initializers and losses: plain Python over ops.

Enters: sizes and options. Leaves: modules whose `forward` calls `nn.functional`.
Invariant: no operator is defined here.
"""

from specjit.nn import functional, init, utils
from specjit.nn.activations import (
    CELU,
    ELU,
    GELU,
    GLU,
    SELU,
    Hardshrink,
    Hardsigmoid,
    Hardswish,
    Hardtanh,
    LeakyReLU,
    LogSigmoid,
    LogSoftmax,
    Mish,
    PReLU,
    ReLU,
    ReLU6,
    RReLU,
    Sigmoid,
    SiLU,
    Softmax,
    Softmax2d,
    Softmin,
    Softplus,
    Softshrink,
    Softsign,
    Tanh,
    Tanhshrink,
    Threshold,
)
from specjit.nn.attention import MultiheadAttention
from specjit.nn.batchnorm import BatchNorm1d, BatchNorm2d, BatchNorm3d, InstanceNorm1d, InstanceNorm2d, InstanceNorm3d
from specjit.nn.class_losses import (
    BCELoss,
    BCEWithLogitsLoss,
    CrossEntropyLoss,
    CTCLoss,
    GaussianNLLLoss,
    KLDivLoss,
    MultiLabelMarginLoss,
    MultiLabelSoftMarginLoss,
    MultiMarginLoss,
    NLLLoss,
    PoissonNLLLoss,
)
from specjit.nn.containers import ModuleDict, ModuleList, Sequential
from specjit.nn.conv import Conv1d, Conv2d, Conv3d, ConvTranspose1d, ConvTranspose2d
from specjit.nn.distance import CosineSimilarity, PairwiseDistance
from specjit.nn.dropout import AlphaDropout, Dropout, Dropout1d, Dropout2d, Dropout3d, FeatureAlphaDropout
from specjit.nn.images import Fold, PixelShuffle, PixelUnshuffle, Unfold, Upsample
from specjit.nn.linear import Bilinear, Flatten, Identity, Linear, Unflatten
from specjit.nn.losses import (
    CosineEmbeddingLoss,
    HingeEmbeddingLoss,
    HuberLoss,
    L1Loss,
    MarginRankingLoss,
    MSELoss,
    SmoothL1Loss,
    SoftMarginLoss,
    TripletMarginLoss,
    TripletMarginWithDistanceLoss,
)
from specjit.nn.module import Module
from specjit.nn.normalization import GroupNorm, LayerNorm, LocalResponseNorm, RMSNorm
from specjit.nn.padding import (
    CircularPad1d,
    CircularPad2d,
    CircularPad3d,
    ConstantPad1d,
    ConstantPad2d,
    ConstantPad3d,
    ReflectionPad1d,
    ReflectionPad2d,
    ReflectionPad3d,
    ReplicationPad1d,
    ReplicationPad2d,
    ReplicationPad3d,
    ZeroPad1d,
    ZeroPad2d,
    ZeroPad3d,
)
from specjit.nn.parameter import Buffer, Parameter
from specjit.nn.parameter_containers import ParameterDict, ParameterList
from specjit.nn.pooling import (
    AdaptiveAvgPool1d,
    AdaptiveAvgPool2d,
    AdaptiveMaxPool1d,
    AdaptiveMaxPool2d,
    AvgPool1d,
    AvgPool2d,
    MaxPool1d,
    MaxPool2d,
)
from specjit.nn.recurrent import GRU, LSTM, RNN
from specjit.nn.recurrent_cells import GRUCell, LSTMCell, RNNCell
from specjit.nn.sparse import Embedding, EmbeddingBag
from specjit.nn.transformer import TransformerEncoder, TransformerEncoderLayer
