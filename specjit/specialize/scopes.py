"""Blocks inside blocks: what an inner block does to the environment, and the storage that it writes.

Enters: a node with blocks. Leaves: an environment in which only outputs of the inner block have left it.
Invariant: storage that an inner block writes leaves it under a new name, so reads before and after differ.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from specjit.ir.graph import Block, Node, Value
from specjit.ir.structure import LOOP
from specjit.specialize import lists
from specjit.specialize.abstract import Mapping, Rows, Seq, each_value, substitute

if TYPE_CHECKING:
    from specjit.specialize.specializer import Specializer


class Scope:
    """Interpret into a fresh block, and leave no trace in the environment: what an inner block changed comes out only
    through its outputs. `hidden` are outer values whose storage the block writes."""

    def __init__(self, spec: Specializer, kind: str, hidden: list[Value]) -> None:
        self.spec, self.kind, self.hidden = spec, kind, hidden
        self.block = Block()
        self.appended: dict[int, tuple[Seq, list[Value | Rows]]] = {}
        self._probes = [Value(h.type, None, h.hint) for h in hidden]

    def __enter__(self) -> Scope:
        spec = self.spec
        self._outer = spec.block
        self._env = dict(spec.env)
        self._contents = contents(spec)
        spec.block = self.block
        spec.scopes.append((self.kind, self.appended))
        for probe, h in zip(self._probes, self.hidden, strict=True):
            spec.env[probe] = h
        return self

    def enter_hidden(self, params: list[Value]) -> None:
        mapping = dict(zip(self.hidden, params, strict=True))
        for old, new in mapping.items():
            self.spec.roots[new] = self.spec.root(old)
        done: set[int] = set()
        for key, a in self.spec.env.items():
            self.spec.env[key] = substitute(a, mapping, done)

    def current_hidden(self) -> list[Value]:
        return [self.spec.env[p] for p in self._probes]

    def __exit__(self, *exc: object) -> None:
        spec = self.spec
        spec.block = self._outer
        spec.env = self._env
        spec.scopes.pop()
        restore(self._contents)


class Mark:
    """A point of the program that the interpreter can go back to, with what it knew there."""

    def __init__(self, spec: Specializer) -> None:
        self.spec, self.count, self.env = spec, len(spec.block.nodes), dict(spec.env)
        self.contents = contents(spec)

    def back(self) -> None:
        del self.spec.block.nodes[self.count :]
        self.spec.env = self.env
        restore(self.contents)


def contents(spec: Specializer) -> list[tuple[Seq | Mapping, Any]]:
    """What the lists and dicts that the program knows hold."""
    known = spec.env.values()
    lists: list[tuple[Seq | Mapping, Any]] = [
        (a, list(a.items)) for a in known if isinstance(a, Seq) and a.kind == "list"
    ]
    return [*lists, *((a, dict(a.items)) for a in known if isinstance(a, Mapping))]


def restore(held: list[tuple[Seq | Mapping, Any]]) -> None:
    for container, items in held:
        if isinstance(container, Seq):
            container.items[:] = items
        else:
            container.items.clear()
            container.items.update(items)


def written_roots(spec: Specializer, node: Node, init: Sequence[Any] = ()) -> set[Value]:
    """Storage known outside `node` that something inside it may write in place, directly or through a carried value.
    `init`: what the values start as that `node`, a loop, carries."""
    roots: set[Value] = set()
    given = dict(zip(node.blocks[0].params[1:], init, strict=True)) if node.op is LOOP else {}
    started: dict[Value, Value] = {}
    inside = [node, *(n for block in node.blocks for n in block.walk())]
    for n in inside[1:]:
        if n.op is LOOP:
            started.update(zip(n.blocks[0].params[1:], n.args[2:], strict=True))
    for n in inside[1:]:
        for position in n.op.traits.writes:
            target: Value | None = n.args[position]
            while target is not None and target not in spec.env and target not in given:
                target = started.get(target)
            if target is not None:
                each_value(given[target] if target in given else spec.env[target], lambda v: roots.add(spec.root(v)))
    return roots


def written_outside(spec: Specializer, node: Node, init: Sequence[Any] = ()) -> list[Value]:
    """Run-time values that are needed beside `node`'s own arguments and whose storage something inside it writes."""
    roots = written_roots(spec, node, init)
    found: dict[Value, None] = {}
    if roots:
        for key, a in spec.env.items():
            if spec.liveness.needed(key, node):
                each_value(a, lambda v: found.setdefault(v) if spec.root(v) in roots and not v.is_const else None)
    for a in spec.env.values():
        if isinstance(a, Seq) and a.grown is not None and lists.grows(node):
            found.update({a.grown.buffer: None, a.grown.count: None})
    return list(found)


def rebind(spec: Specializer, old: list[Value], new: list[Any]) -> None:
    mapping = dict(zip(old, new, strict=True))
    for before, after in mapping.items():
        spec.roots[after] = spec.root(before)
    done: set[int] = set()
    for key, a in spec.env.items():
        spec.env[key] = substitute(a, mapping, done)
