"""Lists and dicts from outside, and which of them a program may change.

Enters: reads of lists and dicts, and nodes as they are appended. Leaves: `Session.stores` (what was read where) and
`Session.changed` (the containers that some node may change).
Invariant: a change that is found after something relied on the container makes the capture begin anew.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from specjit.capture.values import Value

if TYPE_CHECKING:
    from specjit.capture.frame import Frame
    from specjit.ir.graph import Node

ANY_STORE = 0  # in `Session.changed`: a container of which it is not known which one it is
_CHANGES = frozenset(("py.setitem", "py.delitem", "py.append", "py.iadd", "py.ior", "py.imul"))
_READS = ("get", "keys", "values", "items", "copy", "index", "count")
_LOOKS: tuple[Any, ...] = (
    len,
    list,
    tuple,
    dict,
    set,
    sorted,
    enumerate,
    zip,
    reversed,
    isinstance,
    type,
    id,
    max,
    min,
)
_OPEN = ("any", "class", "optional")


@dataclass(frozen=True, slots=True)
class Store:
    """A list or dict that was read. The example `obj`, and how a guard reaches it."""

    obj: Any
    source: str
    fetch: str


def changes(f: Frame, node: Node) -> None:
    """Note the containers that a new node may change."""
    name, args = node.op.name, node.args
    if name == "py.call":
        if args[0].is_const and not any(args[0].const is look for look in _LOOKS):
            for a in args[2:]:
                if a in f.session.stores:
                    _changed(f, id(f.session.stores[a].obj))
    elif name in _CHANGES or (name == "py.method" and args[1].const not in _READS):
        _changed_target(f, args[0])


@contextlib.contextmanager
def iterating(f: Frame) -> Iterator[None]:
    """Around a loop: where code that cannot be seen runs in it, that may change what the loop goes through."""
    session = f.session
    start, before = len(session.iterated), session.touched
    yield
    if session.touched and not before:
        for key in session.iterated[start:]:
            _changed(f, key)


def _changed_target(f: Frame, target: Value) -> None:
    store = f.session.stores.get(target)
    if store is not None:
        _changed(f, id(store.obj))
    elif target.type.kind in _OPEN or (target.type.kind in ("list", "dict") and not _is_another(target)):
        _changed(f, ANY_STORE)


def _is_another(target: Value) -> bool:
    """Whether a container is one that the program made, or one of numbers or tensors."""
    made = target.node is not None and target.node.op.name in ("py.list", "py.dict", "py.iter_list")
    return made or target.is_const or target.type.args[-1].kind not in _OPEN


def _changed(f: Frame, key: int) -> None:
    session = f.session
    if key not in session.changed:
        session.changed.add(key)
        session.unsettled |= bool(session.relied) if key == ANY_STORE else key in session.relied
