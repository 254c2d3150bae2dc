"""Containers of modules: their members, one by one, each a known module.

Enters: a `Known` ModuleList, Sequential or ModuleDict. Leaves: its members, and views of it (slices, keys, values,
items) whose items are known too.
Invariant: the number of members, and the keys of a dict, are guarded; members are attributes, guarded as such.
"""

from __future__ import annotations

from specjit.capture.attributes import attribute, place_of
from specjit.capture.frame import Frame
from specjit.capture.values import Abstract, Iteration, Known, TupleOf, const, constant_of
from specjit.nn.containers import ModuleDict, ModuleList, Sequential

VIEWS = ("keys", "values", "items")


def module_items(f: Frame, owner: Known) -> list[Abstract] | None:
    """The members of a ModuleList or Sequential (keys of a ModuleDict), in order; None if `owner` is something else."""
    names = _child_names(f, owner)
    if names is None:
        return None
    if isinstance(owner.obj, ModuleDict):
        _guard_keys(f, owner, names)
        return [const(name) for name in names]
    return [attribute(f, owner, name) for name in names]


def _guard_keys(f: Frame, owner: Known, names: list[str]) -> None:
    _, source, fetch = place_of(owner)
    f.session.facts.add("structure", f"keys({source})", "value", tuple(names), f.origin(), f"tuple({fetch}._modules)")


def view(f: Frame, owner: Known, kind: str) -> Iteration | None:
    """`modules.items()` and so on; None for a container of another kind."""
    names = _child_names(f, owner)
    if names is None:
        return None
    _guard_keys(f, owner, names)
    keys = [const(name) for name in names]
    values = [attribute(f, owner, name) for name in names] if kind != "keys" else []
    items: list[Abstract] = [*keys] if kind == "keys" else values
    if kind == "items":
        items = [TupleOf(pair) for pair in zip(keys, values)]
    return Iteration(kind, (owner, TupleOf(tuple(items))))


def view_items(it: Iteration) -> list[Abstract]:
    """The items of a view."""
    items = it.parts[-1]
    assert isinstance(items, TupleOf)
    return list(items.items)


def is_view(it: Abstract) -> bool:
    return isinstance(it, Iteration) and it.kind in ("slice", *VIEWS)


def _child_names(f: Frame, owner: Known) -> list[str] | None:
    """The names of a container's children, whose number is guarded."""
    cls = type(owner.obj)
    plain = isinstance(owner.obj, ModuleList | Sequential) and cls.__getitem__ is ModuleList.__getitem__
    keyed = isinstance(owner.obj, ModuleDict) and cls.__getitem__ is ModuleDict.__getitem__
    if not ((plain and cls.__iter__ is ModuleList.__iter__) or (keyed and cls.__iter__ is ModuleDict.__iter__)):
        return None
    names = list(owner.obj._modules)
    _, source, fetch = place_of(owner)
    origin = f.origin()
    f.session.facts.add("structure", f"len({source})", "length", len(names), origin, f"{fetch}._modules")
    return names


def member(f: Frame, owner: Known, index: Abstract) -> Abstract | None:
    """`modules[index]` for a known index, or a known slice; None where Python would raise, and for anything else."""
    ok, i = constant_of(index)
    if not ok:
        if f.session.unrollable and module_items(f, owner) is not None:
            from specjit.capture.iteration import NeedsConstant

            raise NeedsConstant("an index into a container of modules that is known only at run time")
        return None
    if isinstance(owner.obj, ModuleDict):
        found = isinstance(i, str) and i in (_child_names(f, owner) or ())
        return attribute(f, owner, i) if found else None
    items = module_items(f, owner) if isinstance(i, int | slice) else None
    if items is None:
        return None
    if isinstance(i, slice):
        return Iteration("slice", (owner, index, TupleOf(tuple(items[i]))))
    return items[i] if -len(items) <= i < len(items) else None
