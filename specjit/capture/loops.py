"""Loops: `while`, `for` over anything, and comprehensions, as `loop` nodes or unrolled where the items are known.

Enters: loop statements. Leaves: `loop` nodes that carry the variables which change and are needed.
Invariant: the header is evaluated once, the next item is fetched (or the test evaluated) only when the loop goes on,
and after the loop the variables have the values Python gives them. Mutable containers are values, not carried.
"""

from __future__ import annotations

import ast
from collections.abc import Callable

from specjit.capture import merge, stores
from specjit.capture.carried import Loop
from specjit.capture.frame import Frame, lowers
from specjit.capture.iteration import MAX_UNROLL, NeedsConstant, Plan, plan
from specjit.capture.merge import BROKE, CONTINUED, DEAD, RETURN_VALUE, RETURNED
from specjit.capture.operators import condition
from specjit.capture.pycalls import makes_an_exception
from specjit.capture.scope import Exits, assigned
from specjit.capture.values import (
    Abstract,
    Cell,
    Iteration,
    Value,
    const,
    constant_of,
    same_abstract,
)
from specjit.ir.graph import Block, Node
from specjit.ops.records.registry import get

MAX_ATTEMPTS = 12


# statements


@lowers(ast.While)
def _while(f: Frame, s: ast.While) -> None:
    def test() -> Value:
        return condition(f, s.test)

    def begin(_i: Value) -> None:
        merge.refine(f, s.test, True)

    run_loop(f, s, None, test, begin, [])


@lowers(ast.For)
def _for(f: Frame, s: ast.For) -> None:
    if s.type_comment is not None:
        raise f.unsupported("type comments")
    with stores.iterating(f):
        for_each(f, s, f.expr(s.iter))


def for_each(f: Frame, s: ast.For, iterable: Abstract) -> None:
    mark, env = f.session.mark(), dict(f.env)
    known = _known_range(f, iterable)
    if known is not None:
        f.session.unrollable += 1
    try:
        _for_plan(f, s, plan(f, iterable))
    except NeedsConstant:
        if known is None:
            raise
        f.session.rollback(mark)
        f.env = dict(env)
        _unroll(f, s, [const(k) for k in _guarded_range(f, known)])
    except _Resized:
        f.session.rollback(mark)
        f.env = dict(env)
        _for_plan(f, s, plan(f, iterable, protocol=True))
    finally:
        if known is not None:
            f.session.unrollable -= 1


def _known_range(f: Frame, it: Abstract) -> list[Abstract] | None:
    """The bounds of a range that can be known: constants, or attributes whose example value may be guarded."""
    if not isinstance(it, Iteration) or it.kind != "range":
        return None
    for part in it.parts:
        if not constant_of(part)[0] and part not in f.session.examples:
            return None
    return list(it.parts)


def _guarded_range(f: Frame, parts: list[Abstract]) -> range:
    values = []
    for part in parts:
        ok, constant = constant_of(part)
        if not ok:
            constant, group, source, fetch = f.session.examples[part]  # type: ignore[index]
            f.session.facts.add(group, source, "value", constant, f.origin(), fetch)
        values.append(constant)
    found = range(*values)
    if len(found) > MAX_UNROLL:
        raise f.unsupported(f"a loop over modules of {len(found)} turns")
    return found


def _always(test: ast.expr) -> bool:
    return isinstance(test, ast.Constant) and bool(test.value)


class _Resized(Exception):
    """The body may change the length of a list that is iterated over."""


def _for_plan(f: Frame, s: ast.For, p: Plan) -> None:
    if p.items is not None:
        _unroll(f, s, p.items, p.turn)
    elif p.item is not None:
        item = p.item
        block = f.session.block
        run_loop(f, s, p.count, None, lambda i: assign_target(f, s.target, p.turn(item(i))), [])
        loop = next((n for n in reversed(block.nodes) if n.op.name == "loop"), None)
        if loop is not None and p.watched and _may_resize(loop.blocks[0], p.watched):
            raise _Resized
        if loop is not None and p.each:
            loop.attrs["_iterates"] = True
    else:
        iterator, slot = p.iterator, f"item {len(f.env)}?"

        def test() -> Value:
            node, _ = f.emit_node(get("py.next"), [f.value(iterator)])  # type: ignore[arg-type]
            node.results[1].type = p.element
            f.env[slot] = node.results[1]
            return node.results[0]

        run_loop(f, s, None, test, lambda _i: assign_target(f, s.target, p.turn(f.env[slot])), [slot])
        f.env.pop(slot, None)


_KEEP_LENGTHS = frozenset(("py.print", "py.assert", "py.raise", "py.reraise"))


def _replaces(node: Node, keyed: bool) -> bool:
    """Whether a `py.setitem` certainly puts something in the place of something else. keyed: one of the containers is
    a dict."""
    target, index = node.args[:2]
    if target.type.kind == "list" or not keyed:
        return not (index.is_const and isinstance(index.const, slice)) and index.type.kind not in ("any", "class")
    made, keys = index.node, None
    if made is not None and made.op.name == "py.getitem":
        keys = made.args[0].node
    return keys is not None and keys.op.name == "py.iter_list" and keys.args[0] is target


def _may_resize(block: Block, lists: tuple[Value, ...]) -> bool:
    """Whether a node inside may change the length of one of `lists`, which may be dicts and sets too. Two lists of
    which one is made by the program are not the same."""
    fresh = [v for v in lists if v.node is not None and v.node.op.name == "py.list"]
    kinds = {"any", *(v.type.kind for v in lists)}
    for node in block.walk():
        name = node.op.name
        if name in _KEEP_LENGTHS or (name == "py.method" and node.args[0].type.kind not in kinds):
            continue
        if name == "py.setitem" and _replaces(node, "dict" in kinds):
            continue
        callee = node.args[0].const if name == "py.call" and node.args[0].is_const else None
        if makes_an_exception(callee) and callee.__module__ == "builtins":
            continue
        if not (node.op.traits.writes or node.op.traits.io) or node.blocks:
            continue
        targets = node.args if node.op.traits.io else [node.args[i] for i in node.op.traits.writes]
        for target in targets:
            if target.is_const or target.type.kind not in ("list", "any", "class", "optional", "dict", "tuple"):
                continue
            made = target.node is not None and target.node.op.name == "py.list"
            if any(target is v or not (made or v in fresh) or node.op.traits.io for v in lists):
                return True
    return False


def _unroll(f: Frame, s: ast.For, items: list[Abstract], begin: Callable[[Abstract], Abstract] = lambda x: x) -> None:
    """One copy of the body per item. begin: what the target is given for an item."""
    if len(items) > MAX_UNROLL:
        raise f.unsupported(f"a loop over {len(items)} known items")
    from specjit.capture.statements import guarded, run

    left = f"{len(f.session.active)} {s.lineno} {s.col_offset} left?"

    def turn(k: int) -> None:
        if k == len(items):
            run(f, s.orelse)
            return
        assign_target(f, s.target, begin(items[k]))
        run(f, s.body)
        f.env.pop(CONTINUED, None)
        f.env[left] = f.env.pop(BROKE, merge.FALSE)
        if DEAD in f.env:
            return
        guarded(f, lambda: turn(k + 1), f.live.head[s] | f.live.after[s], f.value(f.env[left]))

    turn(0)
    f.env.pop(left, None)


# the general loop


def run_loop(
    f: Frame,
    s: ast.While | ast.For,
    count: Value | None,
    test: Callable[[], Value] | None,
    begin: Callable[[Value], None],
    hidden: list[str],
) -> None:
    """Append the loop. `test` decides whether a turn begins, `begin(i)` binds what a turn starts with."""
    from specjit.capture.statements import guarded, run

    before, block = len(f.session.block.nodes), f.session.block
    cond = test() if test is not None else const(True)
    first = block.nodes[before:]
    exits = Exits(s.body)
    if (cond.is_const and not cond.const) or (count is not None and count.is_const and count.const <= 0):
        run(f, s.orelse)
        return
    changing = assigned(s) & f.locals & (f.live.head[s] | f.live.after[s])
    names = sorted(n for n in changing if not isinstance(f.env.get(n), Cell)) + hidden
    open_names = [n for n in names if n.isidentifier() and not same_abstract(merge.bound(f.env, n), merge.TRUE)]
    names += [merge.bound_flag(n) for n in open_names]
    if exits.returns:
        names += [RETURNED, RETURN_VALUE]
    if exits.breaks and s.orelse:
        names.append(BROKE)
    loop = Loop(f, s, names, count, cond)
    for _ in range(MAX_ATTEMPTS):
        if loop.attempt(test, begin):
            break
    else:
        raise f.unsupported("a loop whose variables never settle on a type")
    node = loop.finish()
    if exits.returns and not exits.breaks and count is None and isinstance(s, ast.While) and _always(s.test):
        f.env[RETURNED] = merge.TRUE  # there is no other way out
    node.attrs["_loop"] = number = f.session.emitted
    for n in first:
        n.attrs["_first"] = number
    if hidden:
        node.attrs["_protocol"] = True
    broke = f.value(f.env.pop(BROKE, merge.FALSE))
    if s.orelse:
        # A break in the else clause belongs to the loop around this one.
        guarded(f, lambda: run(f, s.orelse), f.live.after[s], broke)


def assign_target(f: Frame, target: ast.expr, value: Abstract) -> None:
    from specjit.capture.assignments import assign

    assign(f, target, value)
