"""Which parts of a typed graph become native regions.

Enters: a typed graph. Leaves: the same graph with maximal runs of lowerable, effect-free nodes replaced by `region`
nodes, and a report.
Invariant: effects (writes, I/O, random draws) keep their order, and nothing moves across one that stays in Python;
between those only pure nodes and draws move; draws and what may raise keep their order among themselves, so that the
same exception rises, after as many draws. A region's arguments and results are tensors and numbers.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from specjit.codegen.abi import fits_word
from specjit.codegen.schedule.dispatch import SPECIAL
from specjit.codegen.schedule.numbers import RULES
from specjit.codegen.vectors.lanes import ITEMSIZE
from specjit.ir.graph import Block, Graph, Node, Value, free_values, uses
from specjit.ir.structure import IF, LOOP, REGION, WITH, effects
from specjit.ir.types import Type
from specjit.ops.records import lowering
from specjit.passes.decompose import expand
from specjit.passes.draws import refusal
from specjit.passes.manager import Context
from specjit.passes.raising import Bounds, loop_bounds, may_raise

NUMBERS = ("int", "float", "bool")
LISTS = ("py.list", "py.tuple")


@dataclass
class Report:
    """The regions made, and every node that stayed in Python with the reason."""

    regions: list[Node] = field(default_factory=list)
    refused: list[tuple[Node, str]] = field(default_factory=list)


def partition(graph: Graph) -> Report:
    """Rewrite `graph` in place; one region when all of it lowers."""
    report = Report()
    _partition(graph.block, report, {}, loop_bounds(graph))
    return report


# what lowers


def lowerable(node: Node) -> str | None:
    """None if the node can be part of a region, else why not."""
    if node.op is IF or node.op is LOOP or (node.op is WITH and not node.attrs["grad"]):
        return _structure(node)
    if node.blocks:
        return "it is a region already"
    t = effects(node)
    name = node.op.name
    asserted = name == "py.assert"
    if (t.writes or t.io) and not asserted:
        return "it has an outside effect"
    for r in node.results:
        why = None if name in LISTS else unusable(r.type)
        if why:
            return f"its result {why}"
    for a in node.args:
        why = _argument(a)
        if why:
            return why
    if node.results and all(r.type.kind == "int" and r.type.dim is not None for r in node.results):
        return None
    if name in LISTS:
        return None
    if name in RULES:
        return _number_op(node)
    if t.random:
        return refusal(node)
    lower = getattr(node.op, "lower", None)
    if lower is None:
        return "no kernel says how to compute it"
    if isinstance(lower, lowering.Composite) and not (lower.whole and expand(node, lower, Context())):
        return "it was not decomposed"
    if isinstance(lower, lowering.Special) and lower.name not in SPECIAL:
        return f"no rule for {lower.name}"
    if isinstance(lower, lowering.Contraction) and not node.result.type.dtype.is_floating_point:  # type: ignore[union-attr]
        return "a product of integer matrices"
    return None


def unusable(t: Type) -> str | None:
    """Why a value of this type cannot be in a region."""
    if t.kind in NUMBERS:
        return None
    if not t.is_tensor:
        return f"is a {t.kind}"
    if t.dtype is None or t.dims is None or any(d is None for d in t.dims):
        return f"has type {t}, which is not known well enough"
    if t.dtype.short not in ITEMSIZE:
        return f"has dtype {t.dtype.name}, for which there are no kernels"
    return f"is on device {t.device}" if t.device not in (None, "cpu") else None


def _unusable_constant(const: object) -> str | None:
    """Why a constant cannot be in a region: native code keeps ints in words."""
    if isinstance(const, list | tuple):
        return next((why for item in const if (why := _unusable_constant(item))), None)
    return "is an int beyond 64 bits" if isinstance(const, int) and not fits_word(const) else None


def _argument(a: Value) -> str | None:
    if not a.is_const and a.node is not None and a.node.op.name in LISTS:
        return next((why for item in a.node.args if (why := _argument(item))), None)
    why = _unusable_constant(a.const) if a.is_const else unusable(a.type)
    return f"an argument {why}" if why else None


def _number_op(node: Node) -> str | None:
    name = node.op.name
    kinds = {a.type.kind for a in node.args if not a.is_const}
    if name in ("py.and", "py.or") and node.result.type.kind != "bool":
        return "bits of integers have no instruction"
    if name in ("item", "size", "py.getitem", "py.unpack", "py.assert", "py.bool", "py.not", "py.float", "py.int"):
        return None
    return None if kinds <= set(NUMBERS) else f"its operands are {', '.join(sorted(kinds))}"


def _structure(node: Node) -> str | None:
    made = [*node.results, *(p for b in node.blocks for p in b.params)]
    passed_on = [o for b in node.blocks for o in b.outputs if o.is_const]
    for value in (*node.args, *made, *passed_on):
        why = _unusable_constant(value.const) if value.is_const else unusable(value.type)
        if why:
            return f"a value of the {node.op.name} {why}"
    for block in node.blocks:
        for inner in block.nodes:
            why = lowerable(inner)
            if why:
                where = f" at {inner.loc.user}" if inner.loc else ""
                return f"{inner.op.name.removeprefix('py.')}{where}: {why}"
    if node.op is LOOP:
        for init, param, out in zip(node.args[2:], node.blocks[0].params[1:], node.results, strict=False):
            if not (init.type.kind == param.type.kind == out.type.kind):
                return "a carried number changes its kind"
    return None


# making regions


def _partition(block: Block, report: Report, views: dict[Value, Node], bounds: Bounds) -> None:
    """`views`: what the blocks around have made that a region inside may make again. bounds: of loop indices."""
    why = {node: lowerable(node) for node in block.nodes}
    views = {**views, **{node.result: node for node in block.nodes if _is_view(node) and why[node] is None}}
    out: list[Node] = []
    for segment in _segments(block.nodes, why):
        out += _ordered(segment, why, bounds)
    runs = list(_runs(out, why))
    again: set[Value] = set()
    for run in runs:
        if why[run[0]] is None and worth_a_call(run):
            made = _own_views(run, views)
            run[:0] = made.values()
            why.update(dict.fromkeys(made.values()))
            again |= made.keys()
    runs = _without_unread(block, runs, again)
    block.nodes = []
    outside = _uses_by_node(block, [node for run in runs for node in run])
    for run in runs:
        if why[run[0]] is None and worth_a_call(run):
            block.nodes += _region(block, run, outside, report)
            continue
        block.nodes += run
        for node in run:
            reason = why[node]
            if reason is None:
                if _computations([node]):
                    report.refused.append((node, "alone it is not worth a call of native code"))
                continue
            report.refused.append((node, reason))
            for inner in node.blocks:
                _partition(inner, report, {} if node.op is WITH else views, bounds)
    _drop_unused_lists(block)


def _is_view(node: Node) -> bool:
    return isinstance(getattr(node.op, "lower", None), lowering.Viewing) and len(node.results) == 1


def _own_views(run: list[Node], views: dict[Value, Node]) -> dict[Value, Node]:
    """Copies of the views that `run` reads and did not make, for its front, in order. Across the border of a region a
    view would be a tensor of unknown strides, and a view of a parameter would be no parameter."""
    own = {r for node in run for r in node.results}
    mapping: dict[Value, Value] = {}
    made: dict[Value, Node] = {}

    def copy(v: Value) -> Value:
        node = views.get(v)
        if node is None or v in own:
            return v
        if v not in mapping:
            args = [a if a.is_const else copy(a) for a in node.args]
            new = Node(node.op, args, [v.type], attrs=dict(node.attrs), loc=node.loc, hints=[v.hint])
            made[v] = new
            mapping[v] = new.result
        return mapping[v]

    for node in run:
        for v in _reads(node):
            copy(v)
    for node in run:
        node.args = [mapping.get(a, a) for a in node.args]
        for inner in node.blocks:
            _rename(inner, mapping)
    return made


def _without_unread(block: Block, runs: list[list[Node]], again: set[Value]) -> list[list[Node]]:
    """The runs without views that nobody reads any more; one that may raise stays, unless a region makes it again."""
    live = set(block.outputs)
    kept: list[list[Node]] = []
    for run in reversed(runs):
        left: list[Node] = []
        for node in reversed(run):
            if _is_view(node) and node.result not in live and (node.result in again or not may_raise(node, {})):
                continue
            live.update(_reads(node))
            left.append(node)
        if left:
            kept.append(left[::-1])
    return kept[::-1]


def _segments(nodes: list[Node], why: dict[Node, str | None]) -> Iterator[list[Node]]:
    """Nodes between effects; every effect is alone."""
    segment: list[Node] = []
    for node in nodes:
        t = effects(node)
        if why[node] is not None and (t.writes or t.io or t.random or t.reads):
            if segment:
                yield segment
            yield [node]
            segment = []
        else:
            segment.append(node)
    if segment:
        yield segment


def _ordered(nodes: list[Node], why: dict[Node, str | None], bounds: Bounds) -> list[Node]:
    """Nodes in an order with as few switches between native and Python as a single pass finds. Draws and what may raise
    keep their order: else another exception might rise, or the same one after more or fewer draws."""
    level: dict[Value, int] = {}
    last = 0
    placed: dict[int, list[Node]] = {}
    for node in nodes:
        native = why[node] is None
        fixed = effects(node).random or may_raise(node, bounds)
        own = max((level.get(v, 0) for v in _reads(node)), default=0)
        own = max(own, last) if fixed else own
        own += own % 2 == native  # even levels are native, odd ones Python
        last = own if fixed else last
        level.update(dict.fromkeys(node.results, own))
        placed.setdefault(own, []).append(node)
    return [n for own in sorted(placed) for n in placed[own]]


def _reads(node: Node) -> list[Value]:
    found = [a for a in node.args if not a.is_const]
    for inner in node.blocks:
        found += free_values(inner)
    return found


def _runs(nodes: list[Node], why: dict[Node, str | None]) -> Iterator[list[Node]]:
    run: list[Node] = []
    for node in nodes:
        if run and ((why[node] is None) != (why[run[0]] is None)):
            yield run
            run = []
        run.append(node)
    if run:
        yield run


def worth_a_call(run: list[Node]) -> bool:
    """Whether a run computes enough: a loop, a matrix product, what becomes several ops, or two tensor computations."""
    count = 0
    for node in run:
        if node.op in (LOOP, IF, WITH):
            count += 2 if any(worth_a_call(b.nodes) or _computations(b.nodes) for b in node.blocks) else 0
        elif isinstance(getattr(node.op, "lower", None), lowering.Contraction | lowering.Composite):
            count += 2
        else:
            count += _computations([node])
    return count >= 2


def _computations(nodes: list[Node]) -> int:
    kinds = (lowering.Pointwise, lowering.Reduction, lowering.Contraction, lowering.Drawn, lowering.Special)
    return sum(isinstance(getattr(n.op, "lower", None), kinds) for n in nodes)


def _uses_by_node(block: Block, nodes: list[Node]) -> dict[Value, set[Node | None]]:
    """The top-level nodes (None: the block's outputs) that use each value."""
    found: dict[Value, set[Node | None]] = {}
    for node in nodes:
        for v in _reads(node):
            found.setdefault(v, set()).add(node)
    for v in block.outputs:
        found.setdefault(v, set()).add(None)
    return found


def _region(block: Block, run: list[Node], users: dict[Value, set[Node | None]], report: Report) -> list[Node]:
    """`run` as one region node. Lists stay outside; those that the region reads are built again inside."""
    members = [n for n in run if n.op.name not in LISTS]
    lists = [n for n in run if n.op.name in LISTS]
    inside: set[Node | None] = set(members)
    body = Block()
    body.nodes = _with_lists(members)
    kept = {n for n in lists if any(u not in inside for u in users.get(n.result, ()))}
    results = [
        r
        for n in members
        for r in n.results
        if any(u not in inside and u not in lists for u in users.get(r, ())) or any(r in k.args for k in kept)
    ]
    body.outputs = list(results)
    args = free_values(body)
    region = Node(
        REGION, args, [r.type for r in results], blocks=[body], loc=members[0].loc, hints=[r.hint for r in results]
    )
    mapping = {a: body.param(a.type, a.hint) for a in args}
    _rename(body, mapping)
    new = dict(zip(results, region.results, strict=True))
    report.regions.append(region)
    out = [region, *(n for n in lists if n in kept)]
    for made in out[1:]:
        made.args = [new.get(a, a) for a in made.args]
    _pass_on(block, new, users, inside)
    return out


def _with_lists(members: list[Node]) -> list[Node]:
    """The members, with a copy of every outside list that one of them (or a block inside it) reads put before it."""
    out: list[Node] = []
    own = {r for n in members for inner in (n, *_inside(n)) for r in inner.results}

    def localize(node: Node) -> None:
        for k, a in enumerate(node.args):
            made = a.node
            if not a.is_const and a not in own and made is not None and made.op.name in LISTS:
                copy = Node(made.op, made.args, [r.type for r in made.results], loc=made.loc)
                localize(copy)
                out.append(copy)
                node.args[k] = copy.result

    for node in members:
        for reader in (node, *_inside(node)):
            localize(reader)
        out.append(node)
    return out


def _inside(node: Node) -> Iterator[Node]:
    for block in node.blocks:
        yield from block.walk()


def _rename(block: Block, mapping: dict[Value, Value]) -> None:
    for node in block.nodes:
        node.args = [mapping.get(a, a) for a in node.args]
        for inner in node.blocks:
            _rename(inner, mapping)
    block.outputs = [mapping.get(o, o) for o in block.outputs]


def _pass_on(
    block: Block, new: dict[Value, Value], users: dict[Value, set[Node | None]], inside: set[Node | None]
) -> None:
    """Region results take the place of the values they were, in everything that is not inside the region."""
    touched = {u for v in new for u in users.get(v, ()) if u is not None and u not in inside}
    for node in touched:
        node.args = [new.get(a, a) for a in node.args]
        for inner in node.blocks:
            _rename(inner, new)
    block.outputs = [new.get(o, o) for o in block.outputs]
    for old, value in new.items():
        users.setdefault(value, set()).update(u for u in users.get(old, ()) if u not in inside)


def _drop_unused_lists(block: Block) -> None:
    used = uses(block)
    block.nodes = [n for n in block.nodes if n.op.name not in LISTS or n.result in used]
