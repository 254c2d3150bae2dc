"""Reverse mode on blocks: the gradient code of a block, written as if the forward values were still there.

Enters: a typed forward block, the values whose gradients are wanted, the gradients of its outputs. Leaves: nodes in a
backward block that compute the wanted gradients, and which structural node mirrors which. The backward nodes read
forward values as free values, inside mirrored loops and branches too; `keep` decides afterwards how each of
them gets there.
Invariant: every gradient comes from a record's `vjp`; only `if`, `loop` and lists have a rule here.
Loops have a file of their own, `loops`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from specjit.ir.graph import Block, Node, Value
from specjit.ir.structure import IF, LOOP, make_if
from specjit.ir.types import Type
from specjit.ops.records.registry import Op
from specjit.passes.autodiff.gradients import Gradient, GradientBuilder, Gradients, OpenLoop, RefusedError, row_of
from specjit.passes.autodiff.loops import LoopReverse, hint_of
from specjit.passes.autodiff.when import When, as_value, either
from specjit.tensor.tracer import TraceError, Tracer, recording, wrap

LISTS = ("py.list", "py.tuple")


def is_differentiable(type: Type) -> bool:
    return type.is_tensor and type.dtype is not None and type.dtype.is_floating_point


def find_active(block: Block, active: set[Value]) -> None:
    """Add to `active` what depends on active values through ops that have gradients."""
    for node in block.nodes:
        if node.op is LOOP:
            found = _active_loop(node, active)
        elif node.op is IF:
            for inner in node.blocks:
                find_active(inner, active)
            found = [any(b.outputs[k] in active for b in node.blocks) for k in range(len(node.results))]
        elif node.blocks and any(a in active for a in node.args):
            raise RefusedError(f"{node.op.name} has no gradient rule", node.loc)
        else:
            passes = node.op.name in LISTS or getattr(node.op, "differentiable", False)
            found = [passes and any(a in active for a in node.args)] * len(node.results)
        for result, on in zip(node.results, found):
            if on and (is_differentiable(result.type) or node.op.name in LISTS):
                active.add(result)


def _active_loop(node: Node, active: set[Value]) -> list[bool]:
    """Mark the values inside a loop; which of its results depend on active values."""
    (body,) = node.blocks
    inits, params = node.args[2:], body.params[1:]
    active.update(p for init, p in zip(inits, params) if init in active and is_differentiable(p.type))
    while True:
        # A carried value is active as soon as one turn hands an active value on, whatever the loop started from.
        find_active(body, active)
        outs = zip(params, body.outputs[1:])
        fresh = [p for p, out in outs if out in active and p not in active and is_differentiable(p.type)]
        if not fresh:
            break
        active.update(fresh)
    carried = [p in active or init in active for init, p in zip(inits, params)]
    return carried + [out in active for out in body.outputs[1 + len(params) :]]


@dataclass(frozen=True)
class Mirror:
    """Which forward node a backward node reverses, with the backward block for each of its blocks; `turns`: the value
    that says how many turns a loop made that a condition may have ended."""

    forward: Node
    blocks: list[Block]
    turns: Value | None = None


class Reverse:
    """Writes gradient code for the blocks of one function. `mirror` says of backward nodes what they reverse; `turns`
    how many turns loops with a condition made."""

    def __init__(self, active: set[Value], turns: dict[Node, Value]) -> None:
        self.active = active
        self.turns = turns
        self.mirror: dict[Node, Mirror] = {}
        self._loops: dict[Value, OpenLoop] = {}  # by induction variable

    def block(self, block: Block, grads: Gradients) -> None:
        """Propagate `grads` from the results of the block's nodes to what the block reads."""
        builder = grads.builder
        for node in reversed(block.nodes):
            found = [grads.take(r) if r in self.active else None for r in node.results]
            if all(g is None for g in found):
                continue
            builder.loc = node.loc
            if node.op is LOOP:
                LoopReverse(self, node, found, grads).run()
            elif node.op is IF:
                self._if(node, found, grads)
            else:
                self._op(node, found, grads)

    def body(self, body: Block, loop: OpenLoop, grads: Gradients) -> None:
        """The same for the body of a loop."""
        self._loops[body.params[0]] = loop
        self.block(body, grads)
        del self._loops[body.params[0]]

    def mirrors(self, made: Node, forward: Node, blocks: list[Block]) -> None:
        self.mirror[made] = Mirror(forward, blocks, self.turns.get(forward))

    def _op(self, node: Node, found: list[Gradient | None], grads: Gradients) -> None:
        builder, op = grads.builder, node.op
        if (row := row_of(node, self._loops)) is not None and found[0] is not None:
            whole = node.op.name == "select"
            value = found[0].value if whole else builder.call("squeeze", found[0].value, [row.axis])
            grads.add(row, value, found[0].when)
            return
        assert isinstance(op, Op)
        needs = [any(map(self.active.__contains__, _tensors(node.args[i]))) for i in op.tensor_positions]
        several = len(op.returns) != 1 or op.returns[0].endswith("[]")
        when = either([g.when for g in found if g is not None], builder)
        try:
            with recording(builder):
                args = [wrap(a, builder) for a in node.args]
                g = tuple(self._arriving(builder, d, r) for d, r in zip(found, node.results))
                y = tuple(Tracer(r, builder) for r in node.results)
                made = op.vjp_needed(needs, g, y, *args) if several else op.vjp_needed(needs, g[0], y[0], *args)
        except TraceError as e:
            raise RefusedError(f"the gradient of {op.name} cannot be traced: {e}", node.loc) from e
        for position, gradient in zip(op.tensor_positions, made):
            targets = _tensors(node.args[position])
            listed = gradient if isinstance(gradient, (list, tuple)) else [gradient] * len(targets)
            for target, part in zip(targets, listed, strict=True):
                if part is not None and target in self.active:
                    grads.add(target, self._checked(part, target, node), when)

    def _arriving(self, builder: GradientBuilder, gradient: Gradient | None, result: Value) -> Tracer | None:
        """The gradient of one of several results as a rule sees it: zeros if none came, None if none can."""
        if gradient is None and not is_differentiable(result.type):
            return None
        return Tracer(builder.zeros(result) if gradient is None else gradient.value, builder)

    def _checked(self, gradient: Any, target: Value, node: Node) -> Value:
        if not isinstance(gradient, Tracer):
            raise RefusedError(f"the gradient of {node.op.name} is {type(gradient).__name__}, not a tensor", node.loc)
        a, b = gradient.value.type, target.type
        known = a.dims is not None and b.dims is not None
        if a.dtype is not b.dtype or (known and len(a.dims or ()) != len(b.dims or ())):
            raise RefusedError(f"the gradient of {node.op.name} is {a}, expected {b}", node.loc)
        if known and any(x is not None and y is not None and x != y for x, y in zip(a.dims or (), b.dims or ())):
            raise RefusedError(f"the gradient of {node.op.name} is {a}, expected {b}", node.loc)
        return gradient.value

    def _if(self, node: Node, found: list[Gradient | None], grads: Gradients) -> None:
        outer = grads.builder
        branches: list[tuple[Block, Gradients]] = []
        for forward in node.blocks:
            block = Block()
            inner = Gradients(outer.inner(block))
            for output, gradient in zip(forward.outputs, found):
                if gradient is not None and output in self.active:
                    inner.add(output, gradient.value, gradient.when)
            self.block(forward, inner)
            branches.append((block, inner))
        keys = list(dict.fromkeys(key for _, inner in branches for key in inner.parts))
        if not keys:
            return
        whens: list[list[When]] = []
        for block, inner in branches:
            ends = [inner.taken(key) for key in keys]
            block.outputs = [end.value for end in ends]
            whens.append([end.when for end in ends])
        # Where the branches differ in what gets a gradient, a bool says what this run's branch gave.
        differ = [k for k, (a, b) in enumerate(zip(*whens, strict=True)) if a != b]
        for (block, inner), found_when in zip(branches, whens):
            block.outputs += [as_value(found_when[k], inner.builder) for k in differ]
        (then, _), (other, _) = branches
        hints = [hint_of(key) for key in keys]
        mirrored = make_if(outer.block, node.args[0], then, other, loc=node.loc, hints=hints)
        self.mirrors(mirrored, node, [then, other])
        said = {k: When(frozenset(), v) for k, v in zip(differ, mirrored.results[len(keys) :])}
        for k, (key, result) in enumerate(zip(keys, mirrored.results)):
            grads.add(key, result, said.get(k, whens[0][k]))


def _tensors(arg: Value) -> list[Value]:
    """The tensors in an argument: itself, or those of a list that is built here."""
    if arg.node is not None and arg.node.op.name in LISTS:
        return list(arg.node.args)
    return [arg]
