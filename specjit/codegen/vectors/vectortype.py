"""The Numba type of a register, its operators, and how a formula over `Reg` becomes a function of kernel sources.

Enters: Numba's typing and lowering of kernel source (only the compile worker imports this module). Leaves: IR made by
`registers`. Invariant: operators follow NumPy lane by lane; a number beside a register is converted to its element
type and spread.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

from numba.core import types
from numba.core.datamodel import register_default
from numba.core.datamodel.models import OpaqueModel, PrimitiveModel
from numba.core.imputils import lower_builtin, lower_cast
from numba.core.typing.templates import AbstractTemplate, infer_global, signature
from numba.extending import intrinsic, typeof_impl

from specjit.codegen.vectors import division
from specjit.codegen.vectors import registers as r
from specjit.codegen.vectors.registers import Reg


class VectorType(types.Type):
    """The Numba type of a register."""

    def __init__(self, dtype: str, lanes: int):
        self.dtype, self.lanes = dtype, lanes
        super().__init__(name=f"{dtype}x{lanes}")


class VectorClass(types.Dummy):
    """The Numba type of `vector(dtype, lanes)`, which functions take to know what to make."""

    def __init__(self, dtype: str, lanes: int):
        self.vector = VectorType(dtype, lanes)
        super().__init__(name=f"class({dtype}x{lanes})")


class vector:
    """A register class: an element type and a lane count."""

    def __init__(self, dtype: str, lanes: int):
        if dtype not in r.ELEMENT:
            raise TypeError(f"no register of {dtype}")
        self.dtype, self.lanes = dtype, lanes


@typeof_impl.register(vector)
def _typeof_vector(value: vector, _context: Any) -> VectorClass:
    return VectorClass(value.dtype, value.lanes)


register_default(VectorClass)(OpaqueModel)


@register_default(VectorType)
class _VectorModel(PrimitiveModel):
    def __init__(self, manager: Any, kind: VectorType):
        super().__init__(manager, kind, r.vector_type(kind.dtype, kind.lanes))


@lower_cast(VectorType, VectorType)
def _same(_context: Any, _builder: Any, _from: Any, _to: Any, value: Any) -> Any:
    return value


# -- operators


def _reg(context: Any, builder: Any, kind: types.Type, value: Any, like: VectorType) -> Reg:
    """The register of an argument; a number is converted to the element type and spread."""
    if isinstance(kind, VectorType):
        return Reg(builder, value, kind.dtype, kind.lanes)
    return spread(context, builder, kind, value, like)


_NUMBA = {
    "f32": types.float32,
    "f64": types.float64,
    "i64": types.int64,
    "i32": types.int32,
    "i16": types.int16,
    "i8": types.int8,
    "u8": types.uint8,
    "bool": types.boolean,
}


def spread(context: Any, builder: Any, kind: types.Type, value: Any, to: VectorType) -> Reg:
    scalar = context.cast(builder, value, kind, _NUMBA[to.dtype])
    return r.splat(builder, to.dtype, to.lanes, scalar)


def _operator(symbols: list[Callable[..., Any]], emit: Callable[..., Reg], gives_mask: bool = False) -> None:
    class Template(AbstractTemplate):
        def generic(self, args: Any, kws: Any) -> Any:
            kind = next((a for a in args if isinstance(a, VectorType)), None)
            if kind is None or not all(a == kind or isinstance(a, types.Number) for a in args):
                return None
            return signature(VectorType("bool", kind.lanes) if gives_mask else kind, *args)

    def lower(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        kind = next(a for a in sig.args if isinstance(a, VectorType))
        return emit(*(_reg(context, builder, t, v, kind) for t, v in zip(sig.args, args))).value

    for symbol in symbols:
        infer_global(symbol)(type("Vector_" + symbol.__name__, (Template,), {}))
        if symbol in (operator.neg, operator.invert, operator.pos):
            lower_builtin(symbol, VectorType)(lower)
            continue
        for pair in ((VectorType, VectorType), (VectorType, types.Number), (types.Number, VectorType)):
            lower_builtin(symbol, *pair)(lower)


def _shift(left: bool) -> Callable[[Reg, Reg], Reg]:
    def emit(x: Reg, count: Reg) -> Reg:
        """NumPy's shifts: a count outside the type's bits shifts everything out."""
        bits = r.BITS[x.dtype]
        inside = (count >= 0) & (count < bits)
        safe = r.select(inside, count, 0)
        if left:
            return r.select(inside, x.shl(safe), 0)
        signed = x.dtype != "u8"
        full = x.sar(bits - 1) if signed else x.const(0)
        return r.select(inside, x.sar(safe) if signed else x.shr(safe), full)

    return emit


_operator([operator.add, operator.iadd], lambda a, b: a + b)
_operator([operator.sub, operator.isub], lambda a, b: a - b)
_operator([operator.mul, operator.imul], lambda a, b: a * b)
_operator([operator.truediv, operator.itruediv], lambda a, b: a / b)
_operator([operator.floordiv, operator.ifloordiv], division.floordiv)
_operator([operator.mod, operator.imod], division.remainder)
_operator([operator.and_, operator.iand], lambda a, b: a & b)
_operator([operator.or_, operator.ior], lambda a, b: a | b)
_operator([operator.xor, operator.ixor], lambda a, b: a ^ b)
_operator([operator.lshift, operator.ilshift], _shift(True))
_operator([operator.rshift, operator.irshift], _shift(False))
_operator([operator.neg], lambda a: -a)
_operator([operator.invert], lambda a: ~a)
_operator([operator.lt], lambda a, b: a < b, True)
_operator([operator.le], lambda a, b: a <= b, True)
_operator([operator.gt], lambda a, b: a > b, True)
_operator([operator.ge], lambda a, b: a >= b, True)
_operator([operator.eq], lambda a, b: a == b, True)
_operator([operator.ne], lambda a, b: a != b, True)


# -- functions


def elementwise(emit: Callable[..., Reg], result: str = "same") -> Any:
    """A vocabulary function of 1 to 3 registers (of one type; `select`'s first is a mask) from its formula over `Reg`.

    `result` is "same" (as the last argument), or a dtype. Numbers beside a register are spread.
    """

    def typed(args: tuple[types.Type, ...]) -> Any:
        kind = next((a for a in reversed(args) if isinstance(a, VectorType)), None)
        if kind is None:
            return None
        out = kind if result == "same" else VectorType(result, kind.lanes)

        def lower(context: Any, builder: Any, sig: Any, values: Any) -> Any:
            return emit(*(_reg(context, builder, t, v, kind) for t, v in zip(sig.args, values))).value

        return signature(out, *args), lower

    arity = emit.__code__.co_argcount
    if arity == 1:
        return _named(emit, lambda typing, a: typed((a,)))
    if arity == 2:
        return _named(emit, lambda typing, a, b: typed((a, b)))
    return _named(emit, lambda typing, a, b, c: typed((a, b, c)))


def _named(emit: Callable[..., Any], definition: Any) -> Any:
    definition.__name__ = definition.__qualname__ = emit.__name__
    definition.__doc__ = emit.__doc__
    return intrinsic(definition)
