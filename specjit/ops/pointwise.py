"""Elementwise math of one tensor.

Enters: tensors. Leaves: fresh tensors of the same shape; floats for everything but rounding and signs.
Invariant: each op's `lower` text is the same IEEE arithmetic as its eager function; transcendental ones agree within
rounding.
"""

from __future__ import annotations

import builtins
import functools
from typing import Any

import numpy as np

from specjit.dtypes import bool_, dtype_of
from specjit.ops.arithmetic import where
from specjit.ops.records import infer
from specjit.ops.records.define import float_function, kept_function
from specjit.ops.records.eager import half_as_float, inlined, not_implemented
from specjit.ops.records.lowering import composite, pointwise
from specjit.ops.records.quiet import quiet
from specjit.ops.records.refuse import Refuse
from specjit.ops.records.registry import defop
from specjit.ops.special import erf_values

# The variants in place are in `inplace` and `overwriting`: the families load at different times.
_float = functools.partial(float_function, inplace=False)
_kept = functools.partial(kept_function, inplace=False)


def _sigmoid(x: Any) -> Any:
    if not x.ndim:
        return 1 / (1 + np.exp(-x))
    out = np.negative(x)
    np.exp(out, out)
    out += 1
    return np.reciprocal(out, out)


exp = _float("exp", np.exp, lambda g, y, _x: g * y, "exp({0})", doc="e to the power of input.")
exp2 = _float(
    "exp2",
    np.exp2,
    lambda g, y, _x: g * y * 0.6931471805599453,
    "exp2({0})",
    doc="2 to the power of input.",
)
expm1 = _float(
    "expm1",
    np.expm1,
    lambda g, y, _x: g * (y + 1),
    "expm1({0})",
    doc="exp(input) - 1, precise near 0.",
)
log = _float("log", np.log, lambda g, _y, x: g / x, "log({0})", doc="The natural logarithm.")
log2 = _float(
    "log2",
    np.log2,
    lambda g, _y, x: g / (x * 0.6931471805599453),
    "log2({0})",
    doc="The logarithm to base 2.",
)
log10 = _float(
    "log10",
    np.log10,
    lambda g, _y, x: g / (x * 2.302585092994046),
    "log10({0})",
    doc="The logarithm to base 10.",
)
log1p = _float(
    "log1p",
    np.log1p,
    lambda g, _y, x: g / (x + 1),
    "log1p({0})",
    doc="log(1 + input), precise near 0.",
)
sqrt = _float(
    "sqrt",
    np.sqrt,
    lambda g, y, _x: g / (y * 2),
    "sqrt({0})",
    doc="The square root.",
)
rsqrt = _float(
    "rsqrt",
    lambda x: (1 / np.sqrt(x)).astype(x.dtype, copy=False),
    lambda g, y, _x: g * -0.5 * (y * y * y),
    "1 / sqrt({0})",
    doc="1 / sqrt(input).",
)
reciprocal = _float(
    "reciprocal",
    np.reciprocal,
    lambda g, y, _x: -g * y * y,
    "1 / {0}",
    doc="1 / input.",
)
sigmoid = _float(
    "sigmoid",
    _sigmoid,
    lambda g, y, _x: g * (y * (1 - y)),
    "sigmoid({0})",
    doc="1 / (1 + exp(-input)).",
)
tanh = _float(
    "tanh",
    np.tanh,
    lambda g, y, _x: g * (1 - y * y),
    "tanh({0})",
    doc="The hyperbolic tangent.",
)
sin = _float(
    "sin",
    np.sin,
    lambda g, _y, x: g * x.cos(),
    "sin({0})",
    doc="The sine (radians).",
)
cos = _float(
    "cos",
    np.cos,
    lambda g, _y, x: -g * x.sin(),
    "cos({0})",
    doc="The cosine (radians).",
)
tan = _float(
    "tan",
    np.tan,
    lambda g, y, _x: g * (1 + y * y),
    "tan({0})",
    doc="The tangent (radians).",
)
erf = _float(
    "erf", erf_values, lambda g, _y, x: g * 1.1283791670955126 * (-(x * x)).exp(), "erf({0})", doc="The error function."
)


neg = _kept(
    "neg",
    np.negative,
    lambda g, _y, _x: -g,
    "-{0}",
    refuse=Refuse(
        "neg",
        "Bool",
        message="Negation, the `-` operator, on a bool tensor is not supported. If you are trying to invert a mask, "
        "use the `~` or `logical_not()` operator instead.",
    ),
    ufunc=np.negative,
    doc="-input; RuntimeError for bools.",
)
abs = _kept(
    "abs",
    np.absolute,
    lambda g, _y, x: g * x.sign(),
    "abs({0})",
    refuse=Refuse("abs_cpu", "Bool"),
    ufunc=np.absolute,
    doc="The absolute value; RuntimeError for bools.",
)


def _sign(x: np.ndarray) -> Any:
    if x.dtype.kind != "f":
        return np.sign(x) if x.dtype.kind != "b" else x.copy()
    out = np.asarray(np.sign(x))
    out[np.isnan(out)] = 0
    return out


sign = defop(
    "sign(input) -> Tensor",
    eager=quiet(_sign),
    infer=infer.same,
    vjp=lambda g, _y, _x: g * 0.0,
    lower=composite(lambda x: where(x > 0, 1.0, where(x < 0, -1.0, 0.0)).to(x.dtype)),
    doc="-1, 0 or 1; 0 of NaN, as in PyTorch.",
)
square = defop(
    "square(input) -> Tensor",
    eager=inlined(quiet(lambda x: x * x if x.dtype.kind != "b" else x.astype(np.int64)), np.square, floats=True),
    infer=lambda x: infer.Type.tensor(infer.dtypes.int64 if x.dtype is infer.dtypes.bool_ else x.dtype, x.dims),
    vjp=lambda g, _y, x: g * x * 2,
    lower=pointwise("{0} * {0}"),
    doc="input * input.",
)


def _rounding(name: str, fn: Any, text: str, kernel: str, **options: Any) -> Any:
    """To an integer of the same dtype; ints stay what they are. kernel: as PyTorch's message names it."""
    return _kept(
        name,
        lambda x: fn(x) if x.dtype.kind == "f" else x.copy(),
        lambda g, _y, _x: g * 0.0,
        text,
        refuse=Refuse(kernel, "Bool"),
        ufunc=fn,
        **options,
    )


floor = _rounding("floor", np.floor, "floor({0})", "floor_vml_cpu", doc="Rounded down; ints stay as they are.")
ceil = _rounding("ceil", np.ceil, "ceil({0})", "ceil_vml_cpu", doc="Rounded up; ints stay as they are.")
trunc = _rounding("trunc", np.trunc, "trunc({0})", "trunc_vml_cpu", doc="Rounded towards zero; ints stay as they are.")
_rint = _rounding(
    "rint",
    np.rint,
    "round({0})",
    "round_vml_cpu",
    method=False,
    public=False,
    doc="To the nearest integer, ties to even.",
)


def _round(x: np.ndarray, decimals: int) -> np.ndarray:
    _check_round(dtype_of(x.dtype), decimals)
    if not decimals:
        return np.rint(x) if x.dtype.kind == "f" else x.copy()
    return half_as_float(_to_decimals)(x, decimals)


def _to_decimals(x: np.ndarray, decimals: int) -> np.ndarray:
    scale = x.dtype.type(10.0 ** builtins.abs(decimals))
    return np.rint(x * scale) / scale if decimals > 0 else np.rint(x / scale) * scale


def _check_round(dtype: Any, decimals: Any) -> None:
    if dtype is not None and (dtype is bool_ or (decimals and not dtype.is_floating_point)):
        raise not_implemented("round_cpu" if decimals else "round_vml_cpu", dtype)


def _round_infer(x: Any, decimals: Any) -> Any:
    _check_round(x.dtype, decimals)
    return infer.same(x)


def _round_composite(x: Any, decimals: int) -> Any:
    from specjit.tensor.tracer import TraceError

    if decimals:
        raise TraceError("round with decimals")
    return _rint(x)


round = defop(
    "round(input, *, decimals: int = 0) -> Tensor",
    eager=quiet(_round),
    infer=_round_infer,
    vjp=lambda g, _y, _x, decimals: g * 0.0,
    lower=composite(_round_composite),
    doc="To the nearest multiple of 10^-decimals, ties to even.",
)
