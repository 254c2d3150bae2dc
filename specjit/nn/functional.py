"""Functions of layers: plain Python over operator records, by family in the files that this one gathers.

Enters: tensors. Leaves: tensors.
Invariant: nothing here is an operator; whatever optimizes ops sees through these functions.
"""

from specjit.nn.functional_activations import (
    celu,
    celu_,
    elu,
    elu_,
    gelu,
    glu,
    hardshrink,
    hardsigmoid,
    hardswish,
    hardtanh,
    hardtanh_,
    leaky_relu,
    leaky_relu_,
    logsigmoid,
    mish,
    prelu,
    relu,
    relu6,
    relu_,
    rrelu,
    rrelu_,
    selu,
    selu_,
    sigmoid,
    silu,
    softplus,
    softshrink,
    softsign,
    tanh,
    tanhshrink,
    threshold,
    threshold_,
)
from specjit.nn.functional_conv import conv1d, conv2d, conv3d, conv_transpose1d, conv_transpose2d
from specjit.nn.functional_dropout import dropout
from specjit.nn.functional_embedding import embedding, one_hot
from specjit.nn.functional_image import fold, interpolate, pad, pixel_shuffle, pixel_unshuffle, unfold
from specjit.nn.functional_linear import linear
from specjit.nn.functional_losses import (
    binary_cross_entropy_with_logits,
    cross_entropy,
    l1_loss,
    mse_loss,
    nll_loss,
)
from specjit.nn.functional_norms import layer_norm, normalize
from specjit.nn.functional_pool import (
    adaptive_avg_pool1d,
    adaptive_avg_pool2d,
    adaptive_max_pool1d,
    adaptive_max_pool2d,
    avg_pool1d,
    avg_pool2d,
    max_pool1d,
    max_pool2d,
)
from specjit.nn.functional_softmax import gumbel_softmax, log_softmax, softmax, softmin
from specjit.ops.reduce import logsumexp
