"""Explicit SIMD for kernel sources: vector registers as a Numba type.

Enters: kernel source calling these names, inside Numba's compilation (only the compile worker imports this module).
Leaves: straight LLVM vector instructions (`registers` emits them); nothing is a call.
Invariant: every operation has NumPy's meaning lane by lane; memory outside the named lanes is neither read nor
written.

    f32 = simd.vector("f32", 16)                    # a register class, made at the top of a kernel's text
    x = simd.load(f32, address)                     # 16 elements; load_scalar, load_masked, gather; store...
    y = simd.select(x > x * x, x, vecmath.exp(x))   # operators and comparisons work on registers
    simd.store_masked(y, address, simd.first(f32, n))

Addresses are int64 bytes. A comparison gives a mask, the register of dtype "bool". A number beside a register is
spread over the lanes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import llvmlite.ir as ir
from numba.core import types
from numba.core.typing.templates import signature
from numba.extending import intrinsic

from specjit.codegen.vectors import division, memory
from specjit.codegen.vectors import registers as r
from specjit.codegen.vectors.registers import Reg
from specjit.codegen.vectors.vectortype import VectorType, elementwise, spread, vector

__all__ = [
    "beats_max",
    "beats_min",
    "cast",
    "copysign",
    "corrected",
    "first",
    "fma",
    "fmod",
    "fold_all",
    "fold_any",
    "fold_argmax",
    "fold_argmin",
    "fold_max",
    "fold_min",
    "fold_prod",
    "fold_sum",
    "gather",
    "integer",
    "iota",
    "isfinite",
    "isinf",
    "isnan",
    "load",
    "load_masked",
    "load_scalar",
    "logical_not",
    "maximum",
    "minimum",
    "scatter",
    "select",
    "splat",
    "splat_bits",
    "store",
    "store_masked",
    "store_scalar",
    "sum_error",
    "transpose",
    "vector",
]


def _where(mask: Reg, a: Reg, b: Reg) -> Reg:
    """a where the mask is set, else b."""
    return r.select(mask, a, b)


select = elementwise(_where)
fma = elementwise(r.fma)
maximum = elementwise(lambda a, b: r.maximum(a, b))
minimum = elementwise(lambda a, b: r.minimum(a, b))
fmod = elementwise(division.fmod)
logical_not = elementwise(lambda a: a == 0, "bool")
isnan = elementwise(lambda a: a.is_nan() if a.is_float else a != a, "bool")
isinf = elementwise(lambda a: r.absolute(a) == float("inf") if a.is_float else a != a, "bool")
isfinite = elementwise(lambda a: r.absolute(a) < float("inf") if a.is_float else a == a, "bool")
copysign = elementwise(lambda a, b: r.copysign(a, b))


def _sum_error(a: Reg, b: Reg) -> Reg:
    """What a + b loses to rounding, exactly (Knuth's TwoSum)."""
    total = a + b
    seen = total - a
    return (a - (total - seen)) + (b - seen)


def _corrected(total: Reg, lost: Reg) -> Reg:
    """total + lost, or total alone where an infinity or NaN made `lost` meaningless."""
    return r.select(r.absolute(lost) < float("inf"), total + lost, total)


sum_error = elementwise(_sum_error)
corrected = elementwise(_corrected)
fold_sum = elementwise(lambda a: r.fold(a, lambda x, y: x + y))
fold_prod = elementwise(lambda a: r.fold(a, lambda x, y: x * y))
fold_max = elementwise(lambda a: r.fold(a, r.maximum))
fold_min = elementwise(lambda a: r.fold(a, r.minimum))
fold_any = elementwise(lambda a: r.fold(a, lambda x, y: x | y))
fold_all = elementwise(lambda a: r.fold(a, lambda x, y: x & y))


def _beats(value: Reg, index: Reg, other: Reg, at: Reg, largest: bool) -> Reg:
    """Whether (other, at) comes before (value, index): NaN first, then the better value, then the smaller index."""
    better = other > value if largest else other < value
    same = other == value
    if value.is_float:
        better = (better & ~value.is_nan()) | (other.is_nan() & ~value.is_nan())
        same = same | (other.is_nan() & value.is_nan())
    return better | (same & (at < index))


def _fold_best(value: Reg, index: Reg, largest: bool) -> Reg:
    width = value.lanes
    while width > 1:
        width //= 2
        other, at = (r.shuffle(x, x, [i ^ width for i in range(x.lanes)]) for x in (value, index))
        wins = _beats(value, index, other, at, largest)
        value, index = r.select(wins, other, value), r.select(wins, at, index)
    return index


def _ranked(result_of: Callable[..., Reg], last: int) -> Any:
    """Functions of (value, index, ...) registers of different types; the result has the type of argument `last`."""

    def typed(args: tuple[types.Type, ...]) -> Any:
        def lower(context: Any, builder: Any, sig: Any, values: Any) -> Any:
            return result_of(*(Reg(builder, v, t.dtype, t.lanes) for t, v in zip(sig.args, values))).value

        return signature(VectorType("bool", args[0].lanes) if last < 0 else args[last], *args), lower

    if result_of.__code__.co_argcount == 2:
        return intrinsic(lambda typing, a, b: typed((a, b)))
    return intrinsic(lambda typing, a, b, c, d: typed((a, b, c, d)))


fold_argmax = _ranked(lambda value, index: _fold_best(value, index, True), 1)
fold_argmin = _ranked(lambda value, index: _fold_best(value, index, False), 1)
beats_max = _ranked(lambda value, index, other, at: _beats(value, index, other, at, True), -1)
beats_min = _ranked(lambda value, index, other, at: _beats(value, index, other, at, False), -1)


# -- making registers; memory


def _int(context: Any, builder: Any, kind: types.Type, value: Any) -> Any:
    return context.cast(builder, value, kind, types.int64)


@intrinsic
def splat(typing: Any, cls: Any, number: Any) -> Any:
    """A number in every lane, converted to the element type."""

    def lower(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return spread(context, builder, number, args[1], cls.vector).value

    return cls.vector(cls, number), lower


@intrinsic
def splat_bits(typing: Any, cls: Any, slot: Any) -> Any:
    """The float64 whose bits a frame slot holds, in every lane."""

    def lower(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        number = builder.bitcast(args[1], r.F64)
        return spread(context, builder, types.float64, number, cls.vector).value

    return cls.vector(cls, types.int64), lower


@intrinsic
def iota(typing: Any, cls: Any, start: Any, step: Any) -> Any:
    """start, start + step, start + 2 step, ... over the lanes (computed as int64)."""

    def lower(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        lanes = cls.vector.lanes
        begin = r.splat(builder, "i64", lanes, args[1])
        steps = r.iota(builder, "i64", lanes) * r.splat(builder, "i64", lanes, args[2])
        return r.cast(begin + steps, cls.vector.dtype).value

    return cls.vector(cls, types.int64, types.int64), lower


@intrinsic
def integer(typing: Any, x: Any) -> Any:
    """The first lane of an integer register, as int64."""

    def lower(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        wide = r.cast(Reg(builder, args[0], x.dtype, x.lanes), "i64")
        return builder.extract_element(wide.value, ir.Constant(r.I32, 0))

    return types.int64(x), lower


@intrinsic
def cast(typing: Any, cls: Any, x: Any) -> Any:
    """NumPy's astype, lane by lane."""

    def lower(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return r.cast(Reg(builder, args[1], x.dtype, x.lanes), cls.vector.dtype).value

    return VectorType(cls.vector.dtype, x.lanes)(cls, x), lower


@intrinsic
def first(typing: Any, cls: Any, count: Any) -> Any:
    """The mask of the first `count` lanes."""

    def lower(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return r.first(builder, cls.vector.lanes, args[1]).value

    return VectorType("bool", cls.vector.lanes)(cls, types.int64), lower


def _loader(emit: Callable[..., Reg], extra: tuple[types.Type | None, ...]) -> Any:
    """An intrinsic (class, address, ...) -> register; None in `extra` stands for a mask."""

    def typed(cls: Any, rest: tuple[Any, ...]) -> Any:
        kinds = tuple(want or given for want, given in zip((types.int64, *extra), rest))

        def lower(context: Any, builder: Any, sig: Any, args: Any) -> Any:
            wrapped = [
                Reg(builder, v, "bool", t.lanes) if isinstance(t, VectorType) else v for t, v in zip(kinds, args[1:])
            ]
            return emit(builder, cls.vector.dtype, cls.vector.lanes, *wrapped).value

        return cls.vector(cls, *kinds), lower

    if len(extra) == 0:
        return intrinsic(lambda typing, cls, address: typed(cls, (address,)))
    if len(extra) == 1:
        return intrinsic(lambda typing, cls, address, mask: typed(cls, (address, mask)))
    return intrinsic(lambda typing, cls, address, stride, mask: typed(cls, (address, stride, mask)))


load = _loader(memory.load, ())
load_scalar = _loader(memory.load_scalar, ())
load_masked = _loader(lambda b, dtype, lanes, address, mask: memory.load_masked(b, dtype, mask, address), (None,))
gather = _loader(
    lambda b, dtype, lanes, address, stride, mask: memory.gather(b, dtype, mask, address, stride), (types.int64, None)
)


def _storer(emit: Callable[..., None], extra: tuple[types.Type | None, ...]) -> Any:
    """An intrinsic (register, address, ...) -> nothing."""

    def typed(x: Any, rest: tuple[Any, ...]) -> Any:
        kinds = tuple(want or given for want, given in zip((types.int64, *extra), rest))

        def lower(context: Any, builder: Any, sig: Any, args: Any) -> Any:
            wrapped = [
                Reg(builder, v, "bool", t.lanes) if isinstance(t, VectorType) else v for t, v in zip(kinds, args[1:])
            ]
            emit(Reg(builder, args[0], x.dtype, x.lanes), *wrapped)
            return context.get_dummy_value()

        return types.void(x, *kinds), lower

    if len(extra) == 0:
        return intrinsic(lambda typing, x, address: typed(x, (address,)))
    if len(extra) == 1:
        return intrinsic(lambda typing, x, address, mask: typed(x, (address, mask)))
    return intrinsic(lambda typing, x, address, stride, mask: typed(x, (address, stride, mask)))


def _store_lane(x: Reg, address: ir.Value) -> None:
    stored = memory.to_memory(x)
    lane = x.builder.extract_element(stored, ir.Constant(r.I32, 0))
    x.builder.store(lane, x.builder.inttoptr(address, r.PTR)).align = max(r.BITS[x.dtype] // 8, 1)


store = _storer(memory.store, ())
store_scalar = _storer(_store_lane, ())
store_masked = _storer(lambda x, address, mask: memory.store_masked(x, mask, address), (None,))
scatter = _storer(lambda x, address, stride, mask: memory.scatter(x, mask, address, stride), (types.int64, None))


@intrinsic
def transpose(typing: Any, cls: Any, source: Any, source_step: Any, target: Any, target_step: Any) -> Any:
    """Copy a square block of as many rows as lanes, `source_step` bytes apart, to rows `target_step` bytes apart,
    transposed.
    """

    def lower(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        kind = cls.vector
        _, start, step, to, to_step = args

        def place(base: ir.Value, by: ir.Value, i: int) -> ir.Value:
            return builder.add(base, builder.mul(by, ir.Constant(r.I64, i)))

        rows = [memory.load(builder, kind.dtype, kind.lanes, place(start, step, i)) for i in range(kind.lanes)]
        for i, column in enumerate(r.transpose(rows)):
            memory.store(column, place(to, to_step, i))
        return context.get_dummy_value()

    return types.void(cls, *[types.int64] * 4), lower
