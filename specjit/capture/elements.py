"""What lists hold: one element type per place in the program where a list is made.

Enters: nodes as they are appended. Leaves: list types whose element type covers everything the program ever puts in.
Invariant: a list is known by the places it may come from (`Session.origins`); putting something new into it widens the
type of each of them, and if that type has been relied on already, the capture starts again with what it has learned
(`Session.elements` stays). A list that reaches code which cannot be seen into, or another container, may hold anything.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from specjit.ir.graph import Node, Value
from specjit.ir.types import ANY, Type, join

if TYPE_CHECKING:
    from specjit.capture.frame import Frame, Session

Origin = tuple[Any, ...]

# Methods of lists that put nothing new in and let nothing out but elements.
_QUIET_METHODS = frozenset(("pop", "index", "count", "copy", "reverse", "clear", "sort", "remove"))
# Records that only look at a list, whatever their argument.
_READERS = frozenset(
    f"py.{name}"
    for name in (
        *("getitem", "delitem", "len", "iter_list", "contains", "unpack", "unpack_star", "print", "format", "str"),
        *("bool", "not", "is", "is_not", "eq", "ne", "lt", "le", "gt", "ge", "add", "mul", "sum", "min", "max"),
        *("bound", "refine", "spread", "iter"),
    )
)
# Records that take something out of a container, and those whose lists are new but hold what was in one.
_TAKEN_OUT = frozenset(("py.getitem", "py.unpack", "py.global", "py.closure"))
_FRESH = frozenset(("py.unpack_star", "py.spread", "py.iter_list"))


def shallow(t: Type) -> Type:
    """The type of something taken out of a container: a list in there may hold anything."""
    if t.kind == "list":
        return Type.list(ANY)
    return t.with_(args=tuple(map(shallow, t.args))) if t.args else t


def made(f: Frame, node: Node, at: Any) -> None:
    """Name the origin of every list that a new node yields."""
    for k, result in enumerate(node.results):
        t = result.type
        if node.op.name in _FRESH:
            result.type = t = t.with_(args=tuple(map(shallow, t.args)))
        elif node.op.name in _TAKEN_OUT:
            result.type = t = shallow(t)
        if t.kind != "list":
            continue
        if node.op.name in ("py.refine", "py.bound", "py.iadd"):
            f.session.origins[result] = f.session.origins.get(node.args[0], frozenset())
            continue
        empty = node.op.name == "py.list" and not node.args
        origin: Origin = (id(at), f.via, k)
        result.type = start(f.session, result, origin, None if empty else t.args[0])


def start(session: Session, value: Value, origin: Origin, element: Type | None) -> Type:
    """The type of a list from `origin` that begins with elements of this type (None: with none)."""
    session.origins[value] = frozenset((origin,))
    known = session.elements.get(origin)
    if element is not None:
        known = element if known is None else join(known, element)
        session.elements[origin] = known
    return Type.list(ANY if known is None else known)


def used(f: Frame, node: Node) -> None:
    """Widen the element types of lists that a new node changes or lets out."""
    name, args = node.op.name, node.args
    if f.session.finished or not any(a in f.session.origins for a in args):
        return
    traits = node.op.traits
    library = name == "py.call" and args[0].is_const and hasattr(args[0].const, "composite")
    if name in _READERS or library or not (name.startswith("py.") or traits.writes or traits.io):
        return
    rest = args
    if name == "py.append":
        put(f.session, args[0], args[1].type)
        rest = args[1:]
    elif name == "py.setitem" and args[1].type.kind in ("int", "bool"):
        put(f.session, args[0], args[2].type)
        rest = args[2:]
    elif name == "py.method" and args[0].type.kind == "list":
        rest = args[3:]
        method = args[1].const
        if method == "insert" and len(rest) == 2:
            put(f.session, args[0], rest[1].type)
        elif method == "extend" and len(rest) == 1 and rest[0].type.kind == "list":
            put(f.session, args[0], rest[0].type.args[0])
            rest = []
        elif method not in _QUIET_METHODS:
            rest = args
    elif name == "py.iadd" and args[1].type.kind == "list":
        put(f.session, args[0], args[1].type.args[0])
        rest = []
    for a in rest:
        put(f.session, a, ANY)


def put(session: Session, value: Value, t: Type) -> None:
    """Something of type `t` is put into the list `value`."""
    from specjit.capture.values import widen

    for origin in session.origins.get(value, ()):
        before = session.elements.get(origin)
        after = widen(t) if before is None else join(before, widen(t))
        if after != before:
            session.elements[origin] = after
            session.unsettled = True


def merged(session: Session, result: Value, sources: Iterable[Value]) -> None:
    """`result` is one of `sources`, depending on control flow."""
    origins = frozenset(o for s in sources for o in session.origins.get(s, ()))
    if origins:
        session.origins[result] = origins
