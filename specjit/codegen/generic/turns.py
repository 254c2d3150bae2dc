"""How one turn of a loop ends: with `break`, or by going on; and what a `while` or `for` header says.

Enters: loop nodes; capture's notes about the test of a `while` (`_header`, `_first`, `_again`) and about iterators
(`_protocol`).
Leaves: `Turn` per loop: the nodes to write, the value that says whether the loop is left, and how the header reads.
Invariant: notes are hints. One that does not fit the graph any more is not used, and the loop is written with flags
instead.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from specjit.ir.graph import Block, Node, Value, free_values
from specjit.ir.structure import IF

FALSE, TRUE = Value.constant(False), Value.constant(True)
Alias = dict[Value, Value]


@dataclass
class Turn:
    """main: the nodes of a turn. stop: whether the loop is left after it. outs: the next value of each of `params`.

    test: the header's expression as a block (`while`). item: the parameter that takes what `iterator` yields (`for`).
    began: a value that says whether there was a turn, where something asks for it.
    replaced: nodes that the header says."""

    main: list[Node]
    stop: Value
    params: list[Value]
    outs: list[Value]
    test: Block | None = None
    item: Value | None = None
    iterator: Value | None = None
    began: Value | None = None
    replaced: set[Node] = field(default_factory=set)


def settle(v: Value, alias: Alias) -> Value:
    """What a value is, given what some values are: through aliases, negations and choices that are decided."""
    while v in alias:
        v = alias[v]
    node = v.node
    if v.is_const or node is None:
        return v
    if node.op.name == "py.not":
        inner = settle(node.args[0], alias)
        return (FALSE if inner.const else TRUE) if inner.is_const else v
    if node.op is IF and not any(b.nodes for b in node.blocks):
        cond = settle(node.args[0], alias)
        if cond.is_const:
            return settle(node.blocks[0 if cond.const else 1].outputs[node.results.index(v)], alias)
    return v


def turn_of(node: Node, counts: dict[Value, int], within: Block) -> Turn:
    """The form of a loop's turns. `within` is the block that holds the loop."""
    body = node.blocks[0]
    params, outs = body.params[1:], body.outputs[1:]
    trip, first = node.args[:2]
    go_on = body.outputs[0]
    if not (trip.is_const and trip.const is None):
        return _counted(body, go_on, params, outs)
    again = [n for n in body.nodes if "_again" in n.attrs]
    main = [n for n in body.nodes if "_again" not in n.attrs]
    stop, tests = FALSE, again
    if go_on.is_const:
        stop = FALSE if go_on.const else TRUE
    elif len(again) == 1 and again[0].op is IF and again[0].results[:1] == [go_on] and is_false(again[0].blocks[0]):
        stop, tests = again[0].args[0], again[0].blocks[1].nodes
    before = [n for n in within.nodes if n.attrs.get("_first") == node.attrs.get("_loop", -1)]
    if node.attrs.get("_protocol"):
        found = _items(node, within, before, tests, main, stop, counts)
        if found is not None:
            return found
    elif "_header" in node.attrs:
        test: Block = node.attrs["_header"]
        if _only_for(before, [first], counts) and _same_values(test, node, within) and _untied(again, go_on, outs):
            return Turn(main, stop, params, outs, test, replaced={*before, *again})
    return plain_turn(node)


def plain_turn(node: Node) -> Turn:
    """A `while` whose header does not fit one expression: a flag says whether to go on."""
    body = node.blocks[0]
    return Turn(body.nodes, FALSE, body.params[1:], body.outputs[1:])


def _counted(body: Block, go_on: Value, params: list[Value], outs: list[Value]) -> Turn:
    """A loop with a trip count: `go_on` is usually the negation of what leaves it."""
    if go_on.is_const:
        return Turn(body.nodes, FALSE if go_on.const else TRUE, params, outs)
    if go_on.node is not None and go_on.node.op.name == "py.not" and go_on.node in body.nodes and go_on not in outs:
        main = [n for n in body.nodes if n is not go_on.node]
        if not any(go_on in n.args for n in main):
            return Turn(main, go_on.node.args[0], params, outs)
    return Turn(body.nodes, go_on, params, outs, replaced={_NEGATED})


_NEGATED: Node = Node(IF, [], [])  # marks a turn whose `stop` says when to go on
FLAGGED = {_NEGATED}


def goes_on(turn: Turn) -> bool:
    """Whether `turn.stop` is the condition of going on, not of leaving."""
    return _NEGATED in turn.replaced


def is_false(block: Block) -> bool:
    return not block.nodes and block.outputs[0].is_const and block.outputs[0].const is False


def _only_for(nodes: list[Node], users: list[Value], counts: dict[Value, int]) -> bool:
    """Whether the results of `nodes` are used only by each other, and once as one of `users`."""
    inside: dict[Value, int] = {}
    for n in nodes:
        for a in _uses_in(n):
            inside[a] = inside.get(a, 0) + 1
    return all(counts.get(r, 0) == inside.get(r, 0) + users.count(r) for n in nodes for r in n.results)


def _uses_in(node: Node) -> Iterator[Value]:
    yield from node.args
    for block in node.blocks:
        for inner in block.nodes:
            yield from _uses_in(inner)
        yield from block.outputs


def _same_values(test: Block, node: Node, within: Block) -> bool:
    """Whether the header's expression reads only values that this graph has."""
    known = {*node.blocks[0].params, *free_values(node.blocks[0]), *within.params}
    known |= {r for n in within.nodes for r in n.results}
    return all(v in known or v.node is None or v in node.args for v in free_values(test)) and all(
        v in known or v not in node.blocks[0].params for v in free_values(test)
    )


def _untied(again: list[Node], go_on: Value, outs: list[Value]) -> bool:
    """Whether the repeated test gives nothing but its answer."""
    made = {r for n in again for r in n.results}
    return not any(o in made for o in outs) and (go_on.is_const or go_on in made)


def _items(
    node: Node,
    within: Block,
    before: list[Node],
    tests: list[Node],
    main: list[Node],
    stop: Value,
    counts: dict[Value, int],
) -> Turn | None:
    """`for item in iterator`: `py.next` before the loop and at the end of each turn."""
    body = node.blocks[0]
    if len(before) != 1 or before[0].op.name != "py.next" or len(tests) != 1 or tests[0].op.name != "py.next":
        return None
    has, item = before[0].results
    if has is not node.args[1] or node.args.count(item) != 1 or counts.get(item) != 1 or node.args.count(has) != 1:
        return None
    between = within.nodes[within.nodes.index(before[0]) + 1 : within.nodes.index(node)]
    if any(has in _uses_in(n) for n in between):
        return None
    k = node.args.index(item) - 2
    keep = [j for j in range(len(node.args) - 2) if j != k]
    again = [n for n in body.nodes if "_again" in n.attrs]
    if any(body.outputs[1 + j] in {r for n in again for r in n.results} for j in keep):
        return None
    iterator = before[0].args[0]
    replaced = {*before, *again, tests[0]}
    if iterator.node is not None and iterator.node.op.name == "py.iter" and counts.get(iterator) == 2:
        replaced.add(iterator.node)
        iterator = iterator.node.args[0]
    params = [body.params[1 + j] for j in keep]
    outs = [body.outputs[1 + j] for j in keep]
    began = has if counts[has] > 1 else None
    return Turn(main, stop, params, outs, item=body.params[1 + k], iterator=iterator, began=began, replaced=replaced)
