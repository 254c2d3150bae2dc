"""In-place variants of records: `add_` writes the result of `add` into argument 0 and returns it.

Enters: the functional records. Leaves: records that write argument 0, with the functional's gradient.
Invariant: the target keeps its shape and dtype; a result that would need more dims, or a higher dtype category, is an
error.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from specjit.dtypes import dtype_of
from specjit.ir.traits import Traits
from specjit.ir.types import Type
from specjit.ops.records import infer
from specjit.ops.records.eager import Inline, inlined, writable
from specjit.ops.records.quiet import quiet
from specjit.ops.records.registry import Op, defop

WRITES_SELF = Traits(view_of=0, writes=frozenset({0}))
# np.negative(x, out=x) of a strided float32 x is wrong in NumPy 2.4: it reads what it has written.
NOT_IN_PLACE = (np.negative,)


def _eager(op: Op) -> Callable[..., Any]:
    compute = getattr(op.eager, "raw", op.eager)
    inline: Inline | None = getattr(op.eager, "inline", None)
    if inline is not None and inline.fn in NOT_IN_PLACE:
        inline = None

    def eager(x: np.ndarray, *rest: Any) -> np.ndarray:
        writable(x)
        if inline is not None and x.dtype.kind == "f" and _simple(x, rest, inline):
            return inline.fn(x, *rest[:1], out=x)
        out = np.asarray(compute(x, *rest))
        if out.dtype is not x.dtype or out.shape != x.shape:
            infer.check_write(dtype_of(out.dtype), out.shape, Type.tensor(dtype_of(x.dtype), x.shape))
        x[...] = out
        return x

    made = quiet(eager)
    return made if inline is None else inlined(made, inline.fn, numbers=inline.numbers)


def _simple(x: np.ndarray, rest: tuple[Any, ...], inline: Inline) -> bool:
    """No operand, or one of the same dtype that does not enlarge the target; no alpha."""
    if not rest:
        return True
    if len(rest) > 1 and rest[1] != 1:
        return False
    other = rest[0]
    if type(other) is float or type(other) is int:
        return (
            inline.numbers and x.dtype.itemsize > 2
        )  # float16 beside a number: the functional op knows which of the two is rounded
    return type(other) is np.ndarray and other.dtype is x.dtype and (other.shape == x.shape or not other.ndim)


def _infer(op: Op) -> Callable[..., Any]:
    def rule(x: Type, *rest: Any) -> Type:
        found = op.infer(x, *rest)
        infer.check_write(found.dtype, found.dims, x)
        # The target takes on the gradients of what is written into it.
        return Type.tensor(x.dtype, x.dims)

    return rule


def _cut(op: Op) -> Callable[..., Any]:
    """The gradient of a write whose op has none: what is overwritten gets zeros."""

    def vjp(g: Any, _y: Any, *_: Any) -> Any:
        return (lambda: g * 0.0, *[None] * (len(op.tensor_positions) - 1))

    return vjp


def in_place(fn: Any) -> Any:
    """Define `<name>_` and the method of that name from the record behind `fn`. A ufunc that may stand for its eager
    function computes this one with `out=`, for operands of one floating-point dtype."""
    op: Op = fn.record
    # The target itself is a tensor, also where the functional op would take a number.
    schema = op.schema.replace(op.name, op.name + "_", 1).replace("input: 'Tensor|Scalar'", "input", 1)
    return defop(
        schema,
        eager=_eager(op),
        infer=_infer(op),
        vjp=_cut(op) if op._vjp is None else op._vjp,
        traits=WRITES_SELF,
        functional=op,
        reads=op.reads,
        method=True,
        doc=f"`{op.name}` in place; returns the tensor.",
    )
