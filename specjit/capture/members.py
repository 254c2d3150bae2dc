"""Lists and dicts from outside that hold functions, classes, modules or objects: what is taken out of them is known.

Enters: values that were read as attributes or globals and turn out to be lists or dicts. Leaves: their members as known
objects, under guards on identity (and on the length or the keys where a program goes through all of them).
Invariant: members are known only in a program that changes no list or dict which might be the one that holds them, and
only before any code that cannot be seen has run. Data (numbers, tensors, other containers) is read at run time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from specjit.capture.attributes import ALWAYS_KNOWN, MISSING, describe, is_operator
from specjit.capture.frame import SIMPLE
from specjit.capture.stores import ANY_STORE, Store
from specjit.capture.values import Abstract, Iteration, Known, TupleOf, Value, const, constant_of
from specjit.nn.module import Module
from specjit.tensor.tensor import Tensor

if TYPE_CHECKING:
    from specjit.capture.frame import Frame

MAX_MEMBERS = 64


def note_store(f: Frame, value: Value, obj: Any, source: str, fetch: str) -> None:
    """`value` reads the list or dict `obj`."""
    members = obj.values() if isinstance(obj, dict) else obj
    if type(obj) is set or not 0 < len(obj) <= MAX_MEMBERS or not all(map(_is_structure, members)):
        return
    if isinstance(obj, dict) and not all(isinstance(k, SIMPLE) for k in obj):
        return
    f.session.stores[value] = Store(obj, source, fetch)
    if value.node is not None:
        value.node.attrs["_helper"] = True  # not needed where all that is taken out of it is known


def _is_structure(x: Any) -> bool:
    """Whether something is a part of the program rather than data."""
    if isinstance(x, (*ALWAYS_KNOWN, Module)) or is_operator(x):
        return True
    return not isinstance(x, (*SIMPLE, Tensor, list, dict, set, tuple)) and type(x).__module__ != "builtins"


def _store(f: Frame, value: Abstract) -> Store | None:
    """The container that a value reads, where its members can be known."""
    session = f.session
    found = session.stores.get(value) if isinstance(value, Value) else None
    if found is None or session.touched or session.changed & {ANY_STORE, id(found.obj)}:
        return None
    session.relied.add(id(found.obj))
    return found


def member(f: Frame, container: Value, index: Abstract) -> Abstract | None:
    """`container[index]`, where that is known; None for everything else."""
    store = _store(f, container)
    key = _known_index(f, index) if store is not None else MISSING
    if store is None or key is MISSING:
        return None
    try:
        store.obj[key]
    except (KeyError, IndexError, TypeError):
        return None
    return _taken(f, store, key)


def _known_index(f: Frame, index: Abstract) -> Any:
    """An index that is known, or an attribute whose value can be guarded."""
    ok, constant = constant_of(index)
    if ok:
        return constant if isinstance(constant, int | str) else MISSING
    if not isinstance(index, Value) or index not in f.session.examples:
        return MISSING
    constant, group, source, fetch = f.session.examples[index]
    if not isinstance(constant, int | str):
        return MISSING
    f.session.facts.add(group, source, "value", constant, f.origin(), fetch)
    return constant


def _taken(f: Frame, store: Store, key: Any) -> Abstract:
    """A member. That it is the same object is checked in every call: no epoch counts what happens to a list."""
    item = store.obj[key]
    source, fetch = f"{store.source}[{key!r}]", f"{store.fetch}[{key!r}]"
    if isinstance(item, ALWAYS_KNOWN) or is_operator(item):
        return describe(f, item, "globals", source, fetch, None)
    f.session.facts.add("globals", source, "identity", item, f.origin(), fetch)
    f.session.paths[id(item)] = source
    group = "structure" if isinstance(item, Module) else "globals"
    return Known(item, const(item), f"{group}|{source}|{f.session.facts.bind(item)}")


def members(f: Frame, container: Abstract) -> list[Abstract] | None:
    """What an iteration over a list gives, or over the keys of a dict; None where that is not known."""
    store = _store(f, container)
    if store is None:
        return None
    f.session.iterated.append(id(store.obj))
    keys = _all(f, store)
    return [const(k) for k in keys] if isinstance(store.obj, dict) else [_taken(f, store, k) for k in keys]


def view(f: Frame, container: Value, kind: str) -> Iteration | None:
    """`container.items()` and so on of a dict whose members are known."""
    store = _store(f, container)
    if store is None or not isinstance(store.obj, dict):
        return None
    f.session.iterated.append(id(store.obj))
    keys = _all(f, store)
    items: list[Abstract] = [const(k) for k in keys]
    if kind != "keys":
        values = [_taken(f, store, k) for k in keys]
        items = values if kind == "values" else [TupleOf(pair) for pair in zip(items, values)]
    return Iteration(kind, (container, TupleOf(tuple(items))))


def _all(f: Frame, store: Store) -> list[Any]:
    """The keys of a dict or the indices of a list, which are guarded."""
    obj = store.obj
    if isinstance(obj, dict):
        f.session.facts.add(
            "globals", f"keys({store.source})", "value", tuple(obj), f.origin(), f"tuple({store.fetch})"
        )
        return list(obj)
    f.session.facts.add("globals", f"len({store.source})", "length", len(obj), f.origin(), store.fetch)
    return list(range(len(obj)))
