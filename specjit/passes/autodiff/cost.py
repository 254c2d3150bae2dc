"""What a value costs to keep for the backward pass, and what it costs to compute again.

Enters: one block of forward code and the values of it that the backward code reads. Leaves: a `Plan`: which values to
keep, and which nodes to run again.
Invariant: everything demanded is computable from the kept values and from what is free; each node runs again at most
once.

The rule, in sixteenths of what keeping one byte costs:
    keep a tensor                               16 per byte, a view 17; 0 for inputs, outputs and sizes
    run again: views, sizes, Python numbers      0 (a floor of 1 per node prefers fewer)
    run again: pointwise arithmetic, fills, cat, flip  1 per byte of the result
    run again: a pointwise function, a gather, random numbers of a known counter   4 per byte of the result
    all else (products, reductions)              never
A minimum cut finds the cheapest choice. So four transcendentals may be run again to keep one tensor less, but not five.
Unknown sizes count as `live.TYPICAL_SIZE`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from specjit.ir.graph import Block, Location, Node, Value
from specjit.ops.records.lowering import Creation, Pointwise, Special, Viewing
from specjit.passes.live import size_of
from specjit.passes.mincut import INFINITE, Network, Unbounded

KEEP, ARITHMETIC, FUNCTION = 16, 1, 4
CHEAP_WORDS = {"select", "minimum", "maximum", "abs", "and", "or", "not", "floor", "ceil", "sqrt", "round", "trunc"}
COPIES = {
    "cat": ARITHMETIC,
    "flip": ARITHMETIC,
    "stack": ARITHMETIC,
    "embedding": FUNCTION,
    "index_select": FUNCTION,
    "uniform": FUNCTION,
}
# These read nothing but tensors, numbers and lists built here, and blocks that write to any are refused before.
REREADABLE = ("py.list", "py.bool", "py.int", "py.float", "py.len", "item")
SCALARS = ("int", "float", "bool")


class CannotKeepError(Exception):
    """A value that the backward pass needs can neither be kept nor computed again."""

    def __init__(self, value: Value) -> None:
        super().__init__(f"a value of type {value.type} cannot be kept for the backward pass")
        self.loc: Location | None = value.node.loc if value.node else None


@dataclass
class Plan:
    keep: list[Value]
    again: set[Value]


def price_again(node: Node) -> int | None:
    """The price of running a node again for one of its results; None if it must not be."""
    traits, lower = node.op.traits, getattr(node.op, "lower", None)
    if node.blocks or not traits.effect_free or (traits.reads and node.op.name not in REREADABLE):
        return None
    if isinstance(lower, Viewing) or traits.view_of is not None or not any(r.type.is_tensor for r in node.results):
        return 1
    if isinstance(lower, Creation):
        return ARITHMETIC * size_of(node.results[0].type)
    if isinstance(lower, Special):
        return COPIES[lower.name] * size_of(node.results[0].type) if lower.name in COPIES else None
    if isinstance(lower, Pointwise):
        return (FUNCTION if calls_functions(lower) else ARITHMETIC) * size_of(node.results[0].type)
    return None


def calls_functions(lower: Pointwise) -> bool:
    """Whether elementwise work is more than arithmetic: `exp`, `tanh`, ..., each many instructions."""
    return bool(set(re.findall(r"([a-z_]\w*)\s*\(", lower.text)) - CHEAP_WORDS)


def price_keep(value: Value) -> int:
    if not value.type.is_tensor and value.type.kind not in SCALARS:
        return INFINITE
    is_view = value.node is not None and value.node.op.traits.view_of is not None
    return (KEEP + is_view) * size_of(value.type)


def plan(
    block: Block,
    demanded: Iterable[Value],
    *,
    free: Callable[[Value], bool],
    exists: Callable[[Value], bool],
    outside: Callable[[Value], int] = lambda value: 0,
) -> Plan:
    """Choose what of `block` to keep. `free` values are there in the backward code already; those that `exists` is true
    of are kept at no cost (they are inputs, outputs, or stacked anyway); `outside` is the price of a value from an
    enclosing block, for which that block will have to keep it."""
    wanted = list(dict.fromkeys(v for v in demanded if not free(v)))
    local = set(block.params).union(*(n.results for n in block.nodes))
    net = Network("source", "sink")
    for value in [*block.params, *(r for n in block.nodes for r in n.results)]:
        price = None if value.node is None else price_again(value.node)
        net.edge("source", ("in", value), INFINITE if price is None else price)
        # 1, not 0: of two values that exist anyway the cut should name one, and prefer it to running nodes again.
        net.edge(("in", value), ("out", value), 1 if exists(value) else price_keep(value))
        if price is not None and value.node is not None:
            for arg in value.node.args:
                if arg.is_const or free(arg):
                    continue
                if arg not in local and outside(arg) > 0:
                    net.edge("source", ("out", arg), outside(arg))
                if arg in local or outside(arg) > 0:
                    net.edge(("out", arg), ("in", value), INFINITE)
    for value in wanted:
        net.edge(("out", value), "sink", INFINITE)
    try:
        side = net.sink_side()
    except Unbounded as e:
        blamed = [node[1] for node in e.path if isinstance(node, tuple)]
        raise CannotKeepError(next(v for v in blamed if price_keep(v) >= INFINITE)) from e
    keep, again = [], set()
    for value in local_order(block):
        if ("in", value) in side:
            again.add(value)
        elif ("out", value) in side:
            keep.append(value)
    return Plan(keep, again)


def local_order(block: Block) -> list[Value]:
    return [*block.params, *(r for n in block.nodes for r in n.results)]
