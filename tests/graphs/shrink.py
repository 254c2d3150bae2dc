"""How a failing graph gets small: parts are taken out one after another, as long as it still verifies and fails.

Enters: a graph and `fails`. Leaves: a graph that fails and none of whose `smaller` neighbours does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from specjit.ir.graph import Block, Graph, Node, Value, copy_graph, replace_uses, uses
from specjit.ir.structure import IF, LOOP
from specjit.ir.verify import find_faults

NUMBERS: dict[str, tuple[Any, ...]] = {"int": (0, 1, 2), "float": (1.0, 0.5), "bool": (True, False)}
CHOICES = 4  # values to try in the place of a result


def shrink(graph: Graph, fails: Callable[[Graph], bool], tries: int = 3000) -> Graph:
    """A smaller graph that still fails; `tries` bounds the calls of `fails`."""
    smaller = True
    while smaller:
        smaller = False
        for candidate in neighbours(graph):
            if find_faults(candidate):
                continue
            tries -= 1
            if tries < 0:
                return graph
            if fails(candidate):
                graph, smaller = candidate, True
                break
    return graph


def neighbours(graph: Graph) -> Iterator[Graph]:
    """Graphs with a part less, those with much less first."""
    yield from _changed(graph, _sweep, [()])
    if len(graph.outputs) > 1:
        yield from _changed(graph, _keep_output, [(k,) for k in range(len(graph.outputs))])
        yield from _changed(graph, _drop_output, [(k,) for k in range(len(graph.outputs))])
    count = sum(1 for _ in graph.walk())
    numbers = list(reversed(range(count)))
    yield from _changed(graph, _open, [(k, side) for k in numbers for side in (0, 1)])
    yield from _changed(graph, _drop_result, [(k, r) for k in numbers for r in range(6)])
    yield from _changed(graph, _take_out, [(k, choice) for k in numbers for choice in range(CHOICES)])
    yield from _changed(graph, _fewer_items, [(k, item) for k in numbers for item in range(4)])
    yield from _changed(graph, _drop_input, [(k,) for k in range(len(graph.inputs))])
    yield from _changed(graph, _no_param, [()])


def _changed(graph: Graph, change: Callable[..., bool], choices: list[tuple[int, ...]]) -> Iterator[Graph]:
    for choice in choices:
        copy = copy_graph(graph)
        if change(copy, *choice):
            yield copy


def _all(block: Block) -> list[tuple[Block, Node]]:
    """Every node with its block, in the order of `walk`."""
    found = []
    for node in block.nodes:
        found.append((block, node))
        for inner in node.blocks:
            found += _all(inner)
    return found


def _sweep(graph: Graph) -> bool:
    """All nodes whose results nobody reads."""
    again, changed = True, False
    while again:
        again, used = False, uses(graph.block)
        for block, node in reversed(_all(graph.block)):
            if not any(r in used for r in node.results):
                block.nodes.remove(node)
                again = changed = True
    return changed


def _keep_output(graph: Graph, k: int) -> bool:
    graph.block.outputs = [graph.outputs[k]]
    return True


def _drop_output(graph: Graph, k: int) -> bool:
    del graph.block.outputs[k]
    return True


def _open(graph: Graph, k: int, side: int) -> bool:
    """A block in the place of its node: a branch, one turn of a loop that stacks nothing."""
    owner, node = _all(graph.block)[k]
    if side >= len(node.blocks):
        return False
    body, mapping = node.blocks[side], {}
    outputs = body.outputs
    if node.op is LOOP:
        if len(node.results) != len(node.args) - 2:
            return False
        mapping = dict(zip(body.params, [Value.constant(0), *node.args[2:]], strict=True))
        outputs = body.outputs[1:]
    elif node.op is not IF and len(node.blocks) > 1:
        return False
    else:
        mapping = dict(zip(body.params, node.args, strict=False))
    replace_uses(body, mapping)
    at = owner.nodes.index(node)
    owner.nodes[at : at + 1] = body.nodes
    after = [mapping.get(o, o) for o in outputs]
    replace_uses(graph.block, dict(zip(node.results, after, strict=True)))
    return True


def _drop_result(graph: Graph, k: int, r: int) -> bool:
    """A result of a branch or loop that nobody reads, or a carried value (it stays as it was before the loop)."""
    _, node = _all(graph.block)[k]
    if not node.blocks or r >= len(node.results):
        return False
    (body, *_) = node.blocks
    carried = len(node.args) - 2
    if node.op is LOOP and r < carried:
        init = node.args[2 + r]
        replace_uses(body, {body.params[1 + r]: init})
        replace_uses(graph.block, {node.results[r]: init})
        del node.args[2 + r], body.params[1 + r], body.outputs[1 + r], node.results[r]
        return True
    if node.results[r] in uses(graph.block):
        return False
    del node.results[r]
    for inner in node.blocks:
        del inner.outputs[r + (node.op is LOOP)]
    return True


def _take_out(graph: Graph, k: int, choice: int) -> bool:
    """Remove node number k; a result becomes the choice-th value that is like it: an argument, an input, a number."""
    owner, node = _all(graph.block)[k]
    used = uses(graph.block)
    mapping: dict[Value, Value] = {}
    for result in node.results:
        if result in used:
            alike = [v for v in (*node.args, *graph.inputs) if _alike(v, result)]
            alike += [Value.constant(c) for c in NUMBERS.get(result.type.kind, ())]
            if choice >= len(alike):
                return False
            mapping[result] = alike[choice]
    if choice and not mapping:
        return False
    owner.nodes.remove(node)
    replace_uses(graph.block, mapping)
    return True


def _alike(a: Value, b: Value) -> bool:
    return (a.type.kind, a.type.dims, a.type.dtype) == (b.type.kind, b.type.dims, b.type.dtype)


def _fewer_items(graph: Graph, k: int, item: int) -> bool:
    """One item of a list less."""
    _, node = _all(graph.block)[k]
    if node.op.name not in ("py.list", "py.tuple") or len(node.args) < 2 or item >= len(node.args):
        return False
    del node.args[item]
    return True


def _drop_input(graph: Graph, k: int) -> bool:
    given = graph.inputs[k]
    if given in uses(graph.block):
        return False
    del graph.block.params[k]
    graph.attrs.get("params", set()).discard(given)
    return True


def _no_param(graph: Graph) -> bool:
    return bool(graph.attrs.pop("params", None))
