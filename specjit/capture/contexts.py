"""`with` statements: the grad-mode switches as `with` nodes; any other context manager runs in Python.

Enters: `ast.With`. Leaves: a node with one block, whose results are the variables that the block changes.
Invariant: the mode is restored however the block is left.
"""

from __future__ import annotations

import ast

from specjit.capture import merge
from specjit.capture.frame import Frame
from specjit.capture.merge import DEAD, FLAGS, RETURN_VALUE
from specjit.capture.values import Known, Value
from specjit.ir.graph import Node
from specjit.ir.structure import WITH
from specjit.tensor import state

GRAD_MODES = {state.no_grad: False, state.enable_grad: True}


def lower_with(f: Frame, s: ast.With) -> None:
    from specjit.capture.statements import run

    modes = [_grad_mode(f, item) for item in s.items]
    live = f.live.after[s] | set(FLAGS) | {RETURN_VALUE, DEAD}
    with f.block() as block:
        run(f, s.body)
        inside = merge.Branch(block, f.env)
    # The block runs once: what it changed comes out as results.
    joiner = merge.Joiner(f, inside, merge.Branch(block, f.env))
    env = {
        name: value
        if merge.same_abstract(value, f.env.get(name, merge.UNBOUND))
        else joiner.only(name, value, None, False)
        for name, value in inside.env.items()
        if name in live or value is f.env.get(name)
    }
    block.outputs = [a for a, _ in joiner.outputs]
    node = Node(
        WITH,
        [],
        [o.type for o in block.outputs],
        blocks=[block],
        attrs={"grad": modes[-1]},
        loc=f.location(),
        hints=joiner.hints,
    )
    f.session.block.nodes.append(node)
    joiner.results = node.results
    f.env = {name: joiner.resolve(a) for name, a in env.items()}


def _grad_mode(f: Frame, item: ast.withitem) -> bool:
    """The mode that a context expression switches to."""
    call = item.context_expr
    if item.optional_vars is None and isinstance(call, ast.Call) and not call.args and not call.keywords:
        callee = f.expr(call.func)
        if isinstance(callee, Known) and callee.value is None and callee.obj in GRAD_MODES:
            return GRAD_MODES[callee.obj]
    if item.optional_vars is None and isinstance(call, ast.Call) and len(call.args) == 1 and not call.keywords:
        callee, mode = f.expr(call.func), f.expr(call.args[0])
        if (
            isinstance(callee, Known)
            and callee.obj is state.set_grad_enabled
            and isinstance(mode, Value)
            and mode.is_const
        ):
            return bool(mode.const)
    raise f.unsupported("a context manager other than a grad mode", item.context_expr)
