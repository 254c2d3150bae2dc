"""Functionalization of one loop: which storage a carried value is, turn after turn.

Enters: a `functionalize.Walk` that has reached a loop. Leaves: the loop in the new graph, which carries the content of
every storage that it writes.
Invariant: what is assumed of carried values holds for the loop that is made, or the loop is refused.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from specjit.ir.graph import Block, Node, Value, free_values, replace_uses
from specjit.ir.structure import make_loop
from specjit.ir.types import Type, join
from specjit.passes.paths import Refusal
from specjit.passes.storage import Now, Root

if TYPE_CHECKING:
    from specjit.passes.functionalize import Walk

MAX_ASSUMPTIONS = 8  # times that a loop is walked until what was assumed of its carried values holds


class Loop:
    """One loop. Of each carried value of a rewritten storage it is first assumed that every turn hands on what it was
    given (`same`), then that every turn hands on a storage of its own (`own`)."""

    def __init__(self, walk: Walk, node: Node) -> None:
        self.walk, self.node = walk, node
        (self.body,) = node.blocks
        self.inits = node.args[2:]
        self.params = self.body.params[1:]
        self.outs = self.body.outputs[1 : 1 + len(self.inits)]
        self.rows = self.body.outputs[1 + len(self.inits) :]
        self.same = {k for k, p in enumerate(self.params) if walk.in_group(p) and self.inits[k] in walk.members}
        self.own = {k for k, p in enumerate(self.params) if walk.in_group(p)} - self.same
        self.types: dict[Root | int, Type] = {}  # wider types of what is carried

    def run(self) -> None:
        for _ in range(MAX_ASSUMPTIONS):
            if self.attempt():
                return
        raise Refusal("what a loop carries of it does not settle", self.node.loc)

    def attempt(self) -> bool:
        walk, node = self.walk, self.node
        args = [walk.use(a) for a in node.args[:2]]
        before = dict(walk.now)
        inits = {k: walk.use(a) for k, a in enumerate(self.inits) if k not in self.same}
        with walk.inside() as block:
            self.enter(block, before, inits)
            contents = {
                root: block.param(self.types.get(root, now.value.type), now.value.hint) for root, now in before.items()
            }
            walk.now.update({root: Now(p, walk.fresh()) for root, p in contents.items()})
            start = dict(walk.now)
            walk.nodes(self.body)
            ends = walk.now
            wrong = {k for k in self.same if walk.members.get(self.outs[k]) != walk.members[self.params[k]]}
            if wrong:
                self.same -= wrong
                self.own |= wrong
                return False
            changed = [root for root in before if ends[root].epoch != start[root].epoch]
            self.check(before, start, ends, changed)
            kept = [k for k in range(len(self.inits)) if k not in self.same]
            carried = [*(walk.use(self.outs[k]) for k in kept), *(ends[root].value for root in changed)]
            walk.check_chosen([*self.inits, *self.outs, *self.rows])
            rows = [walk.use(r) for r in self.rows]
            cond = walk.use(self.body.outputs[0])
        keys: list[Root | int] = [*kept, *changed]
        if self.widen(keys, [self.entered[k] for k in kept] + [contents[r] for r in changed], carried):
            return False
        block.params = [block.params[0], *(self.entered[k] for k in kept), *(contents[r] for r in changed)]
        block.outputs = [cond, *carried, *rows]
        replace_uses(block, {p: before[root].value for root, p in contents.items() if root not in changed})
        hints = [*(node.results[k].hint for k in kept), *(before[r].value.hint for r in changed)]
        trip, cond_in = args
        made = make_loop(
            walk.block,
            trip,
            cond_in,
            [*(inits[k] for k in kept), *(before[r].value for r in changed)],
            block,
            reverse=bool(node.attrs.get("reverse")),
            loc=node.loc,
            hints=[*hints, *(r.hint for r in node.results[len(self.inits) :])],
        )
        self.leave(made, kept, changed, before, ends)
        return True

    def enter(self, block: Block, before: dict[Root, Now], inits: dict[int, Value]) -> None:
        """Parameters of the new body, and what those of the old one are there."""
        walk = self.walk
        counter = self.body.params[0]
        walk.env[counter] = block.param(counter.type, counter.hint)
        self.entered: dict[int, Value] = {}
        for k, p in enumerate(self.params):
            if k in self.same:
                walk.members[p] = walk.members[self.inits[k]]
                continue
            self.entered[k] = block.param(self.types.get(k, p.type), p.hint)
            if k in self.own:
                walk.define(p, self.entered[k])
            else:
                walk.env[p] = self.entered[k]

    def check(
        self, before: dict[Root, Now], start: dict[Root, Now], ends: dict[Root, Now], changed: list[Root]
    ) -> None:
        walk, loc = self.walk, self.node.loc
        for root in changed:
            if ends[root].saved:
                raise Refusal("backward needs what the next turn overwrites", loc)
        handed: set[Root] = set()
        for k in sorted(self.own):
            given, out = walk.members[self.params[k]], walk.members.get(self.outs[k])
            if out is None or out.steps or out.root in before or out.root in handed:
                raise Refusal("a loop hands it on under several names", loc)
            handed.add(out.root)
            written = ends[given.root].epoch != start.get(given.root, ends[given.root]).epoch
            init = walk.members.get(self.inits[k])
            if init is not None and (init.root in changed or (written and self.shared(init.root, k))):
                raise Refusal("a loop writes it under another name", loc)
            if written and (ends[out.root].saved or ends[given.root].saved):
                raise Refusal("backward needs what the next turn overwrites", loc)
            if written and any(walk.members[r].root in (out.root, given.root) for r in self.rows if r in walk.members):
                raise Refusal("a list of rows holds it while it is written", loc)
        for r in self.rows:
            if r in walk.members and walk.members[r].root in changed:
                raise Refusal("a list of rows holds it while it is written", loc)

    def shared(self, root: Root, k: int) -> bool:
        """Whether the storage that carried value k starts as is used in the loop, or may be used after it."""
        walk = self.walk
        inside = [v for v in free_values(self.body) if v in walk.members]
        others = [a for j, a in enumerate(self.inits) if j != k and a in walk.members]
        if any(walk.members[v].root is root for v in [*inside, *others]):
            return True
        root.lost = "a loop writes it under another name"
        return False

    def widen(self, keys: list[Root | int], params: list[Value], outs: list[Value]) -> bool:
        """Whether what a turn hands on has a wider type than what it was given, which is then assumed."""
        wider = False
        for key, p, o in zip(keys, params, outs, strict=True):
            found = join(p.type, o.type)
            if p.type.is_tensor and found != p.type:
                self.types[key], wider = found, True
        return wider

    def leave(
        self, made: Node, kept: list[int], changed: list[Root], before: dict[Root, Now], ends: dict[Root, Now]
    ) -> None:
        walk, node = self.walk, self.node
        for k, new in zip(kept, made.results, strict=False):
            old = node.results[k]
            if k not in self.own:
                walk.env[old] = new
                continue
            walk.define(old, new)
            init = walk.members.get(self.inits[k])
            if init is not None:  # without a turn it is what went in
                init.root.barred = init.root.barred or "a loop may have handed it on"
                walk.members[old].root.partners.append(init.root)
        for k in self.same:
            walk.members[node.results[k]] = walk.members[self.inits[k]]
        for root, new in zip(changed, made.results[len(kept) :], strict=False):
            walk.now[root] = Now(new, walk.fresh(), ends[root].saved)
        for root in before:
            if ends[root].saved and not walk.now[root].saved:
                walk.now[root] = walk.now[root].kept()
        stacked = node.results[len(self.inits) :]
        for old, new in zip(stacked, made.results[len(kept) + len(changed) :], strict=True):
            if walk.in_group(old):
                walk.define(old, new)
            else:
                walk.env[old] = new
