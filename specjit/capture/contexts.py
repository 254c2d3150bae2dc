"""`with` statements: the grad-mode switches as `with` nodes, other context managers as `using` nodes.

Enters: `ast.With`. Leaves: a node per context expression, whose results are the variables that the block changes.
Invariant: the manager is left however the block is left; where it suppresses an exception, the variables are as they
were when that came.
"""

from __future__ import annotations

import ast

from specjit.capture import marks, merge, opaque
from specjit.capture.assignments import assign
from specjit.capture.frame import Frame, lowers
from specjit.capture.handlers import Shared, append, handed_out, join_handled
from specjit.capture.pycalls import is_quiet
from specjit.capture.scope import assigned
from specjit.capture.values import Known, Value
from specjit.ir.graph import Node
from specjit.ir.structure import USING, WITH
from specjit.ir.types import ANY
from specjit.tensor import state

GRAD_MODES = {state.no_grad: False, state.enable_grad: True}


@lowers(ast.With)
def _with(f: Frame, s: ast.With) -> None:
    _enter(f, s, s.items)


def _enter(f: Frame, s: ast.With, items: list[ast.withitem]) -> None:
    from specjit.capture.statements import run

    if not items:
        run(f, s.body)
        return
    mode = _grad_mode(f, items[0])
    if mode is None:
        _managed(f, s, items)
        return
    with f.block() as block:
        _enter(f, s, items[1:])
        inside = merge.Branch(block, f.env)
    joiner, env = handed_out(f, inside, f.env, f.live.after[s])
    node = Node(WITH, [], [], blocks=[block], attrs={"grad": mode}, loc=f.location())
    append(f, node, joiner.hints, [o.type for o in block.outputs])
    joiner.adopt(node)
    f.env = {name: joiner.resolve(a) for name, a in env.items()}


def _managed(f: Frame, s: ast.With, items: list[ast.withitem]) -> None:
    """A context manager whose own code runs in Python, or is compiled when a script gets there."""
    item, *others = items
    noted = len(f.session.opaque)
    manager = f.value(f.expr(item.context_expr))
    if f.session.scripting and marks.managed is not None:
        manager = f.emit("py.call", Known(marks.managed), None, manager)
    elif len(f.session.opaque) == noted and not _is_library_manager(manager):
        saved, f.at = f.at, item.context_expr
        opaque.note(f, "entering and leaving a context manager")
        f.at = saved
    f.session.touched = True
    targets = assigned([n for i in items for n in [i.optional_vars] if n is not None])
    variables = Shared(f, (assigned(s.body) | targets) & f.live.after[s])
    with variables.watched(), f.block() as block:
        entered = block.param(ANY, _name(item))
        if item.optional_vars is not None:
            assign(f, item.optional_vars, entered)
        _enter(f, s, others)
        body = merge.Branch(block, f.env)
    with f.block() as block:
        variables.fetch(body.block)
        suppressed = merge.Branch(block, f.env)
    join_handled(f, USING, [manager], body, suppressed, f.live.after[s])
    f.session.touched = True


def _is_library_manager(manager: Value) -> bool:
    """Whether the manager is one of Python's own that does nothing but what it is told (`contextlib.suppress`)."""
    made = manager.node
    callee = made.args[0].const if made is not None and made.op.name == "py.call" and made.args[0].is_const else None
    return isinstance(callee, type) and is_quiet(callee)


def _name(item: ast.withitem) -> str:
    return item.optional_vars.id if isinstance(item.optional_vars, ast.Name) else "entered"


def _grad_mode(f: Frame, item: ast.withitem) -> bool | None:
    """The mode that a context expression switches to; None for another context manager."""
    call = item.context_expr
    if item.optional_vars is not None or not isinstance(call, ast.Call) or call.keywords or len(call.args) > 1:
        return None
    mark, env = f.session.mark(), dict(f.env)
    callee = f.expr(call.func)
    if isinstance(callee, Known) and callee.value is None:
        if not call.args and callee.obj in GRAD_MODES:
            return GRAD_MODES[callee.obj]
        if call.args and callee.obj is state.set_grad_enabled:
            mode = f.expr(call.args[0])
            if isinstance(mode, Value) and mode.is_const:
                return bool(mode.const)
    f.session.rollback(mark)
    f.env = env
    return None
