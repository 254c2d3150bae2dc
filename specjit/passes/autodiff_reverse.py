"""Reverse mode on blocks: the gradient code of a block, written as if the forward values were still there.

Enters: a typed forward block, the values whose gradients are wanted, the gradients of its outputs. Leaves: nodes in a
backward block that compute the wanted gradients, and which structural node mirrors which. The backward nodes read
forward values as free values, inside mirrored loops and branches too; `autodiff_keep` decides afterwards how each of
them gets there.
Invariant: every gradient comes from a record's `vjp`; only `if`, `loop` and lists have a rule here.

How a loop is reversed (a loop with a trip count and no condition): a loop with the same trip count that runs the other
way carries the gradients of the carried values. What the body reads from outside gets
  - a row of a `stacked` result, when it is read as `select(x, axis, i)` by the induction variable: no scatter per step;
  - an accumulator otherwise, one per contribution, always as `acc' = add(acc, contribution)` from zeros, so that a
    later pass can turn a product summed over the turns into one product after the loop.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from specjit.ir.dims import Dim
from specjit.ir.graph import Block, Node, Value, free_values
from specjit.ir.structure import IF, LOOP, make_if, make_loop, trip_dim
from specjit.ir.types import Type
from specjit.ops.registry import Op
from specjit.passes.autodiff_gradients import GradientBuilder, Gradients, Key, RefusedError, Row, place_rows, row_of
from specjit.tensor.tracer import TraceError, Tracer, recording, wrap

LISTS = ("py.list", "py.tuple")


def is_differentiable(type: Type) -> bool:
    return type.is_tensor and type.dtype is not None and type.dtype.is_floating_point


def is_true(value: Value) -> bool:
    return value.is_const and value.const is True


def find_active(block: Block, active: set[Value], stopped: set[Value]) -> None:
    """Add to `active` what depends on active values through ops that have gradients. `stopped` values never do."""
    for node in block.nodes:
        if node.op is LOOP:
            found = _active_loop(node, active, stopped)
        elif node.op is IF:
            for inner in node.blocks:
                find_active(inner, active, stopped)
            found = [any(b.outputs[k] in active for b in node.blocks) for k in range(len(node.results))]
        elif node.blocks and any(a in active for a in node.args):
            raise RefusedError(f"{node.op.name} has no gradient rule", node.loc)
        else:
            passes = node.op.name in LISTS or getattr(node.op, "differentiable", False)
            found = [passes and any(a in active for a in node.args)] * len(node.results)
        for result, on in zip(node.results, found):
            if on and result not in stopped and (is_differentiable(result.type) or node.op.name in LISTS):
                active.add(result)


def _active_loop(node: Node, active: set[Value], stopped: set[Value]) -> list[bool]:
    """Mark the values inside a loop; which of its results depend on active values."""
    (body,) = node.blocks
    inits, params = node.args[2:], body.params[1:]
    active.update(p for init, p in zip(inits, params) if init in active and is_differentiable(p.type))
    while True:
        # A carried value is active as soon as one turn hands an active value on, whatever the loop started from.
        find_active(body, active, stopped)
        outs = zip(params, body.outputs[1:])
        fresh = [p for p, out in outs if out in active and p not in active and is_differentiable(p.type)]
        if not fresh:
            break
        active.update(fresh)
    carried = [p in active or init in active for init, p in zip(inits, params)]
    return carried + [out in active for out in body.outputs[1 + len(params) :]]


def values_inside(node: Node) -> set[Value]:
    """Everything defined in the blocks of a node."""
    inside: set[Value] = set()
    for block in node.blocks:
        inside.update(block.params)
        for inner in block.nodes:
            inside.update(inner.results)
            inside |= values_inside(inner)
    return inside


class Reverse:
    """Writes gradient code for the blocks of one function. `mirror[backward node]` is the forward node it reverses."""

    def __init__(self, active: set[Value]) -> None:
        self.active = active
        self.mirror: dict[Node, Node] = {}
        # The induction variable of each open loop -> what the loop defines, and its trip count.
        self._loops: dict[Value, tuple[set[Value], Dim]] = {}

    def block(self, block: Block, grads: Gradients) -> None:
        """Propagate `grads` from the results of the block's nodes to what the block reads."""
        builder = grads.builder
        for node in reversed(block.nodes):
            found = [grads.take(r) if r in self.active else None for r in node.results]
            if all(g is None for g in found):
                continue
            builder.loc = node.loc
            if node.op is LOOP:
                self._loop(node, found, grads)
            elif node.op is IF:
                self._if(node, found, grads)
            else:
                self._op(node, found, grads)

    def _op(self, node: Node, found: list[Value | None], grads: Gradients) -> None:
        builder, op = grads.builder, node.op
        if (row := row_of(node, self._loops)) is not None and found[0] is not None:
            whole = node.op.name == "select"
            grads.add(row, found[0] if whole else builder.call("squeeze", found[0], [row.axis]))
            return
        assert isinstance(op, Op)
        needs = [any(map(self.active.__contains__, _tensors(node.args[i]))) for i in op.tensor_positions]
        several = len(op.returns) != 1 or op.returns[0].endswith("[]")
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
                    grads.add(target, self._checked(part, target, node))

    def _arriving(self, builder: GradientBuilder, gradient: Value | None, result: Value) -> Tracer | None:
        """The gradient of one of several results as a rule sees it: zeros if none came, None if none can."""
        if gradient is None and not is_differentiable(result.type):
            return None
        return Tracer(gradient or builder.zeros(result), builder)

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

    def _if(self, node: Node, found: list[Value | None], grads: Gradients) -> None:
        outer = grads.builder
        branches: list[tuple[Block, Gradients]] = []
        for forward in node.blocks:
            block = Block()
            inner = Gradients(outer.inner(block))
            self._seed(inner, zip(forward.outputs, found))
            self.block(forward, inner)
            branches.append((block, inner))
        keys = list(dict.fromkeys(key for _, inner in branches for key in inner.parts))
        for block, inner in branches:
            block.outputs = [inner.take(key) or inner.builder.zeros(key) for key in keys]
        if not keys:
            return
        (then, _), (other, _) = branches
        hints = [_hint(key) for key in keys]
        mirrored = make_if(outer.block, node.args[0], then, other, loc=node.loc, hints=hints)
        self.mirror[mirrored] = node
        for key, result in zip(keys, mirrored.results):
            grads.add(key, result)

    def _seed(self, inner: Gradients, pairs: Iterable[tuple[Value, Value | None]]) -> None:
        for output, gradient in pairs:
            if gradient is not None and output in self.active:
                inner.add(output, gradient)

    def _loop(self, node: Node, found: list[Value | None], grads: Gradients) -> None:
        trip, cond, *inits = node.args
        (body,) = node.blocks
        if (trip.is_const and trip.const is None) or not is_true(cond) or not is_true(body.outputs[0]):
            raise RefusedError("a loop with a condition has no gradient rule yet", node.loc)
        outer, n = grads.builder, len(inits)
        carried = self._carrying(node, found)
        block = Block()
        index = block.param(body.params[0].type, body.params[0].hint)
        inner = Gradients(outer.inner(block))
        carries = [block.param(_plain(body.params[1 + k].type), _hint(body.params[1 + k])) for k in carried]
        self._seed(inner, [(body.outputs[1 + k], c) for k, c in zip(carried, carries)])
        for output, gradient in zip(body.outputs[1 + n :], found[n:]):
            if gradient is not None and output in self.active:
                inner.add(output, inner.builder.call("select", gradient, 0, index))
        self._loops[body.params[0]] = values_inside(node), trip_dim(node)
        self.block(body, inner)
        del self._loops[body.params[0]]

        starts = [found[k] or outer.zeros(node.results[k]) for k in carried]
        nexts = [inner.take(body.params[1 + k]) or inner.builder.zeros(body.params[1 + k]) for k in carried]
        rows: dict[Row, Value] = {}
        sums: list[Key] = []
        for key in list(inner.parts):
            if isinstance(key, Row) and key.index is body.params[0]:
                row = inner.take(key)
                assert row is not None
                rows[key] = row
                continue
            for part in inner.parts.pop(key):
                zero = outer.zeros(key)
                total = block.param(zero.type, _hint(key))
                starts.append(zero)
                nexts.append(inner.builder.call("add", total, part))
                sums.append(key)
        block.outputs = [Value.constant(True), *nexts, *rows.values()]
        keys: list[Key] = [node.args[2 + k] for k in carried] + sums + list(rows)
        reverse = not node.attrs.get("reverse")
        hints = [_hint(key) for key in keys]
        mirrored = make_loop(
            outer.block, trip, Value.constant(True), starts, block, reverse=reverse, loc=node.loc, hints=hints
        )
        self.mirror[mirrored] = node
        for key, result in zip(keys, mirrored.results):
            if isinstance(key, Row) and key in rows:
                grads.add(key.base, place_rows(outer, result, key))
            elif isinstance(key, Row) or key in self.active:
                grads.add(key, result)

    def _carrying(self, node: Node, found: list[Value | None]) -> list[int]:
        """Which carried values of a loop have a gradient at the start of some turn."""
        (body,) = node.blocks
        params = body.params[1:]
        n = len(params)
        on = {k for k in range(n) if found[k] is not None and params[k] in self.active}
        seeds = {o for o, g in zip(body.outputs[1 + n :], found[n:]) if g is not None}
        while True:
            reached = self._reached(body, seeds | {body.outputs[1 + k] for k in on})
            more = {k for k in range(n) if params[k] in reached and params[k] in self.active} - on
            if not more:
                return sorted(on)
            on |= more

    def _reached(self, block: Block, seeds: set[Value]) -> set[Value]:
        """Values that gradients of `seeds` may flow to; structural nodes pass them on to everything they read."""
        reached = {s for s in seeds if s in self.active}
        for node in reversed(block.nodes):
            if any(r in reached for r in node.results):
                reads = [*node.args, *(v for inner in node.blocks for v in free_values(inner))]
                reached.update(a for a in reads if a in self.active)
        return reached


def _tensors(arg: Value) -> list[Value]:
    """The tensors in an argument: itself, or those of a list that is built here."""
    if arg.node is not None and arg.node.op.name in LISTS:
        return list(arg.node.args)
    return [arg]


def _plain(type: Type) -> Type:
    return type.with_(requires_grad=False)


def _hint(key: Key) -> str:
    """The name of a gradient: d before the name of the value."""
    value = key if isinstance(key, Value) else key.base
    return f"d{value.hint}" if value.hint else ""
