"""Hoisting: matrix products of single rows of a sequence become one product of the whole sequence, before the loop.

    for t in range(T): ... x[t] @ w + b ...    ->    p = x @ w + b
                                                     for t in range(T): ... p[t] ...

Enters: loops, innermost first. Leaves: in each, no product of which one operand is a row of an invariant sequence (or
row-independent work on such rows) and the other is invariant; row-independent work behind such a product moves with it.
Rows may come from the last one on (x[T - 1 - t]) or start later (x[t + 1]): each turn has one of its own.
Legality: rows are independent (`passes.rows`), nothing moved can raise or is written, and the loop runs once per row. A
matrix product may sum in another order; everything else keeps its bits.
Pays (`pays`): a product of many rows reads its weights once instead of once per turn, which matters where a turn has
one or two rows. Work without a product before it would
only move data, so it stays.
"""

from __future__ import annotations

from specjit.ir.builder import Builder
from specjit.ir.dims import Dim, Poly, product
from specjit.ir.graph import Block, Graph, Node, Value
from specjit.ir.structure import LOOP
from specjit.ops.records.lowering import Contraction
from specjit.passes.aliases import Aliases
from specjit.passes.budget import Budget
from specjit.passes.manager import Context
from specjit.passes.raising import may_raise
from specjit.passes.rows import Loop, Read, batch, batch_view, batchable, batchable_view, front, uses_in

WHAT = "product for all turns of the loop, before it"
CACHE_BYTES = 1 << 20  # a second-level cache, of which weights may take all


def run(graph: Graph, ctx: Context) -> None:
    _block(graph.block, Aliases(graph), Budget(graph, ctx), ctx)


def _block(block: Block, aliases: Aliases, budget: Budget, ctx: Context) -> None:
    out: list[Node] = []
    for node in block.nodes:
        for inner in node.blocks:
            _block(inner, aliases, budget, ctx)
        if node.op is LOOP:
            out += _hoist(node, aliases, budget, ctx)
        out.append(node)
    block.nodes = out


def _hoist(node: Node, aliases: Aliases, budget: Budget, ctx: Context) -> list[Node]:
    """Rewrite the loop's body; the nodes to run before the loop."""
    loop = Loop(node)
    if not loop.full:
        return []
    rows = _Rows(loop, aliases)
    before = Block()
    for root in _worth_moving(loop, rows, ctx):
        if not budget.allows([loop.sequence_type(root.result)], WHAT, root.loc):
            continue
        if not ctx.fire(f"one {WHAT}", root.loc):
            break
        _Sequences(loop, rows, before, ctx).move(root)
    return before.nodes


class _Rows(dict[Value, Node]):
    """The values of a loop's body that depend on the turn only through rows of invariant sequences, with their nodes.
    `turned`: those that come from the last row on; `multiplied`: those that a product goes into."""

    def __init__(self, loop: Loop, aliases: Aliases) -> None:
        super().__init__()
        self.turned: set[Value] = set()
        self.multiplied: set[Value] = set()
        for node in loop.body.nodes:
            if any(aliases.written(v) for v in (*node.args, *node.results)):
                continue
            read = loop.row_read(node)
            if read is not None:
                if isinstance(read.first, int):
                    self._take(node, read.turned)
            elif self._follows(node, loop) and not may_raise(node, {}):
                directions = {a in self.turned for a in node.args if a in self}
                if len(directions) == 1:
                    self._take(node, *directions)

    def _follows(self, node: Node, loop: Loop) -> bool:
        """Whether the node can be had for all turns at once. A view behind a product may stay: it costs nothing."""
        if node.op.traits.view_of is not None:
            return batchable_view(node, lambda v: v in self and v not in self.multiplied)
        return batchable(node, self.__contains__, loop.invariant)

    def _take(self, node: Node, turned: bool) -> None:
        for result in node.results:
            self[result] = node
        if turned:
            self.turned.update(node.results)
        if _is_product(node) or any(a in self.multiplied for a in node.args):
            self.multiplied.update(node.results)


def _worth_moving(loop: Loop, rows: dict[Value, Node], ctx: Context) -> list[Node]:
    """The nodes to replace by rows of a precomputed sequence.

    Each product moves with all row-independent work behind it, where that leaves no more elements to read back than
    moving the products alone; else only with the elementwise nodes that complete it.
    """
    position = {node: i for i, node in enumerate(loop.body.nodes)}
    roots: dict[Node, None] = {}
    for group in _groups(rows):
        products = [node for node in group if _is_product(node)]
        reused = [_reuse(node, rows) for node in products]
        if not any(pays(*reuse) for reuse in reused):
            for node, (count, _) in zip(products, reused, strict=True):
                ctx.refuse(f"no {WHAT}: the {count} rows of a turn share what they read of the weights", node.loc)
            continue
        alone = list(dict.fromkeys(_completed(node, loop, rows) for node in products))
        whole = [node for node in group if _read_outside(node, group, loop.body)]
        roots.update(dict.fromkeys(whole if _elements(whole) <= _elements(alone) else alone))
    # A product that goes into another one that moves is computed on the way.
    inner = {v for root in roots for v in _row_operands(root, rows)}
    wanted = [r for r in roots if r.result not in inner or _read_outside(r, set(rows.values()), loop.body)]
    return sorted(wanted, key=position.__getitem__)


def pays(rows: Dim, weights: Dim) -> bool:
    """Whether one product for all turns is faster than one per turn, when a turn multiplies `rows` rows with `weights`
    bytes of weights.

    One row per turn waits for its weights; a whole sequence reads them once per block of rows. But the results of all
    turns then go through memory, while a product that stays is summed in the registers of the one that it is added
    to. Measured, LSTM layers, time when it stays / time when it moves, by rows:

        weights          1      2      3      4      6      8      16     32     64
        16 KB (L1)      1.05   0.92          0.96
        256 KB (L2)     1.33   0.98   0.97   0.97          0.95
        4 MB (L3)       1.31   1.08   0.96   0.93   0.95   0.96   0.94          0.97

    A layer-normalized LSTM and a GRU (256 KB): 1.33 and 1.42 with one row, 0.98 and 0.99 from 4 rows. Where the rows
    are known only at run time, moving loses little and may gain much.
    """
    if not isinstance(rows, int) or rows <= 1:
        return True
    return rows == 2 and (not isinstance(weights, int) or weights > CACHE_BYTES)


def _reuse(node: Node, rows: dict[Value, Node]) -> tuple[Dim, Dim]:
    """The rows that a product multiplies with its invariant operand in one turn, and the bytes of that operand. With
    no invariant operand nothing is read twice: one row."""
    a, b = node.args[:2]
    if a in rows and b in rows:
        return 1, 0
    dims, weights = (list(a.type.dims or ()), b.type) if a in rows else (list(b.type.dims or ()), a.type)
    del dims[-1 if a in rows or len(dims) == 1 else -2]  # the summed one
    size = product(weights.dims or ())
    return product(dims), None if size is None or weights.dtype is None else size * weights.dtype.itemsize


def _is_product(node: Node) -> bool:
    return isinstance(node.op.lower, Contraction)  # type: ignore[attr-defined]


def _groups(rows: dict[Value, Node]) -> list[set[Node]]:
    """Products and the row nodes behind them, those that feed one another together."""
    group_of: dict[Node, set[Node]] = {}
    for node in rows.values():
        before = [group_of[rows[a]] for a in node.args if a in rows and rows[a] in group_of]
        if not before and not _is_product(node):
            continue
        joined = {node}.union(*before)
        for member in joined:
            group_of[member] = joined
    return list({id(g): g for g in group_of.values()}.values())


def _read_outside(node: Node, group: set[Node], body: Block) -> bool:
    """Whether something other than the nodes of the group reads the node's result."""
    inside = sum(a is node.result for member in group for a in member.args)
    return uses_in(body, node.result) > inside


def _elements(nodes: list[Node]) -> int:
    """How many elements the results have together, with every symbolic size taken as 16."""
    total = 0
    for node in nodes:
        count = 1
        for d in node.result.type.dims or ():
            count *= d.evaluate(dict.fromkeys(d.symbols(), 16)) if isinstance(d, Poly) else d or 0
        total += count
    return total


def _completed(node: Node, loop: Loop, rows: dict[Value, Node]) -> Node:
    """The last of the row nodes that each are the only use of the one before, from a product on, of the same shape."""
    while uses_in(loop.body, node.result) == 1:
        user = next((n for n in loop.body.nodes if any(a is node.result for a in n.args)), None)
        if user is None or user.results[0] not in rows or user.result.type.dims != node.result.type.dims:
            return node
        node = user
    return node


def _row_operands(root: Node, rows: dict[Value, Node]) -> set[Value]:
    found: set[Value] = set()
    todo = [a for a in root.args if a in rows]
    while todo:
        v = todo.pop()
        if v not in found:
            found.add(v)
            todo += [a for a in rows[v].args if a in rows]
    return found


class _Sequences:
    """Whole sequences for row values, made on demand in the block before the loop. Those of rows that come from the
    last one on stay in their order: the loop goes on reading them so."""

    def __init__(self, loop: Loop, rows: _Rows, before: Block, ctx: Context) -> None:
        self.loop, self.rows, self.before, self.ctx = loop, rows, before, ctx
        self.made: dict[Value, Value] = {}

    def of(self, row: Value) -> Value | None:
        """The sequence whose row t is `row` in turn t, or the last but t; None for what is invariant."""
        if row not in self.rows:
            return None
        if row not in self.made:
            node = self.rows[row]
            builder = self.ctx.builder(self.before, node.loc)
            read = self.loop.row_read(node)
            if read is not None:
                self.made[row] = self._rows_read(read, builder)
            elif node.op.traits.view_of is not None:
                source = self.of(node.args[0])
                assert source is not None
                self.made.update(zip(node.results, batch_view(node, source, builder), strict=True))
            else:
                self.made[row] = batch(node, self.of, builder)
        return self.made[row]

    def _rows_read(self, read: Read, builder: Builder) -> Value:
        """The rows that the loop reads, the turns' dimension first."""
        base = read.base
        if not self.loop.whole(read):
            base = builder.call("narrow", base, read.axis, read.first, self.loop.node.args[0])
        return front(base, read.axis, builder)

    def move(self, root: Node) -> None:
        """Replace the node in the body by `select(sequence, 0, i)`, or from the last row on."""
        sequence = self.of(root.result)
        assert sequence is not None
        if root.result.hint and not sequence.hint:
            sequence.hint = root.result.hint
        scratch = Block()
        builder = self.ctx.builder(scratch, root.loc)
        index = self.loop.body.params[0]
        if root.result in self.rows.turned:
            index = builder.call("py.sub", builder.call("py.sub", self.loop.node.args[0], 1), index)
        select = builder.emit(self.ctx.lookup("select"), [sequence, Value.constant(0), index])
        body = self.loop.body
        at = body.nodes.index(root)
        body.nodes[at : at + 1] = scratch.nodes
        # The value keeps its identity: only its definition changes.
        select.results = root.results
        root.result.node = select
