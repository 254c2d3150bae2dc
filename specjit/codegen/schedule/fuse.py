"""Which computations run in one kernel.

Enters: the items of one block. Leaves: `Group`s in an order in which they can run; each `Group` is one kernel or one
other item.
Invariant: every read of a group's own value goes through an index map that the kernel can follow (`index`), and no
group depends on itself through another one. A group with a matrix product has exactly one; a group with reductions
reduces over one set of axes. Every item depends on the checks before it in the program that keep reads in bounds.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable

from specjit.codegen.abi import Status
from specjit.codegen.schedule.fit import consistent, fit_map, fit_reduce, solve_axis, solve_view
from specjit.codegen.schedule.group import Group, axes_used, new_axes
from specjit.codegen.schedule.index import KAPPA, Axis, Index
from specjit.codegen.schedule.items import Check, Fetch, If, Item, Loop, Map, Matmul, Part, Pick, Reduce, Scan
from specjit.codegen.schedule.model import Source
from specjit.codegen.schedule.redimension import Shape, over

MAX_MEMBERS = 64
KERNELS: dict[type[Item], str] = {
    Matmul: "a matrix product reads its operands from memory, in panels and rows",
    Scan: "running sums need whole rows in order",
    Pick: "positions that are known at run time are read from memory",
    Fetch: "a number for the program is read from memory",
}
MEMORY_CHECKS = (Status.GUARD, Status.INDEX)  # what these let through may be read without looking again


class Fuser:
    """Assigns the items of one block to groups, in program order."""

    def __init__(self, items: list[Item]) -> None:
        self.groups: list[Group] = []
        self.of: dict[Source, Group] = {}
        self.reg_of: dict[str, Group] = {}
        self.check: Group | None = None  # the latest that keeps reads in bounds
        self.refused: list[tuple[Item, str]] = []  # what starts a kernel of its own although it reads another's values
        self.later: dict[Group, set[Group]] = {}  # what had better run before, for the sake of memory
        for order, item in enumerate(items):
            self.place(item, order)
        for item in items:
            if isinstance(item, Part) and item.base is not None:
                self.write_last(item, item.base)

    # dependencies

    def inputs(self, g: Group) -> set[Group]:
        found = {self.of[v.source] for v in g.reads() if v.source in self.of}
        found |= {self.reg_of[name] for name in g.needs_regs() if name in self.reg_of}
        if g.after is not None:
            found.add(g.after)
        found |= self.later.get(g, set())
        found.discard(g)
        return found

    def reaches(self, start: Iterable[Group], goal: Group) -> bool:
        """Whether one of `start` is, or depends on, `goal`."""
        stack, seen = list(start), set()
        while stack:
            g = stack.pop()
            if g is goal:
                return True
            if g not in seen:
                seen.add(g)
                stack.extend(self.inputs(g))
        return False

    def write_last(self, part: Part, base: Source) -> None:
        """What puts something new into a copy of `base` runs after what reads `base`, so that it can write over it."""
        readers = [g for g in self.groups if any(v.source is base for v in g.reads())]
        for writer in dict.fromkeys(self.of[s] for s in part.out.parts if s in self.of):
            if all(isinstance(i, Map) and i.is_copy and i.operands[0].source is base for i in writer.items):  # type: ignore[union-attr]
                continue
            for reader in readers:
                if reader is not writer and not self.reaches([reader], writer):
                    self.later.setdefault(writer, set()).add(reader)

    # placing

    def place(self, item: Item, order: int) -> None:
        if isinstance(item, Map | Reduce):
            found = self.candidates(item)
            for candidate in found:
                joined = self.joined(candidate, item)
                if joined is not None:
                    joined.order, joined.after = order, self.check
                    self.replace(candidate, joined)
                    self.merge_neighbours(joined, item)
                    return
            if found:
                self.refuse(item, f"starts a kernel of its own: {self.why_apart(found[0], item)}")
        elif not isinstance(item, Loop | If | Part) and self.candidates(item):
            self.refuse(item, f"starts a kernel of its own: {KERNELS.get(type(item), 'it is no loop over elements')}")
        fresh = Group(order)
        fresh.after = self.check
        fresh.items.append(item)
        if isinstance(item, Map):
            fresh.axes, imap = new_axes(item.out.dims)
            fresh.maps[item.out] = imap
        elif isinstance(item, Reduce):
            fresh.axes, imap = new_axes(item.arg.dims)
            fresh.reduced = tuple(sorted(axes_used(imap[a] for a in item.axes), key=fresh.axes.index))
            fresh.axes = [*fresh.outer, *fresh.reduced]
            fresh.maps[item] = imap
            fresh.maps[item.out] = tuple(i for d, i in enumerate(imap) if d not in item.axes)
        elif isinstance(item, Matmul):
            fresh.axes, imap = new_axes(item.out.dims)
            fresh.maps[item.out] = imap
            fresh.product = item
            unit = axes_used(imap[-1:])
            fresh.unit = unit.pop() if unit else None
        self.groups.append(fresh)
        self.register(fresh)
        if isinstance(item, Check) and item.status in MEMORY_CHECKS:
            self.check = fresh

    def register(self, g: Group) -> None:
        for source in g.makes():
            self.of[source] = g
        for item in g.items:
            for reg in item.sets():
                self.reg_of[reg.name] = g

    def replace(self, old: Group, new: Group) -> None:
        self.groups[self.groups.index(old)] = new
        self.register(new)

    def refuse(self, item: Item, why: str) -> None:
        """Remember, for a person, why what the item does is not in one kernel with what it reads."""
        if item.op:
            self.refused.append((item, f"{item.op} {why}"))

    def candidates(self, item: Item) -> list[Group]:
        """Groups whose values the item reads: first the biggest product, then reductions, then what was touched
        last."""
        found = {self.of[v.source] for v in item.views() if v.source in self.of and self.of[v.source].fusible}

        def rank(g: Group) -> tuple[int, int, int]:
            return (g.product is not None, g.product.flops() if g.product else len(g.reduced), g.order)

        return sorted(found, key=rank, reverse=True)

    def waits_for(self, g: Group, item: Item) -> bool:
        """Whether something else that the item reads is computed after `g`."""
        others = {self.of[v.source] for v in item.views() if v.source in self.of} - {g}
        alone = Group(0)
        alone.items.append(item)
        others |= {self.reg_of[name] for name in alone.needs_regs() if name in self.reg_of}
        if self.check is not None:
            others.add(self.check)
        return self.reaches(others, g)

    def why_apart(self, g: Group, item: Map | Reduce) -> str:
        """Why the item is not in the kernel of `g`, for a person."""
        if len(g.items) >= MAX_MEMBERS:
            return "that kernel is large enough"
        if self.waits_for(g, item):
            return "it also needs what is computed from that kernel's results"
        if isinstance(item, Reduce) and g.product is not None:
            return "it needs whole rows of a matrix product"
        if isinstance(item, Reduce) and g.reduced:
            return "that kernel reduces over other dimensions"
        return "it reads the values in another order or shape"

    def joined(self, g: Group, item: Map | Reduce) -> Group | None:
        """`g` with the item in it, or None if it does not fit; the item may get the dims of what it reads."""
        if len(g.items) >= MAX_MEMBERS or self.waits_for(g, item):
            return None
        found = fitted(g, item)
        if found is None and isinstance(item, Map):
            own = Shape.of(item)
            for dims in dict.fromkeys(v.source.dims for v in item.views() if v.source in g.maps):
                shape = over(item, dims)
                if shape is not None:
                    shape.give(item)
                    found = fitted(g, item)
                    if found is not None:
                        break
                    own.give(item)
        return found

    def merge_neighbours(self, g: Group, item: Map | Reduce) -> None:
        """Take in the other groups that `item` reads, where one kernel can do it all."""
        if not isinstance(item, Map):
            return
        for other in self.candidates(item):
            if other is g:
                continue
            merged = self.merged(g, other, item)
            if isinstance(merged, str):
                self.refuse(item, f"reads what another kernel stores: {merged}")
                continue
            merged.order = max(g.order, other.order)
            self.groups.remove(other)
            self.replace(g, merged)
            g = merged

    def merged(self, g: Group, other: Group, item: Map) -> Group | str:
        """One group that does what both do, or why there is none; they meet in `item`, a member of `g`."""
        if other.product is not None:
            return "a kernel has one matrix product" if g.product is not None else "no matrix product runs inside it"
        if len(other.items) + len(g.items) > MAX_MEMBERS:
            return "together they would be too large"
        if other in self.inputs(g) and any(v.source in other.maps for i in g.items if i is not item for v in i.views()):
            return "more of this kernel reads it, and was there before"
        others = [h for h in self.inputs(g) if h is not other]
        if self.reaches(others, other) or self.reaches(self.inputs(other), g):
            return "something between the two needs one and makes the other"
        found = merge(g, other, item)
        if found is None or not all(consistent(found, i) for i in found.items):
            return "their loops differ"
        return found

    def ordered(self) -> list[Group]:
        """Groups after what they depend on, otherwise by their last item's place in the program."""
        waiting = {g: self.inputs(g) for g in self.groups}
        users: dict[Group, list[Group]] = {}
        for g, needed in waiting.items():
            for h in needed:
                users.setdefault(h, []).append(g)
        ready = [(g.order, i, g) for i, g in enumerate(self.groups) if not waiting[g]]
        heapq.heapify(ready)
        out: list[Group] = []
        number = {g: i for i, g in enumerate(self.groups)}
        while ready:
            _, _, g = heapq.heappop(ready)
            out.append(g)
            for user in users.get(g, ()):
                waiting[user].discard(g)
                if not waiting[user]:
                    heapq.heappush(ready, (user.order, number[user], user))
        if len(out) != len(self.groups):
            raise AssertionError("the groups of a block depend on each other in a circle")
        return out


def fitted(g: Group, item: Map | Reduce) -> Group | None:
    """`g` with the item as it is, or None."""
    out = g.copy()
    imap = fit_map(out, item) if isinstance(item, Map) else fit_reduce(out, item)
    if imap is None:
        return None
    out.items.append(item)
    out.maps[item.out] = imap
    return out if consistent(out, item) else None


def merge(g: Group, other: Group, item: Map) -> Group | None:
    """One group that does what both do; they meet in `item`, a member of g that reads values of both."""
    out, theirs = g.copy(), other.copy()
    shared = [v for v in item.views() if v.source in theirs.maps]
    mine = out.maps[item.out]
    there: dict[int, Index] = {}
    for v in shared:
        if not solve_view(theirs, v, there):
            return None
    translation: dict[object, Index] = {}
    for d, index in there.items():
        target = mine[d]
        axes = [k for k in index.keys if isinstance(k, Axis)]
        if len(axes) != 1 or index.coefficient(axes[0]) != 1 or index.offset != 0:
            if index != target:
                return None
            continue
        axis = axes[0]
        if KAPPA in index.keys:
            if out.chunk is None and target.single() is not None:
                if theirs.chunk is None or not out.chunked(target.single(), theirs.chunk[1], axis.extent):  # type: ignore[arg-type]
                    return None
                mine = out.maps[item.out]
                target = mine[d]
            if target.coefficient(KAPPA) != index.coefficient(KAPPA) or out.chunk is None:
                return None
            translation[axis] = Index.of(out.chunk[0])
        elif translation.setdefault(axis, target) != target:
            return None
    left = [a for a in theirs.axes if a not in translation]
    if left:
        if tuple(left) != theirs.reduced or len(left) != len(out.reduced) or out.product is not None:
            return None
        for a, b in zip(left, out.reduced, strict=True):
            found = solve_axis(out, b, a.extent)
            if found is None:
                return None
            translation[a] = found
    elif theirs.reduced or not _same_coverage(out, theirs, translation):
        return None
    if not _one_to_one(out, theirs, translation):
        return None
    if theirs.chunk is not None and out.chunk is not None:
        if translation[theirs.chunk[0]].single() is not out.chunk[0] or theirs.chunk[1] != out.chunk[1]:
            return None
    if theirs.chunk is not None and out.chunk is None:
        chunk_axis = translation[theirs.chunk[0]].single()
        if not isinstance(chunk_axis, Axis):
            return None
        out.chunk = (chunk_axis, theirs.chunk[1])
    for source, imap in theirs.maps.items():
        out.maps[source] = tuple(i.substitute(translation) for i in imap)
    out.items = sorted([*theirs.items, *out.items], key=lambda i: _first_use(i, out, theirs))
    return out


def _first_use(item: Item, g: Group, other: Group) -> tuple[int, int]:
    """Producers before consumers: what the other group made comes first, `g` never feeds it."""
    return (0, other.items.index(item)) if item in other.items else (1, g.items.index(item))


def _same_coverage(g: Group, other: Group, translation: dict[object, Index]) -> bool:
    used = axes_used(translation[a] for a in other.axes)
    return used == set(g.axes) or (bool(g.reduced) and used == set(g.outer))


def _one_to_one(g: Group, other: Group, translation: dict[object, Index]) -> bool:
    """Whether different loops of `other` are different loops of g, and its reduced ones are among g's reduced ones."""
    used = [k for a in other.axes for k in translation[a].keys]
    if len(used) != len(set(used)):
        return False
    inner = axes_used(translation[a] for a in other.reduced)
    outer = axes_used(translation[a] for a in other.outer)
    return not other.reduced or (inner <= set(g.reduced) and not outer & set(g.reduced))
