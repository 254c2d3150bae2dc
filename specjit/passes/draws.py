"""Random draws made explicit: what a block draws becomes a function of a key and a counter.

Enters: a typed block; `refusal` says which of its draws have no such form. Leaves: `Explicit`: a copy without draws.
Every draw is a `uniform` at the counter where eager would draw it, and the counter is an int that runs through the
block in order of effects: carried by loops, yielded by branches. So a draw may be moved, repeated and differentiated
like any computation, and whoever runs the block decides when its numbers count as drawn.
Invariant: started where the generator stands, the copy computes what the block computes, and ends where the generator
would stand.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from specjit.dtypes import DType, float64
from specjit.ir.builder import Builder
from specjit.ir.dims import Poly, Size, product
from specjit.ir.graph import Block, Node, OpLike, Value, copy_block, replace_uses
from specjit.ir.structure import IF, LOOP, effects, trip_dim
from specjit.ir.types import INT
from specjit.ops.records import registry
from specjit.ops.records.lowering import Drawn
from specjit.tensor.tracer import TraceError, argument, recording, wrap

Lookup = Callable[[str], OpLike]
WORDS_PER_BLOCK = 4


@dataclass(frozen=True)
class Taken:
    """Draws of one size: `times` draws of `count` numbers, each number of `words` words."""

    times: Size
    count: Size
    words: int


@dataclass
class Explicit:
    """block    parameters: those of the given block, then the key and the number of the first free Philox block
    taken    what every run takes; None if only a run says how much: then the last output is the number of the first
             block that is free afterwards"""

    block: Block
    taken: list[Taken] | None


def draws(block: Block) -> bool:
    return any(node.op.traits.random for node in block.walk())


def refusal(node: Node) -> str | None:
    """Why this draw cannot be a function of a counter; None if it can."""
    lower = getattr(node.op, "lower", None)
    if not isinstance(lower, Drawn):
        return "no kernel draws these random numbers"
    given = {p.name: a for p, a in zip(node.op.params, node.args, strict=True)}
    if not _is_none(given["generator"]):
        return "it draws from a generator of its own"
    if "requires_grad" in given and not _is_false(given["requires_grad"]):
        return "its result is a leaf that requires a gradient"
    for name in lower.constant:
        if not given[name].is_const:
            return f"its {name} is not known before the call"
    try:
        _Rewriter(registry.get, Value(INT)).draw(node, Block(), Value(INT))
    except TraceError as error:
        return str(error)
    return None


def explicit(block: Block, lookup: Lookup = registry.get) -> Explicit:
    """The explicit form of a block none of whose draws is refused. `block` is left as it is."""
    copy = copy_block(block, {})
    given = copy.params[:]
    seed, first = copy.param(INT, "seed"), copy.param(INT, "block")
    rewriter = _Rewriter(lookup, seed)
    last, taken = rewriter.block(copy, first)
    replace_uses(copy, rewriter.mapping)
    if taken is not None and not all(_known(t, given) for t in taken):
        taken = None
    if taken is None:
        copy.outputs.append(last)
    return Explicit(copy, taken)


def _known(taken: Taken, given: Sequence[Value]) -> bool:
    """Whether the inputs show every symbol of the sizes."""
    shown: set[str] = set()
    for value in given:
        for d in (*(value.type.dims or ()), value.type.dim):
            if isinstance(d, Poly) and repr(d) in d.symbols():
                shown |= d.symbols()
    sizes = (taken.times, taken.count)
    return all(isinstance(s, int) or s.symbols() <= shown for s in sizes)


def _is_none(value: Value) -> bool:
    return value.is_const and value.const is None


def _is_false(value: Value) -> bool:
    return value.is_const and value.const is False


def _is_true(value: Value) -> bool:
    return value.is_const and value.const is True


Ends = tuple[Value, list[Taken] | None]


class _Rewriter:
    """Rewrites blocks in place; `mapping` says what the results of draws became."""

    def __init__(self, lookup: Lookup, seed: Value) -> None:
        self.lookup = lookup
        self.seed = seed
        self.mapping: dict[Value, Value] = {}

    def block(self, block: Block, at: Value) -> Ends:
        """Where the counter stands at the end of a block that starts at `at`, and what the block takes."""
        nodes, block.nodes = block.nodes, []
        taken: list[Taken] | None = []
        for node in nodes:
            more: list[Taken] | None = []
            if node.blocks and effects(node).random:
                block.nodes.append(node)
                at, more = self.loop(node, at) if node.op is LOOP else self.branches(node, at)
            elif node.op.traits.random:
                at, more = self.draw(node, block, at)
            else:
                block.nodes.append(node)
            taken = None if taken is None or more is None else taken + more
        return at, taken

    def loop(self, node: Node, at: Value) -> Ends:
        (body,) = node.blocks
        count = len(node.args) - 2
        node.args.append(at)
        last, taken = self.block(body, body.param(INT, "block"))
        body.outputs.insert(1 + count, last)
        node.results.insert(count, Value(INT, node, "block"))
        trip = trip_dim(node)
        counted = _is_true(node.args[1]) and _is_true(body.outputs[0])
        if taken and (trip is None or not counted):
            taken = None
        elif taken:
            assert trip is not None
            taken = [Taken(t.times * trip, t.count, t.words) for t in taken]
        return node.results[count], taken

    def branches(self, node: Node, at: Value) -> Ends:
        """The two of an `if`, or the one block of a `with`."""
        found = []
        for block in node.blocks:
            last, taken = self.block(block, at)
            block.outputs.append(last)
            found.append(taken)
        node.results.append(Value(INT, node, "block"))
        same = node.op is not IF or found[0] == found[1]
        return node.results[-1], found[0] if same else None

    def draw(self, node: Node, block: Block, at: Value) -> Ends:
        """Append what a draw is by its record's definition."""
        lower = getattr(node.op, "lower", None)
        assert isinstance(lower, Drawn)
        builder = Builder(block, self.lookup, node.loc)
        taken: list[Taken] = []

        def numbers(size: Any, dtype: DType) -> Any:
            nonlocal at
            sizes = argument(builder, list(size) if isinstance(size, (list, tuple)) else [size])
            found = builder.call("uniform", sizes, self.seed, at, dtype)
            words = 2 if dtype is float64 else 1
            count = product(found.type.dims or ())
            if count is None:
                raise TraceError("how many random numbers it draws is not known")
            taken.append(Taken(1, count, words))
            result = wrap(found, builder)
            per = WORDS_PER_BLOCK // words
            at = argument(builder, wrap(at, builder) + (result.numel() + (per - 1)) // per)
            return result

        with recording(builder):
            out = argument(
                builder, lower.fn(numbers, *(wrap(a, builder) if a.type.kind != "none" else None for a in node.args))
            )
        if (out.type.dtype, out.type.dims) != (node.result.type.dtype, node.result.type.dims):
            raise TraceError(f"its definition gives {out.type}, not {node.result.type}")
        self.mapping[node.result] = out
        return at, taken


def blocks_taken(taken: Sequence[Taken], show: Callable[[Size], str]) -> str:
    """Python source of the number of Philox blocks, `show` being that of a size. Nothing is taken where a size is
    negative: such a run fails."""
    terms = []
    for t in taken:
        per = WORDS_PER_BLOCK // t.words
        if isinstance(t.times, int) and isinstance(t.count, int):
            terms.append(str(max(t.times, 0) * -(-max(t.count, 0) // per)))
        else:
            terms.append(f"max({show(t.times)}, 0) * -(-max({show(t.count)}, 0) // {per})")
    return " + ".join(terms) or "0"
