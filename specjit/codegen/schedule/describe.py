"""A plan as text: inputs, outputs, kernels and the program.

Enters: a `RegionPlan`. Leaves: text for `explain()`, dumps and golden tests.
Invariant: a function of the plan alone; slots are shown by name where they have one.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from specjit.codegen.kernels.spec import (
    Access,
    Arg,
    DrawSpec,
    DuetSpec,
    Extent,
    GemmSpec,
    Inst,
    LoopSpec,
    PackSpec,
    PickSpec,
    ScanSpec,
    Store,
    WindowSpec,
)
from specjit.codegen.schedule.steps import Spec
from specjit.codegen.schedule.values import Kernel, Label

if TYPE_CHECKING:
    from specjit.codegen.schedule.plan import RegionPlan


def describe(plan: RegionPlan) -> str:
    return "\n".join(_lines(plan)) + "\n"


def _lines(plan: RegionPlan) -> Iterator[str]:
    yield f"region {plan.name}"
    for i in plan.inputs:
        where = "" if i.slot is None else f" -> [{i.slot}]"
        yield f"  input {i.name}: {i.kind} {i.value.type}{where}"
    for name, slot in plan.symbols.items():
        if slot is not None:
            yield f"  size {name} -> [{slot}]"
    for s in plan.storages:
        yield f"  output storage {s.dtype}[{s.elements}] -> [{s.slot}]"
    for p in plan.packed:
        yield f"  packed {p.name}: {p.dtype}[{p.elements}] -> [{p.slot}]"
    for o in plan.outputs:
        if o.kind == "tensor":
            view = "" if o.whole else f" offset {o.offset} strides {_tuple(o.strides)}"
            yield f"  output {o.dtype}{list(o.dims)} of {o.of} {o.storage}{view}"
        else:
            yield f"  output {o.kind} {o.value if o.kind == 'const' else f'[{o.slot}]'}"
    for k, (spec, hint) in enumerate(zip(plan.specs, plan.hints, strict=True)):
        yield f"  kernel k{k}: {hint}"
        yield from (f"    {line}" for line in spec_lines(spec))
    yield "  program"
    yield from (f"    {line}" for line in program(plan))
    if plan.prologue is not None:
        yield "  prologue"
        yield from (f"    {line}" for line in _lines(plan.prologue))


def program(plan: RegionPlan) -> Iterator[str]:
    """The program with slots by name and labels as L0, L1, ..."""
    labels: dict[Label, str] = {}

    def show(name: str, k: int, w: object) -> str:
        if isinstance(w, Label):
            return labels.setdefault(w, f"L{len(labels)}")
        if isinstance(w, Kernel):
            return f"k{w.number}"
        kinds = {"SET": "di", "ADDI": "dsi", "MADDI": "dssi", "FAIL": "i", "ENDL": "dti"}.get(name, "s" * 99)
        assert isinstance(w, int)
        return str(w) if kinds[k] == "i" else f"[{plan.slot_names.get(w, w)}]"

    for line in plan.lines:
        if isinstance(line, Label):
            yield f"{labels.setdefault(line, f'L{len(labels)}')}:"
        else:
            name, words = line
            yield f"  {name.lower()} " + " ".join(show(name, k, w) for k, w in enumerate(words))


def spec_lines(spec: Spec) -> Iterator[str]:
    if isinstance(spec, LoopSpec):
        reduced = f", last {spec.reduced} reduced" if spec.reduced else ""
        yield f"loops {_tuple(spec.domain)}{reduced}"
        yield from _body(spec.body, spec.stores)
    elif isinstance(spec, GemmSpec):
        outer = f" outer {_tuple(spec.outer)}" if spec.outer else ""
        columns = f"units {_extent(spec.units)} x {spec.chunks}"
        yield f"gemm {spec.dtype}{outer} rows {_extent(spec.rows)} {columns} k {_extent(spec.k)}"
        for s in spec.segments:
            plus = "" if s == spec.segments[0] else f"plus k {_extent(s.k)}: "
            yield f"{plus}a = {_access(s.a)}; b = panels x{s.b} {_tuple(s.b_strides) if spec.outer else ''}".rstrip()
        yield from _body(spec.body, spec.stores)
    elif isinstance(spec, WindowSpec):
        outer = f" outer {_tuple(spec.outer)}" if spec.outer else ""
        units = _tuple((*spec.lines, spec.run))
        yield f"window {spec.dtype}{outer} rows {spec.rows} units {units} k {_tuple(spec.depths)}"
        yield f"a = {_access(spec.a)}; b = {_access(spec.b)}"
        yield from _body(spec.body, spec.stores)
    elif isinstance(spec, DuetSpec):
        yield from spec_lines(spec.step)
        turn, first = _extent(spec.turn), _extent(spec.first)
        yield f"beside it, in turn {turn}, a share of the next {spec.block} rows, from row {first} on, of"
        yield from spec_lines(spec.rows)
    elif isinstance(spec, PickSpec):
        place = f"[{_access(spec.index)} of {_extent(spec.count)}, step {_extent(spec.step)}]"
        source, target = _access(spec.source), _access(spec.target)
        yield f"pick {_tuple(spec.domain)}: " + (
            f"{target} = {source}{place}" if spec.gather else f"{target}{place} += {source}"
        )
    elif isinstance(spec, ScanSpec):
        yield f"scan {_tuple(spec.domain)} along {spec.axis}: {_access(spec.target)} = sums of {_access(spec.source)}"
    elif isinstance(spec, DrawSpec):
        key, first = _extent(spec.seed), _extent(spec.first)
        yield f"draw {spec.dtype} x{spec.target}({_extent(spec.count)}): key {key}, blocks from {first}"
    else:
        assert isinstance(spec, PackSpec)
        outer = f" outer {_tuple(spec.outer)}" if spec.outer else ""
        columns = f"units {_extent(spec.units)} x {spec.chunks}"
        yield f"pack {spec.dtype}{outer} {columns} k {_extent(spec.k)}: x{spec.dst} = {_access(spec.src)}"


def _body(body: tuple[Inst, ...], stores: tuple[Store, ...]) -> Iterator[str]:
    for i, inst in enumerate(body):
        yield f"v{i} = {_inst(inst)}"
    for s in stores:
        yield f"{_access(s.access)} = v{s.value}"


def _inst(inst: Inst) -> str:
    args = [f"v{a}" for a in inst.args]
    if inst.kind == "load":
        assert inst.access is not None
        return _access(inst.access)
    if inst.kind == "apply":
        return inst.text.format(*args)
    if inst.kind == "const":
        return f"{inst.value!r} as {inst.dtype}"
    if inst.kind == "scalar":
        return f"{inst.dtype} number x{inst.operand}"
    if inst.kind == "index":
        return f"index {inst.dim} as {inst.dtype}"
    if inst.kind == "acc":
        return f"acc {inst.operand}"
    if inst.kind == "cast":
        return f"{inst.dtype}({args[0]})"
    return f"{inst.text} of {args[0]} as {inst.dtype}"


def _access(a: Access) -> str:
    offset = "" if a.offset == 0 else f"+{_extent(a.offset)}"
    return f"{a.dtype} x{a.base}{offset}{_tuple(a.strides)}"


def _extent(e: Extent) -> str:
    return f"n{e.index}" if isinstance(e, Arg) else str(e)


def _tuple(items: object) -> str:
    return "(" + ", ".join(_extent(i) if isinstance(i, int | Arg) else str(i) for i in items) + ")"  # type: ignore[attr-defined]
