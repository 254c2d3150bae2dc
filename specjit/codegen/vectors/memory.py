"""Registers to and from memory: whole, masked, one element for all lanes, and strided.

Enters: an IR builder, addresses (i64 bytes or pointers) and `registers.Reg`. Leaves: IR in that builder's block.
Invariants: memory outside the named lanes is neither read nor written; addresses need the alignment of an element
only. A mask is one byte per lane in memory, 0 or 1.
"""

from __future__ import annotations

import llvmlite.ir as ir

from specjit.codegen.vectors.lanes import FLOATS
from specjit.codegen.vectors.registers import (
    BITS,
    ELEMENT,
    I8,
    I32,
    PTR,
    Reg,
    call_intrinsic,
    iota,
    splat,
    vector_type,
)

MEMORY = {**ELEMENT, "bool": I8}


def _pointer(builder: ir.IRBuilder, address: ir.Value) -> ir.Value:
    return address if isinstance(address.type, ir.PointerType) else builder.inttoptr(address, PTR)


def _align(dtype: str) -> int:
    return max(BITS[dtype] // 8, 1)


def from_memory(builder: ir.IRBuilder, value: ir.Value, dtype: str, lanes: int) -> Reg:
    if dtype != "bool":
        return Reg(builder, value, dtype, lanes)
    return Reg(builder, value, "u8", lanes) != 0


def to_memory(x: Reg) -> ir.Value:
    return x.builder.zext(x.value, vector_type("u8", x.lanes)) if x.dtype == "bool" else x.value


def load(builder: ir.IRBuilder, dtype: str, lanes: int, address: ir.Value) -> Reg:
    value = builder.load(_pointer(builder, address), typ=ir.VectorType(MEMORY[dtype], lanes))
    value.align = _align(dtype)
    return from_memory(builder, value, dtype, lanes)


def load_scalar(builder: ir.IRBuilder, dtype: str, lanes: int, address: ir.Value) -> Reg:
    """One element in every lane."""
    value = builder.load(_pointer(builder, address), typ=MEMORY[dtype])
    value.align = _align(dtype)
    stored = "u8" if dtype == "bool" else dtype
    return from_memory(builder, splat(builder, stored, lanes, value).value, dtype, lanes)


def store(x: Reg, address: ir.Value) -> None:
    x.builder.store(to_memory(x), _pointer(x.builder, address)).align = _align(x.dtype)


def load_masked(builder: ir.IRBuilder, dtype: str, mask: Reg, address: ir.Value) -> Reg:
    """The lanes of the mask from memory, zero elsewhere; memory under the other lanes is not touched."""
    kind = ir.VectorType(MEMORY[dtype], mask.lanes)
    args = [_pointer(builder, address), ir.Constant(I32, _align(dtype)), mask.value, ir.Constant(kind, None)]
    name = f"llvm.masked.load.{_memory_name(dtype, mask.lanes)}.p0"
    return from_memory(builder, call_intrinsic(builder, name, kind, args), dtype, mask.lanes)


def store_masked(x: Reg, mask: Reg, address: ir.Value) -> None:
    args = [to_memory(x), _pointer(x.builder, address), ir.Constant(I32, _align(x.dtype)), mask.value]
    call_intrinsic(x.builder, f"llvm.masked.store.{_memory_name(x.dtype, x.lanes)}.p0", ir.VoidType(), args)


def _memory_name(dtype: str, lanes: int) -> str:
    return f"v{lanes}{'f' if dtype in FLOATS else 'i'}{max(BITS[dtype], 8)}"


def _addresses(builder: ir.IRBuilder, lanes: int, address: ir.Value, stride: ir.Value) -> ir.Value:
    """`lanes` pointers, `stride` bytes apart."""
    step = iota(builder, "i64", lanes) * splat(builder, "i64", lanes, stride)
    at = step + splat(builder, "i64", lanes, address)
    return builder.inttoptr(at.value, ir.VectorType(PTR, lanes))


def gather(builder: ir.IRBuilder, dtype: str, mask: Reg, address: ir.Value, stride: ir.Value) -> Reg:
    """Elements `stride` bytes apart under the mask, zero elsewhere."""
    kind = ir.VectorType(MEMORY[dtype], mask.lanes)
    pointers = _addresses(builder, mask.lanes, address, stride)
    args = [pointers, ir.Constant(I32, _align(dtype)), mask.value, ir.Constant(kind, None)]
    name = f"llvm.masked.gather.{_memory_name(dtype, mask.lanes)}.v{mask.lanes}p0"
    return from_memory(builder, call_intrinsic(builder, name, kind, args), dtype, mask.lanes)


def scatter(x: Reg, mask: Reg, address: ir.Value, stride: ir.Value) -> None:
    pointers = _addresses(x.builder, x.lanes, address, stride)
    args = [to_memory(x), pointers, ir.Constant(I32, _align(x.dtype)), mask.value]
    name = f"llvm.masked.scatter.{_memory_name(x.dtype, x.lanes)}.v{x.lanes}p0"
    call_intrinsic(x.builder, name, ir.VoidType(), args)
