"""`schedule`: one block, from IR to plan.

Enters: a typed block, the layouts of its inputs, and which of them are parameters. Leaves: a `RegionPlan`.
Invariant: outputs alias what eager's would (`outputs`); where that cannot be said the block is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from specjit.codegen.schedule import memory, prune
from specjit.codegen.schedule.build import Builder
from specjit.codegen.schedule.code import Code
from specjit.codegen.schedule.contract import contracted
from specjit.codegen.schedule.errors import NotSchedulable
from specjit.codegen.schedule.items import Map, Matmul, Reduce
from specjit.codegen.schedule.lower import Lowering
from specjit.codegen.schedule.memory import MemoryPlan
from specjit.codegen.schedule.model import NOTHING, Pointer, Reg, Scalar, Storage, View
from specjit.codegen.schedule.outputs import deliver_all
from specjit.codegen.schedule.overwrite import targets
from specjit.codegen.schedule.plan import InputPlan, Note, OutputPlan, PackedPlan, RegionPlan, StoragePlan
from specjit.codegen.schedule.spread import spread
from specjit.codegen.schedule.steps import Call, LoopStep, Spec, Step, walk, work
from specjit.ir.dims import Poly, product
from specjit.ir.graph import Block, Value

# What may be left out, by the name that `stance(disable=...)` takes.
DECISIONS = {"spread": spread}


def schedule(
    block: Block,
    *,
    name: str = "region",
    layouts: dict[Value, tuple[Any, ...]] | None = None,
    params: set[Value] | None = None,
    live_params: set[Value] | None = None,
    numerics: str = "exact",
    sizes: Mapping[str, int] = NOTHING,
    disable: frozenset[str] = frozenset(),
) -> RegionPlan:
    """Plan `block`. Raises NotSchedulable with the reason and the place when it cannot be a native region.

    layouts      strides in elements of tensor inputs that are not C-contiguous (ints, or size expressions)
    params       inputs that are module parameters: what depends on them alone moves to the prologue
    live_params  of these, the ones whose storage may change unseen: ordinary inputs
    numerics     "exact", or "fast": a product and the sum that takes it round once (`contract`)
    sizes        what size symbols usually are; the plan is right for all values
    disable      names of `DECISIONS` to leave out
    """
    fixed = set(params or ()) - set(live_params or ())
    made = Assembly(name, block, layouts or {}, fixed, numerics, sizes, disable)
    if made.improvable:
        other = Assembly(name, block, layouts or {}, fixed, numerics, sizes, disable, reorder=True)
        if other.memory.no_worse(made.memory, sizes):
            return other.plan(before=made.memory)
    return made.plan()


def place_of(view: View) -> list[Scalar]:
    """The numbers that say where in its storage a view lies."""
    ref = view.ref
    return [Scalar("int", s) for s in (*ref.sizes, *ref.strides, ref.offset) if isinstance(s, Poly)]


class Assembly:
    """A block as steps, and the plan's tables made of them. `reorder`: kernels run in the orders that `order` found,
    not in the program's."""

    def __init__(
        self,
        name: str,
        block: Block,
        layouts: dict[Value, tuple[Any, ...]],
        fixed: set[Value],
        numerics: str,
        sizes: Mapping[str, int],
        disable: frozenset[str],
        reorder: bool = False,
    ) -> None:
        self.name, self.block, self.sizes = name, block, sizes
        self.builder = Builder(block, layouts, fixed)
        self.builder.walk(block)
        self.outputs = deliver_all(self.builder, block.outputs)
        read = [s for o in self.outputs for s in ([o] if isinstance(o, Scalar) else place_of(o))]
        prune.unread_numbers(self.builder.top, read)
        self.low = Lowering(self.builder)
        orders = self.low.better_orders(sizes)
        self.improvable = bool(orders)
        if reorder:
            self.low.orders = orders
        self.before, self.main = self.low.run()
        if numerics == "fast":
            for step in walk([*self.before, *self.main]):
                if isinstance(step, Call):
                    step.spec = contracted(step.spec)
        self.decided: list[Note] = []
        for decision, decide in DECISIONS.items():
            if decision not in disable:
                self.decided += decide(self.main, self.builder.new_reg)
        self.memory = memory.plan(self.main, sizes)
        unknown = self.memory.symbols() - self.builder.symbols
        if unknown:
            raise NotSchedulable(f"the size of a temporary is known only at run time ({', '.join(sorted(unknown))})")

    def plan(self, before: MemoryPlan | None = None) -> RegionPlan:
        """The plan. `before`: the memory that the program's order would need, where another one was taken."""
        prologue, places = self.prologue_plan()
        code, specs, hints = self.start(self.main)
        used = used_storages(self.main)
        inputs = self.inputs(code, used)
        symbols = {s: code.slot(s, s) for s in sorted(self.builder.symbols)}
        packed: list[PackedPlan] = []
        for s in self.low.packed:
            if s in used:
                assert isinstance(s.elements, int)
                packed.append(PackedPlan(s.dtype, s.elements, code.slot(s, s.name), places[s], None, s.name))
        for s, data in self.builder.constants:
            if s in used:
                packed.append(PackedPlan(s.dtype, data.size, code.slot(s, s.name), None, data, s.name))
        storages: list[StoragePlan] = []
        numbers: dict[Storage, int] = {}
        outputs = [self.output(o, code, storages, numbers) for o in self.outputs]
        code.head(self.memory)
        code.steps(self.main)
        outputs = [
            OutputPlan(o.kind, slot=code.checked(self.outputs[k])) if o.kind in ("int", "float", "bool") else o  # type: ignore[arg-type]
            for k, o in enumerate(outputs)
        ]
        located = [s for o in self.outputs if isinstance(o, View) for s in place_of(o)]
        registers = {n: code.slot(n, n) for n in prune.names(located) if n in self.builder.regs}
        lines = code.finish()
        return RegionPlan(
            self.name,
            inputs,
            dict(symbols),
            storages,
            outputs,
            packed,
            specs,
            hints,
            lines,
            code.presets,
            code.next_slot,
            prologue,
            [*self.notes(), *reordered(self.memory, before, self.sizes)],
            code.names,
            work(self.main),
            registers,
            self.memory,
            before,
        )

    def start(self, steps: list[Step]) -> tuple[Code, list[Spec], list[str]]:
        """Number the kernels; equal specs are one kernel."""
        specs: list[Spec] = []
        hints: list[str] = []
        found: dict[Any, int] = {}
        numbers: dict[Call, int] = {}
        for step in walk(steps):
            if isinstance(step, Call):
                key = (step.spec, repr(step.spec))
                if key not in found:
                    found[key] = len(specs)
                    specs.append(step.spec)
                    hints.append(hint_of(step))
                numbers[step] = found[key]
        return Code(numbers), specs, hints

    def inputs(self, code: Code, used: set[Storage]) -> list[InputPlan]:
        out = []
        for value, made in zip(self.block.params, self.builder.inputs, strict=True):
            if isinstance(made, Storage):
                slot = code.slot(made, value.hint) if made in used else None
                out.append(InputPlan(value, "tensor", slot, value.hint))
            elif isinstance(made, Reg):
                out.append(InputPlan(value, made.kind, code.slot(made.name, value.hint), value.hint))
            else:
                out.append(InputPlan(value, "size", None, value.hint))
        return out

    def output(
        self, o: View | Scalar, code: Code, storages: list[StoragePlan], numbers: dict[Storage, int]
    ) -> OutputPlan:
        if isinstance(o, Scalar):
            if o.is_const:
                return OutputPlan("const", value=o.value)
            return OutputPlan(o.kind)
        assert o.source.home is not None, f"output {o.source} was never stored"
        home = o.source.home.resolved()
        base = home.base
        if isinstance(base, Pointer):
            raise NotSchedulable("an output whose place is decided at run time")
        offset, dims, strides = home.offset + o.ref.offset, o.dims, o.ref.strides  # type: ignore[operator]
        if base.kind == "input":
            return OutputPlan("tensor", o.source.dtype, dims, strides, offset, "input", base.index)  # type: ignore[arg-type]
        if base not in numbers:
            numbers[base] = len(storages)
            storages.append(
                StoragePlan(base.dtype, base.elements, code.slot(base, base.name or "output"), o.source.dims)
            )
        whole = home.offset == 0 and o.ref.offset == 0 and o.ref.is_contiguous and product(dims) == base.elements
        return OutputPlan("tensor", o.source.dtype, dims, strides, offset, "fresh", numbers[base], whole)  # type: ignore[arg-type]

    def prologue_plan(self) -> tuple[RegionPlan | None, dict[Storage, int]]:
        """The prologue's own program, and the slots of its results in it."""
        if not self.before:
            return None, {}
        code, specs, hints = self.start(self.before)
        used = used_storages(self.before)
        inputs = self.inputs(code, used)
        packed = [
            PackedPlan(s.dtype, data.size, code.slot(s, s.name), None, data, s.name)
            for s, data in self.builder.constants
            if s in used
        ]
        storages = []
        places: dict[Storage, int] = {}
        for s in self.low.packed:
            places[s] = code.slot(s, s.name)
            storages.append(StoragePlan(s.dtype, s.elements, places[s], (s.elements,)))
        code.head(memory.plan(self.before))
        code.steps(self.before)
        plan = RegionPlan(
            f"{self.name}.prologue",
            inputs,
            {},
            storages,
            [],
            packed,
            specs,
            hints,
            code.finish(),
            code.presets,
            code.next_slot,
            slot_names=code.names,
            work=work(self.before),
        )
        return plan, places

    def notes(self) -> list[Note]:
        fused = [s for s in walk([*self.before, *self.main]) if isinstance(s, Call) and len(s.ops) > 1]
        notes = [Note("FUSED", hint_of(step), tuple(step.ops), tuple(step.locs)) for step in fused]
        live = {item for group in self.low.groups for item in group.items}
        for item, why in self.low.apart:
            if item in live or not isinstance(item, Map | Reduce | Matmul):
                places = () if item.loc is None else (item.loc,)
                notes.append(Note("NOT_FUSED", why, (item.op,), places))
        return [*notes, *self.low.refused, *self.decided]


def reordered(after: MemoryPlan, before: MemoryPlan | None, usual: Mapping[str, int]) -> list[Note]:
    if before is None:
        return []
    sizes = memory.typical(sorted(before.symbols() | after.symbols()), usual)
    were, are = before.live(sizes), after.live(sizes)
    given = f" with {', '.join(f'{k} = {v}' for k, v in sizes.items())}" if sizes else ""
    what = f"at most {are:,} bytes alive, not {were:,}{given}" if are < were else "values are read sooner"
    return [Note("REORDERED", f"kernels run in another order: {what}")]


def used_storages(steps: list[Step]) -> set[Storage]:
    used: set[Storage] = set()
    for step in walk(steps):
        if isinstance(step, Call):
            for base in step.bases():
                used |= targets(base)
        elif isinstance(step, LoopStep):
            for base, place in [*step.pointers, *step.moves]:
                used |= targets(base) | targets(place.base)
    return used


def hint_of(call: Call) -> str:
    from specjit.codegen.kernels.spec import (
        DrawSpec,
        DuetSpec,
        GemmSpec,
        LoopSpec,
        PackSpec,
        PickSpec,
        ScanSpec,
        WindowSpec,
    )

    kinds = {
        LoopSpec: "loops",
        GemmSpec: "gemm",
        WindowSpec: "window",
        DuetSpec: "duet",
        PackSpec: "pack",
        PickSpec: "pick",
        DrawSpec: "draw",
        ScanSpec: "scan",
    }
    kind = kinds[type(call.spec)]
    ops = [op for op in call.ops if op not in ("pack",)]
    shown = ", ".join(ops[:8]) + (", ..." if len(ops) > 8 else "")
    return f"{kind}({shown})" if shown else kind
