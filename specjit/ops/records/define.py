"""Records of one shape: functions of one tensor, of two, scans. What a family of such operators shares is said here.

Enters: a name, the NumPy function, the gradient, the kernel's text. Leaves: the public function; its record follows the
rules of its kind (promotion, dtypes, empty and 0-d tensors), and so does the in-place variant.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from specjit.dtypes import DType, dtype_of, float16, float32
from specjit.ops.records import infer
from specjit.ops.records.eager import along, binary, inlined, unary_float
from specjit.ops.records.lowering import Lowering, pointwise
from specjit.ops.records.quiet import quiet
from specjit.ops.records.refuse import Refuse
from specjit.ops.records.registry import defop
from specjit.ops.records.writes import in_place


def _lowering(text: str | Lowering | None) -> Lowering | None:
    return pointwise(text) if isinstance(text, str) else text


def float_function(
    name: str,
    fn: Callable[..., Any],
    vjp: Any,
    text: str | Lowering | None = None,
    *,
    inplace: bool = True,
    doc: str = "",
) -> Callable[..., Any]:
    """`name(input)`, computed in floating point: ints and bools give the default float dtype.

    fn(x) on float arrays (float16 too: see `eager.half_as_float`); vjp(g, y, x); text: the kernel's expression, or
    another lowering; doc: a sentence about the function, without what is said of ints here.
    """
    made = defop(
        f"{name}(input) -> Tensor",
        eager=unary_float(fn),
        infer=infer.same_float,
        vjp=vjp,
        lower=_lowering(text),
        doc=f"{doc.removesuffix('.')}; ints give the default float dtype.",
    )
    if inplace:
        in_place(made)
    return made


def kept_function(
    name: str,
    fn: Callable[[np.ndarray], Any],
    vjp: Any,
    text: str | Lowering | None = None,
    *,
    refuse: Refuse | None = None,
    ufunc: Any = None,
    inplace: bool = True,
    **options: Any,
) -> Callable[..., Any]:
    """`name(input)` with a result of the input's dtype, whatever it is; `refuse` says which are not taken.

    ufunc: what `fn` is on float32 and float64, if that is one NumPy call; then most calls go to it directly. options:
    of `defop`.
    """
    made = defop(
        f"{name}(input) -> Tensor",
        eager=inlined(quiet(fn if refuse is None else refuse.eager(fn)), ufunc, floats=True),
        infer=infer.same if refuse is None else refuse.infer(infer.same),
        vjp=vjp,
        lower=_lowering(text),
        **options,
    )
    if inplace:
        in_place(made)
    return made


def binary_function(
    name: str,
    fn: Callable[..., Any],
    vjp: Any,
    text: str | Lowering | None = None,
    *,
    floating: bool = False,
    numbers: bool = False,
    refuse: Refuse | None = None,
    reads: Any = None,
    ufunc: Any = None,
    inplace: bool = True,
    doc: str = "",
) -> Callable[..., Any]:
    """`name(input, other)`, broadcast and promoted.

    fn(a, b) on arrays of the common dtype; floating: ints are converted to floats first; numbers: a Python number may
    stand for `other`; refuse: common dtypes that are not taken; ufunc: what `fn` is on float32 and float64, if that is
    one NumPy call.
    """
    other = "other: 'Tensor|Scalar'" if numbers else "other"
    rule = infer.pointwise_float if floating else infer.pointwise
    if refuse is not None:
        refuse.operands = 2
    made = defop(
        f"{name}(input, {other}) -> Tensor",
        eager=inlined(binary(fn if refuse is None else refuse.eager(fn), floating), ufunc, floats=True),
        infer=rule if refuse is None else refuse.infer(rule),
        vjp=vjp,
        lower=_lowering(text),
        reads=reads,
        doc=doc,
    )
    if inplace:
        in_place(made)
    return made


def scan(
    name: str,
    fn: Callable[..., Any],
    vjp: Any,
    dtype: Callable[[DType | None], DType | None] = infer.summed_dtype,
    *,
    lower: Lowering | None = None,
    inplace: bool = True,
    doc: str = "",
) -> Callable[..., Any]:
    """`name(input, dim, *, dtype=None)` with a result of the input's shape.

    fn(x, axis, numpy_dtype) sees at least one dim and the dtype to accumulate in (float32 for
    float16); vjp(g, y, x, dim, dtype); dtype: the
    result's from the input's, where the call does not say one (cumsum: ints and bools give int64).
    """

    def run(x: np.ndarray, axis: int, wanted: DType | None) -> Any:
        to = wanted or dtype(dtype_of(x.dtype))
        assert to is not None
        if to is float16:
            return fn(x, axis, float32.numpy).astype(to.numpy)
        return fn(x, axis, to.numpy)

    def rule(x: Any, dim: Any, wanted: Any) -> Any:
        return infer.along(lambda d: wanted or dtype(d))(x, dim)

    made = defop(
        f"{name}(input, dim: int, *, dtype: 'dtype?' = None) -> Tensor",
        eager=along(run),
        infer=rule,
        vjp=vjp,
        lower=lower,
        doc=doc,
    )
    if inplace:
        in_place(made)
    return made
