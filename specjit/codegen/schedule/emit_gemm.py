"""Groups with a matrix product -> GemmSpec and PackSpec.

Enters: a `Group` with `product`, homes of what it stores, and where its right operand's panels are.
Leaves: the product's `Call`, and the `Call` that packs.
Invariant: loops are the product's own (batch, rows, units); batch loops that continue the rows in every array are
joined with them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from specjit.codegen.kernels.spec import GemmSpec, Inst, PackSpec, Segment
from specjit.codegen.schedule.emit import Body, Operands, Window, constant_part, finish_call, home_of, memory_index
from specjit.codegen.schedule.group import Group
from specjit.codegen.schedule.index import KAPPA, Axis, IMap, Index
from specjit.codegen.schedule.model import Base, Home, Source, Storage, View, estimate
from specjit.codegen.schedule.steps import Addr, Call
from specjit.codegen.vectors.lanes import as_units, panel_lanes
from specjit.ir.dims import Size, product
from specjit.ir.viewref import ViewRef


@dataclass(frozen=True)
class Panels:
    """The packed right operand: where it is, and how many elements one batch point takes."""

    base: Base
    dtype: str
    step: Size


def shape_of(group: Group) -> tuple[Size, int]:
    """Units and chunks of the product."""
    p = group.product
    assert p is not None
    wide = KAPPA in group.maps[p.out][-1].keys  # otherwise only what the epilogue reads is in chunks
    if wide and group.chunk is not None and group.unit is group.chunk[0]:
        return group.unit.extent, group.chunk[1]
    return p.out.dims[-1], 1


def batch_dims(b: View) -> tuple[int, ...]:
    """The batch dims of the right operand along which it changes."""
    return tuple(d for d in range(b.ref.rank - 2) if b.dims[d] != 1 and b.ref.strides[d] != 0)


def packed_part(b: View) -> View:
    """The right operand without the batch dims that it is only spread over: what there is to pack."""
    keep = [*batch_dims(b), b.ref.rank - 2, b.ref.rank - 1]
    ref = b.ref
    return b.with_ref(ViewRef(tuple(ref.sizes[d] for d in keep), tuple(ref.strides[d] for d in keep), ref.offset))


def lane_count(dtype: str, units: Size) -> int:
    return panel_lanes(dtype, as_units(units))


def pack_call(b: View, units: Size, chunks: int, target: Storage) -> Call:
    """Pack matrix `b` (a `packed_part`: batch..., k, chunk*units) into panels at `target`."""
    operands = Operands()
    axes = [Axis(d) for d in b.dims[:-2]]
    k, chunk, unit = Axis(b.dims[-2]), Axis(chunks), Axis(units)
    columns = Index.of(unit).plus(Index.of(chunk, units))
    at = memory_index(b, (*map(Index.of, axes), Index.of(k), columns))
    dynamic, fixed = constant_part(at.offset)
    w = Window(
        home_of(b.source).base,
        b.source.dtype,
        tuple(at.coefficient(a) for a in (*axes, k, chunk, unit)),
        dynamic,
        fixed,
    )
    operands.see(w)
    src = operands.access(w)
    dst = operands.add("panels", Addr(target, b.source.dtype))
    spec = PackSpec(
        b.source.dtype,  # type: ignore[arg-type]
        tuple(operands.extent(a.extent) for a in axes),
        operands.extent(units),
        chunks,
        operands.extent(b.dims[-2]),
        src,
        dst,
    )
    work = estimate(product(b.dims))
    return Call(spec, operands.list, reads={src.base}, writes={dst}, weight=work, ops=["pack"])


def gemm_call(group: Group, homes: list[tuple[Source, Home]], panels: list[Panels]) -> Call:
    """The kernel of a group; `panels[i]` are those of its product's pair i."""
    p = group.product
    assert p is not None
    units, chunks = shape_of(group)
    rest: list[Axis] = [a for a in group.axes if a is not group.unit]
    body = Body(group, [*rest, group.unit])
    where = group.maps[p.out]
    lefts = [left_window(a, where, rest) for a, _ in p.pairs]
    for window in lefts:
        body.operands.see(window)
    steps = [_panel_steps(where, rest, made.step, b) for (_, b), made in zip(p.pairs, panels, strict=True)]
    stored = body.stores(homes)
    loads = [i[1] for i in body.insts if isinstance(i, tuple)]
    positions = {i.dim for i in body.insts if not isinstance(i, tuple) and i.kind == "index"}
    extents = [a.extent for a in rest]
    pick, extents = _joined(extents, [*lefts, *loads, *(w for w, _ in stored)], steps, positions)

    def narrow(w: Window, last: int) -> Window:
        return Window(w.base, w.dtype, (*(w.strides[i] for i in pick), w.strides[last]), w.dynamic, w.fixed)

    unit_at = len(rest)
    body.insts = [(i[0], narrow(i[1], unit_at)) if isinstance(i, tuple) else i for i in body.insts]
    stored = [(narrow(w, unit_at), v) for w, v in stored]
    lefts = [narrow(window, unit_at) for window in lefts]
    steps = [[of[i] for i in pick] for of in steps]
    body.axes = [*(rest[i] for i in pick), group.unit]
    if positions:
        renumber = {old: new for new, old in enumerate([*pick, unit_at])}
        body.insts = [i if isinstance(i, tuple) or i.kind != "index" else renumbered(i, renumber) for i in body.insts]
    if not pick or any(of[-1] != 0 for of in steps):  # one row per point of the outer loops
        extents = [*extents, 1]
        steps = [[*of, 0] for of in steps]
        lefts = [padded(window) for window in lefts]
        body.insts = [(i[0], padded(i[1])) if isinstance(i, tuple) else i for i in body.insts]
        last = {len(pick): len(pick) + 1}
        body.insts = [i if isinstance(i, tuple) or i.kind != "index" else renumbered(i, last) for i in body.insts]
        stored = [(padded(w), v) for w, v in stored]
    ops = body.operands
    segments = [
        Segment(
            ops.access(window),
            ops.add(("panels", made.base), Addr(made.base, made.dtype)),
            tuple(ops.extent(s) for s in of[:-1]),
            ops.extent(a.dims[-1]),
        )
        for (a, _), made, window, of in zip(p.pairs, panels, lefts, steps, strict=True)
    ]
    first = segments[0]
    insts, stores = body.finish(stored)
    spec = GemmSpec(
        panels[0].dtype,  # type: ignore[arg-type]
        tuple(ops.extent(e) for e in extents[:-1]),
        ops.extent(extents[-1]),
        ops.extent(units),
        chunks,
        first.k,
        first.a,
        first.b,
        first.b_strides,
        insts,
        stores,
        tuple(segments[1:]),
    )
    call = finish_call(group, spec, ops, insts, stores)
    call.reads |= {k for s in segments for k in (s.a.base, s.b)}
    return call


def left_window(a: View, where: IMap, rest: list[Axis]) -> Window:
    """The left operand over the loops `rest` and k."""
    at = memory_index(a, (*where[:-1], Index()))
    k_stride = a.ref.strides[-1] if a.dims[-1] != 1 else 1
    home = home_of(a.source)
    if home.strides is not None and a.dims[-1] != 1:
        probe = Axis(a.dims[-1])
        at = memory_index(a, (*where[:-1], Index.of(probe)))
        k_stride = at.coefficient(probe)
    dynamic, fixed = constant_part(at.offset)
    return Window(home.base, a.source.dtype, (*(at.coefficient(x) for x in rest), k_stride), dynamic, fixed)  # type: ignore[arg-type]


def renumbered(inst: Inst, renumber: dict[int, int]) -> Inst:
    return replace(inst, dim=renumber.get(inst.dim, inst.dim))


def padded(w: Window) -> Window:
    """With a loop of one turn before the innermost."""
    return Window(w.base, w.dtype, (*w.strides[:-1], 0, w.strides[-1]), w.dynamic, w.fixed)


def _panel_steps(where: tuple[Index, ...], rest: list[Axis], step: Size, b: View) -> list[Size]:
    """Elements of packed panels to advance per loop."""
    at = Index()
    for d in reversed(batch_dims(b)):
        at = at.plus(where[d], step)
        step = step * b.dims[d]
    return [at.coefficient(a) for a in rest]


def _joined(
    extents: list[Size], windows: list[Window], steps: list[list[Size]], indexed: set[int]
) -> tuple[list[int], list[Size]]:
    """Loops that every array walks as one, joined: the positions to keep the strides of, and their extents."""
    pick = list(range(len(extents)))
    out = list(extents)
    d = 0
    while d + 1 < len(pick):
        a, b = pick[d], pick[d + 1]
        last = d + 2 == len(pick)
        joint = not indexed & {a, b} and all(w.strides[a] == w.strides[b] * out[d + 1] for w in windows)
        panels_joint = all(s[a] == 0 and s[b] == 0 if last else s[a] == s[b] * out[d + 1] for s in steps)
        if joint and panels_joint:
            out[d : d + 2] = [out[d] * out[d + 1]]
            del pick[d]
        else:
            d += 1
    return pick, out
