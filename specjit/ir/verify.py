"""The verifier: is this graph well formed, and do its types follow from its ops?

Enters: a Graph. Leaves: nothing, or `VerifyError` that lists every fault with the lines of text around it.
Checked: each value is defined once and before its uses, in scope; arguments match the op's parameters; structural
nodes have the shape that `ir.graph` states; and `op.infer`, run again, does not contradict the recorded types (unknown
contradicts nothing).
"""

from __future__ import annotations

from dataclasses import dataclass

from specjit.ir import signature
from specjit.ir.builder import result_types
from specjit.ir.graph import Block, Graph, Node, Value
from specjit.ir.structure import EXCEPTIONAL, FINALLY, IF, LOOP, REGION, TRY, USING, WITH
from specjit.ir.structure import result_types as block_types
from specjit.ir.text import GraphPrinter
from specjit.ir.types import Type, type_of

STRUCTURAL = (IF, LOOP, REGION, WITH, *EXCEPTIONAL)
CONTEXT = 2  # lines shown before and after a fault


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong, at a node or at the outputs of a block."""

    where: Node | Block
    message: str


class VerifyError(AssertionError):
    """A graph breaks an invariant of the IR: a fault of the pass or stage that made it."""

    def __init__(self, graph: Graph, faults: list[Fault], stage: str = "") -> None:
        self.faults = faults
        super().__init__(_report(graph, faults, stage))


def verify(graph: Graph, stage: str = "", *, infer: bool = True) -> None:
    """Raise `VerifyError` if the graph is malformed. `stage` names who made it; `infer=False` skips the comparison of
    types."""
    faults = find_faults(graph, infer=infer)
    if faults:
        raise VerifyError(graph, faults, stage)


def find_faults(graph: Graph, *, infer: bool = True) -> list[Fault]:
    checker = _Checker(infer)
    checker.block(graph.block, graph.inputs)
    for p in graph.attrs.get("params", ()):
        if p not in graph.inputs:
            checker.fault(graph.block, "attrs['params'] names a value that is not an input")
    return checker.faults


def compatible(a: Type, b: Type) -> bool:
    """Whether a value could have both types: what both know agrees. `requires_grad` is left out: it depends on the
    grad mode."""
    if "any" in (a.kind, b.kind):
        return True
    if a.kind == "optional" or b.kind == "optional":
        x, y = (t.args[0] if t.kind == "optional" else t for t in (a, b))
        return "none" in (x.kind, y.kind) or compatible(x, y)
    if a.kind != b.kind:
        return False
    if a.kind == "tensor":
        return (
            (None in (a.dtype, b.dtype) or a.dtype is b.dtype)
            and (None in (a.device, b.device) or a.device == b.device)
            and _dims_compatible(a, b)
        )
    if a.kind == "int":
        return None in (a.dim, b.dim) or a.dim == b.dim
    if a.kind == "class":
        return a.name == b.name or not a.name or not b.name
    if not a.args or not b.args:
        return a.kind != "tuple" or a.args == b.args
    return len(a.args) == len(b.args) and all(map(compatible, a.args, b.args))


def _dims_compatible(a: Type, b: Type) -> bool:
    if a.dims is None or b.dims is None:
        return True
    return len(a.dims) == len(b.dims) and all(x is None or y is None or x == y for x, y in zip(a.dims, b.dims))


class _Checker:
    def __init__(self, infer: bool) -> None:
        self.infer = infer
        self.faults: list[Fault] = []
        self.scope: set[Value] = set()
        self.defined: set[Value] = set()

    def fault(self, where: Node | Block, message: str) -> None:
        self.faults.append(Fault(where, message))

    def define(self, where: Node | Block, values: list[Value], node: Node | None) -> None:
        for v in values:
            if v.is_const:
                self.fault(where, "a constant cannot be defined")
            elif v in self.defined:
                self.fault(where, "a value is defined twice")
            elif v.node is not node:
                self.fault(where, "a value does not point back to the node that defines it")
            self.defined.add(v)
            self.scope.add(v)

    def use(self, where: Node | Block, values: list[Value]) -> None:
        for i, v in enumerate(values):
            if not v.is_const and v not in self.scope:
                place = "in another block" if v in self.defined else "nowhere or later"
                self.fault(where, f"operand {i} ({v!r}) is used here but defined {place}")
            elif v.is_const and not compatible(v.type, type_of(v.const)):
                self.fault(where, f"the constant {v.const!r} is recorded as {v.type}")

    def block(self, block: Block, params: list[Value]) -> None:
        outer = set(self.scope)
        self.define(block, params, None)
        for node in block.nodes:
            self.node(node)
        self.use(block, block.outputs)
        self.scope = outer

    def node(self, node: Node) -> None:
        self.use(node, node.args)
        before = len(self.faults)
        if node.op in STRUCTURAL:
            check = {IF: self.check_if, LOOP: self.check_loop, REGION: self.check_region, WITH: self.check_region}
            check.get(node.op, self.check_exceptional)(node)
        elif node.blocks:
            self.fault(node, f"{node.op.name} cannot have blocks")
        else:
            self.arguments(node)
        for inner in node.blocks:
            self.block(inner, inner.params)
        if len(self.faults) == before:
            self.types(node)
        self.define(node, node.results, node)

    def arguments(self, node: Node) -> None:
        try:
            signature.expand(node.op, len(node.args))
        except TypeError as error:
            self.fault(node, str(error))

    def check_if(self, node: Node) -> None:
        if len(node.args) != 1 or len(node.blocks) != 2:
            self.fault(node, "an if has one argument and two blocks")
            return
        if node.args[0].type.kind not in ("bool", "any"):
            self.fault(node, f"the condition of an if is a bool, not {node.args[0].type}")
        for block in node.blocks:
            if block.params:
                self.fault(node, "the blocks of an if have no parameters")
            self.count(block, "outputs of a branch", len(block.outputs), len(node.results))

    def check_loop(self, node: Node) -> None:
        if len(node.args) < 2 or len(node.blocks) != 1:
            self.fault(node, "a loop has a trip count, a condition and one block")
            return
        (body,) = node.blocks
        trip, cond, *carried = node.args
        stacked = len(node.results) - len(carried)
        counted = trip.type.kind != "none"
        self.count(node, "block parameters", len(body.params), 1 + len(carried))
        self.count(body, "outputs of the loop's block", len(body.outputs), 1 + len(node.results))
        if self.faults and self.faults[-1].where in (node, body):
            return
        if stacked < 0:
            self.fault(node, "a loop has at least one result per carried value")
        elif stacked and not counted:
            self.fault(node, "stacked outputs need a trip count")
        if trip.type.kind not in ("int", "none", "any"):
            self.fault(node, f"the trip count is an int or None, not {trip.type}")
        if body.params[0].type.kind not in ("int", "any"):
            self.fault(node, f"the loop's index is an int, not {body.params[0].type}")
        if node.attrs.get("reverse") and not counted:
            self.fault(node, "a reverse loop needs a trip count")
        for cond_value in (cond, body.outputs[0]):
            if cond_value.type.kind not in ("bool", "any"):
                self.fault(node, f"the condition of a loop is a bool, not {cond_value.type}")
        for param, init, out in zip(body.params[1:], carried, body.outputs[1:]):
            for other, what in ((init, "starts as"), (out, "continues as")):
                if not compatible(param.type, other.type):
                    self.fault(node, f"carried {param!r} {what} {other.type}")

    def check_region(self, node: Node) -> None:
        if len(node.blocks) != 1:
            self.fault(node, f"a {node.op.name} has one block")
            return
        (body,) = node.blocks
        self.count(node, "block parameters", len(body.params), len(node.args))
        self.count(body, f"outputs of the {node.op.name}", len(body.outputs), len(node.results))

    def check_exceptional(self, node: Node) -> None:
        name, given = node.op.name, 1 if node.op is USING else 0
        if len(node.args) != given or len(node.blocks) != 2:
            self.fault(node, f"a {name} has {'one argument' if given else 'no arguments'} and two blocks")
            return
        first, second = node.blocks
        self.count(first, f"parameters of the first block of a {name}", len(first.params), given)
        self.count(second, f"parameters of the second block of a {name}", len(second.params), int(node.op is TRY))
        if node.op is FINALLY:
            outputs = len(first.outputs) + len(second.outputs)
            self.count(node, "outputs of the blocks of a finally", outputs, len(node.results))
            return
        for block in node.blocks:
            self.count(block, f"outputs of a block of a {name}", len(block.outputs), len(node.results))

    def count(self, where: Node | Block, what: str, found: int, expected: int) -> None:
        if found != expected:
            self.fault(where, f"{what}: {found}, expected {expected}")

    def types(self, node: Node) -> None:
        """Compare the recorded types with those that follow from arguments and blocks."""
        if node.op in STRUCTURAL:
            inferred = block_types(node)
        elif not self.infer:
            return
        else:
            try:
                inferred, several = result_types(node.op, node.args)
            except Exception as error:  # whatever the rule raised is the fault to report
                self.fault(node, f"infer of {node.op.name} raised {type(error).__name__}: {error}")
                return
            recorded = [r.type for r in node.results]
            if several and len(recorded) == 1 and recorded[0].kind in ("list", "tuple", "any"):
                return
            if not recorded and [t.kind for t in inferred] == ["none"]:
                return
        if len(inferred) != len(node.results):
            self.fault(node, f"{node.op.name} has {len(inferred)} results, the node {len(node.results)}")
            return
        for i, (result, expected) in enumerate(zip(node.results, inferred)):
            if not compatible(result.type, expected):
                self.fault(node, f"result {i} is recorded as {result.type}, but {node.op.name} gives {expected}")


def _report(graph: Graph, faults: list[Fault], stage: str) -> str:
    printer = GraphPrinter()
    printer.graph(graph)
    lines = printer.lines
    out = [f"graph @{graph.name} is not well formed{f' after {stage}' if stage else ''}:"]
    for fault in faults:
        at = printer.line_of.get(fault.where, 0)
        out.append(f"line {at + 1}: {fault.message}")
        around = range(max(0, at - CONTEXT), min(len(lines), at + CONTEXT + 1))
        out += [f"  {'-->' if k == at else '   '} {k + 1:4d} | {lines[k]}" for k in around]
    return "\n".join(out)
