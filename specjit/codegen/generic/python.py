"""The generic path: a graph as readable Python.

Enters: a graph, generic or typed, or a single block of one. Leaves: `GenericCode`: source, the compiled function, and
the place in the user's program of every line.
Invariant: the code evaluates nodes in the graph's order, each once. A value that is used once, by the node that comes
next in evaluation order, on the same user line, is written as a nested expression; anything else gets a variable.
Control flow is Python's own.
"""

from __future__ import annotations

import linecache
import re
import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from specjit.codegen.generic import support
from specjit.codegen.generic.expressions import AUGMENTED, TERNARY, expression, index_text, order, truth
from specjit.codegen.generic.handlers import HandlerWriter
from specjit.codegen.generic.jumps import ALIASES, EXITS, RETURN
from specjit.codegen.generic.leftovers import is_dead
from specjit.codegen.generic.writer import is_none, is_unbound, place
from specjit.ir.graph import Block, Graph, Location, Node, Value, free_values
from specjit.ir.structure import EXCEPTIONAL, IF, LOOP, REGION, WITH


@dataclass(frozen=True, slots=True)
class GenericCode:
    """Generated Python. `fn` takes the inputs; `linemap[line]` is the user's place, innermost, and the calls that led
    there."""

    name: str
    source: str
    fn: Callable[..., Any]
    linemap: dict[int, tuple[Location, ...]]


def generate(
    graph: Graph, *, name: str, regions: Sequence[Callable[..., Any]] | None = None, flat: bool | None = None
) -> GenericCode:
    """Python for a graph. `regions[i](*args) -> tuple` runs region node number i; without `regions` their blocks are
    written out.

    flat: the function returns the tuple of all outputs, even of one (default: when `regions` is given, or there is not
    exactly one).
    """
    whole = flat if flat is not None else regions is not None or len(graph.outputs) != 1
    return _Function(graph.block, name, regions, whole).finish()


def generate_block(
    block: Block, inputs: Sequence[Value], *, name: str = "block", regions: Sequence[Callable[..., Any]] | None = None
) -> GenericCode:
    """Python for one block as a function of `inputs` (its parameters, or the outside values it uses); returns a
    tuple."""
    function = Block(inputs)
    function.nodes, function.outputs = block.nodes, block.outputs
    missing = free_values(function)
    if missing:
        raise ValueError(f"the block also uses {missing}")
    return _Function(function, name, regions, True).finish()


def _is_list_of_one(node: Node) -> bool:
    """Whether the op gives a list, and the node's one result is the tensor in it."""
    returns = getattr(node.op, "returns", ())
    return returns[:1] == ("Tensor[]",) and node.result.type.is_tensor


class _Function(HandlerWriter):
    """Writes one function."""

    def finish(self) -> GenericCode:
        self.body(self.root)
        if not self.lines:
            self.line("pass")
        params = ", ".join(self.names[p] for p in self.root.params)
        source = "\n".join([f"def {self.name}({params}):", *self.lines, ""])
        linemap = {i + 2: place for i, place in enumerate(self.places) if place}
        file = f"<specjit {self.name} {support.serial()}>"
        scope = {**support.HELPERS, **self.scope.objects, "_places": linemap}
        exec(compile(support.with_places(source, file), file, "exec"), scope)
        linecache.cache[file] = (len(source), None, source.splitlines(keepends=True), file)
        fn = scope[self.name]
        weakref.finalize(fn, linecache.cache.pop, file, None).atexit = False
        return GenericCode(self.name, source, fn, linemap)

    # blocks

    def body(self, block: Block) -> None:
        """The function's own block: ends in `return`."""
        self.nodes(block)
        if not is_dead(block):
            self.returns(block.outputs)

    def returns(self, outputs: list[Value]) -> None:
        if not self.flat and len(outputs) == 1:
            self.here = self.pending[-1].place if self.pending else self.here
            (text,) = self.statement(outputs)
            self.line(f"return {text.text}")
            return
        texts = self.statement(outputs)
        self.line(f"return ({', '.join(t.at(TERNARY) for t in texts)}{',' if len(texts) == 1 else ''})")

    # nodes

    def node(self, node: Node) -> None:
        self.here = place(node)
        name = node.op.name
        if node in self.shape.replaced:
            return
        if name in ALIASES:
            self.pass_on(node)
        elif node.op is IF:
            self.branch(node)
        elif node.op is LOOP:
            self.loop(node)
        elif node.op is RETURN:
            self.returns(node.args)
        elif node.op in EXITS:
            self.jump(node)
        elif node.op is REGION:
            self.region(node)
        elif node.op is WITH:
            self.with_mode(node)
        elif node.op in EXCEPTIONAL:
            self.exceptional(node)
        elif not self.special(node):
            self.plain(node)

    def pass_on(self, node: Node) -> None:
        """The same value under another name: no code, unless the name is a variable of its own."""
        source, result = self.resolve(node.args[0]), node.result
        if result in self.names.of:
            (text,) = self.statement([source])
            if text.text != self.names[result]:
                self.line(f"{self.names[result]} = {text.text}")
            return
        self.flush()
        self.alias[result] = source

    def plain(self, node: Node) -> None:
        texts = dict(zip(map(id, order(node)), self.take(order(node))))
        args = [texts[id(a)] for a in node.args]
        text = expression(node, args, self.scope)
        if text is None:
            raise NotImplementedError(f"no Python for {node.op.name}")
        if len(node.results) == 1 and not _is_list_of_one(node):
            self.give(node.result, text)
        else:
            self.flush()
            self.line(f"{self.targets(node.results)} = {text.text}" if node.results else text.text)

    def targets(self, results: Sequence[Value]) -> str:
        named = [self.names[r] if self.counts.get(r) else "_" for r in results]
        return ", ".join(named) + ("," if len(named) == 1 else "") if named else "()"

    def special(self, node: Node) -> bool:
        """Nodes that are statements of their own."""
        name, args = node.op.name, node.args
        if name == "py.setattr":
            # Python evaluates the value before the target.
            value, target = self.statement([args[2], args[0]])
            dotted = target.dot(args[1].const)
            self.line(
                f"{dotted} = {value.text}"
                if dotted is not None
                else f"setattr({target.text}, {args[1].const!r}, {value.text})"
            )
        elif name in ("py.setitem", "setitem"):
            value, target, index = self.statement([args[2], args[0], args[1]])
            self.line(f"{target.at(14)}[{index_text(index, args[1], self.scope)}] = {value.text}")
        elif name == "py.delitem":
            target, index = self.statement(args[:2])
            self.line(f"del {target.at(14)}[{index_text(index, args[1], self.scope)}]")
        elif name == "py.delattr":
            (target,) = self.statement(args[:1])
            dotted = target.dot(args[1].const)
            self.line(f"del {dotted}" if dotted is not None else f"delattr({target.text}, {args[1].const!r})")
        elif name in AUGMENTED:
            return self.augmented(node)
        elif name == "py.append":
            target, item = self.statement(args)
            self.line(f"{target.at(14)}.append({item.at(TERNARY)})")
        elif name == "py.print":
            self.print(node)
        elif name == "py.raise":
            texts = self.statement(args)
            self.line(
                f"raise {texts[0].text}" + (f" from {texts[1].text}" if args[2].const or not is_none(args[1]) else "")
            )
        elif name == "py.reraise":
            self.statement(args)
            self.line("raise")
        elif name == "py.set_global":
            (content,) = self.statement(args[2:])
            self.line(f"{self.scope.bind(args[1].const.__globals__, 'g')}[{args[0].const!r}] = {content.text}")
        elif name == "py.store":
            cell, content = self.statement(args)
            held = f"{cell.at(14)}.cell_contents"
            self.line(f"del {held}" if is_unbound(args[1]) else f"{held} = {content.text}")
        elif name == "py.assert":
            cond, message = self.statement(args)
            self.line(f"assert {truth(cond).text}" + (f", {message.text}" if not is_none(args[1]) else ""))
        elif name == "py.unpack":
            (text,) = self.statement(args[:1])
            self.line(f"{self.targets(node.results)} = {text.text}")
        elif name == "py.unpack_star":
            (text,) = self.statement(args[:1])
            named = [self.names[r] if self.counts.get(r) else "_" for r in node.results]
            named[args[1].const] = f"*{named[args[1].const]}"
            self.line(f"{', '.join(named)}{',' if len(named) == 1 else ''} = {text.text}")
        elif name == "py.guard":
            self.line(f"_guard({', '.join(t.at(TERNARY) for t in self.statement(args))})")
        elif name == "py.next":
            (text,) = self.statement(args)
            self.line(f"{self.targets(node.results)} = _next({text.text})")
        else:
            return False
        return True

    def augmented(self, node: Node) -> bool:
        """`x += y` on what may be changed in place; False where no variable can take the result."""
        if not self.counts.get(node.result):
            return False
        target = self.names[node.result]
        if any(a is not node.args[0] and self.names.of.get(self.resolve(a)) == target for a in node.args):
            return False
        mentions = re.compile(rf"\b{target}\b")
        if any(p.value is self.resolve(node.args[0]) or mentions.search(p.text.text) for p in self.pending):
            self.flush()
        value, other = self.statement(node.args)
        if value.text != target:
            self.line(f"{target} = {value.text}")
        self.line(f"{target} {AUGMENTED[node.op.name]}= {other.text}")
        return True

    def print(self, node: Node) -> None:
        # sep and end stand first in the node and last in the call; they are evaluated there only if they are constants.
        named = [(k, v) for k, v in zip(("sep", "end"), node.args[:2]) if not is_none(v)]
        values = [*node.args[2:], *(v for _, v in named)]
        texts = [t.at(TERNARY) for t in self.statement(values)]
        split = len(node.args) - 2
        texts[split:] = [f"{k}={t}" for (k, _), t in zip(named, texts[split:])]
        self.line(f"print({', '.join(texts)})")

    def region(self, node: Node) -> None:
        (body,) = node.blocks
        if self.regions is None:
            for p, a in zip(body.params, node.args):
                self.flush()
                self.alias[p] = self.resolve(a)
            self.nodes(body)
            self.assign([(self.names[r], o) for r, o in zip(node.results, body.outputs) if self.counts.get(r)])
            return
        inputs = node.args or free_values(body)
        index = node.attrs.get("index", self.region_count)
        self.region_count += 1
        texts = self.statement(inputs)
        function = self.scope.bind(self.regions[index], f"region{index}")
        call = f"{function}({', '.join(t.at(TERNARY) for t in texts)})"
        self.line(f"{self.targets(node.results)} = {call}" if node.results else call)

    def with_mode(self, node: Node) -> None:
        self.flush()
        mode = "enable_grad" if node.attrs["grad"] else "no_grad"
        function = self.scope.bind(support.GRAD_MODES[mode], mode)
        self.line(f"with {function}():")
        lines = self.side(node.blocks[0], node)
        self.include(lines)
        if not lines[0]:
            self.line("    pass")
