"""What the specializer knows of a value while it walks a generic graph.

Leaves: small classes, one per kind of knowledge. `Known` is a Python constant; an `ir.Value` is a typed run-time
value; `Seq` is a tuple, or a list that this program made itself; `Obj` is a Python object reached from the model by a
path. Invariant: a `Seq` list is one object with identity: every name that means the list means the same `Seq`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Union

from specjit.ir.dims import Dim
from specjit.ir.graph import Location, Value


class Refused(Exception):
    """This graph cannot be specialized here; the generic path stays. `reason` is for the event log."""

    def __init__(self, reason: str, loc: Location | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.loc = loc


class NeedsUnrolling(Refused):
    """The loop body needs the value of the induction variable (it indexes a container of unlike things)."""


class NeedsGrowing(Refused):
    """A loop adds `row` to `seq`, in a number of turns that is not known beforehand."""

    def __init__(self, reason: str, loc: Location | None, seq: Seq, row: Value | Rows) -> None:
        super().__init__(reason, loc)
        self.seq, self.row = seq, row


@dataclass(frozen=True)
class Known:
    """A Python constant."""

    value: Any


@dataclass(frozen=True)
class Obj:
    """A Python object the graph reached by attribute reads; `path` is its source expression."""

    value: Any
    path: str


@dataclass(eq=False)
class Rows:
    """The part of a list that a loop appended: row i of `stacked`, for `trip` rows."""

    stacked: Value
    trip: Dim


@dataclass(eq=False)
class Grown:
    """What the loop that is open has added to a list so far: the first `count` rows of `buffer`."""

    buffer: Value
    count: Value


@dataclass(eq=False)
class Seq:
    """A tuple, list, slice or `specjit.Size` with known items. `depth` is the loop depth at which a list was made;
    `foreign` marks a list that belongs to the caller, so that changing it is an outside effect; `names` are the fields
    of a result with names."""

    kind: str
    items: list[Any]
    depth: int = 0
    foreign: str = ""
    names: tuple[str, ...] = ()
    shared: bool = False  # a loop has added views of the caller's memory

    @property
    def is_tuple(self) -> bool:
        return self.kind in ("tuple", "Size")

    @property
    def plain(self) -> bool:
        return not any(isinstance(i, Rows | Grown) for i in self.items)

    @property
    def grown(self) -> Grown | None:
        """What the open loop adds to, if it fills a buffer."""
        last = self.items[-1] if self.items else None
        return last if isinstance(last, Grown) else None


@dataclass(eq=False)
class Mapping:
    """A dict with constant keys; `depth` and `foreign` as of `Seq`."""

    items: dict[Any, Any] = field(default_factory=dict)
    depth: int = 0
    foreign: str = ""


Abstract = Union[Known, Value, Obj, Seq, Mapping]


def constant(value: Any) -> Abstract:
    """A constant as the specializer sees it. Tuples are taken apart so that their items stay known."""
    return Seq("tuple", [constant(v) for v in value]) if type(value) is tuple else Known(value)


def unknown(a: Any) -> str:
    """Words for a value of which nothing is known: where it comes from."""
    node = a.node if isinstance(a, Value) else None
    if node is None or node.loc is None:
        return "a value of unknown type"
    how = "Python code" if node.op.name == "py.call" else node.op.name.removeprefix("py.")
    return f"a value of unknown type, which {how} at {node.loc.user} gives,"


def each_value(a: Any, visit: Callable[[Value], None]) -> None:
    """Call `visit` for every run-time value inside `a`."""
    if isinstance(a, Value):
        visit(a)
    elif isinstance(a, Seq):
        for item in a.items:
            if isinstance(item, Grown):
                visit(item.buffer)
                visit(item.count)
            else:
                each_value(item.stacked if isinstance(item, Rows) else item, visit)
    elif isinstance(a, Mapping):
        for item in a.items.values():
            each_value(item, visit)


def substitute(a: Any, mapping: dict[Value, Value], done: set[int] | None = None) -> Any:
    """`a` with values replaced; lists and dicts are changed in place, because they have identity."""
    done = set() if done is None else done
    if isinstance(a, Value):
        return mapping.get(a, a)
    if isinstance(a, Seq):
        if a.is_tuple:
            return Seq(a.kind, [substitute(i, mapping, done) for i in a.items], a.depth, names=a.names)
        if id(a) not in done:
            done.add(id(a))
            a.items[:] = [substitute(i, mapping, done) for i in a.items]
    elif isinstance(a, Mapping) and id(a) not in done:
        done.add(id(a))
        a.items.update({k: substitute(v, mapping, done) for k, v in a.items.items()})
    elif isinstance(a, Rows):
        a.stacked = mapping.get(a.stacked, a.stacked)
    elif isinstance(a, Grown):
        return Grown(mapping.get(a.buffer, a.buffer), mapping.get(a.count, a.count))
    return a


def flatten(a: Any, leaves: list[Any]) -> Any:
    """Split `a` into leaves (values and constants, appended to `leaves`) and a hashable structure."""
    if isinstance(a, Seq) and a.is_tuple:
        return (a.kind, tuple(flatten(i, leaves) for i in a.items), a.names)
    if isinstance(a, (Value, Known)):
        leaves.append(a)
        return "leaf"
    return ("same", a)


def unflatten(structure: Any, leaves: list[Any]) -> Any:
    """The inverse of `flatten`; consumes `leaves` from the front."""
    if structure == "leaf":
        return leaves.pop(0)
    if structure[0] in ("tuple", "Size"):
        return Seq(structure[0], [unflatten(s, leaves) for s in structure[1]], names=structure[2])
    return structure[1]
