"""Vector registers while LLVM IR is being built: arithmetic on `Reg` emits instructions.

Enters: an IR builder and scalars or addresses from Numba's lowering. Leaves: IR in that builder's block. `simd` gives
these operations to kernel sources, `vecmath` and `tiles` are written on top of them as plain formulas. Invariants:
IEEE exact (no contraction, no reassociation: a fused multiply-add is only what says `fma`); integer operations wrap;
no instruction here has undefined results for any input; nothing lowers to a library call. A `bool` register is a mask
of one bit per lane; in memory it is one byte, 0 or 1.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable
from typing import Any

import llvmlite.ir as ir

from specjit.codegen.vectors.lanes import FLOATS, host_features

I1, I8, I16, I32, I64 = (ir.IntType(n) for n in (1, 8, 16, 32, 64))
F32, F64 = ir.FloatType(), ir.DoubleType()
PTR = ir.PointerType()
ELEMENT = {"f32": F32, "f64": F64, "i64": I64, "i32": I32, "i16": I16, "i8": I8, "u8": I8, "bool": I1}
BITS = {"f32": 32, "f64": 64, "i64": 64, "i32": 32, "i16": 16, "i8": 8, "u8": 8, "bool": 1}
INT_OF = {"f32": "i32", "f64": "i64"}


class _Splat(ir.Constant):
    """A vector constant with equal lanes, printed in LLVM's short form (a sixteenth of the text to parse)."""

    def __init__(self, kind: ir.VectorType, text: str):
        self.type, self.constant = kind, text

    def _get_reference(self) -> str:
        return self.constant


def vector_type(dtype: str, lanes: int) -> ir.VectorType:
    return ir.VectorType(ELEMENT[dtype], lanes)


def _literal(dtype: str, value: Any) -> str:
    if dtype in FLOATS:
        if dtype == "f32":
            value = _round_to_f32(float(value))
        return f"0x{struct.unpack('<Q', struct.pack('<d', float(value)))[0]:016X}"
    if dtype == "bool":
        return "true" if value else "false"
    bits = BITS[dtype]
    value = int(value) & ((1 << bits) - 1)
    return str(value - (1 << bits) if value >> (bits - 1) else value)


def _round_to_f32(value: float) -> float:
    if math.isinf(value) or math.isnan(value):
        return value
    try:
        return struct.unpack("<f", struct.pack("<f", value))[0]
    except OverflowError:
        return math.copysign(math.inf, value)


def constant(dtype: str, lanes: int, value: Any) -> ir.Constant:
    return _Splat(vector_type(dtype, lanes), f"splat ({ELEMENT[dtype]} {_literal(dtype, value)})")


def call_intrinsic(builder: ir.IRBuilder, name: str, result: ir.Type, args: list[ir.Value]) -> ir.Value:
    function = builder.module.globals.get(name)
    if function is None:
        function = ir.Function(builder.module, ir.FunctionType(result, [a.type for a in args]), name)
    return builder.call(function, args)


class Reg:
    """One vector register: `value` is `<lanes x element>`, `dtype` a dtype name."""

    __slots__ = ("builder", "value", "dtype", "lanes")

    def __init__(self, builder: ir.IRBuilder, value: ir.Value, dtype: str, lanes: int):
        self.builder, self.value, self.dtype, self.lanes = builder, value, dtype, lanes

    # -- making registers like this one

    def like(self, value: ir.Value, dtype: str | None = None) -> Reg:
        return Reg(self.builder, value, dtype or self.dtype, self.lanes)

    def const(self, value: Any, dtype: str | None = None) -> Reg:
        dtype = dtype or self.dtype
        return self.like(constant(dtype, self.lanes, value), dtype)

    def coerce(self, other: Any) -> Reg:
        if isinstance(other, Reg):
            if other.dtype != self.dtype or other.lanes != self.lanes:
                raise TypeError(f"mixed registers: {self.dtype}x{self.lanes} and {other.dtype}x{other.lanes}")
            return other
        return self.const(other)

    @property
    def is_float(self) -> bool:
        return self.dtype in FLOATS

    @property
    def type(self) -> ir.Type:
        return self.value.type

    def intrinsic(self, name: str, *others: Any) -> Reg:
        """Call an LLVM intrinsic overloaded on this register's type."""
        args = [self.value, *(self.coerce(o).value for o in others)]
        return self.like(call_intrinsic(self.builder, f"{name}.{_mangled(self)}", self.type, args))

    def bitcast(self, dtype: str) -> Reg:
        return self.like(self.builder.bitcast(self.value, vector_type(dtype, self.lanes)), dtype)

    def bits(self) -> Reg:
        """The same bits as integers."""
        return self.bitcast(INT_OF[self.dtype])

    # -- arithmetic

    def _binary(self, other: Any, of_float: str | None, of_int: str, swap: bool = False) -> Reg:
        other = self.coerce(other)
        a, b = (other, self) if swap else (self, other)
        name = of_float if self.is_float else of_int
        return self.like(getattr(self.builder, name)(a.value, b.value))  # type: ignore[arg-type]

    def __add__(self, o: Any) -> Reg:
        return self._binary(o, "fadd", "or_" if self.dtype == "bool" else "add")

    def __sub__(self, o: Any) -> Reg:
        return self._binary(o, "fsub", "sub")

    def __rsub__(self, o: Any) -> Reg:
        return self._binary(o, "fsub", "sub", swap=True)

    def __mul__(self, o: Any) -> Reg:
        return self._binary(o, "fmul", "and_" if self.dtype == "bool" else "mul")

    __radd__, __rmul__ = __add__, __mul__

    def __truediv__(self, o: Any) -> Reg:
        return self._binary(o, "fdiv", "")

    def __rtruediv__(self, o: Any) -> Reg:
        return self._binary(o, "fdiv", "", swap=True)

    def __neg__(self) -> Reg:
        return self.like(self.builder.fneg(self.value)) if self.is_float else self.const(0) - self

    # -- bits

    def __and__(self, o: Any) -> Reg:
        return self._binary(o, None, "and_")

    def __or__(self, o: Any) -> Reg:
        return self._binary(o, None, "or_")

    def __xor__(self, o: Any) -> Reg:
        return self._binary(o, None, "xor")

    __rand__, __ror__, __rxor__ = __and__, __or__, __xor__

    def __invert__(self) -> Reg:
        return self ^ self.const(-1 if self.dtype != "bool" else True)

    def shl(self, o: Any) -> Reg:
        """Shift left by 0 <= o < bits (not checked)."""
        return self._binary(o, None, "shl")

    def shr(self, o: Any) -> Reg:
        """Logical shift right by 0 <= o < bits (not checked)."""
        return self._binary(o, None, "lshr")

    def sar(self, o: Any) -> Reg:
        """Arithmetic shift right by 0 <= o < bits (not checked)."""
        return self._binary(o, None, "ashr")

    # -- comparisons (IEEE: a NaN is unordered, so only != holds)

    def compare(self, op: str, other: Any) -> Reg:
        other = self.coerce(other)
        if self.is_float:
            emit = self.builder.fcmp_unordered if op == "!=" else self.builder.fcmp_ordered
        else:
            emit = self.builder.icmp_unsigned if self.dtype in ("u8", "bool") else self.builder.icmp_signed
        return self.like(emit(op, self.value, other.value), "bool")

    def __lt__(self, o: Any) -> Reg:
        return self.compare("<", o)

    def __le__(self, o: Any) -> Reg:
        return self.compare("<=", o)

    def __gt__(self, o: Any) -> Reg:
        return self.compare(">", o)

    def __ge__(self, o: Any) -> Reg:
        return self.compare(">=", o)

    def __eq__(self, o: Any) -> Reg:  # type: ignore[override]
        return self.compare("==", o)

    def __ne__(self, o: Any) -> Reg:  # type: ignore[override]
        return self.compare("!=", o)

    __hash__ = None  # type: ignore[assignment]

    def is_nan(self) -> Reg:
        return self != self


def _mangled(reg: Reg) -> str:
    return f"v{reg.lanes}{'f' if reg.is_float else 'i'}{BITS[reg.dtype]}"


def select(mask: Reg, a: Reg, b: Any) -> Reg:
    b = a.coerce(b)
    return a.like(a.builder.select(mask.value, a.value, b.value))


def has_fma() -> bool:
    """Whether a fused multiply-add is one instruction (else LLVM would call the C library)."""
    features = host_features().split(",")
    return "+fma" in features or "+avx512f" in features or "+neon" in features


def has_avx512() -> bool:
    return "+avx512f" in host_features().split(",")


def fma(a: Reg, b: Any, c: Any) -> Reg:
    """a*b + c, rounded once where the CPU can; for use inside approximations, where the difference is below their
    error.
    """
    if has_fma():
        return a.intrinsic("llvm.fma", b, c)
    return a * b + c


def polynomial(x: Reg, coefficients: tuple[float, ...]) -> Reg:
    """c0 + c1 x + c2 x^2 ... by Horner's rule."""
    result = x.const(coefficients[-1])
    for c in coefficients[-2::-1]:
        result = fma(result, x, c)
    return result


def absolute(x: Reg) -> Reg:
    if x.is_float:
        return x.intrinsic("llvm.fabs")
    return x if x.dtype in ("u8", "bool") else select(x < 0, -x, x)


def copysign(x: Reg, sign: Any) -> Reg:
    return x.intrinsic("llvm.copysign", sign)


def maximum(a: Reg, b: Any) -> Reg:
    """NumPy's maximum: a NaN on either side wins."""
    b = a.coerce(b)
    return select((a > b) | a.is_nan() if a.is_float else a > b, a, b)


def minimum(a: Reg, b: Any) -> Reg:
    """NumPy's minimum: a NaN on either side wins."""
    b = a.coerce(b)
    return select((a < b) | a.is_nan() if a.is_float else a < b, a, b)


def clamp(x: Reg, low: float, high: float) -> Reg:
    """x limited to [low, high]; a NaN stays (two instructions, operand order matters)."""
    x = select(x < low, x.const(low), x)
    return select(x > high, x.const(high), x)


# -- conversions


def cast(x: Reg, dtype: str) -> Reg:
    """NumPy's astype on x86: a float out of an integer's range gives the smallest i32 or i64 (narrower integers: its
    low bits).
    """
    if dtype == x.dtype:
        return x
    if dtype == "bool":
        return x != 0
    if x.is_float:
        return _from_float(x, dtype)
    target = vector_type(dtype, x.lanes)
    build = x.builder
    unsigned = x.dtype in ("u8", "bool")
    if dtype in FLOATS:
        return x.like((build.uitofp if unsigned else build.sitofp)(x.value, target), dtype)
    if BITS[dtype] < BITS[x.dtype]:
        return x.like(build.trunc(x.value, target), dtype)
    if BITS[dtype] == BITS[x.dtype]:
        return x.like(x.value, dtype)
    return x.like((build.zext if unsigned else build.sext)(x.value, target), dtype)


def _from_float(x: Reg, dtype: str) -> Reg:
    if dtype in FLOATS:
        convert = x.builder.fpext if dtype == "f64" else x.builder.fptrunc
        return x.like(convert(x.value, vector_type(dtype, x.lanes)), dtype)
    if BITS[dtype] < 32:
        return cast(_from_float(x, "i32"), dtype)
    limit = 2.0 ** (BITS[dtype] - 1)
    # float32 cannot hold -2^31 - 1, float64 can, and truncation brings values above it into range
    low = x >= -limit if x.dtype == "f32" or dtype == "i64" else x > -limit - 1.0
    inside = low & (x < limit)
    safe = select(inside, x, 0.0)
    whole = x.like(x.builder.fptosi(safe.value, vector_type(dtype, x.lanes)), dtype)
    return select(inside, whole, -(2 ** (BITS[dtype] - 1)))


def round_even(x: Reg) -> Reg:
    return x.intrinsic("llvm.rint")


def floor(x: Reg) -> Reg:
    return x.intrinsic("llvm.floor")


def ceil(x: Reg) -> Reg:
    return x.intrinsic("llvm.ceil")


def trunc(x: Reg) -> Reg:
    return x.intrinsic("llvm.trunc")


def sqrt(x: Reg) -> Reg:
    return x.intrinsic("llvm.sqrt")


# -- lanes


def splat(builder: ir.IRBuilder, dtype: str, lanes: int, scalar: ir.Value) -> Reg:
    kind = vector_type(dtype, lanes)
    first = builder.insert_element(ir.Constant(kind, ir.Undefined), scalar, ir.Constant(I32, 0))
    zeros = ir.Constant(ir.VectorType(I32, lanes), None)
    return Reg(builder, builder.shuffle_vector(first, ir.Constant(kind, ir.Undefined), zeros), dtype, lanes)


def iota(builder: ir.IRBuilder, dtype: str, lanes: int) -> Reg:
    values = [ir.Constant(ELEMENT[dtype], float(i) if dtype in FLOATS else i) for i in range(lanes)]
    return Reg(builder, ir.Constant(vector_type(dtype, lanes), values), dtype, lanes)


def first(builder: ir.IRBuilder, lanes: int, count: ir.Value) -> Reg:
    """The mask of the first `count` lanes (an i64; below 0 none, above the lanes all)."""
    dtype = "i32" if lanes <= 16 else "i8"
    top = ir.Constant(I64, lanes)
    count = builder.select(builder.icmp_signed("<", count, top), count, top)
    return iota(builder, dtype, lanes) < splat(builder, dtype, lanes, builder.trunc(count, ELEMENT[dtype]))


def fold(x: Reg, combine: Callable[[Reg, Reg], Reg]) -> Reg:
    """Combine all lanes in a fixed tree (halves, quarters, ...); every lane of the result holds the answer."""
    width = x.lanes
    while width > 1:
        width //= 2
        x = combine(x, shuffle(x, x, [i ^ width for i in range(x.lanes)]))
    return x


def transpose(rows: list[Reg]) -> list[Reg]:
    """The columns of a square block of rows, by swapping halves, quarters, ... (Eklundh)."""
    rows = list(rows)
    width = len(rows) // 2
    while width:
        for i in range(len(rows)):
            if not i & width:
                a, b = rows[i], rows[i + width]
                high = [lane + len(rows) - width if lane & width else lane for lane in range(len(rows))]
                low = [lane + len(rows) if lane & width else lane + width for lane in range(len(rows))]
                rows[i], rows[i + width] = shuffle(a, b, high), shuffle(a, b, low)
        width //= 2
    return rows


def shuffle(a: Reg, b: Reg, lanes: list[int]) -> Reg:
    """Lanes of a (numbered from 0) and b (numbered on)."""
    order = ir.Constant(ir.VectorType(I32, len(lanes)), [ir.Constant(I32, i) for i in lanes])
    return a.like(a.builder.shuffle_vector(a.value, b.value, order))


def any_lane(mask: Reg) -> ir.Value:
    """An i1: whether any lane of the mask is set."""
    kind = ir.IntType(mask.lanes)
    return mask.builder.icmp_unsigned("!=", mask.builder.bitcast(mask.value, kind), ir.Constant(kind, 0))
