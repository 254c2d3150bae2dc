"""Value, Node, Block, Graph: typed SSA with structured control flow.

Enters: op records (anything with name, params, infer, traits, see `OpLike`) and types.
Leaves: graphs that passes rewrite in place and `ir.text` prints.
Invariant: a value is defined once, before its uses, in its block or in an enclosing one; nodes run in block order,
which is also the order of effects. Constants are values without a definition (`is_const`). Control flow is nodes with
blocks:

    if    args (cond)                        blocks then, else without parameters; results = their outputs
    loop  args (trip | None, cond, *carried) block params (i, *carried), outputs (cond, *carried, *stacked)
          results (*carried, *stacked); stacked values gain a leading dim, the trip count, as in a scan; where the
          condition ends a loop before, the rows of the other turns hold anything, and nothing may depend on them.
          attrs reverse=True: i runs from trip-1 down to 0; a stacked value still lands at row i.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from specjit.ir.types import Type, type_of


class OpLike(Protocol):
    """What the IR needs of an operator record."""

    @property
    def name(self) -> str: ...
    @property
    def params(self) -> Sequence[Any]: ...
    @property
    def infer(self) -> Callable[..., Any]: ...
    @property
    def traits(self) -> Any: ...


# Rooms whose Python code (layers, functions) is captured with the user's, and is not what a user calls a place.
LIBRARY = tuple(str(Path(__file__).parents[1] / room) + os.sep for room in ("nn", "ops", "optim", "tensor"))


@dataclass(frozen=True, slots=True)
class Location:
    """A place in a program. `caller` is where the function that it is in was called from, when that was captured too.

    Its text is the file's name without folders, and the line."""

    file: str
    line: int
    column: int = 0
    function: str = ""
    caller: Location | None = field(default=None, compare=False, repr=False)

    @property
    def chain(self) -> tuple[Location, ...]:
        """This place and the calls that led to it, innermost first."""
        return (self, *(self.caller.chain if self.caller is not None else ()))

    @property
    def user(self) -> Location:
        """The innermost place that is not inside this library's own layers and functions."""
        return next((at for at in self.chain if not at.file.startswith(LIBRARY)), self)

    def __str__(self) -> str:
        return f"{self.file.rsplit('/', 1)[-1]}:{self.line}"


class Value:
    """One SSA value. `hint` is the user's name for it, if any; printing makes it unique."""

    __slots__ = ("const", "hint", "is_const", "node", "type")

    def __init__(self, type: Type, node: Node | None = None, hint: str = "") -> None:
        self.type = type
        self.node = node
        self.hint = hint
        self.is_const = False
        self.const: Any = None

    @staticmethod
    def constant(value: Any, type: Type | None = None) -> Value:
        out = Value(type or type_of(value))
        out.is_const = True
        out.const = value
        return out

    def __repr__(self) -> str:
        return f"<const {self.const!r}>" if self.is_const else f"<%{self.hint or '_'}: {self.type}>"


class Node:
    """One operation: `results = op(args)`, with blocks for control flow. `args` line up with `op.params`."""

    __slots__ = ("args", "attrs", "blocks", "loc", "op", "results")

    def __init__(
        self,
        op: OpLike,
        args: Iterable[Value],
        types: Iterable[Type],
        *,
        blocks: Iterable[Block] = (),
        attrs: dict[str, Any] | None = None,
        loc: Location | None = None,
        hints: Sequence[str] = (),
    ) -> None:
        self.op = op
        self.args = list(args)
        self.blocks = list(blocks)
        self.attrs = attrs or {}
        self.loc = loc
        self.results = [Value(t, self, hints[i] if i < len(hints) else "") for i, t in enumerate(types)]

    @property
    def result(self) -> Value:
        if len(self.results) != 1:
            raise ValueError(f"{self.op.name} has {len(self.results)} results, not one")
        return self.results[0]

    def __repr__(self) -> str:
        return f"<{self.op.name} at {self.loc}>"


class Block:
    """A sequence of nodes with parameters (values defined on entry) and outputs (values yielded at the end)."""

    __slots__ = ("nodes", "outputs", "params")

    def __init__(self, params: Iterable[Value] = ()) -> None:
        self.params = list(params)
        self.nodes: list[Node] = []
        self.outputs: list[Value] = []

    def param(self, type: Type, hint: str = "") -> Value:
        value = Value(type, None, hint)
        self.params.append(value)
        return value

    def append(self, op: OpLike, args: Iterable[Value], types: Iterable[Type], **kw: Any) -> Node:
        node = Node(op, args, types, **kw)
        self.nodes.append(node)
        return node

    def walk(self) -> Iterator[Node]:
        """Every node in order, those of inner blocks after the node that holds them."""
        for node in self.nodes:
            yield node
            for block in node.blocks:
                yield from block.walk()


@dataclass(repr=False)
class Graph:
    """A function: `block.params` are the inputs, `block.outputs` the results.

    attrs carry what a stage wants to hand to the next (source function, output structure); they are not printed.
    """

    name: str
    block: Block = field(default_factory=Block)
    attrs: dict[str, Any] = field(default_factory=dict)

    @property
    def inputs(self) -> list[Value]:
        return self.block.params

    @property
    def outputs(self) -> list[Value]:
        return self.block.outputs

    def walk(self) -> Iterator[Node]:
        return self.block.walk()

    def __str__(self) -> str:
        from specjit.ir.text import print_graph

        return print_graph(self)

    def __repr__(self) -> str:
        return f"<graph @{self.name}: {sum(1 for _ in self.walk())} nodes>"

    def to_dot(self) -> str:
        """A picture of the graph as text in Graphviz's language (`dot -Tsvg` draws it)."""
        from specjit.ir.dot import dot

        return dot(self)

    def _repr_html_(self) -> str:
        from specjit.ir.dot import html

        return html(self)


def uses(block: Block) -> dict[Value, list[tuple[Node | Block, int]]]:
    """Where each value is used in `block` and inside it: (node, argument position) or (block, output position)."""
    found: dict[Value, list[tuple[Node | Block, int]]] = {}

    def visit(b: Block) -> None:
        for node in b.nodes:
            for i, arg in enumerate(node.args):
                if not arg.is_const:
                    found.setdefault(arg, []).append((node, i))
            for inner in node.blocks:
                visit(inner)
        for i, out in enumerate(b.outputs):
            if not out.is_const:
                found.setdefault(out, []).append((b, i))

    visit(block)
    return found


def replace_uses(block: Block, mapping: dict[Value, Value]) -> None:
    """Substitute values everywhere in `block` and inside it; chains in `mapping` are followed."""

    def resolve(v: Value) -> Value:
        while v in mapping:
            v = mapping[v]
        return v

    for node in block.nodes:
        node.args = [resolve(a) for a in node.args]
        for inner in node.blocks:
            replace_uses(inner, mapping)
    block.outputs = [resolve(o) for o in block.outputs]


def free_values(block: Block) -> list[Value]:
    """Values used in `block` (or inside it) but defined outside, in order of first use."""
    defined: set[Value] = set()
    free: dict[Value, None] = {}

    def visit(b: Block) -> None:
        defined.update(b.params)
        for node in b.nodes:
            for arg in node.args:
                if not arg.is_const and arg not in defined:
                    free[arg] = None
            for inner in node.blocks:
                visit(inner)
            defined.update(node.results)
        for out in b.outputs:
            if not out.is_const and out not in defined:
                free[out] = None

    visit(block)
    return list(free)


def copy_block(block: Block, mapping: dict[Value, Value]) -> Block:
    """A deep copy; `mapping` says what outside values become and collects what inside values became."""
    out = Block()
    for p in block.params:
        mapping[p] = out.param(p.type, p.hint)
    for node in block.nodes:
        new = Node(
            node.op,
            [mapping.get(a, a) for a in node.args],
            [r.type for r in node.results],
            attrs=dict(node.attrs),
            loc=node.loc,
            hints=[r.hint for r in node.results],
        )
        new.blocks = [copy_block(b, mapping) for b in node.blocks]
        mapping.update(zip(node.results, new.results, strict=True))
        out.nodes.append(new)
    out.outputs = [mapping.get(o, o) for o in block.outputs]
    return out


def copy_graph(graph: Graph) -> Graph:
    """A deep copy. attrs["params"], the inputs that are module parameters, follows the inputs."""
    mapping: dict[Value, Value] = {}
    copy = Graph(graph.name, copy_block(graph.block, mapping), dict(graph.attrs))
    if "params" in copy.attrs:
        copy.attrs["params"] = {mapping[p] for p in copy.attrs["params"]}
    return copy
