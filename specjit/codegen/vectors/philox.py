"""Philox4x32-10 for kernel sources: uniform numbers in [0, 1), the same bits as `tensor/random.py` makes.

Enters: kernel source inside Numba's compilation (only the compile worker imports this module): a register class of
f32 or f64, an address, the seed and the number of a block of four 32-bit words. Leaves: numbers in memory.
Invariant: a number depends on the seed, the block's number and the number's place in the block alone. A 32-bit word
is held in the low half of an i64 lane; the high half may hold anything, every use of the word masks or shifts it off,
so that a product of two words is one multiplication.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import llvmlite.ir as ir
from numba.core import types
from numba.extending import intrinsic

from specjit.codegen.vectors import memory
from specjit.codegen.vectors import registers as r
from specjit.codegen.vectors.lanes import ITEMSIZE
from specjit.codegen.vectors.registers import Reg

__all__ = ["uniform", "uniform_first"]

M0, M1 = 0xD2511F53, 0xCD9E8D57
W0, W1 = 0x9E3779B9, 0xBB67AE85
ROUNDS = 10


def _low(x: Reg) -> Reg:
    return x & 0xFFFFFFFF


def _words(seed: Reg, block: Reg) -> tuple[Reg, Reg, Reg, Reg]:
    """The four words of each block."""
    c0, c1, c2, c3 = block, block.shr(32), block.const(0), block.const(0)
    k0, k1 = seed, seed.shr(32)
    for _ in range(ROUNDS):
        a, b = _low(c0) * M0, _low(c2) * M1
        c0, c1, c2, c3 = b.shr(32) ^ c1 ^ k0, b, a.shr(32) ^ c3 ^ k1, a
        k0, k1 = k0 + W0, k1 + W1
    return c0, c1, c2, c3


def _pairs(words: tuple[Reg, Reg, Reg, Reg]) -> list[Reg]:
    """The words in order of blocks, two to a lane, the earlier one low."""
    a = _low(words[0]) | words[1].shl(32)
    b = _low(words[2]) | words[3].shl(32)
    half = a.lanes // 2
    orders = [[x for i in range(part * half, (part + 1) * half) for x in (i, i + a.lanes)] for part in (0, 1)]
    return [r.shuffle(a, b, order) for order in orders]


def _numbers(pair: Reg, dtype: str) -> Reg:
    if dtype == "f64":
        return r.cast(pair.shr(11), "f64") * 2.0**-53
    lanes = 2 * pair.lanes
    words = Reg(pair.builder, pair.builder.bitcast(pair.value, r.vector_type("i32", lanes)), "i32", lanes)
    return r.cast(words.shr(8), "f32") * 2.0**-24


def _batch(builder: ir.IRBuilder, dtype: str, lanes: int, seed: ir.Value, first: ir.Value) -> list[Reg]:
    """Two registers of numbers, from as many blocks as one register has i64 lanes."""
    count = lanes if dtype == "f64" else lanes // 2
    key = r.splat(builder, "i64", count, seed)
    block = r.splat(builder, "i64", count, first) + r.iota(builder, "i64", count)
    return [_numbers(pair, dtype) for pair in _pairs(_words(key, block))]


def _filler(put: Callable[..., None], extra: int) -> Any:
    def typed(cls: Any) -> Any:
        kind = cls.vector
        step = kind.lanes * ITEMSIZE[kind.dtype]

        def lower(context: Any, builder: Any, sig: Any, args: Any) -> Any:
            _, address, seed, first, *rest = args
            for k, numbers in enumerate(_batch(builder, kind.dtype, kind.lanes, seed, first)):
                put(numbers, builder.add(address, ir.Constant(r.I64, k * step)), k * kind.lanes, *rest)
            return context.get_dummy_value()

        return types.void(cls, *[types.int64] * (3 + extra)), lower

    if extra:
        return intrinsic(lambda typing, cls, address, seed, first, count: typed(cls))
    return intrinsic(lambda typing, cls, address, seed, first: typed(cls))


def _store_first(numbers: Reg, address: ir.Value, before: int, count: ir.Value) -> None:
    left = numbers.builder.sub(count, ir.Constant(r.I64, before))
    memory.store_masked(numbers, r.first(numbers.builder, numbers.lanes, left), address)


# uniform(cls, address, seed, block): two registers' worth of numbers, from block number `block` on.
uniform = _filler(lambda numbers, address, before: memory.store(numbers, address), 0)
# uniform_first(cls, address, seed, block, count): only the first `count` of them.
uniform_first = _filler(_store_first, 1)
