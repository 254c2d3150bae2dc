"""Algebra and peepholes, as a table of rows.

Enters: any graph. Leaves: fewer or cheaper nodes. Every row says why both sides are equal bit for bit, NaN, infinities
and the sign of zero included; what holds for integers only says so.
Legality beyond the rows: the result keeps its type; nothing that may be written is looked through; a result that the
caller may get hold of stays the storage it was: fresh ones stay fresh; and gradients flow where they did (not through
`detach`).
"""

from __future__ import annotations

from collections.abc import Sequence

from specjit.ir.builder import Builder
from specjit.ir.dims import symbol
from specjit.ir.graph import Block, Graph, Node, Value
from specjit.ir.types import Type
from specjit.ir.viewref import ViewRef
from specjit.ops.records.lowering import Pointwise, Viewing
from specjit.passes.aliases import Aliases, objects
from specjit.passes.manager import Context
from specjit.passes.patterns import Call, Rule
from specjit.passes.raising import layout
from specjit.passes.rewrite import rewrite
from specjit.passes.rules_algebra import ALGEBRA, CASTS
from specjit.passes.rules_views import JOINS, SIZES, VIEWS
from specjit.passes.rules_writes import WRITES

RULES = (*ALGEBRA, *CASTS, *VIEWS, *SIZES, *JOINS, *WRITES)
CHAIN = 4  # views looked back through, to one that they undo


def run(graph: Graph, ctx: Context) -> None:
    simplify(graph, ctx, RULES)


def simplify(graph: Graph, ctx: Context, rules: Sequence[Rule]) -> None:
    """Apply these rows, and drop what passes an argument on."""
    storage = _Storage(graph)
    by_op: dict[str, list[Rule]] = {}
    for rule in rules:
        assert isinstance(rule.tree, Call)
        by_op.setdefault(rule.tree.op, []).append(rule)

    def visit(node: Node, block: Block) -> list[Value] | None:
        if node.blocks or not node.results or storage.written(*node.args, *node.results):
            return None
        scratch = Block()
        found = _passed_on(node, storage)
        if found is None:
            found = _by_rule(node, by_op.get(node.op.name, ()), ctx.builder(scratch, node.loc), storage)
        if found is None or not ctx.fire():
            return None
        block.nodes += scratch.nodes
        for old, new in zip(node.results, found, strict=True):
            storage.merge(old, new)
        return found

    rewrite(graph, visit)


def _passed_on(node: Node, storage: _Storage) -> list[Value] | None:
    found = identity(node)
    view = node.op.traits.view_of is not None
    return [found] if found is not None and storage.allows(node.result, found, view) else None


def _by_rule(node: Node, rules: Sequence[Rule], builder: Builder, storage: _Storage) -> list[Value] | None:
    """What the first row that may be applied puts in the place of the results; nodes it needs are in the builder's
    block."""
    made = builder.block.nodes
    for rule in rules:
        made.clear()
        applied = rule.apply(node, builder)
        if applied is None:
            continue
        found = [applied] if isinstance(applied, Value) else list(applied)
        if storage.written(*found, *(a for n in made for a in n.args)):
            continue  # it was read before the write, and must not be read after it
        alike = rule.view or (bool(made) and node.op.traits.view_of is None)  # both views, or both fresh
        if all(storage.allows(old, new, alike, made) for old, new in zip(node.results, found, strict=True)):
            return found
    made.clear()
    return None


class _Storage:
    """What may take the place of what, as far as types, storage and gradients go."""

    def __init__(self, graph: Graph) -> None:
        self.aliases = Aliases(graph)
        self.held = objects(graph)

    def written(self, *values: Value) -> bool:
        return any(map(self.aliases.written, values))

    def allows(self, old: Value, new: Value, alike: bool, made: Sequence[Node] = ()) -> bool:
        """Whether `new` may take the place of `old`: the same type, and storage the caller cannot tell apart.

        alike: both are fresh storage, or both are views of the same storage, in every run. made: nodes that come in
        with `new`."""
        if not same_type(old.type, new.type) or not records_alike(old.type, new.type):
            return False
        if not old.type.is_tensor:
            return True
        if not alike and self.aliases.viewed(old):
            return False  # a copy has a layout of its own
        if not self.aliases.escapes(old):
            return True
        # An output stays an object of its own, even where it views all of another value.
        return alike and (old not in self.held or new.node in made)

    def merge(self, old: Value, new: Value) -> None:
        """From now on `new` stands where `old` stood."""
        self.aliases.merge(old, new)
        if old in self.held:
            self.held.add(new)


def same_type(old: Type, new: Type) -> bool:
    if old.kind == "tensor":
        return new.kind == "tensor" and (old.dtype, old.dims) == (new.dtype, new.dims) and old.device == new.device
    return old.kind == new.kind


def records_alike(old: Type, new: Type) -> bool:
    """Whether gradients flow through both or neither. Unknown is like unknown only: a join may carry a gradient."""
    if not new.is_tensor or new.dtype is None or not new.dtype.is_floating_point:
        return True
    return old.requires_grad == new.requires_grad or (old.requires_grad, new.requires_grad) == (None, False)


def identity(node: Node) -> Value | None:
    """The value that a node merely passes on: a copy or cast that changes no element, or a view that is, after the
    views before it, all of that value as it was (`t().t()`, `unsqueeze` and `squeeze`)."""
    if len(node.results) != 1:
        return None
    lower = getattr(node.op, "lower", None)
    if isinstance(lower, Pointwise):
        return node.args[0] if lower.text == "{0}" else None
    chain: list[Node] = []
    at: Node | None = node
    while at is not None and len(chain) < CHAIN and _views(at):
        chain.insert(0, at)
        if _undone(chain):
            return at.args[0]
        at = at.args[0].node
    return None


def _views(node: Node) -> bool:
    lower = getattr(node.op, "lower", None)
    return isinstance(lower, Viewing) and node.op.traits.view_of == 0 and len(node.results) == 1


def _undone(chain: list[Node]) -> bool:
    """Whether views, one of the other, end in all of the first one's argument as it was."""
    found = layout(*chain)
    if not isinstance(found, ViewRef) or found.offset != 0 or found.sizes != chain[0].args[0].type.dims:
        return False
    return all(n == 1 or s == symbol(f"stride{k}") for k, (n, s) in enumerate(zip(found.sizes, found.strides)))
