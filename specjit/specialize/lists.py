"""Lists that the program grows, seen as scans.

Enters: `Seq` lists, some of whose items are `Rows` (everything that a loop appended). Leaves: typed nodes on the
stacked tensor. Invariant: a row taken out of a stack is a fresh copy wherever eager's row would have had storage of
its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from specjit.ir import dims
from specjit.ir.dims import Dim
from specjit.ir.graph import Node, Value
from specjit.ir.structure import LOOP
from specjit.ir.types import Type
from specjit.ops.records import registry
from specjit.specialize.abstract import (
    Abstract,
    Grown,
    Known,
    NeedsGrowing,
    NeedsUnrolling,
    Refused,
    Rows,
    Seq,
    substitute,
)

if TYPE_CHECKING:
    from specjit.specialize.specializer import Specializer


# What may add to a list that a program has.
_GROWING = frozenset(("py.append", "py.method"))


def append(spec: Specializer, seq: Seq, item: Any) -> Abstract:
    if seq.foreign:
        raise Refused(f"{seq.foreign} belongs to the caller and is changed in place", spec.loc)
    if seq.kind != "list":
        raise Refused(f"append to a {seq.kind}", spec.loc)
    if seq.depth == spec.depth and seq.grown is None:
        seq.items.append(item)
        return Known(None)
    if not isinstance(item, Value) or not item.type.is_tensor:
        raise NeedsUnrolling("a list of things other than tensors grows in a loop", spec.loc)
    if item.type.dims is None or None in item.type.dims:
        raise Refused("a loop adds tensors to a list whose sizes may differ", spec.loc)
    if spec.origins.source(item).node is None:
        seq.shared = True
    grow(spec, seq, item)
    return Known(None)


def grow(spec: Specializer, seq: Seq, part: Value | Rows) -> None:
    """The innermost open block adds a row, or all rows of a loop in it, to a list from outside."""
    if seq.grown is not None:
        _fill(spec, seq.grown, part)
        return
    if seq.depth == spec.depth:
        seq.items.append(part)
        return
    kind, appended = spec.scopes[-1]
    if kind != "loop":
        raise NeedsGrowing("a list grows in some turns of a loop only", spec.loc, seq, part)
    appended.setdefault(id(seq), (seq, []))[1].append(part)


def _fill(spec: Specializer, grown: Grown, row: Value | Rows) -> None:
    t = grown.buffer.type
    if isinstance(row, Rows) or (row.type.dtype, row.type.dims) != (t.dtype, (t.dims or ())[1:]):
        raise Refused("what a loop adds to a list in some turns has several types", spec.loc)
    buffer = spec.call("select_scatter", grown.buffer, row, 0, grown.count)
    count = spec.call("py.add", grown.count, 1)
    spec.copied.add(spec.root(row))
    spec.held.add(spec.root(row))
    renamed: dict[Value, Any] = {grown.buffer: buffer, grown.count: count}
    done: set[int] = set()
    for key, a in spec.env.items():
        spec.env[key] = substitute(a, renamed, done)


def grows(node: Node) -> list[Node]:
    """The nodes inside that may add to a list."""
    inside = (n for block in node.blocks for n in block.walk())
    return [n for n in inside if n.op.name in _GROWING]


def start_buffer(spec: Specializer, node: Node, trip: Any, reason: NeedsGrowing) -> None:
    """Give a list a buffer with a row for every time that the loop `node` may add to it."""
    seq, row = reason.seq, reason.row
    inside = [n for block in node.blocks for n in block.walk()]
    if isinstance(row, Rows) or any(n.op is LOOP and grows(n) for n in inside):
        raise Refused(f"{reason.reason}, of a loop in it too", reason.loc)
    if any(n.args[k].type.kind != "list" for n in inside for k in n.op.traits.writes):
        raise Refused(f"{reason.reason}, which also writes something in place", reason.loc)
    if (isinstance(trip, Known) and trip.value is None) or not any(a is seq for a in spec.env.values()):
        raise Refused("a list grows in a loop whose number of turns nothing bounds", reason.loc)
    sizes = [spec.sizes.value(d) for d in row.type.dims or (None,)] if row.type.dims != () else []
    if any(s is None for s in sizes):
        raise Refused("what a loop adds to a list in some turns has no known sizes", reason.loc)
    rows = spec.call("py.mul", trip, len(grows(node)))
    buffer = spec.call("zeros", Seq("tuple", [rows, *sizes]), row.type.dtype)
    assert isinstance(buffer, Value)
    seq.items.append(Grown(buffer, Value.constant(0)))


def end_buffer(spec: Specializer, seq: Seq) -> None:
    """The loop is over: the list has the rows that it has filled."""
    grown = seq.items.pop()
    filled = spec.call("clone", spec.call("narrow", grown.buffer, 0, 0, grown.count))
    assert isinstance(filled, Value)
    seq.items.append(Rows(filled, None))


def rows_of_turns(spec: Specializer, parts: list[Value | Rows], stacks: list[Value], trip: Dim) -> Rows:
    """What a loop added to a list: `stacks[k]` has what every turn added as its `parts[k]`."""
    if len(parts) == 1 and isinstance(parts[0], Value):
        return Rows(stacks[0], trip)
    pieces: list[Any] = [
        stack if isinstance(part, Rows) else spec.call("unsqueeze", stack, 1)
        for part, stack in zip(parts, stacks, strict=True)
    ]
    if len({(p.type.dtype, (p.type.dims or (None,))[2:]) for p in pieces}) > 1:
        raise Refused("a loop adds tensors of several types to a list", spec.loc)
    whole = pieces[0] if len(pieces) == 1 else spec.call("cat", Seq("list", pieces, spec.depth), 1)
    assert isinstance(whole, Value)
    count = dims.product((trip, (whole.type.dims or (None, None))[1]))
    flat = spec.call("flatten", whole, 0, 1)
    assert isinstance(flat, Value)
    return Rows(flat, count)


def check_readable(spec: Specializer, seq: Seq) -> None:
    """A list that the open loops append to has a different content at every turn."""
    if seq.grown is not None or any(id(seq) in appended for _, appended in spec.scopes):
        raise Refused("a list is read in the loop that grows it", spec.loc)


def length(spec: Specializer, seq: Seq) -> Abstract:
    if seq.grown is None:
        check_readable(spec, seq)
    total: Any = 0
    value: Abstract = Known(0)
    for item in seq.items:
        if isinstance(item, Grown):
            value = spec.call("py.add", value, item.count)
        elif isinstance(item, Rows):
            size = spec.call("size", item.stacked, 0)
            value = spec.call("py.add", value, size)
        else:
            total += 1
    return spec.call("py.add", value, Known(total)) if not seq.plain else Known(total)


def item(spec: Specializer, seq: Seq, index: Any) -> Abstract:
    """`seq[index]`."""
    check_readable(spec, seq)
    if isinstance(index, Seq) and index.kind == "slice" and seq.plain:
        parts = [p.value if isinstance(p, Known) else _not_constant(spec) for p in index.items]
        return Seq(seq.kind, seq.items[slice(*parts)], spec.depth)
    if not isinstance(index, Known):
        raise NeedsUnrolling("a tuple or list is indexed by a run-time number", spec.loc)
    if seq.plain:
        try:
            found = seq.items[index.value]
            return Seq(seq.kind, found, spec.depth) if isinstance(index.value, slice) else found
        except (IndexError, TypeError, ValueError) as error:
            raise Refused(str(error), spec.loc) from error
    if len(seq.items) == 1 and isinstance(index.value, int):
        return spec.call("clone", spec.call("select", seq.items[0].stacked, 0, index.value))
    raise Refused("an item of a list that a loop grew, beside others", spec.loc)


def _not_constant(spec: Specializer) -> Any:
    raise Refused("a slice of a list with run-time bounds", spec.loc)


def join(spec: Specializer, seq: Seq, dim: int, new_axis: bool) -> Abstract:
    """`stack(seq, dim)` (new_axis) or `cat(seq, dim)` of a list that has rows from a loop."""
    check_readable(spec, seq)
    parts = []
    rows = [part for part in seq.items if isinstance(part, Rows)]
    for part in rows:
        if len(rows) == len(seq.items):
            # Joining no tensors at all is an error in eager mode; a stack of no rows would hide it.
            _not_empty(spec, part)
        elif not all(isinstance(d, int) for d in (part.stacked.type.dims or (None,))[1:]) and part.trip is not None:
            # Where Python runs this code, no rows have no sizes that would fit beside the other items.
            spec.nonempty.add(part.trip)
    for part in seq.items:
        if isinstance(part, Rows):
            parts.append(_rows_joined(spec, part.stacked, dim, new_axis))
        else:
            parts.append(spec.call("unsqueeze", part, dim) if new_axis else part)
    if len(parts) == 1:
        return parts[0]
    return spec.call("cat", Seq("list", parts, spec.depth), dim)


def _not_empty(spec: Specializer, part: Rows) -> None:
    if isinstance(part.trip, int):
        if part.trip == 0:
            raise Refused("a list without items is joined", spec.loc)
    elif part.trip is not None and dims.least_for_one(part.trip) is not None:
        spec.nonempty.add(part.trip)
    else:
        part.stacked = spec.block.append(
            registry.get("py.nonempty"), [part.stacked], [part.stacked.type], loc=spec.loc
        ).result


def _rows_joined(spec: Specializer, stacked: Value, dim: int, new_axis: bool) -> Abstract:
    t = stacked.type
    if t.dims is None:
        raise Refused("rows of unknown rank are joined", spec.loc)
    rank = len(t.dims) - 1
    at = dim + (rank + (1 if new_axis else 0)) if dim < 0 else dim
    if new_axis:
        if at == 0:
            return stacked
        return spec.call("contiguous", spec.call("permute", stacked, _moved(len(t.dims), at)))
    lead = dims.product(t.dims[:1]) if rank == 0 else dims.product((t.dims[0], t.dims[1 + at]))
    if lead is None:
        raise Refused("rows of unknown size are concatenated", spec.loc)
    front = spec.call("permute", stacked, _moved(len(t.dims), at))
    shape = [*t.dims[1 : 1 + at], lead, *t.dims[2 + at :]]
    joined = spec.call("reshape", front, sizes(spec, shape))
    return joined if at == 0 else spec.call("contiguous", joined)  # the reshape may be a view, where eager copies


def sizes(spec: Specializer, shape: list[Any]) -> Abstract:
    """A shape argument: constants, -1 for the one size that is symbolic."""
    out = [s if isinstance(s, int) else -1 for s in shape]
    if out.count(-1) > 1:
        raise Refused("a reshape with two symbolic sizes", spec.loc)
    return Known(out)


def _moved(rank: int, to: int) -> Known:
    order = list(range(1, rank))
    order.insert(to, 0)
    return Known(order)


def materialize(spec: Specializer, seq: Seq) -> Value:
    """A Python list at run time: the rows as separate tensors."""
    check_readable(spec, seq)
    if seq.shared:
        raise Refused("a list has views of an argument, which a loop made, as items", spec.loc)
    lists = []
    for part in seq.items:
        if isinstance(part, Rows):
            row = part.stacked.type
            types = [Type.list(row.with_(dims=None if row.dims is None else row.dims[1:]))]
            lists.append(spec.block.append(registry.get("py.rows"), [part.stacked], types, loc=spec.loc).result)
        else:
            value = spec.materialize(part)
            lists.append(
                spec.block.append(registry.get("py.list"), [value], [Type.list(value.type)], loc=spec.loc).result
            )
    out = lists[0]
    for more in lists[1:]:
        out = spec.block.append(registry.get("py.add"), [out, more], [out.type], loc=spec.loc).result
    return out
