"""`try` statements: `try` and `finally` nodes, whose variables travel through cells.

Enters: `ast.Try`. Leaves: the nodes, and the variables after them.
Invariant: whatever the body binds is stored in a cell right then, so a handler sees the variables as they were when the
exception came. A pending exit (return, break, continue) ends the body as any other end does, and is taken afterwards.
"""

from __future__ import annotations

import ast
import contextlib
from collections.abc import Callable, Iterator, Sequence

from specjit.capture import elements, merge
from specjit.capture.expressions import bind_name, unbind
from specjit.capture.frame import Frame, lowers
from specjit.capture.merge import DEAD, RETURN_VALUE, Branch, Joiner
from specjit.capture.scope import Exits, assigned, read
from specjit.capture.values import Abstract, Cell, Unbound, Value, same_abstract, widen
from specjit.ir.constants import UNBOUND
from specjit.ir.graph import Block, Node
from specjit.ir.structure import FINALLY, TRY, StructuralOp
from specjit.ir.types import ANY, Type, join

CONTAINERS = ("list", "dict", "set")


@lowers(ast.Try)
def _try(f: Frame, s: ast.Try) -> None:
    if not s.finalbody:
        _handled(f, s)
        return
    if Exits(s.finalbody).any:
        _leaves_in_finally(f, s)
        return
    variables = Shared(f, assigned([*s.body, *s.handlers, *s.orelse]) & read(s.finalbody))
    with variables.watched(), f.block() as block:
        _handled(f, s)
        body = Branch(block, f.env)
    with f.block() as block, handling(f, None):
        variables.fetch(body.block)
        before = dict(f.env)
        _run(f, s.finalbody)
        last = Branch(block, f.env)
    _finally(f, body, last, before, assigned(s.finalbody), f.live.after[s])


def _leaves_in_finally(f: Frame, s: ast.Try) -> None:
    """A `finally` with ways out of its own: taking one drops the exception, or the way out that the body has taken.

    It is read twice: as a handler that raises again unless it leaves, and for the other ends of the body."""
    after = f.live.after[s]
    variables = Shared(f, assigned([*s.body, *s.handlers, *s.orelse]) & (read(s.finalbody) | after))
    dropped = f"{len(f.session.active)} {s.lineno} {s.col_offset} dropped left?"
    with variables.watched(), f.block() as block:
        _handled(f, s)
        body = Branch(block, f.env)
    with f.block() as block:
        error = block.param(ANY, "error")
        variables.fetch(body.block)
        f.env[dropped] = merge.TRUE
        with handling(f, error):
            _run(f, s.finalbody)
        _unless_left(f, lambda: _raise_again(f, error), after)
        handler = Branch(block, f.env)
    join_handled(f, TRY, [], body, handler, after | read(s.finalbody))
    if DEAD in f.env:
        return
    left = f.value(f.env.pop(dropped, merge.FALSE))
    pending = {n: f.env.pop(n) for n in (*merge.FLAGS, RETURN_VALUE) if n in f.env}

    def last() -> None:
        with handling(f, None):
            _run(f, s.finalbody)
        _unless_left(f, lambda: f.env.update(pending), after)

    if left.is_const:
        f.env.update(pending) if left.const else last()
        return
    with f.block() as block:
        f.env.update(pending)
        gone = Branch(block, f.env)
    with f.block() as block:
        last()
        here = Branch(block, f.env)
    merge.join(f, left, gone, here, after)


def _unless_left(f: Frame, otherwise: Callable[[], None], live: set[str]) -> None:
    """Do something at the end of a block, unless that has been left by return, break or continue."""
    from specjit.capture.statements import exited

    if DEAD in f.env:
        return
    state = exited(f)
    if state.is_const:
        if not state.const:
            otherwise()
        return
    with f.block() as block:
        left = Branch(block, f.env)
    with f.block() as block:
        for name in (*merge.FLAGS, RETURN_VALUE):
            f.env.pop(name, None)
        otherwise()
        here = Branch(block, f.env)
    merge.join(f, state, left, here, live)


def _raise_again(f: Frame, error: Value) -> None:
    f.emit("py.reraise", error)
    f.env[DEAD] = merge.TRUE


def _handled(f: Frame, s: ast.Try) -> None:
    """The statement without its `finally`."""
    if not s.handlers:
        _run(f, s.body)
        return
    after = f.live.after[s]
    variables = Shared(f, assigned(s.body) & f.live.caught[s])
    raised = f"{len(f.session.active)} {s.lineno} {s.col_offset} left?"
    with variables.watched(), f.block() as block:
        _run(f, s.body)
        body = Branch(block, f.env)
    with f.block() as block:
        error = block.param(ANY, "error")
        variables.fetch(body.block)
        if s.orelse:
            f.env[raised] = merge.TRUE
        with handling(f, error):
            _clauses(f, error, s.handlers, after)
        handler = Branch(block, f.env)
    join_handled(f, TRY, [], body, handler, after | f.live.after[s.body[-1]])
    left = f.env.pop(raised, merge.FALSE)
    if s.orelse and DEAD not in f.env:
        from specjit.capture.statements import guarded

        guarded(f, lambda: _run(f, s.orelse), after, f.value(left))


def _clauses(f: Frame, error: Value, clauses: Sequence[ast.ExceptHandler], live: set[str]) -> None:
    """The first clause that matches; the exception goes on if none does."""
    if not clauses:
        _raise_again(f, error)
        return
    clause, *others = clauses
    saved, f.at = f.at, clause
    try:
        if clause.type is None:
            _clause(f, error, clause)
            return
        cond = f.emit("py.matches", error, f.expr(clause.type))
    finally:
        f.at = saved
    with f.block() as block:
        _clause(f, error, clause)
        here = Branch(block, f.env)
    with f.block() as block:
        _clauses(f, error, others, live)
        elsewhere = Branch(block, f.env)
    merge.join(f, cond, here, elsewhere, live)


def _clause(f: Frame, error: Value, clause: ast.ExceptHandler) -> None:
    """The block of one clause. Its variable ends with it, also where the block raises: a handler around it that reads
    the variable would still see it."""
    if clause.name is None:
        _run(f, clause.body)
        return
    if clause.name not in f.locals or any(clause.name in cells for cells in f.watched):
        raise f.unsupported(f"the exception variable {clause.name!r}, which an outer handler reads", clause)
    bind_name(f, clause.name, error)
    _run(f, clause.body)
    unbind(f, clause.name)


@contextlib.contextmanager
def handling(f: Frame, error: Value | None) -> Iterator[None]:
    """What `raise` raises again. None: what that is, is known only at run time."""
    f.session.handling.append(error)
    try:
        yield
    finally:
        f.session.handling.pop()


def _run(f: Frame, body: list[ast.stmt]) -> None:
    from specjit.capture.statements import run

    run(f, body)


class Shared:
    """Variables that one block binds and another one, which follows from anywhere in it, reads: one cell each."""

    def __init__(self, f: Frame, names: set[str]) -> None:
        self.f = f
        self.cells: dict[str, Value] = {}
        self.start = {n: merge.bound(f.env, n) for n in names}
        self.types: dict[str, Type | None] = {}
        for name in sorted(n for n in names & f.locals if not isinstance(f.env.get(n), Cell)):
            value = f.env.get(name, UNBOUND)
            around = next((cells[name] for cells in reversed(f.watched) if name in cells), None)
            self.types[name] = None if isinstance(value, Unbound) else f.value(value).type
            self.cells[name] = f.emit("py.cell", value, hint=f"{name}_cell") if around is None else around

    @contextlib.contextmanager
    def watched(self) -> Iterator[None]:
        self.f.watched.append(self.cells)
        self.f.session.trying += 1
        try:
            yield
        finally:
            self.f.session.trying -= 1
            self.f.watched.pop()

    def fetch(self, body: Block) -> None:
        """The variables as `body` left them, wherever it was left."""
        f = self.f
        stores = [n for n in body.walk() if n.op.name == "py.store"]
        for name, cell in self.cells.items():
            stored = [n.args[1] for n in stores if n.args[0] is cell]
            if not stored:
                continue
            found = self.types[name]
            missing = found is None or not same_abstract(self.start[name], merge.TRUE)
            for v in stored:
                if v.is_const and v.const is UNBOUND:
                    missing = True
                else:
                    found = widen(v.type) if found is None else join(widen(found), widen(v.type))
            value = f.emit("py.load", cell, hint=name)
            if found is not None and found.kind not in CONTAINERS:
                value.type = found
            f.env[name] = value
            f.env.pop(merge.bound_flag(name), None)
            if missing:
                f.env[merge.bound_flag(name)] = f.emit("py.is_not", value, UNBOUND)


def join_handled(f: Frame, op: StructuralOp, args: list[Value], body: Branch, other: Branch, live: set[str]) -> None:
    """Append a node with these two blocks, of which the second one follows from anywhere in the first one."""
    node = Node(op, args, [], blocks=[body.block, other.block], loc=f.location())
    if body.dead and other.dead:
        f.session.block.nodes.append(node)
        f.env = dict(other.env)
        return
    for side in (body, other):
        side.env = {n: a for n, a in side.env.items() if _kept(n, live)}
    joiner = Joiner(f, body, other)
    env = merge.meet(joiner, live)
    body.block.outputs = [a for a, _ in joiner.outputs]
    other.block.outputs = [b for _, b in joiner.outputs]
    append(f, node, joiner.hints, [join(a.type, b.type) for a, b in joiner.outputs])
    joiner.adopt(node)
    f.env = {name: joiner.resolve(a) for name, a in env.items()}


def append(f: Frame, node: Node, hints: Sequence[str], types: Sequence[Type]) -> None:
    node.results = [Value(t, node, h) for t, h in zip(types, hints, strict=True)]
    f.session.block.nodes.append(node)


def _kept(name: str, live: set[str]) -> bool:
    name = name.removesuffix(" bound?")
    return name in live or not name.isidentifier() or name == RETURN_VALUE


def handed_out(
    f: Frame, inside: Branch, before: dict[str, Abstract], live: set[str]
) -> tuple[Joiner, dict[str, Abstract]]:
    """The variables after a block that has run to its end, in the terms of the joiner; it has the block's outputs."""
    joiner = Joiner(f, inside, Branch(Block(), f.env))
    env = {}
    for name, value in inside.env.items():
        if same_abstract(value, before.get(name, UNBOUND)):
            env[name] = value
        elif _kept(name, live):
            env[name] = joiner.only(name, value, None, False)
    inside.block.outputs = [a for a, _ in joiner.outputs]
    return joiner, env


def _finally(
    f: Frame, body: Branch, last: Branch, before: dict[str, Abstract], changed: set[str], live: set[str]
) -> None:
    first, env = handed_out(f, body, f.env, live)
    last.env = {n: a for n, a in last.env.items() if n.removesuffix(" bound?") in changed or n == DEAD}
    second, after = handed_out(f, last, before, live)
    node = Node(FINALLY, [], [], blocks=[body.block, last.block], loc=f.location())
    types = [o.type for block in node.blocks for o in block.outputs]
    append(f, node, [*first.hints, *second.hints], types)
    split = len(first.outputs)
    first.results, second.results = node.results[:split], node.results[split:]
    for joiner in (first, second):
        for result, (source, _) in zip(joiner.results, joiner.outputs):
            elements.merged(f.session, result, [source])
    f.env = {n: first.resolve(a) for n, a in env.items() if n.removesuffix(" bound?") not in changed}
    f.env |= {n: second.resolve(a) for n, a in after.items()}


__all__ = ["Shared", "append", "handed_out", "join_handled"]
