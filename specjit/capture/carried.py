"""One loop being lowered: which variables it carries, and with which types.

Enters: the candidates (assigned inside, needed at the head or afterwards), and how a turn begins and goes on. Leaves:
a `loop` node.
Invariant: the types of the body's parameters cover what every turn ends with; a first guess that does not hold is
widened and the body is lowered again.
"""

from __future__ import annotations

import ast
from collections.abc import Callable
from typing import Any

from specjit.capture import elements, merge
from specjit.capture.frame import Frame
from specjit.capture.merge import BROKE, CONTINUED, DEAD, RETURN_VALUE, RETURNED
from specjit.capture.scope import assigned
from specjit.capture.values import (
    Abstract,
    Cell,
    Ran,
    TupleOf,
    Unbound,
    Value,
    const,
    same_abstract,
    type_of_abstract,
    widen,
)
from specjit.ir.constants import UNBOUND, same
from specjit.ir.graph import Block, Node, replace_uses, uses
from specjit.ir.structure import make_loop
from specjit.ir.types import INT, NONE, Type, join

Path = tuple[Any, ...]


class Loop:
    """One loop being lowered: attempts until the types of the carried variables hold."""

    def __init__(self, f: Frame, s: ast.While | ast.For, names: list[str], count: Value | None, cond: Value) -> None:
        self.f, self.s, self.names, self.count, self.cond = f, s, names, count, cond
        self.env = dict(f.env)
        self.force: dict[Path, Type] = {}  # of carried variables whose first guess did not hold
        self.origins: dict[Path, frozenset[Any]] = {}  # of lists that a turn ends with
        self.params: list[tuple[Value, Abstract, str]] = []
        self.outputs: list[Value] = []
        self.mark = f.session.mark()
        self.body = Block()
        self.end: dict[str, Abstract] = {}
        self.template: dict[str, Abstract] = {}
        self.next_cond: Value = const(True)
        self.header: Block | None = None
        self.touched = False  # whether something may have run in Python in an earlier turn

    # one attempt

    def attempt(self, test: Callable[[], Value] | None, begin: Callable[[Value], None]) -> bool:
        from specjit.capture.statements import exited, run

        f = self.f
        f.session.rollback(self.mark)
        f.session.touched |= self.touched
        outer = f.session.block
        self.body, self.params, self.outputs = Block(), [], []
        i = self.body.param(INT, _index_hint(self.s))
        f.env = dict(self.env)
        for name in self.names:
            init = self.env.get(name, self.absent(name))
            f.env[name] = self.template[name] = self.make(init, (name,))
            if isinstance(self.template[name], Unbound):
                del f.env[name]
        for flag in (RETURNED, BROKE, CONTINUED):
            f.env.pop(flag, None)
        f.session.block = self.body
        try:
            if test is not None:
                self.header = self.scratch(test)
            begin(i)
            run(f, self.s.body)
            f.env.pop(CONTINUED, None)
            dead = DEAD in f.env
            stop = merge.TRUE if dead else exited(f)
            if test is None:
                self.next_cond = _negated(f, stop)
            else:
                before = len(self.body.nodes)
                self.next_cond = self.tested(stop, test)
                for node in self.body.nodes[before:]:
                    node.attrs["_again"] = True
            self.end = f.env
            left_open = [
                n for n in self.names if n.isidentifier() and not same_abstract(merge.bound(f.env, n), merge.TRUE)
            ]
            opened = [merge.bound_flag(n) for n in left_open if merge.bound_flag(n) not in self.names and not dead]
            self.names += opened  # variables that a turn may leave without a value
            settled = not opened
            for name in self.names[: len(self.names) - len(opened)]:
                out = self.end.get(name, self.absent(name))
                if name.endswith(" bound?"):
                    out = merge.bound(self.end, name.removesuffix(" bound?"))
                if dead:
                    out = self.template[name]
                settled &= self.unify((name,), self.template[name], out)
            if f.session.touched and not (self.touched or dead):
                # What runs in Python in one turn has run before the next.
                settled &= self.mark[-1]
                self.touched = True
        finally:
            f.session.block = outer
            f.env = dict(self.env)
        return settled

    def scratch(self, test: Callable[[], Value]) -> Block:
        """The test at the start of a turn, outside the graph: generated code writes it into the header of a `while`."""
        f = self.f
        seen, emitted = len(f.session.opaque), f.session.emitted
        with f.block() as block:
            block.outputs = [test()]
        del f.session.opaque[seen:]
        f.session.emitted = emitted
        return block

    def absent(self, name: str) -> Abstract:
        """What it means that a carried name has no entry."""
        if name.endswith(" bound?"):
            return merge.bound(self.env, name.removesuffix(" bound?"))
        return merge.FALSE if name in (RETURNED, BROKE) else UNBOUND

    def tested(self, stop: Abstract, test: Callable[[], Value]) -> Value:
        """The condition of the next turn; the test is evaluated only if nothing stopped the loop."""
        f = self.f
        if isinstance(stop, Value) and stop.is_const:
            return test() if not stop.const else merge.FALSE
        with f.block() as go:
            cond: Abstract = test()
            f.env["test"] = cond
            ahead = merge.Branch(go, f.env)
        with f.block() as halt:
            f.env["test"] = merge.FALSE
            done = merge.Branch(halt, f.env)
        merge.join(f, f.value(stop), done, ahead, {"test", *self.names})
        return f.value(f.env.pop("test"))

    def make(self, init: Abstract, path: Path) -> Abstract:
        """What a carried variable is at the start of a turn: parameters where it changes."""
        if path in self.force:
            return self.param(self.force[path], init, path)
        if isinstance(init, Value):
            return self.param(widen(init.type), init, path)
        if isinstance(init, TupleOf):
            return TupleOf(tuple(self.make(x, (*path, k)) for k, x in enumerate(init.items)), init.names)
        return init

    def param(self, t: Type, init: Abstract, path: Path) -> Value:
        # An item of a tuple takes the name of the value that a turn puts there.
        hint = path[0] if len(path) == 1 and str(path[0]).isidentifier() and path[0] != RETURN_VALUE else ""
        value = self.body.param(t, hint)
        origins = self.f.session.origins
        found = self.origins.get(path, frozenset())
        if isinstance(init, Value):
            found |= origins.get(init, frozenset())
        if found:
            origins[value] = found
        self.params.append((value, init, hint))
        return value

    def unify(self, path: Path, start: Abstract, out: Abstract) -> bool:
        """Whether what a turn ends with fits what it began with; if not, `force` says what to try next."""
        f = self.f
        if isinstance(start, Value) and any(p is start for p, _, _ in self.params):
            value = Value.constant(UNBOUND, start.type) if isinstance(out, Unbound) else f.value(out)
            t = join(start.type, widen(value.type))
            if t != start.type:
                self.force[path] = t
                return False
            fresh = f.session.origins.get(value, frozenset()) - f.session.origins.get(start, frozenset())
            if fresh:
                self.origins[path] = self.origins.get(path, frozenset()) | fresh
                return False
            self.outputs.append(value)
            return True
        if isinstance(start, TupleOf) and isinstance(out, TupleOf) and len(start.items) == len(out.items):
            fits = [self.unify((*path, k), a, b) for k, (a, b) in enumerate(zip(start.items, out.items))]
            return all(fits)
        if same_abstract(start, out):
            return True
        for known in [p for p in self.force if p[: len(path)] == path]:
            del self.force[known]
        if isinstance(start, Unbound) or isinstance(out, Unbound):
            self.force[path] = widen(type_of_abstract(out if isinstance(start, Unbound) else start))
        else:
            self.force[path] = join(widen(type_of_abstract(start)), widen(type_of_abstract(out)))
        return False

    # the result

    def finish(self) -> Node:
        """Append the node; the variables after the loop are its results."""
        f = self.f
        inits = [self.initial(init, p.type) for p, init, _ in self.params]
        replaced, shared = self.drop(inits)
        kept = [k for k in range(len(inits)) if self.params[k][0] not in replaced and k not in shared]
        self.outputs = [replaced.get(o, o) for o in self.outputs]
        self.body.params = [self.body.params[0], *(self.params[k][0] for k in kept)]
        self.body.outputs = [self.next_cond, *(self.outputs[k] for k in kept)]
        for k in kept:
            param, init, hint = self.params[k]
            if not hint and not self.outputs[k].is_const:
                param.hint = hint = self.outputs[k].hint
                self.params[k] = param, init, hint
        hints = [self.params[k][2] for k in kept]
        trip = self.count if self.count is not None else Value.constant(None, NONE)
        carried = [inits[k] for k in kept]
        node = make_loop(f.session.block, trip, self.cond, carried, self.body, loc=f.location(self.s), hints=hints)
        if self.header is not None:
            replace_uses(self.header, replaced)
            node.attrs["_header"] = self.header
        results: dict[Value, Abstract] = dict(replaced)
        for k, r in zip(kept, node.results):
            results[self.params[k][0]] = r
            elements.merged(f.session, r, [self.params[k][0]])
        for k, other in shared.items():
            results[self.params[k][0]] = other if isinstance(other, Ran) else results[self.params[other][0]]
        gone = assigned(self.s)  # but for what lives in a cell, which stays the variable's place
        env = {n: a for n, a in self.env.items() if isinstance(a, Cell) or n.removesuffix(" bound?") not in gone}
        for name in self.names:
            env[name] = self.after(self.template[name], results)
            if name in merge.FLAGS:
                env[name] = f.value(env[name])  # an exit that is certain once the loop runs
        f.env = {n: a for n, a in env.items() if not isinstance(a, Unbound)}
        for name in self.names:
            if name.endswith(" bound?") and (same_abstract(f.env[name], merge.TRUE) or name[:-7] not in f.env):
                del f.env[name]
        return node

    def drop(self, inits: list[Value]) -> tuple[dict[Value, Value], dict[int, Any]]:
        """Slots that the loop need not carry: {parameter: its value} for what never changes, and {slot: another slot,
        or Ran} for what is unread in the body and, once the loop has run, known anyway."""
        replaced: dict[Value, Value] = {}
        for (param, _, _), value, out in zip(self.params, inits, self.outputs, strict=True):
            if out is param or (value.is_const and out.is_const and same(value.const, out.const)):
                replaced[param] = value
        replace_uses(self.body, replaced)
        self.next_cond = replaced.get(self.next_cond, self.next_cond)
        read = uses(self.body)
        shared: dict[int, Any] = {}
        for k, (param, init, _) in enumerate(self.params):
            out = self.outputs[k]
            if (
                param in replaced
                or param in read
                or param is self.next_cond
                or any(o is param for j, o in enumerate(self.outputs) if j != k)
            ):
                continue
            if (
                inits[k].is_const
                and inits[k].const is False
                and out.is_const
                and out.const is True
                and init is merge.FALSE
            ):
                header = self.count if self.count is not None else self.cond
                shared[k] = Ran(const(bool(header.const > 0)) if header.is_const else header)
            elif isinstance(init, Unbound):
                twins = [j for j, o in enumerate(self.outputs) if o is out and j != k and j not in shared]
                if twins and self.params[twins[0]][0].type == param.type and self.params[twins[0]][0] not in replaced:
                    shared[k] = twins[0]
        return replaced, shared

    def initial(self, init: Abstract, t: Type) -> Value:
        if isinstance(init, Unbound):
            return Value.constant(UNBOUND, t)
        return self.f.value(init)

    def after(self, start: Abstract, results: dict[Value, Abstract]) -> Abstract:
        if isinstance(start, Value):
            out = results.get(start, start)
            return out.header if isinstance(out, Ran) and out.header.is_const else out
        if isinstance(start, TupleOf):
            return TupleOf(tuple(self.after(x, results) for x in start.items), start.names)
        return start


def _negated(f: Frame, stop: Abstract) -> Value:
    v = f.value(stop)
    return const(not v.const) if v.is_const else f.emit("py.not", v)


def _index_hint(s: ast.While | ast.For) -> str:
    return "turn" if isinstance(s, ast.While) else "i"
