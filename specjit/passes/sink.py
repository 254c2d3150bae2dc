"""Sinking: products that a loop only collects, or only adds up, become one product after the loop.

    for t in range(T): ... ys.append(h @ w + b)        ->    for t in range(T): ... hs.append(h)
                                                             ys = stack(hs) @ w + b
    for t in range(T): ... dw = dw + x[t].T @ g        ->    for t in range(T): ... gs.append(g)
                                                             dw = x.reshape(T*B, -1).T @ gs.reshape(T*B, -1)

Enters: loops, innermost first, in typed form. Leaves: loops that stack what such products read, and the products after
them. Sums over the rows of a batch that are added up over the turns (bias gradients) become one sum in the same way.
Legality: rows are independent (`passes.rows`); the total of a carried sum is a matrix product or reduction over turns
and rows, which may sum in any order (DESIGN section 7); nothing else in the loop reads the running value.
Pays: one
long product reads its weights once, and a rank-k update per turn would read and write the whole total.
"""

from __future__ import annotations

from collections.abc import Iterable

from specjit.ir.dims import product
from specjit.ir.graph import Block, Graph, Location, Node, Value, replace_uses
from specjit.ir.structure import LOOP
from specjit.ir.types import Type
from specjit.ops.records.lowering import Contraction, Creation, Pointwise, Reduction
from specjit.passes.aliases import Aliases
from specjit.passes.budget import Budget
from specjit.passes.manager import Context
from specjit.passes.raising import may_raise, reduced_dims
from specjit.passes.rows import Loop, batch, batchable, front, uses_in

MAX_FRONTIER = 2  # values that a sunk computation may make the loop stack instead


def run(graph: Graph, ctx: Context) -> None:
    _block(graph.block, Aliases(graph), Budget(graph, ctx), ctx)


def _block(block: Block, aliases: Aliases, budget: Budget, ctx: Context) -> None:
    out: list[Node] = []
    replaced: dict[Value, Value] = {}
    for node in block.nodes:
        for inner in node.blocks:
            _block(inner, aliases, budget, ctx)
        out.append(node)
        if node.op is LOOP and Loop(node).full:
            after = Block()
            _sink_stacked(node, after, replaced, aliases, budget, ctx)
            _sink_sums(node, after, replaced, aliases, budget, ctx)
            out += after.nodes
    block.nodes = out
    if replaced:
        replace_uses(block, replaced)


# -- stacked outputs ---------------------------------------------------------------------------------------------------


def _sink_stacked(
    node: Node, after: Block, replaced: dict[Value, Value], aliases: Aliases, budget: Budget, ctx: Context
) -> None:
    what = "computation for all turns of the loop, after it"
    loop = Loop(node)
    carried = len(node.args) - 2
    for k in reversed(range(carried, len(node.results))):
        value = loop.body.outputs[1 + k]
        chain = _Chain(loop, value, aliases)
        if not chain.pays() or not budget.allows(_new_stacks(loop, chain.frontier), what, chain.loc):
            continue
        if not ctx.fire(f"one {what}", chain.loc):
            continue
        result = node.results[k]
        del node.results[k], loop.body.outputs[1 + k]
        made = chain.build(after, ctx)
        replaced[result] = made
        made.hint = made.hint or result.hint


def _new_stacks(loop: Loop, values: Iterable[Value]) -> list[Type]:
    """Types of the sequences that the loop would stack besides those it stacks already."""
    return [loop.sequence_type(v) for v in values if loop.stack_of(v) is None]


class _Chain:
    """The row-independent nodes behind one stacked value that nothing else reads, and what they read: rows and other
    values of the turn."""

    def __init__(self, loop: Loop, value: Value, aliases: Aliases) -> None:
        self.loop, self.value = loop, value
        self.nodes: dict[Value, Node] = {}
        self.sources: dict[Value, tuple[Value, int]] = {}
        self.frontier: dict[Value, None] = {}
        self._aliases = aliases
        self._visit(value)

    @property
    def loc(self) -> Location | None:
        return self.value.node.loc if self.value.node else None

    def _visit(self, value: Value) -> None:
        if self.loop.invariant(value) or value in self.frontier or value in self.nodes or value in self.sources:
            return
        node = value.node
        source = self.loop.row_source(node) if node is not None and node in self.loop.body.nodes else None
        if source is not None and not self._aliases.written(source[0]):
            self.sources[value] = source
        elif node is not None and self._takes(node):
            self.nodes[value] = node
            for a in node.args:
                self._visit(a)
        else:
            self.frontier[value] = None

    def _takes(self, node: Node) -> bool:
        if node not in self.loop.body.nodes or uses_in(self.loop.body, node.results[0]) != 1 or may_raise(node, {}):
            return False
        if any(self._aliases.written(v) for v in (*node.args, *node.results)):
            return False
        # Every operand can be had as a sequence: rows are there, the rest is stacked.
        return batchable(node, lambda v: v.type.is_tensor and not self.loop.invariant(v), self.loop.invariant)

    def pays(self) -> bool:
        """A product leaves the loop for at most `MAX_FRONTIER` stacked operands, or the loop computes nothing that
        needs turns."""
        if not self.nodes or not all(v.type.is_tensor for v in self.frontier):
            return False
        return not self.frontier or (self._has_product() and len(self.frontier) <= MAX_FRONTIER)

    def _has_product(self) -> bool:
        return any(
            isinstance(n.op.lower, Contraction) and any(self.loop.invariant(a) for a in n.args[:2])  # type: ignore[attr-defined]
            for n in self.nodes.values()
        )

    def build(self, after: Block, ctx: Context) -> Value:
        made: dict[Value, Value] = {v: self.loop.stack(v) for v in self.frontier}

        def of(value: Value) -> Value | None:
            if self.loop.invariant(value):
                return None
            if value not in made:
                node = value.node
                assert node is not None
                builder = ctx.builder(after, node.loc)
                source = self.sources.get(value)
                made[value] = front(*source, builder) if source else batch(self.nodes[value], of, builder)
            return made[value]

        found = of(self.value)
        assert found is not None
        return found


# -- carried sums ------------------------------------------------------------------------------------------------------


def _sink_sums(
    node: Node, after: Block, replaced: dict[Value, Value], aliases: Aliases, budget: Budget, ctx: Context
) -> None:
    what = "sum over all turns of the loop, after it"
    for k in reversed(range(len(node.args) - 2)):
        loop = Loop(node)
        term = _running_sum(loop, k)
        result, init = node.results[k], node.args[2 + k]
        if term is None or any(aliases.written(v) for v in (term, result)):
            continue
        # Without a turn the result is the start value itself, which the caller could tell from a sum.
        if aliases.escapes(result) and not _is_zero(init):
            continue
        total = _Total(loop, term, after, ctx)
        if not total.pays() or not budget.allows(_new_stacks(loop, total.stacked()), what, total.loc):
            continue
        if not ctx.fire(f"one {what}", total.loc):
            continue
        adder = loop.body.outputs[1 + k].node
        del node.results[k], node.args[2 + k], loop.body.params[1 + k], loop.body.outputs[1 + k]
        loop.body.nodes.remove(adder)  # type: ignore[arg-type]
        made = total.build()
        if not _is_zero(init):
            made = ctx.builder(after, total.loc).call("add", init, made)
        replaced[result] = made
        made.hint = made.hint or result.hint


def _running_sum(loop: Loop, k: int) -> Value | None:
    """The value that every turn adds to carried value k, if all that the body does with k is `add(k, term)`."""
    param, out = loop.body.params[1 + k], loop.body.outputs[1 + k]
    node = out.node
    if node is None or node.op.name != "add" or node not in loop.body.nodes or out is param:
        return None
    if uses_in(loop.body, param) != 1 or uses_in(loop.body, out) != 1 or not _plain(node):
        return None
    left, right = node.args[:2]
    term = right if left is param else left if right is param else None
    dtype = param.type.dtype
    if term is None or dtype is None or not dtype.is_floating_point or loop.invariant(term):
        return None
    same = (term.type.dtype, term.type.dims) == (param.type.dtype, param.type.dims)
    return term if same and out.type.dims == param.type.dims else None


def _plain(node: Node) -> bool:
    """Whether the arguments after the first two have their defaults (`add` has a factor `alpha`)."""
    return all(a.is_const and a.const == p.default for p, a in zip(node.op.params[2:], node.args[2:], strict=True))


class _Total:
    """A term of a running sum, and how the sum of its values over all turns is computed after the loop."""

    def __init__(self, loop: Loop, term: Value, after: Block, ctx: Context) -> None:
        self.loop, self.after, self.ctx = loop, after, ctx
        self.layouts: list[Node] = []
        while term.node is not None and relayout(term.node) and self._single(term):
            self.layouts.append(term.node)
            term = term.node.args[0]
        self.term = term
        self.node = term.node if term.node in loop.body.nodes else None
        self.loc = self.node.loc if self.node else None

    def _single(self, value: Value) -> bool:
        return value.node in self.loop.body.nodes and uses_in(self.loop.body, value) == 1

    def pays(self) -> bool:
        if self.node is None or not self._single(self.term):
            return False
        lower = getattr(self.node.op, "lower", None)
        if self._is_product():
            return not any(self.loop.invariant(v) for v in self.node.args[:2])
        if isinstance(lower, Reduction):
            row = self.node.args[0]
            return lower.kind == "sum" and batchable(self.node, lambda v: v is row, self.loop.invariant)
        return False

    def _is_product(self) -> bool:
        """A product of two matrices; an elementwise product of a column and a row is one, too."""
        assert self.node is not None
        a, b = (v.type.dims for v in (*self.node.args, *self.node.args)[:2])
        if a is None or b is None or len(a) != 2 or len(b) != 2:
            return False
        lower = self.node.op.lower  # type: ignore[attr-defined]
        outer = isinstance(lower, Pointwise) and lower.text == "{0} * {1}" and a[1] == 1 and b[0] == 1
        return isinstance(lower, Contraction) or outer

    def stacked(self) -> list[Value]:
        """What the loop has to stack for the total; of a matrix that is yet to be turned, the matrix stands for it."""
        assert self.node is not None
        operands = self.node.args[:2] if self._is_product() else self.node.args[:1]
        if self._is_product():
            operands = [self._straight(operands[0]) or operands[0], operands[1]]
        return [v for v in operands if v.node is None or self.loop.row_source(v.node) is None]

    def build(self) -> Value:
        assert self.node is not None
        builder = self.ctx.builder(self.after, self.loc)
        if self._is_product():
            made = self._product()
        else:
            made = self._sum()
        for node in reversed(self.layouts):
            made = builder.emit(node.op, [made, *node.args[1:]]).result
        return made

    def _sum(self) -> Value:
        """The sum over turns and over the reduced dimensions of each row, at once."""
        assert self.node is not None
        builder = self.ctx.builder(self.after, self.loc)
        row = self.node.args[0]
        dims = sorted(reduced_dims(self.node) or ())
        made = builder.call("sum", self._sequence(row), [0, *(d + 1 for d in dims)])
        if self.node.result.type.rank == row.type.rank:  # keepdim
            for d in dims:
                made = builder.call("unsqueeze", made, d)
        return made

    def _product(self) -> Value:
        """sum over t of A_t @ B_t = [A_0 A_1 ...] @ [B_0; B_1; ...]: rows of all turns contracted at once."""
        assert self.node is not None
        builder = self.ctx.builder(self.after, self.loc)
        a, b = self.node.args[:2]
        left = self._sequence(self._turned(a))
        right = self._sequence(b)
        flat = [builder.call("flatten", s, 0, 1) for s in (left, right)]
        return builder.call("matmul", builder.call("permute", flat[0], [1, 0]), flat[1])

    def _straight(self, value: Value) -> Value | None:
        """The matrix of the body that this is a transpose of."""
        node = value.node
        turned = node is not None and permutation(node) == [1, 0] and not self.loop.invariant(node.args[0])
        return node.args[0] if node is not None and turned else None

    def _turned(self, value: Value) -> Value:
        """The transpose of a matrix of the body: what it is a transpose of, if that is so, else a view appended to the
        body."""
        straight = self._straight(value)
        if straight is not None:
            return straight
        made = self.ctx.builder(self.loop.body, self.loc).call("permute", value, [1, 0])
        self.loop.inside.add(made)
        return made

    def _sequence(self, value: Value) -> Value:
        source = self.loop.row_source(value.node) if value.node is not None else None
        if source is not None:
            return front(*source, self.ctx.builder(self.after, self.loc))
        return self.loop.stack(value)


def permutation(node: Node) -> list[int] | None:
    """The order of dimensions of `permute(x, order)` with a constant order."""
    if node.op.name != "permute" or not node.args[1].is_const or node.args[0].type.dims is None:
        return None
    return [d % len(node.args[0].type.dims) for d in node.args[1].const]


def relayout(node: Node) -> bool:
    """Whether the node only arranges all elements of its first argument anew, the same way in every turn: sums pass
    through it."""
    if node.op.traits.view_of != 0 or len(node.results) != 1 or not all(a.is_const for a in node.args[1:]):
        return False
    before, after = (product(v.type.dims) if v.type.dims is not None else None for v in (node.args[0], node.result))
    return before is not None and before == after


def _is_zero(value: Value) -> bool:
    if value.is_const or value.node is None:
        return False
    node = value.node
    lower = getattr(node.op, "lower", None)
    if not isinstance(lower, Creation) or lower.kind != "full":
        return False
    filled = next((a for p, a in zip(node.op.params, node.args) if p.name == "fill_value"), None)
    return node.op.name.startswith("zeros") if filled is None else filled.is_const and filled.const == 0
