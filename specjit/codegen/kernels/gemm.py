"""GemmSpec -> kernel source: a matrix product over packed panels whose epilogue runs on registers.

Enters: a `GemmSpec`. Leaves: the text of `kernel(frame, ops)`.
Order of work: outer dimensions, blocks of rows, panels (in alternating direction, so that the last ones are found in
cache), segments (the products that are summed), blocks of k, row tiles. The tiles of a block leave their sums in
scratch on the stack; then every (row, vector of units) runs the epilogue. Where there is nothing to do but to store
the sums, tiles store them in place. Invariants: sums over k go in blocks, each started from zero; no row, unit or k
outside the sizes is read or written.
"""

from __future__ import annotations

from specjit.codegen.kernels import writer as w
from specjit.codegen.kernels.body import BodyWriter
from specjit.codegen.kernels.spec import Access, Arg, DTypeName, Extent, GemmSpec, Inst, Segment, WindowSpec
from specjit.codegen.kernels.tiling import Tiling, choose
from specjit.codegen.kernels.writer import Size
from specjit.codegen.vectors.lanes import ITEMSIZE


def render(spec: GemmSpec) -> str:
    """The source of the kernel that computes `spec`."""
    tiling = choose(spec)
    gemm = GemmWriter(spec, tiling)
    gemm.write()
    return w.module_text(describe(spec), dict.fromkeys(classes(spec), tiling.lanes), gemm.globals, gemm.out.lines)


def describe(spec: GemmSpec) -> list[str]:
    """Comment lines that say what is computed."""
    domain = ", ".join(w.describe_extent(e) for e in (*spec.outer, spec.rows, spec.units))
    return [
        f"# Matrix product over (outer..., rows, units) = ({domain}):",
        f"# acc[g] = sum over k of A(row, k) * B(k, g, unit), {spec.chunks} chunk(s), over",
        *(
            f"#   {w.describe_extent(s.k)} k with A: {w.describe_access(s.a)}; B: panels at x{s.b}"
            for s in spec.segments
        ),
        *w.describe_body(spec.body),
        *(f"#   {w.describe_access(s.access)} = v{s.value}" for s in spec.stores),
    ]


def classes(spec: GemmSpec | WindowSpec) -> list[DTypeName]:
    """The dtypes whose registers the kernel uses."""
    return sorted({i.dtype for i in spec.body} | {s.access.dtype for s in spec.stores} | {spec.dtype})


class GemmWriter(BodyWriter):
    """Writes the body of a kernel that computes one product."""

    def __init__(self, spec: GemmSpec, tiling: Tiling, tag: str = ""):
        outer = len(spec.outer)
        self.rows_dim, self.units_dim = outer, outer + 1
        order = [*range(outer), self.units_dim, self.rows_dim]
        super().__init__(spec.body, order, self.units_dim, tiling.lanes, len(order), tag)
        self.spec, self.tiling = spec, tiling
        self.item = ITEMSIZE[spec.dtype]
        self.vector_bytes = tiling.lanes * self.item
        self.row_bytes = spec.chunks * tiling.panels * self.vector_bytes  # of scratch
        self.rows, self.units = Size.of(spec.rows), Size.of(spec.units)
        self.globals = self._tiles()
        self.adding = False  # whether a piece of a long sum is added to what the result's place holds
        self.live = self.cone([s.value for s in spec.stores])

    # -- the tiles

    def chunk_groups(self) -> list[tuple[int, int]]:
        """(first chunk, chunk count) of each pass over the panels."""
        step = self.tiling.group
        return [(g, min(step, self.spec.chunks - g)) for g in range(0, self.spec.chunks, step)]

    def tile_name(self, rows: int, group: int) -> str:
        return f"tile_{rows}" if len(self.chunk_groups()) == 1 else f"tile_{rows}_of_{group}"

    def _tiles(self) -> list[str]:
        t, lines = self.tiling, []
        for group in sorted({count for _, count in self.chunk_groups()}):
            for shape in t.shapes:
                options = f"group={group}, unroll={shape.unroll}, sets={shape.sets}, prefetch={t.prefetch}"
                options += ", final=True" if t.final else ""
                sizes = (
                    f'"{self.spec.dtype}", {t.lanes}, rows={shape.rows}, panels={t.panels}, chunks={self.spec.chunks}'
                )
                lines.append(f"{self.tile_name(shape.rows, group)} = tiles.product({sizes}, {options})")
        return lines

    # -- the kernel

    @property
    def empty(self) -> bool:
        """Whether there is nothing to compute, whatever the operands are."""
        return any(e == 0 for e in (*self.spec.outer, self.spec.rows, self.spec.units)) or not self.spec.stores

    def sizes(self) -> list[Extent]:
        """Every size, stride and offset."""
        spec = self.spec
        found = [*spec.outer, spec.rows, spec.units]
        for s in spec.segments:
            found += [s.k, *s.b_strides]
        return found + [e for a in self._accesses() for e in (*a.strides, a.offset)]

    def bases(self) -> list[int]:
        """The operands that are addresses."""
        return [*(s.b for s in self.spec.segments), *(a.base for a in self._accesses())]

    def _accesses(self) -> list[Access]:
        spec = self.spec
        left = [s.a for s in spec.segments]
        return [*left, *(i.access for i in spec.body if i.access), *(s.access for s in spec.stores)]

    def write(self) -> None:
        spec, out = self.spec, self.out
        if self.empty:
            return
        for line in w.prologue(self.sizes(), self.bases()):
            out.line(line)
        unknown = sorted({f"n{e.index}" for e in (*spec.outer, spec.rows, spec.units) if isinstance(e, Arg)})
        if unknown:
            with out.block("if " + " or ".join(f"{n} < 1" for n in unknown) + ":"):
                out.line("return 0")
        self.begin()
        self._outer(0)

    def begin(self) -> None:
        """What is the same for all outer dimensions."""
        if not self.tiling.final:
            room = self.tiling.scratch_rows + max(s.rows for s in self.tiling.shapes)
            self.out.line(f"c = tiles.scratch({room * self.row_bytes})")
        if self.tiling.counts is None and len(self.tiling.shapes) > 1 and self.tiling.shapes[-1].rows == 1:
            self.out.line(f"alone = 1 if {self.rows} == 1 else 0")  # the tile of one row has chains of its own
        if self.tiling.long_block:
            self.out.line(f"d = tiles.scratch({self._copy_row_bytes() * self.tiling.long_block})")
        self._panel_counts()
        self._turn()
        self.emit_level(0, self.live)

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
        self.k_bytes = self.spec.chunks * self.vector_bytes

    def _panel_bytes(self, segment: Segment) -> str:
        return str(Size.of(segment.k) * self.k_bytes)

    def _turn(self) -> None:
        """Which end to start from. The operand of a loop moves through memory from turn to turn, so its address tells
        even turns from odd.
        """
        if not self.tiling.snake:
            return
        span = (self.rows * self.spec.k * self.item).fixed
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
        for n, segment in enumerate(self.spec.segments):
            at = [(f"i{d}", s) for d, s in enumerate(segment.b_strides)]
            out.line(f"b{n} = " + w.add(f"x{segment.b}", *(w.times(i, Size.of(s) * item) for i, s in at)))
            out.line(f"a{n} = " + w.address(segment.a, [(f"i{d}", segment.a.strides[d]) for d in range(outer)]))
        if self.tiling.counts is not None:
            self.height, self.first_row = str(self.rows), "0"
            self._rows_block()
            return
        with out.block(f"for r in range(0, {self.rows}, {self.tiling.row_block}):"):
            out.line(f"height = min({self.tiling.row_block}, {self.rows} - r)")
            self.height, self.first_row = "height", "r"
            self._rows_block()

    def _rows_block(self) -> None:
        if self.tiling.long_block:
            self._pieces()
        else:
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
            for n, segment in enumerate(self.spec.segments):
                start = f"b{n} + piece * {self.k_bytes}" if self.tiling.long_block else f"b{n}"
                out.line(f"w{n} = {start} + {panel} * {w.parenthesized(self._panel_bytes(segment))}")
            if self.tiling.prefetch:
                step = f"{self.tiling.panels} * {w.parenthesized(self._panel_bytes(self.spec.segments[0]))}"
                out.line(
                    f"following = w0 - {step} if turn else w0 + {step}"
                    if self.tiling.snake
                    else f"following = w0 + {step}"
                )
            if self.tiling.final:
                out.line(f"{self.index(self.units_dim)} = {group} * {self.tiling.panels * self.tiling.lanes}")
            elif self.tiling.panels > 1:
                out.line(f"wide = min({self.tiling.panels}, {self.panel_count} - {panel})")
            for n in range(len(self.spec.segments)):
                self._k_blocks(n)
            if not self.tiling.final:
                self._epilogue(panel)
        if self.tiling.snake:
            out.line("turn = 1 - turn")

    def _k_blocks(self, n: int) -> None:
        """Segment `n` of the sum for one group of panels and one block of rows."""
        out, step, k = self.out, self.tiling.k_blocks[n], Size.of(self.spec.segments[n].k)
        if self.tiling.long_block:
            with out.block(f"for k in range(0, max(depth, 1), {step}):"):
                if self.tiling.prefetch:
                    out.line(f"ahead = w{n} + (k + {step}) * {self.k_bytes}")
                self._row_tiles(n, "k", f"min({step}, depth - k)", "ahead")
            return
        last = n + 1 == len(self.spec.segments)
        following = "following" if last else f"w{n + 1}"
        if k.fixed is not None and k.fixed <= step:
            if n == 0 or k.fixed > 0:
                self._row_tiles(n, "0", str(k.fixed), following)
            return
        top = str(k) if k.fixed is not None or n > 0 else f"max({k}, 1)"
        with out.block(f"for k in range(0, {top}, {step}):"):
            exact = k.fixed is not None and k.fixed % step == 0
            if self.tiling.prefetch:
                ahead = f"w{n} + (k + {step}) * {self.k_bytes}"
                out.line(f"ahead = {ahead} if k + {step} < {k} else {following}")
            self._row_tiles(n, "k", str(step) if exact else f"min({step}, {k} - k)", "ahead")

    def _copy_row_bytes(self) -> int:
        """Scratch for one k of a copied block of A: whole vectors of rows."""
        lanes = self.tiling.lanes
        return -(-self.tiling.row_block // lanes) * lanes * self.item

    def _pieces(self) -> None:
        """One block of rows: all panels for one piece of k after another. The sums wait in the result's place."""
        out, k, step = self.out, Size.of(self.spec.k), self.tiling.long_block
        with out.block(f"for piece in range(0, max({k}, 1), {step}):"):
            out.line(f"depth = min({step}, {k} - piece)")
            self._copy()
            self._block()

    def _copy(self) -> None:
        """A piece of A, whose rows lie side by side, as scratch [k][row]."""
        out, t, a = self.out, self.tiling, self.spec.a
        cls, a_k = w.class_name(self.spec.dtype), str(Size.of(a.strides[-1]) * self.item)
        with out.block("for l in range(depth):"):
            out.line("e = " + w.add("a0", w.product(self.first_row, str(self.item)), w.product("piece + l", a_k)))
            with out.block(f"for i in range(0, {self.height}, {t.lanes}):"):
                out.line(f"m = simd.first({cls}, {self.height} - i)")
                value = f"simd.load_masked({cls}, e + i * {self.item}, m)"
                out.line(f"simd.store({value}, d + l * {self._copy_row_bytes()} + i * {self.item})")

    def _row_tiles(self, n: int, k: str, depth: str, ahead: str) -> None:
        """All row tiles of the block over one block of k of segment `n`."""
        out, t = self.out, self.tiling
        for first, group in self.chunk_groups():
            if t.counts is not None:
                start = 0
                for shape, count in zip(t.shapes, t.counts):
                    stop = start + shape.rows * count
                    with out.block(f"for i in range({start}, {stop}, {shape.rows}):"):
                        self.call(n, shape.rows, str(shape.rows), first, group, k, depth, ahead)
                    start = stop
                continue
            out.line("i = 0")
            for shape, smaller in zip(t.shapes, [*t.shapes[1:], None]):
                left = "i" if smaller is None else w.add("i", "alone" if smaller.rows == 1 else str(smaller.rows))
                with out.block(f"while {left} < {self.height}:"):
                    self.call(n, shape.rows, f"{self.height} - i", first, group, k, depth, ahead)
                    out.line(f"i += {shape.rows}")

    def call(self, n: int, rows: int, valid: str, first: int, group: int, k: str, depth: str, following: str) -> None:
        """One register tile of segment `n`, at row `i` of the block."""
        arguments = self.arguments(n, rows, valid, first, group, k, depth, following)
        self.out.line(f"{self.tile_name(rows, group)}({arguments})")

    def arguments(
        self, n: int, rows: int, valid: str, first: int, group: int, k: str, depth: str, following: str
    ) -> str:
        """Those of a register tile's call."""
        t, segment = self.tiling, self.spec.segments[n]
        a_row, a_k = (str(Size.of(s) * self.item) for s in segment.a.strides[-2:])
        if t.long_block:
            a_k = str(self._copy_row_bytes())
            a = w.add("d", f"i * {a_row}", w.product(k, a_k))
        else:
            a = w.add(f"a{n}", w.product(w.add(self.first_row, "i"), a_row), w.product(k, a_k))
        b = w.add(f"w{n}", w.product(k, str(self.k_bytes)), str(first * self.vector_bytes))
        c, c_row = w.add("c", str(first * self.vector_bytes), f"i * {self.row_bytes}"), str(self.row_bytes)
        wide = "wide" if t.panels > 1 else "1"
        if t.final:
            c, c_row = self._final_place()
            wide = str(t.panels)
        ahead = "0"
        if t.prefetch:
            ahead = w.add(following, f"i // {rows} * {w.parenthesized(depth)} * {t.prefetch}")
        add = k if n == 0 else "1"
        return ", ".join([a, a_row, a_k, valid, b, self._panel_bytes(segment), wide, depth, c, c_row, add, ahead])

    def _final_place(self) -> tuple[str, str]:
        """The address of the result at row `i` of the block and the panels' first unit, and the bytes between rows."""
        access, outer = self.spec.stores[0].access, len(self.spec.outer)
        row = w.parenthesized(w.add(self.first_row, "i"))
        index = [*(f"i{d}" for d in range(outer)), row, self.index(self.units_dim)]
        place = w.address(access, list(zip(index, access.strides, strict=True)))
        return place, str(Size.of(access.strides[self.rows_dim]) * self.item)

    # -- the epilogue

    def accumulator(self, inst: Inst) -> str:
        at = w.add("s", str(inst.operand * self.vector_bytes))
        load = f"simd.load({w.class_name(self.spec.dtype)}, {at})"
        if self.adding:
            place = next(s.access for s in self.spec.stores if self.spec.body[s.value] == inst)
            return f"{load} + {self._load(place)}"
        return load

    def _epilogue(self, panel: str) -> None:
        out, t = self.out, self.tiling
        u, r = self.index(self.units_dim), self.index(self.rows_dim)
        if t.panels == 1:
            out.line(f"{u} = {panel} * {t.lanes}")
            self.epilogue_of(u, r, "c")
            return
        with out.block("for q in range(wide):"):
            out.line(f"{u} = ({panel} + q) * {t.lanes}")
            self.epilogue_of(u, r, f"c + q * {self.spec.chunks * self.vector_bytes}")

    def epilogue_of(self, u: str, r: str, c: str) -> None:
        """The epilogue of one vector of units."""
        out = self.out
        fixed = self.units.fixed
        if fixed is None or fixed % self.tiling.lanes:
            out.line(f"m = simd.first({w.class_name(self.spec.dtype)}, {self.units} - {u})")
            self.mask = "m"
        depth = len(self.spec.outer)
        self.emit_level(depth + 1, self.live)
        if self.tiling.long_block:
            for self.adding, head in ((False, "if piece == 0:"), (True, "else:")):
                with out.block(head):
                    self._each_row(r, c)
        else:
            self._each_row(r, c)
        self.mask = None

    def _each_row(self, r: str, c: str) -> None:
        """The epilogue of one vector of units, for all rows of the block."""
        out, depth = self.out, len(self.spec.outer)
        with out.block(f"for t in range({self.height}):"):
            out.line(f"{r} = {w.add(self.first_row, 't')}")
            out.line(f"s = {c} + t * {self.row_bytes}")
            self.emit_level(depth + 2, self.live)
            self.store_all(self.spec.stores)
