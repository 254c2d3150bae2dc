"""Groups with a product of windows -> WindowSpec.

Enters: a `Group` whose product has `windows`, and homes of what it stores. Leaves: its `Call`.
Invariant: loops are the product's own (batch, rows, units), none joined: the units stay lines and runs.
"""

from __future__ import annotations

from specjit.codegen.kernels.spec import WindowSpec
from specjit.codegen.schedule.emit import Body, Window, constant_part, finish_call, home_of, memory_index
from specjit.codegen.schedule.emit_gemm import left_window, padded, renumbered
from specjit.codegen.schedule.errors import NotSchedulable
from specjit.codegen.schedule.group import Group
from specjit.codegen.schedule.index import Axis, IMap, Index
from specjit.codegen.schedule.model import Home, Source
from specjit.codegen.schedule.steps import Call
from specjit.codegen.schedule.windows import Windows


def window_call(group: Group, homes: list[tuple[Source, Home]], windows: Windows) -> Call:
    """The kernel of a group."""
    p = group.product
    assert p is not None
    rest: list[Axis] = [a for a in group.axes if a is not group.unit]
    where = group.maps[p.out]
    body = Body(group, [*rest, group.unit])
    left = left_window(p.a, where, rest)
    right = _right_window(windows, where, [a for a in rest if a not in where[-2].keys])
    stored = body.stores(homes)
    extents = [a.extent for a in rest]
    if not where[-2].terms:  # one row
        extents.append(1)
        left = padded(left)
        body.insts = [(i[0], padded(i[1])) if isinstance(i, tuple) else i for i in body.insts]
        unit = {len(rest): len(rest) + 1}
        body.insts = [i if isinstance(i, tuple) or i.kind != "index" else renumbered(i, unit) for i in body.insts]
        stored = [(padded(w), v) for w, v in stored]
    ops = body.operands
    ops.see(left)
    ops.see(right)
    outer = tuple(ops.extent(e) for e in extents[:-1])
    a, b = ops.access(left), ops.access(right)
    insts, stores = body.finish(stored)
    sizes = [int(n) for n in windows.view.dims[len(windows.batch) :]]  # type: ignore[arg-type]
    depths, lines = sizes[: windows.depths], sizes[windows.depths :]
    rows = extents[-1]
    if not isinstance(rows, int):
        raise NotSchedulable("a product with windows whose rows are known only at run time")
    spec = WindowSpec(
        p.out.dtype,  # type: ignore[arg-type]
        outer,
        rows,
        tuple(depths),
        tuple(lines[:-1]),
        lines[-1],
        a,
        b,
        insts,
        stores,
    )
    call = finish_call(group, spec, ops, insts, stores)
    call.reads |= {a.base, b.base}
    return call


def _right_window(windows: Windows, where: IMap, outer: list[Axis]) -> Window:
    """The windows over the loops `outer`, then their own dims."""
    view, batch = windows.view, len(windows.batch)
    own = [Axis(n) for n in view.dims[batch:]]
    reader = (*(where[d] for d in windows.batch), *map(Index.of, own))
    at = memory_index(view, reader)
    if at.coefficient(own[-1]) != 1:
        raise NotSchedulable("the elements of windows do not lie side by side")
    dynamic, fixed = constant_part(at.offset)
    strides = tuple(at.coefficient(axis) for axis in (*outer, *own))
    return Window(home_of(view.source).base, view.source.dtype, strides, dynamic, fixed)
