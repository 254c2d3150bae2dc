"""Programs with lines that native code cannot see into: the code between those lines, in parts of its own.

Enters: a captured graph that was refused as a whole. Leaves: generated Python that runs the opaque nodes as they stand
and calls a `Part` for every stretch of nodes between them.
Invariant: nodes run in the graph's order, each once. A part is a Program over its stretch: what opaque code gave is
guarded where the part begins, and where that guard fails the part's own generic code runs, with an event.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from types import FunctionType
from typing import TYPE_CHECKING, Any

import numpy as np

from specjit.capture.guards import Checks
from specjit.codegen.generic.python import GenericCode, generate
from specjit.ir.graph import Block, Graph, Location, Node, Value, copy_block, free_values, uses
from specjit.ir.structure import EXCEPTIONAL, IF, LOOP, WITH
from specjit.ir.types import ANY
from specjit.ops.records import registry
from specjit.runtime.events import Event, EventLog
from specjit.runtime.program import Program
from specjit.specialize.python_ops import is_pure

if TYPE_CHECKING:
    from specjit.runtime.site import Site

MAX_PARTS = 16
NONE = Value.constant(None)
WORTH = 2  # nodes that compute something, for a part to be worth its call
CONTAINERS = ("list", "dict", "set")
FROM_DATA = ("tensor",)
CELLS = ("py.cell", "py.load", "py.store", "py.set_global")
READS = ("py.getattr", "py.global", "py.closure")
TAKES_OUT = ("py.unpack", "py.getitem", "py.bound", "py.float", "py.int", "py.bool", "py.str", "py.len")
NO_WORK = (
    *READS,
    "py.tuple",
    "py.list",
    "py.unpack",
    "py.getitem",
    "py.refine",
    "py.bound",
    "py.is",
    "py.is_not",
    "size",
)


class PartCapture:
    """What a Site needs of a capture, for a graph that is part of another: the guards of the whole hold already."""

    def __init__(self, graph: Graph, function: FunctionType) -> None:
        self.graph = graph
        self.guards: list[Any] = []
        self.opaque: list[Any] = []
        self.checks = Checks([], list(inspect.signature(function).parameters), {})


class _Log(EventLog):
    """The events of a part, which are events of the whole Program too."""

    def __init__(self, name: str, above: EventLog) -> None:
        super().__init__(name)
        self.above = above

    def emit(self, *args: Any, **facts: Any) -> Event:
        event = super().emit(*args, **facts)
        self.above.events.append(event)
        return event


class Part(Program[Any, Any]):
    """The Program of one stretch of nodes."""

    def __init__(self, graph: Graph, whole: Program[Any, Any]) -> None:
        fn: Any = generate(graph, name="part").fn
        fn.__specjit_captured__ = PartCapture(graph, fn)
        super().__init__(fn, **{**whole._options.to_dict(), "name": graph.name})
        self._log = _Log(graph.name, whole._log)

    @property
    def place(self) -> Location:
        """Where the stretch begins."""
        place: Location = self._model.__specjit_captured__.graph.attrs["place"]
        return place

    def _observe(self, site: Site, values: tuple[Any, ...]) -> None:
        """Arrays of opaque code are other objects in every call: there is nothing to specialize to."""
        if not any(isinstance(v, np.ndarray | np.generic) for v in values):
            super()._observe(site, values)


def split(site: Site) -> tuple[GenericCode, list[Part]] | None:
    """Python for the site's graph that calls parts, and the parts; None where there is nothing to set apart."""
    if not any(map(is_opaque, site.captured.graph.walk())):
        return None
    graph = Graph(site.captured.graph.name, _copied(site.captured.graph.block, {}))
    splitter = _Splitter(site, graph)
    splitter.block(graph.block)
    return (generate(graph, name=graph.name), splitter.parts) if splitter.parts else None


def is_opaque(node: Node) -> bool:
    """Whether nothing is known of what a node gives: it calls unknown code, makes a tensor of foreign data, or deals
    with exceptions."""
    name, target = node.op.name, node.args[0] if node.args else NONE
    if name == "py.call":
        return not (target.is_const and is_pure(target.const))
    if name == "py.method":
        found = target.node is not None and target.node.op.name in READS
        return (
            target.is_const or target.type.kind == "class" or found or registry.find_method(node.args[1].const) is None
        )
    return name in FROM_DATA or name in CELLS or node.op in EXCEPTIONAL


class _Splitter:
    """Moves stretches of nodes of a graph's blocks into parts."""

    def __init__(self, site: Site, graph: Graph) -> None:
        self.site = site
        self.uses = uses(graph.block)
        self.foreign: set[Value] = set()  # what opaque code gave, and what was taken out of that
        self.parts: list[Part] = []

    def block(self, block: Block) -> None:
        out: list[Node] = []
        stretch: list[Node] = []
        for node in block.nodes:
            if self.stays(node, stretch) or self.shares(node, block):
                out += self.moved(block, stretch)
                out.append(node)
                stretch = []
                if _may_be_entered(node):
                    for inner in node.blocks:
                        self.block(inner)
            else:
                stretch.append(node)
        block.nodes = out + self.moved(block, stretch)

    def stays(self, node: Node, stretch: Sequence[Node]) -> bool:
        """Whether a node stays where it is: it is opaque or takes something out of what opaque code gave, has an
        outside effect, or needs a container from before (which a part could only take as its caller's)."""
        if is_opaque(node) or (node.op.name in TAKES_OUT and node.args[0] in self.foreign):
            self.foreign.update(node.results)
            return True
        if "_first" in node.attrs or "_again" in node.attrs:  # the test of a `while`, which its header says again
            return True
        inside = [node, *(n for b in node.blocks for n in b.walk())]
        if any(is_opaque(n) or (n.op.traits.io and n.op.name != "py.method") for n in inside):
            return True
        own = {r for n in stretch for r in n.results}
        read = [*node.args, *(v for b in node.blocks for v in free_values(b))]
        return any(v.type.kind in CONTAINERS and not v.is_const and v not in own for v in read)

    def shares(self, node: Node, block: Block) -> bool:
        """Whether a node gives a container that more than the nodes of its own stretch may see or change."""
        users = [user for r in node.results if r.type.kind in CONTAINERS for user, _ in self.uses.get(r, ())]
        return any(not isinstance(u, Node) or u not in block.nodes or u.op.traits.writes or is_opaque(u) for u in users)

    def moved(self, block: Block, stretch: list[Node]) -> list[Node]:
        """What stands in the block for these nodes: the call of a part, or they themselves."""
        work = [n for n in stretch if n.op.name not in NO_WORK and n.op.name not in TAKES_OUT]
        worth = len(work) >= WORTH or any(n.op is LOOP for n in work)
        outputs = self.read_later(stretch)
        if not worth or not outputs or any(v.type.kind in CONTAINERS for v in outputs) or len(self.parts) >= MAX_PARTS:
            return stretch
        whole = Block()
        whole.nodes, whole.outputs = stretch, outputs
        given = free_values(whole)
        place = next((n.loc for n in stretch if n.loc is not None), self.site.captured.graph.attrs["place"])
        graph = Graph(f"{self.site.program._log_name}.{len(self.parts) + 1}", attrs={"place": place})
        mapping = {v: graph.block.param(v.type, v.hint) for v in given}
        body = _copied(whole, mapping)
        graph.block.nodes, graph.block.outputs = body.nodes, body.outputs
        part = Part(graph, self.site.program)
        self.parts.append(part)
        call = Node(registry.get("py.call"), [Value.constant(part, ANY), NONE, *given], [ANY], loc=place)
        made = [call]
        if len(outputs) > 1:
            made.append(Node(registry.get("py.unpack"), [call.result, Value.constant(len(outputs))], [], loc=place))
        made[-1].results = outputs
        for v in outputs:
            v.node = made[-1]
        return made

    def read_later(self, stretch: list[Node]) -> list[Value]:
        """What these nodes make for the rest of the graph."""
        own: set[Any] = set()
        for n in stretch:
            own |= {n, *n.blocks}
            for b in n.blocks:
                own.update(m for inner in b.walk() for m in (inner, *inner.blocks))
        return [r for n in stretch for r in n.results if any(user not in own for user, _ in self.uses.get(r, ()))]


def _may_be_entered(node: Node) -> bool:
    """Whether the nodes inside may be moved: not where generated code takes the blocks of a loop apart."""
    if node.op is LOOP:
        trip, cond = node.args[:2]
        plain = not any(k in node.attrs for k in ("_header", "_protocol"))
        ends = [cond, node.blocks[0].outputs[0]]
        return (
            plain and not (trip.is_const and trip.const is None) and all(c.is_const and c.const is True for c in ends)
        )
    return node.op is IF or node.op is WITH or node.op in EXCEPTIONAL


def _copied(block: Block, mapping: dict[Value, Value]) -> Block:
    """A deep copy with the headers of its loops."""
    copy = copy_block(block, mapping)
    for old, new in zip(block.walk(), copy.walk(), strict=True):
        if "_header" in old.attrs:
            new.attrs["_header"] = copy_block(old.attrs["_header"], dict(mapping))
    return copy
