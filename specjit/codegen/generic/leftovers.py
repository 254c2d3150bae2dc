"""What is left over in a threaded copy: choices that nobody asks for, and what loops carry for nobody.

Enters: a block whose branches end in jumps. Leaves: the same block without them; `is_dead` and `jumps_of` say where
control goes.
Invariant: only nodes without effect go.
"""

from __future__ import annotations

from specjit.codegen.generic.jumps import BREAK, CONTINUE, EXITS
from specjit.ir.graph import Block, Node, Value, uses
from specjit.ir.structure import IF, LOOP


def is_dead(block: Block) -> bool:
    """Whether the end of a block is never reached."""
    if not block.nodes:
        return False
    last = block.nodes[-1]
    return last.op in EXITS or "_endless" in last.attrs or (last.op is IF and all(map(is_dead, last.blocks)))


def drop_unused(block: Block) -> None:
    """Remove choices that nobody asks for, and what loops carry for nobody."""
    changed = True
    while changed:
        used = uses(block)
        changed = _drop_in(block, used)


def _drop_in(block: Block, used: dict[Value, list]) -> bool:
    changed = False
    keep = []
    for node in block.nodes:
        for inner in node.blocks:
            changed |= _drop_in(inner, used)
        if node.op is LOOP:
            changed |= _drop_carried(node, used)
        chooses = node.op.name in ("py.not", "py.tuple") or (node.op is IF and not any(b.nodes for b in node.blocks))
        if chooses and not any(r in used for r in node.results):
            changed = True
            continue
        keep.append(node)
    block.nodes = keep
    return changed


def _drop_carried(node: Node, used: dict[Value, list]) -> bool:
    """Carried values that are only handed on."""
    body = node.blocks[0]
    jumps = jumps_of(body)
    carried = len(node.args) - 2
    extra = node.attrs.get("_header")
    asked = uses(extra) if extra is not None else {}
    dead = []
    for k in range(carried):
        param = body.params[1 + k]
        inside = [u for u in used.get(param, []) if u != (body, 1 + k) and not (u[0] in jumps and u[1] == k)]
        if not inside and param not in asked and node.results[k] not in used:
            dead.append(k)
    for k in reversed(dead):
        del node.args[2 + k], node.results[k], body.params[1 + k], body.outputs[1 + k]
        for n in jumps:
            del n.args[k]
    return bool(dead)


def jumps_of(body: Block) -> list[Node]:
    """The `break`s and `continue`s of the loop that `body` is the body of."""
    found = []
    for node in body.nodes:
        if node.op in (BREAK, CONTINUE):
            found.append(node)
        elif node.op is LOOP:
            for clause in node.blocks[1:]:
                found += jumps_of(clause)
        else:
            for inner in node.blocks:
                found += jumps_of(inner)
    return found
