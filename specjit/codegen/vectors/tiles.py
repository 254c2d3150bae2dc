"""The register tile of a matrix product, as a factory of Numba intrinsics.

Enters: `product(...)` at the top of a kernel's text, with the tile's shape baked. Leaves: an intrinsic that the
kernel calls once per tile and k-block; it keeps rows x panels x chunks vectors in registers, and puts them into a
small block of scratch memory (or adds them to it), from where the epilogue reads vectors, or into their final place.
`duet(...)` gives an intrinsic that does two tiles of different products at once, `windows(...)` a tile whose right
operand lies in memory as it is, each element in many of its columns.
Invariants: each (row, unit) is the sum over k of one or `sets` chains of multiply-adds in order of k, whatever the
tile's shape, so a result depends on sizes only; only A(row, k) of valid rows and whole panels of B are read.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import llvmlite.ir as ir
from numba.core import types
from numba.extending import intrinsic

from specjit.codegen.vectors import memory
from specjit.codegen.vectors import registers as r
from specjit.codegen.vectors.lanes import ITEMSIZE
from specjit.codegen.vectors.registers import I32, I64, PTR, Reg

__all__ = ["duet", "number", "product", "put", "scratch", "windows"]

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


@intrinsic
def put(typing: Any, value: Any, address: Any) -> Any:
    """Store an integer of 8 bytes."""

    def lower(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        builder.store(args[0], builder.inttoptr(args[1], PTR)).align = 8
        return context.get_dummy_value()

    return types.void(types.int64, types.int64), lower


@intrinsic
def number(typing: Any, address: Any) -> Any:
    """Load what `put` stored."""

    def lower(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return _number(builder, builder.inttoptr(args[0], PTR))

    return types.int64(types.int64), lower


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
    resumed: bool = False,
) -> Any:
    """tile(a, a_row, a_k, valid, b, b_panel, wide, k, c, c_row, add, ahead[, resume]), for `group` of the panels'
    `chunks` (all by default).

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
    resume          with `resumed`: 0 starts the sums from zero, else they go on from what is in c

    With `final`, c is the result itself, where only valid rows have a place: the others, which repeat the last valid
    one, are stored to its place once more. All panels must exist, and `add` be 0.
    """

    tile = _Tile(dtype, lanes, rows, panels, chunks, group or chunks, unroll, sets, prefetch, final, resumed)
    return _intrinsic(tile.arguments, lambda build, args: _Product(build, tile, args).emit())


def duet(
    dtype: str,
    lanes: int,
    panels: int,
    chunks: int,
    group: int,
    unroll: int,
    sets: int,
    rows: int,
    pace: int,
) -> Any:
    """A tile of one row, as in `product`, and beside it a `resumed` one of `rows` rows and one vector of another
    product: while the weights of the one row are on their way, there is something to multiply.

    Takes the arguments of both tiles, one after the other. In the loop that they share, every `unroll` k of the first
    meet `pace` k of the second; what is left of either comes after it.
    """
    first = _Tile(dtype, lanes, 1, panels, chunks, group, unroll, sets)
    second = _Tile(dtype, lanes, rows, 1, 1, 1, resumed=True)

    def emit(build: ir.IRBuilder, args: list[ir.Value]) -> None:
        cut = first.arguments
        _Duet(build, _Product(build, first, args[:cut]), _Product(build, second, args[cut:]), pace).emit()

    return _intrinsic(first.arguments + second.arguments, emit)


def windows(dtype: str, lanes: int, rows: int, vectors: int, unroll: int, sets: int, masked: bool) -> Any:
    """tile(a, a_row, a_k, valid, table, k, c, c_row, add, b[0], ..., count[0], ...): as in `product`, where vector i of
    B at the k-th k lies at b[i] + table[k], in bytes. With `masked`, count[i] of its lanes are there, else all."""
    tile = _Tile(dtype, lanes, rows, vectors, 1, 1, unroll, sets)
    zero = ir.Constant(I64, 0)

    def emit(build: ir.IRBuilder, args: list[ir.Value]) -> None:
        a, a_row, a_k, valid, table, k, c, c_row, add, *places = args
        right = _Windows(build, tile, table, places[:vectors], places[vectors:])
        left = [a, a_row, a_k, valid]
        _Product(build, tile, [*left, zero, zero, zero, k, c, c_row, add, zero], right).emit()

    return _intrinsic(9 + vectors * (2 if masked else 1), emit)


def _intrinsic(count: int, emit: Callable[[ir.IRBuilder, list[ir.Value]], None]) -> Any:
    """A Numba intrinsic that takes `count` integers and returns nothing."""

    def lower(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        emit(builder, list(args))
        return context.get_dummy_value()

    def definition(typing: Any, *args: Any) -> Any:
        return types.void(*[types.int64] * count), lower

    # Numba passes arguments by name only.
    names = ["typing", *(f"a{i}" for i in range(count))]
    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    definition.__signature__ = inspect.Signature([inspect.Parameter(n, kind) for n in names])  # type: ignore[attr-defined]
    return intrinsic(definition)


@dataclass(frozen=True)
class _Tile:
    """What is baked: see `product`."""

    dtype: str
    lanes: int
    rows: int
    panels: int
    chunks: int
    group: int
    unroll: int = 1
    sets: int = 1
    prefetch: int = 0
    final: bool = False
    resumed: bool = False

    @property
    def vectors(self) -> int:
        return self.panels * self.group

    @property
    def size(self) -> int:
        return ITEMSIZE[self.dtype]

    @property
    def vector_bytes(self) -> int:
        return self.lanes * self.size

    @property
    def kind(self) -> ir.Type:
        return r.vector_type(self.dtype, self.lanes)

    @property
    def arguments(self) -> int:
        return 13 if self.resumed else 12


Sums = list[ir.Value]  # of each chain one after another: of each row, of each vector


class _Panels:
    """The right operand of a tile in packed panels."""

    def __init__(self, build: ir.IRBuilder, tile: _Tile, b: ir.Value, b_panel: ir.Value, wide: ir.Value):
        self.build, self.tile = build, tile
        self.starts = _pointers(build, b, b_panel, wide, tile.panels)

    def vectors(self, k: ir.Value) -> list[Reg]:
        build, t = self.build, self.tile
        offset = build.mul(k, ir.Constant(I64, t.chunks * t.vector_bytes))
        found = []
        for start in self.starts:
            base = build.gep(start, [offset], source_etype=r.I8)
            for chunk in range(t.group):
                at = build.gep(base, [ir.Constant(I64, chunk * t.vector_bytes)], source_etype=r.I8)
                found.append(memory.load(build, t.dtype, t.lanes, at))
        return found


class _Windows:
    """The right operand of a tile as it lies in memory: see `windows`."""

    def __init__(
        self, build: ir.IRBuilder, tile: _Tile, table: ir.Value, starts: list[ir.Value], counts: list[ir.Value]
    ):
        self.build, self.tile = build, tile
        self.table = build.inttoptr(table, PTR)
        self.starts = [build.inttoptr(start, PTR) for start in starts]
        self.masks = [r.first(build, tile.lanes, count) for count in counts]

    def vectors(self, k: ir.Value) -> list[Reg]:
        build, t = self.build, self.tile
        entry = build.gep(self.table, [build.mul(k, ir.Constant(I64, 8))], source_etype=r.I8)
        offset = _number(build, entry)
        places = [build.gep(start, [offset], source_etype=r.I8) for start in self.starts]
        if not self.masks:
            return [memory.load(build, t.dtype, t.lanes, at) for at in places]
        return [memory.load_masked(build, t.dtype, mask, at) for at, mask in zip(places, self.masks)]


def _number(build: ir.IRBuilder, address: ir.Value) -> ir.Value:
    loaded = build.load(address, typ=I64)
    loaded.align = 8
    return loaded


def _pointers(build: ir.IRBuilder, base: ir.Value, step: ir.Value, valid: ir.Value, count: int) -> list[ir.Value]:
    """`count` pointers, `step` bytes apart; those past the valid ones repeat the last."""
    pointers = []
    last = build.sub(valid, ir.Constant(I64, 1))
    for i in range(count):
        at: ir.Value = ir.Constant(I64, i)
        if i:
            at = build.select(build.icmp_signed("<", at, valid), at, last)
        pointers.append(build.inttoptr(build.add(base, build.mul(at, step)), PTR))
    return pointers


class _Product:
    """A tile at work. `right`: where it has its right operand from, if not from panels."""

    def __init__(self, build: ir.IRBuilder, tile: _Tile, args: list[ir.Value], right: _Windows | None = None):
        self.build, self.tile = build, tile
        a, a_row, self.a_k, valid, b, b_panel, wide, self.k, c, c_row, self.add, self.ahead, *resume = args
        self.a_rows = _pointers(build, a, a_row, valid, tile.rows)
        self.right = right or _Panels(build, tile, b, b_panel, wide)
        c_rows = _pointers(build, c, c_row, valid if tile.final else ir.Constant(I64, tile.rows), tile.rows)
        self.places = [self._place(c_rows, i) for i in range(tile.rows * tile.vectors)]
        self.resume = resume[0] if resume else None

    def emit(self) -> None:
        self.finish(self.rest(ir.Constant(I64, 0), self.start()))

    def start(self) -> Sums:
        """The sums before the first k."""
        zero = r.constant(self.tile.dtype, self.tile.lanes, 0.0)
        if self.resume is None:
            return [zero] * (self.tile.sets * len(self.places))
        fresh = self.build.icmp_signed("==", self.resume, ir.Constant(I64, 0))
        return [self.build.select(fresh, zero, self._load(place)) for place in self.places]

    def rest(self, start: ir.Value, sums: Sums) -> Sums:
        """All k from `start`, a multiple of `unroll`, on."""
        if self.tile.unroll > 1:
            whole = self.build.and_(self.k, ir.Constant(I64, -self.tile.unroll))
            sums = _loop(self.build, start, whole, self.tile.unroll, sums, self.turn)
            start = whole
        return _loop(self.build, start, self.k, 1, sums, lambda k, sums: self.turn(k, sums, 1))

    def turn(self, k: ir.Value, sums: Sums, count: int | None = None) -> Sums:
        """`count` k (`unroll` by default), the chains taking turns."""
        sums, count = list(sums), count or self.tile.unroll
        for step in range(count):
            self._step(self.build.add(k, ir.Constant(I64, step)), sums, step % self.tile.sets * len(self.places))
        if self.tile.prefetch:
            self._fetch(k, count)
        return sums

    def finish(self, sums: Sums) -> None:
        """The chains added up, to their places."""
        build, one = self.build, len(self.places)
        while len(sums) > one:
            half = len(sums) // 2
            sums = [build.fadd(x, y) for x, y in zip(sums[:half], sums[half:])]
        with build.if_else(build.icmp_signed("==", self.add, ir.Constant(I64, 0))) as (overwrite, accumulate):
            with overwrite:
                for value, place in zip(sums, self.places):
                    build.store(value, place).align = self.tile.size
            with accumulate:
                for value, place in zip(sums, self.places):
                    build.store(build.fadd(self._load(place), value), place).align = self.tile.size

    def _place(self, c_rows: list[ir.Value], i: int) -> ir.Value:
        """Where sum `i` of a chain goes."""
        row, vector = divmod(i, self.tile.vectors)
        panel, chunk = divmod(vector, self.tile.group)
        offset = (panel * self.tile.chunks + chunk) * self.tile.vector_bytes
        return self.build.gep(c_rows[row], [ir.Constant(I64, offset)], source_etype=r.I8)

    def _load(self, place: ir.Value) -> ir.Value:
        loaded = self.build.load(place, typ=self.tile.kind)
        loaded.align = self.tile.size
        return loaded

    def _step(self, k: ir.Value, sums: Sums, chain: int) -> None:
        """One k: every row's element times every vector of B, added to the sums from number `chain` on."""
        build, t = self.build, self.tile
        vectors = self.right.vectors(k)
        a_offset = build.mul(k, self.a_k)
        for row, pointer in enumerate(self.a_rows):
            at = build.gep(pointer, [a_offset], source_etype=r.I8)
            element = memory.load_scalar(build, t.dtype, t.lanes, at)
            for j, vector in enumerate(vectors):
                index = chain + row * t.vectors + j
                sums[index] = r.fma(element, vector, Reg(build, sums[index], t.dtype, t.lanes)).value

    def _fetch(self, k: ir.Value, unroll: int) -> None:
        """Ask for the cache lines of `prefetch` bytes for each k of this turn."""
        build, prefetch = self.build, self.tile.prefetch
        start = build.add(self.ahead, build.mul(k, ir.Constant(I64, prefetch)))
        read, level, data = (ir.Constant(I32, n) for n in (0, 2, 1))
        for offset in range(0, max(prefetch * unroll, 1), LINE):
            at = build.inttoptr(build.add(start, ir.Constant(I64, offset)), PTR)
            r.call_intrinsic(build, "llvm.prefetch.p0", ir.VoidType(), [at, read, level, data])


class _Duet:
    """Two tiles at work together."""

    def __init__(self, build: ir.IRBuilder, first: _Product, second: _Product, pace: int):
        self.build, self.first, self.second, self.pace = build, first, second, pace

    def emit(self) -> None:
        build, unroll, pace = self.build, self.first.tile.unroll, self.pace
        zero = ir.Constant(I64, 0)
        turns = build.sdiv(self.first.k, ir.Constant(I64, unroll))
        other = build.sdiv(self.second.k, ir.Constant(I64, pace))
        turns = build.select(build.icmp_signed("<", turns, other), turns, other)
        sums = self.first.start()
        cut = len(sums)
        both = _loop(build, zero, turns, 1, sums + self.second.start(), lambda t, sums: self._turn(t, sums, cut))
        self.first.finish(self.first.rest(build.mul(turns, ir.Constant(I64, unroll)), both[:cut]))
        self.second.finish(self.second.rest(build.mul(turns, ir.Constant(I64, pace)), both[cut:]))

    def _turn(self, turn: ir.Value, sums: Sums, cut: int) -> Sums:
        """`unroll` k of the first and `pace` k of the second."""
        k = self.build.mul(turn, ir.Constant(I64, self.first.tile.unroll))
        other = self.build.mul(turn, ir.Constant(I64, self.pace))
        return self.first.turn(k, sums[:cut]) + self.second.turn(other, sums[cut:], self.pace)


def _loop(
    build: ir.IRBuilder, start: ir.Value, stop: ir.Value, step: int, sums: Sums, turn: Callable[[ir.Value, Sums], Sums]
) -> Sums:
    """for k in range(start, stop, step): sums = turn(k, sums), every sum in a register."""
    before = build.block
    body = build.function.append_basic_block("tile.k")
    after = build.function.append_basic_block("tile.done")
    build.cbranch(build.icmp_signed("<", start, stop), body, after)
    build.position_at_end(body)
    k = build.phi(I64)
    k.add_incoming(start, before)
    carried = [build.phi(value.type) for value in sums]
    current = turn(k, carried)
    following = build.add(k, ir.Constant(I64, step))
    k.add_incoming(following, build.block)
    build.cbranch(build.icmp_signed("<", following, stop), body, after)
    end = build.block
    build.position_at_end(after)
    results = []
    for first, phi, last in zip(sums, carried, current):
        phi.add_incoming(first, before)
        phi.add_incoming(last, end)
        result = build.phi(phi.type)
        result.add_incoming(first, before)
        result.add_incoming(last, end)
        results.append(result)
    return results
