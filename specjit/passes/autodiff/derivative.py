"""Differentiation on the IR: a typed block becomes a forward block that keeps values and a backward block that uses
them.

Enters: a typed block (every tensor with dtype and dims) and which of its parameters need gradients.
Leaves: a `Derivative`, or in it the reason why there is none.
Invariant: the forward block computes what the block computed, node for node. Gradients come from the records' `vjp`
alone. They stop where eager stops them: at ops without a gradient (`detach`, comparisons, index computations) and at
integers and bools.
Where eager finds only at run time that nothing reached an input (a loop without a turn, a branch not taken, an output
that no gradient came to), it leaves no gradient; here that gradient is zeros, and `present` says whether it is one.

Three steps, one file each: `reverse` (with `loops`) writes gradient code that reads forward values
freely, `cost` weighs keeping against computing again, `keep` turns the choice into outputs and
parameters.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from specjit.ir.dims import least_for_one
from specjit.ir.graph import Block, Graph, Node, OpLike, Value, copy_block, replace_uses, uses
from specjit.ir.structure import WITH, effects
from specjit.ops.records import registry
from specjit.passes.autodiff.cost import CannotKeepError
from specjit.passes.autodiff.gradients import GradientBuilder, Gradients, RefusedError, Sizes
from specjit.passes.autodiff.keep import Keeper, Source
from specjit.passes.autodiff.loops import Turns, count_turns
from specjit.passes.autodiff.reverse import Reverse, find_active, is_differentiable
from specjit.passes.autodiff.watch import NOTHING, Told, Watch, watch
from specjit.passes.autodiff.when import NEVER, Fact, Givens, Positive, Terms

# What may end a run, and writes nothing: the forward block does so, and then there is nothing to differentiate.
CHECKS = ("py.assert", "py.room")


@dataclass(frozen=True)
class Present:
    """When a wanted gradient is there: if the facts of one of `terms` hold, or if output `flag` of backward says so."""

    terms: Terms
    flag: int | None = None

    def holds(self, known: Callable[[Fact], bool]) -> bool:
        """Whether the terms say so, given the facts."""
        return any(all(map(known, term)) for term in self.terms)


@dataclass
class Derivative:
    """What `differentiate` found.

    forward    `rooms`, then the same parameters; the same outputs, then the saved tensors (what loops save has a
               leading dim, the trip count)
    rooms      the names of size symbols: how many turns each `while` loop may make. `py.room` nodes stop a run that
               needs more; it is to be repeated with larger sizes
    backward   parameters as `saved` says; outputs: one gradient per wanted parameter, in order; the constant None if
               the outputs do not depend on it; then bools that `present` refers to
    present    one entry per wanted parameter: whether there is a gradient at all, or zeros stand for none. Holds if its
               terms do, or if output `flag` of backward is true
    saved      one entry per backward parameter: ("input", i) | ("output", j) | ("saved", k) are a parameter, an
               original output, or further output k of forward; ("size", dim) is the value of a symbol that no other
               parameter shows, as an int; ("grad", j) is the gradient of output j, zeros if there is none; ("given", j)
               a bool, whether there is one. Outputs that no gradient can flow through have no entry.
    differentiable  the outputs that depend on wanted parameters: those that require grad in eager mode
    arriving   those of them whose gradients backward takes
    watched    the inputs and outputs that a node of eager's tape would keep: a write to one of them between forward and
               backward is an error. Saved tensors share no storage with any others
    refused    None, or why there is no derivative, with the place; then the blocks are empty
    """

    forward: Block = field(default_factory=Block)
    backward: Block = field(default_factory=Block)
    rooms: list[str] = field(default_factory=list)
    present: list[Present] = field(default_factory=list)
    saved: list[Source] = field(default_factory=list)
    differentiable: list[int] = field(default_factory=list)
    arriving: list[int] = field(default_factory=list)
    watched: Watch = NOTHING
    refused: str | None = None
    name: str = ""

    @property
    def graphs(self) -> tuple[Graph, Graph]:
        """Both blocks as graphs, to print and to run."""
        return Graph(f"{self.name}_forward", self.forward), Graph(f"{self.name}_backward", self.backward)

    def assume(self, least: Mapping[str, int]) -> None:
        """From now on these symbols are at least so large."""
        givens = Givens(self.arriving)
        for k, p in enumerate(self.present):
            terms = frozenset(frozenset(f for f in term if not _certain(f, least)) for term in p.terms)
            self.present[k] = Present(givens.simplified(terms), p.flag)

    def kept(self) -> list[Value]:
        """The tensors that forward keeps for nothing but backward."""
        count = sum(kind == "saved" for kind, _ in self.saved)
        return self.forward.outputs[len(self.forward.outputs) - count :]


def _certain(fact: Fact, least: Mapping[str, int]) -> bool:
    needed = least_for_one(fact.size) if isinstance(fact, Positive) else None
    return needed is not None and all(least.get(name, 0) >= n for name, n in needed.items())


def differentiate(
    block: Block,
    wanted: Sequence[bool],
    *,
    of: Sequence[int] | None = None,
    told: Told | None = None,
    name: str = "graph",
    lookup: Callable[[str], OpLike] = registry.get,
) -> Derivative:
    """Gradients of `block` with respect to the parameters that `wanted` marks. `block` is left as it is. `of`: the
    outputs whose gradients come (default: any of them may come). `told`: what eager watches, where that is known better
    than from this block."""
    if len(wanted) != len(block.params):
        raise ValueError(f"{name}: {len(block.params)} parameters but {len(wanted)} entries in wanted")
    forward = copy_block(block, {})
    dissolve_grad_modes(forward)
    _forget_grad_flags(forward)
    try:
        return _differentiate(forward, wanted, of, told or Told(), name, lookup)
    except (RefusedError, CannotKeepError) as e:
        loc = getattr(e, "loc", None)
        return Derivative(refused=f"{e} ({loc})" if loc else str(e), name=name)


def _differentiate(
    forward: Block,
    wanted: Sequence[bool],
    of: Sequence[int] | None,
    told: Told,
    name: str,
    lookup: Callable[[str], OpLike],
) -> Derivative:
    for node in forward.walk():
        if node.op.name not in CHECKS and (node.op.traits.writes or node.op.traits.io):
            raise RefusedError(
                f"{node.op.name} has an effect, so its block cannot run apart from its gradient", node.loc
            )
    active = {p for p, w in zip(forward.params, wanted) if w and is_differentiable(p.type)}
    find_active(forward, active)
    watched = watch(forward, active).told(told)
    shared = {p for i, p in enumerate(forward.params) if i in watched.inputs or not p.type.is_tensor}
    shared |= {
        o for j, o in enumerate(forward.outputs) if not o.is_const and (j in watched.outputs or not o.type.is_tensor)
    }
    turns = Turns()
    count_turns(forward, active, lookup, turns)
    differentiable = [j for j, output in enumerate(forward.outputs) if output in active]
    arriving = [j for j in differentiable if of is None or j in of]
    sizes, givens = Sizes(), Givens(arriving)
    backward = Block()
    grads = Gradients(GradientBuilder(backward, lookup, sizes, givens))
    sources: dict[Value, Source] = {}
    for j in arriving:
        output = forward.outputs[j]
        param = backward.param(output.type, f"d{output.hint}" if output.hint else "")
        sources[param] = ("grad", j)
        grads.add(output, param, givens.when(j))
    reverse = Reverse(active, turns.of)
    reverse.block(forward, grads)
    present = _outputs(backward, grads, [p for p, w in zip(forward.params, wanted) if w])
    prune(backward)
    sources.update((value, ("given", j)) for j, value in givens.values.items())
    used = uses(backward)
    backward.params = [p for p in sources if p in used]
    positions = [sources[p] for p in backward.params]
    crossing = Keeper(reverse.mirror, shared, sizes, lookup).close(forward, backward)
    prune(backward)
    forward.params[:0] = turns.rooms
    rooms = [room.hint for room in turns.rooms]
    return Derivative(
        forward, backward, rooms, present, crossing + positions, differentiable, arriving, watched, name=name
    )


def _outputs(backward: Block, grads: Gradients, wanted: Sequence[Value]) -> list[Present]:
    """Give `backward` its outputs: the wanted gradients, then the bools that say which of them are there."""
    found = [grads.take(p) for p in wanted]
    backward.outputs = [Value.constant(None) if g is None else g.value for g in found]
    flags: dict[Value, int] = {}
    present = []
    for when in (NEVER if g is None else g.when for g in found):
        flag = None if when.value is None else flags.setdefault(when.value, len(wanted) + len(flags))
        present.append(Present(when.terms, flag))
    backward.outputs += flags
    return present


def watched_by_eager(graph: Graph) -> Told:
    """Which inputs and outputs of a typed graph eager watches (see `watch`); nothing is told of a graph with
    parts that cannot be differentiated as they stand."""
    block = copy_block(graph.block, {})
    dissolve_grad_modes(block)
    active = {p for p in block.params if is_differentiable(p.type) and p.type.requires_grad is not False}
    try:
        find_active(block, active)
    except RefusedError:
        return Told()
    found = watch(block, active)
    inputs = {i: i in found.inputs for i in range(len(block.params))}
    return Told(inputs, {j: j in found.outputs for j in range(len(block.outputs))})


def dissolve_grad_modes(block: Block, off: bool = False) -> None:
    """Put the nodes of `with` blocks in their place: a derivative has no grad mode. What was made with it off is
    detached."""
    nodes: list[Node] = []
    mapping: dict[Value, Value] = {}
    stops: list[tuple[Node, Value]] = []
    for node in block.nodes:
        quiet = not node.attrs["grad"] if node.op is WITH else off
        for inner in node.blocks:
            dissolve_grad_modes(inner, quiet)
        if node.op is WITH:
            nodes += node.blocks[0].nodes
            mapping.update(zip(node.results, node.blocks[0].outputs))
            continue
        nodes.append(node)
        if off and not (node.op.traits.writes or node.op.traits.itself):
            for result in filter(lambda r: is_differentiable(r.type), node.results):
                stop = Node(registry.get("detach"), [], [result.type], loc=node.loc, hints=[result.hint])
                nodes.append(stop)
                stops.append((stop, result))
                mapping[result] = stop.result
    block.nodes = nodes
    replace_uses(block, mapping)
    for stop, result in stops:
        stop.args = [result]


def _forget_grad_flags(block: Block) -> None:
    """Inside a derivative no value requires a gradient any more: the region as a whole is one node of the tape."""
    values = [*block.params, *(r for node in block.nodes for r in node.results)]
    for value in values:
        if value.type.is_tensor:
            value.type = value.type.with_(requires_grad=False)
    for node in block.nodes:
        for inner in node.blocks:
            _forget_grad_flags(inner)


def prune(block: Block) -> None:
    """Remove nodes without effect whose results nobody reads."""
    _sweep(block, set())


def _sweep(block: Block, live: set[Value]) -> None:
    live.update(block.outputs)
    kept = []
    for node in reversed(block.nodes):
        if effects(node).effect_free and not any(r in live for r in node.results):
            continue
        live.update(node.args)
        for inner in node.blocks:
            _sweep(inner, live)
        kept.append(node)
    block.nodes = kept[::-1]
