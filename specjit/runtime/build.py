"""From a profile to a published variant: specialize, optimize, partition, differentiate, schedule, compile, link.

Enters: a `Site` and a `Profile`. Leaves: a `Variant` with its entry, and events for what was fused, refused, cached.
Invariant: runs off the calling thread by default; touches no tensor data; raises Refused where the generic path must
stay.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from specjit import locks, passes
from specjit.codegen import regions
from specjit.codegen.generic.python import generate
from specjit.codegen.loader import library
from specjit.ir.dims import Poly, Size, least_for_ones
from specjit.ir.graph import Block, Graph, Location, Node, Value, copy_graph, replace_uses
from specjit.ir.structure import LOOP, REGION, WITH
from specjit.passes.autodiff.derivative import watched_by_eager
from specjit.passes.autodiff.watch import Told
from specjit.profile.lattice import Assumptions, Position, Profile
from specjit.profile.signature import NumberFact, TensorFact, sources
from specjit.runtime import stance as stances
from specjit.runtime.code import argument_guard
from specjit.runtime.entry import make_entry
from specjit.runtime.events import EventKind, counted
from specjit.runtime.history import MISS, Scope
from specjit.runtime.making import Maker
from specjit.runtime.native import Input, NativeRegion, place_of
from specjit.runtime.variant import Variant
from specjit.specialize.abstract import Refused
from specjit.specialize.specialize import Leaf, Specialized, specialize

if TYPE_CHECKING:
    from specjit.runtime.site import Site

MAX_TRIALS = 12


class _CacheEvents:
    """Routes what the kernel library reports to the Program whose variant is being built (one build at a time)."""

    def __init__(self) -> None:
        self.lock = locks.lock()
        self.emit: Callable[..., Any] | None = None

    def __call__(self, kind: str, **facts: Any) -> None:
        emit = self.emit
        if emit is not None:
            shown = [str(facts.get("hint", "kernel")), f"key {str(facts.get('key', ''))[:8]}"]
            shown += [f"{facts['seconds']:.2f} s"] if "seconds" in facts else []
            shown += [str(facts["reason"])] if "reason" in facts else []
            emit(EventKind(kind), "  ".join(shown), **facts)


_cache_events = _CacheEvents()


def build_variant(site: Site, profile: Profile, scope: Scope, number: int, disabled: frozenset[str]) -> Variant:
    """Specialize the site's graph to what the profile says, for the calls in `scope`, and compile it."""
    with cache_events(site.program, number):
        return _build(site, profile, scope, number, disabled)


@contextlib.contextmanager
def cache_events(program: Any, number: int) -> Iterator[None]:
    """Builds for one variant: what the kernel library does meanwhile is told as its program's."""
    with _cache_events.lock:
        library().on_event = _cache_events
        _cache_events.emit = functools.partial(program._emit, specialization=number)
        try:
            yield
        finally:
            _cache_events.emit = None


def _build(site: Site, profile: Profile, scope: Scope, number: int, disabled: frozenset[str]) -> Variant:
    start = time.perf_counter()
    program = site.program
    options = program._options
    assume = choose(site, profile, options.dynamic, scope)
    specialized = specialize(site.captured.graph, assume, site.root)
    within = narrowed(assume, specialized)
    if within is not assume:
        assume, specialized = within, specialize(site.captured.graph, within, site.root)
    graph = copy_graph(specialized.graph)
    signature = site.target.signature
    name = f"{program._log_name}.{number}"
    context = passes.Context(disable=disabled, numerics=options.numerics, name=name, sizes=_sizes(assume))
    variant = Variant(number, assume, specialized, graph, signature, context)
    program._emit(EventKind.PROFILED, _describe(assume), specialization=number)
    passes.optimize(graph, context)
    variant.least = least_for_ones(graph.attrs["nonempty"])
    report = regions.partition(graph)
    built = _Regions(program, variant, context)
    for node, parent, grad_mode in _region_nodes(graph.block, assume.signature.grad_mode):
        built.add(node, parent, grad_mode)
    variant.regions = built.made
    variant.native_nodes = built.native_nodes
    variant.python_nodes = sum(1 for n in graph.walk() if not n.blocks) - built.native_nodes
    body_source, body = _body(graph, specialized, variant)
    entry_source, entry = make_entry(
        variant, specialized, site.captured, site.root, signature, body, f"{program._log_name}_{number}"
    )
    variant.source = entry_source + "\n" + body_source
    passes.dump(context.name, "entry.py", lambda: variant.source)
    variant.entry = entry
    variant.seconds = time.perf_counter() - start
    for node, reason in report.refused:
        built.emit(
            f"{node.op.name.removeprefix('py.')} stays in Python", EventKind.NOT_FUSED, reason, location=node.loc
        )
    hits = sum(k.cached for r in variant.regions for k in r.kernels)
    total = sum(len(r.kernels) for r in variant.regions)
    cache = "unused" if total == 0 else "hit" if hits == total else "miss" if hits == 0 else f"{hits}/{total}"
    how = "background" if options.background else "in the call"
    program._emit(
        EventKind.SPECIALIZE_READY,
        f"{variant.seconds:.1f}s {how}  cache={cache}  {counted(len(variant.regions), 'region')}, "
        f"{variant.native_nodes}/{variant.native_nodes + variant.python_nodes} ops native",
        specialization=number,
        seconds=variant.seconds,
        regions=len(variant.regions),
        kernels=total,
        native=variant.native_nodes,
        python=variant.python_nodes,
    )
    return variant


# -- which sizes become symbols ---------------------------------------------------------------------------------------


def choose(site: Site, profile: Profile, dynamic: Any, scope: Scope = Scope.EVERY) -> Assumptions:
    """The assumptions to specialize on: varying sizes are symbols; so are, from the start, sizes that only drive a
    loop."""
    if dynamic is False or scope is Scope.ONE:
        return profile.only_latest().assume()
    found = _general(site, profile, dynamic)
    return found if scope is Scope.EVERY else dataclasses.replace(found, numbers=profile.only_latest().assume().numbers)


def _general(site: Site, profile: Profile, dynamic: Any) -> Assumptions:
    constant = [c for c in profile.classes() if len(set(profile.history(c[0]))) == 1]
    if dynamic is True:
        return profile.assume(constant)
    accepted: list[list[Position]] = []
    for members in constant[:MAX_TRIALS]:
        groups = [members, *([m] for m in members)] if len(members) > 1 else [members]
        for group in groups:
            if drives_only_loops(site, profile, group):
                accepted.append(group)
                if group is members:
                    break
    return profile.assume(accepted)


def _sizes(assume: Assumptions) -> dict[str, int]:
    """What the symbols were in the latest call."""
    found: dict[str, int] = {}
    for (leaf, d), size in assume.sizes.items():
        fact = assume.signature.facts[leaf]
        if isinstance(size, Poly) and isinstance(fact, TensorFact):
            found[repr(size)] = fact.dims[d]
    return found


def narrowed(assume: Assumptions, specialized: Specialized) -> Assumptions:
    """The assumptions under which what was specialized takes the latest call: the call's own sizes and numbers for
    those that are below what the graph needs."""
    sizes = too_small(assume, least_for_ones(specialized.graph.attrs["nonempty"]))
    given = {i: fact.value for i, fact in enumerate(assume.signature.facts) if isinstance(fact, NumberFact)}
    numbers = {i: given[i] for i, least in specialized.bounds.items() if given[i] < least}
    if not (sizes or numbers):
        return assume
    return dataclasses.replace(assume, sizes={**assume.sizes, **sizes}, numbers={**assume.numbers, **numbers})


def too_small(assume: Assumptions, least: dict[str, int]) -> dict[Position, Size]:
    """The latest call's own sizes, for the symbols that are below what a graph with these symbols needs."""
    found: dict[Position, Size] = {}
    for (leaf, d), size in assume.sizes.items():
        fact = assume.signature.facts[leaf]
        if repr(size) in least and isinstance(fact, TensorFact) and fact.dims[d] < least[repr(size)]:
            found[leaf, d] = fact.dims[d]
    return found


def drives_only_loops(site: Site, profile: Profile, group: list[Position]) -> bool:
    """Whether, with these sizes as one symbol, the symbol is a loop's trip count and no tensor inside a loop has it as
    a size (numbers may: `x[steps - 1 - t]`): a new value then needs no other code."""
    assume = profile.assume([group])
    name = next(iter(assume.sizes[at].symbols() for at in group if not isinstance(assume.sizes[at], int)), None)  # type: ignore[union-attr]
    if name is None:
        return False
    try:
        typed = specialize(site.captured.graph, assume, site.root).graph
    except Refused:
        return False
    loops = [n for n in typed.walk() if n.op is LOOP]
    trips = [n.args[0].type.dim for n in loops if not n.args[0].is_const]
    if not any(_mentions(t, name) for t in trips):
        return False
    inside = [v for loop in loops for block in loop.blocks for v in _values(block)]
    return not any(_mentions(d, name) for v in inside for d in v.type.dims or ())


def _values(block: Any) -> list[Value]:
    return [*block.params, *(r for node in block.walk() for r in node.results)]


def _mentions(dim: Any, names: frozenset[str]) -> bool:
    return dim is not None and not isinstance(dim, int) and bool(dim.symbols() & names)


# -- regions and the code between them --------------------------------------------------------------------------------


class _Regions:
    """Native regions of one variant, in order of appearance."""

    def __init__(self, program: Any, variant: Variant, context: Any) -> None:
        self.program, self.variant, self.context = program, variant, context
        self.made: list[NativeRegion] = []
        self.native_nodes = 0
        self.known = {
            v: leaf_input(leaf, variant.assume)
            for v, leaf in zip(variant.graph.inputs, variant.specialized.leaves, strict=True)
        }
        self.watched = watched_by_eager(variant.specialized.graph)

    def add(self, node: Node, parent: Block, grad_mode: bool) -> None:
        """Make the region of `node`, which runs in this grad mode; where that is not possible after all, put its nodes
        back into the block."""
        label, place = f"region {len(self.made)}", place_of(node.blocks[0])
        maker = Maker(
            name=f"{self.program._log_name}_{self.variant.number}_{len(self.made)}",
            context=self.context,
            emit=functools.partial(self.emit, label, location=place),
            fell_back=functools.partial(self.fell_back, label),
            least=self.variant.least,
            later=functools.partial(self.later, label),
        )
        inputs = [self.known.get(a) or Input(a.type) for a in node.args]
        region = maker.region(node.blocks[0], inputs, grad_mode, self.told(node))
        if region is None:
            dissolve(node, parent)
            return
        node.attrs["index"] = len(self.made)
        self.made.append(region)
        self.native_nodes += sum(1 for n in node.blocks[0].walk() if not n.blocks)

    def told(self, node: Node) -> Told:
        """What eager watches among the inputs and results of a region that are the program's own."""
        places = {v: i for i, v in enumerate(self.variant.graph.inputs)}
        results = {v: j for j, v in enumerate(self.variant.graph.outputs)}
        known = self.watched
        inputs = {k: known.inputs.get(places[a]) for k, a in enumerate(node.args) if a in places}
        outputs = {k: known.outputs.get(results[r]) for k, r in enumerate(node.results) if r in results}
        return Told(
            {k: yes for k, yes in inputs.items() if yes is not None},
            {k: yes for k, yes in outputs.items() if yes is not None},
        )

    def later(self, label: str, job: Callable[[], None]) -> None:
        """Make what a region turned out to need while it ran."""
        if stances.current().kind == "fail_on_compile":
            raise RuntimeError(f"specjit stance fail_on_compile: {label} would compile the gradients of its gradients")
        number, start = self.variant.number, time.perf_counter()

        def work() -> None:
            with cache_events(self.program, number):
                job()
            seconds = time.perf_counter() - start
            message = f"{label}: gradients of gradients {seconds:.1f}s"
            self.program._emit(EventKind.SPECIALIZE_READY, message, specialization=number, seconds=seconds)

        self.program._emit(EventKind.SPECIALIZE_QUEUED, f"{label}: gradients of gradients", specialization=number)
        self.program._start_job(work, number)

    def emit(self, subject: str, kind: EventKind, message: str, **facts: Any) -> None:
        event = self.program._emit(kind, f"{subject}: {message}", specialization=self.variant.number, **facts)
        if kind == EventKind.NOT_FUSED:
            where = f"  ({event.location})" if event.location else ""
            self.variant.refused.append(f"{event.message}{where}")

    def fell_back(self, region: str, message: str, location: Location | None, reason: str) -> None:
        self.variant.counts.fallbacks += 1
        self.program._emit(
            EventKind.FALLBACK,
            f"{region} {message}",
            specialization=self.variant.number,
            call=self.program._calls + 1,
            location=location,
            reason=reason,
        )


def leaf_input(leaf: Leaf, assume: Assumptions) -> Input:
    """What the guards of a leaf say, as a region wants it."""
    if not leaf.is_tensor:
        return Input(leaf.value.type)
    fact = leaf.fact
    assert isinstance(fact, TensorFact)
    if leaf.argument is not None:
        layout: Any = assume.strides.get(leaf.argument, "contiguous")
    else:
        layout = "contiguous" if fact.contiguous else fact.strides
    return Input(leaf.value.type, fact.cls, leaf.fixed, layout)


def dissolve(node: Node, parent: Block) -> None:
    """Replace a region node by the nodes inside it."""
    (block,) = node.blocks
    mapping = dict(zip(block.params, node.args, strict=True))
    replace_uses(block, mapping)
    at = parent.nodes.index(node)
    parent.nodes[at : at + 1] = block.nodes
    replace_uses(parent, {r: mapping.get(o, o) for r, o in zip(node.results, block.outputs, strict=True)})


def _region_nodes(block: Block, grad_mode: bool) -> list[tuple[Node, Block, bool]]:
    """Every region with the block it stands in and the grad mode it runs in."""
    found = []
    for node in block.nodes:
        if node.op is REGION:
            found.append((node, block, grad_mode))
        else:
            for inner in node.blocks:
                found += _region_nodes(inner, node.attrs["grad"] if node.op is WITH else grad_mode)
    return found


def _body(graph: Graph, specialized: Specialized, variant: Variant) -> tuple[str, Callable[..., Any]]:
    """The code between entry and regions, as a function of the argument leaves."""
    fixed = [leaf.fixed for leaf in specialized.leaves]
    nodes = graph.block.nodes
    if len(nodes) == 1 and nodes[0].op is REGION and not variant.apart.pairs:
        return _single(graph, nodes[0], fixed, variant)
    code = generate(graph, name=graph.name, regions=variant.regions)
    # Guards of the argument leaves have to hold before anything runs: one table for all of them, in front.
    guard = _argument_guard(variant)
    names = [f"a{i}" if f is None else f"_fixed{i}" for i, f in enumerate(fixed)]
    given = ", ".join(n for n, f in zip(names, fixed, strict=True) if f is None)
    lines = [f"def body({given}):"]
    lines.append(f"    if _guard({given}): return MISS")
    if variant.apart.pairs:
        lines.append(f"    if _shared({given}): return MISS")
    lines.append(f"    return _run({', '.join(names)})")
    scope = {"_guard": guard, "_shared": variant.apart.fails, "_run": code.fn, **_fixed(names, fixed)}
    return _compile(lines, scope, code.source)


def _single(graph: Graph, node: Node, fixed: list[Any], variant: Variant) -> tuple[str, Callable[..., Any]]:
    """All of the graph is one region: its own guards are the variant's, and its results are the outputs."""
    (region,) = variant.regions
    names = {
        v: (f"a{i}" if f is None else f"_fixed{i}") for i, (v, f) in enumerate(zip(graph.inputs, fixed, strict=True))
    }
    given = ", ".join(names[v] for v, f in zip(graph.inputs, fixed, strict=True) if f is None)
    lines = [f"def body({given}):", f"    out = _region({', '.join(names[a] for a in node.args)})"]
    lines.append("    if out is None: return MISS")
    picks = []
    constants: dict[str, Any] = {}
    for o in graph.outputs:
        if o.is_const:
            constants[f"_c{len(constants)}"] = o.const
            picks.append(f"_c{len(constants) - 1}")
        else:
            picks.append(names[o] if o in names else f"out[{node.results.index(o)}]")
    straight = picks == [f"out[{i}]" for i in range(len(node.results))]
    lines.append(f"    return {'out' if straight else '(' + ', '.join(picks) + ',)'}")
    unused = [v for v, f in zip(graph.inputs, fixed, strict=True) if f is None and v not in node.args]
    guard_names: dict[str, Any] = {}
    if unused:
        guard_names["_guard"] = _argument_guard(variant)
        lines.insert(1, f"    if _guard({given}): return MISS")
    table = {names[v]: f for v, f in zip(graph.inputs, fixed, strict=True) if f is not None}
    return _compile(lines, {"_region": region.guarded, **table, **constants, **guard_names}, "")


def _argument_guard(variant: Variant) -> Callable[..., bool]:
    leaves = [leaf for leaf in variant.specialized.leaves if leaf.argument is not None]
    inputs = [leaf_input(leaf, variant.assume) for leaf in leaves]
    flags = [leaf.fact.requires_grad if isinstance(leaf.fact, TensorFact) else None for leaf in leaves]
    return argument_guard(inputs, flags, variant.least)


def _fixed(names: list[str], fixed: list[Any]) -> dict[str, Any]:
    return {n: f for n, f in zip(names, fixed, strict=True) if f is not None}


def _compile(lines: list[str], names: dict[str, Any], more: str) -> tuple[str, Callable[..., Any]]:
    source = "\n".join([*lines, ""])
    namespace = {"MISS": MISS, **names}
    exec(compile(source, "<specjit body>", "exec"), namespace)
    return source + ("\n" + more if more else ""), namespace["body"]


def _describe(assume: Assumptions) -> str:
    """Which sizes and numbers vary; all others are constants."""
    places = sources(assume.signature)
    varying: dict[str, list[str]] = {}
    for (leaf, d), size in assume.sizes.items():
        if not isinstance(size, int):
            varying.setdefault(repr(size), []).append(f"{places[leaf]}.shape[{d}]")
    found = [f"{name} = {' = '.join(where)}" for name, where in varying.items()]
    found += [places[leaf] for leaf, value in assume.numbers.items() if value is None]
    return f"varying: {', '.join(found)}; the rest constant" if found else "all sizes and numbers constant"
