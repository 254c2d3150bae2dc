"""Blocks of items -> structured steps: what is stored where, kernel calls, and the packing of right operands.

Enters: the builder's blocks. Leaves: step lists for the region and its prologue, with every address as an `Addr`.
Invariant: a source gets a home exactly if something outside its kernel reads it; panels are packed in the outermost
block in which their matrix does not change, and in the prologue if it depends on parameters alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from specjit.codegen.kernels.spec import Access, Inst, LoopSpec, Store
from specjit.codegen.schedule import emit, emit_gemm, emit_window, lower_loop
from specjit.codegen.schedule.build import Builder
from specjit.codegen.schedule.emit_gemm import Panels
from specjit.codegen.schedule.fuse import Fuser
from specjit.codegen.schedule.group import Group
from specjit.codegen.schedule.items import BlockItems, Check, Draw, Fetch, If, Instr, Item, Loop, Part, Pick, Scan
from specjit.codegen.schedule.model import Home, Reg, Scalar, Source, Storage, View
from specjit.codegen.schedule.order import Arranger
from specjit.codegen.schedule.overwrite import coalesce
from specjit.codegen.schedule.plan import Note
from specjit.codegen.schedule.steps import Addr, Call, Do, IfStep, Require, Step
from specjit.codegen.schedule.sums import join_products
from specjit.codegen.vectors.lanes import ITEMSIZE
from specjit.ir.dims import Size, product


class Lowering:
    """Lowers the prologue and the region of one builder."""

    def __init__(self, builder: Builder) -> None:
        self.builder = builder
        self.steps: dict[BlockItems, list[Step]] = {builder.prologue: [], builder.top: []}
        self.panels: dict[object, Panels] = {}
        self.packed = builder.packed
        self.groups: list[Group] = []
        self.apart: list[tuple[Item, str]] = []
        self.refused: list[Note] = []
        self.readers: dict[Source, list[Item]] = {}
        self.fused: dict[BlockItems, Fuser] = {}
        self.orders: dict[BlockItems, list[Group]] = {}  # instead of the program's order
        for block in (builder.prologue, builder.top):
            for reader, view in direct_reads(block):
                self.readers.setdefault(view.source, []).append(reader)
        self.fuse(builder.prologue)
        self.fuse(builder.top)

    def fuse(self, block: BlockItems) -> None:
        """Form the groups of a block and of those inside it."""
        self.refused += join_products(block.items, self.readers)
        self.fused[block] = fuser = Fuser(block.items)
        self.apart += fuser.refused
        for item in block.items:
            for inner in inner_blocks(item):
                self.fuse(inner)

    def better_orders(self, sizes: Mapping[str, int]) -> dict[BlockItems, list[Group]]:
        """The blocks for which an order is known that should need less memory than the program's, or keep values for a
        shorter time, when symbols are what `sizes` says. To be asked before `run`."""
        arranger = Arranger(self.fused, self.read_outside, self.panel_sizes, sizes)
        arranger.run(self.builder.top)
        return arranger.orders

    def run(self) -> tuple[list[Step], list[Step]]:
        self.block(self.builder.prologue)
        self.block(self.builder.top)
        return self.steps[self.builder.prologue], self.steps[self.builder.top]

    def block(self, block: BlockItems) -> list[Step]:
        steps = self.steps.setdefault(block, [])
        for group in self.orders.get(block) or self.fused[block].ordered():
            self.group(group, block, steps)
        coalesce(steps, inner=block not in (self.builder.prologue, self.builder.top))
        return steps

    # groups

    def group(self, group: Group, block: BlockItems, steps: list[Step]) -> None:
        if not group.fusible:
            (item,) = group.items
            self.single(item, block, steps)
            return
        homes: list[tuple[Source, Home]] = []
        for source in group.makes():
            if source.want is not None:
                source.home = source.want
            elif self.read_outside(source, group):
                source.home = Home(self.storage(source.dtype, source.dims, source.hint, block))
            else:
                continue
            homes.append((source, source.home))
        if not homes:
            return
        self.groups.append(group)
        if group.product is None:
            steps.append(emit.loop_call(group, homes))
            return
        if group.product.windows is not None:
            steps.append(emit_window.window_call(group, homes, group.product.windows))
            return
        panels = [self.pack(b, group, block) for _, b in group.product.pairs]
        steps.append(emit_gemm.gemm_call(group, homes, panels))

    def read_outside(self, source: Source, group: Group) -> bool:
        return any(reader not in group.items for reader in self.readers.get(source, ()))

    def storage(self, dtype: str, dims: tuple[Size, ...], hint: str, block: BlockItems) -> Storage:
        if block is not self.builder.prologue:
            return Storage("temp", dtype, product(dims) or 0, hint)
        made = Storage("packed", dtype, product(dims) or 0, hint)
        self.packed.append(made)
        return made

    def single(self, item: Item, block: BlockItems, steps: list[Step]) -> None:
        if isinstance(item, Instr):
            steps.append(Do(item.name, item.target, item.args))
        elif isinstance(item, Check):
            steps.append(Require(item.cond, item.status))
        elif isinstance(item, Fetch):
            steps.append(fetch_call(item))
        elif isinstance(item, Pick):
            self.pick(item, block, steps)
        elif isinstance(item, Draw | Scan):
            out = item.out
            out.home = out.want or Home(self.storage(out.dtype, out.dims, out.hint, block))
            steps.append(emit.draw_call(item) if isinstance(item, Draw) else emit.scan_call(item))
        elif isinstance(item, Loop):
            lower_loop.loop(self, item, steps)
        elif isinstance(item, If):
            self.branch(item, steps)
        elif not isinstance(item, Part):
            raise AssertionError(f"no way to lower {type(item).__name__}")

    def pick(self, item: Pick, block: BlockItems, steps: list[Step]) -> None:
        out = item.out
        out.home = out.want or Home(self.storage(out.dtype, out.dims, out.hint, block))
        if not item.gather:
            start = item.start
            steps.append(emit.copy_call(start, out.home) if isinstance(start, View) else emit.fill_call(out, start))
        steps.append(emit.pick_call(item))

    def branch(self, item: If, steps: list[Step]) -> None:
        then, other = (self.block(b) for b in item.branches)
        steps.append(IfStep(item.cond, then, other, item.scalars))

    # panels

    def pack(self, right: View, group: Group, block: BlockItems) -> Panels:
        """Panels of a right operand of the group's product."""
        b = emit_gemm.packed_part(right)
        units, chunks = emit_gemm.shape_of(group)
        target = self.place_of(b, block)
        key = (target, b.source, b.ref, units, chunks)
        if key not in self.panels:
            self.panels[key] = self.make_panels(b, units, chunks, target)
        return self.panels[key]

    def panel_sizes(self, group: Group, block: BlockItems) -> Iterator[Size]:
        """Bytes of the panels that are packed in this very block for the group's product."""
        if group.product is None or group.product.windows is not None:
            return
        for _, right in group.product.pairs:
            b = emit_gemm.packed_part(right)
            if self.place_of(b, block) is block:
                yield (product(b.dims) or 0) * ITEMSIZE[b.source.dtype]

    def place_of(self, view: View, block: BlockItems) -> BlockItems:
        """The outermost block, past loops only, in which the view stays the same."""
        if view.source in self.builder.fixed and not self.regs_of(view):
            return self.builder.prologue
        stop = view.source.owner or self.builder.top
        owners = {r.owner for r in self.regs_of(view)}
        while block is not stop and block.kind == "loop" and block not in owners and block.parent is not None:
            block = block.parent
        return block

    def regs_of(self, view: View) -> list[Reg]:
        names: set[str] = set()
        for size in (*view.ref.sizes, *view.ref.strides, view.ref.offset):
            if size is not None and not isinstance(size, int):
                names |= size.symbols()
        if names - self.builder.regs.keys() and view.source in self.builder.fixed:
            return [Reg("int", "")]  # a size symbol: parameters alone do not decide it
        return [self.builder.regs[n] for n in names if n in self.builder.regs]

    def make_panels(self, b: View, units: Size, chunks: int, target: BlockItems) -> Panels:
        steps = self.steps[target]
        dtype = b.source.dtype
        lanes = emit_gemm.lane_count(dtype, units)
        depth = b.dims[-2]
        if isinstance(units, int):
            slots: Size = -(-units // lanes) * lanes
            room = slots
        else:
            count = self.builder.new_reg("int")
            count.owner = target
            steps.append(Do("FLOORDIV", count, [Scalar("int", units + (lanes - 1)), Scalar("int", lanes)]))
            slots = count.size * lanes
            room = units + (lanes - 1)
        many = product(b.dims[:-2])
        assert many is not None
        storage = self.storage(dtype, (room, chunks, depth, many), f"panels of {b.source.hint}".strip(), target)
        steps.append(emit_gemm.pack_call(b, units, chunks, storage))
        return Panels(storage, dtype, slots * chunks * depth)


def inner_blocks(item: Item) -> tuple[BlockItems, ...]:
    if isinstance(item, Loop):
        return (item.body,)
    return item.branches if isinstance(item, If) else ()


def direct_reads(block: BlockItems) -> Iterator[tuple[Item, View]]:
    """(item, view) for every read in a block and in the blocks inside it."""
    for item in block.items:
        if isinstance(item, Loop):
            for t in item.tensors:
                yield item, t.init
                if t.moved is not None:
                    yield item, t.moved
            yield from direct_reads(item.body)
        elif isinstance(item, If):
            for b in item.branches:
                yield from direct_reads(b)
        else:
            for view in item.views():
                yield item, view


def fetch_call(item: Fetch) -> Call:
    """A kernel that puts the one element of a view into a register's frame slot."""
    source = item.arg.source
    wide = "f64" if item.target.kind == "float" else "i64"
    operands = emit.Operands()
    at = emit.memory_index(item.arg, tuple(emit.Index() for _ in item.arg.dims))
    dynamic, fixed = emit.constant_part(at.offset)
    window = emit.Window(emit.home_of(source).base, source.dtype, (), dynamic, fixed)
    operands.see(window)
    load = Inst("load", source.dtype, access=operands.access(window))  # type: ignore[arg-type]
    body = (load,) if source.dtype == wide else (load, Inst("cast", wide, (0,)))  # type: ignore[arg-type]
    slot = operands.add("slot", Addr(item.target, wide))
    spec = LoopSpec((), body, (Store(Access(slot, wide, ()), len(body) - 1),))  # type: ignore[arg-type]
    return Call(spec, operands.list, reads={0}, writes={slot}, ops=[item.op])
