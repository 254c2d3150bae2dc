"""How a `for` statement reads: `for x in xs`, `for k in range(a, b)` instead of an index and an item computed from it.

Enters: a loop node with a trip count. Leaves: `Header`, or None where the loop runs over `range(trip)`.
Invariant: the header evaluates what the replaced nodes evaluate. Iterating over a list instead of indexing it is
chosen only where capture has made sure that nothing in the body changes the list's length (`attrs["_iterates"]`).
"""

from __future__ import annotations

from typing import NamedTuple

from specjit.ir.constants import same
from specjit.ir.graph import Node, Value


class Header(NamedTuple):
    """item: the loop variable. kind and parts: "each" (sequence), "enumerate" (sequence), "range" (start, stop, step);
    a part is a value or a Python int. skip: leading nodes of the body that the header replaces. trip: what becomes of
    the trip count: "keep" (it is used elsewhere or constant), "drop" (its node is replaced too), "span" (it reads
    len(range(...)), and the range is the header)."""

    item: Value
    kind: str
    parts: tuple[Value | int, ...]
    skip: int
    trip: str


def header(node: Node, counts: dict[Value, int]) -> Header | None:
    """The form of a loop that begins with computing its item from the index."""
    trip = node.args[0]
    body = node.blocks[0]
    index = body.params[0]
    if not body.nodes or node.attrs.get("reverse"):
        return None
    first = body.nodes[0]
    if len(first.results) != 1:
        return None
    once = counts.get(trip) == 1
    if node.attrs.get("_iterates") and once and trip.node is not None and trip.node.op.name == "py.len":
        sequence = trip.node.args[0]
        if first.op.name in ("py.getitem", "getitem") and first.args[0] is sequence and first.args[1] is index:
            kind = "each" if counts.get(index) == 1 else "enumerate"
            return Header(first.result, kind, (sequence,), 1, "drop")
    if counts.get(index) != 1:
        return None
    return _affine(trip, index, body.nodes[:2], once, counts)


def _affine(trip: Value, index: Value, nodes: list[Node], once: bool, counts: dict[Value, int]) -> Header | None:
    """item = start + index * step."""
    first, skip = nodes[0], 1
    step: Value | int = 1
    if first.op.name == "py.mul" and first.args[0] is index and len(nodes) == 2 and counts.get(first.result) == 1:
        step, skip = first.args[1], 2
        second = nodes[1]
        if second.op.name != "py.add" or second.args[1] is not first.result:
            return None
        start, item = second.args[0], second.result
    elif first.op.name in ("py.add", "py.sub") and first.args[1] is index:
        step = 1 if first.op.name == "py.add" else -1
        start, item = first.args[0], first.result
    else:
        return None
    made = trip.node.op.name if trip.node is not None else ""
    if trip.is_const and start.is_const and _is_int(start) and (not isinstance(step, Value) or _is_int(step)):
        by = step.const if isinstance(step, Value) else step
        stop = start.const + trip.const * by
        return Header(item, "range", (start.const, stop, by), skip, "keep")
    if step == -1 and start.node is not None and start.node.op.name == "py.sub":
        count, one = start.node.args
        if _same(count, trip) and _is_int(one) and one.const == 1:
            return Header(item, "range", (start, -1, -1), skip, "keep")
    if not once or trip.node is None:
        return None
    if made == "py.sub" and step == 1 and _same(trip.node.args[1], start):
        return Header(item, "range", (start, trip.node.args[0], 1), skip, "drop")
    if made == "py.sub" and step == -1 and _same(trip.node.args[0], start):
        return Header(item, "range", (start, trip.node.args[1], -1), skip, "drop")
    whole = trip.node.args[0].node if made == "py.len" else None
    if whole is not None and whole.op.name == "py.range" and counts.get(whole.result) == 1 and isinstance(step, Value):
        if _same(whole.args[0], start) and _same(whole.args[2], step):
            return Header(item, "range", tuple(whole.args), skip, "span")
    return None


def _is_int(v: Value) -> bool:
    return v.is_const and type(v.const) is int


def _same(a: Value, b: Value) -> bool:
    return a is b or (a.is_const and b.is_const and same(a.const, b.const))
