"""The names that the eager library promises, by family, and those still to come."""

from __future__ import annotations

NAMES: dict[str, list[str]] = {}


def _names(group: str, prefix: str, text: str) -> None:
    NAMES.setdefault(group, []).extend(prefix + name for name in text.split())


_names(
    "creation",
    "",
    """tensor as_tensor from_numpy zeros ones full empty zeros_like ones_like full_like empty_like Tensor.new_zeros
    Tensor.new_ones Tensor.new_full Tensor.new_empty Tensor.new_tensor arange linspace logspace eye tril_indices
    triu_indices rand randn randint rand_like randn_like randint_like randperm bernoulli multinomial normal manual_seed
    Generator""",
)
_names(
    "pointwise",
    "",
    """abs neg sign sgn positive reciprocal sqrt rsqrt square exp exp2 expm1 log log2 log10 log1p sin cos tan asin acos
    atan sinh cosh tanh asinh acosh atanh sigmoid logit erf erfc erfinv lgamma digamma ceil floor round trunc frac sinc
    deg2rad rad2deg nan_to_num isnan isinf isfinite isposinf isneginf signbit add sub rsub mul div floor_divide
    remainder fmod pow float_power maximum minimum fmax fmin atan2 hypot copysign nextafter ldexp logaddexp logaddexp2
    xlogy heaviside lerp addcmul addcdiv clamp eq ne lt le gt ge logical_and logical_or logical_xor logical_not
    bitwise_and bitwise_or bitwise_xor bitwise_not bitwise_left_shift bitwise_right_shift where isclose allclose
    equal""",
)
_METHODS = """abs neg sign sgn positive reciprocal sqrt rsqrt square exp exp2 expm1 log log2 log10 log1p sin cos tan
    asin acos atan sinh cosh tanh asinh acosh atanh sigmoid logit erf erfc erfinv lgamma digamma ceil floor round trunc
    frac sinc deg2rad rad2deg nan_to_num isnan isinf isfinite isposinf isneginf signbit add sub mul div floor_divide
    remainder fmod pow float_power maximum minimum fmax fmin atan2 hypot copysign nextafter ldexp logaddexp logaddexp2
    xlogy heaviside lerp addcmul addcdiv clamp eq ne lt le gt ge logical_and logical_or logical_xor logical_not
    bitwise_and bitwise_or bitwise_xor bitwise_not bitwise_left_shift bitwise_right_shift where isclose allclose
    equal"""
_names("pointwise methods", "Tensor.", _METHODS)
_names(
    "pointwise in place",
    "Tensor.",
    """abs_ neg_ sign_ sgn_ reciprocal_ sqrt_ rsqrt_ square_ exp_ exp2_ expm1_ log_ log2_ log10_ log1p_ sin_ cos_ tan_
    asin_ acos_ atan_ sinh_ cosh_ tanh_ asinh_ acosh_ atanh_ sigmoid_ logit_ erf_ erfc_ erfinv_ lgamma_ digamma_ ceil_
    floor_ round_ trunc_ frac_ sinc_ deg2rad_ rad2deg_ nan_to_num_ add_ sub_ mul_ div_ floor_divide_ remainder_ fmod_
    pow_ float_power_ atan2_ hypot_ copysign_ nextafter_ ldexp_ xlogy_ heaviside_ lerp_ addcmul_ addcdiv_ clamp_ eq_
    ne_ lt_ le_ gt_ ge_ logical_and_ logical_or_ logical_xor_ logical_not_ bitwise_and_ bitwise_or_ bitwise_xor_
    bitwise_not_ bitwise_left_shift_ bitwise_right_shift_ fill_ zero_ copy_ normal_ uniform_ bernoulli_ random_
    masked_fill_ masked_scatter_ scatter_ scatter_add_ scatter_reduce_ index_add_ index_copy_ index_fill_ index_put_
    cumsum_ cumprod_ squeeze_ unsqueeze_ transpose_ t_ swapaxes_ tril_ triu_ addmm_ addmv_ addbmm_ baddbmm_""",
)
_REDUCTIONS = """sum mean prod amax amin aminmax max min argmax argmin all any var std median nansum nanmean norm
    logsumexp count_nonzero cumsum cumprod cummax cummin logcumsumexp softmax log_softmax diff mode quantile
    nanquantile nanmedian"""
_names("reductions", "", _REDUCTIONS + " var_mean std_mean")
_names("reduction methods", "Tensor.", _REDUCTIONS)
_SHAPES = """reshape flatten unflatten squeeze unsqueeze transpose permute movedim swapaxes t broadcast_to
    repeat_interleave tile split chunk tensor_split unbind narrow select flip fliplr flipud roll rot90 diag diagonal
    diag_embed tril triu clone detach"""
_names(
    "shapes",
    "",
    _SHAPES + " cat stack hstack vstack dstack meshgrid atleast_1d atleast_2d atleast_3d",
)
_names("shape methods", "Tensor.", _SHAPES + " view view_as T mT expand expand_as repeat unfold contiguous")
_INDEXING = """gather scatter scatter_add scatter_reduce index_select index_add index_copy index_fill index_put
    masked_fill masked_select masked_scatter take take_along_dim nonzero argwhere sort argsort msort topk kthvalue
    unique unique_consecutive bincount histc"""
_names("indexing", "", _INDEXING + " searchsorted bucketize")
_names("indexing methods", "Tensor.", "__getitem__ __setitem__ " + _INDEXING)
_LINEAR = "matmul mm bmm mv dot outer addmm addmv addbmm baddbmm kron trace cross inner"
_names("linear algebra", "", _LINEAR + " einsum tensordot")
_names("linear algebra methods", "Tensor.", _LINEAR)
_names(
    "linalg",
    "linalg.",
    """norm vector_norm matrix_norm inv solve det slogdet cholesky qr svd eigh matrix_power multi_dot""",
)
_names(
    "activations",
    "nn.functional.",
    """relu relu_ relu6 leaky_relu leaky_relu_ prelu rrelu rrelu_ elu elu_ celu selu glu gelu logsigmoid hardshrink
    tanhshrink softsign softplus softmin softmax softshrink gumbel_softmax log_softmax tanh sigmoid hardsigmoid silu
    mish hardswish hardtanh hardtanh_ threshold threshold_ normalize""",
)
_names(
    "functional layers",
    "nn.functional.",
    """linear bilinear layer_norm group_norm batch_norm instance_norm rms_norm local_response_norm dropout dropout1d
    dropout2d alpha_dropout conv1d conv2d conv3d conv_transpose1d conv_transpose2d max_pool1d max_pool2d avg_pool1d
    avg_pool2d adaptive_avg_pool1d adaptive_avg_pool2d adaptive_max_pool1d adaptive_max_pool2d interpolate pad unfold
    fold pixel_shuffle pixel_unshuffle embedding embedding_bag one_hot scaled_dot_product_attention cosine_similarity
    pairwise_distance""",
)
_names(
    "losses",
    "nn.functional.",
    """mse_loss l1_loss smooth_l1_loss huber_loss binary_cross_entropy binary_cross_entropy_with_logits nll_loss
    cross_entropy kl_div gaussian_nll_loss poisson_nll_loss hinge_embedding_loss margin_ranking_loss
    cosine_embedding_loss triplet_margin_loss soft_margin_loss ctc_loss""",
)
_names(
    "autograd",
    "",
    """Tensor.backward autograd.grad autograd.backward autograd.Function autograd.gradcheck autograd.gradgradcheck
    no_grad enable_grad inference_mode set_grad_enabled is_grad_enabled Tensor.register_hook Tensor.retain_grad
    Tensor.requires_grad_""",
)
_names(
    "nn",
    "nn.",
    """Module Parameter Sequential ModuleList ModuleDict ParameterList Module.state_dict Module.load_state_dict
    Module.register_buffer Module.register_forward_hook Module.register_forward_pre_hook
    Module.register_full_backward_hook Module.apply Module.to Module.train Module.eval Module.named_parameters
    Module.named_buffers Module.named_modules Module.named_children Module.parameters Module.buffers Module.modules
    Module.children Identity Linear Bilinear Flatten Unflatten Conv1d Conv2d Conv3d ConvTranspose1d ConvTranspose2d
    MaxPool1d MaxPool2d AvgPool1d AvgPool2d AdaptiveAvgPool1d AdaptiveAvgPool2d AdaptiveMaxPool1d AdaptiveMaxPool2d
    Unfold Fold PixelShuffle PixelUnshuffle Upsample ConstantPad1d ConstantPad2d ReflectionPad1d ReflectionPad2d
    ReplicationPad1d ReplicationPad2d ZeroPad2d CircularPad1d CircularPad2d Dropout Dropout1d Dropout2d AlphaDropout
    LayerNorm GroupNorm BatchNorm1d BatchNorm2d InstanceNorm1d InstanceNorm2d RMSNorm Embedding EmbeddingBag ReLU ReLU6
    LeakyReLU PReLU RReLU ELU CELU SELU GLU GELU LogSigmoid Hardshrink Tanhshrink Softsign Softplus Softmin Softmax
    Softshrink LogSoftmax Tanh Sigmoid Hardsigmoid SiLU Mish Hardswish Hardtanh Threshold CosineSimilarity
    PairwiseDistance RNN LSTM GRU RNNCell LSTMCell GRUCell MultiheadAttention TransformerEncoderLayer MSELoss L1Loss
    SmoothL1Loss HuberLoss BCELoss BCEWithLogitsLoss NLLLoss CrossEntropyLoss KLDivLoss GaussianNLLLoss PoissonNLLLoss
    HingeEmbeddingLoss MarginRankingLoss CosineEmbeddingLoss TripletMarginLoss SoftMarginLoss CTCLoss""",
)
_names(
    "nn.init",
    "nn.init.",
    """uniform_ normal_ constant_ ones_ zeros_ eye_ dirac_ xavier_uniform_ xavier_normal_ kaiming_uniform_
    kaiming_normal_ trunc_normal_ orthogonal_ sparse_ calculate_gain""",
)
_names("nn.utils", "nn.utils.", "clip_grad_norm_ clip_grad_value_ parameters_to_vector vector_to_parameters")
_names("optim", "optim.", "Optimizer SGD Adam AdamW RMSprop Adagrad")
_names(
    "lr_scheduler",
    "optim.lr_scheduler.",
    "StepLR MultiStepLR ExponentialLR CosineAnnealingLR LambdaLR OneCycleLR ReduceLROnPlateau",
)
_names("interop", "Tensor.", "numpy __array__ __dlpack__ __dlpack_device__ __deepcopy__ __reduce_ex__ __repr__")
_names("interop functions", "", "from_dlpack promote_types result_type can_cast is_tensor is_floating_point numel")


# What does not exist yet. Take a name off when it lands; nothing may be added.
def _path(prefix: str, text: str) -> list[str]:
    return [prefix + name for name in text.split()]


MISSING: set[str] = set()
