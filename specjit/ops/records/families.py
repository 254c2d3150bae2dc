"""Families of operators that are loaded when one of their names is first used.

Enters: names. Leaves: loaded modules of `specjit.ops`.
Invariant: `import specjit` loads only what nearly every program uses; for everything else one can say
`specjit.<name>`, `Tensor.<name>` and the op's name in IR text all the same, and nobody can tell but by the clock.
"""

from __future__ import annotations

import importlib
from typing import Any

# Module in specjit.ops -> the names it defines: public functions (those of `specjit.linalg` dotted), then, after
# "Tensor:", methods that are no public functions. `tests/ops/test_families.py` compares with what the modules define.
FAMILIES: dict[str, str] = {
    "products": "prod cumprod logcumsumexp Tensor: cumprod_ logcumsumexp_",
    "sorting": "argsort sort msort topk kthvalue median nanmedian mode cummax cummin",
    "picks": "argwhere masked_select take take_along_dim",
    "scatter": "scatter scatter_reduce index_copy index_fill masked_scatter Tensor: scatter_ scatter_reduce_ "
    "index_copy_ index_fill_ masked_scatter_",
    "statistics": "var std var_mean std_mean aminmax count_nonzero nansum nanmean diff",
    "search": "searchsorted bucketize unique unique_consecutive bincount histc",
    "quantiles": "quantile nanquantile",
    "angles": "deg2rad rad2deg Tensor: deg2rad_ rad2deg_",
    "bags": "",
    "conv": "",
    "padding": "",
    "pool": "",
    "trigonometry": "asin acos atan sinh cosh asinh acosh atanh atan2 hypot sinc "
    "Tensor: asin_ acos_ atan_ sinh_ cosh_ asinh_ acosh_ atanh_ atan2_ hypot_ sinc_",
    "special_functions": "erfc erfinv lgamma digamma polygamma logit xlogy logaddexp logaddexp2 "
    "Tensor: erfc_ erfinv_ lgamma_ digamma_ logit_ xlogy_",
    "floats": "sgn positive signbit copysign heaviside isposinf isneginf nan_to_num frac nextafter ldexp fmod fmax "
    "fmin float_power isclose "
    "Tensor: sgn_ copysign_ heaviside_ nan_to_num_ frac_ nextafter_ ldexp_ fmod_ float_power_ __pos__",
    "blends": "lerp addcmul addcdiv Tensor: lerp_ addcmul_ addcdiv_",
    "shifts": "bitwise_left_shift bitwise_right_shift Tensor: bitwise_left_shift_ bitwise_right_shift_ __lshift__ "
    "__rlshift__ __ilshift__ __rshift__ __rrshift__ __irshift__",
    "overwriting": "Tensor: sign_ reciprocal_ rsqrt_ square_ exp2_ expm1_ log_ log2_ log10_ log1p_ sin_ cos_ tan_ erf_ "
    "trunc_ floor_divide_ remainder_ eq_ ne_ lt_ le_ gt_ ge_ logical_and_ logical_or_ logical_xor_ logical_not_ "
    "bitwise_and_ bitwise_or_ bitwise_xor_ bitwise_not_ __ifloordiv__ __imod__ __iand__ __ior__ __ixor__",
    "grids": "eye scalar_tensor linspace logspace tril_indices triu_indices",
    "distributions": "multinomial normal randint_like",
    "aliases": "absolute negative multiply subtract true_divide clip fix greater greater_equal less less_equal "
    "not_equal arcsin arccos arctan arcsinh arccosh arctanh arctan2 concat concatenate "
    "Tensor: absolute_ negative_ multiply_ subtract_ true_divide_ clip_ fix_ greater_ greater_equal_ less_ less_equal_ "
    "not_equal_ arcsin_ arccos_ arctan_ arcsinh_ arccosh_ arctanh_ arctan2_",
    "ctc": "",
    "likelihood": "",
    "rearrange": "tile repeat_interleave fliplr flipud roll rot90 tril triu broadcast_tensors meshgrid hstack vstack "
    "dstack column_stack row_stack Tensor: repeat tril_ triu_",
    "views": "unflatten movedim moveaxis swapdims adjoint broadcast_to ravel atleast_1d atleast_2d atleast_3d "
    "tensor_split diagonal diag_embed diag Tensor: unfold",
    "contractions": "tensordot inner kron trace cross cdist linalg.cross linalg.multi_dot",
    "norms": "linalg.vector_norm linalg.matrix_norm linalg.norm norm",
    "einsum": "einsum",
    "inverses": "linalg.inv linalg.solve linalg.slogdet linalg.det",
    "decompositions": "linalg.cholesky linalg.qr linalg.svd linalg.svdvals linalg.eigh linalg.eigvalsh",
    "square_matrices": "linalg.matrix_power matrix_power inverse det slogdet logdet",
    "conveniences": "clamp_min clamp_max split_with_sizes hsplit vsplit dsplit isin diagflat dist "
    "Tensor: clamp_min_ clamp_max_",
    "reshaping": "Tensor: squeeze_ unsqueeze_ transpose_ swapaxes_ swapdims_ t_",
}
# Records of Python itself, which eager mode has no use for. Their names begin with "py.".
PYTHON = ("specjit.ops.python", "specjit.ops.control", "specjit.ops.exceptions")

LATER: dict[str, str] = {}  # public name -> module
METHODS: dict[str, str] = {}  # method name -> module
for _module, _names in FAMILIES.items():
    _public, _, _methods = _names.partition("Tensor:")
    LATER.update(dict.fromkeys(_public.split(), f"specjit.ops.{_module}"))
    METHODS.update(dict.fromkeys([n for n in _public.split() if "." not in n], f"specjit.ops.{_module}"))
    METHODS.update(dict.fromkeys(_methods.split(), f"specjit.ops.{_module}"))


def load(module: str) -> None:
    importlib.import_module(module)


def load_for(op: str) -> None:
    """Load the modules that may define the record `op`."""
    if op.startswith("py."):
        for module in PYTHON:
            load(module)
    elif op in LATER:
        load(LATER[op])
    else:
        load_all()


def load_all() -> None:
    """Load every family."""
    for module in (*PYTHON, *(f"specjit.ops.{m}" for m in FAMILIES)):
        load(module)


class LaterMethod:
    """Stands for a method of a family that is not loaded; the first look at it loads the family."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name

    def __get__(self, instance: Any, owner: type) -> Any:
        from specjit.tensor.methods import TensorMethods

        name = self.name
        load(METHODS[name])
        if TensorMethods.__dict__.get(name) is self:
            delattr(TensorMethods, name)
        return getattr(owner if instance is None else instance, name)


def promise() -> None:
    """Let every method of a family that is not loaded stand for itself."""
    from specjit.tensor.methods import TensorMethods

    for name in METHODS:
        if name not in TensorMethods.__dict__:
            setattr(TensorMethods, name, LaterMethod(name))
