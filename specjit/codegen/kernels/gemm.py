"""GemmSpec -> kernel source: a matrix product over packed panels whose epilogue runs on registers.

Enters: a `GemmSpec`. Leaves: the text of `kernel(frame, ops)`.
Order of work: outer dimensions, blocks of rows, panels (in alternating direction, so that the last ones are found in
cache), blocks of k, row tiles. The tiles of a block leave their sums in scratch on the stack; then every (row, vector
of units) runs the epilogue. Invariants: sums over k go in blocks, each started from zero; no row, unit or k outside
the sizes is read or written.
"""

from __future__ import annotations

from specjit.codegen.kernels import writer as w
from specjit.codegen.kernels.body import BodyWriter
from specjit.codegen.kernels.spec import Arg, GemmSpec, Inst
from specjit.codegen.kernels.tiling import Tiling, choose
from specjit.codegen.kernels.writer import Size
from specjit.codegen.lanes import ITEMSIZE


def render(spec: GemmSpec) -> str:
    """The source of the kernel that computes `spec`."""
    tiling = choose(spec)
    domain = ", ".join(w.describe_extent(e) for e in (*spec.outer, spec.rows, spec.units))
    header = [
        f"# Matrix product over (outer..., rows, units) = ({domain}):",
        f"# acc[g] = sum over {w.describe_extent(spec.k)} k of A(row, k) * B(k, g, unit), {spec.chunks} chunk(s).",
        f"# A: {w.describe_access(spec.a)}; B: panels at x{spec.b}.",
        *w.describe_body(spec.body),
        *(f"#   {w.describe_access(s.access)} = v{s.value}" for s in spec.stores),
    ]
    gemm = _Gemm(spec, tiling)
    gemm.write()
    classes = {i.dtype for i in spec.body} | {s.access.dtype for s in spec.stores} | {spec.dtype}
    return w.module_text(header, dict.fromkeys(sorted(classes), tiling.lanes), gemm.globals, gemm.out.lines)


class _Gemm(BodyWriter):
    def __init__(self, spec: GemmSpec, tiling: Tiling):
        outer = len(spec.outer)
        self.rows_dim, self.units_dim = outer, outer + 1
        order = [*range(outer), self.units_dim, self.rows_dim]
        super().__init__(spec.body, order, self.units_dim, tiling.lanes, len(order))
        self.spec, self.tiling = spec, tiling
        self.item = ITEMSIZE[spec.dtype]
        self.vector_bytes = tiling.lanes * self.item
        self.row_bytes = spec.chunks * tiling.panels * self.vector_bytes  # of scratch
        self.rows, self.units, self.k = Size.of(spec.rows), Size.of(spec.units), Size.of(spec.k)
        self.globals = self._tiles()
        self.live = self.cone([s.value for s in spec.stores])

    # -- the tiles

    def _groups(self) -> list[tuple[int, int]]:
        """(first chunk, chunk count) of each pass over the panels."""
        step = self.tiling.group
        return [(g, min(step, self.spec.chunks - g)) for g in range(0, self.spec.chunks, step)]

    def _tile_name(self, rows: int, group: int) -> str:
        return f"tile_{rows}" if len(self._groups()) == 1 else f"tile_{rows}_of_{group}"

    def _tiles(self) -> list[str]:
        t, lines = self.tiling, []
        for group in sorted({count for _, count in self._groups()}):
            for shape in t.shapes:
                options = f"group={group}, unroll={shape.unroll}, sets={shape.sets}, prefetch={t.prefetch}"
                sizes = (
                    f'"{self.spec.dtype}", {t.lanes}, rows={shape.rows}, panels={t.panels}, chunks={self.spec.chunks}'
                )
                lines.append(f"{self._tile_name(shape.rows, group)} = tiles.product({sizes}, {options})")
        return lines

    # -- the kernel

    def write(self) -> None:
        spec, out = self.spec, self.out
        extents = [*spec.outer, spec.rows, spec.units, spec.k, *spec.b_strides]
        if any(e == 0 for e in (*spec.outer, spec.rows, spec.units)) or not spec.stores:
            return
        accesses = [spec.a, *(i.access for i in spec.body if i.access), *(s.access for s in spec.stores)]
        extents += [e for a in accesses for e in (*a.strides, a.offset)]
        for line in w.prologue(extents, [spec.b, *(a.base for a in accesses)]):
            out.line(line)
        unknown = sorted({f"n{e.index}" for e in (*spec.outer, spec.rows, spec.units) if isinstance(e, Arg)})
        if unknown:
            with out.block("if " + " or ".join(f"{n} < 1" for n in unknown) + ":"):
                out.line("return 0")
        room = self.tiling.scratch_rows + max(s.rows for s in self.tiling.shapes)
        out.line(f"c = tiles.scratch({room * self.row_bytes})")
        self._panel_counts()
        self._turn()
        self.emit_level(0, self.live)
        self._outer(0)

    def _panel_counts(self) -> None:
        lanes, panels = self.tiling.lanes, self.tiling.panels
        units = self.units.fixed
        if units is None:
            self.out.line(f"panels = ({self.units} + {lanes - 1}) // {lanes}")
            self.panel_count = "panels"
        else:
            self.panel_count = str(-(-units // lanes))
        if panels == 1:
            self.group_count = self.panel_count
        elif units is None:
            self.out.line(f"groups = (panels + {panels - 1}) // {panels}")
            self.group_count = "groups"
        else:
            self.group_count = str(-(-int(self.panel_count) // panels))
        self.k_bytes = spec_bytes = self.spec.chunks * self.vector_bytes
        self.panel_bytes = str(self.k * spec_bytes)

    def _turn(self) -> None:
        """Which end to start from. The operand of a loop moves through memory from turn to turn, so its address tells
        even turns from odd.
        """
        if not self.tiling.snake:
            return
        span = (self.rows * self.k * self.item).fixed
        start = f"(x{self.spec.a.base} // {span}) & 1" if span else "0"
        self.out.line(f"turn = {start}")

    def _outer(self, d: int) -> None:
        if d < len(self.spec.outer):
            with self.out.block(f"for i{d} in range({Size.of(self.spec.outer[d])}):"):
                self.emit_level(d + 1, self.live)
                self._outer(d + 1)
            return
        out, item = self.out, self.item
        outer = len(self.spec.outer)
        at = [(f"i{d}", s) for d, s in enumerate(self.spec.b_strides)]
        out.line("b = " + w.add(f"x{self.spec.b}", *(w.times(i, Size.of(s) * item) for i, s in at)))
        out.line("a = " + w.address(self.spec.a, [(f"i{d}", self.spec.a.strides[d]) for d in range(outer)]))
        if self.tiling.counts is not None:
            self.height, self.first_row = str(self.rows), "0"
            self._block()
            return
        with out.block(f"for r in range(0, {self.rows}, {self.tiling.row_block}):"):
            out.line(f"height = min({self.tiling.row_block}, {self.rows} - r)")
            self.height, self.first_row = "height", "r"
            self._block()

    def _block(self) -> None:
        """One block of rows over all panels."""
        out = self.out
        with out.block(f"for g in range({self.group_count}):"):
            group = "g"
            if self.tiling.snake:
                out.line(f"p = {self.group_count} - 1 - g if turn else g")
                group = "p"
            panel = group if self.tiling.panels == 1 else f"{group} * {self.tiling.panels}"
            out.line(f"w = b + {panel} * {w.parenthesized(self.panel_bytes)}")
            if self.tiling.panels > 1:
                out.line(f"wide = min({self.tiling.panels}, {self.panel_count} - {panel})")
            self._k_blocks()
            self._epilogue(panel)
        if self.tiling.snake:
            out.line("turn = 1 - turn")

    def _k_blocks(self) -> None:
        out, step = self.out, self.tiling.k_block
        fixed = self.k.fixed
        if fixed is not None and fixed <= step:
            self._row_tiles("0", str(fixed))
            return
        top = str(fixed) if fixed is not None else f"max({self.k}, 1)"
        with out.block(f"for k in range(0, {top}, {step}):"):
            exact = fixed is not None and fixed % step == 0
            self._row_tiles("k", str(step) if exact else f"min({step}, {self.k} - k)")

    def _row_tiles(self, k: str, depth: str) -> None:
        """All row tiles of the block over one block of k."""
        out, t = self.out, self.tiling
        for first, group in self._groups():
            if t.counts is not None:
                start = 0
                for shape, count in zip(t.shapes, t.counts):
                    stop = start + shape.rows * count
                    with out.block(f"for i in range({start}, {stop}, {shape.rows}):"):
                        self._call(shape.rows, str(shape.rows), first, group, k, depth)
                    start = stop
                continue
            out.line("i = 0")
            for shape, smaller in zip(t.shapes, [*t.shapes[1:], None]):
                left = f"i + {smaller.rows}" if smaller else "i"
                with out.block(f"while {left} < {self.height}:"):
                    self._call(shape.rows, f"{self.height} - i", first, group, k, depth)
                    out.line(f"i += {shape.rows}")

    def _call(self, rows: int, valid: str, first: int, group: int, k: str, depth: str) -> None:
        """One register tile, at row `i` of the block."""
        t, spec = self.tiling, self.spec
        a_row, a_k = (str(Size.of(s) * self.item) for s in spec.a.strides[-2:])
        a = w.add("a", w.product(w.add(self.first_row, "i"), a_row), w.product(k, a_k))
        b = w.add("w", w.product(k, str(self.k_bytes)), str(first * self.vector_bytes))
        c = w.add("c", str(first * self.vector_bytes), f"i * {self.row_bytes}")
        wide = "wide" if t.panels > 1 else "1"
        ahead = "0"
        if t.prefetch:
            next_block = w.product(w.add(k, depth), str(self.k_bytes))
            ahead = w.add("w", next_block, f"i // {rows} * {w.parenthesized(depth)} * {t.prefetch}")
        arguments = [a, a_row, a_k, valid, b, self.panel_bytes, wide, depth, c, k, ahead]
        self.out.line(f"{self._tile_name(rows, group)}({', '.join(arguments)})")

    # -- the epilogue

    def accumulator(self, inst: Inst) -> str:
        at = w.add("s", str(inst.operand * self.vector_bytes))
        return f"simd.load({w.class_name(self.spec.dtype)}, {at})"

    def _epilogue(self, panel: str) -> None:
        out, t = self.out, self.tiling
        u, r = f"i{self.units_dim}", f"i{self.rows_dim}"
        if t.panels == 1:
            out.line(f"{u} = {panel} * {t.lanes}")
            self._vectors(u, r, "c")
            return
        with out.block("for q in range(wide):"):
            out.line(f"{u} = ({panel} + q) * {t.lanes}")
            self._vectors(u, r, f"c + q * {self.spec.chunks * self.vector_bytes}")

    def _vectors(self, u: str, r: str, c: str) -> None:
        """The epilogue of one vector of units, for all rows of the block."""
        out = self.out
        fixed = self.units.fixed
        if fixed is None or fixed % self.tiling.lanes:
            out.line(f"m = simd.first({w.class_name(self.spec.dtype)}, {self.units} - {u})")
            self.mask = "m"
        depth = len(self.spec.outer)
        self.emit_level(depth + 1, self.live)
        with out.block(f"for t in range({self.height}):"):
            out.line(f"{r} = {w.add(self.first_row, 't')}")
            out.line(f"s = {c} + t * {self.row_bytes}")
            self.emit_level(depth + 2, self.live)
            self.store_all(self.spec.stores)
        self.mask = None
