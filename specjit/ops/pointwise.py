"""Elementwise math of one tensor.

Enters: tensors. Leaves: fresh tensors of the same shape; floats for everything but rounding and signs.
Invariant: each op's `lower` text is the same IEEE arithmetic as its eager function; transcendental ones agree within
rounding.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from specjit.ops import infer
from specjit.ops.arithmetic import where
from specjit.ops.eager import inlined, unary_float
from specjit.ops.lowering import composite, pointwise
from specjit.ops.quiet import quiet
from specjit.ops.registry import defop
from specjit.ops.special import erf_values


def _float(name: str, fn: Any, vjp: Any, text: str | None, doc: str = "") -> Any:
    return defop(
        f"{name}(input) -> Tensor",
        eager=unary_float(fn),
        infer=infer.same_float,
        vjp=vjp,
        lower=pointwise(text) if text else None,
        doc=doc,
    )


def _sigmoid(x: Any) -> Any:
    if not x.ndim:
        return 1 / (1 + np.exp(-x))
    out = np.negative(x)
    np.exp(out, out)
    out += 1
    return np.reciprocal(out, out)


exp = _float("exp", np.exp, lambda g, y, _x: g * y, "exp({0})")
exp2 = _float("exp2", np.exp2, lambda g, y, _x: g * y * 0.6931471805599453, "exp2({0})")
expm1 = _float("expm1", np.expm1, lambda g, y, _x: g * (y + 1), "expm1({0})")
log = _float("log", np.log, lambda g, _y, x: g / x, "log({0})")
log2 = _float("log2", np.log2, lambda g, _y, x: g / (x * 0.6931471805599453), "log2({0})")
log10 = _float("log10", np.log10, lambda g, _y, x: g / (x * 2.302585092994046), "log10({0})")
log1p = _float("log1p", np.log1p, lambda g, _y, x: g / (x + 1), "log1p({0})")
sqrt = _float("sqrt", np.sqrt, lambda g, y, _x: g / (y * 2), "sqrt({0})")
rsqrt = _float(
    "rsqrt",
    lambda x: (1 / np.sqrt(x)).astype(x.dtype, copy=False),
    lambda g, y, _x: g * -0.5 * (y * y * y),
    "1 / sqrt({0})",
)
reciprocal = _float("reciprocal", lambda x: 1 / x, lambda g, y, _x: -g * y * y, "1 / {0}")
sigmoid = _float("sigmoid", _sigmoid, lambda g, y, _x: g * (y * (1 - y)), "sigmoid({0})")
tanh = _float("tanh", np.tanh, lambda g, y, _x: g * (1 - y * y), "tanh({0})")
sin = _float("sin", np.sin, lambda g, _y, x: g * x.cos(), "sin({0})")
cos = _float("cos", np.cos, lambda g, _y, x: -g * x.sin(), "cos({0})")
tan = _float("tan", np.tan, lambda g, y, _x: g * (1 + y * y), "tan({0})")
erf = _float(
    "erf", erf_values, lambda g, _y, x: g * 1.1283791670955126 * (-(x * x)).exp(), "erf({0})", doc="The error function."
)


def _kept(fn: Any) -> Any:
    """A function that keeps ints as they are (rounding)."""
    return inlined(quiet(lambda x: fn(x) if x.dtype.kind == "f" else x.copy()), fn, floats=True)


def _signed(fn: Any) -> Any:
    def eager(x: np.ndarray) -> Any:
        if x.dtype.kind == "b":
            raise RuntimeError(f"{fn.__name__} is not supported for bool tensors.")
        return fn(x)

    return inlined(quiet(eager), fn, floats=True)


neg = defop(
    "neg(input) -> Tensor",
    eager=_signed(np.negative),
    infer=infer.same,
    vjp=lambda g, _y, _x: -g,
    lower=pointwise("-{0}"),
)
abs = defop(
    "abs(input) -> Tensor",
    eager=_signed(np.absolute),
    infer=infer.same,
    vjp=lambda g, _y, x: g * x.sign(),
    lower=pointwise("abs({0})"),
)


def _sign(x: np.ndarray) -> Any:
    if x.dtype.kind != "f":
        return np.sign(x) if x.dtype.kind != "b" else x.copy()
    return np.where(np.isnan(x), x.dtype.type(0), np.sign(x))


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
    eager=quiet(lambda x: x * x if x.dtype.kind != "b" else x.astype(np.int64)),
    infer=lambda x: infer.Type.tensor(infer.dtypes.int64 if x.dtype is infer.dtypes.bool_ else x.dtype, x.dims),
    vjp=lambda g, _y, x: g * x * 2,
    lower=pointwise("{0} * {0}"),
)
floor = defop(
    "floor(input) -> Tensor",
    eager=_kept(np.floor),
    infer=infer.same,
    vjp=lambda g, _y, _x: g * 0.0,
    lower=pointwise("floor({0})"),
)
ceil = defop(
    "ceil(input) -> Tensor",
    eager=_kept(np.ceil),
    infer=infer.same,
    vjp=lambda g, _y, _x: g * 0.0,
    lower=pointwise("ceil({0})"),
)
trunc = defop(
    "trunc(input) -> Tensor",
    eager=_kept(np.trunc),
    infer=infer.same,
    vjp=lambda g, _y, _x: g * 0.0,
    lower=pointwise("trunc({0})"),
)


def _round(x: np.ndarray, decimals: int) -> np.ndarray:
    if not decimals:
        return np.rint(x) if x.dtype.kind == "f" else x.copy()
    scale = 10.0**decimals
    return (np.rint(x * scale) / scale).astype(x.dtype, copy=False)


def _round_composite(x: Any, decimals: int) -> Any:
    from specjit.tensor.tracer import TraceError

    if decimals:
        raise TraceError("round with decimals")
    return _rint(x)


_rint = defop(
    "rint(input) -> Tensor",
    eager=_kept(np.rint),
    infer=infer.same,
    vjp=lambda g, _y, _x: g * 0.0,
    lower=pointwise("round({0})"),
    method=False,
    public=False,
    doc="To the nearest integer, ties to even.",
)
round = defop(
    "round(input, *, decimals: int = 0) -> Tensor",
    eager=quiet(_round),
    infer=infer.same,
    vjp=lambda g, _y, _x, decimals: g * 0.0,
    lower=composite(_round_composite),
)
