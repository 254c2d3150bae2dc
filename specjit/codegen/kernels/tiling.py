"""How a matrix product is cut: register tiles, blocks of k, blocks of rows, order of panels. From sizes alone.

Enters: a `GemmSpec`. Leaves: a `Tiling`. Invariant: which elements are summed in which order depends only on k and
on whether there are one row, few rows, or many or a number that is not known, so a result never depends on which rows
surround it.
"""

from __future__ import annotations

from dataclasses import dataclass

from specjit.codegen.kernels.spec import GemmSpec
from specjit.codegen.vectors.lanes import ITEMSIZE, panel_lanes, register_bytes

ROW_BLOCK_BYTES = 24 * 1024  # scratch for one block of rows: it shares the first-level cache with a block of B
K_BLOCK_BYTES = 32 * 1024  # a block of B that stays in the first-level cache while the row tiles pass over it
K_SERIAL = 256  # multiply-adds in one chain, for accuracy
L1_BYTES = 32 * 1024
LONG_BYTES = 384 * 1024  # a piece of A that stays in the second-level cache while all panels pass by
L2_BYTES = 512 * 1024


@dataclass(frozen=True)
class Shape:
    """One register tile: rows, how many k per loop turn, how many chains of accumulators, and vectors per row."""

    rows: int
    unroll: int
    sets: int
    vectors: int

    @property
    def sums(self) -> int:
        """Vectors of sums that it keeps in registers."""
        return self.rows * self.vectors * self.sets


@dataclass(frozen=True)
class Tiling:
    lanes: int
    panels: int  # panels side by side in a tile
    group: int  # chunks computed together (all of them unless there are very many)
    shapes: tuple[Shape, ...]  # of falling height
    counts: (
        tuple[int, ...] | None
    )  # tiles of each shape, when the rows are known and one block holds them; None: as they come
    row_block: int
    k_blocks: tuple[int, ...]  # for each segment
    long_block: int  # above 0: longer sums go through memory in pieces of so many k, for which A is copied to scratch
    prefetch: int  # bytes of the next block of B to fetch per k and row tile
    snake: bool
    final: bool  # tiles store the result itself: there is no epilogue

    @property
    def scratch_rows(self) -> int:
        return self.row_block


def accumulators() -> int:
    """Vectors a tile may keep: beyond this they spill. AVX-512 and 64-bit ARM have 32 registers, AVX 16."""
    return 12 if register_bytes() == 32 else 24


def shape(rows: int, vectors: int) -> Shape:
    """A multiply-add takes 4 turns, so a tile of few rows runs several chains at once."""
    limit = accumulators()
    if rows == 1:
        sets = 4 if vectors * 4 <= limit else 2 if vectors * 2 <= limit else 1
        return Shape(1, 4, sets, vectors)
    if rows * vectors <= 6 and rows * vectors * 2 <= limit:
        return Shape(rows, 2, 2, vectors)
    return _one_chain(rows, vectors)


def _one_chain(rows: int, vectors: int) -> Shape:
    """A tile of many rows, or of the last of them."""
    return Shape(rows, 2 if rows * vectors <= 12 else 1, 1, vectors)


def panels_of(group: int, panel_count: int | None) -> int:
    """Panels per tile: about four vectors wide, and few panels wasted in the last tile. (Wider is no better for one
    row: 1 x 128 x 512 takes 2.6 us with four panels and 2.9 with eight, which read as many places at once.)"""
    if group > 2:
        return 1
    want = 4 // group
    if panel_count is None:
        return want
    if panel_count <= want:
        return panel_count
    options = range(max(want - 1, 1), want + 2)
    return min(options, key=lambda p: (-(-panel_count // p) * p, abs(p - want)))


def _retained(panels: int, panel_bytes: int) -> int:
    """Panels per tile for one row of a product whose B comes from the second-level cache in every turn of a loop, as
    fast as that can give it: where a tile reads at most half the first level, the last panels of one turn are still
    there at the start of the next, which goes the other way. (1 x 128 x 512: 2.49 us with two panels, 2.55 with four;
    1 x 200 x 200: 1.66 with one, 1.88 with four. B of a megabyte comes faster four panels wide.)
    """
    room = L1_BYTES // 2
    if panel_bytes > room:
        return panels
    while panels * panel_bytes > room:
        panels = -(-panels // 2)
    return panels


def _heights(tallest: int) -> list[int]:
    """For a number of rows not known: the tallest tile, and for the rest of a block powers of two below it (of four
    where tiles are tall and narrow: each takes time to compile). 100 rows of 128 x 512 take 122 us in tiles of 6, 3
    and 1, which leave 4 rows to one of 6, and 119 with one of 4.
    """
    step = 1 if tallest <= 8 else 2
    return [tallest, *(1 << n for n in reversed(range(0, (tallest - 1).bit_length(), step)))]


def weight_bytes(spec: GemmSpec) -> int | None:
    """Of all panels; None when their sizes are known only at run time."""
    depths = [s.k for s in spec.segments]
    if not isinstance(spec.units, int) or not all(isinstance(k, int) for k in depths):
        return None
    lanes = panel_lanes(spec.dtype, spec.units)
    return sum(depths) * -(-spec.units // lanes) * spec.chunks * lanes * ITEMSIZE[spec.dtype]  # type: ignore[arg-type]


def choose(spec: GemmSpec) -> Tiling:
    item = ITEMSIZE[spec.dtype]
    units = spec.units if isinstance(spec.units, int) else None
    rows = spec.rows if isinstance(spec.rows, int) else None
    depths = [s.k if isinstance(s.k, int) else None for s in spec.segments]
    lanes = panel_lanes(spec.dtype, units)
    group = min(spec.chunks, accumulators() // 3)
    panel_count = None if units is None else -(-units // lanes)
    weights = weight_bytes(spec)
    panels = panels_of(group, panel_count)
    if rows == 1 and weights is not None and L1_BYTES < weights <= L2_BYTES:
        panels = _retained(panels, max(k or 0 for k in depths) * spec.chunks * lanes * item)
    vectors = group * panels
    tallest = max(1, accumulators() // vectors)
    row_bytes = spec.chunks * panels * lanes * item
    block = max(tallest, ROW_BLOCK_BYTES // row_bytes // tallest * tallest)
    counts: tuple[int, ...] | None = None
    if rows is not None and rows <= block:
        tiles = -(-rows // tallest) if rows else 0
        low, extra = divmod(rows, tiles) if tiles else (1, 0)
        heights = [low + 1, low] if extra else [low]
        counts = (extra, tiles - extra) if extra else (tiles,)
        block = rows
    else:
        heights = [h for h in _heights(tallest) if h > 1 or tallest == 1 or rows is None]
    tile_count = sum(counts) if counts else block // tallest
    k_blocks = tuple(k_block(k, vectors * lanes * item, tile_count, heights[0]) for k in depths)
    group_count = None if panel_count is None else -(-panel_count // panels)
    # One block of all rows reads A as it lies in memory.
    long_block = _long_block(spec, block, group_count, k_blocks[0], item) if counts is None else 0
    far = tile_count > 2 and (weights is None or weights > L2_BYTES)
    prefetch = max(32, -(-group * lanes * item // tile_count // 32) * 32) if far and panels == 1 else 0
    return Tiling(
        lanes=lanes,
        panels=panels,
        group=group,
        shapes=tuple(shape(h, vectors) if h == 1 or counts else _one_chain(h, vectors) for h in heights),
        counts=counts,
        row_block=block,
        k_blocks=k_blocks,
        long_block=long_block,
        prefetch=prefetch,
        snake=weights is None or weights > L1_BYTES,
        final=_final(spec, lanes * panels, k_blocks[0]) and not long_block,
    )


def _final(spec: GemmSpec, tile_units: int, k_block: int) -> bool:
    """Whether the sums are the result, whole when a tile is done, and lie as the tile holds them: side by side, and no
    panel missing. They need no scratch then. (100 rows of 128 x 512: 113 us instead of 119; the multiply-adds alone
    take 112.)
    """
    if spec.chunks > 1 or spec.more or len(spec.stores) != 1:
        return False
    store = spec.stores[0]
    whole = isinstance(spec.units, int) and spec.units % tile_units == 0
    short = isinstance(spec.k, int) and spec.k <= k_block
    plain = spec.body[store.value].kind == "acc" and store.access.strides[-1] == 1
    return plain and whole and short


def _long_block(spec: GemmSpec, block: int, group_count: int | None, k_block: int, item: int) -> int:
    """The k of one pass over all panels, where a block of A would come from far for every panel, and in short
    pieces, since its rows lie side by side; 0 elsewhere. The piece is copied, and the sums wait in the result's place,
    so there must be nothing else to do with them. 512 rows, 2048 units, 6400 k, in GFLOP/s: in place 86; in pieces of
    256, 512 and 1024 k 91, 99 and 103. With the k side by side, in place is best (104, in pieces 94).
    """
    plain = all(i.kind == "acc" for i in spec.body) and all(
        s.access.dtype == spec.dtype and s.access.strides[-1] == 1 for s in spec.stores
    )
    stays = isinstance(spec.k, int) and spec.k * block * item <= L2_BYTES
    few = group_count is not None and group_count < 4
    if not plain or spec.more or stays or spec.a.strides[-2] != 1 or few:
        return 0
    return max(1, LONG_BYTES // (block * item) // k_block) * k_block


def k_block(k: int | None, bytes_per_k: int, tile_count: int, rows: int) -> int:
    """Even blocks of k: short enough for accuracy, and for the first-level cache when several row tiles share them."""
    serial = K_SERIAL * (4 if rows == 1 else 1)
    limit = serial if tile_count == 1 else max(16, min(serial, K_BLOCK_BYTES // bytes_per_k))
    if k is None or k == 0:
        return limit
    blocks = -(-k // limit)
    even = -(-k // blocks)
    return even if blocks == 1 else -(-even // 4) * 4
