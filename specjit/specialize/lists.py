"""Lists that the program grows, seen as scans.

Enters: `Seq` lists, some of whose items are `Rows` (everything that a loop appended). Leaves: typed nodes on the
stacked tensor. Invariant: a row taken out of a stack is a fresh copy wherever eager's row would have had storage of
its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from specjit.ir import dims
from specjit.ir.graph import Value
from specjit.ir.types import Type
from specjit.ops.records import registry
from specjit.specialize.abstract import Abstract, Known, NeedsUnrolling, Refused, Rows, Seq

if TYPE_CHECKING:
    from specjit.specialize.specializer import Specializer


def append(spec: Specializer, seq: Seq, item: Any) -> Abstract:
    if seq.foreign:
        raise Refused(f"{seq.foreign} belongs to the caller and is changed in place", spec.loc)
    if seq.kind != "list":
        raise Refused(f"append to a {seq.kind}", spec.loc)
    if seq.depth == spec.depth:
        seq.items.append(item)
        return Known(None)
    kind, appended = spec.scopes[-1]
    if kind != "loop" or seq.depth != spec.depth - 1 or id(seq) in appended:
        raise Refused("a list grows conditionally, more than once per turn, or in an inner loop", spec.loc)
    if not isinstance(item, Value) or not item.type.is_tensor:
        raise NeedsUnrolling("a list of things other than tensors grows in a loop", spec.loc)
    appended[id(seq)] = (seq, item)
    return Known(None)


def check_readable(spec: Specializer, seq: Seq) -> None:
    """A list that the open loops append to has a different content at every turn."""
    if any(id(seq) in appended for _, appended in spec.scopes):
        raise Refused("a list is read in the loop that grows it", spec.loc)


def length(spec: Specializer, seq: Seq) -> Abstract:
    check_readable(spec, seq)
    total: Any = 0
    value: Abstract = Known(0)
    for item in seq.items:
        if isinstance(item, Rows):
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
