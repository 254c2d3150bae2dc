"""WindowSpec -> kernel source: a matrix product whose right operand is read in windows of what lies in memory, as a
convolution reads its input, without ever being a matrix.

Enters: a `WindowSpec`. Leaves: the text of `kernel(frame, ops)`.
Where the k-th element of a window is, and where the vectors of units begin, does not depend on one another: two tables
of byte offsets on the stack say both. A vector of units is one run's, or part of one; vectors that end with their run
are masked. Order of work: outer dimensions, blocks of rows, groups of vectors, blocks of k, row tiles; then the
epilogue, as in `kernels.gemm`.
Invariants: sums over k go in blocks, each started from zero, in an order that the sizes decide; nothing outside them is
read or written.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from specjit.codegen.kernels import writer as w
from specjit.codegen.kernels.body import BodyWriter
from specjit.codegen.kernels.gemm import classes
from specjit.codegen.kernels.spec import Arg, DTypeName, Inst, WindowSpec
from specjit.codegen.kernels.tiling import ROW_BLOCK_BYTES, Shape, accumulators, k_block, panels_of, shape
from specjit.codegen.kernels.writer import Size
from specjit.codegen.vectors.lanes import ITEMSIZE, lanes
from specjit.limits import WINDOW_ENTRIES

LEAST_USE = 0.7  # of the lanes: with fewer in use, packing the windows is faster
NARROW = 1.15  # the price of a lane in vectors of half a register


@dataclass(frozen=True)
class Cut:
    """How the product is cut: `vectors` of `lanes` units in a tile, of which each run has `per_run` and there are
    `total`; register tiles, row blocks of `row_block` rows, and blocks of `k_block`."""

    lanes: int
    per_run: int
    total: int
    vectors: int
    shapes: tuple[Shape, ...]
    counts: tuple[int, ...]  # tiles of each shape in a block of rows
    row_block: int
    k_block: int


def lanes_for(dtype: DTypeName, run: int) -> int:
    """Lanes of a vector: those of a register, or half of them where they leave fewer without work."""
    full = lanes(dtype)
    half = max(full // 2, 1)
    return half if -(-run // half) * half * NARROW < -(-run // full) * full else full


def use(dtype: DTypeName, run: int) -> float:
    """The part of the lanes that has work."""
    each = lanes_for(dtype, run)
    return run / (-(-run // each) * each)


def refusal(dtype: DTypeName, depths: tuple[int, ...], lines: tuple[int, ...], run: int) -> str:
    """Why windows of these sizes are better packed, if so."""
    if run < 2 or use(dtype, run) < LEAST_USE:
        return "their runs are short"
    total = math.prod(lines) * -(-run // lanes_for(dtype, run))
    return "they are too many" if max(math.prod(depths), total) > WINDOW_ENTRIES else ""


def choose(spec: WindowSpec) -> Cut:
    item, each = ITEMSIZE[spec.dtype], lanes_for(spec.dtype, spec.run)
    per_run = -(-spec.run // each)
    total = math.prod(spec.lines) * per_run
    vectors = panels_of(1, total)
    tallest = max(1, accumulators() // vectors)
    block = max(tallest, ROW_BLOCK_BYTES // (vectors * each * item) // tallest * tallest)
    if spec.rows <= block:
        tiles = -(-spec.rows // tallest)
        low, extra = divmod(spec.rows, tiles)
        heights, counts = ([low + 1, low], (extra, tiles - extra)) if extra else ([low], (tiles,))
        block = spec.rows
    else:
        even = -(-spec.rows // -(-spec.rows // block))
        heights, counts = [tallest], (-(-even // tallest),)
        block = counts[0] * tallest
    step = k_block(spec.k, vectors * each * item, sum(counts), heights[0])
    return Cut(each, per_run, total, vectors, tuple(shape(h, vectors) for h in heights), counts, block, step)


def render(spec: WindowSpec) -> str:
    """The source of the kernel that computes `spec`."""
    writer = _WindowWriter(spec, choose(spec))
    writer.write()
    used = dict.fromkeys(classes(spec), writer.cut.lanes)
    return w.module_text(_describe(spec), used, writer.globals, writer.out.lines)


def _describe(spec: WindowSpec) -> list[str]:
    """Comment lines that say what is computed."""
    domain = ", ".join(w.describe_extent(e) for e in (*spec.outer, spec.rows, *spec.lines, spec.run))
    return [
        f"# Product with windows over (outer..., rows, lines..., run) = ({domain}):",
        f"# acc = sum over ({', '.join(map(str, spec.depths))}) of A * B with A: {w.describe_access(spec.a)};",
        f"# B: {w.describe_access(spec.b)}",
        *w.describe_body(spec.body),
        *(f"#   {w.describe_access(s.access)} = v{s.value}" for s in spec.stores),
    ]


class _WindowWriter(BodyWriter):
    def __init__(self, spec: WindowSpec, cut: Cut):
        outer = len(spec.outer)
        self.rows_dim, self.units_dim = outer, outer + 1
        order = [*range(outer), self.units_dim, self.rows_dim]
        super().__init__(spec.body, order, self.units_dim, cut.lanes, len(order))
        self.spec, self.cut = spec, cut
        self.item = ITEMSIZE[spec.dtype]
        self.vector_bytes = cut.lanes * self.item
        self.row_bytes = cut.vectors * self.vector_bytes
        self.masked = spec.run % cut.lanes != 0
        self.live = self.cone([s.value for s in spec.stores])
        sizes = f'"{spec.dtype}", {cut.lanes}'
        self.globals = [
            f"tile_{s.rows} = tiles.windows({sizes}, rows={s.rows}, vectors={cut.vectors}, unroll={s.unroll}, "
            f"sets={s.sets}, masked={self.masked})"
            for s in cut.shapes
        ]

    def write(self) -> None:
        spec, out, cut = self.spec, self.out, self.cut
        accesses = [spec.a, spec.b, *(i.access for i in spec.body if i.access), *(s.access for s in spec.stores)]
        extents = [*spec.outer, *(e for a in accesses for e in (*a.strides, a.offset))]
        for line in w.prologue(extents, [a.base for a in accesses]):
            out.line(line)
        unknown = sorted({f"n{e.index}" for e in spec.outer if isinstance(e, Arg)})
        if unknown:
            with out.block("if " + " or ".join(f"{n} < 1" for n in unknown) + ":"):
                out.line("return 0")
        room = cut.row_block + max(s.rows for s in cut.shapes)
        out.line(f"c = tiles.scratch({room * self.row_bytes})")
        self._tables()
        self.emit_level(0, self.live)
        self._outer(0)

    def _tables(self) -> None:
        """Byte offsets of B's elements from the outer point's first: of every k, of every vector of units."""
        spec, cut, outer = self.spec, self.cut, len(self.spec.outer)
        strides = spec.b.strides[outer:]
        depth = len(spec.depths)
        self._table("depth", list(zip(spec.depths, strides[:depth])))
        self._table("start", [*zip(spec.lines, strides[depth:-1]), (cut.per_run, cut.lanes)])

    def _table(self, name: str, dims: list[tuple[int, int | Arg]]) -> None:
        out = self.out
        entries = math.prod(n for n, _ in dims)
        out.line(f"{name}s = tiles.scratch({entries * 8})")
        out.line(f"at = {name}s")
        depth = out.depth
        for d, (count, _) in enumerate(dims):
            out.line(f"for j{d} in range({count}):")
            out.depth += 1
        offset = w.add(*(w.times(f"j{d}", Size.of(stride) * self.item) for d, (_, stride) in enumerate(dims)))
        out.line(f"tiles.put({offset}, at)")
        out.line("at += 8")
        out.depth = depth

    def _outer(self, d: int) -> None:
        spec, out = self.spec, self.out
        outer = len(spec.outer)
        if d < outer:
            with out.block(f"for i{d} in range({Size.of(spec.outer[d])}):"):
                self.emit_level(d + 1, self.live)
                self._outer(d + 1)
            return
        for name, access in (("a", spec.a), ("b", spec.b)):
            out.line(f"{name} = " + w.address(access, [(f"i{e}", access.strides[e]) for e in range(outer)]))
        with out.block(f"for r in range(0, {spec.rows}, {self.cut.row_block}):"):
            out.line(f"height = min({self.cut.row_block}, {spec.rows} - r)")
            self._block()

    def _block(self) -> None:
        """One block of rows over all vectors of units."""
        out, cut, spec = self.out, self.cut, self.spec
        with out.block(f"for g in range(0, {cut.total}, {cut.vectors}):"):
            out.line(f"wide = min({cut.vectors}, {cut.total} - g)")
            for j in range(cut.vectors):
                out.line(f"u{j} = " + (f"g + min({j}, wide - 1)" if j else "g"))
                out.line(f"b{j} = b + tiles.number(starts + u{j} * 8)")
                if self.masked:
                    out.line(f"m{j} = {self._left(f'u{j}')}")
            k = str(spec.k)
            if spec.k > cut.k_block:
                k = f"min({cut.k_block}, {spec.k} - k)" if spec.k % cut.k_block else str(cut.k_block)
                with out.block(f"for k in range(0, {spec.k}, {cut.k_block}):"):
                    self._tiles("k", k)
            else:
                self._tiles("0", k)
            self._epilogue()

    def _left(self, vector: str) -> str:
        """How many units of its run are left for a vector."""
        within = f"{vector} % {self.cut.per_run} * {self.cut.lanes}" if self.cut.per_run > 1 else "0"
        return f"{self.spec.run} - {within}" if within != "0" else str(self.spec.run)

    def _tiles(self, k: str, depth: str) -> None:
        """All row tiles over one block of k."""
        out, cut, spec = self.out, self.cut, self.spec
        a_row, a_k = (str(Size.of(s) * self.item) for s in spec.a.strides[-2:])
        places = [f"b{j}" for j in range(cut.vectors)]
        places += [f"m{j}" for j in range(cut.vectors)] if self.masked else []
        start = 0
        for tile, count in zip(cut.shapes, cut.counts):
            stop = start + tile.rows * count
            with out.block(f"for i in range({start}, min({stop}, height), {tile.rows}):"):
                a = w.add("a", w.product("r + i", a_row), w.product(k, a_k))
                table = w.add("depths", w.product(k, "8"))
                c = f"c + i * {self.row_bytes}"
                arguments = [a, a_row, a_k, "height - i", table, depth, c, str(self.row_bytes), k, *places]
                out.line(f"tile_{tile.rows}({', '.join(arguments)})")
            start = stop

    def accumulator(self, inst: Inst) -> str:
        return f"simd.load({w.class_name(self.spec.dtype)}, s)"

    def _epilogue(self) -> None:
        """Every vector's units, for all rows of the block."""
        out, cut = self.out, self.cut
        outer = len(self.spec.outer)
        unit, row = self.index(self.units_dim), self.index(self.rows_dim)
        with out.block("for q in range(wide):"):
            out.line("u = g + q")
            if cut.per_run > 1:
                out.line(f"{unit} = u // {cut.per_run} * {self.spec.run} + u % {cut.per_run} * {cut.lanes}")
            else:
                out.line(f"{unit} = u * {self.spec.run}")
            if self.masked:
                out.line(f"m = simd.first({w.class_name(self.spec.dtype)}, {self._left('u')})")
                self.mask = "m"
            self.emit_level(outer + 1, self.live)
            with out.block("for t in range(height):"):
                out.line(f"{row} = r + t")
                out.line(f"s = c + t * {self.row_bytes} + q * {self.vector_bytes}")
                self.emit_level(outer + 2, self.live)
                self.store_all(self.spec.stores)
            self.mask = None
