"""Functionalization: writes to storage that the program made itself become new values.

    y = zeros(3); y[0].add_(x); z = y * 2    ->    z = select_scatter(zeros(3), zeros(3)[0] + x, 0, 0) * 2

Enters: typed graphs, in which a write is followed by `py.renew` for every name of the written storage. Leaves: graphs
in which storage that may be rewritten is not written: each name is the views it was made by, taken of the storage's
present content. Loops and branches carry that content.
Legality: every name of the storage is known (it comes from no input, goes to no unknown code, and two storages never
become one name that is written later); each view is exactly a view (`passes.paths`); and gradients are as in eager
mode, which knows three writes that this would make legal or different: to a leaf, to a value that backward needs, and
without grad mode to what requires grad. Storage for which one of these does not hold keeps its writes, all of them,
with a reason.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from specjit.ir.builder import Builder, result_types
from specjit.ir.graph import Block, Graph, Location, Node, Value, copy_block
from specjit.ir.structure import IF, LOOP, WITH, make_if
from specjit.ir.types import Type
from specjit.passes import functionalize_loops as loops
from specjit.passes.aliases import Aliases
from specjit.passes.manager import Context
from specjit.passes.paths import Refusal, Step, makes_row_major, step_of, steps_of_index
from specjit.passes.storage import Member, Now, Root


def run(graph: Graph, ctx: Context) -> None:
    aliases = Aliases(graph, bundles=False)
    done: set[Value] = set()
    for group, first in _writes(graph, aliases).items():
        try:
            block = Walk(graph, ctx, aliases, done | {group}).result()
        except Refusal as refusal:
            ctx.refuse(f"writes to {_name(first)} stay: {refusal.reason}", refusal.loc or first.loc)
            continue
        if ctx.fire(f"writes to {_name(first)} give new values", first.loc):
            done.add(group)
            result = block
    if done:
        graph.block.nodes, graph.block.outputs = result.nodes, result.outputs


def _name(write: Node) -> str:
    hint = write.args[min(write.op.traits.writes)].hint
    return f"%{hint}" if hint else "a tensor"


def _writes(graph: Graph, aliases: Aliases) -> dict[Value, Node]:
    """Per class of values that may share storage and is written: the first write."""
    found: dict[Value, Node] = {}
    for node in graph.walk():
        for k in node.op.traits.writes:
            if node.args[k].type.is_tensor and not node.args[k].is_const:
                found.setdefault(aliases.find(node.args[k]), node)
    return found


class Walk:
    """Copies a graph, with the writes to the storages of `groups` (classes of `Aliases`) as new values."""

    def __init__(self, graph: Graph, ctx: Context, aliases: Aliases, groups: set[Value]) -> None:
        self.graph, self.ctx, self.aliases, self.groups = graph, ctx, aliases, groups
        self.members: dict[Value, Member] = {}  # by value of the old graph
        self.env: dict[Value, Value] = {v: v for v in graph.inputs}  # all other values
        self.lists: dict[Value, dict[Root, int]] = {}  # what a list of the new graph holds, and its content then
        self.chosen: set[Value] = set()  # what a branch gives that may be part of a storage: it is read only
        self.now: dict[Root, Now] = {}
        self.seen: dict[tuple[Root, tuple[Step, ...]], tuple[int, Value]] = {}  # views taken, and of which content
        self.records = any(v.type.requires_grad for v in _values(graph))  # whether anything requires a gradient
        self.grad = True
        self.places = [0]  # numbers of the blocks that are open
        self.count = 0
        self.block = Block()
        self.loc: Location | None = None

    def result(self) -> Block:
        for v in self.graph.inputs:
            if self.in_group(v):
                raise Refusal("it may belong to the caller")
        if any(self.aliases.outside(g) for g in self.groups):
            raise Refusal("code that cannot be seen into may hold it")
        self.nodes(self.graph.block)
        self.seen.clear()  # what the caller gets are views of the content, not the values they were written with
        self.check_chosen(self.graph.outputs)
        self.block.outputs = [self.use(o) for o in self.graph.outputs]
        return self.block

    # -- values -------------------------------------------------------------------------------------------------------

    def in_group(self, v: Value) -> bool:
        return not v.is_const and self.aliases.find(v) in self.groups

    def fresh(self) -> int:
        self.count += 1
        return self.count

    @property
    def builder(self) -> Builder:
        return self.ctx.builder(self.block, self.loc)

    def use(self, v: Value) -> Value:
        """What an old value is now."""
        if v.is_const:
            return v
        if v not in self.members:
            new = self.env[v]
            for root, epoch in self.lists.get(new, {}).items():
                if self.now[root].epoch != epoch:
                    what = "a branch's result may be part of it" if v in self.chosen else "a list holds it"
                    raise Refusal(f"{what} while it is written", self.loc)
            return new
        member = self.members[v]
        if member.root.lost:
            raise Refusal(member.root.lost, self.loc)
        return self.view(member, v.hint)

    def view(self, member: Member, hint: str = "") -> Value:
        now = self.now[member.root]
        if not member.steps:
            return now.value
        key = (member.root, member.steps)
        epoch, value = self.seen.get(key, (-1, now.value))
        if epoch != now.epoch:
            value = member.steps[-1].apply(self.builder, self.view(Member(member.root, member.steps[:-1])))
            value.hint = value.hint or hint
            self.seen[key] = (now.epoch, value)
        return value

    def define(self, old: Value, new: Value, **about: Any) -> None:
        """`old` is a storage of its own, with `new` as its content."""
        root = Root(**about)
        self.members[old] = Member(root)
        self.now[root] = Now(new, self.fresh())

    # -- nodes --------------------------------------------------------------------------------------------------------

    def nodes(self, block: Block) -> None:
        for node in block.nodes:
            self.loc = node.loc
            self.node(node)

    def node(self, node: Node) -> None:
        traits, name = node.op.traits, node.op.name
        if not all(r.type.is_tensor or r.type.kind in ("int", "float", "bool", "none") for r in node.results):
            self.check_chosen(node.args)
        self.check_chosen([node.args[k] for k in traits.writes])
        if node.blocks:
            self.structure(node)
        elif traits.writes and any(node.args[k] in self.members for k in traits.writes):
            self.write(node)
        elif traits.view_of is not None and node.args[traits.view_of] in self.members:
            self.look(node, self.members[node.args[traits.view_of]])
        elif any(map(self.in_group, node.results)) and name not in ("py.list", "py.tuple"):
            self.make(node)
        else:
            self.copy(node)

    def check_chosen(self, values: Iterable[Value]) -> None:
        """What a branch gives that may be part of a storage is neither written nor handed out."""
        if not self.chosen.isdisjoint(v for v in values if not v.is_const):
            raise Refusal("which storage it is depends on a branch", self.loc)

    def copy(self, node: Node) -> Node:
        args = [self.use(a) for a in node.args]
        new = Node(
            node.op,
            args,
            self.types(node, args),
            attrs=dict(node.attrs),
            loc=node.loc,
            hints=[r.hint for r in node.results],
        )
        self.block.nodes.append(new)
        self.env.update(zip(node.results, new.results, strict=True))
        held = [self.members[a].root for a in node.args if a in self.members]
        if held and not all(r.type.is_tensor or r.type.kind in ("int", "float", "bool", "none") for r in node.results):
            if node.op.name not in ("py.list", "py.tuple"):
                raise Refusal(f"{node.op.name.removeprefix('py.')} holds it", node.loc)
            self.lists[new.results[0]] = {root: self.now[root].epoch for root in held}
        self.saves(node)
        return new

    def types(self, node: Node, args: list[Value]) -> list[Type]:
        """Result types; what was written may have brought gradients that the names of the storage did not show."""
        old = [r.type for r in node.results]
        if all(a.type.requires_grad == b.type.requires_grad for a, b in zip(node.args, args, strict=True)):
            return old
        grads = [t.requires_grad if self.grad else False for t in result_types(node.op, args)[0]]
        return [t.with_(requires_grad=g) if t.is_tensor else t for t, g in zip(old, grads, strict=True)]

    def make(self, node: Node) -> None:
        """A node that makes storage."""
        view = node.op.traits.view_of
        if view is not None and node.args[view] not in self.members:
            raise Refusal("it is a view of a constant", node.loc)
        if not all(r.type.is_tensor for r in node.results) or node.op.name.startswith("py."):
            raise Refusal(f"{node.op.name.removeprefix('py.')} may hold it", node.loc)
        new = self.copy(node)
        leaves = not any(map(self.tracked, node.args))
        for old, made in zip(node.results, new.results, strict=True):
            leaf = leaves and self.tracked(made)
            self.define(old, made, row_major=makes_row_major(node), leaf=leaf)
        self.saves(node)

    def look(self, node: Node, member: Member) -> None:
        """A view, a new name, or a copy that looks like one."""
        name, rest = node.op.name, [self.use(a) for a in node.args[1:]]
        if name in ("py.renew", "to_dtype") and node.args[0].type.dtype is node.result.type.dtype:
            self.members[node.result] = member
        elif name == "to_dtype":
            self.make(node)
        elif name == "getitem":
            steps = steps_of_index(node.args[1], len(node.args[0].type.dims or ()), node.loc)
            if steps is not None or node.args[0].type.dims is None:
                raise Refusal("it is indexed by what is not known", node.loc)
            self.make(node)
        else:
            for r in node.results:
                step = step_of(node, r, rest, member.row_major, self.places[-1])
                self.members[r] = Member(member.root, (*member.steps, step))
                self.view(self.members[r], r.hint)  # an index out of range is an error here, not later

    # -- writes -------------------------------------------------------------------------------------------------------

    def write(self, node: Node) -> None:
        if set(node.op.traits.writes) != {0} or node.args[0] not in self.members:
            raise Refusal(f"{node.op.name.removeprefix('py.')} writes it", node.loc)
        target = node.args[0]
        member = self.members[target]
        root = member.root
        if root.barred or root.lost:
            raise Refusal(root.barred or root.lost, node.loc)
        self.check_gradients(node, root)
        steps, content = member.steps, None
        if node.op.name == "setitem":
            more = steps_of_index(node.args[1], len(target.type.dims or ()), node.loc)
            if more is not None:
                steps = (*steps, *(self.mapped(s) for s in more))
                content = self.assigned(self.view(Member(root, steps)), self.use(node.args[2]))
        if content is None:
            content = self.functional(node, self.use(target))
        self.now[root] = Now(self.put(root, steps, content), self.fresh())
        if steps:
            self.seen[root, steps] = (self.now[root].epoch, content)
        for partner in root.partners:
            partner.lost = "a loop may have handed it on or not, and it is written after that"
        for r in node.results:
            if r.type.is_tensor:
                self.members[r] = member
            else:
                self.env[r] = Value.constant(None)
        self.saves(node)

    def mapped(self, step: Step) -> Step:
        step.rest = [self.use(a) for a in step.rest]
        step.place = self.places[-1]
        return step

    def functional(self, node: Node, base: Value) -> Value:
        """The content that a writing op gives to all of its target."""
        op = node.op.functional  # type: ignore[attr-defined]
        if op is None:
            raise Refusal(f"{node.op.name} has no form that gives a new value", node.loc)
        args = [base, *(self.use(a) for a in node.args[1 : len(op.params)])]
        args += [Value.constant(p.default) for p in op.params[len(args) :]]
        made = self.builder.emit(op, args).result
        if made.type.dims != base.type.dims:
            raise Refusal("what is written may not have its sizes", node.loc)
        return made if made.type.dtype is base.type.dtype else self.builder.call("cast", made, base.type.dtype)

    def assigned(self, part: Value, value: Value) -> Value:
        """What `part[...] = value` writes."""
        return self.builder.call("overwritten" if value.type.is_tensor else "filled", part, value)

    def put(self, root: Root, steps: tuple[Step, ...], content: Value) -> Value:
        """The whole storage, with `content` where the steps lead."""
        bases = [self.view(Member(root, steps[:k])) for k in range(len(steps))]
        for step, base in zip(reversed(steps), reversed(bases), strict=True):
            content = step.put(self.builder, base, content)
        return content

    # -- gradients ----------------------------------------------------------------------------------------------------

    def tracked(self, v: Value) -> bool:
        """Whether a gradient may flow through a value."""
        return self.records and v.type.is_tensor and v.type.requires_grad is not False

    def saves(self, node: Node) -> None:
        """Note what the gradient of a node will read."""
        op: Any = node.op
        if not self.grad or not getattr(op, "keeps_values", False):
            return
        if not any(map(self.tracked, node.results)):
            return
        read = [a for i, a in enumerate(node.args) if op.saves[i] and self.reader(node, i)]
        for v in [*read, *(node.results if op.saves_result else ())]:
            if v in self.members:
                root = self.members[v].root
                self.now[root] = self.now[root].kept()
            elif v in self.chosen:
                for root in self.lists[self.env[v]]:
                    self.now[root] = self.now[root].kept()

    def reader(self, node: Node, position: int) -> bool:
        """Whether a gradient that is computed reads the argument at `position`."""
        readers = node.op.readers(position)  # type: ignore[attr-defined]
        return any(self.tracked(node.args[i]) for i in readers)

    def check_gradients(self, node: Node, root: Root) -> None:
        if root.leaf:
            raise Refusal("it is a leaf that requires grad", node.loc)
        if self.tracked(self.now[root].value) and not self.grad:
            raise Refusal("it requires grad and is written without grad mode", node.loc)
        if self.now[root].saved:
            raise Refusal("backward needs what is overwritten", node.loc)
        own = [i for i, a in enumerate(node.args) if a in self.members and self.members[a].root is root]
        op: Any = node.op
        if self.grad and any(op.saves[i] and self.reader(node, i) for i in own):
            raise Refusal("backward needs what is overwritten", node.loc)

    # -- blocks -------------------------------------------------------------------------------------------------------

    def structure(self, node: Node) -> None:
        if node.op is IF or node.op is WITH:
            self.branches(node)
        elif node.op is LOOP:
            loops.Loop(self, node).run()
        elif any(self.in_group(v) for b in node.blocks for v in _inside(b)) or any(map(self.in_group, node.args)):
            raise Refusal(f"it is used in a {node.op.name}", node.loc)
        else:
            new = Node(node.op, [self.use(a) for a in node.args], [], attrs=dict(node.attrs), loc=node.loc)
            new.blocks = [copy_block(b, self.env) for b in node.blocks]
            new.results = [Value(r.type, new, r.hint) for r in node.results]
            self.env.update(zip(node.results, new.results, strict=True))
            self.block.nodes.append(new)

    @contextmanager
    def inside(self) -> Iterator[Block]:
        """A new block; what is known of contents inside stays inside."""
        outer = self.block, self.now, self.seen, self.loc
        self.block, self.now, self.seen = Block(), dict(self.now), dict(self.seen)
        self.places.append(self.fresh())
        try:
            yield self.block
        finally:
            self.block, self.now, self.seen, self.loc = outer
            self.places.pop()

    def branches(self, node: Node) -> None:
        """An `if`, or a `with` of another grad mode."""
        args = [self.use(a) for a in node.args]
        before, grad = dict(self.now), self.grad
        blocks: list[Block] = []
        after: list[dict[Root, Now]] = []
        for inner in node.blocks:
            with self.inside() as block:
                self.grad = node.attrs["grad"] if node.op is WITH else grad
                self.nodes(inner)
                ends = self.now
                block.outputs = [self.use(o) for o in inner.outputs]
            self.grad = grad
            blocks.append(block)
            after.append(ends)
        changed = [root for root in before if any(ends[root].epoch != before[root].epoch for ends in after)]
        names = self.exported(node, before)
        kept = [k for k in range(len(node.results)) if k not in names]
        for block, ends in zip(blocks, after, strict=True):
            block.outputs = [*(block.outputs[k] for k in kept), *(ends[root].value for root in changed)]
        hints = [*(node.results[k].hint for k in kept), *(before[root].value.hint for root in changed)]
        if node.op is IF:
            made = make_if(self.block, args[0], blocks[0], blocks[1], node.loc, hints)
        else:
            types = [o.type for o in blocks[0].outputs]
            made = Node(WITH, args, types, blocks=blocks, attrs=dict(node.attrs), loc=node.loc, hints=hints)
            self.block.nodes.append(made)
        for k, new in zip(kept, made.results, strict=False):
            self.joined(node, node.results[k], [b.outputs[k] for b in node.blocks], new, before, changed)
        for root, new in zip(changed, made.results[len(kept) :], strict=True):
            self.now[root] = Now(new, self.fresh(), any(ends[root].saved for ends in after))
        for root in before:
            if any(ends[root].saved for ends in after):
                self.now[root] = self.now[root].kept()
        for k, member in names.items():
            self.members[node.results[k]] = member

    def exported(self, node: Node, before: dict[Root, Now]) -> dict[int, Member]:
        """The results of a branching node that are the same name of the same storage on every side."""
        found: dict[int, Member] = {}
        for k in range(len(node.results)):
            sides = [self.members.get(b.outputs[k]) for b in node.blocks]
            first = sides[0]
            if first is not None and first.root in before and all(s == first for s in sides):
                if all(s.portable or s.place in self.places for s in first.steps):
                    found[k] = first
        return found

    def joined(
        self, node: Node, old: Value, outputs: list[Value], new: Value, before: dict[Root, Now], changed: list[Root]
    ) -> None:
        """A result of a branching node that is a value: a storage of its own, if nothing else is a name of it, or one
        that is read as long as what it may be part of stays as it is."""
        if not self.in_group(old):
            self.env[old] = new
            return
        sides = [self.members[o] for o in outputs if o in self.members]
        self.check_chosen(outputs)
        outer = {s.root: self.now[s.root].epoch for s in sides if s.root in before}
        inner = [s for s in sides if s.root not in before]
        alone = not any(o in self.members for b in node.blocks for o in b.outputs if o not in outputs)
        if outer and not outer.keys() & set(changed) and (alone or not inner):
            self.env[old], self.lists[new] = new, outer
            self.chosen.add(old)
            self.members.pop(old, None)
            return
        self.chosen.discard(old)
        self.define(old, new)
        own = all(s.root not in before and not s.steps for s in sides) and len(sides) == len(outputs)
        others = [o for b in node.blocks for o in b.outputs if o not in outputs and o in self.members]
        if not own or any(self.members[o].root is s.root for o in others for s in sides):
            why = "which storage it is depends on a branch"
            self.members[old].root.barred = why
            for s in sides:
                s.root.barred = why


def _values(graph: Graph) -> list[Value]:
    return [*graph.inputs, *(r for node in graph.walk() for r in node.results)]


def _inside(block: Block) -> list[Value]:
    """Every value that a block or one inside it defines or reads."""
    inner = [b for node in block.walk() for b in node.blocks]
    read = [v for node in block.walk() for v in (*node.args, *node.results)]
    return [*read, *(v for b in (block, *inner) for v in (*b.params, *b.outputs))]
