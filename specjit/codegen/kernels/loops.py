"""LoopSpec -> kernel source: fused pointwise nests and rowwise reductions on explicit vectors.

Enters: a `LoopSpec`. Leaves: the text of `kernel(frame, ops)`.
Invariants: values needed after a reduction are computed again, so nothing but the stores touches memory; within a
point all loads come before the stores; lanes past an extent are neither read nor written; sums run over a fixed tree
that the extents and strides decide.

A reduced dimension in the lanes gives partial results per lane, folded at the end of the row ("across"); when an
outer dimension is in the lanes, each lane reduces its own row ("along"). Sums go in blocks; the roundings lost
between blocks are kept beside the sum (TwoSum), so that the error stays that of one block however long the row.
"""

from __future__ import annotations

from collections.abc import Callable

from specjit.codegen.kernels import writer as w
from specjit.codegen.kernels.body import BodyWriter
from specjit.codegen.kernels.nest import Nest, plan
from specjit.codegen.kernels.spec import Inst, LoopSpec, Store
from specjit.codegen.vectors.lanes import FLOATS

BLOCK = 64  # serial additions per lane in one block of a sum
KEEP_BYTES = 16 * 1024  # of costly values kept between the sweeps of a row
IDENTITY = {"sum": 0, "prod": 1, "any": False, "all": True}
LOWEST = {"i64": -(2**63), "i32": -(2**31), "i16": -(2**15), "i8": -128, "u8": 0, "bool": False}
HIGHEST = {"i64": 2**63 - 1, "i32": 2**31 - 1, "i16": 2**15 - 1, "i8": 127, "u8": 255, "bool": True}
LAST = 2**63 - 1  # an index behind every element


def render(spec: LoopSpec) -> str:
    """The source of the kernel that computes `spec`."""
    nest = plan(spec)
    header = [
        "# Fused loops over ("
        + ", ".join(w.describe_extent(e) for e in spec.domain)
        + ")"
        + (f", the last {spec.reduced} reduced." if spec.reduced else "."),
        *w.describe_body(spec.body),
        *(f"#   {w.describe_access(s.access)} = v{s.value}" for s in spec.stores),
    ]
    loops = _Loops(nest)
    loops.write()
    return w.module_text(header, loops.classes, [], loops.out.lines)


class _Loops(BodyWriter):
    def __init__(self, nest: Nest):
        super().__init__(nest.body, nest.order, nest.vector, nest.lanes, len(nest.outer))
        self.nest = nest
        self.across = self.vector is not None and nest.dims[self.vector].reduced
        used = {i.dtype for i in self.body} | {s.access.dtype for s in nest.stores}
        if any(i.text.startswith("arg") for i in self.body if i.kind == "reduce"):
            used.add("i64")
        self.classes = dict.fromkeys(sorted(used), nest.lanes)

    # -- the kernel

    def write(self) -> None:
        out, nest = self.out, self.nest
        if nest.empty or not nest.stores:
            return
        extents = [e for access in nest.accesses for e in (*access.strides, access.offset)]
        sizes = {f"n{a}" for d in nest.dims for a in (*d.extent.args, *d.numbering.args)}
        names = sorted(sizes | {f"n{i}" for i in w.operands_of(extents)}, key=lambda n: int(n[1:]))
        for name in names:
            out.line(f"{name} = frame[ops[{name[1:]}]]")
        for base in sorted({a.base for a in nest.accesses}):
            out.line(f"x{base} = frame[ops[{base}]]")
        unknown = sorted({f"n{a}" for d in nest.outer for a in nest.dims[d].extent.args})
        if unknown:
            with out.block("if " + " or ".join(f"{n} < 1" for n in unknown) + ":"):
                out.line("return 0")
        everything = self.cone(
            [s.value for s in nest.stores] + [i for i, x in enumerate(self.body) if x.kind == "reduce"]
        )
        self.live = everything | self.cone([a for i in everything for a in self.body[i].args])
        self._keep()
        self.emit_level(0, self.live, stage=0)
        self._open(0, self.row_level, self.live, self._row)

    def _open(self, position: int, stop: int, needed: set[int], content: Callable[[], None], stage: int = 0) -> None:
        """Loops order[position:stop] around `content`, with the instructions of each level at its head."""
        if position == stop:
            content()
            return
        d = self.order[position]

        def inside() -> None:
            self.emit_level(position + 1, needed, stage)
            self._open(position + 1, stop, needed, content, stage)

        if d == self.vector:
            self._vector_loop(d, inside)
        else:
            with self.out.block(f"for i{d} in range({self.nest.dims[d].extent}):"):
                inside()

    def _vector_loop(self, d: int, inside: Callable[[], None]) -> None:
        """A loop over vectors of dimension `d`: whole ones and a masked rest, or all masked when the body is large."""
        out, n, lanes = self.out, self.nest.dims[d].extent, self.nest.lanes
        fixed = n.fixed
        cls = w.class_name(next(iter(self.classes)))
        if fixed is not None and fixed % lanes == 0:
            with out.block(f"for i{d} in range(0, {n}, {lanes}):"):
                inside()
            return
        if fixed is not None and fixed < lanes:
            out.line(f"i{d} = 0")
            out.line(f"m{d} = simd.first({cls}, {fixed})")
            self._masked(d, inside)
            return
        if self.nest.heavy:
            with out.block(f"for i{d} in range(0, {n}, {lanes}):"):
                out.line(f"m{d} = simd.first({cls}, {n} - i{d})")
                self._masked(d, inside)
            return
        whole = str(fixed // lanes * lanes) if fixed is not None else f"whole{d}"
        if fixed is None:
            out.line(f"{whole} = {n} & -{lanes}")
        with out.block(f"for i{d} in range(0, {whole}, {lanes}):"):
            inside()
        with out.block(f"if {whole} < {n}:"):
            out.line(f"i{d} = {whole}")
            out.line(f"m{d} = simd.first({cls}, {n} - i{d})")
            self._masked(d, inside)

    def _masked(self, d: int, inside: Callable[[], None]) -> None:
        self.mask = f"m{d}"
        inside()
        self.mask = None

    # -- one row: sweeps over the reduced dimensions, then the stores

    def _row(self) -> None:
        self.saved = set()
        last = max((self.stage[i] for i in self.live), default=0)
        for stage in range(1, last + 1):
            self._sweep(self._reductions(stage), stage - 1)
            self.emit_level(self.row_level, self.live, stage)
        elements = [s for s in self.nest.stores if self._is_element(s)]
        if elements:
            needed = self._inside(self.cone([s.value for s in elements]))
            self._open(self.row_level, len(self.order), needed, lambda: self.store_all(elements), last)
        self.store_all([s for s in self.nest.stores if not self._is_element(s)])

    def _reductions(self, stage: int) -> list[int]:
        """Those whose values are known after sweep number `stage`."""
        return [i for i in sorted(self.live) if self.body[i].kind == "reduce" and self.stage[i] == stage]

    def _arguments(self, reductions: list[int]) -> set[int]:
        return self._inside(self.cone([a for i in reductions for a in self.body[i].args]))

    def _keep(self) -> None:
        """Choose the costly values that several sweeps need, to be kept on the stack when a row is short and known."""
        if not self.across or len(self.nest.inner) != 1:
            return
        extent = self.nest.dims[self.nest.inner[0]].extent.fixed
        if extent is None:
            return
        sweeps = [self._arguments(self._reductions(s)) for s in range(1, max(self.stage, default=0) + 1)]
        sweeps.append(self._inside(self.cone([s.value for s in self.nest.stores if self._is_element(s)])))
        for i, inst in enumerate(self.body):
            row = -(-extent // self.nest.lanes) * self.nest.lanes * w.ITEMSIZE[inst.dtype]
            if w.is_heavy(inst) and sum(i in s for s in sweeps) > 1 and row * (len(self.kept) + 1) <= KEEP_BYTES:
                self.out.line(f"c{i} = tiles.scratch({row})")
                self.kept[i] = w.add(f"c{i}", w.product(f"i{self.vector}", str(w.ITEMSIZE[inst.dtype])))

    def _is_element(self, store: Store) -> bool:
        return max(self.access_level(store.access), self.level[store.value]) > self.row_level

    def _inside(self, instructions: set[int]) -> set[int]:
        """Those that belong inside the reduced loops."""
        return {i for i in instructions if self.level[i] > self.row_level}

    def _sweep(self, reductions: list[int], stage: int) -> None:
        """One pass over the reduced dimensions, for all reductions whose arguments are known."""
        needed = self._arguments(reductions)
        blocked = [i for i in reductions if self._is_blocked(i)]
        for i in reductions:
            self._start(i, "s" if i in blocked else "a")
        inner = self.order[self.row_level :]
        if not blocked:
            self._open(self.row_level, len(self.order), needed, lambda: self._combine(reductions), stage)
        else:
            self._open(
                self.row_level,
                len(self.order) - 1,
                needed,
                lambda: self._blocks(inner[-1], needed, reductions, blocked, stage),
                stage,
            )
        for i in reductions:
            self._finish(i, i in blocked)
        self.saved |= needed & set(self.kept)

    def _is_blocked(self, i: int) -> bool:
        """Whether a sum is long enough that its roundings must be looked after."""
        inst = self.body[i]
        if inst.text != "sum" or inst.dtype not in FLOATS or not self.nest.inner:
            return False
        serial = 1
        for d in self.nest.inner:
            extent = self.nest.dims[d].extent.fixed
            if extent is None:
                return True
            serial *= -(-extent // self.nest.lanes) if d == self.vector else extent
        return serial > 2 * BLOCK

    def _blocks(self, d: int, needed: set[int], reductions: list[int], blocked: list[int], stage: int) -> None:
        """The innermost loop in blocks, whose sums are added with their rounding errors kept."""
        out, n = self.out, self.nest.dims[d].extent
        step = self.nest.lanes if d == self.vector else 1
        size = BLOCK * step
        with out.block(f"for b{d} in range(0, {n}, {size}):"):
            for i in blocked:
                self._start(i, "a")
            out.line(f"e{d} = min(b{d} + {size}, {n})")
            if d == self.vector:
                out.line(f"f{d} = b{d} + ((e{d} - b{d}) & -{step})")
                cls = w.class_name(next(iter(self.classes)))
                heavy, fixed = self.nest.heavy, n.fixed
                exact = fixed is not None and fixed % step == 0
                with out.block(f"for i{d} in range(b{d}, {f'e{d}' if heavy else f'f{d}'}, {step}):"):
                    if heavy and not exact:
                        out.line(f"m{d} = simd.first({cls}, e{d} - i{d})")
                        self.mask = f"m{d}"
                    self.emit_level(len(self.order), needed, stage)
                    self._combine(reductions)
                    self.mask = None
                if not heavy and not exact:
                    with out.block(f"if f{d} < e{d}:"):
                        out.line(f"i{d} = f{d}")
                        out.line(f"m{d} = simd.first({cls}, e{d} - i{d})")
                        self.mask = f"m{d}"
                        self.emit_level(len(self.order), needed, stage)
                        self._combine(reductions)
                        self.mask = None
            else:
                with out.block(f"for i{d} in range(b{d}, e{d}):"):
                    self.emit_level(len(self.order), needed, stage)
                    self._combine(reductions)
            for i in blocked:
                out.line(f"r{i} = r{i} + simd.sum_error(s{i}, a{i})")
                out.line(f"s{i} = s{i} + a{i}")

    # -- reductions

    def _start(self, i: int, name: str) -> None:
        inst = self.body[i]
        cls = w.class_name(self._reduced_dtype(inst))
        self.out.line(f"{name}{i} = simd.splat({cls}, {self._identity(inst)})")
        if name == "s":
            self.out.line(f"r{i} = simd.splat({cls}, 0.0)")
        if inst.text.startswith("arg"):
            self.out.line(f"k{i} = simd.splat(I64, {LAST})")

    def _reduced_dtype(self, inst: Inst) -> str:
        return self.body[inst.args[0]].dtype if inst.text.startswith("arg") else inst.dtype

    def _identity(self, inst: Inst) -> str:
        dtype = self._reduced_dtype(inst)
        if inst.text in IDENTITY:
            value = IDENTITY[inst.text]
            return w.literal(value, dtype)
        if dtype in FLOATS:
            return "-math.inf" if inst.text.endswith("max") else "math.inf"
        return w.literal((LOWEST if inst.text.endswith("max") else HIGHEST)[dtype], dtype)

    def _combine(self, reductions: list[int]) -> None:
        """Take the current point into every reduction."""
        for i in reductions:
            inst = self.body[i]
            value = f"v{inst.args[0]}"
            masked = self.mask is not None and self.across
            if masked:
                identity = f"simd.splat({w.class_name(self._reduced_dtype(inst))}, {self._identity(inst)})"
                value = f"simd.select({self.mask}, {value}, {identity})"
            if inst.text.startswith("arg"):
                self._combine_arg(i, value, masked)
                continue
            combined = {
                "sum": f"a{i} + {value}",
                "prod": f"a{i} * {value}",
                "any": f"a{i} | {value}",
                "all": f"a{i} & {value}",
                "max": f"simd.maximum(a{i}, {value})",
                "min": f"simd.minimum(a{i}, {value})",
            }[inst.text]
            self.out.line(f"a{i} = {combined}")

    def _combine_arg(self, i: int, value: str, masked: bool) -> None:
        out, kind = self.out, self.body[i].text[3:]
        terms = [w.times(f"i{d}", self.nest.dims[d].numbering) for d in self.nest.inner]
        step = self.nest.dims[self.vector].numbering if self.across and self.vector is not None else w.Size(0)
        index = f"simd.iota(I64, {w.add(*terms)}, {step})"
        if masked:
            index = f"simd.select({self.mask}, {index}, simd.splat(I64, {LAST}))"
        out.line(f"t{i} = {value}")
        out.line(f"j{i} = {index}")
        out.line(f"w{i} = simd.beats_{kind}(a{i}, k{i}, t{i}, j{i})")
        out.line(f"a{i} = simd.select(w{i}, t{i}, a{i})")
        out.line(f"k{i} = simd.select(w{i}, j{i}, k{i})")

    def _finish(self, i: int, blocked: bool) -> None:
        """The reduction's value in every lane of its row."""
        inst = self.body[i]
        result = f"simd.corrected(s{i}, r{i})" if blocked else f"a{i}"
        if inst.text.startswith("arg"):
            result = f"simd.fold_{inst.text}(a{i}, k{i})" if self.across else f"k{i}"
            if inst.dtype != "i64":
                result = f"simd.cast({w.class_name(inst.dtype)}, {result})"
        elif self.across:
            result = f"simd.fold_{inst.text}({result})"
        self.out.line(f"v{i} = {result}")
