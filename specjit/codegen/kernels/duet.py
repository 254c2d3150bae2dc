"""DuetSpec -> kernel source: the product of one row, with a share of another product in its loops.

Enters: a `DuetSpec`. Leaves: the text of `kernel(frame, ops)`.
One row waits for its weights, which come from the second-level cache at the pace of half the multiply-adds; many rows
that share their weights wait for the multiply-adds. So every register tile of the row does, instruction by instruction,
a piece of a tile of the share. A tile of the share is one panel wide and `block` rows high; it is cut into pieces along
k, as many as there are tiles of the row for it. Pieces that find no company are done at the end.
Invariant: every sum of either product runs as in a kernel of its own: the same k in the same chains and blocks.
"""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass, replace

from specjit.codegen.kernels import writer as w
from specjit.codegen.kernels.gemm import GemmWriter, classes, describe
from specjit.codegen.kernels.spec import DuetSpec, Extent, GemmSpec
from specjit.codegen.kernels.tiling import L1_BYTES, Tiling, accumulators, choose, weight_bytes
from specjit.codegen.kernels.writer import Size, Writer
from specjit.codegen.vectors.lanes import register_bytes

BLOCK = 8  # rows: with one vector each, as many sums as fit beside those of one row
LEAST_FIRST = 2  # rows: one alone would be summed in other chains
LEAST_BYTES = 64 * 1024  # of weights: of fewer, a share is not worth its pieces
MOST_PACE = 8  # k of the share in one turn of the common loop, above which its code only grows


def refusal(step: GemmSpec, rows: GemmSpec) -> str:
    """Why the two products are not one kernel, or better not, if so.

    Measured, 100 turns of LSTM layers, time apart / time together, by inputs x units:

        64x64  96x96  128x128  160x160  256x256  512x512     16x128  32x128  64x128  32x64  64x256  512x256
         1.01   1.08     1.10     1.15     1.11     1.03       0.98    1.01    1.04   0.97    0.99     1.06

    and GRU layers: 64x96 1.05, 128x128 1.11, 256x256 1.13.
    """
    if step.rows != 1 or step.outer:
        return "the loop's own has more than one row"
    if rows.outer or rows.more or rows.chunks > 1 or step.dtype != rows.dtype:
        return "it is no single product of the dtype of the loop's"
    weights, others = weight_bytes(step), weight_bytes(rows)
    if weights is None or others is None:
        return "sizes of weights are known only at run time"
    if isinstance(rows.rows, int) and rows.rows < LEAST_FIRST + BLOCK:
        return "its rows are few"
    one, many = choose(step), choose(rows)
    if many.long_block or any(s.sets > 1 for s in many.shapes if s.rows > 1):
        return "its sums run in another order"
    if register_bytes() < 64 or one.lanes != many.lanes or one.shapes[0].sums + BLOCK > accumulators():
        return "the registers do not hold both sums"
    if weights <= L1_BYTES:
        return "the loop's own finds its weights in the first-level cache"
    if others < max(LEAST_BYTES, weights // 2):
        return "it has too little work to spread"
    return ""


def render(spec: DuetSpec) -> str:
    """The source of the kernel that computes `spec`."""
    duet = _Duet(spec)
    duet.write()
    header = [
        *describe(spec.step),
        f"# Beside it, in turn {w.describe_extent(spec.turn)}, a share of the next {spec.block} rows of",
        *describe(spec.rows),
    ]
    used = dict.fromkeys(sorted({*classes(spec.step), *classes(spec.rows)}), duet.tiling.lanes)
    return w.module_text(header, used, duet.globals, duet.out.lines)


@dataclass(frozen=True)
class Cut:
    """How a tile of the share is cut into pieces."""

    parts: int
    depth: int  # k of each
    resumed: bool  # whether parts continue one chain of sums, or each is a block that is added
    pace: int


def cut(spec: DuetSpec) -> Cut:
    """Pieces that take as long as the weights of a tile of the row, which come at half the pace of multiply-adds, or
    as many as there are tiles of the row for them. A sum that goes in blocks is cut between these.
    """
    step, rows = choose(spec.step), choose(spec.rows)
    units, k = spec.rows.units, spec.rows.k
    assert isinstance(units, int) and isinstance(k, int)
    tile, beside, block = step.shapes[0], max(step.k_blocks), rows.k_blocks[0]
    tiles = -(-units // (rows.lanes * spec.block))
    free = max(1, beside * tile.vectors // spec.block)
    parts = max(1, min(calls(spec.step, step) // tiles, -(-k // free)))
    depth = min(block, -(-k // parts)) if k <= block else block
    pace = -(-depth * tile.unroll // beside)
    return Cut(max(1, -(-k // depth)), depth, k <= block, min(max(pace, 1), MOST_PACE))


def calls(spec: GemmSpec, tiling: Tiling) -> int:
    """Register tiles in a product of one row."""
    assert isinstance(spec.units, int)
    groups = -(-spec.units // (tiling.lanes * tiling.panels)) * -(-spec.chunks // tiling.group)
    return groups * sum(-(-s.k // block) for s, block in zip(spec.segments, tiling.k_blocks) if isinstance(s.k, int))


class _Duet(GemmWriter):
    def __init__(self, spec: DuetSpec):
        super().__init__(spec.step, choose(spec.step))
        self.share = _Share(spec, self.out)
        shape, t, cut = self.tiling.shapes[0], self.tiling, self.share.cut
        for group in sorted({count for _, count in self.chunk_groups()}):
            sizes = f'"{spec.step.dtype}", {t.lanes}, panels={t.panels}, chunks={spec.step.chunks}, group={group}'
            options = f"unroll={shape.unroll}, sets={shape.sets}, rows={spec.block}, pace={cut.pace}"
            self.globals.append(f"{self._duet_name(group)} = tiles.duet({sizes}, {options})")
        self.globals.append(self.share.tile)

    def _duet_name(self, group: int) -> str:
        return self.tile_name(1, group).replace("tile", "duet")

    def sizes(self) -> list[Extent]:
        return [*super().sizes(), *self.share.sizes()]

    def bases(self) -> list[int]:
        return [*super().bases(), *self.share.bases()]

    def begin(self) -> None:
        super().begin()
        self.share.begin()

    def call(self, n: int, rows: int, valid: str, first: int, group: int, k: str, depth: str, following: str) -> None:
        arguments = self.arguments(n, rows, valid, first, group, k, depth, following)
        with self.out.block("if piece < pieces:"):
            self.share.piece(f"{self._duet_name(group)}({arguments}, ")
        with self.out.block("else:"):
            self.out.line(f"{self.tile_name(rows, group)}({arguments})")

    def write(self) -> None:
        super().write()
        with self.out.block("while piece < pieces:"):
            self.share.piece("share(")


class _Share(GemmWriter):
    """The other product: what a turn does of it, piece by piece."""

    def __init__(self, spec: DuetSpec, out: Writer):
        super().__init__(spec.rows, replace(choose(spec.rows), panels=1, long_block=0, final=False), "s")
        self.out, self.cut = out, cut(spec)
        self.turn, self.start, self.block = spec.turn, spec.first, spec.block
        self.row_bytes = self.vector_bytes
        self.first_row, self.height = "first", "height"
        self.tile = (
            f'share = tiles.product("{spec.rows.dtype}", {self.tiling.lanes}, rows={self.block}, panels=1, chunks=1, '
            "resumed=True)"
        )

    def sizes(self) -> list[Extent]:
        return [*super().sizes(), self.turn, self.start]

    def begin(self) -> None:
        """Which rows and panels are this turn's, and how many pieces."""
        out, turn, start, block = self.out, Size.of(self.turn), Size.of(self.start), self.block
        out.line(f"d = tiles.scratch({block * self.row_bytes})")
        self._panel_counts()
        out.line(f"late = {turn} - {start}")
        with out.block("if late < 0:"):
            out.line(f"first, among, place = {start}, {start}, {turn}")
        with out.block("else:"):
            out.line(f"first, among, place = {start} + (late // {block} + 1) * {block}, {block}, late % {block}")
        out.line(f"height = min({block}, {self.rows} - first)")
        out.line(f"panel = place * {self.panel_count} // among")
        out.line(f"pieces = (place + 1) * {self.panel_count} // among - panel if height > 0 else 0")
        if self.cut.parts > 1:
            out.line(f"pieces *= {self.cut.parts}")
        out.line(f"sa = {w.address(self.spec.a, [('first', self.spec.a.strides[0])])}")
        out.line("piece = 0")

    def piece(self, head: str) -> None:
        """One piece: the call that starts with `head`, and behind the last piece of a tile its epilogue."""
        out, cut, k = self.out, self.cut, self.spec.k
        a_row, a_k = (str(Size.of(s) * self.item) for s in self.spec.a.strides)
        at, depth = "0", str(k)
        if cut.parts > 1:
            out.line(f"l = piece % {cut.parts} * {cut.depth}")
            at, depth = "l", str(cut.depth) if k == cut.parts * cut.depth else f"min({cut.depth}, {k} - l)"
        out.line("q = panel + piece" + (f" // {cut.parts}" if cut.parts > 1 else ""))
        a = w.add("sa", w.product(at, a_k))
        b = w.add(
            f"x{self.spec.b}", f"q * {self._panel_bytes(self.spec.segments[0])}", w.product(at, str(self.k_bytes))
        )
        add, resume = ("0", at) if cut.resumed else (at, "0")
        arguments = [a, a_row, a_k, "height", b, "0", "1", depth, "d", str(self.row_bytes), add, "0", resume]
        out.line(f"{head}{', '.join(arguments)})")
        with out.block(f"if l == {(cut.parts - 1) * cut.depth}:") if cut.parts > 1 else nullcontext():
            self.emit_level(0, self.live)
            unit = self.index(self.units_dim)
            out.line(f"{unit} = q * {self.tiling.lanes}")
            self.epilogue_of(unit, self.index(self.rows_dim), "d")
        out.line("piece += 1")
