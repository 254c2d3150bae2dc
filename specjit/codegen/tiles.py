"""The register tile of a matrix product, as a factory of Numba intrinsics.

Enters: `product(...)` at the top of a kernel's text, with the tile's shape baked. Leaves: an intrinsic that the
kernel calls once per tile and k-block; it keeps rows x panels x chunks vectors in registers, and puts them into a
small block of scratch memory (or adds them to it), from where the epilogue reads vectors, or into their final place.
Invariants: each (row, unit) is the sum over k of one or `sets` chains of multiply-adds in order of k, whatever the
tile's shape, so a result depends on sizes only; only A(row, k) of valid rows and whole panels of B are read.
"""

from __future__ import annotations

from typing import Any

import llvmlite.ir as ir
from numba.core import types
from numba.extending import intrinsic

from specjit.codegen import memory
from specjit.codegen import registers as r
from specjit.codegen.lanes import ITEMSIZE
from specjit.codegen.registers import I32, I64, PTR, Reg

__all__ = ["product", "scratch"]

LINE = 64  # bytes in a cache line


@intrinsic(prefer_literal=True)
def scratch(typing: Any, size: Any) -> Any:
    """The address of `size` bytes of the kernel's stack, aligned to 64; call it once, at the top of the kernel."""
    if not isinstance(size, types.IntegerLiteral):
        return None
    room = ir.ArrayType(r.I8, size.literal_value)

    def lower(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        with builder.goto_entry_block():
            block = builder.alloca(room)
            block.align = 64
        return builder.ptrtoint(block, I64)

    return types.int64(size), lower


def product(
    dtype: str,
    lanes: int,
    rows: int,
    panels: int,
    chunks: int,
    group: int | None = None,
    unroll: int = 1,
    sets: int = 1,
    prefetch: int = 0,
    final: bool = False,
) -> Any:
    """tile(a, a_row, a_k, valid, b, b_panel, wide, k, c, c_row, add, ahead), for `group` of the panels' `chunks` (all
    by default).

    a, a_row, a_k   address of A(first row, first k) and the bytes between rows and between k
    valid           rows that exist; the others repeat the last valid one (their results are garbage)
    b, b_panel      address of the first panel at the first k (at the group's first chunk), and the bytes between
                    panels
    wide            panels that exist; the others repeat the last one
    k               how many k
    c, c_row        where rows of panels x chunks vectors go (at the group's first chunk), and the bytes between rows
    add             0 overwrites what is there, else the product is added to it
    ahead           with `prefetch` > 0: an address from which `prefetch` bytes per k are fetched into the L2 cache
                    meanwhile

    With `final`, c is the result itself, where only valid rows have a place: the others, which repeat the last valid
    one, are stored to its place once more. All panels must exist, and `add` be 0.
    """

    def emit(builder: ir.IRBuilder, args: list[ir.Value]) -> None:
        _Tile(builder, dtype, lanes, rows, panels, chunks, group or chunks, unroll, sets, prefetch, final).emit(*args)

    def definition(
        typing: Any,
        a: Any,
        a_row: Any,
        a_k: Any,
        valid: Any,
        b: Any,
        b_panel: Any,
        wide: Any,
        k: Any,
        c: Any,
        c_row: Any,
        add: Any,
        ahead: Any,
    ) -> Any:
        def lower(context: Any, builder: Any, sig: Any, args: Any) -> Any:
            emit(builder, args)
            return context.get_dummy_value()

        return types.void(*[types.int64] * 12), lower

    return intrinsic(definition)


class _Tile:
    def __init__(
        self,
        builder: ir.IRBuilder,
        dtype: str,
        lanes: int,
        rows: int,
        panels: int,
        chunks: int,
        group: int,
        unroll: int,
        sets: int,
        prefetch: int,
        final: bool,
    ):
        self.builder, self.dtype, self.lanes = builder, dtype, lanes
        self.rows, self.panels, self.chunks, self.group = rows, panels, chunks, group
        self.unroll, self.sets, self.prefetch, self.final = unroll, sets, prefetch, final
        self.vectors = panels * group
        self.size = ITEMSIZE[dtype]
        self.vector_bytes = lanes * self.size
        self.kind = r.vector_type(dtype, lanes)

    def emit(
        self,
        a: ir.Value,
        a_row: ir.Value,
        a_k: ir.Value,
        valid: ir.Value,
        b: ir.Value,
        b_panel: ir.Value,
        wide: ir.Value,
        k: ir.Value,
        c: ir.Value,
        c_row: ir.Value,
        add: ir.Value,
        ahead: ir.Value,
    ) -> None:
        build = self.builder
        self.a_rows = self._pointers(a, a_row, valid, self.rows)
        self.b_panels = self._pointers(b, b_panel, wide, self.panels)
        self.a_k, self.ahead = a_k, ahead
        zero = r.constant(self.dtype, self.lanes, 0.0)
        sums = [[zero] * (self.rows * self.vectors) for _ in range(self.sets)]
        start = ir.Constant(I64, 0)
        if self.unroll > 1:
            whole = build.and_(k, ir.Constant(I64, -self.unroll))
            sums = self._loop(start, whole, sums, self.unroll)
            start = whole
        sums = self._loop(start, k, sums, 1)
        c_rows = self._pointers(c, c_row, valid if self.final else ir.Constant(I64, self.rows), self.rows)
        self._finish(self._add_sets(sums), c_rows, add)

    def _pointers(self, base: ir.Value, step: ir.Value, valid: ir.Value, count: int) -> list[ir.Value]:
        """`count` pointers, `step` bytes apart; those past the valid ones repeat the last."""
        build = self.builder
        pointers = []
        last = build.sub(valid, ir.Constant(I64, 1))
        for i in range(count):
            at: ir.Value = ir.Constant(I64, i)
            if i:
                at = build.select(build.icmp_signed("<", at, valid), at, last)
            pointers.append(build.inttoptr(build.add(base, build.mul(at, step)), PTR))
        return pointers

    def _loop(self, start: ir.Value, stop: ir.Value, sums: list[list[ir.Value]], unroll: int) -> list[list[ir.Value]]:
        """for k in range(start, stop, unroll), carrying every accumulator in a register."""
        build = self.builder
        before = build.block
        body = build.function.append_basic_block("tile.k")
        after = build.function.append_basic_block("tile.done")
        build.cbranch(build.icmp_signed("<", start, stop), body, after)
        build.position_at_end(body)
        k = build.phi(I64)
        k.add_incoming(start, before)
        carried = [[build.phi(self.kind) for _ in group] for group in sums]
        current = [list(group) for group in carried]
        for step in range(unroll):
            self._step(build.add(k, ir.Constant(I64, step)), current[step % self.sets])
        if self.prefetch:
            self._fetch(k, unroll)
        following = build.add(k, ir.Constant(I64, unroll))
        k.add_incoming(following, build.block)
        build.cbranch(build.icmp_signed("<", following, stop), body, after)
        end = build.block
        build.position_at_end(after)
        out = []
        for old, phis, new in zip(sums, carried, current):
            group = []
            for first, phi, last in zip(old, phis, new):
                phi.add_incoming(first, before)
                phi.add_incoming(last, end)
                result = build.phi(self.kind)
                result.add_incoming(first, before)
                result.add_incoming(last, end)
                group.append(result)
            out.append(group)
        return out

    def _step(self, k: ir.Value, sums: list[ir.Value]) -> None:
        """One k: every row's element times every vector of B."""
        build = self.builder
        offset = build.mul(k, ir.Constant(I64, self.chunks * self.vector_bytes))
        vectors = []
        for panel in self.b_panels:
            base = build.gep(panel, [offset], source_etype=r.I8)
            for chunk in range(self.group):
                at = build.gep(base, [ir.Constant(I64, chunk * self.vector_bytes)], source_etype=r.I8)
                loaded = build.load(at, typ=self.kind)
                loaded.align = self.size
                vectors.append(Reg(build, loaded, self.dtype, self.lanes))
        a_offset = build.mul(k, self.a_k)
        for row, pointer in enumerate(self.a_rows):
            at = build.gep(pointer, [a_offset], source_etype=r.I8)
            element = memory.load_scalar(build, self.dtype, self.lanes, at)
            for j, vector in enumerate(vectors):
                index = row * self.vectors + j
                sums[index] = r.fma(element, vector, Reg(build, sums[index], self.dtype, self.lanes)).value

    def _fetch(self, k: ir.Value, unroll: int) -> None:
        """Ask for the cache lines of `prefetch` bytes for each k of this turn."""
        build = self.builder
        start = build.add(self.ahead, build.mul(k, ir.Constant(I64, self.prefetch)))
        read, level, data = (ir.Constant(I32, n) for n in (0, 2, 1))
        for offset in range(0, max(self.prefetch * unroll, 1), LINE):
            at = build.inttoptr(build.add(start, ir.Constant(I64, offset)), PTR)
            r.call_intrinsic(build, "llvm.prefetch.p0", ir.VoidType(), [at, read, level, data])

    def _add_sets(self, sums: list[list[ir.Value]]) -> list[ir.Value]:
        while len(sums) > 1:
            half = len(sums) // 2
            sums = [[self.builder.fadd(x, y) for x, y in zip(sums[i], sums[i + half])] for i in range(half)]
        return sums[0]

    def _finish(self, sums: list[ir.Value], c_rows: list[ir.Value], add: ir.Value) -> None:
        build = self.builder
        places = []
        for i in range(len(sums)):
            row, vector = divmod(i, self.vectors)
            panel, chunk = divmod(vector, self.group)
            offset = (panel * self.chunks + chunk) * self.vector_bytes
            places.append(build.gep(c_rows[row], [ir.Constant(I64, offset)], source_etype=r.I8))
        with build.if_else(build.icmp_signed("==", add, ir.Constant(I64, 0))) as (overwrite, accumulate):
            with overwrite:
                for value, place in zip(sums, places):
                    build.store(value, place).align = self.size
            with accumulate:
                for value, place in zip(sums, places):
                    old = build.load(place, typ=self.kind)
                    old.align = self.size
                    build.store(build.fadd(old, value), place).align = self.size
