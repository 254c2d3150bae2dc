"""Functions of layers: plain Python over operator records, by family in the files that this one gathers.

Enters: tensors. Leaves: tensors.
Invariant: nothing here is an operator; whatever optimizes ops sees through these functions.
"""

from specjit.nn.functional.activations import (
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
from specjit.nn.functional.attention import (
    scaled_dot_product_attention,
)
from specjit.nn.functional.class_losses import (
    binary_cross_entropy,
    binary_cross_entropy_with_logits,
    cross_entropy,
    gaussian_nll_loss,
    kl_div,
    nll_loss,
    poisson_nll_loss,
)
from specjit.nn.functional.conv import conv1d, conv2d, conv3d, conv_transpose1d, conv_transpose2d
from specjit.nn.functional.distances import (
    cosine_similarity,
    normalize,
    pairwise_distance,
)
from specjit.nn.functional.dropout import (
    alpha_dropout,
    dropout,
    dropout1d,
    dropout2d,
    dropout3d,
    feature_alpha_dropout,
)
from specjit.nn.functional.embedding import (
    embedding,
    embedding_bag,
    one_hot,
)
from specjit.nn.functional.image import interpolate, pixel_shuffle, pixel_unshuffle
from specjit.nn.functional.label_losses import (
    ctc_loss,
    multi_margin_loss,
    multilabel_margin_loss,
    multilabel_soft_margin_loss,
)
from specjit.nn.functional.linear import (
    bilinear,
    linear,
)
from specjit.nn.functional.losses import (
    cosine_embedding_loss,
    hinge_embedding_loss,
    huber_loss,
    l1_loss,
    margin_ranking_loss,
    mse_loss,
    smooth_l1_loss,
    soft_margin_loss,
    triplet_margin_loss,
    triplet_margin_with_distance_loss,
)
from specjit.nn.functional.multihead import multi_head_attention_forward
from specjit.nn.functional.norms import (
    batch_norm,
    group_norm,
    instance_norm,
    layer_norm,
    local_response_norm,
    rms_norm,
)
from specjit.nn.functional.padding import pad
from specjit.nn.functional.patches import fold, unfold
from specjit.nn.functional.pool import (
    adaptive_avg_pool1d,
    adaptive_avg_pool2d,
    adaptive_max_pool1d,
    adaptive_max_pool2d,
    avg_pool1d,
    avg_pool2d,
    max_pool1d,
    max_pool2d,
)
from specjit.nn.functional.softmax import gumbel_softmax, log_softmax, softmax, softmin
from specjit.ops.reduce import logsumexp
