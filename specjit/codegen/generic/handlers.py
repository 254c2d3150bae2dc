"""Exceptions in generated Python: `try` nodes as real `try` and `with` statements.

Enters: `try`, `finally` and `using` nodes. Leaves: Python's own statements.
Invariant: the second block of a node reads what the first one did from cells only, so a variable that the first one
was about to bind is never seen half done; the node's results are bound at the end of the block that gives them.
"""

from __future__ import annotations

from specjit.codegen.generic.flow import FlowWriter
from specjit.codegen.generic.writer import place
from specjit.ir.graph import Node
from specjit.ir.structure import TRY, USING


class HandlerWriter(FlowWriter):
    """Writes the nodes that deal with exceptions."""

    def exceptional(self, node: Node) -> None:
        if node.op is USING:
            self.using(node)
            return
        self.flush()
        self.here = place(node)
        self.line("try:")
        self.suite(node, 0)
        if node.op is TRY:
            (caught,) = node.blocks[1].params
            self.line(f"except BaseException as {self.names[caught]}:")
            self.line(f"    _show_places({self.names[caught]}, _places)")
            self.include(self.side(node.blocks[1], node))
        else:
            self.line("finally:")
            self.suite(node, 1, len(node.blocks[0].outputs))

    def suite(self, node: Node, which: int, skip: int = 0) -> None:
        """The lines of one block, of which a statement needs at least one."""
        lines = self.side(node.blocks[which], node, skip)
        self.include(lines)
        if not lines[0]:
            self.line("    pass")

    def using(self, node: Node) -> None:
        body, suppressed = node.blocks
        (entered,) = body.params
        (manager,) = self.statement(node.args)
        self.here = place(node)
        after = self.side(suppressed, node)
        done = self.names.unique("done") if after[0] else ""
        if done:
            self.line(f"{done} = False")
        target = f" as {self.names[entered]}" if self.counts.get(entered) else ""
        self.line(f"with {manager.text}{target}:")
        self.suite(node, 0)
        if done:
            self.line(f"    {done} = True")
            self.line(f"if not {done}:")
            self.include(after)
