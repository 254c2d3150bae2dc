"""From gradient code that reads forward values freely to two functions: what is kept, stacked, handed over or computed
again.

Enters: a forward block, its backward block as `reverse` wrote it, and which backward node mirrors which
forward node.
Leaves: the backward block closed over its own parameters, and the forward block with the kept values as further
outputs.
Invariant: a value crosses from forward to backward in one of these ways, chosen by `cost`:
  - a value of a loop's turn is stacked by the forward loop and read as row i by the backward loop;
  - a value carried into a turn is row i of the loop's history: the initial value, then what the turns carried out,
    which is row i+1;
  - a value of a branch is a further result of the `if`; branches share results of one type, the other one fills in
    zeros;
  - at the top, sizes are handed over by their expression, inputs and outputs by position if they are watched (a write
    to them is an error); the rest is a `saved` output, with memory of its own;
  - numbers and bools that cannot be computed again travel as tensors of rank 0.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable
from typing import Any

from specjit.dtypes import bool_, float64, int64
from specjit.ir.builder import Builder
from specjit.ir.dims import Poly
from specjit.ir.graph import Block, Graph, Node, OpLike, Value, free_values, replace_uses
from specjit.ir.structure import IF, LOOP, stacked, trip_dim
from specjit.ir.types import Type, join
from specjit.passes.aliases import Aliases
from specjit.passes.autodiff.cost import Plan, local_order, plan, price_again, price_keep
from specjit.passes.autodiff.gradients import GradientBuilder, RefusedError, Sizes
from specjit.passes.autodiff.loops import turn_reversed
from specjit.passes.autodiff.reverse import Mirror
from specjit.passes.live import typical

BOXES = {"int": int64, "float": float64, "bool": bool_}
UNBOX = {"int": "py.int", "float": "py.float", "bool": "py.bool"}

Source = tuple[str, Any]


class Keeper:
    """Closes one backward block. `sizes` are those that the backward code asked for; `shared` the inputs and outputs
    of the forward block whose memory backward may read."""

    def __init__(
        self, mirror: dict[Node, Mirror], shared: set[Value], sizes: Sizes, lookup: Callable[[str], OpLike]
    ) -> None:
        self.mirror = mirror
        self.shared = shared
        self.sizes = sizes
        self.lookup = lookup
        self.forward_sizes = Sizes()
        self._boxes: dict[tuple[Value, Block], Value] = {}
        self._there: set[Value] = set()  # values of the top block that cross anyway
        self._own: set[Value] = set()  # stacks that were made here
        self._histories: dict[tuple[Node, int], Value] = {}

    def close(self, forward: Block, backward: Block) -> list[Source]:
        """Give `forward` its saved outputs and `backward` its parameters; where each parameter comes from, gradients
        last."""
        results = len(forward.outputs)
        self._there = self.shared | set(free_values(backward))
        self._nested(forward, backward)
        inputs = {v: i for i, v in reversed(list(enumerate(forward.params))) if v in self.shared}
        outputs = {v: i for i, v in reversed(list(enumerate(forward.outputs))) if v in self.shared}
        chosen = self._plan(forward, backward, self.shared.__contains__)
        copied = self._exposed(forward)
        gradients, backward.params = backward.params, []
        mapping: dict[Value, Value] = {}
        sources: list[Source] = []
        extra = Block()
        builder = Builder(extra, self.lookup)
        for value in chosen.keep:
            if value in inputs:
                sources.append(("input", inputs[value]))
            elif value in outputs:
                sources.append(("output", outputs[value]))
            else:
                sources.append(("saved", len(forward.outputs) - results))
                forward.outputs.append(self._apart(value, forward) if copied(value) else self._box(value, forward))
            kept = forward.outputs[-1] if sources[-1][0] == "saved" else value
            param = backward.param(kept.type, value.hint)
            mapping[value] = param if kept.type == value.type else self._unbox(param, value, builder)
        self._again(forward, chosen, mapping, extra)
        self._finish(backward, mapping, extra)
        sources += self._define_sizes(backward, self.sizes, gradients)
        if self._define_sizes(forward, self.forward_sizes, []):
            raise RefusedError("the size of a branch's saved value is not a size of an input", None)
        return sources

    def _exposed(self, forward: Block) -> Callable[[Value], bool]:
        """Whether a value may share storage with an output that the caller may change before backward, or with an
        input: what is saved is fresh in every run."""
        aliases = Aliases(Graph("forward", forward))
        others = [*forward.params, *(o for o in forward.outputs if o not in self.shared)]
        return lambda value: value.type.is_tensor and any(aliases.same(value, v) for v in others)

    def _apart(self, value: Value, block: Block) -> Value:
        """A copy, made at the end of `block`."""
        copy = Builder(block, self.lookup, value.node.loc if value.node else None).call("clone", value)
        copy.hint = value.hint
        return copy

    def _nested(self, forward: Block, backward: Block) -> None:
        """Supply the blocks of mirrored nodes, innermost first: what they then still read belongs to the scope around
        them."""
        for node in list(backward.nodes):
            mirror = self.mirror.get(node)
            if mirror is None:
                continue
            for inner, block in zip(mirror.forward.blocks, mirror.blocks):
                self._nested(inner, block)
            if mirror.forward.op is LOOP:
                self._loop(mirror, node, forward, backward)
            else:
                assert mirror.forward.op is IF
                self._if(mirror.forward, node)

    def _plan(
        self,
        forward: Block,
        backward: Block,
        exists: Callable[[Value], bool],
        index: Value | None = None,
        turns: int = 1,
    ) -> Plan:
        local = set(local_order(forward))
        demanded = [v for v in free_values(backward) if v in local]
        return plan(
            forward,
            demanded,
            free=lambda v: v is index or _known(v),
            exists=exists,
            outside=lambda v: self._outside(v) // turns,
        )

    def _outside(self, value: Value, depth: int = 4) -> int:
        """What reading a value of an enclosing block costs that block; an estimate, from its next few definitions."""
        if value in self._there or not value.type.is_tensor:
            return 0
        if depth and value.node is not None and (price := price_again(value.node)) is not None:
            return min(price_keep(value), price + sum(self._outside(a, depth - 1) for a in value.node.args))
        return price_keep(value)

    def _loop(self, mirror: Mirror, backward: Node, around: Block, parent: Block) -> None:
        """Supply the body of a mirrored loop. The forward loop stands in `around`, the backward one in `parent`."""
        forward = mirror.forward
        (fb,), (bb,) = forward.blocks, mirror.blocks
        n = len(forward.args) - 2
        carried = {p: k for k, p in enumerate(fb.params[1:])}
        crossing = self._there | set(free_values(parent))
        rows = zip(forward.results[n:], fb.outputs[1 + n :])
        stacks = {row for stack, row in rows if stack in crossing or stack in self._own}
        turns = typical(trip_dim(forward))

        def exists(value: Value) -> bool:
            return value in stacks or (value in carried and fb.outputs[1 + carried[value]] in stacks)

        # Keeping what is carried in means stacking what is carried out; that may then be the better choice elsewhere.
        while True:
            chosen = self._plan(fb, bb, exists, fb.params[0], turns)
            histories = {carried[v] for v in chosen.keep if v in carried}
            implied = {fb.outputs[1 + k] for k in histories}
            if implied <= stacks:
                break
            stacks.update(implied)
        place = parent.nodes.index(backward)
        outside, extra = Block(), Block()
        builder = Builder(extra, self.lookup, forward.loc)
        index = turn_reversed(builder, bb.params[0], mirror.turns)
        mapping: dict[Value, Value] = {fb.params[0]: index}
        begun = {fb.params[1 + k]: (k, True) for k in histories}
        ended = {fb.outputs[1 + k]: (k, False) for k in histories if fb.outputs[1 + k] not in begun}
        for value in chosen.keep:
            if value in begun or value in ended:
                k, before = (begun | ended)[value]
                stack = self._of_history(forward, k, before, around, outside)
            else:
                stack = self._stack(forward, value, crossing)
            mapping[value] = self._unbox(builder.call("select", stack, 0, index), value, builder)
        parent.nodes[place:place] = outside.nodes
        self._again(fb, chosen, mapping, extra)
        self._finish(bb, mapping, extra)

    def _stack(self, forward: Node, value: Value, crossing: Container[Value] = ()) -> Value:
        """The result of a loop that stacks `value` of its body, made if there is none that crosses anyway."""
        (fb,) = forward.blocks
        n = len(forward.args) - 2
        row = self._box(value, fb)
        for stack, found in zip(forward.results[n:], fb.outputs[1 + n :]):
            if found is row and (stack in crossing or stack in self._own):
                return stack
        fb.outputs.append(row)
        hint = f"{value.hint}s" if value.hint else ""
        forward.results.append(Value(stacked(row.type, trip_dim(forward)), forward, hint))
        self._own.add(forward.results[-1])
        return forward.results[-1]

    def _history(self, forward: Node, k: int, around: Block) -> Value:
        """What carried value k of a loop was at the start and after each turn: one row more than turns."""
        if (forward, k) not in self._histories:
            (fb,) = forward.blocks
            stack = self._stack(forward, fb.outputs[1 + k])
            block = Block()
            builder = Builder(block, self.lookup, forward.loc)
            first = builder.call("unsqueeze", self._box(forward.args[2 + k], block), 0)
            rows = [stack, first] if forward.attrs.get("reverse") else [first, stack]
            made = builder.call("cat", rows, 0)
            made.hint = stack.hint or fb.params[1 + k].hint
            at = around.nodes.index(forward) + 1
            around.nodes[at:at] = block.nodes
            self._histories[forward, k] = made
        return self._histories[forward, k]

    def _of_history(self, forward: Node, k: int, before: bool, around: Block, outside: Block) -> Value:
        """What carried value k was before (or after) each turn, stacked: a view, made in `outside`."""
        rows = self._history(forward, k, around)
        trip = trip_dim(forward)
        count = self.sizes.of(trip) if isinstance(trip, Poly) else Value.constant(trip)
        first = int(before == bool(forward.attrs.get("reverse")))
        made = Builder(outside, self.lookup, forward.loc).call("narrow", rows, 0, first, count)
        made.hint = (forward.blocks[0].params[1 + k] if before else rows).hint
        return made

    def _if(self, forward: Node, backward: Node) -> None:
        plans = [
            self._plan(fb, bb, lambda v, fb=fb: v in fb.outputs)  # type: ignore[misc]
            for fb, bb in zip(forward.blocks, backward.blocks)
        ]
        slots: list[list[Value | None]] = []
        slot_of: list[dict[Value, int]] = [{}, {}]
        mappings: list[dict[Value, Value]] = [{}, {}]
        for side, (fb, chosen) in enumerate(zip(forward.blocks, plans)):
            for value in chosen.keep:
                yielded = fb.outputs.index(value) if value in fb.outputs else None
                if yielded is not None and forward.results[yielded].type == value.type:
                    mappings[side][value] = forward.results[yielded]
                    continue
                row = self._box(value, fb)
                free = (i for i, s in enumerate(slots) if s[side] is None and _alike(s[1 - side], row))
                if (at := next(free, None)) is None:
                    at = len(slots)
                    slots.append([None, None])
                slots[at][side] = row
                slot_of[side][value] = at
        results = [self._result(forward, slot) for slot in slots]
        for side, (fb, bb) in enumerate(zip(forward.blocks, backward.blocks)):
            extra = Block()
            builder = Builder(extra, self.lookup, forward.loc)
            mapping = mappings[side]
            mapping.update((v, self._unbox(results[at], v, builder)) for v, at in slot_of[side].items())
            self._again(fb, plans[side], mapping, extra)
            self._finish(bb, mapping, extra)

    def _result(self, forward: Node, slot: list[Value | None]) -> Value:
        """A new result of an `if`: what each branch keeps, zeros where one keeps nothing."""
        like = slot[0] or slot[1]
        assert like is not None
        for block, row in zip(forward.blocks, slot):
            block.outputs.append(row or self._zeros(like, block))
        types = [block.outputs[-1].type for block in forward.blocks]
        forward.results.append(Value(join(*types), forward, like.hint))
        return forward.results[-1]

    def _zeros(self, like: Value, block: Block) -> Value:
        """What a branch yields that has nothing to keep."""
        if like.type.dims is None or None in like.type.dims:
            raise RefusedError("a branch keeps a tensor of unknown size", like.node.loc if like.node else None)
        return GradientBuilder(block, self.lookup, self.forward_sizes).zeros(like)

    def _box(self, value: Value, block: Block) -> Value:
        """A number or bool as a tensor, made at the end of `block`; tensors are themselves."""
        if value.type.is_tensor:
            return value
        if (value, block) not in self._boxes:
            builder = Builder(block, self.lookup, value.node.loc if value.node else None)
            box = builder.call("full", [], value, dtype=BOXES[value.type.kind])
            box.hint = value.hint
            self._boxes[value, block] = box
        return self._boxes[value, block]

    def _unbox(self, tensor: Value, value: Value, builder: Builder) -> Value:
        return tensor if value.type.is_tensor else builder.call(UNBOX[value.type.kind], tensor)

    def _again(self, forward: Block, chosen: Plan, mapping: dict[Value, Value], extra: Block) -> None:
        """Copy the nodes to run again into `extra`; `mapping` learns their results."""
        for node in forward.nodes:
            if not any(r in chosen.again for r in node.results):
                continue
            args = [self._known_size(a) or mapping.get(a, a) for a in node.args]
            copy = extra.append(
                node.op,
                args,
                [r.type for r in node.results],
                attrs=dict(node.attrs),
                loc=node.loc,
                hints=[r.hint for r in node.results],
            )
            mapping.update((old, new) for old, new in zip(node.results, copy.results) if old in chosen.again)

    def _known_size(self, value: Value) -> Value | None:
        if value.is_const or not _known(value):
            return None
        dim = value.type.dim
        return self.sizes.of(dim) if isinstance(dim, Poly) else Value.constant(dim)

    def _finish(self, backward: Block, mapping: dict[Value, Value], extra: Block) -> None:
        """Put `mapping` into effect in a backward block and place each node of `extra` before its first use."""
        for value in free_values(backward):
            known = self._known_size(value)
            if known is not None and known is not value:
                mapping[value] = known
        replace_uses(backward, mapping)
        maker = {r: node for node in extra.nodes for r in node.results}
        placed: set[Node] = set()
        nodes: list[Node] = []

        def need(values: Iterable[Value]) -> None:
            for value in values:
                node = maker.get(value)
                if node is not None and node not in placed:
                    placed.add(node)
                    need(node.args)
                    nodes.append(node)

        for node in backward.nodes:
            need(node.args)
            for block in node.blocks:
                need(free_values(block))
            nodes.append(node)
        need(backward.outputs)
        backward.nodes = nodes

    def _define_sizes(self, block: Block, sizes: Sizes, last: list[Value]) -> list[Source]:
        """Define the sizes that `block` uses, from its tensors or as further parameters; then append the parameters
        `last`."""
        used = set(free_values(block))
        needed = [(dim, v) for dim, v in sizes.values.items() if v in used]
        head = Block()
        builder = Builder(head, self.lookup)
        made: dict[Poly, Value] = {}
        sources: list[Source] = []

        def define(dim: Poly) -> Value:
            if dim not in made:
                made[dim] = find(dim)
            return made[dim]

        def find(dim: Poly) -> Value:
            for p in [*block.params, *last]:
                if p.type.kind == "int" and p.type.dim == dim:
                    return p
                if p.type.is_tensor and dim in (p.type.dims or ()):
                    return builder.call("size", p, (p.type.dims or ()).index(dim))
            if list(dim.terms.values()) == [1] and len(next(iter(dim.terms))) == 1:
                sources.append(("size", dim))
                return block.param(Type.int(dim), repr(dim))
            return _polynomial(builder, dim, lambda name: define(Poly({(name,): 1})))

        mapping = {value: define(dim) for dim, value in needed}
        for old, new in mapping.items():
            new.hint = new.hint or old.hint
        replace_uses(block, mapping)
        block.nodes[:0] = head.nodes
        block.params += last
        return sources


def _polynomial(builder: Builder, dim: Poly, symbol: Callable[[str], Value]) -> Value:
    total: Value | None = None
    for names, factor in dim.terms.items():
        term: Value | None = None if factor != 1 or not names else symbol(names[0])
        term = term or builder.constant(factor)
        for name in names[1:] if factor == 1 and names else names:
            term = builder.call("py.mul", term, symbol(name))
        total = term if total is None else builder.call("py.add", total, term)
    assert total is not None
    return total


def _known(value: Value) -> bool:
    """Whether a value is a size that its expression gives."""
    return value.type.kind == "int" and value.type.dim is not None


def _alike(a: Value | None, b: Value) -> bool:
    return a is not None and a.type.dtype is b.type.dtype and a.type.dims == b.type.dims
